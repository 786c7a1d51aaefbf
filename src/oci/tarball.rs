//! Random access to the members of a tarball, without unpacking it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

use tar::{Archive, EntryType};

use super::OciError;
use super::layer::{ReadBudget, clean};
use super::layout::ImageFiles;
use super::section::Section;

/// Three files for each of 127 layers is the realistic maximum.
const MOST_MEMBERS: usize = 100_000;

/// Length limit of link chains.
const MOST_LINKS: usize = 8;

pub(crate) struct Tarball {
    name: String,
    file: File,
    members: BTreeMap<Vec<u8>, TarMember>,
}

enum TarMember {
    File {
        offset: u64,
        size: u64,
    },
    /// Path of the target member.
    Link(Vec<u8>),
}

impl Tarball {
    /// Indexes the members.
    pub(crate) fn open(path: &Path) -> Result<Self, OciError> {
        let name = path.display().to_string();
        let io = |source| OciError::Io { image: name.clone(), source };
        let not_a_source = |why: String| OciError::NotASource { image: name.clone(), why };
        let file = File::open(path).map_err(io)?;
        let mut magic = [0; 4];
        let length = file.read_at(&mut magic, 0).map_err(io)?;
        if let Some(tool) = unpacked_by(&magic[..length]) {
            let why = format!("a compressed file; unpack it with `{tool}` first");
            return Err(OciError::NotASource { image: name, why });
        }
        let members = members(&file).map_err(not_a_source)?;
        if !["oci-layout", "manifest.json"].iter().any(|form| members.contains_key(form.as_bytes())) {
            return Err(not_a_source("a tarball without `oci-layout` or `manifest.json`".to_owned()));
        }
        Ok(Self { name, file, members })
    }

    pub(crate) fn has(&self, path: &str) -> bool {
        self.members.contains_key(path.as_bytes())
    }

    /// Follows links.
    pub(crate) fn section(&self, path: &str) -> io::Result<Section<'_>> {
        let mut path = path.as_bytes();
        for _ in 0..=MOST_LINKS {
            match self.members.get(path) {
                None => return Err(io::ErrorKind::NotFound.into()),
                Some(TarMember::File { offset, size }) => {
                    return Ok(Section::new(&self.file, *offset, *size));
                }
                Some(TarMember::Link(target)) => path = target,
            }
        }
        Err(io::Error::other(format!("{} is a loop of links", path.escape_ascii())))
    }
}

impl ImageFiles for Tarball {
    fn name(&self) -> &str {
        &self.name
    }

    fn open(&self, path: &str) -> io::Result<Box<dyn Read + '_>> {
        Ok(Box::new(self.section(path)?))
    }
}

/// The program to decompress it with, for the error message.
fn unpacked_by(magic: &[u8]) -> Option<&'static str> {
    match magic {
        [0x1f, 0x8b, ..] => Some("gunzip"),
        [0x28, 0xb5, 0x2f, 0xfd] => Some("unzstd"),
        [0xfd, b'7', b'z', b'X'] => Some("unxz"),
        [b'B', b'Z', b'h', _] => Some("bunzip2"),
        _ => None,
    }
}

fn members(file: &File) -> Result<BTreeMap<Vec<u8>, TarMember>, String> {
    let length = file.metadata().map_err(|error| error.to_string())?.len();
    let meter = ReadBudget::default();
    let mut archive = Archive::new(meter.on(file));
    let mut entries = archive.entries_with_seek().map_err(|error| error.to_string())?;
    let mut members = BTreeMap::new();
    loop {
        meter.begin_header();
        let Some(entry) = entries.next() else { return Ok(members) };
        let entry = entry.map_err(|error| format!("not a tarball: {error}"))?;
        let path = clean(&entry.path_bytes())?;
        let member = match entry.header().entry_type() {
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            EntryType::Regular => {
                let (offset, size) = (entry.raw_file_position(), entry.size());
                if offset.checked_add(size).is_none_or(|end| end > length) {
                    return Err(format!("a tarball that was cut off in {}", path.escape_ascii()));
                }
                TarMember::File { offset, size }
            }
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let target = entry.link_name_bytes().unwrap_or_default();
                TarMember::Link(if kind.is_symlink() { beside(&path, &target)? } else { clean(&target)? })
            }
            _ => return Err(format!("a tarball with the unsupported member {}", path.escape_ascii())),
        };
        if members.len() == MOST_MEMBERS {
            return Err(format!("a tarball with more than {MOST_MEMBERS} members"));
        }
        let name = path.escape_ascii().to_string();
        if members.insert(path, member).is_some() {
            return Err(format!("a tarball with two members {name}"));
        }
    }
}

/// The target of a symbolic link, which must be inside the archive: Docker 20.10 writes `../ID/layer.tar`
/// for a repeated layer.
fn beside(link: &[u8], target: &[u8]) -> Result<Vec<u8>, String> {
    let outside = || format!("a tarball with a link to a path outside: {}", link.escape_ascii());
    let mut parts: Vec<_> = link.split(|byte| *byte == b'/').collect();
    parts.pop();
    if target.starts_with(b"/") {
        return Err(outside());
    }
    for part in target.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop().ok_or_else(outside)?),
            part => parts.push(part),
        }
    }
    clean(&parts.join(&b'/'))
}
