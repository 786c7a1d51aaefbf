//! Tarballs of `docker save` before Docker 25: `manifest.json`, a config named by its digest, and layers
//! with arbitrary names.
//!
//! The format is Docker's image-spec v1.2, "Combined Image JSON + Filesystem Changeset Format". It has no
//! digests of stored layers, only those of the uncompressed layers in the config.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use oci_spec::image::{Descriptor, Digest, ImageConfiguration, MediaType};
use serde::Deserialize;

use super::OciError;
use super::error::sanitized;
use super::image::{Images, Layer, PlatformImage, diff_ids};
use super::layer::Compression;
use super::layout::{ImageFiles, document, unreadable};
use super::manifest::{arch_of_config, digest_of, listed, parse};
use super::tarball::Tarball;
use super::verified::Verified;
use crate::digest::{Hasher, Sha256};
use crate::project::values::Arch;

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Saved {
    config: String,
    layers: Vec<String>,
}

pub(crate) struct DockerSave {
    tarball: Tarball,
    /// By config digest: one image can have several names.
    images: BTreeMap<Sha256, PlatformImage>,
    /// Path of each stored layer, by digest.
    paths: BTreeMap<Sha256, String>,
}

impl DockerSave {
    /// Reads the documents, and those layers that are stored compressed.
    pub(crate) fn open(tarball: Tarball) -> Result<Self, OciError> {
        let saved: Vec<Saved> = parse(&document(&tarball, "manifest.json")?)
            .map_err(|why| not_an_image(&tarball, format!("`manifest.json` cannot be read: {why}")))?;
        let (mut images, mut paths) = (BTreeMap::new(), BTreeMap::new());
        for image in saved {
            let (digest, config, document) = config(&tarball, &image.config)?;
            let Some(arch) = arch_of_config(&config) else { continue };
            let diff_ids = diff_ids(&config).map_err(|why| not_an_image(&tarball, why))?;
            if diff_ids.len() != image.layers.len() {
                let (known, stored) = (diff_ids.len(), image.layers.len());
                let why = format!("its config lists {known} layers, `manifest.json` {stored}");
                return Err(not_an_image(&tarball, why));
            }
            let mut layers = Vec::new();
            for (path, diff_id) in image.layers.into_iter().zip(diff_ids) {
                let (descriptor, stored) =
                    stored(&tarball, &path, diff_id).map_err(|error| unreadable(&tarball, &path, error))?;
                layers.push(Layer { descriptor, diff_id });
                paths.insert(stored, path);
            }
            images.insert(digest, PlatformImage { arch, config, document, layers });
        }
        Ok(Self { tarball, images, paths })
    }
}

/// A config, whose file name is its digest, with or without a suffix.
fn config(tarball: &Tarball, path: &str) -> Result<(Sha256, ImageConfiguration, Vec<u8>), OciError> {
    let stem = Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let named: Sha256 = stem.strip_suffix(".json").unwrap_or(stem).parse().map_err(|_| {
        not_an_image(tarball, format!("its config {} is not named by its SHA-256", sanitized(path)))
    })?;
    let bytes = document(tarball, path)?;
    let found = Sha256::of(&bytes);
    if found != named {
        return Err(OciError::Mismatch {
            image: tarball.name().to_owned(),
            what: "the config".to_owned(),
            expected: named.oci(),
            found: found.oci(),
        });
    }
    let config =
        parse(&bytes).map_err(|why| not_an_image(tarball, format!("its config cannot be read: {why}")))?;
    Ok((named, config, bytes))
}

/// The stored form of a layer. Docker stores layers uncompressed; for a compressed one the digest is only
/// known after reading it.
fn stored(tarball: &Tarball, path: &str, diff_id: Sha256) -> io::Result<(Descriptor, Sha256)> {
    let section = tarball.section(path)?;
    let size = section.left();
    let (compression, mut section) = Compression::sniff(section)?;
    let media_type = match compression {
        Compression::None => MediaType::ImageLayer,
        Compression::Gzip => MediaType::ImageLayerGzip,
        Compression::Zstd => MediaType::ImageLayerZstd,
    };
    let digest = match compression {
        Compression::None => diff_id,
        Compression::Gzip | Compression::Zstd => {
            let mut digester = Hasher::default();
            let mut buffer = vec![0; 64 << 10];
            loop {
                match section.read(&mut buffer)? {
                    0 => break digester.finish(),
                    count => digester.update(&buffer[..count]),
                }
            }
        }
    };
    let named: Digest = digest.oci().parse().map_err(io::Error::other)?;
    Ok((Descriptor::new(media_type, size, named), digest))
}

fn not_an_image(tarball: &Tarball, why: String) -> OciError {
    OciError::NotAnImage { image: tarball.name().to_owned(), why }
}

impl Images for DockerSave {
    fn name(&self) -> &str {
        self.tarball.name()
    }

    fn image(&self, arch: Arch) -> Result<PlatformImage, OciError> {
        let image = self.tarball.name().to_owned();
        let fitting: Vec<_> = self.images.iter().filter(|(_, image)| image.arch == arch).collect();
        match fitting.as_slice() {
            [(_, image)] => Ok((*image).clone()),
            [] => {
                let there = self.images.values().map(|image| (image.arch, ())).collect();
                Err(OciError::NoBuild { image, arch, there: listed(&there) })
            }
            several => {
                let there = several.iter().map(|(digest, _)| digest.oci()).collect::<Vec<_>>().join(", ");
                Err(OciError::Several { image, arch, there })
            }
        }
    }

    fn layer(&self, layer: &Layer) -> Result<Box<dyn Read + '_>, OciError> {
        let digest = digest_of(&layer.descriptor).map_err(|why| not_an_image(&self.tarball, why))?;
        let missing = || OciError::Incomplete { image: self.tarball.name().to_owned(), what: digest.oci() };
        let path = self.paths.get(&digest).ok_or_else(missing)?;
        let section = self.tarball.section(path).map_err(|error| unreadable(&self.tarball, path, error))?;
        let what = format!("the layer {}", sanitized(path));
        Ok(Box::new(Verified::new(section, what, digest, Some(layer.descriptor.size()))))
    }
}
