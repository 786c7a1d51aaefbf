//! Reads `bake.lock`, with places for errors.

use std::collections::BTreeMap;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Build, Evidence, Lock, LockedBinary, LockedImage, PushedImage, Signature};
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Source};
use crate::digest::Sha256;
use crate::project::names::{AptPackage, RepoSlug, ToolName, Version};
use crate::project::values::{Arch, ArchiveFormat, ImageRef, InnerPath, LoaderPath, WebUrl};
use crate::provenance::Workflow;
use crate::yaml;
use crate::yaml::decode::{Entries, Field, decode};

/// The lock as it is written.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "bake.lock", extend("required" = ["version", "inputs", "image", "binaries"]))]
pub struct RawLock {
    /// The version of the format: 1.
    #[schemars(range(min = 1, max = 1))]
    version: Field<u64>,
    /// A digest of the inputs.
    inputs: Field<Sha256>,
    /// The base image.
    image: Field<RawLockedImage>,
    /// The finished image, once it was pushed.
    pushed: Field<RawPushed>,
    /// The binaries, by command.
    binaries: Field<Entries<ToolName, RawLockedBinary>>,
}

/// The base image, pinned.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawLockedImage {
    /// The reference in the spec.
    reference: Field<ImageRef>,
    /// The digest of its index.
    digest: Field<Sha256>,
    /// The manifest of each architecture.
    platforms: Field<RawPlatforms>,
    /// How the digest was learned.
    evidence: Field<Vec<Field<Evidence>>>,
}

/// The finished image, as `bake image push` put it into a registry.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawPushed {
    /// The reference in the spec, without a digest.
    reference: Field<ImageRef>,
    /// The digest of its index.
    digest: Field<Sha256>,
    /// The digest of the lock that it was made of, without this entry.
    lock: Field<Sha256>,
}

/// The manifests of an image.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawPlatforms {
    /// The manifest for amd64.
    amd64: Field<Sha256>,
    /// The manifest for arm64.
    arm64: Field<Sha256>,
}

/// One binary, pinned.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawLockedBinary {
    /// Its version.
    version: Field<Version>,
    /// The repository that the manifest names.
    repo: Field<RepoSlug>,
    /// The repository's new name, where its releases are found under another one.
    moved_to: Field<RepoSlug>,
    /// GitHub's number of the repository.
    repository_id: Field<u64>,
    /// Whether the release's files cannot be replaced.
    immutable: Field<bool>,
    /// Whether the archive's other files are installed next to the executable.
    beside: Field<bool>,
    /// Debian packages without which it does not run.
    apt: Field<Vec<Field<AptPackage>>>,
    /// Its build for each architecture.
    builds: Field<RawBuilds>,
}

/// The builds of one binary.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawBuilds {
    /// The build for amd64.
    amd64: Field<RawBuild>,
    /// The build for arm64.
    arm64: Field<RawBuild>,
}

/// The archive that holds a binary for one architecture.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct RawBuild {
    /// The download URL.
    url: Field<WebUrl>,
    /// Its SHA-256.
    sha256: Field<Sha256>,
    /// Its size in bytes.
    size: Field<u64>,
    /// How it is packed, where its name does not say it.
    format: Field<ArchiveFormat>,
    /// The executable's path in it.
    binary: Field<InnerPath>,
    /// The executable's own SHA-256.
    binary_sha256: Field<Sha256>,
    /// The dynamic loader that the executable needs.
    loader: Field<LoaderPath>,
    /// The publisher's signature of the archive.
    signature: Field<Signature>,
    /// The workflow that made the archive, as its attestation says.
    attested_by: Field<Workflow>,
    /// How the checksums were learned.
    evidence: Field<Vec<Field<Evidence>>>,
}

/// Reads a lock; errors are added to `problems`. Returns it with its place.
pub fn read(source: Source, problems: &mut Problems) -> Option<(Lock, Location)> {
    let source = Arc::new(source);
    let place = Location { source: Arc::clone(&source), span: 0..0 };
    let node = match yaml::parse(&source) {
        Ok(node) => node,
        Err(unreadable) => {
            problems.push(unreadable.at(source).help("restore it, or recreate it with `bake lock`"));
            return None;
        }
    };
    if !matches!(node.value, yaml::Value::Map(_)) {
        problems.push(
            Diagnostic::error(Code::WrongType, "the lock holds nothing that could be read")
                .at(place)
                .help("restore it, or recreate it with `bake lock`"),
        );
        return None;
    }
    let before = problems.len();
    let raw = decode::<RawLock>(&node, &source, problems).get()?;
    let lock = LockReader { source: &source, problems }.lock(raw, &place);
    lock.filter(|_| problems.len() == before).map(|lock| (lock, place))
}

