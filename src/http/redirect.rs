//! Redirect rules: HTTPS only, a bounded number of hops, and no token for another origin.

use reqwest::blocking;
use reqwest::header::LOCATION;
use url::{Host, Url};

use super::error::{Address, HttpError};

const MOST: u32 = 10;

/// The redirects of one attempt.
pub(super) struct RedirectChain {
    asked: Url,
    at: Url,
    followed: u32,
    /// Whether every hop so far stayed on the original origin. A server that redirects away cannot obtain
    /// the token for a path of its choice by redirecting back.
    at_home: bool,
    confined: bool,
    /// Set while every redirect so far was permanent.
    moved: Option<Url>,
    permanent: bool,
}

impl RedirectChain {
    /// `confined` forbids leaving the origin of `url`.
    pub(super) fn new(url: &Url, confined: bool) -> Result<Self, HttpError> {
        let this = Self {
            asked: url.clone(),
            at: url.clone(),
            followed: 0,
            at_home: true,
            confined,
            moved: None,
            permanent: true,
        };
        match check_scheme(url) {
            Some(why) => Err(HttpError::Insecure { url: this.address(), why }),
            None => Ok(this),
        }
    }

    pub(super) const fn url(&self) -> &Url {
        &self.at
    }

    /// Whether the token may be sent.
    pub(super) const fn at_home(&self) -> bool {
        self.at_home
    }

    /// The permanent new location.
    pub(super) const fn moved(&self) -> Option<&Url> {
        self.moved.as_ref()
    }

    /// Host and port of the current URL.
    pub(super) fn authority(&self) -> String {
        let port = self.at.port_or_known_default().unwrap_or_default();
        format!("{}:{port}", self.at.host_str().unwrap_or_default())
    }

    pub(super) fn address(&self) -> Address {
        Address::new(&self.asked, (self.followed > 0).then_some(&self.at))
    }

    pub(super) fn follow(&mut self, answer: &blocking::Response) -> Result<(), HttpError> {
        let Some(location) = answer.headers().get(LOCATION) else {
            return Err(HttpError::malformed(self.address(), "it redirects without a Location header"));
        };
        let next = location.to_str().ok().and_then(|location| self.at.join(location).ok());
        let Some(mut next) = next else {
            return Err(HttpError::malformed(self.address(), "it redirects to an invalid URL"));
        };
        next.set_fragment(None);
        let encrypted = self.at.scheme() == "https";
        self.at_home &= next.origin() == self.asked.origin();
        self.permanent &= matches!(answer.status().as_u16(), 301 | 308);
        if self.permanent {
            self.moved = Some(next.clone());
        }
        self.at = next;
        self.followed += 1;
        if self.followed > MOST {
            return Err(HttpError::RedirectLoop { url: self.address(), most: MOST });
        }
        let why = if encrypted && self.at.scheme() == "http" {
            Some("it redirects from https to plain http")
        } else if self.confined && !self.at_home {
            Some("it redirects a request with a secret to another host")
        } else {
            check_scheme(&self.at)
        };
        why.map_or(Ok(()), |why| Err(HttpError::Insecure { url: self.address(), why }))
    }
}

/// The reason not to request `url`: plain HTTP is allowed for loopback only.
pub fn check_scheme(url: &Url) -> Option<&'static str> {
    if !url.username().is_empty() || url.password().is_some() {
        return Some("it contains a user name or password");
    }
    match url.scheme() {
        "https" => None,
        "http" if is_loopback(url) => None,
        "http" => Some("plain http is only allowed for this machine: use https"),
        _ => Some("it is neither https nor http"),
    }
}

pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::check_scheme;

    #[test]
    fn plain_http_is_for_loopback_only() {
        for fine in [
            "https://example.org/",
            "http://localhost:1/",
            "http://127.0.0.1/",
            "http://127.255.0.1/",
            "http://[::1]:1/",
        ] {
            assert_eq!(check_scheme(&fine.parse().expect("a URL")), None, "{fine}");
        }
        for wrong in [
            "http://example.org/",
            "http://127.0.0.1.example.org/",
            "http://localhost.example.org/",
            "http://[::ffff:10.0.0.1]/",
            "http://128.0.0.1/",
            "ftp://example.org/",
            "file:///etc/passwd",
            "https://user@example.org/",
            "https://user:password@example.org/",
            "http://127.0.0.1@example.org/",
        ] {
            assert!(check_scheme(&wrong.parse().expect("a URL")).is_some(), "{wrong}");
        }
    }
}
