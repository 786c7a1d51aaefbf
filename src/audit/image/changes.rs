//! Compares what the layers above the base image change with what the lock makes.

use std::collections::{BTreeMap, BTreeSet};

use super::packages::{Packages, WrittenBy};
use super::siblings::Siblings;
use crate::diagnostics::Code;
use crate::lock::Lock;
use crate::oci::{ChangedNode, FoundFile, PathChange};
use crate::project::values::Arch;
use crate::project::{BIN_DIR, LIB_DIR};

/// Folders that no Debian package writes to, and a file that none has.
const NO_PACKAGE: [&str; 8] =
    ["app/", "home/", "opt/", "root/", "srv/", "tmp/", "usr/local/", "etc/ld.so.preload"];

/// A path that the lock does not account for.
pub(super) struct Other {
    /// Absolute, with other bytes than printable ASCII escaped.
    pub(super) path: String,
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) writer: WrittenBy,
}

/// The files that the lock adds to the base image.
pub(super) struct Accounted<'a> {
    lock: &'a Lock,
    arch: Arch,
    /// By folder in the image, the files of each archive that is installed as a whole.
    siblings: BTreeMap<Vec<u8>, Result<Siblings, String>>,
}

impl<'a> Accounted<'a> {
    pub(super) const fn new(
        lock: &'a Lock,
        arch: Arch,
        siblings: BTreeMap<Vec<u8>, Result<Siblings, String>>,
    ) -> Self {
        Self { lock, arch, siblings }
    }

    /// The changes that the lock does not account for; below a folder that is new or gone, only the folder.
    /// `packages`: the packages in the image, if the project installs any.
    pub(super) fn others(
        &self,
        changes: &[PathChange],
        layers: usize,
        packages: Option<&Packages>,
    ) -> Vec<Other> {
        let mut whole = BTreeSet::new();
        let mut others = Vec::new();
        for change in changes.iter().filter(|change| !self.has(change)) {
            if ancestors(&change.path).any(|folder| whole.contains(folder)) {
                continue;
            }
            let mut other = other(change, layers);
            if let Some(packages) = packages.filter(|_| may_be_packages(&change.path)) {
                match packages.judge(change) {
                    Ok(writer) => other.writer = writer,
                    Err(why) => other.message = why,
                }
            }
            let is_kept_folder = change.in_base && matches!(change.now, Some(ChangedNode::Directory { .. }));
            // Below a package's new folder there may be files that no package has.
            if !is_kept_folder && other.writer == WrittenBy::Unknown {
                whole.insert(change.path.as_slice());
            }
            others.push(other);
        }
        others.extend(self.missing(changes));
        others
    }

    fn has(&self, change: &PathChange) -> bool {
        let path = change.path.as_slice();
        let Some(now) = &change.now else {
            return self.is_command(path);
        };
        if let ChangedNode::Directory { shared: false } = now
            && self.is_parent(path)
        {
            return true;
        }
        // The program itself is compared with the lock, behind every link.
        if self.is_command(path) {
            return true;
        }
        let folder = self.siblings.iter().find_map(|(folder, files)| {
            Some((path.strip_prefix(folder.as_slice())?.strip_prefix(b"/")?, files))
        });
        match folder {
            Some((inside, Ok(files))) => files.has(inside, now),
            // Reported once, by the caller.
            Some((_, Err(_))) => true,
            None => false,
        }
    }

    fn is_command(&self, path: &[u8]) -> bool {
        self.lock.binaries.iter().any(|(tool, locked)| {
            locked.builds.contains_key(&self.arch) && path == format!("{BIN_DIR}/{tool}").as_bytes()
        })
    }

    fn is_parent(&self, path: &[u8]) -> bool {
        let bin = format!("{BIN_DIR}/").into_bytes();
        let folders = self.siblings.keys().map(|folder| [folder.as_slice(), b"/"].concat());
        let inside = [path, b"/"].concat();
        std::iter::once(bin).chain(folders).any(|folder| folder.starts_with(&inside))
    }

    /// Files of archives that are not in the image.
    fn missing(&self, changes: &[PathChange]) -> Vec<Other> {
        let found: BTreeSet<_> = changes
            .iter()
            .filter(|change| change.now.is_some())
            .map(|change| change.path.as_slice())
            .collect();
        let mut missing = Vec::new();
        for (folder, files) in &self.siblings {
            for path in files.iter().flat_map(Siblings::paths) {
                let path = [folder.as_slice(), b"/", path].concat();
                if !found.contains(path.as_slice()) {
                    missing.push(Other {
                        path: shown(&path),
                        code: Code::NotInImage,
                        message: "it is in the locked archive, and not in the image".to_owned(),
                        writer: WrittenBy::Unknown,
                    });
                }
            }
        }
        missing
    }
}

/// The folder of a tool whose archive is installed as a whole.
pub(super) fn folder_of(tool: &impl std::fmt::Display) -> Vec<u8> {
    format!("{LIB_DIR}/{tool}").into_bytes()
}

fn other(change: &PathChange, layers: usize) -> Other {
    let from = match &change.now {
        Some(ChangedNode::File(FoundFile::File { layer, .. })) => {
            format!(", from layer {} of {layers},", layer + 1)
        }
        _ => String::new(),
    };
    let (code, message) = match (&change.now, change.in_base) {
        (None, _) => (Code::NotInImage, "it is in the base image, and not there any more".to_owned()),
        (Some(ChangedNode::Directory { shared: true }), _) => {
            (Code::ChecksumMismatch, "other users than root may write to this folder".to_owned())
        }
        (Some(_), true) => (Code::ChecksumMismatch, format!("it{from} is not as in the base image")),
        (Some(_), false) => (
            Code::NotInLock,
            format!("it{from} is in the image, and neither in the lock nor in the base image"),
        ),
    };
    Other { path: shown(&change.path), code, message, writer: WrittenBy::Unknown }
}

/// Whether Debian packages write to this folder.
fn may_be_packages(path: &[u8]) -> bool {
    let inside = [path, b"/"].concat();
    !NO_PACKAGE.iter().any(|prefix| {
        let prefix = prefix.as_bytes();
        path.starts_with(prefix) || (prefix.ends_with(b"/") && inside.starts_with(prefix))
    })
}

fn shown(path: &[u8]) -> String {
    format!("/{}", path.escape_ascii())
}

fn ancestors(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at])
}
