//! Content of the added layer, at the paths that the Dockerfile uses.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};

use super::error::ImageError;
use super::spool::{Piece, TempSpool};
use crate::archive::{self, Executable, Limits, Unpack};
use crate::lock::Build;
use crate::project::names::ToolName;
use crate::project::values::Arch;
use crate::project::{BIN_DIR, LIB_DIR};

/// Prefix of whiteouts (image-spec, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";

/// Everything belongs to root.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LayerNode {
    /// 0755.
    Folder,
    /// 0755 or 0644.
    File {
        piece: Piece,
        executable: bool,
    },
    Symlink(Vec<u8>),
    /// Path of another node.
    HardLink(Vec<u8>),
}

/// By path, in the order of the layer. Folders of the base image are omitted, because an entry would change
/// their mode and timestamp.
#[derive(Debug, Default)]
pub(super) struct LayerTree(BTreeMap<Vec<u8>, LayerNode>);

impl LayerTree {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Hard links last, after their targets.
    pub(super) fn nodes(&self) -> impl Iterator<Item = (&[u8], &LayerNode)> {
        let is_link = |node: &LayerNode| matches!(node, LayerNode::HardLink(_));
        let first = self.0.iter().filter(move |(_, node)| !is_link(node));
        first
            .chain(self.0.iter().filter(move |(_, node)| is_link(node)))
            .map(|(path, node)| (path.as_slice(), node))
    }

    /// Adds a tool from its archive; contents go to `spool`.
    pub(super) fn add(
        &mut self,
        name: &ToolName,
        arch: Arch,
        keep_siblings: bool,
        build: &Build,
        mut archive: &File,
        spool: &mut TempSpool,
    ) -> Result<Executable, ImageError> {
        let packing = build.archive_format();
        let (limits, path) = (Limits::default(), &build.binary);
        let bad = |source| ImageError::Archive { tool: name.clone(), arch, source };
        let command = format!("{BIN_DIR}/{name}").into_bytes();
        let found = if keep_siblings {
            let folder = format!("{LIB_DIR}/{name}");
            self.0.insert(folder.clone().into_bytes(), LayerNode::Folder);
            let mut unpacking = Unpacking { tree: self, folder: &folder, spool, open: None, hides: None };
            let found = archive::read_all(&mut archive, packing, path, arch, &limits, &mut unpacking);
            unpacking.close();
            if let Some(path) = unpacking.hides {
                return Err(ImageError::Whiteout { tool: name.clone(), arch, path });
            }
            let found = found.map_err(bad)?;
            if let Some(LayerNode::File { executable, .. }) =
                self.0.get_mut(format!("{folder}/{}", found.path).as_bytes())
            {
                *executable = true;
            }
            self.0.insert(command, LayerNode::Symlink(format!("../lib/{name}/{}", found.path).into_bytes()));
            found
        } else {
            let position = spool.position();
            let found = archive::read_out(&mut archive, packing, path, arch, &limits, spool).map_err(bad)?;
            self.0.insert(command, LayerNode::File { piece: spool.since(position), executable: true });
            found
        };
        match build.binary_sha256 {
            Some(expected) if expected != found.sha256 => {
                Err(ImageError::Mismatch { tool: name.clone(), arch, expected, found: found.sha256 })
            }
            _ => Ok(found),
        }
    }
}

/// Adds a whole archive below a folder.
struct Unpacking<'a> {
    tree: &'a mut LayerTree,
    folder: &'a str,
    spool: &'a mut TempSpool,
    /// Path, mode and start of the current file.
    open: Option<(Vec<u8>, bool, u64)>,
    /// A path that cannot be in a layer, sanitized.
    hides: Option<String>,
}

impl Unpacking<'_> {
    /// Finishes the current file.
    fn close(&mut self) {
        if let Some((path, executable, position)) = self.open.take() {
            let piece = self.spool.since(position);
            self.tree.0.insert(path, LayerNode::File { piece, executable });
        }
    }

    /// Maps a path in the archive to the image, and creates its parent folders.
    fn place(&mut self, path: &[u8]) -> Vec<u8> {
        self.close();
        if path.split(|byte| *byte == b'/').any(|name| name.starts_with(WHITEOUT)) {
            self.hides.get_or_insert_with(|| path.escape_ascii().to_string());
        }
        for (end, _) in path.iter().enumerate().filter(|(_, byte)| **byte == b'/') {
            let folder = below(self.folder, &path[..end]);
            self.tree.0.entry(folder).or_insert(LayerNode::Folder);
        }
        below(self.folder, path)
    }
}

fn below(folder: &str, path: &[u8]) -> Vec<u8> {
    [folder.as_bytes(), path].join(&b'/')
}

impl Unpack for Unpacking<'_> {
    fn folder(&mut self, path: &[u8]) {
        let path = self.place(path);
        self.tree.0.insert(path, LayerNode::Folder);
    }

    fn file(&mut self, path: &[u8], executable: bool) {
        let path = self.place(path);
        self.open = Some((path, executable, self.spool.position()));
    }

    fn symlink(&mut self, path: &[u8], target: &[u8]) {
        let path = self.place(path);
        self.tree.0.insert(path, LayerNode::Symlink(target.to_vec()));
    }

    fn hard_link(&mut self, path: &[u8], target: &[u8]) {
        let path = self.place(path);
        let target = below(self.folder, target);
        self.tree.0.insert(path, LayerNode::HardLink(target));
    }
}

impl Write for Unpacking<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.spool.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.spool.flush()
    }
}
