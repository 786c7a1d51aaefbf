//! Lists a folder of an image as a container sees it, and what the layers above a base image change.

use std::collections::{BTreeMap, HashMap};

use super::error::sanitized;
use super::layer::{self, FileNotes, LayerError, LayerFile, LayerMode, ReadBudget};
use super::overlay::{Inode, Overlay};
use super::{Images, Layer, OciError, PlatformImage};
use crate::digest::{Checksum, Sha256};
use crate::text::innermost;

/// Upper bound of names in one folder.
const MOST_NAMES: usize = 10_000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundFile {
    /// A regular file, possibly behind symbolic links.
    File {
        sha256: Sha256,
        size: u64,
        /// The lowest twelve bits.
        mode: u32,
        uid: u64,
        gid: u64,
        /// Digest of the extended attributes, such as capabilities.
        attributes: Option<Sha256>,
        /// Index into [`PlatformImage::layers`] of the layer that wrote it.
        layer: usize,
    },
    /// A folder, possibly behind symbolic links.
    Directory,
    /// A dangling or circular symbolic link.
    Link {
        /// Sanitized and truncated.
        target: String,
    },
    /// A device or a pipe.
    Other,
}

impl FoundFile {
    fn of(inode: &Inode) -> Self {
        match inode {
            Inode::File(LayerFile { sha256, size, mode, attributes }, layer) => {
                let LayerMode { mode, uid, gid } = *mode;
                let (sha256, size, attributes, layer) = (*sha256, *size, *attributes, *layer);
                Self::File { sha256, size, mode, uid, gid, attributes, layer }
            }
            Inode::Directory(_) => Self::Directory,
            Inode::Symlink(target) => Self::Link { target: sanitized(&String::from_utf8_lossy(target)) },
            Inode::Other => Self::Other,
        }
    }
}

/// A path that the layers above the base image add, change or remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathChange {
    /// Relative to the root.
    pub path: Vec<u8>,
    /// Whether the base image has it.
    pub in_base: bool,
    /// `None` if it was removed.
    pub now: Option<ChangedNode>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedNode {
    Directory {
        /// Whether users other than root may write to it.
        shared: bool,
    },
    File(FoundFile),
    /// The unresolved target.
    Symlink(Vec<u8>),
    Other,
}

impl ChangedNode {
    fn of(inode: &Inode) -> Self {
        match inode {
            Inode::Directory(mode) => Self::Directory { shared: mode.is_some_and(|mode| mode.widens(None)) },
            Inode::File(..) => Self::File(FoundFile::of(inode)),
            Inode::Symlink(target) => Self::Symlink(target.clone()),
            Inode::Other => Self::Other,
        }
    }
}

/// An image in comparison with its base.
#[derive(Debug, Default)]
pub struct Additional {
    /// The files of the folder, with all layers applied.
    pub files: FolderFiles,
    /// In the order of their paths.
    pub changes: Vec<PathChange>,
    /// The files of the base image whose content was asked for.
    pub kept_of_base: FileContents,
    /// The files of the image whose content was asked for.
    pub kept: FileContents,
    /// MD5 of the files above the base image, by SHA-256; empty unless contents were asked for.
    pub md5: HashMap<Sha256, Checksum>,
}

/// By path.
pub type FileContents = BTreeMap<Vec<u8>, Vec<u8>>;

/// By file name.
pub type FolderFiles = BTreeMap<String, FoundFile>;

/// Lists `folder`, such as `usr/local/bin`, with all layers of `image` applied; empty if the folder does
/// not exist.
///
/// Reads every layer once, completely, and verifies it. Memory use: the names of all files, and one digest
/// each.
///
/// # Errors
/// If a layer cannot be read, has the wrong digest, or exceeds the limits in `layer.rs`; if a name in the
/// folder is not UTF-8.
pub fn files_under(
    images: &dyn Images,
    image: &PlatformImage,
    folder: &str,
) -> Result<FolderFiles, OciError> {
    files_over(images, image, 0, folder, None).map(|found| found.files)
}

/// Like [`files_under`]; the same pass finds what the layers above the lowest `base` ones change. Needs
/// twice the memory, and that for the files that `keep` selects.
pub fn files_over(
    images: &dyn Images,
    image: &PlatformImage,
    base: usize,
    folder: &str,
    keep: Option<fn(&[u8]) -> bool>,
) -> Result<Additional, OciError> {
    let (mut tree, mut below) = (Overlay::default(), None);
    let meter = ReadBudget::default();
    let mut notes = FileNotes { keep, ..FileNotes::default() };
    for (index, layer) in image.layers.iter().enumerate() {
        tree.begin(index);
        notes.with_md5 = keep.is_some() && index >= base;
        layer::read(images.layer(layer)?, layer.diff_id, &meter, &mut notes, |entry| tree.apply(entry))
            .map_err(|failure| refused(images.name(), index, layer, failure))?;
        if index + 1 == base {
            below = Some(tree.clone());
        }
    }
    let differences = below.as_ref().map(|below| tree.differences(below)).unwrap_or_default();
    let change = |&(path, before, after): &(&[u8], Option<&Inode>, Option<&Inode>)| PathChange {
        path: path.to_vec(),
        in_base: before.is_some(),
        now: after.map(ChangedNode::of),
    };
    let changes = differences.iter().map(change).collect();
    let kept = |tree: &Overlay| -> FileContents {
        let files = tree.files().filter(|(path, _)| keep.is_some_and(|keep| keep(path)));
        files
            .filter_map(|(path, file)| Some((path.to_vec(), notes.contents.get(&file.sha256)?.clone())))
            .collect()
    };
    Ok(Additional {
        files: listed(images.name(), &tree, folder)?,
        changes,
        kept_of_base: below.as_ref().map(kept).unwrap_or_default(),
        kept: kept(&tree),
        md5: notes.md5,
    })
}

/// Which of `paths` (absolute, of files) the image does not have, with symbolic links followed.
///
/// Reads layers from the lowest until all are found: files of the operating system are at the bottom.
///
/// # Errors
/// As [`files_under`].
pub fn missing_files<'a>(
    images: &dyn Images,
    image: &PlatformImage,
    paths: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<&'a str>, OciError> {
    let mut missing: Vec<_> = paths.into_iter().collect();
    let (mut tree, meter) = (Overlay::default(), ReadBudget::default());
    for (index, layer) in image.layers.iter().enumerate() {
        missing.retain(|path| !matches!(tree.resolve(path.as_bytes()), Some((_, Inode::File(..)))));
        if missing.is_empty() {
            break;
        }
        tree.begin(index);
        let notes = &mut FileNotes::default();
        layer::read(images.layer(layer)?, layer.diff_id, &meter, notes, |entry| tree.apply(entry))
            .map_err(|failure| refused(images.name(), index, layer, failure))?;
    }
    missing.retain(|path| !matches!(tree.resolve(path.as_bytes()), Some((_, Inode::File(..)))));
    Ok(missing)
}

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

fn listed(image: &str, tree: &Overlay, folder: &str) -> Result<FolderFiles, OciError> {
    let not_an_image = |why| OciError::NotAnImage { image: image.to_owned(), why };
    let Some((path, Inode::Directory(_))) = tree.resolve(folder.as_bytes()) else {
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
