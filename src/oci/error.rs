use std::io;

use super::verified::WrongDigest;
use crate::digest::Sha256;
use crate::project::values::Arch;
use crate::text::excerpt;

/// Why an image cannot be read or trusted. `image` is the reference or path as the user typed it.
#[derive(Debug, thiserror::Error)]
pub enum OciError {
    #[error(
        "{text}: no such folder or file here, and not an image reference such as `ghcr.io/owner/image:tag`"
    )]
    NoSource { text: String },
    #[error("{image}: {why}; give an OCI image layout, a tarball of `docker save`, or a reference")]
    NotASource { image: String, why: String },
    #[error("{image}: cannot be read: {source}")]
    Io { image: String, source: io::Error },
    #[error("{image}: the registry has no such {what}; compare the reference with what is published there")]
    NotFound {
        image: String,
        /// `tag`, `manifest` or `blob`, with its name.
        what: String,
    },
    /// 401 or 403.
    #[error(
        "{image}: {registry} does not let {who} read it; the image is private or does not exist: check the name, or log in with `docker login {registry}`{said}"
    )]
    Denied {
        image: String,
        registry: String,
        who: &'static str,
        /// The registry's own explanation, in parentheses.
        said: String,
    },
    /// 401 or 403 on a push.
    #[error(
        "{image}: {registry} does not let {who} push: log in with `docker login {registry}`, or for Artifact Registry with `gcloud auth configure-docker {registry}`, or ask its owner for push access{said}"
    )]
    MayNotPush {
        image: String,
        registry: String,
        who: &'static str,
        /// The registry's own explanation, in parentheses.
        said: String,
    },
    #[error("{image}: {registry} cannot be reached: {why}; check the network and the name, and try again")]
    Unreachable {
        image: String,
        registry: String,
        /// The root cause.
        why: String,
    },
    /// 429 or 5xx on every attempt.
    #[error("{image}: {registry} still fails after {tries} tries ({why}); try again later")]
    Failing { image: String, registry: String, tries: usize, why: String },
    #[error("{image}: {registry} sent an invalid response: {why}")]
    Answer { image: String, registry: String, why: String },
    #[error("{registry}: the credentials in {file} cannot be used: {why}")]
    Credentials {
        registry: String,
        /// Docker's or Podman's file.
        file: String,
        /// Never contains the credentials.
        why: String,
    },
    #[error("{image}: {what} has the digest {found}, expected {expected}; do not use this image")]
    Mismatch { image: String, what: String, expected: String, found: String },
    #[error("{image}: {what} is missing; save or copy the image again")]
    Incomplete { image: String, what: String },
    /// For example a Helm chart, an encrypted image, or a schema 1 manifest.
    #[error("{image}: not an image that `bake` can read: {why}")]
    NotAnImage { image: String, why: String },
    #[error("{image}: no build for linux/{arch}; there is {there}")]
    NoBuild { image: String, arch: Arch, there: String },
    #[error("{image}: more than one image for linux/{arch} ({there}); keep one of them")]
    Several { image: String, arch: Arch, there: String },
    /// Unreadable, hostile, or ambiguous between runtimes.
    #[error("{image}: layer {number} ({diff_id}): {why}")]
    Layer {
        image: String,
        /// Counted from 1.
        number: usize,
        /// Digest of the uncompressed layer.
        diff_id: Sha256,
        why: String,
    },
}

impl OciError {
    /// The mismatch behind `error`, if that is the reason.
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

pub(crate) fn sanitized(text: &str) -> String {
    excerpt(text, 160)
}
