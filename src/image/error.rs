use std::io;
use std::path::{Path, PathBuf};

use crate::archive;
use crate::digest::Sha256;
use crate::oci;
use crate::project::names::ToolName;
use crate::project::values::{Arch, LoaderPath};

#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    #[error("the base image {0}")]
    Oci(#[from] oci::OciError),
    /// The base image is unsuitable.
    #[error("the base image {image}: {why}")]
    Base { image: String, why: String },
    #[error("{tool}: no build for {arch} is locked")]
    NoArchive { tool: ToolName, arch: Arch },
    #[error("{tool} {arch}: {source}")]
    Archive { tool: ToolName, arch: Arch, source: archive::ArchiveError },
    #[error(
        "{tool} {arch}: the executable needs the loader {loader}, and the base image {image} does not have it"
    )]
    NoLoader { tool: ToolName, arch: Arch, loader: LoaderPath, image: String },
    /// The archive matches the lock, but the executable does not.
    #[error("{tool} {arch}: the executable has SHA-256 {found}, and {expected} is locked; do not use it")]
    Mismatch { tool: ToolName, arch: Arch, expected: Sha256, found: Sha256 },
    /// A file name has a special meaning in layers (whiteout).
    #[error("{tool} {arch}: the file {path} cannot be in a layer: its name would hide another file")]
    Whiteout {
        tool: ToolName,
        arch: Arch,
        /// Sanitized.
        path: String,
    },
    #[error("{}: cannot {what}: {source}", path.display())]
    Io { path: PathBuf, what: &'static str, source: io::Error },
    /// The target path is something else.
    #[error("{} exists and is not an image written by `bake`: move it away, or choose another path", path.display())]
    Foreign { path: PathBuf },
    #[error("interrupted; no files were left behind")]
    Interrupted,
    #[error("the image's {what} cannot be created: {why}")]
    Document { what: &'static str, why: String },
}

impl ImageError {
    pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}
