//! Temporary folders next to the target path.
//!
//! They are deleted on drop. A killed run's folder is deleted by the next run: folders in use are locked,
//! and the lock ends with the process.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::mem;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use tempfile::TempDir;

use super::error::ImageError;
use crate::fs::exchange::{put_folder, staging_prefix};
use crate::oci::{self, Blob, Contents};

const PIECE: usize = 128 << 10;

/// Cancels work in progress, for signal handlers.
#[derive(Clone, Default)]
pub struct CancelToken(Arc<Mutex<StagingState>>);

#[derive(Default)]
enum StagingState {
    #[default]
    Nothing,
    /// With its temporary folder.
    Begun(PathBuf),
    /// Complete and in place.
    Done,
    /// Cancelled.
    Abandoned,
}

impl CancelToken {
    /// Deletes the temporary folder and prevents further work; has no effect after completion.
    pub fn abandon(&self) {
        self.end(|| ());
    }

    /// Like [`Self::abandon`], then runs `last`. Does nothing after completion, because the program is
    /// about to exit successfully. Until `last` returns, operations that fail because of the deletion are
    /// blocked, so that `last` has the final word.
    pub fn end(&self, last: impl FnOnce()) {
        let mut stage = self.stage();
        if matches!(*stage, StagingState::Done) {
            return;
        }
        if let StagingState::Begun(folder) = mem::replace(&mut *stage, StagingState::Abandoned) {
            // Another thread may still write to the old name; the next run deletes what remains.
            let mut gone = folder.clone().into_os_string();
            gone.push("-gone");
            let _ = fs::rename(folder, &gone).and_then(|()| fs::remove_dir_all(gone));
        }
        last();
    }

    /// Runs `action`; if it fails after cancellation, the error is [`ImageError::Interrupted`].
    pub(super) fn unless_cancelled<T>(
        &self,
        action: impl FnOnce() -> Result<T, ImageError>,
    ) -> Result<T, ImageError> {
        action().map_err(|error| if self.is_cancelled() { ImageError::Interrupted } else { error })
    }

    fn is_cancelled(&self) -> bool {
        matches!(*self.stage(), StagingState::Abandoned)
    }

    /// Runs the final step, which cannot be interrupted.
    fn at_once(&self, action: impl FnOnce() -> Result<(), ImageError>) -> Result<(), ImageError> {
        let mut stage = self.stage();
        if matches!(*stage, StagingState::Abandoned) {
            return Err(ImageError::Interrupted);
        }
        action()?;
        *stage = StagingState::Done;
        Ok(())
    }

    fn stage(&self) -> MutexGuard<'_, StagingState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Staging {
    folder: TempDir,
    cancel: CancelToken,
    /// Holds the lock.
    _lock: File,
}

impl Staging {
    /// Next to `place`, on the same file system. The parent folder must exist.
    pub(super) fn next_to(place: &Path, cancel: &CancelToken) -> Result<Self, ImageError> {
        const TRIES: usize = 8;
        let parent = parent(place);
        let prefix = staging_prefix(place.file_name().unwrap_or_default());
        sweep(parent, &prefix);
        let failed = || ImageError::io(parent, "make a folder in it");
        for _ in 0..TRIES {
            let mut stage = cancel.stage();
            if matches!(*stage, StagingState::Abandoned) {
                return Err(ImageError::Interrupted);
            }
            let folder = tempfile::Builder::new().prefix(&prefix).tempdir_in(parent).map_err(failed())?;
            // Another run may have deleted it before it was locked.
            if let Ok(lock) = File::open(folder.path())
                && is_idle(&lock)
                && is_at(&lock, folder.path())
            {
                *stage = StagingState::Begun(folder.path().to_owned());
                return Ok(Self { folder, cancel: cancel.clone(), _lock: lock });
            }
        }
        Err(failed()(io::ErrorKind::WouldBlock.into()))
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Replaces `place` with the folder `name`, atomically.
    pub(super) fn put_folder(&self, name: &str, place: &Path) -> Result<(), ImageError> {
        let new = self.join(name);
        self.cancel
            .at_once(|| put_folder(&new, place, &self.join("old")).map_err(ImageError::io(place, "replace")))
    }

    /// Moves each file to its place.
    pub(super) fn put_files(&self, files: &[(&str, &Path)]) -> Result<(), ImageError> {
        self.cancel.at_once(|| {
            files.iter().try_for_each(|(name, place)| {
                fs::rename(self.join(name), place).map_err(ImageError::io(place, "put the new file"))
            })
        })
    }
}

/// Copies and verifies a blob; stops on cancellation.
pub(super) fn copy(
    contents: &Contents,
    blob: &Blob,
    into: &mut dyn Write,
    path: &Path,
    cancel: &CancelToken,
) -> Result<(), ImageError> {
    copy_stream(contents.open(blob)?, |error| contents.base.failed(error), into, path, cancel)
}

/// Copies `from`, whose errors `failed` maps; stops on cancellation.
pub(super) fn copy_stream(
    mut from: impl Read,
    failed: impl Fn(io::Error) -> oci::OciError,
    into: &mut dyn Write,
    path: &Path,
    cancel: &CancelToken,
) -> Result<(), ImageError> {
    let mut piece = vec![0; PIECE];
    loop {
        if cancel.is_cancelled() {
            return Err(ImageError::Interrupted);
        }
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(count) => into.write_all(&piece[..count]).map_err(ImageError::io(path, "write"))?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error).into()),
        }
    }
}

