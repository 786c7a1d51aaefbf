//! Moves user files out of a folder that was replaced.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::exchange::{move_to_free, staging_prefix, swap};
use super::inside::is_own;

/// Cleans up after killed runs: deletes folders that were never put in place, and recovers user files from
/// replaced ones. The caller holds the lock.
pub(super) fn recover_leftovers(parent: &Path, name: &OsStr, folder: &Path, owned: &[&str]) {
    let prefix = staging_prefix(name);
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(suffix) = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes()) else { continue };
        let Ok(metadata) = entry.metadata() else { continue };
        // Another user may have put it there, for its content to be brought in.
        if !metadata.is_dir() || !is_own(&metadata) {
            continue;
        }
        if suffix == metadata.ino().to_string().as_bytes() {
            let _ = fs::remove_dir_all(entry.path());
        } else if folder.exists() {
            recover(&entry.path(), folder, owned);
        }
    }
}

/// Moves user files out of the replaced folder `old`, then deletes it.
pub(super) fn recover(old: &Path, folder: &Path, owned: &[&str]) {
    // A file that is created at the last moment stays for the next run.
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

/// Moves a user file or folder from the replaced folder to its place. A newer file may appear there at any
/// moment, and must not be overwritten unseen.
fn move_back(from: &Path, to: &Path) {
    // The file that was at `to` when it was compared, before the exchange.
    let mut exchanged = None;
    // After ten lost races, the next run tries again.
    for _ in 0..10 {
        let Ok(here) = fs::symlink_metadata(from) else { return };
        let moved = match fs::symlink_metadata(to) {
            Err(_) => move_to_free(from, to),
            Ok(_) if here.is_dir() => {
                // Replaces an empty folder only.
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

/// Whether `here` is the same file as `there`, or older: it was replaced after it was linked. If both have
/// the same age, the one from the exchanged folder is kept.
fn is_superseded(here: &fs::Metadata, there: &fs::Metadata, is_exchanged: bool) -> bool {
    let (age, age_there) = (modified(here), modified(there));
    file(here) == file(there) || age < age_there || age == age_there && is_exchanged
}

/// Device and inode.
fn file(metadata: &fs::Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

fn modified(metadata: &fs::Metadata) -> (i64, i64) {
    (metadata.mtime(), metadata.mtime_nsec())
}

pub(super) fn is_owned(name: &OsStr, owned: &[&str]) -> bool {
    owned.iter().any(|own| OsStr::new(own) == name)
}
