//! Zip: members by the central directory, as unzip takes them.
//!
//! PKWARE's APPNOTE 6.3.10 is the format. A zip can be read from its start, by the headers before
//! each member, or from its end, by the directory: where the two disagree, readers do. The crate
//! holds them against each other and finds members that overlap. What it forgives is asked for
//! here: bytes before the archive and after it, a directory that is not where it should be.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::result::ZipError;
use zip::{CompressionMethod, ExtraField, System, ZipArchive, ZipReadOptions};

use super::error::Error;
use super::path::lossy;
use super::search::{Kind, Search};
use super::stream::{Meter, Metered, expect_magic};
use crate::project::values::Packing;

/// The directory is kept in memory, a few times over. A member takes some hundred bytes of it.
const LARGEST_DIRECTORY: u64 = 32 << 20;

/// The flag of a name in UTF-8 (APPNOTE 4.4.4, bit 11).
const UTF8: u16 = 1 << 11;

/// Where a member's own header tells its flags (APPNOTE 4.3.7).
const FLAGS: u64 = 6;

/// What is fixed of a member's entry in the directory, and where it tells the version that is needed to
/// unpack the member, and the lengths of the three texts that follow (APPNOTE 4.3.12).
const ENTRY: usize = 46;
const VERSION_NEEDED: usize = 6;
const LENGTHS: [usize; 3] = [28, 30, 32];

/// The newest version that unzip takes. It skips the others (APPNOTE 4.4.3).
const NEWEST: u16 = 46;

/// No path can be longer on Linux, and so no useful target of a link.
const LONGEST_TARGET: u64 = 4096;

/// Tells `search` of every member of a zip archive.
pub(super) fn walk(file: &mut (impl Read + Seek), search: &mut Search<'_>) -> Result<(), Error> {
    expect_magic(file, Packing::Zip)?;
    let end = check_end(file)?;
    if end.members > search.limits().members {
        return Err(Error::TooManyMembers { limit: search.limits().members });
    }
    file.seek(SeekFrom::Start(end.offset)).map_err(Error::Read)?;
    let mut directory = Vec::new();
    file.take(end.size).read_to_end(&mut directory).map_err(Error::Read)?;
    let packed = file.seek(SeekFrom::End(0)).map_err(Error::Read)?;
    let mut meter = Meter::new(packed, search.limits());
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, BufReader::new(file)).map_err(from_zip)?;
    if archive.has_duplicate_names() || archive.len() != end.members {
        return Err(Error::Damaged("the directory of the zip holds a name twice".to_owned()));
    }
    if archive.has_overlapping_entries().map_err(from_zip)? {
        return Err(Error::Damaged("members of the zip overlap".to_owned()));
    }
    let mut marked = Vec::with_capacity(archive.len());
    let mut reach = 0;
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(from_zip)?;
        marked.push((entry.header_start(), entry.flags().as_u16() & UTF8, lossy(entry.name_raw())));
        let at = entry.central_header_start().checked_sub(end.offset).and_then(|at| usize::try_from(at).ok());
        let entry = at.and_then(|at| directory.get(at..)?.first_chunk::<ENTRY>());
        let (Some(at), Some(entry)) = (at, entry) else { return Err(misplaced()) };
        let half = |at: usize| u16::from_le_bytes([entry[at], entry[at + 1]]);
        if half(VERSION_NEEDED) > NEWEST {
            return Err(Error::Unsupported("a newer version of the format"));
        }
        reach =
            reach.max(LENGTHS.iter().fold(at + ENTRY, |reach, length| reach + usize::from(half(*length))));
        member(&mut archive, index, &mut meter, search)?;
    }
    // The crate forgives it, and unzip unpacks, warns, and does not exit with zero.
    if reach != directory.len() {
        return Err(misplaced());
    }
    check_marks(archive.into_inner(), marked)
}

/// Holds the mark of a name in UTF-8, which the crate leaves out, of each member's own header against the
/// directory's: where they differ, unzip unpacks the member, warns, and does not exit with zero.
fn check_marks(mut file: impl Read + Seek, marked: Vec<(u64, u16, String)>) -> Result<(), Error> {
    let length = file.seek(SeekFrom::End(0)).map_err(Error::Read)?;
    for (header, mark, path) in marked {
        let mut flags = [0; 2];
        let outside = || Error::Damaged("a member of the zip is told to lie outside of it".to_owned());
        let at = header.checked_add(FLAGS).filter(|at| *at < length).ok_or_else(outside)?;
        file.seek(SeekFrom::Start(at)).map_err(Error::Read)?;
        file.read_exact(&mut flags).map_err(Error::from_reader)?;
        if u16::from_le_bytes(flags) & UTF8 != mark {
            let how = "one of them alone marks the name as UTF-8".to_owned();
            return Err(Error::HeadersDisagree { path, how });
        }
    }
    Ok(())
}

