//! Requests and tokens.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE};
use url::{Url, form_urlencoded};

use crate::text::is_hidden;

pub struct Request<'a> {
    method: Method,
    url: Url,
    token: Option<Token>,
    headers: HeaderMap,
    content: Content<'a>,
    start: Option<u64>,
    is_confined: bool,
    is_raw: bool,
    is_large: bool,
}

/// Identifies one version of a document to its server.
#[derive(Clone, Debug)]
pub struct Validator(HeaderValue);

impl Validator {
    pub(super) const fn new(header: HeaderValue) -> Self {
        Self(header)
    }

    pub(super) const fn header(&self) -> &HeaderValue {
        &self.0
    }
}

pub(super) enum Content<'a> {
    Nothing,
    Bytes(Vec<u8>),
    Stream { content: &'a mut dyn Read, size: u64 },
}

impl Request<'static> {
    pub fn new(url: Url) -> Self {
        Self::of(Method::GET, url, Content::Nothing)
    }

    /// Follows no redirects: a URL signed for `GET` rejects `HEAD`.
    pub fn head(url: Url) -> Self {
        Self::of(Method::HEAD, url, Content::Nothing)
    }

    pub fn post(url: Url) -> Self {
        Self::of(Method::POST, url, Content::Bytes(Vec::new()))
    }

    pub fn put(url: Url, content: Vec<u8>) -> Self {
        Self::of(Method::PUT, url, Content::Bytes(content))
    }

    /// Sends a form, which may contain a secret: redirects to another origin are refused.
    pub fn form(url: Url, pairs: &[(&str, &str)]) -> Self {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let mut this = Self::of(Method::POST, url, Content::Bytes(form.into_bytes()));
        this.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        this.is_confined = true;
        this
    }
}

impl<'a> Request<'a> {
    fn of(method: Method, url: Url, content: Content<'a>) -> Self {
        Self {
            method,
            url,
            token: None,
            headers: HeaderMap::new(),
            content,
            start: None,
            is_confined: false,
            is_raw: false,
            is_large: false,
        }
    }

    /// Uploads `size` bytes, read while sending. The last bytes are sent only after `content` ended without
    /// an error. Follows no redirects, because the stream is consumed.
    pub fn stream(url: Url, content: &'a mut dyn Read, size: u64) -> Self {
        Self::of(Method::PUT, url, Content::Stream { content, size })
    }

    /// The token is sent to the origin of the URL only.
    #[must_use]
    pub fn token(mut self, token: Option<&Token>) -> Self {
        self.token = token.cloned();
        self
    }

    /// Adds a header, with a lower-case name, that is sent to every redirect target. Ignores an invalid
    /// value.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    #[must_use]
    pub fn accept(self, media_type: &str) -> Self {
        self.header("accept", media_type)
    }

    /// A range request (RFC 9110, 14.2); returns the whole document if it no longer matches `validator`
    /// (RFC 9110, 13.1.5).
    #[must_use]
    pub fn from_byte(mut self, start: u64, validator: Option<&Validator>) -> Self {
        self.headers.insert(RANGE, range(start));
        if let Some(validator) = validator {
            self.headers.insert(IF_RANGE, validator.header().clone());
        }
        self.start = Some(start);
        self
    }

    /// Disables `Content-Encoding`: a digest refers to the stored bytes.
    #[must_use]
    pub fn raw(mut self) -> Self {
        self.is_raw = true;
        self
    }

    /// Applies the time limits of archives and layers.
    #[must_use]
    pub fn large(mut self) -> Self {
        self.is_large = true;
        self
    }

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    pub(super) const fn method(&self) -> &Method {
        &self.method
    }

    pub(super) const fn content(&self) -> &Content<'a> {
        &self.content
    }

    pub(super) fn into_content(self) -> Content<'a> {
        self.content
    }

    pub(super) const fn starts_at(&self) -> Option<u64> {
        self.start
    }

    pub(super) const fn is_confined(&self) -> bool {
        self.is_confined
    }

    pub(super) const fn is_raw(&self) -> bool {
        self.is_raw
    }

    pub(super) const fn is_large(&self) -> bool {
        self.is_large
    }

    /// Whether to follow a redirect with this status. For `POST` and `PUT` only those count that keep the
    /// method.
    pub(super) fn follows(&self, status: u16) -> bool {
        match status {
            307 | 308 => self.method != Method::HEAD,
            301..=303 => self.method == Method::GET,
            _ => false,
        }
    }

    pub(super) fn headers(&self) -> HeaderMap {
        self.headers.clone()
    }

    pub(super) fn sent_token(&self) -> Option<&Token> {
        self.token.as_ref()
    }
}

fn range(start: u64) -> HeaderValue {
    HeaderValue::try_from(format!("bytes={start}-")).expect("digits and signs are fine in a header")
}

/// A bearer token or a password. Deliberately not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

/// Does not contain the text.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token: it is empty, or contains a space or a non-ASCII character")]
pub struct NotAToken;

impl FromStr for Token {
    type Err = NotAToken;

    fn from_str(text: &str) -> Result<Self, NotAToken> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(NotAToken);
        }
        let mut value = HeaderValue::try_from(format!("Bearer {text}")).map_err(|_| NotAToken)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Token {
    /// Basic authentication (RFC 7617).
    ///
    /// # Errors
    /// For a colon in the name, or a control character.
    pub fn of_password(user: &str, password: &str) -> Result<Self, NotAToken> {
        if user.contains(':') || user.chars().chain(password.chars()).any(is_hidden) {
            return Err(NotAToken);
        }
        let encoded = BASE64.encode(format!("{user}:{password}"));
        let mut value = HeaderValue::try_from(format!("Basic {encoded}")).map_err(|_| NotAToken)?;
        value.set_sensitive(true);
        Ok(Self(value))
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::{NotAToken, Token};

    #[test]
    fn debug_output_hides_tokens() {
        let token: Token = "ghp_secret".parse().expect("a token");
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn tokens_invalid_in_headers_are_refused() {
        for text in ["", "a b", "a\n", "a\r\nhost: b", "ä"] {
            assert_eq!(text.parse::<Token>(), Err(NotAToken), "{text:?}");
        }
    }
}
