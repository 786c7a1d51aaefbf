//! Why an executable was not read out of an archive.

use std::fmt;
use std::io;

use super::executable::Unfit;
use super::file_kind::FileKind;
use crate::project::values::Arch;
use crate::text::ending;

/// What is wrong with an archive, in words that fit behind `tool: URL: `.
///
/// Paths are as the archive spells them; what is not UTF-8 in them is replaced. They are made fit
/// for a terminal where the error is displayed, and not before.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The file itself could not be read.
    #[error("the archive cannot be read: {0}")]
    Read(#[source] io::Error),
    /// What was read out could not be written on.
    #[error("what is read out of the archive cannot be written: {0}")]
    Write(#[source] io::Error),
    /// It is of another kind than its name says, or what is compressed is.
    #[error("it should be {expected}, and seems to be {found}")]
    OtherKind {
        /// What it should be, with its article.
        expected: &'static str,
        /// What its first bytes say.
        found: FileKind,
    },
    /// It ends too early.
    #[error("the archive is cut short: its end is missing")]
    CutShort,
    /// It breaks the rules of its format, or a checksum in it says so.
    #[error("the archive is damaged: {0}")]
    Damaged(String),
    /// It goes on after its end.
    #[error("something follows the end of the archive")]
    TrailingBytes,
    /// All members are there, and what the compression holds behind them is not whole.
    #[error("the archive is cut short, or something follows its end")]
    RaggedEnd,
    /// It uses what no release needs and readers disagree about.
    #[error("the archive uses {0}, which is not supported")]
    Unsupported(&'static str),
    /// Its compression needs a larger window than the usual tools allow.
    #[error("unpacking the archive would take more than {} of memory", size(*.limit))]
    Memory {
        /// In bytes.
        limit: u64,
    },
    /// It is larger than the limit once unpacked.
    #[error("the archive unpacks to more than {}", size(*.limit))]
    TooLarge {
        /// In bytes.
        limit: u64,
    },
    /// It is a decompression bomb.
    #[error("the archive unpacks to more than {limit} times its size: it may be a decompression bomb")]
    Bomb {
        /// The largest allowed ratio.
        limit: u64,
    },
    /// It holds more members than the limit.
    #[error("the archive holds more than {limit} members")]
    TooManyMembers {
        /// How many are allowed.
        limit: usize,
    },
    /// The wanted member is larger than the limit.
    #[error("{} in the archive is larger than {}", shown(.path), size(*.limit))]
    MemberTooLarge {
        /// The member.
        path: String,
        /// In bytes.
        limit: u64,
    },
    /// A member's path is absolute or holds `..`.
    #[error("the path {} in the archive is absolute or holds `..`", shown(.path))]
    Outside {
        /// The member.
        path: String,
    },
    /// A link leads out of the archive.
    #[error("{} in the archive is a link to {}, which is outside", shown(.path), shown(.target))]
    LinkOutside {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A hard link leads to no member before it.
    #[error("{} in the archive is a hard link to {}, and no file before it is that", shown(.path), shown(.target))]
    LinkToNothing {
        /// The link.
        path: String,
        /// Where it leads.
        target: String,
    },
    /// A member is a device, a named pipe, or of a kind that not every tar knows.
    #[error("{} in the archive is {kind}", shown(.path))]
    Special {
        /// The member.
        path: String,
        /// What it is, with its article.
        kind: &'static str,
    },
    /// A name holds a NUL, is empty, or is not in the format's encoding.
    #[error("the name {} in the archive {why}", shown(.name))]
    BadName {
        /// The name.
        name: String,
        /// What is wrong with it, as a predicate.
        why: &'static str,
    },
    /// The directory of a zip and a member's own header differ.
    #[error("the directory of the archive and the header of {} disagree: {how}", shown(.path))]
    HeadersDisagree {
        /// The member.
        path: String,
        /// In what, by the reader's words.
        how: String,
    },
    /// The wanted member is there more than once.
    #[error("{} is more than once in the archive", shown(.path))]
    Duplicate {
        /// The member.
        path: String,
    },
    /// A path is a folder to one member and something else to another.
    #[error("{} in the archive is both a folder and something else", shown(.path))]
    FolderAndFile {
        /// The path.
        path: String,
    },
    /// The wanted member is a link, which the build would not unpack.
    #[error("{} in the archive is a link: set `binary: {target}`, the file it leads to", shown(.path))]
    WantedLink {
        /// The link.
        path: String,
        /// The path in the archive that it leads to.
        target: String,
    },
    /// The wanted member is a folder.
    #[error("{} in the archive is a folder", shown(.path))]
    WantedFolder {
        /// The folder.
        path: String,
    },
    /// The wanted member is there in a spelling by which the build would not find it.
    #[error("{} in the archive is spelt {}, and no unpacker finds it by its path", shown(.path), shown(.spelt))]
    OddlySpelt {
        /// The path in short.
        path: String,
        /// As it stands in the archive.
        spelt: String,
    },
    /// The wanted member is not there.
    #[error("the archive holds no file {}{there}", shown(.path))]
    Missing {
        /// The path that was asked for.
        path: String,
        /// Files that are there, those of the same file name first.
        there: Listed,
    },
    /// The wanted member is not an executable, or not one for the wanted architecture.
    #[error("{} is {unfit}, and a Linux executable for {arch} is wanted", shown(.path))]
    NotExecutable {
        /// The member.
        path: String,
        /// What it is.
        unfit: Unfit,
        /// What it should run on.
        arch: Arch,
    },
    /// No member is an executable for the wanted architecture.
    #[error("the archive holds no Linux executable for {arch}{there}")]
    NoExecutable {
        /// What it should run on.
        arch: Arch,
        /// Files that are there, with what they are: executables for something else first.
        there: Listed,
    },
    /// Several members could be meant.
    #[error("the archive holds several executables{candidates}; say which with `binary:`")]
    Ambiguous {
        /// Their paths.
        candidates: Listed,
    },
    /// The wanted member is encrypted.
    #[error("{} in the archive is encrypted", shown(.path))]
    Encrypted {
        /// The member.
        path: String,
    },
    /// The wanted member of a zip archive is compressed by a method other than deflate.
    #[error("{} in the archive is compressed by {method}; only deflate is supported", shown(.path))]
    Method {
        /// The member.
        path: String,
        /// The method.
        method: String,
    },
}

impl ArchiveError {
    /// What stands behind an error of a reader: the error of ours that travelled in it, the
    /// disk's, or what a decoder had to say.
    pub(super) fn from_reader(error: io::Error) -> Self {
        let error = match error.downcast::<Self>() {
            Ok(ours) => return ours,
            Err(error) => error,
        };
        // Decoders make their own errors and have no number of the operating system's.
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
    /// For the way through a decoder; [`ArchiveError::from_reader`] is the way back.
    fn from(error: ArchiveError) -> Self {
        Self::other(error)
    }
}

/// The first few of a list, and how many more there are; nothing at all where it is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The first ones, fit for a terminal.
    pub first: Vec<String>,
    /// How many are left out.
    pub more: usize,
}

impl Listed {
    /// How many are shown.
    pub const MOST: usize = 10;

    /// Adds one that is already fit for a terminal, or counts it.
    pub(super) fn push(&mut self, item: impl FnOnce() -> String) {
        if self.first.len() < Self::MOST {
            self.first.push(item());
        } else {
            self.more += 1;
        }
    }

    /// Adds another list at the end.
    pub(super) fn append(&mut self, other: Self) {
        self.more += other.more;
        for item in other.first {
            self.push(|| item);
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, item) in self.first.iter().enumerate() {
            write!(f, "{}{item}", if index == 0 { ": " } else { ", " })?;
        }
        if self.more > 0 { write!(f, " and {} more", self.more) } else { Ok(()) }
    }
}

/// A path in quotes for a message: control characters escaped, a long one cut at its start, for
/// the end of a path tells more.
pub(super) fn shown(path: &str) -> String {
    format!("`{}`", ending(path, 80))
}

/// A number of bytes in the largest unit that holds it whole.
fn size(bytes: u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| format!("{bytes} bytes"), |(unit, name)| format!("{} {name}", bytes / unit))
}

#[cfg(test)]
mod tests {
    use super::{Listed, shown, size};

    #[test]
    fn lists_are_cut_and_counted() {
        let mut listed = Listed::default();
        assert_eq!(listed.to_string(), "");
        (0..12).for_each(|index| listed.push(|| format!("`{index}`")));
        assert_eq!(listed.to_string(), ": `0`, `1`, `2`, `3`, `4`, `5`, `6`, `7`, `8`, `9` and 2 more");
    }

    #[test]
    fn a_path_cannot_play_with_the_terminal() {
        assert_eq!(shown("it's\u{1b}[2J\u{202e}x"), "`it's\\u{1b}[2J\\u{202e}x`");
        assert_eq!(shown(&format!("{}end", "a/".repeat(100))).chars().count(), 83);
    }

    #[test]
    fn sizes_are_in_the_unit_they_are_whole_in() {
        assert_eq!(
            (size(1 << 30), size(3 << 10), size(1025)),
            ("1 GiB".into(), "3 KiB".into(), "1025 bytes".into())
        );
    }
}
