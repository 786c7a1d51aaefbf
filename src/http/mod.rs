//! HTTP: which URLs are followed, what is tried again, and when a server is believed.
//!
//! `reqwest` moves the bytes; every decision is made here. Redirects are followed by [`redirect`],
//! hop by hop, so that a token never leaves the origin that it was meant for and nothing goes out
//! unencrypted. What can pass is tried again with the growing pauses of [`patience`]; [`limits`]
//! reads how long a server wants to be left alone. Every [`HttpError`] names the URL, and none of them
//! holds a password, a token or the query of a redirect's target, which is often a signature.

mod error;
mod limits;
mod rate;
mod redirect;
mod request;
mod response;
mod retry;
mod upload;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use reqwest::blocking;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue};

pub use error::{Address, HttpError};
pub use redirect::check_scheme;
pub use request::{NotAToken, Request, Token};
pub use response::{ContentRange, Response, Validator};
pub use retry::{Backoff, RetryPolicy};

use redirect::{RedirectChain, is_loopback};
use request::Content;

/// What the program calls itself.
const USER_AGENT: &str = concat!("bake/", env!("CARGO_PKG_VERSION"));

/// How often a host is tried that cannot be reached at all.
const CONNECT_ATTEMPTS: u32 = 3;

/// Why a request was not answered.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The network, or the server.
    #[error(transparent)]
    Net(#[from] HttpError),
    /// What was to be sent could not be read, or not be believed.
    #[error(transparent)]
    Content(io::Error),
}

/// Asks servers. Clones share connections and what is known of hosts; no connection is made, and no
/// certificate read, before the first request.
///
/// A host that could not be reached is remembered: later requests to it fail at once, so that a
/// machine without a network does not wait for each of forty tools.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    patience: RetryPolicy,
    web: OnceLock<blocking::Client>,
    /// Asks this very machine, never through a proxy: what is allowed to go unencrypted must not
    /// leave it.
    loopback: OnceLock<blocking::Client>,
    /// The same two for what is streamed: they keep no connections, for those would end with their
    /// runtimes.
    web_streams: OnceLock<reqwest::Client>,
    loopback_streams: OnceLock<reqwest::Client>,
    /// How often each host could not be reached since it last answered, and why.
    unreachable: Mutex<BTreeMap<String, (u32, String)>>,
}

impl Client {
    /// A client that waits as long as `patience` says. Proxies come from the environment
    /// (`HTTPS_PROXY`, `NO_PROXY`), certificates from the platform (`SSL_CERT_FILE`).
    pub fn new(patience: RetryPolicy) -> Self {
        Self(Arc::new(Shared {
            patience,
            web: OnceLock::new(),
            loopback: OnceLock::new(),
            web_streams: OnceLock::new(),
            loopback_streams: OnceLock::new(),
            unreachable: Mutex::default(),
        }))
    }

    /// A fresh share of patience, for work that takes several requests.
    pub fn pauses(&self) -> Backoff {
        self.0.patience.pauses()
    }

    /// Asks for a document, tries again what can pass, and follows redirects. The answer's status
    /// is 200, or 206 where the request asks for a part.
    ///
    /// # Errors
    /// Any but [`HttpError::TooLarge`]: see there. A body that breaks off is told by its reader.
    pub fn get(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        self.get_within(request, &mut self.pauses())
    }

