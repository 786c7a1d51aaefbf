//! Why a document could not be had. Each error names the URL, without anything secret in it.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use url::Url;

use crate::text::{causes, excerpt, innermost};

/// A URL as messages show it: the one that was asked for and, after redirects, the one that
/// answered. Passwords are left out, and so is the query of a redirect's target, which signs it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    asked: String,
    answered: Option<String>,
}

impl Address {
    /// The URL `asked`, and where redirects led from it.
    pub fn new(asked: &Url, answered: Option<&Url>) -> Self {
        let answered = answered.map(|url| {
            let mut url = url.clone();
            url.set_query(None);
            shown(url)
        });
        Self { asked: shown(asked.clone()), answered }
    }
}

/// What is shown of a URL, in characters; a server can redirect to one of any length.
const LONGEST: usize = 400;

fn shown(mut url: Url) -> String {
    // Both fail where a URL can have neither.
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

/// Why a document could not be had.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Nothing is there (404 or 410).
    #[error("{url}: not found")]
    NotFound {
        /// What was asked for.
        url: Address,
    },
    /// The server counts requests, and there were too many.
    #[error("{url}: too many requests{}{}", until_text(*until), advice(*had_token))]
    RateLimited {
        /// What was asked for.
        url: Address,
        /// From when on it would answer.
        until: Option<Timestamp>,
        /// Whether a token was sent.
        had_token: bool,
    },
    /// Any other status.
    #[error("{url}: the server says {}{}", status_text(*status), until_text(*until))]
    Status {
        /// What was asked for.
        url: Address,
        /// The status.
        status: u16,
        /// Until when it wants to be left alone.
        until: Option<Timestamp>,
    },
    /// There is no way to the host.
    #[error("{url}: the host cannot be reached: {why}")]
    Unreachable {
        /// What was asked for.
        url: Address,
        /// The operating system's reason.
        why: String,
        /// Whether it was tried often enough.
        is_final: bool,
    },
    /// The host cannot prove who it is, or speaks no TLS that is known here.
    #[error("{url}: no encrypted connection: {why}")]
    Untrusted {
        /// What was asked for.
        url: Address,
        /// The reason.
        why: String,
    },
    /// The URL, or one that it redirects to, is refused.
    #[error("{url}: refused: {why}")]
    Insecure {
        /// What was asked for.
        url: Address,
        /// The rule.
        why: &'static str,
    },
    /// Redirects without an end.
    #[error("{url}: gave up after {most} redirects")]
    RedirectLoop {
        /// What was asked for.
        url: Address,
        /// How many are followed.
        most: u32,
    },
    /// The connection ended too early.
    #[error("{url}: the connection was cut: {why}")]
    Cut {
        /// What was asked for.
        url: Address,
        /// The reason.
        why: String,
    },
    /// Nothing came for too long.
    #[error("{url}: nothing came for {} s", patience.as_secs_f64())]
    Stalled {
        /// What was asked for.
        url: Address,
        /// How long that was.
        patience: Duration,
    },
    /// Something came all the time, and too little.
    #[error("{url}: too slow: {why}")]
    TooSlow {
        /// What was asked for.
        url: Address,
        /// How much came, or how long it took.
        why: String,
    },
    /// It is larger than anybody should need.
    #[error("{url}: larger than the limit of {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: Address,
        /// The limit, in bytes.
        limit: u64,
    },
    /// The answer makes no sense.
    #[error("{url}: cannot be used: {why}")]
    Malformed {
        /// What was asked for.
        url: Address,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing can be asked from here.
    #[error("no connection can be made from this machine: {why}")]
    Setup {
        /// The reason.
        why: String,
    },
}

fn until_text(until: Option<Timestamp>) -> String {
    until.map_or_else(String::new, |until| format!("; try again after {until:.0}"))
}

fn advice(had_token: bool) -> &'static str {
    if had_token { "" } else { "; set GITHUB_TOKEN for a higher limit" }
}

fn status_text(status: u16) -> String {
    StatusCode::from_u16(status).map_or_else(|_| status.to_string(), |status| status.to_string())
}

impl HttpError {
    /// Whether another attempt could go better.
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

    /// Why no answer came. `reqwest`'s own words would hold the whole URL.
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

    /// Why a [`Response`](super::Response) could not be read on.
    pub fn of_body(error: io::Error, url: &Address) -> Self {
        error.downcast().unwrap_or_else(|error| Self::Cut { url: url.clone(), why: innermost(&error) })
    }
}

/// Why a request failed. The error itself would repeat the whole URL.
pub(super) fn reason(error: &reqwest::Error) -> String {
    error.source().map_or_else(|| "no reason is known".to_owned(), innermost)
}

fn is_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<rustls::Error>()
}
