//! A download on its way: a file that one run at a time writes to.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{Errno, retry_on_intr};

use super::error::FetchError;
use crate::digest::{Hasher, Sha256};

/// Bytes that are moved at once.
pub(super) const BUFFER: usize = 256 * 1024;

/// The bytes that are there of a download, on the disk and in a digest in the making. The lock on
/// it goes with the process, however that ends.
pub(super) struct Partial {
    path: PathBuf,
    file: File,
    hasher: Hasher,
    length: u64,
}

impl Partial {
    /// The file at `path`, empty or with what an earlier run left; waits while another run has it.
    pub(super) fn open(path: &Path) -> Result<Self, FetchError> {
        let failed = |what| move |error| FetchError::cache(path, what, error);
        loop {
            let Some(file) = open_regular(path).map_err(failed("write"))? else {
                remove(path).map_err(failed("remove what is"))?;
                continue;
            };
            retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))
                .map_err(|error| failed("take a lock")(error.into()))?;
            // The previous owner has finished or removed it; the name may now belong to another file.
            if same_file(&file, path).map_err(failed("write"))? {
                return Ok(Self { path: path.to_owned(), file, hasher: Hasher::default(), length: 0 });
            }
        }
    }

    /// Takes what is there for a beginning, if it has at most `most` bytes.
    pub(super) fn take_up(&mut self, most: u64) -> Result<(), FetchError> {
        let left = self.file.metadata().map_err(|error| self.failed("read", error))?.len();
        if left > most {
            return self.restart();
        }
        let mut buffer = vec![0; BUFFER];
        self.file.rewind().map_err(|error| self.failed("read", error))?;
        loop {
            match self.file.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.count(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed("read", error)),
            }
        }
    }

    /// Forgets all bytes.
    pub(super) fn restart(&mut self) -> Result<(), FetchError> {
        self.hasher = Hasher::default();
        self.length = 0;
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(|error| self.failed("write", error))
    }

    /// Adds bytes to the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), FetchError> {
        self.file.write_all(bytes).map_err(|error| self.failed("write", error))?;
        self.count(bytes);
        Ok(())
    }

    fn count(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
    }

    /// The current length in bytes.
    pub(super) const fn length(&self) -> u64 {
        self.length
    }

    /// The digest of the current bytes.
    pub(super) fn digest(&self) -> Sha256 {
        self.hasher.clone().finish()
    }

    /// Gives the file its final name, safe from a power cut, and hands it over to be read.
    pub(super) fn rename(mut self, target: &Path) -> Result<File, FetchError> {
        let failed = |error| FetchError::cache(target, "write", error);
        let mut permissions = self.file.metadata().map_err(failed)?.permissions();
        permissions.set_readonly(true);
        self.file
            .set_permissions(permissions)
            .and_then(|()| self.file.sync_all())
            .and_then(|()| fs::rename(&self.path, target))
            .and_then(|()| self.file.rewind())
            // Many open files would otherwise keep their locks and block other runs.
            .and_then(|()| Ok(flock(&self.file, FlockOperation::Unlock)?))
            .map_err(failed)?;
        Ok(self.file)
    }

    /// Removes it.
    pub(super) fn discard(self) {
        // The remaining file is empty or partial; a later run removes it.
        let _ = fs::remove_file(&self.path);
    }

    fn failed(&self, what: &'static str, error: io::Error) -> FetchError {
        FetchError::cache(&self.path, what, error)
    }
}

/// Removes a file that no run is writing. A waiting run notices that the name is gone.
pub(super) fn remove_if_idle(path: &Path) {
    let Ok(Some(file)) = open_regular(path) else { return };
    if flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()
        && same_file(&file, path).unwrap_or(false)
    {
        let _ = fs::remove_file(path);
    }
}

/// The file at `path`, made where it is missing; none where something else has the name.
fn open_regular(path: &Path) -> io::Result<Option<File>> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(flags).open(path);
    match opened {
        Ok(file) => Ok(file.metadata()?.is_file().then_some(file)),
        Err(error) => match Errno::from_io_error(&error) {
            Some(Errno::LOOP | Errno::ISDIR | Errno::NXIO) => Ok(None),
            _ => Err(error),
        },
    }
}

/// Whether `path` still names `file`.
fn same_file(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(named) => Ok((ours.dev(), ours.ino()) == (named.dev(), named.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes a file or folder with a name of the cache.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let removed = match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    // Another run may have been quicker.
    removed.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}
