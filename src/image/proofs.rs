//! What runs have read of a layout and held against digests, so that the next one need not read all
//! of it again.
//!
//! A file counts as proved while the file system says that nobody has touched it since: the same
//! device, inode and length, and the same times of the last change of its content and of its status,
//! the second of which no program can set (inode(7)). So a layout that was copied, or restored from
//! somewhere, is read as a new one is. Every proof ends with the program that made it, and when the
//! machine starts anew: a power cut can tear a file whose times are on the disk.
//!
//! The record lies in the cache, which users of one machine may share. It counts where it is this
//! user's own and nobody else can read or write it; whoever can write as this user needs no false
//! record.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::process::geteuid;
use serde::{Deserialize, Serialize};

use super::layer::{Layer, mtime};
use super::{Addition, Recipe, layout, standing};
use crate::archive::Executable;
use crate::digest::Sha256;
use crate::project::values::Arch;

/// The folder of records in the cache, each of which is of the last layout whose digest begins as its
/// name: they cannot become many.
const FOLDER: &str = "proofs";

/// Where Linux names its run since it was started (proc(5), "random"). Elsewhere nothing is proved.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// Within this time two changes of a file can bear the same time: the kernel's clock for them ticks
/// every 10 milliseconds at the slowest.
const TICK: Duration = Duration::from_millis(50);

/// What is proved of one layout.
pub struct Proofs {
    /// The layout, and the cache.
    place: PathBuf,
    cache: PathBuf,
    /// By an earlier run.
    known: Record,
    /// By this one, too.
    found: Mutex<Record>,
}

#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    /// Of its path.
    layout: Option<String>,
    boot: String,
    program: Option<Stamp>,
    /// By digest.
    blobs: BTreeMap<String, Stamp>,
    /// By architecture.
    layers: BTreeMap<String, Added>,
}

/// By what a file system tells a file from others, and from what it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Content and status, in seconds and nanoseconds since 1970.
    modified: (i64, i64),
    changed: (i64, i64),
}

/// A layer that was made for a lock, and what is in it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Added {
    /// Of what is locked.
    lock: String,
    mtime: u64,
    digest: String,
    diff_id: String,
    /// By command: bytes and digest.
    executables: BTreeMap<String, (u64, String)>,
}

impl Proofs {
    /// What is known of the layout in `place`, by the record in `cache`: nothing where that is missing
    /// or does not count.
    pub fn of(place: &Path, cache: &Path) -> Self {
        let mut this = Self {
            place: place.to_owned(),
            cache: cache.to_owned(),
            known: Record::default(),
            found: Mutex::default(),
        };
        if let Some((boot, program)) = running() {
            let layout = this.layout();
            let known = layout.as_ref().and_then(|layout| read(&this.record(layout)).ok()).filter(|known| {
                known.layout == layout && known.boot == boot && known.program == Some(program)
            });
            this.known = known.unwrap_or_default();
            *this.found() = Record { boot, program: Some(program), ..Record::default() };
        }
        this
    }

    /// The layout.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Whether the blob of this digest, open in the layout, was read before and not touched since.
    pub(super) fn holds(&self, digest: &Sha256, file: &File) -> bool {
        let digest = digest.to_string();
        let Ok(stamp) = Stamp::of(file) else { return false };
        let holds = self.known.blobs.get(&digest) == Some(&stamp);
        if holds {
            self.found().blobs.insert(digest, stamp);
        }
        holds
    }

    /// That a blob is as its digest says: `before` is its stamp from before it was read, or from after
    /// this run wrote it.
    pub(super) fn read(&self, digest: &Sha256, before: Option<Stamp>) {
        if let Some(stamp) = before {
            self.found().blobs.insert(digest.to_string(), stamp);
        }
    }

    /// What an earlier run put over a base image for `arch`, where that was made for this recipe and
    /// stands there untouched.
    pub(super) fn addition(&self, recipe: &Recipe<'_>, arch: Arch) -> Option<Addition> {
        let added = self.known.layers.get(arch.as_str())?;
        if added.lock != recipe.lock_digest.to_string() || added.mtime != mtime(recipe) {
            return None;
        }
        let layer = standing::found(&self.place, arch)?;
        let same = added.digest == layer.digest.to_string() && added.diff_id == layer.diff_id.to_string();
        if !same || !self.holds(&layer.digest, &layer.file) {
            return None;
        }
        let binaries = recipe.lock.binaries.iter();
        let executables = binaries.map(|(name, locked)| {
            let (size, sha256) = added.executables.get(name.as_str())?;
            let path = locked.builds.get(&arch)?.binary.clone();
            Some((name.clone(), Executable { path, size: *size, sha256: sha256.parse().ok()? }))
        });
        Some(Addition { layer: Some(layer), executables: executables.collect::<Option<_>>()? })
    }

