//! The documents of an image: index, manifest, config, as bytes and as what they mean.

use std::collections::BTreeMap;

use oci_spec::image::{
    Arch as OciArch, Descriptor, ImageConfiguration, ImageIndex, ImageManifest, MediaType, Os,
};
use serde::Deserialize;

use super::error::told;
use crate::digest::Sha256;
use crate::project::values::Arch;

/// No manifest and no config is longer (distribution-spec, "Pushing Manifests", asks registries to
/// take 4 MiB; other clients stop there as well).
pub(crate) const LONGEST_DOCUMENT: u64 = 4 << 20;

/// Docker's names from before there were OCI's; what they name is read alike.
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.";

/// What a registry is asked for.
pub(crate) const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    DOCKER_INDEX,
    "application/vnd.oci.image.manifest.v1+json",
    DOCKER_MANIFEST,
];

/// An index or a manifest.
#[derive(Debug)]
pub(crate) enum OciManifest {
    /// Of several images, usually one for each architecture.
    Index(Box<ImageIndex>),
    /// Of one image.
    Image(Box<ImageManifest>),
}

/// The fields by which the kinds of documents are told apart.
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
    /// Reads a document, and says its media type, which it may leave out (image-spec, "mediaType").
    ///
    /// A document that could be taken for both kinds is refused, for then two programs could see
    /// two images under one digest (CVE-2021-41190).
    pub(crate) fn read(bytes: &[u8]) -> Result<(Self, String), String> {
        let shape: Shape = parse(bytes)?;
        if shape.schema_version != 2 {
            return Err(format!("a manifest of version {}, and not 2", shape.schema_version));
        }
        let says = |oci: &MediaType, docker: &str| match &shape.media_type {
            None => Some(oci.to_string()),
            Some(said) => (said == oci.as_ref() || said == docker).then(|| said.clone()),
        };
        let is_index = shape.manifests.is_some();
        if is_index && (shape.layers.is_some() || shape.config.is_some()) {
            return Err("a document that is index and manifest at once".to_owned());
        }
        let media_type = if is_index {
            says(&MediaType::ImageIndex, DOCKER_INDEX)
        } else {
            says(&MediaType::ImageManifest, DOCKER_MANIFEST)
        };
        let Some(media_type) = media_type else {
            return Err(format!("of the kind {}", told(&shape.media_type.unwrap_or_default())));
        };
        if is_index {
            return Ok((Self::Index(parse(bytes)?), media_type));
        }
        let manifest: Box<ImageManifest> = parse(bytes)?;
        let config = manifest.config().media_type().as_ref();
        if config != MediaType::ImageConfig.as_ref() && config != DOCKER_CONFIG {
            return Err(format!("an artifact of the kind {}", told(config)));
        }
        Ok((Self::Image(manifest), media_type))
    }
}

/// Reads JSON.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| told(&error.to_string()))
}

/// What an entry of an index is.
pub(crate) enum IndexEntry {
    /// Another index.
    Nested,
    /// An image for an architecture that `bake` knows.
    Build(Arch),
    /// An image of which only its config says what it is for.
    Unmarked,
    /// For another system, or no image at all, such as the attestations that `BuildKit` adds.
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

/// The architecture, where it is Linux on one that `bake` knows. Variants that need a newer
/// processor than the first of its kind (`amd64/v3`) are others.
pub(crate) fn arch_of(os: &Os, arch: &OciArch, variant: Option<&str>) -> Option<Arch> {
    match (os, arch, variant.unwrap_or_default()) {
        (Os::Linux, OciArch::Amd64, "" | "v1") => Some(Arch::Amd64),
        (Os::Linux, OciArch::ARM64, "" | "v8") => Some(Arch::Arm64),
        _ => None,
    }
}

/// The architecture that a config names.
pub(crate) fn arch_of_config(config: &ImageConfiguration) -> Option<Arch> {
    arch_of(config.os(), config.architecture(), config.variant().as_deref())
}

/// Whether a descriptor can be that of a layer; encrypted ones, for example, cannot be read.
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

/// A descriptor's digest; only SHA-256 is in use.
pub(crate) fn digest_of(descriptor: &Descriptor) -> Result<Sha256, String> {
    let text = descriptor.digest().as_ref();
    let digits = text.strip_prefix("sha256:").unwrap_or_default();
    digits.parse().map_err(|_| format!("names a part by {}, which is not a SHA-256", told(text)))
}

/// The architectures of `builds` for a message.
pub(crate) fn listed<T>(builds: &BTreeMap<Arch, T>) -> String {
    if builds.is_empty() {
        return "none for a system that `bake` knows".to_owned();
    }
    builds.keys().map(|arch| format!("linux/{arch}")).collect::<Vec<_>>().join(", ")
}
