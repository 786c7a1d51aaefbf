//! A temporary file for contents whose position in the layer is not known yet.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use super::error::ImageError;
use crate::oci::Section;

pub(super) struct TempSpool {
    folder: PathBuf,
    file: BufWriter<File>,
    end: u64,
}

/// Offset and length in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Piece {
    offset: u64,
    pub(super) size: u64,
}

impl TempSpool {
    /// An unlinked file on the file system of `folder`.
    pub(super) fn new(folder: &Path) -> Result<Self, ImageError> {
        let file = tempfile::tempfile_in(folder).map_err(ImageError::io(folder, "make a temporary file"))?;
        Ok(Self { folder: folder.to_owned(), file: BufWriter::with_capacity(256 << 10, file), end: 0 })
    }

    pub(super) const fn position(&self) -> u64 {
        self.end
    }

    /// The data written since `position`.
    pub(super) const fn since(&self, position: u64) -> Piece {
        Piece { offset: position, size: self.end - position }
    }

    /// Switches to reading.
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

pub(super) struct Pieces {
    file: File,
}

impl Pieces {
    pub(super) const fn read(&self, piece: Piece) -> impl Read + '_ {
        Section::new(&self.file, piece.offset, piece.size)
    }
}
