//! An image as a folder (image-spec, "OCI Image Layout Specification"), exchanged as a whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use oci_spec::image::{
    ANNOTATION_REF_NAME, Descriptor, ImageIndex, ImageIndexBuilder, MediaType, OciLayoutBuilder,
    SCHEMA_VERSION,
};

use super::documents::canonical;
use super::error::ImageError;
use super::staging::{CancelToken, Staging, copy, copy_stream, parent};
use super::{Assembled, SBOM, gzip};
use crate::digest::{Hasher, Sha256};
use crate::oci::{BaseImage, BlobSource, PlatformImage};

pub(super) const MARKER: &str = "oci-layout";
pub(super) const INDEX: &str = "index.json";
const BLOBS: &str = "blobs";

/// Everything that can stand in a folder that this program wrote.
const OURS: [&str; 4] = [BLOBS, INDEX, MARKER, SBOM];

/// How containerd, and newer Dockers with it, find the whole name of an image in a layout.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// How the added layer in a layout was compressed.
const COMPRESSED: &str = "ai.openclaw.bake.gzip";

/// The name of the layout in the making.
const FOLDER: &str = "layout";

/// What [`LayoutWriter::finish`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutOutcome {
    /// Nothing: this very image stood there, whole.
    Unchanged,
    /// The folder holds this image now, and no other.
    Written,
}

/// A layout in the making, which has the base image's layers.
pub struct LayoutWriter {
    place: PathBuf,
    unfinished: CancelToken,
    /// None where nothing had to be brought so far.
    staging: Option<Staging>,
}

impl LayoutWriter {
    /// Brings the layers of the base image for the layout at `place`. Blobs that are there already are
    /// not brought again, but every byte of them is held against its digest.
    ///
    /// Nothing is waited for until it is on the disk: what a power cut tears is found by its digest.
    ///
    /// # Errors
    /// Where it cannot be written, the base image cannot be read, something else stands there, or
    /// it was abandoned. What stood there stays then, and nothing else is left.
    pub fn begin(
        place: &Path,
        base: &BaseImage,
        images: &[PlatformImage],
        unfinished: &CancelToken,
    ) -> Result<Self, ImageError> {
        unfinished.unless_abandoned(|| Self::of_base(place, base, images, unfinished))
    }

    fn of_base(
        place: &Path,
        base: &BaseImage,
        images: &[PlatformImage],
        unfinished: &CancelToken,
    ) -> Result<Self, ImageError> {
        let place = found(place)?;
        refuse_foreign(&place)?;
        let mut layout = Self { place, unfinished: unfinished.clone(), staging: None };
        let layers: BTreeMap<_, _> = images
            .iter()
            .flat_map(|image| &image.layers)
            .map(|layer| (layer.descriptor.digest().to_string(), layer))
            .collect();
        let (standing, missing): (Vec<_>, Vec<_>) = layers
            .into_values()
            .map(|layer| Ok((layer, layout.stands(&layer.descriptor)?)))
            .collect::<Result<Vec<_>, ImageError>>()?
            .into_iter()
            .partition(|(_, stands)| *stands);
        if missing.is_empty() {
            return Ok(layout);
        }
        for (layer, _) in standing {
            layout.keep(&layer.descriptor)?;
        }
        for (layer, _) in missing {
            layout.put(&layer.descriptor, |file, path| {
                copy_stream(base.images.layer(layer)?, |error| base.failed(error), file, path, unfinished)
            })?;
        }
        Ok(layout)
    }

