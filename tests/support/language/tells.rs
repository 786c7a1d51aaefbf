//! The rules.

/// A word of a passage, in lower case, and what surrounds it.
pub struct Word {
    pub text: String,
    /// Byte offset in the passage.
    pub start: usize,
    pub begins: Begins,
    /// The last word before any punctuation.
    pub ends_clause: bool,
    /// In a sentence that ends in a question mark.
    pub question: bool,
    /// In a Markdown heading.
    pub heading: bool,
}

/// The position of a word.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub enum Begins {
    Nothing,
    /// After a comma or bracket.
    Clause,
    /// After a colon or semicolon.
    Part,
    /// A sentence, a list item or a table cell.
    Sentence,
}

/// Splits `text` into words. Code spans, URLs and placeholders were replaced by spaces or `~` before.
pub fn words(text: &str, heading: bool) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let bytes = text.as_bytes();
    let (mut at, mut begins) = (0, Begins::Sentence);
    let mut sentence_began = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if byte.is_ascii_alphanumeric() || byte >= 0x80 && !starts_with_mark(&text[at..]) || byte == b'~' {
            let start = at;
            while at < bytes.len() && in_word(text, at) {
                at += 1;
            }
            let original = &text[start..at];
            // `WHAT` is the name of an argument.
            let is_name = original.len() > 1 && !original.contains(|c: char| c.is_lowercase());
            let word =
                if is_name { original.to_owned() } else { original.to_lowercase().replace('’', "'") };
            words.push(Word { text: word, start, begins, ends_clause: false, question: false, heading });
            begins = Begins::Nothing;
            continue;
        }
        let blank_follows =
            bytes.get(at + 1).is_none_or(|next| next.is_ascii_whitespace() || b")\"*'|".contains(next));
        match byte {
            b'.' | b'!' | b'?' if blank_follows => {
                end_clause(&mut words);
                if byte == b'?' {
                    words[sentence_began..].iter_mut().for_each(|word| word.question = true);
                }
                sentence_began = words.len();
                begins = Begins::Sentence;
            }
            b'\n' if bytes.get(at + 1) == Some(&b'\n') => {
                end_clause(&mut words);
                sentence_began = words.len();
                begins = Begins::Sentence;
            }
            b'|' => begins = Begins::Sentence,
            b'-' | b'*' if is_bullet(bytes, at) => begins = Begins::Sentence,
            b',' | b';' | b':' | b'(' | b')' | b'"' => {
                end_clause(&mut words);
                let part = matches!(byte, b':' | b';');
                let begun = if part { Begins::Part } else { Begins::Clause };
                if begins < begun {
                    begins = begun;
                }
            }
            _ => {}
        }
        at += 1;
        while !text.is_char_boundary(at) {
            at += 1;
        }
    }
    end_clause(&mut words);
    words
}

fn end_clause(words: &mut [Word]) {
    if let Some(last) = words.last_mut() {
        last.ends_clause = true;
    }
}

fn starts_with_mark(text: &str) -> bool {
    text.starts_with([
        '…', '–', '—', '“', '”', '‘', '’', '→', '×', '·', '≥', '─', '│', '►', '┌', '└', '├', '┐', '┼', '┘',
    ])
}

/// Paths, options and hyphenated words are one word each.
fn in_word(text: &str, at: usize) -> bool {
    let bytes = text.as_bytes();
    match bytes[at] {
        b'.' | b'/' | b'-' | b'\'' | b'@' | b'=' => bytes.get(at + 1).is_some_and(u8::is_ascii_alphanumeric),
        b'_' | b'~' => true,
        byte if byte.is_ascii_alphanumeric() => true,
        byte if byte >= 0x80 => !text.is_char_boundary(at) || !starts_with_mark(&text[at..]),
        _ => false,
    }
}

/// A `-` or `*` that is the first character of its line.
fn is_bullet(bytes: &[u8], at: usize) -> bool {
    let line = bytes[..at].iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    bytes[line..at].iter().all(u8::is_ascii_whitespace) && bytes.get(at + 1) == Some(&b' ')
}

const TO_BE: [&str; 7] = ["be", "been", "being", "is", "are", "was", "were"];

/// After these, `who` begins an ordinary relative clause.
const PERSONS: [&str; 23] = [
    "administrator",
    "anyone",
    "attacker",
    "author",
    "authors",
    "contributor",
    "contributors",
    "developer",
    "everyone",
    "maintainer",
    "maintainers",
    "one",
    "out",
    "operator",
    "owner",
    "people",
    "person",
    "reader",
    "readers",
    "someone",
    "those",
    "user",
    "users",
];

/// Before `what`, these make a clause the object of a preposition, as in `the digest of what was read`.
const BEFORE_WHAT: [&str; 11] =
    ["after", "against", "at", "before", "besides", "beyond", "but", "except", "for", "of", "than"];

