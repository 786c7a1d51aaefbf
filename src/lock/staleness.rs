//! Whether a lock fits a project: every difference that the files alone can show.

use std::collections::BTreeSet;

use super::forge::Forge;
use super::loader::Loaders;
use super::tampering::{differences, is_on};
use super::{Evidence, Lock, LockedBinary, LockedImage, MENDED_BY, PushedImage, inputs, policy};
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Severity};
use crate::project::Project;
use crate::project::catalog::Catalog;
use crate::project::spec::ImageOrigin;
use crate::project::values::Arch;

/// Adds an error for every difference between `lock` and `project`. If there is none, adds warnings about
/// values that no later step verifies. `place` is the lock's.
pub fn check_staleness(
    lock: &Lock,
    project: &Project,
    forge: &Forge,
    place: &Location,
    problems: &mut Problems,
) {
    let (before, loaders) = (problems.len(), Loaders::of(project));
    let wanted_image = &project.spec.gateway.image;
    let digest = wanted_image.digest().filter(|digest| *digest != lock.image.digest);
    let same_name = lock.image.reference.repository() == wanted_image.repository()
        && lock.image.reference.tag() == wanted_image.tag();
    if let Some(digest) = digest.filter(|_| same_name) {
        problems.push(
            stale(format!(
                "the lock has the base image's digest {}, and {} is asked for",
                lock.image.digest.oci(),
                digest.oci()
            ))
            .at(wanted_image.place.clone()),
        );
    } else if lock.image.reference != wanted_image.value {
        problems.push(
            stale(format!(
                "the lock has the base image `{}`, and `{}` is asked for",
                lock.image.reference, wanted_image.value
            ))
            .at(wanted_image.place.clone().unwrap_or_else(|| place.clone())),
        );
    }
    if let Some(why) = unfounded(&lock.image, Catalog::builtin()) {
        problems.push(
            stale(format!("the lock has {why} of the base image `{}`", lock.image.reference))
                .at(place.clone()),
        );
    }
    let binaries = &project.manifest.binaries;
    for binary in binaries {
        let name = &binary.name.value;
        let at = binary.name.place.clone();
        let Some(locked) = lock.binaries.get(name) else {
            problems.push(stale(format!("`{name}` is in the manifest and not in the lock")).at(at));
            continue;
        };
        let version =
            binary.version.as_ref().filter(|version| Some(&version.value) != locked.version.as_ref());
        let differs = version.map_or(at.clone(), |version| version.place.clone());
        for difference in differences(binary, locked) {
            problems.push(stale(format!("in the lock `{name}` has {difference}")).at(differs.clone()));
        }
        for (arch, build) in &locked.builds {
            if !is_on(forge, binary, locked, build) {
                let message = format!("in the lock `{name}` has a URL for {arch} that is not on {forge}");
                problems.push(stale(message).at(differs.clone()));
            }
        }
        for (arch, build) in &locked.builds {
            if let Some(loader) = loaders.missing(locked, *arch, build) {
                let tool = format!("`{name}` ({arch}), {},", build.url);
                problems.push(loaders.error(&tool, *arch, loader, &[]).at(differs.clone()));
            }
        }
        missing_build(project.spec.host.arch.value, name.as_str(), locked, at, problems);
    }
    let wanted_names: BTreeSet<_> = binaries.iter().map(|binary| &binary.name.value).collect();
    for name in lock.binaries.keys().filter(|name| !wanted_names.contains(name)) {
        problems.push(stale(format!("`{name}` is in the lock and not in the manifest")).at(place.clone()));
    }
    problems.extend(policy::check(lock, project));
    if let Some(pushed) = &lock.pushed
        && let Some(why) = outdated(pushed, lock, project)
    {
        problems.push(stale(why).at(place.clone()));
    }
    let told = problems[before..].iter().any(|problem| problem.severity == Severity::Error);
    if !told {
        doubts(lock, project, place, problems);
    }
    if !told && lock.inputs != inputs::digest(project) {
        problems.push(stale("spec or manifest changed since the lock was made".to_owned()).at(place.clone()));
    }
}

