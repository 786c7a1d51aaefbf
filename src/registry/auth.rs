//! Authentication (distribution, "Token Authentication").
//!
//! A password is sent only to the registry itself, or over TLS to its token service within the same domain
//! (`auth.docker.io` for `registry-1.docker.io`). Any other token service is asked anonymously. A redirect
//! never takes a password to another host.

use serde::Deserialize;
use url::{Host, Url};

use super::Credentials;
use super::challenge::Challenge;
use super::{AttemptError, RepositoryClient, is_loopback};
use crate::http::{Request, Response, Token};
use crate::oci::OciError;
use crate::oci::sanitized;

/// In bytes; a token takes a few thousand.
const LONGEST_TOKEN: u64 = 1 << 20;

/// A token response (distribution, "Token Response Fields").
#[derive(Deserialize)]
struct TokenResponse {
    token: Option<String>,
    access_token: Option<String>,
}

impl RepositoryClient {
    /// Obtains the token that the challenge asks for.
    pub(super) fn prove(&self, response: &Response) -> Result<Token, OciError> {
        match (Challenge::choose(response.headers("www-authenticate")), &self.credentials) {
            (Some(Challenge::Bearer { realm, service }), _) => self.granted(&realm, service.as_deref()),
            (Some(Challenge::Basic), Credentials::Password { user, password }) => self.basic(user, password),
            (Some(Challenge::Basic), Credentials::IdentityToken(_)) => Err(self.answer(
                "it requires a user name and password, but Docker's configuration has an identity token: log in again with a user name and password".to_owned(),
            )),
            _ => Err(self.may_not(None)),
        }
    }

    fn basic(&self, user: &str, password: &str) -> Result<Token, OciError> {
        let token = Token::of_password(user, password);
        token.map_err(|_| self.answer("its user name or password contains invalid characters".to_owned()))
    }

    /// Requests a token from `realm` (distribution, "Requesting a Token").
    fn granted(&self, realm: &str, service: Option<&str>) -> Result<Token, OciError> {
        let mut url = Url::parse(realm)
            .map_err(|_| self.answer(format!("its token service {} is not a URL", sanitized(realm))))?;
        if self.root.scheme() == "https" && url.scheme() != "https" {
            return Err(self.answer("its token service does not use HTTPS".to_owned()));
        }
        let is_trusted = is_one_site(&self.root, &url);
        if !is_trusted && !matches!(self.credentials, Credentials::Anonymous) {
            self.withheld.get_or_init(|| sanitized(url.host_str().unwrap_or_default()));
        }
        let token = match &self.credentials {
            Credentials::IdentityToken(secret) if is_trusted => {
                let scope = self.scopes.join(" ");
                let pairs = [
                    ("grant_type", "refresh_token"),
                    ("service", service.unwrap_or(&self.host)),
                    ("client_id", "bake"),
                    ("scope", &scope),
                    ("refresh_token", secret),
                ];
                self.token_of(|| Request::form(url.clone(), &pairs))?
            }
            credentials => {
                let password = match credentials {
                    Credentials::Password { user, password } if is_trusted => {
                        Some(self.basic(user, password)?)
                    }
                    _ => None,
                };
                url.query_pairs_mut()
                    .extend_pairs(service.map(|service| ("service", service)))
                    .extend_pairs(self.scopes.iter().map(|scope| ("scope", scope)));
                self.token_of(|| Request::new(url.clone()).token(password.as_ref()))?
            }
        };
        token.ok_or_else(|| self.may_not(None))
    }

    /// `None` if the token service refuses.
    fn token_of(&self, request: impl Fn() -> Request<'static>) -> Result<Option<Token>, OciError> {
        self.with_retries(|| {
            let mut response = self.client.send(request())?;
            match response.status() {
                200 => {}
                408 | 429 | 500 | 502..=504 => return Err(AttemptError::Net(response.refusal())),
                // Its message is dropped: it may echo the request.
                400..=499 => return Ok(None),
                status => {
                    let why = format!("HTTP {status} from its token service");
                    return Err(AttemptError::Final(self.answer(why)));
                }
            }
            let body = response.document(LONGEST_TOKEN)?;
            let granted: Option<TokenResponse> = serde_json::from_slice(&body).ok();
            let token = granted.and_then(|granted| granted.token.or(granted.access_token));
            let token = token.and_then(|token| token.parse().ok());
            let why = || self.answer("its token service returned no usable token".to_owned());
            token.map(Some).ok_or_else(|| AttemptError::Final(why()))
        })
    }
}

/// Whether both hosts are equal or share a domain of at least two labels. An address and a name never
/// match.
fn is_one_site(registry: &Url, service: &Url) -> bool {
    if registry.host() == service.host() || is_loopback(registry) && is_loopback(service) {
        return true;
    }
    let (Some(Host::Domain(registry)), Some(Host::Domain(service))) = (registry.host(), service.host())
    else {
        return false;
    };
    let site = |host: &str| -> Vec<String> { host.rsplit('.').take(2).map(str::to_owned).collect() };
    let (registry, service) = (site(registry), site(service));
    registry.len() == 2 && registry == service
}

#[cfg(test)]
mod tests {
    use super::is_one_site;

    #[test]
    fn a_password_stays_within_a_domain() {
        let is_one = |a: &str, b: &str| {
            let url = |host: &str| format!("https://{host}/").parse().expect("a URL");
            is_one_site(&url(a), &url(b))
        };
        for (registry, service) in [
            ("ghcr.io", "ghcr.io"),
            ("registry-1.docker.io", "auth.docker.io"),
            ("registry.gitlab.com", "gitlab.com"),
            ("us-central1-docker.pkg.dev", "us-central1-docker.pkg.dev"),
            ("127.0.0.1:5000", "127.0.0.1:5001"),
            ("localhost:5000", "[::1]:5001"),
            ("10.0.0.1:5000", "10.0.0.1"),
        ] {
            assert!(is_one(registry, service), "{registry} {service}");
        }
        for (registry, service) in [
            ("reg.test", "tok.test"),
            ("ghcr.io", "ghcr.io.example.org"),
            ("docker.io", "docker.io.evil.io"),
            ("10.0.0.1", "10.9.0.1"),
            ("example.org", "127.0.0.1"),
            ("registry", "evil"),
            ("127.0.0.1", "example.org"),
        ] {
            assert!(!is_one(registry, service), "{registry} {service}");
        }
    }
}
