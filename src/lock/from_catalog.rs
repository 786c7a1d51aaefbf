//! Makes a lock from the catalog, without a network and marked as such.

use std::collections::BTreeMap;

use super::staleness::unfounded;
use super::tampering::{differences, path};
use super::{Build, Evidence, Lock, LockedBinary, LockedImage, inputs};
use crate::diagnostics::{Code, Diagnostic, Problems};
use crate::project::Project;
use crate::project::catalog::Catalog;
use crate::project::manifest::{Binary, BinarySource};

/// Makes the lock of `project`, keeping what `old` has that still fits.
///
/// # Errors
/// Lists everything that the catalog lacks: another base image, another version of a tool, a tool with a custom
/// source.
pub fn from_catalog(project: &Project, old: Option<&Lock>, catalog: &Catalog) -> Result<Lock, Problems> {
    let mut problems = Problems::default();
    let image = image(project, old.map(|old| &old.image), catalog);
    if image.is_none() {
        let reference = &project.spec.gateway.image;
        problems.push(
            Diagnostic::error(Code::UnknownTool, format!("no digest is known for `{}`", reference.value))
                .at(reference.place.clone())
                .help(
                    "let `bake lock` ask its registry, without `--offline`; or add it: `IMAGE:TAG@sha256:…`",
                ),
        );
    }
    let mut binaries = BTreeMap::new();
    for wanted in &project.manifest.binaries {
        let kept = old
            .and_then(|old| old.binaries.get(&wanted.name.value))
            .filter(|old| differences(wanted, old).is_empty());
        if let Some(locked) = kept.cloned().or_else(|| binary(wanted)) {
            binaries.insert(wanted.name.value.clone(), locked);
        } else {
            let version =
                wanted.version.as_ref().map(|version| format!(" {}", version.value)).unwrap_or_default();
            problems.push(
                Diagnostic::error(
                    Code::UnknownTool,
                    format!("no checksum is known for `{}`{version}", wanted.name.value),
                )
                .at(wanted.name.place.clone())
                .help(unknown(wanted)),
            );
        }
    }
    match image {
        Some(image) if problems.is_empty() => {
            let lock = Lock { version: 1, inputs: inputs::digest(project), image, pushed: None, binaries };
            Ok(lock.with_push_of(old, project))
        }
        _ => Err(problems),
    }
}

/// The base image by a digest that spec, catalog or lock state.
pub(super) fn image(project: &Project, old: Option<&LockedImage>, catalog: &Catalog) -> Option<LockedImage> {
    let reference = &project.spec.gateway.image.value;
    if let Some(old) = old.filter(|old| old.reference == *reference && unfounded(old, catalog).is_none()) {
        return Some(old.clone());
    }
    let (digest, evidence) = match (reference.digest(), catalog.base_image(reference)) {
        (Some(digest), _) => (digest, Evidence::Spec),
        (None, Some(digest)) => (digest, Evidence::Seed),
        (None, None) => return None,
    };
    let platforms = BTreeMap::new();
    Some(LockedImage { reference: reference.clone(), digest, platforms, evidence: vec![evidence] })
}

/// The catalog's entry for `wanted`, if it has the right version and no signature is required, which only a
/// download can verify.
pub(super) fn binary(wanted: &Binary) -> Option<LockedBinary> {
    let BinarySource::Catalog(tool) = wanted.origin else { return None };
    let other = wanted.version.as_ref().is_some_and(|version| version.value != tool.version);
    if other || wanted.minisign.is_some() {
        return None;
    }
    let mut locked = LockedBinary {
        version: Some(tool.version.clone()),
        repo: None,
        moved_to: None,
        repository_id: None,
        immutable: false,
        keep_siblings: tool.keep_siblings,
        apt: tool.apt.clone(),
        builds: BTreeMap::new(),
    };
    for (arch, asset) in &tool.builds {
        let build = Build {
            url: tool.url(asset, &tool.version).ok()?,
            sha256: asset.sha256,
            size: None,
            format: None,
            binary: path(wanted, locked.version.as_ref(), *arch)?.parse().ok()?,
            binary_sha256: None,
            loader: None,
            signature: None,
            attested_by: None,
            evidence: vec![Evidence::Seed],
        };
        locked.builds.insert(*arch, build);
    }
    Some(locked)
}

fn unknown(wanted: &Binary) -> String {
    match &wanted.origin {
        _ if wanted.minisign.is_some() => {
            "a signature is asked for: without `--offline`, `bake lock` fetches it and checks it".to_owned()
        }
        BinarySource::Catalog(tool) => format!(
            "the catalog of this release knows version {}; without `--offline`, `bake lock` asks its publisher",
            tool.version
        ),
        BinarySource::Release { .. } | BinarySource::Url { .. } => {
            "without `--offline`, `bake lock` asks its publisher".to_owned()
        }
    }
}
