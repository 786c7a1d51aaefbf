//! What came back of a request that is sent once.

use std::io;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use url::Url;

use super::error::{Address, Error};
use super::limits::retry_after;

/// The longest answer that is looked at, in bytes: documents of registries are shorter.
pub(super) const LONGEST: u64 = 4 << 20;

/// What came back, whatever its status.
#[derive(Debug)]
pub struct Answer {
    url: Url,
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(super) const fn new(url: Url, status: StatusCode, headers: HeaderMap, body: Vec<u8>) -> Self {
        Self { url, status, headers, body }
    }

    /// Its status.
    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    /// A header; the name's case does not count.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Each header of that name.
    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }

    /// What it holds; of an endless one, the first 4 MiB.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The error that it is for those who wanted another status.
    pub fn refusal(&self) -> Error {
        let until: Option<Timestamp> = retry_after(&self.headers);
        Error::Status { url: Address::new(&self.url, None), status: self.status(), until }
    }
}

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The network, or the server.
    #[error(transparent)]
    Net(#[from] Error),
    /// What was to be sent could not be read, or not be believed.
    #[error(transparent)]
    Content(io::Error),
}
