//! What a container would find in a folder of its image.

use std::collections::BTreeMap;

use super::error::told;
use super::layer::{self, LayerError, LayerFile, ReadBudget};
use super::overlay::{Inode, Overlay};
use super::{Images, Layer, OciError, PlatformImage};
use crate::digest::Sha256;
use crate::text::innermost;

/// More names than any folder of programs has.
const MOST_NAMES: usize = 10_000;

/// What stands under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundFile {
    /// A regular file, here or at the end of symbolic links.
    File {
        /// The digest of its content.
        sha256: Sha256,
        /// Its length in bytes.
        size: u64,
        /// Its permissions: the lowest twelve bits.
        mode: u32,
        /// Its owner.
        uid: u64,
        /// Its group.
        gid: u64,
        /// The layer that wrote it, an index into [`PlatformImage::layers`].
        layer: usize,
    },
    /// A folder, here or at the end of symbolic links.
    Directory,
    /// A symbolic link that leads nowhere, or in a circle.
    Link {
        /// What it says, escaped and cut for a message.
        target: String,
    },
    /// A device or a pipe.
    Other,
}

impl FoundFile {
    fn of(inode: &Inode) -> Self {
        match inode {
            Inode::File(LayerFile { sha256, size, mode, uid, gid }, layer) => {
                Self::File { sha256: *sha256, size: *size, mode: *mode, uid: *uid, gid: *gid, layer: *layer }
            }
            Inode::Directory => Self::Directory,
            Inode::Symlink(target) => Self::Link { target: told(&String::from_utf8_lossy(target)) },
            Inode::Other => Self::Other,
        }
    }
}

/// The files of a folder, by name.
pub type FolderFiles = BTreeMap<String, FoundFile>;

/// What stands in `folder`, such as `usr/local/bin`, when all layers of `image` lie over each
/// other, by file name. Nothing where the folder is not there, or is none.
///
/// Every layer is read once, from its beginning to its end, and verified. In memory are the names
/// of the files of the image, and one digest for each.
///
/// # Errors
/// Where a layer cannot be read, is not the one that the image names, or is refused as hostile: see
/// the limits in `layer.rs`. Also where a name in the folder is not UTF-8.
pub fn files_under(
    images: &dyn Images,
    image: &PlatformImage,
    folder: &str,
) -> Result<FolderFiles, OciError> {
    files_over(images, image, 0, folder).map(|(_, all)| all)
}

/// As [`files_under`], in the same single reading: first what stands in `folder` while only the
/// lowest `base` layers lie there, then what stands in it in the end.
///
/// # Errors
/// As there.
pub fn files_over(
    images: &dyn Images,
    image: &PlatformImage,
    base: usize,
    folder: &str,
) -> Result<(FolderFiles, FolderFiles), OciError> {
    let mut tree = Overlay::default();
    let meter = ReadBudget::default();
    let mut below = FolderFiles::new();
    for (index, layer) in image.layers.iter().enumerate() {
        tree.begin(index);
        layer::read(images.layer(layer)?, layer.diff_id, &meter, |entry| tree.apply(entry))
            .map_err(|failure| refused(images.name(), index, layer, failure))?;
        if index + 1 == base {
            below = listed(images.name(), &tree, folder)?;
        }
    }
    Ok((below, listed(images.name(), &tree, folder)?))
}

/// Why the layer with this index is not read.
fn refused(image: &str, index: usize, layer: &Layer, failure: LayerError) -> OciError {
    let refused =
        |why| OciError::Layer { image: image.to_owned(), number: index + 1, diff_id: layer.diff_id, why };
    match failure {
        LayerError::Refused(why) => refused(why),
        LayerError::Read(error) => match OciError::of_mismatch(image, &error) {
            Some(mismatch) => mismatch,
            None => error.downcast().unwrap_or_else(|error| refused(innermost(&error))),
        },
    }
}

/// What a process would find in `folder`.
fn listed(image: &str, tree: &Overlay, folder: &str) -> Result<FolderFiles, OciError> {
    let not_an_image = |why| OciError::NotAnImage { image: image.to_owned(), why };
    let Some((path, Inode::Directory)) = tree.resolve(folder.as_bytes()) else {
        return Ok(FolderFiles::new());
    };
    let mut found = FolderFiles::new();
    for (name, inode) in tree.children(&path) {
        let Ok(text) = str::from_utf8(name) else {
            let name = name.escape_ascii();
            return Err(not_an_image(format!("`{folder}` holds a name that is not UTF-8: {name}")));
        };
        if found.len() == MOST_NAMES {
            return Err(not_an_image(format!("`{folder}` holds more than {MOST_NAMES} names")));
        }
        let what = match inode {
            Inode::Symlink(_) => {
                let end = tree.resolve(&[path.as_slice(), name].join(&b'/'));
                end.map_or_else(|| FoundFile::of(inode), |(_, inode)| FoundFile::of(&inode))
            }
            _ => FoundFile::of(inode),
        };
        found.insert(text.to_owned(), what);
    }
    Ok(found)
}
