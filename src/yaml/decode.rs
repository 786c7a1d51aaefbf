//! Deserializes a tree of [`Node`]s and reports every error instead of stopping at the first.
//!
//! Types derive `Deserialize` as usual, with [`Field`] around each value. A value that cannot be read
//! becomes [`Field::Invalid`], its diagnostic is collected, and reading continues. Unknown and duplicate
//! keys are detected for every struct, from the field names that serde passes.

use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor,
};
use serde::{Deserialize, forward_to_deserialize_any};

use super::{Node, Scalar, Value};
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Source, Span, Spanned, did_you_mean, quoted};

const FIELD: &str = "bake::Field";

/// A value that may be missing or invalid, with its span.
#[derive(Clone, Debug, Default)]
pub enum Field<T> {
    /// The key is absent.
    #[default]
    Missing,
    /// A diagnostic has been reported.
    Invalid,
    Given(T, Span),
}

impl<T> Field<T> {
    /// `default` if the value is missing or invalid.
    pub fn or(self, default: T, source: &Arc<Source>) -> Spanned<T> {
        self.at(source).unwrap_or(Spanned::default_value(default))
    }

    pub fn at(self, source: &Arc<Source>) -> Option<Spanned<T>> {
        match self {
            Self::Given(value, span) => {
                Some(Spanned { value, place: Some(Location { source: Arc::clone(source), span }) })
            }
            Self::Missing | Self::Invalid => None,
        }
    }

    pub fn place(&self, source: &Arc<Source>) -> Option<Location> {
        match self {
            Self::Given(_, span) => Some(Location { source: Arc::clone(source), span: span.clone() }),
            Self::Missing | Self::Invalid => None,
        }
    }

    pub fn get(self) -> Option<T> {
        match self {
            Self::Given(value, _) => Some(value),
            Self::Missing | Self::Invalid => None,
        }
    }

    pub const fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}

impl<T> Field<Option<T>> {
    /// `None` if missing, invalid or `null`.
    pub fn get_some(self, source: &Arc<Source>) -> Option<Spanned<T>> {
        let Spanned { value, place } = self.at(source)?;
        value.map(|value| Spanned { value, place })
    }
}

/// A map with arbitrary keys, in document order.
#[derive(Clone, Debug)]
pub struct Entries<K, V>(pub Vec<(Field<K>, Field<V>)>);

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// Decodes `node` and adds everything wrong with it to `problems`.
pub fn decode<T: DeserializeOwned>(node: &Node, source: &Arc<Source>, problems: &mut Problems) -> Field<T> {
    let found = RefCell::new(Vec::new());
    if !matches!(node.value, Value::Map(_)) {
        let message = match node.kind() {
            "nothing" => "the file contains no value".to_owned(),
            kind => format!("the file must be a map, but is {kind}"),
        };
        problems.push(
            Diagnostic::error(Code::WrongType, message)
                .at(Location { source: Arc::clone(source), span: node.span.clone() })
                .help("start it with `version: 1`; `bake init` in an empty folder creates a complete one"),
        );
        return Field::Invalid;
    }
    let field = Field::deserialize(Decoder { node, found: &found }).unwrap_or(Field::Invalid);
    for (mut diagnostic, span) in found.into_inner() {
        if source.hides(&span) {
            "this value has the wrong form; it is not shown because it may be a secret"
                .clone_into(&mut diagnostic.message);
        }
        problems.push(diagnostic.at(Location { source: Arc::clone(source), span }));
    }
    field
}

type DecodeProblems = RefCell<Vec<(Diagnostic, Span)>>;

#[derive(Clone, Copy)]
struct Decoder<'a> {
    node: &'a Node,
    found: &'a DecodeProblems,
}

/// `None` once the diagnostic has been reported.
#[derive(Debug)]
struct DecodeError(Option<Box<Diagnostic>>);

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_ref().map_or("noted", |diagnostic| &diagnostic.message))
    }
}

impl std::error::Error for DecodeError {}

impl From<Diagnostic> for DecodeError {
    fn from(diagnostic: Diagnostic) -> Self {
        Self(Some(Box::new(diagnostic)))
    }
}

