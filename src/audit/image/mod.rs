//! Compares an image with the lock: the binaries, every other change of its layers to the locked base image,
//! and its settings.

mod changes;
mod packages;
mod settings;
mod siblings;

use std::collections::BTreeMap;

use super::report::{Against, Check};
use super::upstream::title;
use crate::diagnostics::{Code, Location};
use crate::fetch::Cache;
use crate::lock::Lock;
use crate::oci::{Additional, FoundFile, Images, OciError, PlatformImage, files_over};
use crate::project::BIN_DIR;
use crate::project::names::AptPackage;
use crate::project::values::Arch;
use changes::{Accounted, Other};
use packages::{Packages, WrittenBy};
use siblings::Siblings;

/// Findings about other files in the report of one image; the others are counted.
const MOST_OTHERS: usize = 50;

/// Paths named in the result for files that scripts of packages may have written.
const NAMED_PATHS: usize = 5;

/// Facts about the image that are not in the lock.
pub struct ImageContext<'a> {
    /// The locked base image, or the reason why it is unknown. Without it, only the binaries are compared.
    pub base: Result<&'a PlatformImage, &'a str>,
    /// Has the archives of tools that are installed as a whole.
    pub cache: Option<&'a Cache>,
    /// The Debian packages that the project installs. The lock does not describe their files.
    pub packages: Vec<&'a AptPackage>,
    /// Whether packages count as checked if they fit dpkg's database in the image.
    pub accept_packages: bool,
    /// Absolute paths of files that no package has, and that count as checked.
    pub accept_files: &'a [String],
}

/// Compares the image for `arch` among `images` with `lock`. `place` is the lock's place.
pub fn check(
    lock: &Lock,
    arch: Arch,
    images: &dyn Images,
    context: &ImageContext<'_>,
    place: &Location,
) -> Vec<Check> {
    let name = images.name();
    let image = match images.image(arch) {
        Ok(image) => image,
        Err(error) => return vec![failed(name, arch, &error).at(place.clone())],
    };
    let below = context.base.map_or(0, |base| base.layers.len());
    let keep = (!context.packages.is_empty()).then_some(packages::is_of_database as fn(&[u8]) -> bool);
    let additional = match files_over(images, &image, below, BIN_DIR, keep) {
        Ok(read) => read,
        Err(error) => return vec![failed(name, arch, &error).at(place.clone())],
    };
    let found = &additional.files;
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
            (Some(file @ FoundFile::File { sha256, .. }), Some(locked)) if *sha256 == locked => {
                if is_roots(file) {
                    Check::clean(Against::Image, subject)
                } else {
                    let message = format!(
                        "{path} has the locked content, but an owner, mode or attribute that gives others rights"
                    );
                    Check::finding(Against::Image, subject, Code::ChecksumMismatch, message)
                        .help("do not run it; find out who built it")
                }
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
    checks.extend(over_base(lock, arch, &image, name, &additional, context, place));
    checks
}

/// Compares everything besides the binaries with the base image.
fn over_base(
    lock: &Lock,
    arch: Arch,
    image: &PlatformImage,
    name: &str,
    additional: &Additional,
    context: &ImageContext<'_>,
    place: &Location,
) -> Vec<Check> {
    let subject = format!("other files and settings {arch} in {name}");
    let base = match context.base {
        Ok(base) => base,
        Err(why) => {
            let why = format!("the base image's are not known: {why}");
            return vec![Check::unchecked(Against::Image, subject, why).at(place.clone())];
        }
    };
    let layers = |image: &PlatformImage| image.layers.iter().map(|layer| layer.diff_id).collect::<Vec<_>>();
    if !layers(image).starts_with(&layers(base)) {
        let message = format!("it is not built on the locked base image {}", lock.image.digest.oci());
        return vec![
            Check::finding(Against::Image, subject, Code::NotInLock, message)
                .help("rebuild it from the rendered Dockerfile")
                .at(super::lock::place_of(&lock.image.digest, place)),
        ];
    }
    let mut checks = Vec::new();
    let mut siblings = BTreeMap::new();
    for (tool, locked) in lock.binaries.iter().filter(|(_, locked)| locked.keep_siblings) {
        let Some(build) = locked.builds.get(&arch) else { continue };
        let files = match context.cache {
            Some(cache) => Siblings::read(build, arch, cache),
            None => Err("there is no cache".to_owned()),
        };
        if let Err(why) = &files {
            let subject = format!("files of {} {arch} in {name}", title(tool, locked));
            let why = format!("their archive cannot be read: {why}");
            let at = super::lock::place_of(&build.sha256, place);
            checks.push(Check::unchecked(Against::Image, subject, why).at(at));
        }
        siblings.insert(changes::folder_of(tool), files);
    }
    let packages = (!context.packages.is_empty()).then(|| Packages::read(additional));
    let others = Accounted::new(lock, arch, siblings).others(
        &additional.changes,
        image.layers.len(),
        packages.as_ref(),
    );
    let (foreign, others): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|other| other.writer == WrittenBy::Unknown);
    let settings = settings::differences(image, base);
    if packages.is_none() && foreign.is_empty() && settings.is_empty() {
        checks.push(Check::clean(Against::Image, subject));
        return checks;
    }
    let finding = |subject: String, code, message: String| {
        Check::finding(Against::Image, subject, code, message)
            .help("do not run it; find out who built it")
            .at(place.clone())
    };
    let more = foreign.len().saturating_sub(MOST_OTHERS);
    checks.extend(
        foreign.into_iter().take(MOST_OTHERS).map(|Other { path, code, message, .. }| {
            finding(format!("{path} {arch} in {name}"), code, message)
        }),
    );
    if more > 0 {
        let message = format!("{more} more files are not as the lock and the base image have them");
        checks.push(finding(format!("other files {arch} in {name}"), Code::NotInLock, message));
    }
    checks.extend(
        settings
            .into_iter()
            .map(|difference| finding(format!("settings {arch} in {name}"), Code::NotInLock, difference)),
    );
    if let Some(packages) = packages {
        let checks_of_packages = of_packages(&packages, &others, arch, name, context);
        checks.extend(checks_of_packages.into_iter().map(|check| check.at(place.clone())));
    }
    checks
}

