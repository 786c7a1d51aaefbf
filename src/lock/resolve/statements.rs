//! What publishers say of an archive before it is fetched, and whether they agree.

use std::collections::BTreeMap;

use crate::diagnostics::{Code, Diagnostic, quoted};
use crate::digest::Sha256;
use crate::lock::Evidence;
use crate::lock::checksums::{self, Said};
use crate::lock::upstream::{Asset, Upstream};
use crate::project::values::WebUrl;

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

    /// What all of them say, and who says it; nothing where nobody says anything.
    ///
    /// # Errors
    /// Names two that do not agree. `archive` says in words what they are about.
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

/// A checksum file or a signature.
pub(super) struct Document<'a> {
    pub(super) url: &'a WebUrl,
    pub(super) name: &'a str,
    /// Whether its publisher says that it is there.
    pub(super) is_listed: bool,
}

impl<'a> Document<'a> {
    /// A file of a release.
    pub(super) fn listed(asset: &'a Asset) -> Self {
        Self { url: &asset.url, name: &asset.name, is_listed: true }
    }
}

/// Reads each checksum file once, for both architectures.
pub(super) struct ChecksumFiles<'a> {
    upstream: &'a dyn Upstream,
    read: BTreeMap<String, Option<String>>,
}

impl<'a> ChecksumFiles<'a> {
    pub(super) fn new(upstream: &'a dyn Upstream) -> Self {
        Self { upstream, read: BTreeMap::new() }
    }

    /// What the checksum files among the assets of a release say of the asset `name`.
    pub(super) fn of_release(
        &mut self,
        assets: &[Asset],
        name: &str,
        into: &mut Statements,
    ) -> Result<(), Diagnostic> {
        let own = checksums::own_names(name);
        for asset in assets.iter().filter(|asset| own.contains(&asset.name)) {
            self.own(&Document::listed(asset), name, into)?;
        }
        let lists: Vec<_> =
            assets.iter().filter(|asset| checksums::is_list(&asset.name) && !is_own(asset, assets)).collect();
        let mut silent = None;
        for list in lists.iter().take(MOST_LISTS) {
            if self.list(&Document::listed(list), name, into)? {
                return Ok(());
            }
            silent = Some(&list.name);
        }
        if let Some(list) = silent {
            into.notes.push(format!("{} says nothing of {}", quoted(list), quoted(name)));
        }
        Ok(())
    }

    /// What stands beside a plain URL.
    pub(super) fn of_url(&mut self, url: &WebUrl, into: &mut Statements) -> Result<(), Diagnostic> {
        let name = url.file_name().to_owned();
        // A query belongs to the file, not to what stands beside it.
        if url.as_str().contains(['?', '#']) {
            return Ok(());
        }
        if let Ok(own) = format!("{url}.sha256").parse() {
            self.own(&Document { url: &own, name: own.file_name(), is_listed: false }, &name, into)?;
        }
        let folder = url.as_str().strip_suffix(name.as_str()).unwrap_or_default();
        for list in ["SHA256SUMS", "checksums.txt"] {
            if let Ok(url) = format!("{folder}{list}").parse() {
                self.list(&Document { url: &url, name: list, is_listed: false }, &name, into)?;
            }
        }
        Ok(())
    }

    /// The text of a document; nothing where there is none and nobody said that there is.
    pub(super) fn text(&mut self, document: &Document<'_>) -> Result<Option<&str>, Diagnostic> {
        let Document { url, is_listed, .. } = *document;
        if !self.read.contains_key(url.as_str()) {
            let text =
                if is_listed { Some(self.upstream.document(url)?) } else { self.upstream.beside(url)? };
            self.read.insert(url.to_string(), text);
        }
        Ok(self.read.get(url.as_str()).and_then(Option::as_deref))
    }

    fn own(&mut self, document: &Document<'_>, asset: &str, into: &mut Statements) -> Result<(), Diagnostic> {
        let Some(text) = self.text(document)? else { return Ok(()) };
        let name = quoted(document.name);
        match checksums::of_own(text, asset) {
            Said::OfAnother(digest, other) => {
                into.notes.push(format!("{name} names {} and does not count", quoted(&other)));
                let by = format!("{name} (under the name {})", quoted(&other));
                into.of_another = Some(Statement { by, evidence: Evidence::ChecksumFile, digest });
            }
            said => take(&said, document, into)?,
        }
        Ok(())
    }

    /// Whether the list says anything of `asset`.
    fn list(
        &mut self,
        document: &Document<'_>,
        asset: &str,
        into: &mut Statements,
    ) -> Result<bool, Diagnostic> {
        let said = self.text(document)?.map_or(Said::Nothing, |text| checksums::of_list(text, asset));
        take(&said, document, into)?;
        Ok(said != Said::Nothing)
    }
}

/// Whether it is the checksum file of one asset alone.
fn is_own(asset: &Asset, assets: &[Asset]) -> bool {
    assets.iter().any(|other| checksums::own_names(&other.name).contains(&asset.name))
}

fn take(said: &Said, document: &Document<'_>, into: &mut Statements) -> Result<(), Diagnostic> {
    let name = quoted(document.name);
    match said {
        Said::States(digest) => into.add(name, Evidence::ChecksumFile, *digest),
        Said::Contradicts(one, other) => {
            return Err(Diagnostic::error(
                Code::ChecksumMismatch,
                format!("{name} contradicts itself: it states {one} and {other}: {}", document.url),
            )
            .help("ask its publisher which of the two is right"));
        }
        Said::OfAnother(..) | Said::Nothing => {}
    }
    Ok(())
}
