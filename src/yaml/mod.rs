//! YAML input and output. This is the only file that uses the YAML crate.
//!
//! Text is parsed into a tree, because a typed read stops at the first error; [`decode`] converts the tree
//! into types and reports every error.

pub mod cst;
pub mod decode;

use std::sync::Arc;

use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location as ParserLocation, Options, Spanned};

/// A map and a list in flow style, on one line.
pub use serde_saphyr::{FlowMap, FlowSeq};

use crate::diagnostics::{Code, Diagnostic, Location, Source, Span};

/// Size limit of a file; ten thousand binaries take a quarter of it.
pub const LARGEST: usize = 8 << 20;
const DEEPEST: usize = 32;
const MOST_NODES: usize = 1_000_000;
const MOST_ALIASED: usize = 10_000;

/// A value and its span.
#[derive(Clone, Debug)]
pub struct Node {
    pub value: Value,
    /// For lists and maps, only the start is meaningful.
    pub span: Span,
    /// Differs from `span` for a value read through an alias.
    pub defined: Span,
}

#[derive(Clone, Debug)]
pub enum Value {
    Null,
    /// Source text without quotes, and its resolved type.
    Scalar(String, Scalar),
    List(Vec<Node>),
    /// In document order, including duplicates.
    Map(Vec<(Node, Node)>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    Text,
    Boolean,
    Integer,
    Float,
}

impl Node {
    /// For messages.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "nothing",
            Value::Scalar(_, Scalar::Text) => "text",
            Value::Scalar(_, Scalar::Boolean) => "a boolean",
            Value::Scalar(..) => "a number",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }

    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
            Value::Null | Value::Scalar(..) => false,
        }
    }

    pub fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find_map(|(name, node)| {
            matches!(&name.value, Value::Scalar(text, _) if text == key).then_some(node)
        })
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Value::Map(entries) = &mut self.value else { return None };
        entries.iter_mut().find_map(|(name, node)| {
            matches!(&name.value, Value::Scalar(text, _) if text == key).then_some(node)
        })
    }

    /// Spans of all scalars, including keys.
    pub fn scalar_spans(&self) -> Vec<Span> {
        match &self.value {
            Value::Null => Vec::new(),
            Value::Scalar(..) => vec![self.span.clone(), self.defined.clone()],
            Value::List(items) => items.iter().flat_map(Self::scalar_spans).collect(),
            Value::Map(entries) => {
                entries.iter().flat_map(|(key, value)| [key, value]).flat_map(Self::scalar_spans).collect()
            }
        }
    }
}

/// A syntax error; the caller adds the source.
#[derive(Debug)]
pub struct YamlError {
    pub diagnostic: Box<Diagnostic>,
    pub span: Span,
}

impl YamlError {
    pub fn at(self, source: Arc<Source>) -> Diagnostic {
        self.diagnostic.at(Location { source, span: self.span })
    }
}

/// Parses exactly one document, with limits on nesting, nodes and aliases far above any real file.
pub fn parse(source: &Source) -> Result<Node, YamlError> {
    let read: Result<Spanned<Read>, _> = serde_saphyr::from_str_with_options(source.text(), options());
    match read {
        Ok(read) => Ok(node(read, source.text())),
        Err(error) => {
            let (span, (what, help)) = (error_span(&error, source), reason(&error));
            let diagnostic = Diagnostic::error(Code::NotYaml, format!("invalid YAML: {what}"));
            Err(YamlError { diagnostic: Box::new(diagnostic.help(help)), span })
        }
    }
}

/// Serializes in block style, and quotes every string that YAML could take for another type.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, serde_saphyr::ser::Error> {
    // Block scalars would move a URL to its own line.
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false, compact_list_indent: false };
    let mut text = serde_saphyr::to_string_with_options(value, options)?;
    if !text.ends_with('\n') {
        text.push('\n');
    }
    Ok(text)
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: DEEPEST,
            max_nodes: MOST_NODES,
            max_events: MOST_NODES * 2,
            max_aliases: MOST_ALIASED,
            max_documents: 1,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MOST_ALIASED },
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        merge_keys: MergeKeyPolicy::Error,
        // Ignoring a tag such as `!vault` would change the meaning of the value.
        reject_unsupported_tags: true,
    }
}

