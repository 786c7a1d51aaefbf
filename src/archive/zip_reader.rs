//! Reads zip archives by their central directory, as unzip does.
//!
//! The format is PKWARE's APPNOTE 6.3.10. A zip can be read front to back by local headers or from the
//! central directory, and readers differ if the two disagree. The crate compares them and detects
//! overlapping members. This module additionally rejects what the crate tolerates: data before and after
//! the archive, and a misplaced directory.

use std::io::{self, BufReader, Read, Seek, SeekFrom};

use zip::read::{ArchiveOffset, Config, ZipFile};
use zip::result::ZipError;
use zip::{CompressionMethod, ExtraField, System, ZipArchive, ZipReadOptions};

use super::error::ArchiveError;
use super::path::lossy;
use super::search::{MemberKind, Search};
use super::stream::{BudgetedReader, UnpackBudget, expect_magic};
use crate::project::values::ArchiveFormat;

/// The directory is held in memory several times; a member takes about a hundred bytes.
const LARGEST_DIRECTORY: u64 = 32 << 20;

/// Flags (APPNOTE 4.4.4): a data descriptor follows the content; the name is UTF-8.
const DESCRIBED: u16 = 1 << 3;
const UTF8: u16 = 1 << 11;

/// Fixed part of a local header, and offsets of its flags, name length and extra length (APPNOTE 4.3.7).
const HEADER: usize = 30;
const FLAGS: usize = 6;
const NAME_LENGTH: usize = 26;
const EXTRA_LENGTH: usize = 28;

/// Fixed part of a directory entry, and offsets of the required version and the three lengths (APPNOTE
/// 4.3.12).
const ENTRY: usize = 46;
const VERSION_NEEDED: usize = 6;
const LENGTHS: [usize; 3] = [28, 30, 32];

/// The highest version that unzip supports; it skips members above (APPNOTE 4.4.3).
const NEWEST: u16 = 46;

/// `PATH_MAX` on Linux.
const LONGEST_TARGET: u64 = 4096;

/// Passes every member to `search`.
pub(super) fn walk(file: &mut (impl Read + Seek), search: &mut Search<'_>) -> Result<(), ArchiveError> {
    expect_magic(file, ArchiveFormat::Zip)?;
    let end = check_end(file)?;
    if end.members > search.limits().members {
        return Err(ArchiveError::TooManyMembers { limit: search.limits().members });
    }
    file.seek(SeekFrom::Start(end.offset)).map_err(ArchiveError::Read)?;
    let mut directory = Vec::new();
    file.take(end.size).read_to_end(&mut directory).map_err(ArchiveError::Read)?;
    let packed = file.seek(SeekFrom::End(0)).map_err(ArchiveError::Read)?;
    let mut meter = UnpackBudget::new(packed, search.limits());
    let config = Config { archive_offset: ArchiveOffset::Known(0) };
    let mut archive = ZipArchive::with_config(config, BufReader::new(file)).map_err(from_zip)?;
    if archive.has_duplicate_names() || archive.len() != end.members {
        return Err(ArchiveError::Damaged("the directory of the zip contains a name twice".to_owned()));
    }
    if archive.has_overlapping_entries().map_err(from_zip)? {
        return Err(ArchiveError::Damaged("members of the zip overlap".to_owned()));
    }
    let mut entries = Vec::with_capacity(archive.len());
    let mut reach = 0;
    for index in 0..archive.len() {
        let entry = archive.by_index_data(index).map_err(from_zip)?;
        entries.push(CentralEntry {
            header: entry.header_start(),
            size: entry.compressed_size(),
            mark: entry.flags().as_u16() & UTF8,
            path: lossy(entry.name_raw()),
        });
        let at = entry.central_header_start().checked_sub(end.offset).and_then(|at| usize::try_from(at).ok());
        let entry = at.and_then(|at| directory.get(at..)?.first_chunk::<ENTRY>());
        let (Some(at), Some(entry)) = (at, entry) else { return Err(misplaced()) };
        if half(entry, VERSION_NEEDED) > NEWEST {
            return Err(ArchiveError::Unsupported("a newer version of the format"));
        }
        reach = LENGTHS.iter().fold(at + ENTRY, |reach, length| reach + usize::from(half(entry, *length)));
        member(&mut archive, index, &mut meter, search)?;
    }
    // unzip unpacks this, but exits with a warning code.
    if reach != directory.len() {
        return Err(misplaced());
    }
    check_headers(archive.into_inner(), entries, end.offset)
}

