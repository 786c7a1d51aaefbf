//! Reads one layer: decompressed, verified, entry by entry (image-spec, "Image Layer Filesystem
//! Changeset").
//!
//! Layers are untrusted. Refused is what programs are known to interpret differently, because an audit
//! could inspect one file while a container runs another: names with `..`, duplicate records, links with
//! content, uncommon sparse formats. The digest of the uncompressed layer detects truncated and appended
//! data.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::rc::Rc;

use flate2::bufread::MultiGzDecoder;
use tar::{Archive, EntryType};

use super::verified::{Verified, WrongDigest};
use crate::digest::{Checksum, Hasher, Md5Hasher, Sha256};

/// Limit for all uncompressed layers of one image: 32 GiB.
const MOST_BYTES: u64 = 32 << 30;

/// Limit for all layers of one image.
const MOST_ENTRIES: u64 = 2_000_000;

/// Limit for one entry, with long names and attributes: 1 MiB.
const LONGEST_HEADER: u64 = 1 << 20;

/// `PATH_MAX` and `NAME_MAX` of Linux.
const LONGEST_PATH: usize = 4096;
const LONGEST_NAME: usize = 255;

pub(super) struct LayerEntry {
    /// Relative to the root, without leading or trailing slash; empty for the root itself.
    pub(super) path: Vec<u8>,
    pub(super) kind: LayerEntryKind,
}

pub(super) enum LayerEntryKind {
    Directory(LayerMode),
    File(LayerFile),
    Symlink(Vec<u8>),
    /// Path of the target, in the form of [`LayerEntry::path`].
    HardLink(Vec<u8>),
    /// A device or a pipe.
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LayerFile {
    pub(super) sha256: Sha256,
    pub(super) size: u64,
    pub(super) mode: LayerMode,
    /// Digest of the extended attributes, such as capabilities.
    pub(super) attributes: Option<Sha256>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LayerMode {
    /// The lowest twelve bits.
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
}

impl LayerMode {
    /// Whether users other than root may write more than `before`, by default root's own folder.
    pub(super) fn widens(self, before: Option<Self>) -> bool {
        const OTHERS: u32 = 0o022;
        let before = before.unwrap_or(Self { mode: 0o755, uid: 0, gid: 0 });
        let owner = self.uid != 0 && self.uid != before.uid;
        let group = self.mode & 0o020 != 0 && self.gid != 0 && self.gid != before.gid;
        owner || group || self.mode & !before.mode & OTHERS != 0
    }
}

#[derive(Debug, thiserror::Error)]
pub(super) enum LayerError {
    /// Reading failed, or the digest is wrong.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Hostile or too large.
    #[error("{0}")]
    Refused(String),
}

impl From<String> for LayerError {
    fn from(why: String) -> Self {
        Self::Refused(why)
    }
}

/// Compression of a stored layer, by its magic. Like runtimes, this ignores the media type.
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Reads the magic and returns a reader that starts at the beginning again.
    pub(super) fn sniff<R: Read>(mut stored: R) -> io::Result<(Self, impl Read)> {
        const LENGTH: u64 = 4;
        let mut magic = Vec::new();
        (&mut stored).take(LENGTH).read_to_end(&mut magic)?;
        let compression = match magic.as_slice() {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => Self::Zstd,
            _ => Self::None,
        };
        Ok((compression, Cursor::new(magic).chain(stored)))
    }
}

/// Limit for all contents that are kept in memory: 64 MiB.
const MOST_KEPT: u64 = 64 << 20;

/// Collects more about files than their SHA-256, by which it is found.
#[derive(Default)]
pub(super) struct FileNotes {
    /// Selects the paths of the files whose content is kept.
    pub(super) keep: Option<fn(&[u8]) -> bool>,
    pub(super) with_md5: bool,
    pub(super) contents: HashMap<Sha256, Vec<u8>>,
    pub(super) md5: HashMap<Sha256, Checksum>,
    pub(super) kept: u64,
}

impl FileNotes {
    /// Takes the content of a file in pieces.
    fn begin(&mut self, path: &[u8], size: u64) -> Result<FileNote, String> {
        let keeps = self.keep.is_some_and(|keep| keep(path));
        self.kept += if keeps { size } else { 0 };
        if self.kept > MOST_KEPT {
            return Err(format!("its package database has more than {} MiB", MOST_KEPT >> 20));
        }
        Ok(FileNote { content: keeps.then(Vec::new), md5: self.with_md5.then(Md5Hasher::default) })
    }

