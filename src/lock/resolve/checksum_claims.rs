//! Collects the published statements about an archive before it is downloaded, and checks that they agree.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use crate::diagnostics::{Code, Diagnostic, quoted};
use crate::digest::{Checksum, Sha256};
use crate::lock::checksums::{self, Said};
use crate::lock::upstream::{FetchedText, ReleaseAsset, Upstream};
use crate::lock::{Evidence, Signature};
use crate::project::manifest::{Binary, BinarySource};
use crate::project::names::{MinisignKey, Version};
use crate::project::values::{Arch, ArchiveFormat, WebUrl};

/// Checksum lists that are looked into for one release, at most; and as many texts with other names.
const MOST_LISTS: usize = 8;

/// The largest text that may be a list under any name, in bytes.
const LARGEST_TEXT: u64 = 256 << 10;

/// A checksum, and its source.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) by: String,
    pub(super) evidence: Evidence,
    pub(super) digest: Sha256,
}

/// A checksum by another algorithm than SHA-256, which only the archive's bytes can confirm.
#[derive(Clone, Debug)]
struct Unconfirmed {
    by: String,
    checksum: Checksum,
    /// Whether it counts as the publisher's checksum, once it is confirmed.
    counts: bool,
}

/// Everything that is said of one archive.
#[derive(Debug, Default)]
pub(super) struct Statements {
    pub(super) all: Vec<Statement>,
    unconfirmed: Vec<Unconfirmed>,
    /// Whether the archive's bytes have a strong checksum that its publisher states.
    confirmed: bool,
    /// A checksum file about this archive alone that names another file.
    pub(super) of_another: Option<Statement>,
    pub(super) notes: Vec<String>,
}

impl Statements {
    pub(super) fn add(&mut self, by: impl Into<String>, evidence: Evidence, digest: Sha256) {
        self.all.push(Statement { by: by.into(), evidence, digest });
    }

    /// Adds what the catalog states of `wanted`, where that is the version that it knows.
    pub(super) fn add_catalog(&mut self, wanted: &Binary, version: Option<&Version>, arch: Arch) {
        if let BinarySource::Catalog(tool) = &wanted.origin
            && version == Some(&tool.version)
        {
            for (_, asset) in tool.builds.iter().filter(|(of, _)| *of == arch) {
                self.add("the catalog", Evidence::Seed, asset.sha256);
            }
        }
    }

    /// The first statement, if all of them agree; `None` if there are no statements.
    ///
    /// # Errors
    /// If two of them disagree; the message names both. `archive` describes the file in it.
    pub(super) fn agreed(&self, archive: &str) -> Result<Option<&Statement>, Diagnostic> {
        let Some(first) = self.all.first() else { return Ok(None) };
        match self.all.iter().find(|other| other.digest != first.digest) {
            None => Ok(Some(first)),
            Some(other) => Err(Diagnostic::error(
                Code::ChecksumMismatch,
                format!(
                    "two statements about {archive} disagree: {} states {}, and {} states {}",
                    first.by, first.digest, other.by, other.digest
                ),
            )
            .help("do not use it; ask its publisher which of the two is right")),
        }
    }

    pub(super) fn evidence(&self) -> impl Iterator<Item = Evidence> {
        let confirmed = self.confirmed.then_some(Evidence::ChecksumFile);
        self.all.iter().map(|statement| statement.evidence).chain(confirmed)
    }

    /// Whether [`confirm`](Self::confirm) has to see the archive's bytes.
    pub(super) const fn need_bytes(&self) -> bool {
        !self.unconfirmed.is_empty()
    }

    /// Compares the checksums of the archive's bytes with the statements by other algorithms than SHA-256.
    ///
    /// # Errors
    /// If one of them differs. `archive` describes the file in the message.
    pub(super) fn confirm(&mut self, computed: &[Checksum], archive: &str) -> Result<(), Diagnostic> {
        for claim in &self.unconfirmed {
            let same = |own: &&Checksum| own.algorithm() == claim.checksum.algorithm();
            let own = computed.iter().find(same).filter(|own| **own != claim.checksum);
            if let Some(own) = own {
                return Err(Diagnostic::error(
                    Code::ChecksumMismatch,
                    format!(
                        "{archive}: its {} is {own}, and {} states {}",
                        own.algorithm(),
                        claim.by,
                        claim.checksum
                    ),
                )
                .help("do not use it; ask its publisher which of the two is right"));
            }
        }
        self.confirmed = self.unconfirmed.iter().any(|claim| claim.counts);
        Ok(())
    }