fn reason(error: &serde_saphyr::Error) -> (String, &'static str) {
    use serde_saphyr::Error;

    let plain = "use plain maps, lists and values, in one document of reasonable size";
    let (what, help) = match error.without_snippet() {
        // Without the tag's name: a password that starts with `!` looks like a tag.
        Error::UnsupportedTag { .. } => {
            ("tags (`!` and a word) are not supported", "quote a text that starts with `!`")
        }
        Error::MergeKeyNotAllowed { .. } => ("merge keys (`<<`) are not supported", "write the keys out"),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("an alias inside its own anchor", "write the value out")
        }
        Error::NonFiniteFloat { .. } => {
            ("infinity and not-a-number are not supported", "quote it if it is text")
        }
        Error::UnknownAnchor { .. } => {
            ("an alias (`*` and a word) without an anchor", "quote a text that starts with `*`")
        }
        Error::MultipleDocuments { .. } => ("more than one document", plain),
        Error::Budget { breach, .. } => (beyond(breach), plain),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => ("aliases that expand to too much", plain),
        other => {
            // The diagnostic already shows the location.
            let text = other.to_string();
            let what = text.split(" at line ").next().unwrap_or_default().to_owned();
            return (
                what,
                "check the indentation, and quote text that holds `: `, `#`, `{`, `[`, `&`, `*` or `!`",
            );
        }
    };
    (what.to_owned(), help)
}

const fn beyond(breach: &BudgetBreach) -> &'static str {
    match breach {
        BudgetBreach::Documents { .. } => "more than one document",
        BudgetBreach::Depth { .. } => "nested too deeply",
        BudgetBreach::Aliases { .. }
        | BudgetBreach::Anchors { .. }
        | BudgetBreach::AliasAnchorRatio { .. } => "too many aliases",
        _ => "too many values",
    }
}

fn error_span(error: &serde_saphyr::Error, source: &Source) -> Span {
    let at = error.location().map_or(0, |location| start(&location, source));
    at..at
}

fn start(location: &ParserLocation, source: &Source) -> usize {
    let number = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    match location.span().byte_offset() {
        Some(offset) => number(offset),
        None => source.offset(number(location.line()), number(location.column())),
    }
}

fn bytes(location: &ParserLocation) -> Span {
    let number = |value: Option<u64>| value.and_then(|value| usize::try_from(value).ok()).unwrap_or(0);
    let start = number(location.span().byte_offset());
    start..start + number(location.span().byte_len())
}

fn node(read: Spanned<Read>, text: &str) -> Node {
    let scalar = |kind| Value::Scalar(text.get(bytes(&read.defined)).unwrap_or_default().to_owned(), kind);
    let value = match read.value {
        Read::Null => Value::Null,
        Read::Boolean => scalar(Scalar::Boolean),
        Read::Integer => scalar(Scalar::Integer),
        Read::Float => scalar(Scalar::Float),
        Read::Text(text) => Value::Scalar(text, Scalar::Text),
        Read::List(items) => Value::List(items.into_iter().map(|item| node(item, text)).collect()),
        Read::Map(entries) => {
            Value::Map(entries.into_iter().map(|(key, value)| (node(key, text), node(value, text))).collect())
        }
    };
    Node { value, span: bytes(&read.referenced), defined: bytes(&read.defined) }
}

/// The value as the crate returns it. Numbers and booleans lose their spelling, which `node` restores from
/// the source text, so that `1.10` stays `1.10`.
enum Read {
    Null,
    Boolean,
    Integer,
    Float,
    Text(String),
    List(Vec<Spanned<Self>>),
    Map(Vec<(Spanned<Self>, Spanned<Self>)>),
}

impl<'de> Deserialize<'de> for Read {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = Read;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("any YAML value")
            }

            fn visit_unit<E>(self) -> Result<Read, E> {
                Ok(Read::Null)
            }

            fn visit_none<E>(self) -> Result<Read, E> {
                Ok(Read::Null)
            }

            fn visit_bool<E>(self, _: bool) -> Result<Read, E> {
                Ok(Read::Boolean)
            }

            fn visit_i64<E>(self, _: i64) -> Result<Read, E> {
                Ok(Read::Integer)
            }

            fn visit_u64<E>(self, _: u64) -> Result<Read, E> {
                Ok(Read::Integer)
            }

            fn visit_i128<E>(self, _: i128) -> Result<Read, E> {
                Ok(Read::Integer)
            }

            fn visit_u128<E>(self, _: u128) -> Result<Read, E> {
                Ok(Read::Integer)
            }

            fn visit_f64<E>(self, _: f64) -> Result<Read, E> {
                Ok(Read::Float)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Read, E> {
                Ok(Read::Text(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Read, A::Error> {
                let mut list = Vec::new();
                while let Some(item) = items.next_element()? {
                    list.push(item);
                }
                Ok(Read::List(list))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Read, A::Error> {
                let mut map = Vec::new();
                while let Some(entry) = entries.next_entry()? {
                    map.push(entry);
                }
                Ok(Read::Map(map))
            }
        }

        deserializer.deserialize_any(Any)
    }
}
