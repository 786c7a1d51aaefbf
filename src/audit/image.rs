//! Holds the binaries in an image against the lock: what a container would run, whatever layer it
//! comes from.

use super::report::{Against, Check};
use super::upstream::title;
use crate::diagnostics::{Code, Place};
use crate::digest::Sha256;
use crate::lock::Lock;
use crate::oci::{Error, Found, Image, Images, files_under};
use crate::project::values::Arch;

/// Where binaries are installed.
const FOLDER: &str = "usr/local/bin";

/// Holds the image for `arch` among `images` against `lock`, which stands at `place`.
///
/// `base` are the uncompressed digests of the layers of the locked base image, or why they are not
/// known: without them nobody can say which of the other programs in that folder are the base
/// image's own.
pub fn check(
    lock: &Lock,
    arch: Arch,
    images: &dyn Images,
    base: Result<&[Sha256], &str>,
    place: &Place,
) -> Vec<Check> {
    let name = images.name();
    let image = match images.image(arch) {
        Ok(image) => image,
        Err(error) => return vec![failed(name, arch, &error).at(place.clone())],
    };
    let found = match files_under(images, &image, FOLDER) {
        Ok(found) => found,
        Err(error) => return vec![failed(name, arch, &error).at(place.clone())],
    };
    let mut checks = Vec::new();
    for (tool, locked) in &lock.binaries {
        let Some(build) = locked.builds.get(&arch) else { continue };
        let subject = format!("{} {arch} in {name}", title(tool, locked));
        let at = super::lock::place_of(&build.binary_sha256.unwrap_or(build.sha256), place);
        let path = format!("/{FOLDER}/{tool}");
        let check = match (found.get(tool.as_str()), build.binary_sha256) {
            (None, _) => {
                Check::finding(Against::Image, subject, Code::NotInImage, format!("{path} is not there"))
                    .help("the image was built from another lock: build it anew")
            }
            (Some(_), None) => Check::unchecked(
                Against::Image,
                subject,
                "the lock does not know the executable in the archive",
            )
            .help("`bake lock` learns it"),
            (Some(Found::File { sha256, .. }), Some(locked)) if *sha256 == locked => {
                Check::clean(Against::Image, subject)
            }
            (Some(Found::File { sha256, layer, .. }), Some(locked)) => {
                let message = format!(
                    "{path}, from layer {} of {}, is not what is locked",
                    layer + 1,
                    image.layers.len()
                );
                Check::finding(Against::Image, subject, Code::ChecksumMismatch, message)
                    .difference(&locked, sha256)
                    .help("do not run it; find out who built it")
            }
            (Some(other), Some(_)) => {
                let message = format!("{path} is {}, and no executable", kind(other));
                Check::finding(Against::Image, subject, Code::ChecksumMismatch, message)
            }
        };
        checks.push(check.at(at));
    }
    checks.extend(others(lock, arch, images, &image, &found, base, place));
    checks
}

/// What stands beside the locked binaries, and is not the base image's.
fn others(
    lock: &Lock,
    arch: Arch,
    images: &dyn Images,
    image: &Image,
    found: &std::collections::BTreeMap<String, Found>,
    base: Result<&[Sha256], &str>,
    place: &Place,
) -> Vec<Check> {
    let subject = format!("other programs {arch} in {}", images.name());
    let unchecked =
        |why: String| vec![Check::unchecked(Against::Image, subject.clone(), why).at(place.clone())];
    let base = match base {
        Ok(base) => base,
        Err(why) => return unchecked(format!("which of them are the base image's is not known: {why}")),
    };
    let layers: Vec<_> = image.layers.iter().map(|layer| layer.diff_id).collect();
    if !layers.starts_with(base) {
        let message = format!("it is not built on the locked base image {}", lock.image.digest.oci());
        return vec![
            Check::finding(Against::Image, subject, Code::NotInLock, message)
                .help("build it anew from the rendered Dockerfile")
                .at(super::lock::place_of(&lock.image.digest, place)),
        ];
    }
    // What the same folder holds with the base image's layers alone.
    let own = Image { layers: image.layers[..base.len()].to_vec(), ..image.clone() };
    let own = match files_under(images, &own, FOLDER) {
        Ok(own) => own,
        Err(error) => return unchecked(error.to_string()),
    };
    let strangers: Vec<_> = found
        .iter()
        .filter(|(name, file)| {
            lock.binaries.keys().all(|tool| tool.as_str() != *name) && own.get(*name) != Some(file)
        })
        .map(|(name, _)| {
            let message =
                format!("/{FOLDER}/{name} is in the image, and neither in the lock nor in the base image");
            Check::finding(
                Against::Image,
                format!("{name} {arch} in {}", images.name()),
                Code::NotInLock,
                message,
            )
            .help("do not run it; find out who built it")
            .at(place.clone())
        })
        .collect();
    if strangers.is_empty() { vec![Check::clean(Against::Image, subject)] } else { strangers }
}

/// An image that is not what its own digests say was looked at; one that could not be had was not.
fn failed(name: &str, arch: Arch, error: &Error) -> Check {
    let subject = format!("{name} {arch}");
    match error {
        Error::Mismatch { .. } | Error::Layer { .. } | Error::NoBuild { .. } => {
            let code = if matches!(error, Error::NoBuild { .. }) {
                Code::NotInImage
            } else {
                Code::ChecksumMismatch
            };
            Check::finding(Against::Image, subject, code, error.to_string())
        }
        _ => Check::unchecked(Against::Image, subject, error.to_string()),
    }
}

const fn kind(found: &Found) -> &'static str {
    match found {
        Found::File { .. } => "a file",
        Found::Directory => "a folder",
        Found::Link { .. } => "a link that leads nowhere",
        Found::Other => "a device or a pipe",
    }
}
