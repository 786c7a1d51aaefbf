//! Responses and their bodies.

use std::fmt;
use std::io::{self, Cursor, Read};
use std::time::{Duration, Instant};

use flate2::read::MultiGzDecoder;
use jiff::SignedDuration;
use reqwest::StatusCode;
use reqwest::blocking;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};
use url::Url;

use super::error::{Address, HttpError, reason};
use super::limits::{http_date, refusal};
use super::rate::RateLimit;
use super::redirect::RedirectChain;
use super::request::{Request, Validator};
use super::retry::RetryPolicy;
use crate::text::{excerpt, innermost};

/// Bytes inspected to detect the compression of a body.
const HEAD: u64 = 64 * 1024;

/// Minimum age of a change for `Last-Modified` to be a strong validator.
const SETTLED: SignedDuration = SignedDuration::from_mins(1);

/// RFC 1952, 2.3.1.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A response with any status. The body is a reader; [`HttpError::of_body`] converts its errors back.
pub struct Response {
    url: Url,
    moved: Option<Url>,
    address: Address,
    status: StatusCode,
    headers: HeaderMap,
    length: Option<u64>,
    encoded: bool,
    had_token: bool,
    body: Box<dyn Read + Send>,
}

/// The range of a partial response (RFC 9110, 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    pub start: u64,
    /// Inclusive.
    pub end: u64,
    /// Length of the whole document, if known.
    pub total: Option<u64>,
}

impl Response {
    pub(super) fn new(
        answer: blocking::Response,
        request: &Request<'_>,
        hops: &RedirectChain,
        patience: &RetryPolicy,
    ) -> Result<Self, HttpError> {
        let address = hops.address();
        let (status, headers, length) = (answer.status(), answer.headers().clone(), answer.content_length());
        let mut this = Self {
            url: hops.url().clone(),
            moved: hops.moved().cloned(),
            address: address.clone(),
            status,
            headers,
            length,
            encoded: false,
            had_token: request.sent_token().is_some() && hops.at_home(),
            body: Box::new(io::empty()),
        };
        let rate = RateLimit::new(patience, request.is_large());
        let raw = RawBody { answer, address: address.clone(), stall: patience.stall, rate };
        let is_document = matches!(status.as_u16(), 200 | 206) && !request.is_raw();
        let encoding = this.headers.get(CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
        match encoding.to_ascii_lowercase().as_slice() {
            b"gzip" | b"x-gzip" if is_document => this.decode(raw)?,
            b"" | b"identity" => this.body = Box::new(raw),
            _ if !is_document => this.body = Box::new(raw),
            _ => {
                let encoding = excerpt(&String::from_utf8_lossy(encoding), 40);
                let why = format!("it is encoded as {encoding}, which was not requested");
                return Err(HttpError::malformed(address, why));
            }
        }
        Ok(this)
    }

    /// With a body that is already in memory.
    pub(super) fn whole(url: Url, status: StatusCode, headers: HeaderMap, body: Vec<u8>) -> Self {
        Self {
            address: Address::new(&url, None),
            url,
            moved: None,
            status,
            headers,
            length: Some(body.len() as u64),
            encoded: false,
            had_token: false,
            body: Box::new(Cursor::new(body)),
        }
    }

    /// Decodes `Content-Encoding`.
    ///
    /// Some servers declare the compression of the file itself as a content encoding, and `x.tar.gz` would
    /// lose its gzip layer. A body with this extension that is not gzip after decoding is left as received.
    fn decode(&mut self, mut raw: RawBody) -> Result<(), HttpError> {
        let address = self.address.clone();
        let mut head = Vec::new();
        raw.by_ref()
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(|error| HttpError::of_body(error, &address))?;
        let suffix = self.url.path().rsplit('.').next().unwrap_or_default();
        let named_so = ["gz", "tgz"].iter().any(|gzip| suffix.eq_ignore_ascii_case(gzip));
        let mut magic = [0; 2];
        let twice = MultiGzDecoder::new(head.as_slice()).read_exact(&mut magic).is_ok() && magic == GZIP;
        let whole = Cursor::new(head).chain(raw);
        if named_so && !twice {
            self.body = Box::new(whole);
        } else {
            self.encoded = true;
            self.length = None;
            self.body = Box::new(Decoded { body: MultiGzDecoder::new(whole), address });
        }
        Ok(())
    }

    pub fn status(&self) -> u16 {
        self.status.as_u16()
    }

    pub fn headers(&self, name: &str) -> impl Iterator<Item = &str> {
        self.headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok())
    }

