//! The server's side of gcloud's list filters.
//!
//! gcloud rewrites `--filter=name=x` to `name eq ".*\bx\b.*"` and, where it could rewrite all of it,
//! does not look at the result again. So `x-data` is in that list too: scripts must not lean on `=`.
//! Lists inside of resources cannot be filtered by (`filter_rewrite.py` of gcloud says so).

use regex_lite::Regex;
use serde_json::Value;

/// Whether `resource` is in a list with this filter.
pub(super) fn passes(resource: &Value, filter: &str) -> bool {
    terms(filter).iter().all(|term| holds(resource, term))
}

/// Splits `((A)(B))(C)` into A, B and C: gcloud only rewrites conjunctions.
fn terms(filter: &str) -> Vec<String> {
    let (mut terms, mut quoted, mut escaped) = (vec![String::new()], false, false);
    for c in filter.chars() {
        if matches!(c, '(' | ')') && !quoted {
            terms.push(String::new());
        } else if let Some(term) = terms.last_mut() {
            term.push(c);
        }
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    terms.into_iter().map(|term| term.trim().to_owned()).filter(|term| !term.is_empty()).collect()
}

fn holds(resource: &Value, term: &str) -> bool {
    let mut words = term.splitn(3, ' ');
    let (Some(key), Some(operator), Some(operand)) = (words.next(), words.next(), words.next()) else {
        panic!("a filter that the tests' server cannot read: {term:?}");
    };
    let pattern = operand.trim_matches('"');
    let pattern = Regex::new(&format!("^(?:{pattern})$")).expect("a pattern");
    let value = key.split('.').fold(resource, |value, part| &value[part]);
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Null | Value::Array(_) | Value::Object(_) => return operator == "ne",
    };
    pattern.is_match(&text) == (operator == "eq")
}
