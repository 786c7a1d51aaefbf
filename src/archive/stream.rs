//! Decompression with bounded memory and output.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use bzip2::bufread::MultiBzDecoder;
use flate2::bufread::MultiGzDecoder;
use liblzma::bufread::XzDecoder;
use liblzma::stream::{CONCATENATED, Stream as Xz, TELL_UNSUPPORTED_CHECK};

use super::Limits;
use super::error::ArchiveError;
use super::file_kind::FileKind;
use super::search::read_head;
use crate::project::values::ArchiveFormat;

/// Read size of the compressed file.
const BUFFER: usize = 64 << 10;

/// 2^27 bytes: zstd's default limit, and the requirement of xz's highest preset.
const WINDOW_LOG: u32 = 27;
const MEMORY: u64 = 1 << WINDOW_LOG;

/// Output that is exempt from the compression ratio.
const FREE: u64 = 16 << 20;

/// Counts decompressed bytes and enforces the limits.
pub(super) struct UnpackBudget {
    out: u64,
    packed: u64,
    limits: Limits,
}

impl UnpackBudget {
    /// `packed` is the compressed size in bytes.
    pub(super) const fn new(packed: u64, limits: Limits) -> Self {
        Self { out: 0, packed, limits }
    }

    fn count(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        self.out = self.out.saturating_add(bytes as u64);
        if self.out > self.limits.total_bytes {
            return Err(ArchiveError::TooLarge { limit: self.limits.total_bytes });
        }
        if self.out > self.packed.saturating_mul(self.limits.ratio).max(FREE) {
            return Err(ArchiveError::Bomb { limit: self.limits.ratio });
        }
        Ok(())
    }
}

pub(super) struct BudgetedReader<'a, R> {
    pub(super) inner: R,
    pub(super) meter: &'a mut UnpackBudget,
}

impl<R: Read> Read for BudgetedReader<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.meter.count(count)?;
        Ok(count)
    }
}

pub(super) struct Stream<'a> {
    decoder: Box<dyn Read + 'a>,
    meter: UnpackBudget,
    ended: bool,
}

impl Read for Stream<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.decoder.read(into).map_err(translate)?;
        self.ended = count == 0 && !into.is_empty();
        self.meter.count(count)?;
        Ok(count)
    }
}

impl Stream<'_> {
    /// Whether the last read reached the end.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }
}

/// Opens a file other than zip; fails if its magic does not match the name.
pub(super) fn open(
    file: &mut (impl Read + Seek),
    packing: ArchiveFormat,
    limits: Limits,
) -> Result<Stream<'_>, ArchiveError> {
    let packed = file.seek(SeekFrom::End(0)).map_err(ArchiveError::Read)?;
    expect_magic(file, packing)?;
    let input = BufReader::with_capacity(BUFFER, file);
    let decoder = decoder(input, packing).map_err(ArchiveError::from_reader)?;
    Ok(Stream { decoder, meter: UnpackBudget::new(packed, limits), ended: false })
}

/// Checks the magic of a file, then rewinds.
pub(super) fn expect_magic(
    file: &mut (impl Read + Seek),
    packing: ArchiveFormat,
) -> Result<(), ArchiveError> {
    let (kind, expected) = match packing {
        ArchiveFormat::TarGz | ArchiveFormat::Gz => (FileKind::Gzip, "a gzip file"),
        ArchiveFormat::TarXz | ArchiveFormat::Xz => (FileKind::Xz, "an xz file"),
        ArchiveFormat::TarBz2 | ArchiveFormat::Bz2 => (FileKind::Bzip2, "a bzip2 file"),
        ArchiveFormat::TarZst | ArchiveFormat::Zst => (FileKind::Zstd, "a Zstandard file"),
        ArchiveFormat::Zip => (FileKind::Zip, "a zip archive"),
        // Checked while reading.
        ArchiveFormat::Tar | ArchiveFormat::Bare => return file.rewind().map_err(ArchiveError::Read),
    };
    file.rewind().map_err(ArchiveError::Read)?;
    let found = FileKind::at(&read_head(file)?);
    if found != kind {
        return Err(ArchiveError::OtherKind { expected, found });
    }
    file.rewind().map_err(ArchiveError::Read)
}

/// Each decoder verifies its format's checksums, continues with concatenated streams, and rejects trailing
/// data.
fn decoder<'a>(input: impl BufRead + 'a, packing: ArchiveFormat) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match packing {
        ArchiveFormat::TarGz | ArchiveFormat::Gz => Box::new(MultiGzDecoder::new(input)),
        ArchiveFormat::TarXz | ArchiveFormat::Xz => {
            let xz = Xz::new_stream_decoder(MEMORY, CONCATENATED | TELL_UNSUPPORTED_CHECK)?;
            Box::new(XzDecoder::new_stream(input, xz))
        }
        ArchiveFormat::TarBz2 | ArchiveFormat::Bz2 => Box::new(MultiBzDecoder::new(input)),
        ArchiveFormat::TarZst | ArchiveFormat::Zst => {
            let mut zstd = zstd::Decoder::with_buffer(input)?;
            zstd.window_log_max(WINDOW_LOG)?;
            Box::new(zstd)
        }
        ArchiveFormat::Tar | ArchiveFormat::Zip | ArchiveFormat::Bare => Box::new(input),
    })
}

/// Recognizes decoder errors that are not `damaged`.
fn translate(error: io::Error) -> io::Error {
    let lzma = error.get_ref().and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>());
    match lzma {
        Some(liblzma::stream::Error::MemLimit) => return ArchiveError::Memory { limit: MEMORY }.into(),
        Some(liblzma::stream::Error::UnsupportedCheck) => {
            return ArchiveError::Unsupported("an unknown checksum type of xz").into();
        }
        _ => {}
    }
    // The crate returns only the text of `ZSTD_error_frameParameter_windowTooLarge`.
    if error.to_string().contains("requires too much memory") {
        return ArchiveError::Memory { limit: MEMORY }.into();
    }
    error
}
