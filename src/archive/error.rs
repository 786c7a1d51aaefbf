//! Errors of reading an executable from an archive.

use std::fmt;
use std::io;

use super::executable::NotExecutable;
use super::file_kind::FileKind;
use crate::project::values::Arch;
use crate::text::ending;

/// Messages follow the prefix `tool: URL: `.
///
/// Paths are raw, with invalid UTF-8 replaced; they are sanitized only for display.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    #[error("the archive cannot be read: {0}")]
    Read(#[source] io::Error),
    /// The output could not be written.
    #[error("the extracted content cannot be written: {0}")]
    Write(#[source] io::Error),
    /// The file, or its decompressed content, does not match the file name.
    #[error("expected {expected}, found {found}")]
    OtherKind {
        /// With its article.
        expected: &'static str,
        found: FileKind,
    },
    /// Truncated.
    #[error("the archive is cut short: its end is missing")]
    CutShort,
    /// A violation of the format, or a wrong checksum.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// Trailing data.
    #[error("the archive has trailing data")]
    TrailingBytes,
    /// All members were read, but the compressed stream does not end properly.
    #[error("the archive is cut short or has trailing data")]
    RaggedEnd,
    /// A feature that no release needs and readers interpret differently.
    #[error("the archive uses {0}, which is not supported")]
    Unsupported(&'static str),
    /// The decompressor would need a larger window than common tools allow.
    #[error("unpacking the archive would require more than {} of memory", size(*.limit))]
    Memory {
        /// In bytes.
        limit: u64,
    },
    /// Above the limit for the decompressed size.
    #[error("the archive unpacks to more than {}", size(*.limit))]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// A decompression bomb.
    #[error("the archive unpacks to more than {limit} times its size: it may be a decompression bomb")]
    Bomb {
        /// Maximum compression ratio.
        limit: u64,
    },
    #[error("the archive contains more than {limit} members")]
    TooManyMembers { limit: usize },
    #[error("{} in the archive is larger than {}", quoted_path(.path), size(*.limit))]
    MemberTooLarge {
        path: String,
        /// In bytes.
        limit: u64,
    },
    #[error("the path {} in the archive is absolute or contains `..`", quoted_path(.path))]
    Outside { path: String },
    #[error("{} in the archive is a link to {}, which is outside", quoted_path(.path), quoted_path(.target))]
    LinkOutside { path: String, target: String },
    /// The target of a hard link must precede it.
    #[error("{} in the archive is a hard link to {}, which is not an earlier file", quoted_path(.path), quoted_path(.target))]
    LinkToNothing { path: String, target: String },
    /// A device, a named pipe, or an entry of a type that not every tar supports.
    #[error("{} in the archive is {kind}", quoted_path(.path))]
    Special {
        path: String,
        /// With its article.
        kind: &'static str,
    },
    /// A NUL, an empty name, or a wrong encoding.
    #[error("the name {} in the archive {why}", quoted_path(.name))]
    BadName {
        name: String,
        /// A predicate.
        why: &'static str,
    },
    /// The central directory of a zip and a local header differ.
    #[error("the directory of the archive and the header of {} disagree: {how}", quoted_path(.path))]
    HeadersDisagree {
        path: String,
        /// The zip crate's message.
        how: String,
    },
    #[error("{} occurs more than once in the archive", quoted_path(.path))]
    Duplicate { path: String },
    /// A path is used both for a folder and for another type.
    #[error("{} in the archive is both a folder and something else", quoted_path(.path))]
    FolderAndFile { path: String },
    /// The build does not unpack links.
    #[error("{} in the archive is a link: set `binary: {target}`, its target", quoted_path(.path))]
    WantedLink { path: String, target: String },
    #[error("{} in the archive is a folder", quoted_path(.path))]
    WantedFolder { path: String },
    /// The member's path is written in a way that the build would not find.
    #[error("{} in the archive is written as {}, so unpackers do not find it by its path", quoted_path(.path), quoted_path(.raw))]
    OddlySpelt {
        /// Normalized.
        path: String,
        /// As in the archive.
        raw: String,
    },
    #[error("the archive contains no file {}{there}", quoted_path(.path))]
    Missing {
        path: String,
        /// Files with the same name come first.
        there: TruncatedList,
    },
    #[error("{} is {unfit}, not a Linux executable for {arch}", quoted_path(.path))]
    NotExecutable { path: String, unfit: NotExecutable, arch: Arch },
    #[error("the archive contains no Linux executable for {arch}{there}")]
    NoExecutable {
        arch: Arch,
        /// Executables for other platforms come first.
        there: TruncatedList,
    },
    /// A script with the tool's name, which probably starts the only executable.
    #[error("{} in the archive is a script, and the only executable for {arch} has another name: {}", quoted_path(.script), quoted_path(.executable))]
    Launcher { script: String, executable: String, arch: Arch },
    #[error("the archive contains several executables{candidates}; select one with `binary:`")]
    Ambiguous { candidates: TruncatedList },
    #[error("{} in the archive is encrypted", quoted_path(.path))]
    Encrypted { path: String },
    /// Only deflate is supported.
    #[error("{} in the archive is compressed by {method}; only deflate is supported", quoted_path(.path))]
    Method { path: String, method: String },
}

impl ArchiveError {
    /// Recovers the underlying error of a reader: an [`ArchiveError`] wrapped in it, an I/O error, or the
    /// decoder's error.
    pub(super) fn from_reader(error: io::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        // Decoder errors have no OS error code.
        if error.raw_os_error().is_some() {
            return Self::Read(error);
        }
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return Self::CutShort;
        }
        Self::Damaged(error.to_string())
    }
}

impl From<ArchiveError> for io::Error {
    /// Wraps the error for its way through a decoder; the inverse of [`ArchiveError::from_reader`].
    fn from(error: ArchiveError) -> Self {
        Self::other(error)
    }
}

/// A truncated list; displays as nothing if empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TruncatedList {
    /// Already sanitized.
    pub first: Vec<String>,
    /// Number of omitted entries.
    pub more: usize,
}

