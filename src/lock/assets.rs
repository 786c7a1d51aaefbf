//! Which asset of a release is the build for an architecture, if the manifest does not say.
//!
//! Names are read word by word. A name that mentions another system or processor, a package, a checksum
//! or a signature is ruled out. A word that every file of a release has is part of the project's name. If
//! two candidates differ only in their C library, the static one is taken; if they differ only in their
//! archive format, the one that most machines unpack. A file for Linux that names no processor counts as
//! amd64, and the header of its executable decides. In every other case the user has to choose.

use std::collections::{BTreeMap, BTreeSet};

use super::checksums;
use super::upstream::ReleaseAsset;
use crate::project::values::{Arch, ArchiveFormat};

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
const NO_PROGRAM: [&str; 9] =
    ["sbom", "source", "src", "vendor", "completions", "debug", "dsym", "symbols", "provenance"];

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

/// Systems that are never the only one a project publishes for.
const NEVER_ALONE: [&str; 4] = ["dragonfly", "illumos", "plan9", "wasm"];

/// Spellings of more than one word, and the word that they are read as.
const SPELLINGS: [(&str, &str); 6] = [
    ("x86_64", "amd64"),
    ("x86-64", "amd64"),
    ("aarch64_be", "arm64be"),
    ("aarch_64", "arm64"),
    ("64-bit", "64bit"),
    ("32-bit", "32bit"),
];

/// Words for other processors than the two.
const OTHER_PROCESSORS: [&str; 32] = [
    "32bit",
    "386",
    "arm64be",
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
    let mut fitting = fitting(assets, arch, spelled);
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
    let fitting: Vec<_> = fitting.into_iter().map(|(asset, _)| asset).collect();
    if same && let Some(best) = best_packed(&fitting) {
        return Ok(best);
    }
    match *fitting.as_slice() {
        [] => Err(Undecided::None),
        [asset] => Ok(asset),
        _ => Err(Undecided::Several(fitting.iter().map(|asset| asset.name.clone()).collect())),
    }
}

/// The builds that differ from `chosen` in their C library only, one in each. Where the base image lacks the
/// chosen one's loader, one of these may start.
pub fn other_libc<'a>(
    assets: &'a [ReleaseAsset],
    arch: Arch,
    spelled: Option<&str>,
    chosen: &ReleaseAsset,
) -> Vec<&'a ReleaseAsset> {
    let fitting = fitting(assets, arch, spelled);
    let Some((_, own)) = fitting.iter().find(|(asset, _)| asset.name == chosen.name) else {
        return Vec::new();
    };
    let differs = |words: &Words| words.rest != own.rest && words.without_libc() == own.without_libc();
    let others = by_content(fitting.iter().filter(|(_, words)| differs(words)));
    others.values().filter_map(|same| best_packed(same)).collect()
}

/// Groups files that differ in their archive format only.
fn by_content<'a, 'b>(
    files: impl Iterator<Item = &'b (&'a ReleaseAsset, Words)>,
) -> BTreeMap<&'b BTreeSet<String>, Vec<&'a ReleaseAsset>>
where
    'a: 'b,
{
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (asset, words) in files {
        groups.entry(&words.rest).or_default().push(*asset);
    }
    groups
}

/// Every file that is a build for `arch` by its name, one for each content.
pub fn builds(assets: &[ReleaseAsset], arch: Arch) -> Vec<&ReleaseAsset> {
    let fitting = fitting(assets, arch, None);
    by_content(fitting.iter()).values().filter_map(|same| best_packed(same)).collect()
}

/// Of files with the same content, the one that most machines unpack.
fn best_packed<'a>(same: &[&'a ReleaseAsset]) -> Option<&'a ReleaseAsset> {
    same.iter().copied().min_by_key(|asset| (ArchiveFormat::of(&asset.name), &asset.name))
}

/// The builds for `arch` on Linux, with any C library.
fn fitting<'a>(
    assets: &'a [ReleaseAsset],
    arch: Arch,
    spelled: Option<&str>,
) -> Vec<(&'a ReleaseAsset, Words)> {
    let files: Vec<_> = assets.iter().filter(|asset| !is_companion(&asset.name, assets)).collect();
    let common = common_words(&files);
    let named: Vec<(&ReleaseAsset, Words)> = files
        .into_iter()
        .filter(|asset| !is_no_program(&asset.name, &common))
        .map(|asset| (asset, Words::of(&asset.name, spelled.map(|word| (word, arch)), &common)))
        .collect();
    let of_arch = |wanted: Option<Arch>| -> Vec<(&ReleaseAsset, Words)> {
        let fits = |words: &Words| words.arch == wanted && !words.elsewhere;
        named.iter().filter(|(_, words)| fits(words)).cloned().collect()
    };
    let mut fitting = of_arch(Some(arch));
    if fitting.is_empty() && arch == Arch::Amd64 {
        fitting = of_arch(None);
        // Its twin for another system or processor shows what it is.
        let has_twin = |words: &Words| {
            named
                .iter()
                .any(|(_, other)| (other.elsewhere || other.arch.is_some()) && other.rest == words.rest)
        };
        fitting.retain(|(_, words)| words.linux || has_twin(words));
    }
    // A publisher that names systems names Linux.
    narrow(&mut fitting, |words| words.linux);
    narrow(&mut fitting, |words| words.level.is_none_or(|level| level == 1));
    fitting
}

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

