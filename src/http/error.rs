//! Errors of HTTP requests. Each names the URL, without secrets.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use url::Url;

use crate::text::{causes, excerpt, innermost};

/// A URL for messages: the requested one and, after redirects, the final one. Excludes passwords and the
/// query of redirect targets, which can be a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    asked: String,
    answered: Option<String>,
}

impl Address {
    pub fn new(asked: &Url, answered: Option<&Url>) -> Self {
        let answered = answered.map(|url| {
            let mut url = url.clone();
            url.set_query(None);
            shown(url)
        });
        Self { asked: shown(asked.clone()), answered }
    }
}

/// Maximum length in messages, in characters; a redirect target can be arbitrarily long.
const LONGEST: usize = 400;

fn shown(mut url: Url) -> String {
    // Fails for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_fragment(None);
    excerpt(url.as_str(), LONGEST)
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.asked)?;
        self.answered.iter().try_for_each(|answered| write!(f, " (redirected to {answered})"))
    }
}

#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// 404 or 410.
    #[error("{url}: not found")]
    NotFound { url: Address },
    /// Rate limited.
    #[error("{url}: too many requests{}{}", until_text(*until), advice(*had_token))]
    RateLimited {
        url: Address,
        /// Start of the next allowed request.
        until: Option<Timestamp>,
        had_token: bool,
    },
    /// An organization on GitHub refuses a token that its SAML single sign-on has not authorized.
    #[error("{url}: the organization requires SAML single sign-on, for which the token is not authorized{}", place_text(at.as_deref()))]
    SingleSignOn {
        url: Address,
        /// The page that authorizes it.
        at: Option<String>,
    },
    #[error("{url}: the server says {}{}", status_text(*status), until_text(*until))]
    Status {
        url: Address,
        status: u16,
        /// Earliest time for another request.
        until: Option<Timestamp>,
    },
    #[error("{url}: the host cannot be reached: {why}")]
    Unreachable {
        url: Address,
        why: String,
        /// Whether enough attempts have been made.
        is_final: bool,
    },
    /// The TLS handshake failed.
    #[error("{url}: the TLS connection failed: {why}")]
    Untrusted { url: Address, why: String },
    /// The URL or a redirect target violates a rule of [`check_scheme`](super::check_scheme) and others.
    #[error("{url}: refused: {why}")]
    Insecure { url: Address, why: &'static str },
    #[error("{url}: gave up after {most} redirects")]
    RedirectLoop { url: Address, most: u32 },
    /// The connection ended early.
    #[error("{url}: the connection was cut: {why}")]
    Cut { url: Address, why: String },
    /// No data within the time limit.
    #[error("{url}: no data for {} s", patience.as_secs_f64())]
    Stalled { url: Address, patience: Duration },
    /// Below the minimum rate, or over the total time limit.
    #[error("{url}: too slow: {why}")]
    TooSlow { url: Address, why: String },
    #[error("{url}: larger than the limit of {limit} bytes")]
    TooLarge { url: Address, limit: u64 },
    /// The response is malformed.
    #[error("{url}: cannot be used: {why}")]
    Malformed { url: Address, why: String },
    /// The client could not be set up.
    #[error("no connection can be made from this machine: {why}")]
    Setup { why: String },
}

fn until_text(until: Option<Timestamp>) -> String {
    until.map_or_else(String::new, |until| format!("; try again after {until:.0}"))
}

fn place_text(at: Option<&str>) -> String {
    at.map_or_else(String::new, |at| format!("; {at} authorizes it"))
}

fn advice(had_token: bool) -> &'static str {
    if had_token { "" } else { "; set GITHUB_TOKEN for a higher limit" }
}

fn status_text(status: u16) -> String {
    StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |status| status.to_string())
}

impl HttpError {
    /// Whether another attempt may succeed.
    pub const fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { is_final, .. } => !*is_final,
            Self::Cut { .. } | Self::Stalled { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500 | 502 | 503 | 504),
            _ => false,
        }
    }

    pub(super) fn malformed(url: Address, why: impl Into<String>) -> Self {
        Self::Malformed { url, why: why.into() }
    }

    pub(super) fn setup(error: &reqwest::Error) -> Self {
        Self::Setup { why: reason(error) }
    }

    /// Drops `reqwest`'s own message, which contains the whole URL.
    pub(super) fn of_request(error: &reqwest::Error, url: Address, stall: Duration) -> Self {
        let why = reason(error);
        if causes(error).any(is_tls) {
            Self::Untrusted { url, why }
        } else if error.is_connect() {
            Self::Unreachable { url, why, is_final: false }
        } else if error.is_timeout() {
            Self::Stalled { url, patience: stall }
        } else if error.is_builder() {
            Self::malformed(url, why)
        } else {
            Self::Cut { url, why }
        }
    }

    /// Recovers the error of a [`Response`](super::Response) body.
    pub fn of_body(error: io::Error, url: &Address) -> Self {
        error.downcast().unwrap_or_else(|error| Self::Cut { url: url.clone(), why: innermost(&error) })
    }
}

/// The error without its URL.
pub(super) fn reason(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| "unknown reason".to_owned(), innermost)
}

fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<rustls::Error>()
}
