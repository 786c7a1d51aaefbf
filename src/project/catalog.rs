//! The catalog: tools that `bake` knows by name, with the checksums that their publishers state.
//!
//! It is data, in `images/catalog.yaml`, read like any other file.

use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::defaults;
use super::names::{AptPackage, AssetPattern, RepoSlug, SkillName, ToolName, Version};
use super::values::{Arch, ImageRef, InnerPath, WebUrl};
use crate::diagnostics::{Problems, Source};
use crate::digest::Sha256;
use crate::yaml;
use crate::yaml::decode::{Field, decode};

/// The tools and base images that are known.
#[derive(Debug)]
pub struct Catalog {
    tools: Vec<CatalogTool>,
    base_images: Vec<(ImageRef, Sha256)>,
}

/// A tool that is known by its name.
#[derive(Debug)]
pub struct CatalogTool {
    /// Its command.
    pub name: ToolName,
    /// The project's name, where it is another.
    pub also_known_as: Option<ToolName>,
    /// One line for `bake catalog`.
    pub description: String,
    /// The repository of its releases.
    pub repo: RepoSlug,
    /// The release whose checksums are known.
    pub version: Version,
    /// The executable's path in the archive.
    pub binary: InnerPath,
    /// Whether the executable needs the archive's other files next to it.
    pub keep_siblings: bool,
    /// Debian packages without which it does not run.
    pub apt: Vec<AptPackage>,
    /// The OpenClaw skills that it serves.
    pub skills: Vec<SkillName>,
    /// Its release assets, by architecture.
    pub builds: Vec<(Arch, CatalogAsset)>,
}

/// One release asset of a tool.
#[derive(Debug)]
pub struct CatalogAsset {
    /// Its file name, with `{version}`.
    pub name: AssetPattern,
    /// The SHA-256 of the catalog's version of it.
    pub sha256: Sha256,
}

impl CatalogTool {
    /// The URL of `asset` in release `version`.
    ///
    /// # Errors
    /// None for the catalog that is built in; a test fills all of them in.
    pub fn url(&self, asset: &CatalogAsset, version: &Version) -> Result<WebUrl, String> {
        let file = asset.name.as_str().replace("{version}", version.as_str());
        format!("{}/releases/download/v{version}/{file}", self.repo.url()).parse()
    }

    /// Whether there is a build for `arch`.
    pub fn builds_for(&self, arch: Arch) -> bool {
        self.builds.iter().any(|(built, _)| *built == arch)
    }
}

impl Catalog {
    /// The catalog that this release was built with.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<Catalog> = LazyLock::new(|| {
            let mut problems = Problems::default();
            let catalog = Catalog::read(defaults::CATALOG, &mut problems);
            catalog.filter(|_| problems.is_empty()).expect("a test reads the built-in catalog")
        });
        &BUILTIN
    }

    /// All tools, by name.
    pub fn tools(&self) -> &[CatalogTool] {
        &self.tools
    }

    /// The tool of that name.
    pub fn tool(&self, name: &str) -> Option<&CatalogTool> {
        self.tools.iter().find(|tool| tool.name.as_str() == name)
    }

    /// The index digest of a base image, where the catalog states one.
    pub fn base_image(&self, reference: &ImageRef) -> Option<Sha256> {
        self.base_images.iter().find(|(known, _)| known == reference).map(|(_, digest)| *digest)
    }

    /// Whether the image is of a repository whose images the catalog knows, or has the digest of one of them.
    pub fn publishes(&self, reference: &ImageRef) -> bool {
        self.base_images.iter().any(|(known, digest)| {
            known.repository() == reference.repository() || Some(*digest) == reference.digest()
        })
    }

    fn read(text: &str, problems: &mut Problems) -> Option<Self> {
        let source = Arc::new(Source::new("catalog.yaml", text));
        let node = yaml::parse(&source)
            .map_err(|unreadable| problems.push(unreadable.at(Arc::clone(&source))))
            .ok()?;
        let raw = decode::<RawCatalog>(&node, &source, problems).get()?;
        let tools = raw.tools.get()?.into_iter().map(|tool| tool.get()?.complete()).collect::<Option<_>>()?;
        let base_images = raw.base_images.get()?.into_iter();
        let base_images = base_images.map(|image| {
            let image = image.get()?;
            Some((image.reference.get()?, image.digest.get()?))
        });
        Some(Self { tools, base_images: base_images.collect::<Option<_>>()? })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawCatalog {
    #[serde(rename = "version")]
    _version: Field<u64>,
    base_images: Field<Vec<Field<RawBaseImage>>>,
    tools: Field<Vec<Field<RawTool>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawBaseImage {
    reference: Field<ImageRef>,
    digest: Field<Sha256>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawTool {
    name: Field<ToolName>,
    also_known_as: Field<ToolName>,
    description: Field<String>,
    repo: Field<RepoSlug>,
    version: Field<Version>,
    binary: Field<InnerPath>,
    beside: Field<bool>,
    apt: Field<Vec<Field<AptPackage>>>,
    skills: Field<Vec<Field<SkillName>>>,
    amd64: Field<RawAsset>,
    arm64: Field<RawAsset>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawAsset {
    asset: Field<AssetPattern>,
    sha256: Field<Sha256>,
}

impl RawTool {
    fn complete(self) -> Option<CatalogTool> {
        let name = self.name.get()?;
        let builds = [(Arch::Amd64, self.amd64), (Arch::Arm64, self.arm64)];
        let builds = builds.into_iter().filter_map(|(arch, asset)| {
            let asset = asset.get()?;
            Some((arch, CatalogAsset { name: asset.asset.get()?, sha256: asset.sha256.get()? }))
        });
        Some(CatalogTool {
            also_known_as: self.also_known_as.get(),
            description: self.description.get()?,
            repo: self.repo.get()?,
            version: self.version.get()?,
            binary: match self.binary.get() {
                Some(path) => path,
                None => name.as_str().parse().ok()?,
            },
            keep_siblings: self.beside.get().unwrap_or(false),
            apt: self.apt.get().unwrap_or_default().into_iter().filter_map(Field::get).collect(),
            skills: self.skills.get().unwrap_or_default().into_iter().filter_map(Field::get).collect(),
            builds: builds.collect(),
            name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_built_in_catalog_reads_without_a_complaint() {
        let mut problems = Problems::default();
        let catalog = Catalog::read(defaults::CATALOG, &mut problems);
        assert!(problems.is_empty(), "{}", crate::diagnostics::terminal::render(&problems, false));
        let catalog = catalog.expect("complete entries");
        for tool in catalog.tools() {
            assert!(!tool.builds.is_empty(), "{}", tool.name);
            for (_, asset) in &tool.builds {
                assert!(tool.url(asset, &tool.version).is_ok(), "{}", tool.name);
            }
        }
        assert!(catalog.tools().is_sorted_by(|a, b| a.name < b.name), "sorted, each name once");
    }
}
