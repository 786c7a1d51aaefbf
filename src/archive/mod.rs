//! Archives that strangers made: one executable is read out, and nothing is ever unpacked.
//!
//! An archive is walked once, from its first byte to its last, in bounded memory. Every member's
//! path and kind is looked at; only the wanted one is read, and hashed while it is. What the build
//! on the VM would not take, or would take for something else, is refused here: the build asks
//! GNU tar and unzip for the member by its path (`render/dockerfile.rs`), and of two members of
//! one path tar keeps the last and unzip prints both. Where readers of the same format are known
//! to disagree about an archive, it is refused as well, since nobody can say what it holds.

mod error;
mod executable;
mod file_kind;
mod path;
mod pax;
mod search;
mod stream;
mod tar_reader;
mod zip_reader;

use std::io::{self, Read, Seek, Write};

use crate::digest::Sha256;
use crate::project::values::{Arch, ArchiveFormat, InnerPath};
use search::Search;

pub use error::{ArchiveError, Listed};
pub use executable::{Unfit, check_executable};
pub use file_kind::FileKind;
pub use search::Unpack;

/// Which executable is wanted.
#[derive(Clone, Copy, Debug)]
pub struct ExecutableQuery<'a> {
    /// Its exact path in the archive; where there is none, it is looked for.
    pub path: Option<&'a InnerPath>,
    /// The command or the repository's name: of several executables the one of this file name is
    /// taken. A single file that is no archive gets it as its path.
    pub name: &'a str,
    /// What it must run on.
    pub arch: Arch,
}

/// How much an archive may ask of the reader. The defaults are ten times what any known release
/// needs, and keep a hostile one below a minute and 200 MiB of memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The most members, and the most different paths (folders that are only named in passing
    /// count): 100 000.
    pub members: usize,
    /// The most bytes of the wanted member: 1 GiB.
    pub member_bytes: u64,
    /// The most bytes that may come out of the decompressor: 4 GiB.
    pub total_bytes: u64,
    /// The most bytes that may come out for one that went in: 200. Executables reach 10; the
    /// first 16 MiB are free, for small archives of mostly zeros are harmless.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { members: 100_000, member_bytes: 1 << 30, total_bytes: 4 << 30, ratio: 200 }
    }
}

/// An executable in an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// Its path in the archive, without a leading `./`. For a single file that is no archive: the
    /// path that was asked for, else the name.
    pub path: InnerPath,
    /// In bytes.
    pub size: u64,
    /// Of its bytes.
    pub sha256: Sha256,
}

/// Finds the wanted executable in `archive`, which is read from its start.
///
/// The file must be a Linux executable for the wanted architecture ([`check_executable`]). Without
/// a path it is the only such file, or of several the one whose file name is `wanted.name`.
///
/// # Errors
/// Where it is not there or is no such executable, and where anything about the archive is not as
/// it should be; see [`ArchiveError`].
pub fn find(
    archive: &mut (impl Read + Seek),
    packing: ArchiveFormat,
    wanted: &ExecutableQuery<'_>,
    limits: &Limits,
) -> Result<Executable, ArchiveError> {
    walk(archive, packing, Search::new(*wanted, *limits, &mut io::sink()))
}

/// Reads the executable at `path` out of `archive` into `sink`, on the same terms as [`find`].
///
/// What was written is only good where this returns without an error: what is wrong with an
/// archive may come after the member.
///
/// # Errors
/// As those of [`find`], and where the sink takes no more ([`ArchiveError::Write`]).
pub fn read_out(
    archive: &mut (impl Read + Seek),
    packing: ArchiveFormat,
    path: &InnerPath,
    arch: Arch,
    limits: &Limits,
    sink: &mut dyn Write,
) -> Result<Executable, ArchiveError> {
    let wanted = ExecutableQuery { path: Some(path), name: path.as_str(), arch };
    walk(archive, packing, Search::new(wanted, *limits, sink))
}

/// Reads everything out of `archive` into `sink`, for a tool that needs more than its executable,
/// which is at `path` and held to be one on the same terms as in [`find`].
///
/// Twice the same path is refused: which of the two an unpacker leaves is its own affair.
///
/// # Errors
/// As those of [`read_out`]. What the sink took is only good where there is none.
pub fn read_all(
    archive: &mut (impl Read + Seek),
    packing: ArchiveFormat,
    path: &InnerPath,
    arch: Arch,
    limits: &Limits,
    sink: &mut dyn Unpack,
) -> Result<Executable, ArchiveError> {
    let wanted = ExecutableQuery { path: Some(path), name: path.as_str(), arch };
    walk(archive, packing, Search::for_all(wanted, *limits, sink))
}

fn walk(
    archive: &mut (impl Read + Seek),
    packing: ArchiveFormat,
    mut search: Search<'_>,
) -> Result<Executable, ArchiveError> {
    match packing {
        ArchiveFormat::Zip => zip_reader::walk(archive, &mut search)?,
        ArchiveFormat::Gz | ArchiveFormat::Bare => {
            search.lone_file(&mut stream::open(archive, packing, search.limits())?)?;
        }
        ArchiveFormat::TarGz
        | ArchiveFormat::TarXz
        | ArchiveFormat::TarBz2
        | ArchiveFormat::TarZst
        | ArchiveFormat::Tar => {
            let stream = stream::open(archive, packing, search.limits())?;
            tar_reader::walk(stream, &mut search)?;
        }
    }
    search.finish()
}