impl de::Error for DecodeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Diagnostic::error(Code::BadValue, message.to_string()).into()
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let choices = expected.join(", ");
        let advice = match did_you_mean(variant, expected.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`? The choices are: {choices}"),
            None => format!("the choices are: {choices}"),
        };
        Diagnostic::error(Code::BadValue, format!("{} is not one of the choices", quoted(variant)))
            .help(advice)
            .into()
    }
}

impl<'a> Decoder<'a> {
    fn wrong_type(&self, expected: &str) -> DecodeError {
        let found = self.node.kind();
        let help = match &self.node.value {
            Value::Null => "give it a value, or remove it".to_owned(),
            Value::Scalar(text, Scalar::Boolean) if expected == "text" => {
                format!("YAML reads {} as a boolean: put it in quotes", quoted(text))
            }
            Value::Scalar(text, Scalar::Text) if is_plain(expected, text) => "remove the quotes".to_owned(),
            _ => match expected {
                "a list" => "write a list here, such as `[one, two]`".to_owned(),
                "a map" => "write a map here, such as `{key: value}`".to_owned(),
                _ => format!("write {expected} here"),
            },
        };
        Diagnostic::error(Code::WrongType, format!("expected {expected}, found {found}")).help(help).into()
    }

    fn note(&self, failure: DecodeError) {
        if let Some(diagnostic) = failure.0 {
            self.found.borrow_mut().push((*diagnostic, self.node.span.clone()));
        }
    }

    /// The entries with unique text keys; the others are reported.
    fn entries(self) -> Result<Vec<&'a (Node, Node)>, DecodeError> {
        let Value::Map(entries) = &self.node.value else { return Err(self.wrong_type("a map")) };
        let mut first = std::collections::BTreeMap::<&str, &Span>::new();
        let mut kept = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = Decoder { node: &entry.0, found: self.found };
            let Value::Scalar(name, _) = &entry.0.value else {
                key.note(key.wrong_type("a key"));
                continue;
            };
            if first.insert(name, &entry.0.span).is_some() {
                key.note(
                    Diagnostic::error(Code::Duplicate, format!("the key {} is a duplicate", quoted(name)))
                        .help("keep one of the two")
                        .into(),
                );
            } else {
                kept.push(entry);
            }
        }
        Ok(kept)
    }
}

impl<'de> Deserializer<'de> for Decoder<'de> {
    type Error = DecodeError;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, DecodeError> {
        Err(self.wrong_type("another type"))
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Scalar(text, kind) if *kind != Scalar::Boolean => visitor.visit_str(text),
            _ => Err(self.wrong_type("text")),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        let Value::Scalar(text, Scalar::Integer | Scalar::Float) = &self.node.value else {
            return Err(self.wrong_type("a whole number"));
        };
        // Only canonical digits: other readers interpret `012` and `1_0` differently.
        let plain = text == "0" || !text.starts_with(['0', '+']);
        match text.parse() {
            Ok(number) if plain => visitor.visit_u64(number),
            _ => Err(Diagnostic::error(
                Code::BadValue,
                format!("{} is not a whole number, or is far too large", quoted(text)),
            )
            .help("write it in decimal digits: no sign, no fraction, no leading zeros")
            .into()),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Scalar(text, Scalar::Boolean) => match text.to_ascii_lowercase().as_str() {
                "true" => visitor.visit_bool(true),
                "false" => visitor.visit_bool(false),
                _ => Err(Diagnostic::error(
                    Code::WrongType,
                    format!("expected true or false, found {}", quoted(text)),
                )
                .help("write `true` or `false`: readers interpret other spellings differently")
                .into()),
            },
            _ => Err(self.wrong_type("true or false")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match self.node.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        if name == FIELD {
            visitor.visit_seq(FieldAccess(self, 0))
        } else {
            visitor.visit_newtype_struct(self)
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Scalar(text, Scalar::Text) => visitor.visit_enum(text.as_str().into_deserializer()),
            _ => Err(self.wrong_type("text")),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::List(items) => visitor.visit_seq(Items(items.iter(), self.found)),
            _ => Err(self.wrong_type("a list")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        visitor.visit_map(Pairs { entries: self.entries()?.into_iter(), value: None, found: self.found })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DecodeError> {
        let mut entries = self.entries()?;
        entries.retain(|(key, _)| {
            let Value::Scalar(name, _) = &key.value else { return false };
            let known = fields.contains(&name.as_str());
            if !known {
                Decoder { node: key, found: self.found }.note(unknown_key(name, fields));
            }
            known
        });
        visitor.visit_map(Pairs { entries: entries.into_iter(), value: None, found: self.found })
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DecodeError> {
        match &self.node.value {
            Value::Scalar(text, _) => visitor.visit_str(text),
            _ => Err(self.wrong_type("a key")),
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u32 u128 f32 f64 char bytes byte_buf unit unit_struct tuple
        tuple_struct ignored_any
    }
}

/// Whether quoted `text` would be `expected` without the quotes.
fn is_plain(expected: &str, text: &str) -> bool {
    match expected {
        "a whole number" => text.parse::<u64>().is_ok(),
        "true or false" => matches!(text, "true" | "false"),
        _ => false,
    }
}

fn unknown_key(name: &str, fields: &[&str]) -> DecodeError {
    let diagnostic = Diagnostic::error(Code::UnknownKey, format!("there is no key {} here", quoted(name)));
    diagnostic
        .help(match did_you_mean(name, fields.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("the keys here are: {}", fields.join(", ")),
        })
        .into()
}

struct Items<'a>(std::slice::Iter<'a, Node>, &'a DecodeProblems);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.0.next().map(|node| seed.deserialize(Decoder { node, found: self.1 })).transpose()
    }
}

struct Pairs<'a> {
    entries: std::vec::IntoIter<&'a (Node, Node)>,
    value: Option<&'a Node>,
    found: &'a DecodeProblems,
}

impl<'de> MapAccess<'de> for Pairs<'de> {
    type Error = DecodeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DecodeError> {
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(Decoder { node: key, found: self.found }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DecodeError> {
        match self.value.take() {
            Some(node) => seed.deserialize(Decoder { node, found: self.found }),
            None => Err(de::Error::custom("a value was asked for before its key")),
        }
    }
}

/// Passes a [`Field`] its span, then its value; reports a value that fails.
struct FieldAccess<'a>(Decoder<'a>, u8);

impl<'de> SeqAccess<'de> for FieldAccess<'de> {
    type Error = DecodeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, DecodeError> {
        self.1 += 1;
        let span = &self.0.node.span;
        match self.1 {
            1 => seed.deserialize(span.start.into_deserializer()),
            2 => seed.deserialize(span.end.into_deserializer()),
            _ => seed.deserialize(self.0).map_err(|failure| {
                self.0.note(failure);
                DecodeError(None)
            }),
        }
        .map(Some)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Given<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Given<T> {
            type Value = Field<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a span and a value")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Field<T>, A::Error> {
                let start = parts.next_element()?.unwrap_or_default();
                let end = parts.next_element()?.unwrap_or_default();
                // The decoder has already reported the failure.
                Ok(match parts.next_element() {
                    Ok(Some(value)) => Field::Given(value, start..end),
                    Ok(None) | Err(_) => Field::Invalid,
                })
            }
        }

        deserializer.deserialize_newtype_struct(FIELD, Given(PhantomData))
    }
}

impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Entries<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct All<K, V>(PhantomData<(K, V)>);

        impl<'de, K: Deserialize<'de>, V: Deserialize<'de>> Visitor<'de> for All<K, V> {
            type Value = Entries<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(All(PhantomData))
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        generator.subschema_for::<T>()
    }
}

impl<K: schemars::JsonSchema, V: schemars::JsonSchema> schemars::JsonSchema for Entries<K, V> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Entries".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "object",
            "propertyNames": generator.subschema_for::<K>(),
            "additionalProperties": generator.subschema_for::<V>(),
        })
    }
}
