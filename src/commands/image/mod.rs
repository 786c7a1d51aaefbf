//! `bake image`: the gateway's image without a builder. The code that its commands share: opening the base
//! image, fetching the archives, assembling the image.

mod build;
mod push;
mod save;

use std::path::Path;

use jiff::Timestamp;
use oci_spec::image::Descriptor;
use serde::Serialize;

use super::console::{self, Console};
use super::interrupt::on_interrupt;
use super::load::{self, LoadedLock};
use super::publishers::{Environment, Publishers, code_of};
use super::{Done, Failure, fetch};
use crate::cli;
use crate::diagnostics::{Code, Diagnostic, Problems};
use crate::image::{self, Additions, Assembled, Built, CancelToken, Recipe};
use crate::lock::Lock;
use crate::oci::{self, BaseImage, PlatformImage};
use crate::project::Project;
use crate::project::spec::ImageOrigin;
use crate::project::values::Arch;
use crate::registry::{self, ImageSource};

/// The message on Ctrl-C of commands that write locally.
const INTERRUPTED: &str = "interrupted; no files were left behind";

/// The variable with the creation time of the image, in seconds since 1970.
const EPOCH: &str = "SOURCE_DATE_EPOCH";

pub(super) fn run(
    dir: &Path,
    action: &cli::ImageCommand,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    match action {
        cli::ImageCommand::Build(options) => build::run(dir, options, json, console),
        cli::ImageCommand::Save(options) => save::run(dir, options, json, console),
        cli::ImageCommand::Push(options) => push::run(dir, options, json, console),
    }
}

impl From<image::ImageError> for Failure {
    fn from(error: image::ImageError) -> Self {
        let code = match &error {
            image::ImageError::Foreign { .. } => return Self::Argument(error.to_string()),
            image::ImageError::Oci(source) => match code_of(source) {
                Code::BadArgument => return Self::Argument(error.to_string()),
                code => code,
            },
            image::ImageError::Base { .. } | image::ImageError::Document { .. } => Code::BadImage,
            image::ImageError::NoArchive { .. } => Code::NoBuildForArch,
            image::ImageError::NoLoader { .. } => Code::MissingLoader,
            image::ImageError::Archive { .. } | image::ImageError::Whiteout { .. } => Code::BadArchive,
            image::ImageError::Mismatch { .. } => Code::ChecksumMismatch,
            image::ImageError::Io { .. } => Code::IoFailed,
            image::ImageError::Interrupted => Code::Interrupted,
        };
        Self::Other(code, error.to_string())
    }
}

/// A project that can become an image.
struct Ready {
    project: Project,
    publishers: Publishers,
    lock: LoadedLock,
    created: Timestamp,
    /// Files to remove on Ctrl-C.
    cancel: CancelToken,
}

impl Ready {
    /// Loads the project in `dir`, which must not need a builder. From here on, Ctrl-C ends the program at
    /// once, even during network access, and `interrupted` is its last message.
    fn load(dir: &Path, interrupted: &'static str, console: &mut Console) -> Result<Self, Failure> {
        let cancel = CancelToken::default();
        let written = cancel.clone();
        on_interrupt(move || written.end(|| console::interrupted(interrupted)))?;
        let created = created(std::env::var(EPOCH).ok().as_deref())?;
        let (project, lock) = load::fitting(dir, console)?;
        let ((), _) = needs_builder(&project, &lock.lock).unless_errors(())?;
        let publishers = Publishers::new(Environment::from_environment(0)?, console);
        Ok(Self { project, publishers, lock, created, cancel })
    }

    /// The image for one architecture, or for each with a build of every binary.
    fn assemble(
        &self,
        dir: &Path,
        only: Option<Arch>,
        from: &cli::BaseFrom,
        console: &mut Console,
    ) -> Result<Assembled, Failure> {
        let (base, images) = self.bases(only, from, console)?;
        let recipe = self.recipe()?;
        let additions = self.additions(&recipe, &images, &dir.join(cli::LAYOUT))?;
        Ok(image::assemble(&recipe, base, images, additions)?)
    }