pub(super) fn parent(place: &Path) -> &Path {
    place.parent().filter(|parent| *parent != Path::new("")).unwrap_or_else(|| Path::new("."))
}

/// Deletes folders of killed runs.
fn sweep(parent: &Path, prefix: &OsString) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().as_encoded_bytes().starts_with(prefix.as_encoded_bytes());
        if ours && File::open(entry.path()).is_ok_and(|folder| is_idle(&folder)) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether no process uses the folder. On network file systems without locks, every folder counts as used.
fn is_idle(folder: &File) -> bool {
    flock(folder, FlockOperation::NonBlockingLockExclusive).is_ok()
}

fn is_at(folder: &File, path: &Path) -> bool {
    let here = folder.metadata().map(|folder| (folder.dev(), folder.ino()));
    fs::metadata(path).is_ok_and(|there| here.is_ok_and(|here| here == (there.dev(), there.ino())))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io;
    use std::path::Path;

    use super::{CancelToken, Staging};
    use crate::image::ImageError;

    /// A temporary folder for `place`.
    fn begun(place: &Path, cancel: &CancelToken) -> Staging {
        let staging = Staging::next_to(place, cancel).expect("a folder");
        fs::create_dir(staging.join("layout")).expect("a folder");
        fs::write(staging.join("layout/new"), "new").expect("a file");
        staging
    }

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").flatten();
        entries.map(|entry| entry.file_name().into_string().expect("UTF-8")).collect()
    }

    #[test]
    fn a_completed_operation_cannot_be_cancelled() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("oci");
        fs::create_dir(&place).expect("a folder");
        let cancel = CancelToken::default();
        let staging = begun(&place, &cancel);
        staging.put_folder("layout", &place).expect("a new folder");
        // The old one is being deleted already.
        cancel.end(|| panic!("it is done"));
        drop(staging);
        assert_eq!(names(folder.path()), ["oci"]);
        assert_eq!(names(&place), ["new"]);
    }

    #[test]
    fn a_failure_after_cancellation_is_an_interruption() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = folder.path().join("oci");
        let cancel = CancelToken::default();
        let staging = begun(&place, &cancel);
        let write = || fs::write(staging.join("layout/next"), "").map_err(ImageError::io(&place, "write"));
        let mut told = false;
        let ended = cancel.unless_cancelled(|| {
            cancel.end(|| told = true);
            write()
        });
        assert!(matches!(ended, Err(ImageError::Interrupted)), "{ended:?}");
        assert!(told && names(folder.path()).is_empty());
        let other = CancelToken::default();
        let failed: Result<(), _> = other
            .unless_cancelled(|| Err(ImageError::io(&place, "write")(io::ErrorKind::StorageFull.into())));
        assert!(matches!(failed, Err(ImageError::Io { .. })), "{failed:?}");
    }
}
