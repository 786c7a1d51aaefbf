//! Annotations (image-spec, "Pre-Defined Annotation Keys"): as labels in the config for `docker inspect`,
//! and on manifest and index for registries.

use std::collections::BTreeMap;

use jiff::Timestamp;
use oci_spec::image::{
    ANNOTATION_BASE_IMAGE_DIGEST, ANNOTATION_BASE_IMAGE_NAME, ANNOTATION_CREATED, ANNOTATION_REVISION,
    ANNOTATION_SOURCE, ANNOTATION_VERSION,
};

use crate::digest::Sha256;
use crate::lock::LockedImage;

/// Digest of the lock, also set by the Dockerfile.
const LOCK: &str = "ai.openclaw.bake.lock";

/// Annotations of the base image that also apply to images built on it.
const INHERITED: [&str; 3] = [ANNOTATION_SOURCE, ANNOTATION_VERSION, ANNOTATION_REVISION];

/// Labels common to all images of one recipe.
pub(super) struct Labels {
    own: BTreeMap<String, String>,
    /// The base image's tag, used if the base image has no version label.
    version: Option<String>,
    /// RFC 3339, in UTC.
    pub(super) created: String,
}

impl Labels {
    pub(super) fn new(base: &LockedImage, lock: Sha256, created: Timestamp) -> Self {
        let own = [
            (ANNOTATION_BASE_IMAGE_NAME, base.reference.to_string()),
            (ANNOTATION_BASE_IMAGE_DIGEST, base.digest.oci()),
            (LOCK, lock.to_string()),
        ];
        Self {
            own: own.into_iter().map(|(key, value)| (key.to_owned(), value)).collect(),
            version: base.reference.tag().map(str::to_owned),
            created: created.to_string(),
        }
    }

    /// Merges these labels into those of the base image.
    pub(super) fn over(&self, mut base: BTreeMap<String, String>) -> BTreeMap<String, String> {
        if let Some(version) = &self.version {
            base.entry(ANNOTATION_VERSION.to_owned()).or_insert_with(|| version.clone());
        }
        base.extend(self.own.clone());
        base
    }

    /// The annotations for an image with these labels.
    pub(super) fn annotations(&self, labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
        let inherited =
            INHERITED.into_iter().filter_map(|key| Some((key.to_owned(), labels.get(key)?.clone())));
        let mut annotations: BTreeMap<_, _> = inherited.chain(self.own.clone()).collect();
        annotations.insert(ANNOTATION_CREATED.to_owned(), self.created.clone());
        annotations
    }
}
