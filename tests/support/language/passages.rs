//! Finds the prose in source files and documents.

use std::fs;
use std::path::Path;

/// A piece of prose: one comment block, paragraph, message or test name.
pub struct Passage {
    pub text: String,
    pub heading: bool,
    /// For each line of `text`: its line in the file.
    lines: Vec<usize>,
}

impl Passage {
    /// The line in the file of the byte at `offset`.
    pub fn line_of(&self, offset: usize) -> usize {
        self.lines[self.text[..offset].matches('\n').count()]
    }

    fn one_line(text: String, line: usize) -> Self {
        Self { text, heading: false, lines: vec![line] }
    }
}

/// Folders and files with prose of this project. Vendored and generated files are not in them.
const ROOTS: [&str; 12] = [
    ".ci",
    ".github",
    "action",
    "benches",
    "cloud-init",
    "docs",
    "examples",
    "fuzz",
    "images",
    "packaging",
    "src",
    "tests",
];
const SKIPPED: [&str; 5] = ["target", "corpus", "node_modules", "snapshots", "LICENSE"];

/// Path and text of every file with prose, in order.
pub fn files(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(root).expect("the repository").flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_folder = entry.path().is_dir();
        if !is_folder || ROOTS.contains(&name.as_str()) {
            collect(root, &name, &mut found);
        }
    }
    found.push(("fixtures/archives/make".to_owned(), read(&root.join("fixtures/archives/make"))));
    found.sort();
    found
}

fn read(path: &Path) -> String {
    fs::read(path).ok().and_then(|bytes| String::from_utf8(bytes).ok()).unwrap_or_default()
}

fn collect(root: &Path, name: &str, found: &mut Vec<(String, String)>) {
    let path = root.join(name);
    if SKIPPED.iter().any(|skipped| name.ends_with(skipped))
        || Path::new(name).extension().is_some_and(|end| end == "lock")
    {
        return;
    }
    if path.is_dir() {
        for entry in fs::read_dir(&path).expect("a folder").flatten() {
            collect(root, &format!("{name}/{}", entry.file_name().to_string_lossy()), found);
        }
    } else if kind(name, "").is_some() || !name.contains('.') {
        let text = read(&path);
        if kind(name, &text).is_some() {
            found.push((name.to_owned(), text));
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Rust,
    JavaScript,
    /// Comments from `#`; strings in double quotes are messages.
    Script,
    /// Comments from `#` only.
    Hash,
    Markdown,
}

fn kind(name: &str, text: &str) -> Option<Kind> {
    let file = name.rsplit('/').next().unwrap_or(name);
    match file.rsplit_once('.').map(|(_, end)| end) {
        Some("rs") => Some(Kind::Rust),
        Some("mjs" | "js") => Some(Kind::JavaScript),
        Some("sh" | "bash" | "py") => Some(Kind::Script),
        Some("yaml" | "yml" | "toml" | "j2" | "service" | "timer" | "conf" | "mount" | "socket") => {
            Some(Kind::Hash)
        }
        Some("md") => Some(Kind::Markdown),
        None if file == "justfile" || text.starts_with("#!") => Some(Kind::Script),
        _ => None,
    }
}

/// The prose of a file.
pub fn of(name: &str, text: &str) -> Vec<Passage> {
    match kind(name, text) {
        Some(Kind::Rust) => rust(text, name.starts_with("src/")),
        Some(Kind::JavaScript) => rust(text, false),
        Some(Kind::Script) => hash(text, true),
        Some(Kind::Hash) => hash(text, false),
        Some(Kind::Markdown) => markdown(text),
        None => Vec::new(),
    }
}

/// Adjacent comment lines form one passage, so that sentences may continue on the next line.
#[derive(Default)]
struct Block {
    text: String,
    lines: Vec<usize>,
    fenced: bool,
}

impl Block {
    fn push(&mut self, content: &str, line: usize, found: &mut Vec<Passage>) {
        let content = content.strip_prefix(' ').unwrap_or(content);
        if content.trim_start().starts_with("```") {
            self.fenced = !self.fenced;
            return;
        }
        if self.fenced || content.trim().is_empty() {
            self.finish(found);
            return;
        }
        if self.lines.last().is_some_and(|last| last + 1 != line) {
            self.finish(found);
        }
        if !self.text.is_empty() {
            self.text.push('\n');
        }
        self.text.push_str(content);
        self.lines.push(line);
    }

    fn finish(&mut self, found: &mut Vec<Passage>) {
        let (text, lines) = (std::mem::take(&mut self.text), std::mem::take(&mut self.lines));
        if !text.is_empty() {
            found.push(Passage { text: without_code(&text), heading: false, lines });
        }
    }
}

/// `text` with code spans, URLs and `{placeholders}` replaced by `~`, so that offsets stay.
fn without_code(text: &str) -> String {
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['`', '{']).into_iter().chain(rest.find("http")).min() {
        let opening = rest.as_bytes()[start];
        let inside = &rest[start..];
        let length = match opening {
            b'`' => inside[1..].find('`').map(|end| end + 2),
            b'{' => inside.find('}').map(|end| end + 1),
            _ if inside.starts_with("http://") || inside.starts_with("https://") => {
                inside.find(|c: char| c.is_whitespace() || ")>\"".contains(c)).or(Some(inside.len()))
            }
            _ => None,
        };
        let length = length.unwrap_or(1);
        masked.push_str(&rest[..start]);
        if length == 1 {
            masked.push_str(&inside[..1]);
        } else {
            masked.extend(inside[..length].bytes().map(|byte| if byte == b'\n' { '\n' } else { '~' }));
        }
        rest = &inside[length..];
    }
    masked.push_str(rest);
    masked
}

/// A string literal is a message if it has four words or more.
fn message(literal: &str, line: usize) -> Option<Passage> {
    let text = without_code(literal);
    let is_word =
        |word: &&str| word.len() > 1 && word.chars().all(|c| c.is_ascii_alphabetic() || ",.:;'-".contains(c));
    let words = text.split_whitespace().filter(is_word).count();
    let enough = words >= 4 && words * 3 >= text.split_whitespace().count() * 2;
    enough.then(|| Passage::one_line(text.replace('\n', " "), line))
}

fn rust(text: &str, with_messages: bool) -> Vec<Passage> {
    let mut found = Vec::new();
    let mut block = Block::default();
    let bytes = text.as_bytes();
    let tests_begin = text.find("#[cfg(test)]").unwrap_or(text.len());
    let (mut at, mut line) = (0, 1);
    while at < bytes.len() {
        let rest = &text[at..];
        let skipped = if rest.starts_with("//") {
            let end = rest.find('\n').unwrap_or(rest.len());
            block.push(rest[2..end].trim_start_matches(['/', '!']), line, &mut found);
            end
        } else if rest.starts_with("/*") {
            let end = rest.find("*/").map_or(rest.len(), |end| end + 2);
            for (offset, content) in rest[2..end.max(4) - 2].lines().enumerate() {
                block.push(content.trim_start().trim_start_matches('*'), line + offset, &mut found);
            }
            end
        } else if let Some((literal, length)) = string(rest, at.checked_sub(1).map(|before| bytes[before])) {
            if with_messages && at < tests_begin {
                found.extend(message(&literal, line));
            }
            length
        } else if rest.starts_with("'\"'") {
            3
        } else if rest.starts_with("'\\\"'") {
            4
        } else if rest.starts_with("#[test]") {
            if let Some(name) = rest.split("fn ").nth(1).and_then(|rest| rest.split('(').next()) {
                let named = line + rest[..rest.find(name).unwrap_or(0)].matches('\n').count();
                found.push(Passage::one_line(name.replace('_', " "), named));
            }
            7
        } else {
            rest.chars().next().map_or(1, char::len_utf8)
        };
        line += rest[..skipped].matches('\n').count();
        at += skipped;
    }
    block.finish(&mut found);
    found
}

/// The content and the length of a string literal at the beginning of `rest`.
fn string(rest: &str, before: Option<u8>) -> Option<(String, usize)> {
    if rest.starts_with('r') && !before.is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        let hashes = rest[1..].bytes().take_while(|byte| *byte == b'#').count();
        let start = hashes + 2;
        if rest.as_bytes().get(start - 1) == Some(&b'"') {
            let end = format!("\"{}", "#".repeat(hashes));
            let length = rest[start..].find(&end)?;
            return Some((rest[start..start + length].to_owned(), start + length + end.len()));
        }
    }
    if !rest.starts_with('"') {
        return None;
    }
    let mut escaped = false;
    let end = rest[1..].char_indices().find(|(_, c)| {
        let ends = *c == '"' && !escaped;
        escaped = *c == '\\' && !escaped;
        ends
    });
    let end = end?.0 + 1;
    let content = rest[1..end].replace("\\\n", "\n").replace("\\n", "\n").replace("\\\"", "\"");
    Some((content, end + 1))
}

