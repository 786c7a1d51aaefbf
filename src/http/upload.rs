//! Uploads with a streamed body.
//!
//! The connection runs on its own thread, with the runtime that the client needs. It requests one chunk
//! after the other, and the caller's thread reads them: memory use is a few chunks, the reader need not be
//! `Send`, and a server that stops reading is detected by a timeout, regardless of the total time.

use std::io::{self, Read};
use std::pin::pin;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::{self, StreamExt};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, RequestBuilder};
use tokio::runtime::Builder;
use tokio::sync::{mpsc, oneshot};
use url::Url;

use super::SendError;
use super::error::{Address, HttpError};
use super::response::Response;

/// Limit for the response, in bytes; upload responses are short.
const LONGEST: usize = 64 << 10;

/// Bytes per chunk.
const PIECE: u64 = 256 << 10;

/// After the last byte a server may take this many times longer to respond: some copy the data first.
const AFTERTHOUGHT: u32 = 10;

enum Event {
    Wants,
    /// A response or an error.
    Ended(Box<Result<Response, reqwest::Error>>),
}

/// Sends `size` bytes of `content` with `request`.
///
/// # Errors
/// On network failures, after `stall` without activity, or if `content` fails: then the connection is
/// closed before the last byte.
pub(super) fn upload(
    request: RequestBuilder,
    url: Url,
    content: &mut dyn Read,
    size: u64,
    stall: Duration,
) -> Result<Response, SendError> {
    let address = Address::new(&url, None);
    let (events, happened) = channel();
    let (pieces, arriving) = mpsc::channel(1);
    // Dropped on return, which closes the connection.
    let (_connected, left) = oneshot::channel::<()>();
    let request = request.header(CONTENT_LENGTH, size).body(body(arriving, events.clone()));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(SendError::Content)?;
    thread::spawn(move || {
        let ended = runtime.block_on(async move {
            match select(pin!(exchange(request, url)), left).await {
                Either::Left((ended, _)) => Some(ended),
                Either::Right(_) => None,
            }
        });
        // Fails if the caller has returned.
        let _ = ended.map(|ended| events.send(Event::Ended(Box::new(ended))));
    });

    let mut pieces = Some(pieces);
    let mut next = piece(content)?;
    loop {
        let patience = if next.is_empty() { stall * AFTERTHOUGHT } else { stall };
        match happened.recv_timeout(patience) {
            Ok(Event::Wants) if next.is_empty() => pieces = None,
            Ok(Event::Wants) => {
                // Reading past the end verifies the whole stream.
                let after = piece(content)?;
                let piece = std::mem::replace(&mut next, after);
                // The channel has room, because the connection asked. If it is closed, the response says
                // why.
                let _ = pieces.as_ref().map(|pieces| pieces.try_send(piece));
            }
            Ok(Event::Ended(ended)) => {
                return ended.map_err(|error| HttpError::of_request(&error, address, stall).into());
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(HttpError::Stalled { url: address, patience }.into());
            }
            Err(RecvTimeoutError::Disconnected) => {
                let why = "the connection ended without a response".to_owned();
                return Err(HttpError::Cut { url: address, why }.into());
            }
        }
    }
}

/// A stream that requests each chunk.
fn body(arriving: mpsc::Receiver<Vec<u8>>, events: Sender<Event>) -> Body {
    Body::wrap_stream(stream::unfold((arriving, events), |(mut arriving, events)| async move {
        let _ = events.send(Event::Wants);
        let piece: Vec<u8> = arriving.recv().await?;
        Some((io::Result::Ok(piece), (arriving, events)))
    }))
}

async fn exchange(request: RequestBuilder, url: Url) -> Result<Response, reqwest::Error> {
    let answer = request.send().await?;
    let (status, headers) = (answer.status(), answer.headers().clone());
    let (mut stream, mut body) = (answer.bytes_stream(), Vec::new());
    while let Some(chunk) = stream.next().await {
        body.extend_from_slice(&chunk?);
        if body.len() >= LONGEST {
            break;
        }
    }
    Ok(Response::whole(url, status, headers, body))
}

/// An empty chunk marks the end.
fn piece(content: &mut dyn Read) -> Result<Vec<u8>, SendError> {
    let mut piece = Vec::new();
    content.take(PIECE).read_to_end(&mut piece).map_err(SendError::Content)?;
    Ok(piece)
}