    /// `Location`, resolved against the final URL (RFC 9110, 10.2.2).
    pub fn location(&self) -> Option<Url> {
        self.url.join(self.header("location")?).ok()
    }

    /// The whole body; [`HttpError::TooLarge`] above `limit` bytes.
    pub fn document(&mut self, limit: u64) -> Result<Vec<u8>, HttpError> {
        let body = self.beginning(limit.saturating_add(1))?;
        if body.len() as u64 > limit {
            return Err(HttpError::TooLarge { url: self.address.clone(), limit });
        }
        Ok(body)
    }

    /// At most `most` bytes of the body.
    pub fn beginning(&mut self, most: u64) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        let read = self.body.by_ref().take(most).read_to_end(&mut body);
        read.map(|_| body).map_err(|error| HttpError::of_body(error, &self.address))
    }

    /// The error for a caller that expected another status.
    pub fn refusal(&self) -> HttpError {
        refusal(self.status(), &self.headers, self.address.clone(), self.had_token)
    }

    /// The final URL.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// The permanent new location (301 and 308, starting with the first redirect).
    pub const fn moved(&self) -> Option<&Url> {
        self.moved.as_ref()
    }

    pub const fn address(&self) -> &Address {
        &self.address
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Length of the body, if known in advance.
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether the body had a content encoding, which excludes range requests.
    pub const fn was_encoded(&self) -> bool {
        self.encoded
    }

    /// A strong `ETag`, or a `Last-Modified` date that was settled when the response was sent (RFC 9110,
    /// 8.8.2.2). A weak `ETag` may refer to different bytes.
    pub fn validator(&self) -> Option<Validator> {
        if let Some(tag) = self.headers.get(ETAG) {
            return (!tag.as_bytes().starts_with(b"W/")).then(|| Validator::new(tag.clone()));
        }
        let date = |name| http_date(self.headers.get(name)?.to_str().ok()?);
        let settled = date(DATE)?.duration_since(date(LAST_MODIFIED)?) >= SETTLED;
        self.headers.get(LAST_MODIFIED).filter(|_| settled).cloned().map(Validator::new)
    }

    /// `Some` for a partial response; the inner value is `None` if its header is invalid.
    pub fn part(&self) -> Option<Option<ContentRange>> {
        let range = || content_range(self.headers.get(CONTENT_RANGE)?.to_str().ok()?);
        (self.status == StatusCode::PARTIAL_CONTENT).then(range)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.status)
            .field("url", &self.address)
            .finish_non_exhaustive()
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

/// `bytes 5-9/10` or `bytes 5-9/*`.
fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let this = ContentRange { start: start.parse().ok()?, end: end.parse().ok()?, total };
    (this.start <= this.end && total.is_none_or(|total| this.end < total)).then_some(this)
}

struct RawBody {
    answer: blocking::Response,
    address: Address,
    stall: Duration,
    rate: RateLimit,
}

impl Read for RawBody {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let began = Instant::now();
        let count = self.answer.read(buffer).map_err(|error| {
            let url = self.address.clone();
            let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
            io::Error::other(match cause {
                Some(cause) if cause.is_timeout() => HttpError::Stalled { url, patience: self.stall },
                Some(cause) => HttpError::Cut { url, why: reason(cause) },
                None => HttpError::Cut { url, why: innermost(&error) },
            })
        })?;
        self.rate.count(count, began.elapsed(), &self.address).map_err(io::Error::other)?;
        Ok(count)
    }
}

struct Decoded<R> {
    body: MultiGzDecoder<R>,
    address: Address,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer).map_err(|error| {
            let url = self.address.clone();
            match error.kind() {
                // An [`HttpError`] of this module.
                io::ErrorKind::Other => error,
                io::ErrorKind::UnexpectedEof => {
                    let why = "its compressed body is truncated".to_owned();
                    io::Error::other(HttpError::Cut { url, why })
                }
                _ => io::Error::other(HttpError::malformed(
                    url,
                    format!("its content encoding is invalid: {error}"),
                )),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ContentRange, content_range};

    #[test]
    fn invalid_content_ranges_are_ignored() {
        let whole = ContentRange { start: 5, end: 9, total: Some(10) };
        assert_eq!(content_range("bytes 5-9/10"), Some(whole));
        assert_eq!(content_range("bytes 5-9/*"), Some(ContentRange { total: None, ..whole }));
        for text in ["", "bytes */10", "bytes 5-9", "bytes 9-5/10", "bytes 5-10/10", "chars 5-9/10", "5-9/10"]
        {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}
