//! Which asset of a release is the build for an architecture, if the manifest does not say.
//!
//! Names are read word by word. A name that mentions another system or processor, a package, a checksum
//! or a signature is ruled out. A word that every file of a release has is part of the project's name. If
//! two candidates differ only in their C library, the static one is taken; if they differ only in their
//! archive format, the one that most machines unpack. A file for Linux that names no processor counts as
//! amd64, and the header of its executable decides. In every other case the user has to choose.

mod companions;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use super::upstream::ReleaseAsset;
use crate::project::values::{Arch, ArchiveFormat};
use companions::{is_companion, is_no_program};
use words::{Words, common_words};

pub use companions::signatures;

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

/// The builds that differ from `chosen` in their C library only, one in each. If the base image lacks the
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

/// The file that most machines unpack, among files with the same content.
fn best_packed<'a>(same: &[&'a ReleaseAsset]) -> Option<&'a ReleaseAsset> {
    same.iter().copied().min_by_key(|asset| (ArchiveFormat::of(&asset.name), &asset.name))
}

/// The builds for `arch` on Linux, with any C library.
fn fitting<'a>(
    assets: &'a [ReleaseAsset],
    arch: Arch,
    spelled: Option<&str>,
) -> Vec<(&'a ReleaseAsset, Words)> {
    let all: BTreeSet<_> = assets.iter().map(|asset| asset.name.as_str()).collect();
    let files: Vec<_> = assets.iter().filter(|asset| !is_companion(&asset.name, &all)).collect();
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
        let others = named.iter().filter(|(_, other)| other.elsewhere || other.arch.is_some());
        let twins: BTreeSet<_> = others.map(|(_, other)| &other.rest).collect();
        fitting.retain(|(_, words)| words.linux || twins.contains(&words.rest));
    }
    // A publisher that names systems names Linux.
    narrow(&mut fitting, |words| words.linux);
    narrow(&mut fitting, |words| words.level.is_none_or(|level| level == 1));
    fitting
}

fn narrow(fitting: &mut Vec<(&ReleaseAsset, Words)>, by: impl Fn(&Words) -> bool) {
    if fitting.iter().any(|(_, words)| by(words)) {
        fitting.retain(|(_, words)| by(words));
    }
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
