//! Every way in which a value may enter a rendered file.
//!
//! The template engine refuses to print a value that came through none of these filters, so no
//! value can break out of its place.

use std::fmt::Write;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};

/// An engine in which undefined values are errors, and so are values that were not escaped.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    let syntax = syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the default delimiters differ from each other"));
    environment.set_formatter(only_escaped);
    environment.add_filter("block", |text: &str, indent: usize| Value::from_safe_string(block(text, indent)));
    environment.add_filter("compose", |value: &str| Value::from_safe_string(compose(value)));
    environment
        .add_filter("copied_to", |text: &str, path: &str| copied_to(text, path).map(Value::from_safe_string));
    environment.add_filter("sh", |value: &str| sh(value).map(Value::from_safe_string));
    environment.add_filter("word", |value: &str| word(value).map(Value::from_safe_string));
    environment.add_filter("yaml", |value: &str| Value::from_safe_string(yaml(value)));
    environment
}

fn only_escaped(out: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) if value.is_safe() => Ok(out.write_str(text)?),
        _ => Err(refused(format!("{}: the value {value:?} was not escaped", state.name()))),
    }
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::InvalidOperation, message)
}

/// A double-quoted YAML scalar (YAML 1.2, 7.3.1), for 1.1 readers such as PyYAML too.
pub(super) fn yaml(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars() {
        let _ = match c {
            '"' | '\\' => write!(quoted, "\\{c}"),
            '\n' => write!(quoted, "\\n"),
            '\t' => write!(quoted, "\\t"),
            '\r' => write!(quoted, "\\r"),
            _ if is_printable(c) => write!(quoted, "{c}"),
            _ if u32::from(c) > 0xFFFF => write!(quoted, "\\U{:08X}", u32::from(c)),
            _ => write!(quoted, "\\u{:04X}", u32::from(c)),
        };
    }
    quoted.push('"');
    quoted
}

/// What YAML takes unescaped (YAML 1.1, c-printable), without the line breaks that only 1.1 knows
/// and the byte order mark, which no reader treats alike.
fn is_printable(c: char) -> bool {
    matches!(c, ' '..='~' | '\u{A0}'..='\u{2027}' | '\u{202A}'..='\u{D7FF}' | '\u{E000}'..='\u{FEFE}'
        | '\u{FF00}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

/// A YAML scalar in which Compose replaces no variable (Compose file reference, "Interpolation").
fn compose(value: &str) -> String {
    yaml(&value.replace('$', "$$"))
}

/// One word of a POSIX shell command, in a script or after `RUN`.
fn sh(value: &str) -> Result<String, Error> {
    if value.contains('\n') {
        // Right in a script, and the end of an instruction in a Dockerfile.
        return Err(refused(format!("{value:?} has a line break")));
    }
    let quoted = shlex::try_quote(value).map_err(|error| refused(error.to_string()))?;
    Ok(quoted.into_owned())
}

/// A value of letters, digits and `._-+=:/@~`, which means itself to shells and Dockerfiles and in
/// comments. Not for YAML, to which `null` and `1` are no texts.
fn word(value: &str) -> Result<String, Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+=:/@~".contains(c);
    // A first `-` would be an option; `-` alone stands for nothing known.
    if value.is_empty() || !value.chars().all(plain) || (value.starts_with('-') && value != "-") {
        return Err(refused(format!("{value:?} is not a plain word")));
    }
    Ok(value.to_owned())
}

/// A literal block scalar with its lines `indent` spaces in (YAML 1.2, 8.1.2); a quoted scalar
/// where a block cannot hold the text.
fn block(text: &str, indent: usize) -> String {
    let holdable = text.ends_with('\n')
        && !text.ends_with("\n\n")
        && !text.starts_with([' ', '\n'])
        && text.chars().all(|c| c == '\n' || c == '\t' || is_printable(c));
    if !holdable {
        return yaml(text);
    }
    let mut scalar = String::from("|");
    for line in text.lines() {
        scalar.push('\n');
        if !line.is_empty() {
            scalar.extend(std::iter::repeat_n(' ', indent));
            scalar.push_str(line);
        }
    }
    scalar
}

/// Shell words that write `text` to `path` as an executable: a Dockerfile that every builder reads
/// has no other way to bring a file along.
fn copied_to(text: &str, path: &str) -> Result<String, Error> {
    let mut words = String::from("printf '%s\\n'");
    for line in text.lines() {
        words.push_str(" \\\n    ");
        words.push_str(&if line.is_empty() { "''".to_owned() } else { sh(line)? });
    }
    let path = word(path)?;
    Ok(format!("{words} \\\n    > {path} \\\n && chmod 0755 {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_filter_escaped_is_not_printed() {
        let environment = environment();
        let context = minijinja::context! { a => "x" };
        assert!(environment.render_str("{{ a }}", &context).is_err());
        assert!(environment.render_str("{{ b | yaml }}", &context).is_err());
        assert_eq!(environment.render_str("{{ a | yaml }}", &context).ok().as_deref(), Some("\"x\""));
    }

    #[test]
    fn words_are_plain() {
        for wrong in ["", "a b", "a$b", "a\"", "$(id)", "{{a}}", "a\n", "-x", "a'b", "a#b", "a`b"] {
            assert!(word(wrong).is_err(), "{wrong:?}");
        }
        assert!(word("ghcr.io/a/b:1@sha256:0").is_ok());
    }

    #[test]
    fn shell_words_hold_anything_on_one_line() {
        assert_eq!(sh("a b'c$d").ok().as_deref(), Some("\"a b'c\"'$d'"));
        assert!(sh("a\nb").is_err());
    }

    #[test]
    fn blocks_fall_back_to_quotes() {
        assert_eq!(block("a\n\n b\n", 2), "|\n  a\n\n   b");
        assert_eq!(block("a\u{85}\n", 2), "\"a\\u0085\\n\"");
        assert_eq!(block(" a\n", 2), "\" a\\n\"");
    }
}
