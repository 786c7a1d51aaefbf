//! An image in memory: its blobs and where their bytes come from.
//!
//! Writers to a folder, a tarball or a registry write the blobs in order and the index last. Blobs of the
//! base image are streamed from their origin.

use std::fs::File;
use std::io::{self, Cursor, Read};

use oci_spec::image::Descriptor;

use super::manifest::digest_of;
use super::section::Section;
use super::verified::Verified;
use super::{Images, Layer, OciError};
use crate::digest::Sha256;
use crate::project::values::ImageRef;

#[derive(Debug)]
pub struct Blob {
    /// Media type, digest and size, as in the parent document.
    pub descriptor: Descriptor,
    pub from: BlobSource,
}

#[derive(Debug)]
pub enum BlobSource {
    /// A document in memory.
    Bytes(Vec<u8>),
    /// Read from offset 0; the file may be unlinked.
    File(File),
    /// A layer of the base image, as stored there.
    Base {
        /// SHA-256 of the uncompressed layer.
        diff_id: Sha256,
    },
}

pub struct BaseImage {
    pub images: Box<dyn Images>,
    /// The reference if `images` is a registry: a push to the same registry can mount the layers.
    pub reference: Option<ImageRef>,
}

pub struct Contents {
    /// Source of [`BlobSource::Base`] blobs.
    pub base: BaseImage,
    /// Children before parents, without duplicates; the index is last.
    pub blobs: Vec<Blob>,
    pub index: Descriptor,
    /// The SBOM as a referrer of the index (image-spec, "Guidelines for Artifact Usage"), children before
    /// parents. The last blob is its manifest; the descriptor has the artifact type.
    pub referrer: Vec<Blob>,
}

impl Contents {
    /// Streams a blob. The stream ends with an error if digest or length differ from the descriptor.
    pub fn open<'a>(&'a self, blob: &'a Blob) -> Result<Box<dyn Read + 'a>, OciError> {
        let descriptor = &blob.descriptor;
        let stored: Box<dyn Read + 'a> = match &blob.from {
            BlobSource::Bytes(bytes) => Box::new(Cursor::new(bytes)),
            BlobSource::File(file) => Box::new(Section::new(file, 0, descriptor.size())),
            BlobSource::Base { diff_id } => {
                // `images` verifies it.
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
    /// Maps an error of [`Contents::open`], or of the reader it returned.
    pub fn failed(&self, error: io::Error) -> OciError {
        let image = self.images.name();
        OciError::of_mismatch(image, &error).unwrap_or_else(|| {
            error.downcast().unwrap_or_else(|source| OciError::Io { image: image.to_owned(), source })
        })
    }
}
