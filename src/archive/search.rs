//! Selects the wanted member: sees every member, reads the candidates, and decides at the end.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read, Write};

use super::error::{ArchiveError, TruncatedList, quoted_path};
use super::executable::{NotExecutable, check_executable};
use super::file_kind::{FileKind, HEAD};
use super::loader::LoaderScan;
use super::path::{MemberPath, file_name, lossy};
use super::{Executable, ExecutableQuery, Limits};
use crate::digest::{Hasher, Sha256};
use crate::project::values::{InnerPath, LoaderPath};

/// Larger chunks exceed the processor's cache and are not faster.
const PIECE: usize = 64 << 10;

/// The relevant types of members.
#[derive(Clone, Copy)]
pub(super) enum MemberKind<'a> {
    File {
        executable: bool,
    },
    Folder,
    /// Target.
    Symlink(&'a [u8]),
    /// Target.
    HardLink(&'a [u8]),
}

/// Receives the complete content of an archive. Paths are normalized and unique except for folders; nothing
/// is below a path that is not a folder.
pub trait Unpack: Write {
    /// Parent folders of a member may be omitted.
    fn folder(&mut self, path: &[u8]);

    /// Data written before the next member is the content. `executable` means executable by anyone.
    fn file(&mut self, path: &[u8], executable: bool);

    /// `target` is inside the archive.
    fn symlink(&mut self, path: &[u8], target: &[u8]);

    /// `target` is an earlier member.
    fn hard_link(&mut self, path: &[u8], target: &[u8]);
}

enum Sink<'a> {
    /// Only the wanted member.
    Wanted(&'a mut dyn Write),
    /// Everything.
    All(&'a mut dyn Unpack),
}

impl Sink<'_> {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Wanted(sink) => sink.write_all(bytes),
            Self::All(sink) => sink.write_all(bytes),
        }
    }
}

struct Seen {
    folder: bool,
    repeated: bool,
}

/// An executable that was read.
struct Candidate {
    path: MemberPath,
    size: u64,
    sha256: Sha256,
    loader: Result<Option<LoaderPath>, NotExecutable>,
}

pub(super) struct Search<'a> {
    wanted: ExecutableQuery<'a>,
    limits: Limits,
    sink: Sink<'a>,
    members: usize,
    /// By the digest of the path, to save memory for a hundred thousand long paths.
    seen: HashMap<Sha256, Seen>,
    found: Vec<Candidate>,
    /// The first script with the wanted name.
    launcher: Option<String>,
    /// Likely alternatives, for messages.
    alike: TruncatedList,
    /// Other files, for messages.
    others: TruncatedList,
    piece: Vec<u8>,
}

impl<'a> Search<'a> {
    /// `sink` receives every candidate, so use it with an exact path only.
    pub(super) fn new(wanted: ExecutableQuery<'a>, limits: Limits, sink: &'a mut dyn Write) -> Self {
        Self::into(wanted, limits, Sink::Wanted(sink))
    }

    /// Passes every member to `sink`, and checks the wanted executable.
    pub(super) fn for_all(wanted: ExecutableQuery<'a>, limits: Limits, sink: &'a mut dyn Unpack) -> Self {
        Self::into(wanted, limits, Sink::All(sink))
    }

    fn into(wanted: ExecutableQuery<'a>, limits: Limits, sink: Sink<'a>) -> Self {
        Self {
            wanted,
            limits,
            sink,
            members: 0,
            seen: HashMap::new(),
            found: Vec::new(),
            launcher: None,
            alike: TruncatedList::default(),
            others: TruncatedList::default(),
            piece: vec![0; PIECE],
        }
    }

    pub(super) const fn limits(&self) -> Limits {
        self.limits
    }