impl TruncatedList {
    pub const MOST: usize = 10;

    /// The entry must already be sanitized.
    pub(super) fn push(&mut self, item: impl FnOnce() -> String) {
        if self.first.len() < Self::MOST {
            self.first.push(item());
        } else {
            self.more += 1;
        }
    }

    pub(super) fn append(&mut self, other: Self) {
        self.more += other.more;
        for item in other.first {
            self.push(|| item);
        }
    }
}

impl fmt::Display for TruncatedList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.first.iter().enumerate() {
            write!(f, "{}{item}", if index == 0 { ": " } else { ", " })?;
        }
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

/// Quotes and sanitizes a path; a long one is truncated at its start, because the end says more.
pub(super) fn quoted_path(path: &str) -> String {
    format!("`{}`", ending(path, 80))
}

/// Formats a size in the largest unit that represents it exactly.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{} {name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::{TruncatedList, quoted_path, size};

    #[test]
    fn lists_are_truncated_and_counted() {
        let mut listed = TruncatedList::default();
        assert_eq!(listed.to_string(), "");
        (0..12).for_each(|index| listed.push(|| format!("`{index}`")));
        assert_eq!(listed.to_string(), ": `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`, `9` and 2 more");
    }

    #[test]
    fn paths_are_sanitized() {
        assert_eq!(quoted_path("it's\u{1b}[2J\u{202e}x"), "`it's\\u{1b}[2J\\u{202e}x`");
        assert_eq!(quoted_path(&format!("{}end", "a/".repeat(100))).chars().count(), 83);
    }

    #[test]
    fn sizes_use_the_largest_exact_unit() {
        assert_eq!(
            (size(1 << 30), size(3 << 10), size(1025)),
            ("1 GiB".into(), "3 KiB".into(), "1025 bytes".into())
        );
    }
}