/// Shell, Python, YAML and templates.
fn hash(text: &str, with_messages: bool) -> Vec<Passage> {
    let mut found = Vec::new();
    let mut block = Block::default();
    let mut docstring = false;
    for (number, content) in text.lines().enumerate() {
        let line = number + 1;
        let trimmed = content.trim();
        if with_messages && (docstring || trimmed.starts_with("\"\"\"")) {
            let quotes = trimmed.matches("\"\"\"").count();
            block.push(trimmed.trim_matches('"'), line, &mut found);
            docstring ^= quotes == 1;
            continue;
        }
        if let Some(comment) = trimmed.strip_prefix("{#") {
            block.push(
                comment.trim_start_matches('-').trim_end_matches("#}").trim_end_matches('-'),
                line,
                &mut found,
            );
            continue;
        }
        let mut quote = None;
        let mut quoted_from = 0;
        let mut before = ' ';
        for (at, c) in content.char_indices() {
            match (quote, c) {
                (None, '#') if before.is_whitespace() && !content[at..].starts_with("#!") => {
                    block.push(content[at..].trim_start_matches('#'), line, &mut found);
                    break;
                }
                (None, '"' | '\'') if c == '"' || !before.is_alphanumeric() => {
                    (quote, quoted_from) = (Some(c), at + 1);
                }
                (Some(open), _) if c == open && before != '\\' => {
                    if with_messages {
                        found.extend(message(&content[quoted_from..at], line));
                    }
                    quote = None;
                }
                _ => {}
            }
            before = c;
        }
    }
    block.finish(&mut found);
    found
}

fn markdown(text: &str) -> Vec<Passage> {
    let mut found = Vec::new();
    let mut block = Block::default();
    for (number, content) in text.lines().enumerate() {
        if !block.fenced && content.starts_with('#') {
            block.finish(&mut found);
            let heading = without_code(content.trim_start_matches('#').trim());
            found.push(Passage { text: heading, heading: true, lines: vec![number + 1] });
        } else {
            block.push(content, number + 1, &mut found);
        }
    }
    block.finish(&mut found);
    found
}
