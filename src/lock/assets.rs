//! Which asset of a release is the build for an architecture, where the manifest does not say it.
//!
//! Names are read word by word. Words that name another system, another processor, a package, a checksum or a signature
//! exclude a file. If two files differ only in their C library, the static one is used; if they differ only in their
//! archive format, the one that most machines can unpack. Any other ambiguity is left to the user.

use std::collections::BTreeSet;

use super::checksums;
use super::upstream::ReleaseAsset;
use crate::project::values::{Arch, ArchiveFormat};

/// Suffixes of other files in a release: distribution packages, signatures, checksums, file lists,
/// documentation.
const NO_ARCHIVE: [&str; 45] = [
    ".1",
    ".apk",
    ".appimage",
    ".asc",
    ".att",
    ".bash",
    ".bundle",
    ".cdx",
    ".cer",
    ".crt",
    ".deb",
    ".dmg",
    ".exe",
    ".fish",
    ".flatpak",
    ".intoto.jsonl",
    ".jar",
    ".json",
    ".jsonl",
    ".key",
    ".md",
    ".md5",
    ".minisig",
    ".msi",
    ".nupkg",
    ".pdb",
    ".pem",
    ".pkg",
    ".ps1",
    ".pub",
    ".rb",
    ".rpm",
    ".sbom",
    ".sh",
    ".sha1",
    ".sha256",
    ".sha256sum",
    ".sha512",
    ".sig",
    ".sigstore",
    ".snap",
    ".spdx",
    ".txt",
    ".yaml",
    ".yml",
];

/// Endings of signatures.
const SIGNATURES: [&str; 8] =
    [".asc", ".att", ".bundle", ".intoto.jsonl", ".minisig", ".sig", ".sigstore", ".sigstore.json"];

/// Words for other systems than Linux.
const OTHER_SYSTEMS: [&str; 27] = [
    "aix",
    "android",
    "apple",
    "cygwin",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "mac",
    "macos",
    "macosx",
    "mingw",
    "msvc",
    "netbsd",
    "openbsd",
    "osx",
    "plan9",
    "solaris",
    "sunos",
    "universal",
    "universal2",
    "wasi",
    "wasm",
    "win",
    "win32",
    "windows",
];

/// Words for other processors than the two.
const OTHER_PROCESSORS: [&str; 31] = [
    "32bit",
    "386",
    "arm",
    "armel",
    "armhf",
    "armv5",
    "armv6",
    "armv6hf",
    "armv6l",
    "armv7",
    "armv7hf",
    "armv7l",
    "i386",
    "i486",
    "i586",
    "i686",
    "ia32",
    "loong64",
    "loongarch64",
    "mips",
    "mips64",
    "mips64le",
    "mipsle",
    "powerpc64le",
    "ppc64",
    "ppc64el",
    "ppc64le",
    "riscv64",
    "riscv64gc",
    "s390x",
    "x86",
];

/// Why no asset was chosen.
#[derive(Debug, PartialEq, Eq)]
pub enum Undecided {
    /// None is for this architecture.
    None,
    /// Several are; their names.
    Several(Vec<String>),
}

