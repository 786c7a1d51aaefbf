//! The added layer as a reproducible compressed tarball (image-spec, "Image Layer Filesystem Changeset").

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::Recipe;
use super::error::ImageError;
use super::gzip::Gzip;
use super::layer_tree::{LayerNode, LayerTree};
use super::spool::Pieces;
use crate::digest::{Hasher, Sha256};

/// In an unlinked file.
pub(super) struct BuiltLayer {
    pub(super) file: File,
    /// Compressed size in bytes.
    pub(super) size: u64,
    /// Digest of the compressed layer.
    pub(super) digest: Sha256,
    /// Digest of the uncompressed layer.
    pub(super) diff_id: Sha256,
}

/// Writes the layer for `tree`, whose file contents are in `pieces`.
pub(super) fn write(
    tree: &LayerTree,
    pieces: &Pieces,
    recipe: &Recipe<'_>,
) -> Result<BuiltLayer, ImageError> {
    let failed = || ImageError::io(recipe.scratch, "write a temporary file");
    let file = tempfile::tempfile_in(recipe.scratch).map_err(failed())?;
    compressed(tree, pieces, mtime(recipe), file).map_err(failed())
}

/// Digest of the uncompressed layer.
pub(super) fn diff_id(tree: &LayerTree, pieces: &Pieces, recipe: &Recipe<'_>) -> Result<Sha256, ImageError> {
    let mut tarball = LayerBuilder::new(Hashing::new(io::sink()), mtime(recipe));
    let packed = pack(tree, pieces, &mut tarball).and_then(|()| tarball.finish());
    Ok(packed.map_err(ImageError::io(recipe.scratch, "read a temporary file"))?.hasher.finish())
}

/// Timestamp of every entry, in seconds since 1970.
pub(super) fn mtime(recipe: &Recipe<'_>) -> u64 {
    u64::try_from(recipe.created.as_second()).unwrap_or_default()
}

fn compressed(tree: &LayerTree, pieces: &Pieces, mtime: u64, file: File) -> io::Result<BuiltLayer> {
    let stored = Hashing::new(BufWriter::with_capacity(256 << 10, file));
    let mut tarball = LayerBuilder::new(Hashing::new(Gzip::new(stored)?), mtime);
    pack(tree, pieces, &mut tarball)?;
    let Hashing { inner: compressed, hasher, .. } = tarball.finish()?;
    let diff_id = hasher.finish();
    let Hashing { inner: file, hasher, count: size } = compressed.finish()?;
    let file = file.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(BuiltLayer { file, size, digest: hasher.finish(), diff_id })
}

fn pack<W: Write>(tree: &LayerTree, pieces: &Pieces, tarball: &mut LayerBuilder<W>) -> io::Result<()> {
    for (path, node) in tree.nodes() {
        let path = Path::new(OsStr::from_bytes(path));
        match node {
            LayerNode::Symlink(target) => tarball.link(path, EntryType::Symlink, target, 0o777)?,
            LayerNode::HardLink(target) => tarball.link(path, EntryType::Link, target, 0o644)?,
            LayerNode::Folder => tarball.folder(path)?,
            LayerNode::File { piece, executable } => {
                tarball.file(path, piece.size, *executable, pieces.read(*piece))?;
            }
        }
    }
    Ok(())
}

/// All entries belong to root and have the same timestamp.
pub(super) struct LayerBuilder<W: Write> {
    archive: Builder<W>,
    mtime: u64,
}

impl<W: Write> LayerBuilder<W> {
    pub(super) fn new(inner: W, mtime: u64) -> Self {
        Self { archive: Builder::new(inner), mtime }
    }

    pub(super) fn file(
        &mut self,
        path: &Path,
        size: u64,
        executable: bool,
        content: impl Read,
    ) -> io::Result<()> {
        let mut header = self.header(EntryType::Regular, if executable { 0o755 } else { 0o644 }, size);
        self.archive.append_data(&mut header, path, content)
    }

    fn folder(&mut self, path: &Path) -> io::Result<()> {
        let mut header = self.header(EntryType::Directory, 0o755, 0);
        // The oldest readers recognize a folder by its trailing slash.
        self.archive.append_data(&mut header, path.join(""), io::empty())
    }

    fn link(&mut self, path: &Path, kind: EntryType, target: &[u8], mode: u32) -> io::Result<()> {
        let mut header = self.header(kind, mode, 0);
        self.archive.append_link(&mut header, path, Path::new(OsStr::from_bytes(target)))
    }

    fn header(&self, kind: EntryType, mode: u32, size: u64) -> Header {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header
    }

    pub(super) fn finish(self) -> io::Result<W> {
        self.archive.into_inner()
    }
}

/// A reader or writer that hashes the data.
pub(super) struct Hashing<T> {
    pub(super) inner: T,
    pub(super) hasher: Hasher,
    /// In bytes.
    pub(super) count: u64,
}

impl<T> Hashing<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner, hasher: Hasher::default(), count: 0 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hasher.update(&bytes[..count]);
        self.count += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.count += count as u64;
        Ok(count)
    }
}
