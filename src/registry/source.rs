//! What `--image` may be: a folder, a file, or a reference.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::Credentials;
use super::Registry;
use crate::digest::Sha256;
use crate::http::Client;
use crate::oci::{DockerSave, Images, LayoutReader, OciError, Tarball, in_folder, told};
use crate::project::values::ImageRef;

/// Where an image is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageSource {
    /// A folder with an OCI image layout.
    Layout(PathBuf),
    /// A file, as `docker save` writes it.
    Tarball(PathBuf),
    /// A registry.
    Registry(ImageRef),
}

impl ImageSource {
    /// What `text` names. What is on the disk comes first: a reference can always be written with
    /// its tag, which no folder has by chance.
    ///
    /// # Errors
    /// Where there is no such path, and it is no reference; or a folder that is no layout.
    pub fn find(text: &str) -> Result<Self, OciError> {
        let path = Path::new(text);
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => Ok(Self::Tarball(path.to_owned())),
            Ok(metadata) if metadata.is_dir() && path.join("oci-layout").is_file() => {
                Ok(Self::Layout(path.to_owned()))
            }
            Ok(metadata) => {
                let why = if metadata.is_dir() { "a folder without `oci-layout`" } else { "not a file" };
                Err(OciError::NotASource { image: told(text), why: why.to_owned() })
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                text.parse().map(Self::Registry).map_err(|_| OciError::NoSource { text: told(text) })
            }
            Err(source) => Err(OciError::Io { image: told(text), source }),
        }
    }

    /// Opens the one image of it that has this digest, whatever else is there: in a registry it is
    /// asked for by its digest in the same repository, in a layout it must be listed.
    ///
    /// # Errors
    /// As [`Self::open`]; where no image of this digest is there, and for a tarball of a Docker
    /// older than 25, in which nothing has the digest of an index or a manifest.
    pub fn open_pinned(
        &self,
        digest: Sha256,
        client: &Client,
        credentials: &Credentials,
    ) -> Result<Box<dyn Images>, OciError> {
        Ok(match self {
            Self::Registry(image) => {
                let pinned = image.pinned(digest);
                let pinned = pinned.parse().map_err(|_| OciError::NoSource { text: told(&pinned) })?;
                Box::new(Registry::new(client, &pinned, credentials)?)
            }
            Self::Layout(path) => Box::new(in_folder(path)?.only(digest)?),
            Self::Tarball(path) => {
                Box::new(LayoutReader::open(Box::new(Tarball::open(path)?))?.only(digest)?)
            }
        })
    }

    /// Opens it; a registry is asked through `client`, with `credentials`.
    ///
    /// # Errors
    /// Where it cannot be read or reached, or is something else.
    pub fn open(&self, client: &Client, credentials: &Credentials) -> Result<Box<dyn Images>, OciError> {
        Ok(match self {
            Self::Registry(image) => Box::new(Registry::new(client, image, credentials)?),
            Self::Layout(path) => Box::new(in_folder(path)?),
            Self::Tarball(path) => {
                let tarball = Tarball::open(path)?;
                // Newer Dockers write both forms into one file, and the layout says more.
                if tarball.has("oci-layout") {
                    Box::new(LayoutReader::open(Box::new(tarball))?)
                } else {
                    Box::new(DockerSave::open(tarball)?)
                }
            }
        })
    }
}
