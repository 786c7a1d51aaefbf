//! Which file of a release, or which URL, is the build for an architecture.

use std::collections::BTreeMap;

use crate::diagnostics::{Code, Diagnostic, quoted};
use crate::lock::assets::{self, Undecided};
use crate::lock::tampering::{filled, spelled};
use crate::lock::upstream::{Release, ReleaseAsset};
use crate::project::manifest::{Binary, BinarySource};
use crate::project::names::{ArchSpelling, Version};
use crate::project::values::{Arch, WebUrl};

/// A binary, the version that was chosen, and the release that has it.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) wanted: &'a Binary,
    pub(super) version: Option<&'a Version>,
    /// None for a URL.
    pub(super) release: Option<&'a Release>,
}

/// The URL of a build's archive, and the API's data about it.
pub(super) struct FoundAsset {
    pub(super) url: WebUrl,
    pub(super) asset: Option<ReleaseAsset>,
    /// Other builds for the architecture, to be tried in this order, if the manifest names none.
    pub(super) others: Vec<ReleaseAsset>,
}

impl FoundAsset {
    fn of(asset: ReleaseAsset) -> Self {
        Self { url: asset.url.clone(), asset: Some(asset), others: Vec::new() }
    }

    /// The next build to try.
    pub(super) fn next(mut self) -> Option<Self> {
        if self.others.is_empty() {
            return None;
        }
        let next = self.others.remove(0);
        Some(Self { others: self.others, ..Self::of(next) })
    }
}

impl Asked<'_> {
    /// The tool and its version, for messages.
    pub(super) fn title(&self) -> String {
        let version = self.version.map(|version| format!(" {version}")).unwrap_or_default();
        format!("`{}`{version}", self.wanted.name.value)
    }

    /// Finds the build for `arch`.
    ///
    /// # Errors
    /// Where there is none, or several could be meant.
    pub(super) fn find(&self, arch: Arch) -> Result<FoundAsset, Diagnostic> {
        let spelling =
            |arches: &Option<BTreeMap<Arch, ArchSpelling>>| spelled(arches.as_ref(), arch).to_owned();
        match (&self.wanted.origin, self.release) {
            (BinarySource::Url { url, arch: words }, _) => {
                let url = filled(url.as_str(), self.version, &spelling(words)).parse();
                let url = url.map_err(|error: String| Diagnostic::error(Code::BadValue, error))?;
                Ok(FoundAsset { url, asset: None, others: Vec::new() })
            }
            (BinarySource::Catalog(tool), Some(release)) => {
                let known = tool.builds.iter().find(|(of, _)| *of == arch).map(|(_, asset)| asset);
                let Some(known) = known else { return Err(self.no_build(arch, release)) };
                let asset = self.named(&filled(known.name.as_str(), self.version, ""), arch, release)?;
                // The catalog's version keeps its URL, even if the repository moved.
                let own = self.version.filter(|version| **version == tool.version);
                let url = own
                    .and_then(|version| tool.url(known, version).ok())
                    .unwrap_or_else(|| asset.url.clone());
                Ok(FoundAsset { url, ..FoundAsset::of(asset) })
            }
            (BinarySource::Release { asset: Some(pattern), arch: words, .. }, Some(release)) => {
                let asset =
                    self.named(&filled(pattern.as_str(), self.version, &spelling(words)), arch, release)?;
                Ok(FoundAsset::of(asset))
            }
            (BinarySource::Release { asset: None, arch: words, .. }, Some(release)) => {
                let word = words.as_ref().and_then(|words| words.get(&arch)).map(ArchSpelling::as_str);
                match assets::choose(&release.assets, arch, word) {
                    Ok(asset) => {
                        let others = assets::other_libc(&release.assets, arch, word, asset);
                        let others = others.into_iter().cloned().collect();
                        Ok(FoundAsset { others, ..FoundAsset::of(asset.clone()) })
                    }
                    Err(Undecided::None) => Err(self.no_build(arch, release)),
                    Err(Undecided::Several(names)) => Err(Diagnostic::error(
                        Code::AmbiguousAsset,
                        format!(
                            "{} of {} files of {} could be the build for {arch}: {}: {}",
                            names.len(),
                            release.assets.len(),
                            self.title(),
                            listed(names.iter().map(String::as_str)),
                            release.page
                        ),
                    )
                    .help("say which: `asset:` with its name, `{version}` and `{arch}` in it")),
                }
            }
            (BinarySource::Catalog(_) | BinarySource::Release { .. }, None) => {
                Err(Diagnostic::error(Code::UpstreamGone, format!("there is no release of {}", self.title())))
            }
        }
    }

    fn named(&self, name: &str, arch: Arch, release: &Release) -> Result<ReleaseAsset, Diagnostic> {
        release.assets.iter().find(|asset| asset.name == name).cloned().ok_or_else(|| {
            Diagnostic::error(
                Code::NoBuildForArch,
                format!(
                    "{} has no file {} for {arch}; it has {}: {}",
                    self.title(),
                    quoted(name),
                    listed(release.assets.iter().map(|asset| asset.name.as_str())),
                    release.page
                ),
            )
            .help("it may have been renamed or withdrawn; choose another version, or correct `asset:` and `arch:`")
        })
    }

    fn no_build(&self, arch: Arch, release: &Release) -> Diagnostic {
        let other = Arch::ALL.into_iter().find(|other| *other != arch).unwrap_or(arch);
        Diagnostic::error(
            Code::NoBuildForArch,
            format!(
                "{} has no build for {arch} that is known by its name; it has {}: {}",
                self.title(),
                listed(release.assets.iter().map(|asset| asset.name.as_str())),
                release.page
            ),
        )
        .help(format!(
            "name the file with `asset:` and `arch:`; to do without {arch}, write `arch: {{{other}: {other}}}`"
        ))
    }
}

/// Names for a message; not all of them, where there are many.
fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    const MOST: usize = 12;
    let names: Vec<_> = names.map(quoted).collect();
    match names.len() {
        0 => "no files".to_owned(),
        all if all > MOST => format!("{} and {} more", names[..MOST].join(", "), all - MOST),
        _ => names.join(", "),
    }
}