/// The one asset that holds the build for `arch` on Linux. `spelled` is the publisher's word for it,
/// where the manifest says it.
///
/// # Errors
/// Where none is, or several are.
pub fn choose<'a>(
    assets: &'a [ReleaseAsset],
    arch: Arch,
    spelled: Option<&str>,
) -> Result<&'a ReleaseAsset, Undecided> {
    let mut fitting: Vec<(&ReleaseAsset, Words)> = assets
        .iter()
        .filter(|asset| !is_beside(&asset.name))
        .map(|asset| (asset, Words::of(&asset.name, spelled.map(|word| (word, arch)))))
        .filter(|(_, words)| words.arch == Some(arch) && !words.elsewhere)
        .collect();
    // A release that names systems also names Linux.
    narrow(&mut fitting, |words| words.linux);
    narrow(&mut fitting, |words| words.level.is_none_or(|level| level == 1));
    for static_libc in ["musl", "static"] {
        if let Some((_, of)) = fitting.iter().find(|(_, words)| words.rest.contains(static_libc)) {
            let of = of.without_libc();
            // A static build of the same thing takes the place of the others, and of nothing else.
            if fitting.iter().all(|(_, words)| words.without_libc() == of) {
                narrow(&mut fitting, |words| words.rest.contains(static_libc));
            }
        }
    }
    let same = fitting.windows(2).all(|pair| pair[0].1.rest == pair[1].1.rest);
    if same && let Some((best, _)) = fitting.iter().min_by_key(|(asset, _)| ArchiveFormat::of(&asset.name)) {
        let packing = ArchiveFormat::of(&best.name);
        fitting.retain(|(asset, _)| ArchiveFormat::of(&asset.name) == packing);
    }
    match *fitting.as_slice() {
        [] => Err(Undecided::None),
        [(asset, _)] => Ok(asset),
        _ => Err(Undecided::Several(fitting.iter().map(|(asset, _)| asset.name.clone()).collect())),
    }
}

/// Signatures among `assets` that are about `asset`, or about a list of checksums.
pub fn signatures<'a>(assets: &'a [ReleaseAsset], asset: &str) -> Vec<&'a ReleaseAsset> {
    let about = |name: &str| {
        let of = SIGNATURES.iter().find_map(|ending| name.strip_suffix(ending));
        of.is_some_and(|of| of == asset || checksums::is_list(of) || checksums::owner_of(of) == Some(asset))
    };
    assets.iter().filter(|candidate| about(&candidate.name)).collect()
}

/// Whether the file accompanies the programs of a release.
fn is_beside(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    checksums::is_list(name)
        || NO_ARCHIVE.iter().any(|ending| lower.ends_with(ending))
        || ["sbom", "source", "src", "vendor", "completions", "debug", "dsym", "symbols", "provenance"]
            .iter()
            .any(|word| lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|found| found == *word))
}

fn narrow(fitting: &mut Vec<(&ReleaseAsset, Words)>, by: impl Fn(&Words) -> bool) {
    if fitting.iter().any(|(_, words)| by(words)) {
        fitting.retain(|(_, words)| by(words));
    }
}

/// The meaning of the words in a file name.
#[derive(Debug, Default)]
struct Words {
    arch: Option<Arch>,
    /// The microarchitecture level of `amd64v3` and the like.
    level: Option<u32>,
    linux: bool,
    /// For another system or another processor, or for several at once.
    elsewhere: bool,
    /// All other words.
    rest: BTreeSet<String>,
}

