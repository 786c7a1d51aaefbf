//! A repository that is written to: each request with whoever asks proved, and tried again where
//! that can help.
//!
//! By hand on the program's own HTTP client, where reading has `oci-client`: that one keeps a
//! registry's `Retry-After` to itself, asks for no token with which a blob could be mounted from a
//! second repository, does not tell of the header `OCI-Subject`, and takes only streams that outlive
//! the images they come from.

use std::cell::RefCell;
use std::io;

use serde::Deserialize;
use url::Url;

use super::challenge::Challenge;
use crate::net::{self, Answer, Client, SendError, Sending, Token};
use crate::oci::error::{innermost, told};
use crate::oci::registry::is_loopback;
use crate::oci::{Credentials, Error};
use crate::project::values::ImageRef;

/// What an attempt did not come to an end for.
pub(super) enum Trouble {
    /// The network, or a status that may pass.
    Net(net::Error),
    /// The registry wants to know who asks.
    Challenged(Box<Answer>),
    /// What was to be sent could not be read, or not be believed.
    Content(io::Error),
    /// It has no sense to try again.
    Final(Error),
}

impl From<net::Error> for Trouble {
    fn from(error: net::Error) -> Self {
        Self::Net(error)
    }
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Final(error)
    }
}

/// What a service for tokens answers (distribution, "Token Response Fields").
#[derive(Deserialize)]
struct Granted {
    token: Option<String>,
    access_token: Option<String>,
}

/// What a registry says is wrong (distribution-spec, "Error Codes").
#[derive(Deserialize)]
struct Envelope {
    errors: Vec<Complaint>,
}

#[derive(Deserialize)]
struct Complaint {
    #[serde(default)]
    code: String,
    #[serde(default)]
    message: String,
}

/// A repository in a registry.
pub(super) struct Repository<'a> {
    client: &'a Client,
    image: String,
    host: String,
    root: Url,
    credentials: &'a Credentials,
    /// What a token must allow (distribution, "Token Scope Documentation").
    scopes: Vec<String>,
    token: RefCell<Option<Token>>,
}

impl<'a> Repository<'a> {
    /// The repository of `image`, and `from`, a repository of the same registry to mount blobs from.
    /// Nobody is asked yet.
    pub(super) fn new(
        client: &'a Client,
        image: &ImageRef,
        credentials: &'a Credentials,
        from: Option<&str>,
    ) -> Result<Self, Error> {
        let (host, name) = (image.registry(), image.name());
        let scheme = if is_loopback(host) { "http" } else { "https" };
        let api = if matches!(host, "docker.io" | "index.docker.io") { "registry-1.docker.io" } else { host };
        let root = Url::parse(&format!("{scheme}://{api}/v2/{name}/")).map_err(|error| Error::Answer {
            image: image.to_string(),
            registry: host.to_owned(),
            why: error.to_string(),
        })?;
        let mut scopes = vec![format!("repository:{name}:pull,push")];
        scopes.extend(from.map(|from| format!("repository:{from}:pull")));
        Ok(Self {
            client,
            image: image.to_string(),
            host: host.to_owned(),
            root,
            credentials,
            scopes,
            token: RefCell::default(),
        })
    }

    /// What is below the repository; `path` holds nothing that would have to be escaped.
    pub(super) fn url(&self, path: &str) -> Result<Url, Trouble> {
        self.root.join(path).map_err(|error| Trouble::Final(self.answer(error.to_string())))
    }

    /// Where an answer says that it goes on.
    pub(super) fn location(&self, answer: &Answer) -> Result<Url, Trouble> {
        let location = answer.header("location").and_then(|location| self.root.join(location).ok());
        location.ok_or_else(|| Trouble::Final(self.answer("it does not say where to upload to".to_owned())))
    }

    /// Sends a request, with the proof of who asks where it goes to the registry itself. What stands
    /// against the content is an error of its own.
    pub(super) fn ask(&self, url: &Url, sending: Sending<'_>) -> Result<Answer, Trouble> {
        let token = self.token.borrow();
        let home = url.origin() == self.root.origin();
        let answer = match self.client.send(sending.token(token.as_ref().filter(|_| home))) {
            Ok(answer) => answer,
            Err(SendError::Net(error)) => return Err(Trouble::Net(error)),
            Err(SendError::Content(error)) => return Err(Trouble::Content(error)),
        };
        match answer.status() {
            401 if home => Err(Trouble::Challenged(Box::new(answer))),
            408 | 429 | 500..=599 => Err(Trouble::Net(answer.refusal())),
            _ => Ok(answer),
        }
    }

    /// What an answer is to somebody who wanted another one.
    pub(super) fn refused(&self, answer: &Answer, what: &str) -> Trouble {
        Trouble::Final(self.refusal(answer, what))
    }

    fn refusal(&self, answer: &Answer, what: &str) -> Error {
        let said: Option<Envelope> = serde_json::from_slice(answer.body()).ok();
        let complaint = said.as_ref().and_then(|said| said.errors.first());
        let words = complaint.map(|complaint| told(&format!("{} {}", complaint.code, complaint.message)));
        match answer.status() {
            401 | 403 => self.may_not(words.as_deref()),
            404 => Error::NotFound { image: self.image.clone(), what: format!("repository (for {what})") },
            status => self.answer(match words {
                Some(words) => format!("HTTP {status} to {what}: {words}"),
                None => format!("HTTP {status} to {what}"),
            }),
        }
    }

