//! What is asked for, and with whose token.

use std::fmt;
use std::io::Read;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE};
use url::{Url, form_urlencoded};

use super::response::Validator;
use crate::text::is_hidden;

/// A request, and what goes along with it.
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

/// What goes along with a request.
pub(super) enum Content<'a> {
    Nothing,
    Bytes(Vec<u8>),
    Stream { content: &'a mut dyn Read, size: u64 },
}

impl Request<'static> {
    /// A request for what is at `url`.
    pub fn new(url: Url) -> Self {
        Self::of(Method::GET, url, Content::Nothing)
    }

    /// Asks whether something is at `url`. No redirect is followed: a URL that is signed for reading
    /// refuses `HEAD`.
    pub fn head(url: Url) -> Self {
        Self::of(Method::HEAD, url, Content::Nothing)
    }

    /// Asks for something new below `url`.
    pub fn post(url: Url) -> Self {
        Self::of(Method::POST, url, Content::Bytes(Vec::new()))
    }

    /// Puts `content` at `url`.
    pub fn put(url: Url, content: Vec<u8>) -> Self {
        Self::of(Method::PUT, url, Content::Bytes(content))
    }

    /// Sends `pairs` as a form. They may hold a secret, so no redirect takes them to another origin.
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

    /// Puts `size` bytes at `url`. They are read while they are sent, and the last of them is sent only
    /// after `content` ended without an error. No redirect is followed: the bytes are gone.
    pub fn stream(url: Url, content: &'a mut dyn Read, size: u64) -> Self {
        Self::of(Method::PUT, url, Content::Stream { content, size })
    }

    /// Proves with `token` who asks, to the origin of the URL and nowhere else.
    #[must_use]
    pub fn token(mut self, token: Option<&Token>) -> Self {
        self.token = token.cloned();
        self
    }

    /// Sends one more header, its name in lower case; it goes to every host that a redirect leads
    /// to. A value that cannot be in a header is left out.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Says which media type is wanted.
    #[must_use]
    pub fn accept(self, media_type: &str) -> Self {
        self.header("accept", media_type)
    }

    /// Asks for the bytes from `start` on (RFC 9110, 14.2), and for all of them where the document
    /// is no longer the one that `validator` names (RFC 9110, 13.1.5).
    #[must_use]
    pub fn from_byte(mut self, start: u64, validator: Option<&Validator>) -> Self {
        self.headers.insert(RANGE, range(start));
        if let Some(validator) = validator {
            self.headers.insert(IF_RANGE, validator.header().clone());
        }
        self.start = Some(start);
        self
    }

    /// Takes the body as it comes, whatever `Content-Encoding` says: a digest is of the stored bytes.
    #[must_use]
    pub fn raw(mut self) -> Self {
        self.is_raw = true;
        self
    }

    /// Gives the body the time of an archive or a layer, and not that of a document.
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

    /// Whether an answer of this status sends the request elsewhere. A `POST` or `PUT` stays one, so
    /// only the redirects that keep the method count.
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

/// What proves who asks: a bearer token, or a password. It is shown nowhere.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(HeaderValue);

/// Why a text is no token; the text is not told.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a token: it is empty, or holds a blank or a character outside of ASCII")]
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
    /// A name and a password in the place of a token (RFC 7617).
    ///
    /// # Errors
    /// Where either cannot be sent: a colon in the name, or a control character.
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
    fn a_token_is_shown_nowhere() {
        let token: Token = "ghp_secret".parse().expect("a token");
        assert!(!format!("{token:?}").contains("secret"));
    }

    #[test]
    fn what_would_break_a_header_is_no_token() {
        for text in ["", "a b", "a\n", "a\r\nhost: b", "ä"] {
            assert_eq!(text.parse::<Token>(), Err(NotAToken), "{text:?}");
        }
    }
}
