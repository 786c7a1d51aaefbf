//! Writes an OCI image layout atomically (image-spec, "OCI Image Layout Specification").

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread;

use oci_spec::image::Descriptor;

use super::format::{BLOBS, INDEX, MARKER, blobs, count, index, marker, path};
use crate::digest::{Hasher, Sha256};
use crate::fetch::in_parallel;
use crate::image::error::ImageError;
use crate::image::staging::{CancelToken, Staging, copy, copy_stream, parent};
use crate::image::{Assembled, SBOM};
use crate::oci::{BaseImage, BlobSource, PlatformImage};

/// Names in a layout written by this program.
const OURS: [&str; 4] = [BLOBS, INDEX, MARKER, SBOM];

/// Name in the staging folder.
const FOLDER: &str = "layout";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutOutcome {
    Unchanged,
    /// The folder now contains exactly this image.
    Written,
}

/// A layout under construction, with the base image's layers.
pub struct LayoutWriter {
    place: PathBuf,
    cancel: CancelToken,
    /// Created when something has to be written.
    staging: Option<Staging>,
}

impl LayoutWriter {
    /// Fetches the layers of the base image for the layout at `place`. Existing blobs are verified and
    /// kept.
    ///
    /// Files are not synced: damage from a power cut is detected by digest.
    ///
    /// # Errors
    /// The old layout remains. Also if `place` contains something else, or after cancellation.
    pub fn begin(
        place: &Path,
        base: &BaseImage,
        images: &[PlatformImage],
        cancel: &CancelToken,
    ) -> Result<Self, ImageError> {
        cancel.unless_cancelled(|| Self::of_base(place, base, images, cancel))
    }

    fn of_base(
        place: &Path,
        base: &BaseImage,
        images: &[PlatformImage],
        cancel: &CancelToken,
    ) -> Result<Self, ImageError> {
        let place = found(place)?;
        refuse_foreign(&place)?;
        let mut layout = Self { place, cancel: cancel.clone(), staging: None };
        let layers: BTreeMap<_, _> = images
            .iter()
            .flat_map(|image| &image.layers)
            .map(|layer| (layer.descriptor.digest().to_string(), layer))
            .collect();
        let layers: Vec<_> = layers.into_values().collect();
        // Hashing takes most of the time of a repeated build.
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let exist: Result<Vec<_>, _> =
            in_parallel(&layers, cores, |layer| layout.exists(&layer.descriptor)).into_iter().collect();
        let (existing, missing): (Vec<_>, Vec<_>) =
            layers.into_iter().zip(exist?).partition(|(_, exists)| *exists);
        if missing.is_empty() {
            return Ok(layout);
        }
        for (layer, _) in existing {
            layout.keep(&layer.descriptor)?;
        }
        for (layer, _) in missing {
            layout.put(&layer.descriptor, |file, path| {
                copy_stream(base.images.layer(layer)?, |error| base.failed(error), file, path, cancel)
            })?;
        }
        Ok(layout)
    }

    /// Writes everything else and replaces the layout atomically.
    pub fn finish(self, image: &Assembled) -> Result<LayoutOutcome, ImageError> {
        let cancel = self.cancel.clone();
        cancel.unless_cancelled(|| self.completed(image))
    }

    fn completed(mut self, image: &Assembled) -> Result<LayoutOutcome, ImageError> {
        let index = index(image, vec![image.contents.index.clone()])?;
        let documents = [(INDEX, index.as_slice()), (MARKER, &marker()?), (SBOM, &image.sbom)];
        let mut known = Vec::new();
        for blob in &image.contents.blobs {
            let is_base = matches!(blob.from, BlobSource::Base { .. });
            known.push(is_base || self.exists(&blob.descriptor)?);
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
            let cancel = self.cancel.clone();
            self.put(&blob.descriptor, |file, path| copy(&image.contents, blob, file, path, &cancel))?;
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

    /// The folder under construction.
    fn folder(&mut self) -> Result<PathBuf, ImageError> {
        if let Some(staging) = &self.staging {
            return Ok(staging.join(FOLDER));
        }
        let staging = self.staging.insert(Staging::next_to(&self.place, &self.cancel)?);
        let folder = staging.join(FOLDER);
        let blobs = blobs(&folder);
        fs::create_dir_all(&blobs).map_err(ImageError::io(&blobs, "make the folder"))?;
        Ok(folder)
    }

    /// Hard-links an existing blob. Returns whether that worked: not every file system supports it.
    fn keep(&mut self, descriptor: &Descriptor) -> Result<bool, ImageError> {
        let new = path(&self.folder()?, descriptor);
        Ok(new.exists() || fs::hard_link(path(&self.place, descriptor), &new).is_ok())
    }

    fn put(
        &mut self,
        descriptor: &Descriptor,
        write: impl FnOnce(&mut File, &Path) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let path = path(&self.folder()?, descriptor);
        let mut file = File::create_new(&path).map_err(ImageError::io(&path, "write"))?;
        write(&mut file, &path)
    }

    /// Whether the blob exists and has the right digest.
    fn exists(&self, descriptor: &Descriptor) -> Result<bool, ImageError> {
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

/// Resolves links, and creates the parent folder.
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

/// The folder is replaced as a whole, so other files in it would be lost.
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
    // Only this program writes an SBOM next to the marker.
    if names.is_empty() || ours && [MARKER, SBOM].iter().all(|own| names.iter().any(|name| name == own)) {
        return Ok(());
    }
    foreign()
}
