//! The meaning of the words in file names of releases: systems, processors, C libraries.

use std::collections::BTreeSet;

use crate::lock::upstream::ReleaseAsset;
use crate::project::values::{Arch, ArchiveFormat};

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

/// The words that all of several files have, if at least one is for Linux: such words do not tell systems
/// apart. Otherwise only those in `NEVER_ALONE`.
pub(super) fn common_words(files: &[&ReleaseAsset]) -> BTreeSet<String> {
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

pub(super) fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty())
}

/// The meaning of the words of a file name.
#[derive(Clone, Debug, Default)]
pub(super) struct Words {
    pub(super) arch: Option<Arch>,
    /// The microarchitecture level of `amd64v3` and the like.
    pub(super) level: Option<u32>,
    pub(super) linux: bool,
    /// For another system or another processor, or for several at once.
    pub(super) elsewhere: bool,
    /// All other words.
    pub(super) rest: BTreeSet<String>,
}

impl Words {
    pub(super) fn of(name: &str, spelled: Option<(&str, Arch)>, common: &BTreeSet<String>) -> Self {
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

    pub(super) fn arch_of(word: &str) -> Option<(Arch, Option<u32>)> {
        match word {
            "amd64" | "x64" | "x8664" => Some((Arch::Amd64, None)),
            "arm64" | "aarch64" | "armv8" | "arm64v8" | "aarch64v8" => Some((Arch::Arm64, None)),
            _ => {
                let level = word.strip_prefix("amd64v").and_then(level)?;
                Some((Arch::Amd64, Some(level)))
            }
        }
    }

    pub(super) fn without_libc(&self) -> BTreeSet<&str> {
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
