//! Project and lock together: every value final, nothing left to decide.
//!
//! Rendering turns a plan into files and looks nothing up.

use std::collections::BTreeSet;

use crate::diagnostics::{Code, Diagnostic, Spanned};
use crate::digest::Sha256;
use crate::lock::{Build, Lock, LockedBinary};
use crate::project::Project;
use crate::project::names::ToolName;
use crate::project::spec::{ImageOrigin, Spec};
use crate::project::values::{Arch, ArchiveFormat, HostOs};

/// Everything that the bundle is made of.
pub struct Plan<'a> {
    /// What the user wants.
    pub spec: &'a Spec,
    /// What is locked.
    pub lock: &'a Lock,
    /// The digest of the lock file, by which VM, image and bundle name it.
    pub lock_digest: Sha256,
    /// The image that the Dockerfile starts from.
    pub base: PlannedBase,
    /// The image that the VM runs.
    pub image: VmImage,
    /// The binaries, by name.
    pub tools: Vec<PlannedTool>,
    /// Debian packages of the final image.
    pub apt: Vec<String>,
    /// Debian packages of the VM.
    pub host_packages: Vec<&'static str>,
    /// How Compute Engine's image of the host gets to run user-data.
    pub delivery: Delivery,
}

/// The image that the Dockerfile starts from.
#[derive(Clone, Debug)]
pub enum PlannedBase {
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
pub enum VmImage {
    /// The one that the VM builds.
    Built,
    /// A finished one: its reference, digest included.
    Finished(String),
    /// A finished one that nobody pushed yet; what to do about it.
    NotPushed(Box<Diagnostic>),
}

/// One binary of the image.
pub struct PlannedTool {
    /// Its command.
    pub name: String,
    /// Whether the archive's other files come along.
    pub keep_siblings: bool,
    /// A build for each architecture.
    pub builds: Vec<ToolBuild>,
}

/// What is downloaded for one architecture.
pub struct ToolBuild {
    /// The architecture.
    pub arch: Arch,
    /// How it is packed.
    pub format: ArchiveFormat,
    /// Where it is.
    pub url: String,
    /// The archive's digest.
    pub sha256: String,
    /// The executable's path in it.
    pub path: String,
    /// The executable's digest, once it is known.
    pub binary_sha256: Option<String>,
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
        Plan {
            spec,
            lock,
            lock_digest,
            base: base(spec, lock),
            image: VmImage::new(spec, lock),
            apt: apt(spec, lock),
            host_packages: host_packages(spec),
            delivery: if spec.host.os.has_cloud_init() {
                Delivery::CloudInit
            } else {
                Delivery::StartupScript
            },
            tools: lock.binaries.iter().map(|(name, locked)| tool(name, locked)).collect(),
        }
    }

    /// The builds that the host's architecture uses, by command.
    pub fn host_builds(&self) -> impl Iterator<Item = (&ToolName, &Build)> {
        let arch = self.spec.host.arch.value;
        self.lock.binaries.iter().filter_map(move |(name, locked)| Some((name, locked.builds.get(&arch)?)))
    }
}

impl VmImage {
    /// The digest of a finished image is the spec's own, or that of the last push.
    pub fn new(spec: &Spec, lock: &Lock) -> Self {
        let ImageOrigin::Registry(reference) = &spec.image.origin else { return Self::Built };
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

fn base(spec: &Spec, lock: &Lock) -> PlannedBase {
    match &spec.image.origin {
        ImageOrigin::Source { commit, .. } => {
            let short: String = commit.as_str().chars().take(12).collect();
            PlannedBase::Local(format!("openclaw-source:{short}"))
        }
        ImageOrigin::BuildOnVm | ImageOrigin::Registry(_) => PlannedBase::Pinned {
            reference: lock.image.reference.pinned(lock.image.digest),
            digest: lock.image.digest,
        },
    }
}

fn tool(name: &ToolName, locked: &LockedBinary) -> PlannedTool {
    let build = |(arch, build): (&Arch, &Build)| ToolBuild {
        arch: *arch,
        format: ArchiveFormat::of(build.url.file_name()),
        url: build.url.to_string(),
        sha256: build.sha256.to_string(),
        path: build.binary.to_string(),
        binary_sha256: build.binary_sha256.map(|digest| digest.to_string()),
    };
    PlannedTool {
        name: name.to_string(),
        keep_siblings: locked.keep_siblings,
        builds: locked.builds.iter().map(build).collect(),
    }
}

fn apt(spec: &Spec, lock: &Lock) -> Vec<String> {
    let wanted = spec.image.apt.iter().map(|Spanned { value, .. }| value);
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
    let git: &[_] = if matches!(spec.image.origin, ImageOrigin::Source { .. }) { &["git"] } else { &[] };
    let mut packages =
        [docker, git, &["apparmor", "ca-certificates", "curl", "iptables", "unattended-upgrades"]].concat();
    packages.sort_unstable();
    packages
}
