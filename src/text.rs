//! Sanitizing of untrusted text for terminals, messages and the lock. Every output uses these functions; a
//! test forbids any other file to escape text itself.

/// Whether `c` is a control character, a bidirectional control (UAX #9), zero-width or otherwise invisible.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Returns one line, with hidden characters and backslashes escaped as in Rust string literals.
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

/// Trims, [`sanitize`]s and truncates to `longest` characters.
pub fn excerpt(text: &str, longest: usize) -> String {
    let text = text.trim();
    let end = text.char_indices().nth(longest).map(|(end, _)| end);
    let cut = end.map_or("", |_| "…");
    format!("{}{cut}", sanitize(&text[..end.unwrap_or(text.len())]))
}

/// [`sanitize`]s and truncates at the start, because the end of a path says more.
pub fn ending(text: &str, longest: usize) -> String {
    let skipped = text.chars().count().saturating_sub(longest);
    let cut = if skipped > 0 { "…" } else { "" };
    format!("{cut}{}", sanitize(&text.chars().skip(skipped).collect::<String>()))
}

/// Replaces each hidden character by a visible sign of the same length in bytes, so that spans into the line remain
/// valid. ASCII control characters are left to the renderer, which replaces them and expands tabs.
pub fn masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.len_utf8() {
            length if length == 1 || !is_hidden(c) => shown.push(c),
            2 => shown.push('¿'),
            3 => shown.push('\u{fffd}'),
            _ => shown.push_str("\u{fffd}?"),
        }
    }
    shown
}

type Cause = dyn std::error::Error + 'static;

/// The error and its chain of sources.
pub fn causes(error: &Cause) -> impl Iterator<Item = &Cause> {
    std::iter::successors(Some(error), next_cause)
}

fn next_cause<'a>(error: &&'a Cause) -> Option<&'a Cause> {
    // `io::Error::source` skips the wrapped error itself.
    match error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref) {
        Some(inner) => Some(inner),
        None => (*error).source(),
    }
}

/// The root cause of an error: the outer errors repeat what was attempted.
pub fn innermost(error: &Cause) -> String {
    const LONGEST: usize = 160;
    excerpt(&causes(error).last().unwrap_or(error).to_string(), LONGEST)
}

#[cfg(test)]
mod tests {
    use super::{ending, excerpt, is_hidden, masked, sanitize};

    #[test]
    fn hidden_characters_are_escaped() {
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
    fn long_text_is_truncated() {
        assert_eq!(excerpt(" abc\n", 3), "abc");
        assert_eq!(excerpt("äbcd", 3), "äbc…");
        assert_eq!(ending("abcd", 3), "…bcd");
        assert_eq!(ending("abc", 3), "abc");
    }

    #[test]
    fn masking_preserves_byte_offsets() {
        assert_eq!(masked("a\u{9b}2J\u{202e}b"), "a¿2J\u{fffd}b");
        for hidden in ('\0'..=char::MAX).filter(|c| is_hidden(*c)) {
            assert_eq!(masked(&hidden.to_string()).len(), hidden.len_utf8(), "{hidden:?}");
        }
    }
}