    /// Puts everything else there, and all of it where it belongs, in one step.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn finish(self, image: &Assembled) -> Result<LayoutOutcome, ImageError> {
        let unfinished = self.unfinished.clone();
        unfinished.unless_abandoned(|| self.completed(image))
    }

    fn completed(mut self, image: &Assembled) -> Result<LayoutOutcome, ImageError> {
        let index = index(image, vec![image.contents.index.clone()])?;
        let documents = [(INDEX, index.as_slice()), (MARKER, &marker()?), (SBOM, &image.sbom)];
        let mut known = Vec::new();
        for blob in &image.contents.blobs {
            let is_base = matches!(blob.from, BlobSource::Base { .. });
            known.push(is_base || self.stands(&blob.descriptor)?);
        }
        let same = |(name, content): &(&str, &[u8])| {
            fs::read(self.place.join(name)).is_ok_and(|there| there == *content)
        };
        let whole = self.staging.is_none() && known.iter().all(|known| *known);
        if whole && documents.iter().all(same) && count(&self.place) == known.len() {
            return Ok(LayoutOutcome::Unchanged);
        }
        for (blob, known) in image.contents.blobs.iter().zip(known) {
            if known && self.keep(&blob.descriptor)? {
                continue;
            }
            let unfinished = self.unfinished.clone();
            self.put(&blob.descriptor, |file, path| copy(&image.contents, blob, file, path, &unfinished))?;
        }
        let folder = self.folder()?;
        for (name, content) in documents {
            let path = folder.join(name);
            fs::write(&path, content).map_err(ImageError::io(&path, "write"))?;
        }
        if let Some(staging) = self.staging {
            staging.put_folder(FOLDER, &self.place)?;
        }
        Ok(LayoutOutcome::Written)
    }

    /// Where it is made.
    fn folder(&mut self) -> Result<PathBuf, ImageError> {
        if let Some(staging) = &self.staging {
            return Ok(staging.join(FOLDER));
        }
        let staging = self.staging.insert(Staging::next_to(&self.place, &self.unfinished)?);
        let folder = staging.join(FOLDER);
        let blobs = blobs(&folder);
        fs::create_dir_all(&blobs).map_err(ImageError::io(&blobs, "make the folder"))?;
        Ok(folder)
    }

    /// Takes over a blob that stands there. Returns whether it is in the new layout now: not every
    /// file system has hard links.
    fn keep(&mut self, descriptor: &Descriptor) -> Result<bool, ImageError> {
        let new = path(&self.folder()?, descriptor);
        Ok(new.exists() || fs::hard_link(path(&self.place, descriptor), &new).is_ok())
    }

    /// Makes the file of a blob.
    fn put(
        &mut self,
        descriptor: &Descriptor,
        write: impl FnOnce(&mut File, &Path) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let path = path(&self.folder()?, descriptor);
        let mut file = File::create_new(&path).map_err(ImageError::io(&path, "write"))?;
        write(&mut file, &path)
    }

    /// Whether a blob stands there as it should be.
    fn stands(&self, descriptor: &Descriptor) -> Result<bool, ImageError> {
        let path = path(&self.place, descriptor);
        let is_file = fs::symlink_metadata(&path)
            .is_ok_and(|there| there.is_file() && there.len() == descriptor.size());
        let (true, Ok(digest)) = (is_file, descriptor.digest().as_ref().parse::<Sha256>()) else {
            return Ok(false);
        };
        let mut file = File::open(&path).map_err(ImageError::io(&path, "read"))?;
        let (mut hasher, mut piece) = (Hasher::default(), vec![0; 128 << 10]);
        loop {
            match file.read(&mut piece).map_err(ImageError::io(&path, "read"))? {
                0 => break,
                count => hasher.update(&piece[..count]),
            }
        }
        Ok(hasher.finish() == digest)
    }
}

/// Whether `index.json` in `layout` is of a program that compresses as this one does.
pub(super) fn is_compressed_alike(layout: &Path) -> bool {
    let Ok(index) = ImageIndex::from_file(layout.join(INDEX)) else { return false };
    let mut listed = index.manifests().iter().map(Descriptor::annotations);
    listed.any(|annotations| {
        annotations.as_ref().and_then(|annotations| annotations.get(COMPRESSED)).map(String::as_str)
            == Some(gzip::FORM)
    })
}

/// `index.json` for these images.
pub(super) fn index(image: &Assembled, mut listed: Vec<Descriptor>) -> Result<Vec<u8>, ImageError> {
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

/// What says that a folder is a layout.
pub(super) fn marker() -> Result<Vec<u8>, ImageError> {
    let unwritten = |why: String| ImageError::Document { what: "layout", why };
    let marker = OciLayoutBuilder::default().image_layout_version("1.0.0").build();
    canonical(&marker.map_err(|error| unwritten(error.to_string()))?)
        .map_err(|error| unwritten(error.to_string()))
}

/// The path of a blob in a layout.
pub(super) fn name(descriptor: &Descriptor) -> String {
    format!("{BLOBS}/sha256/{}", descriptor.digest().digest())
}

pub(super) fn path(layout: &Path, descriptor: &Descriptor) -> PathBuf {
    layout.join(name(descriptor))
}

fn blobs(layout: &Path) -> PathBuf {
    layout.join(BLOBS).join("sha256")
}

/// How many blobs there are.
fn count(layout: &Path) -> usize {
    fs::read_dir(blobs(layout)).into_iter().flatten().count()
}

/// The place itself, behind links; the folder that it is in is made.
fn found(place: &Path) -> Result<PathBuf, ImageError> {
    let parent = parent(place);
    fs::create_dir_all(parent).map_err(ImageError::io(parent, "make the folder"))?;
    match fs::canonicalize(place) {
        Ok(found) => Ok(found),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            std::path::absolute(place).map_err(ImageError::io(place, "be found"))
        }
        Err(error) => Err(ImageError::io(place, "be found")(error)),
    }
}

/// The folder is exchanged, so that what is somebody else's in it would be lost.
fn refuse_foreign(place: &Path) -> Result<(), ImageError> {
    let foreign = || Err(ImageError::Foreign { path: place.to_owned() });
    let entries = match fs::read_dir(place) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(place).is_err() => {
            return Ok(());
        }
        Err(_) => return foreign(),
    };
    let names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    let ours = names.iter().all(|name| OURS.iter().any(|ours| name == ours));
    // An SBOM beside the marker is what no other program writes.
    if names.is_empty() || ours && [MARKER, SBOM].iter().all(|own| names.iter().any(|name| name == own)) {
        return Ok(());
    }
    foreign()
}
