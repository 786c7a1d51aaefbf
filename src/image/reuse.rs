//! The layer that an earlier run left in a layout, taken over where it is the one that this run would
//! make. Nothing is believed of it: each executable is held against the lock, and the whole tarball
//! against one that is made of them anew. What that leaves out is the work of unpacking archives and
//! of compressing; where the lock does not know all that should be in it, of compressing alone.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::bufread::GzDecoder;
use tar::{Archive, EntryType};

use super::layer::{BuiltLayer, Hashing, LayerBuilder, mtime};
use super::layer_tree::BIN;
use super::{Addition, Recipe, layout};
use crate::archive::{Executable, Limits};
use crate::digest::Sha256;
use crate::lock::Build;
use crate::oci;
use crate::project::names::ToolName;
use crate::project::values::Arch;

/// What goes over the base image for `arch`, from the layout at `place`; none where that
/// holds something else, or nothing, or where the lock does not know what it should hold: the digest of every
/// executable, and no tool that needs other files.
pub(super) fn addition(recipe: &Recipe<'_>, place: &Path, arch: Arch) -> Option<Addition> {
    let wanted = wanted(recipe, arch).filter(|wanted| !wanted.is_empty())?;
    let layer = found(place, arch)?;
    let executables = held(&layer, &wanted, mtime(recipe)).ok()??;
    Some(Addition { layer: Some(layer), executables })
}

/// The layer itself, where it is whole and its tarball is the one of this digest.
pub(super) fn proved(layer: BuiltLayer, diff_id: Sha256) -> Option<BuiltLayer> {
    (layer.diff_id == diff_id && is_whole(&layer).ok()?).then_some(layer)
}

/// What the documents of the layout `place` say is the uppermost layer for `arch`: not believed yet.
pub(super) fn found(place: &Path, arch: Arch) -> Option<BuiltLayer> {
    let images = oci::layout(place).ok()?;
    if !layout::is_compressed_alike(place) {
        return None;
    }
    let image = images.image(arch).ok()?;
    let oci::Layer { descriptor, diff_id } = image.layers.last()?;
    let path = layout::path(place, descriptor);
    // A pipe would be waited for without an end.
    let file = path.metadata().ok()?.is_file().then(|| File::open(&path))?.ok()?;
    let digest = descriptor.digest().as_ref().parse().ok()?;
    Some(BuiltLayer { file, size: descriptor.size(), digest, diff_id: *diff_id })
}

/// Whether each byte of the layer is what its digests say.
fn is_whole(layer: &BuiltLayer) -> io::Result<bool> {
    let mut unpacked = Unpacked::of(&layer.file);
    io::copy(&mut unpacked, &mut io::sink())?;
    is_at_its_end(unpacked, layer)
}

/// The tarball in a layer, and the digests of both.
type Unpacked<'a> = Hashing<GzDecoder<BufReader<Hashing<&'a File>>>>;

impl<'a> Unpacked<'a> {
    fn of(file: &'a File) -> Self {
        Hashing::new(GzDecoder::new(BufReader::with_capacity(128 << 10, Hashing::new(file))))
    }
}

/// Whether what was read to its end is the layer, and nothing comes after it.
fn is_at_its_end(
    Hashing { inner: decoder, hasher: unpacked, .. }: Unpacked<'_>,
    layer: &BuiltLayer,
) -> io::Result<bool> {
    let mut stored = decoder.into_inner();
    let is_last = stored.fill_buf()?.is_empty();
    let Hashing { hasher: packed, count: size, .. } = stored.into_inner();
    Ok(is_last && size == layer.size && packed.finish() == layer.digest && unpacked.finish() == layer.diff_id)
}

/// What is in the layer, in its order; none where the lock does not say all of it.
fn wanted<'a>(recipe: &Recipe<'a>, arch: Arch) -> Option<Vec<(&'a ToolName, &'a Build, Sha256)>> {
    let binaries = recipe.lock.binaries.iter();
    binaries
        .map(|(name, locked)| {
            let build = locked.builds.get(&arch).filter(|_| !locked.keep_siblings)?;
            Some((name, build, build.binary_sha256?))
        })
        .collect()
}

/// The executables of a layer that holds just those, packed as this program packs them; none where
/// anything is different.
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
        let path = format!("{BIN}/{name}");
        let size = entry.size();
        if entry.header().entry_type() != EntryType::Regular || *entry.path_bytes() != *path.as_bytes() {
            return Ok(None);
        }
        let mut content = Hashing::new(&mut entry);
        anew.file(Path::new(OsStr::from_bytes(path.as_bytes())), size, true, &mut content)?;
        if content.hasher.finish() != *expected {
            return Ok(None);
        }
        let executable = Executable { path: build.binary.clone(), size, sha256: *expected };
        executables.insert((*name).clone(), executable);
    }
    let mut rest = archive.into_inner();
    io::copy(&mut rest, &mut io::sink())?;
    let same = wanted.next().is_none()
        && is_at_its_end(rest.into_inner(), layer)?
        && anew.finish()?.hasher.finish() == layer.diff_id;
    Ok(same.then_some(executables))
}
