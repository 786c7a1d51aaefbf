//! One binary: its release, its archives, what is said of them, what they are.

use std::collections::BTreeMap;
use std::io::Read;

use super::attestations::{AttestationSearch, AttestedFile};
use super::checksum_claims::{ChecksumFiles, Statement, Statements};
use super::find::{Asked, FoundAsset};
use super::{Allowed, Resolved, is_known, is_of_same_source, is_unreachable};
use crate::diagnostics::{Code, Diagnostic, Problems, quoted};
use crate::digest::{ChecksumReader, Sha256};
use crate::lock::assets;
use crate::lock::from_catalog;
use crate::lock::loader::Loaders;
use crate::lock::policy;
use crate::lock::tampering::{arches, checksums_url, differences, path};
use crate::lock::upstream::{Order, Release, ReleaseAsset, ReleaseQuery, Upstream};
use crate::lock::versions;
use crate::lock::{Build, Evidence, LockedBinary, Signature};
use crate::project::manifest::{Binary, BinarySource};
use crate::project::names::Version;
use crate::project::values::{Arch, ArchiveFormat, InnerPath, LoaderPath, WebUrl};
use crate::provenance::Workflow;

/// Asks for `wanted`, the release `which` of it. `old` is what the lock holds of it.
///
/// # Errors
/// All errors, for each architecture, with the place in the manifest.
pub fn binary(
    wanted: &Binary,
    which: &ReleaseQuery,
    old: Option<&LockedBinary>,
    allowed: Allowed,
    loaders: Loaders<'_>,
    upstream: &dyn Upstream,
) -> Result<Resolved<LockedBinary>, Problems> {
    let place = wanted.version.as_ref().map_or(&wanted.name.place, |version| &version.place);
    match ask(wanted, which, old, allowed, loaders, upstream) {
        Ok(resolved) => Ok(resolved),
        Err(problems) => {
            let unreachable = problems.iter().find(|problem| is_unreachable(problem));
            let known = old.filter(|old| differences(wanted, old).is_empty() && loaders.fit(old));
            let known = known.cloned().or_else(|| from_catalog::binary(wanted));
            // The catalog is used only if no publisher could be reached: any answer counts, and a search for a
            // newer version requires one.
            match (unreachable, known) {
                (Some(why), Some(locked))
                    if *which != ReleaseQuery::Newest && problems.iter().all(is_unreachable) =>
                {
                    Ok(Resolved { unreachable: Some(why.clone()), ..Resolved::plain(locked) })
                }
                _ => Err(problems.each(|problem| problem.or_at(place.clone()))),
            }
        }
    }
}

fn ask(
    wanted: &Binary,
    which: &ReleaseQuery,
    old: Option<&LockedBinary>,
    allowed: Allowed,
    loaders: Loaders<'_>,
    upstream: &dyn Upstream,
) -> Result<Resolved<LockedBinary>, Problems> {
    let repo = wanted.origin.repo();
    let release = repo.map(|repo| upstream.release(repo, which, wanted.policy.min_age_days)).transpose();
    let release = release.map_err(|problem| {
        let title = match which {
            ReleaseQuery::Version(version) => format!("`{}` {version}", wanted.name.value),
            ReleaseQuery::Newest => format!("`{}`", wanted.name.value),
        };
        problem.about(&title)
    })?;
    let version = match (&release, which) {
        (Some(release), _) => Some(match which {
            // As it was asked for, whatever the tag looks like.
            ReleaseQuery::Version(version) => version.clone(),
            ReleaseQuery::Newest => release.version.clone(),
        }),
        (None, ReleaseQuery::Version(version)) => Some(version.clone()),
        (None, ReleaseQuery::Newest) => None,
    };
    if !allowed.downgrade {
        forwards(wanted, old, version.as_ref())?;
    }
    let mut asking = BinaryResolver {
        asked: Asked { wanted, version: version.as_ref(), release: release.as_ref() },
        id: old
            .filter(|old| is_of_same_source(wanted, old) && !allowed.less_trust)
            .and_then(|old| old.repository_id),
        old: old.filter(|old| old.version == version),
        allowed,
        upstream,
        files: ChecksumFiles::new(upstream),
        notes: Vec::new(),
    };
    let moved_to = release
        .as_ref()
        .map(|release| &release.repo)
        .filter(|found| repo.is_some_and(|asked| !asked.as_str().eq_ignore_ascii_case(found.as_str())));
    if let (Some(asked), Some(moved_to)) = (repo, moved_to) {
        asking.notes.push(format!("the repository {asked} moved to {moved_to}: name that one"));
    }
    if let (Some(release), Some(version)) = (&release, &version) {
        asking.notes.extend(as_github_says(release, version));
    }
    if let Some(younger) = release.as_ref().and_then(|release| release.passed_over.as_ref()) {
        asking.notes.push(format!("{younger} exists, but is younger than the minimum age"));
    }
    let (mut problems, mut announced) = (Problems::default(), Vec::new());
    for arch in arches(wanted) {
        match asking.announced(arch) {
            Ok(build) => announced.push((arch, build)),
            Err(problem) => problems.push(problem),
        }
    }
    // If one of them is unavailable, none is downloaded.
    let (announced, mut problems) = problems.unless_errors(announced)?;
    let own = match &wanted.origin {
        BinarySource::Release { repo, .. } => Some(repo.clone()),
        BinarySource::Catalog(_) | BinarySource::Url { .. } => None,
    };
    let mut builds = BTreeMap::new();
    let mut locked = LockedBinary {
        version: version.clone(),
        repo: own,
        moved_to: moved_to.cloned(),
        repository_id: None,
        immutable: release.as_ref().is_some_and(|release| release.immutable),
        keep_siblings: wanted.keep_siblings,
        apt: wanted.apt.clone(),
        builds: BTreeMap::new(),
    };
    for (arch, build) in announced {
        match asking.fitting(arch, build, &locked, loaders) {
            Ok(build) => {
                builds.insert(arch, build);
            }
            Err(problem) => problems.push(problem),
        }
    }
    locked.builds = builds;
    let mut notes = asking.notes;
    notes.sort_unstable();
    notes.dedup();
    let (locked, _) = problems.unless_errors(locked)?;
    if let Some(old) = old.filter(|old| is_of_same_source(wanted, old))
        && !allowed.less_trust
    {
        policy::fall(&wanted.name.value, old, &locked)?;
    }
    Ok(Resolved { locked, notes, unreachable: None })
}

