//! Why a download is not in the cache.

use std::io;
use std::path::{Path, PathBuf};

use crate::digest::Sha256;
use crate::http::{self, Address};

/// Why a download is not in the cache.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It cannot be had.
    #[error(transparent)]
    Net(#[from] http::HttpError),
    /// Other bytes came than were expected.
    #[error("{url}: its SHA-256 is {found}, and {expected} was expected")]
    Mismatch {
        /// The URL of the download.
        url: Address,
        /// The digest that was expected.
        expected: Sha256,
        /// The one that came.
        found: Sha256,
    },
    /// More or fewer bytes came than were expected.
    #[error("{url}: it has {found} bytes, and {expected} were expected")]
    WrongSize {
        /// The URL of the download.
        url: Address,
        /// The length that was expected, in bytes.
        expected: u64,
        /// The one that came.
        found: u64,
    },
    /// The cache cannot be used.
    #[error("{}: the cache cannot {what} here: {source}{}", path.display(), advice(source))]
    Cache {
        /// The file or folder.
        path: PathBuf,
        /// The operation that failed.
        what: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
}

/// The advice for a full disk or missing permissions.
fn advice(source: &io::Error) -> &'static str {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    match source.kind() {
        StorageFull | QuotaExceeded => "; make room, or let BAKE_CACHE_DIR name another folder",
        PermissionDenied | ReadOnlyFilesystem => "; set BAKE_CACHE_DIR to a folder that you can write",
        _ => "",
    }
}

impl FetchError {
    pub(super) fn cache(path: &Path, what: &'static str, source: io::Error) -> Self {
        Self::Cache { path: path.to_owned(), what, source }
    }
}
