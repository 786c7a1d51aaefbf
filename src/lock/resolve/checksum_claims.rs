//! Collects the published statements about an archive before it is downloaded, and checks that they agree.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Read;

use crate::diagnostics::{Code, Diagnostic, quoted};
use crate::digest::Sha256;
use crate::lock::checksums::{self, Said};
use crate::lock::upstream::{FetchedText, ReleaseAsset, Upstream};
use crate::lock::{Evidence, Signature};
use crate::project::manifest::{Binary, BinarySource};
use crate::project::names::{MinisignKey, Version};
use crate::project::values::{Arch, ArchiveFormat, WebUrl};

/// Checksum lists that are looked into for one release, at most.
const MOST_LISTS: usize = 8;

/// Somebody's word on a checksum.
#[derive(Clone, Debug)]
pub(super) struct Statement {
    pub(super) by: String,
    pub(super) evidence: Evidence,
    pub(super) digest: Sha256,
}

/// Everything that is said of one archive.
#[derive(Debug, Default)]
pub(super) struct Statements {
    pub(super) all: Vec<Statement>,
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
        self.all.iter().map(|statement| statement.evidence)
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
        for asset in assets.iter().filter(|asset| is_about(asset, name, assets)) {
            self.listed(asset)?;
            self.own(&asset.url, &asset.name, name, into)?;
        }
        let lists: Vec<_> =
            assets.iter().filter(|asset| checksums::is_list(&asset.name) && !is_own(asset, assets)).collect();
        let (mut speaks, mut silent) = (false, None);
        for list in lists.iter().take(MOST_LISTS) {
            self.listed(list)?;
            if self.list(&list.url, &list.name, name, into)? {
                speaks = true;
            } else {
                silent = Some(&list.name);
            }
        }
        let is_unread = |asset: &&ReleaseAsset| checksums::is_of_another_kind(&asset.name);
        if into.all.iter().all(|statement| statement.evidence != Evidence::ChecksumFile)
            && into.of_another.is_none()
            && let Some(other) = assets.iter().find(is_unread)
        {
            into.notes.push(format!("{} was not read: only SHA-256 is", quoted(&other.name)));
        }
        if let Some(list) = silent.filter(|_| !speaks) {
            into.notes.push(format!("{} says nothing of {}", quoted(list), quoted(name)));
        }
        if lists.len() > MOST_LISTS {
            into.notes.push(format!("only {MOST_LISTS} of {} lists of checksums were read", lists.len()));
        }
        Ok(())
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
        if let Ok(own) = format!("{url}.sha256").parse() {
            self.own(&own, &format!("{name}.sha256"), &name, into)?;
        }
        let folder = url.as_str().strip_suffix(name.as_str()).unwrap_or_default();
        for list in ["SHA256SUMS", "checksums.txt"] {
            if let Ok(url) = format!("{folder}{list}").parse() {
                self.list(&url, list, &name, into)?;
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
            FetchedText::NoText => Said::Nothing,
            FetchedText::Absent(_) => return Ok(()),
        };
        match said {
            Said::OfAnother(digest, other) => {
                into.notes.push(format!("{} names {} and does not count", quoted(file), quoted(&other)));
                let by = format!("{} (under the name {})", quoted(file), quoted(&other));
                into.of_another = Some(Statement { by, evidence: Evidence::ChecksumFile, digest });
            }
            Said::Nothing => into.notes.push(format!("{} states no SHA-256", quoted(file))),
            said => take(&said, file, url, into)?,
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
        let speaks = said != Said::Nothing;
        take(&said, file, url, into)?;
        Ok(speaks)
    }
}

/// Whether it is the checksum file of one asset alone.
fn is_own(asset: &ReleaseAsset, assets: &[ReleaseAsset]) -> bool {
    assets.iter().any(|other| is_about(asset, &other.name, assets))
}

/// Whether `asset` has the checksum of the asset `name` alone: `x.tar.gz.sha256`, or `x.sha256` where
/// `x.tar.gz` is the only archive of that name.
fn is_about(asset: &ReleaseAsset, name: &str, assets: &[ReleaseAsset]) -> bool {
    let stem = |name: &str| ArchiveFormat::split(name).0.to_ascii_lowercase();
    checksums::owner_of(&asset.name).is_some_and(|owner| {
        let is_archive = ArchiveFormat::of(name) != ArchiveFormat::Bare;
        let alike = || assets.iter().filter(|other| stem(&other.name) == owner).count();
        owner == name.to_ascii_lowercase() || is_archive && owner == stem(name) && alike() == 1
    })
}

fn take(said: &Said, file: &str, url: &WebUrl, into: &mut Statements) -> Result<(), Diagnostic> {
    match said {
        Said::States(digest) => into.add(quoted(file), Evidence::ChecksumFile, *digest),
        Said::Contradicts(one, other) => {
            return Err(Diagnostic::error(
                Code::ChecksumMismatch,
                format!("{} contradicts itself: it states {one} and {other}: {url}", quoted(file)),
            )
            .help("ask its publisher which of the two is right"));
        }
        Said::OfAnother(..) | Said::Nothing => {}
    }
    Ok(())
}
