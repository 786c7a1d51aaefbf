//! The config of the new image: the base image's, with what the Dockerfile changes in it
//! (image-spec, "OCI Image Configuration").
//!
//! It is edited as JSON and not through the types of the specification, which know nothing of
//! Docker's health check and would drop it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::labels::Labels;
use crate::digest::Sha256;
use crate::oci::PlatformImage;

/// The user of the base image, by number, as in the Dockerfile.
const USER: &str = "1000:1000";

/// A config, and the labels in it.
pub(super) struct ImageConfig {
    pub(super) document: Value,
    pub(super) labels: BTreeMap<String, String>,
}

/// Whether images on `base` need commands run in them that it has for them: those of `ONBUILD`.
pub fn needs_builder(base: &PlatformImage) -> bool {
    let document: Value = serde_json::from_slice(&base.document).unwrap_or_default();
    let commands = document.pointer("/config/OnBuild").and_then(Value::as_array);
    commands.is_some_and(|commands| !commands.is_empty())
}

/// The config of an image on `base` with a layer of this digest over it, uncompressed, where there
/// is one.
///
/// # Errors
/// Where the base image's config is not of the form that the specification has for it.
pub(super) fn over(
    base: &PlatformImage,
    labels: &Labels,
    layer: Option<Sha256>,
) -> Result<ImageConfig, String> {
    let mut document: Map<String, Value> = serde_json::from_slice(&base.document)
        .map_err(|error| format!("its config cannot be read: {error}"))?;
    document.insert("created".to_owned(), json!(labels.created));

    let config = document.entry("config").or_insert(Value::Null);
    if config.is_null() {
        *config = json!({});
    }
    let config = config.as_object_mut().ok_or("`config` in its config is not an object")?;
    config.insert("User".to_owned(), json!(USER));
    let all = labels.over(strings(config.get("Labels"))?);
    config.insert("Labels".to_owned(), json!(all));

    if let Some(layer) = layer {
        let diff_ids = document.get_mut("rootfs").and_then(|rootfs| rootfs["diff_ids"].as_array_mut());
        diff_ids.ok_or("its config does not say which layers it has")?.push(json!(layer.oci()));
    }
    // An image without a history has none, and a history must tell of every layer.
    if let Some(history) = document.get_mut("history").and_then(Value::as_array_mut) {
        let mut entry = json!({"created": labels.created, "created_by": "bake image"});
        if layer.is_none() {
            entry["empty_layer"] = json!(true);
        }
        history.push(entry);
    }
    Ok(ImageConfig { document: Value::Object(document), labels: all })
}

/// The labels of a config.
fn strings(labels: Option<&Value>) -> Result<BTreeMap<String, String>, String> {
    let labels = labels.filter(|labels| !labels.is_null()).cloned().unwrap_or_else(|| json!({}));
    serde_json::from_value(labels).map_err(|error| format!("the labels in its config: {error}"))
}
