//! The base image: a tag, and what its registry says it is.

use super::{Allowed, Resolved, UpdateScope, is_unreachable};
use crate::diagnostics::{Code, Diagnostic};
use crate::lock::staleness::unfounded;
use crate::lock::upstream::Upstream;
use crate::lock::{Evidence, LockedImage, from_catalog};
use crate::project::Project;
use crate::project::catalog::Catalog;

/// Whether `old` is what `project` asks for, and no registry need be asked.
pub fn keeps(project: &Project, old: &LockedImage, extent: UpdateScope, catalog: &Catalog) -> bool {
    let fits = old.reference == project.spec.gateway.image.value && unfounded(old, catalog).is_none();
    match extent {
        UpdateScope::Missing => fits,
        UpdateScope::Complete => fits && old.evidence.contains(&Evidence::ApiDigest),
        UpdateScope::Again | UpdateScope::Newest => false,
    }
}

/// Asks the registry for the base image of `project`. `old` is what the lock holds.
///
/// # Errors
/// Where the registry says another digest than spec, catalog or lock, or has none.
pub fn image(
    project: &Project,
    old: Option<&LockedImage>,
    extent: UpdateScope,
    allowed: Allowed,
    catalog: &Catalog,
    upstream: &dyn Upstream,
) -> Result<Resolved<LockedImage>, Diagnostic> {
    let reference = &project.spec.gateway.image;
    let said = match upstream.image(reference) {
        Ok(said) => said,
        Err(problem) => {
            return match from_catalog::image(project, old, catalog) {
                Some(known) if extent != UpdateScope::Newest && is_unreachable(&problem) => {
                    Ok(Resolved { unreachable: Some(problem), ..Resolved::plain(known) })
                }
                _ => Err(problem.or_at(reference.place.clone())),
            };
        }
    };
    let old = old.filter(|old| old.reference == reference.value);
    let catalogs = catalog.base_image(reference);
    let known = [
        ("the spec", reference.digest()),
        ("the catalog", catalogs),
        ("bake.lock", old.map(|old| old.digest).filter(|_| catalogs.is_none())),
    ];
    for (by, digest) in known.into_iter().filter_map(|(by, digest)| Some((by, digest?))) {
        if digest != said.digest && !allowed.republished {
            return Err(Diagnostic::error(
                Code::TagMoved,
                format!(
                    "the tag of the base image `{}` moved: {by} has {}, and its registry now says {}",
                    reference.value,
                    digest.oci(),
                    said.digest.oci()
                ),
            )
            .at(reference.place.clone())
            .help(
                "do not use it before its publisher told why; `--allow-republished image` takes the new one",
            ));
        }
    }
    let arch = project.spec.host.arch.value;
    if !said.platforms.contains_key(&arch) {
        return Err(Diagnostic::error(
            Code::NoBuildForArch,
            format!("the base image `{}` ({}) has no build for {arch}", reference.value, said.digest.oci()),
        )
        .at(reference.place.clone())
        .help("choose another image, or a host of another architecture"));
    }
    let mut evidence = vec![Evidence::ApiDigest];
    evidence.extend((catalogs == Some(said.digest)).then_some(Evidence::Seed));
    evidence.extend((reference.digest() == Some(said.digest)).then_some(Evidence::Spec));
    evidence.sort_unstable();
    Ok(Resolved::plain(LockedImage {
        reference: reference.value.clone(),
        digest: said.digest,
        platforms: said.platforms,
        evidence,
    }))
}
