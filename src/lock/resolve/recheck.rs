//! Compares the lock with the publishers' current statements.

use super::checksum_claims::{ChecksumFiles, Statements};
use crate::diagnostics::{Code, Diagnostic, quoted};
use crate::lock::upstream::{Release, ReleaseQuery, Upstream};
use crate::lock::versions;
use crate::lock::{Build, Evidence, LockedBinary, LockedImage};
use crate::project::manifest::Binary;
use crate::project::names::{RepoSlug, Version};
use crate::project::values::Arch;

/// The differences of a locked binary.
#[derive(Debug)]
pub struct Today {
    /// For each architecture, what is not as it was, or could not be asked.
    pub builds: Vec<(Arch, Vec<Diagnostic>)>,
    /// A newer release, where there is one.
    pub newer: Result<Option<Version>, Diagnostic>,
}

/// Asks whether `locked` is still published, as it was. `wanted` says where it comes from.
pub fn binary(wanted: &Binary, locked: &LockedBinary, upstream: &dyn Upstream) -> Today {
    let repo = wanted.origin.repo();
    let release = match (repo, &locked.version) {
        (Some(repo), Some(version)) => {
            match upstream.release(repo, &ReleaseQuery::Version(version.clone())) {
                Ok(release) => Some(release),
                Err(problem) => {
                    let builds = locked.builds.keys().map(|arch| (*arch, vec![problem.clone()])).collect();
                    return Today { builds, newer: Ok(None) };
                }
            }
        }
        _ => None,
    };
    let mut files = ChecksumFiles::new(upstream);
    let builds = locked.builds.iter();
    let builds =
        builds.map(|(arch, build)| (*arch, self::build(build, release.as_ref(), &mut files, upstream)));
    let builds = builds.collect();
    Today { builds, newer: newer(repo, locked.version.as_ref(), upstream) }
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

/// The differences of one build. A missing answer does not hide another one.
fn build(
    build: &Build,
    release: Option<&Release>,
    files: &mut ChecksumFiles<'_>,
    upstream: &dyn Upstream,
) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut statements = Statements::default();
    let mut size = None;
    if let Some(release) = release {
        let name = build.url.file_name();
        let Some(asset) = release.assets.iter().find(|asset| asset.name == name) else {
            let message = format!("the release has no file {} any more: {}", quoted(name), release.page);
            return vec![
                Diagnostic::error(Code::UpstreamGone, message)
                    .help("the VM cannot be rebuilt from it; choose another version"),
            ];
        };
        size = Some(asset.size);
        if let Some(digest) = asset.digest {
            statements.add("the release API", Evidence::ApiDigest, digest);
        }
        files
            .of_release(&release.assets, name, &mut statements)
            .unwrap_or_else(|problem| found.push(problem));
    } else {
        files.of_url(&build.url, &mut statements).unwrap_or_else(|problem| found.push(problem));
    }
    // The digest of the API is computed from the current bytes; a publisher's checksum file may be outdated.
    if !statements.evidence().any(|evidence| evidence == Evidence::ApiDigest) {
        match upstream.published(&build.url) {
            Ok((sha256, published)) => {
                size = Some(published);
                statements.add("what is published", Evidence::Computed, sha256);
            }
            Err(problem) => found.push(problem),
        }
    }
    let mut republished = false;
    for statement in statements.all.iter().filter(|statement| statement.digest != build.sha256) {
        republished = true;
        found.push(
            Diagnostic::error(
                Code::Republished,
                format!(
                    "{} is locked, and {} is {}: {}",
                    build.sha256, statement.by, statement.digest, build.url
                ),
            )
            .help("builds refuse it; ask its publisher why it changed under the same version"),
        );
    }
    if let (Some(locked), Some(size)) = (build.size, size)
        && locked != size
        && !republished
    {
        found.push(Diagnostic::error(
            Code::Republished,
            format!("{locked} bytes are locked, and {size} are published: {}", build.url),
        ));
    }
    found
}

fn newer(
    repo: Option<&RepoSlug>,
    locked: Option<&Version>,
    upstream: &dyn Upstream,
) -> Result<Option<Version>, Diagnostic> {
    let (Some(repo), Some(locked)) = (repo, locked) else { return Ok(None) };
    let newest = upstream.release(repo, &ReleaseQuery::Newest)?.version;
    Ok(versions::compare(&newest, locked).is_gt().then_some(newest))
}
