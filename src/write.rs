//! Files onto the disk: a folder's files all at once, or none of them.
//!
//! The new folder is made whole beside the old one, and the two change places in one step that the
//! kernel does not interrupt. Whoever looks sees all new files or all old ones, whenever the
//! program is killed. What else lies in the folder moves along: files have a hard link in the new
//! folder before the exchange, and folders are renamed into it right after.

use std::collections::HashSet;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{CWD, FlockOperation, RenameFlags, flock, renameat_with};
use rustix::io::Errno;
use tempfile::{NamedTempFile, TempPath};

/// How long a run waits for another one, which takes milliseconds: half a minute.
const LOCK_TRIES: u32 = 600;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

/// A file to write.
pub struct NewFile<'a> {
    /// Its name in the folder.
    pub name: &'a str,
    /// Its content.
    pub content: &'a [u8],
    /// Whether it is a program.
    pub executable: bool,
}

impl NewFile<'_> {
    /// Whether it stands in `folder` already, just like this.
    pub fn stands_in(&self, folder: &Path) -> bool {
        let path = folder.join(self.name);
        let runs = |metadata: fs::Metadata| metadata.mode() & 0o100 != 0;
        // Anything else could be without an end, or wait for a writer.
        fs::metadata(&path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == self.content.len() as u64)
            && fs::read(&path).is_ok_and(|content| content == self.content)
            && (!self.executable || fs::metadata(&path).is_ok_and(runs))
    }
}

/// What [`replace`] did.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing: every file stood there already.
    Unchanged,
    /// All files changed in one step.
    Replaced,
    /// Folders cannot be exchanged here: each file changed in one step, one after another.
    OneByOne,
}

/// Why something was not written.
#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {what}: {source}", path.display())]
pub struct Error {
    path: PathBuf,
    what: &'static str,
    source: io::Error,
}

impl Error {
    /// Whether a file held something else than it was read with.
    pub fn is_overtaken(&self) -> bool {
        self.source.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Overtaken>)
    }
}

/// Somebody edited it, or another run was quicker.
#[derive(Debug, thiserror::Error)]
#[error("it changed while this ran; run it again")]
struct Overtaken;

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
/// Where something could not be written. The folder is then as it was, but for one case: where
/// folders cannot be exchanged, a file system that fails between two renames leaves some files new.
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
    settle_leftovers(parent, name, &folder, owned);
    if stands(&folder, files, owned) {
        return Ok(Outcome::Unchanged);
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
        return Ok(Outcome::Replaced);
    }
    match exchange(&staged.0, &folder, owned) {
        Ok(()) => {
            // From here on it holds the old files, and what is somebody else's.
            settle(&staged.keep(), &folder, owned);
            sync(parent);
            Ok(Outcome::Replaced)
        }
        Err(error) if cannot_exchange(&error) => {
            drop(staged);
            one_by_one(&folder, files, owned)
        }
        Err(error) => Err(error).context("replace", &folder),
    }
}

