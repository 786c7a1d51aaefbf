//! The SBOM: base image and binaries with their checksums (CycloneDX 1.5).

use std::collections::BTreeMap;

use oci_spec::image::Descriptor;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

use super::Recipe;
use super::error::ImageError;
use crate::archive::Executable;
use crate::digest::Sha256;
use crate::lock::Build;
use crate::project::BIN_DIR;
use crate::project::names::ToolName;
use crate::project::values::Arch;

/// Registered at IANA.
pub(super) const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

pub(super) struct Subject<'a> {
    pub(super) recipe: &'a Recipe<'a>,
    pub(super) index: &'a Descriptor,
    /// Results of reading the archives.
    pub(super) executables: &'a BTreeMap<Arch, BTreeMap<ToolName, Executable>>,
}

/// The SBOM as reproducible JSON.
pub(super) fn document(subject: &Subject<'_>) -> Result<Vec<u8>, ImageError> {
    let unwritten = |why: String| ImageError::Document { what: "SBOM", why };
    let bom = bom(subject).map_err(unwritten)?;
    let mut bytes = serde_json::to_vec_pretty(&bom).map_err(|error| unwritten(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// The subset of `bom-1.5.schema.json` that is used.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Bom {
    #[serde(rename = "bomFormat")]
    format: &'static str,
    spec_version: &'static str,
    version: u32,
    serial_number: String,
    metadata: BomMetadata,
    components: Vec<Component>,
    dependencies: Vec<Dependency>,
}

#[derive(Serialize)]
struct BomMetadata {
    timestamp: String,
    tools: Vec<BomTool>,
    component: Component,
}

#[derive(Serialize)]
struct BomTool {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    reference: String,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    hashes: [Hash; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    external_references: Vec<ExternalReference>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property>,
}

#[derive(Serialize)]
struct Hash {
    alg: &'static str,
    content: String,
}

#[derive(Serialize)]
struct ExternalReference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
    hashes: [Hash; 1],
}

#[derive(Serialize)]
struct Property {
    name: String,
    value: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Dependency {
    #[serde(rename = "ref")]
    reference: String,
    depends_on: Vec<String>,
}

fn bom(subject: &Subject<'_>) -> Result<Bom, String> {
    let Subject { recipe, index, executables } = subject;
    let digest: Sha256 = index.digest().as_ref().parse().map_err(|error| format!("{error}"))?;
    let image = image(recipe.name, digest);
    let mut components = vec![base(subject)];
    for (arch, executables) in *executables {
        for (name, executable) in executables {
            let locked = recipe.lock.binaries.get(name);
            let build = locked.and_then(|locked| locked.builds.get(arch));
            let version = locked.and_then(|locked| locked.version.as_ref()).map(ToString::to_string);
            if let Some(build) = build {
                components.push(binary(name, version, *arch, build, executable));
            }
        }
    }
    let depends_on = components.iter().map(|component| component.reference.clone()).collect();
    Ok(Bom {
        format: "CycloneDX",
        spec_version: "1.5",
        version: 1,
        serial_number: uuid_of(digest),
        dependencies: vec![Dependency { reference: image.reference.clone(), depends_on }],
        metadata: BomMetadata {
            timestamp: recipe.created.to_string(),
            tools: vec![BomTool { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION") }],
            component: image,
        },
        components,
    })
}

fn image(name: &str, digest: Sha256) -> Component {
    Component {
        kind: "container",
        reference: name.to_owned(),
        name: name.to_owned(),
        version: Some(digest.oci()),
        hashes: sha256(digest),
        purl: Some(purl("oci", name, &digest.oci())),
        external_references: Vec::new(),
        properties: Vec::new(),
    }
}

/// With the locked digest.
fn base(Subject { recipe, executables, .. }: &Subject<'_>) -> Component {
    let locked = &recipe.lock.image;
    let repository = locked.reference.repository();
    let digest = locked.digest.oci();
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let platforms = locked.platforms.iter().filter(|(arch, _)| executables.contains_key(arch));
    Component {
        kind: "container",
        reference: format!("base:{}", locked.reference.pinned(locked.digest)),
        name: repository.to_owned(),
        version: Some(locked.reference.tag().unwrap_or(&digest).to_owned()),
        hashes: sha256(locked.digest),
        purl: Some(format!("{}?repository_url={repository}", purl("oci", name, &digest))),
        external_references: Vec::new(),
        properties: platforms
            .map(|(arch, digest)| property(&format!("manifest:{arch}"), &digest.oci()))
            .collect(),
    }
}

/// A binary for one architecture and its archive.
fn binary(
    name: &ToolName,
    version: Option<String>,
    arch: Arch,
    build: &Build,
    executable: &Executable,
) -> Component {
    Component {
        kind: "application",
        reference: format!("binary:{name}/{arch}"),
        name: name.to_string(),
        purl: version.as_deref().map(|version| purl("generic", name.as_str(), version)),
        version,
        hashes: sha256(executable.sha256),
        external_references: vec![ExternalReference {
            kind: "distribution",
            url: build.url.to_string(),
            hashes: sha256(build.sha256),
        }],
        properties: vec![
            property("arch", arch.as_str()),
            property("path", &format!("/{BIN_DIR}/{name}")),
            property("path-in-archive", executable.path.as_str()),
        ],
    }
}

fn property(name: &str, value: &str) -> Property {
    Property { name: format!("ai.openclaw.bake:{name}"), value: value.to_owned() }
}

fn sha256(digest: Sha256) -> [Hash; 1] {
    [Hash { alg: "SHA-256", content: digest.to_string() }]
}

/// A package URL (purl-spec, "Rules for each purl component").
fn purl(kind: &str, name: &str, version: &str) -> String {
    const ENCODED: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b':');
    let encoded = |text| utf8_percent_encode(text, ENCODED).to_string();
    format!("pkg:{kind}/{}@{}", encoded(name), encoded(version))
}

/// A UUID derived from a digest (RFC 9562, "UUID Version 8"): unique for each SBOM, and reproducible.
fn uuid_of(digest: Sha256) -> String {
    let hex = digest.to_string();
    format!("urn:uuid:{}-{}-8{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
