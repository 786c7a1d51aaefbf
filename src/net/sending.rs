//! Requests that change something, one attempt at a time.
//!
//! What a status means, and whether to try again, is for those to say who know what they asked.
//! No redirect is followed, for what was sent cannot simply be sent elsewhere.

use std::io::{self, Read};
use std::sync::OnceLock;

use reqwest::Method;
use reqwest::blocking;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::answer::{Answer, LONGEST, SendError};
use super::error::{Address, Error};
use super::redirect::{is_loopback, objection};
use super::request::Token;
use super::upload::upload;
use super::{Client, builder, loopback};

/// A request, to go out once.
pub struct Sending<'a> {
    method: Method,
    url: Url,
    token: Option<Token>,
    headers: HeaderMap,
    content: Content<'a>,
}

/// What goes along with a request.
enum Content<'a> {
    Bytes(Vec<u8>),
    Stream { content: &'a mut dyn Read, size: u64 },
}

impl<'a> Sending<'a> {
    fn new(method: Method, url: Url) -> Self {
        let content = Content::Bytes(Vec::new());
        Self { method, url, token: None, headers: HeaderMap::new(), content }
    }

    /// Asks for what is at `url`.
    pub fn get(url: Url) -> Self {
        Self::new(Method::GET, url)
    }

    /// Asks whether something is at `url`.
    pub fn head(url: Url) -> Self {
        Self::new(Method::HEAD, url)
    }

    /// Asks for something new below `url`.
    pub fn post(url: Url) -> Self {
        Self::new(Method::POST, url)
    }

    /// Puts `content` at `url`.
    pub fn put(url: Url, content: Vec<u8>) -> Self {
        Self { content: Content::Bytes(content), ..Self::new(Method::PUT, url) }
    }

    /// Puts `size` bytes at `url`. They are read while they are sent, and the last of them only goes
    /// out once `content` came to its end without an error.
    pub fn stream(url: Url, content: &'a mut dyn Read, size: u64) -> Self {
        Self { content: Content::Stream { content, size }, ..Self::new(Method::PUT, url) }
    }

    /// Proves with `token` who asks.
    #[must_use]
    pub fn token(mut self, token: Option<&Token>) -> Self {
        self.token = token.cloned();
        self
    }

    /// Adds a header, its name in lower case.
    ///
    /// # Errors
    /// Where the value cannot stand in a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Result<Self, Error> {
        let value = HeaderValue::try_from(value)
            .map_err(|_| Error::malformed(Address::new(&self.url, None), format!("no header `{name}`")))?;
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }
}

/// Clients for what is streamed: they keep no connections, for those would end with their runtimes.
#[derive(Default)]
pub(super) struct Streams {
    web: OnceLock<reqwest::Client>,
    loopback: OnceLock<reqwest::Client>,
}

impl Client {
    /// Sends a request, once.
    ///
    /// # Errors
    /// Where no answer came. One with a status that nobody wants is no error here.
    pub fn send(&self, sending: Sending<'_>) -> Result<Answer, SendError> {
        let Sending { method, url, token, mut headers, content } = sending;
        let address = Address::new(&url, None);
        if let Some(why) = objection(&url) {
            return Err(Error::Insecure { url: address, why }.into());
        }
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token.header());
        }
        let bytes = match content {
            Content::Bytes(bytes) => bytes,
            Content::Stream { content, size } => {
                let request = self.streaming(&url)?.request(method, url.clone()).headers(headers);
                return upload(request, url, content, size, self.patience.stall);
            }
        };
        let client = if is_loopback(&url) { self.loopback()? } else { &self.web };
        // Some registries want to be told the length of nothing, too.
        let asking = client.request(method.clone(), url.clone()).headers(headers);
        let asking =
            if method == Method::GET || method == Method::HEAD { asking } else { asking.body(bytes) };
        let failed = |error: &reqwest::Error| Error::of_request(error, address.clone(), self.patience.stall);
        let answer = asking.send().map_err(|error| failed(&error))?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok(Answer::new(url, status, headers, body(answer).map_err(|error| Error::of_body(error, &address))?))
    }

    fn streaming(&self, url: &Url) -> Result<&reqwest::Client, Error> {
        let local = is_loopback(url);
        let known = if local { &self.streams.loopback } else { &self.streams.web };
        if let Some(client) = known.get() {
            return Ok(client);
        }
        let builder = builder(&self.patience).pool_max_idle_per_host(0);
        let builder = if local { loopback(builder) } else { builder };
        let client = builder.build().map_err(|error| Error::setup(&error))?;
        Ok(known.get_or_init(|| client))
    }
}

fn body(answer: blocking::Response) -> io::Result<Vec<u8>> {
    let mut body = Vec::new();
    answer.take(LONGEST).read_to_end(&mut body)?;
    Ok(body)
}
