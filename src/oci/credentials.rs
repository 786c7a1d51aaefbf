//! Who one is to a registry.

use std::fmt;
use std::fs::File;
use std::io::{BufReader, ErrorKind};
use std::path::Path;

use docker_credential::{CredentialRetrievalError, DockerCredential, get_credential_from_reader};

use super::Error;
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
        let file = match File::open(folder.join("config.json")) {
            Ok(file) => file,
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
        match get_credential_from_reader(BufReader::new(file), server) {
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
            Err(error) => Err(failed(error.to_string())),
        }
    }
}