impl Words {
    fn of(name: &str, spelled: Option<(&str, Arch)>) -> Self {
        let mut name = ArchiveFormat::split(name).0.to_ascii_lowercase();
        for spelling in ["x86_64", "x86-64"] {
            name = name.replace(spelling, "amd64");
        }
        let mut words = Self::default();
        if let Some((spelling, arch)) = spelled {
            // As a separate word: `arm64` does not contain `arm`.
            let spelling =
                spelling.to_ascii_lowercase().replace("x86_64", "amd64").replace("x86-64", "amd64");
            let known = Self::arch_of(&spelling).map(|(known, _)| known);
            if known.is_none() && bounded(&name, &spelling) {
                words.arch = Some(arch);
                name = name.replacen(&spelling, "", 1);
            }
        }
        for word in name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()) {
            words.take(word);
        }
        words
    }

    fn take(&mut self, word: &str) {
        if let Some((arch, level)) = Self::arch_of(word) {
            self.elsewhere |= self.arch.is_some_and(|known| known != arch);
            self.arch = Some(arch);
            self.level = level;
        } else if word == "linux" || word == "linux64" {
            self.linux = true;
            if word == "linux64" {
                self.take("amd64");
            }
        } else if let Some(rest) = word.strip_prefix("linux").filter(|rest| is_processor(rest)) {
            self.linux = true;
            self.take(rest);
        } else if OTHER_SYSTEMS.contains(&word)
            || OTHER_PROCESSORS.contains(&word)
            || ["win64", "macos64", "linux32"].contains(&word)
            || OTHER_SYSTEMS.iter().any(|system| word.strip_prefix(system).is_some_and(is_processor))
        {
            self.elsewhere = true;
        } else if let Some(level) = self.arch.and(word.strip_prefix('v')).and_then(level) {
            // `linux_amd64_v1` and `linux_arm64_v8.0`, as goreleaser writes them.
            self.level = if self.arch == Some(Arch::Amd64) { Some(level) } else { None };
        } else {
            self.rest.insert(word.to_owned());
        }
    }

    fn arch_of(word: &str) -> Option<(Arch, Option<u32>)> {
        match word {
            "amd64" | "x64" | "x8664" | "64bit" => Some((Arch::Amd64, None)),
            "arm64" | "aarch64" | "armv8" | "arm64v8" | "aarch64v8" => Some((Arch::Arm64, None)),
            _ => {
                let level = word.strip_prefix("amd64v").and_then(level)?;
                Some((Arch::Amd64, Some(level)))
            }
        }
    }

    fn without_libc(&self) -> BTreeSet<&str> {
        let libc = ["glibc", "gnu", "libc", "musl", "static", "unknown"];
        self.rest.iter().map(String::as_str).filter(|word| !libc.contains(word)).collect()
    }
}

fn is_processor(word: &str) -> bool {
    Words::arch_of(word).is_some() || OTHER_PROCESSORS.contains(&word)
}

/// One digit: `v10` is a version.
fn level(digits: &str) -> Option<u32> {
    match digits.as_bytes() {
        [digit @ b'1'..=b'9'] => Some(u32::from(digit - b'0')),
        _ => None,
    }
}

fn bounded(name: &str, word: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| !c.is_ascii_alphanumeric());
    name.match_indices(word)
        .any(|(at, _)| edge(name[..at].chars().next_back()) && edge(name[at + word.len()..].chars().next()))
}

#[cfg(test)]
mod tests {
    use super::{ReleaseAsset, Undecided, choose, signatures};
    use crate::project::values::Arch;

    fn assets(names: &[&str]) -> Vec<ReleaseAsset> {
        let asset = |name: &&str| ReleaseAsset {
            name: (*name).to_owned(),
            url: format!("https://example.org/{name}").parse().expect("a URL"),
            size: 1,
            digest: None,
        };
        names.iter().map(asset).collect()
    }

    #[track_caller]
    fn chosen(names: &[&str], amd64: &str, arm64: &str) {
        let assets = assets(names);
        for (arch, wanted) in [(Arch::Amd64, amd64), (Arch::Arm64, arm64)] {
            assert_eq!(choose(&assets, arch, None).map(|asset| asset.name.as_str()), Ok(wanted), "{arch}");
        }
    }

