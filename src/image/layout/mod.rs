//! An image as a folder: what its files are, and how one is written.

pub(super) mod format;
mod writer;

pub use writer::{LayoutOutcome, LayoutWriter};
