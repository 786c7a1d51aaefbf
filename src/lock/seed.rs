//! A lock without a network: whatever the catalog states, taken at its word and marked so.

use std::collections::BTreeMap;

use super::{Build, Evidence, Lock, LockedBinary, LockedImage, wanted};
use crate::diagnostics::{Code, Diagnostic, Problems};
use crate::project::Project;
use crate::project::catalog::{Catalog, Tool};
use crate::project::manifest::{Binary, Origin};

/// Makes the lock of `project`, keeping what `old` has that still fits.
///
/// # Errors
/// Names everything that the catalog does not know: another base image, another version of a
/// tool, a tool with a source of its own.
pub fn seed(project: &Project, old: Option<&Lock>, catalog: &Catalog) -> Result<Lock, Problems> {
    let mut problems = Problems::default();
    let image = image(project, old, catalog, &mut problems);
    let mut binaries = BTreeMap::new();
    for wanted in &project.manifest.binaries {
        let kept =
            old.and_then(|old| old.binaries.get(&wanted.name.value)).filter(|old| still_fits(wanted, old));
        if let Some(locked) = kept.cloned().or_else(|| from_catalog(wanted)) {
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
            Ok(Lock { version: 1, inputs: wanted::digest(project), image, binaries })
        }
        _ => Err(problems),
    }
}

fn image(
    project: &Project,
    old: Option<&Lock>,
    catalog: &Catalog,
    problems: &mut Problems,
) -> Option<LockedImage> {
    let reference = &project.spec.gateway.image;
    if let Some(old) = old.filter(|old| old.image.reference == reference.value) {
        return Some(old.image.clone());
    }
    let digest = reference.digest().or_else(|| catalog.base_image(reference));
    if digest.is_none() {
        problems.push(
            Diagnostic::error(Code::UnknownTool, format!("no digest is known for `{}`", reference.value))
                .at(reference.place.clone())
                .help("add it: `IMAGE:TAG@sha256:…`; this release of bake asks no registry for it"),
        );
    }
    Some(LockedImage {
        reference: reference.value.clone(),
        digest: digest?,
        evidence: vec![Evidence::Catalog],
    })
}

/// Whether a locked binary of the catalog is still the one that is asked for. One with a source of
/// its own may have another URL under the same version, so it is resolved anew.
fn still_fits(wanted: &Binary, locked: &LockedBinary) -> bool {
    let version_fits =
        wanted.version.as_ref().is_none_or(|version| locked.version.as_ref() == Some(&version.value));
    let path_fits = wanted
        .binary
        .as_ref()
        .is_none_or(|path| locked.builds.values().all(|build| build.binary == path.value));
    matches!(wanted.origin, Origin::Catalog(_)) && version_fits && path_fits
}

fn from_catalog(wanted: &Binary) -> Option<LockedBinary> {
    let Origin::Catalog(tool) = wanted.origin else { return None };
    if wanted.version.as_ref().is_some_and(|version| version.value != tool.version) {
        return None;
    }
    Some(LockedBinary {
        version: Some(tool.version.clone()),
        beside: tool.beside,
        apt: tool.apt.clone(),
        builds: builds(wanted, tool),
    })
}

fn builds(wanted: &Binary, tool: &Tool) -> BTreeMap<crate::project::values::Arch, Build> {
    let build = |(arch, asset): &(_, crate::project::catalog::Asset)| {
        let url = tool.url(asset, &tool.version).ok()?;
        let binary = wanted.binary.as_ref().map_or(&tool.binary, |path| &path.value).clone();
        let evidence = vec![Evidence::Catalog];
        Some((*arch, Build { url, sha256: asset.sha256, size: None, binary, binary_sha256: None, evidence }))
    };
    tool.builds.iter().filter_map(build).collect()
}

fn unknown(wanted: &Binary) -> String {
    match &wanted.origin {
        Origin::Catalog(tool) => format!(
            "the catalog of this release knows version {}; it fetches nothing to learn of others",
            tool.version
        ),
        Origin::Release { .. } | Origin::Url { .. } => {
            "this release of bake locks the catalog's tools only, and fetches nothing to learn of others"
                .to_owned()
        }
    }
}
