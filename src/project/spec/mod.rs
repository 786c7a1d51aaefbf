//! The spec, `bake.yaml`: what the user wants of the gateway, its VM and its secrets.

mod check;
mod model;
pub mod raw;
mod rules;
mod secrecy;

use std::sync::Arc;

use super::host_os::HostOs;
use super::names::{
    AptPackage, AuthChoice, Channel, CommitId, EnvName, GitUrl, LabelId, MachineType, ModelName, ModelUrl,
    ProjectId, Provider, SecretId, ServiceAccount, VmName, Zone,
};
use super::values::{Arch, EnvValue, ImageRef, InnerPath, ModelApi, Size, Strategy, TimeZone};
use crate::diagnostics::{Problems, Source, Spanned};
use crate::yaml;

/// The port on which the gateway listens inside its container.
pub const CONTAINER_PORT: u16 = 18789;

/// How long OpenClaw may take to stop: it finishes the reply that it is giving (`gateway-shutdown-budget.mjs`
/// in its package).
pub const STOP_GRACE_SECONDS: u32 = 330;

/// The secret without which the gateway has no password of its own.
pub const GATEWAY_TOKEN: &str = "OPENCLAW_GATEWAY_TOKEN";

/// A spec in which every value is there and stands for itself; rules between values hold too.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The VM's name.
    pub name: Spanned<VmName>,
    /// The project's id in labels of what bake makes.
    pub id: Option<Spanned<LabelId>>,
    /// The gateway in its container.
    pub gateway: Gateway,
    /// The image it runs from.
    pub image: ImageSpec,
    /// The VM's operating system.
    pub host: Host,
    /// The VM on Compute Engine.
    pub gcp: Gcp,
    /// The secrets, in the order of the file.
    pub secrets: Vec<(Spanned<EnvName>, SecretSource)>,
}

/// The gateway in its container.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// The base image.
    pub image: Spanned<ImageRef>,
    /// The port on the VM's loopback interface.
    pub port: Spanned<u16>,
    /// The container's time zone.
    pub timezone: Spanned<TimeZone>,
    /// Plain settings, in the order of the file.
    pub env: Vec<(Spanned<EnvName>, Spanned<EnvValue>)>,
    /// What onboarding is told about authentication: the provider's choice, where `model` names one.
    pub auth_choice: Spanned<AuthChoice>,
    /// The model.
    pub model: Model,
    /// Channels to add.
    pub channels: Vec<Spanned<Channel>>,
}

/// The model that the agents talk to.
#[derive(Clone, Debug)]
pub enum Model {
    /// OpenClaw's choice, or the usual one of the auth choice.
    Default,
    /// A model of a provider that OpenClaw knows.
    Named {
        /// The provider.
        provider: Provider,
        /// The model, by the provider's name for it.
        name: Spanned<ModelName>,
    },
    /// A model of a server with its address.
    Served {
        /// The address.
        base_url: Spanned<ModelUrl>,
        /// What it speaks.
        api: ModelApi,
        /// The model, by the server's name for it.
        name: Spanned<ModelName>,
        /// The secret that holds the key.
        key: Option<Spanned<EnvName>>,
    },
}

/// The image the gateway runs from.
#[derive(Clone, Debug)]
pub struct ImageSpec {
    /// Where it comes from, with what that needs.
    pub origin: ImageOrigin,
    /// Debian packages to add.
    pub apt: Vec<Spanned<AptPackage>>,
    /// The manifest's path below the project folder.
    pub binaries: Spanned<InnerPath>,
}

/// Where the gateway's image comes from.
#[derive(Clone, Debug)]
pub enum ImageOrigin {
    /// Built on the VM, on top of the official image.
    BuildOnVm,
    /// A finished image. Without a digest, the lock has that of the last push.
    Registry(Spanned<ImageRef>),
    /// Built on the VM, on top of OpenClaw built there too.
    Source {
        /// The git repository.
        repo: Spanned<GitUrl>,
        /// The commit.
        commit: Spanned<CommitId>,
    },
}

impl ImageOrigin {
    /// The strategy's name.
    pub const fn strategy(&self) -> Strategy {
        match self {
            Self::BuildOnVm => Strategy::BuildOnVm,
            Self::Registry(_) => Strategy::Registry,
            Self::Source { .. } => Strategy::Source,
        }
    }
}

/// The VM's operating system.
#[derive(Clone, Debug)]
pub struct Host {
    /// The operating system.
    pub os: Spanned<HostOs>,
    /// The processor architecture.
    pub arch: Spanned<Arch>,
    /// The swap file.
    pub swap: Spanned<Size>,
}

/// The VM on Compute Engine.
#[derive(Clone, Debug)]
pub struct Gcp {
    /// The project, where it is not gcloud's own setting.
    pub project: Option<Spanned<ProjectId>>,
    /// The zone.
    pub zone: Spanned<Zone>,
    /// The machine type.
    pub machine_type: Spanned<MachineType>,
    /// The boot disk's size.
    pub boot_disk: Spanned<Size>,
    /// The data disk's size; zero for none.
    pub data_disk: Spanned<Size>,
    /// Whether the VM has a public address.
    pub public_ip: Spanned<bool>,
    /// The VM's service account.
    pub service_account: Spanned<ServiceAccount>,
    /// How many days snapshots of the data disk are kept; none where there are no snapshots.
    pub snapshot_days: Option<Spanned<u16>>,
}

impl Gcp {
    /// Boot disk and data disk together.
    pub fn disks(&self) -> Size {
        Size::gigabytes(self.boot_disk.gb() + self.data_disk.gb())
    }
}

/// Where a secret's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Made on the VM at first boot, kept on the data disk.
    Generated,
    /// Read from Secret Manager at every start.
    SecretManager {
        /// Its id there.
        id: SecretId,
        /// Whether its first value is to be made up when it is created.
        generate: bool,
    },
}

/// Reads a spec; everything that stands against it goes to `problems`.
///
/// Returns nothing where the text could not be read at all. A spec that is returned beside errors
/// has defaults in the places of the wrong values, and is good for finding more problems only.
pub fn read(mut source: Source, problems: &mut Problems) -> Option<Spec> {
    let (node, declared, source) = match yaml::parse(&source) {
        Ok(mut node) => {
            source.hide(secrecy::values(&node, source.text()));
            let source = Arc::new(source);
            let declared = secrecy::declared(&node);
            secrecy::refuse_literals(&mut node, &source, problems);
            (node, declared, source)
        }
        Err(unreadable) => {
            source.hide(secrecy::suspects(source.text()));
            problems.push(unreadable.at(Arc::new(source)));
            return None;
        }
    };
    check::spec(&node, &declared, &source, problems)
}
