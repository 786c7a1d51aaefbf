//! Reading from a registry (distribution-spec, "Pull").

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read};

use oci_spec::image::Descriptor;

use super::Credentials;
use super::{Access, AttemptError, RepositoryClient};
use crate::digest::Sha256;
use crate::http::{self, Backoff, Client, Request, Response};
use crate::oci::OciError;
use crate::oci::{self, Blobs, Images, Layer, PlatformImage, builds};
use crate::oci::{ACCEPTED, LONGEST_DOCUMENT, OciManifest, arch_of_config, digest_of, listed};
use crate::project::values::{Arch, ImageRef};

/// An attempt that transferred at least this many bytes does not count as a failure.
const PROGRESS: u64 = 1 << 20;

/// A resolved reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedImage {
    /// Digest of the index, or of the manifest if there is no index.
    pub digest: Sha256,
    /// The manifest of each supported architecture.
    pub platforms: BTreeMap<Arch, Sha256>,
    /// Media type of the document `digest` refers to.
    pub media_type: String,
}

/// Resolves `image`. If it contains a digest, the tag is ignored.
///
/// # Errors
/// Also if no supported architecture is available.
pub fn resolve(
    client: &Client,
    image: &ImageRef,
    credentials: &Credentials,
) -> Result<ResolvedImage, OciError> {
    Registry::new(client, image, credentials)?.resolve()
}

/// A repository and one reference into it.
pub struct Registry {
    pub(super) repository: RepositoryClient,
    reference: ImageRef,
}

impl Registry {
    /// Sends nothing yet.
    pub fn new(client: &Client, image: &ImageRef, credentials: &Credentials) -> Result<Self, OciError> {
        let repository = RepositoryClient::new(client, image, credentials, Access::Pull, None)?;
        Ok(Self { repository, reference: image.clone() })
    }

    /// See [`resolve`].
    pub fn resolve(&self) -> Result<ResolvedImage, OciError> {
        let (digest, manifest, media_type) = self.root()?;
        let platforms = match &manifest {
            OciManifest::Index(index) => {
                let mut platforms = BTreeMap::new();
                for (arch, descriptor) in builds(self, index.manifests())? {
                    platforms.insert(arch, digest_of(&descriptor).map_err(|why| self.not_an_image(why))?);
                }
                platforms
            }
            OciManifest::Image(manifest) => {
                let arch = arch_of_config(&oci::config(self, manifest)?.0);
                arch.map(|arch| (arch, digest)).into_iter().collect()
            }
        };
        if platforms.is_empty() {
            return Err(self.not_an_image(listed(&platforms)));
        }
        Ok(ResolvedImage { digest, platforms, media_type })
    }

    /// The document the reference points to.
    fn root(&self) -> Result<(Sha256, OciManifest, String), OciError> {
        let (name, what) = match (self.reference.digest(), self.reference.tag().unwrap_or("latest")) {
            (Some(digest), _) => (digest.oci(), format!("manifest {}", digest.oci())),
            (None, tag) => (tag.to_owned(), format!("tag `{tag}`")),
        };
        let (bytes, digest) = self.document(&name, &what, self.reference.digest())?;
        let (manifest, media_type) = OciManifest::read(&bytes).map_err(|why| self.not_an_image(why))?;
        Ok((digest, manifest, media_type))
    }

    /// A manifest and its digest, verified against `expected` and the `Docker-Content-Digest` header, if
    /// present.
    fn document(
        &self,
        name: &str,
        what: &str,
        expected: Option<Sha256>,
    ) -> Result<(Vec<u8>, Sha256), OciError> {
        let repository = &self.repository;
        repository.with_retries(|| {
            let url = repository.url(&format!("manifests/{name}"))?;
            let request = Request::new(url.clone()).raw().accept(&ACCEPTED.join(", "));
            let mut response = repository.ask(&url, request)?;
            if response.status() != 200 {
                return Err(repository.refused(response, what));
            }
            let bytes = match response.document(LONGEST_DOCUMENT) {
                Err(http::HttpError::TooLarge { .. }) => {
                    let why = format!("the {what} is longer than {} MiB", LONGEST_DOCUMENT >> 20);
                    return Err(AttemptError::Final(self.not_an_image(why)));
                }
                bytes => bytes?,
            };
            let found = Sha256::of(&bytes);
            let promised = response.header("docker-content-digest");
            let promised = promised.and_then(|digest| Sha256::from_oci(digest).ok());
            match expected.into_iter().chain(promised).find(|expected| *expected != found) {
                None => Ok((bytes, found)),
                Some(expected) => Err(AttemptError::Final(OciError::Mismatch {
                    image: repository.image.clone(),
                    what: format!("the {what}"),
                    expected: expected.oci(),
                    found: found.oci(),
                })),
            }
        })
    }

