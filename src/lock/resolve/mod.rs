//! Project to lock, given somebody who can ask the publishers.
//!
//! What an old lock holds and what still fits is kept without a question. The rest is asked for,
//! binary by binary, so that callers can have several asked for at once.

mod binary;
mod image;
mod statements;

use super::expected::differences;
use super::upstream::Wanted;
use super::{Evidence, LockedBinary};
use crate::diagnostics::{Code, Diagnostic};
use crate::project::manifest::{Binary, Origin};

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
    const fn plain(locked: T) -> Self {
        Self { locked, notes: Vec::new(), unreachable: None }
    }
}

/// What is to be done for one binary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// What the lock holds is what is asked for, and all is known of it.
    Keep,
    /// Its publisher must be asked for this release; a URL has none but the manifest's version.
    Ask(Wanted),
}

/// Decides what is to be done for `wanted`, of which the lock holds `old`. With `update`, newer
/// versions are looked for.
pub fn task(wanted: &Binary, old: Option<&LockedBinary>, update: bool) -> Task {
    let same_source = old.filter(|old| match &wanted.origin {
        Origin::Catalog(_) => old.repo.is_none(),
        Origin::Release { repo, .. } => old.repo.as_ref() == Some(repo),
        Origin::Url { .. } => false,
    });
    let pinned = wanted.version.as_ref().map(|version| &version.value);
    let looks_for_newer = update && pinned.is_none() && !matches!(wanted.origin, Origin::Url { .. });
    if !update && old.is_some_and(|old| differences(wanted, old).is_empty() && is_complete(old)) {
        return Task::Keep;
    }
    let version = match &wanted.origin {
        _ if looks_for_newer => None,
        Origin::Catalog(tool) => {
            pinned.or(same_source.and_then(|old| old.version.as_ref())).or(Some(&tool.version))
        }
        Origin::Release { .. } | Origin::Url { .. } => {
            pinned.or(same_source.and_then(|old| old.version.as_ref()))
        }
    };
    Task::Ask(version.map_or(Wanted::Newest, |version| Wanted::Version(version.clone())))
}

/// Whether nothing about it is left to be learned.
fn is_complete(locked: &LockedBinary) -> bool {
    locked.builds.values().all(|build| {
        build.size.is_some() && build.binary_sha256.is_some() && build.evidence.contains(&Evidence::Computed)
    })
}

fn is_unreachable(diagnostic: &Diagnostic) -> bool {
    diagnostic.code == Code::UpstreamUnreachable
}
