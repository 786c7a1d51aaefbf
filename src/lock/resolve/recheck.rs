//! Compares the lock with the publishers' current statements.

use super::attestations::{AttestationSearch, AttestedFile};
use super::checksum_claims::{ChecksumFiles, Statements};
use crate::diagnostics::{Code, Diagnostic, quoted};
use crate::digest::ChecksumReader;
use crate::lock::policy;
use crate::lock::signature::Signature;
use crate::lock::tampering::{checksums_url, filled, spelled};
use crate::lock::trust::Trust;
use crate::lock::upstream::{GRACE_DAYS, Order, Release, ReleaseAsset, ReleaseQuery, Upstream};
use crate::lock::versions;
use crate::lock::{Build, Evidence, LockedBinary, LockedImage};
use crate::project::manifest::{Binary, BinarySource};
use crate::project::names::{MinisignKey, RepoSlug, Version};
use crate::project::values::{Arch, WebUrl};

/// The differences of a locked binary.
#[derive(Debug)]
pub struct Today {
    /// For each architecture, what is not as it was, or could not be asked.
    pub builds: Vec<(Arch, Vec<Diagnostic>)>,
    /// Whether its publisher was asked when it was locked, and the lock has no id of the repository.
    pub lacks_id: bool,
    /// A newer release, where there is one.
    pub newer: Result<Option<Newer>, Diagnostic>,
}

/// A release that is newer than the locked one.
#[derive(Debug)]
pub struct Newer {
    /// Its version.
    pub version: Version,
    /// A newer version that was published long ago, if neither manifest nor catalog names the locked one. An
    /// edit of the lock that goes back to a flawed version looks like this, and so does a lock that was not
    /// updated for long.
    pub overdue: Option<Version>,
}

/// Asks whether `locked` is still published, as it was. `wanted` says where it comes from.
pub fn binary(wanted: &Binary, locked: &LockedBinary, upstream: &dyn Upstream) -> Today {
    let repo = wanted.origin.repo();
    let release = match (repo, &locked.version) {
        (Some(repo), Some(version)) => {
            match upstream.release(repo, &ReleaseQuery::Version(version.clone()), 0) {
                Ok(release) => Some(release),
                Err(problem) => {
                    let builds = locked.builds.keys().map(|arch| (*arch, vec![problem.clone()])).collect();
                    return Today { builds, lacks_id: false, newer: Ok(None) };
                }
            }
        }
        _ => None,
    };
    let files = ChecksumFiles::new(upstream);
    let mut recheck = Recheck { wanted, locked, release: release.as_ref(), files, upstream };
    let builds = locked.builds.iter().map(|(arch, build)| (*arch, recheck.build(*arch, build)));
    let mut builds: Vec<_> = builds.collect();
    if let Some((_, found)) = builds.first_mut() {
        found.extend(replaced(repo, locked, release.as_ref(), upstream));
    }
    let lacks_id =
        repo.is_some() && locked.repository_id.is_none() && Trust::in_binary(locked) > Trust::Catalog;
    Today { builds, lacks_id, newer: newer(wanted, locked, upstream) }
}

/// Asks whether the tag of the base image still names what is locked.
///
/// # Errors
/// What the registry could not be asked.
pub fn image(locked: &LockedImage, upstream: &dyn Upstream) -> Result<Vec<Diagnostic>, Diagnostic> {
    let said = upstream.image(&locked.reference)?;
    let mut found = Vec::new();
    if said.digest != locked.digest {
        found.push(
            Diagnostic::error(
                Code::TagMoved,
                format!(
                    "the tag of `{}` moved: {} is locked, and its registry now says {}",
                    locked.reference,
                    locked.digest.oci(),
                    said.digest.oci()
                ),
            )
            .help("the VM keeps using the locked image; `bake lock --update image --allow-republished image` accepts the new one, after its publisher has explained the change"),
        );
    }
    for (arch, digest) in locked.platforms.iter().filter(|_| said.digest == locked.digest) {
        if said.platforms.get(arch) != Some(digest) {
            found.push(Diagnostic::error(
                Code::ChecksumMismatch,
                format!(
                    "`{}` has another manifest for {arch} than the lock: {}",
                    locked.reference,
                    digest.oci()
                ),
            ));
        }
    }
    Ok(found)
}