    #[test]
    fn the_usual_spellings_are_known() {
        chosen(
            &[
                "checksums.txt",
                "gog_1.2.3_darwin_amd64.tar.gz",
                "gog_1.2.3_darwin_arm64.tar.gz",
                "gog_1.2.3_linux_386.tar.gz",
                "gog_1.2.3_linux_amd64.deb",
                "gog_1.2.3_linux_amd64.tar.gz",
                "gog_1.2.3_linux_amd64.tar.gz.sbom.json",
                "gog_1.2.3_linux_arm64.tar.gz",
                "gog_1.2.3_linux_armv7.tar.gz",
                "gog_1.2.3_windows_amd64.zip",
            ],
            "gog_1.2.3_linux_amd64.tar.gz",
            "gog_1.2.3_linux_arm64.tar.gz",
        );
        chosen(
            &[
                "Tool-Linux-x64",
                "Tool-Linux-x64.sha256",
                "Tool-Linux-aarch64",
                "Tool-macOS-x64",
                "Tool-Win-x64.exe",
            ],
            "Tool-Linux-x64",
            "Tool-Linux-aarch64",
        );
        chosen(
            &[
                "tool-linux64.tar.gz",
                "tool-linuxarm64.tar.gz",
                "tool-win64.zip",
                "tool-macos64.zip",
                "tool-linux32.zip",
            ],
            "tool-linux64.tar.gz",
            "tool-linuxarm64.tar.gz",
        );
        chosen(
            &["spogo_1_linux_amd64_v1.tar.gz", "spogo_1_linux_arm64_v8.0.tar.gz"],
            "spogo_1_linux_amd64_v1.tar.gz",
            "spogo_1_linux_arm64_v8.0.tar.gz",
        );
        chosen(&["t-amd64.zip", "t-arm64.zip"], "t-amd64.zip", "t-arm64.zip");
    }

    #[test]
    fn the_static_build_comes_before_the_others() {
        chosen(
            &[
                "fd-v1-aarch64-apple-darwin.tar.gz",
                "fd-v1-aarch64-unknown-linux-gnu.tar.gz",
                "fd-v1-x86_64-pc-windows-msvc.zip",
                "fd-v1-x86_64-unknown-linux-gnu.tar.gz",
                "fd-v1-x86_64-unknown-linux-musl.tar.gz",
                "fd-v1-i686-unknown-linux-musl.tar.gz",
            ],
            "fd-v1-x86_64-unknown-linux-musl.tar.gz",
            "fd-v1-aarch64-unknown-linux-gnu.tar.gz",
        );
    }

    #[test]
    fn archives_that_differ_only_in_format_are_equivalent() {
        let names = ["t-linux-x64.zip", "t-linux-x64.tar.xz", "t-linux-x64.tar.gz", "t-linux-arm64.tar.xz"];
        chosen(&names, "t-linux-x64.tar.gz", "t-linux-arm64.tar.xz");
        chosen(
            &["t-linux-amd64_v3.gz", "t-linux-amd64.gz", "t-linux-arm64.gz"],
            "t-linux-amd64.gz",
            "t-linux-arm64.gz",
        );
    }

    #[test]
    fn nothing_is_guessed() {
        let several = ["t-linux-amd64.tar.gz", "t-full-linux-amd64.tar.gz", "t-full-linux-musl-amd64.tar.gz"];
        let all = several.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(
            choose(&assets(&several), Arch::Amd64, None).expect_err("undecided"),
            Undecided::Several(all)
        );
        assert_eq!(choose(&assets(&several), Arch::Arm64, None).expect_err("undecided"), Undecided::None);
        let unclear = assets(&["t-linux.tar.gz", "t.tar.gz", "t-linux-arm.tar.gz"]);
        assert_eq!(choose(&unclear, Arch::Amd64, None).expect_err("undecided"), Undecided::None);
        assert_eq!(choose(&unclear, Arch::Arm64, None).expect_err("undecided"), Undecided::None);
        let word = assets(&["t-intel.tar.gz", "t-other.tar.gz"]);
        assert_eq!(choose(&word, Arch::Amd64, Some("intel")).expect("one").name, "t-intel.tar.gz");
    }

    #[test]
    fn signatures_are_distinguished() {
        let all = assets(&[
            "a.gz",
            "a.gz.minisig",
            "checksums.txt",
            "checksums.txt.sigstore.json",
            "b.gz.sig",
            "a.gz.sha256",
        ]);
        let found: Vec<_> = signatures(&all, "a.gz").iter().map(|asset| asset.name.as_str()).collect();
        assert_eq!(found, ["a.gz.minisig", "checksums.txt.sigstore.json"]);
    }
}