    /// Streams a blob from `offset`, or from its start if the registry does not support ranges.
    fn stream(&self, digest: &Sha256, offset: u64) -> Result<Response, OciError> {
        let (repository, digest) = (&self.repository, digest.oci());
        repository.with_retries(|| {
            let url = repository.url(&format!("blobs/{digest}"))?;
            let mut request = Request::new(url.clone()).raw().large();
            if offset > 0 {
                request = request.from_byte(offset, None);
            }
            let response = repository.ask(&url, request)?;
            match response.status() {
                200 => Ok(response),
                206 if offset > 0 => Ok(response),
                _ => Err(repository.refused(response, &format!("blob {digest}"))),
            }
        })
    }

    fn not_an_image(&self, why: String) -> OciError {
        OciError::NotAnImage { image: self.repository.image.clone(), why }
    }
}

impl Blobs for Registry {
    fn manifest(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, OciError> {
        let digest = digest_of(descriptor).map_err(|why| self.not_an_image(why))?;
        let (bytes, _) = self.document(&digest.oci(), &format!("manifest {}", digest.oci()), Some(digest))?;
        Ok(Box::new(Cursor::new(bytes)))
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, OciError> {
        let digest = digest_of(descriptor).map_err(|why| self.not_an_image(why))?;
        let stream = self.stream(&digest, 0)?;
        let pauses = self.repository.client.pauses();
        Ok(Box::new(BlobReader { registry: self, digest, stream, read: 0, resumed: 0, pauses, tries: 1 }))
    }

    fn failed(&self, error: io::Error) -> OciError {
        error
            .downcast::<OciError>()
            .unwrap_or_else(|source| OciError::Io { image: self.repository.image.clone(), source })
    }
}

impl Images for Registry {
    fn name(&self) -> &str {
        &self.repository.image
    }

    fn image(&self, arch: Arch) -> Result<PlatformImage, OciError> {
        let (_, manifest, _) = self.root()?;
        match manifest {
            OciManifest::Image(manifest) => oci::image(self, arch, &manifest),
            OciManifest::Index(index) => oci::build(self, arch, &builds(self, index.manifests())?),
        }
    }

    fn layer(&self, layer: &Layer) -> Result<Box<dyn Read + '_>, OciError> {
        oci::layer(self, layer)
    }
}

/// Streams a blob, and resumes after a broken connection.
struct BlobReader<'a> {
    registry: &'a Registry,
    digest: Sha256,
    stream: Response,
    /// Bytes returned so far.
    read: u64,
    /// `read` at the last resumption.
    resumed: u64,
    pauses: Backoff,
    tries: usize,
}

impl BlobReader<'_> {
    /// Reconnects after `error`, unless the retry policy is exhausted.
    fn resume(&mut self, error: io::Error) -> Result<(), OciError> {
        let repository = &self.registry.repository;
        if self.read - self.resumed >= PROGRESS {
            (self.pauses, self.tries) = (repository.client.pauses(), 1);
        }
        self.resumed = self.read;
        let mut error = http::HttpError::of_body(error, self.stream.address());
        loop {
            let tries = self.tries;
            self.pauses.wait_after(error).map_err(|error| repository.explained(error, tries))?;
            self.tries += 1;
            self.stream = self.registry.stream(&self.digest, self.read)?;
            let skip = match self.stream.part() {
                None => self.read,
                Some(Some(part)) if part.start == self.read => 0,
                Some(_) => {
                    let why = "it sent a different range of a blob than requested".to_owned();
                    return Err(repository.answer(why));
                }
            };
            match io::copy(&mut self.stream.by_ref().take(skip), &mut io::sink()) {
                // The stream ends early here, which the length check reports.
                Ok(_) => return Ok(()),
                Err(cut) => error = http::HttpError::of_body(cut, self.stream.address()),
            }
        }
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.stream.read(buffer) {
                Ok(count) => {
                    self.read += count as u64;
                    return Ok(count);
                }
                Err(error) => self.resume(error).map_err(io::Error::other)?,
            }
        }
    }
}
