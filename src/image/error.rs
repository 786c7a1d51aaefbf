//! Why an image was not made.

use std::io;
use std::path::{Path, PathBuf};

use crate::archive;
use crate::digest::Sha256;
use crate::oci;
use crate::project::names::ToolName;
use crate::project::values::Arch;

/// Why an image was not made, or not written.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The base image could not be read.
    #[error("the base image {0}")]
    Oci(#[from] oci::OciError),
    /// The base image is one that cannot be built on.
    #[error("the base image {image}: {why}")]
    Base {
        /// The reference or path.
        image: String,
        /// What is wrong with it.
        why: String,
    },
    /// There is no build or no archive of a binary.
    #[error("{tool}: no build for {arch} is locked")]
    NoArchive {
        /// The binary.
        tool: ToolName,
        /// The architecture.
        arch: Arch,
    },
    /// An archive cannot be read.
    #[error("{tool} {arch}: {source}")]
    Archive {
        /// The binary.
        tool: ToolName,
        /// The architecture.
        arch: Arch,
        /// What is wrong with it.
        source: archive::ArchiveError,
    },
    /// An executable is not the locked one, though its archive is.
    #[error("{tool} {arch}: the executable has SHA-256 {found}, and {expected} is locked; do not use it")]
    Mismatch {
        /// The binary.
        tool: ToolName,
        /// The architecture.
        arch: Arch,
        /// What the lock says.
        expected: Sha256,
        /// What is in the archive.
        found: Sha256,
    },
    /// A file in an archive has a name that means something else in a layer.
    #[error("{tool} {arch}: no layer can hold the file {path}: its name would hide another one")]
    Whiteout {
        /// The binary.
        tool: ToolName,
        /// The architecture.
        arch: Arch,
        /// The path, escaped.
        path: String,
    },
    /// Something could not be written, or read back.
    #[error("{}: cannot {what}: {source}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
    /// What stands where the image is to go is something else.
    #[error("{} is there and is not an image that `bake` wrote: move it away, or choose another place", path.display())]
    Foreign {
        /// What is there.
        path: PathBuf,
    },
    /// Somebody ended it.
    #[error("interrupted; nothing was left")]
    Interrupted,
    /// A document could not be put together.
    #[error("the image's {what} cannot be written down: {why}")]
    Document {
        /// Which one.
        what: &'static str,
        /// Why.
        why: String,
    },
}

impl ImageError {
    /// An error of the operating system, told with where it was met.
    pub(super) fn io(path: &Path, what: &'static str) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { path, what, source }
    }
}
