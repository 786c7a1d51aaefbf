//! Hashes the file at a URL without the cache. Nothing is stored.

use std::io::Read;

use super::{Download, FetchError, Progress};
use crate::digest::{Hasher, Sha256};
use crate::http::{self, Client, Request};

/// Read at once.
const BUFFER: usize = 1 << 16;

/// The digest and the length in bytes of the file at `download.url`. Only the limit is enforced. An interrupted
/// download restarts from the beginning, because two answers may have different content.
///
/// # Errors
/// Where it cannot be had ([`FetchError::Net`]).
pub fn published(
    client: &Client,
    download: &Download<'_>,
    progress: &dyn Progress,
) -> Result<(Sha256, u64), FetchError> {
    let request = Request::new(download.url.clone()).large();
    let mut pauses = client.pauses();
    let mut buffer = vec![0; BUFFER];
    loop {
        let mut response = client.get_within(&request, &mut pauses)?;
        let address = response.address().clone();
        let mut meter = progress.started(download.label, response.length());
        let (mut hasher, mut length) = (Hasher::default(), 0);
        let cut = loop {
            match response.read(&mut buffer) {
                Ok(0) => return Ok((hasher.finish(), length)),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    length += count as u64;
                    meter.advance(count as u64);
                }
                Err(error) => break http::HttpError::of_body(error, &address),
            }
            if length > download.limit {
                return Err(http::HttpError::TooLarge { url: address, limit: download.limit }.into());
            }
        };
        pauses.wait_after(cut)?;
    }
}
