//! The channel that a tag of the base image follows, and the newer tags in it.
//!
//! OpenClaw publishes versions (`2026.9.4`), variants of them (`2026.9.4-slim`), weekly rebuilds that never
//! move (`2026.9.4-r20260915`), and tags that move from one to the next (`stable`, `extended-stable`).

use std::cmp::Ordering;

use super::versions;
use crate::project::names::Version;

/// A tag that names a version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct VersionTag<'a> {
    /// Whether it begins with `v`.
    marked: bool,
    version: Version,
    /// The day of a rebuild: `20260915`.
    rebuild: Option<u32>,
    /// The other words: `slim`.
    variant: Vec<&'a str>,
}

impl<'a> VersionTag<'a> {
    fn parse(tag: &'a str) -> Option<Self> {
        let bare = tag.strip_prefix('v').unwrap_or(tag);
        let mut words = bare.split('-');
        let version = words.next().filter(|version| {
            version.contains('.') && version.split('.').all(|part| part.parse::<u32>().is_ok())
        })?;
        let (mut rebuild, mut variant) = (None, Vec::new());
        for word in words {
            match rebuild_of(word) {
                Some(day) if rebuild.is_none() => rebuild = Some(day),
                _ => variant.push(word),
            }
        }
        Some(Self { marked: bare != tag, version: version.parse().ok()?, rebuild, variant })
    }

    /// Whether both are versions of the same thing, in the same form.
    fn is_beside(&self, other: &Self) -> bool {
        let parts = |tag: &Self| tag.version.as_str().split('.').count();
        (self.marked, parts(self), self.rebuild.is_some(), &self.variant)
            == (other.marked, parts(other), other.rebuild.is_some(), &other.variant)
            && versions::is_date(&self.version) == versions::is_date(&other.version)
    }

    fn compare(&self, other: &Self) -> Ordering {
        versions::compare(&self.version, &other.version).then(self.rebuild.cmp(&other.rebuild))
    }
}

/// The day in `r20260915`.
fn rebuild_of(word: &str) -> Option<u32> {
    word.strip_prefix('r').filter(|day| day.len() == 8)?.parse().ok()
}

/// Whether a tag moves from one image to the next, such as `stable`: it names no version.
pub fn is_moving(tag: &str) -> bool {
    VersionTag::parse(tag).is_none()
}

/// The tags that are newer than `tag` in its channel, the newest first.
pub fn newer<'a>(tag: &str, tags: &'a [String]) -> Vec<&'a str> {
    let Some(own) = VersionTag::parse(tag) else { return Vec::new() };
    let others = tags.iter().filter_map(|tag| Some((tag.as_str(), VersionTag::parse(tag)?)));
    let mut newer: Vec<_> =
        others.filter(|(_, other)| other.is_beside(&own) && other.compare(&own).is_gt()).collect();
    newer.sort_by(|(_, a), (_, b)| b.compare(a));
    newer.into_iter().map(|(tag, _)| tag).collect()
}

/// The version in a tag: `2026.9.4` of `2026.9.4-slim`.
pub fn version_of(tag: &str) -> Option<Version> {
    VersionTag::parse(tag).map(|tag| tag.version)
}

#[cfg(test)]
mod tests {
    use super::{is_moving, newer, version_of};

    #[test]
    fn newer_tags_are_of_the_same_channel() {
        let tags = [
            "latest",
            "stable",
            "2026.8.1",
            "2026.9.4",
            "2026.9.6",
            "2026.10.1",
            "2026.10.1-slim",
            "2026.11.0-beta.1",
            "2026.9.6-slim",
            "2026.9.4-r20260915",
            "2026.9.4-r20260922",
            "2026.9.6-r20260929",
            "2026.9",
            "2026.12",
            "v2026.9.7",
            "4.0.0",
            "sha-0123456",
        ];
        let tags = tags.map(str::to_owned);
        for (tag, expected) in [
            ("2026.9.4", &["2026.10.1", "2026.9.6"][..]),
            ("2026.10.1", &[]),
            ("2026.9.4-slim", &["2026.10.1-slim", "2026.9.6-slim"]),
            ("2026.9.4-r20260915", &["2026.9.6-r20260929", "2026.9.4-r20260922"]),
            ("2026.9", &["2026.12"]),
            ("3.9.1", &["4.0.0"]),
            ("stable", &[]),
        ] {
            assert_eq!(newer(tag, &tags), expected, "{tag}");
        }
    }

    #[test]
    fn tags_without_a_version_move() {
        for tag in ["stable", "extended-stable", "latest", "main", "1"] {
            assert!(is_moving(tag), "{tag}");
        }
        for tag in ["2026.9.4", "v1.2", "2026.9.4-browser", "2026.9.4-r20260915"] {
            assert!(!is_moving(tag), "{tag}");
        }
        assert_eq!(version_of("2026.9.4-slim").expect("a version").as_str(), "2026.9.4");
    }
}