/// The files that packages installed, or may have.
fn of_packages(
    packages: &Packages,
    others: &[Other],
    arch: Arch,
    name: &str,
    context: &ImageContext<'_>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let missing = context.packages.iter().filter(|package| !packages.has(package.as_str()));
    checks.extend(missing.map(|package| {
        let message = "the package is not installed";
        Check::finding(Against::Image, format!("{package} {arch} in {name}"), Code::NotInImage, message)
            .help("the image was built from another spec: rebuild it")
    }));
    let scripts = others.iter().filter(|other| other.writer == WrittenBy::Script);
    let (accepted, scripts): (Vec<_>, Vec<_>) = scripts
        .map(|other| other.path.as_str())
        .partition(|path| context.accept_files.iter().any(|accepted| accepted == path));
    let of_scripts = format!("files of scripts {arch} in {name}");
    let why = |paths: &[&str]| {
        let named = paths[..paths.len().min(NAMED_PATHS)].join(", ");
        let more = match paths.len().saturating_sub(NAMED_PATHS) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!("no package has {named}{more}; an installation script may have written it")
    };
    if !accepted.is_empty() {
        checks.push(Check::note(Against::Image, of_scripts.clone(), Code::CouldNotCheck, why(&accepted)));
    }
    if !scripts.is_empty() {
        let help = format!(
            "read them in the image: `--accept-file {}` accepts them; `apt: []` and `bake image build` make an image that can be checked completely",
            scripts[..scripts.len().min(NAMED_PATHS)].join(",")
        );
        checks.push(Check::unchecked(Against::Image, of_scripts, why(&scripts)).help(help));
    }
    let subject = format!("packages {arch} in {name}");
    let why = format!(
        "the lock does not describe Debian packages: {} fit the checksums of the image's own dpkg only",
        packages.additional().join(", ")
    );
    checks.push(if context.accept_packages {
        Check::note(Against::Image, subject, Code::CouldNotCheck, why)
    } else {
        Check::unchecked(Against::Image, subject, why).help(
            "`--accept-packages` accepts them; `apt: []` and `bake image build` make an image that can be checked completely",
        )
    });
    checks
}

/// Whether the file belongs to root, and others may only read and run it.
fn is_roots(file: &FoundFile) -> bool {
    const SPECIAL_OR_WRITABLE: u32 = 0o7022;
    matches!(
        file,
        FoundFile::File { mode, uid: 0, gid: 0, attributes: None, .. } if mode & SPECIAL_OR_WRITABLE == 0
    )
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
