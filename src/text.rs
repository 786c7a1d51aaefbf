//! Text from outside, fit for a terminal, a message or the lock: nothing in it commands a terminal,
//! turns text around, or cannot be seen. Every output uses these functions; a test holds that no other
//! file escapes text by itself.

/// Whether `c` acts on a terminal, changes the direction of text, or takes no room: control
/// characters, bidirectional controls (UAX #9), zero-width and other invisible characters.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// `text` on one line, each hidden character and backslash escaped as in Rust's strings.
pub fn sanitize(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\0' => shown.push_str("\\0"),
            c if is_hidden(c) || c == '\\' => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown
}

/// [`sanitize`]d, without blanks around it, and with at most `longest` of its characters.
pub fn excerpt(text: &str, longest: usize) -> String {
    let text = text.trim();
    let end = text.char_indices().nth(longest).map(|(end, _)| end);
    let cut = end.map_or("", |_| "…");
    format!("{}{cut}", sanitize(&text[..end.unwrap_or(text.len())]))
}

/// [`sanitize`]d, and cut at its start where it is longer: the end of a path tells more.
pub fn ending(text: &str, longest: usize) -> String {
    let skipped = text.chars().count().saturating_sub(longest);
    let cut = if skipped > 0 { "…" } else { "" };
    format!("{cut}{}", sanitize(&text.chars().skip(skipped).collect::<String>()))
}

/// A line of a file with a sign in place of each hidden character, of as many bytes where there is one,
/// so that what points into the line stays in place. ASCII's control characters are left to the renderer,
/// which has signs of its own for them, and expands tabs.
pub fn masked(text: &str) -> String {
    let sign = |c: char| match c.len_utf8() {
        1 => c,
        _ if !is_hidden(c) => c,
        2 => '¿',
        _ => '\u{fffd}',
    };
    text.chars().map(sign).collect()
}

type Cause = dyn std::error::Error + 'static;

/// An error and all that caused it.
pub fn causes(error: &Cause) -> impl Iterator<Item = &Cause> {
    std::iter::successors(Some(error), next_cause)
}

fn next_cause<'a>(error: &&'a Cause) -> Option<&'a Cause> {
    // An I/O error stands for what it wraps, and names only what comes after that.
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => (*error).source(),
    }
}

/// The innermost reason of an error, as [`excerpt`] has it: the outer ones repeat what was tried.
pub fn innermost(error: &Cause) -> String {
    const LONGEST: usize = 160;
    excerpt(&causes(error).last().unwrap_or(error).to_string(), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::{ending, excerpt, is_hidden, masked, sanitize};

    #[test]
    fn nothing_hidden_comes_through() {
        for hidden in
            ['\u{1b}', '\u{7}', '\n', '\u{9b}', '\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\u{e0041}']
        {
            assert!(is_hidden(hidden), "{hidden:?}");
            let shown = sanitize(&format!("a{hidden}b"));
            assert!(!shown.chars().any(is_hidden) && shown.starts_with("a\\"), "{shown}");
            let masked = masked(&format!("a{hidden}b"));
            assert!(hidden.is_ascii() || !masked.chars().any(is_hidden), "{masked}");
        }
        assert_eq!(sanitize("it's “ü” e\u{301} 日本 \"x\""), "it's “ü” e\u{301} 日本 \"x\"");
        assert_eq!(sanitize("\\u{202e}\u{202e}"), "\\\\u{202e}\\u{202e}");
    }

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(excerpt(" abc\n", 3), "abc");
        assert_eq!(excerpt("äbcd", 3), "äbc…");
        assert_eq!(ending("abcd", 3), "…bcd");
        assert_eq!(ending("abc", 3), "abc");
    }

    #[test]
    fn a_mask_leaves_bytes_in_place() {
        assert_eq!(masked("a\u{9b}2J\u{202e}b"), "a¿2J\u{fffd}b");
    }
}
