//! A registry client for reading and writing (distribution-spec).
//!
//! This module authenticates and retries requests, and maps refusals to errors; [`pull`] and [`push`] send
//! them. [`auth`] decides where a password may go.

mod auth;
mod challenge;
mod credentials;
mod pull;
pub mod push;
mod source;
mod tags;

use std::io;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use serde::Deserialize;
use url::{Host, Url};

use crate::http::{self, Client, Request, Response, SendError, Token};
use crate::oci::OciError;
use crate::oci::sanitized;
use crate::project::values::ImageRef;
use crate::text::innermost;

pub use credentials::Credentials;
pub use pull::{Registry, ResolvedImage, resolve};
pub use source::ImageSource;

/// Limit for an error response, in bytes.
const LONGEST_REFUSAL: u64 = 64 << 10;

/// Why an attempt failed.
enum AttemptError {
    /// The network, or a transient status.
    Net(http::HttpError),
    /// Authentication is required.
    Challenged(Box<Response>),
    /// The body to send could not be read or verified.
    Content(io::Error),
    /// Retrying is pointless.
    Final(OciError),
}

impl From<http::HttpError> for AttemptError {
    fn from(error: http::HttpError) -> Self {
        Self::Net(error)
    }
}

impl From<SendError> for AttemptError {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Net(error) => Self::Net(error),
            SendError::Content(error) => Self::Content(error),
        }
    }
}

impl From<OciError> for AttemptError {
    fn from(error: OciError) -> Self {
        Self::Final(error)
    }
}

/// An error response (distribution-spec, "Error Codes").
#[derive(Deserialize)]
struct RegistryErrorBody {
    errors: Vec<RegistryErrorDetail>,
}

#[derive(Deserialize)]
struct RegistryErrorDetail {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Access {
    Pull,
    Push,
}

/// A repository in a registry. Like container runtimes, uses plain HTTP for loopback and HTTPS for
/// everything else.
struct RepositoryClient {
    client: Client,
    image: String,
    host: String,
    root: Url,
    credentials: Credentials,
    access: Access,
    /// The scopes to request (distribution, "Token Scope Documentation").
    scopes: Vec<String>,
    token: Mutex<Option<Token>>,
    /// The token service that was denied the login.
    withheld: OnceLock<String>,
}

impl RepositoryClient {
    /// `from` is a repository of the same registry to mount blobs from. Sends nothing.
    fn new(
        client: &Client,
        image: &ImageRef,
        credentials: &Credentials,
        access: Access,
        from: Option<&str>,
    ) -> Result<Self, OciError> {
        let host = image.registry();
        let is_hub = matches!(host, "docker.io" | "index.docker.io");
        let api = if is_hub { "registry-1.docker.io" } else { host };
        // Docker's official images have a one-part name in references and a two-part name in the registry.
        let full = |name: &str| {
            if is_hub && !name.contains('/') { format!("library/{name}") } else { name.to_owned() }
        };
        let name = full(image.name());
        let parsed = Url::parse(&format!("https://{api}/v2/{name}/"));
        let mut root = parsed.map_err(|error| OciError::Answer {
            image: image.to_string(),
            registry: host.to_owned(),
            why: error.to_string(),
        })?;
        if is_loopback(&root) {
            // The default port depends on the scheme.
            let http = Url::parse(&format!("http://{api}/v2/{name}/"));
            root = http.unwrap_or(root);
        }
        let actions = if access == Access::Push { "pull,push" } else { "pull" };
        let mut scopes = vec![format!("repository:{name}:{actions}")];
        scopes.extend(from.map(|from| format!("repository:{}:pull", full(from))));
        Ok(Self {
            client: client.clone(),
            image: image.to_string(),
            host: host.to_owned(),
            root,
            credentials: credentials.clone(),
            access,
            scopes,
            token: Mutex::default(),
            withheld: OnceLock::new(),
        })
    }

    /// `path` is relative to the repository and needs no escaping.
    fn url(&self, path: &str) -> Result<Url, AttemptError> {
        self.root.join(path).map_err(|error| AttemptError::Final(self.answer(error.to_string())))
    }

    /// Sends a request; the token is attached only for the registry itself.
    fn ask(&self, url: &Url, request: Request<'_>) -> Result<Response, AttemptError> {
        let token = self.token().clone().filter(|_| self.is_home(url));
        let response = self.client.send(request.token(token.as_ref()))?;
        match response.status() {
            401 if self.is_home(response.url()) => Err(AttemptError::Challenged(Box::new(response))),
            408 | 429 | 500 | 502..=504 => Err(AttemptError::Net(response.refusal())),
            _ => Ok(response),
        }
    }

