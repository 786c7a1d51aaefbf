//! The argument of `--image`: a folder, a file or a reference.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Credentials;
use super::Registry;
use crate::digest::Sha256;
use crate::http::Client;
use crate::oci::{DockerSave, Images, LayoutReader, OciError, Tarball, in_folder, sanitized};
use crate::project::values::ImageRef;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// An OCI image layout.
    Layout(PathBuf),
    /// A tarball of `docker save`.
    Tarball(PathBuf),
    Registry(ImageRef),
}

impl ImageSource {
    /// Existing paths take precedence: a reference can be disambiguated by its tag.
    ///
    /// # Errors
    /// If `text` is neither a path nor a reference, or a folder without a layout.
    pub fn find(text: &str) -> Result<Self, OciError> {
        let path = Path::new(text);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Self::Tarball(path.to_owned())),
            Ok(metadata) if metadata.is_dir() && path.join("oci-layout").is_file() => {
                Ok(Self::Layout(path.to_owned()))
            }
            Ok(metadata) => {
                let why = if metadata.is_dir() { "a folder without `oci-layout`" } else { "not a file" };
                Err(OciError::NotASource { image: sanitized(text), why: why.to_owned() })
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                text.parse().map(Self::Registry).map_err(|_| OciError::NoSource { text: sanitized(text) })
            }
            Err(source) => Err(OciError::Io { image: sanitized(text), source }),
        }
    }

    /// Opens exactly the image with this digest: in a registry by digest in the same repository, in a
    /// layout among those listed.
    ///
    /// # Errors
    /// Also for a tarball of Docker before version 25, which contains no digests of indexes or manifests.
    pub fn open_pinned(
        &self,
        digest: Sha256,
        client: &Client,
        credentials: &Credentials,
    ) -> Result<Box<dyn Images>, OciError> {
        Ok(match self {
            Self::Registry(image) => {
                let pinned = image.pinned(digest);
                let pinned = pinned.parse().map_err(|_| OciError::NoSource { text: sanitized(&pinned) })?;
                Box::new(Registry::new(client, &pinned, credentials)?)
            }
            Self::Layout(path) => Box::new(in_folder(path)?.only(digest)?),
            Self::Tarball(path) => {
                Box::new(LayoutReader::open(Box::new(Tarball::open(path)?))?.only(digest)?)
            }
        })
    }

    /// `client` and `credentials` are only used for a registry.
    pub fn open(&self, client: &Client, credentials: &Credentials) -> Result<Box<dyn Images>, OciError> {
        Ok(match self {
            Self::Registry(image) => Box::new(Registry::new(client, image, credentials)?),
            Self::Layout(path) => Box::new(in_folder(path)?),
            Self::Tarball(path) => {
                let tarball = Tarball::open(path)?;
                // Newer Docker versions write both formats into one file; the layout has more information.
                if tarball.has("oci-layout") {
                    Box::new(LayoutReader::open(Box::new(tarball))?)
                } else {
                    Box::new(DockerSave::open(tarball)?)
                }
            }
        })
    }
}