    fn is_stated(&self) -> bool {
        let counts = self.unconfirmed.iter().any(|claim| claim.counts);
        counts || self.all.iter().any(|statement| statement.evidence == Evidence::ChecksumFile)
    }
}

/// Reads each checksum file once, for both architectures.
pub(super) struct ChecksumFiles<'a> {
    upstream: &'a dyn Upstream,
    read: BTreeMap<String, FetchedText>,
}

impl<'a> ChecksumFiles<'a> {
    pub(super) fn new(upstream: &'a dyn Upstream) -> Self {
        Self { upstream, read: BTreeMap::new() }
    }

    /// The statements about the asset `name` in the checksum files of a release.
    ///
    /// # Errors
    /// Where one of them contradicts itself, or cannot be had: the release has it.
    pub(super) fn of_release(
        &mut self,
        assets: &[ReleaseAsset],
        name: &str,
        into: &mut Statements,
    ) -> Result<(), Diagnostic> {
        let names = AssetNames::of(assets);
        for asset in assets.iter().filter(|asset| names.is_about(asset, name)) {
            self.listed(asset)?;
            self.own(&asset.url, &asset.name, name, into)?;
        }
        let lists: Vec<_> = assets.iter().filter(|asset| names.is_list(asset)).collect();
        let (mut speaks, mut silent) = (false, None);
        for list in lists.iter().take(MOST_LISTS) {
            self.listed(list)?;
            if self.list(&list.url, &list.name, name, into)? {
                speaks = true;
            } else {
                silent = Some(&list.name);
            }
        }
        let is_text = |asset: &&ReleaseAsset| {
            asset.name != name && asset.size <= LARGEST_TEXT && checksums::is_text(&asset.name)
        };
        let is_unknown = |asset: &&ReleaseAsset| !names.is_own(asset) && !names.is_list(asset);
        let texts: Vec<_> = assets.iter().filter(is_text).filter(is_unknown).collect();
        for text in texts.iter().take(MOST_LISTS) {
            speaks |= self.list(&text.url, &text.name, name, into)?;
        }
        let is_unread = |asset: &&ReleaseAsset| checksums::is_unsupported(&asset.name);
        if !into.is_stated()
            && into.of_another.is_none()
            && let Some(other) = assets.iter().find(is_unread)
        {
            into.notes
                .push(format!("{} was not read: bake does not know its algorithm", quoted(&other.name)));
        }
        if let Some(list) = silent.filter(|_| !speaks) {
            into.notes.push(format!("{} says nothing of {}", quoted(list), quoted(name)));
        }
        for (files, kind) in
            [(lists.len(), "lists of checksums"), (texts.len(), "texts that may be such lists")]
        {
            if files > MOST_LISTS {
                into.notes.push(format!("only {MOST_LISTS} of {files} {kind} were read"));
            }
        }
        Ok(())
    }

    /// The statement in the checksum file that the manifest names.
    ///
    /// # Errors
    /// Where the file cannot be had, or states nothing about the asset `name`.
    pub(super) fn named(
        &mut self,
        url: &WebUrl,
        name: &str,
        into: &mut Statements,
    ) -> Result<(), Diagnostic> {
        let said = match self.document(url)? {
            FetchedText::Text(text) => checksums::of_own(text, name),
            FetchedText::NoText => Said::Unread,
            FetchedText::Absent(why) => return Err(why.clone()),
        };
        match said {
            Said::States(_) | Said::Contradicts(..) => take(&said, url.file_name(), url, into),
            Said::OfAnother(..) | Said::Unread | Said::Nothing => Err(Diagnostic::error(
                Code::NotPublished,
                format!("the file of `checksums:` states no checksum of {}: {url}", quoted(name)),
            )
            .help("name the right file, with `{version}` and `{arch}` in it; or remove `checksums:`")),
        }
    }

