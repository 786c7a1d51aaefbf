//! Project and lock combined, with every value final. Rendering looks nothing up.

use std::collections::BTreeSet;

use crate::diagnostics::{Code, Diagnostic, Spanned};
use crate::digest::Sha256;
use crate::lock::{Build, Lock, LockedBinary};
use crate::project::Project;
use crate::project::names::ToolName;
use crate::project::spec::{ImageOrigin, Spec};
use crate::project::values::{Arch, ArchiveFormat, Egress};

pub struct Plan<'a> {
    pub spec: &'a Spec,
    pub lock: &'a Lock,
    /// Digest of the lock file; VM, image and bundle are labelled with it.
    pub lock_digest: Sha256,
    pub base: PlannedBase,
    pub image: VmImage,
    pub tools: Vec<PlannedTool>,
    /// Debian packages of the image.
    pub apt: Vec<String>,
    pub host_packages: Vec<&'static str>,
    pub delivery: Delivery,
}

/// The base image of the Dockerfile.
#[derive(Clone, Debug)]
pub enum PlannedBase {
    Pinned {
        /// With digest.
        reference: String,
        digest: Sha256,
    },
    /// Built earlier on the VM, with this local tag.
    Local(String),
}

#[derive(Clone, Debug)]
pub enum VmImage {
    /// The VM builds it.
    Built,
    /// Pulled by this reference, which includes the digest.
    Finished(String),
    /// Not pushed yet; the diagnostic says what to do.
    NotPushed(Box<Diagnostic>),
}

pub struct PlannedTool {
    pub name: String,
    pub keep_siblings: bool,
    pub builds: Vec<ToolBuild>,
}

pub struct ToolBuild {
    pub arch: Arch,
    pub format: ArchiveFormat,
    pub url: String,
    /// Digest of the archive.
    pub sha256: String,
    /// Path of the executable in the archive.
    pub path: String,
    /// `None` until the archive has been fetched once.
    pub binary_sha256: Option<String>,
    /// The dynamic loader that the executable needs.
    pub loader: Option<String>,
}

/// How the VM runs its user-data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    CloudInit,
    /// The OS image lacks cloud-init: a startup script installs it first.
    StartupScript,
}

impl<'a> Plan<'a> {
    /// `lock` must match `project`; `lock_digest` is the digest of the lock file.
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

    /// The builds for the host's architecture.
    pub fn host_builds(&self) -> impl Iterator<Item = (&ToolName, &Build)> {
        let arch = self.spec.host.arch.value;
        self.lock.binaries.iter().filter_map(move |(name, locked)| Some((name, locked.builds.get(&arch)?)))
    }
}

impl VmImage {
    /// The digest comes from the spec or, if it has none, from the last push.
    pub fn new(spec: &Spec, lock: &Lock) -> Self {
        let ImageOrigin::Registry(reference) = &spec.image.origin else { return Self::Built };
        match reference.digest().or(lock.pushed.as_ref().map(|pushed| pushed.digest)) {
            Some(digest) => Self::Finished(reference.pinned(digest)),
            None => Self::NotPushed(Box::new(
                Diagnostic::error(
                    Code::NotPushed,
                    format!("the image `{}` has not been pushed since the lock was created", reference.value),
                )
                .at(reference.place.clone())
                .help("run `bake image push`, which builds the image and writes its digest into the lock; or specify an existing image by its digest, `@sha256:…`"),
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
        format: build.archive_format(),
        url: build.url.to_string(),
        sha256: build.sha256.to_string(),
        path: build.binary.to_string(),
        binary_sha256: build.binary_sha256.map(|digest| digest.to_string()),
        loader: build.loader.as_ref().map(ToString::to_string),
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

fn host_packages(spec: &Spec) -> Vec<&'static str> {
    let docker = spec.host.os.docker_packages();
    // Docker's builder runs the host's git for a source given as a repository.
    let git: &[_] = if matches!(spec.image.origin, ImageOrigin::Source { .. }) { &["git"] } else { &[] };
    let names: &[_] = match spec.gateway.network.egress.value {
        Egress::Listed => &["dnsmasq-base", "ipset"],
        Egress::All => &[],
    };
    let mut packages =
        [docker, git, names, &["apparmor", "ca-certificates", "curl", "iptables", "unattended-upgrades"]]
            .concat();
    packages.sort_unstable();
    packages
}
