//! What can go wrong with an image, and what to do about it.

use std::io;

use super::verified::WrongDigest;
use crate::digest::Sha256;
use crate::project::values::Arch;
use crate::text::excerpt;

/// Why an image could not be read, or must not be believed.
///
/// `image` is always what the user named: a reference, or a path.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    /// It is neither on the disk nor a reference.
    #[error(
        "{text}: no such folder or file here, and not an image reference such as `ghcr.io/owner/image:tag`"
    )]
    NoSource {
        /// What was given, quoted.
        text: String,
    },
    /// A folder without a layout in it, or a file that is no tarball of an image.
    #[error("{image}: {why}; give an OCI image layout, a tarball of `docker save`, or a reference")]
    NotASource {
        /// The path.
        image: String,
        /// What it is instead.
        why: String,
    },
    /// Something on the disk could not be read.
    #[error("{image}: cannot be read: {source}")]
    Io {
        /// The path.
        image: String,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The registry does not know the name.
    #[error("{image}: the registry has no such {what}; compare the reference with what is published there")]
    NotFound {
        /// The reference.
        image: String,
        /// `tag`, `manifest` or `blob`, with its name.
        what: String,
    },
    /// 401 or 403.
    #[error(
        "{image}: {registry} does not let {who} read it; it is private or does not exist: check the name, or log in with `docker login {registry}`{said}"
    )]
    Denied {
        /// The reference.
        image: String,
        /// The registry's host.
        registry: String,
        /// Who asked.
        who: &'static str,
        /// What it says about it, in brackets.
        said: String,
    },
    /// 401 or 403 for who wants to push.
    #[error(
        "{image}: {registry} does not let {who} push there: log in with `docker login {registry}`, for one of Google's with `gcloud auth configure-docker {registry}`, or ask its owner for the right to push{said}"
    )]
    MayNotPush {
        /// The reference.
        image: String,
        /// The registry's host.
        registry: String,
        /// Who asked.
        who: &'static str,
        /// What it says about it, in brackets.
        said: String,
    },
    /// No connection came about, or none of the tries was answered.
    #[error("{image}: {registry} cannot be reached: {why}; check the network and the name, and try again")]
    Unreachable {
        /// The reference.
        image: String,
        /// The registry's host.
        registry: String,
        /// The innermost reason.
        why: String,
    },
    /// 429, or 5xx, until the patience ended.
    #[error("{image}: {registry} still fails after {tries} tries ({why}); try again later")]
    Failing {
        /// The reference.
        image: String,
        /// The registry's host.
        registry: String,
        /// How many times it was asked.
        tries: usize,
        /// What it said last.
        why: String,
    },
    /// An answer that no registry should give.
    #[error("{image}: {registry} gives an answer that cannot be used: {why}")]
    Answer {
        /// The reference.
        image: String,
        /// The registry's host.
        registry: String,
        /// What is wrong with it.
        why: String,
    },
    /// The login of a registry could not be used.
    #[error("{registry}: the credentials in {file} cannot be used: {why}")]
    Credentials {
        /// The registry's host.
        registry: String,
        /// The file that keeps them, Docker's or Podman's.
        file: String,
        /// What is wrong with them; never what they are.
        why: String,
    },
    /// Bytes that are not those that their name promises.
    #[error("{image}: {what} has the digest {found} and not {expected}; do not use this image")]
    Mismatch {
        /// The reference or path.
        image: String,
        /// Which part.
        what: String,
        /// The promised digest.
        expected: String,
        /// The digest of the bytes.
        found: String,
    },
    /// A part of it is missing.
    #[error("{image}: {what} is missing in it; save or copy the image again")]
    Incomplete {
        /// The path.
        image: String,
        /// The part.
        what: String,
    },
    /// It is something else: a chart, an encrypted image, a manifest from before 2017.
    #[error("{image}: not an image that `bake` can read: {why}")]
    NotAnImage {
        /// The reference or path.
        image: String,
        /// What it is instead.
        why: String,
    },
    /// There is none for this architecture.
    #[error("{image}: no build for linux/{arch}; there is {there}")]
    NoBuild {
        /// The reference or path.
        image: String,
        /// The architecture that was asked for.
        arch: Arch,
        /// Those that there are.
        there: String,
    },
    /// More than one image for this architecture.
    #[error("{image}: more than one image for linux/{arch} ({there}); keep one of them")]
    Several {
        /// The path.
        image: String,
        /// The architecture that was asked for.
        arch: Arch,
        /// Their digests.
        there: String,
    },
    /// A layer that cannot be read, is hostile, or means different things to different runtimes.
    #[error("{image}: layer {number} ({diff_id}): {why}")]
    Layer {
        /// The reference or path.
        image: String,
        /// Its number, from 1 as people count.
        number: usize,
        /// The digest of its uncompressed form.
        diff_id: Sha256,
        /// What is wrong with it.
        why: String,
    },
}

impl OciError {
    /// The error of a stream with the wrong bytes, where `error` is one.
    pub(crate) fn of_mismatch(image: &str, error: &io::Error) -> Option<Self> {
        let wrong = WrongDigest::of(error)?;
        Some(Self::Mismatch {
            image: image.to_owned(),
            what: wrong.what.clone(),
            expected: wrong.expected.oci(),
            found: wrong.found.oci(),
        })
    }
}

/// What is shown of a text from outside.
pub(crate) fn told(text: &str) -> String {
    excerpt(text, 160)
}
