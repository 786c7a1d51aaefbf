//! The bytes inside a compression, in bounded memory and with an end to them.

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

/// The compressed file is read in pieces of this size.
const BUFFER: usize = 64 << 10;

/// What zstd allows by default, and xz needs for its largest preset: 2^27 bytes.
const WINDOW_LOG: u32 = 27;
const MEMORY: u64 = 1 << WINDOW_LOG;

/// As many bytes may come out of however few.
const FREE: u64 = 16 << 20;

/// Counts what comes out of a compression, and ends it at the limits.
pub(super) struct UnpackBudget {
    out: u64,
    packed: u64,
    limits: Limits,
}

impl UnpackBudget {
    /// For an archive of so many bytes.
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

/// A reader whose bytes are counted.
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

/// What is inside a compressed file.
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
    /// Whether the last attempt to read met the end.
    pub(super) const fn ended(&self) -> bool {
        self.ended
    }
}

/// Opens a file that is no zip, from its start.
///
/// # Errors
/// Where its first bytes are not those of the compression that its name says.
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

/// Holds the first bytes of a file against its packing, and goes back to its start.
pub(super) fn expect_magic(
    file: &mut (impl Read + Seek),
    packing: ArchiveFormat,
) -> Result<(), ArchiveError> {
    let (kind, expected) = match packing {
        ArchiveFormat::TarGz | ArchiveFormat::Gz => (FileKind::Gzip, "a gzip file"),
        ArchiveFormat::TarXz => (FileKind::Xz, "an xz file"),
        ArchiveFormat::TarBz2 => (FileKind::Bzip2, "a bzip2 file"),
        ArchiveFormat::TarZst => (FileKind::Zstd, "a Zstandard file"),
        ArchiveFormat::Zip => (FileKind::Zip, "a zip archive"),
        // These are looked at where they are read.
        ArchiveFormat::Tar | ArchiveFormat::Bare => return file.rewind().map_err(ArchiveError::Read),
    };
    file.rewind().map_err(ArchiveError::Read)?;
    let found = FileKind::at(&read_head(file)?);
    if found != kind {
        return Err(ArchiveError::OtherKind { expected, found });
    }
    file.rewind().map_err(ArchiveError::Read)
}

/// Each of these verifies the checksums of its format, reads on after the first of several
/// streams in one file, and refuses what follows the last.
fn decoder<'a>(input: impl BufRead + 'a, packing: ArchiveFormat) -> io::Result<Box<dyn Read + 'a>> {
    Ok(match packing {
        ArchiveFormat::TarGz | ArchiveFormat::Gz => Box::new(MultiGzDecoder::new(input)),
        ArchiveFormat::TarXz => {
            let xz = Xz::new_stream_decoder(MEMORY, CONCATENATED | TELL_UNSUPPORTED_CHECK)?;
            Box::new(XzDecoder::new_stream(input, xz))
        }
        ArchiveFormat::TarBz2 => Box::new(MultiBzDecoder::new(input)),
        ArchiveFormat::TarZst => {
            let mut zstd = zstd::Decoder::with_buffer(input)?;
            zstd.window_log_max(WINDOW_LOG)?;
            Box::new(zstd)
        }
        ArchiveFormat::Tar | ArchiveFormat::Zip | ArchiveFormat::Bare => Box::new(input),
    })
}

/// Gives those errors of decoders a name that need another answer than `damaged`.
fn translate(error: io::Error) -> io::Error {
    let lzma = error.get_ref().and_then(|inner| inner.downcast_ref::<liblzma::stream::Error>());
    match lzma {
        Some(liblzma::stream::Error::MemLimit) => return ArchiveError::Memory { limit: MEMORY }.into(),
        Some(liblzma::stream::Error::UnsupportedCheck) => {
            return ArchiveError::Unsupported("a checksum that xz does not know").into();
        }
        _ => {}
    }
    // The crate hands over the text of ZSTD_error_frameParameter_windowTooLarge, and no number.
    if error.to_string().contains("requires too much memory") {
        return ArchiveError::Memory { limit: MEMORY }.into();
    }
    error
}
