//! The values of the metadata server and their formats.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// May contain the token, therefore without `Debug`.
#[derive(Clone)]
pub(super) enum MetadataNode {
    /// A directory with predefined names; `machine-type` in a path is `machineType` in JSON.
    Fixed(BTreeMap<&'static str, MetadataNode>),
    /// A directory with user-defined names, which are not converted.
    Named(BTreeMap<String, MetadataNode>),
    /// A directory with numbers as names, an array in JSON.
    Numbered(Vec<MetadataNode>),
    Text(String),
    /// Unquoted in JSON.
    Number(i64),
    /// One line per value by default.
    Lines(Vec<String>),
    /// A JSON array by default.
    Array(Vec<String>),
    /// Generated on request: listed, but not part of recursive output.
    OnRequest(Value),
}

/// The default format of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ValueFormat {
    Text,
    Json,
}

impl MetadataNode {
    pub(super) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// `None` if this is not a directory.
    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Fixed(entries) => entries.get(name),
            Self::Named(entries) => entries.get(name),
            // The canonical form only: neither `00` nor `+0`.
            Self::Numbered(nodes) => {
                let index: usize = name.parse().ok()?;
                nodes.get(index).filter(|_| index.to_string() == name)
            }
            _ => None,
        }
    }

    pub(super) fn is_directory(&self) -> bool {
        matches!(self, Self::Fixed(_) | Self::Named(_) | Self::Numbered(_))
    }

    pub(super) fn own_format(&self) -> ValueFormat {
        match self {
            Self::Array(_) | Self::OnRequest(_) => ValueFormat::Json,
            _ => ValueFormat::Text,
        }
    }

    /// Names of a directory, one per line, subdirectories with a slash; or the value.
    pub(super) fn to_text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Lines(lines) | Self::Array(lines) => lines.iter().map(|line| format!("{line}\n")).collect(),
            Self::OnRequest(value) => value.to_string(),
            Self::Fixed(_) | Self::Named(_) | Self::Numbered(_) => self
                .entries()
                .into_iter()
                .map(|(name, node)| format!("{name}{}\n", if node.is_directory() { "/" } else { "" }))
                .collect(),
        }
    }

    /// One line per value: relative path, space, value.
    pub(super) fn to_recursive_text(&self) -> String {
        let mut text = String::new();
        self.write_lines("", &mut text);
        text
    }

    fn write_lines(&self, path: &str, text: &mut String) {
        match self {
            Self::OnRequest(_) => {}
            Self::Lines(lines) | Self::Array(lines) => {
                text.extend(lines.iter().map(|line| format!("{path} {line}\n")));
            }
            Self::Text(_) | Self::Number(_) => text.extend([path, " ", &self.to_text(), "\n"]),
            Self::Fixed(_) | Self::Named(_) | Self::Numbered(_) => {
                for (name, node) in self.entries() {
                    let below = if path.is_empty() { name } else { format!("{path}/{name}") };
                    node.write_lines(&below, text);
                }
            }
        }
    }

    /// Excludes values generated on request, unless this is the one.
    pub(super) fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => text.as_str().into(),
            Self::Number(number) => (*number).into(),
            Self::Lines(lines) | Self::Array(lines) => lines.as_slice().into(),
            Self::OnRequest(value) => value.clone(),
            Self::Numbered(nodes) => nodes.iter().map(Self::to_json).collect(),
            Self::Fixed(_) | Self::Named(_) => {
                let fixed = matches!(self, Self::Fixed(_));
                self.entries()
                    .into_iter()
                    .filter(|(_, node)| !matches!(node, Self::OnRequest(_)))
                    .map(|(name, node)| (if fixed { camel_case(&name) } else { name }, node.to_json()))
                    .collect::<Map<_, _>>()
                    .into()
            }
        }
    }

    fn entries(&self) -> Vec<(String, &Self)> {
        match self {
            Self::Fixed(entries) => entries.iter().map(|(name, node)| ((*name).to_owned(), node)).collect(),
            Self::Named(entries) => entries.iter().map(|(name, node)| (name.clone(), node)).collect(),
            Self::Numbered(nodes) => {
                nodes.iter().enumerate().map(|(index, node)| (index.to_string(), node)).collect()
            }
            _ => Vec::new(),
        }
    }
}

/// `cpu-platform` as `cpuPlatform`.
fn camel_case(name: &str) -> String {
    let mut camel = String::with_capacity(name.len());
    let mut words = name.split('-');
    camel.push_str(words.next().unwrap_or_default());
    for word in words {
        let mut letters = word.chars();
        camel.extend(letters.next().map(|letter| letter.to_ascii_uppercase()));
        camel.push_str(letters.as_str());
    }
    camel
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tree() -> MetadataNode {
        MetadataNode::Fixed(BTreeMap::from([
            ("machine-type", MetadataNode::text("e2-small")),
            (
                "attributes",
                MetadataNode::Named(BTreeMap::from([(
                    "startup-script".to_owned(),
                    MetadataNode::text("a\nb"),
                )])),
            ),
            (
                "disks",
                MetadataNode::Numbered(vec![MetadataNode::Fixed(BTreeMap::from([(
                    "index",
                    MetadataNode::Number(0),
                )]))]),
            ),
            ("scopes", MetadataNode::Lines(vec!["x".to_owned(), "y".to_owned()])),
            ("tags", MetadataNode::Array(vec![])),
            ("token", MetadataNode::OnRequest(json!({"access_token": "t"}))),
        ]))
    }

    #[test]
    fn user_defined_names_are_unchanged_in_json() {
        let expected = json!({
            "machineType": "e2-small", "attributes": {"startup-script": "a\nb"},
            "disks": [{"index": 0}], "scopes": ["x", "y"], "tags": [],
        });
        assert_eq!(tree().to_json(), expected);
    }

    #[test]
    fn on_request_values_are_listed_but_not_recursive() {
        assert_eq!(tree().to_text(), "attributes/\ndisks/\nmachine-type\nscopes\ntags\ntoken\n");
        let lines =
            "attributes/startup-script a\nb\ndisks/0/index 0\nmachine-type e2-small\nscopes x\nscopes y\n";
        assert_eq!(tree().to_recursive_text(), lines);
        assert_eq!(tree().child("token").map(MetadataNode::to_json), Some(json!({"access_token": "t"})));
    }

    #[test]
    fn numbers_have_one_canonical_form() {
        let tree = tree();
        let disks = tree.child("disks").expect("a directory");
        assert!(disks.child("0").is_some());
        for name in ["00", "+0", "1", "-1", ""] {
            assert!(disks.child(name).is_none(), "{name}");
        }
    }
}
