//! Reads a range of a file without moving the file's cursor.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// Several sections of one file can be read concurrently.
pub struct Section<'a> {
    file: &'a File,
    offset: u64,
    left: u64,
}

impl<'a> Section<'a> {
    pub const fn new(file: &'a File, offset: u64, size: u64) -> Self {
        Self { file, offset, left: size }
    }

    pub(super) const fn left(&self) -> u64 {
        self.left
    }
}

impl Read for Section<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        self.left -= count as u64;
        Ok(count)
    }
}
