//! An image as its documents describe it, independent of where they are stored.

use std::collections::BTreeMap;
use std::io::Read;

use oci_spec::image::{Descriptor, ImageConfiguration, ImageManifest};

use super::OciError;
use super::error::sanitized;
use super::manifest::{
    IndexEntry, LONGEST_DOCUMENT, OciManifest, arch_of_config, digest_of, is_layer, listed, parse,
};
use super::verified::Verified;
use crate::digest::Sha256;
use crate::project::values::Arch;

#[derive(Clone, Debug)]
pub struct PlatformImage {
    pub arch: Arch,
    pub config: ImageConfiguration,
    /// The original bytes, with fields the specification does not have, such as Docker's health check.
    pub document: Vec<u8>,
    /// Lowest first.
    pub layers: Vec<Layer>,
}

#[derive(Clone, Debug)]
pub struct Layer {
    /// The stored form.
    pub descriptor: Descriptor,
    /// SHA-256 of the uncompressed layer.
    pub diff_id: Sha256,
}

/// A source of images.
pub trait Images: Send + Sync {
    /// As the user typed it.
    fn name(&self) -> &str;

    fn image(&self, arch: Arch) -> Result<PlatformImage, OciError>;

    /// Streams the stored bytes. The stream ends with an error if digest or length differ from the
    /// descriptor.
    fn layer(&self, layer: &Layer) -> Result<Box<dyn Read + '_>, OciError>;
}

/// Access to blobs by digest: everything except old `docker save` tarballs.
pub(crate) trait Blobs: Images {
    /// An index or a manifest, unverified.
    fn manifest(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, OciError>;

    /// Any other blob, unverified.
    fn blob(&self, descriptor: &Descriptor) -> Result<Box<dyn Read + '_>, OciError>;

    /// Maps an error of a reader from [`Self::blob`].
    fn failed(&self, error: std::io::Error) -> OciError;
}

/// The builds of an index and its nested indexes. The first one per architecture wins, as in container
/// runtimes.
pub(crate) fn builds(
    blobs: &dyn Blobs,
    entries: &[Descriptor],
) -> Result<BTreeMap<Arch, Descriptor>, OciError> {
    /// Far above anything published; each entry may cost a request.
    const MOST: usize = 256;
    /// Nesting depth of indexes; one level is in use.
    const DEEPEST: usize = 4;
    let mut found = BTreeMap::new();
    let mut seen = 0;
    let mut open = Vec::new();
    let mut enter = |open: &mut Vec<(usize, Descriptor)>, depth: usize, entries: &[Descriptor]| {
        seen += entries.len();
        if seen > MOST {
            return Err(not_an_image(blobs, format!("an index with more than {MOST} images")));
        }
        if depth > DEEPEST {
            return Err(not_an_image(blobs, format!("an index with more than {DEEPEST} nested levels")));
        }
        open.extend(entries.iter().rev().map(|entry| (depth, entry.clone())));
        Ok(())
    };
    enter(&mut open, 0, entries)?;
    while let Some((depth, descriptor)) = open.pop() {
        match IndexEntry::of(&descriptor) {
            IndexEntry::Other => {}
            IndexEntry::Build(arch) => {
                found.entry(arch).or_insert(descriptor);
            }
            IndexEntry::Nested => match read_manifest(blobs, &descriptor)? {
                OciManifest::Index(nested) => enter(&mut open, depth + 1, nested.manifests())?,
                OciManifest::Image(_) => {
                    return Err(not_an_image(blobs, "an index that lists a manifest as an index".to_owned()));
                }
            },
            IndexEntry::Unmarked => {
                // An artifact without a platform is not an image, and no reason to refuse the others.
                let bytes = read_whole(blobs, &descriptor, true)?;
                if let Ok((OciManifest::Image(manifest), _)) = OciManifest::read(&bytes)
                    && let Some(arch) = arch_of_config(&config(blobs, &manifest)?.0)
                {
                    found.entry(arch).or_insert(descriptor);
                }
            }
        }
    }
    Ok(found)
}

pub(crate) fn build(
    blobs: &dyn Blobs,
    arch: Arch,
    builds: &BTreeMap<Arch, Descriptor>,
) -> Result<PlatformImage, OciError> {
    let Some(descriptor) = builds.get(&arch) else {
        return Err(OciError::NoBuild { image: blobs.name().to_owned(), arch, there: listed(builds) });
    };
    match read_manifest(blobs, descriptor)? {
        OciManifest::Image(manifest) => image(blobs, arch, &manifest),
        OciManifest::Index(_) => {
            Err(not_an_image(blobs, "an index that lists an index as a manifest".to_owned()))
        }
    }
}

/// The image for `arch` in a layout whose entries are separate images.
pub(crate) fn only(blobs: &dyn Blobs, arch: Arch, entries: &[Descriptor]) -> Result<PlatformImage, OciError> {
    let (mut fitting, mut others) = (BTreeMap::new(), BTreeMap::new());
    for entry in entries {
        let mut found = builds(blobs, std::slice::from_ref(entry))?;
        // One image can be listed under several names.
        fitting.extend(found.remove(&arch).map(|build| (build.digest().to_string(), build)));
        others.extend(found);
    }
    if fitting.len() > 1 {
        let there = fitting.into_keys().collect::<Vec<_>>().join(", ");
        return Err(OciError::Several { image: blobs.name().to_owned(), arch, there });
    }
    others.extend(fitting.into_values().map(|build| (arch, build)));
    build(blobs, arch, &others)
}

pub(crate) fn layer<'a>(blobs: &'a dyn Blobs, layer: &Layer) -> Result<Box<dyn Read + 'a>, OciError> {
    Ok(Box::new(verified(blobs, blobs.blob(&layer.descriptor)?, &layer.descriptor)?))
}

