//! An image that is not written down anywhere yet: its blobs, and where their bytes come from.
//!
//! Whoever writes it into a folder, a tarball or a registry takes the blobs in their order, and
//! the index at the end. What comes from the base image is streamed from where that is.

use std::fs::File;
use std::io::{self, Cursor, Read};

use oci_spec::image::Descriptor;

use super::manifest::digest_of;
use super::section::Section;
use super::verified::Verified;
use super::{Images, Layer, OciError};
use crate::digest::Sha256;
use crate::project::values::ImageRef;

/// One blob of an image: what it is, and where its bytes come from when they are wanted.
#[derive(Debug)]
pub struct Blob {
    /// Its media type, digest and size, as its parent names it.
    pub descriptor: Descriptor,
    /// Where its bytes are.
    pub from: BlobSource,
}

/// Where a blob's bytes are.
#[derive(Debug)]
pub enum BlobSource {
    /// Here: a document.
    Bytes(Vec<u8>),
    /// In a file that is read from its beginning, which may have no name any more.
    File(File),
    /// Where the base image is: one of its layers, as it is stored there.
    Base {
        /// The SHA-256 of the uncompressed layer.
        diff_id: Sha256,
    },
}

/// The image that another one is made on.
pub struct BaseImage {
    /// Where its layers are read from.
    pub images: Box<dyn Images>,
    /// Its reference, where that place is a registry: a push to the same registry can have the
    /// layers mounted.
    pub reference: Option<ImageRef>,
}

/// Every blob of an image, and the index that names them.
pub struct Contents {
    /// Where the blobs of [`BlobSource::Base`] come from.
    pub base: BaseImage,
    /// Children before parents, none twice; the last one is the index.
    pub blobs: Vec<Blob>,
    /// The index, as others name it.
    pub index: Descriptor,
    /// The SBOM as a referrer of the index (image-spec, "Guidelines for Artifact Usage"): again
    /// children before parents; the last one is the manifest, whose descriptor has the artifact type.
    pub referrer: Vec<Blob>,
}

impl Contents {
    /// The bytes of one of its blobs, from the first on. Its end is an error where they have another
    /// digest or length than the descriptor says.
    ///
    /// # Errors
    /// Where the base image cannot be read.
    pub fn open<'a>(&'a self, blob: &'a Blob) -> Result<Box<dyn Read + 'a>, OciError> {
        let descriptor = &blob.descriptor;
        let stored: Box<dyn Read + 'a> = match &blob.from {
            BlobSource::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            BlobSource::File(file) => Box::new(Section::new(file, 0, descriptor.size())),
            BlobSource::Base { diff_id } => {
                // Verified where it comes from.
                return self.base.images.layer(&Layer { descriptor: descriptor.clone(), diff_id: *diff_id });
            }
        };
        let digest = digest_of(descriptor)
            .map_err(|why| OciError::NotAnImage { image: self.base.images.name().to_owned(), why })?;
        let what = format!("the blob {}", digest.oci());
        Ok(Box::new(Verified::new(stored, what, digest, Some(descriptor.size()))))
    }
}

impl BaseImage {
    /// What an error of a reader means that this gave, or [`Contents::open`].
    pub fn failed(&self, error: io::Error) -> OciError {
        let image = self.images.name();
        OciError::of_mismatch(image, &error).unwrap_or_else(|| {
            error.downcast().unwrap_or_else(|source| OciError::Io { image: image.to_owned(), source })
        })
    }
}