/// Fields of a directory entry that are compared with the local header.
struct CentralEntry {
    /// Offset of the local header.
    header: u64,
    /// Compressed size in bytes.
    size: u64,
    /// The UTF-8 flag.
    mark: u16,
    path: String,
}

/// Checks local headers for faults that the crate ignores and unzip reports with a warning code: a different
/// UTF-8 flag, and a missing data descriptor.
fn check_headers(
    mut file: impl Read + Seek,
    mut entries: Vec<CentralEntry>,
    directory: u64,
) -> Result<(), ArchiveError> {
    entries.sort_by_key(|entry| entry.header);
    let ends: Vec<_> = entries.iter().skip(1).map(|entry| entry.header).chain([directory]).collect();
    for (entry, end) in entries.into_iter().zip(ends) {
        let mut header = [0; HEADER];
        file.seek(SeekFrom::Start(entry.header)).map_err(ArchiveError::Read)?;
        file.read_exact(&mut header).map_err(ArchiveError::from_reader)?;
        if half(&header, FLAGS) & UTF8 != entry.mark {
            let how = "only one of them marks the name as UTF-8".to_owned();
            return Err(ArchiveError::HeadersDisagree { path: entry.path, how });
        }
        if half(&header, FLAGS) & DESCRIBED == 0 {
            continue;
        }
        let mut rest = file.by_ref().take(half(&header, NAME_LENGTH).into());
        io::copy(&mut rest, &mut io::sink()).map_err(ArchiveError::from_reader)?;
        let mut extra = vec![0; half(&header, EXTRA_LENGTH).into()];
        file.read_exact(&mut extra).map_err(ArchiveError::from_reader)?;
        let content = file.stream_position().map_err(ArchiveError::Read)?;
        let content_end = content.saturating_add(entry.size);
        file.seek(SeekFrom::Start(content_end)).map_err(ArchiveError::Read)?;
        let mut signature = Vec::new();
        file.by_ref().take(4).read_to_end(&mut signature).map_err(ArchiveError::Read)?;
        if content_end.saturating_add(descriptor(&signature, &extra)) > end {
            let told = format!("the data descriptor of `{}` does not fit after its content", entry.path);
            return Err(ArchiveError::Damaged(told));
        }
    }
    Ok(())
}

/// Length of a data descriptor: checksum and two sizes, 8 bytes each with a zip64 extra field, and an
/// optional signature (APPNOTE 4.3.9).
fn descriptor(begin: &[u8], mut extra: &[u8]) -> u64 {
    const SIGNATURE: &[u8] = b"PK\x07\x08";
    const ZIP64: u16 = 1;
    let mut length = if begin == SIGNATURE { 16 } else { 12 };
    while let Some(field) = extra.first_chunk::<4>() {
        length += if half(field, 0) == ZIP64 { 8 } else { 0 };
        extra = extra.get(4 + usize::from(half(field, 2))..).unwrap_or_default();
    }
    length
}

/// A 16-bit number; `at` must be within the record.
fn half(record: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([record[at], record[at + 1]])
}

/// A 32-bit number.
fn word(record: &[u8], at: usize) -> u32 {
    u32::from(half(record, at)) | u32::from(half(record, at + 2)) << 16
}

/// A 64-bit number.
fn double(record: &[u8], at: usize) -> u64 {
    u64::from(word(record, at)) | u64::from(word(record, at + 4)) << 32
}

