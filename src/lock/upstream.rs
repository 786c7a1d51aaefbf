//! The interface of resolving to the network.

use std::collections::BTreeMap;
use std::io::Read;

use crate::diagnostics::Diagnostic;
use crate::digest::Sha256;
use crate::project::names::{RepoSlug, ToolName, Version};
use crate::project::values::{Arch, ArchiveFormat, ImageRef, InnerPath, LoaderPath, WebUrl};
use crate::provenance::Authorities;

/// The publishers of releases and images.
///
/// Failures are diagnostics with one of the codes for upstream failures, and with the URL in the message; the
/// caller adds the asset. `upstream-unreachable` means that there was no answer.
pub trait Upstream: Sync {
    /// The release of `repo` that is wanted; the newest one is at least `min_age_days` old.
    fn release(
        &self,
        repo: &RepoSlug,
        wanted: &ReleaseQuery,
        min_age_days: u16,
    ) -> Result<Release, Diagnostic>;

    /// GitHub's number of the repository.
    fn repository_id(&self, repo: &RepoSlug) -> Result<u64, Diagnostic>;

    /// The attestations in `repo` that name this digest. `could-not-check` means that none were asked for.
    fn attestations(&self, repo: &RepoSlug, sha256: &Sha256) -> Result<Vec<String>, Diagnostic>;

    /// The roots of trust of attestations.
    fn authorities(&self) -> Result<&Authorities, Diagnostic>;

    /// A small document.
    fn document(&self, url: &WebUrl) -> Result<FetchedText, Diagnostic>;

    /// An archive, in the cache, and the executable in it.
    fn archive(&self, order: &Order<'_>) -> Result<Archive, Diagnostic>;

    /// The SHA-256 and the size in bytes of the current file at a URL, without the cache.
    fn published(&self, url: &WebUrl) -> Result<(Sha256, u64), Diagnostic>;

    /// The registry's data about an image.
    fn image(&self, reference: &ImageRef) -> Result<UpstreamImage, Diagnostic>;
}

/// The content at the URL of a checksum file or a signature.
#[derive(Clone, Debug)]
pub enum FetchedText {
    /// This text.
    Text(String),
    /// Binary data, or a file far larger than any checksum file.
    NoText,
    /// The file is missing or forbidden, with the reason: many stores answer "forbidden" for missing files.
    Absent(Diagnostic),
}

/// Days after which a release counts as known to everyone who runs `bake lock --update` from time to time.
pub const GRACE_DAYS: u16 = 90;

/// Which release is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReleaseQuery {
    /// The newest that is neither a draft nor a pre-release.
    Newest,
    /// This version, with any form of tag.
    Version(Version),
}

/// A release and its files.
#[derive(Clone, Debug)]
pub struct Release {
    /// The repository that has it: another one than requested, if that one moved.
    pub repo: RepoSlug,
    /// The version that its tag names.
    pub version: Version,
    /// Its page, for people.
    pub page: String,
    /// Whether its files cannot be replaced.
    pub immutable: bool,
    /// Whether GitHub calls it a pre-release.
    pub prerelease: bool,
    /// The tag of the release that GitHub calls the latest, where that is another one of the same thing.
    pub latest: Option<String>,
    /// A newer release that is too young to be taken.
    pub passed_over: Option<Version>,
    /// With the newest release: the newest version that was published [`GRACE_DAYS`] ago or earlier.
    pub long_known: Option<Version>,
    /// Its files.
    pub assets: Vec<ReleaseAsset>,
}

/// One file of a release.
#[derive(Clone, Debug)]
pub struct ReleaseAsset {
    /// Its file name.
    pub name: String,
    /// The download URL.
    pub url: WebUrl,
    /// Its size in bytes, as the API says it.
    pub size: u64,
    /// Its digest, as the API says it.
    pub digest: Option<Sha256>,
}

/// An archive to be fetched and looked into.
#[derive(Clone, Debug)]
pub struct Order<'a> {
    /// The command it is for.
    pub tool: &'a ToolName,
    /// Its version, for messages.
    pub version: Option<&'a Version>,
    /// The architecture that the executable must be for.
    pub arch: Arch,
    /// The download URL.
    pub url: &'a WebUrl,
    /// The published SHA-256.
    pub sha256: Option<Sha256>,
    /// The source of that SHA-256, for messages.
    pub stated_by: &'a str,
    /// How large the release API says that it is, in bytes.
    pub size: Option<u64>,
    /// The executable's path in it; none where it must be found.
    pub binary: Option<&'a InnerPath>,
}

/// An archive that was fetched.
pub struct Archive {
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// Its size in bytes.
    pub size: u64,
    /// How it is packed, by its name or its content.
    pub format: ArchiveFormat,
    /// The executable's path in it.
    pub binary: InnerPath,
    /// The executable's SHA-256.
    pub binary_sha256: Sha256,
    /// The dynamic loader that it needs.
    pub loader: Option<LoaderPath>,
    /// Its bytes, once more from the start.
    pub content: Box<dyn Read>,
}

/// A registry's data about an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamImage {
    /// The digest of its index, or of its manifest where it has but one architecture.
    pub digest: Sha256,
    /// The manifest of each architecture.
    pub platforms: BTreeMap<Arch, Sha256>,
}
