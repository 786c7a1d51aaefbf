//! Compares the files of Debian packages with dpkg's database in the image.
//!
//! The lock does not describe packages, and the database is no more trustworthy than the image. Two things can be verified: each
//! file is as its package's checksums say, and packages that have the base image's version change no file.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::digest::{Checksum, Sha256};
use crate::oci::{Additional, ChangedNode, FileContents, FoundFile, PathChange};

/// The writer of a path, as far as dpkg's database tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WrittenBy {
    /// The installation of a Debian package whose checksums fit.
    Package,
    /// Perhaps the installation script of a package: no package has it.
    Script,
    /// Unknown to the lock and to dpkg.
    Unknown,
}

const STATUS: &[u8] = b"var/lib/dpkg/status";
const INFO: &[u8] = b"var/lib/dpkg/info/";
const LIBRARY_CACHE: &[u8] = b"etc/ld.so.cache";

/// Folders and files that apt, dpkg and their triggers write without a package having them.
const BOOKKEEPING: [&str; 8] = [
    "var/lib/dpkg/",
    "var/lib/apt/",
    "var/cache/apt/",
    "var/cache/debconf/",
    "var/cache/ldconfig/",
    "var/log/apt/",
    "var/log/dpkg.log",
    "var/log/alternatives.log",
];

/// Where the dynamic loader's cache may point: packages and the base image put libraries there.
const LIBRARIES: [&[u8]; 7] =
    [b"/lib/", b"/lib32/", b"/lib64/", b"/usr/lib/", b"/usr/lib32/", b"/usr/lib64/", b"/usr/local/lib/"];

/// Selects the files that [`Packages`] reads.
pub(super) fn is_of_database(path: &[u8]) -> bool {
    let info = path.strip_prefix(INFO);
    path == STATUS
        || path == LIBRARY_CACHE
        || info.is_some_and(|name| name.ends_with(b".list") || name.ends_with(b".md5sums"))
}

/// The packages of an image and of its base image.
pub(super) struct Packages {
    now: Database,
    before: Database,
    md5: HashMap<Sha256, Checksum>,
    /// Whether the dynamic loader's cache names files outside of the folders of libraries.
    foreign_libraries: bool,
}

/// dpkg's database (dpkg(1), deb-md5sums(5)).
#[derive(Default)]
struct Database {
    /// The version of each installed package, by name and architecture.
    versions: BTreeMap<String, String>,
    /// The names that packages provide (deb-control(5)).
    provided: BTreeSet<String>,
    /// The packages that have a path.
    owners: BTreeMap<Vec<u8>, Vec<String>>,
    sums: BTreeMap<Vec<u8>, Checksum>,
}

impl Packages {
    pub(super) fn read(image: &Additional) -> Self {
        let cache = image.kept.get(LIBRARY_CACHE).map(Vec::as_slice).unwrap_or_default();
        Self {
            now: Database::read(&image.kept),
            before: Database::read(&image.kept_of_base),
            md5: image.md5.clone(),
            foreign_libraries: has_foreign_library(cache),
        }
    }

    /// Whether the package is installed, or another one that provides it.
    pub(super) fn has(&self, package: &str) -> bool {
        let names = || self.now.versions.keys().filter_map(|key| key.split(':').next());
        self.now.provided.contains(package) || names().any(|name| name == package)
    }

    /// The packages that the base image does not have in this version, with their versions.
    pub(super) fn additional(&self) -> Vec<String> {
        let new = self.now.versions.iter().filter(|(key, _)| !self.is_of_base(key));
        new.map(|(key, version)| format!("{} {version}", key.split(':').next().unwrap_or_default())).collect()
    }

    /// Whether the package has the base image's version.
    fn is_of_base(&self, key: &str) -> bool {
        self.before.versions.get(key).is_some_and(|version| self.now.versions.get(key) == Some(version))
    }

