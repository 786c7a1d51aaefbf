//! The files of an OCI image layout (image-spec, "OCI Image Layout Specification").

use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::image::{
    ANNOTATION_REF_NAME, Descriptor, ImageIndex, ImageIndexBuilder, MediaType, OciLayoutBuilder,
    SCHEMA_VERSION,
};

use crate::image::documents::canonical;
use crate::image::error::ImageError;
use crate::image::{Assembled, gzip};

pub(in crate::image) const MARKER: &str = "oci-layout";
pub(in crate::image) const INDEX: &str = "index.json";
pub(super) const BLOBS: &str = "blobs";

/// The full image name, for containerd and newer Docker versions.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Version of the added layer's compression.
const COMPRESSED: &str = "ai.openclaw.bake.gzip";

/// Whether the layout was compressed with the same settings.
pub(in crate::image) fn is_compressed_alike(layout: &Path) -> bool {
    let Ok(index) = ImageIndex::from_file(layout.join(INDEX)) else { return false };
    let mut listed = index.manifests().iter().map(Descriptor::annotations);
    listed.any(|annotations| {
        annotations.as_ref().and_then(|annotations| annotations.get(COMPRESSED)).map(String::as_str)
            == Some(gzip::FORM)
    })
}

pub(in crate::image) fn index(image: &Assembled, mut listed: Vec<Descriptor>) -> Result<Vec<u8>, ImageError> {
    for descriptor in &mut listed {
        let name = format!("docker.io/library/{}:{}", image.name, image.tag);
        let annotations = [
            (ANNOTATION_REF_NAME, image.tag.clone()),
            (CONTAINERD_NAME, name),
            (COMPRESSED, gzip::FORM.to_owned()),
        ];
        let annotations = annotations.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
        descriptor.set_annotations(Some(annotations));
    }
    let index = ImageIndexBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageIndex)
        .manifests(listed)
        .build()
        .map_err(|error| ImageError::Document { what: "index", why: error.to_string() })?;
    canonical(&index).map_err(|error| ImageError::Document { what: "index", why: error.to_string() })
}

pub(in crate::image) fn marker() -> Result<Vec<u8>, ImageError> {
    let unwritten = |why: String| ImageError::Document { what: "layout", why };
    let marker = OciLayoutBuilder::default().image_layout_version("1.0.0").build();
    canonical(&marker.map_err(|error| unwritten(error.to_string()))?)
        .map_err(|error| unwritten(error.to_string()))
}

pub(in crate::image) fn name(descriptor: &Descriptor) -> String {
    format!("{BLOBS}/sha256/{}", descriptor.digest().digest())
}

pub(in crate::image) fn path(layout: &Path, descriptor: &Descriptor) -> PathBuf {
    layout.join(name(descriptor))
}

pub(super) fn blobs(layout: &Path) -> PathBuf {
    layout.join(BLOBS).join("sha256")
}

pub(super) fn count(layout: &Path) -> usize {
    fs::read_dir(blobs(layout)).into_iter().flatten().count()
}