    /// As [`get`](Self::get), with what is left of a share of patience.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_within(&self, request: &Request<'_>, pauses: &mut Backoff) -> Result<Response, HttpError> {
        loop {
            let error = match self.follow(request) {
                Ok(response) => match response.status() {
                    200 => return Ok(response),
                    206 if request.starts_at().is_some() => return Ok(response),
                    _ => response.refusal(),
                },
                Err(error) => error,
            };
            pauses.wait_after(error)?;
        }
    }

    /// A small document as text; a body that was cut is asked for again.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`HttpError::TooLarge`] beyond `limit` bytes; [`HttpError::Malformed`] where
    /// it is not UTF-8.
    pub fn text(&self, request: &Request<'_>, limit: u64) -> Result<String, HttpError> {
        self.document(request, limit).map(|(_, text)| text)
    }

    /// As [`text`](Self::text), with the answer's head.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn document(&self, request: &Request<'_>, limit: u64) -> Result<(Response, String), HttpError> {
        let mut pauses = self.pauses();
        loop {
            let mut response = self.get_within(request, &mut pauses)?;
            match response.document(limit) {
                Ok(body) => {
                    let text = String::from_utf8(body);
                    let text = text
                        .map_err(|_| HttpError::malformed(response.address().clone(), "it is not UTF-8"))?;
                    return Ok((response, text));
                }
                Err(error) => pauses.wait_after(error)?,
            }
        }
    }

    /// Sends a request once, and follows redirects where they do not change it. What a status means,
    /// and whether to try again, is for the caller to decide.
    ///
    /// # Errors
    /// Where no answer came. One with a status that is not wanted is no error here.
    pub fn send(&self, request: Request<'_>) -> Result<Response, SendError> {
        if !matches!(request.content(), Content::Stream { .. }) {
            return Ok(self.follow(&request)?);
        }
        let hops = RedirectChain::new(request.url(), true)?;
        let url = request.url().clone();
        let asking = self.streams(is_loopback(&url))?.request(request.method().clone(), url.clone());
        let asking = asking.headers(headers(&request, &hops));
        match request.into_content() {
            Content::Stream { content, size } => {
                upload::upload(asking, url, content, size, self.0.patience.stall)
            }
            Content::Nothing | Content::Bytes(_) => {
                Err(SendError::Content(io::ErrorKind::InvalidInput.into()))
            }
        }
    }

    /// One attempt: from the first URL through every redirect to an answer.
    fn follow(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        let mut hops = RedirectChain::new(request.url(), request.is_confined())?;
        loop {
            let answer = self.ask(request, &hops)?;
            if !request.follows(answer.status().as_u16()) {
                return Response::new(answer, request, &hops, &self.0.patience);
            }
            hops.follow(&answer)?;
        }
    }

    /// One request and its answer's head.
    fn ask(&self, request: &Request<'_>, hops: &RedirectChain) -> Result<blocking::Response, HttpError> {
        let (host, url) = (hops.authority(), hops.address());
        if let Some((CONNECT_ATTEMPTS.., why)) = self.unreachable().get(&host) {
            return Err(HttpError::Unreachable { url, why: why.clone(), is_final: true });
        }
        let client = self.waiting(is_loopback(hops.url()))?;
        let asking =
            client.request(request.method().clone(), hops.url().clone()).headers(headers(request, hops));
        let asking = match request.content() {
            // Some registries want to be told the length of nothing, too.
            Content::Bytes(bytes) => asking.body(bytes.clone()),
            Content::Nothing | Content::Stream { .. } => asking,
        };
        let error = match asking.send() {
            Ok(answer) => {
                self.unreachable().remove(&host);
                return Ok(answer);
            }
            Err(error) => HttpError::of_request(&error, url, self.0.patience.stall),
        };
        match error {
            HttpError::Unreachable { url, why, .. } => {
                let mut unreachable = self.unreachable();
                let (tries, _) =
                    unreachable.entry(host).and_modify(|known| known.0 += 1).or_insert((1, why.clone()));
                Err(HttpError::Unreachable { url, why, is_final: *tries >= CONNECT_ATTEMPTS })
            }
            error => Err(error),
        }
    }

    /// The client for requests whose answers are waited for. The time limit is one for each wait: for
    /// an answer's head, and for each piece of its body.
    fn waiting(&self, local: bool) -> Result<&blocking::Client, HttpError> {
        let Shared { patience, web, loopback, .. } = &*self.0;
        made(if local { loopback } else { web }, || {
            blocking::ClientBuilder::from(builder(patience, local)).timeout(patience.stall).build()
        })
    }

    fn streams(&self, local: bool) -> Result<&reqwest::Client, HttpError> {
        let Shared { patience, web_streams, loopback_streams, .. } = &*self.0;
        made(if local { loopback_streams } else { web_streams }, || {
            builder(patience, local).pool_max_idle_per_host(0).build()
        })
    }

    fn unreachable(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, (u32, String)>> {
        self.0.unreachable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is in `place`, made where nothing is.
fn made<T>(place: &OnceLock<T>, build: impl FnOnce() -> reqwest::Result<T>) -> Result<&T, HttpError> {
    if let Some(made) = place.get() {
        return Ok(made);
    }
    let made = build().map_err(|error| HttpError::setup(&error))?;
    Ok(place.get_or_init(|| made))
}

/// The headers of a request at a hop: the token is for its own origin.
fn headers(request: &Request<'_>, hops: &RedirectChain) -> HeaderMap {
    let mut headers = request.headers();
    if let Some(token) = request.sent_token().filter(|_| hops.at_home()) {
        headers.insert(AUTHORIZATION, token.header());
    }
    headers
}

/// What all clients share.
fn builder(patience: &RetryPolicy, local: bool) -> reqwest::ClientBuilder {
    // An error says that there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Archives are compressed already, and their digest is that of the bytes as they are.
    let headers = [(ACCEPT_ENCODING, HeaderValue::from_static("identity"))];
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers.into_iter().collect())
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(patience.connect);
    if !local {
        return builder;
    }
    // The name is the machine's own (RFC 6761, 6.3), whatever a resolver says.
    let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let own = own.map(|address| SocketAddr::new(address, 0));
    builder.no_proxy().resolve_to_addrs("localhost", &own)
}
