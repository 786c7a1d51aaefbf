//! Every way in which a value may enter a rendered file.
//!
//! The template engine refuses to print a value that came through none of these filters, so no
//! value can break out of its place.

use std::fmt::Write;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value;
use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior};
use serde::Serialize;

use crate::text::is_hidden;

/// An engine in which undefined values are errors, and so are values that were not escaped.
pub(super) fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    let mut syntax = SyntaxConfig::builder();
    let syntax = syntax.trim_blocks(true).lstrip_blocks(true).keep_trailing_newline(true).build();
    environment.set_syntax(syntax.expect("the default delimiters differ from each other"));
    environment.set_formatter(only_escaped);
    environment.add_filter("add", |value: &str| add(value).map(Value::from_safe_string));
    environment.add_filter("block", |text: &str, indent: usize| Value::from_safe_string(block(text, indent)));
    environment.add_filter("compose", |value: &str| Value::from_safe_string(compose(value)));
    environment.add_filter("commands", |list: Vec<Value>| commands(&list).map(Value::from_safe_string));
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

/// The characters that YAML accepts unescaped (YAML 1.1, c-printable), without the line breaks that only 1.1
/// has and the byte order mark, which readers treat differently.
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

/// A value of letters, digits and `._-+=:/@~`, which is literal in shells, Dockerfiles and comments. Not for
/// YAML, where `null` and `1` are not text.
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

/// A source of a Dockerfile's `ADD`: words end at spaces, and quotes, variables and backslashes are
/// resolved in them (moby/buildkit, `frontend/dockerfile/shell/lex.go`).
fn add(value: &str) -> Result<String, Error> {
    if value.is_empty() || value.contains(|c: char| c.is_whitespace() || is_hidden(c)) {
        return Err(refused(format!("{value:?} is not one word")));
    }
    let mut escaped = String::new();
    for c in value.chars() {
        if matches!(c, '\\' | '$' | '\'' | '"') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    Ok(escaped)
}

/// A simple command of a POSIX shell, for the filter `commands`.
#[derive(Serialize)]
pub(super) struct ShellCommand {
    words: Vec<String>,
    /// The file that its output goes to.
    into_file: Option<String>,
}

impl ShellCommand {
    pub(super) fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        Self { words: words.into_iter().map(ToOwned::to_owned).collect(), into_file: None }
    }

    /// Adds a word that must not be taken for an option.
    pub(super) fn operand(mut self, word: &str) -> Self {
        if word.starts_with('-') {
            self.words.push("--".to_owned());
        }
        self.words.push(word.to_owned());
        self
    }

    pub(super) fn into_file(mut self, path: &str) -> Self {
        self.into_file = Some(path.to_owned());
        self
    }
}

/// Commands after `RUN`, each only if those before it succeeded; as many on a line as fit.
fn commands(list: &[Value]) -> Result<String, Error> {
    const WIDTH: usize = 120;
    let mut lines = Vec::new();
    let mut line = String::new();
    for command in list {
        let words = command.get_attr("words")?;
        let words: Vec<_> =
            words.try_iter()?.map(|word| shell_word(&word.to_string())).collect::<Result<_, _>>()?;
        let mut text = words.join(" ");
        if let Some(path) = command.get_attr("into_file")?.as_str() {
            let _ = write!(text, " > {}", shell_word(path)?);
        }
        if line.is_empty() {
            line = text;
        } else if line.len() + text.len() < WIDTH {
            let _ = write!(line, " && {text}");
        } else {
            lines.push(std::mem::replace(&mut line, format!(" && {text}")));
        }
    }
    lines.push(line);
    Ok(lines.join(" \\\n"))
}

/// Without quotes where it needs none; else in double ones, in which shellcheck takes no `$` for a
/// variable that was meant to expand.
fn shell_word(value: &str) -> Result<String, Error> {
    if value.contains(['\n', '\0']) {
        return Err(refused(format!("{value:?} has a line break or a null character")));
    }
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-+=:,/@".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return Ok(value.to_owned());
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        if matches!(c, '"' | '\\' | '$' | '`') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    Ok(quoted)
}

#[cfg(test)]
mod tests {
    use minijinja::value::Serde;

    use super::*;

    #[test]
    fn unescaped_values_are_not_printed() {
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
    fn a_source_of_add_is_one_word_without_variables() {
        assert_eq!(add("https://a/$(b)'c").ok().as_deref(), Some(r"https://a/\$(b)\'c"));
        assert!(add("a b").is_err());
        assert!(add("a\nb").is_err());
    }

    #[test]
    fn commands_are_wrapped_and_quoted() {
        let long = "x".repeat(110);
        let list = [
            ShellCommand::new(["tar", "-xf", "a"]).operand("-b c"),
            ShellCommand::new(["echo", ">"]).into_file("$d"),
            ShellCommand::new(["ls", &long]),
        ];
        let list: Vec<_> = list.iter().map(|command| Value::from(Serde(command))).collect();
        let expected = format!("tar -xf a -- \"-b c\" && echo \">\" > \"\\$d\" \\\n && ls {long}");
        assert_eq!(commands(&list).ok(), Some(expected));
        let broken = ShellCommand::new(["echo", "a\nb"]);
        assert!(commands(&[Value::from(Serde(&broken))]).is_err());
    }

    #[test]
    fn blocks_fall_back_to_quotes() {
        assert_eq!(block("a\n\n b\n", 2), "|\n  a\n\n   b");
        assert_eq!(block("a\u{85}\n", 2), "\"a\\u0085\\n\"");
        assert_eq!(block(" a\n", 2), "\" a\\n\"");
    }
}
