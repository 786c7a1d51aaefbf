//! Parses `gcloud compute instances describe --format=json`, the result of `instances.get`.

use std::collections::BTreeMap;

use serde::Deserialize;

#[derive(Deserialize)]
struct RenderedInstance {
    metadata: RenderedMetadata,
}

#[derive(Deserialize)]
struct RenderedMetadata {
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    key: String,
    // Empty values are omitted.
    #[serde(default)]
    value: String,
}

/// The VM's metadata by key; fails if the JSON has none.
pub fn attributes(description: &str) -> Result<BTreeMap<String, String>, serde_json::Error> {
    let instance: RenderedInstance = serde_json::from_str(description)?;
    Ok(instance.metadata.items.into_iter().map(|Item { key, value }| (key, value)).collect())
}

#[cfg(test)]
mod tests {
    use super::attributes;

    #[test]
    fn metadata_is_extracted() {
        let text = r#"{"name": "vm", "metadata": {"fingerprint": "x=", "kind": "compute#metadata",
            "items": [{"key": "user-data", "value": "I2Nsb3Vk"}, {"key": "empty"}]}, "disks": []}"#;
        let expected =
            [("empty", ""), ("user-data", "I2Nsb3Vk")].map(|(key, value)| (key.into(), value.into()));
        assert_eq!(attributes(text).expect("a VM"), expected.into());
        for wrong in ["", "[]", "{}", r#"{"metadata": {}}"#] {
            assert!(attributes(wrong).is_err(), "{wrong}");
        }
    }
}
