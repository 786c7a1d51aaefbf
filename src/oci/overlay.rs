//! The file system that results from applying layers.
//!
//! Contains names, links and digests, no content. Paths are the keys, so that everything below a folder is
//! one range of the map.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use super::layer::{LayerEntry, LayerEntryKind, LayerFile, LayerMode};

/// Prefix of names that hide files of lower layers (image-spec, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";

/// Hides everything in its folder from lower layers.
const OPAQUE: &[u8] = b".wh..wh..opq";

/// The kernel's limit on symbolic links in one path (`path_resolution(7)`).
const MOST_LINKS: usize = 40;

/// Bounds the work that hostile links can cause.
const MOST_STEPS: usize = 4096;

#[derive(Clone, Default)]
pub(super) struct Overlay {
    nodes: BTreeMap<Vec<u8>, OverlayNode>,
    /// The layer being applied.
    layer: usize,
    /// Paths this layer already hid: hiding again is redundant, and could be slow.
    hidden: BTreeSet<Vec<u8>>,
}

#[derive(Clone)]
struct OverlayNode {
    /// The last layer that wrote this path or one below it.
    layer: usize,
    inode: Inode,
}

#[derive(Clone)]
pub(super) enum Inode {
    /// Without a mode if no layer has an entry for it.
    Directory(Option<LayerMode>),
    /// With the layer of the content, which for a hard link can be a lower one.
    File(LayerFile, usize),
    Symlink(Vec<u8>),
    Other,
}

/// A path, its node before, and its node after.
pub(super) type Difference<'a> = (&'a [u8], Option<&'a Inode>, Option<&'a Inode>);

impl Inode {
    /// Whether a container finds the same, whichever layer wrote it. A directory differs only if other users
    /// gain access to it: builders do not agree about the modes of the parents of copied files.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory(before), Self::Directory(after)) => {
                !after.is_some_and(|after| after.widens(*before))
            }
            (Self::File(before, _), Self::File(after, _)) => before == after,
            (Self::Symlink(before), Self::Symlink(after)) => before == after,
            (Self::Other, Self::Other) => true,
            _ => false,
        }
    }
}

impl Overlay {
    /// Starts applying `layer` on top of the previous ones.
    pub(super) fn begin(&mut self, layer: usize) {
        self.layer = layer;
        self.hidden.clear();
    }

    /// Within a layer the last entry of a name wins. Whiteouts affect only lower layers, regardless of
    /// their position.
    pub(super) fn apply(&mut self, LayerEntry { path, kind }: LayerEntry) -> Result<(), String> {
        if path.is_empty() {
            return match kind {
                LayerEntryKind::Directory(_) => Ok(()),
                _ => Err("its root is not a directory".to_owned()),
            };
        }
        let (parent, name) = split(&path);
        self.make_parents(&path)?;
        if name == OPAQUE {
            self.hide(parent.to_vec(), false);
            return Ok(());
        }
        if let Some(hidden) = name.strip_prefix(WHITEOUT) {
            if matches!(hidden, b"" | b"." | b"..") {
                return Err(format!("`{}` is not a valid whiteout", path.escape_ascii()));
            }
            self.hide(join(parent, hidden), true);
            return Ok(());
        }
        let inode = match kind {
            LayerEntryKind::Directory(mode) => Inode::Directory(Some(mode)),
            LayerEntryKind::File(file) => Inode::File(file, self.layer),
            LayerEntryKind::Symlink(target) => Inode::Symlink(target),
            LayerEntryKind::Other => Inode::Other,
            LayerEntryKind::HardLink(target) => match self.nodes.get(&target).map(|node| &node.inode) {
                None | Some(Inode::Directory(_)) => {
                    let (path, target) = (path.escape_ascii(), target.escape_ascii());
                    return Err(format!("`{path}` is a hard link to `{target}`, which is not a file"));
                }
                Some(inode) => inode.clone(),
            },
        };
        let stays = matches!(inode, Inode::Directory(_))
            && self.nodes.get(&path).is_some_and(|node| matches!(node.inode, Inode::Directory(_)));
        if !stays {
            self.remove_below(&path, |_| true);
        }
        self.nodes.insert(path, OverlayNode { layer: self.layer, inode });
        Ok(())
    }

