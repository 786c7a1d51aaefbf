//! An answer, and its body as it arrives.

use std::io::{self, Cursor, Read};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use jiff::SignedDuration;
use reqwest::StatusCode;
use reqwest::blocking;
use reqwest::header::{CONTENT_ENCODING, CONTENT_RANGE, DATE, ETAG, HeaderMap, HeaderValue, LAST_MODIFIED};
use url::Url;

use super::error::{Address, Error, innermost};
use super::limits::http_date;
use super::redirect::Hops;

/// How much is looked at to tell what a compressed body is.
const HEAD: u64 = 64 * 1024;

/// How old a change must be for its date to name one state of a document.
const SETTLED: SignedDuration = SignedDuration::from_mins(1);

/// What a gzip file begins with (RFC 1952, 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// An answer with a document. It is read as any other reader; [`Error::of_body`] makes an error of
/// the reader's an [`Error`] again.
pub struct Response {
    url: Url,
    moved: Option<Url>,
    address: Address,
    status: StatusCode,
    headers: HeaderMap,
    length: Option<u64>,
    encoded: bool,
    body: Box<dyn Read + Send>,
}

/// What names one state of a document to its server.
#[derive(Clone, Debug)]
pub struct Validator(HeaderValue);

impl Validator {
    pub(super) const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

/// Which bytes an answer holds (RFC 9110, 14.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// The first byte.
    pub start: u64,
    /// The last one.
    pub end: u64,
    /// The length of the whole document, where the server knows it.
    pub total: Option<u64>,
}

impl Response {
    pub(super) fn new(answer: blocking::Response, hops: &Hops, stall: Duration) -> Result<Self, Error> {
        let address = hops.address();
        let encoding = answer.headers().get(CONTENT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
        let gzip = match encoding.to_ascii_lowercase().as_slice() {
            b"" | b"identity" => false,
            b"gzip" | b"x-gzip" => true,
            _ => {
                let why = format!("it is encoded as {}, which nobody asked for", encoding.escape_ascii());
                return Err(Error::malformed(address, why));
            }
        };
        let (url, moved) = (hops.url().clone(), hops.moved().cloned());
        let (status, headers, length) = (answer.status(), answer.headers().clone(), answer.content_length());
        let mut this =
            Self { url, moved, address, status, headers, length, encoded: gzip, body: Box::new(io::empty()) };
        let raw = Raw { answer, address: this.address.clone(), stall };
        if gzip {
            this.decode(raw)?;
        } else {
            this.body = Box::new(raw);
        }
        Ok(this)
    }

    /// Decodes a body that was compressed for the transfer.
    ///
    /// Some servers name the compression of the file itself where they should name that of the
    /// transfer, and `x.tar.gz` would lose a layer that is part of it. What is called so, and is no
    /// gzip once it was decoded, is left as it came.
    fn decode(&mut self, mut raw: Raw) -> Result<(), Error> {
        let address = self.address.clone();
        let mut head = Vec::new();
        raw.by_ref().take(HEAD).read_to_end(&mut head).map_err(|error| Error::of_body(error, &address))?;
        let suffix = self.url.path().rsplit('.').next().unwrap_or_default();
        let named_so = ["gz", "tgz"].iter().any(|gzip| suffix.eq_ignore_ascii_case(gzip));
        let mut magic = [0; 2];
        let twice = MultiGzDecoder::new(head.as_slice()).read_exact(&mut magic).is_ok() && magic == GZIP;
        let whole = Cursor::new(head).chain(raw);
        if named_so && !twice {
            self.encoded = false;
            self.body = Box::new(whole);
        } else {
            self.length = None;
            self.body = Box::new(Decoded { body: MultiGzDecoder::new(whole), address });
        }
        Ok(())
    }

    /// The URL that answered, after all redirects.
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Where what was asked for has moved to for good, if it has (301 and 308, from the first
    /// redirect on).
    pub const fn moved(&self) -> Option<&Url> {
        self.moved.as_ref()
    }

    /// The URL as messages show it.
    pub const fn address(&self) -> &Address {
        &self.address
    }

    /// A header of the answer; the name's case does not count.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// How many bytes the body has, where that is known before it was read.
    pub const fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether the body was compressed for the transfer: then no part of it can be asked for.
    pub const fn was_encoded(&self) -> bool {
        self.encoded
    }

    /// What names exactly this document to its server, for [`Request::from_byte`]: a strong entity
    /// tag, or the date of a change that was over when the answer was made (RFC 9110, 8.8.2.2). A
    /// weak tag may stand for other bytes.
    ///
    /// [`Request::from_byte`]: super::Request::from_byte
    pub fn validator(&self) -> Option<Validator> {
        if let Some(tag) = self.headers.get(ETAG) {
            return (!tag.as_bytes().starts_with(b"W/")).then(|| Validator(tag.clone()));
        }
        let date = |name| http_date(self.headers.get(name)?.to_str().ok()?);
        let settled = date(DATE)?.duration_since(date(LAST_MODIFIED)?) >= SETTLED;
        self.headers.get(LAST_MODIFIED).filter(|_| settled).cloned().map(Validator)
    }

    /// Whether it holds a part of the document, and which, as far as its header makes sense.
    pub fn part(&self) -> Option<Option<ContentRange>> {
        let range = || content_range(self.headers.get(CONTENT_RANGE)?.to_str().ok()?);
        (self.status == StatusCode::PARTIAL_CONTENT).then(range)
    }
}

impl Read for Response {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer)
    }
}

/// `bytes 5-9/10`, or `bytes 5-9/*`.
fn content_range(text: &str) -> Option<ContentRange> {
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let (start, end) = range.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    let this = ContentRange { start: start.parse().ok()?, end: end.parse().ok()?, total };
    (this.start <= this.end && total.is_none_or(|total| this.end < total)).then_some(this)
}

/// The body as it comes.
struct Raw {
    answer: blocking::Response,
    address: Address,
    stall: Duration,
}

impl Read for Raw {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.answer.read(buffer).map_err(|error| {
            let url = self.address.clone();
            let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<reqwest::Error>());
            io::Error::other(match cause {
                Some(cause) if cause.is_timeout() => Error::Stalled { url, patience: self.stall },
                Some(cause) => Error::Cut { url, why: innermost(cause) },
                None => Error::Cut { url, why: error.to_string() },
            })
        })
    }
}

/// The body once it was decoded.
struct Decoded<R> {
    body: MultiGzDecoder<R>,
    address: Address,
}

impl<R: Read> Read for Decoded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.body.read(buffer).map_err(|error| {
            let url = self.address.clone();
            match error.kind() {
                // One of ours, from below.
                io::ErrorKind::Other => error,
                io::ErrorKind::UnexpectedEof => {
                    let why = "its compressed body has no end".to_owned();
                    io::Error::other(Error::Cut { url, why })
                }
                _ => io::Error::other(Error::malformed(url, format!("its encoding is broken: {error}"))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{ContentRange, content_range};

    #[test]
    fn a_content_range_that_makes_no_sense_is_none() {
        let whole = ContentRange { start: 5, end: 9, total: Some(10) };
        assert_eq!(content_range("bytes 5-9/10"), Some(whole));
        assert_eq!(content_range("bytes 5-9/*"), Some(ContentRange { total: None, ..whole }));
        for text in ["", "bytes */10", "bytes 5-9", "bytes 9-5/10", "bytes 5-10/10", "chars 5-9/10", "5-9/10"]
        {
            assert_eq!(content_range(text), None, "{text}");
        }
    }
}
