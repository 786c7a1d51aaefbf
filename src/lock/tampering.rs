//! Compares a lock with the values that manifest and catalog determine without a network.

use std::collections::BTreeMap;

use super::forge::{Forge, is_of_release};
use super::{Build, Evidence, LockedBinary};
use crate::diagnostics::{Code, Diagnostic};
use crate::project::catalog::CatalogTool;
use crate::project::manifest::{Binary, BinarySource};
use crate::project::names::{ArchSpelling, Version};
use crate::project::values::{Arch, ArchiveFormat, ChecksumsFile, WebUrl};

/// A pattern with `{version}` and `{arch}` filled in.
pub(super) fn filled(pattern: &str, version: Option<&Version>, arch: &str) -> String {
    pattern.replace("{version}", version.map_or("", Version::as_str)).replace("{arch}", arch)
}

/// Every difference between `locked` and `wanted`, each in a few words.
pub(super) fn differences(wanted: &Binary, locked: &LockedBinary) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(version) =
        wanted.version.as_ref().filter(|version| Some(&version.value) != locked.version.as_ref())
    {
        let has =
            locked.version.as_ref().map_or("no version".to_owned(), |locked| format!("version {locked}"));
        return vec![format!("{has}, and {} is asked for", version.value)];
    }
    let (repo, tool) = match &wanted.origin {
        BinarySource::Release { repo, .. } => (Some(repo), None),
        BinarySource::Catalog(tool) => (None, Some(*tool)),
        BinarySource::Url { .. } => (None, None),
    };
    if repo != locked.repo.as_ref() {
        return vec!["another source than the manifest".to_owned()];
    }
    match &wanted.origin {
        BinarySource::Catalog(tool) => from_catalog(tool, locked, &mut found),
        BinarySource::Url { url, arch } => {
            if wanted.version.is_none() && locked.version.is_some() {
                found.push("a version, and none is asked for".to_owned());
            }
            for (of, build) in &locked.builds {
                if build.url.as_str()
                    != filled(url.as_str(), locked.version.as_ref(), spelled(arch.as_ref(), *of))
                {
                    found.push(format!("another URL for {of} than the manifest"));
                }
            }
        }
        BinarySource::Release { asset: Some(asset), arch, .. } => {
            for (of, build) in &locked.builds {
                let name = filled(asset.as_str(), locked.version.as_ref(), spelled(arch.as_ref(), *of));
                if build.url.file_name() != name {
                    found.push(format!("another file for {of} than the manifest"));
                }
            }
        }
        BinarySource::Release { asset: None, .. } => {}
    }
    if locked.keep_siblings != wanted.keep_siblings {
        let surplus = "files next to the executable, which nothing asks for";
        found.push(if wanted.keep_siblings { "no files next to the executable" } else { surplus }.to_owned());
    }
    if locked.apt != wanted.apt {
        found.push("other Debian packages than asked for".to_owned());
    }
    if wanted.origin.repo().is_none() && (locked.repository_id.is_some() || locked.immutable) {
        found.push("an id or a release of a repository, and the manifest names a URL".to_owned());
    }
    let arches = arches(wanted);
    let missing = arches.iter().filter(|arch| !locked.builds.contains_key(arch));
    found.extend(missing.map(|arch| format!("no build for {arch}")));
    for (arch, build) in &locked.builds {
        if !arches.contains(arch) {
            found.push(format!("a build for {arch}, which nothing asks for"));
        }
        if let Some(repo) = locked.moved_to.as_ref().or(wanted.origin.repo())
            && !is_url_of_catalog(tool, locked, *arch)
            && !locked.version.as_ref().is_some_and(|version| is_of_release(&build.url, repo, version))
        {
            found.push(format!("a URL for {arch} that is not of this release of {repo}"));
        }
        if path(wanted, locked.version.as_ref(), *arch).is_some_and(|path| build.binary.as_str() != path) {
            found.push(format!("another path in the archive for {arch} than asked for"));
        }
        found.extend(unfounded(wanted, build).map(|what| format!("{what} for {arch}")));
    }
    found
}

