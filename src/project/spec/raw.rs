//! The maps inside a section of `bake.yaml` as they are written, and how defaults are read.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::diagnostics::{Problems, Source};
use crate::project::names::{CommitId, GitUrl, ModelName, ModelUrl, Provider, SecretId, SecretName};
use crate::project::values::{Generate, KeepIn, ModelApi};
use crate::yaml::decode::{Field, decode};
use crate::yaml::{self, Node, Value};

/// Days that snapshots are kept, unless the spec says otherwise.
pub(super) const KEEP_DAYS: &str = "14";

/// A model of a provider that OpenClaw knows, or of a server with its address.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawModel {
    /// A provider such as `anthropic`, `openai`, `google` or `openrouter`.
    pub provider: Field<Provider>,
    /// The model's name; without it, the provider's usual model.
    pub name: Field<ModelName>,
    /// The address of a server that is not one of OpenClaw's providers.
    pub base_url: Field<ModelUrl>,
    /// The server's protocol.
    #[schemars(extend("default" = "openai"))]
    pub api: Field<ModelApi>,
    /// The secret with the server's key, if it needs one.
    pub key: Field<SecretName>,
}

/// OpenClaw's sources.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSource {
    /// The git repository.
    pub repo: Field<GitUrl>,
    /// The commit to build.
    pub commit: Field<CommitId>,
}

/// Daily snapshots of the data disk.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSnapshots {
    /// The number of days after which a snapshot is deleted.
    #[schemars(range(min = 1, max = 365), extend("default" = json(KEEP_DAYS)))]
    pub keep_days: Field<u64>,
}

/// The source of a secret's value: generated, or Secret Manager.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSecret {
    /// How to generate the value.
    pub generate: Field<Generate>,
    /// The id of the secret in Secret Manager.
    pub secret_manager: Field<SecretId>,
    /// The place of a generated value. With `secret-manager` it has the id `VM-NAME`, of the VM's name and that of
    /// the secret in lower case, and is not on the data disk.
    #[schemars(extend("default" = "data-disk"))]
    pub keep_in: Field<KeepIn>,
}

/// A default, read like a value of the file.
pub(super) fn builtin<T: for<'de> Deserialize<'de>>(default: &str) -> T {
    #[derive(Deserialize)]
    struct Only<T> {
        #[serde(default = "missing")]
        default: Field<T>,
    }

    fn missing<T>() -> Field<T> {
        Field::Missing
    }

    let source = Arc::new(Source::new("a default", format!("default: {default}\n")));
    let mut problems = Problems::default();
    let node = yaml::parse(&source).ok();
    let only = node.and_then(|node| decode::<Only<T>>(&node, &source, &mut problems).get());
    only.and_then(|only| only.default.get()).expect("a test reads every default")
}

/// YAML as JSON.
pub fn json(default: &str) -> serde_json::Value {
    let source = Source::new("a default", default);
    yaml::parse(&source).map_or(serde_json::Value::Null, |node| json_of(&node))
}

fn json_of(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => serde_json::Value::Null,
        Value::Scalar(text, yaml::Scalar::Text) => text.as_str().into(),
        Value::Scalar(text, _) => serde_json::from_str(text).unwrap_or_else(|_| text.as_str().into()),
        Value::List(items) => items.iter().map(json_of).collect(),
        Value::Map(entries) => {
            let entry = |(key, value): &(Node, Node)| match &key.value {
                Value::Scalar(name, _) => Some((name.clone(), json_of(value))),
                _ => None,
            };
            entries.iter().filter_map(entry).collect::<serde_json::Map<_, _>>().into()
        }
    }
}