    /// That `addition` is what the recipe makes for `arch`.
    pub(super) fn made(&self, recipe: &Recipe<'_>, arch: Arch, addition: &Addition) {
        let Some(Layer { digest, diff_id, .. }) = &addition.layer else { return };
        let executables = addition.executables.iter();
        let added = Added {
            lock: recipe.lock_digest.to_string(),
            mtime: mtime(recipe),
            digest: digest.to_string(),
            diff_id: diff_id.to_string(),
            executables: executables
                .map(|(name, executable)| {
                    (name.to_string(), (executable.size, executable.sha256.to_string()))
                })
                .collect(),
        };
        self.found().layers.insert(arch.to_string(), added);
    }

    /// Records what is proved, for the next run. Where that does not work the next run reads it again.
    pub fn store(self) {
        let proved = self.proved();
        if let Some(layout) = proved.layout.clone()
            && proved.program.is_some()
            && proved != self.known
        {
            let _ = self.write(&self.record(&layout), proved);
        }
    }

    /// What still is as it was found.
    fn proved(&self) -> Record {
        let mut proved = self.found().clone();
        proved.layout = self.layout();
        let there = proved.blobs.into_iter().filter_map(|(digest, found)| {
            let stamp = self.stamp(&digest)?;
            // The layout was put together of links to files, which changes the status of those.
            (Stamp { changed: found.changed, ..stamp } == found).then_some((digest, stamp))
        });
        proved.blobs = there.collect();
        proved
    }

    /// Writes the record, whole or not at all.
    fn write(&self, path: &Path, mut proved: Record) -> io::Result<()> {
        let folder = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
        fs::create_dir_all(folder)?;
        // Its owner alone can read and write such a file.
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        // A file that was just written to tells the time by the clock of files. JSON may begin with spaces.
        let mut present = || file.write_all(b" ").and_then(|()| Stamp::of(file.as_file()));
        let mut now = present()?.changed;
        if proved.blobs.values().any(|stamp| stamp.is_fresh(now)) {
            // The clock of files is up to a tick behind the one that this sleeps by.
            thread::sleep(2 * TICK);
            now = present()?.changed;
        }
        // What was changed by others since would bear a later time.
        proved
            .blobs
            .retain(|digest, stamp| !stamp.is_fresh(now) && self.stamp(digest).as_ref() == Some(stamp));
        file.write_all(&serde_json::to_vec(&proved)?)?;
        file.persist(path)?;
        Ok(())
    }

    /// That of a blob in the layout.
    fn stamp(&self, digest: &str) -> Option<Stamp> {
        Stamp::of(&File::open(layout::blob(&self.place, digest)).ok()?).ok()
    }

    /// The digest of the layout's path; none where there is no layout.
    fn layout(&self) -> Option<String> {
        let place = fs::canonicalize(&self.place).ok()?;
        Some(Sha256::of(place.as_os_str().as_bytes()).to_string())
    }

    /// Where the record of a layout is.
    fn record(&self, layout: &str) -> PathBuf {
        self.cache.join(FOLDER).join(layout.get(..2).unwrap_or_default())
    }

    fn found(&self) -> MutexGuard<'_, Record> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stamp {
    /// That of an open file.
    pub(super) fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|file| Self {
            device: file.dev(),
            inode: file.ino(),
            size: file.size(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }

    /// Whether another change `now` could bear the same time: the last one was just before, or later by
    /// the clock of this file system, or it seems to count in seconds.
    fn is_fresh(&self, now: (i64, i64)) -> bool {
        let nanoseconds =
            |(seconds, rest): (i64, i64)| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        let age = u128::try_from(nanoseconds(now) - nanoseconds(self.changed));
        self.changed.1 == 0 || !age.is_ok_and(|age| age >= TICK.as_nanos())
    }
}

/// This run of the machine, and this program.
fn running() -> Option<(String, Stamp)> {
    let boot = fs::read_to_string(BOOT).ok()?;
    let program = File::open(std::env::current_exe().ok()?).ok()?;
    Some((boot.trim().to_owned(), Stamp::of(&program).ok()?))
}

fn read(path: &Path) -> io::Result<Record> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let mut file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() || metadata.uid() != geteuid().as_raw() || metadata.mode() & 0o077 != 0 {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    Ok(serde_json::from_str(&text)?)
}
