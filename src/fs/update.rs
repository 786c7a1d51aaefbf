//! Compare-and-replace for files.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::inside::resolve_inside;
use super::{Conflict, FsError, IoContext, exclusive, sync};

/// A replacement that depends on the file's current content.
pub struct Revision<'a> {
    pub path: PathBuf,
    /// The content it was read with; `None` to replace it unconditionally.
    pub from: Option<&'a str>,
    pub to: &'a str,
}

/// Replaces the content of these files of the project in `folder`. All new files are synced before the
/// first rename, so that a full disk changes nothing.
///
/// # Errors
/// [`FsError::is_overtaken`] if a file has changed since it was read. All files are unchanged, unless the
/// file system fails between two renames.
pub fn revise(folder: &Path, files: &[Revision<'_>]) -> Result<(), FsError> {
    let _guard = exclusive(folder)?;
    let mut staged = Vec::new();
    for Revision { path, from, to } in files {
        let is_link = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
        let path = resolve_inside(folder, path).context("write", path)?;
        let old = fs::metadata(&path).ok();
        if is_link && old.is_some() && from.is_none() {
            let why = io::Error::other("it is a link to a file that holds something else");
            return Err(why).context("write", &path);
        }
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

/// Removes temporary files that killed runs of [`revise`] left next to these files.
///
/// # Errors
/// If another run holds the lock for too long.
pub fn tidy(folder: &Path, paths: &[&Path]) -> Result<(), FsError> {
    let found = paths.iter().filter_map(|path: &&Path| resolve_inside(folder, path).ok());
    let names = found.map(|path| successor_name(&path));
    let left: Vec<_> = names.filter(|path| fs::symlink_metadata(path).is_ok()).collect();
    if left.is_empty() {
        return Ok(());
    }
    // Files of a running process are not leftovers.
    let _guard = exclusive(folder)?;
    for path in left {
        let _ = fs::remove_file(path);
    }
    Ok(())
}

/// The temporary sibling of a file. The name is fixed, so that the next run finds the leftovers of a killed
/// one.
fn successor_name(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".bake-new");
    path.with_file_name(name)
}

/// Writes and syncs the temporary sibling. The caller holds the lock.
fn successor(path: &Path, content: &[u8]) -> io::Result<NamedTempFile> {
    let name = successor_name(path);
    let _ = fs::remove_file(&name);
    let file = OpenOptions::new().write(true).create_new(true).open(&name)?;
    let mut new = NamedTempFile::from_parts(file, TempPath::try_from_path(name)?);
    new.write_all(content)?;
    new.as_file().sync_all()?;
    Ok(new)
}
