//! Reads tar archives as GNU tar would.
//!
//! The crate iterates over the headers. Their interpretation is decided here, because readers disagree:
//! extended headers, links with content, data after the end. The references are POSIX.1-2024 (pax, "ustar
//! Interchange Format") and the GNU tar manual ("Basic Tar Format"); deviations are rejected.

use std::io::{self, Read};

use tar::{Archive, Entry, EntryType, Header};

use super::error::ArchiveError;
use super::file_kind::FileKind;
use super::path::lossy;
use super::pax::{self, Extended};
use super::search::{MemberKind, Search, read_head};
use super::stream::Stream;

const BLOCK: u64 = 512;

/// Limit of a long name or extended header, which is kept in memory.
const LONGEST_EXTENSION: u64 = 1 << 20;

/// Information from headers that precede a member.
#[derive(Default)]
struct PendingHeaders {
    long_name: Option<Vec<u8>>,
    long_link: Option<Vec<u8>>,
    extended: Option<Extended>,
}

impl PendingHeaders {
    fn is_empty(&self) -> bool {
        self.long_name.is_none() && self.long_link.is_none() && self.extended.is_none()
    }
}

/// Passes every member of `stream` to `search`.
pub(super) fn walk(mut stream: Stream<'_>, search: &mut Search<'_>) -> Result<(), ArchiveError> {
    let head = read_head(&mut stream)?;
    let found = FileKind::at(&head);
    if !matches!(found, FileKind::Tar | FileKind::Zeros) && !is_of_1979(&head) {
        return Err(ArchiveError::OtherKind { expected: "a tar archive", found });
    }
    let mut archive = Archive::new(Blocks { taken: 0, inner: io::Cursor::new(head).chain(stream) });
    let outcome = members(&mut archive, search);
    let mut rest = archive.into_inner();
    match outcome {
        Ok(end) => end_of_archive(&mut rest, end),
        // The crate does not distinguish a truncated archive from other errors.
        Err(ArchiveError::Damaged(_)) if rest.inner.get_ref().1.ended() => Err(ArchiveError::CutShort),
        Err(error) => Err(error),
    }
}

/// Whether an archive starts with a header from before POSIX, which has no magic: its checksum must be right.
pub(super) fn is_of_1979(head: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(header) = head.first_chunk::<512>() else { return false };
    let sum: u64 = header
        .iter()
        .enumerate()
        .map(|(at, byte)| u64::from(if CHECKSUM.contains(&at) { b' ' } else { *byte }))
        .sum();
    // A NUL ends the number, and a blank may follow.
    header[0] != 0 && octal(until_nul(&header[CHECKSUM])) == Some(sum)
}

/// Counts bytes read.
struct Blocks<R> {
    taken: u64,
    inner: R,
}

impl<R: Read> Read for Blocks<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(into)?;
        self.taken += count as u64;
        Ok(count)
    }
}

/// Returns the offset of the end of the last member.
fn members<R: Read>(archive: &mut Archive<R>, search: &mut Search<'_>) -> Result<u64, ArchiveError> {
    let mut ahead = PendingHeaders::default();
    let mut end = 0;
    for entry in archive.entries().map_err(ArchiveError::from_reader)?.raw(true) {
        let mut entry = entry.map_err(ArchiveError::from_reader)?;
        let size = size(entry.header())?;
        end = entry.raw_file_position() + size.next_multiple_of(BLOCK);
        match entry.header().entry_type() {
            EntryType::GNULongName => set(&mut ahead.long_name, long_name(&mut entry, size)?)?,
            EntryType::GNULongLink => set(&mut ahead.long_link, long_name(&mut entry, size)?)?,
            EntryType::XHeader => set(&mut ahead.extended, pax::read(&extension(&mut entry, size)?)?)?,
            EntryType::XGlobalHeader => {
                // In practice the commit id. Anything that would affect every member is rejected.
                if pax::read(&extension(&mut entry, size)?)? != Extended::default() {
                    return Err(ArchiveError::Unsupported("a global header that changes members"));
                }
            }
            _ => member(&mut entry, std::mem::take(&mut ahead), size, search)?,
        }
    }
    if ahead.is_empty() { Ok(end) } else { Err(ArchiveError::CutShort) }
}

/// `size` is from the member's own header.
fn member(
    entry: &mut Entry<'_, impl Read>,
    ahead: PendingHeaders,
    size: u64,
    search: &mut Search<'_>,
) -> Result<(), ArchiveError> {
    let extended = ahead.extended.unwrap_or_default();
    let name = one_of(one_of(ahead.long_name, extended.path)?, extended.sparse_path)?
        .unwrap_or_else(|| name(entry.header()));
    let link_name = one_of(ahead.long_link, extended.link_path)?;
    let target = link_name.unwrap_or_else(|| until_nul(&entry.header().as_old().linkname).to_vec());
    if extended.size.is_some_and(|other| other != size) {
        return Err(ArchiveError::Damaged("two headers of a tar member disagree about its size".to_owned()));
    }
    let special = |kind| Err(ArchiveError::Special { path: lossy(&name), kind });
    let kind = match entry.header().entry_type() {
        // Older archives mark folders only by the slash.
        EntryType::Regular if name.ends_with(b"/") => MemberKind::Folder,
        EntryType::Regular => MemberKind::File { executable: is_executable(entry.header()) },
        EntryType::Directory => MemberKind::Folder,
        EntryType::Symlink => MemberKind::Symlink(&target),
        EntryType::Link => MemberKind::HardLink(&target),
        EntryType::Char | EntryType::Block => return special("a device"),
        EntryType::Fifo => return special("a named pipe"),
        EntryType::GNUSparse if has_more_headers(entry.header()) => {
            return Err(ArchiveError::Unsupported("sparse files with more than four parts"));
        }
        EntryType::GNUSparse => MemberKind::File { executable: false },
        _ => return special("an entry of a type that not every tar supports"),
    };
    // Some readers skip this content, others interpret it as the next header.
    if size > 0 && !matches!(kind, MemberKind::File { .. }) {
        return Err(ArchiveError::Damaged("a folder or a link in tar has content".to_owned()));
    }
    let is_sparse = extended.sparse || entry.header().entry_type() == EntryType::GNUSparse;
    match search.enter(&name, kind, true)? {
        Some(path) if is_sparse => search.sparse(&path),
        Some(path) => search.file(path, entry),
        None => Ok(()),
    }
}