    /// Registers a member. Returns its path if [`Search::file`] needs its content.
    pub(super) fn enter(
        &mut self,
        raw: &[u8],
        kind: MemberKind<'_>,
        in_tar: bool,
    ) -> Result<Option<MemberPath>, ArchiveError> {
        self.members += 1;
        if self.members > self.limits.members {
            return Err(ArchiveError::TooManyMembers { limit: self.limits.members });
        }
        let path = MemberPath::new(raw)?;
        let target = match kind {
            MemberKind::File { .. } | MemberKind::Folder => None,
            MemberKind::Symlink(target) => Some(match (path.follow_symlink(target), &self.sink) {
                (Err(outside), Sink::All(_)) => return Err(outside),
                // Only the executable is unpacked.
                (Err(_), Sink::Wanted(_)) => lossy(target),
                (Ok(target), _) => target,
            }),
            MemberKind::HardLink(target) => Some(path.follow_hard_link(target)?),
        };
        // tar creates the link immediately, and fails if the target is missing.
        if let (MemberKind::HardLink(_), Some(target)) = (kind, &target)
            && self.seen.get(&Sha256::of(target)).is_none_or(|seen| seen.folder)
        {
            return Err(ArchiveError::LinkToNothing { path: path.to_text(), target: target.clone() });
        }
        let is_wanted = self.is_wanted(&path);
        self.place(&path, matches!(kind, MemberKind::Folder), is_wanted)?;
        if let Sink::All(sink) = &mut self.sink {
            let repeated = self.seen.get(&Sha256::of(path.normalized())).is_some_and(|seen| seen.repeated);
            return match (kind, target) {
                (MemberKind::Folder, _) => {
                    if !path.normalized().is_empty() {
                        sink.folder(path.normalized());
                    }
                    Ok(None)
                }
                _ if repeated => Err(ArchiveError::Duplicate { path: path.to_text() }),
                (MemberKind::File { executable }, _) => {
                    sink.file(path.normalized(), executable);
                    Ok(Some(path))
                }
                (_, Some(target)) if is_wanted => {
                    Err(ArchiveError::WantedLink { path: path.to_text(), target })
                }
                (MemberKind::Symlink(target), _) => {
                    sink.symlink(path.normalized(), target);
                    Ok(None)
                }
                (MemberKind::HardLink(target), _) => {
                    sink.hard_link(path.normalized(), MemberPath::new(target)?.normalized());
                    Ok(None)
                }
            };
        }
        if matches!(kind, MemberKind::Folder) {
            return Ok(None);
        }
        if !is_wanted && self.wanted.path.is_some() {
            self.note(&path);
            return Ok(None);
        }
        if let Some(target) = target {
            if is_wanted {
                return Err(ArchiveError::WantedLink { path: path.to_text(), target });
            }
            return Ok(None);
        }
        if path.is_found_plain(in_tar) {
            return Ok(Some(path));
        }
        if is_wanted {
            return Err(ArchiveError::OddlySpelt { path: path.to_text(), raw: path.raw() });
        }
        self.others
            .push(|| format!("{} (written as {})", quoted_path(&path.to_text()), quoted_path(&path.raw())));
        Ok(None)
    }

    fn is_wanted(&self, path: &MemberPath) -> bool {
        self.wanted.path.is_some_and(|wanted| wanted.as_str().as_bytes() == path.normalized())
    }

    /// Checks a path against all previous ones.
    fn place(&mut self, path: &MemberPath, folder: bool, is_wanted: bool) -> Result<(), ArchiveError> {
        for above in path.folders() {
            match self.seen.entry(Sha256::of(above)) {
                Entry::Vacant(free) => {
                    free.insert(Seen { folder: true, repeated: false });
                }
                // Its parents are already registered.
                Entry::Occupied(known) if known.get().folder => break,
                Entry::Occupied(_) => {
                    return Err(ArchiveError::FolderAndFile {
                        path: String::from_utf8_lossy(above).into_owned(),
                    });
                }
            }
        }
        if path.normalized().is_empty() {
            let why = "refers to the archive itself";
            return if folder { Ok(()) } else { Err(ArchiveError::BadName { name: path.raw(), why }) };
        }
        match self.seen.entry(Sha256::of(path.normalized())) {
            Entry::Vacant(free) => {
                free.insert(Seen { folder, repeated: false });
            }
            Entry::Occupied(known) if known.get().folder != folder => {
                return Err(ArchiveError::FolderAndFile { path: path.to_text() });
            }
            Entry::Occupied(_) if is_wanted && !folder => {
                return Err(ArchiveError::Duplicate { path: path.to_text() });
            }
            Entry::Occupied(mut known) => known.get_mut().repeated = true,
        }
        if self.seen.len() > self.limits.members {
            return Err(ArchiveError::TooManyMembers { limit: self.limits.members });
        }
        Ok(())
    }

