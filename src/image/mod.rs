//! Builds the gateway's image without a container builder: base image, one layer, new documents.
//!
//! [`Additions`] are the layers with the locked binaries; [`assemble`] creates all documents and refers to
//! the base image's layers without reading them. [`LayoutWriter`] and [`write_tarball`] write the result
//! atomically.
//!
//! The digests depend only on the lock, the base image and the given timestamp.

mod config;
mod docker_archive;
mod documents;
mod error;
mod gzip;
mod labels;
mod layer;
mod layer_tree;
mod layout;
mod reuse;
mod sbom;
mod spool;
mod staging;

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use jiff::Timestamp;
use oci_spec::image::Descriptor;

use crate::archive::Executable;
use crate::digest::Sha256;
use crate::fetch::in_parallel;
use crate::lock::Lock;
use crate::oci::{BaseImage, Contents, PlatformImage, missing_files};
use crate::project::names::ToolName;
use crate::project::values::Arch;
use labels::Labels;
use layer::BuiltLayer;
use layer_tree::LayerTree;
use spool::TempSpool;

pub use config::needs_builder;
pub use docker_archive::{sbom_of, write as write_tarball};
pub use error::ImageError;
pub use layout::{LayoutOutcome, LayoutWriter};
pub use staging::CancelToken;

/// File name of the SBOM in a layout.
pub const SBOM: &str = "sbom.cdx.json";

/// Docker's limit (moby, `maxLayerDepth`); overlayfs supports two more.
const MOST_LAYERS: usize = 125;

#[derive(Clone, Copy)]
pub struct Recipe<'a> {
    /// `name` of the spec.
    pub name: &'a str,
    pub lock: &'a Lock,
    pub lock_digest: Sha256,
    /// The only timestamp in the image.
    pub created: Timestamp,
    /// For temporary files, which may be as large as the binaries.
    pub scratch: &'a Path,
}

pub struct Assembled {
    pub contents: Contents,
    pub images: Vec<Built>,
    /// CycloneDX 1.5 as JSON.
    pub sbom: Vec<u8>,
    /// Derived from the lock's digest, therefore as specific as the image's digest.
    pub tag: String,
    pub name: String,
}

#[derive(Clone, Debug)]
pub struct Built {
    pub arch: Arch,
    pub manifest: Descriptor,
    pub config: Descriptor,
    /// Lowest first.
    pub layers: Vec<Descriptor>,
    /// Number of layers that are not from the base image: 0 or 1.
    pub added: usize,
}

/// Verified archives.
pub type Archives<'a> = BTreeMap<(&'a ToolName, Arch), File>;

#[derive(Default)]
pub struct Additions(BTreeMap<Arch, Addition>);

struct Addition {
    /// `None` if nothing is locked.
    layer: Option<BuiltLayer>,
    /// By command.
    executables: BTreeMap<ToolName, Executable>,
}

impl Additions {
    /// Reuses layers of the layout at `place` that a new build would reproduce.
    pub fn standing(recipe: &Recipe<'_>, place: &Path, arches: &[Arch]) -> Self {
        let found = in_parallel(arches, arches.len(), |arch| reuse::addition(recipe, place, *arch));
        let found = arches.iter().zip(found).filter_map(|(arch, found)| Some((*arch, found?)));
        Self(found.collect())
    }

    /// The architectures that are not in this set.
    pub fn missing(&self, arches: &[Arch]) -> Vec<Arch> {
        arches.iter().copied().filter(|arch| !self.0.contains_key(arch)).collect()
    }

    /// Builds the layers for `arches` in parallel, and verifies each executable against the lock. A layer
    /// in the layout at `place` with the same content is not compressed again.
    pub fn make(
        &mut self,
        recipe: &Recipe<'_>,
        archives: &Archives<'_>,
        place: &Path,
        arches: &[Arch],
    ) -> Result<(), ImageError> {
        let made = in_parallel(arches, arches.len(), |arch| addition(recipe, archives, place, *arch));
        for (arch, made) in arches.iter().zip(made) {
            self.0.insert(*arch, made?);
        }
        Ok(())
    }
}

