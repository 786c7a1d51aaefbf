//! Project to lock, given somebody who can ask the publishers.
//!
//! What an old lock holds and what still fits is kept without a question. The rest is asked for,
//! binary by binary, so that callers can have several asked for at once.

mod binary;
mod checksum_claims;
mod find;
mod image;
pub mod recheck;

use super::tampering::differences;
use super::upstream::ReleaseQuery;
use super::{Build, Evidence, LockedBinary};
use crate::diagnostics::{Code, Diagnostic};
use crate::project::manifest::{Binary, BinarySource};

pub use binary::binary;
pub use image::{image, keeps as keeps_image};

/// What a user allows by name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// A version below the locked one.
    pub downgrade: bool,
    /// Another checksum under the locked version.
    pub republished: bool,
}

/// Something that was locked, and what a person should know about it.
#[derive(Clone, Debug)]
pub struct Resolved<T> {
    /// The entry of the lock.
    pub locked: T,
    /// Sentences for people: a moved repository, a signature that was not checked.
    pub notes: Vec<String>,
    /// Why nobody was asked, where the catalog's word is all there is.
    pub unreachable: Option<Diagnostic>,
}

impl<T> Resolved<T> {
    /// Something about which there is nothing to know.
    pub const fn plain(locked: T) -> Self {
        Self { locked, notes: Vec::new(), unreachable: None }
    }
}

/// What is to be done for one binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task<'a> {
    /// What the lock holds is what is asked for, and enough is known of it.
    Keep(&'a LockedBinary),
    /// Its publisher must be asked for this release; a URL has none but the manifest's version.
    Ask(ReleaseQuery),
}

/// How much is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateScope {
    /// What the lock does not hold.
    Missing,
    /// And what it holds on the catalog's word alone.
    Complete,
    /// And what it holds already, once more, in the locked version.
    Again,
    /// And whether there is a newer version.
    Newest,
}

/// Decides what is to be done for `wanted`, of which the lock holds `old`.
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
        // It may have been published anew.
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

/// Whether the lock has it from where the manifest says that it comes from: only then do its
/// versions follow each other, and only then is another archive of one version a new one. Of a URL
/// nothing but the URL itself says so.
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
