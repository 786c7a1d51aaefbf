//! The differences between two locks, as text and as records.

use std::collections::BTreeSet;
use std::fmt::Write;

use serde::Serialize;

use super::{Build, Lock, LockedBinary, LockedImage, PushedImage};
use crate::digest::Sha256;
use crate::project::names::{ToolName, Version};
use crate::project::values::Arch;

/// One changed entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LockChange {
    /// The tool; `image` for the base image, `pushed image` for the finished one.
    pub name: String,
    /// The old version; none if the tool is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// The new version; none if the tool was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// The changes of its archives.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub archives: Vec<ArchiveChange>,
}

/// The change of the archive for one architecture.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ArchiveChange {
    /// The architecture.
    pub arch: Arch,
    /// The archive's SHA-256 before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Sha256>,
    /// The archive's SHA-256 now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Sha256>,
    /// Its size before, in bytes, where it was known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_size: Option<u64>,
    /// Its size now, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to_size: Option<u64>,
}

/// Every entry in which `new` is not `old`, by name, the images first.
pub fn changes(old: Option<&Lock>, new: &Lock) -> Vec<LockChange> {
    let mut found = Vec::new();
    let image = old.map(|old| &old.image);
    if image != Some(&new.image) {
        let named = |image: &LockedImage| format!("{} {}", image.reference, image.digest.oci());
        let (from, to) = (image.map(named), Some(named(&new.image)));
        found.push(LockChange { name: "image".to_owned(), from, to, archives: Vec::new() });
    }
    let (before, now) = (old.and_then(|old| old.pushed.as_ref()), new.pushed.as_ref());
    if before != now {
        let named = |pushed: &PushedImage| format!("{} {}", pushed.reference, pushed.digest.oci());
        let (from, to) = (before.map(named), now.map(named));
        found.push(LockChange { name: "pushed image".to_owned(), from, to, archives: Vec::new() });
    }
    let names: BTreeSet<&ToolName> =
        old.iter().flat_map(|old| old.binaries.keys()).chain(new.binaries.keys()).collect();
    for name in names {
        let before = old.and_then(|old| old.binaries.get(name));
        let now = new.binaries.get(name);
        if before != now {
            found.push(change(name, before, now));
        }
    }
    found
}

fn change(name: &ToolName, before: Option<&LockedBinary>, now: Option<&LockedBinary>) -> LockChange {
    let version =
        |locked: &LockedBinary| locked.version.as_ref().map_or("no version", Version::as_str).to_owned();
    let build =
        |locked: Option<&LockedBinary>, arch| locked.and_then(|locked| locked.builds.get(&arch).cloned());
    let archives = Arch::ALL.into_iter().filter_map(|arch| {
        let (before, now) = (build(before, arch), build(now, arch));
        let digest = |build: &Option<Build>| build.as_ref().map(|build| build.sha256);
        let size = |build: &Option<Build>| build.as_ref().and_then(|build| build.size);
        (before.is_some() || now.is_some()).then(|| ArchiveChange {
            arch,
            from: digest(&before),
            to: digest(&now),
            from_size: size(&before),
            to_size: size(&now),
        })
    });
    LockChange {
        name: name.to_string(),
        from: before.map(version),
        to: now.map(version),
        archives: archives.collect(),
    }
}

/// The changes as lines: `gog 0.37.0 -> 0.38.0`, and below it what became of its archives.
pub fn described(changes: &[LockChange]) -> String {
    let mut text = String::new();
    for change in changes {
        let _ = match (&change.from, &change.to) {
            (None, Some(to)) => writeln!(text, "+ {} {to}", change.name),
            (Some(from), None) => writeln!(text, "- {} {from}", change.name),
            (Some(from), Some(to)) if from == to => writeln!(text, "~ {} {to}", change.name),
            (from, to) => writeln!(
                text,
                "~ {} {} -> {}",
                change.name,
                from.as_deref().unwrap_or_default(),
                to.as_deref().unwrap_or_default()
            ),
        };
        for archive in change.archives.iter().filter(|_| change.to.is_some()) {
            let sha256 = match (archive.from, archive.to) {
                (Some(from), Some(to)) if from == to => format!("{} as before", short(to)),
                (Some(from), Some(to)) => format!("{} -> {}", short(from), short(to)),
                (None, Some(to)) => short(to),
                (_, None) => "no build any more".to_owned(),
            };
            let size = match (archive.from_size, archive.to_size) {
                (Some(from), Some(to)) if from != to => format!(", {from} -> {to} bytes"),
                (_, Some(to)) => format!(", {to} bytes"),
                (_, None) => String::new(),
            };
            let _ = writeln!(text, "    {}  {sha256}{size}", archive.arch);
        }
    }
    text
}

/// Enough digits to tell two apart by eye; the lock has all of them.
fn short(digest: Sha256) -> String {
    format!("sha256:{}…", digest.short(12))
}