/// Signs that the repository or the release is another one than the locked one.
fn replaced(
    repo: Option<&RepoSlug>,
    locked: &LockedBinary,
    release: Option<&Release>,
    upstream: &dyn Upstream,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    if let (Some(repo), Some(id)) = (repo, locked.repository_id) {
        let now = upstream.repository_id(repo);
        let same = now.and_then(|now| policy::same_repository(repo, id, now));
        found.extend(same.map_err(|problem| problem.help("the lock was edited, or the repository was deleted and registered again: compare its content before you update")).err());
    }
    if locked.immutable && release.is_some_and(|release| !release.immutable) {
        let message = "the lock says that the release is immutable, and it is not today";
        found.push(
            Diagnostic::error(Code::NotPublished, message)
                .help("the lock was edited, or the release was made again: ask the publisher"),
        );
    }
    found
}

struct Recheck<'a> {
    wanted: &'a Binary,
    locked: &'a LockedBinary,
    /// None for a URL.
    release: Option<&'a Release>,
    files: ChecksumFiles<'a>,
    upstream: &'a dyn Upstream,
}

impl Recheck<'_> {
    /// The findings about one build. If one publisher does not answer, the statements of the others are
    /// still compared.
    fn build(&mut self, arch: Arch, build: &Build) -> Vec<Diagnostic> {
        let mut found = Vec::new();
        let asset = match self.release.map(|release| asset(release, build)).transpose() {
            Ok(asset) => asset,
            Err(problem) => return vec![problem],
        };
        // Release or manifest say where the file is; the lock may lie about it.
        let url = &self.place(arch, build, asset);
        found.extend(self.misplaced(arch, build, url));
        let mut statements = Statements::default();
        statements.add_catalog(self.wanted, self.locked.version.as_ref(), arch);
        let mut size = asset.map(|asset| asset.size);
        if let Some(digest) = asset.and_then(|asset| asset.digest) {
            statements.add("the release API", Evidence::ApiDigest, digest);
        }
        let read = match (self.release, asset) {
            (Some(release), Some(asset)) => {
                self.files.of_release(&release.assets, &asset.name, &mut statements)
            }
            _ => self.files.of_url(url, &mut statements),
        };
        let named = checksums_url(self.wanted, self.locked.version.as_ref(), arch, url).and_then(|named| {
            named.map_or(Ok(()), |named| self.files.named(&named, url.file_name(), &mut statements))
        });
        let is_heard = read.and(named).map_err(|problem| found.push(problem)).is_ok();
        // A digest that the API computed is as good as the bytes. A publisher's file may be outdated.
        if !statements.evidence().any(|evidence| evidence == Evidence::ApiDigest) {
            match self.upstream.published(url) {
                Ok((sha256, published)) => {
                    size = Some(published);
                    statements.add("the published file", Evidence::Computed, sha256);
                }
                Err(problem) => found.push(problem),
            }
        }
        let other = statements.all.iter().filter(|statement| statement.digest != build.sha256);
        let republished: Vec<_> = other
            .map(|statement| {
                let message = format!(
                    "{} is locked, and {} is {}: {url}",
                    build.sha256, statement.by, statement.digest
                );
                Diagnostic::error(Code::Republished, message)
                    .help("builds refuse it; ask its publisher why it changed under the same version")
            })
            .collect();
        if !republished.is_empty() {
            found.extend(republished);
            return found;
        }
        if let (Some(locked), Some(size)) = (build.size, size)
            && locked != size
        {
            let message = format!("{locked} bytes are locked, and {size} are published: {url}");
            found.push(Diagnostic::error(Code::Republished, message));
        }
        found.extend(self.content(arch, build, url, &mut statements));
        found.extend(self.attested(arch, build, url).err());
        if is_heard {
            found.extend(self.unsupported(build, &statements));
        }
        found
    }

    /// The URL at which the file is published.
    fn place(&self, arch: Arch, build: &Build, asset: Option<&ReleaseAsset>) -> WebUrl {
        if let BinarySource::Url { url, arch: words } = &self.wanted.origin {
            let version = self.locked.version.as_ref();
            let url = filled(url.as_str(), version, spelled(words.as_ref(), arch)).parse();
            return url.unwrap_or_else(|_| build.url.clone());
        }
        asset.map_or(&build.url, |asset| &asset.url).clone()
    }

    /// A URL that is not the one at which the file is published.
    fn misplaced(&self, arch: Arch, build: &Build, url: &WebUrl) -> Option<Diagnostic> {
        if build.url == *url {
            return None;
        }
        if let BinarySource::Catalog(tool) = &self.wanted.origin
            && self.locked.version.as_ref() == Some(&tool.version)
        {
            let known = tool.builds.iter().find(|(of, _)| *of == arch);
            if known
                .is_some_and(|(_, known)| tool.url(known, &tool.version).is_ok_and(|url| url == build.url))
            {
                return None;
            }
        }
        let message = format!("it is locked from {}, and it is published at {url}", build.url);
        Some(Diagnostic::error(Code::NotPublished, message).help(
            "the lock was edited, or the repository moved: run `bake lock --update`, and review the changes",
        ))
    }

    /// Evidence in the lock that cannot be had today.
    fn unsupported(&self, build: &Build, statements: &Statements) -> Vec<Diagnostic> {
        let is_older = match &self.wanted.origin {
            BinarySource::Catalog(tool) => self.locked.version.as_ref() != Some(&tool.version),
            BinarySource::Release { .. } | BinarySource::Url { .. } => false,
        };
        let shown = |evidence: Evidence| match evidence {
            // An older release of bake had it in its catalog; the others verify it by themselves.
            Evidence::Seed if is_older => true,
            Evidence::Computed | Evidence::Minisign | Evidence::Attestation => true,
            evidence => statements.evidence().any(|known| known == evidence),
        };
        let missing = build.evidence.iter().filter(|evidence| !shown(**evidence));
        missing
            .map(|evidence| {
                let message =
                    format!("the lock says that {evidence} states its checksum, and none does today");
                Diagnostic::error(Code::NotPublished, message)
                    .help("the lock was edited, or the publisher withdrew it: ask the publisher")
            })
            .collect()
    }

    /// Verifies the attestation that the lock says there is.
    fn attested(&mut self, arch: Arch, build: &Build, url: &WebUrl) -> Result<(), Diagnostic> {
        let Some(release) = self.release.filter(|_| build.evidence.contains(&Evidence::Attestation)) else {
            return Ok(());
        };
        let order = order(self.wanted, self.locked, arch, build, url);
        let upstream = self.upstream;
        let search = AttestationSearch {
            subject: AttestedFile {
                name: url.file_name(),
                sha256: build.sha256,
                release,
                id: self.locked.repository_id,
            },
            files: &mut self.files,
            upstream,
            archive: &|| upstream.archive(&order),
        };
        let today = search.run()?;
        match (today.by, today.unasked) {
            (Some(now), _) if Some(&now) == build.attested_by.as_ref() => Ok(()),
            (Some(now), _) => {
                let message = format!("it was made by the workflow {now}, and the lock names another one");
                Err(Diagnostic::error(Code::NotPublished, message)
                    .help("the lock was edited: restore it, or recreate it with `bake lock`"))
            }
            (None, Some(why)) => Err(why),
            (None, None) => {
                let why = today.notes.first().map(|why| format!(" ({why})")).unwrap_or_default();
                let message = format!("the lock says that an attestation names it, and none does today{why}");
                Err(Diagnostic::error(Code::NotPublished, message)
                    .help("the lock was edited, or the publisher withdrew it: ask the publisher"))
            }
        }
    }

    /// Verifies the archive's executable, the publisher's signature, and the statements that need its bytes.
    fn content(
        &mut self,
        arch: Arch,
        build: &Build,
        url: &WebUrl,
        statements: &mut Statements,
    ) -> Vec<Diagnostic> {
        if build.binary_sha256.is_none() && self.wanted.minisign.is_none() && !statements.need_bytes() {
            return Vec::new();
        }
        let order = order(self.wanted, self.locked, arch, build, url);
        let mut archive = match self.upstream.archive(&order) {
            Ok(archive) => archive,
            Err(problem) => return vec![problem],
        };
        let mut found = Vec::new();
        if let Some(locked) = build.binary_sha256.filter(|locked| *locked != archive.binary_sha256) {
            let message = format!(
                "the executable in the archive is {}, and {locked} is locked: {url}",
                archive.binary_sha256
            );
            found.push(
                Diagnostic::error(Code::ChecksumMismatch, message)
                    .help("the lock was edited: restore it, or recreate it with `bake lock`"),
            );
        }
        if build.loader.as_ref().is_some_and(|locked| archive.loader.as_ref() != Some(locked)) {
            let now = archive.loader.as_ref().map_or("none".to_owned(), ToString::to_string);
            let message = format!("the executable's loader is {now}, and another one is locked: {url}");
            found.push(
                Diagnostic::error(Code::ChecksumMismatch, message)
                    .help("the lock was edited: restore it, or recreate it with `bake lock`"),
            );
        }
        if archive.format != build.archive_format() {
            let message = format!("the archive is packed in another way than locked: {url}");
            found.push(
                Diagnostic::error(Code::ChecksumMismatch, message)
                    .help("the lock was edited: restore it, or recreate it with `bake lock`"),
            );
        }
        let name = url.to_string();
        let mut content = ChecksumReader::new(&mut archive.content);
        if let Some(key) = &self.wanted.minisign {
            let assets = self.release.map(|release| release.assets.as_slice());
            let signed = self.files.signature(assets, url, &name, key, &mut content);
            let is_locked = signed.as_ref().is_ok_and(|signed| Some(signed) == build.signature.as_ref());
            found.extend(signed.err());
            if let Some(locked) = build.signature.as_ref().filter(|_| !is_locked) {
                found.extend(self.signed(locked, key, &order).err());
            }
        }
        if statements.need_bytes() {
            let computed = content.finish().map_err(|error| {
                Diagnostic::error(Code::BadArchive, format!("{name} cannot be read: {error}"))
            });
            found.extend(computed.and_then(|computed| statements.confirm(&computed, &name)).err());
        }
        found
    }

    /// Verifies the signature in the lock, which the publisher may have replaced since.
    fn signed(&self, locked: &Signature, key: &MinisignKey, order: &Order<'_>) -> Result<(), Diagnostic> {
        let mut archive = self.upstream.archive(order)?;
        locked.verify(key, order.url.file_name(), &mut archive.content).map_err(|error| {
            let message = format!("the signature in the lock: {error}: {}", order.url);
            Diagnostic::error(Code::BadSignature, message)
                .help("the lock was edited: restore it, or recreate it with `bake lock`")
        })
    }
}

