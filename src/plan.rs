//! Project and lock together: every value final, nothing left to decide.
//!
//! Rendering turns a plan into files and looks nothing up.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::diagnostics::{At, Code, Diagnostic};
use crate::digest::Sha256;
use crate::lock::{Build, Lock, LockedBinary};
use crate::project::Project;
use crate::project::names::ToolName;
use crate::project::spec::{Origin, Spec};
use crate::project::values::{Arch, HostOs, Packing};

/// Stages that one stage copies from at most: images end at some 127 layers, and the base image
/// needs its share of them.
const FAN_IN: usize = 40;

/// Everything that the bundle is made of.
pub struct Plan<'a> {
    /// What the user wants.
    pub spec: &'a Spec,
    /// What is locked.
    pub lock: &'a Lock,
    /// The digest of the lock file, by which VM, image and bundle name it.
    pub lock_digest: Sha256,
    /// The image that the Dockerfile starts from.
    pub base: Base,
    /// The image that the VM runs.
    pub image: Image,
    /// The binaries, by name.
    pub tools: Vec<Tool>,
    /// Stages that bring the binaries of others together, in the order of building.
    pub gathers: Vec<Gather>,
    /// The stages that the final image copies from.
    pub last: Vec<String>,
    /// Stages that have what some tools are unpacked with.
    pub unpackers: Vec<Unpacker>,
    /// Debian packages of the final image.
    pub apt: Vec<String>,
    /// Debian packages of the VM.
    pub host_packages: Vec<&'static str>,
    /// How Compute Engine's image of the host gets to run user-data.
    pub delivery: Delivery,
}

/// The image that the Dockerfile starts from.
#[derive(Clone, Debug)]
pub enum Base {
    /// By digest, from its registry.
    Pinned {
        /// The reference, digest included.
        reference: String,
        /// The digest alone.
        digest: Sha256,
    },
    /// Built on the VM before, under this local tag.
    Local(String),
}

/// The image that the VM runs.
#[derive(Clone, Debug)]
pub enum Image {
    /// The one that the VM builds.
    Built,
    /// A finished one: its reference, digest included.
    Finished(String),
    /// A finished one that nobody pushed yet; what to do about it.
    NotPushed(Box<Diagnostic>),
}

/// One stage of the Dockerfile that fetches a binary.
#[derive(Serialize)]
pub struct Tool {
    /// Its command.
    pub name: String,
    /// The stage's name.
    pub stage: String,
    /// The stage that it is fetched in.
    pub from: String,
    /// Whether the archive's other files come along.
    pub beside: bool,
    /// A build for each architecture.
    pub builds: Vec<ToolBuild>,
}

/// A stage with programs that no minimal image has. One for each set of needs: a tool in a new
/// format then fetches no other tool again.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unpacker {
    /// The stage's name.
    pub stage: String,
    /// What it has.
    pub needs: Vec<Need>,
}

impl Unpacker {
    fn new(needs: BTreeSet<Need>) -> Self {
        let packages: Vec<_> = needs.iter().map(|need| need.package).collect();
        Self { stage: format!("fetch-{}", packages.join("-")), needs: needs.into_iter().collect() }
    }
}

/// The stage for tools that need no more than curl and tar.
const PLAIN_FETCH: &str = "fetch";

/// What a stage needs to know of one build.
#[derive(Serialize)]
pub struct ToolBuild {
    /// The architecture.
    pub arch: Arch,
    /// How it is packed.
    pub format: Packing,
    /// Where it is.
    pub url: String,
    /// The archive's digest.
    pub sha256: String,
    /// The executable's path in it.
    pub path: String,
    /// The executable's digest, or `-`.
    pub binary_sha256: String,
}

/// A program, and the Debian package that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Need {
    /// The program.
    pub command: &'static str,
    /// The package.
    pub package: &'static str,
}

impl Need {
    /// The program that unpacks `packing`, and the Debian package that has it, where no minimal
    /// image does.
    const fn of(packing: Packing) -> Option<Self> {
        match packing {
            Packing::TarXz => Some(Self { command: "xz", package: "xz-utils" }),
            Packing::TarBz2 => Some(Self { command: "bzip2", package: "bzip2" }),
            Packing::TarZst => Some(Self { command: "zstd", package: "zstd" }),
            Packing::Zip => Some(Self { command: "unzip", package: "unzip" }),
            Packing::TarGz | Packing::Tar | Packing::Gz | Packing::Bare => None,
        }
    }
}

/// A stage that copies from others.
#[derive(Serialize)]
pub struct Gather {
    /// Its name.
    pub stage: String,
    /// The stages it copies from.
    pub parts: Vec<String>,
}

/// How the VM comes to run its user-data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The OS image has cloud-init.
    CloudInit,
    /// It has none: a startup script installs it first.
    StartupScript,
}

impl<'a> Plan<'a> {
    /// Decides everything. `lock` must fit `project`; `lock_digest` is the digest of its file.
    pub fn new(project: &'a Project, lock: &'a Lock, lock_digest: Sha256) -> Self {
        let spec = &project.spec;
        let tools: Vec<Tool> = lock.binaries.iter().map(|(name, locked)| tool(name, locked)).collect();
        let unpackers: BTreeSet<_> = lock.binaries.values().filter_map(unpacker).collect();
        let unpackers = unpackers.into_iter().collect();
        let (gathers, last) = gather(tools.iter().map(|tool| tool.stage.clone()).collect());
        Plan {
            spec,
            lock,
            lock_digest,
            base: base(spec, lock),
            image: Image::new(spec, lock),
            gathers,
            last,
            unpackers,
            apt: apt(spec, lock),
            host_packages: host_packages(spec),
            delivery: if spec.host.os.has_cloud_init() {
                Delivery::CloudInit
            } else {
                Delivery::StartupScript
            },
            tools,
        }
    }