/// Combines `additions` with `bases`, the images of `base` for the same architectures, which must not
/// [`needs_builder`].
pub fn assemble(
    recipe: &Recipe<'_>,
    base: BaseImage,
    bases: Vec<PlatformImage>,
    Additions(mut additions): Additions,
) -> Result<Assembled, ImageError> {
    let executables: BTreeMap<Arch, BTreeMap<ToolName, Executable>> = additions
        .iter_mut()
        .map(|(arch, addition)| (*arch, std::mem::take(&mut addition.executables)))
        .collect();
    for image in &bases {
        can_start(&base, image, executables.get(&image.arch))?;
    }
    let labels = Labels::new(&recipe.lock.image, recipe.lock_digest, recipe.created);
    let tag = recipe.lock_digest.short(12);
    let mut documents = documents::Documents::default();
    let (mut images, mut annotations) = (Vec::new(), None);
    for image in bases {
        let addition = additions.remove(&image.arch).ok_or_else(|| ImageError::Document {
            what: "manifest",
            why: format!("there is no layer for {}", image.arch),
        })?;
        let count = image.layers.len() + usize::from(addition.layer.is_some());
        if count > MOST_LAYERS {
            let why = format!(
                "with the locked binaries the image has {count} layers, but Docker supports at most {MOST_LAYERS}: use a base image with fewer layers, or squash it"
            );
            return Err(ImageError::Base { image: base.images.name().to_owned(), why });
        }
        let config = config::over(&image, &labels, addition.layer.as_ref().map(|layer| layer.diff_id))
            .map_err(|why| ImageError::Base { image: base.images.name().to_owned(), why })?;
        // These labels are the same for every architecture.
        annotations.get_or_insert_with(|| labels.annotations(&config.labels));
        images.push(documents.image(&image, &config, addition.layer, &labels)?);
    }
    let index = documents.index(&images, annotations.unwrap_or_default())?;
    let subject = sbom::Subject { recipe, index: &index, executables: &executables };
    let sbom = sbom::document(&subject)?;
    let referrer = documents::referrer(&index, &sbom, &labels)?;
    let contents = Contents { base, blobs: documents.blobs, index, referrer };
    Ok(Assembled { contents, images, sbom, tag, name: recipe.name.to_owned() })
}

/// Looks for the executables' loaders in the base image.
fn can_start(
    base: &BaseImage,
    image: &PlatformImage,
    executables: Option<&BTreeMap<ToolName, Executable>>,
) -> Result<(), ImageError> {
    let loaders: Vec<_> = executables
        .into_iter()
        .flatten()
        .filter_map(|(tool, executable)| Some((tool, executable.loader.as_ref()?)))
        .collect();
    let missing = missing_files(&*base.images, image, loaders.iter().map(|(_, loader)| loader.as_str()))?;
    match loaders.into_iter().find(|(_, loader)| missing.contains(&loader.as_str())) {
        Some((tool, loader)) => Err(ImageError::NoLoader {
            tool: tool.clone(),
            arch: image.arch,
            loader: loader.clone(),
            image: base.images.name().to_owned(),
        }),
        None => Ok(()),
    }
}

fn addition(
    recipe: &Recipe<'_>,
    archives: &Archives<'_>,
    place: &Path,
    arch: Arch,
) -> Result<Addition, ImageError> {
    let mut spool = TempSpool::new(recipe.scratch)?;
    let (mut tree, mut executables) = (LayerTree::default(), BTreeMap::new());
    for (name, locked) in &recipe.lock.binaries {
        let missing = || ImageError::NoArchive { tool: name.clone(), arch };
        let build = locked.builds.get(&arch).ok_or_else(missing)?;
        let archive = archives.get(&(name, arch)).ok_or_else(missing)?;
        let executable = tree.add(name, arch, locked.keep_siblings, build, archive, &mut spool)?;
        executables.insert(name.clone(), executable);
    }
    if tree.is_empty() {
        return Ok(Addition { layer: None, executables });
    }
    let pieces = spool.finish()?;
    let standing = match reuse::found(place, arch) {
        Some(layer) => reuse::proved(layer, layer::diff_id(&tree, &pieces, recipe)?),
        None => None,
    };
    let layer = standing.map_or_else(|| layer::write(&tree, &pieces, recipe), Ok)?;
    Ok(Addition { layer: Some(layer), executables })
}
