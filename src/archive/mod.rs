//! Reads executables from untrusted archives, without unpacking them.
//!
//! One pass over the archive in bounded memory checks the path and type of every member, and reads and
//! hashes only the wanted one. Rejected is everything that the build on the VM would reject or interpret
//! differently: it asks GNU tar or unzip for the member by path (`render/dockerfile.rs`), and for duplicate
//! paths tar keeps the last while unzip prints both. Archives that readers are known to interpret
//! differently are rejected too.

mod error;
mod executable;
mod file_kind;
mod format;
mod loader;
mod path;
mod pax;
mod search;
mod stream;
mod tar_reader;
mod zip_reader;

use std::io::{self, Read, Seek, Write};

use crate::digest::Sha256;
use crate::project::values::{Arch, ArchiveFormat, InnerPath, LoaderPath};
use search::Search;

pub use error::{ArchiveError, TruncatedList};
pub use executable::{NotExecutable, check_executable};
pub use file_kind::FileKind;
pub use format::format_of;
pub use search::Unpack;

#[derive(Clone, Copy, Debug)]
pub struct ExecutableQuery<'a> {
    /// Exact path in the archive; `None` to search.
    pub path: Option<&'a InnerPath>,
    /// The command or repository name: among several executables, the one with this file name is chosen. A
    /// single file that is not an archive gets it as its path.
    pub name: &'a str,
    pub arch: Arch,
}

/// Limits. The defaults are ten times what any known release needs; a hostile archive takes less than a
/// minute and 200 MiB of memory.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Members and distinct paths, including implied parent folders; 100,000 by default.
    pub members: usize,
    /// Size of the wanted member in bytes; 1 GiB by default.
    pub member_bytes: u64,
    /// Decompressed size in bytes; 4 GiB by default.
    pub total_bytes: u64,
    /// Compression ratio; 200 by default. Executables reach 10. The first 16 MiB are exempt, because small
    /// archives of mostly zeros are harmless.
    pub ratio: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { members: 100_000, member_bytes: 1 << 30, total_bytes: 4 << 30, ratio: 200 }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executable {
    /// Without a leading `./`. For a single file that is not an archive: the requested path or the name.
    pub path: InnerPath,
    /// In bytes.
    pub size: u64,
    pub sha256: Sha256,
    /// The dynamic loader that it needs; `None` if it is static.
    pub loader: Option<LoaderPath>,
}

/// Finds the requested executable in `archive`, read from its start.
///
/// The file must be a Linux executable for the architecture ([`check_executable`]). Without a path, it must
/// be the only one, or the only one with the file name `wanted.name`.
pub fn find(
    archive: &mut (impl Read + Seek),
    packing: ArchiveFormat,
    wanted: &ExecutableQuery<'_>,
    limits: &Limits,
) -> Result<Executable, ArchiveError> {
    walk(archive, packing, Search::new(*wanted, *limits, &mut io::sink()))
}

/// Copies the executable at `path` from `archive` to `sink`, with the same checks as [`find`].
///
/// The output is only valid if this succeeds: an error may be detected after the member.
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

/// Copies all members of `archive` to `sink`, for a tool that needs more than its executable at `path`.
/// Duplicate paths are rejected, because unpackers handle them differently.
///
/// The output is only valid if this succeeds.
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
        ArchiveFormat::Gz
        | ArchiveFormat::Bz2
        | ArchiveFormat::Xz
        | ArchiveFormat::Zst
        | ArchiveFormat::Bare => {
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
