//! Makes the lock of a project with the answers of publishers.
//!
//! Entries of an old lock that still match are kept without a request. The others are resolved one by one, so
//! that callers can do so in parallel.

mod attestations;
mod binary;
mod checksum_claims;
mod find;
mod image;
pub mod recheck;
mod repository;

use super::tampering::differences;
use super::upstream::ReleaseQuery;
use super::{Build, Evidence, LockedBinary};
use crate::diagnostics::{Code, Diagnostic};
use crate::project::manifest::{Binary, BinarySource};

pub use binary::binary;
pub use image::{image, keeps as keeps_image};
pub use repository::repository;

/// Exceptions that a user allows by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// A version below the locked one.
    pub downgrade: bool,
    /// Another checksum under the locked version.
    pub republished: bool,
    /// Less evidence for the checksum than is locked, or a new repository of the same name.
    pub less_trust: bool,
}

/// Something that was locked, and what a person should know about it.
#[derive(Clone, Debug)]
pub struct Resolved<T> {
    /// The entry of the lock.
    pub locked: T,
    /// Sentences for people: a moved repository, a signature that was not checked.
    pub notes: Vec<String>,
    /// The reason for a missing answer, if only the catalog's checksum is known.
    pub unreachable: Option<Diagnostic>,
}

impl<T> Resolved<T> {
    /// Something about which there is nothing to know.
    pub const fn plain(locked: T) -> Self {
        Self { locked, notes: Vec::new(), unreachable: None }
    }
}

/// The task for one binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task<'a> {
    /// The locked entry matches and is complete.
    Keep(&'a LockedBinary),
    /// Its publisher must be asked for this release; a URL has none but the manifest's version.
    Ask(ReleaseQuery),
}

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateScope {
    /// Missing entries.
    Missing,
    /// And what it holds on the catalog's word alone.
    Complete,
    /// And what it holds already, once more, in the locked version.
    Again,
    /// And whether there is a newer version.
    Newest,
}

/// Decides the task for `wanted`. `old` is its locked entry.
pub fn task<'a>(wanted: &Binary, old: Option<&'a LockedBinary>, extent: UpdateScope) -> Task<'a> {
    let same_source = old.filter(|old| is_of_same_source(wanted, old));
    let pinned = wanted.version.as_ref().map(|version| &version.value);
    let looks_for_newer = extent == UpdateScope::Newest
        && pinned.is_none()
        && !matches!(wanted.origin, BinarySource::Url { .. });
    let fits = old.filter(|old| differences(wanted, old).is_empty());
    let kept = fits.filter(|old| match extent {
        UpdateScope::Missing => true,
        UpdateScope::Complete => is_complete(old),
        // It may have been published again.
        UpdateScope::Again | UpdateScope::Newest => false,
    });
    if let Some(kept) = kept {
        return Task::Keep(kept);
    }
    let version = match &wanted.origin {
        _ if looks_for_newer => None,
        BinarySource::Catalog(tool) => {
            pinned.or(same_source.and_then(|old| old.version.as_ref())).or(Some(&tool.version))
        }
        BinarySource::Release { .. } | BinarySource::Url { .. } => {
            pinned.or(same_source.and_then(|old| old.version.as_ref()))
        }
    };
    Task::Ask(version.map_or(ReleaseQuery::Newest, |version| ReleaseQuery::Version(version.clone())))
}

/// Whether the locked entry has the same source as the manifest: only then are versions comparable, and only
/// then does a different archive of the same version matter. For a plain URL, the URL is the only evidence.
fn is_of_same_source(wanted: &Binary, old: &LockedBinary) -> bool {
    match &wanted.origin {
        BinarySource::Catalog(_) => old.repo.is_none(),
        BinarySource::Release { repo, .. } => old.repo.as_ref() == Some(repo),
        BinarySource::Url { .. } => false,
    }
}

/// Whether nothing about it is left to be learned.
fn is_complete(locked: &LockedBinary) -> bool {
    locked.builds.values().all(is_known)
}

/// Whether its archive was looked into.
fn is_known(build: &Build) -> bool {
    build.size.is_some() && build.binary_sha256.is_some() && build.evidence.contains(&Evidence::Computed)
}

fn is_unreachable(diagnostic: &Diagnostic) -> bool {
    diagnostic.code == Code::UpstreamUnreachable
}
