//! Finds the attestations of an archive, and verifies them.

use std::collections::BTreeSet;
use std::io::Read;

use super::checksum_claims::ChecksumFiles;
use crate::diagnostics::{Code, Diagnostic, quoted};
use crate::digest::{Checksum, Sha256};
use crate::lock::assets;
use crate::lock::checksums::{self, Said};
use crate::lock::upstream::{Archive, Release, ReleaseAsset, Upstream};
use crate::provenance::{Attestation, LARGEST_MESSAGE, ProvenanceError, Publisher, Workflow};

/// Endings of Sigstore bundles in releases.
const BUNDLES: [&str; 3] = [".sigstore.json", ".sigstore", ".bundle"];

/// Bundles of one release that are read for one archive.
const MOST_BUNDLES: usize = 8;

/// The archive that attestations are looked for.
pub(super) struct AttestedFile<'a> {
    pub(super) name: &'a str,
    pub(super) sha256: Sha256,
    pub(super) release: &'a Release,
    /// The locked id of the repository.
    pub(super) id: Option<u64>,
}

/// The result of a search for attestations.
#[derive(Default)]
pub(super) struct Attested {
    /// The workflow that made the archive.
    pub(super) by: Option<Workflow>,
    /// The bundles in the release that were verified.
    pub(super) verified: BTreeSet<String>,
    /// The attestations that do not count, with the reasons.
    pub(super) notes: Vec<String>,
    /// Why GitHub's attestations are not known.
    pub(super) unasked: Option<Diagnostic>,
}

/// A search for attestations.
pub(super) struct AttestationSearch<'a, 'b, 'f> {
    pub(super) subject: AttestedFile<'a>,
    pub(super) files: &'b mut ChecksumFiles<'f>,
    pub(super) upstream: &'a dyn Upstream,
    /// The archive, for attestations that sign its bytes.
    pub(super) archive: &'b dyn Fn() -> Result<Archive, Diagnostic>,
}

impl AttestationSearch<'_, '_, '_> {
    /// Verifies the attestations of GitHub's API and those in the release.
    ///
    /// # Errors
    /// Where a bundle with the archive's name does not fit it, or a file could not be read.
    pub(super) fn run(mut self) -> Result<Attested, Diagnostic> {
        let mut found = Attested::default();
        match self.upstream.attestations(&self.subject.release.repo, &self.subject.sha256) {
            Err(why) => {
                found.notes.push(format!("GitHub's attestations are not known: {}", why.message));
                found.unasked = Some(why);
            }
            Ok(texts) => {
                for text in texts {
                    match self.verify(&text, self.subject.sha256, None)? {
                        Ok(workflow) => found.by = Some(workflow),
                        // There is one for each bill of materials, too.
                        Err(ProvenanceError::OtherType(_)) => {}
                        Err(why) => {
                            found.notes.push(format!("an attestation exists and does not count: {why}"));
                        }
                    }
                }
            }
        }
        let assets = &self.subject.release.assets;
        let bundles = assets::signatures(assets, self.subject.name);
        let ending = |bundle: &ReleaseAsset| BUNDLES.into_iter().find(|end| bundle.name.ends_with(end));
        let bundles = bundles.into_iter().filter_map(|bundle| Some((bundle, ending(bundle)?)));
        for (bundle, ending) in bundles.take(MOST_BUNDLES) {
            let Some(text) = self.files.text(&bundle.url)?.map(str::to_owned) else { continue };
            let about = bundle.name.strip_suffix(ending).unwrap_or_default();
            let verified = if about == self.subject.name {
                self.of_archive(&text, &bundle.name)?
            } else {
                self.of_list(&text, about)?
            };
            match verified {
                Ok(workflow) => {
                    found.by.get_or_insert(workflow);
                    found.verified.insert(bundle.name.clone());
                }
                Err(why) => {
                    found.notes.push(format!("{} exists and does not count: {why}", quoted(&bundle.name)));
                    found.verified.insert(bundle.name.clone());
                }
            }
        }
        Ok(found)
    }

    /// A bundle about the archive itself must fit it.
    fn of_archive(&self, text: &str, bundle: &str) -> Result<Result<Workflow, ProvenanceError>, Diagnostic> {
        let verified = self.verify(text, self.subject.sha256, Some(self.archive))?;
        match verified {
            Err(why @ (ProvenanceError::OtherFile | ProvenanceError::Broken(_))) => {
                let message = format!("{} and {} differ: {why}", quoted(bundle), quoted(self.subject.name));
                Err(Diagnostic::error(Code::BadSignature, message)
                    .help("do not use it; ask its publisher which of the two is right"))
            }
            verified => Ok(verified),
        }
    }

    /// A bundle about a list of checksums counts if the list names the archive.
    fn of_list(&mut self, text: &str, list: &str) -> Result<Result<Workflow, ProvenanceError>, Diagnostic> {
        let listed = self.subject.release.assets.iter().find(|asset| asset.name == list);
        let listed = listed.map(|asset| self.files.text(&asset.url)).transpose()?.flatten();
        let Some(listed) = listed.map(str::to_owned) else { return Ok(Err(ProvenanceError::OtherFile)) };
        let said = match checksums::of_list(&listed, self.subject.name) {
            Said::Nothing => checksums::of_own(&listed, self.subject.name),
            said => said,
        };
        let own = Checksum::Sha256(self.subject.sha256);
        if !matches!(said, Said::States(stated) if stated.contains(&own)) {
            return Ok(Err(ProvenanceError::OtherFile));
        }
        let attestation = match text.parse::<Attestation>() {
            Ok(attestation) => attestation,
            Err(error) => return Ok(Err(error)),
        };
        let content = Some(listed.as_bytes());
        let authorities = self.upstream.authorities()?;
        Ok(authorities.verify(&attestation, &Sha256::of(&listed), content, self.publisher()))
    }

    fn verify(
        &self,
        text: &str,
        sha256: Sha256,
        archive: Option<&dyn Fn() -> Result<Archive, Diagnostic>>,
    ) -> Result<Result<Workflow, ProvenanceError>, Diagnostic> {
        let attestation = match text.parse::<Attestation>() {
            Ok(attestation) => attestation,
            Err(error) => return Ok(Err(error)),
        };
        let content = match archive {
            Some(archive) if attestation.signs_content() => content(archive()?, self.subject.name)?,
            _ => None,
        };
        let authorities = self.upstream.authorities()?;
        Ok(authorities.verify(&attestation, &sha256, content.as_deref(), self.publisher()))
    }

    fn publisher(&self) -> Publisher<'_> {
        Publisher { repo: &self.subject.release.repo, id: self.subject.id }
    }
}

/// The archive's bytes, unless there are too many.
fn content(archive: Archive, name: &str) -> Result<Option<Vec<u8>>, Diagnostic> {
    let mut content = Vec::new();
    let read = archive.content.take(LARGEST_MESSAGE + 1).read_to_end(&mut content);
    read.map_err(|error| {
        Diagnostic::error(Code::BadArchive, format!("{} cannot be read: {error}", quoted(name)))
    })?;
    Ok((content.len() as u64 <= LARGEST_MESSAGE).then_some(content))
}