    /// Lists an unwanted file for messages.
    fn note(&mut self, path: &MemberPath) {
        let wanted = self.wanted.path.map_or(self.wanted.name, InnerPath::as_str);
        let alike = file_name(path.normalized()) == file_name(wanted.as_bytes());
        let list = if alike { &mut self.alike } else { &mut self.others };
        list.push(|| quoted_path(&path.to_text()));
    }

    /// Reads the head of a member, and all of it if it is a candidate.
    pub(super) fn file(&mut self, path: MemberPath, data: &mut dyn Read) -> Result<(), ArchiveError> {
        let head = read_head(data)?;
        if matches!(self.sink, Sink::All(_)) && !self.is_wanted(&path) {
            return self.pass(&path, &head, data, |_| ()).map(|_| ());
        }
        match check_executable(&head, self.wanted.arch) {
            Ok(()) => self.take(path, &head, data),
            Err(unfit) if self.wanted.path.is_some() => Err(self.refuse(&path, unfit)),
            Err(unfit) => {
                if unfit == NotExecutable::Other(FileKind::Script) && self.is_launcher(&path) {
                    self.launcher.get_or_insert_with(|| path.to_text());
                }
                let program = !matches!(
                    unfit,
                    NotExecutable::Other(kind) if !matches!(kind, FileKind::MacOs | FileKind::Windows | FileKind::Script)
                );
                if program {
                    self.alike.push(|| format!("{} is {unfit}", quoted_path(&path.to_text())));
                } else {
                    self.others.push(|| quoted_path(&path.to_text()));
                }
                Ok(())
            }
        }
    }

    /// Whether a script at this path may be the tool itself, and not its shell completion.
    fn is_launcher(&self, path: &MemberPath) -> bool {
        let is_completion = |folder: &[u8]| String::from_utf8_lossy(folder).contains("complet");
        file_name(path.normalized()) == self.wanted.name.as_bytes() && !is_completion(path.normalized())
    }

    /// A sparse member: another member of the archive can be used, but not this one.
    pub(super) fn sparse(&mut self, path: &MemberPath) -> Result<(), ArchiveError> {
        if matches!(self.sink, Sink::All(_)) || self.is_wanted(path) {
            return Err(ArchiveError::Unsupported("sparse files"));
        }
        self.others.push(|| quoted_path(&path.to_text()));
        Ok(())
    }

    /// Reads a file that is not an archive, under any name.
    pub(super) fn lone_file(&mut self, data: &mut dyn Read) -> Result<(), ArchiveError> {
        let name = self.wanted.path.map_or(self.wanted.name, InnerPath::as_str);
        let path = MemberPath::new(name.as_bytes())?;
        if let Sink::All(sink) = &mut self.sink {
            sink.file(path.normalized(), true);
        }
        let head = read_head(data)?;
        match check_executable(&head, self.wanted.arch) {
            Ok(()) => self.take(path, &head, data),
            Err(unfit) => Err(self.refuse(&path, unfit)),
        }
    }

    fn refuse(&self, path: &MemberPath, unfit: NotExecutable) -> ArchiveError {
        ArchiveError::NotExecutable { path: path.to_text(), unfit, arch: self.wanted.arch }
    }

    /// Hashes a candidate.
    fn take(&mut self, path: MemberPath, head: &[u8], data: &mut dyn Read) -> Result<(), ArchiveError> {
        let mut scan = LoaderScan::default();
        let (size, sha256) = self.pass(&path, head, data, |piece| scan.feed(piece))?;
        self.found.push(Candidate { path, size, sha256, loader: scan.finish() });
        Ok(())
    }

