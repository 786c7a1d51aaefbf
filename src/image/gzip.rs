//! Parallel gzip with output independent of the number of cores (RFC 1952).
//!
//! The input is split into chunks that are compressed independently and concatenated to one stream with one
//! member.

use std::io::{self, Write};
use std::mem;
use std::thread;

use flate2::{Compress, Compression, Crc, FlushCompress};

use crate::fetch::in_parallel;

/// For 43 MB of Go programs, level 1 yields 51 % in 0.21 s, level 2 42 % in 0.35 s, level 3 41 % in 0.42 s,
/// level 6 39 % in 0.66 s on one core. Level 3 is the last that pays off on connections above 20 Mbit/s.
const LEVEL: u32 = 3;

/// Version of the output; increase it when [`LEVEL`], [`PIECE`] or the compressor changes the bytes.
pub(super) const FORM: &str = "1";

/// In bytes. Independent chunks cost 0.2 % of the size.
const PIECE: usize = 512 << 10;

/// Chunks in memory.
const AT_ONCE: usize = 8;

/// Magic, deflate, no flags, no mtime, no extra flags, unknown OS.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// An empty final block (RFC 1951, 3.2.6).
const END: [u8; 2] = [3, 0];

pub(super) struct Gzip<W> {
    inner: W,
    /// Complete chunks.
    pieces: Vec<Vec<u8>>,
    /// The current chunk.
    piece: Vec<u8>,
    checksum: Crc,
}

impl<W: Write> Gzip<W> {
    pub(super) fn new(mut inner: W) -> io::Result<Self> {
        inner.write_all(&HEADER)?;
        Ok(Self { inner, pieces: Vec::new(), piece: Vec::new(), checksum: Crc::new() })
    }

    /// Writes the remaining data and the trailer.
    pub(super) fn finish(mut self) -> io::Result<W> {
        let last = mem::take(&mut self.piece);
        self.pieces.extend(Some(last).filter(|last| !last.is_empty()));
        self.drain()?;
        self.inner.write_all(&END)?;
        self.inner.write_all(&self.checksum.sum().to_le_bytes())?;
        // Length modulo 2^32.
        self.inner.write_all(&self.checksum.amount().to_le_bytes())?;
        Ok(self.inner)
    }

    fn drain(&mut self) -> io::Result<()> {
        let pieces = mem::take(&mut self.pieces);
        let cores = thread::available_parallelism().map_or(1, usize::from);
        for compressed in in_parallel(&pieces, cores, |piece| deflated(piece)) {
            self.inner.write_all(&compressed?)?;
        }
        Ok(())
    }
}

impl<W: Write> Write for Gzip<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.piece.len() == PIECE {
            self.pieces.push(mem::take(&mut self.piece));
            if self.pieces.len() == AT_ONCE {
                self.drain()?;
            }
        }
        let count = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..count]);
        self.checksum.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        // Flushing must not end a chunk, because the output depends on chunk boundaries.
        self.inner.flush()
    }
}

/// Non-final deflate blocks of a chunk, ending at a byte boundary.
fn deflated(piece: &[u8]) -> io::Result<Vec<u8>> {
    let mut compress = Compress::new(Compression::new(LEVEL), false);
    let mut blocks = Vec::with_capacity(piece.len() / 2);
    loop {
        // Complete once there is spare capacity.
        blocks.reserve(64 << 10);
        let read = usize::try_from(compress.total_in()).unwrap_or(usize::MAX);
        compress.compress_vec(&piece[read..], &mut blocks, FlushCompress::Full)?;
        if blocks.len() < blocks.capacity() {
            return Ok(blocks);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use flate2::read::GzDecoder;

    use super::{AT_ONCE, Gzip, PIECE};

    fn bytes(count: usize) -> Vec<u8> {
        // Both compressible and incompressible data.
        let mut state = 1_u32;
        (0..count)
            .map(|at| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if at / 1000 % 2 == 0 { b'x' } else { state.to_be_bytes()[0] }
            })
            .collect()
    }

    fn compressed(content: &[u8], step: usize) -> Vec<u8> {
        let mut gzip = Gzip::new(Vec::new()).expect("memory");
        for part in content.chunks(step) {
            gzip.write_all(part).expect("memory");
            gzip.flush().expect("memory");
        }
        gzip.finish().expect("memory")
    }

    #[test]
    fn compression_round_trips() {
        for count in [0, 1, 999, PIECE - 1, PIECE, PIECE + 1, PIECE * AT_ONCE, PIECE * AT_ONCE + 1, 3 << 21] {
            let content = bytes(count);
            let packed = compressed(&content, 64 << 10);
            let mut decoder = GzDecoder::new(packed.as_slice());
            let mut unpacked = Vec::new();
            decoder.read_to_end(&mut unpacked).expect("gzip");
            assert!(unpacked == content, "{count}");
            assert!(decoder.into_inner().is_empty(), "{count}");
        }
    }

    #[test]
    fn chunking_of_writes_does_not_change_the_output() {
        let content = bytes(3 << 20);
        let whole = compressed(&content, content.len());
        assert!(whole.len() < content.len() * 2 / 3);
        for step in [1000, PIECE - 1, PIECE, PIECE * 3] {
            assert!(compressed(&content, step) == whole, "{step}");
        }
    }
}
