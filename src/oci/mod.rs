//! Images: in a registry, in a layout, in a tarball; what is in their file systems.
//!
//! [`registry::resolve`] says what a reference stands for today. A [`ImageSource`] is anything that an
//! image can be read from; opened, it is an [`Images`], which hands out an [`PlatformImage`] for an
//! architecture, and its layers as streams. [`files_under`] lays those over each other and says
//! what a container of that image would find in a folder.
//!
//! Nothing is believed: every document and every layer is held against the digest that names it
//! (image-spec, "Descriptors"), every layer also against the digest of its uncompressed form
//! (image-spec, "Layer `DiffID`"). Nothing is ever unpacked onto a disk, and no layer is held in
//! memory.

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
pub use flatten::{FolderFiles, FoundFile, files_over, files_under};
pub use image::{Images, Layer, PlatformImage};
pub use layout::layout;
pub use section::Section;

pub(crate) use docker_save::DockerSave;
pub(crate) use error::told;
pub(crate) use image::{Blobs, build, builds, config, image, layer};
pub(crate) use layout::{LayoutReader, in_folder};
pub(crate) use manifest::{
    ACCEPTED, LONGEST_DOCUMENT, OciManifest, arch_of_config, digest_of, listed, parse,
};
pub(crate) use tarball::Tarball;