/// The locked archive.
fn order<'a>(
    wanted: &'a Binary,
    locked: &'a LockedBinary,
    arch: Arch,
    build: &'a Build,
    url: &'a WebUrl,
) -> Order<'a> {
    Order {
        tool: &wanted.name.value,
        version: locked.version.as_ref(),
        arch,
        url,
        sha256: Some(build.sha256),
        stated_by: "bake.lock",
        size: None,
        binary: Some(&build.binary),
    }
}

/// The file of a release that a build is made of.
fn asset<'a>(release: &'a Release, build: &Build) -> Result<&'a ReleaseAsset, Diagnostic> {
    let name = build.url.file_name();
    let by_url = release.assets.iter().find(|asset| asset.url == build.url);
    by_url.or_else(|| release.assets.iter().find(|asset| asset.name == name)).ok_or_else(|| {
        let message = format!("the release has no file {} any more: {}", quoted(name), release.page);
        Diagnostic::error(Code::UpstreamGone, message)
            .help("the VM cannot be rebuilt from it; choose another version")
    })
}

fn newer(
    wanted: &Binary,
    locked: &LockedBinary,
    upstream: &dyn Upstream,
) -> Result<Option<Newer>, Diagnostic> {
    let (Some(repo), Some(version)) = (wanted.origin.repo(), &locked.version) else { return Ok(None) };
    let release = upstream.release(repo, &ReleaseQuery::Newest, 0)?;
    let is_newer = |other: &Version| versions::compare(other, version).is_gt();
    let is_of_catalog = matches!(&wanted.origin, BinarySource::Catalog(tool) if tool.version == *version);
    let may_lag = wanted.version.is_some() || is_of_catalog || wanted.policy.min_age_days >= GRACE_DAYS;
    let overdue = release.long_known.filter(|known| !may_lag && is_newer(known));
    Ok(is_newer(&release.version).then_some(Newer { version: release.version, overdue }))
}