    /// Attempts until it works, until trying again cannot help, or until the patience is used up.
    pub(super) fn patiently<T>(&self, mut attempt: impl FnMut() -> Result<T, Trouble>) -> Result<T, Error> {
        let (mut pauses, mut tries, mut proved) = (self.client.pauses(), 1, false);
        loop {
            match attempt() {
                Ok(done) => return Ok(done),
                Err(Trouble::Final(error)) => return Err(error),
                Err(Trouble::Content(source)) => return Err(Error::Io { image: self.image.clone(), source }),
                Err(Trouble::Challenged(answer)) if proved => return Err(self.refusal(&answer, "")),
                Err(Trouble::Challenged(answer)) => {
                    proved = true;
                    *self.token.borrow_mut() = Some(self.prove(&answer)?);
                }
                Err(Trouble::Net(error)) => {
                    pauses.wait_after(error).map_err(|error| self.explained(error, tries))?;
                    tries += 1;
                }
            }
        }
    }

    /// Gets what the registry wants for a proof.
    fn prove(&self, answer: &Answer) -> Result<Token, Error> {
        let challenge = answer.headers("www-authenticate").find_map(Challenge::read);
        let password = match self.credentials {
            Credentials::Anonymous => None,
            Credentials::Password { user, password } => Some(
                Token::of_password(user, password)
                    .map_err(|_| self.answer("its name or password cannot be sent".to_owned()))?,
            ),
        };
        match challenge {
            Some(Challenge::Basic) => password.ok_or_else(|| self.may_not(None)),
            Some(Challenge::Bearer { realm, service }) => {
                self.token(&realm, service.as_deref(), password.as_ref())
            }
            None => Err(self.may_not(None)),
        }
    }

    /// A token of the service at `realm` (distribution, "Requesting a Token").
    fn token(&self, realm: &str, service: Option<&str>, password: Option<&Token>) -> Result<Token, Error> {
        let mut url = Url::parse(realm)
            .map_err(|_| self.answer(format!("it asks for a token of {}, which is no URL", told(realm))))?;
        if self.root.scheme() == "https" && url.scheme() != "https" {
            return Err(self.answer("it asks for a token of a service without encryption".to_owned()));
        }
        url.query_pairs_mut()
            .extend_pairs(service.map(|service| ("service", service)))
            .extend_pairs(self.scopes.iter().map(|scope| ("scope", scope)));
        let (mut pauses, mut tries) = (self.client.pauses(), 1);
        let answer = loop {
            let error = match self.client.send(Sending::get(url.clone()).token(password)) {
                Ok(answer) if matches!(answer.status(), 408 | 429 | 500..=599) => answer.refusal(),
                Ok(answer) => break answer,
                Err(SendError::Net(error)) => error,
                Err(SendError::Content(source)) => {
                    return Err(Error::Io { image: self.image.clone(), source });
                }
            };
            pauses.wait_after(error).map_err(|error| self.explained(error, tries))?;
            tries += 1;
        };
        if answer.status() != 200 {
            // What it says stays untold: it may repeat what it was sent.
            return Err(self.may_not(None));
        }
        let granted: Option<Granted> = serde_json::from_slice(answer.body()).ok();
        let token = granted.and_then(|granted| granted.token.or(granted.access_token));
        let token = token.and_then(|token| token.parse().ok());
        token.ok_or_else(|| self.answer("its service for tokens gave none that could be used".to_owned()))
    }

    fn explained(&self, error: net::Error, tries: usize) -> Error {
        let (image, registry) = (self.image.clone(), self.host.clone());
        match error {
            net::Error::Unreachable { why, .. }
            | net::Error::Untrusted { why, .. }
            | net::Error::Setup { why } => Error::Unreachable { image, registry, why },
            net::Error::Cut { why, .. } => {
                Error::Failing { image, registry, tries, why: format!("the connection was cut: {why}") }
            }
            net::Error::Stalled { patience, .. } => {
                let why = format!("nothing happened for {} s", patience.as_secs_f64());
                Error::Failing { image, registry, tries, why }
            }
            net::Error::Status { status, until, .. } => {
                let until = until.map(|until| format!(", and wants to be asked after {until:.0}"));
                let why = format!("HTTP {status}{}", until.unwrap_or_default());
                Error::Failing { image, registry, tries, why }
            }
            error => self.answer(innermost(&error)),
        }
    }

    fn may_not(&self, said: Option<&str>) -> Error {
        Error::MayNotPush {
            image: self.image.clone(),
            registry: self.host.clone(),
            who: if matches!(self.credentials, Credentials::Anonymous) {
                "just anybody"
            } else {
                "this login"
            },
            said: said.map_or_else(String::new, |said| format!(" (it says: {said})")),
        }
    }

    pub(super) fn answer(&self, why: String) -> Error {
        Error::Answer { image: self.image.clone(), registry: self.host.clone(), why }
    }
}
