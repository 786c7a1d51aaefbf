//! What a registry says: the only file that names the registry client.
//!
//! The client is asynchronous; here it runs on one thread, and waits. Its answers are tried again
//! with growing pauses where that can help, and its errors become ones that name the reference and
//! say what to do.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};
use std::net::IpAddr;
use std::time::Duration;

use futures_util::StreamExt;
use oci_client::client::{BlobResponse, Client, ClientConfig, ClientProtocol, SizedStream};
use oci_client::errors::{DigestError, OciDistributionError, OciErrorCode};
use oci_client::secrets::RegistryAuth;
use oci_client::{Reference, RegistryOperation};
use oci_spec::image::Descriptor;
use tokio::runtime::{Builder, Runtime};

use super::error::{innermost, told};
use super::image::{self, Blobs, Image, Images, Layer, builds};
use super::manifest::{ACCEPTED, Manifest, arch_of_config, digest_of, listed};
use super::{Credentials, Error};
use crate::digest::Sha256;
use crate::project::values::{Arch, ImageRef};

/// How long a connection may take, and how long a registry may be silent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// The pauses between tries. The client keeps a registry's `Retry-After` to itself, so they are
/// the same whatever it asks for.
const PAUSES: [Duration; 5] = [
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// An attempt that brought as much of a blob as this was no failure, in bytes.
const PROGRESS: u64 = 1 << 20;

/// What a reference stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The digest of the index, or of the manifest where there is no index.
    pub digest: Sha256,
    /// The manifest of each architecture that `bake` knows.
    pub platforms: BTreeMap<Arch, Sha256>,
    /// The media type of what `digest` is the digest of.
    pub media_type: String,
}

/// Asks the registry what `image` stands for.
///
/// Where the reference holds a digest, that one is asked for, and the tag beside it not looked at.
///
/// # Errors
/// See [`Error`]; also where none of the architectures that `bake` knows is there.
pub fn resolve(image: &ImageRef, credentials: &Credentials) -> Result<Resolved, Error> {
    Registry::connect(image, credentials)?.resolve()
}

/// A repository in a registry, and one reference into it.
///
/// Loopback is spoken to in plain HTTP, as container runtimes do; everything else in HTTPS.
/// Redirects, as registries use them for blobs, are followed by the client, without the token where
/// they lead to another host.
pub struct Registry {
    name: String,
    host: String,
    reference: Reference,
    auth: RegistryAuth,
    client: Client,
    runtime: Runtime,
}

