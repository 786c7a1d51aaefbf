//! The documents of an image: index, manifest and config.

use std::collections::BTreeMap;

use oci_spec::image::{
    Arch as OciArch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, Os,
};
use serde::Deserialize;

use super::error::sanitized;
use crate::digest::Sha256;
use crate::project::values::Arch;

/// Size limit of manifests and configs: 4 MiB (distribution-spec, "Pushing Manifests"), as in other
/// clients.
pub(crate) const LONGEST_DOCUMENT: u64 = 4 << 20;

/// Docker's media types that preceded OCI's; the formats are compatible.
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.";

/// Sent as `Accept`.
pub(crate) const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    DOCKER_INDEX,
    "application/vnd.oci.image.manifest.v1+json",
    DOCKER_MANIFEST,
];

#[derive(Debug)]
pub(crate) enum OciManifest {
    Index(Box<ImageIndex>),
    Image(Box<ImageManifest>),
}

/// The fields that distinguish the kinds of documents.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: u32,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
}

impl OciManifest {
    /// Parses a document and determines its media type, which is optional (image-spec, "mediaType").
    ///
    /// Rejects a document that matches both kinds, because two programs could see two images under one
    /// digest (CVE-2021-41190).
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, String), String> {
        let shape: Shape = parse(bytes)?;
        if shape.schema_version != 2 {
            return Err(format!("a manifest with schema version {} instead of 2", shape.schema_version));
        }
        let says = |oci: &MediaType, docker: &str| match &shape.media_type {
            None => Some(oci.to_string()),
            Some(said) => (said == oci.as_ref() || said == docker).then(|| said.clone()),
        };
        let is_index = shape.manifests.is_some();
        if is_index && (shape.layers.is_some() || shape.config.is_some()) {
            return Err("a document that is both an index and a manifest".to_owned());
        }
        let media_type = if is_index {
            says(&MediaType::ImageIndex, DOCKER_INDEX)
        } else {
            says(&MediaType::ImageManifest, DOCKER_MANIFEST)
        };
        let Some(media_type) = media_type else {
            return Err(format!("media type {}", sanitized(&shape.media_type.unwrap_or_default())));
        };
        if is_index {
            return Ok((Self::Index(parse(bytes)?), media_type));
        }
        let manifest: Box<ImageManifest> = parse(bytes)?;
        let config = manifest.config().media_type().as_ref();
        if config != MediaType::ImageConfig.as_ref() && config != DOCKER_CONFIG {
            return Err(format!("an artifact of type {}", sanitized(config)));
        }
        Ok((Self::Image(manifest), media_type))
    }
}

pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| sanitized(&error.to_string()))
}

pub(crate) enum IndexEntry {
    Nested,
    Build(Arch),
    /// The architecture is only in the config.
    Unmarked,
    /// Another platform, or not an image, such as the attestations of `BuildKit`.
    Other,
}

impl IndexEntry {
    pub(crate) fn of(descriptor: &Descriptor) -> Self {
        let media_type = descriptor.media_type().as_ref();
        if media_type == MediaType::ImageIndex.as_ref() || media_type == DOCKER_INDEX {
            return Self::Nested;
        }
        if media_type != MediaType::ImageManifest.as_ref() && media_type != DOCKER_MANIFEST {
            return Self::Other;
        }
        descriptor.platform().as_ref().map_or(Self::Unmarked, |platform| {
            arch_of(platform.os(), platform.architecture(), platform.variant().as_deref())
                .map_or(Self::Other, Self::Build)
        })
    }
}

/// `None` unless it is Linux on a supported architecture. Variants that require a newer processor than the
/// baseline (`amd64/v3`) do not match.
pub(crate) fn arch_of(os: &Os, arch: &OciArch, variant: Option<&str>) -> Option<Arch> {
    match (os, arch, variant.unwrap_or_default()) {
        (Os::Linux, OciArch::Amd64, "" | "v1") => Some(Arch::Amd64),
        (Os::Linux, OciArch::ARM64, "" | "v8") => Some(Arch::Arm64),
        _ => None,
    }
}

pub(crate) fn arch_of_config(config: &ImageConfiguration) -> Option<Arch> {
    arch_of(config.os(), config.architecture(), config.variant().as_deref())
}

/// Whether the media type is a readable layer; encrypted ones are not.
pub(crate) fn is_layer(media_type: &MediaType) -> bool {
    match media_type {
        MediaType::ImageLayer
        | MediaType::ImageLayerGzip
        | MediaType::ImageLayerZstd
        | MediaType::ImageLayerNonDistributable
        | MediaType::ImageLayerNonDistributableGzip
        | MediaType::ImageLayerNonDistributableZstd => true,
        other => other
            .as_ref()
            .strip_prefix(DOCKER_LAYER)
            .map(|kind| kind.strip_prefix("foreign.").unwrap_or(kind))
            .is_some_and(|kind| matches!(kind, "diff.tar" | "diff.tar.gzip" | "diff.tar.zstd")),
    }
}

/// Only SHA-256 is supported.
pub(crate) fn digest_of(descriptor: &Descriptor) -> Result<Sha256, String> {
    let text = descriptor.digest().as_ref();
    Sha256::from_oci(text)
        .map_err(|_| format!("refers to a part by {}, which is not a SHA-256", sanitized(text)))
}

/// Architectures of `builds`, for messages.
pub(crate) fn listed<T>(builds: &BTreeMap<Arch, T>) -> String {
    if builds.is_empty() {
        return "none for a supported platform".to_owned();
    }
    builds.keys().map(|arch| format!("linux/{arch}")).collect::<Vec<_>>().join(", ")
}
