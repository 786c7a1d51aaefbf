//! Whether the base image has the dynamic loader that an executable needs.
//!
//! OpenClaw's own image is Debian: it has glibc's loader, and others come with packages. The content of
//! another base image is known to its builder only, so the Dockerfile and `bake image` look there.

use super::{Build, LockedBinary};
use crate::diagnostics::{Code, Diagnostic};
use crate::project::Project;
use crate::project::catalog::Catalog;
use crate::project::spec::ImageOrigin;
use crate::project::values::{Arch, LoaderPath};

/// The Debian package with musl's loader.
const MUSL: &str = "musl";

/// The loaders in the gateway's image.
#[derive(Clone, Copy, Debug)]
pub struct Loaders<'a> {
    project: &'a Project,
    /// Whether the base image is OpenClaw's own.
    is_known: bool,
}

impl<'a> Loaders<'a> {
    /// Knows what the spec says of the image.
    pub fn of(project: &'a Project) -> Self {
        let image = &project.spec.gateway.image;
        // OpenClaw's own Dockerfile makes both.
        let is_source = matches!(project.spec.image.origin, ImageOrigin::Source { .. });
        Self { project, is_known: is_source || Catalog::builtin().publishes(image) }
    }

    /// Whether an executable with this loader starts; `None` if the base image is not known.
    fn has(&self, locked: &LockedBinary, arch: Arch, loader: &LoaderPath) -> Option<bool> {
        if !self.is_known {
            return None;
        }
        let mut packages =
            self.project.spec.image.apt.iter().map(|package| &package.value).chain(&locked.apt);
        let mut has_musl = || packages.any(|package| package.as_str() == MUSL);
        Some(loader.is_glibc(arch) || loader.is_musl(arch) && has_musl())
    }

    /// The loader of a build that the image is known to lack.
    pub fn missing<'b>(&self, locked: &LockedBinary, arch: Arch, build: &'b Build) -> Option<&'b LoaderPath> {
        let loader = build.loader.as_ref()?;
        (self.has(locked, arch, loader) == Some(false)).then_some(loader)
    }

    /// A loader that is neither glibc's nor known to be in the image.
    pub fn doubtful<'b>(&self, arch: Arch, build: &'b Build) -> Option<&'b LoaderPath> {
        build.loader.as_ref().filter(|loader| !self.is_known && !loader.is_glibc(arch))
    }

    /// Whether each build of a tool can start.
    pub fn fit(&self, locked: &LockedBinary) -> bool {
        locked.builds.iter().all(|(arch, build)| self.missing(locked, *arch, build).is_none())
    }

    /// An error for a build that cannot start. `others` are the names of other builds for `arch`.
    pub fn error(&self, tool: &str, arch: Arch, loader: &LoaderPath, others: &[&str]) -> Diagnostic {
        let message = format!(
            "{tool} needs the loader {loader}, and the base image `{}` does not have it",
            self.project.spec.gateway.image.value
        );
        let name = match others {
            [] => "choose a build for glibc or a static one with `asset:`".to_owned(),
            others => {
                let others: Vec<_> = others.iter().map(|name| format!("`{name}`")).collect();
                format!("choose another build with `asset:`: {}", others.join(", "))
            }
        };
        let package = if loader.is_musl(arch) {
            format!("; or install Debian's, with `apt: [{MUSL}]` in bake.yaml")
        } else {
            String::new()
        };
        Diagnostic::error(Code::MissingLoader, message).help(format!("{name}{package}"))
    }
}
