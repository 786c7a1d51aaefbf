//! Keeps the values of secrets out of every message.
//!
//! A spec holds no secret by design, but people make mistakes, and the message about the mistake
//! must not carry the value to a terminal or a CI log.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::diagnostics::{Code, Diagnostic, Location, Problems, Source, Span, quoted};
use crate::yaml::{Node, Value};

/// Endings that tell a secret's name.
const ENDINGS: [&str; 10] = [
    "TOKEN",
    "_KEY",
    "APIKEY",
    "SECRET",
    "PASSWORD",
    "PASSWD",
    "_PASS",
    "PASSPHRASE",
    "CREDENTIALS",
    "PRIVATEKEY",
];
/// Any other key at the top could be a misspelled `secrets`.
const HARMLESS: [&str; 6] = ["version", "name", "gateway", "image", "host", "gcp"];

/// Whether a variable of this name holds a secret, judging by the name.
pub(super) fn is_secret_name(name: &str) -> bool {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    let name: String = name.trim().chars().map(plain).collect();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// How the keys of well-known services begin. Such a key has the form of a Secret Manager id.
const KEY_PREFIXES: [&str; 9] =
    ["sk-", "sk_", "ghp_", "gho_", "ghs_", "github_pat_", "xoxb-", "xoxp-", "AIza"];

/// Whether a text is a key by its first letters.
pub(super) fn is_key(text: &str) -> bool {
    KEY_PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

fn is_section(name: &str) -> bool {
    ["secret", "secrets"].iter().any(|section| name.eq_ignore_ascii_case(section))
}

/// The spans of a parsed spec that may hold a secret's value.
pub(super) fn values(spec: &Node, text: &str) -> Vec<Span> {
    let mut hidden = Hidden { text, spans: Vec::new() };
    match &spec.value {
        Value::Map(entries) => {
            for (key, value) in entries {
                match &key.value {
                    Value::Scalar(name, _) if HARMLESS.contains(&name.as_str()) => hidden.anywhere(value),
                    Value::Scalar(name, _) if is_section(name) => hidden.section(key, value),
                    _ => hidden.entry(key, value),
                }
            }
        }
        // No spec at all: then nothing tells what this is.
        _ => hidden.all(spec),
    }
    hidden.comments();
    hidden.spans
}

struct Hidden<'a> {
    text: &'a str,
    spans: Vec<Span>,
}

impl Hidden<'_> {
    fn all(&mut self, node: &Node) {
        self.spans.extend(node.scalar_spans());
    }

    /// All of an entry but its key, with what YAML does not take for a part of the value and what
    /// may be meant as one: `&word` before it, ` #word` after it.
    fn entry(&mut self, key: &Node, value: &Node) {
        self.all(value);
        let rest = self.text.get(key.span.end..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        let start = line.len() - line.trim_start_matches([':', ' ', '"', '\'']).len();
        let hidden = match value.value {
            Value::Map(_) => None,
            Value::Null => Some(start),
            _ if line[start..].starts_with('&') => Some(start),
            _ => line.find(" #"),
        };
        if let Some(from) = hidden {
            self.spans.push(key.span.end + from..key.span.end + line.len());
        }
    }

    /// In places for settings, a name can indicate a secret.
    fn anywhere(&mut self, node: &Node) {
        match &node.value {
            Value::Scalar(text, _) => {
                // `NAME=value`, as in an env file.
                if is_key(text) || text.split_once(['=', ':']).is_some_and(|(name, _)| is_secret_name(name)) {
                    self.all(node);
                }
            }
            Value::Null => {}
            Value::List(items) => items.iter().for_each(|item| self.anywhere(item)),
            Value::Map(entries) => {
                // `{name: NAME, value: …}`, as Kubernetes has it.
                let tells = |key: &str| matches!(node.get(key).map(|name| &name.value), Some(Value::Scalar(name, _)) if is_secret_name(name));
                // The map of `model` names a secret by its `key`.
                let model = ["base_url", "provider"].iter().any(|key| node.get(key).is_some());
                if tells("name") || (tells("key") && !model) {
                    self.all(node);
                }
                for (key, value) in entries {
                    match &key.value {
                        Value::Scalar(name, _) if is_section(name) => self.section(key, value),
                        Value::Scalar(name, _) if is_secret_name(name) => self.entry(key, value),
                        Value::Scalar(name, _) if model && name == "key" && !is_capital(value) => {
                            self.entry(key, value);
                        }
                        _ => {
                            self.anywhere(key);
                            self.anywhere(value);
                        }
                    }
                }
            }
        }
    }

    /// The section of secrets: the sources are shown, values are not.
    fn section(&mut self, key: &Node, section: &Node) {
        let Value::Map(secrets) = &section.value else { return self.entry(key, section) };
        for (name, secret) in secrets {
            let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
            if !matches!(&name.value, Value::Scalar(name, _) if name.chars().all(plain)) {
                self.all(name);
            }
            match &secret.value {
                Value::Map(sources) => sources.iter().for_each(|(key, value)| self.source(key, value)),
                _ => self.entry(name, secret),
            }
        }
    }

    /// A secret under `generate` or `secret_manager` is a mistake, and its id looks like any password.
    fn source(&mut self, key: &Node, value: &Node) {
        let is_word = |key: &str| key.chars().all(|c| c.is_ascii_lowercase() || "_-".contains(c));
        match (&key.value, &value.value) {
            (Value::Scalar(key, _), Value::Scalar(text, _)) if key == "generate" && text == "hex32" => {}
            (Value::Scalar(name, _), value_is) => {
                // `{hunter2}` is a map too.
                if !is_word(name) || matches!(value_is, Value::Null) {
                    self.all(key);
                }
                self.entry(key, value);
            }
            _ => {
                self.all(key);
                self.entry(key, value);
            }
        }
    }

    /// Comments that name a secret.
    fn comments(&mut self) {
        let mut start = 0;
        for line in self.text.split_inclusive('\n') {
            if let Some(at) = line.find('#')
                && words(&line[at..]).any(is_secret_name)
            {
                self.spans.push(start + at + 1..start + line.trim_end().len());
            }
            start += line.len();
        }
    }
}

/// Whether a value is written as the names of secrets are.
fn is_capital(value: &Node) -> bool {
    let capital = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    matches!(&value.value, Value::Scalar(text, _) if text.chars().all(capital))
}

fn words(text: &str) -> impl DoubleEndedIterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c))
}