fn member<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    meter: &mut Meter,
    search: &mut Search<'_>,
) -> Result<(), Error> {
    let entry = archive.by_index_data(index).map_err(from_zip)?;
    let name = entry.name_raw().to_vec();
    check_name(&name, entry.flags().as_u16() & UTF8 != 0 || entry.system() == System::Unix)?;
    let (encrypted, method, size) = (entry.encrypted(), entry.compression(), entry.size());
    let mut target = Vec::new();
    let kind = match (file_type(entry.external_attributes()), name.ends_with(b"/")) {
        (FileType::Folder | FileType::Unknown, true) => Kind::Folder,
        (FileType::Regular | FileType::Unknown, false) => {
            Kind::File { executable: (entry.external_attributes() >> 16) & 0o111 != 0 }
        }
        (FileType::Symlink, false) => {
            open(archive, index, &name)?
                .take(LONGEST_TARGET)
                .read_to_end(&mut target)
                .map_err(Error::from_reader)?;
            Kind::Symlink(&target)
        }
        _ => {
            let kind = "neither a file, nor a folder, nor a link";
            return Err(Error::Special { path: lossy(&name), kind });
        }
    };
    let Some(path) = search.enter(&name, kind, false)? else { return Ok(()) };
    if encrypted {
        return Err(Error::Encrypted { path: path.to_text() });
    }
    if method != CompressionMethod::Stored && method != CompressionMethod::Deflated {
        let method = method.to_string();
        return Err(Error::Method { path: path.to_text(), method });
    }
    let file = open(archive, index, &name)?;
    if file.extra_data_fields().any(|field| matches!(field, ExtraField::UnicodePath(_))) {
        return Err(Error::Unsupported("a second name for a member of the zip"));
    }
    let mut data = AsTold { left: size, inner: Metered { inner: file, meter } };
    search.file(path, &mut data)
}

/// A member's content, its own header held against the directory.
fn open<'a, R: Read + Seek>(
    archive: &'a mut ZipArchive<R>,
    index: usize,
    name: &[u8],
) -> Result<ZipFile<'a, R>, Error> {
    const DISAGREE: &str = "header inconsistency detected: ";
    let options = ZipReadOptions::new().enforce_header_consistency(true);
    archive.by_index_with_options(index, options).map_err(|error| match error {
        ZipError::InvalidArchive(told) if told.starts_with(DISAGREE) => {
            Error::HeadersDisagree { path: lossy(name), how: told[DISAGREE.len()..].to_owned() }
        }
        error => from_zip(error),
    })
}

/// Holds what comes out against the size that the directory tells.
struct AsTold<R> {
    left: u64,
    inner: R,
}

impl<R: Read> Read for AsTold<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        let left = self.left.checked_sub(count as u64).filter(|left| count > 0 || *left == 0);
        let wrong = || Error::Damaged("a member of the zip has not the size that is told".to_owned());
        self.left = if into.is_empty() { self.left } else { left.ok_or_else(wrong)? };
        Ok(count)
    }
}

/// What the upper half of the attributes says, by the values of `st_mode` (APPNOTE 4.4.15; unzip
/// trusts them whatever system the archive is from).
enum FileType {
    Unknown,
    Regular,
    Folder,
    Symlink,
    Other,
}

fn file_type(attributes: u32) -> FileType {
    match (attributes >> 16) & 0o170_000 {
        0 => FileType::Unknown,
        0o100_000 => FileType::Regular,
        0o040_000 => FileType::Folder,
        0o120_000 => FileType::Symlink,
        _ => FileType::Other,
    }
}

/// Names are UTF-8: by the flag, or since Unix says nothing else today. unzip translates others.
fn check_name(name: &[u8], is_utf8: bool) -> Result<(), Error> {
    let bad = |why| Err(Error::BadName { name: lossy(name), why });
    if std::str::from_utf8(name).is_err() {
        return bad("is not UTF-8");
    }
    if !name.is_ascii() && !is_utf8 {
        return bad("is not marked as UTF-8");
    }
    if name.contains(&b'\\') {
        return bad("holds a backslash, which some readers take for a slash");
    }
    Ok(())
}

/// What the record at the end tells.
struct End {
    members: usize,
    /// Of the directory, in bytes.
    size: u64,
    /// Where the directory begins.
    offset: u64,
}

/// Finds the record that ends every zip, and holds it to be the last thing in the file, right
/// behind the directory that it tells of.
///
/// This leaves out zip64, which begins at 65 535 members or 4 GiB.
fn check_end(file: &mut (impl Read + Seek)) -> Result<End, Error> {
    const RECORD: usize = 22;
    const SIGNATURE: &[u8; 4] = b"PK\x05\x06";
    let length = file.seek(SeekFrom::End(0)).map_err(Error::Read)?;
    let start = length.saturating_sub((RECORD + usize::from(u16::MAX)) as u64);
    file.seek(SeekFrom::Start(start)).map_err(Error::Read)?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(Error::Read)?;
    let at = tail.windows(SIGNATURE.len()).rposition(|four| four == SIGNATURE).ok_or(Error::CutShort)?;
    let record = tail[at..].first_chunk::<RECORD>().ok_or(Error::CutShort)?;
    let half = |at: usize| u16::from_le_bytes([record[at], record[at + 1]]);
    let word = |at: usize| u32::from(half(at)) | u32::from(half(at + 2)) << 16;
    let (members, size, offset, comment) = (half(10), word(12), word(16), half(20));
    if members == u16::MAX || size == u32::MAX || offset == u32::MAX {
        return Err(Error::Unsupported("zip64"));
    }
    match tail.len().cmp(&(at + RECORD + usize::from(comment))) {
        std::cmp::Ordering::Less => return Err(Error::CutShort),
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => return Err(Error::TrailingBytes),
    }
    if (half(4), half(6), half(8)) != (0, 0, members) {
        return Err(Error::Unsupported("several volumes"));
    }
    if u64::from(offset) + u64::from(size) != start + at as u64 {
        return Err(misplaced());
    }
    if u64::from(size) > LARGEST_DIRECTORY {
        return Err(Error::Unsupported("a zip directory of more than 32 MiB"));
    }
    Ok(End { members: usize::from(members), size: size.into(), offset: offset.into() })
}

fn misplaced() -> Error {
    Error::Damaged("the directory of the zip is not where it should be".to_owned())
}

fn from_zip(error: ZipError) -> Error {
    match error {
        ZipError::Io(error) => Error::from_reader(error),
        ZipError::InvalidArchive(told) => Error::Damaged(told.into_owned()),
        other => Error::Damaged(other.to_string()),
    }
}
