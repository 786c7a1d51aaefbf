//! A body that is read while it is sent.
//!
//! The connection lives on a thread of its own, with the runtime that the client needs. It asks for
//! one piece after the other, and whoever called reads them: so nothing but a few pieces is ever in
//! memory, a reader need not be one that threads may share, and a server that stops taking bytes is
//! noticed by its silence, however long the whole takes.

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

/// What is kept of an answer, in bytes: to an upload it is a line or two.
const LONGEST: usize = 64 << 10;

/// How many bytes are handed over at once.
const PIECE: u64 = 256 << 10;

/// Once it has everything, a server may take so many times longer to answer: some copy what they
/// got to where it stays.
const AFTERTHOUGHT: u32 = 10;

/// What the connection has to say.
enum Event {
    /// It has room for a piece.
    Wants,
    /// An answer came, or none will.
    Ended(Box<Result<Response, reqwest::Error>>),
}

/// Sends `size` bytes of `content` with `request`, and waits for the answer.
///
/// # Errors
/// Where the network fails, where nothing happens for `stall`, or where `content` cannot be read: then
/// the connection is cut before its last byte.
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
    // Whoever leaves here drops it, and the connection with it.
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
        // Nobody waits for it who has left.
        let _ = ended.map(|ended| events.send(Event::Ended(Box::new(ended))));
    });

    let mut pieces = Some(pieces);
    let mut next = piece(content)?;
    loop {
        let patience = if next.is_empty() { stall * AFTERTHOUGHT } else { stall };
        match happened.recv_timeout(patience) {
            Ok(Event::Wants) if next.is_empty() => pieces = None,
            Ok(Event::Wants) => {
                // What comes after the last piece says whether all of them were right.
                let after = piece(content)?;
                let piece = std::mem::replace(&mut next, after);
                // It asked, so there is room; where it is gone, it says why.
                let _ = pieces.as_ref().map(|pieces| pieces.try_send(piece));
            }
            Ok(Event::Ended(ended)) => {
                return ended.map_err(|error| HttpError::of_request(&error, address, stall).into());
            }
            Err(RecvTimeoutError::Timeout) => {
                return Err(HttpError::Stalled { url: address, patience }.into());
            }
            Err(RecvTimeoutError::Disconnected) => {
                let why = "the connection ended without an answer".to_owned();
                return Err(HttpError::Cut { url: address, why }.into());
            }
        }
    }
}

/// The pieces as they come, each asked for.
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

/// The next piece; an empty one at the end.
fn piece(content: &mut dyn Read) -> Result<Vec<u8>, SendError> {
    let mut piece = Vec::new();
    content.take(PIECE).read_to_end(&mut piece).map_err(SendError::Content)?;
    Ok(piece)
}