    fn end(&mut self, note: FileNote, sha256: Sha256) {
        if let Some(content) = note.content {
            self.contents.insert(sha256, content);
        }
        if let Some(md5) = note.md5 {
            self.md5.insert(sha256, md5.finish());
        }
    }
}

struct FileNote {
    content: Option<Vec<u8>>,
    md5: Option<Md5Hasher>,
}

impl FileNote {
    fn update(&mut self, bytes: &[u8]) {
        if let Some(content) = &mut self.content {
            content.extend_from_slice(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
    }
}

/// Remaining read budget of one image.
#[derive(Clone)]
pub(super) struct ReadBudget(Rc<Left>);

struct Left {
    bytes: Cell<u64>,
    /// Bytes of holes in sparse files, which are not stored.
    content: Cell<u64>,
    entries: Cell<u64>,
    header: Cell<u64>,
}

impl Default for ReadBudget {
    fn default() -> Self {
        Self::of(MOST_BYTES, MOST_ENTRIES)
    }
}

impl ReadBudget {
    fn of(bytes: u64, entries: u64) -> Self {
        Self(Rc::new(Left {
            bytes: Cell::new(bytes),
            content: Cell::new(bytes),
            entries: Cell::new(entries),
            header: Cell::new(u64::MAX),
        }))
    }

    pub(super) fn on<R>(&self, inner: R) -> MeteredReader<R> {
        MeteredReader { inner, left: Rc::clone(&self.0) }
    }

    /// Until the next entry only headers follow, which the tar reader keeps in memory.
    pub(super) fn begin_header(&self) {
        self.0.header.set(LONGEST_HEADER);
    }

    fn begin_content(&self) -> Result<(), String> {
        self.0.header.set(u64::MAX);
        take(&self.0.entries, 1, || format!("the image has more than {MOST_ENTRIES} files"))
    }

    fn content(&self, count: u64) -> Result<(), String> {
        take(&self.0.content, count, too_large)
    }
}

fn too_large() -> String {
    format!("the image has more than {} GiB", MOST_BYTES >> 30)
}

fn take(left: &Cell<u64>, count: u64, why: impl Fn() -> String) -> Result<(), String> {
    left.set(left.get().checked_sub(count).ok_or_else(why)?);
    Ok(())
}

/// Fails once its [`ReadBudget`] is exhausted.
pub(super) struct MeteredReader<R> {
    inner: R,
    left: Rc<Left>,
}

impl<R: Read> Read for MeteredReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let long = || format!("an entry has more than {} MiB of names and attributes", LONGEST_HEADER >> 20);
        take(&self.left.bytes, count as u64, too_large)
            .and_then(|()| take(&self.left.header, count as u64, long))
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
        Ok(count)
    }
}

impl<R: Seek> Seek for MeteredReader<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// Passes each entry of a layer to `each`, in order, and verifies the uncompressed layer against `diff_id`.
/// Reads `stored` to its end, so that its own digest is verified too.
pub(super) fn read(
    mut stored: impl Read,
    diff_id: Sha256,
    meter: &ReadBudget,
    notes: &mut FileNotes,
    mut each: impl FnMut(LayerEntry) -> Result<(), String>,
) -> Result<(), LayerError> {
    let result = uncompressed(&mut stored, diff_id, meter, notes, &mut each);
    let rest = match result {
        Err(LayerError::Refused(_)) => return result,
        Ok(()) | Err(LayerError::Read(_)) => io::copy(&mut stored, &mut io::sink()),
    };
    match (result, rest) {
        (Ok(()), rest) => rest.map(drop).map_err(LayerError::Read),
        // A wrong digest explains the error better than its consequences.
        (Err(_), Err(wrong)) if WrongDigest::of(&wrong).is_some() => Err(LayerError::Read(wrong)),
        (result, _) => result,
    }
}

fn uncompressed(
    stored: impl Read,
    diff_id: Sha256,
    meter: &ReadBudget,
    notes: &mut FileNotes,
    each: &mut impl FnMut(LayerEntry) -> Result<(), String>,
) -> Result<(), LayerError> {
    let (compression, packed) = Compression::sniff(stored)?;
    let packed = BufReader::with_capacity(128 << 10, packed);
    let unpacked: Box<dyn Read> = match compression {
        Compression::None => Box::new(packed),
        Compression::Gzip => Box::new(MultiGzDecoder::new(packed)),
        // The decoder limits the window to 128 MiB, like `zstd` itself.
        Compression::Zstd => Box::new(zstd::Decoder::with_buffer(packed)?),
    };
    let verified = Verified::new(unpacked, "the uncompressed layer".to_owned(), diff_id, None);
    let mut metered = BufReader::with_capacity(128 << 10, meter.on(verified));
    entries(&mut metered, meter, notes, each)?;
    // After the end of the archive only the digest matters.
    meter.0.header.set(u64::MAX);
    io::copy(&mut metered, &mut io::sink())?;
    Ok(())
}

fn entries(
    layer: impl Read,
    meter: &ReadBudget,
    notes: &mut FileNotes,
    each: &mut impl FnMut(LayerEntry) -> Result<(), String>,
) -> Result<(), LayerError> {
    let mut archive = Archive::new(layer);
    let mut entries = archive.entries()?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        meter.begin_header();
        let Some(entry) = entries.next() else { return Ok(()) };
        let mut entry = entry?;
        meter.begin_content()?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let name = entry.path_bytes().into_owned();
        let path = clean(&name)?;
        let shown = path.escape_ascii().to_string();
        let attributes = extensions(&mut entry).map_err(|why| format!("`{shown}` {why}"))?;
        let link = || entry.link_name_bytes().unwrap_or_default().into_owned();
        let kind = match kind {
            EntryType::Regular | EntryType::GNUSparse if !name.ends_with(b"/") => {
                let mut note = notes.begin(&path, entry.size())?;
                let file = file(&mut entry, attributes, meter, &mut note, &mut buffer)?;
                notes.end(note, file.sha256);
                LayerEntryKind::File(file)
            }
            _ if entry.size() > 0 => return Err(format!("`{shown}` is not a file, but has content").into()),
            EntryType::Directory => LayerEntryKind::Directory(mode(entry.header())?),
            EntryType::Symlink => LayerEntryKind::Symlink(link()),
            EntryType::Link => LayerEntryKind::HardLink(clean(&link())?),
            EntryType::Char | EntryType::Block | EntryType::Fifo => LayerEntryKind::Other,
            _ => return Err(format!("`{shown}` has an unknown type").into()),
        };
        each(LayerEntry { path, kind })?;
    }
}

