//! Builds manifests and the index reproducibly.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use oci_spec::image::{
    ANNOTATION_CREATED, Descriptor, Digest, ImageIndexBuilder, ImageManifestBuilder, MediaType, Platform,
    SCHEMA_VERSION,
};
use serde::Serialize;
use serde_json::Value;

use super::config::ImageConfig;
use super::error::ImageError;
use super::labels::Labels;
use super::layer::BuiltLayer;
use super::{Built, sbom};
use crate::digest::Sha256;
use crate::oci::{Blob, BlobSource, PlatformImage};

/// The empty config (image-spec, "Guidance for an Empty Descriptor").
const EMPTY: &[u8] = b"{}";

/// Children before parents, without duplicates.
#[derive(Default)]
pub(super) struct Documents {
    pub(super) blobs: Vec<Blob>,
    known: BTreeSet<String>,
}

impl Documents {
    /// Adds an image on `base` with its layers.
    pub(super) fn image(
        &mut self,
        base: &PlatformImage,
        config: &ImageConfig,
        layer: Option<BuiltLayer>,
        labels: &Labels,
    ) -> Result<Built, ImageError> {
        let mut layers = Vec::new();
        for stored in &base.layers {
            let media_type = oci_media_type(stored.descriptor.media_type());
            let digest = stored.descriptor.digest().clone();
            let descriptor = Descriptor::new(media_type, stored.descriptor.size(), digest);
            layers.push(self.add(Blob { descriptor, from: BlobSource::Base { diff_id: stored.diff_id } }));
        }
        let added = usize::from(layer.is_some());
        if let Some(BuiltLayer { file, size, digest, .. }) = layer {
            let descriptor = describe(MediaType::ImageLayerGzip, size, digest)?;
            layers.push(self.add(Blob { descriptor, from: BlobSource::File(file) }));
        }
        let annotations = labels.annotations(&config.labels);
        let config = self.document("config", MediaType::ImageConfig, &config.document)?;
        let manifest = ImageManifestBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageManifest)
            .config(config.clone())
            .layers(layers.clone())
            .annotations(annotations.into_iter().collect::<HashMap<_, _>>())
            .build()
            .map_err(|error| unwritten("manifest", &error))?;
        let mut manifest = self.document("manifest", MediaType::ImageManifest, &manifest)?;
        manifest.set_platform(Some(platform(base)));
        Ok(Built { arch: base.arch, manifest, config, layers, added })
    }

    pub(super) fn index(
        &mut self,
        images: &[Built],
        annotations: BTreeMap<String, String>,
    ) -> Result<Descriptor, ImageError> {
        let index = ImageIndexBuilder::default()
            .schema_version(SCHEMA_VERSION)
            .media_type(MediaType::ImageIndex)
            .manifests(images.iter().map(|image| image.manifest.clone()).collect::<Vec<_>>())
            .annotations(annotations.into_iter().collect::<HashMap<_, _>>())
            .build()
            .map_err(|error| unwritten("index", &error))?;
        self.document("index", MediaType::ImageIndex, &index)
    }

    fn document(
        &mut self,
        what: &'static str,
        kind: MediaType,
        document: &impl Serialize,
    ) -> Result<Descriptor, ImageError> {
        let bytes = canonical(document).map_err(|error| unwritten(what, &error))?;
        let descriptor = describe(kind, bytes.len() as u64, Sha256::of(&bytes))?;
        Ok(self.add(Blob { descriptor, from: BlobSource::Bytes(bytes) }))
    }

    fn add(&mut self, blob: Blob) -> Descriptor {
        let descriptor = blob.descriptor.clone();
        if self.known.insert(descriptor.digest().to_string()) {
            self.blobs.push(blob);
        }
        descriptor
    }
}

/// The SBOM as a referrer of the image (image-spec, "Guidelines for Artifact Usage").
pub(super) fn referrer(subject: &Descriptor, sbom: &[u8], labels: &Labels) -> Result<Vec<Blob>, ImageError> {
    let mut documents = Documents::default();
    let kind = || MediaType::Other(sbom::MEDIA_TYPE.to_owned());
    let mut raw = |kind, bytes: &[u8]| -> Result<Descriptor, ImageError> {
        let descriptor = describe(kind, bytes.len() as u64, Sha256::of(bytes))?;
        Ok(documents.add(Blob { descriptor, from: BlobSource::Bytes(bytes.to_owned()) }))
    };
    let config = raw(MediaType::EmptyJSON, EMPTY)?;
    let layer = raw(kind(), sbom)?;
    let annotations = HashMap::from([(ANNOTATION_CREATED.to_owned(), labels.created.clone())]);
    let manifest = ImageManifestBuilder::default()
        .schema_version(SCHEMA_VERSION)
        .media_type(MediaType::ImageManifest)
        .artifact_type(kind())
        .config(config)
        .layers(vec![layer])
        .subject(subject.clone())
        .annotations(annotations.clone())
        .build()
        .map_err(|error| unwritten("referrer", &error))?;
    documents.document("referrer", MediaType::ImageManifest, &manifest)?;
    if let Some(last) = documents.blobs.last_mut() {
        // A referrers list copies these from the manifest (distribution-spec, "Pushing Manifests with
        // Subject").
        last.descriptor.set_artifact_type(Some(kind()));
        last.descriptor.set_annotations(Some(annotations));
    }
    Ok(documents.blobs)
}

/// JSON with sorted keys: the specification's types have unordered annotations.
pub(super) fn canonical(document: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    serde_json::to_vec(&sorted(serde_json::to_value(document)?))
}

fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> =
                members.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

fn describe(kind: MediaType, size: u64, digest: Sha256) -> Result<Descriptor, ImageError> {
    let digest: Digest = digest.oci().parse().map_err(|error| unwritten("digest", &error))?;
    Ok(Descriptor::new(kind, size, digest))
}

/// OCI media type of a layer; Docker's types denote the same formats.
fn oci_media_type(stored: &MediaType) -> MediaType {
    match stored.as_ref().rsplit_once("diff.") {
        Some((_, "tar")) => MediaType::ImageLayer,
        Some((_, "tar.gzip")) => MediaType::ImageLayerGzip,
        Some((_, "tar.zstd")) => MediaType::ImageLayerZstd,
        _ => stored.clone(),
    }
}

fn platform(base: &PlatformImage) -> Platform {
    let mut platform = Platform::default();
    platform.set_os(base.config.os().clone());
    platform.set_architecture(base.config.architecture().clone());
    platform.set_variant(base.config.variant().clone());
    platform
}

fn unwritten(what: &'static str, error: &dyn std::fmt::Display) -> ImageError {
    ImageError::Document { what, why: error.to_string() }
}