    /// The statements next to a plain URL, if there are any.
    ///
    /// # Errors
    /// If the statements contradict each other, or the server could not be reached.
    pub(super) fn of_url(&mut self, url: &WebUrl, into: &mut Statements) -> Result<(), Diagnostic> {
        let name = url.file_name().to_owned();
        // A query belongs to the file, not to its checksum files.
        if url.as_str().contains(['?', '#']) {
            return Ok(());
        }
        let folder = url.as_str().strip_suffix(name.as_str()).unwrap_or_default();
        // The rarer names are tried only where the common ones do not exist.
        for (endings, lists) in [
            (&["sha256"][..], &["SHA256SUMS", "checksums.txt"][..]),
            (&["sha512", "sha256sum"], &["SHASUMS256.txt", "SHA512SUMS", "sha256sums.txt"]),
            (&["sha1", "md5"], &["SHA1SUMS", "MD5SUMS"]),
        ] {
            for ending in endings {
                if let Ok(own) = format!("{url}.{ending}").parse() {
                    self.own(&own, &format!("{name}.{ending}"), &name, into)?;
                }
            }
            for list in lists {
                if let Ok(url) = format!("{folder}{list}").parse() {
                    self.list(&url, list, &name, into)?;
                }
            }
            if into.is_stated() || into.of_another.is_some() {
                break;
            }
        }
        Ok(())
    }

    /// The publisher's signature of the archive at `url`, `NAME.minisig`, which `content` was verified
    /// with. `assets` are the files of its release, if it is of one.
    ///
    /// # Errors
    /// Where there is none, or it does not verify.
    pub(super) fn signature(
        &mut self,
        assets: Option<&[ReleaseAsset]>,
        url: &WebUrl,
        archive: &str,
        key: &MinisignKey,
        content: &mut dyn Read,
    ) -> Result<Signature, Diagnostic> {
        let name = url.file_name();
        let own = format!("{name}.minisig");
        let place = match assets {
            Some(assets) => assets.iter().find(|asset| asset.name == own).map(|asset| asset.url.clone()),
            None => format!("{url}.minisig").parse().ok(),
        };
        let text = place.as_ref().map(|url| self.text(url)).transpose();
        let text = text.map_err(|problem| problem.about(archive))?.flatten();
        let unsigned = |what: String| {
            Diagnostic::error(Code::BadSignature, format!("{archive}: {what}"))
                .help("the manifest's `minisign:` asks for a signature of the archive itself, NAME.minisig; do not use what has none")
        };
        let text = text.ok_or_else(|| unsigned(format!("there is no signature {}", quoted(&own))))?;
        let signature = text.parse::<Signature>();
        let verified =
            signature.and_then(|signature| signature.verify(key, name, content).map(|()| signature));
        verified.map_err(|error| unsigned(format!("the signature {}: {error}", quoted(&own))))
    }

    /// The text of a document, where there is one.
    pub(super) fn text(&mut self, url: &WebUrl) -> Result<Option<&str>, Diagnostic> {
        Ok(match self.document(url)? {
            FetchedText::Text(text) => Some(text),
            FetchedText::NoText | FetchedText::Absent(_) => None,
        })
    }

    fn document(&mut self, url: &WebUrl) -> Result<&FetchedText, Diagnostic> {
        match self.read.entry(url.to_string()) {
            Entry::Occupied(known) => Ok(known.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(self.upstream.document(url)?)),
        }
    }

    /// Holds a file that the release lists to be there.
    fn listed(&mut self, asset: &ReleaseAsset) -> Result<(), Diagnostic> {
        match self.document(&asset.url)? {
            FetchedText::Absent(why) => Err(why.clone()),
            FetchedText::Text(_) | FetchedText::NoText => Ok(()),
        }
    }

    fn own(
        &mut self,
        url: &WebUrl,
        file: &str,
        asset: &str,
        into: &mut Statements,
    ) -> Result<(), Diagnostic> {
        let said = match self.document(url)? {
            FetchedText::Text(text) => checksums::of_own(text, asset),
            FetchedText::NoText => Said::Unread,
            FetchedText::Absent(_) => return Ok(()),
        };
        match &said {
            Said::OfAnother(stated, other) => {
                into.notes.push(format!("{} names {} and does not count", quoted(file), quoted(other)));
                let by = format!("{} (under the name {})", quoted(file), quoted(other));
                for checksum in stated {
                    match *checksum {
                        Checksum::Sha256(digest) => {
                            let evidence = Evidence::ChecksumFile;
                            into.of_another = Some(Statement { by: by.clone(), evidence, digest });
                        }
                        checksum => {
                            into.unconfirmed.push(Unconfirmed { by: by.clone(), checksum, counts: false });
                        }
                    }
                }
            }
            Said::Nothing | Said::Unread => {
                into.notes.push(format!("{} states no checksum in a form that bake reads", quoted(file)));
            }
            Said::States(_) | Said::Contradicts(..) => take(&said, file, url, into)?,
        }
        Ok(())
    }