    /// The likely writer of this change, or why the packages in the image cannot have.
    pub(super) fn judge(&self, change: &PathChange) -> Result<WrittenBy, String> {
        let path = normalized(&change.path);
        let writable = "users other than root may write to it";
        if path == LIBRARY_CACHE {
            return match &change.now {
                Some(ChangedNode::File(file)) if self.foreign_libraries || is_writable(file) => {
                    Err("the dynamic loader's cache names libraries that packages do not install".to_owned())
                }
                Some(ChangedNode::File(_)) => Ok(WrittenBy::Package),
                _ => Ok(WrittenBy::Script),
            };
        }
        let text = String::from_utf8_lossy(&path);
        if BOOKKEEPING.iter().any(|known| text.starts_with(known) || *known == format!("{text}/")) {
            return match &change.now {
                Some(ChangedNode::File(file)) if is_writable(file) => Err(writable.to_owned()),
                Some(ChangedNode::Other) => Err("it is a device or a pipe".to_owned()),
                _ => Ok(WrittenBy::Package),
            };
        }
        let former = self.before.owners.get(&path).map(Vec::as_slice).unwrap_or_default();
        if change.in_base {
            // A folder may belong to several packages; a file belongs to one.
            let is_folder = matches!(change.now, Some(ChangedNode::Directory { .. }));
            if let Some(owner) = former.iter().find(|owner| !is_folder && self.is_of_base(owner)) {
                return Err(format!("it is a file of {owner}, which has the base image's version"));
            }
        }
        let owners = self.now.owners.get(&path).map(Vec::as_slice).unwrap_or_default();
        if owners.is_empty() {
            return match &change.now {
                None if !former.is_empty() => Ok(WrittenBy::Package),
                // Its content is judged file by file.
                Some(ChangedNode::Directory { shared: false }) => Ok(WrittenBy::Package),
                Some(ChangedNode::Symlink(target)) if !change.in_base && is_alternative(&path, target) => {
                    Ok(WrittenBy::Package)
                }
                _ if text.starts_with("etc/") || text.starts_with("var/") || text.ends_with(".pyc") => {
                    Ok(WrittenBy::Script)
                }
                _ => Err("no package has it, and neither the lock nor the base image".to_owned()),
            };
        }
        let Some(ChangedNode::File(file)) = &change.now else {
            return match &change.now {
                Some(ChangedNode::Directory { shared: true }) => Ok(WrittenBy::Script),
                Some(ChangedNode::Other) => Err("it is a device or a pipe".to_owned()),
                None => Err(format!("it is a file of {}, and not there", owners.join(", "))),
                _ => Ok(WrittenBy::Package),
            };
        };
        if let Some(owner) = owners.iter().find(|owner| self.is_of_base(owner)) {
            return Err(format!("it is a file of {owner}, which has the base image's version"));
        }
        if change.in_base && former.is_empty() {
            return Err("the base image has it, and no package there".to_owned());
        }
        let FoundFile::File { sha256, .. } = file else { return Err("it is not a file".to_owned()) };
        match (self.now.sums.get(&path), self.md5.get(sha256)) {
            _ if is_writable(file) => Err(writable.to_owned()),
            (None, _) => Err(format!("{} has no checksum of it", owners.join(", "))),
            (Some(expected), Some(found)) if expected == found => Ok(WrittenBy::Package),
            (Some(expected), _) => {
                Err(format!("it is not as {} has it: its MD5 would be {expected}", owners.join(", ")))
            }
        }
    }
}

impl Database {
    fn read(files: &FileContents) -> Self {
        let mut database = Self::default();
        let status = files.get(STATUS).map(|content| String::from_utf8_lossy(content)).unwrap_or_default();
        for paragraph in status.split("\n\n") {
            database.add_package(paragraph);
        }
        for (path, content) in files {
            let Some(name) = path.strip_prefix(INFO).and_then(|name| str::from_utf8(name).ok()) else {
                continue;
            };
            let Some((stem, kind)) = name.rsplit_once('.') else { continue };
            let Some(key) = database.key(stem) else { continue };
            for line in content.split(|byte| *byte == b'\n') {
                database.add_line(&key, kind, line);
            }
        }
        database
    }

