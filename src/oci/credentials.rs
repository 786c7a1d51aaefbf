//! Who one is to a registry.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};
use serde::Deserialize;

use super::Error;
use super::error::told;
use crate::project::values::ImageRef;

/// A name and a password for a registry, or none. Neither is ever shown.
#[derive(Clone, Default)]
pub enum Credentials {
    /// Nobody in particular, as for every public image.
    #[default]
    Anonymous,
    /// What `docker login` was given, or a credential helper answers.
    Password {
        /// The name.
        user: String,
        /// The password, or a token in its place.
        password: String,
    },
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anonymous => "Anonymous",
            Self::Password { .. } => "Password(…)",
        })
    }
}

impl Credentials {
    /// What `config.json` in Docker's folder (`$DOCKER_CONFIG`, or `~/.docker`) has for the registry
    /// of `image`, in its `auths` or through the credential helper that it names; nobody in
    /// particular where it has nothing.
    ///
    /// # Errors
    /// Where the file cannot be read, or the helper fails for another reason than not knowing the
    /// registry. What the helper printed is not repeated, for it could be a secret.
    pub fn of_docker(folder: &Path, image: &ImageRef) -> Result<Self, Error> {
        const NOT_FOUND: &str = "credentials not found";
        let registry = image.repository().split('/').next().unwrap_or_default();
        let failed = |why: String| Error::Credentials { registry: registry.to_owned(), why };
        let config = match fs::read(folder.join("config.json")) {
            Ok(config) => config,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(Self::Anonymous);
            }
            Err(error) => return Err(failed(error.to_string())),
        };
        // Docker keeps its own registry under the address of the first version of its protocol.
        let server = if matches!(registry, "docker.io" | "index.docker.io") {
            "https://index.docker.io/v1/"
        } else {
            registry
        };
        match get_credential_from_reader(config.as_slice(), server) {
            Ok(DockerCredential::UsernamePassword(user, password)) => Ok(Self::Password { user, password }),
            // An OAuth2 refresh token, which the registry client cannot exchange.
            Ok(DockerCredential::IdentityToken(_)) => Err(failed(
                "they are an identity token, which `bake` cannot use: log in with a name and a password"
                    .to_owned(),
            )),
            Err(CredentialRetrievalError::NoCredentialConfigured) => Ok(Self::Anonymous),
            Err(CredentialRetrievalError::HelperFailure { stdout, stderr, .. })
                if stdout.contains(NOT_FOUND) || stderr.contains(NOT_FOUND) =>
            {
                Ok(Self::Anonymous)
            }
            Err(CredentialRetrievalError::HelperFailure { helper, .. }) => {
                Err(failed(format!("`{helper}` fails; run `echo {server} | {helper} get` to see why")))
            }
            // The crate does not say which helper it was.
            Err(CredentialRetrievalError::HelperCommunicationError) => {
                let helper = helper(&config, server);
                Err(failed(format!(
                    "`{helper}` cannot be run: put the folder that it is in into PATH, or take it out of `config.json` where nobody has to log in"
                )))
            }
            Err(CredentialRetrievalError::MalformedHelperResponse) => {
                let helper = helper(&config, server);
                Err(failed(format!(
                    "what `{helper}` answers is not understood; run `echo {server} | {helper} get` to see it"
                )))
            }
            Err(error) => Err(failed(error.to_string())),
        }
    }
}

/// What of `config.json` names credential helpers.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Helpers {
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

/// The program that `config` names for a registry.
fn helper(config: &[u8], server: &str) -> String {
    let Helpers { creds_store, mut cred_helpers } = serde_json::from_slice(config).unwrap_or_default();
    let own = cred_helpers.remove(server).filter(|helper| !helper.is_empty());
    format!("docker-credential-{}", told(&own.unwrap_or(creds_store)))
}