/// Hashes every file: which files count is known only after the last layer, and reading is the expensive
/// part.
fn file(
    entry: &mut tar::Entry<'_, impl Read>,
    attributes: Option<Sha256>,
    meter: &ReadBudget,
    note: &mut FileNote,
    buffer: &mut [u8],
) -> Result<LayerFile, LayerError> {
    meter.content(entry.size())?;
    let mut digester = Hasher::default();
    let mut size = 0;
    loop {
        let count = entry.read(buffer)?;
        if count == 0 {
            break;
        }
        size += count as u64;
        digester.update(&buffer[..count]);
        note.update(&buffer[..count]);
    }
    if size != entry.size() {
        return Err(format!("it is cut off in `{}`", entry.path_bytes().escape_ascii()).into());
    }
    Ok(LayerFile { sha256: digester.finish(), size, mode: mode(entry.header())?, attributes })
}

fn mode(header: &tar::Header) -> io::Result<LayerMode> {
    Ok(LayerMode { mode: header.mode()? & 0o7777, uid: header.uid()?, gid: header.gid()? })
}

/// Rejects extended headers (POSIX pax) that programs interpret differently. Returns the digest of the
/// extended attributes, if there are any.
fn extensions(entry: &mut tar::Entry<'_, impl Read>) -> Result<Option<Sha256>, String> {
    let Some(records) = entry.pax_extensions().map_err(|error| error.to_string())? else { return Ok(None) };
    let (mut keys, mut attributes) = (BTreeSet::new(), BTreeSet::new());
    for record in records {
        let record = record.map_err(|error| format!("has attributes that cannot be read: {error}"))?;
        let (key, value) = (record.key_bytes(), record.value_bytes());
        let shown = key.escape_ascii();
        if matches!(key, b"size" | b"uid" | b"gid") && !value.iter().all(u8::is_ascii_digit) {
            return Err(format!("has the attribute `{shown}` without a number"));
        }
        // Overlay attributes would change the meaning of directories for the kernel.
        let overlay = ["SCHILY.xattr.trusted.overlay.", "SCHILY.xattr.user.overlay."];
        if key.starts_with(b"GNU.sparse.") || overlay.iter().any(|prefix| key.starts_with(prefix.as_bytes()))
        {
            return Err(format!("has the attribute `{shown}`, which runtimes interpret differently"));
        }
        if !keys.insert(key.to_vec()) {
            return Err(format!("has the attribute `{shown}` twice"));
        }
        if key.starts_with(b"SCHILY.xattr.") || key.starts_with(b"LIBARCHIVE.xattr.") {
            attributes.insert([key, value].join(&b'='));
        }
    }
    let attributes: Vec<_> = attributes.into_iter().collect();
    Ok((!attributes.is_empty()).then(|| Sha256::of(attributes.join(&0))))
}