/// Notes if GitHub's own word on a release differs from the locked version.
fn as_github_says(release: &Release, version: &Version) -> Vec<String> {
    let mut notes = Vec::new();
    if release.prerelease {
        notes.push(format!("GitHub marks {version} as a pre-release"));
    }
    if let Some(latest) = &release.latest {
        notes.push(format!("GitHub calls {} the latest release, and {version} is locked", quoted(latest)));
    }
    notes
}

/// Refuses a version below the locked one, where the manifest does not ask for it.
fn forwards(
    wanted: &Binary,
    old: Option<&LockedBinary>,
    version: Option<&Version>,
) -> Result<(), Diagnostic> {
    let old = old.filter(|old| is_of_same_source(wanted, old));
    let (Some(locked), Some(version)) = (old.and_then(|old| old.version.as_ref()), version) else {
        return Ok(());
    };
    if wanted.version.is_some() || versions::compare(version, locked).is_ge() {
        return Ok(());
    }
    let name = &wanted.name.value;
    Err(Diagnostic::error(
        Code::Downgrade,
        format!("the newest release of `{name}` is {version}, and {locked} is locked"),
    )
    .help(format!(
        "a release may have been withdrawn; ask its publisher why. `--allow-downgrade {name}` goes back to {version}"
    )))
}

struct BinaryResolver<'a> {
    asked: Asked<'a>,
    /// The locked id of the repository.
    id: Option<u64>,
    /// The locked entry of this version.
    old: Option<&'a LockedBinary>,
    allowed: Allowed,
    upstream: &'a dyn Upstream,
    files: ChecksumFiles<'a>,
    notes: Vec<String>,
}

/// A build before its archive is fetched.
struct Announced {
    found: FoundAsset,
    statements: Statements,
    /// The agreed statement, if there is one.
    stated: Option<Statement>,
}

impl<'a> BinaryResolver<'a> {
    /// Finds a build, and reads all statements about it.
    fn announced(&mut self, arch: Arch) -> Result<Announced, Diagnostic> {
        let found = self.asked.find(arch)?;
        self.stated(arch, found)
    }

