//! YAML: text to a tree with places, and values to text. The only file that names the YAML crate.
//!
//! A tree, not types at once, because a typed read ends at the first error; [`decode`] turns the
//! tree into types and notes every error on the way.

pub mod cst;
pub mod decode;

use std::sync::Arc;

use serde::Serialize;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Location as ParserLocation, Options, Spanned};

/// A map and a list that are written in brackets, on one line.
pub use serde_saphyr::{FlowMap, FlowSeq};

use crate::diagnostics::{Code, Diagnostic, Location, Source, Span};

/// Files beyond this many bytes are not read: ten thousand binaries need a quarter of it.
pub const LARGEST: usize = 8 << 20;
const DEEPEST: usize = 32;
const MOST_NODES: usize = 1_000_000;
const MOST_ALIASED: usize = 10_000;

/// A value of the document and the bytes it stands at.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it is.
    pub value: Value,
    /// Where it was read; for lists and maps only the start means something.
    pub span: Span,
    /// Where its text stands: elsewhere only where it was read through an alias.
    pub defined: Span,
}

/// The shapes that YAML knows.
#[derive(Clone, Debug)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar: its text as written (without quotes), and what YAML takes it for.
    Scalar(String, Scalar),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the order of the file, duplicates included.
    Map(Vec<(Node, Node)>),
}

/// What YAML takes a scalar for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scalar {
    /// Quoted, or plain and nothing else.
    Text,
    /// `true`, `no`, …
    Boolean,
    /// A whole number.
    Integer,
    /// A number with a fraction or an exponent.
    Float,
}

impl Node {
    /// What it is, in the words of a message.
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

    /// Whether it is a map or a list without entries.
    pub fn is_empty(&self) -> bool {
        match &self.value {
            Value::List(items) => items.is_empty(),
            Value::Map(entries) => entries.is_empty(),
            Value::Null | Value::Scalar(..) => false,
        }
    }

    /// The value of `key`, where this is a map that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        entries.iter().find_map(|(name, node)| {
            matches!(&name.value, Value::Scalar(text, _) if text == key).then_some(node)
        })
    }

    /// As [`get`](Self::get), to change it.
    pub fn get_mut(&mut self, key: &str) -> Option<&mut Self> {
        let Value::Map(entries) = &mut self.value else { return None };
        entries.iter_mut().find_map(|(name, node)| {
            matches!(&name.value, Value::Scalar(text, _) if text == key).then_some(node)
        })
    }

    /// The spans of every scalar in it, itself and keys included.
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

/// Why a text is not a YAML document, and where; to be placed by the caller, who owns the source.
#[derive(Debug)]
pub struct YamlError {
    /// What is wrong.
    pub diagnostic: Box<Diagnostic>,
    /// The bytes it is about.
    pub span: Span,
}

impl YamlError {
    /// The diagnostic, at its place in `source`.
    pub fn at(self, source: Arc<Source>) -> Diagnostic {
        self.diagnostic.at(Location { source, span: self.span })
    }
}

/// Reads one YAML document.
///
/// # Errors
/// The first thing that is not YAML, more than one document, or more nesting, nodes or aliases
/// than any real file needs.
pub fn parse(source: &Source) -> Result<Node, YamlError> {
    let read: Result<Spanned<Read>, _> = serde_saphyr::from_str_with_options(source.text(), options());
    match read {
        Ok(read) => Ok(node(read, source.text())),
        Err(error) => {
            let (span, (what, help)) = (error_span(&error, source), reason(&error));
            let diagnostic = Diagnostic::error(Code::NotYaml, format!("not readable as YAML: {what}"));
            Err(YamlError { diagnostic: Box::new(diagnostic.help(help)), span })
        }
    }
}

/// `value` as a YAML document in block style, every text quoted that YAML could take for
/// something else.
///
/// # Errors
/// Where `value` has a part that YAML cannot hold; plain structs, maps and texts never do.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, serde_saphyr::ser::Error> {
    // Block scalars would fold a URL onto a line of its own.
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
        // Ignoring `!vault` would make a text of what was meant to be fetched.
        reject_unsupported_tags: true,
    }
}

/// What is wrong, and what to do about it.
fn reason(error: &serde_saphyr::Error) -> (String, &'static str) {
    use serde_saphyr::Error;

    let plain = "only plain maps, lists and values are read, in one document of a sensible size";
    let (what, help) = match error.without_snippet() {
        // Not by its name: a password that starts with `!` looks like one.
        Error::UnsupportedTag { .. } => {
            ("a tag, `!` and a word, means nothing here", "quote a text that starts with `!`")
        }
        Error::MergeKeyNotAllowed { .. } => ("merge keys, `<<`, are not read", "write the keys out"),
        Error::RecursiveReferencesRequireWeakTypes { .. } => {
            ("an alias inside of what it stands for", "write the value out")
        }
        Error::NonFiniteFloat { .. } => {
            ("infinity and not-a-number are no values here", "put it in quotes if it is a text")
        }
        Error::UnknownAnchor { .. } => {
            ("an alias, `*` and a word, without an anchor before it", "quote a text that starts with `*`")
        }
        Error::MultipleDocuments { .. } => ("more than one document", plain),
        Error::Budget { breach, .. } => (beyond(breach), plain),
        Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => ("aliases that stand for too much", plain),
        other => {
            // The place is shown by the diagnostic itself.
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

/// What the crate hands over: numbers and booleans lose their spelling, which `node` takes from
/// the text again, so that `1.10` stays `1.10`.
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
