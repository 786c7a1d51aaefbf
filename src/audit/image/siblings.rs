//! The files of an archive that is installed as a whole. The lock has the checksum of the archive only, so
//! the files are compared with the archive in the cache.

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::archive::{self, Unpack};
use crate::digest::{Hasher, Sha256};
use crate::fetch::{Cache, Kept};
use crate::lock::Build;
use crate::oci::{ChangedNode, FoundFile};
use crate::project::values::Arch;

/// By path in the archive.
pub(super) struct Siblings(BTreeMap<Vec<u8>, Sibling>);

#[derive(Clone)]
enum Sibling {
    Directory,
    File(Sha256),
    Symlink(Vec<u8>),
}

impl Siblings {
    /// Reads the locked archive; fails with the reason if the cache does not have it.
    pub(super) fn read(build: &Build, arch: Arch, cache: &Cache) -> Result<Self, String> {
        let mut file = match cache.look(&build.sha256) {
            Ok(Kept::Sound(file)) => file,
            Ok(Kept::Nothing | Kept::Altered(_)) => {
                return Err("the archive is not in the cache; `bake fetch` brings it".to_owned());
            }
            Err(error) => return Err(error.to_string()),
        };
        let format = build.archive_format();
        let mut reader = SiblingReader { files: BTreeMap::new(), open: None };
        archive::read_all(&mut file, format, &build.binary, arch, &archive::Limits::default(), &mut reader)
            .map_err(|error| error.to_string())?;
        reader.close();
        Ok(Self(reader.files))
    }

    pub(super) fn paths(&self) -> impl Iterator<Item = &[u8]> {
        self.0.keys().map(Vec::as_slice)
    }

    /// Whether the archive has this at `path`.
    pub(super) fn has(&self, path: &[u8], found: &ChangedNode) -> bool {
        match (self.0.get(path), found) {
            (Some(Sibling::Directory), ChangedNode::Directory { shared }) => !shared,
            // Archives may omit the entries of folders.
            (None, ChangedNode::Directory { shared }) => {
                let inside = [path, b"/"].concat();
                !shared && self.paths().any(|path| path.starts_with(&inside))
            }
            (Some(Sibling::File(expected)), ChangedNode::File(file)) => {
                matches!(file, FoundFile::File { sha256, .. } if sha256 == expected) && super::is_roots(file)
            }
            (Some(Sibling::Symlink(expected)), ChangedNode::Symlink(target)) => expected == target,
            _ => false,
        }
    }
}

struct SiblingReader {
    files: BTreeMap<Vec<u8>, Sibling>,
    /// The file that is being read.
    open: Option<(Vec<u8>, Hasher)>,
}

impl SiblingReader {
    fn close(&mut self) {
        if let Some((path, hasher)) = self.open.take() {
            self.files.insert(path, Sibling::File(hasher.finish()));
        }
    }

    fn insert(&mut self, path: &[u8], sibling: Sibling) {
        self.close();
        self.files.insert(path.to_vec(), sibling);
    }
}

impl Unpack for SiblingReader {
    fn folder(&mut self, path: &[u8]) {
        self.insert(path, Sibling::Directory);
    }

    fn file(&mut self, path: &[u8], _executable: bool) {
        self.close();
        self.open = Some((path.to_vec(), Hasher::default()));
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) {
        self.insert(path, Sibling::Symlink(target.to_vec()));
    }

    fn hard_link(&mut self, path: &[u8], target: &[u8]) {
        self.close();
        if let Some(file) = self.files.get(target).cloned() {
            self.files.insert(path.to_vec(), file);
        }
    }
}

impl Write for SiblingReader {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some((_, hasher)) = &mut self.open {
            hasher.update(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