    /// Downloads builds until one can start in the base image.
    fn fitting(
        &mut self,
        arch: Arch,
        build: Announced,
        locked: &LockedBinary,
        loaders: Loaders<'_>,
    ) -> Result<Build, Diagnostic> {
        let mut build = build;
        let mut passed_over: Vec<(String, LoaderPath)> = Vec::new();
        loop {
            let (found, fetched) = self.fetched(arch, build)?;
            let name = fetched.url.file_name().to_owned();
            let Some(loader) = loaders.missing(locked, arch, &fetched).cloned() else {
                self.notes.extend(passed_over.iter().map(|(other, loader)| {
                    let (other, name) = (quoted(other), quoted(&name));
                    format!("{other} needs the loader {loader}, which the base image does not have: {name} is locked for {arch}")
                }));
                if let Some(loader) = loaders.doubtful(arch, &fetched) {
                    let name = quoted(&name);
                    self.notes.push(format!("{name} needs the loader {loader} in the base image; the build of the image looks for it"));
                }
                return Ok(fetched);
            };
            passed_over.push((name, loader));
            let Some(next) = found.next() else { break };
            build = self.stated(arch, next)?;
        }
        let (name, loader) = passed_over.remove(0);
        let release = self.asked.release.map(|release| release.assets.as_slice()).unwrap_or_default();
        let is_other = |other: &str| *other != *name && passed_over.iter().all(|(passed, _)| passed != other);
        let others = assets::builds(release, arch).into_iter().map(|asset| asset.name.as_str());
        let others: Vec<_> = others.filter(|other| is_other(other)).collect();
        Err(loaders.error(&format!("{}, {},", self.title_of(arch), quoted(&name)), arch, &loader, &others))
    }

    fn stated(&mut self, arch: Arch, found: FoundAsset) -> Result<Announced, Diagnostic> {
        let title = self.title_of(arch);
        let archive = format!("{title}, {}", found.url);
        let statements = self.statements(arch, &found).map_err(|problem| problem.about(&title))?;
        let stated = statements.agreed(&archive)?.cloned();
        if let (Some(old), Some(stated)) = (self.old(arch, &found.url), &stated)
            && old.sha256 != stated.digest
        {
            return Err(self.republished(
                &archive,
                old,
                &format!("{} now states {}", stated.by, stated.digest),
            ));
        }
        Ok(Announced { found, statements, stated })
    }

    /// Downloads a build, and verifies it.
    fn fetched(&mut self, arch: Arch, build: Announced) -> Result<(FoundAsset, Build), Diagnostic> {
        let Announced { found, mut statements, stated } = build;
        let title = self.title_of(arch);
        let archive = format!("{title}, {}", found.url);
        let old = self.old(arch, &found.url);
        if let (Some(old), Some(stated)) = (old, &stated)
            && is_known(old)
            && (&old.url, old.sha256) == (&found.url, stated.digest)
            && self.asked.wanted.minisign.is_none()
            && statements.of_another.is_none()
            && !statements.need_bytes()
        {
            // It is what it was: there is nothing to fetch.
            let attested_by = self.attested(arch, &found, old.sha256, &old.binary)?;
            self.notes.append(&mut statements.notes);
            let attested = attested_by.as_ref().map(|_| Evidence::Attestation);
            let evidence = sorted(statements.evidence().chain([Evidence::Computed]).chain(attested));
            return Ok((found, Build { attested_by, evidence, ..old.clone() }));
        }
        // Without any statement, the cache would only repeat the lock.
        if let (Some(old), None) = (old, &stated) {
            let (now, _) = self.upstream.published(&found.url).map_err(|problem| problem.about(&title))?;
            if now != old.sha256 {
                return Err(self.republished(&archive, old, &format!("{now} is published")));
            }
        }
        let binary = path(self.asked.wanted, self.asked.version, arch)
            .map(|path| path.parse::<InnerPath>())
            .transpose()
            .map_err(|error| Diagnostic::error(Code::BadValue, error))?;
        let order = Order {
            tool: &self.asked.wanted.name.value,
            version: self.asked.version,
            arch,
            url: &found.url,
            sha256: stated.as_ref().map(|stated| stated.digest).or(old.map(|old| old.sha256)),
            stated_by: stated.as_ref().map_or("bake.lock", |stated| stated.by.as_str()),
            size: found.asset.as_ref().map(|asset| asset.size),
            binary: binary.as_ref(),
        };
        let mut got = self.upstream.archive(&order).map_err(|problem| problem.about(&title))?;
        if let Some(other) = statements.of_another.take().filter(|other| other.digest != got.sha256) {
            statements.add("the download", Evidence::Computed, got.sha256);
            statements.all.push(other);
            statements.agreed(&archive)?;
        }
        let mut content = ChecksumReader::new(&mut got.content);
        let signed = self.signed(&found, &archive, &mut content)?;
        if statements.need_bytes() {
            let computed = content.finish().map_err(|error| {
                Diagnostic::error(Code::BadArchive, format!("{archive} cannot be read: {error}"))
            })?;
            statements.confirm(&computed, &archive)?;
        }
        self.notes.append(&mut statements.notes);
        let attested_by = self.attested(arch, &found, got.sha256, &got.binary)?;
        let minisign = signed.as_ref().map(|_| Evidence::Minisign);
        let attested = attested_by.as_ref().map(|_| Evidence::Attestation);
        let evidence = statements.evidence().chain([Evidence::Computed]).chain(minisign).chain(attested);
        let evidence = sorted(evidence);
        let build = Build {
            url: found.url.clone(),
            sha256: got.sha256,
            size: Some(got.size),
            format: (got.format != ArchiveFormat::of(found.url.file_name())).then_some(got.format),
            binary: got.binary,
            binary_sha256: Some(got.binary_sha256),
            loader: got.loader,
            signature: signed,
            attested_by,
            evidence,
        };
        Ok((found, build))
    }

