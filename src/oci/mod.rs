//! Formats of images: layouts, tarballs, manifests and layers.
//!
//! An [`Images`] provides a [`PlatformImage`] for an architecture and streams its layers; [`files_under`]
//! applies the layers and lists a folder as a container sees it.
//!
//! Every document and layer is verified against its digest (image-spec, "Descriptors"), every layer also
//! against the digest of its uncompressed form (image-spec, "Layer `DiffID`"). Nothing is unpacked to disk,
//! and no layer is held in memory.

mod contents;
mod docker_save;
mod error;
mod flatten;
mod image;
mod layer;
mod layout;
mod manifest;
mod overlay;
mod section;
mod tarball;
mod verified;

pub use contents::{BaseImage, Blob, BlobSource, Contents};
pub use error::OciError;
pub use flatten::{
    Additional, ChangedNode, FileContents, FolderFiles, FoundFile, PathChange, files_over, files_under,
    missing_files,
};
pub use image::{Images, Layer, PlatformImage};
pub use layout::layout;
pub use section::Section;

pub(crate) use docker_save::DockerSave;
pub(crate) use error::sanitized;
pub(crate) use image::{Blobs, build, builds, config, image, layer};
pub(crate) use layout::{LayoutReader, in_folder};
pub(crate) use manifest::{
    ACCEPTED, LONGEST_DOCUMENT, OciManifest, arch_of_config, digest_of, listed, parse,
};
pub(crate) use tarball::Tarball;