/// "Instead of what" and the like are ordinary.
const OF_WHAT: [&str; 5] = ["instead", "most", "much", "regardless", "some"];

/// After `of QEMU's`, these show that no noun follows.
const PREPOSITIONS: [&str; 12] =
    ["and", "at", "by", "for", "from", "in", "of", "on", "or", "that", "to", "with"];

/// Old-fashioned words, most of them taken over from another language's grammar.
const ARCHAIC: [&str; 16] = [
    "anew",
    "anybody",
    "beside",
    "ere",
    "everybody",
    "hereby",
    "lest",
    "nobody",
    "somebody",
    "spelt",
    "thence",
    "thereof",
    "whence",
    "wherein",
    "whoever",
    "whomever",
];

const AUXILIARIES: [&str; 14] =
    ["are", "can", "could", "did", "do", "does", "had", "has", "have", "is", "must", "was", "were", "will"];

/// Every word at which a rule applies, with the rule's name.
pub fn tells(words: &[Word]) -> Vec<(&Word, &'static str)> {
    (0..words.len()).filter_map(|at| rule(words, at).map(|rule| (&words[at], rule))).collect()
}

fn rule(words: &[Word], at: usize) -> Option<&'static str> {
    let word = &words[at];
    let text = |offset: isize| {
        let other = at.checked_add_signed(offset).and_then(|at| words.get(at));
        other.map_or("", |word| word.text.as_str())
    };
    let (before, next) = (text(-1), text(1));
    let statement = !word.question && !word.heading;
    let ends = word.ends_clause || PREPOSITIONS.contains(&next);
    match word.text.as_str() {
        archaic if ARCHAIC.contains(&archaic) => Some("old-fashioned word"),
        "whatever" if before != "for" => Some("`whatever`"),
        "who" if statement && !PERSONS.contains(&before) => Some("`who` without a person"),
        // "stands for" is the ordinary word for abbreviations; "stands in for" likewise.
        "stand" | "stands" | "standing" | "stood"
            if next != "for" && (next, text(2)) != ("in", "for") && before != "long" =>
        {
            Some("`stand` for `be`")
        }
        "of" if word.begins == Begins::Sentence && next != "course" => Some("`Of …` first"),
        "so" | "not" | "nor" | "neither"
            if word.begins == Begins::Sentence && AUXILIARIES.contains(&next) =>
        {
            Some("inversion")
        }
        "not" if word.begins == Begins::Sentence && next == "so" => Some("inversion"),
        "what" if word.begins >= Begins::Part && statement => Some("`what …` as a subject"),
        "what" if statement && BEFORE_WHAT.contains(&before) && !OF_WHAT.contains(&text(-2)) => {
            Some("`of what …`")
        }
        "where"
            if word.begins == Begins::Sentence
                && statement
                && !word.ends_clause
                && !SHORT_WHERE.contains(&next) =>
        {
            Some("`Where …` for `if`")
        }
        "told" if TO_BE.contains(&before) => Some("`is told`"),
        "hang" | "hangs" | "hung" if matches!(next, "on" | "from") => Some("`hangs on`"),
        "no" if TO_BE[3..].contains(&before)
            && !matches!(text(-2), "there" | "here" | "~")
            && !no_is_usual(next) =>
        {
            Some("`is no …` for `is not a …`")
        }
        "nothing" if next == "but" => Some("`nothing but`"),
        "for" if matches!(word.begins, Begins::Clause | Begins::Part) && CLAUSE_SUBJECTS.contains(&next) => {
            Some("`for` for `because`")
        }
        "own" if text(-2) == "of" && ends => Some("`of its own`"),
        "of" if next.ends_with("'s") && (words[at + 1].ends_clause || PREPOSITIONS.contains(&text(2))) => {
            Some("`of somebody's`")
        }
        "hold" | "holds" | "held" | "holding" if (1..=5).any(|offset| text(offset) == "against") => {
            Some("`hold against`")
        }
        "go" | "goes" | "going" | "went" if next == "on" => Some("`go on`"),
        "to" if TO_BE[3..].contains(&before) && next == "be" && text(2) != "able" => Some("`is to be`"),
        "all" if next == "that" => Some("`all that`"),
        "so" if next == "many" && matches!(before, "after" | "least" | "most" | "for") => Some("`so many`"),
        "there" if TO_BE[3..].contains(&before) && word.ends_clause && statement => {
            Some("`is there` for `exists`")
        }
        _ => None,
    }
}

/// After ", for", these begin a clause, so that "for" means "because".
const CLAUSE_SUBJECTS: [&str; 9] = ["he", "it", "neither", "no", "nobody", "nothing", "there", "they", "we"];

/// "Where possible" is ordinary.
const SHORT_WHERE: [&str; 4] = ["applicable", "appropriate", "necessary", "possible"];

fn no_is_usual(next: &str) -> bool {
    matches!(next, "" | "better" | "different" | "less" | "longer" | "more" | "worse")
}