    /// The base image, and its image for one architecture or for each with a build of every binary.
    fn bases(
        &self,
        only: Option<Arch>,
        from: &cli::BaseFrom,
        console: &mut Console,
    ) -> Result<(BaseImage, Vec<PlatformImage>), Failure> {
        let lock = &self.lock.lock;
        let base = self.base(from)?;
        let mut images = Vec::new();
        for arch in Arch::ALL.into_iter().filter(|arch| only.is_none_or(|only| only == *arch)) {
            match image_for(lock, arch, &base) {
                Ok(image) => images.push(image),
                Err(Missing::Build(why)) if only.is_none() && arch != self.project.spec.host.arch.value => {
                    console.note(&format!("note: linux/{arch} is left out: {why}"));
                }
                Err(Missing::Build(why)) => {
                    return Err(Failure::Other(Code::NoBuildForArch, format!("linux/{arch}: {why}")));
                }
                Err(Missing::Base(error)) => return Err(image::ImageError::from(error).into()),
            }
        }
        if images.iter().any(image::needs_builder) {
            let message = format!(
                "the base image {} has ONBUILD commands, which only a builder can run",
                base.images.name()
            );
            let onbuild = Diagnostic::error(Code::NeedsBuilder, message)
                .at(self.project.spec.gateway.image.place.clone())
                .help("build from the Dockerfile that `bake render` writes, or name a base image without them with `gateway.image`");
            return Err(Problems::from(onbuild).into());
        }
        Ok((base, images))
    }

    /// The inputs of the image.
    fn recipe(&self) -> Result<Recipe<'_>, Failure> {
        let cache = self.publishers.cache().map_err(Problems::from).map_err(Failure::Upstream)?;
        Ok(Recipe {
            name: self.project.spec.name.value.as_str(),
            lock: &self.lock.lock,
            // A push writes into the lock and must not change the pushed image.
            lock_digest: self.lock.lock.content(),
            created: self.created,
            scratch: cache.folder(),
        })
    }

    /// The layers to add to `images`: from the layout of an earlier run if possible, otherwise from the
    /// archives.
    fn additions(
        &self,
        recipe: &Recipe<'_>,
        images: &[PlatformImage],
        place: &Path,
    ) -> Result<Additions, Failure> {
        let arches: Vec<_> = images.iter().map(|image| image.arch).collect();
        // A publisher's signature covers the archive. To verify it, the archive is read instead of a layer.
        let signed = self.project.manifest.binaries.iter().any(|binary| binary.minisign.is_some());
        let reused = if signed { &[][..] } else { &arches };
        let mut additions = Additions::standing(recipe, place, reused);
        let missing = additions.missing(&arches);
        if !missing.is_empty() {
            let fetched = fetch::archives(&self.publishers, &self.project.manifest, recipe.lock, &missing)?;
            let archives = fetched.into_iter().map(|(key, fetched)| (key, fetched.file)).collect();
            additions.make(recipe, &archives, place, &missing)?;
        }
        Ok(additions)
    }

    /// The locked base image, from `--base` or its registry.
    fn base(&self, from: &cli::BaseFrom) -> Result<BaseImage, Failure> {
        let locked = &self.lock.lock.image;
        let source = match &from.base {
            Some(named) => ImageSource::find(named).map_err(|error| Failure::Argument(error.to_string()))?,
            None => ImageSource::Registry(locked.reference.clone()),
        };
        let reference = match source {
            ImageSource::Registry(ref reference) => Some(reference.clone()),
            ImageSource::Layout(_) | ImageSource::Tarball(_) => None,
        };
        let opened = || {
            let credentials = match &reference {
                Some(reference) => self.publishers.credentials(reference)?,
                None => registry::Credentials::Anonymous,
            };
            source.open_pinned(locked.digest, self.publishers.client(), &credentials)
        };
        let images = opened().map_err(image::ImageError::from)?;
        Ok(BaseImage { images, reference })
    }
}

