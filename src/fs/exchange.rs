//! Replaces folders and files atomically.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// The prefix of temporary siblings of the folder or file `name`.
pub fn staging_prefix(name: &std::ffi::OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".bake-");
    prefix
}

/// Exchanges two folders or files. [`cannot_swap`] tells which errors are permanent.
pub fn swap(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Renames `from` to `to`; fails if `to` exists.
pub fn move_to_free(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// Moves the folder `new` to `place`; an existing folder there ends up at `new` or `old`. On a file system
/// without atomic exchange, `place` is missing for an instant.
pub fn put_folder(new: &Path, place: &Path, old: &Path) -> io::Result<()> {
    if fs::symlink_metadata(place).is_err() {
        return fs::rename(new, place);
    }
    match swap(new, place) {
        Err(error) if cannot_swap(&error) => fs::rename(place, old).and_then(|()| fs::rename(new, place)),
        swapped => swapped,
    }
}

/// Whether the error is permanent: no exchange or hard links on this file system, or a mount point.
pub fn cannot_swap(error: &io::Error) -> bool {
    let reasons = [
        Errno::BUSY,
        Errno::INVAL,
        Errno::MLINK,
        Errno::NOSYS,
        Errno::NOTSUP,
        Errno::OPNOTSUPP,
        Errno::PERM,
        Errno::XDEV,
    ];
    Errno::from_io_error(error).is_some_and(|errno| reasons.contains(&errno))
}