fn member<R: Read + Seek>(
    archive: &mut ZipArchive<R>,
    index: usize,
    meter: &mut UnpackBudget,
    search: &mut Search<'_>,
) -> Result<(), ArchiveError> {
    let entry = archive.by_index_data(index).map_err(from_zip)?;
    let name = entry.name_raw().to_vec();
    check_name(&name, entry.flags().as_u16() & UTF8 != 0 || entry.system() == System::Unix)?;
    let (encrypted, method, size) = (entry.encrypted(), entry.compression(), entry.size());
    let mut target = Vec::new();
    let kind = match (file_type(entry.external_attributes()), name.ends_with(b"/")) {
        (FileType::Folder | FileType::Unknown, true) => MemberKind::Folder,
        (FileType::Regular | FileType::Unknown, false) => {
            MemberKind::File { executable: (entry.external_attributes() >> 16) & 0o111 != 0 }
        }
        (FileType::Symlink, false) => {
            open(archive, index, &name)?
                .take(LONGEST_TARGET)
                .read_to_end(&mut target)
                .map_err(ArchiveError::from_reader)?;
            MemberKind::Symlink(&target)
        }
        _ => {
            let kind = "neither a file, nor a folder, nor a link";
            return Err(ArchiveError::Special { path: lossy(&name), kind });
        }
    };
    let Some(path) = search.enter(&name, kind, false)? else { return Ok(()) };
    if encrypted {
        return Err(ArchiveError::Encrypted { path: path.to_text() });
    }
    if method != CompressionMethod::Stored && method != CompressionMethod::Deflated {
        let method = method.to_string();
        return Err(ArchiveError::Method { path: path.to_text(), method });
    }
    let file = open(archive, index, &name)?;
    if file.extra_data_fields().any(|field| matches!(field, ExtraField::UnicodePath(_))) {
        return Err(ArchiveError::Unsupported("a second name for a member of the zip"));
    }
    let mut data = SizeChecked { left: size, inner: BudgetedReader { inner: file, meter } };
    search.file(path, &mut data)
}

/// Opens a member after comparing its headers.
fn open<'a, R: Read + Seek>(
    archive: &'a mut ZipArchive<R>,
    index: usize,
    name: &[u8],
) -> Result<ZipFile<'a, R>, ArchiveError> {
    const DISAGREE: &str = "header inconsistency detected: ";
    let options = ZipReadOptions::new().enforce_header_consistency(true);
    archive.by_index_with_options(index, options).map_err(|error| match error {
        ZipError::InvalidArchive(told) if told.starts_with(DISAGREE) => {
            ArchiveError::HeadersDisagree { path: lossy(name), how: told[DISAGREE.len()..].to_owned() }
        }
        error => from_zip(error),
    })
}

/// Compares the decompressed size with the directory.
struct SizeChecked<R> {
    left: u64,
    inner: R,
}

impl<R: Read> Read for SizeChecked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        let left = self.left.checked_sub(count as u64).filter(|left| count > 0 || *left == 0);
        let wrong =
            || ArchiveError::Damaged("a member of the zip does not have the declared size".to_owned());
        self.left = if into.is_empty() { self.left } else { left.ok_or_else(wrong)? };
        Ok(count)
    }
}

/// The upper half of the attributes as `st_mode` (APPNOTE 4.4.15); unzip trusts it for every host system.
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

/// Names must be UTF-8, by flag or de facto; unzip would transcode others.
fn check_name(name: &[u8], is_utf8: bool) -> Result<(), ArchiveError> {
    let bad = |why| Err(ArchiveError::BadName { name: lossy(name), why });
    if std::str::from_utf8(name).is_err() {
        return bad("is not UTF-8");
    }
    if !name.is_ascii() && !is_utf8 {
        return bad("is not marked as UTF-8");
    }
    if name.contains(&b'\\') {
        return bad("contains a backslash, which some readers treat as a slash");
    }
    Ok(())
}

/// The end-of-central-directory record.
struct End {
    members: usize,
    /// Size of the directory in bytes.
    size: u64,
    /// Offset of the directory.
    offset: u64,
}

