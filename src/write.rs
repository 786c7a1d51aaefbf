//! Files onto the disk: a folder's files all at once, or none of them.
//!
//! The new folder is made whole beside the old one, with hard links to whatever else lies in the
//! old one, and the two change places in one step that the kernel does not interrupt. Whenever the
//! program is killed, the folder holds all new files or all old ones.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};

/// A file to write.
pub struct NewFile<'a> {
    /// Its name in the folder.
    pub name: &'a str,
    /// Its content.
    pub content: &'a [u8],
    /// Whether it is a program.
    pub executable: bool,
}

/// What [`replace`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: every file stood there already.
    Unchanged,
    /// All files changed in one step.
    Replaced,
    /// The file system cannot exchange folders: each file changed in one step, one after another.
    OneByOne,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {what}: {source}", path.display())]
pub struct Error {
    path: PathBuf,
    what: &'static str,
    source: io::Error,
}

trait Context<T> {
    fn context(self, what: &'static str, path: &Path) -> Result<T, Error>;
}

impl<T> Context<T> for io::Result<T> {
    fn context(self, what: &'static str, path: &Path) -> Result<T, Error> {
        self.map_err(|source| Error { path: path.to_owned(), what, source })
    }
}

/// Makes `folder` hold `files`, and no other of the names in `owned`; whatever else lies in it is
/// left alone.
///
/// # Errors
/// Where something could not be written; the folder is then as it was.
pub fn replace(folder: &Path, files: &[NewFile<'_>], owned: &[&str]) -> Result<Outcome, Error> {
    // Through a symbolic link, or the link itself would be exchanged.
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
    remove_leftovers(parent, name);
    if stands(&folder, files, owned) {
        return Ok(Outcome::Unchanged);
    }
    let exists = folder.exists();
    let mode = if exists {
        fs::metadata(&folder).context("read the folder", &folder)?.permissions().mode() & 0o7777
    } else {
        0o777
    };
    let staged = tempfile::Builder::new()
        .prefix(&staging_prefix(name))
        .permissions(Permissions::from_mode(mode | 0o700))
        .tempdir_in(parent)
        .context("write a new folder", parent)?;
    for file in files {
        write_new(&staged.path().join(file.name), file)?;
    }
    if !exists {
        sync(staged.path());
        fs::rename(staged.path(), &folder).context("put the new folder", &folder)?;
        let _ = staged.keep();
        sync(parent);
        return Ok(Outcome::Replaced);
    }
    if exchange(staged.path(), &folder, owned).is_ok() {
        // Something may have come into the old folder meanwhile; it is somebody's.
        rescue(staged.path(), &folder, owned);
        sync(parent);
        return Ok(Outcome::Replaced);
    }
    one_by_one(staged.path(), &folder, files, owned)?;
    Ok(Outcome::OneByOne)
}

/// Writes files that must not be there yet, below `folder`, which is made where it is missing.
///
/// # Errors
/// Where one is there, or could not be written; those written before it are removed again.
pub fn create(folder: &Path, files: &[NewFile<'_>]) -> Result<(), Error> {
    for file in files {
        let path = folder.join(file.name);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(io::Error::from(io::ErrorKind::AlreadyExists)).context("write a new file", &path);
        }
    }
    for (done, file) in files.iter().enumerate() {
        let path = folder.join(file.name);
        let parent = path.parent().unwrap_or(folder);
        let written = fs::create_dir_all(parent)
            .context("create the folder", parent)
            .and_then(|()| write_new(&path, file));
        if let Err(error) = written {
            for earlier in &files[..done] {
                let _ = fs::remove_file(folder.join(earlier.name));
            }
            return Err(error);
        }
    }
    Ok(())
}

/// Replaces the content of one file in one step, or leaves it as it was.
///
/// # Errors
/// Where it could not be written.
pub fn file(path: &Path, content: &[u8]) -> Result<(), Error> {
    let folder = path.parent().unwrap_or(path);
    let mode = fs::metadata(path).map_or(0o666, |metadata| metadata.permissions().mode() & 0o777);
    let mut staged = tempfile::Builder::new()
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(folder)
        .context("write a new file", folder)?;
    staged.write_all(content).and_then(|()| staged.as_file().sync_all()).context("write", path)?;
    staged.persist(path).map_err(|error| error.error).context("replace", path)?;
    sync(folder);
    Ok(())
}

/// Two runs at once take turns; the lock goes with the process.
fn exclusive(folder: &Path) -> Result<File, Error> {
    let handle = File::open(folder).context("open the folder", folder)?;
    // Some network file systems know no locks; then only two runs at once are at risk.
    let _ = flock(&handle, FlockOperation::LockExclusive);
    Ok(handle)
}

fn staging_prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".bake-");
    prefix
}

/// Removes what a killed run left. Nobody else is at work: the lock is held.
fn remove_leftovers(parent: &Path, name: &OsStr) {
    let prefix = staging_prefix(name);
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        if entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

fn stands(folder: &Path, files: &[NewFile<'_>], owned: &[&str]) -> bool {
    let same =
        |file: &NewFile<'_>| fs::read(folder.join(file.name)).is_ok_and(|content| content == file.content);
    let gone = |name: &&str| files.iter().any(|file| file.name == *name) || !folder.join(name).exists();
    files.iter().all(same) && owned.iter().all(gone)
}

fn write_new(path: &Path, file: &NewFile<'_>) -> Result<(), Error> {
    let mode = if file.executable { 0o777 } else { 0o666 };
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut handle| handle.write_all(file.content).and_then(|()| handle.sync_all()))
        .context("write", path)
}

fn exchange(staged: &Path, folder: &Path, owned: &[&str]) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_owned(&entry.file_name(), owned) {
            link_tree(&entry.path(), &staged.join(entry.file_name()))?;
        }
    }
    sync(staged);
    Ok(renameat_with(CWD, staged, CWD, folder, RenameFlags::EXCHANGE)?)
}

fn is_owned(name: &OsStr, owned: &[&str]) -> bool {
    owned.iter().any(|own| OsStr::new(own) == name)
}

/// The same entry under a second name: files and links by hard link, folders entry by entry.
fn link_tree(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    if !metadata.is_dir() {
        return fs::hard_link(from, to);
    }
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        link_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    fs::set_permissions(to, metadata.permissions())
}

fn rescue(old: &Path, folder: &Path, owned: &[&str]) {
    for entry in fs::read_dir(old).into_iter().flatten().flatten() {
        let target = folder.join(entry.file_name());
        if !is_owned(&entry.file_name(), owned) && fs::symlink_metadata(&target).is_err() {
            let _ = fs::rename(entry.path(), target);
        }
    }
}

/// All new files are on the disk already, so that a full disk stops nothing halfway.
fn one_by_one(staged: &Path, folder: &Path, files: &[NewFile<'_>], owned: &[&str]) -> Result<(), Error> {
    for file in files {
        let target = folder.join(file.name);
        fs::rename(staged.join(file.name), &target).context("replace", &target)?;
    }
    for name in owned.iter().filter(|name| !files.iter().any(|file| file.name == **name)) {
        let _ = fs::remove_file(folder.join(name));
    }
    sync(folder);
    Ok(())
}

/// A rename is kept through a power cut only once its folder is on the disk; where a file system
/// cannot do that, nothing more can be done.
fn sync(folder: &Path) {
    let _ = File::open(folder).and_then(|handle| handle.sync_all());
}
