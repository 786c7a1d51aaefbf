//! Downloads into a partial file: resumes, restarts, or refuses.

use std::io::Read;

use super::Download;
use super::error::FetchError;
use super::partial::{BUFFER, Partial};
use super::progress::{DownloadMeter, Progress};
use crate::digest::Sha256;
use crate::http::{self, Address, Backoff, Client, Request, Response, Validator};

/// An attempt that transferred this many new bytes does not count as a failure, and resets the retries.
const WORTH: u64 = 1024 * 1024;

/// Downloads into `partial`. Afterwards its content satisfies `download` and has the returned digest.
pub(super) fn run(
    client: &Client,
    download: &Download<'_>,
    partial: &mut Partial,
    progress: &dyn Progress,
) -> Result<Sha256, FetchError> {
    if download.expected.is_some() {
        partial.take_up(download.size.unwrap_or(download.limit))?;
        // Killed between the last byte and the new name.
        if download.expected == Some(partial.digest()) {
            return Ok(partial.digest());
        }
    } else {
        partial.restart()?;
    }
    let mut transfer = Transfer {
        download,
        partial,
        progress,
        meter: None,
        validator: None,
        resumable: true,
        ranges: true,
        buffer: vec![0; BUFFER],
    };
    let mut again = true;
    loop {
        let came = transfer.bring(client)?;
        match transfer.fault(&came) {
            None => return Ok(transfer.partial.digest()),
            // The parts may be of different documents: once more, and in one piece.
            Some(_) if came.in_parts && again => {
                again = false;
                transfer.in_one_piece()?;
            }
            Some(fault) => return Err(fault),
        }
    }
}

/// How a document came.
struct TransferOutcome {
    address: Address,
    /// Whether it was put together from several answers.
    in_parts: bool,
}

/// A body that continues at the end of the partial file.
struct ResumedBody {
    response: Response,
    /// The length of the whole document, where the server tells it.
    total: Option<u64>,
}

struct Transfer<'a> {
    download: &'a Download<'a>,
    partial: &'a mut Partial,
    progress: &'a dyn Progress,
    meter: Option<Box<dyn DownloadMeter>>,
    /// The validator of the document that the current bytes belong to.
    validator: Option<Validator>,
    /// Whether these bytes can be gone on from.
    resumable: bool,
    /// Whether the server can be asked for parts.
    ranges: bool,
    buffer: Vec<u8>,
}

impl Transfer<'_> {
    /// Requests until the file is complete.
    fn bring(&mut self, client: &Client) -> Result<TransferOutcome, FetchError> {
        let mut pauses = client.pauses();
        let mut most = self.partial.length();
        loop {
            let Some(answer) = self.ask(client, &mut pauses)? else { continue };
            let in_parts = self.partial.length() > 0;
            let address = answer.response.address().clone();
            match self.read(answer)? {
                None => return Ok(TransferOutcome { address, in_parts }),
                Some(error) => {
                    if self.partial.length() >= most + WORTH {
                        pauses = client.pauses();
                    }
                    most = most.max(self.partial.length());
                    pauses.wait_after(error)?;
                }
            }
        }
    }

    /// Requests the missing part; `None` if the whole file must be requested.
    fn ask(&mut self, client: &Client, pauses: &mut Backoff) -> Result<Option<ResumedBody>, FetchError> {
        if !(self.ranges && self.resumable) {
            self.restart()?;
        }
        let request = Request::new(self.download.url.clone()).large();
        let start = self.partial.length();
        if start == 0 {
            return self.begin(client.get_within(&request, pauses)?);
        }
        match client.get_within(&request.from_byte(start, self.validator.as_ref()), pauses) {
            Err(http::HttpError::Status { status: 416, .. }) => self.in_one_piece().map(|()| None),
            answered => self.begin(answered?),
        }
    }

    /// Checks the head of an answer; `None` if it continues at another offset.
    fn begin(&mut self, response: Response) -> Result<Option<ResumedBody>, FetchError> {
        let total = match response.part() {
            None => {
                self.restart()?;
                self.validator = response.validator();
                // Bytes of two answers belong together where their server says so, or where their
                // digest will show it.
                self.resumable =
                    !response.was_encoded() && (self.validator.is_some() || self.download.expected.is_some());
                response.length()
            }
            Some(Some(range)) if range.start == self.partial.length() && !response.was_encoded() => {
                range.total
            }
            Some(_) => return self.in_one_piece().map(|()| None),
        };
        if let Some(total) = total {
            self.hold_to_limit(total, response.address())?;
            if let Some(fault) = wrong_size(self.download, total, response.address()) {
                return Err(fault);
            }
        }
        let meter = self.meter.get_or_insert_with(|| self.progress.started(self.download.label, total));
        meter.restart_at(self.partial.length());
        Ok(Some(ResumedBody { response, total }))
    }

    /// Takes a body in; returns why it ended too early, if it did.
    fn read(&mut self, answer: ResumedBody) -> Result<Option<http::HttpError>, FetchError> {
        let ResumedBody { mut response, total } = answer;
        let address = response.address().clone();
        loop {
            let count = match response.read(&mut self.buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) => {
                    let error = http::HttpError::of_body(error, &address);
                    return if error.may_pass() { Ok(Some(error)) } else { Err(error.into()) };
                }
            };
            self.hold_to_limit(self.partial.length() + count as u64, &address)?;
            self.partial.append(&self.buffer[..count])?;
            self.meter.iter_mut().for_each(|meter| meter.advance(count as u64));
            // Wrong already, and perhaps without an end.
            if self.download.size.is_some_and(|size| self.partial.length() > size) {
                return Ok(None);
            }
        }
        // A server may send less than the part it was asked for.
        let cut = total.is_some_and(|total| self.partial.length() < total);
        Ok(cut.then(|| http::HttpError::Cut { url: address, why: "the last part is missing".to_owned() }))
    }

    /// Restarts from the beginning.
    fn restart(&mut self) -> Result<(), FetchError> {
        self.resumable = true;
        self.validator = None;
        if self.partial.length() > 0 {
            self.partial.restart()?;
        }
        Ok(())
    }

    /// Restarts without further range requests.
    fn in_one_piece(&mut self) -> Result<(), FetchError> {
        self.ranges = false;
        self.restart()
    }

    fn hold_to_limit(&self, length: u64, url: &Address) -> Result<(), FetchError> {
        let limit = self.download.limit;
        if length > limit {
            Err(http::HttpError::TooLarge { url: url.clone(), limit }.into())
        } else {
            Ok(())
        }
    }

    /// The error of a complete document, if any.
    fn fault(&self, came: &TransferOutcome) -> Option<FetchError> {
        let found = self.partial.digest();
        let wrong_digest = self
            .download
            .expected
            .filter(|expected| *expected != found)
            .map(|expected| FetchError::Mismatch { url: came.address.clone(), expected, found });
        wrong_size(self.download, self.partial.length(), &came.address).or(wrong_digest)
    }
}

fn wrong_size(download: &Download<'_>, found: u64, url: &Address) -> Option<FetchError> {
    let expected = download.size.filter(|expected| *expected != found)?;
    Some(FetchError::WrongSize { url: url.clone(), expected, found })
}