/// Finds the end record, which must be at the end of the file, directly after the directory or, with zip64,
/// after its own end record and locator (APPNOTE 4.3.14 to 4.3.16).
fn check_end(file: &mut (impl Read + Seek)) -> Result<End, ArchiveError> {
    const RECORD: usize = 22;
    const SIGNATURE: &[u8; 4] = b"PK\x05\x06";
    const RECORDS_64: usize = RECORD_64 + LOCATOR_64;
    let length = file.seek(SeekFrom::End(0)).map_err(ArchiveError::Read)?;
    let start = length.saturating_sub((RECORDS_64 + RECORD + usize::from(u16::MAX)) as u64);
    file.seek(SeekFrom::Start(start)).map_err(ArchiveError::Read)?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(ArchiveError::Read)?;
    let at =
        tail.windows(SIGNATURE.len()).rposition(|four| four == SIGNATURE).ok_or(ArchiveError::CutShort)?;
    let record = tail[at..].first_chunk::<RECORD>().ok_or(ArchiveError::CutShort)?;
    let comment = half(record, 20);
    match tail.len().cmp(&(at + RECORD + usize::from(comment))) {
        std::cmp::Ordering::Less => return Err(ArchiveError::CutShort),
        std::cmp::Ordering::Equal => {}
        std::cmp::Ordering::Greater => return Err(ArchiveError::TrailingBytes),
    }
    if (half(record, 4), half(record, 6)) != (0, 0) {
        return Err(ArchiveError::Unsupported("several volumes"));
    }
    let (disk, members) = (half(record, 8), half(record, 10));
    let (size, offset) = (word(record, 12), word(record, 16));
    let mut end = End { members: usize::from(members), size: u64::from(size), offset: u64::from(offset) };
    let mut directory_end = start + at as u64;
    // unzip looks for the zip64 locator at this position unconditionally.
    match at.checked_sub(LOCATOR_64).and_then(|locator| End64::read(&tail[..at], locator, start)) {
        Some(zip64) => {
            let zip64 = zip64?;
            // A value of the old record is the same, or says that it is in the new one.
            let agrees = [
                (u64::from(disk), zip64.members, u64::from(u16::MAX)),
                (u64::from(members), zip64.members, u64::from(u16::MAX)),
                (u64::from(size), zip64.size, u64::from(u32::MAX)),
                (u64::from(offset), zip64.offset, u64::from(u32::MAX)),
            ];
            if agrees.iter().any(|(old, new, elsewhere)| old != new && old != elsewhere) {
                return Err(ArchiveError::Damaged("the two end records of the zip disagree".to_owned()));
            }
            let members = usize::try_from(zip64.members).unwrap_or(usize::MAX);
            end = End { members, size: zip64.size, offset: zip64.offset };
            directory_end -= RECORDS_64 as u64;
        }
        None if members == u16::MAX || size == u32::MAX || offset == u32::MAX => {
            return Err(ArchiveError::Damaged("the zip64 records of the zip are missing".to_owned()));
        }
        None if disk != members => return Err(ArchiveError::Unsupported("several volumes")),
        None => {}
    }
    if end.offset.checked_add(end.size) != Some(directory_end) {
        return Err(misplaced());
    }
    if end.size > LARGEST_DIRECTORY {
        return Err(ArchiveError::Unsupported("a zip directory of more than 32 MiB"));
    }
    Ok(end)
}

/// Sizes of the zip64 end record, without its extensible data, and of its locator.
const RECORD_64: usize = 56;
const LOCATOR_64: usize = 20;

/// The values of a zip64 end record.
struct End64 {
    members: u64,
    size: u64,
    offset: u64,
}

impl End64 {
    /// Reads the record before the locator at `locator` in `tail`, which begins at `start` in the file. `None`
    /// if there is no locator.
    fn read(tail: &[u8], locator: usize, start: u64) -> Option<Result<Self, ArchiveError>> {
        let locator_bytes = tail.get(locator..)?.first_chunk::<LOCATOR_64>()?;
        if !locator_bytes.starts_with(b"PK\x06\x07") {
            return None;
        }
        let at = locator.checked_sub(RECORD_64);
        let record = at.and_then(|at| tail[at..].first_chunk::<RECORD_64>());
        let (Some(at), Some(record)) = (at, record) else { return Some(Err(misplaced())) };
        if !record.starts_with(b"PK\x06\x06") || double(locator_bytes, 8) != start + at as u64 {
            return Some(Err(misplaced()));
        }
        let volumes = (word(locator_bytes, 4), word(locator_bytes, 16), word(record, 16), word(record, 20));
        let (of_volume, members) = (double(record, 24), double(record, 32));
        if volumes != (0, 1, 0, 0) || of_volume != members {
            return Some(Err(ArchiveError::Unsupported("several volumes")));
        }
        if double(record, 4) != (RECORD_64 - 12) as u64 {
            return Some(Err(ArchiveError::Unsupported("additional data in the end record of a zip64")));
        }
        Some(Ok(Self { members, size: double(record, 40), offset: double(record, 48) }))
    }
}

fn misplaced() -> ArchiveError {
    ArchiveError::Damaged("the directory of the zip is not where it should be".to_owned())
}

fn from_zip(error: ZipError) -> ArchiveError {
    // The crate reports this only as text.
    const CUT: &str = "Unexpected end of ";
    match error {
        ZipError::Io(error) => ArchiveError::from_reader(error),
        ZipError::InvalidArchive(told) if told.starts_with(CUT) => {
            ArchiveError::Damaged("a record of the zip is beyond the end of the file".to_owned())
        }
        ZipError::InvalidArchive(told) => ArchiveError::Damaged(told.into_owned()),
        other => ArchiveError::Damaged(other.to_string()),
    }
}
