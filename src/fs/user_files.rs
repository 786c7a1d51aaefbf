//! What is somebody else's in a folder that was exchanged, and is brought out of it.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::exchange::{move_to_free, staging_prefix, swap};

/// What a killed run left: a folder that never came into its place goes; one that was taken out of
/// it may hold what is somebody else's. Nobody else is at work, for the lock is held.
pub(super) fn recover_leftovers(parent: &Path, name: &OsStr, folder: &Path, owned: &[&str]) {
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
            recover(&entry.path(), folder, owned);
        }
    }
}

/// Brings out of the folder that was exchanged whatever is not ours, and removes the rest.
pub(super) fn recover(old: &Path, folder: &Path, owned: &[&str]) {
    // Somebody may still write into it; what comes in the last moment stays for the next run.
    for entry in fs::read_dir(old).into_iter().flatten().flatten() {
        let (from, to) = (entry.path(), folder.join(entry.file_name()));
        if is_owned(&entry.file_name(), owned) {
            let _ = fs::remove_file(from);
            continue;
        }
        move_back(&from, &to);
    }
    let _ = fs::remove_dir(old);
}

/// Brings what is somebody else's from the folder that was exchanged to where it belongs now. Somebody
/// may put a newer one there at any moment: it is not replaced unseen.
fn move_back(from: &Path, to: &Path) {
    // What stood there and was looked at, before it changed places with this one.
    let mut exchanged = None;
    // Where somebody is quicker each time, it stays for the next run.
    for _ in 0..10 {
        let Ok(here) = fs::symlink_metadata(from) else { return };
        let moved = match fs::symlink_metadata(to) {
            Err(_) => move_to_free(from, to),
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
                swap(from, to)
            }
        };
        if moved.is_err_and(|error| !matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound)) {
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

pub(super) fn is_owned(name: &OsStr, owned: &[&str]) -> bool {
    owned.iter().any(|own| OsStr::new(own) == name)
}
