//! Replaces the files of a folder atomically.
//!
//! A complete new folder is created next to the old one, and the kernel exchanges the two. Readers see
//! either all old or all new files, even if the process is killed. Other content moves along: files are
//! hard-linked into the new folder before the exchange, folders are renamed into it right after.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::exchange::{cannot_swap, staging_prefix, swap};
use super::user_files::{is_owned, recover, recover_leftovers};
use super::{FsError, IoContext, NewFile, exclusive, new_file, sync};

/// Result of [`replace`].
#[derive(Debug, PartialEq, Eq)]
pub enum ReplaceOutcome {
    Unchanged,
    Replaced,
    /// The file system cannot exchange folders: each file was replaced atomically, one after another.
    OneByOne,
}

/// Makes `folder` contain `files` and no other name of `owned`; leaves everything else alone.
///
/// # Errors
/// The folder is unchanged, with one exception: if folders cannot be exchanged and the file system fails
/// between two renames, some files are new.
pub fn replace(folder: &Path, files: &[NewFile<'_>], owned: &[&str]) -> Result<ReplaceOutcome, FsError> {
    // Resolve symbolic links; otherwise the link itself would be exchanged.
    let folder = match fs::canonicalize(folder) {
        Ok(found) => found,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::path::absolute(folder).context("be found", folder)?
        }
        Err(error) => return Err(error).context("be found", folder),
    };
    let (Some(parent), Some(name)) = (folder.parent(), folder.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput)).context("be replaced", &folder);
    };
    fs::create_dir_all(parent).context("create the folder", parent)?;
    let _guard = exclusive(parent)?;
    recover_leftovers(parent, name, &folder, owned);
    if stands(&folder, files, owned) {
        return Ok(ReplaceOutcome::Unchanged);
    }
    let old = fs::metadata(&folder).ok();
    let Some(staged) = stage(parent, name, old.as_ref(), files)? else {
        return one_by_one(&folder, files, owned);
    };
    if old.is_none() {
        sync(&staged.0);
        fs::rename(&staged.0, &folder).context("put the new folder", &folder)?;
        let _ = staged.keep();
        sync(parent);
        return Ok(ReplaceOutcome::Replaced);
    }
    match exchange(&staged.0, &folder, owned) {
        Ok(()) => {
            // The staged path now holds the old files, and possibly user files.
            recover(&staged.keep(), &folder, owned);
            sync(parent);
            Ok(ReplaceOutcome::Replaced)
        }
        Err(error) if cannot_swap(&error) => {
            drop(staged);
            one_by_one(&folder, files, owned)
        }
        Err(error) => Err(error).context("replace", &folder),
    }
}

/// A temporary folder with new files and hard links only; removed on drop.
struct Staged(PathBuf);

impl Staged {
    fn keep(self) -> PathBuf {
        let mut this = std::mem::ManuallyDrop::new(self);
        std::mem::take(&mut this.0)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Creates the new folder next to the old one; `None` if the parent is not writable.
///
/// The name ends in the folder's own inode number. After the exchange a different folder has that name, so
/// a later run can tell a folder that was never put in place from one that was replaced.
fn stage(
    parent: &Path,
    name: &OsStr,
    old: Option<&fs::Metadata>,
    files: &[NewFile<'_>],
) -> Result<Option<Staged>, FsError> {
    let prefix = staging_prefix(name);
    let permissions = old.map_or(0o777, |old| old.permissions().mode() & 0o7777 | 0o700);
    let attempt = tempfile::Builder::new()
        .prefix(&prefix)
        .permissions(Permissions::from_mode(permissions))
        .tempdir_in(parent);
    let folder = match attempt {
        Ok(folder) => folder,
        Err(error)
            if old.is_some()
                && matches!(
                    error.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
                ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).context("write a new folder", parent),
    };
    let inode = fs::metadata(folder.path()).context("write a new folder", parent)?.ino();
    let mut named = prefix;
    named.push(inode.to_string());
    let path = parent.join(named);
    fs::rename(folder.path(), &path).context("write a new folder", parent)?;
    let _ = folder.keep();
    let staged = Staged(path);
    if let Some(old) = old {
        // If this fails, the user already owns the old folder.
        let _ = chown(&staged.0, Some(old.uid()), Some(old.gid()));
        let _ = fs::set_permissions(&staged.0, Permissions::from_mode(permissions));
    }
    for file in files {
        let path = staged.0.join(file.name);
        let mode = if file.executable { 0o777 } else { 0o666 };
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut handle| handle.write_all(file.content).and_then(|()| handle.sync_all()))
            .context("write", &path)?;
    }
    Ok(Some(staged))
}

fn stands(folder: &Path, files: &[NewFile<'_>], owned: &[&str]) -> bool {
    let kept: HashSet<_> = files.iter().map(|file| file.name).collect();
    let gone = |name: &&str| kept.contains(name) || fs::symlink_metadata(folder.join(name)).is_err();
    files.iter().all(|file| file.stands_in(folder)) && owned.iter().all(gone)
}

fn exchange(staged: &Path, folder: &Path, owned: &[&str]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if is_owned(&entry.file_name(), owned) || entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        match fs::hard_link(entry.path(), staged.join(entry.file_name())) {
            // Deleted in the meantime.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            linked => linked?,
        }
    }
    sync(staged);
    swap(staged, folder)
}

/// Writes all new files to disk before the first rename, so that a full disk changes nothing.
fn one_by_one(folder: &Path, files: &[NewFile<'_>], owned: &[&str]) -> Result<ReplaceOutcome, FsError> {
    let mut staged = Vec::new();
    for file in files {
        staged.push(new_file(folder, file).context("write", &folder.join(file.name))?);
    }
    for (file, staged) in files.iter().zip(staged) {
        let target = folder.join(file.name);
        staged.persist(&target).map_err(|error| error.error).context("replace", &target)?;
    }
    for name in owned.iter().filter(|name| !files.iter().any(|file| file.name == **name)) {
        let _ = fs::remove_file(folder.join(name));
    }
    sync(folder);
    Ok(ReplaceOutcome::OneByOne)
}
