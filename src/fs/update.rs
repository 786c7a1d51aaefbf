//! Files that are replaced because of what they held.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::{Conflict, FsError, IoContext, exclusive, sync};

/// A file that is replaced because of what it held.
pub struct Revision<'a> {
    /// Where it is.
    pub path: PathBuf,
    /// What it held when it was read; none where that does not matter.
    pub from: Option<&'a str>,
    /// What it is to hold.
    pub to: &'a str,
}

/// Replaces the content of each of these files, which belong to the project in `folder`, in one
/// step. All new ones are on the disk before the first takes its place, so that what stops one of
/// them, such as a full disk, stops all.
///
/// # Errors
/// Where one could not be written, or holds something else by now: somebody edited it, or another
/// run was quicker. All are then as they were, unless the file system fails between two renames.
pub fn revise(folder: &Path, files: &[Revision<'_>]) -> Result<(), FsError> {
    let _guard = exclusive(folder)?;
    let mut staged = Vec::new();
    for Revision { path, from, to } in files {
        let path = behind_links(path);
        let old = fs::metadata(&path).ok();
        if old.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(io::Error::from(io::ErrorKind::IsADirectory)).context("be replaced", &path);
        }
        if let Some(from) = from
            && fs::read(&path).context("read", &path)? != from.as_bytes()
        {
            return Err(io::Error::other(Conflict)).context("be replaced", &path);
        }
        let new = successor(&path, to.as_bytes()).context("write", &path)?;
        if let Some(old) = old {
            fs::set_permissions(new.path(), old.permissions()).context("write", &path)?;
        }
        staged.push((new, path));
    }
    for (new, path) in staged {
        new.persist(&path).map_err(|error| error.error).context("replace", &path)?;
        sync(path.parent().unwrap_or(folder));
    }
    Ok(())
}

/// Removes what killed runs of [`revise`] left beside these files of the project in `folder`.
///
/// # Errors
/// Where another run is at work for too long.
pub fn tidy(folder: &Path, paths: &[&Path]) -> Result<(), FsError> {
    let names = paths.iter().map(|path| successor_name(&behind_links(path)));
    let left: Vec<_> = names.filter(|path| fs::symlink_metadata(path).is_ok()).collect();
    if left.is_empty() {
        return Ok(());
    }
    // What a run at work has there is none of it.
    let _guard = exclusive(folder)?;
    for path in left {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// The file itself where `path` is a symbolic link, which stays one.
fn behind_links(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Where the new content of a file waits for its place: always under the same name, so that the
/// next run finds what a killed one left.
fn successor_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".bake-new");
    path.with_file_name(name)
}

/// The new content of the file at `path`, on the disk. Nobody else is at work, for the lock is held.
fn successor(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let name = successor_name(path);
    let _ = fs::remove_file(&name);
    let file = OpenOptions::new().write(true).create_new(true).open(&name)?;
    let mut new = NamedTempFile::from_parts(file, TempPath::try_from_path(name)?);
    new.write_all(content)?;
    new.as_file().sync_all()?;
    Ok(new)
}