impl Registry {
    /// Introduces itself to the registry of `image`, in the way that the registry asks for: not at
    /// all, with a token for pulling from this repository, or with name and password.
    ///
    /// # Errors
    /// Where the registry cannot be reached, or refuses.
    pub fn connect(image: &ImageRef, credentials: &Credentials) -> Result<Self, Error> {
        let name = image.to_string();
        let unusable = |why: String| Error::Answer {
            image: image.to_string(),
            registry: image.repository().split('/').next().unwrap_or_default().to_owned(),
            why,
        };
        let reference: Reference = name.parse().map_err(|error| unusable(format!("{error}")))?;
        let host = reference.resolve_registry().to_owned();
        // An error says that there is one already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = ClientConfig {
            protocol: ClientProtocol::HttpsExcept(
                Some(host.clone()).filter(|host| is_loopback(host)).into_iter().collect(),
            ),
            connect_timeout: Some(CONNECT_TIMEOUT),
            read_timeout: Some(READ_TIMEOUT),
            user_agent: concat!("bake/", env!("CARGO_PKG_VERSION")),
            ..ClientConfig::default()
        };
        let client = Client::try_from(config).map_err(|error| unusable(innermost(&error)))?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Io { image: name.clone(), source })?;
        let auth = match credentials {
            Credentials::Anonymous => RegistryAuth::Anonymous,
            Credentials::Password { user, password } => RegistryAuth::Basic(user.clone(), password.clone()),
        };
        let registry = Self { name, host, reference, auth, client, runtime };
        registry.patiently("registry", || {
            registry.client.auth(&registry.reference, &registry.auth, RegistryOperation::Pull)
        })?;
        Ok(registry)
    }

    /// What the reference stands for; see [`resolve`].
    ///
    /// # Errors
    /// As there.
    pub fn resolve(&self) -> Result<Resolved, Error> {
        let (digest, manifest, media_type) = self.root()?;
        let platforms = match &manifest {
            Manifest::Index(index) => {
                let mut platforms = BTreeMap::new();
                for (arch, descriptor) in builds(self, index.manifests())? {
                    platforms.insert(arch, digest_of(&descriptor).map_err(|why| self.not_an_image(why))?);
                }
                platforms
            }
            Manifest::Image(manifest) => {
                let arch = arch_of_config(&image::config(self, manifest)?.0);
                arch.map(|arch| (arch, digest)).into_iter().collect()
            }
        };
        if platforms.is_empty() {
            return Err(self.not_an_image(listed(&platforms)));
        }
        Ok(Resolved { digest, platforms, media_type })
    }

    /// The document that the reference stands for.
    fn root(&self) -> Result<(Sha256, Manifest, String), Error> {
        let bytes = self.document(&self.reference)?;
        let (manifest, media_type) = Manifest::read(&bytes).map_err(|why| self.not_an_image(why))?;
        Ok((Sha256::of(&bytes), manifest, media_type))
    }

    /// A manifest as the registry has it. The client holds its bytes against the digest of the
    /// reference and that of the header `Docker-Content-Digest`, where there are such. It takes them
    /// in whole, however many a registry sends.
    fn document(&self, reference: &Reference) -> Result<Vec<u8>, Error> {
        let what = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => format!("manifest {digest}"),
            (None, tag) => format!("tag `{}`", tag.unwrap_or("latest")),
        };
        let (bytes, _) =
            self.patiently(&what, || self.client.pull_manifest_raw(reference, &self.auth, &ACCEPTED))?;
        Ok(bytes.into())
    }

    /// A blob from `offset` on; where the registry cannot begin there, from its beginning.
    fn stream(&self, digest: &str, offset: u64) -> Result<BlobResponse, Error> {
        let what = format!("blob {digest}");
        self.patiently(&what, || self.client.pull_blob_stream_partial(&self.reference, digest, offset, None))
    }

    /// Calls until it works, until trying again cannot help, or until the pauses are used up.
    fn patiently<T, F: Future<Output = Result<T, OciDistributionError>>>(
        &self,
        what: &str,
        call: impl Fn() -> F,
    ) -> Result<T, Error> {
        let mut pauses = PAUSES.iter();
        loop {
            match self.runtime.block_on(call()) {
                Ok(answer) => return Ok(answer),
                Err(error) if passes(&error) => match pauses.next() {
                    Some(pause) => std::thread::sleep(*pause),
                    None => return Err(self.explained(error, what)),
                },
                Err(error) => return Err(self.explained(error, what)),
            }
        }
    }

    /// The client's error in words that help.
    fn explained(&self, error: OciDistributionError, what: &str) -> Error {
        let (image, registry) = (self.name.clone(), self.host.clone());
        let tries = PAUSES.len() + 1;
        match error {
            OciDistributionError::ServerError { code: 404, .. } => {
                Error::NotFound { image, what: what.to_owned() }
            }
            OciDistributionError::ServerError { code: 401 | 403, .. }
            | OciDistributionError::UnauthorizedError { .. } => self.denied(""),
            OciDistributionError::AuthenticationFailure(said) => self.denied(&said),
            OciDistributionError::ServerError { code, .. } if is_passing(code) => {
                Error::Failing { image, registry, tries, why: format!("HTTP {code}") }
            }
            OciDistributionError::ServerError { code, .. } => {
                Error::Answer { image, registry, why: format!("HTTP {code}") }
            }
            OciDistributionError::RegistryError { envelope, .. } => {
                let said = envelope.errors.first().map(|error| told(&error.message)).unwrap_or_default();
                match envelope.errors.first().map(|error| &error.code) {
                    Some(
                        OciErrorCode::ManifestUnknown
                        | OciErrorCode::ManifestBlobUnknown
                        | OciErrorCode::BlobUnknown
                        | OciErrorCode::NotFound,
                    ) => Error::NotFound { image, what: what.to_owned() },
                    Some(OciErrorCode::NameUnknown) => Error::NotFound {
                        image,
                        what: format!("repository `{}`", self.reference.repository()),
                    },
                    Some(OciErrorCode::Unauthorized | OciErrorCode::Denied) => self.denied(&said),
                    Some(OciErrorCode::Toomanyrequests) => {
                        Error::Failing { image, registry, tries, why: format!("too many requests: {said}") }
                    }
                    _ => Error::Answer { image, registry, why: said },
                }
            }
            OciDistributionError::DigestError(DigestError::VerificationError { expected, actual }) => {
                Error::Mismatch { image, what: format!("the {what}"), expected, found: actual }
            }
            OciDistributionError::RequestError(error) => {
                Error::Unreachable { image, registry, why: innermost(&error) }
            }
            error => Error::Answer { image, registry, why: innermost(&error) },
        }
    }

    fn denied(&self, said: &str) -> Error {
        Error::Denied {
            image: self.name.clone(),
            registry: self.host.clone(),
            who: if self.auth == RegistryAuth::Anonymous { "just anybody" } else { "this login" },
            said: if said.is_empty() { String::new() } else { format!(" (it says: {})", told(said)) },
        }
    }

    fn not_an_image(&self, why: String) -> Error {
        Error::NotAnImage { image: self.name.clone(), why }
    }
}