    fn is_home(&self, url: &Url) -> bool {
        url.origin() == self.root.origin()
    }

    fn token(&self) -> MutexGuard<'_, Option<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, response: Response, what: &str) -> AttemptError {
        AttemptError::Final(self.refusal(response, what))
    }

    fn refusal(&self, mut response: Response, what: &str) -> OciError {
        let status = response.status();
        let body = response.beginning(LONGEST_REFUSAL).unwrap_or_default();
        let said: Option<RegistryErrorBody> = serde_json::from_slice(&body).ok();
        let complaint = said.as_ref().and_then(|said| said.errors.first());
        let code = complaint.map(|complaint| complaint.code.as_str()).unwrap_or_default();
        let words =
            complaint.map(|complaint| sanitized(&format!("{} {}", complaint.code, complaint.message)));
        match (status, code) {
            (401 | 403, _) | (_, "UNAUTHORIZED" | "DENIED") => self.may_not(words.as_deref()),
            (404, "NAME_UNKNOWN") => {
                let what = format!("repository `{}`", self.name());
                OciError::NotFound { image: self.image.clone(), what }
            }
            (404, _) if self.access == Access::Pull => {
                OciError::NotFound { image: self.image.clone(), what: what.to_owned() }
            }
            (404, _) => {
                OciError::NotFound { image: self.image.clone(), what: format!("repository (for {what})") }
            }
            _ => self.answer(match words {
                Some(words) => format!("HTTP {status} to {what}: {words}"),
                None => format!("HTTP {status} to {what}"),
            }),
        }
    }

    fn name(&self) -> &str {
        self.root.path().trim_start_matches("/v2/").trim_end_matches('/')
    }

    /// Retries until success, a permanent failure, or the retry policy is exhausted.
    fn with_retries<T>(&self, mut attempt: impl FnMut() -> Result<T, AttemptError>) -> Result<T, OciError> {
        let (mut pauses, mut tries, mut proved) = (self.client.pauses(), 1, false);
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(AttemptError::Final(error)) => return Err(error),
                Err(AttemptError::Content(source)) => {
                    return Err(OciError::Io { image: self.image.clone(), source });
                }
                Err(AttemptError::Challenged(response)) if proved => return Err(self.refusal(*response, "")),
                Err(AttemptError::Challenged(response)) => {
                    proved = true;
                    let token = self.prove(&response)?;
                    *self.token() = Some(token);
                }
                Err(AttemptError::Net(error)) => {
                    pauses.wait_after(error).map_err(|error| self.explained(error, tries))?;
                    tries += 1;
                }
            }
        }
    }

    fn explained(&self, error: http::HttpError, tries: usize) -> OciError {
        let (image, registry) = (self.image.clone(), self.host.clone());
        let failing =
            |why| OciError::Failing { image: image.clone(), registry: registry.clone(), tries, why };
        match error {
            http::HttpError::Unreachable { why, .. }
            | http::HttpError::Untrusted { why, .. }
            | http::HttpError::Setup { why } => OciError::Unreachable { image, registry, why },
            http::HttpError::Cut { why, .. } => failing(format!("the connection was cut: {why}")),
            http::HttpError::Stalled { patience, .. } => {
                failing(format!("nothing happened for {} s", patience.as_secs_f64()))
            }
            http::HttpError::Status { status, until, .. } => {
                let until = until.map(|until| format!(", retry after {until:.0}"));
                failing(format!("HTTP {status}{}", until.unwrap_or_default()))
            }
            http::HttpError::RateLimited { until, .. } => {
                let until = until.map(|until| format!(" before {until:.0}"));
                failing(format!("too many requests{}", until.unwrap_or_default()))
            }
            error => self.answer(innermost(&error)),
        }
    }

    fn may_not(&self, said: Option<&str>) -> OciError {
        let (image, registry) = (self.image.clone(), self.host.clone());
        let is_anonymous = matches!(self.credentials, Credentials::Anonymous);
        let who = if is_anonymous { "anonymous users" } else { "this login" };
        let said = match self.withheld.get() {
            Some(host) => {
                format!(" (its token service is {host}, on another domain, to which the login is not sent)")
            }
            None => said.map_or_else(String::new, |said| format!(" (it says: {said})")),
        };
        match self.access {
            Access::Pull => OciError::Denied { image, registry, who, said },
            Access::Push => OciError::MayNotPush { image, registry, who, said },
        }
    }

    fn answer(&self, why: String) -> OciError {
        OciError::Answer { image: self.image.clone(), registry: self.host.clone(), why }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
