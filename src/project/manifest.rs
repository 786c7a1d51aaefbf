//! The manifest, `images/binaries.yaml`: the skill binaries to bake in.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::catalog::{Catalog, CatalogTool};
use super::names::{
    AptPackage, ArchSpelling, AssetPattern, MinisignKey, RepoSlug, SkillName, ToolName, Version,
};
use super::values::{Arch, ChecksumsFile, InnerPath, Requirement, WebUrl};
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Source, Spanned, did_you_mean, quoted};
use crate::yaml::decode::{Field, decode};
use crate::yaml::{self, Node, Value};

/// Programs of the base image and of the build that no binary may shadow.
const RESERVED: [&str; 16] = [
    "bash",
    "corepack",
    "curl",
    "dash",
    "docker-entrypoint.sh",
    "dpkg",
    "env",
    "git",
    "node",
    "npm",
    "npx",
    "openclaw",
    "python3",
    "sh",
    "tar",
    "tini",
];

/// Whether a binary of that name would shadow a program that the image needs.
pub fn is_reserved(name: &ToolName) -> bool {
    RESERVED.contains(&name.as_str())
}

/// The manifest as it is written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "binaries.yaml", extend("required" = ["binaries"]))]
pub struct RawManifest {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    version: Field<u64>,
    /// The policy for all binaries.
    policy: Field<RawPolicy>,
    /// The binaries, each a name from the catalog or a map.
    #[schemars(with = "Vec<EntrySchema>")]
    binaries: Field<Vec<Field<RawBinary>>>,
}

/// The schema of an entry for editors: the short form or the long one.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "only its JSON Schema is used")]
enum EntrySchema {
    /// A tool of the catalog, at the catalog's version.
    Name(ToolName),
    /// A tool of the catalog at another version, or one with its source.
    Long(Box<RawBinary>),
}

/// One binary, in the long form.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(extend("required" = ["name"]))]
struct RawBinary {
    /// Its command, installed as /usr/local/bin/NAME.
    name: Field<ToolName>,
    /// Its version; by default the locked one.
    version: Field<Version>,
    /// The GitHub repository whose releases hold it.
    repo: Field<RepoSlug>,
    /// The URL of its archive, with `{version}` and `{arch}`.
    url: Field<WebUrl>,
    /// The release asset's name, with `{version}` and `{arch}`.
    asset: Field<AssetPattern>,
    /// How the publisher spells the architectures; one that is left out has no build.
    arch: Field<RawSpellings>,
    /// The executable's path in the archive, with `{version}` and `{arch}`.
    binary: Field<InnerPath>,
    /// The publisher's public key; a signature by it must then cover the archive.
    minisign: Field<MinisignKey>,
    /// The publisher's checksum file, where bake does not find it: its name next to the archive, or its URL.
    checksums: Field<ChecksumsFile>,
    /// Whether the archive's other files are installed next to the executable, which needs them.
    beside: Field<bool>,
    /// Debian packages without which it does not run.
    apt: Field<Vec<Field<AptPackage>>>,
    /// The policy for this binary, in place of the one for all.
    policy: Field<RawPolicy>,
    /// The OpenClaw skills it serves.
    skills: Field<Vec<Field<SkillName>>>,
}

/// The largest `min_age_days`: ten years.
const LARGEST_AGE: u16 = 3650;

/// A policy for binaries.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawPolicy {
    /// The least evidence for a checksum.
    require: Field<Requirement>,
    /// Releases younger than this many days are not taken, unless `version` names them.
    #[schemars(range(max = 3650))]
    min_age_days: Field<u64>,
}

#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawSpellings {
    /// The publisher's word for amd64.
    amd64: Field<ArchSpelling>,
    /// The publisher's word for arm64.
    arm64: Field<ArchSpelling>,
}

/// The binaries to bake in, in the order of the file, each name once.
#[derive(Clone, Debug, Default)]
pub struct Manifest {
    /// The binaries.
    pub binaries: Vec<Binary>,
    /// The policy for the base image, and for binaries that have none.
    pub policy: Policy,
}

/// The policy for a binary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// The least evidence for a checksum.
    pub require: Option<Requirement>,
    /// The least age in days of a release that the manifest does not name.
    pub min_age_days: u16,
}

