//! The bill of materials: the base image and every binary, each with its checksums (CycloneDX 1.5).

use std::collections::BTreeMap;

use cyclonedx_bom::external_models::normalized_string::NormalizedString;
use cyclonedx_bom::external_models::uri::{Purl, Uri};
use cyclonedx_bom::models::bom::{Bom, SpecVersion, UrnUuid};
use cyclonedx_bom::models::component::{Classification, Component, Components};
use cyclonedx_bom::models::dependency::{Dependencies, Dependency};
use cyclonedx_bom::models::external_reference::{
    ExternalReference, ExternalReferenceType, ExternalReferences,
};
use cyclonedx_bom::models::hash::{Hash, HashAlgorithm, HashValue, Hashes};
use cyclonedx_bom::models::metadata::Metadata;
use cyclonedx_bom::models::property::{Properties, Property};
use cyclonedx_bom::models::tool::{Tool, Tools};
use oci_spec::image::Descriptor;

use super::Recipe;
use super::error::Error;
use crate::archive::Executable;
use crate::digest::Sha256;
use crate::lock::Build;
use crate::project::names::ToolName;
use crate::project::values::Arch;

/// As IANA has it.
pub(super) const MEDIA_TYPE: &str = "application/vnd.cyclonedx+json";

/// What a bill is of.
pub(super) struct Subject<'a> {
    pub(super) recipe: &'a Recipe<'a>,
    /// The image.
    pub(super) index: &'a Descriptor,
    /// What was read out of the archives.
    pub(super) executables: &'a BTreeMap<Arch, BTreeMap<ToolName, Executable>>,
}

/// The bill, as JSON: the same bytes for the same image.
///
/// # Errors
/// Where something cannot be said in the format.
pub(super) fn document(subject: &Subject<'_>) -> Result<Vec<u8>, Error> {
    let unwritten = |why: String| Error::Document { what: "SBOM", why };
    let bom = bom(subject).map_err(unwritten)?;
    let mut bytes = Vec::new();
    bom.output_as_json(&mut bytes, SpecVersion::V1_5).map_err(|error| unwritten(error.to_string()))?;
    bytes.push(b'\n');
    Ok(bytes)
}

fn bom(subject: &Subject<'_>) -> Result<Bom, String> {
    let Subject { recipe, index, executables } = subject;
    let image = image(recipe.name, index)?;
    let mut components = vec![base(subject)?];
    for (arch, executables) in *executables {
        for (name, executable) in executables {
            let locked = recipe.lock.binaries.get(name);
            let build = locked.and_then(|locked| locked.builds.get(arch));
            let version = locked.and_then(|locked| locked.version.as_ref()).map(ToString::to_string);
            if let Some(build) = build {
                components.push(binary(name, version.as_deref(), *arch, build, executable)?);
            }
        }
    }
    let parts = components.iter().filter_map(|component| component.bom_ref.clone()).collect();
    let whole = image.bom_ref.clone().unwrap_or_default();
    let digest: Sha256 = index.digest().as_ref().parse().map_err(|error| format!("{error}"))?;
    Ok(Bom {
        spec_version: SpecVersion::V1_5,
        version: 1,
        serial_number: Some(UrnUuid::new(uuid_of(digest)).map_err(|_| "no serial number".to_owned())?),
        metadata: Some(Metadata {
            timestamp: Some(recipe.created.to_string().try_into().map_err(|error| format!("{error}"))?),
            tools: Some(Tools::List(vec![Tool {
                name: Some(NormalizedString::new(env!("CARGO_PKG_NAME"))),
                version: Some(NormalizedString::new(env!("CARGO_PKG_VERSION"))),
                ..Tool::default()
            }])),
            component: Some(image),
            ..Metadata::default()
        }),
        components: Some(Components(components)),
        dependencies: Some(Dependencies(vec![Dependency { dependency_ref: whole, dependencies: parts }])),
        services: None,
        external_references: None,
        compositions: None,
        properties: None,
        vulnerabilities: None,
        signature: None,
        annotations: None,
        formulation: None,
    })
}

/// The image itself.
fn image(name: &str, index: &Descriptor) -> Result<Component, String> {
    let digest: Sha256 = index.digest().as_ref().parse().map_err(|error| format!("{error}"))?;
    let mut image = Component::new(Classification::Container, name, &digest.oci(), Some(name.to_owned()));
    image.hashes = Some(sha256(digest));
    image.purl = Some(Purl::new("oci", name, &digest.oci()).map_err(|error| error.to_string())?);
    Ok(image)
}

/// The base image, by the digest that is locked.
fn base(Subject { recipe, executables, .. }: &Subject<'_>) -> Result<Component, String> {
    let locked = &recipe.lock.image;
    let repository = locked.reference.repository();
    let digest = locked.digest.oci();
    let version = locked.reference.tag().unwrap_or(&digest);
    let reference = format!("base:{}", locked.reference.pinned(locked.digest));
    let mut base = Component::new(Classification::Container, repository, version, Some(reference));
    base.hashes = Some(sha256(locked.digest));
    let name = repository.rsplit('/').next().unwrap_or(repository);
    let purl = Purl::new("oci", name, &digest).map_err(|error| error.to_string())?;
    let purl = format!("{purl}?repository_url={repository}");
    base.purl = purl.parse().ok();
    let platforms = locked.platforms.iter().filter(|(arch, _)| executables.contains_key(arch));
    let platforms = platforms.map(|(arch, digest)| property(&format!("manifest:{arch}"), &digest.oci()));
    base.properties = Some(Properties(platforms.collect())).filter(|properties| !properties.0.is_empty());
    Ok(base)
}

/// A binary for one architecture, and the archive that it is from.
fn binary(
    name: &ToolName,
    version: Option<&str>,
    arch: Arch,
    build: &Build,
    executable: &Executable,
) -> Result<Component, String> {
    let reference = format!("binary:{name}/{arch}");
    let mut binary = Component::new(Classification::Application, name.as_str(), "", Some(reference));
    binary.version = version.map(NormalizedString::new);
    binary.hashes = Some(sha256(executable.sha256));
    binary.purl = version
        .map(|version| Purl::new("generic", name.as_str(), version))
        .transpose()
        .map_err(|error| error.to_string())?;
    let mut archive =
        ExternalReference::new(ExternalReferenceType::Distribution, Uri::new(build.url.as_str()));
    archive.hashes = Some(sha256(build.sha256));
    binary.external_references = Some(ExternalReferences(vec![archive]));
    binary.properties = Some(Properties(vec![
        property("arch", arch.as_str()),
        property("path", &format!("/usr/local/bin/{name}")),
        property("path-in-archive", executable.path.as_str()),
    ]));
    Ok(binary)
}

fn property(name: &str, value: &str) -> Property {
    Property::new(format!("ai.openclaw.bake:{name}"), value)
}

fn sha256(digest: Sha256) -> Hashes {
    Hashes(vec![Hash { alg: HashAlgorithm::SHA_256, content: HashValue(digest.to_string()) }])
}

/// A UUID of a digest (RFC 9562, "UUID Version 8"): every bill has one of its own, and the bill of
/// one image always the same.
fn uuid_of(digest: Sha256) -> String {
    let hex = digest.to_string();
    format!("urn:uuid:{}-{}-8{}-a{}-{}", &hex[..8], &hex[8..12], &hex[13..16], &hex[17..20], &hex[20..32])
}