    /// Creates missing parent folders of an entry.
    ///
    /// Rejects paths through a symbolic link: containerd follows it, while Docker's overlay replaces it by
    /// a folder, so the content that a container sees would be ambiguous.
    fn make_parents(&mut self, path: &[u8]) -> Result<(), String> {
        for end in path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at) {
            let folder = &path[..end];
            match self.nodes.get_mut(folder) {
                None => {
                    let node = OverlayNode { layer: self.layer, inode: Inode::Directory(None) };
                    self.nodes.insert(folder.to_vec(), node);
                }
                Some(node) if matches!(node.inode, Inode::Directory(_)) => node.layer = self.layer,
                Some(_) => {
                    let (path, folder) = (path.escape_ascii(), folder.escape_ascii());
                    return Err(format!(
                        "`{path}` is below `{folder}`, which is not a folder; runtimes disagree about this case"
                    ));
                }
            }
        }
        Ok(())
    }

    /// Removes entries of lower layers below `path`, and with `itself` the entry at `path`.
    fn hide(&mut self, path: Vec<u8>, itself: bool) {
        let layer = self.layer;
        if itself && self.nodes.get(&path).is_some_and(|node| node.layer < layer) {
            self.nodes.remove(&path);
        }
        if !self.hidden.contains(&path) {
            self.remove_below(&path, |node| node.layer < layer);
            self.hidden.insert(path);
        }
    }

    fn remove_below(&mut self, folder: &[u8], which: impl Fn(&OverlayNode) -> bool) {
        let doomed: Vec<_> =
            self.below(folder).filter(|(_, node)| which(node)).map(|(path, _)| path.to_vec()).collect();
        for path in doomed {
            self.nodes.remove(&path);
        }
    }

    fn below(&self, folder: &[u8]) -> impl Iterator<Item = (&[u8], &OverlayNode)> {
        // All keys that continue with a slash sort before this.
        const AFTER_SLASH: u8 = b'/' + 1;
        let (from, to) = if folder.is_empty() {
            (Bound::Unbounded, Bound::Unbounded)
        } else {
            let ending = |byte| [folder, &[byte]].concat();
            (Bound::Excluded(ending(b'/')), Bound::Excluded(ending(AFTER_SLASH)))
        };
        self.nodes.range((from, to)).map(|(path, node)| (path.as_slice(), node))
    }

    pub(super) fn children(&self, folder: &[u8]) -> impl Iterator<Item = (&[u8], &Inode)> {
        let inside = if folder.is_empty() { 0 } else { folder.len() + 1 };
        self.below(folder)
            .map(move |(path, node)| (&path[inside..], &node.inode))
            .filter(|(name, _)| !name.contains(&b'/'))
    }

    pub(super) fn files(&self) -> impl Iterator<Item = (&[u8], &LayerFile)> {
        self.nodes.iter().filter_map(|(path, node)| match &node.inode {
            Inode::File(file, _) => Some((path.as_slice(), file)),
            _ => None,
        })
    }

    /// Every path whose node differs between `base` and this tree, in order, with both nodes.
    pub(super) fn differences<'a>(&'a self, base: &'a Self) -> Vec<Difference<'a>> {
        let paths: BTreeSet<_> = base.nodes.keys().chain(self.nodes.keys()).collect();
        let pair = |path| (base.nodes.get(path), self.nodes.get(path));
        paths
            .into_iter()
            .map(|path| (path, pair(path)))
            .filter(|(_, (before, after))| match (before, after) {
                (Some(before), Some(after)) => !before.inode.is_same(&after.inode),
                _ => true,
            })
            .map(|(path, (before, after))| {
                (path.as_slice(), before.map(|n| &n.inode), after.map(|n| &n.inode))
            })
            .collect()
    }

    /// Resolves `path` relative to this root: follows every symbolic link, and never leaves the root
    /// (`path_resolution(7)`). `None` for a missing target or a loop.
    pub(super) fn resolve(&self, path: &[u8]) -> Option<(Vec<u8>, Inode)> {
        let mut here = Vec::new();
        let mut inode = Inode::Directory(None);
        let mut ahead = Vec::new();
        push(&mut ahead, path);
        let (mut links, mut steps) = (0, 0);
        while let Some(part) = ahead.pop() {
            steps += 1;
            if steps > MOST_STEPS || !matches!(inode, Inode::Directory(_)) {
                return None;
            }
            if part == b"." {
                continue;
            }
            if part == b".." {
                here = split(&here).0.to_vec();
                continue;
            }
            let next = join(&here, &part);
            match &self.nodes.get(&next)?.inode {
                Inode::Symlink(target) => {
                    links += 1;
                    if links > MOST_LINKS || target.is_empty() {
                        return None;
                    }
                    if target.starts_with(b"/") {
                        here.clear();
                    }
                    push(&mut ahead, target);
                }
                found => {
                    inode = found.clone();
                    here = next;
                }
            }
        }
        Some((here, inode))
    }
}

/// Pushes the components of a path, first one on top. A trailing slash acts like `/.`: the component before
/// it must be a folder.
fn push(ahead: &mut Vec<Vec<u8>>, path: &[u8]) {
    if path.ends_with(b"/") {
        ahead.push(b".".to_vec());
    }
    let parts = path.split(|byte| *byte == b'/').filter(|part| !part.is_empty());
    ahead.extend(parts.rev().map(<[u8]>::to_vec));
}

/// Parent and file name.
fn split(path: &[u8]) -> (&[u8], &[u8]) {
    match path.iter().rposition(|byte| *byte == b'/') {
        None => (&[], path),
        Some(at) => (&path[..at], &path[at + 1..]),
    }
}

fn join(folder: &[u8], name: &[u8]) -> Vec<u8> {
    if folder.is_empty() { name.to_vec() } else { [folder, name].join(&b'/') }
}
