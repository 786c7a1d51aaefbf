//! How a folder or a file takes its place: in one step that the kernel does not interrupt.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

/// How the name begins of what is made beside the folder or file `name`, and is not whole yet.
pub fn staging_prefix(name: &std::ffi::OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".bake-");
    prefix
}

/// Lets two folders or files change places.
///
/// # Errors
/// See [`cannot_swap`] for those that no other attempt would mend.
pub fn swap(one: &Path, other: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

/// Moves `from` to a name that nothing has.
///
/// # Errors
/// Where something has it, too.
pub fn move_to_free(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE)?)
}

/// Puts the folder `new` where `place` is, whatever is there; that is `old` afterwards. Where the file
/// system cannot exchange folders there is an instant without one.
///
/// # Errors
/// Where it could not be moved.
pub fn put_folder(new: &Path, place: &Path, old: &Path) -> io::Result<()> {
    if fs::symlink_metadata(place).is_err() {
        return fs::rename(new, place);
    }
    match swap(new, place) {
        Err(error) if cannot_swap(&error) => fs::rename(place, old).and_then(|()| fs::rename(new, place)),
        swapped => swapped,
    }
}

/// Whether the file system, and not this attempt, is the reason: no exchange or no links there, or
/// the folder is a mount point.
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
