//! Whether a lock fits a project; if not, what differs.

use std::collections::BTreeSet;

use super::tampering::differences;
use super::{Evidence, Lock, LockedBinary, LockedImage, MENDED_BY, PushedImage, inputs};
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Severity};
use crate::project::Project;
use crate::project::catalog::Catalog;
use crate::project::spec::ImageOrigin;
use crate::project::values::Arch;

/// Adds every difference between `lock` and what `project` asks for. `place` is the lock's.
pub fn check_staleness(lock: &Lock, project: &Project, place: &Location, problems: &mut Problems) {
    let before = problems.len();
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
    if !is_as_in_catalog(&lock.image, Catalog::builtin()) {
        problems.push(
            stale(format!(
                "the lock has another digest of `{}` than the catalog it was taken from",
                lock.image.reference
            ))
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
        missing_build(project.spec.host.arch.value, name.as_str(), locked, at, problems);
    }
    let wanted_names: BTreeSet<_> = binaries.iter().map(|binary| &binary.name.value).collect();
    for name in lock.binaries.keys().filter(|name| !wanted_names.contains(name)) {
        problems.push(stale(format!("`{name}` is in the lock and not in the manifest")).at(place.clone()));
    }
    if let Some(pushed) = &lock.pushed
        && let Some(why) = outdated(pushed, lock, project)
    {
        problems.push(stale(why).at(place.clone()));
    }
    let told = problems[before..].iter().any(|problem| problem.severity == Severity::Error);
    if !told && lock.inputs != inputs::digest(project) {
        problems.push(stale("spec or manifest changed since the lock was made".to_owned()).at(place.clone()));
    }
}

/// The reason why the pushed image is outdated, if it is: other settings in `project`, or another content of
/// `lock`.
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

/// Whether a digest that is said to be the catalog's is the catalog's.
pub(super) fn is_as_in_catalog(image: &LockedImage, catalog: &Catalog) -> bool {
    image.evidence != [Evidence::Seed] || catalog.base_image(&image.reference) == Some(image.digest)
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
