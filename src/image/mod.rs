//! The gateway's image without a builder: the base image, one layer, and new documents.
//!
//! [`Additions`] are the layers of the locked binaries, [`assemble`] makes every document above them,
//! and says where the base image's layers are; nothing of those is read. [`LayoutWriter`] and
//! [`write_tarball`] put the result onto the disk, all of it or nothing.
//!
//! The digests depend on the lock, the base image and the time that is asked for, and on nothing
//! else: neither this machine nor the moment is asked.

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
use crate::oci::{BaseImage, Contents, PlatformImage};
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

/// The name of the SBOM in a layout's folder.
pub const SBOM: &str = "sbom.cdx.json";

/// The most layers of an image that Docker takes (moby, `maxLayerDepth`); overlayfs takes two more.
const MOST_LAYERS: usize = 125;

/// What an image is made from.
#[derive(Clone, Copy)]
pub struct Recipe<'a> {
    /// What it is called: the spec's `name`.
    pub name: &'a str,
    /// What goes into it.
    pub lock: &'a Lock,
    /// The digest of what is locked.
    pub lock_digest: Sha256,
    /// The only time that stands in it.
    pub created: Timestamp,
    /// A folder for files that are gone with the process; they may take as much room as the binaries.
    pub scratch: &'a Path,
}

/// An image, ready to be written or pushed.
pub struct Assembled {
    /// Every blob of it.
    pub contents: Contents,
    /// The image of each architecture.
    pub images: Vec<Built>,
    /// The SBOM, CycloneDX 1.5 as JSON.
    pub sbom: Vec<u8>,
    /// A tag for it, which is as good as its digest to tell it from others: of the lock's digest.
    pub tag: String,
    /// What it is called.
    pub name: String,
}

/// The image for one architecture.
#[derive(Clone, Debug)]
pub struct Built {
    /// What it runs on.
    pub arch: Arch,
    /// Its manifest.
    pub manifest: Descriptor,
    /// Its config.
    pub config: Descriptor,
    /// Its layers, the lowest first.
    pub layers: Vec<Descriptor>,
    /// Those of them that are not the base image's: one, or none where nothing is locked.
    pub added: usize,
}

/// The locked archives by binary and architecture, verified.
pub type Archives<'a> = BTreeMap<(&'a ToolName, Arch), File>;

/// What goes over a base image's layers, for each architecture.
#[derive(Default)]
pub struct Additions(BTreeMap<Arch, Addition>);

/// What goes over the layers of one base image.
struct Addition {
    /// None where nothing is locked.
    layer: Option<BuiltLayer>,
    /// The executables, by command.
    executables: BTreeMap<ToolName, Executable>,
}

impl Additions {
    /// Those that an earlier run left in the layout at `place`, where they are what would be made anew.
    pub fn standing(recipe: &Recipe<'_>, place: &Path, arches: &[Arch]) -> Self {
        let found = in_parallel(arches, arches.len(), |arch| reuse::addition(recipe, place, *arch));
        let found = arches.iter().zip(found).filter_map(|(arch, found)| Some((*arch, found?)));
        Self(found.collect())
    }

    /// Those of `arches` that are not here.
    pub fn missing(&self, arches: &[Arch]) -> Vec<Arch> {
        arches.iter().copied().filter(|arch| !self.0.contains_key(arch)).collect()
    }

    /// Makes those for `arches`, side by side, and holds each executable against the lock. What is the
    /// same in the layout at `place` is not compressed anew.
    ///
    /// # Errors
    /// Where an archive is not there or not what the lock says, or the disk is full.
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

/// Puts `additions` on `bases`, which are the images of `base` for the same architectures, none of them
/// one that [`needs_builder`].
///
/// # Errors
/// Where the base image is none that can be built on, or an addition is missing.
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
    let labels = Labels::new(&recipe.lock.image, recipe.lock_digest, recipe.created);
    let tag = recipe.lock_digest.short(12);
    let mut documents = documents::Documents::default();
    let (mut images, mut annotations) = (Vec::new(), None);
    for image in bases {
        let addition = additions.remove(&image.arch).ok_or_else(|| ImageError::Document {
            what: "manifest",
            why: format!("nothing was made for {}", image.arch),
        })?;
        let count = image.layers.len() + usize::from(addition.layer.is_some());
        if count > MOST_LAYERS {
            let why = format!(
                "with the locked binaries the image has {count} layers, and Docker takes no more than {MOST_LAYERS}: name a base image with fewer, or squash it"
            );
            return Err(ImageError::Base { image: base.images.name().to_owned(), why });
        }
        let config = config::over(&image, &labels, addition.layer.as_ref().map(|layer| layer.diff_id))
            .map_err(|why| ImageError::Base { image: base.images.name().to_owned(), why })?;
        // What the base image says of itself is the same for each architecture.
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

/// The layer for one architecture.
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