/// One binary.
#[derive(Clone, Debug)]
pub struct Binary {
    /// Its command.
    pub name: Spanned<ToolName>,
    /// The version asked for; none where any locked one will do.
    pub version: Option<Spanned<Version>>,
    /// Its source.
    pub origin: BinarySource,
    /// The executable's path in the archive, where the manifest says it.
    pub binary: Option<Spanned<InnerPath>>,
    /// The publisher's public key, where the manifest holds one.
    pub minisign: Option<MinisignKey>,
    /// The publisher's checksum file, where the manifest names it.
    pub checksums: Option<ChecksumsFile>,
    /// Whether the archive's other files are installed next to the executable.
    pub keep_siblings: bool,
    /// Debian packages without which it does not run.
    pub apt: Vec<AptPackage>,
    /// Its policy.
    pub policy: Policy,
    /// The skills it serves.
    pub skills: Vec<SkillName>,
}

/// The source of a binary.
#[derive(Clone, Debug)]
pub enum BinarySource {
    /// The catalog knows it.
    Catalog(&'static CatalogTool),
    /// A release on GitHub.
    Release {
        /// The repository.
        repo: RepoSlug,
        /// The asset's name, where the manifest says it.
        asset: Option<AssetPattern>,
        /// How the publisher spells each architecture, where the manifest says it.
        arch: Option<BTreeMap<Arch, ArchSpelling>>,
    },
    /// A URL.
    Url {
        /// The URL, with placeholders.
        url: WebUrl,
        /// How the publisher spells each architecture, where the manifest says it.
        arch: Option<BTreeMap<Arch, ArchSpelling>>,
    },
}

impl BinarySource {
    /// The repository whose releases it is taken from; none for a URL.
    pub const fn repo(&self) -> Option<&RepoSlug> {
        match self {
            Self::Catalog(tool) => Some(&tool.repo),
            Self::Release { repo, .. } => Some(repo),
            Self::Url { .. } => None,
        }
    }
}

/// Reads a manifest; errors are added to `problems`.
///
/// Returns nothing where the text could not be read at all.
pub fn read(source: Source, catalog: &'static Catalog, problems: &mut Problems) -> Option<Manifest> {
    let source = Arc::new(source);
    let mut node = match yaml::parse(&source) {
        Ok(node) => node,
        Err(unreadable) => {
            problems.push(unreadable.at(source));
            return None;
        }
    };
    expand_short_forms(&mut node);
    let raw = decode::<RawManifest>(&node, &source, problems).get()?;
    let mut reader = ManifestReader { source: &source, catalog, problems };
    Some(reader.manifest(raw))
}

/// `- gog` means `- name: gog`.
fn expand_short_forms(manifest: &mut Node) {
    let Some(Node { value: Value::List(items), .. }) = manifest.get_mut("binaries") else { return };
    for item in items.iter_mut().filter(|item| matches!(item.value, Value::Scalar(..))) {
        let span = item.span.clone();
        let node = |value| Node { value, span: span.clone(), defined: span.clone() };
        let key = node(Value::Scalar("name".to_owned(), yaml::Scalar::Text));
        let name = std::mem::replace(item, node(Value::Null));
        item.value = Value::Map(vec![(key, name)]);
    }
}

/// The skills that the manifest names, and those of the catalog.
fn skills(named: Field<Vec<Field<SkillName>>>, origin: &BinarySource) -> Vec<SkillName> {
    let mut skills: Vec<_> = named.get().unwrap_or_default().into_iter().filter_map(Field::get).collect();
    if let BinarySource::Catalog(tool) = origin {
        let others: Vec<_> = tool.skills.iter().filter(|skill| !skills.contains(skill)).cloned().collect();
        skills.extend(others);
    }
    skills
}

struct ManifestReader<'a> {
    source: &'a Arc<Source>,
    catalog: &'static Catalog,
    problems: &'a mut Problems,
}

