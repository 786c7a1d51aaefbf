//! Reuse of the layer in an existing layout, if a new build would produce the same one. The layer is
//! verified, not trusted: each executable against the lock, and the tarball against one built from the
//! executables. This saves unpacking and compressing; if the lock does not describe the whole layer, it
//! saves compressing only.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::bufread::GzDecoder;
use tar::{Archive, EntryType};

use super::layer::{BuiltLayer, Hashing, LayerBuilder, mtime};
use super::layout::format;
use super::{Addition, Recipe};
use crate::archive::{Executable, Limits};
use crate::digest::Sha256;
use crate::lock::Build;
use crate::oci;
use crate::project::BIN_DIR;
use crate::project::names::ToolName;
use crate::project::values::Arch;

/// The layer for `arch` from the layout at `place`. `None` if it differs, or if the lock does not describe
/// the whole layer: every executable's digest, and no tool with additional files.
pub(super) fn addition(recipe: &Recipe<'_>, place: &Path, arch: Arch) -> Option<Addition> {
    let wanted = wanted(recipe, arch).filter(|wanted| !wanted.is_empty())?;
    let layer = found(place, arch)?;
    let executables = held(&layer, &wanted, mtime(recipe)).ok()??;
    Some(Addition { layer: Some(layer), executables })
}

/// Verifies a layer against its own digest and the expected uncompressed digest.
pub(super) fn proved(layer: BuiltLayer, diff_id: Sha256) -> Option<BuiltLayer> {
    (layer.diff_id == diff_id && is_whole(&layer).ok()?).then_some(layer)
}

/// The top layer for `arch` in the layout at `place`, unverified.
pub(super) fn found(place: &Path, arch: Arch) -> Option<BuiltLayer> {
    let images = oci::layout(place).ok()?;
    if !format::is_compressed_alike(place) {
        return None;
    }
    let image = images.image(arch).ok()?;
    let oci::Layer { descriptor, diff_id } = image.layers.last()?;
    let path = format::path(place, descriptor);
    // Opening a pipe would block.
    let file = path.metadata().ok()?.is_file().then(|| File::open(&path))?.ok()?;
    let digest = descriptor.digest().as_ref().parse().ok()?;
    Some(BuiltLayer { file, size: descriptor.size(), digest, diff_id: *diff_id })
}

fn is_whole(layer: &BuiltLayer) -> io::Result<bool> {
    let mut unpacked = Unpacked::of(&layer.file);
    io::copy(&mut unpacked, &mut io::sink())?;
    is_at_its_end(unpacked, layer)
}

/// The tarball in a layer, with both digests.
type Unpacked<'a> = Hashing<GzDecoder<BufReader<Hashing<&'a File>>>>;

impl<'a> Unpacked<'a> {
    fn of(file: &'a File) -> Self {
        Hashing::new(GzDecoder::new(BufReader::with_capacity(128 << 10, Hashing::new(file))))
    }
}

/// Checks the digests after reading, and that no data follows.
fn is_at_its_end(
    Hashing { inner: decoder, hasher: unpacked, .. }: Unpacked<'_>,
    layer: &BuiltLayer,
) -> io::Result<bool> {
    let mut stored = decoder.into_inner();
    let is_last = stored.fill_buf()?.is_empty();
    let Hashing { hasher: packed, count: size, .. } = stored.into_inner();
    Ok(is_last && size == layer.size && packed.finish() == layer.digest && unpacked.finish() == layer.diff_id)
}

/// Expected content of the layer in order; `None` if the lock does not describe all of it.
fn wanted<'a>(recipe: &Recipe<'a>, arch: Arch) -> Option<Vec<(&'a ToolName, &'a Build, Sha256)>> {
    let binaries = recipe.lock.binaries.iter();
    binaries
        .map(|(name, locked)| {
            let build = locked.builds.get(&arch).filter(|_| !locked.keep_siblings)?;
            Some((name, build, build.binary_sha256?))
        })
        .collect()
}

/// The executables of the layer; `None` if it contains anything else or is packed differently.
fn held(
    layer: &BuiltLayer,
    wanted: &[(&ToolName, &Build, Sha256)],
    mtime: u64,
) -> io::Result<Option<BTreeMap<ToolName, Executable>>> {
    let limit = Limits::default().total_bytes;
    let mut archive = Archive::new(Unpacked::of(&layer.file).take(limit));
    let mut anew = LayerBuilder::new(Hashing::new(io::sink()), mtime);
    let mut executables = BTreeMap::new();
    let mut wanted = wanted.iter();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let Some((name, build, expected)) = wanted.next() else { return Ok(None) };
        let path = format!("{BIN_DIR}/{name}");
        let size = entry.size();
        if entry.header().entry_type() != EntryType::Regular || *entry.path_bytes() != *path.as_bytes() {
            return Ok(None);
        }
        let mut content = Hashing::new(&mut entry);
        anew.file(Path::new(OsStr::from_bytes(path.as_bytes())), size, true, &mut content)?;
        if content.hasher.finish() != *expected {
            return Ok(None);
        }
        let (path, loader) = (build.binary.clone(), build.loader.clone());
        let executable = Executable { path, size, sha256: *expected, loader };
        executables.insert((*name).clone(), executable);
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    let same = wanted.next().is_none()
        && is_at_its_end(rest.into_inner(), layer)?
        && anew.finish()?.hasher.finish() == layer.diff_id;
    Ok(same.then_some(executables))
}