/// Whether a file accompanies a program: a package, a checksum, a signature, a manual page.
fn is_companion(name: &str, assets: &[ReleaseAsset]) -> bool {
    let lower = name.to_ascii_lowercase();
    // The `1` of `tool-4.1.1` belongs to a version.
    let is_manual = lower.rsplit_once('.').is_some_and(|(stem, section)| {
        matches!(section.as_bytes(), [b'1'..=b'8']) && !stem.ends_with(|c: char| c.is_ascii_digit())
    });
    // `x.tar.gz.b3` is about `x.tar.gz`, even if the ending `.b3` is unknown.
    let is_about = |asset: &ReleaseAsset| {
        let ending = name.strip_prefix(asset.name.as_str()).and_then(|rest| rest.strip_prefix('.'));
        ending.is_some_and(|ending| {
            ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && ArchiveFormat::of(&format!("x.{ending}")) == ArchiveFormat::Bare
        })
    };
    is_manual
        || checksums::is_list(name)
        || checksums::owner_of(name).is_some()
        || checksums::is_about_checksums(name) && !words(&lower).any(|word| Words::arch_of(word).is_some())
        || NO_ARCHIVE.iter().any(|ending| lower.ends_with(ending))
        || assets.iter().any(is_about)
}

/// Whether a word of the name says that it holds no program.
fn is_no_program(name: &str, common: &BTreeSet<String>) -> bool {
    words(&name.to_ascii_lowercase()).any(|word| NO_PROGRAM.contains(&word) && !common.contains(word))
}

/// The words that all of several files have, if at least one is for Linux: such words do not tell systems
/// apart. Otherwise only those in `NEVER_ALONE`.
fn common_words(files: &[&ReleaseAsset]) -> BTreeSet<String> {
    let sets = files.iter().map(|asset| {
        let name = ArchiveFormat::split(&asset.name).0.to_ascii_lowercase();
        words(&name).map(str::to_owned).collect::<BTreeSet<_>>()
    });
    let is_linux = |set: &BTreeSet<String>| set.iter().any(|word| word.contains("linux"));
    let sets: Vec<_> = sets.collect();
    if sets.len() < 2 {
        return BTreeSet::new();
    }
    let for_linux = sets.iter().any(is_linux);
    let common = sets.into_iter().reduce(|common, set| common.intersection(&set).cloned().collect());
    let mut common = common.unwrap_or_default();
    common.retain(|word| for_linux || NEVER_ALONE.contains(&word.as_str()));
    common
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

fn narrow(fitting: &mut Vec<(&ReleaseAsset, Words)>, by: impl Fn(&Words) -> bool) {
    if fitting.iter().any(|(_, words)| by(words)) {
        fitting.retain(|(_, words)| by(words));
    }
}

/// The meaning of the words of a file name.
#[derive(Clone, Debug, Default)]
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
    fn of(name: &str, spelled: Option<(&str, Arch)>, common: &BTreeSet<String>) -> Self {
        let mut name = ArchiveFormat::split(name).0.to_ascii_lowercase();
        for (spelling, word) in SPELLINGS {
            name = name.replace(spelling, word);
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
        let mut is_64_bits = false;
        for word in self::words(&name) {
            match word {
                "64bit" => is_64_bits = true,
                word if common.contains(word) && Self::arch_of(word).is_none() && word != "linux" => {
                    words.rest.insert(word.to_owned());
                }
                word => words.take(word),
            }
        }
        if is_64_bits && words.arch.is_none() {
            words.arch = Some(Arch::Amd64);
        }
        words
    }

    fn take(&mut self, word: &str) {
        if let Some((arch, level)) = Self::arch_of(word) {
            self.elsewhere |= self.arch.is_some_and(|known| known != arch);
            self.arch = Some(arch);
            self.level = level;
        } else if ["linux", "linux64", "manylinux", "musllinux"].contains(&word) {
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
            "amd64" | "x64" | "x8664" => Some((Arch::Amd64, None)),
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
        assert_eq!(choose(&unclear, Arch::Amd64, None).expect("one").name, "t-linux.tar.gz");
        assert_eq!(choose(&unclear, Arch::Arm64, None).expect_err("undecided"), Undecided::None);
        let alone = assets(&["t-1.2.tar.gz", "u-linux-arm64.tar.gz"]);
        assert_eq!(choose(&alone, Arch::Amd64, None).expect_err("undecided"), Undecided::None);
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