    /// The builds that the host's architecture uses, by command.
    pub fn host_builds(&self) -> impl Iterator<Item = (&ToolName, &Build)> {
        let arch = self.spec.host.arch.value;
        self.lock.binaries.iter().filter_map(move |(name, locked)| Some((name, locked.builds.get(&arch)?)))
    }
}

impl Image {
    /// The digest of a finished image is the spec's own, or that of the last push.
    pub fn new(spec: &Spec, lock: &Lock) -> Self {
        let Origin::Registry(reference) = &spec.image.origin else { return Self::Built };
        match reference.digest().or(lock.pushed.as_ref().map(|pushed| pushed.digest)) {
            Some(digest) => Self::Finished(reference.pinned(digest)),
            None => Self::NotPushed(Box::new(
                Diagnostic::error(
                    Code::NotPushed,
                    format!("the image `{}` was not pushed since the lock was made", reference.value),
                )
                .at(reference.place.clone())
                .help("run `bake image push`: it makes the image, and writes its digest into the lock; or name a finished one by its digest, `@sha256:…`"),
            )),
        }
    }
}

fn base(spec: &Spec, lock: &Lock) -> Base {
    match &spec.image.origin {
        Origin::Source { commit, .. } => {
            let short: String = commit.as_str().chars().take(12).collect();
            Base::Local(format!("openclaw-source:{short}"))
        }
        Origin::BuildOnVm | Origin::Registry(_) => Base::Pinned {
            reference: lock.image.reference.pinned(lock.image.digest),
            digest: lock.image.digest,
        },
    }
}

fn tool(name: &ToolName, locked: &LockedBinary) -> Tool {
    let build = |(arch, build): (&Arch, &Build)| ToolBuild {
        arch: *arch,
        format: Packing::of(build.url.file_name()),
        url: build.url.to_string(),
        sha256: build.sha256.to_string(),
        path: build.binary.to_string(),
        binary_sha256: build.binary_sha256.map_or_else(|| "-".to_owned(), |digest| digest.to_string()),
    };
    Tool {
        name: name.to_string(),
        stage: format!("tool-{name}"),
        from: unpacker(locked).map_or_else(|| PLAIN_FETCH.to_owned(), |unpacker| unpacker.stage),
        beside: locked.beside,
        builds: locked.builds.iter().map(build).collect(),
    }
}

fn gather(mut stages: Vec<String>) -> (Vec<Gather>, Vec<String>) {
    let mut gathers = Vec::new();
    while stages.len() > FAN_IN {
        let level = gathers.len();
        let new = stages.chunks(FAN_IN).enumerate();
        gathers.extend(
            new.map(|(i, parts)| Gather {
                stage: format!("gather-{}", level + i + 1),
                parts: parts.to_vec(),
            }),
        );
        stages = gathers[level..].iter().map(|gather| gather.stage.clone()).collect();
    }
    (gathers, stages)
}

fn unpacker(locked: &LockedBinary) -> Option<Unpacker> {
    let formats = locked.builds.values().map(|build| Packing::of(build.url.file_name()));
    let needs: BTreeSet<_> = formats.filter_map(Need::of).collect();
    (!needs.is_empty()).then(|| Unpacker::new(needs))
}

fn apt(spec: &Spec, lock: &Lock) -> Vec<String> {
    let wanted = spec.image.apt.iter().map(|At { value, .. }| value);
    let needed = lock.binaries.values().flat_map(|locked| &locked.apt);
    wanted.chain(needed).map(ToString::to_string).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Docker from the distribution where that has Compose v2, else from Docker's own repository.
fn host_packages(spec: &Spec) -> Vec<&'static str> {
    let docker: &[_] = match spec.host.os.value {
        HostOs::Debian12 => {
            &["containerd.io", "docker-buildx-plugin", "docker-ce", "docker-ce-cli", "docker-compose-plugin"]
        }
        HostOs::Debian13 => &["docker-buildx", "docker-cli", "docker-compose", "docker.io"],
        HostOs::Ubuntu2404 => &["docker-buildx", "docker-compose-v2", "docker.io"],
    };
    // Docker's builder calls the host's git for a source that is a repository.
    let git: &[_] = if matches!(spec.image.origin, Origin::Source { .. }) { &["git"] } else { &[] };
    let mut packages =
        [docker, git, &["apparmor", "ca-certificates", "curl", "iptables", "unattended-upgrades"]].concat();
    packages.sort_unstable();
    packages
}

#[cfg(test)]
mod tests {
    use super::{FAN_IN, gather};

    #[test]
    fn no_stage_copies_from_more_than_the_fan_in() {
        let (gathers, last) = gather((0..10_000).map(|i| i.to_string()).collect());
        assert!(last.len() <= FAN_IN);
        assert!(gathers.iter().all(|gather| gather.parts.len() <= FAN_IN));
        let copied: usize = gathers.iter().map(|gather| gather.parts.len()).sum::<usize>() + last.len();
        assert_eq!(copied, 10_000 + gathers.len());
        assert!(gather(vec!["a".to_owned()]).0.is_empty());
    }
}
