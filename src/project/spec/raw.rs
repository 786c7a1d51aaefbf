//! `bake.yaml` as it is written: every key optional, every value with its place.
//!
//! The doc comments are the descriptions in the JSON Schema that editors show.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::project::host_os::HostOs;
use crate::project::names::{
    AptPackage, AuthChoice, Channel, CommitId, EnvName, GitUrl, LabelId, MachineType, ModelName, ModelUrl,
    ProjectId, Provider, SecretId, SecretName, ServiceAccount, VmName, Zone,
};
use crate::project::values::{
    Arch, EnvValue, Generate, ImageRef, InnerPath, ModelApi, Size, Strategy, TimeZone,
};
use crate::yaml::decode::{Entries, Field};

/// What a gateway, its VM and its secrets shall be. Every key has a default.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
#[schemars(title = "bake.yaml")]
pub struct RawSpec {
    /// The version of this format: 1.
    #[schemars(range(min = 1, max = 1))]
    pub version: Field<u64>,
    /// The VM's name; image, label and data disk are named after it.
    pub name: Field<VmName>,
    /// The project's id in labels, by which bake knows what it made; `bake init` writes a random one.
    pub id: Field<LabelId>,
    /// The gateway in its container.
    pub gateway: Field<RawGateway>,
    /// The image it runs from.
    pub image: Field<RawImage>,
    /// The VM's operating system.
    pub host: Field<RawHost>,
    /// The VM on Compute Engine.
    pub gcp: Field<RawGcp>,
    /// Environment variables whose values are secret, and where each value comes from.
    pub secrets: Field<Entries<EnvName, RawSecret>>,
}

/// The gateway in its container.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawGateway {
    /// The base image; the lock holds its digest.
    pub image: Field<ImageRef>,
    /// The gateway's port on the VM's loopback interface.
    #[schemars(range(min = 1, max = 65535))]
    pub port: Field<u64>,
    /// The IANA time zone of the container.
    pub timezone: Field<TimeZone>,
    /// Plain environment variables. Secrets stand under `secrets`.
    pub env: Field<Entries<EnvName, EnvValue>>,
    /// The model that the agents talk to; `null` leaves the choice to OpenClaw.
    pub model: Field<Option<RawModel>>,
    /// What `openclaw onboard --auth-choice` is given; `model` is the readable way to say it.
    pub auth_choice: Field<AuthChoice>,
    /// Channels to set up without a terminal: `discord`, `slack`, `telegram`, `whatsapp`.
    pub channels: Field<Vec<Field<Channel>>>,
}

/// The model: of a provider that OpenClaw knows, or of a server with its address.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawModel {
    /// A provider such as `anthropic`, `openai`, `google` or `openrouter`.
    pub provider: Field<Provider>,
    /// The model; without it, the provider's usual one.
    pub name: Field<ModelName>,
    /// The address of a server, where it is none of OpenClaw's providers.
    pub base_url: Field<ModelUrl>,
    /// What the server speaks.
    pub api: Field<ModelApi>,
    /// The secret that holds the server's key; without it, the server asks for none.
    pub key: Field<SecretName>,
}

/// The image the gateway runs from.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawImage {
    /// Where the image comes from.
    pub strategy: Field<Strategy>,
    /// The finished image, for the strategy `registry`; without a digest, `bake image push` writes it into the lock.
    pub registry: Field<Option<ImageRef>>,
    /// The sources, for the strategy `source`.
    pub source: Field<Option<RawSource>>,
    /// Debian packages to add to the image.
    pub apt: Field<Vec<Field<AptPackage>>>,
    /// The manifest of binaries, below the project folder.
    pub binaries: Field<InnerPath>,
}

/// OpenClaw's own sources.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSource {
    /// The git repository.
    pub repo: Field<GitUrl>,
    /// The commit to build.
    pub commit: Field<CommitId>,
}

/// The VM's operating system.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawHost {
    /// The operating system.
    pub os: Field<HostOs>,
    /// The processor architecture.
    pub arch: Field<Arch>,
    /// The swap file on the boot disk; `0` for none.
    pub swap: Field<Size>,
}

/// The VM on Compute Engine.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawGcp {
    /// The project; `null` for the one that gcloud is set to.
    pub project: Field<Option<ProjectId>>,
    /// The zone.
    pub zone: Field<Zone>,
    /// The machine type.
    pub machine_type: Field<MachineType>,
    /// The size of the boot disk.
    pub boot_disk: Field<Size>,
    /// The size of the data disk; `0` keeps the state on the boot disk.
    pub data_disk: Field<Size>,
    /// Whether the VM gets a public address.
    pub public_ip: Field<bool>,
    /// The id of the VM's service account.
    pub service_account: Field<ServiceAccount>,
    /// Daily snapshots of the data disk; `null` for none.
    pub snapshots: Field<Option<RawSnapshots>>,
}

/// Daily snapshots of the data disk.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSnapshots {
    /// Days after which a snapshot is deleted.
    #[schemars(range(min = 1, max = 365))]
    pub keep_days: Field<u64>,
}

/// Where a secret's value comes from: made up, or kept in Secret Manager.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawSecret {
    /// Make a value up.
    pub generate: Field<Generate>,
    /// The secret in Secret Manager that holds the value.
    pub secret_manager: Field<SecretId>,
}
