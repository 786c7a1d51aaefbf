//! Versions and the tags of releases: which belongs to which, and which is newer.

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease};

use crate::project::names::Version;

/// The longest tag that is taken for one, in bytes: git makes a file of each.
const LONGEST_TAG: usize = 255;

/// Words before a number that mark a pre-release: `rc1`, `nightly2`.
const UNFINISHED: [&str; 11] =
    ["alpha", "beta", "build", "canary", "dev", "edge", "nightly", "pre", "preview", "rc", "snapshot"];

/// Words after a version that mark a release: `1.2.3-stable`.
const FINISHED: [&str; 5] = ["final", "ga", "lts", "release", "stable"];

/// The version that a release's tag names: `1.2.3` of `v1.2.3`, `1.2.3`, `tool-v1.2.3`, `cli/1.2.3`,
/// `tool1.2.3`, and `100` of `r100`.
pub fn of_tag(tag: &str) -> Option<Version> {
    if tag.len() > LONGEST_TAG {
        return None;
    }
    let starts = std::iter::once(0).chain(tag.match_indices(['-', '_', '/', '@']).map(|(at, _)| at + 1));
    let digits = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let bare = || {
        starts.map(|at| &tag[at..]).find_map(|rest| {
            let bare = rest.strip_prefix(['v', 'V']).unwrap_or(rest);
            digits(bare).then_some(bare)
        })
    };
    let after_letters = after_letters(tag);
    let found = after_letters.filter(|(word, _)| word.ends_with('.')).map(|(_, rest)| rest);
    found.or_else(bare).or(after_letters.map(|(_, rest)| rest))?.parse().ok()
}

/// The letters before a version, and the version: `r` and `100`, `tool` and `1.2.4`, `v.` and `1.2.4`.
fn after_letters(tag: &str) -> Option<(&str, &str)> {
    let (word, rest) = tag.split_at(tag.find(|c: char| c.is_ascii_digit())?);
    let letters = word.strip_suffix('.').unwrap_or(word);
    let is_word = !letters.is_empty() && letters.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_unfinished = UNFINISHED.iter().any(|word| letters.eq_ignore_ascii_case(word));
    let core = rest.split(['-', '+', '~', '_']).next().unwrap_or_default();
    let is_version = core.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    (is_word && !is_unfinished && is_version).then_some((word, rest))
}

/// Whether `tag` may be the tag of the release `version`, which is a version or the tag itself, with `-` for
/// `/` and `@`.
pub fn is_tag_of(tag: &str, version: &Version) -> bool {
    tag == version.as_str()
        || of_tag(tag).as_ref() == Some(version)
        || of_whole_tag(tag).as_ref() == Some(version)
}

/// The tag as a version, to name one release of several things: `cli-v1.2.3` of `cli/v1.2.3`.
pub fn of_whole_tag(tag: &str) -> Option<Version> {
    tag.trim_start_matches('@').replace(['/', '@'], "-").parse().ok()
}

/// The word before the version in a tag: `tool` for `tool-v1.2.3`, empty for `v1.2.3`. In a repository with
/// several tools, it identifies the tool.
pub fn word_of_tag<'a>(tag: &'a str, version: &Version) -> &'a str {
    let before = tag.strip_suffix(version.as_str()).unwrap_or(tag);
    let before = before.trim_end_matches('.');
    let before = before.strip_suffix(['v', 'V']).unwrap_or(before);
    before.trim_end_matches(['-', '_', '/', '@'])
}

/// Whether `version` is a pre-release, such as `1.2.3-rc.1`.
pub fn is_prerelease(version: &Version) -> bool {
    parsed(version).is_some_and(|version| !version.pre.is_empty())
}

/// Whether `version` is a date, or begins with its year: `2024.9.1`, `20240901`.
pub fn is_date(version: &Version) -> bool {
    let digits = version.as_str().split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
    let year = match digits.len() {
        4 | 6 | 8 => digits[..4].parse::<u32>().ok(),
        _ => None,
    };
    year.is_some_and(|year| (1990..2100).contains(&year))
}

/// Compares two versions by Semantic Versioning 2.0.0, read leniently: `1.2` equals `1.2.0`, `2024.09.1` equals
/// `2024.9.1`, and a fourth number or build metadata counts last.
///
/// If one of them is not such a version, numbers are compared as numbers and the rest as text.
pub fn compare(a: &Version, b: &Version) -> Ordering {
    match (parsed(a), parsed(b)) {
        (Some(one), Some(other)) => one.cmp(&other),
        _ => pieces(a.as_str()).cmp(&pieces(b.as_str())),
    }
}

