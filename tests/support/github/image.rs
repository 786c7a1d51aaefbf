//! One image in a registry: an index with a manifest for each architecture and the attestation that
//! builders add (distribution-spec, "Pulling manifests"; image-spec, "OCI Image Index").

use bake::digest::Sha256;
use serde_json::{Value, json};

use super::wire::Answer;

pub const TAG: &str = "1";

const PLATFORMS: [(&str, &str); 3] = [("amd64", "linux"), ("arm64", "linux"), ("unknown", "unknown")];

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub fn answer(path: &str) -> Answer {
    if path.trim_end_matches('/') == "/v2" {
        return Answer::new(200, "{}").header("content-type", "application/json");
    }
    if let Some((_, digest)) = path.split_once("openclaw/blobs/") {
        let known = PLATFORMS.iter().map(config).find(|text| Sha256::of(text).oci() == digest);
        return known.map_or_else(missing, |text| Answer::new(200, text));
    }
    let reference = path.split_once("openclaw/manifests/").map_or("", |(_, reference)| reference);
    let manifests = PLATFORMS.map(manifest);
    let index = index(&manifests);
    if reference == TAG || reference == Sha256::of(&index).oci() {
        return document(INDEX, &index);
    }
    let found = manifests.iter().find(|(_, text)| Sha256::of(text).oci() == reference);
    found.map_or_else(missing, |(_, text)| document(MANIFEST, text))
}

/// An image without a layer.
fn config((architecture, os): &(&str, &str)) -> String {
    let (config, rootfs) = (json!({ "User": "node" }), json!({ "type": "layers", "diff_ids": [] }));
    json!({ "architecture": architecture, "os": os, "config": config, "rootfs": rootfs }).to_string()
}

fn manifest((architecture, os): (&str, &str)) -> (Value, String) {
    let config = config(&(architecture, os));
    let text = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json",
            "digest": Sha256::of(&config).oci(),
            "size": config.len(),
        },
        "layers": [],
    })
    .to_string();
    (json!({ "architecture": architecture, "os": os }), text)
}

fn index(manifests: &[(Value, String)]) -> String {
    let manifests: Vec<_> = manifests
        .iter()
        .map(|(platform, text)| {
            json!({
                "mediaType": MANIFEST,
                "digest": Sha256::of(text).oci(),
                "size": text.len(),
                "platform": platform,
            })
        })
        .collect();
    json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests }).to_string()
}

fn document(media_type: &str, text: &str) -> Answer {
    Answer::new(200, text)
        .header("content-type", media_type)
        .header("docker-content-digest", Sha256::of(text).oci())
        .header("docker-distribution-api-version", "registry/2.0")
}

fn missing() -> Answer {
    let body = json!({ "errors": [{ "code": "MANIFEST_UNKNOWN", "message": "manifest unknown" }] });
    Answer::new(404, body.to_string()).header("content-type", "application/json")
}
