//! A stream that ends well only where its bytes are those that were promised.

use std::io::{self, Read};

use crate::digest::{Hasher, Sha256};

/// A reader that takes the digest of what passes through it.
///
/// Whoever reads it to its end knows that the bytes are the right ones: instead of the end of the
/// file there is an error where they are not. Before that, nothing is known about them.
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
#[error("{what} has the digest {} and not {}", found.oci(), expected.oci())]
pub(super) struct WrongDigest {
    pub(super) what: String,
    pub(super) expected: Sha256,
    pub(super) found: Sha256,
}

impl WrongDigest {
    /// The one that `error` is about, if any.
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }
}

impl<R: Read> Verified<R> {
    /// Holds `inner` against a digest and, where it is known, a length in bytes.
    pub(super) fn new(inner: R, what: String, expected: Sha256, size: Option<u64>) -> Self {
        Self { inner, what, expected, size, read: 0, digester: Hasher::default() }
    }

    fn wrong_length(&self) -> io::Error {
        let wanted = self.size.unwrap_or_default();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("{} is not {wanted} bytes long, as it should be", self.what),
        )
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
        // Asked once more, it says the same again.
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