    /// Whether the list says anything of `asset`.
    fn list(
        &mut self,
        url: &WebUrl,
        file: &str,
        asset: &str,
        into: &mut Statements,
    ) -> Result<bool, Diagnostic> {
        let said = self.text(url)?.map_or(Said::Nothing, |text| checksums::of_list(text, asset));
        take(&said, file, url, into)?;
        if said == Said::Unread && checksums::is_about_checksums(file) {
            let message = format!(
                "{} names {}, and states no checksum in a form that bake reads",
                quoted(file),
                quoted(asset)
            );
            into.notes.push(message);
        }
        Ok(said != Said::Nothing)
    }
}

/// The files of a release, by name.
struct AssetNames<'a> {
    names: BTreeSet<&'a str>,
    /// The names in lower case.
    lower: BTreeSet<String>,
    /// By name without the ending of an archive, in lower case: the number of files, and of archives.
    stems: BTreeMap<String, (usize, usize)>,
}

impl<'a> AssetNames<'a> {
    fn of(assets: &'a [ReleaseAsset]) -> Self {
        let names: BTreeSet<_> = assets.iter().map(|asset| asset.name.as_str()).collect();
        let mut stems = BTreeMap::<_, (usize, usize)>::new();
        for asset in assets {
            let (files, archives) = stems.entry(stem(&asset.name)).or_default();
            *files += 1;
            *archives += usize::from(is_archive(&asset.name));
        }
        Self { lower: names.iter().map(|name| name.to_ascii_lowercase()).collect(), names, stems }
    }

    /// Whether it is a list of checksums, or the clear-signed form of one that the release does not have.
    fn is_list(&self, asset: &ReleaseAsset) -> bool {
        let is_alone = checksums::clear_signed(&asset.name).is_some_and(|list| !self.names.contains(list));
        (checksums::is_list(&asset.name) || is_alone) && !self.is_own(asset)
    }

    /// Whether it is the checksum file of one asset alone.
    fn is_own(&self, asset: &ReleaseAsset) -> bool {
        checksums::owner_of(&asset.name)
            .is_some_and(|owner| self.lower.contains(&owner) || self.stems.get(&owner) == Some(&(1, 1)))
    }

    /// Whether `asset` has the checksum of the asset `name` alone: `x.tar.gz.sha256`, or `x.sha256` where
    /// `x.tar.gz` is the only archive of that name.
    fn is_about(&self, asset: &ReleaseAsset, name: &str) -> bool {
        checksums::owner_of(&asset.name).is_some_and(|owner| {
            let is_only =
                || is_archive(name) && owner == stem(name) && self.stems.get(&owner) == Some(&(1, 1));
            owner == name.to_ascii_lowercase() || is_only()
        })
    }
}

/// The name without the ending of an archive, in lower case.
fn stem(name: &str) -> String {
    ArchiveFormat::split(name).0.to_ascii_lowercase()
}

fn is_archive(name: &str) -> bool {
    ArchiveFormat::of(name) != ArchiveFormat::Bare
}

fn take(said: &Said, file: &str, url: &WebUrl, into: &mut Statements) -> Result<(), Diagnostic> {
    match said {
        Said::States(stated) => {
            for checksum in stated {
                match *checksum {
                    Checksum::Sha256(digest) => into.add(quoted(file), Evidence::ChecksumFile, digest),
                    checksum => into.unconfirmed.push(Unconfirmed {
                        by: quoted(file),
                        checksum,
                        counts: checksum.is_strong(),
                    }),
                }
            }
        }
        Said::Contradicts(one, other) => {
            return Err(Diagnostic::error(
                Code::ChecksumMismatch,
                format!("{} contradicts itself: it states {one} and {other}: {url}", quoted(file)),
            )
            .help("ask its publisher which of the two is right"));
        }
        Said::OfAnother(..) | Said::Unread | Said::Nothing => {}
    }
    Ok(())
}