/// Warns about values that fit the project, but that are less certain than they could be.
fn doubts(lock: &Lock, project: &Project, place: &Location, problems: &mut Problems) {
    let arch = project.spec.host.arch.value;
    let unknown: Vec<_> = lock
        .binaries
        .iter()
        .filter(|(_, locked)| locked.builds.get(&arch).is_some_and(|build| build.binary_sha256.is_none()))
        .map(|(name, _)| name.to_string())
        .collect();
    if !unknown.is_empty() {
        let message = format!("the lock has no checksum of the executable of {}", unknown.join(", "));
        problems.push(
            Diagnostic::warning(Code::UnknownExecutable, message)
                .at(place.clone())
                .help("the VM has nothing to compare it with: run `bake lock` where there is a network"),
        );
    }
    for (name, locked) in &lock.binaries {
        if let Some(moved_to) = &locked.moved_to {
            let message =
                format!("the lock has `{name}` from {moved_to}, where its repository is said to have moved");
            problems.push(
                Diagnostic::warning(Code::RepositoryMoved, message)
                    .at(place.clone())
                    .help(format!("if that is so, write `repo: {moved_to}`; `bake audit` asks GitHub")),
            );
        }
    }
    let image = &lock.image;
    if let Some(digest) =
        Catalog::builtin().base_image(&image.reference).filter(|known| *known != image.digest)
    {
        let message = format!("the catalog has another digest of `{}`: {}", image.reference, digest.oci());
        problems.push(
            Diagnostic::warning(Code::TagMoved, message)
                .at(place.clone())
                .help("the tag moved, or the lock was edited: compare it with what its publisher states"),
        );
    }
}

/// Why the pushed image is not the one that `project` asks for, or was not made from `lock`.
pub(super) fn outdated(pushed: &PushedImage, lock: &Lock, project: &Project) -> Option<String> {
    let wanted = match &project.spec.image.origin {
        ImageOrigin::Registry(reference) if reference.digest().is_none() => reference,
        _ => {
            return Some(format!(
                "the lock has the pushed image `{}`, and none is asked for",
                pushed.reference
            ));
        }
    };
    if pushed.reference != wanted.value {
        return Some(format!(
            "the lock has the pushed image `{}`, and `{}` is asked for",
            pushed.reference, wanted.value
        ));
    }
    (pushed.lock != lock.content())
        .then(|| format!("the lock changed since the image `{}` was pushed", pushed.reference))
}

/// Evidence that an image cannot have, or lacks.
pub(super) fn unfounded(image: &LockedImage, catalog: &Catalog) -> Option<&'static str> {
    let has = |evidence| image.evidence.contains(&evidence);
    let known = catalog.base_image(&image.reference);
    let other = known.is_some_and(|known| known != image.digest);
    if has(Evidence::Seed) && other || image.evidence == [Evidence::Seed] && known.is_none() {
        return Some("another digest than the catalog it was taken from");
    }
    if has(Evidence::Spec) && image.reference.digest() != Some(image.digest) {
        return Some("a digest from the spec, which does not have it,");
    }
    if image
        .evidence
        .iter()
        .any(|evidence| !matches!(evidence, Evidence::Seed | Evidence::Spec | Evidence::ApiDigest))
    {
        return Some("evidence that no image has");
    }
    match has(Evidence::ApiDigest) == image.platforms.is_empty() {
        _ if image.evidence.is_empty() => Some("no evidence for the digest"),
        true if image.platforms.is_empty() => {
            Some("no manifests from the registry that is said to have them")
        }
        true => Some("manifests that no registry is said to have"),
        false => None,
    }
}

fn missing_build(
    arch: Arch,
    name: &str,
    locked: &LockedBinary,
    at: Option<Location>,
    problems: &mut Problems,
) {
    if locked.builds.contains_key(&arch) {
        return;
    }
    problems.push(
        Diagnostic::error(Code::NoBuildForArch, format!("the lock has no build of `{name}` for {arch}"))
            .at(at)
            .help("run `bake lock`; where it finds none, choose a host of another architecture, or remove the binary"),
    );
}

fn stale(message: String) -> Diagnostic {
    Diagnostic::error(Code::StaleLock, message).help(MENDED_BY)
}
