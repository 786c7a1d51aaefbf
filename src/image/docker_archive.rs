//! The image for one architecture as a file: a tarball of an image layout with Docker's `manifest.json`, as
//! Docker writes it since version 25.
//!
//! It works with `docker load` of every version, `podman load` and `skopeo` (`docker-archive:` and
//! `oci-archive:`), and keeps layers compressed.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use oci_spec::image::Descriptor;
use serde_json::json;
use tar::{EntryType, Header};

use super::documents::canonical;
use super::error::ImageError;
use super::layout::format::{self, INDEX, MARKER};
use super::staging::{CancelToken, Staging, copy, parent};
use super::{Assembled, Built};
use crate::oci::Blob;

/// Docker's list of images (Docker's image-spec v1.2).
const MANIFEST: &str = "manifest.json";

/// Tar block size; two zero blocks end the archive.
const BLOCK: usize = 512;

const SBOM_SUFFIX: &str = ".cdx.json";

/// Path of the SBOM that belongs to a tarball.
pub fn sbom_of(place: &Path) -> PathBuf {
    let mut path = place.as_os_str().to_owned();
    path.push(SBOM_SUFFIX);
    path.into()
}

/// Writes `built`, a part of `image`, to the file `place`, and its SBOM next to it. All timestamps are
/// `mtime`, in seconds since 1970. On failure the old files remain.
pub fn write(
    image: &Assembled,
    built: &Built,
    place: &Path,
    mtime: u64,
    cancel: &CancelToken,
) -> Result<(), ImageError> {
    cancel.unless_cancelled(|| put(image, built, place, mtime, cancel))
}

fn put(
    image: &Assembled,
    built: &Built,
    place: &Path,
    mtime: u64,
    cancel: &CancelToken,
) -> Result<(), ImageError> {
    let sbom = sbom_of(place);
    for place in [place, &sbom] {
        if fs::metadata(place).is_ok_and(|there| !there.is_file()) {
            return Err(ImageError::Foreign { path: place.to_owned() });
        }
    }
    fs::create_dir_all(parent(place)).map_err(ImageError::io(parent(place), "make the folder"))?;
    let staging = Staging::next_to(place, cancel)?;
    let path = staging.join("image");
    let file = File::create_new(&path).map_err(ImageError::io(&path, "write"))?;
    let mut tarball = Writer { file: BufWriter::with_capacity(256 << 10, file), path: place, mtime };
    tarball.document(MARKER, &format::marker()?)?;
    tarball.document(INDEX, &format::index(image, vec![built.manifest.clone()])?)?;
    tarball.document(MANIFEST, &manifest(image, built)?)?;
    for blob in image.contents.blobs.iter().filter(|blob| is_part(built, blob)) {
        tarball.header(&format::name(&blob.descriptor), blob.descriptor.size())?;
        copy(&image.contents, blob, &mut tarball.file, place, cancel)?;
        tarball.fill(blob.descriptor.size())?;
    }
    tarball.finish()?;
    let written = staging.join("sbom");
    fs::write(&written, &image.sbom).map_err(ImageError::io(&sbom, "write"))?;
    // The SBOM identifies its image, so a mismatched pair is detectable.
    staging.put_files(&[("sbom", &sbom), ("image", place)])
}

/// Whether a blob belongs to this architecture's image.
fn is_part(built: &Built, blob: &Blob) -> bool {
    let parts = built.layers.iter().chain([&built.config, &built.manifest]);
    parts.map(Descriptor::digest).any(|digest| digest == blob.descriptor.digest())
}

/// Input of `docker load`.
fn manifest(image: &Assembled, built: &Built) -> Result<Vec<u8>, ImageError> {
    let document = json!([{
        "Config": format::name(&built.config),
        "RepoTags": [format!("{}:{}", image.name, image.tag)],
        "Layers": built.layers.iter().map(format::name).collect::<Vec<_>>(),
    }]);
    canonical(&document).map_err(|error| ImageError::Document { what: "manifest", why: error.to_string() })
}

struct Writer<'a> {
    file: BufWriter<File>,
    /// For messages.
    path: &'a Path,
    mtime: u64,
}

impl Writer<'_> {
    fn document(&mut self, name: &str, content: &[u8]) -> Result<(), ImageError> {
        self.header(name, content.len() as u64)?;
        self.put(content)?;
        self.fill(content.len() as u64)
    }

    fn header(&mut self, name: &str, size: u64) -> Result<(), ImageError> {
        let mut header = Header::new_gnu();
        header.set_path(name).map_err(ImageError::io(self.path, "write"))?;
        header.set_entry_type(EntryType::Regular);
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(self.mtime);
        header.set_size(size);
        header.set_cksum();
        self.put(header.as_bytes())
    }

    /// Pads to the next block.
    fn fill(&mut self, size: u64) -> Result<(), ImageError> {
        let missing = size.wrapping_neg() % BLOCK as u64;
        self.put(&[0; BLOCK][..usize::try_from(missing).unwrap_or_default()])
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        self.file.write_all(bytes).map_err(ImageError::io(self.path, "write"))
    }

    fn finish(mut self) -> Result<(), ImageError> {
        self.put(&[0; 2 * BLOCK])?;
        self.file.flush().map_err(ImageError::io(self.path, "write"))
    }
}
