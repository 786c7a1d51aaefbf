//! Keeps the values of secrets out of every message.
//!
//! A spec holds no secret by design, but people make mistakes, and the message about the mistake
//! must not carry the value to a terminal or a CI log.

use std::sync::Arc;

use crate::diagnostics::{Code, Diagnostic, Place, Problems, Source, Span, quoted};
use crate::project::names::SecretId;
use crate::yaml::{Node, Value};

/// Endings that tell a secret's name.
const ENDINGS: [&str; 8] =
    ["TOKEN", "_KEY", "APIKEY", "SECRET", "PASSWORD", "PASSPHRASE", "CREDENTIALS", "PRIVATE_KEY"];

/// Whether a variable of this name holds a secret, by all experience.
pub(super) fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    ENDINGS.iter().any(|ending| name.ends_with(ending))
}

/// The spans of a parsed spec that may hold a secret's value.
pub(super) fn values(spec: &Node) -> Vec<Span> {
    let mut spans = Vec::new();
    if let Some(Value::Map(secrets)) = spec.get("secrets").map(|node| &node.value) {
        for (_, secret) in secrets {
            match &secret.value {
                Value::Map(sources) => spans.extend(sources.iter().flat_map(source_values)),
                _ => spans.extend(secret.scalar_spans()),
            }
        }
    }
    if let Some(Value::Map(env)) =
        spec.get("gateway").and_then(|gateway| gateway.get("env")).map(|node| &node.value)
    {
        for (name, value) in env {
            if matches!(&name.value, Value::Scalar(name, _) if is_secret_name(name)) {
                spans.extend(value.scalar_spans());
            }
        }
    }
    spans
}

/// What stands under `generate` and `secret_manager` is a secret only by mistake: shown where it
/// has the right form, hidden where not.
fn source_values((key, value): &(Node, Node)) -> Vec<Span> {
    match (&key.value, &value.value) {
        (Value::Scalar(key, _), Value::Scalar(text, _)) if key == "generate" && text == "hex32" => Vec::new(),
        (Value::Scalar(key, _), Value::Scalar(text, _))
            if key == "secret_manager" && text.parse::<SecretId>().is_ok() =>
        {
            Vec::new()
        }
        _ => value.scalar_spans(),
    }
}

/// The same for a text that is not YAML: by line, and rather too much than too little.
pub(super) fn suspects(text: &str) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start = 0;
    let mut in_secrets = false;
    for line in text.split_inclusive('\n') {
        if line.starts_with(|c: char| !c.is_whitespace() && c != '#') {
            in_secrets = line.starts_with("secrets");
        }
        let suspicious = in_secrets || line.split(['{', ',', ' ', '"', '\'', ':', '=']).any(is_secret_name);
        if suspicious {
            let from = line.find([':', '=']).map_or(0, |colon| colon + 1);
            spans.push(start + from..start + line.trim_end().len().max(from));
        }
        start += line.len();
    }
    spans
}

/// Refuses a value where the source of a secret must stand, and takes it out of the tree.
pub(super) fn refuse_literals(spec: &mut Node, source: &Arc<Source>, problems: &mut Problems) {
    let Some(Node { value: Value::Map(secrets), .. }) = spec.get_mut("secrets") else { return };
    secrets.retain(|(name, secret)| {
        let (Value::Scalar(name, _), Value::Scalar(..)) = (&name.value, &secret.value) else { return true };
        let place = Place { source: Arc::clone(source), span: secret.span.clone() };
        problems.push(
            Diagnostic::error(
                Code::LiteralSecret,
                format!("the value of {} stands in the spec", quoted(name)),
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
        for name in ["OPENAI_API_KEY", "TELEGRAM_BOT_TOKEN", "db_password", "AWS_SECRET"] {
            assert!(is_secret_name(name), "{name}");
        }
        for name in ["MAX_TOKENS", "KEYBOARD", "LOG_LEVEL"] {
            assert!(!is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn what_is_not_yaml_is_hidden_too() {
        let text = "name: x\nsecrets:\n  A: hunter2\n  B: {generate\ngcp: y\nenv: {API_TOKEN: hunter3\n";
        let hidden: Vec<_> = suspects(text).into_iter().map(|span| text[span].trim()).collect();
        assert_eq!(hidden, ["", "hunter2", "{generate", "{API_TOKEN: hunter3"]);
    }
}
