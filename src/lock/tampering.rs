//! Compares a lock with the values that manifest and catalog determine without a network.

use std::collections::BTreeMap;

use super::{Build, Evidence, LockedBinary};
use crate::project::catalog::CatalogTool;
use crate::project::manifest::{Binary, BinarySource};
use crate::project::names::{ArchSpelling, Version};
use crate::project::values::Arch;

/// A pattern with `{version}` and `{arch}` filled in.
pub(super) fn filled(pattern: &str, version: Option<&Version>, arch: &str) -> String {
    pattern.replace("{version}", version.map_or("", Version::as_str)).replace("{arch}", arch)
}

/// Everything in `locked` that is not what is asked for, each in a few words.
pub(super) fn differences(wanted: &Binary, locked: &LockedBinary) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(version) =
        wanted.version.as_ref().filter(|version| Some(&version.value) != locked.version.as_ref())
    {
        let has =
            locked.version.as_ref().map_or("no version".to_owned(), |locked| format!("version {locked}"));
        return vec![format!("{has}, and {} is asked for", version.value)];
    }
    let repo = match &wanted.origin {
        BinarySource::Release { repo, .. } => Some(repo),
        BinarySource::Catalog(_) | BinarySource::Url { .. } => None,
    };
    if repo != locked.repo.as_ref() {
        return vec!["another source than the manifest".to_owned()];
    }
    match &wanted.origin {
        BinarySource::Catalog(tool) => from_catalog(tool, locked, &mut found),
        BinarySource::Url { url, arch } => {
            for (of, build) in &locked.builds {
                if build.url.as_str()
                    != filled(url.as_str(), locked.version.as_ref(), spelled(arch.as_ref(), *of))
                {
                    found.push(format!("another URL for {of} than the manifest"));
                }
            }
            missing(arch.iter().flat_map(BTreeMap::keys), locked, &mut found);
        }
        // The rest of a release's URL is known to the release alone.
        BinarySource::Release { asset: Some(asset), arch, .. } => {
            for (of, build) in &locked.builds {
                let name = filled(asset.as_str(), locked.version.as_ref(), spelled(arch.as_ref(), *of));
                if build.url.file_name() != name {
                    found.push(format!("another file for {of} than the manifest"));
                }
            }
            missing(arch.iter().flat_map(BTreeMap::keys), locked, &mut found);
        }
        BinarySource::Release { asset: None, arch, .. } => {
            missing(arch.iter().flat_map(BTreeMap::keys), locked, &mut found);
        }
    }
    for (arch, build) in &locked.builds {
        if wanted.minisign.is_some() && !build.evidence.contains(&Evidence::Minisign) {
            found.push(format!("no signature for {arch} that was checked"));
        }
        if path(wanted, locked.version.as_ref(), *arch).is_some_and(|path| build.binary.as_str() != path) {
            found.push(format!("another path in the archive for {arch} than asked for"));
        }
    }
    found
}

/// The executable's path in the archive, where manifest or catalog say it.
pub(super) fn path(wanted: &Binary, version: Option<&Version>, arch: Arch) -> Option<String> {
    let (pattern, spelling) = match (&wanted.binary, &wanted.origin) {
        (Some(path), BinarySource::Url { arch: words, .. } | BinarySource::Release { arch: words, .. }) => {
            (path.as_str(), spelled(words.as_ref(), arch))
        }
        (Some(path), BinarySource::Catalog(_)) => (path.as_str(), arch.as_str()),
        (None, BinarySource::Catalog(tool)) => (tool.binary.as_str(), arch.as_str()),
        (None, BinarySource::Url { .. } | BinarySource::Release { .. }) => return None,
    };
    Some(filled(pattern, version, spelling))
}

/// The publisher's word for an architecture; ours where the manifest says none.
pub(super) fn spelled(words: Option<&BTreeMap<Arch, ArchSpelling>>, arch: Arch) -> &str {
    words.and_then(|words| words.get(&arch)).map_or(arch.as_str(), ArchSpelling::as_str)
}

fn from_catalog(tool: &CatalogTool, locked: &LockedBinary, found: &mut Vec<String>) {
    if locked.keep_siblings != tool.keep_siblings || locked.apt != tool.apt {
        found.push("other needs than the catalog".to_owned());
    }
    // The catalog only has the files of its own version.
    if locked.version.as_ref() != Some(&tool.version) {
        return;
    }
    for (arch, asset) in &tool.builds {
        let Some(Build { url, sha256, .. }) = locked.builds.get(arch) else { continue };
        if *sha256 != asset.sha256 {
            found.push(format!("another checksum for {arch} than the catalog"));
        }
        if tool.url(asset, &tool.version).is_ok_and(|known| known != *url) {
            found.push(format!("another URL for {arch} than the catalog"));
        }
    }
    missing(tool.builds.iter().map(|(arch, _)| arch), locked, found);
}

fn missing<'a>(arches: impl Iterator<Item = &'a Arch>, locked: &LockedBinary, found: &mut Vec<String>) {
    let missing = arches.filter(|arch| !locked.builds.contains_key(arch));
    found.extend(missing.map(|arch| format!("no build for {arch}")));
}
