//! HTTP: which URLs are followed, what is tried again, and when a server is believed.
//!
//! `reqwest` moves the bytes; every decision is made here. Redirects are followed by [`redirect`],
//! hop by hop, so that a token never leaves the origin that it was meant for and nothing goes out
//! unencrypted. What can pass is tried again with the growing pauses of [`patience`]; [`limits`]
//! reads how long a server wants to be left alone. Every [`Error`] names the URL, and none of them
//! holds a password, a token or the query of a redirect's target, which is often a signature.

mod answer;
mod error;
mod limits;
mod patience;
mod redirect;
mod request;
mod response;
mod sending;
mod upload;

use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Mutex, OnceLock, PoisonError};

use reqwest::blocking;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue};

pub use answer::{Answer, SendError};
pub use error::{Address, Error};
pub use patience::{Patience, Pauses};
pub use redirect::objection;
pub use request::{NotAToken, Request, Token};
pub use response::{ContentRange, Response, Validator};
pub use sending::Sending;

use redirect::{Hops, is_loopback};
use sending::Streams;

/// What the program calls itself.
const USER_AGENT: &str = concat!("bake/", env!("CARGO_PKG_VERSION"));

/// How often a host is tried that cannot be reached at all.
const CONNECT_ATTEMPTS: u32 = 3;

/// Asks servers. Threads share one by reference, and with it its connections.
///
/// A host that could not be reached is remembered: later requests to it fail at once, so that a
/// machine without a network does not wait for each of forty tools.
pub struct Client {
    patience: Patience,
    web: blocking::Client,
    /// Asks this very machine, never through a proxy: what is allowed to go unencrypted must not
    /// leave it. Most runs need none.
    loopback: OnceLock<blocking::Client>,
    streams: Streams,
    unreachable: Mutex<BTreeMap<String, String>>,
}

impl Client {
    /// A client that waits as long as `patience` says. Proxies come from the environment
    /// (`HTTPS_PROXY`, `NO_PROXY`), certificates from the platform (`SSL_CERT_FILE`).
    ///
    /// # Errors
    /// [`Error::Setup`] where the platform has no certificates, or the environment names a proxy
    /// that is none.
    pub fn new(patience: Patience) -> Result<Self, Error> {
        // Whoever came first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let web = waiting(builder(&patience), &patience).build().map_err(|error| Error::setup(&error))?;
        Ok(Self {
            patience,
            web,
            loopback: OnceLock::new(),
            streams: Streams::default(),
            unreachable: Mutex::default(),
        })
    }

    /// A fresh share of patience, for work that takes several requests.
    pub fn pauses(&self) -> Pauses {
        self.patience.pauses()
    }

    /// Asks for a document, tries again what can pass, and follows redirects. The answer's status
    /// is 200, or 206 where the request asks for a part.
    ///
    /// # Errors
    /// Any but [`Error::TooLarge`]: see there. A body that breaks off is told by its reader.
    pub fn get(&self, request: &Request) -> Result<Response, Error> {
        self.get_within(request, &mut self.pauses())
    }

