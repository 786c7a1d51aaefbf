//! Downloads and the cache: every byte is hashed while it arrives, and again before it is used.
//!
//! A download is written to a separate file in the cache, named after its source and locked, and renamed to its
//! digest when it is complete. If the program is killed, this partial file remains; a later run resumes it if
//! the digest is known, and restarts otherwise. Two runs with the same download take turns, and the second
//! finds it in the cache.

mod cache;
mod error;
mod parallel;
mod partial;
mod progress;
mod published;
mod transfer;

use std::fs::File;

use url::Url;

pub use cache::{Cache, Kept};
pub use error::FetchError;
pub use parallel::in_parallel;
pub use progress::{DownloadMeter, Progress, Silent};
pub use published::published;

use crate::digest::Sha256;
use crate::http::{self, Address, Client};

/// A file to download.
#[derive(Clone, Copy, Debug)]
pub struct Download<'a> {
    /// From where.
    pub url: &'a Url,
    /// Its digest, where that is known before.
    pub expected: Option<Sha256>,
    /// Its length in bytes, where that is known before.
    pub size: Option<u64>,
    /// The most bytes to accept.
    pub limit: u64,
    /// The label of its progress bar.
    pub label: &'a str,
}

/// A download, whole and in the cache.
#[derive(Debug)]
pub struct Fetched {
    /// Its digest.
    pub sha256: Sha256,
    /// Its length in bytes.
    pub size: u64,
    /// Its content, to be read from the beginning.
    pub file: File,
    /// Whether it was there before.
    pub from_cache: bool,
}

/// Downloads into the cache, unless the file is there already.
///
/// # Errors
/// Where it cannot be had, is not what was expected, or cannot be kept. Nothing that does not match
/// stays in the cache.
pub fn fetch(
    client: &Client,
    cache: &Cache,
    download: &Download<'_>,
    progress: &dyn Progress,
) -> Result<Fetched, FetchError> {
    let cached = || match &download.expected {
        Some(expected) => find(cache, expected, download),
        None => Ok(None),
    };
    if let Some(fetched) = cached()? {
        return Ok(fetched);
    }
    let mut partial = cache.partial(download.url, download.expected.as_ref())?;
    // Another run may have downloaded it in the meantime.
    if let Some(fetched) = cached()? {
        partial.discard();
        return Ok(fetched);
    }
    match transfer::run(client, download, &mut partial, progress) {
        Ok(sha256) => {
            let size = partial.length();
            let file = cache.keep(partial, &sha256)?;
            Ok(Fetched { sha256, size, file, from_cache: false })
        }
        Err(error) => {
            if download.expected.is_none() || partial.length() == 0 || !leaves_a_beginning(&error) {
                partial.discard();
            }
            Err(error)
        }
    }
}

/// Whether a later run may resume the download after this error.
fn leaves_a_beginning(error: &FetchError) -> bool {
    // Wrong bytes are useless, and on a full disk they would be in the way.
    matches!(error, FetchError::Net(error) if !matches!(error, http::HttpError::TooLarge { .. }))
}

fn find(cache: &Cache, expected: &Sha256, download: &Download<'_>) -> Result<Option<Fetched>, FetchError> {
    let Some(file) = cache.get(expected)? else { return Ok(None) };
    let size =
        file.metadata().map_err(|error| FetchError::cache(&cache.path(expected), "read", error))?.len();
    if let Some(told) = download.size.filter(|told| *told != size) {
        let url = Address::new(download.url, None);
        return Err(FetchError::WrongSize { url, expected: told, found: size });
    }
    Ok(Some(Fetched { sha256: *expected, size, file, from_cache: true }))
}
