//! The cache: files by their digest.
//!
//! ```text
//! sha256/ab/ab12…   whole files, none of them trusted: each is hashed whenever it is asked for
//! partial/…         downloads on their way
//! ```
//!
//! Other modules may keep their own folders next to these.
//!
//! Files have the permissions that the user's umask gives to any new file, less those to write: a
//! download carries no token, so that what is here is public, and users of one machine may want to
//! share it. A run trusts none of the others: it hashes what it is handed, and first copies what another
//! user could change in the meantime.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::fs::OFlags;
use rustix::io::Errno;
use url::Url;

use super::error::FetchError;
use super::partial::{self, BUFFER, Partial, SHARED};
use crate::digest::{Hasher, Sha256};
use crate::fs::inside::is_own;

/// The lifetime of an abandoned partial download.
const PARTIAL_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// The most bytes that are copied of a file that another user can write to: 4 GiB.
const LARGEST_SHARED: u64 = 4 << 30;

/// The prefix of partial downloads whose digest is unknown. A later run cannot resume them.
const UNKNOWN: &str = "url-";

/// A folder of files by their digest, which several programs may use at once.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// The cache's entry for a digest.
#[derive(Debug)]
pub enum Kept {
    /// Nothing.
    Nothing,
    /// The right file, to be read from the beginning.
    Sound(File),
    /// Something else: a torn or altered file, with its digest, or no file at all.
    Altered(Option<Sha256>),
}

impl Cache {
    /// Opens the cache in `folder`, and creates it if necessary. Removes partial downloads that were abandoned
    /// a week ago or cannot be resumed.
    ///
    /// # Errors
    /// Where the folder cannot be made, or is none.
    pub fn open(folder: &Path) -> Result<Self, FetchError> {
        let this = Self { folder: folder.to_owned() };
        // A link to a folder of other files is probably a mistake.
        if folder.is_symlink() && !this.blobs().exists() {
            let others = fs::read_dir(folder).map_err(|error| FetchError::cache(folder, "read", error))?;
            if others.count() > 0 {
                let why = io::Error::other("it is a link to a folder with other files");
                return Err(FetchError::cache(folder, "begin", why));
            }
        }
        for folder in [this.blobs(), this.partials()] {
            fs::create_dir_all(&folder)
                .map_err(|error| FetchError::cache(&folder, "make a folder", error))?;
        }
        this.sweep();
        Ok(this)
    }

    /// The cache in `folder` as it is: nothing is made or removed before something is kept in it.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder, for files that are to lie on the same disk.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file with this digest, if it exists. A file that does not match is removed.
    ///
    /// # Errors
    /// Where it cannot be read, or cannot be removed.
    pub fn get(&self, digest: &Sha256) -> Result<Option<File>, FetchError> {
        match self.look(digest)? {
            Kept::Nothing => Ok(None),
            Kept::Sound(file) => Ok(Some(file)),
            Kept::Altered(_) => {
                let path = self.path(digest);
                partial::remove(&path)
                    .map_err(|error| FetchError::cache(&path, "remove a wrong file", error))?;
                Ok(None)
            }
        }
    }

    /// Hashes the entry for a digest without changing it.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn look(&self, digest: &Sha256) -> Result<Kept, FetchError> {
        let path = self.path(digest);
        let failed = |error| FetchError::cache(&path, "read", error);
        // Neither through a link nor waiting for the other end of a pipe.
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
        let mut file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::Nothing),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::LOOP | Errno::NXIO) => return Ok(Kept::Altered(None)),
                _ => return Err(failed(error)),
            },
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Ok(Kept::Altered(None));
        }
        // Another user with write permission could change the file after it is hashed.
        if !is_own(&metadata) || metadata.mode() & SHARED != 0 {
            file = private_copy(&mut file).map_err(failed)?;
        }
        let found = hash(&mut file).map_err(failed)?;
        Ok(if found == *digest { Kept::Sound(file) } else { Kept::Altered(Some(found)) })
    }

    /// Whether there is an entry for a digest, without checking it; see [`look`](Self::look).
    pub fn has(&self, digest: &Sha256) -> bool {
        fs::symlink_metadata(self.path(digest)).is_ok()
    }

    /// The path of the file with this digest.
    pub fn path(&self, digest: &Sha256) -> PathBuf {
        self.blobs().join(digest.short(2)).join(digest.to_string())
    }

    /// A download on its way, by its digest or else by its URL; waits while another run has it.
    pub(super) fn partial(&self, url: &Url, expected: Option<&Sha256>) -> Result<Partial, FetchError> {
        let name = match expected {
            Some(expected) => expected.to_string(),
            None => format!("{UNKNOWN}{}", Sha256::of(url.as_str())),
        };
        Partial::open(&self.partials().join(name))
    }

    /// Takes a finished download in.
    pub(super) fn keep(&self, partial: Partial, digest: &Sha256) -> Result<File, FetchError> {
        let path = self.path(digest);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).map_err(|error| FetchError::cache(folder, "make a folder", error))?;
        partial.rename(&path)
    }

    fn blobs(&self) -> PathBuf {
        self.folder.join("sha256")
    }

    fn partials(&self) -> PathBuf {
        self.folder.join("partial")
    }

    /// Removes partial downloads that no run can resume. A failure only costs space.
    fn sweep(&self) {
        let old = SystemTime::now() - PARTIAL_AGE;
        for entry in fs::read_dir(self.partials()).into_iter().flatten().flatten() {
            let useless = entry.file_name().as_encoded_bytes().starts_with(UNKNOWN.as_bytes());
            let modified = entry.metadata().and_then(|metadata| metadata.modified());
            if useless || modified.is_ok_and(|modified| modified < old) {
                partial::remove_if_idle(&entry.path());
            }
        }
    }
}

/// A copy that no other program can reach.
fn private_copy(file: &mut File) -> io::Result<File> {
    let mut copy = tempfile::tempfile()?;
    if io::copy(&mut file.take(LARGEST_SHARED), &mut copy)? == LARGEST_SHARED {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    copy.rewind()?;
    Ok(copy)
}

/// The digest of a file, which is rewound.
fn hash(file: &mut File) -> io::Result<Sha256> {
    let (mut hasher, mut buffer) = (Hasher::default(), vec![0; BUFFER]);
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => hasher.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    file.rewind()?;
    Ok(hasher.finish())
}
