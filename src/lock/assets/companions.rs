//! Files of a release that accompany programs: packages, checksums, signatures, documentation.

use std::collections::BTreeSet;

use super::words::{Words, words};
use crate::lock::checksums;
use crate::lock::upstream::ReleaseAsset;
use crate::project::values::ArchiveFormat;

/// Endings of files that accompany programs: distribution packages, signatures, bills of materials,
/// documentation.
const NO_ARCHIVE: [&str; 65] = [
    ".apk",
    ".appimage",
    ".asc",
    ".att",
    ".b3",
    ".bash",
    ".bundle",
    ".cdx",
    ".cer",
    ".cert",
    ".crt",
    ".deb",
    ".dgst",
    ".dmg",
    ".exe",
    ".fish",
    ".flatpak",
    ".gpg",
    ".intoto.jsonl",
    ".ipk",
    ".jar",
    ".js",
    ".json",
    ".jsonl",
    ".key",
    ".md",
    ".md5",
    ".md5sum",
    ".minisig",
    ".msi",
    ".nupkg",
    ".pdb",
    ".pdf",
    ".pem",
    ".pkg",
    ".pkg.tar.xz",
    ".pkg.tar.zst",
    ".prov",
    ".ps1",
    ".pub",
    ".py",
    ".rb",
    ".rpm",
    ".sbom",
    ".sh",
    ".sha",
    ".sha1",
    ".sha1sum",
    ".sha384",
    ".sha512",
    ".sha512sum",
    ".sig",
    ".sign",
    ".sigstore",
    ".snap",
    ".spdx",
    ".torrent",
    ".txt",
    ".vsix",
    ".wasm",
    ".whl",
    ".xml",
    ".yaml",
    ".yml",
    ".zsync",
];

/// Words in the names of files that are not programs.
const NO_PROGRAM: [&str; 11] = [
    "airgap",
    "completions",
    "debug",
    "dsym",
    "images",
    "provenance",
    "sbom",
    "source",
    "src",
    "symbols",
    "vendor",
];

/// Endings of signatures.
const SIGNATURES: [&str; 8] =
    [".asc", ".att", ".bundle", ".intoto.jsonl", ".minisig", ".sig", ".sigstore", ".sigstore.json"];

/// Signatures among `assets` that are about `asset`, or about a list of checksums.
pub fn signatures<'a>(assets: &'a [ReleaseAsset], asset: &str) -> Vec<&'a ReleaseAsset> {
    let about = |name: &str| {
        let of = SIGNATURES.iter().find_map(|ending| name.strip_suffix(ending));
        of.is_some_and(|of| {
            of == asset
                || checksums::is_list(of)
                || checksums::owner_of(of).as_deref() == Some(asset.to_ascii_lowercase().as_str())
        })
    };
    assets.iter().filter(|candidate| about(&candidate.name)).collect()
}

/// Whether a file accompanies a program: a package, a checksum, a signature, a manual page. `names` are those of
/// all files.
pub(super) fn is_companion(name: &str, names: &BTreeSet<&str>) -> bool {
    let lower = name.to_ascii_lowercase();
    // The `1` of `tool-4.1.1` belongs to a version.
    let is_manual = lower.rsplit_once('.').is_some_and(|(stem, section)| {
        matches!(section.as_bytes(), [b'1'..=b'8']) && !stem.ends_with(|c: char| c.is_ascii_digit())
    });
    // `x.tar.gz.b3` is about `x.tar.gz`, even if the ending `.b3` is unknown.
    let is_about = |(owner, ending): (&str, &str)| {
        names.contains(owner)
            && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && ArchiveFormat::of(&format!("x.{ending}")) == ArchiveFormat::Bare
    };
    is_manual
        || checksums::is_list(name)
        || checksums::owner_of(name).is_some()
        || checksums::is_about_checksums(name) && !words(&lower).any(|word| Words::arch_of(word).is_some())
        || NO_ARCHIVE.iter().any(|ending| lower.ends_with(ending))
        || name.rsplit_once('.').is_some_and(is_about)
}

/// Whether a word of the name says that it holds no program.
pub(super) fn is_no_program(name: &str, common: &BTreeSet<String>) -> bool {
    words(&name.to_ascii_lowercase()).any(|word| NO_PROGRAM.contains(&word) && !common.contains(word))
}