/// Whether further blocks describe a sparse file, which precede its content.
fn has_more_headers(header: &Header) -> bool {
    header.as_gnu().is_none_or(|header| header.isextended[0] != 0)
}

/// Checks that the archive ends at `end` with two or more blocks of zeros.
fn end_of_archive(rest: &mut Blocks<impl Read>, end: u64) -> Result<(), ArchiveError> {
    let mut zeros = rest.taken - end;
    let mut piece = [0; 16 << 10];
    loop {
        let count = match rest.read(&mut piece).map_err(ArchiveError::from_reader) {
            Ok(0) => break,
            Ok(count) => count,
            Err(ArchiveError::CutShort) if zeros >= 2 * BLOCK => return Err(ArchiveError::RaggedEnd),
            Err(error) => return Err(error),
        };
        if piece[..count].iter().any(|byte| *byte != 0) {
            return Err(ArchiveError::TrailingBytes);
        }
        zeros += count as u64;
    }
    if zeros < 2 * BLOCK || !zeros.is_multiple_of(BLOCK) { Err(ArchiveError::CutShort) } else { Ok(()) }
}

/// The size in the header; rejects other invalid numbers, because GNU tar stops at them.
fn size(header: &Header) -> Result<u64, ArchiveError> {
    // Flag for numbers in two's complement that exceed the octal range (GNU tar).
    const BINARY: u8 = 0x80;
    // The limit of tar.
    const ID: u64 = u32::MAX as u64;
    const TIME: u64 = i64::MAX as u64;
    let old = header.as_old();
    let binary = |field: &[u8], largest| {
        let (first, rest) = field.split_first()?;
        let value =
            rest.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add((*byte).into()));
        value.filter(|value| *first == BINARY && *value <= largest)
    };
    for (field, largest, what) in
        [(&old.uid[..], ID, "owner"), (&old.gid, ID, "group"), (&old.mtime, TIME, "time")]
    {
        octal(field).or_else(|| binary(field, largest)).ok_or_else(|| not_octal(what))?;
    }
    octal(&old.mode).ok_or_else(|| not_octal("mode"))?;
    octal(&old.size).ok_or_else(|| not_octal("size"))
}

/// By anyone.
fn is_executable(header: &Header) -> bool {
    octal(&header.as_old().mode).is_some_and(|mode| mode & 0o111 != 0)
}

fn not_octal(what: &str) -> ArchiveError {
    ArchiveError::Damaged(format!("the {what} of a tar member is not an octal number"))
}

/// Octal digits with leading blanks and trailing blanks or NULs.
fn octal(field: &[u8]) -> Option<u64> {
    let text = until_nul(field);
    let digits = text.trim_ascii();
    let clean = digits.iter().all(u8::is_ascii_digit) && field[text.len()..].iter().all(|byte| *byte == 0);
    let digits = std::str::from_utf8(digits).ok().filter(|_| clean)?;
    u64::from_str_radix(digits, 8).ok()
}

/// The name in the member's own header.
fn name(header: &Header) -> Vec<u8> {
    let name = until_nul(&header.as_old().name);
    match header.as_ustar().map(|ustar| until_nul(&ustar.prefix)) {
        None | Some([]) => name.to_vec(),
        Some(prefix) => [prefix, b"/", name].concat(),
    }
}

/// Reads an extension header completely.
fn extension(entry: &mut Entry<'_, impl Read>, size: u64) -> Result<Vec<u8>, ArchiveError> {
    if size > LONGEST_EXTENSION {
        return Err(ArchiveError::Unsupported("a header of more than 1 MiB"));
    }
    let mut content = Vec::new();
    entry.read_to_end(&mut content).map_err(ArchiveError::from_reader)?;
    if content.len() as u64 == size { Ok(content) } else { Err(ArchiveError::CutShort) }
}

/// A name that exceeds its field. It must end with a NUL; otherwise tar would include the padding.
fn long_name(entry: &mut Entry<'_, impl Read>, size: u64) -> Result<Vec<u8>, ArchiveError> {
    let mut name = extension(entry, size)?;
    let length = until_nul(&name).len();
    if length == name.len() || name[length..].iter().any(|byte| *byte != 0) {
        return Err(ArchiveError::Damaged("a long name in tar continues after its end".to_owned()));
    }
    name.truncate(length);
    Ok(name)
}

fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or(field)
}

/// Readers disagree which of the two wins.
fn one_of(gnu: Option<Vec<u8>>, pax: Option<Vec<u8>>) -> Result<Option<Vec<u8>>, ArchiveError> {
    match (gnu, pax) {
        (Some(_), Some(_)) => Err(twice()),
        (gnu, pax) => Ok(gnu.or(pax)),
    }
}

fn set<T>(field: &mut Option<T>, value: T) -> Result<(), ArchiveError> {
    if field.replace(value).is_some() { Err(twice()) } else { Ok(()) }
}

fn twice() -> ArchiveError {
    ArchiveError::Damaged("two headers of a tar member are duplicates".to_owned())
}