/// Normalizes a path relative to the root: runtimes strip the leading slash of absolute paths; `..` would
/// escape.
pub(super) fn clean(path: &[u8]) -> Result<Vec<u8>, String> {
    let shown = || path[..path.len().min(LONGEST_NAME)].escape_ascii();
    if path.len() > LONGEST_PATH {
        return Err(format!("a path longer than {LONGEST_PATH} bytes: `{}…`", shown()));
    }
    let mut parts = Vec::new();
    for part in path.split(|byte| *byte == b'/').filter(|part| !matches!(*part, b"" | b".")) {
        if part == b".." || part.len() > LONGEST_NAME || part.contains(&0) {
            return Err(format!("an invalid path: `{}`", shown()));
        }
        parts.push(part);
    }
    Ok(parts.join(&b'/'))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::{FileNotes, LayerError, ReadBudget, read};
    use crate::digest::Sha256;

    /// Reads `layer` with small limits.
    fn end_of(layer: &[u8], bytes: u64, entries: u64) -> Result<(), LayerError> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(layer).expect("memory");
        let packed = packed.finish().expect("memory");
        read(
            packed.as_slice(),
            Sha256::of(layer),
            &ReadBudget::of(bytes, entries),
            &mut FileNotes::default(),
            |_| Ok(()),
        )
    }

    fn folders(count: usize) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for _ in 0..count {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            header.set_mode(0o755);
            header.set_uid(0);
            header.set_gid(0);
            builder.append_data(&mut header, "folder", std::io::empty()).expect("memory");
        }
        builder.into_inner().expect("memory")
    }

    #[test]
    fn trailing_data_counts_against_the_budget() {
        let bomb = vec![0; 10 << 20];
        assert!(end_of(&bomb, 10 << 20, 1).is_ok());
        let end = end_of(&bomb, (10 << 20) - 1, 1).expect_err("too large").to_string();
        assert!(end.contains("the image has more than"), "{end}");
    }

    #[test]
    fn the_number_of_files_is_limited() {
        assert!(end_of(&folders(3), 1 << 20, 3).is_ok());
        let end = end_of(&folders(4), 1 << 20, 3).expect_err("too many").to_string();
        assert!(end.contains("files"), "{end}");
    }
}
