//! A reader that verifies the digest at the end of the stream.

use std::io::{self, Read};

use crate::digest::{Hasher, Sha256};

/// Passes data through and hashes it.
///
/// At the end of the stream it returns an error instead of EOF if the digest is wrong. Until then the data
/// is unverified.
pub(super) struct Verified<R> {
    inner: R,
    what: String,
    expected: Sha256,
    size: Option<u64>,
    read: u64,
    digester: Hasher,
}

/// The error of [`Verified`], inside an [`io::Error`].
#[derive(Debug, thiserror::Error)]
#[error("{what} has the digest {}, expected {}", found.oci(), expected.oci())]
pub(super) struct WrongDigest {
    pub(super) what: String,
    pub(super) expected: Sha256,
    pub(super) found: Sha256,
}

impl WrongDigest {
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl<R: Read> Verified<R> {
    /// Expects this digest and, if known, this length in bytes.
    pub(super) fn new(inner: R, what: String, expected: Sha256, size: Option<u64>) -> Self {
        Self { inner, what, expected, size, read: 0, digester: Hasher::default() }
    }

    fn wrong_length(&self) -> io::Error {
        let wanted = self.size.unwrap_or_default();
        io::Error::new(io::ErrorKind::InvalidData, format!("{} is not {wanted} bytes long", self.what))
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        if self.size.is_some_and(|size| self.read > size || (count == 0 && self.read < size)) {
            return Err(self.wrong_length());
        }
        if count > 0 {
            self.digester.update(&buffer[..count]);
            return Ok(count);
        }
        // A repeated read at EOF fails again.
        let found = self.digester.clone().finish();
        if found == self.expected {
            return Ok(0);
        }
        Err(io::Error::new(
            io::ErrorKind::InvalidData,
            WrongDigest { what: self.what.clone(), expected: self.expected, found },
        ))
    }
}