/// The reason for a missing image.
enum Missing {
    Build(String),
    Base(oci::OciError),
}

/// The base image for an architecture with a build of every binary.
fn image_for(lock: &Lock, arch: Arch, base: &BaseImage) -> Result<PlatformImage, Missing> {
    let without = lock.binaries.iter().filter(|(_, locked)| !locked.builds.contains_key(&arch));
    let without: Vec<_> = without.map(|(name, _)| name.to_string()).collect();
    if !without.is_empty() {
        return Err(Missing::Build(format!("no build is locked of {}", without.join(", "))));
    }
    base.images.image(arch).map_err(|error| match error {
        oci::OciError::NoBuild { .. } => Missing::Build(format!("the base image {error}")),
        error => Missing::Base(error),
    })
}

/// Parts of the project that only a builder can put into an image.
fn needs_builder(project: &Project, lock: &Lock) -> Problems {
    const INSTEAD: &str = "build from the Dockerfile that `bake render` writes, or set `gateway.image` to a base image that has the packages";
    let mut problems = Problems::default();
    let mut needs = |message: String, place, help: String| {
        problems.push(Diagnostic::error(Code::NeedsBuilder, message).at(place).help(help));
    };
    if let ImageOrigin::Source { commit, .. } = &project.spec.image.origin {
        let message = "OpenClaw itself can only be built by a builder, and not by `bake image`".to_owned();
        let help = "use `strategy: registry` or `build-on-vm`, whose base image is built already";
        needs(message, commit.place.clone(), help.to_owned());
    }
    let apt = &project.spec.image.apt;
    if let Some(first) = apt.first() {
        let packages: Vec<_> = apt.iter().map(|package| package.value.to_string()).collect();
        let packages = packages.join(", ");
        let message = format!("`bake image` runs nothing, and so installs no Debian package: {packages}");
        needs(
            message,
            first.place.clone(),
            format!("set `apt: []` if the gateway does without; else {INSTEAD}"),
        );
    }
    for binary in &project.manifest.binaries {
        let name = &binary.name.value;
        let Some(locked) = lock.binaries.get(name).filter(|locked| !locked.apt.is_empty()) else { continue };
        let packages: Vec<_> = locked.apt.iter().map(ToString::to_string).collect();
        let packages = packages.join(", ");
        let message =
            format!("{name} needs the Debian package {packages}, which `bake image` cannot install");
        needs(message, binary.name.place.clone(), format!("leave {name} out; else {INSTEAD}"));
    }
    problems
}

/// The creation time of the image: the beginning of 1970, unless the environment sets another.
fn created(epoch: Option<&str>) -> Result<Timestamp, Failure> {
    let epoch = epoch.filter(|epoch| !epoch.is_empty()).unwrap_or("0");
    let seconds = epoch.parse::<u32>().ok().map(i64::from);
    seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()).ok_or_else(|| {
        Failure::Argument(format!("{EPOCH} is not a number of seconds since 1970, at most {}", u32::MAX))
    })
}

/// An image for one architecture in `--json`.
#[derive(Serialize)]
struct ImageRow {
    arch: Arch,
    /// The digest of the manifest.
    digest: String,
    /// Size of the added layer, in bytes.
    added: u64,
    /// Size of all layers, in bytes.
    size: u64,
}

impl ImageRow {
    fn of(built: &Built) -> Self {
        let size = |layers: &[Descriptor]| layers.iter().map(Descriptor::size).sum();
        let own = built.layers.len() - built.added;
        Self {
            arch: built.arch,
            digest: built.manifest.digest().to_string(),
            added: size(&built.layers[own..]),
            size: size(&built.layers),
        }
    }

    fn line(&self) -> String {
        let Self { arch, digest, added, size } = self;
        format!("linux/{arch}  {digest}  {added} bytes over a base of {}\n", size - added)
    }
}