fn parsed(version: &Version) -> Option<semver::Version> {
    let (rest, build) = version.as_str().split_once('+').unwrap_or((version.as_str(), ""));
    let (core, pre) = rest.split_once(['-', '~']).unwrap_or((rest, ""));
    let mut numbers = core.split('.').map(|number| number.parse::<u64>().ok());
    let mut next = || numbers.next().unwrap_or(Some(0));
    let (major, minor, patch) = (next()?, next()?, next()?);
    let fourth = numbers.next();
    if numbers.next().is_some() || fourth.is_some_and(|number| number.is_none()) {
        return None;
    }
    let mut build = build.to_owned();
    // The month and day of a date, or a packager's revision, do not make it a pre-release.
    let is_revision = |c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | 'T' | 'Z');
    let pre = if pre.starts_with(|c: char| c.is_ascii_digit()) && pre.chars().all(is_revision) {
        build.insert_str(0, &format!("{pre}{}", if build.is_empty() { "" } else { "." }));
        ""
    } else if FINISHED.iter().any(|word| pre.eq_ignore_ascii_case(word)) {
        ""
    } else {
        pre
    };
    if let Some(Some(number)) = fourth {
        build.insert_str(0, &format!("{number}{}", if build.is_empty() { "" } else { "." }));
    }
    Some(semver::Version {
        major,
        minor,
        patch,
        pre: Prerelease::new(&pre.replace(['_', '~'], "-")).ok()?,
        build: BuildMetadata::new(&build.replace(['_', '~'], "-")).ok()?,
    })
}

/// Runs of digits as numbers, by their length and then their digits; all else as text.
fn pieces(text: &str) -> Vec<(bool, usize, &str)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let is_digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != is_digit).unwrap_or(rest.len());
        let piece = if is_digit { rest[..end].trim_start_matches('0') } else { &rest[..end] };
        found.push((is_digit, if is_digit { piece.len() } else { 0 }, piece));
        rest = &rest[end..];
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{Ordering, compare, is_prerelease, is_tag_of, of_tag, word_of_tag};

    fn order(a: &str, b: &str) -> Ordering {
        compare(&a.parse().expect("a version"), &b.parse().expect("a version"))
    }

    #[test]
    fn tags_name_versions() {
        for (tag, version) in [
            ("v1.2.3", "1.2.3"),
            ("1.2.3", "1.2.3"),
            ("tool-v1.2.3-rc.1", "1.2.3-rc.1"),
            ("cli/v2.0", "2.0"),
            ("pkg@4.5.6", "4.5.6"),
            ("V3", "3"),
            ("r100", "100"),
            ("b390", "390"),
            ("v1.2.3-stable", "1.2.3-stable"),
            ("v1.2.3-1", "1.2.3-1"),
            ("@scope/tool@1.0", "1.0"),
            ("v.1.2.4", "1.2.4"),
            ("tool1.2.4", "1.2.4"),
            ("release1.3-rc.1", "1.3-rc.1"),
            ("2026-02-08", "2026-02-08"),
            ("RELEASE.2024-05-01T01-02-03Z", "2024-05-01T01-02-03Z"),
            ("tool2-v1.2.3", "1.2.3"),
        ] {
            assert_eq!(of_tag(tag).expect(tag).as_str(), version, "{tag}");
        }
        for tag in ["nightly", "nightly2", "rc1", "Beta-x", "abc123def"] {
            assert_eq!(of_tag(tag), None, "{tag}");
        }
        assert!(is_tag_of("cli/v1.2.3", &"cli-v1.2.3".parse().expect("a version")));
        assert!(is_tag_of("@scope/tool@1.0", &"scope-tool-1.0".parse().expect("a version")));
        assert_eq!(of_tag(""), None);
        assert_eq!(of_tag(&format!("v1.{}", "1".repeat(255))), None);
    }

    #[test]
    fn tags_name_things() {
        for (tag, word) in
            [("v1.2.3", ""), ("1.2.3", ""), ("tool-v1.2.3", "tool"), ("cli/1.2.3", "cli"), ("a@v1.2.3", "a")]
        {
            assert_eq!(word_of_tag(tag, &of_tag(tag).expect(tag)), word, "{tag}");
        }
    }

    #[test]
    fn newer_is_newer() {
        for (older, newer) in [
            ("1.2.3", "1.10.0"),
            ("1.2.3-rc.1", "1.2.3"),
            ("1.2", "1.2.1"),
            ("2024.09.1", "2024.10.0"),
            ("1.2.3", "1.2.3.1"),
            ("1.2.3.9", "1.2.3.10"),
            ("r9", "r10"),
            ("2025-11-03", "2026-02-08"),
            ("2026-02-08", "2026-02-19"),
            ("2024-05-01T01-02-03Z", "2024-05-01T11-02-03Z"),
            ("1.2.3", "1.2.3-1"),
            ("1.2.4-1", "1.2.4-2"),
            ("1.2.3-rc.1", "1.2.3-stable"),
            ("7zip-23", "7zip-24"),
        ] {
            assert_eq!(order(older, newer), Ordering::Less, "{older} {newer}");
            assert_eq!(order(newer, older), Ordering::Greater, "{older} {newer}");
        }
        assert_eq!(order("1.2", "1.2.0"), Ordering::Equal);
    }

    #[test]
    fn dates_differ_from_numbers() {
        for (version, is) in [
            ("2024.9.1", true),
            ("2026-02-08", true),
            ("20240901", true),
            ("202409", true),
            ("1.2024.1", false),
            ("4568", false),
            ("100", false),
            ("8.0.1", false),
        ] {
            assert_eq!(super::is_date(&version.parse().expect("a version")), is, "{version}");
        }
    }

    #[test]
    fn prereleases_are_recognized() {
        for (version, is) in [
            ("1.2.3-beta", true),
            ("1.2.3-0.rc1", true),
            ("1.2.3", false),
            ("1.2.3-1", false),
            ("2026-02-08", false),
            ("1.2.3-stable", false),
        ] {
            assert_eq!(is_prerelease(&version.parse().expect("a version")), is, "{version}");
        }
    }
}
