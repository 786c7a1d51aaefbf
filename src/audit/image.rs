//! Compares the binaries in an image with the lock: the files that a container would run, from any layer.

use super::report::{Against, Check};
use super::upstream::title;
use crate::diagnostics::{Code, Location};
use crate::digest::Sha256;
use crate::lock::Lock;
use crate::oci::{FolderFiles, FoundFile, Images, OciError, files_over};
use crate::project::BIN_DIR;
use crate::project::values::Arch;

/// Compares the image for `arch` among `images` with `lock`. `place` is the lock's place.
///
/// `base` has the uncompressed digests of the locked base image's layers, or the reason why they are unknown.
/// Without them, the base image's own programs in that folder cannot be identified.
pub fn check(
    lock: &Lock,
    arch: Arch,
    images: &dyn Images,
    base: Result<&[Sha256], &str>,
    place: &Location,
) -> Vec<Check> {
    let name = images.name();
    let image = match images.image(arch) {
        Ok(image) => image,
        Err(error) => return vec![failed(name, arch, &error).at(place.clone())],
    };
    let (own, found) = match files_over(images, &image, base.map_or(0, <[_]>::len), BIN_DIR) {
        Ok(read) => read,
        Err(error) => return vec![failed(name, arch, &error).at(place.clone())],
    };
    let mut checks = Vec::new();
    for (tool, locked) in &lock.binaries {
        let Some(build) = locked.builds.get(&arch) else { continue };
        let subject = format!("{} {arch} in {name}", title(tool, locked));
        let at = super::lock::place_of(&build.binary_sha256.unwrap_or(build.sha256), place);
        let path = format!("/{BIN_DIR}/{tool}");
        let check = match (found.get(tool.as_str()), build.binary_sha256) {
            (None, _) => {
                Check::finding(Against::Image, subject, Code::NotInImage, format!("{path} is not there"))
                    .help("the image was built from another lock: rebuild it")
            }
            (Some(_), None) => Check::unchecked(
                Against::Image,
                subject,
                "the lock does not know the executable in the archive",
            )
            .help("`bake lock` learns it"),
            (Some(FoundFile::File { sha256, .. }), Some(locked)) if *sha256 == locked => {
                Check::clean(Against::Image, subject)
            }
            (Some(FoundFile::File { sha256, layer, .. }), Some(locked)) => {
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
    let built_on = base.map(|base| {
        let layers = image.layers.iter().map(|layer| &layer.diff_id);
        base.len() <= image.layers.len() && layers.zip(base).all(|(layer, base)| layer == base)
    });
    let subject = format!("other programs {arch} in {name}");
    match built_on {
        Err(why) => {
            let why = format!("which of them are the base image's is not known: {why}");
            checks.push(Check::unchecked(Against::Image, subject, why).at(place.clone()));
        }
        Ok(false) => {
            let message = format!("it is not built on the locked base image {}", lock.image.digest.oci());
            checks.push(
                Check::finding(Against::Image, subject, Code::NotInLock, message)
                    .help("rebuild it from the rendered Dockerfile")
                    .at(super::lock::place_of(&lock.image.digest, place)),
            );
        }
        Ok(true) => {
            let locked = |program: &str| {
                let tool = lock.binaries.iter().find(|(tool, _)| tool.as_str() == program);
                tool.is_some_and(|(_, locked)| locked.builds.contains_key(&arch))
            };
            let others = others(&own, &found, locked, image.layers.len());
            if others.is_empty() {
                checks.push(Check::clean(Against::Image, subject));
            }
            checks.extend(others.into_iter().map(|other| {
                let Other { program, code, message } = other;
                let subject = format!("{program} {arch} in {name}");
                Check::finding(Against::Image, subject, code, message)
                    .help("do not run it; find out who built it")
                    .at(place.clone())
            }));
        }
    }
    checks
}

/// A program that is not `locked`, and not as the base image has it.
struct Other<'a> {
    program: &'a str,
    code: Code,
    message: String,
}

/// Compares the other programs in the folder with `own`, those of the base image.
fn others<'a>(
    own: &'a FolderFiles,
    found: &'a FolderFiles,
    locked: impl Fn(&str) -> bool,
    layers: usize,
) -> Vec<Other<'a>> {
    let mut others = Vec::new();
    for (program, file) in found.iter().filter(|(program, _)| !locked(program)) {
        let path = format!("/{BIN_DIR}/{program}");
        let (code, message) = match own.get(program) {
            Some(own) if is_same(own, file) => continue,
            Some(_) => {
                let from = match file {
                    FoundFile::File { layer, .. } => format!(", from layer {} of {layers},", layer + 1),
                    _ => String::new(),
                };
                (Code::ChecksumMismatch, format!("{path}{from} is not as in the base image"))
            }
            None => (
                Code::NotInLock,
                format!("{path} is in the image, and neither in the lock nor in the base image"),
            ),
        };
        others.push(Other { program, code, message });
    }
    let gone = own.keys().filter(|program| !found.contains_key(*program) && !locked(program));
    others.extend(gone.map(|program| Other {
        program,
        code: Code::NotInImage,
        message: format!("/{BIN_DIR}/{program} is in the base image, and not there any more"),
    }));
    others
}

/// Whether a container would find the same there, whichever layer wrote it.
fn is_same(own: &FoundFile, found: &FoundFile) -> bool {
    let by_anybody = |found: &FoundFile| match *found {
        FoundFile::File { sha256, size, mode, uid, gid, .. } => {
            FoundFile::File { sha256, size, mode, uid, gid, layer: 0 }
        }
        ref other => other.clone(),
    };
    by_anybody(own) == by_anybody(found)
}

/// An image that is not what its own digests say was looked at; one that could not be had was not.
fn failed(name: &str, arch: Arch, error: &OciError) -> Check {
    let subject = format!("{name} {arch}");
    match error {
        OciError::Mismatch { .. } | OciError::Layer { .. } | OciError::NoBuild { .. } => {
            let code = if matches!(error, OciError::NoBuild { .. }) {
                Code::NotInImage
            } else {
                Code::ChecksumMismatch
            };
            Check::finding(Against::Image, subject, code, error.to_string())
        }
        _ => Check::unchecked(Against::Image, subject, error.to_string()),
    }
}

const fn kind(found: &FoundFile) -> &'static str {
    match found {
        FoundFile::File { .. } => "a file",
        FoundFile::Directory => "a folder",
        FoundFile::Link { .. } => "a link that leads nowhere",
        FoundFile::Other => "a device or a pipe",
    }
}
