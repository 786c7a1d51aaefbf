//! Paths of members and targets of links.

use super::error::ArchiveError;
use crate::project::values::InnerPath;

/// A path that stays inside the archive.
#[derive(Debug)]
pub(super) struct MemberPath {
    /// As in the archive.
    raw: Vec<u8>,
    /// Without `.`, repeated slashes and a trailing slash; empty for the root.
    normalized: Vec<u8>,
}

impl MemberPath {
    pub(super) fn new(raw: &[u8]) -> Result<Self, ArchiveError> {
        let bad = |why| Err(ArchiveError::BadName { name: lossy(raw), why });
        if raw.is_empty() {
            return bad("is empty");
        }
        // C programs stop at a NUL, others do not.
        if raw.contains(&0) {
            return bad("contains a NUL");
        }
        if raw[0] == b'/' || parts(raw).any(|part| part == b"..") {
            return Err(ArchiveError::Outside { path: lossy(raw) });
        }
        let normalized = parts(raw).collect::<Vec<_>>().join(&b'/');
        Ok(Self { raw: raw.to_vec(), normalized })
    }

    /// The canonical path.
    pub(super) fn normalized(&self) -> &[u8] {
        &self.normalized
    }

    /// For messages.
    pub(super) fn to_text(&self) -> String {
        lossy(&self.normalized)
    }

    /// As in the archive, for messages.
    pub(super) fn raw(&self) -> String {
        lossy(&self.raw)
    }

    /// Whether the build finds the member by its normalized path: it asks tar for the path with and without
    /// `./`, and unzip for the path only.
    pub(super) fn is_found_plain(&self, in_tar: bool) -> bool {
        let raw = &self.raw[..];
        raw == self.normalized || in_tar && raw.strip_prefix(b"./") == Some(&self.normalized)
    }

    /// As a value for the manifest, if possible.
    pub(super) fn to_inner(&self) -> Option<InnerPath> {
        std::str::from_utf8(&self.normalized).ok()?.parse().ok()
    }

    /// Parent folders, innermost first, without the root.
    pub(super) fn folders(&self) -> impl Iterator<Item = &[u8]> {
        let slashes = self.normalized.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/');
        slashes.map(|(at, _)| &self.normalized[..at])
    }

    /// Resolves a symbolic link at this path within the archive.
    ///
    /// `..` is only allowed at the start of `target`: after a name it would be relative to wherever that
    /// name leads, which may be another link.
    pub(super) fn follow_symlink(&self, target: &[u8]) -> Result<String, ArchiveError> {
        let outside = || ArchiveError::LinkOutside { path: self.to_text(), target: lossy(target) };
        if target.is_empty() || target[0] == b'/' || target.contains(&0) {
            return Err(outside());
        }
        let mut place: Vec<&[u8]> = parts(&self.normalized).collect();
        place.pop();
        let mut went_down = false;
        for part in parts(target) {
            if part != b".." {
                went_down = true;
                place.push(part);
            } else if went_down || place.pop().is_none() {
                return Err(outside());
            }
        }
        Ok(lossy(&place.join(&b'/')))
    }

    /// Resolves a hard link; its target is relative to the root.
    pub(super) fn follow_hard_link(&self, target: &[u8]) -> Result<String, ArchiveError> {
        let outside = |_| ArchiveError::LinkOutside { path: self.to_text(), target: lossy(target) };
        Self::new(target).map(|target| target.to_text()).map_err(outside)
    }
}

pub(super) fn file_name(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

pub(super) fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn parts(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|byte| *byte == b'/').filter(|part| !part.is_empty() && *part != b".")
}

#[cfg(test)]
mod tests {
    use super::{ArchiveError, MemberPath};

    fn path(raw: &str) -> MemberPath {
        MemberPath::new(raw.as_bytes()).expect("a path inside")
    }

    #[test]
    fn equivalent_paths_normalize_to_the_same() {
        for (raw, in_tar, in_zip) in [
            ("a/b", true, true),
            ("./a/b", true, false),
            ("././a/b", false, false),
            ("a//b", false, false),
            ("a/./b", false, false),
            ("a/b/", false, false),
        ] {
            let path = path(raw);
            assert_eq!(path.normalized(), b"a/b", "{raw}");
            assert_eq!((path.is_found_plain(true), path.is_found_plain(false)), (in_tar, in_zip), "{raw}");
        }
        assert_eq!(path("./").normalized(), b"");
        assert_eq!(path("a/b/c").folders().collect::<Vec<_>>(), [&b"a/b"[..], b"a"]);
    }

    #[test]
    fn paths_stay_inside() {
        for outside in ["/a", "..", "../a", "a/../b", "a/..", "./../a"] {
            let refused = MemberPath::new(outside.as_bytes());
            assert!(matches!(refused, Err(ArchiveError::Outside { .. })), "{outside}");
        }
        for bad in ["", "a\0b"] {
            assert!(matches!(MemberPath::new(bad.as_bytes()), Err(ArchiveError::BadName { .. })), "{bad:?}");
        }
    }

    #[test]
    fn links_stay_inside() {
        let link = path("./a/b/link");
        for (target, leads_to) in
            [("x", "a/b/x"), ("../x", "a/x"), ("../../x", "x"), ("./x/", "a/b/x"), ("../..", "")]
        {
            assert_eq!(link.follow_symlink(target.as_bytes()).ok().as_deref(), Some(leads_to), "{target}");
        }
        for outside in ["", "/x", "../../../x", "x/../y", "../x/..", "a\0b"] {
            let refused = link.follow_symlink(outside.as_bytes());
            assert!(matches!(refused, Err(ArchiveError::LinkOutside { .. })), "{outside:?}");
        }
        assert_eq!(link.follow_hard_link(b"./x").ok().as_deref(), Some("x"));
        for outside in ["", "/x", "../x", "x/../y"] {
            let refused = link.follow_hard_link(outside.as_bytes());
            assert!(matches!(refused, Err(ArchiveError::LinkOutside { .. })), "{outside:?}");
        }
    }
}