    /// The locked build of this archive, unless another one is allowed.
    fn old(&self, arch: Arch, url: &WebUrl) -> Option<&'a Build> {
        let old = self.old.filter(|_| !self.allowed.republished)?;
        let build = old.builds.get(&arch)?;
        (is_of_same_source(self.asked.wanted, old) || build.url == *url).then_some(build)
    }

    fn title_of(&self, arch: Arch) -> String {
        format!("{} ({arch})", self.asked.title())
    }

    fn republished(&self, archive: &str, old: &Build, what: &str) -> Diagnostic {
        let name = &self.asked.wanted.name.value;
        Diagnostic::error(
            Code::Republished,
            format!(
                "{archive} was published again under the same version: {} is locked, and {what}",
                old.sha256
            ),
        )
        .help(format!(
            "do not use it before its publisher told why; `--allow-republished {name}` takes the new one"
        ))
    }

    fn statements(&mut self, arch: Arch, found: &FoundAsset) -> Result<Statements, Diagnostic> {
        let mut statements = Statements::default();
        statements.add_catalog(self.asked.wanted, self.asked.version, arch);
        if let Some(digest) = found.asset.as_ref().and_then(|asset| asset.digest) {
            statements.add("the release API", Evidence::ApiDigest, digest);
        }
        match (self.asked.release, &found.asset) {
            (Some(release), Some(asset)) => {
                self.files.of_release(&release.assets, &asset.name, &mut statements)?;
            }
            _ => self.files.of_url(&found.url, &mut statements)?,
        }
        if let Some(url) = checksums_url(self.asked.wanted, self.asked.version, arch, &found.url)? {
            self.files.named(&url, found.url.file_name(), &mut statements)?;
        }
        Ok(statements)
    }

    /// The publisher's signature of the archive, verified, where the manifest has the key.
    fn signed(
        &mut self,
        found: &FoundAsset,
        archive: &str,
        content: &mut dyn Read,
    ) -> Result<Option<Signature>, Diagnostic> {
        let Some(key) = &self.asked.wanted.minisign else { return Ok(None) };
        self.files.signature(self.assets(found), &found.url, archive, key, content).map(Some)
    }

    /// The workflow that made the archive, if there is an attestation; notes each signature that does not count.
    fn attested(
        &mut self,
        arch: Arch,
        found: &FoundAsset,
        sha256: Sha256,
        binary: &InnerPath,
    ) -> Result<Option<Workflow>, Diagnostic> {
        let (Some(release), Some(assets)) = (self.asked.release, self.assets(found)) else {
            return Ok(None);
        };
        let name = found.url.file_name();
        let order = Order {
            tool: &self.asked.wanted.name.value,
            version: self.asked.version,
            arch,
            url: &found.url,
            sha256: Some(sha256),
            stated_by: "the download",
            size: None,
            binary: Some(binary),
        };
        let upstream = self.upstream;
        let search = AttestationSearch {
            subject: AttestedFile { name, sha256, release, id: self.id },
            files: &mut self.files,
            upstream,
            archive: &|| upstream.archive(&order),
        };
        let mut attested = search.run().map_err(|problem| problem.about(&self.title_of(arch)))?;
        self.notes.append(&mut attested.notes);
        let is_minisign = |name: &str| name.ends_with(".minisig");
        for asset in assets::signatures(assets, name) {
            let is_checked = attested.verified.contains(&asset.name)
                || is_minisign(&asset.name) && self.asked.wanted.minisign.is_some();
            if is_checked {
                continue;
            }
            let how = if is_minisign(&asset.name) {
                " (`minisign:` with the publisher's key checks it)"
            } else {
                ""
            };
            self.notes.push(format!("a signature exists and was not checked: {}{how}", quoted(&asset.name)));
        }
        Ok(attested.by)
    }

    /// The files of the release that has the archive.
    fn assets(&self, found: &FoundAsset) -> Option<&'a [ReleaseAsset]> {
        found.asset.as_ref().and(self.asked.release).map(|release| release.assets.as_slice())
    }
}

fn sorted(evidence: impl Iterator<Item = Evidence>) -> Vec<Evidence> {
    let mut evidence: Vec<_> = evidence.collect();
    evidence.sort_unstable();
    evidence.dedup();
    evidence
}