/// Whether a registry is on this machine, so that nobody can listen in.
pub(super) fn is_loopback(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name == "localhost" || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Whether trying again can help: timeouts, connections that broke, 429 and 5xx. What a service
/// for tokens refuses comes without its status, and counts as refused.
fn passes(error: &OciDistributionError) -> bool {
    match error {
        OciDistributionError::RequestError(error) => {
            error.is_timeout() || !(error.is_connect() || error.is_redirect() || error.is_builder())
        }
        OciDistributionError::ServerError { code, .. } => is_passing(*code),
        OciDistributionError::RegistryError { envelope, .. } => {
            envelope.errors.iter().any(|error| error.code == OciErrorCode::Toomanyrequests)
        }
        _ => false,
    }
}

fn is_passing(status: u16) -> bool {
    matches!(status, 429 | 500..=599)
}

impl Blobs for Registry {
    fn manifest(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        let reference = self.reference.clone_with_digest(descriptor.digest().to_string());
        Ok(Box::new(Cursor::new(self.document(&reference)?)))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, Error> {
        Ok(Box::new(Blob::open(self, descriptor.digest().to_string())?))
    }

    fn failed(&self, error: io::Error) -> Error {
        error.downcast::<Error>().unwrap_or_else(|error| Error::Unreachable {
            image: self.name.clone(),
            registry: self.host.clone(),
            why: innermost(&error),
        })
    }
}

impl Images for Registry {
    fn name(&self) -> &str {
        &self.name
    }

    fn image(&self, arch: Arch) -> Result<Image, Error> {
        let (_, manifest, _) = self.root()?;
        match manifest {
            Manifest::Image(manifest) => image::image(self, arch, &manifest),
            Manifest::Index(index) => image::build(self, arch, &builds(self, index.manifests())?),
        }
    }

    fn layer(&self, layer: &Layer) -> Result<Box<dyn Read + '_>, Error> {
        image::layer(self, layer)
    }
}

/// A blob on its way. A connection that breaks is taken up again where it broke.
struct Blob<'a> {
    registry: &'a Registry,
    digest: String,
    stream: SizedStream,
    chunk: Cursor<Vec<u8>>,
    /// How many bytes were handed out.
    read: u64,
    /// How many bytes of the stream were handed out before it broke.
    skip: u64,
    /// How many had been when it was last taken up.
    resumed: u64,
    pauses: std::slice::Iter<'static, Duration>,
    /// Nothing more will come.
    broken: bool,
}

impl<'a> Blob<'a> {
    fn open(registry: &'a Registry, digest: String) -> Result<Self, Error> {
        let (BlobResponse::Full(stream) | BlobResponse::Partial(stream)) = registry.stream(&digest, 0)?;
        let chunk = Cursor::default();
        Ok(Self {
            registry,
            digest,
            stream,
            chunk,
            read: 0,
            skip: 0,
            resumed: 0,
            pauses: PAUSES.iter(),
            broken: false,
        })
    }

    /// Goes on after the connection broke with `error`, where there is patience left.
    fn resume(&mut self, error: io::Error) -> Result<(), Error> {
        if self.read - self.resumed >= PROGRESS {
            self.pauses = PAUSES.iter();
        }
        self.resumed = self.read;
        let Some(pause) = self.pauses.next() else { return Err(self.registry.failed(error)) };
        std::thread::sleep(*pause);
        (self.stream, self.skip) = match self.registry.stream(&self.digest, self.read)? {
            BlobResponse::Partial(stream) => (stream, 0),
            BlobResponse::Full(stream) => (stream, self.read),
        };
        Ok(())
    }
}

impl Read for Blob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.chunk.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                self.read += count as u64;
                return Ok(count);
            }
            if self.broken {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            match self.registry.runtime.block_on(self.stream.next()) {
                None => return Ok(0),
                Some(Ok(chunk)) => {
                    let known = self.skip.min(chunk.len() as u64);
                    self.skip -= known;
                    self.chunk = Cursor::new(chunk.into());
                    self.chunk.set_position(known);
                }
                // It stands where the end would; whoever reads this takes the digest, too.
                Some(Err(error))
                    if error
                        .get_ref()
                        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<DigestError>) =>
                {
                    return Ok(0);
                }
                Some(Err(error)) => {
                    self.broken = true;
                    self.resume(error).map_err(io::Error::other)?;
                    self.broken = false;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn only_this_machine_is_spoken_to_in_the_clear() {
        for here in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9"] {
            assert!(is_loopback(here), "{here}");
        }
        for elsewhere in
            ["ghcr.io", "localhost.example.org", "127.0.0.1.example.org:80", "10.0.0.1:5000", "128.0.0.1"]
        {
            assert!(!is_loopback(elsewhere), "{elsewhere}");
        }
    }
}