impl ManifestReader<'_> {
    fn manifest(&mut self, raw: RawManifest) -> Manifest {
        if let Some(version) = raw.version.at(self.source).filter(|version| version.value != 1) {
            self.problems.push(
                Diagnostic::error(
                    Code::UnsupportedVersion,
                    format!("this release of bake reads version 1 of the manifest, not {}", version.value),
                )
                .at(version.place)
                .help("write `version: 1`, or use a newer release of bake"),
            );
        }
        if raw.binaries.is_missing() {
            self.problems.push(
                Diagnostic::error(Code::MissingKey, "the manifest has no `binaries`")
                    .at(Location { source: Arc::clone(self.source), span: 0..0 })
                    .help("write `binaries:` and a list; `binaries: []` for none"),
            );
        }
        let policy = self.policy(raw.policy, Policy::default());
        let mut first = BTreeMap::<ToolName, Option<Location>>::new();
        let mut binaries = Vec::new();
        for item in raw.binaries.get().unwrap_or_default() {
            let Some(item) = item.at(self.source) else { continue };
            let Some(binary) = self.binary(item, policy) else { continue };
            if let Some(earlier) = first.get(&binary.name.value) {
                self.problems.push(
                    Diagnostic::error(
                        Code::Duplicate,
                        format!("the binary `{}` is a duplicate", binary.name.value),
                    )
                    .at(binary.name.place)
                    .related(earlier.clone(), "the first time")
                    .help("remove one of the two"),
                );
                continue;
            }
            first.insert(binary.name.value.clone(), binary.name.place.clone());
            binaries.push(binary);
        }
        Manifest { binaries, policy }
    }

    fn binary(
        &mut self,
        Spanned { value: raw, place }: Spanned<RawBinary>,
        general: Policy,
    ) -> Option<Binary> {
        if raw.name.is_missing() {
            self.problems.push(
                Diagnostic::error(Code::MissingKey, "this binary has no `name`")
                    .at(place)
                    .help("add `name:`, the command by which it is called"),
            );
            return None;
        }
        let name = raw.name.at(self.source)?;
        self.reserved(&name);
        let version = raw.version.at(self.source);
        // An invalid source counts as a source.
        let unreadable = matches!(raw.repo, Field::Invalid) || matches!(raw.url, Field::Invalid);
        let (repo, url) = (raw.repo.at(self.source), raw.url.at(self.source));
        let asset = raw.asset.at(self.source);
        let arch_place = match &raw.arch {
            Field::Given(_, span) => Some(Location { source: Arc::clone(self.source), span: span.clone() }),
            Field::Missing | Field::Invalid => None,
        };
        let mut arch = raw.arch.get().map(spellings);
        if arch.take_if(|arch| arch.is_empty()).is_some() {
            self.problems.push(
                Diagnostic::error(
                    Code::MissingKey,
                    format!("`{}` has a build for no architecture", name.value),
                )
                .at(arch_place.clone())
                .help("write `arch: {amd64: x86_64, arm64: aarch64}` with the publisher's words"),
            );
        }
        let binary = raw.binary.at(self.source);
        // A release gets its version from the lock; a URL only from this key.
        let versioned = version.is_some() || url.is_none();
        self.placeholders(asset.as_ref(), AssetPattern::as_str, versioned);
        self.placeholders(url.as_ref(), WebUrl::as_str, versioned);
        self.placeholders(binary.as_ref(), InnerPath::as_str, versioned);
        let origin = match (repo, url) {
            (Some(repo), Some(url)) => {
                self.ambiguous(
                    &name,
                    "names a repository and a URL",
                    url.place.or(repo.place),
                    "keep one of the two",
                );
                return None;
            }
            (Some(repo), None) => {
                BinarySource::Release { repo: repo.value, asset: asset.map(|asset| asset.value), arch }
            }
            (None, Some(url)) => {
                if let Some(asset) = asset {
                    self.ambiguous(
                        &name,
                        "has an asset and a URL",
                        asset.place,
                        "the URL names the file: remove `asset`",
                    );
                }
                BinarySource::Url { url: url.value, arch }
            }
            (None, None) if unreadable => return None,
            (None, None) => {
                if let Some(place) = asset.and_then(|asset| asset.place).or(arch_place) {
                    self.ambiguous(
                        &name,
                        "has `asset` or `arch` without a source",
                        Some(place),
                        "add `repo:`, or remove them",
                    );
                }
                if let Some(path) = binary.as_ref().filter(|path| path.as_str().contains("{arch}")) {
                    self.problems.push(
                        Diagnostic::error(
                            Code::BadPlaceholder,
                            format!("how `{}` spells architectures is not known here", name.value),
                        )
                        .at(path.place.clone())
                        .help("write the path out, or give the binary its source with `repo:` and `arch:`"),
                    );
                }
                BinarySource::Catalog(self.known(&name)?)
            }
        };
        let skills = skills(raw.skills, &origin);
        let (keep_siblings, apt) = self.needs(&name, raw.beside, raw.apt, &origin);
        let minisign = raw.minisign.get();
        let checksums = self.checksums(&name, raw.checksums, &origin, versioned);
        let policy = self.policy(raw.policy, general);
        Some(Binary {
            name,
            version,
            origin,
            binary,
            minisign,
            checksums,
            keep_siblings,
            apt,
            policy,
            skills,
        })
    }

    /// Keys that are not given are those of `general`.
    fn policy(&mut self, raw: Field<RawPolicy>, general: Policy) -> Policy {
        let raw = raw.get().unwrap_or_default();
        let mut min_age_days = general.min_age_days;
        if let Some(days) = raw.min_age_days.at(self.source) {
            match u16::try_from(days.value) {
                Ok(value) if value <= LARGEST_AGE => min_age_days = value,
                _ => self.problems.push(
                    Diagnostic::error(Code::BadValue, format!("{} is not an age in days", days.value))
                        .at(days.place)
                        .help(format!("choose from 0 to {LARGEST_AGE}")),
                ),
            }
        }
        Policy { require: raw.require.get().or(general.require), min_age_days }
    }

    /// The publisher's checksum file, which a tool of the catalog does not need.
    fn checksums(
        &mut self,
        name: &Spanned<ToolName>,
        file: Field<ChecksumsFile>,
        origin: &BinarySource,
        versioned: bool,
    ) -> Option<ChecksumsFile> {
        let file = file.at(self.source);
        self.placeholders(file.as_ref(), ChecksumsFile::as_str, versioned);
        let file = file?;
        if let BinarySource::Catalog(_) = origin {
            let help = "the catalog has the checksums: remove it, or add `repo:`";
            self.ambiguous(name, "has `checksums` without a source", file.place, help);
        }
        Some(file.value)
    }

    /// Whether the executable needs the archive's other files, and which Debian packages it needs.
    fn needs(
        &mut self,
        name: &Spanned<ToolName>,
        beside: Field<bool>,
        apt: Field<Vec<Field<AptPackage>>>,
        origin: &BinarySource,
    ) -> (bool, Vec<AptPackage>) {
        let (beside, apt) = (beside.at(self.source), apt.at(self.source));
        if let BinarySource::Catalog(tool) = origin {
            let place = beside.map(|beside| beside.place).or(apt.map(|apt| apt.place));
            if let Some(place) = place {
                let help = "the catalog knows both: remove them";
                self.ambiguous(name, "has `beside` or `apt` without a source", place, help);
            }
            return (tool.keep_siblings, tool.apt.clone());
        }
        let apt = apt.map(|apt| apt.value.into_iter().filter_map(Field::get).collect());
        (beside.is_some_and(|beside| beside.value), apt.unwrap_or_default())
    }

    /// A binary of such a name would shadow a program that the image needs.
    fn reserved(&mut self, name: &Spanned<ToolName>) {
        if is_reserved(name) {
            self.problems.push(
                Diagnostic::error(
                    Code::ReservedName,
                    format!("{} is a program that the image itself needs", quoted(name.as_str())),
                )
                .at(name.place.clone())
                .help("choose another name: the binary is installed under it and may have another name in its archive"),
            );
        }
    }

    fn ambiguous(&mut self, name: &Spanned<ToolName>, what: &str, place: Option<Location>, help: &str) {
        self.problems.push(
            Diagnostic::error(Code::AmbiguousSource, format!("`{}` {what}", name.value)).at(place).help(help),
        );
    }

    fn known(&mut self, name: &Spanned<ToolName>) -> Option<&'static CatalogTool> {
        let found = self.catalog.tool(name.as_str());
        if found.is_none() {
            let tools = self.catalog.tools();
            let alias = tools.iter().find(|tool| tool.also_known_as.as_ref() == Some(&name.value));
            let close = || did_you_mean(name.as_str(), tools.iter().map(|tool| tool.name.as_str()));
            let meant = alias.map(|tool| tool.name.as_str()).or_else(close);
            let hint = meant.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
            self.problems.push(
                Diagnostic::error(
                    Code::UnknownTool,
                    format!("the catalog has no tool {}", quoted(name.as_str())),
                )
                .at(name.place.clone())
                .help(format!(
                    "{hint}`bake catalog` lists the known ones; for any other add `repo:` or `url:`"
                )),
            );
        }
        found
    }

    fn placeholders<T>(&mut self, pattern: Option<&Spanned<T>>, text: fn(&T) -> &str, versioned: bool) {
        let Some(Spanned { value, place }) = pattern else { return };
        let text = text(value);
        let mut wrong = |message: String, help: &str| {
            self.problems.push(Diagnostic::error(Code::BadPlaceholder, message).at(place.clone()).help(help));
        };
        if text.replace("{version}", "").replace("{arch}", "").contains(['{', '}']) {
            wrong(
                format!("{} has a placeholder that is not known", quoted(text)),
                "the known ones are {version} and {arch}",
            );
        }
        if text.contains("{version}") && !versioned {
            wrong(format!("{} asks for a version, and there is none", quoted(text)), "add `version:`");
        }
    }
}

fn spellings(raw: RawSpellings) -> BTreeMap<Arch, ArchSpelling> {
    let both = [(Arch::Amd64, raw.amd64), (Arch::Arm64, raw.arm64)];
    both.into_iter().filter_map(|(arch, spelling)| Some((arch, spelling.get()?))).collect()
}