/// The same for a text that is not YAML: by line, and rather too much than too little.
pub(super) fn suspects(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    let mut value: Option<Outer> = None;
    for line in text.split_inclusive('\n') {
        let indent = line.len() - line.trim_start_matches([' ', '\t']).len();
        let key = key(&line[indent..]);
        // A line that is indented deeper, or has no key, belongs to the key above it.
        if key.is_some() && value.as_ref().is_some_and(|outer| indent <= outer.indent) {
            value = None;
        }
        let shows_key = match &mut value {
            None => {
                let section = names_section(line);
                if section || words(line).any(is_secret_name) {
                    value = Some(Outer { indent, section, entries: None });
                }
                true
            }
            // The names of secrets may be shown, the lines of their values not.
            Some(outer) => outer.section && indent == *outer.entries.get_or_insert(indent),
        };
        if value.is_some() && !line.trim().is_empty() {
            let from = indent + key.filter(|_| shows_key).map_or(0, |key| key.len() + 1);
            spans.push(start + from..start + line.trim_end().len().max(from));
        }
        start += line.len();
    }
    spans
}

/// A key whose value may span more lines.
struct Outer {
    indent: usize,
    section: bool,
    /// The indentation of a section's entries.
    entries: Option<usize>,
}

/// Whether the line has the key `secrets:`, with or without quotes.
fn names_section(line: &str) -> bool {
    let mut parts = line.split(':').peekable();
    std::iter::from_fn(|| {
        let part = parts.next()?;
        parts.peek().map(|_| part)
    })
    .any(|part| words(part.trim_end_matches(['"', '\'', ' '])).next_back().is_some_and(is_section))
}

/// The key that begins a line, without its colon.
fn key(line: &str) -> Option<&str> {
    let (key, _) = line.split_once(':')?;
    let name = key.trim_matches(['"', '\'']);
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    (!name.is_empty() && !name.starts_with('-') && name.chars().all(plain)).then_some(key)
}

/// The names under `secrets`, with any values.
pub(super) fn declared(spec: &Node) -> BTreeSet<String> {
    let Some(Node { value: Value::Map(secrets), .. }) = spec.get("secrets") else { return BTreeSet::new() };
    let names = secrets.iter().filter_map(|(name, _)| match &name.value {
        Value::Scalar(name, _) => Some(name.clone()),
        _ => None,
    });
    names.collect()
}

/// Refuses a value in place of a secret's source, and removes it from the tree.
pub(super) fn refuse_literals(spec: &mut Node, source: &Arc<Source>, problems: &mut Problems) {
    let Some(Node { value: Value::Map(secrets), .. }) = spec.get_mut("secrets") else { return };
    secrets.retain(|(name, secret)| {
        let (Value::Scalar(name, _), Value::Scalar(..) | Value::List(_)) = (&name.value, &secret.value)
        else {
            return true;
        };
        let place = Location { source: Arc::clone(source), span: secret.span.clone() };
        problems.push(
            Diagnostic::error(
                Code::LiteralSecret,
                format!("the spec contains the value of {}", quoted(name)),
            )
            .at(place)
            .help(
                "say where it comes from: `{generate: hex32}` or `{secret_manager: ID}`; \
                     if this value was in use, replace it: it may be in the history of this file",
            ),
        );
        false
    });
}

#[cfg(test)]
mod tests {
    use super::{is_secret_name, suspects};

    #[test]
    fn names_of_secrets() {
        for name in
            ["OPENAI_API_KEY", "TELEGRAM_BOT_TOKEN", "db_password", "AWS_SECRET", "my-api-key", "DB_PASS"]
        {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["MAX_TOKENS", "KEYBOARD", "LOG_LEVEL", "COMPASS", "MONKEY"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn text_that_is_not_yaml_is_hidden_too() {
        let text =
            "name: x\nsecrets:\n  A: hunter2\n  B {generate\ngcp: y\nenv: {API_TOKEN: hunter3\nhost: z\n";
        let hidden: Vec<_> = suspects(text).into_iter().map(|span| text[span].trim()).collect();
        assert_eq!(hidden, ["", "hunter2", "B {generate", "{API_TOKEN: hunter3"]);
    }

    #[test]
    fn the_lines_of_one_value_are_hidden_together() {
        let text = "env:\n  A_TOKEN: |\n    one\n   two: [\n  B: c\n";
        let hidden: Vec<_> = suspects(text).into_iter().map(|span| text[span].trim()).collect();
        assert_eq!(hidden, ["|", "one", "two: ["]);
    }
}
