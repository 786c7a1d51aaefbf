//! A file without a name, for what is read out of archives before its place in the layer is known.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::error::ImageError;
use crate::oci::Section;

/// Pieces of bytes, one after another, on the disk and not in memory.
pub(super) struct TempSpool {
    folder: PathBuf,
    file: BufWriter<File>,
    end: u64,
}

/// A piece: where it begins, and its length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    offset: u64,
    pub(super) size: u64,
}

impl TempSpool {
    /// An empty one on the disk of `folder`. It is gone with the process, however that ends.
    pub(super) fn new(folder: &Path) -> Result<Self, ImageError> {
        let file = tempfile::tempfile_in(folder).map_err(ImageError::io(folder, "make a temporary file"))?;
        Ok(Self { folder: folder.to_owned(), file: BufWriter::with_capacity(256 << 10, file), end: 0 })
    }

    /// Where the next piece begins.
    pub(super) const fn position(&self) -> u64 {
        self.end
    }

    /// What was written since `position`.
    pub(super) const fn since(&self, position: u64) -> Piece {
        Piece { offset: position, size: self.end - position }
    }

    /// The same bytes, to be read.
    pub(super) fn finish(self) -> Result<Pieces, ImageError> {
        let failed = ImageError::io(&self.folder, "write a temporary file");
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        Ok(Pieces { file })
    }
}

impl Write for TempSpool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.end += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A spool that is full.
pub(super) struct Pieces {
    file: File,
}

impl Pieces {
    /// The bytes of a piece.
    pub(super) const fn read(&self, piece: Piece) -> impl Read + '_ {
        Section::new(&self.file, piece.offset, piece.size)
    }
}