    /// As [`get`](Self::get), with what is left of a share of patience.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn get_within(&self, request: &Request, pauses: &mut Pauses) -> Result<Response, Error> {
        let mut connects = 1;
        loop {
            let mut hops = Hops::new(request.url())?;
            let error = match self.follow(request, &mut hops) {
                Ok(response) => return Ok(response),
                Err(error) => error,
            };
            if let Error::Unreachable { why, .. } = &error {
                if self.known_unreachable(&hops).is_some() {
                    return Err(error);
                }
                if connects == CONNECT_ATTEMPTS || pauses.is_over() {
                    let mut unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
                    unreachable.insert(hops.authority(), why.clone());
                    return Err(error);
                }
                connects += 1;
            }
            pauses.wait_after(error)?;
        }
    }

    /// A small document as text; a body that was cut is asked for again.
    ///
    /// # Errors
    /// As [`get`](Self::get); [`Error::TooLarge`] beyond `limit` bytes; [`Error::Malformed`] where
    /// it is not UTF-8.
    pub fn text(&self, request: &Request, limit: u64) -> Result<String, Error> {
        self.document(request, limit).map(|(_, text)| text)
    }

    /// As [`text`](Self::text), with the answer's head.
    ///
    /// # Errors
    /// As [`text`](Self::text).
    pub fn document(&self, request: &Request, limit: u64) -> Result<(Response, String), Error> {
        let mut pauses = self.pauses();
        loop {
            let mut response = self.get_within(request, &mut pauses)?;
            let address = response.address().clone();
            let mut body = Vec::new();
            match response.by_ref().take(limit.saturating_add(1)).read_to_end(&mut body) {
                Ok(_) if body.len() as u64 > limit => return Err(Error::TooLarge { url: address, limit }),
                Ok(_) => {
                    let text = String::from_utf8(body);
                    let text = text.map_err(|_| Error::malformed(address, "it is not UTF-8"))?;
                    return Ok((response, text));
                }
                Err(error) => pauses.wait_after(Error::of_body(error, &address))?,
            }
        }
    }

    /// One attempt: from the first URL through every redirect to an answer.
    fn follow(&self, request: &Request, hops: &mut Hops) -> Result<Response, Error> {
        loop {
            if let Some(why) = self.known_unreachable(hops) {
                return Err(Error::Unreachable { url: hops.address(), why });
            }
            let answer = self.ask(request, hops)?;
            match answer.status().as_u16() {
                301 | 302 | 303 | 307 | 308 => hops.follow(&answer)?,
                200 => return Response::new(answer, hops, self.patience.stall),
                206 if request.starts_at().is_some() => {
                    return Response::new(answer, hops, self.patience.stall);
                }
                _ => {
                    let had_token = request.sent_token().is_some() && hops.at_home();
                    return Err(limits::refusal(&answer, hops.address(), had_token));
                }
            }
        }
    }

    /// One request and its answer's head.
    fn ask(&self, request: &Request, hops: &Hops) -> Result<blocking::Response, Error> {
        let client = if is_loopback(hops.url()) { self.loopback()? } else { &self.web };
        let mut asking = client.get(hops.url().clone()).headers(request.headers());
        if let Some(token) = request.sent_token().filter(|_| hops.at_home()) {
            asking = asking.header(AUTHORIZATION, token.header());
        }
        asking.send().map_err(|error| Error::of_request(&error, hops.address(), self.patience.stall))
    }

    fn loopback(&self) -> Result<&blocking::Client, Error> {
        if let Some(client) = self.loopback.get() {
            return Ok(client);
        }
        let client = waiting(loopback(builder(&self.patience)), &self.patience)
            .build()
            .map_err(|error| Error::setup(&error))?;
        Ok(self.loopback.get_or_init(|| client))
    }

    fn known_unreachable(&self, hops: &Hops) -> Option<String> {
        let unreachable = self.unreachable.lock().unwrap_or_else(PoisonError::into_inner);
        unreachable.get(&hops.authority()).cloned()
    }
}

/// What all clients share.
fn builder(patience: &Patience) -> reqwest::ClientBuilder {
    // Archives are compressed already, and their digest is that of the bytes as they are.
    let headers = [(ACCEPT_ENCODING, HeaderValue::from_static("identity"))];
    reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .default_headers(headers.into_iter().collect())
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .connect_timeout(patience.connect)
}

/// One for this very machine.
fn loopback(builder: reqwest::ClientBuilder) -> reqwest::ClientBuilder {
    // The name is the machine's own (RFC 6761, 6.3), whatever a resolver says.
    let own = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
    let own = own.map(|address| SocketAddr::new(address, 0));
    builder.no_proxy().resolve_to_addrs("localhost", &own)
}

/// One that waits for its answers. The time limit is one for each wait: for an answer's head, and
/// for each piece of its body.
fn waiting(builder: reqwest::ClientBuilder, patience: &Patience) -> blocking::ClientBuilder {
    blocking::ClientBuilder::from(builder).timeout(patience.stall)
}
