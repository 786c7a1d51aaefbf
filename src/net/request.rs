//! What is asked for, and with whose token.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE};
use url::Url;

use super::response::Validator;

/// A request for a document.
#[derive(Clone, Debug)]
pub struct Request {
    url: Url,
    token: Option<Token>,
    headers: HeaderMap,
    start: Option<u64>,
}

impl Request {
    /// A request for what is at `url`.
    pub fn new(url: Url) -> Self {
        Self { url, token: None, headers: HeaderMap::new(), start: None }
    }

    /// Sends `token` as the bearer's, to the origin of the URL and nowhere else.
    #[must_use]
    pub fn token(mut self, token: Option<&Token>) -> Self {
        self.token = token.cloned();
        self
    }

    /// Says which media type is wanted.
    #[must_use]
    pub fn accept(mut self, media_type: &'static str) -> Self {
        self.headers.insert(ACCEPT, HeaderValue::from_static(media_type));
        self
    }

    /// Sends one more header, its name in lower case; it goes to every host that a redirect leads
    /// to.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        self
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

    pub(super) const fn url(&self) -> &Url {
        &self.url
    }

    pub(super) const fn starts_at(&self) -> Option<u64> {
        self.start
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
        if user.contains(':') || user.chars().chain(password.chars()).any(char::is_control) {
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
    use super::{NotAToken, Request, Token};

    #[test]
    fn a_token_is_shown_nowhere() {
        let token: Token = "ghp_secret".parse().expect("a token");
        let request = Request::new("https://example.org/".parse().expect("a URL")).token(Some(&token));
        assert!(!format!("{token:?} {request:?}").contains("secret"));
    }

    #[test]
    fn what_would_break_a_header_is_no_token() {
        for text in ["", "a b", "a\n", "a\r\nhost: b", "ä"] {
            assert_eq!(text.parse::<Token>(), Err(NotAToken), "{text:?}");
        }
    }
}
