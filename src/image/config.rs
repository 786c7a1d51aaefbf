//! The config of the new image: that of the base image with the changes of the Dockerfile (image-spec, "OCI
//! Image Configuration").
//!
//! It is edited as JSON, because the specification's types would drop Docker's health check.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::labels::Labels;
use crate::digest::Sha256;
use crate::oci::PlatformImage;
use crate::project::IMAGE_USER;

pub(super) struct ImageConfig {
    pub(super) document: Value,
    pub(super) labels: BTreeMap<String, String>,
}

/// Whether images on `base` require running commands (`ONBUILD`).
pub fn needs_builder(base: &PlatformImage) -> bool {
    let document: Value = serde_json::from_slice(&base.document).unwrap_or_default();
    let commands = document.pointer("/config/OnBuild").and_then(Value::as_array);
    commands.is_some_and(|commands| !commands.is_empty())
}

/// The config for `base` plus a layer with this uncompressed digest, if any. Fails if the base config does
/// not conform to the specification.
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
    config.insert("User".to_owned(), json!(IMAGE_USER));
    let all = labels.over(strings(config.get("Labels"))?);
    config.insert("Labels".to_owned(), json!(all));

    if let Some(layer) = layer {
        let diff_ids = document.get_mut("rootfs").and_then(|rootfs| rootfs["diff_ids"].as_array_mut());
        diff_ids.ok_or("its config does not list its layers")?.push(json!(layer.oci()));
    }
    // The history is optional, but if present it must cover every layer.
    if let Some(history) = document.get_mut("history").and_then(Value::as_array_mut) {
        let mut entry = json!({"created": labels.created, "created_by": "bake image"});
        if layer.is_none() {
            entry["empty_layer"] = json!(true);
        }
        history.push(entry);
    }
    Ok(ImageConfig { document: Value::Object(document), labels: all })
}

fn strings(labels: Option<&Value>) -> Result<BTreeMap<String, String>, String> {
    let labels = labels.filter(|labels| !labels.is_null()).cloned().unwrap_or_else(|| json!({}));
    serde_json::from_value(labels).map_err(|error| format!("the labels in its config: {error}"))
}