struct LockReader<'a> {
    source: &'a Arc<Source>,
    problems: &'a mut Problems,
}

impl LockReader<'_> {
    fn lock(&mut self, raw: RawLock, place: &Location) -> Option<Lock> {
        let version = self.needed(raw.version, "version", place)?;
        if version != 1 {
            self.problems.push(
                Diagnostic::error(
                    Code::UnsupportedVersion,
                    format!("this release of bake reads version 1 of the lock, not {version}"),
                )
                .at(place.clone())
                .help("use the release of bake that wrote it; or remove the lock, and recreate it with `bake lock`"),
            );
            // The rules for the rest of the file are unknown.
            return None;
        }
        let inputs = self.needed(raw.inputs, "inputs", place);
        let image = self.needed_at(raw.image, "image", place).and_then(|(image, at)| {
            Some(LockedImage {
                reference: self.needed(image.reference, "reference", &at)?,
                digest: self.needed(image.digest, "digest", &at)?,
                platforms: platforms(image.platforms),
                evidence: list(image.evidence),
            })
        });
        let pushed = raw.pushed.at(self.source).and_then(|pushed| self.pushed(pushed.value, &pushed.place?));
        let mut binaries = BTreeMap::new();
        for (name, binary) in self.needed(raw.binaries, "binaries", place).unwrap_or_default().0 {
            let Some(name) = name.at(self.source) else { continue };
            let Some(at) = name.place.clone() else { continue };
            if let Some(binary) = binary.get().and_then(|binary| self.binary(binary, &at)) {
                binaries.insert(name.value, binary);
            }
        }
        Some(Lock { version, inputs: inputs?, image: image?, pushed, binaries })
    }

    fn pushed(&mut self, raw: RawPushed, at: &Location) -> Option<PushedImage> {
        let reference = self.needed(raw.reference, "reference", at);
        let digest = self.needed(raw.digest, "digest", at);
        let lock = self.needed(raw.lock, "lock", at);
        Some(PushedImage { reference: reference?, digest: digest?, lock: lock? })
    }

    fn binary(&mut self, raw: RawLockedBinary, at: &Location) -> Option<LockedBinary> {
        let builds = self.needed(raw.builds, "builds", at)?;
        let both = [(Arch::Amd64, builds.amd64), (Arch::Arm64, builds.arm64)];
        let builds = both.into_iter().filter_map(|(arch, build)| {
            let build = build.at(self.source)?;
            let at = build.place?;
            Some((arch, self.build(build.value, &at)?))
        });
        Some(LockedBinary {
            version: raw.version.get(),
            repo: raw.repo.get(),
            moved_to: raw.moved_to.get(),
            repository_id: raw.repository_id.get(),
            immutable: raw.immutable.get().unwrap_or(false),
            keep_siblings: raw.beside.get().unwrap_or(false),
            apt: list(raw.apt),
            builds: builds.collect(),
        })
    }

    fn build(&mut self, raw: RawBuild, at: &Location) -> Option<Build> {
        let url = self.needed(raw.url, "url", at);
        let sha256 = self.needed(raw.sha256, "sha256", at);
        let binary = self.needed(raw.binary, "binary", at);
        Some(Build {
            url: url?,
            sha256: sha256?,
            size: raw.size.get(),
            format: raw.format.get(),
            binary: binary?,
            binary_sha256: raw.binary_sha256.get(),
            loader: raw.loader.get(),
            signature: raw.signature.get(),
            attested_by: raw.attested_by.get(),
            evidence: list(raw.evidence),
        })
    }

    fn needed<T>(&mut self, field: Field<T>, key: &str, within: &Location) -> Option<T> {
        self.needed_at(field, key, within).map(|(value, _)| value)
    }

    fn needed_at<T>(&mut self, field: Field<T>, key: &str, within: &Location) -> Option<(T, Location)> {
        if field.is_missing() {
            self.problems.push(
                Diagnostic::error(Code::MissingKey, format!("the lock lacks the key `{key}` here"))
                    .at(within.clone())
                    .help("restore the lock, or recreate it with `bake lock`"),
            );
        }
        let value = field.at(self.source)?;
        value.place.map(|place| (value.value, place))
    }
}

fn platforms(field: Field<RawPlatforms>) -> BTreeMap<Arch, Sha256> {
    let RawPlatforms { amd64, arm64 } = field.get().unwrap_or_default();
    let both = [(Arch::Amd64, amd64.get()), (Arch::Arm64, arm64.get())];
    both.into_iter().filter_map(|(arch, digest)| Some((arch, digest?))).collect()
}

fn list<T>(field: Field<Vec<Field<T>>>) -> Vec<T> {
    field.get().unwrap_or_default().into_iter().filter_map(Field::get).collect()
}