    /// A paragraph of `status`. Packages that are not installed are left out.
    fn add_package(&mut self, paragraph: &str) {
        let field = |name: &str| {
            let lines = paragraph.lines();
            lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim).next()
        };
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else { return };
        if !field("Status").is_some_and(|status| status.ends_with(" installed")) {
            return;
        }
        let arch = field("Architecture").unwrap_or_default();
        self.versions.insert(format!("{name}:{arch}"), version.to_owned());
        let provided = field("Provides").unwrap_or_default().split(',');
        self.provided.extend(provided.filter_map(|name| name.split_whitespace().next()).map(str::to_owned));
        let conffiles = paragraph.lines().skip_while(|line| *line != "Conffiles:").skip(1);
        for line in conffiles.take_while(|line| line.starts_with(' ')) {
            let mut words = line.split_whitespace();
            if let (Some(path), Some(sum)) = (words.next(), words.next().and_then(Checksum::from_hex)) {
                self.sums.insert(normalized(path.as_bytes()), sum);
            }
        }
    }

    /// The package of the files `STEM.list` and `STEM.md5sums`, with its architecture.
    fn key(&self, stem: &str) -> Option<String> {
        if self.versions.contains_key(stem) {
            return Some(stem.to_owned());
        }
        let prefix = format!("{stem}:");
        let mut keys = self.versions.range(prefix.clone()..);
        keys.next().map(|(key, _)| key.clone()).filter(|key| key.starts_with(&prefix))
    }

    fn add_line(&mut self, key: &str, kind: &str, line: &[u8]) {
        if kind == "list" {
            let path = normalized(line);
            if !path.is_empty() {
                self.owners.entry(path).or_default().push(key.to_owned());
            }
        } else if let Some((sum, path)) = line.split_at_checked(32)
            && let Some(sum) = str::from_utf8(sum).ok().and_then(Checksum::from_hex)
            && let Some(path) = path.strip_prefix(b"  ")
        {
            self.sums.insert(normalized(path), sum);
        }
    }
}

/// Relative to the root. Folders that Debian merged into `/usr` are spelled as there: packages name them either way.
fn normalized(path: &[u8]) -> Vec<u8> {
    let path = path.strip_prefix(b"/").unwrap_or(path);
    let path = if path == b"." { &b""[..] } else { path };
    let merged = ["bin/", "sbin/", "lib/", "lib32/", "lib64/", "libx32/"];
    if merged.iter().any(|folder| path.starts_with(folder.as_bytes())) {
        return [b"usr/", path].concat();
    }
    path.to_vec()
}

/// A link that update-alternatives(1) makes.
fn is_alternative(path: &[u8], target: &[u8]) -> bool {
    path.starts_with(b"etc/alternatives/") || target.starts_with(b"/etc/alternatives/")
}

/// Whether others than root may write to the file, or it has attributes such as capabilities.
fn is_writable(file: &FoundFile) -> bool {
    const OTHERS: u32 = 0o022;
    !matches!(file, FoundFile::File { mode, uid: 0, attributes: None, .. } if mode & OTHERS == 0)
}

/// The cache has paths as texts that end with a zero byte, between numbers.
fn has_foreign_library(cache: &[u8]) -> bool {
    /// Numbers are four bytes long.
    const SHORTEST: usize = 5;
    let mut paths = cache.split(|byte| *byte == 0).filter(|text| text.len() >= SHORTEST && text[0] == b'/');
    let is_of_folder = |path: &[u8], folder: &[u8]| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.split(|byte| *byte == b'/').all(|part| part != b".."))
    };
    paths.any(|path| !LIBRARIES.iter().any(|folder| is_of_folder(path, folder)))
}
