//! The HTTP client: redirects, retries and limits.
//!
//! `reqwest` transfers the bytes; all decisions are made here. [`redirect`] follows redirects hop by hop,
//! so that a token never leaves its origin and nothing is sent unencrypted. Transient failures are retried
//! with the backoff of [`retry`]; [`limits`] reads how long a server wants clients to wait.

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
pub use request::{NotAToken, Request, Token, Validator};
pub use response::{ContentRange, Response};
pub use retry::{Backoff, RetryPolicy};

use redirect::{RedirectChain, is_loopback};
use request::Content;

const USER_AGENT: &str = concat!("bake/", env!("CARGO_PKG_VERSION"));

/// Connection attempts per host before it is considered unreachable.
const CONNECT_ATTEMPTS: u32 = 3;

#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error(transparent)]
    Net(#[from] HttpError),
    /// The body to send could not be read or verified.
    #[error(transparent)]
    Content(io::Error),
}

/// Clones share connections and knowledge about hosts. Nothing is connected or loaded before the first
/// request.
///
/// An unreachable host is remembered, and later requests to it fail immediately: without a network, forty
/// tools do not each wait for a timeout.
#[derive(Clone)]
pub struct Client(Arc<Shared>);

struct Shared {
    patience: RetryPolicy,
    web: OnceLock<blocking::Client>,
    /// For loopback, never through a proxy: plain HTTP must not leave the machine.
    loopback: OnceLock<blocking::Client>,
    /// The same for streamed bodies, without connection reuse: connections end with their runtime.
    web_streams: OnceLock<reqwest::Client>,
    loopback_streams: OnceLock<reqwest::Client>,
    /// Failed connection attempts since the last success, and the reason.
    unreachable: Mutex<BTreeMap<String, (u32, String)>>,
}

impl Client {
    /// Reads proxies (`HTTPS_PROXY`, `NO_PROXY`) and certificates (`SSL_CERT_FILE`) from the environment or
    /// the platform.
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

    /// A new backoff, which can be shared by several requests.
    pub fn pauses(&self) -> Backoff {
        self.0.patience.pauses()
    }

    /// Retries transient failures and follows redirects. The status is 200, or 206 for a range request. A
    /// body that breaks off is reported by its reader.
    pub fn get(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        self.get_within(request, &mut self.pauses())
    }

    /// Like [`get`](Self::get), with an existing backoff.
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

    /// A small text document; retried as a whole.
    ///
    /// # Errors
    /// [`HttpError::TooLarge`] above `limit` bytes; [`HttpError::Malformed`] if it is not UTF-8.
    pub fn text(&self, request: &Request<'_>, limit: u64) -> Result<String, HttpError> {
        self.document(request, limit).map(|(_, text)| text)
    }

    /// Like [`text`](Self::text), with the response head.
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

    /// Sends a request once and follows redirects that keep the method. The caller interprets the status
    /// and decides about retries.
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

    /// One attempt, including redirects.
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

    /// One request without redirects.
    fn ask(&self, request: &Request<'_>, hops: &RedirectChain) -> Result<blocking::Response, HttpError> {
        let (host, url) = (hops.authority(), hops.address());
        if let Some((CONNECT_ATTEMPTS.., why)) = self.unreachable().get(&host) {
            return Err(HttpError::Unreachable { url, why: why.clone(), is_final: true });
        }
        let client = self.waiting(is_loopback(hops.url()))?;
        let asking =
            client.request(request.method().clone(), hops.url().clone()).headers(headers(request, hops));
        let asking = match request.content() {
            // Some registries require `Content-Length: 0`.
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

    /// The timeout applies to each wait: for the response head, and for each chunk of the body.
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

/// Initializes `place` if necessary; unlike `get_or_init`, `build` can fail.
fn made<T>(place: &OnceLock<T>, build: impl FnOnce() -> reqwest::Result<T>) -> Result<&T, HttpError> {
    if let Some(made) = place.get() {
        return Ok(made);
    }
    let made = build().map_err(|error| HttpError::setup(&error))?;
    Ok(place.get_or_init(|| made))
}

/// The token is only sent to its own origin.
fn headers(request: &Request<'_>, hops: &RedirectChain) -> HeaderMap {
    let mut headers = request.headers();
    if let Some(token) = request.sent_token().filter(|_| hops.at_home()) {
        headers.insert(AUTHORIZATION, token.header());
    }
    headers
}

/// Settings of all clients.
fn builder(patience: &RetryPolicy, local: bool) -> reqwest::ClientBuilder {
    // Fails if a provider is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Archives are already compressed, and digests refer to the original bytes.
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
    // `localhost` is always this machine (RFC 6761, 6.3), regardless of the resolver.
    let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let own = own.map(|address| SocketAddr::new(address, 0));
    builder.no_proxy().resolve_to_addrs("localhost", &own)
}
