//! OCI image layouts (image-spec, "OCI Image Layout Specification"), as a folder or in a tarball.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_spec::image::{Descriptor, OciLayout};

use super::OciError;
use super::error::sanitized;
use super::image::{self, Blobs, Images, Layer, PlatformImage};
use super::manifest::{LONGEST_DOCUMENT, OciManifest, digest_of, parse};
use crate::digest::Sha256;
use crate::project::values::Arch;

/// Files by path, in a folder or a tarball.
pub(crate) trait ImageFiles: Send + Sync {
    /// As the user typed it.
    fn name(&self) -> &str;

    /// Fails with `NotFound` if there is no file at `path`.
    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>>;
}

/// A required document; unverified, because nothing contains its digest.
pub(crate) fn document(files: &dyn ImageFiles, path: &str) -> Result<Vec<u8>, OciError> {
    let mut bytes = Vec::new();
    files
        .open(path)
        .and_then(|file| file.take(LONGEST_DOCUMENT + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(files, path, error))?;
    if bytes.len() as u64 > LONGEST_DOCUMENT {
        let why = format!("`{path}` is longer than {} MiB", LONGEST_DOCUMENT >> 20);
        return Err(OciError::NotAnImage { image: files.name().to_owned(), why });
    }
    Ok(bytes)
}

pub(crate) fn unreadable(files: &dyn ImageFiles, path: &str, source: io::Error) -> OciError {
    let image = files.name().to_owned();
    if source.kind() == io::ErrorKind::NotFound {
        return OciError::Incomplete { image, what: sanitized(path) };
    }
    OciError::Io { image, source }
}

pub(crate) struct LayoutFolder {
    name: String,
    path: PathBuf,
}

impl LayoutFolder {
    pub(crate) fn new(path: &Path) -> Self {
        Self { name: path.display().to_string(), path: path.to_owned() }
    }
}

impl ImageFiles for LayoutFolder {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        let path = self.path.join(path);
        // Opening a pipe would block.
        if !path.metadata()?.is_file() {
            return Err(io::Error::other(format!("{} is not a file", path.display())));
        }
        Ok(Box::new(File::open(path)?))
    }
}

pub(crate) struct LayoutReader {
    files: Box<dyn ImageFiles>,
    /// Descriptors of `index.json`.
    listed: Vec<Descriptor>,
}

impl LayoutReader {
    pub(crate) fn open(files: Box<dyn ImageFiles>) -> Result<Self, OciError> {
        let not_an_image = |why| OciError::NotAnImage { image: files.name().to_owned(), why };
        let marker: OciLayout = parse(&document(&*files, "oci-layout")?)
            .map_err(|why| not_an_image(format!("`oci-layout` cannot be read: {why}")))?;
        let version = marker.image_layout_version();
        if !version.starts_with("1.") {
            return Err(not_an_image(format!(
                "an image layout with the unsupported version {}",
                sanitized(version)
            )));
        }
        let (manifest, _) = OciManifest::read(&document(&*files, "index.json")?)
            .map_err(|why| not_an_image(format!("`index.json`: {why}")))?;
        let OciManifest::Index(index) = manifest else {
            return Err(not_an_image("`index.json` is not an index".to_owned()));
        };
        Ok(Self { listed: index.manifests().clone(), files })
    }

    /// Keeps only the image with this digest.
    pub(crate) fn only(mut self, digest: Sha256) -> Result<Self, OciError> {
        self.listed.retain(|entry| digest_of(entry) == Ok(digest));
        // One image can be listed under several names.
        self.listed.truncate(1);
        if self.listed.is_empty() {
            let what = format!("the image {}", digest.oci());
            return Err(OciError::Incomplete { image: self.files.name().to_owned(), what });
        }
        Ok(self)
    }
}

impl Blobs for LayoutReader {
    fn manifest(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, OciError> {
        self.blob(descriptor)
    }

    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, OciError> {
        let digest = digest_of(descriptor)
            .map_err(|why| OciError::NotAnImage { image: self.files.name().to_owned(), why })?;
        let path = format!("blobs/sha256/{digest}");
        self.files.open(&path).map_err(|error| unreadable(&*self.files, &path, error))
    }

    fn failed(&self, source: io::Error) -> OciError {
        OciError::Io { image: self.files.name().to_owned(), source }
    }
}

impl Images for LayoutReader {
    fn name(&self) -> &str {
        self.files.name()
    }

    fn image(&self, arch: Arch) -> Result<PlatformImage, OciError> {
        image::only(self, arch, &self.listed)
    }

    fn layer(&self, layer: &Layer) -> Result<Box<dyn Read + '_>, OciError> {
        image::layer(self, layer)
    }
}

/// Opens the OCI image layout at `path`.
pub fn layout(path: &Path) -> Result<Box<dyn Images>, OciError> {
    Ok(Box::new(in_folder(path)?))
}

pub(crate) fn in_folder(path: &Path) -> Result<LayoutReader, OciError> {
    LayoutReader::open(Box::new(LayoutFolder::new(path)))
}
