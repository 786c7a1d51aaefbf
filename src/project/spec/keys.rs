//! Every key of `bake.yaml`: its type, its default, and how it is checked, in one row.
//!
//! The reader, the checked spec, the JSON Schema (`bake schema spec`) and `docs/bake-yaml.md` follow
//! from the rows; the doc comments are the descriptions that editors show.

use schemars::JsonSchema;
use serde::Deserialize;

use super::check::Checker;
use super::raw::{RawModel, RawSecret, RawSnapshots, RawSource, json};
use super::rules::SMALLEST_BOOT_DISK;
use super::{ImageOrigin, Model, SecretSource};
use crate::diagnostics::Spanned;
use crate::project::host_os::HostOs;
use crate::project::names::{
    AptPackage, AuthChoice, Channel, ClockTime, EnvName, LabelId, LabelKey, LabelValue, MachineType,
    NetworkName, ProjectId, ServiceAccount, SubnetName, VmName, Zone,
};
use crate::project::values::{
    Arch, BootImage, Destination, Egress, EnvValue, ImageRef, InnerPath, Size, Strategy, TimeZone,
};
use crate::yaml::decode::{Entries, Field};

/// `keys! { section RAW => CHECKED, METHOD(check) { ROWS } }`: the section as it is written, and as it is
/// checked by `Checker::METHOD`. A row is
///
/// ```text
/// KEY: TYPE => CHECKED TYPE = "DEFAULT, in YAML", METHOD OF CHECKER(ARGUMENTS);
/// ```
///
/// Keys that are checked together are in a separate block without the second half, followed by their result.
macro_rules! keys {
    ($(
        $(#[$meta:meta])*
        section $raw:ident => $checked:ident, $method:ident($check:ident) {
            $($(#[$attr:meta])+ $key:ident: $type:ty => $value:ty = $default:literal, $how:ident($($argument:expr),*);)*
        }
        $(together {
            $($(#[$both_attr:meta])+ $both:ident: $both_type:ty = $both_default:literal;)*
            $(let $pattern:pat = $computed:expr;)*
        } into {
            $($field:ident: $field_type:ty = $field_value:expr;)*
        })?
    )*) => {$(
        #[derive(Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        $(#[$meta])*
        pub struct $raw {
            $($($(#[$both_attr])+ #[schemars(extend("default" = json($both_default)))] pub $both: Field<$both_type>,)*)?
            $($(#[$attr])+ #[schemars(extend("default" = json($default)))] pub $key: Field<$type>,)*
        }

        /// The same, with every value in place.
        #[derive(Clone, Debug)]
        pub struct $checked {
            $(pub $key: $value,)*
            $($(pub $field: $field_type,)*)?
        }

        impl Checker<'_> {
            pub(super) fn $method(&mut self, section: Field<$raw>, _default: &str) -> $checked {
                let $raw { $($key,)* $($($both,)*)? } = section.get().unwrap_or_default();
                let $check = self;
                $($(let $pattern = $computed;)*)?
                $(let $key = $check.$how($key, $default $(, $argument)*);)*
                $checked { $($key,)* $($($field: $field_value,)*)? }
            }
        }
    )*};
}

keys! {
    /// Describes a gateway, its VM, and where its secrets come from. Every key has a default.
    #[schemars(title = "bake.yaml")]
    section RawSpec => Spec, spec(check) {
        /// The VM's name. The image, the label and the data disk are named after it.
        name: VmName => Spanned<VmName> = "openclaw-gateway", value();
        /// The id of the project, a label on every resource that bake creates; `bake init` writes a random one.
        id: Option<LabelId> => Option<Spanned<LabelId>> = "null", optional();
        /// The VMs of a fleet, in place of the one called `name`; each has its own data disk. Empty for one VM.
        fleet: Vec<Field<VmName>> => Vec<Spanned<VmName>> = "[]", list(VmName::as_str);
        /// The gateway in its container.
        gateway: RawGateway => Gateway = "{}", gateway();
        /// The image that the gateway runs from.
        image: RawImage => ImageSpec = "{}", image();
        /// The VM's operating system.
        host: RawHost => Host = "{}", host();
        /// The VM on Compute Engine.
        gcp: RawGcp => Gcp = "{}", gcp();
        /// Environment variables with secret values, and where each value comes from.
        secrets: Entries<EnvName, RawSecret> => Vec<(Spanned<EnvName>, SecretSource)> =
            "{OPENCLAW_GATEWAY_TOKEN: {generate: hex32}, GOG_KEYRING_PASSWORD: {generate: hex32}}", secrets();
    }
    together {
        /// The version of this format.
        #[schemars(range(min = 1, max = 1))]
        version: u64 = "1";
        let () = check.version(version);
    } into {}

    /// The gateway in its container.
    section RawGateway => Gateway, gateway(check) {
        /// The base image. The lock has its digest.
        image: ImageRef => Spanned<ImageRef> = "ghcr.io/openclaw/openclaw:2026.9.4", base_image();
        /// The gateway's port on the VM's loopback interface.
        #[schemars(range(min = 1, max = 65535))]
        port: u64 => Spanned<u16> = "18789", number(1..=u16::MAX, "a port");
        /// The IANA time zone of the container.
        timezone: TimeZone => Spanned<TimeZone> = "UTC", value();
        /// Plain environment variables. Secrets belong under `secrets`.
        env: Entries<EnvName, EnvValue> => Vec<(Spanned<EnvName>, Spanned<EnvValue>)> = "{}", env();
        /// Channels to set up without a terminal: `discord`, `slack`, `telegram`, `whatsapp`.
        channels: Vec<Field<Channel>> => Vec<Spanned<Channel>> = "[]", list(Channel::as_str);
        /// The network of the container.
        network: RawNetwork => Network = "{}", network();
        /// Whether an updated gateway has to answer a message, or the VM goes back. Needs a model.
        ask_after_update: bool => Spanned<bool> = "false", value();
    }
    together {
        /// The model that the agents use. `null` leaves the choice to OpenClaw.
        model: Option<RawModel> = "null";
        /// The argument of `openclaw onboard --auth-choice`, for choices that `model` does not cover.
        auth_choice: AuthChoice = "skip";
        let (choice, setup) = check.model(model, auth_choice);
    } into {
        auth_choice: Spanned<AuthChoice> = choice;
        model: Model = setup;
    }

    /// The network of the container.
    section RawNetwork => Network, network(check) {
        /// The part of the internet that the container reaches: `all`, or the `listed` hosts only: those of the model's
        /// provider and of the channels, and those in `allow`.
        egress: Egress => Spanned<Egress> = "all", value();
        /// Private addresses that the container may reach: `10.0.0.5:5432`, `10.2.0.0/16`. All others are blocked.
        /// With `egress: listed`, public addresses and names too: `api.example.com` means port 443, and subdomains.
        allow: Vec<Field<Destination>> => Vec<Spanned<Destination>> = "[]", destinations();
    }

    /// The image that the gateway runs from.
    section RawImage => ImageSpec, image(check) {
        /// Debian packages to add to the image.
        apt: Vec<Field<AptPackage>> => Vec<Spanned<AptPackage>> = "[socat]", list(AptPackage::as_str);
        /// The manifest of binaries, below the project folder.
        binaries: InnerPath => Spanned<InnerPath> = "images/binaries.yaml", value();
    }
    together {
        /// The source of the image.
        strategy: Strategy = "build-on-vm";
        /// The finished image, for the strategy `registry`. `bake image push` writes a missing digest into the lock.
        registry: Option<ImageRef> = "null";
        /// OpenClaw's sources, for the strategy `source`.
        source: Option<RawSource> = "null";
        let origin = check.origin(strategy, registry, source);
    } into {
        origin: ImageOrigin = origin;
    }

    /// The VM's operating system.
    section RawHost => Host, host(check) {
        /// The operating system.
        os: HostOs => Spanned<HostOs> = "debian-13", value();
        /// The processor architecture.
        arch: Arch => Spanned<Arch> = "amd64", value();
        /// The OS image of new VMs: docs/os-image.md.
        image: BootImage => Spanned<BootImage> = "auto", value();
        /// The size of the swap file on the boot disk; `0` for none.
        swap: Size => Spanned<Size> = "2GB", swap();
        /// When the VM may restart for an update of its kernel, in UTC: `04:30`. `null`: it only reports the update.
        reboot_at: Option<ClockTime> => Option<Spanned<ClockTime>> = "null", optional();
    }

    /// The VM on Compute Engine.
    section RawGcp => Gcp, gcp(check) {
        /// The project; `null` for gcloud's current one.
        project: Option<ProjectId> => Option<Spanned<ProjectId>> = "null", optional();
        /// The zone.
        zone: Zone => Spanned<Zone> = "us-central1-a", value();
        /// The machine type.
        machine_type: MachineType => Spanned<MachineType> = "e2-small", value();
        /// The size of the boot disk.
        boot_disk: Size => Spanned<Size> = "20GB", disk(SMALLEST_BOOT_DISK, "a boot disk");
        /// The size of the data disk; `0` keeps the state on the boot disk.
        data_disk: Size => Spanned<Size> = "10GB", disk(Size::gigabytes(0), "a data disk");
        /// Whether the VM gets a public address.
        public_ip: bool => Spanned<bool> = "true", value();
        /// The VPC network; of a Shared VPC by its path, `projects/HOST/global/networks/NAME`.
        network: NetworkName => Spanned<NetworkName> = "default", value();
        /// The subnet, by name or path; `null` for the one that an auto mode network has in the region.
        subnet: Option<SubnetName> => Option<Spanned<SubnetName>> = "null", optional();
        /// Additional labels of VM, disks, snapshots and secrets. Keys that begin with `openclaw` or `goog` are taken.
        labels: Entries<LabelKey, LabelValue> => Vec<(Spanned<LabelKey>, Spanned<LabelValue>)> = "{}", labels();
        /// Whether Cloud Logging keeps the log of the serial console.
        serial_logging: bool => Spanned<bool> = "true", value();
        /// The id of the VM's service account.
        service_account: ServiceAccount => Spanned<ServiceAccount> = "openclaw-gateway", value();
    }
    together {
        /// Daily snapshots of the data disk; `null` for none.
        snapshots: Option<RawSnapshots> = "{keep_days: 14}";
        let days = check.snapshot_days(snapshots);
    } into {
        snapshot_days: Option<Spanned<u16>> = days;
    }
}

#[cfg(test)]
mod tests {
    use crate::diagnostics::{Problems, Source, terminal};
    use crate::project::spec;

    #[test]
    fn every_default_is_read_and_right() {
        let mut problems = Problems::default();
        let spec = spec::read(Source::new("bake.yaml", "version: 1\n"), &mut problems).expect("a spec");
        assert!(problems.is_empty(), "{}", terminal::render(&problems, false));
        assert_eq!(spec.gateway.port.value, 18789);
        assert!(spec.secrets.iter().all(|(name, _)| name.place.is_none()) && spec.secrets.len() == 2);
        assert_eq!(spec.image.apt[0].as_str(), "socat");
    }
}