/// Writes files that must not be there yet, below `folder`, which is made where it is missing.
///
/// # Errors
/// Where one is there, or could not be written; nothing new is left then.
pub fn create(folder: &Path, files: &[NewFile<'_>]) -> Result<(), Error> {
    let mut made = Made::default();
    for file in files {
        let path = folder.join(file.name);
        let parent = path.parent().unwrap_or(folder);
        made.folders(parent).context("create the folder", parent)?;
        let staged = new_file(parent, file).context("write", &path)?;
        staged.persist_noclobber(&path).map_err(|error| error.error).context("write a new file", &path)?;
        made.0.push(path);
    }
    made.0.clear();
    Ok(())
}

/// Paths that were made, and go again where not all of it comes about.
#[derive(Default)]
struct Made(Vec<PathBuf>);

impl Made {
    fn folders(&mut self, folder: &Path) -> io::Result<()> {
        let missing: Vec<_> =
            folder.ancestors().take_while(|path| fs::symlink_metadata(path).is_err()).collect();
        for path in missing.into_iter().rev().filter(|path| *path != Path::new("")) {
            fs::create_dir(path)?;
            self.0.push(path.to_owned());
        }
        Ok(())
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // A folder that somebody else put something into stays.
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
}

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
pub fn revise(folder: &Path, files: &[Revision<'_>]) -> Result<(), Error> {
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
            return Err(io::Error::other(Overtaken)).context("be replaced", &path);
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
pub fn tidy(folder: &Path, paths: &[&Path]) -> Result<(), Error> {
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

/// A temporary file in `folder`, on the disk, with the permissions of any other new file.
fn new_file(folder: &Path, file: &NewFile<'_>) -> io::Result<NamedTempFile> {
    let mode = if file.executable { 0o777 } else { 0o666 };
    let mut staged =
        tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
    staged.write_all(file.content)?;
    staged.as_file().sync_all()?;
    Ok(staged)
}

/// Two runs at once take turns; the lock goes with the process.
fn exclusive(folder: &Path) -> Result<File, Error> {
    let handle = File::open(folder).context("open the folder", folder)?;
    for _ in 0..LOCK_TRIES {
        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::AGAIN | Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
            // Some network file systems know no locks; then only two runs at once are at risk.
            Ok(()) | Err(_) => return Ok(handle),
        }
    }
    Err(io::Error::from(io::ErrorKind::WouldBlock))
        .context("write here while another program holds a lock on", folder)
}

fn staging_prefix(name: &OsStr) -> OsString {
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(".bake-");
    prefix
}

/// A folder that holds nothing of anybody else but second links; it goes where it is not kept.
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

/// The new folder beside the old one; none where nothing can be made there.
///
/// Its name ends in its own inode. After the exchange another folder has that name, so that a
/// later run can tell a folder that was never put in place from one that was taken out of it.
fn stage(
    parent: &Path,
    name: &OsStr,
    old: Option<&fs::Metadata>,
    files: &[NewFile<'_>],
) -> Result<Option<Staged>, Error> {
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
        // Whoever may not give a folder away owns the old one already.
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

/// What a killed run left: a folder that never came into its place goes; one that was taken out of
/// it may hold what is somebody else's. Nobody else is at work, for the lock is held.
fn settle_leftovers(parent: &Path, name: &OsStr, folder: &Path, owned: &[&str]) {
    let prefix = staging_prefix(name);
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(suffix) = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes()) else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        if !metadata.is_dir() {
            continue;
        }
        if suffix == metadata.ino().to_string().as_bytes() {
            let _ = fs::remove_dir_all(entry.path());
        } else if folder.exists() {
            settle(&entry.path(), folder, owned);
        }
    }
}

/// Brings out of the folder that was exchanged whatever is not ours, and removes the rest.
fn settle(old: &Path, folder: &Path, owned: &[&str]) {
    // Somebody may still write into it; what comes in the last moment stays for the next run.
    for entry in fs::read_dir(old).into_iter().flatten().flatten() {
        let (from, to) = (entry.path(), folder.join(entry.file_name()));
        if is_owned(&entry.file_name(), owned) {
            let _ = fs::remove_file(from);
            continue;
        }
        bring(&from, &to);
    }
    let _ = fs::remove_dir(old);
}

/// Brings what is somebody else's from the folder that was exchanged to where it belongs now. Somebody
/// may put a newer one there at any moment: it is not replaced unseen.
fn bring(from: &Path, to: &Path) {
    // What stood there and was looked at, before it changed places with this one.
    let mut exchanged = None;
    // Where somebody is quicker each time, it stays for the next run.
    for _ in 0..10 {
        let Ok(here) = fs::symlink_metadata(from) else { return };
        let moved = match fs::symlink_metadata(to) {
            Err(_) => renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE),
            Ok(_) if here.is_dir() => {
                // Only one that is empty is replaced.
                let _ = fs::rename(from, to);
                return;
            }
            Ok(there) if is_superseded(&here, &there, exchanged == Some(file(&here))) => {
                let _ = fs::remove_file(from);
                return;
            }
            Ok(there) if there.is_dir() => return,
            Ok(there) => {
                exchanged = Some(file(&there));
                renameat_with(CWD, from, CWD, to, RenameFlags::EXCHANGE)
            }
        };
        if !matches!(moved, Ok(()) | Err(Errno::EXIST | Errno::NOENT)) {
            return;
        }
    }
}

/// Whether it is a second link to what is there, or older: it was replaced since it was linked. Of two
/// of the same age, the one that was in the exchanged folder stays.
fn is_superseded(here: &fs::Metadata, there: &fs::Metadata, is_exchanged: bool) -> bool {
    let (age, age_there) = (modified(here), modified(there));
    file(here) == file(there) || age < age_there || age == age_there && is_exchanged
}

/// Which file it is, by whatever name.
fn file(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn modified(metadata: &fs::Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
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
            // Its owner has just taken it away.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            linked => linked?,
        }
    }
    sync(staged);
    Ok(renameat_with(CWD, staged, CWD, folder, RenameFlags::EXCHANGE)?)
}

/// Whether the file system, and not this attempt, is the reason: no exchange or no links there, or
/// the folder is a mount point.
fn cannot_exchange(error: &io::Error) -> bool {
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

fn is_owned(name: &OsStr, owned: &[&str]) -> bool {
    owned.iter().any(|own| OsStr::new(own) == name)
}

/// All new files are on the disk before the first takes its place, so that a full disk stops
/// nothing halfway.
fn one_by_one(folder: &Path, files: &[NewFile<'_>], owned: &[&str]) -> Result<Outcome, Error> {
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
    Ok(Outcome::OneByOne)
}

/// A rename is kept through a power cut only once its folder is on the disk; where a file system
/// cannot do that, nothing more can be done.
fn sync(folder: &Path) {
    let _ = File::open(folder).and_then(|handle| handle.sync_all());
}
