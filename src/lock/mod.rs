//! The lock, `bake.lock`: the exact files for each architecture.
//!
//! Only `bake` writes it. [`resolve`] makes one from the answers of an [`upstream::Upstream`]; [`seed()`] makes
//! one from the catalog.

pub mod assets;
pub mod changes;
pub mod channel;
pub mod checksums;
pub mod forge;
mod from_catalog;
pub mod inputs;
pub mod loader;
pub mod policy;
mod read;
pub mod resolve;
pub mod signature;
mod staleness;
mod tampering;
pub mod trust;
pub mod upstream;
pub mod versions;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use crate::digest::Sha256;
use crate::project::Project;
use crate::project::names::{AptPackage, RepoSlug, ToolName, Version};
use crate::project::values::{Arch, ArchiveFormat, ImageRef, InnerPath, LoaderPath, WebUrl};
use crate::provenance::Workflow;
use crate::yaml;

pub use from_catalog::from_catalog;
pub use read::{RawLock, read};
pub use signature::Signature;
pub use staleness::check_staleness;
pub use tampering::is_on;

/// The command that makes and mends locks, as messages name it.
pub const MENDED_BY: &str = "run `bake lock`, review the changes, and commit it";

const HEADER: &str = "\
# Written by `bake lock`; do not edit. Keep it with the project: it says exactly which image and which
# binaries `bake render` puts into the bundle.
";

/// A whole lock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Lock {
    /// The version of the format: 1.
    pub version: u64,
    /// A digest of the inputs; see [`inputs`].
    pub inputs: Sha256,
    /// The base image.
    pub image: LockedImage,
    /// The finished image, once it was pushed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed: Option<PushedImage>,
    /// The binaries, by command.
    pub binaries: BTreeMap<ToolName, LockedBinary>,
}

/// The base image, pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockedImage {
    /// The reference in the spec.
    pub reference: ImageRef,
    /// The digest of its index, or of its manifest where it has but one architecture.
    #[serde(serialize_with = "as_oci")]
    pub digest: Sha256,
    /// The manifest of each architecture, once the registry was asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", serialize_with = "each_as_oci")]
    pub platforms: BTreeMap<Arch, Sha256>,
    /// How the digest was learned.
    pub evidence: Vec<Evidence>,
}

/// The finished image, as `bake image push` put it into a registry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PushedImage {
    /// The reference in the spec, without a digest.
    pub reference: ImageRef,
    /// The digest of its index.
    #[serde(serialize_with = "as_oci")]
    pub digest: Sha256,
    /// The content of the lock that it was made of; see [`Lock::content`].
    pub lock: Sha256,
}

/// One binary, pinned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockedBinary {
    /// Its version; none for a URL without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The repository that the manifest names; none for a tool of the catalog or a URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repo: Option<RepoSlug>,
    /// The repository's new name, where its releases are found under another one than asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_to: Option<RepoSlug>,
    /// GitHub's number of the repository, which a new repository of the same name does not have.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repository_id: Option<u64>,
    /// Whether GitHub says that the release's files cannot be replaced.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
    /// Whether the archive's other files are installed next to the executable.
    #[serde(rename = "beside", skip_serializing_if = "std::ops::Not::not")]
    pub keep_siblings: bool,
    /// Debian packages without which it does not run.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub apt: Vec<AptPackage>,
    /// Its build for each architecture.
    pub builds: BTreeMap<Arch, Build>,
}

/// The archive that holds a binary for one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Build {
    /// The download URL.
    pub url: WebUrl,
    /// Its SHA-256.
    pub sha256: Sha256,
    /// Its size in bytes, once it has been fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How it is packed, where its name does not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub format: Option<ArchiveFormat>,
    /// The executable's path in it.
    pub binary: InnerPath,
    /// The executable's own SHA-256, once the archive has been fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_sha256: Option<Sha256>,
    /// The dynamic loader that the executable needs; none for a static one, or until the archive has been
    /// fetched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loader: Option<LoaderPath>,
    /// The publisher's signature of the archive, where the manifest has the key for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<Signature>,
    /// The workflow that made the archive, as its attestation says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub attested_by: Option<Workflow>,
    /// How the checksums were learned.
    pub evidence: Vec<Evidence>,
}

impl Build {
    /// How the archive is packed.
    pub fn archive_format(&self) -> ArchiveFormat {
        self.format.unwrap_or_else(|| ArchiveFormat::of(self.url.file_name()))
    }
}

/// How a checksum was learned.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Evidence {
    /// The catalog of a release of bake states it.
    Seed,
    /// The spec states it.
    Spec,
    /// The publisher's checksum file states it.
    ChecksumFile,
    /// The release API or the registry states it.
    ApiDigest,
    /// It was computed from a download.
    Computed,
    /// A signature by the key that the manifest names covers it.
    Minisign,
    /// An attestation by a workflow of the repository names it.
    Attestation,
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Seed => "the catalog",
            Self::Spec => "the spec",
            Self::ChecksumFile => "a checksum file",
            Self::ApiDigest => "the release API",
            Self::Computed => "the download",
            Self::Minisign => "a signature",
            Self::Attestation => "an attestation",
        })
    }
}

fn as_oci<S: Serializer>(digest: &Sha256, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&digest.oci())
}

fn each_as_oci<S: Serializer>(digests: &BTreeMap<Arch, Sha256>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(digests.iter().map(|(arch, digest)| (arch, digest.oci())))
}

impl Lock {
    /// A digest of the lock without the pushed image, so that a push does not change it.
    pub fn content(&self) -> Sha256 {
        Sha256::of(Self { pushed: None, ..self.clone() }.to_text())
    }

    /// Keeps the pushed image of `old` if it still matches `project` and this lock.
    #[must_use]
    pub fn with_push_of(self, old: Option<&Self>, project: &Project) -> Self {
        let pushed = old.and_then(|old| old.pushed.clone());
        Self { pushed: pushed.filter(|pushed| staleness::outdated(pushed, &self, project).is_none()), ..self }
    }

    /// The lock as a file: the same text for the same lock, always.
    ///
    /// # Panics
    /// Never: a lock is made of texts, numbers, lists and maps, which YAML holds.
    pub fn to_text(&self) -> String {
        let body = yaml::to_string(self).map_err(|error| error.to_string());
        format!("{HEADER}{}", body.expect("a lock is plain data"))
    }
}