    /// Copies a member to the sink and to `seen`. Returns size and digest.
    fn pass(
        &mut self,
        path: &MemberPath,
        head: &[u8],
        data: &mut dyn Read,
        mut seen: impl FnMut(&[u8]),
    ) -> Result<(u64, Sha256), ArchiveError> {
        let limit = self.limits.member_bytes;
        let (mut hasher, mut size) = (Hasher::default(), 0_u64);
        let mut whole = io::Cursor::new(head).chain(data);
        loop {
            let count = match whole.read(&mut self.piece) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(ArchiveError::from_reader(error)),
            };
            size += count as u64;
            if size > limit {
                return Err(ArchiveError::MemberTooLarge { path: path.to_text(), limit });
            }
            hasher.update(&self.piece[..count]);
            seen(&self.piece[..count]);
            self.sink.write_all(&self.piece[..count]).map_err(ArchiveError::Write)?;
        }
        Ok((size, hasher.finish()))
    }

    /// Decides after the whole archive was read.
    pub(super) fn finish(mut self) -> Result<Executable, ArchiveError> {
        let chosen = self.choose()?;
        let again = self.seen.get(&Sha256::of(chosen.path.normalized())).is_some_and(|seen| seen.repeated);
        if again {
            return Err(ArchiveError::Duplicate { path: chosen.path.to_text() });
        }
        let unusable = || ArchiveError::BadName {
            name: chosen.path.to_text(),
            why: "cannot be used in the manifest: it contains a backslash or a control character, is not UTF-8, or is longer than 255 bytes",
        };
        let path = chosen.path.to_inner().ok_or_else(unusable)?;
        let loader = chosen.loader.map_err(|unfit| self.refuse(&chosen.path, unfit))?;
        Ok(Executable { path, size: chosen.size, sha256: chosen.sha256, loader })
    }

    fn choose(&mut self) -> Result<Candidate, ArchiveError> {
        let mut there = std::mem::take(&mut self.alike);
        there.append(std::mem::take(&mut self.others));
        let Some(last) = self.found.pop() else {
            return Err(match self.wanted.path {
                Some(path) if self.seen.contains_key(&Sha256::of(path.as_str())) => {
                    ArchiveError::WantedFolder { path: path.to_string() }
                }
                Some(path) => ArchiveError::Missing { path: path.to_string(), there },
                None => ArchiveError::NoExecutable { arch: self.wanted.arch, there },
            });
        };
        if self.found.iter().all(|other| other.path.normalized() == last.path.normalized()) {
            if let Some(script) = self.launcher.take()
                && file_name(last.path.normalized()) != self.wanted.name.as_bytes()
            {
                let executable = last.path.to_text();
                return Err(ArchiveError::Launcher { script, executable, arch: self.wanted.arch });
            }
            return Ok(last);
        }
        self.found.push(last);
        let name = self.wanted.name.as_bytes();
        let named = |candidate: &Candidate| file_name(candidate.path.normalized()) == name;
        let mut same_name = self.found.iter().filter(|candidate| named(candidate));
        let only_one = same_name.next().is_some() && same_name.next().is_none();
        if only_one && let Some(index) = self.found.iter().position(named) {
            return Ok(self.found.swap_remove(index));
        }
        let mut candidates = TruncatedList::default();
        self.found.iter().for_each(|candidate| candidates.push(|| quoted_path(&candidate.path.to_text())));
        Err(ArchiveError::Ambiguous { candidates })
    }
}

/// Reads enough bytes to detect the file type.
pub(super) fn read_head(data: &mut (impl Read + ?Sized)) -> Result<Vec<u8>, ArchiveError> {
    let mut head = Vec::with_capacity(HEAD);
    data.take(HEAD as u64).read_to_end(&mut head).map_err(ArchiveError::from_reader)?;
    Ok(head)
}
