//! Writes files atomically: all or none, even if the process is killed.

pub mod exchange;
mod folder;
pub mod inside;
mod update;
mod user_files;

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tempfile::NamedTempFile;

pub use folder::{ReplaceOutcome, replace};
pub use update::{Revision, revise, tidy};

/// Another run holds the lock for milliseconds; give up after 30 s.
const LOCK_TRIES: u32 = 600;
const LOCK_PAUSE: Duration = Duration::from_millis(50);

pub struct NewFile<'a> {
    pub name: &'a str,
    pub content: &'a [u8],
    pub executable: bool,
}

impl NewFile<'_> {
    /// Whether `folder` already contains this exact file.
    pub fn stands_in(&self, folder: &Path) -> bool {
        let path = folder.join(self.name);
        let runs = |metadata: fs::Metadata| metadata.mode() & 0o100 != 0;
        // Reading anything else, such as a pipe, could block forever; a link may lead anywhere.
        fs::symlink_metadata(&path)
            .is_ok_and(|metadata| metadata.is_file() && metadata.len() == self.content.len() as u64)
            && fs::read(&path).is_ok_and(|content| content == self.content)
            && (!self.executable || fs::metadata(&path).is_ok_and(runs))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{}: cannot {what}: {source}", path.display())]
pub struct FsError {
    path: PathBuf,
    what: &'static str,
    source: io::Error,
}

impl FsError {
    /// Whether a file no longer had the content it was read with.
    pub fn is_overtaken(&self) -> bool {
        self.source.get_ref().is_some_and(<dyn std::error::Error + Send + Sync>::is::<Conflict>)
    }
}

/// A concurrent edit, or another run.
#[derive(Debug, thiserror::Error)]
#[error("it changed while this ran; run it again")]
struct Conflict;

trait IoContext<T> {
    fn context(self, what: &'static str, path: &Path) -> Result<T, FsError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn context(self, what: &'static str, path: &Path) -> Result<T, FsError> {
        self.map_err(|source| FsError { path: path.to_owned(), what, source })
    }
}

/// Creates files below `folder`, which is created if missing. Fails without leaving anything behind if one
/// of them exists.
pub fn create(folder: &Path, files: &[NewFile<'_>]) -> Result<(), FsError> {
    let mut made = CreatedPaths::default();
    for file in files {
        let path = folder.join(file.name);
        let parent = path.parent().unwrap_or(folder);
        made.folders(parent).context("create the folder", parent)?;
        inside::resolve_inside(folder, &path).context("write a new file", &path)?;
        let staged = new_file(parent, file).context("write", &path)?;
        staged.persist_noclobber(&path).map_err(|error| error.error).context("write a new file", &path)?;
        made.0.push(path);
    }
    made.0.clear();
    Ok(())
}

/// Removes the created paths on drop, unless cleared.
#[derive(Default)]
struct CreatedPaths(Vec<PathBuf>);

impl CreatedPaths {
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

impl Drop for CreatedPaths {
    fn drop(&mut self) {
        for path in self.0.iter().rev() {
            // Fails for a folder that meanwhile holds other files, which is intended.
            let _ = fs::remove_file(path).or_else(|_| fs::remove_dir(path));
        }
    }
}

/// A temporary file in `folder`, synced, with the permissions of an ordinary new file.
fn new_file(folder: &Path, file: &NewFile<'_>) -> io::Result<NamedTempFile> {
    let mode = if file.executable { 0o777 } else { 0o666 };
    let mut staged =
        tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder)?;
    staged.write_all(file.content)?;
    staged.as_file().sync_all()?;
    Ok(staged)
}

/// Serializes concurrent runs; the process's exit releases the lock.
fn exclusive(folder: &Path) -> Result<File, FsError> {
    let handle = File::open(folder).context("open the folder", folder)?;
    for _ in 0..LOCK_TRIES {
        match flock(&handle, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::AGAIN | Errno::INTR) => std::thread::sleep(LOCK_PAUSE),
            // Some network file systems do not support locks; then only concurrent runs are at risk.
            Ok(()) | Err(_) => return Ok(handle),
        }
    }
    Err(io::Error::from(io::ErrorKind::WouldBlock))
        .context("write here while another program holds a lock on", folder)
}

/// A rename survives a power cut only after its folder is synced. Best effort: some file systems cannot
/// sync folders.
fn sync(folder: &Path) {
    let _ = File::open(folder).and_then(|handle| handle.sync_all());
}