/// Evidence that this build cannot have, or lacks.
fn unfounded(wanted: &Binary, build: &Build) -> impl Iterator<Item = &'static str> {
    let has = |evidence| build.evidence.contains(&evidence);
    let is_of_catalog = matches!(wanted.origin, BinarySource::Catalog(_));
    let has_api = wanted.origin.repo().is_some();
    let is_signed = wanted
        .minisign
        .as_ref()
        .map(|key| build.signature.as_ref().is_some_and(|signature| signature.names(key)));
    let is_known = build.size.is_some() && build.binary_sha256.is_some();
    [
        (
            is_signed == Some(false) || is_signed.is_some() && !has(Evidence::Minisign),
            "no signature that was checked",
        ),
        (is_signed.is_none() && has(Evidence::Minisign), "a signature that the manifest has no key for"),
        (has(Evidence::Seed) && !is_of_catalog, "a checksum of the catalog, which does not have it,"),
        (has(Evidence::Spec), "a checksum of the spec, which does not have it,"),
        (has(Evidence::ApiDigest) && !has_api, "a digest of a release API, which a URL does not have,"),
        (has(Evidence::Attestation) && !has_api, "an attestation, which a URL does not have,"),
        (has(Evidence::Attestation) != build.attested_by.is_some(), "an attestation without its workflow"),
        (build.evidence.is_empty(), "a checksum without evidence"),
        (
            build.format.is_some() && ArchiveFormat::of(build.url.file_name()) != ArchiveFormat::Bare,
            "another archive format than its name",
        ),
        (has(Evidence::Computed) && !is_known, "no size or no checksum of the executable"),
    ]
    .into_iter()
    .filter_map(|(is_wrong, what)| is_wrong.then_some(what))
}

/// Whether the catalog states the URL of this build; [`from_catalog`] compares it.
fn is_url_of_catalog(tool: Option<&CatalogTool>, locked: &LockedBinary, arch: Arch) -> bool {
    tool.is_some_and(|tool| locked.version.as_ref() == Some(&tool.version) && tool.builds_for(arch))
}

/// Whether a build is where the releases of its repository are. The catalog's own URLs are compared
/// with the catalog.
pub fn is_on(forge: &Forge, wanted: &Binary, locked: &LockedBinary, build: &Build) -> bool {
    match &wanted.origin {
        BinarySource::Catalog(tool) if locked.version.as_ref() == Some(&tool.version) => true,
        BinarySource::Catalog(_) | BinarySource::Release { .. } => forge.serves(&build.url),
        BinarySource::Url { .. } => true,
    }
}

/// The architectures that there must be a build for.
pub(super) fn arches(wanted: &Binary) -> Vec<Arch> {
    match &wanted.origin {
        BinarySource::Catalog(tool) => tool.builds.iter().map(|(arch, _)| *arch).collect(),
        BinarySource::Release { arch, .. } | BinarySource::Url { arch, .. } => {
            arch.as_ref().map_or(Arch::ALL.to_vec(), |arch| arch.keys().copied().collect())
        }
    }
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

/// The URL of the checksum file that the manifest names for the archive at `archive`.
///
/// # Errors
/// If the manifest's pattern does not make a URL.
pub(super) fn checksums_url(
    wanted: &Binary,
    version: Option<&Version>,
    arch: Arch,
    archive: &WebUrl,
) -> Result<Option<WebUrl>, Diagnostic> {
    let (BinarySource::Release { arch: words, .. } | BinarySource::Url { arch: words, .. }) = &wanted.origin
    else {
        return Ok(None);
    };
    let Some(file) = &wanted.checksums else { return Ok(None) };
    let named = filled(file.as_str(), version, spelled(words.as_ref(), arch));
    let url = match file {
        ChecksumsFile::Url(_) => named,
        ChecksumsFile::Sibling(_) => {
            let (path, name) = (archive.as_str().split(['?', '#']).next(), archive.file_name());
            format!("{}{named}", path.and_then(|path| path.strip_suffix(name)).unwrap_or_default())
        }
    };
    url.parse().map(Some).map_err(|error: String| Diagnostic::error(Code::BadValue, error))
}

/// The publisher's word for an architecture; ours where the manifest says none.
pub(super) fn spelled(words: Option<&BTreeMap<Arch, ArchSpelling>>, arch: Arch) -> &str {
    words.and_then(|words| words.get(&arch)).map_or(arch.as_str(), ArchSpelling::as_str)
}

fn from_catalog(tool: &CatalogTool, locked: &LockedBinary, found: &mut Vec<String>) {
    if locked.version.as_ref() != Some(&tool.version) {
        // The catalog has no checksums of other versions, only the pattern of the file names.
        for (arch, asset) in &tool.builds {
            let name = filled(asset.name.as_str(), locked.version.as_ref(), arch.as_str());
            if locked.builds.get(arch).is_some_and(|build| build.url.file_name() != name) {
                found.push(format!("another file for {arch} than the catalog"));
            }
        }
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
}