/// Fails if the image is not for `arch`.
pub(crate) fn image(
    blobs: &dyn Blobs,
    arch: Arch,
    manifest: &ImageManifest,
) -> Result<PlatformImage, OciError> {
    let (config, document) = config(blobs, manifest)?;
    let there = arch_of_config(&config);
    if there != Some(arch) {
        let there = listed(&there.map(|arch| (arch, ())).into_iter().collect());
        return Err(OciError::NoBuild { image: blobs.name().to_owned(), arch, there });
    }
    let layers = layers(&config, manifest.layers()).map_err(|why| not_an_image(blobs, why))?;
    Ok(PlatformImage { arch, config, document, layers })
}

/// Pairs the layers of the manifest with the uncompressed digests of the config.
fn layers(config: &ImageConfiguration, stored: &[Descriptor]) -> Result<Vec<Layer>, String> {
    let diff_ids = diff_ids(config)?;
    if diff_ids.len() != stored.len() {
        return Err(format!("its config lists {} layers, its manifest {}", diff_ids.len(), stored.len()));
    }
    let mut layers = Vec::new();
    for (descriptor, diff_id) in stored.iter().zip(diff_ids) {
        if !is_layer(descriptor.media_type()) {
            return Err(format!(
                "it has a layer with the media type {}",
                sanitized(descriptor.media_type().as_ref())
            ));
        }
        digest_of(descriptor)?;
        layers.push(Layer { descriptor: descriptor.clone(), diff_id });
    }
    Ok(layers)
}

/// Digests of the uncompressed layers (image-spec, "rootfs").
pub(crate) fn diff_ids(config: &ImageConfiguration) -> Result<Vec<Sha256>, String> {
    let parse = |text: &String| {
        text.parse().map_err(|_| format!("its config names a layer by {}, not by a SHA-256", sanitized(text)))
    };
    config.rootfs().diff_ids().iter().map(parse).collect()
}

pub(crate) fn config(
    blobs: &dyn Blobs,
    manifest: &ImageManifest,
) -> Result<(ImageConfiguration, Vec<u8>), OciError> {
    let bytes = read_whole(blobs, manifest.config(), false)?;
    let config =
        parse(&bytes).map_err(|why| not_an_image(blobs, format!("its config cannot be read: {why}")))?;
    Ok((config, bytes))
}

pub(crate) fn read_manifest(blobs: &dyn Blobs, descriptor: &Descriptor) -> Result<OciManifest, OciError> {
    let bytes = read_whole(blobs, descriptor, true)?;
    OciManifest::read(&bytes).map(|(manifest, _)| manifest).map_err(|why| not_an_image(blobs, why))
}

fn read_whole(blobs: &dyn Blobs, descriptor: &Descriptor, manifest: bool) -> Result<Vec<u8>, OciError> {
    if descriptor.size() > LONGEST_DOCUMENT {
        let why = format!("{} is longer than {} MiB", descriptor.digest(), LONGEST_DOCUMENT >> 20);
        return Err(not_an_image(blobs, why));
    }
    let stored = if manifest { blobs.manifest(descriptor)? } else { blobs.blob(descriptor)? };
    let mut bytes = Vec::new();
    verified(blobs, stored, descriptor)?.read_to_end(&mut bytes).map_err(|error| failure(blobs, error))?;
    Ok(bytes)
}

pub(crate) fn verified<'a>(
    blobs: &dyn Blobs,
    stored: Box<dyn Read + 'a>,
    descriptor: &Descriptor,
) -> Result<Verified<Box<dyn Read + 'a>>, OciError> {
    let digest = digest_of(descriptor).map_err(|why| not_an_image(blobs, why))?;
    Ok(Verified::new(stored, format!("the blob {}", digest.oci()), digest, Some(descriptor.size())))
}

fn failure(blobs: &dyn Blobs, error: std::io::Error) -> OciError {
    OciError::of_mismatch(blobs.name(), &error).unwrap_or_else(|| blobs.failed(error))
}

fn not_an_image(blobs: &dyn Blobs, why: String) -> OciError {
    OciError::NotAnImage { image: blobs.name().to_owned(), why }
}
