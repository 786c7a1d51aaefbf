//! Images: in a registry, in a layout, in a tarball; what is in their file systems.
//!
//! [`registry::resolve`] says what a reference stands for today. [`registry::Registry`] is one
//! source of images; as [`Images`] it hands out an [`Image`] for an architecture, and its layers as
//! streams.
//!
//! Nothing is believed: every document and every layer is held against the digest that names it
//! (image-spec, "Descriptors").

mod credentials;
mod error;
mod image;
mod manifest;
pub mod registry;
mod verified;

pub use credentials::Credentials;
pub use error::Error;
pub use image::{Image, Images, Layer};
