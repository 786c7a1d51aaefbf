//! OCI image layouts on disk.

pub(super) mod format;
mod writer;

pub use writer::{LayoutOutcome, LayoutWriter};
