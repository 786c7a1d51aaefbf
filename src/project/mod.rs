//! The project: spec, manifest and catalog, read with places and checked.

pub mod catalog;
pub mod defaults;
pub mod edit;
pub mod fleet;
pub mod host_os;
pub mod machine;
pub mod manifest;
pub mod names;
pub mod openclaw;
pub mod spec;
pub mod starter;
pub mod values;

use crate::diagnostics::{Code, Diagnostic, Problems};
use manifest::{BinarySource, Manifest};
use spec::Spec;

/// The folder of the binaries in the image, relative to its root.
pub const BIN_DIR: &str = "usr/local/bin";

/// The folder with the archives of tools that need more than their binary, relative to the image's root.
pub const LIB_DIR: &str = "usr/local/lib";

/// The user of the image, by number.
pub const IMAGE_USER: &str = "1000:1000";

/// A project that was read without an error.
#[derive(Clone, Debug)]
pub struct Project {
    /// The checked spec.
    pub spec: Spec,
    /// The binaries to bake in.
    pub manifest: Manifest,
}

impl Project {
    /// Joins spec and manifest, and compares them.
    pub fn new(spec: Spec, manifest: Manifest, problems: &mut Problems) -> Self {
        let project = Self { spec, manifest };
        project.check_builds(problems);
        project
    }

    /// Every tool must have a build for the host's architecture, or its skills would be missing.
    fn check_builds(&self, problems: &mut Problems) {
        let arch = self.spec.host.arch.value;
        for binary in &self.manifest.binaries {
            let built = match &binary.origin {
                BinarySource::Catalog(tool) => tool.builds_for(arch),
                BinarySource::Release { arch: spellings, .. } | BinarySource::Url { arch: spellings, .. } => {
                    spellings.as_ref().is_none_or(|spellings| spellings.contains_key(&arch))
                }
            };
            if built {
                continue;
            }
            let skills: Vec<_> = binary.skills.iter().map(|skill| format!("`{skill}`")).collect();
            let needed = match &skills[..] {
                [] => String::new(),
                [one] => format!("; the skill {one} needs it"),
                several => format!("; the skills {} need it", several.join(", ")),
            };
            problems.push(
                Diagnostic::error(
                    Code::NoBuildForArch,
                    format!("`{}` has no build for {arch}{needed}", binary.name.value),
                )
                .at(binary.name.place.clone())
                .related(self.spec.host.arch.place.clone(), "the host's architecture")
                .help("choose a host of another architecture, or remove the binary"),
            );
        }
    }
}
