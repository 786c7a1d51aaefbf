//! The part of HTTP/1.1 that a file server needs, and every fault that a test asks for.

use std::io::{self, Read, Write};
use std::time::{Duration, Instant};

use crate::support::server::Gate;

/// Either end of a connection, encrypted or not.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// GitHub's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// `api.github.com`.
    Api,
    /// `github.com`.
    Web,
    /// The target of download redirects, `release-assets.githubusercontent.com`.
    Objects,
    /// `ghcr.io`.
    Registry,
}

impl Host {
    pub const ALL: [Self; 4] = [Self::Api, Self::Web, Self::Objects, Self::Registry];
}

#[derive(Clone, Debug)]
pub struct Request {
    pub host: Host,
    pub method: String,
    /// Path and query.
    pub target: String,
    headers: Vec<(String, String)>,
    pub at: Instant,
}

impl Request {
    /// Reads the next request; `None` if the client has closed the connection.
    pub fn read(stream: &mut dyn Stream, host: Host) -> io::Result<Option<Self>> {
        let (mut text, mut part) = (Vec::new(), [0; 4096]);
        while !text.ends_with(b"\r\n\r\n") {
            match stream.read(&mut part)? {
                0 => return Ok(None),
                read => text.extend_from_slice(&part[..read]),
            }
        }
        let text = String::from_utf8_lossy(&text);
        let mut lines = text.lines();
        let mut first = lines.next().unwrap_or_default().split(' ').map(str::to_owned);
        let headers = lines.filter_map(|line| line.split_once(": "));
        Ok(Some(Self {
            host,
            method: first.next().unwrap_or_default(),
            target: first.next().unwrap_or_default(),
            headers: headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect(),
            at: Instant::now(),
        }))
    }

    /// The value of a header. `name` is in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// The segments of the path, with the percent-encodings that tags need decoded.
    pub fn parts(&self) -> Vec<String> {
        let parts = self.path().trim_matches('/').split('/');
        parts.map(|part| part.replace("%2F", "/").replace("%2B", "+")).collect()
    }

    /// The value of a query parameter.
    pub fn query(&self, key: &str) -> Option<&str> {
        let (_, query) = self.target.split_once('?')?;
        query.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key).map(|(_, v)| v)
    }
}

/// A fault of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The connection ends after this many bytes of the body.
    Cut(usize),
    /// `Content-Length` differs from the body's length by this much.
    Length(isize),
    /// The connection stays open but silent after this many bytes of the body.
    Stall(usize),
    /// The body arrives in pieces of this size, with a pause after each.
    Slow(usize, Duration),
    /// This status, with GitHub's usual body for it.
    Status(u16),
    /// What an organization with SAML single sign-on answers to a token that it did not authorize.
    Saml,
    /// 429 with this `Retry-After` in seconds.
    TooMany(u64),
    /// The right answer, after the gate opens.
    Held(Gate),
    /// 302 to the same URL.
    Loop,
    /// 302 to this URL.
    Redirect(String),
    /// The right body, gzipped for the transfer.
    Gzip,
    /// Another body with headers that match it.
    Body(Vec<u8>),
    /// A range starts at another byte than requested.
    Whole,
}

#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Sends the answer with its fault. Returns whether the connection can take another request.
    pub fn send(
        &self,
        stream: &mut dyn Stream,
        request: &Request,
        fault: Option<&Fault>,
    ) -> io::Result<bool> {
        if let Some(Fault::Held(gate)) = fault {
            gate.wait();
        }
        let length_sent = match fault {
            Some(Fault::Length(by)) => self.body.len().saturating_add_signed(*by),
            _ => self.body.len(),
        };
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let length = ("content-length", length_sent.to_string());
        // A 304 has neither body nor length.
        let length = Some(&length).filter(|_| self.status != 304);
        for (name, value) in self.headers.iter().chain(length) {
            head.extend([name, ": ", value, "\r\n"]);
        }
        stream.write_all(format!("{head}\r\n").as_bytes())?;
        if request.method == "HEAD" || self.status == 304 {
            stream.flush()?;
            return Ok(true);
        }
        match fault {
            Some(Fault::Cut(length)) => stream.write_all(&self.body[..self.body.len().min(*length)])?,
            Some(Fault::Stall(length)) => {
                stream.write_all(&self.body[..self.body.len().min(*length)])?;
                stream.flush()?;
                // Until the client hangs up.
                let _ = stream.read(&mut [0])?;
            }
            Some(Fault::Slow(size, pause)) => {
                for piece in self.body.chunks(*size) {
                    stream.write_all(piece)?;
                    stream.flush()?;
                    std::thread::sleep(*pause);
                }
            }
            _ => stream.write_all(&self.body)?,
        }
        stream.flush()?;
        Ok(!matches!(fault, Some(Fault::Cut(_) | Fault::Stall(_) | Fault::Length(_))))
    }
}

const fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        301 => "Moved Permanently",
        302 => "Found",
        304 => "Not Modified",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        416 => "Range Not Satisfiable",
        429 => "Too Many Requests",
        500 => "Internal Server Error",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        _ => "",
    }
}
