//! The rules between values of a spec.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model::{choice_problem, unknown};
use super::{GATEWAY_TOKEN, ImageOrigin, Model, SecretSource, Spec};
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Source, Spanned, did_you_mean, quoted};
use crate::project::fleet::LARGEST;
use crate::project::machine::{Machine, beyond_free_tier};
use crate::project::names::{Channel, EnvName};
use crate::project::openclaw::{Choice, Needs, OpenClaw};
use crate::project::values::{Arch, Egress, Size};
use crate::yaml::{Node, Value};

/// Variables that the compose file sets itself, and the one by which the container finds its programs.
pub(super) const OWN_VARIABLES: [&str; 9] = [
    "HOME",
    "NODE_ENV",
    "OPENCLAW_DISABLE_BONJOUR",
    "OPENCLAW_GATEWAY_BIND",
    "OPENCLAW_GATEWAY_PORT",
    "PATH",
    "TERM",
    "TZ",
    "XDG_CONFIG_HOME",
];

/// Compute Engine's images need a boot disk of at least this size.
pub(super) const SMALLEST_BOOT_DISK: Size = Size::gigabytes(10);
/// Persistent disks start at this size ("About Persistent Disk", size limits).
pub(super) const SMALLEST_DATA_DISK: Size = Size::gigabytes(10);
pub(super) const LARGEST_SWAP: Size = Size::gigabytes(64);

/// A source build needs this much memory (OpenClaw's installation documentation).
const SOURCE_BUILD_MIB: u32 = 6 * 1024;
/// The memory of a gateway with a swap file, as on the free tier's machine.
const GATEWAY_MIB: u32 = 1024;
/// The memory of the host, of a gateway with one browser at its Control UI, of each channel, and of Chromium with one
/// page (docs/measured.md). Swap counts, because most of it is idle.
const HOST_MIB: u32 = 400;
const CONTROL_UI_MIB: u32 = 966;
const CHANNEL_MIB: u32 = 117;
const CHROMIUM_MIB: u32 = 371;
/// The boot disk's parts (docs/measured.md): Debian with Docker; an image of the gateway, unpacked and compressed, with
/// three tools; the additional part of the `-browser` variant; a source build's files until they are pruned.
const SYSTEM_DISK_MIB: u32 = 2048;
const IMAGE_MIB: u32 = 1205;
const BROWSER_IMAGE_MIB: u32 = 695;
const SOURCE_BUILD_DISK_MIB: u32 = 1123;
/// At most this part of a disk is the journal (journald.conf(5), `SystemMaxUse`).
const JOURNAL_PART: u32 = 10;
/// An update keeps the images of two releases, and makes a third (`release.py`, `KEPT`).
const IMAGES_OF_AN_UPDATE: u32 = 3;

/// The state after some months, in part assumed (docs/measured.md): OpenClaw's own with its conversations and files, a
/// browser's profile, and a channel's plug-in.
const STATE_MIB: u32 = 1024;
const BROWSER_STATE_MIB: u32 = 500;
const PLUGIN_MIB: u32 = 70;
/// An update copies the state, and keeps the copy of the release before until it has ended (`release.py`, `KEPT`).
const STATES_OF_AN_UPDATE: u32 = 3;
/// `archive.sh` keeps five. Much of a state, such as media, cannot be compressed.
const ARCHIVES: u32 = 5;
/// Bytes that stay free (`release.py`, `SPARE`).
const SPARE_MIB: u32 = 64;
/// ext4's own part of a disk (docs/measured.md).
const FILE_SYSTEM_PART: u32 = 40;

fn state_mib(spec: &Spec) -> u32 {
    let known = OpenClaw::builtin();
    let has_plugin = |channel: &&Spanned<Channel>| {
        known.channel(channel.as_str()).is_none_or(|known| known.plugin.is_some())
    };
    let plugins = spec.gateway.channels.iter().filter(has_plugin).count();
    let plugins = u32::try_from(plugins).unwrap_or(u32::MAX).saturating_mul(PLUGIN_MIB);
    let browser = if has_browser(spec) { BROWSER_STATE_MIB } else { 0 };
    (STATE_MIB + browser).saturating_add(plugins)
}

/// Whether the base image brings Chromium.
fn has_browser(spec: &Spec) -> bool {
    spec.gateway.image.tag().is_some_and(|tag| tag.contains("-browser"))
}

pub(super) struct Rules<'a> {
    /// The spec's `secrets`, where there are some.
    pub(super) section: Option<&'a Node>,
    /// The names of all secrets, those with a wrong value among them.
    pub(super) declared: &'a BTreeSet<String>,
    pub(super) source: &'a Arc<Source>,
    pub(super) problems: &'a mut Problems,
}

impl Rules<'_> {
    /// Adds the contradictions between values.
    pub(super) fn hold(&mut self, spec: &Spec) {
        self.setup_rules(spec);
        self.secret_rules(spec);
        self.machine_rules(spec);
        self.disk_rules(spec);
        self.egress_rules(spec);
        self.network_rules(spec);
        self.fleet_rules(spec);
        self.update_rules(spec);
    }

    fn update_rules(&mut self, spec: &Spec) {
        let gateway = &spec.gateway;
        let has_model = gateway.auth_choice.as_str() != "skip" || !matches!(gateway.model, Model::Default);
        if gateway.ask_after_update.value && !has_model {
            self.problems.push(
                Diagnostic::error(Code::MissingKey, "only a gateway with a model can answer a message")
                    .at(gateway.ask_after_update.place.clone())
                    .help("set `gateway.model`, or leave `ask_after_update` out"),
            );
        }
    }

    fn fleet_rules(&mut self, spec: &Spec) {
        let Some(first) = spec.fleet.first() else { return };
        let mut contradiction = |message: String, place, other, help: &str| {
            let problem = Diagnostic::error(Code::Contradiction, message).at(place);
            self.problems.push(problem.related(other, "the fleet").help(help));
        };
        if spec.fleet.len() > usize::from(LARGEST) {
            contradiction(
                format!("a fleet has at most {LARGEST} members, and this one has {}", spec.fleet.len()),
                first.place.clone(),
                None,
                "write a second project for the others",
            );
        }
        if spec.gcp.data_disk.is_zero() {
            contradiction(
                "each member of a fleet needs a data disk".to_owned(),
                spec.gcp.data_disk.place.clone(),
                first.place.clone(),
                "give `gcp.data_disk` a size",
            );
        }
        if let Some(token) = spec.shared_telegram_token(spec.fleet.len()) {
            contradiction(
                format!("one Telegram bot cannot serve {} gateways", spec.fleet.len()),
                token.place.clone(),
                first.place.clone(),
                "Telegram delivers each message of a bot to one reader only: write a project for each member, with \
                 the token of its own bot",
            );
        }
    }

    fn disk_rules(&mut self, spec: &Spec) {
        self.boot_disk_rule(spec);
        self.data_disk_rule(spec);
        if spec.gcp.data_disk.is_zero()
            && let Some(Spanned { place: place @ Some(_), .. }) = &spec.gcp.snapshot_days
        {
            self.problems.push(
                Diagnostic::error(Code::Contradiction, "snapshots are of the data disk, and there is none")
                    .at(place.clone())
                    .related(spec.gcp.data_disk.place.clone(), "no data disk")
                    .help("set `snapshots: null`, or give the data disk a size"),
            );
        }
    }

    /// An error if the boot disk has no room for a first boot, a warning if it has none for updates.
    fn boot_disk_rule(&mut self, spec: &Spec) {
        let (boot, swap) = (&spec.gcp.boot_disk, &spec.host.swap);
        // An impossible size was reported already.
        if boot.mib() < SMALLEST_BOOT_DISK.mib() || swap.mib() > LARGEST_SWAP.mib() {
            return;
        }
        let image = if has_browser(spec) { IMAGE_MIB + BROWSER_IMAGE_MIB } else { IMAGE_MIB };
        let is_source = matches!(spec.image.origin, ImageOrigin::Source { .. });
        let source = if is_source { SOURCE_BUILD_DISK_MIB } else { 0 };
        let first_boot = SYSTEM_DISK_MIB + image + source + swap.mib();
        // Without a data disk it has the state too.
        let states = if spec.gcp.data_disk.is_zero() {
            state_mib(spec).saturating_mul(STATES_OF_AN_UPDATE)
        } else {
            0
        };
        // The journal grows with the disk.
        let lasting =
            (SYSTEM_DISK_MIB + IMAGES_OF_AN_UPDATE * image + source + swap.mib()).saturating_add(states);
        let needed = lasting.saturating_add(boot.mib() / JOURNAL_PART);
        if boot.mib() >= needed {
            return;
        }
        let (diagnostic, what): (fn(Code, String) -> Diagnostic, _) = if boot.mib() < first_boot {
            (Diagnostic::error, "a first boot")
        } else {
            (Diagnostic::warning, "updates")
        };
        let building = if is_source { format!(", {source} for the source build") } else { String::new() };
        let state =
            if states > 0 { format!(", {states} for the state and its copies") } else { String::new() };
        let parts = format!(
            "{SYSTEM_DISK_MIB} for the system, {} for logs, {image} for each of {IMAGES_OF_AN_UPDATE} images during an update{building}{state}",
            boot.mib() / JOURNAL_PART
        );
        let larger =
            Size::gigabytes(lasting.saturating_mul(JOURNAL_PART).div_ceil(JOURNAL_PART - 1).div_ceil(1024));
        let machine = Machine::new(&spec.gcp.machine_type);
        self.problems.push(
            diagnostic(
                Code::DiskTooSmall,
                format!(
                    "a boot disk of {} GB has no room for {what}: with updates the VM takes some {needed} MB: {parts}, and {} for the swap file",
                    boot.gb(),
                    swap.mib()
                ),
            )
            .at(boot.place.clone().or(swap.place.clone()))
            .help(format!("choose `gcp.boot_disk: {larger}` ({}), or a smaller `host.swap`", machine.disk_costs(larger))),
        );
    }

    /// Warns if the data disk has no room for an update and the archives.
    fn data_disk_rule(&mut self, spec: &Spec) {
        let disk = &spec.gcp.data_disk;
        // An impossible size was reported already.
        if disk.mib() < SMALLEST_DATA_DISK.mib() {
            return;
        }
        let state = state_mib(spec);
        let states = u64::from(STATES_OF_AN_UPDATE + ARCHIVES);
        let needed = u64::from(state) * states + u64::from(SPARE_MIB);
        if u64::from(disk.mib() - disk.mib() / FILE_SYSTEM_PART) >= needed {
            return;
        }
        let part = u64::from(FILE_SYSTEM_PART);
        let larger = (needed * part).div_ceil(part - 1).div_ceil(1024);
        let larger = Size::gigabytes(u32::try_from(larger).unwrap_or(u32::MAX));
        let machine = Machine::new(&spec.gcp.machine_type);
        self.problems.push(
            Diagnostic::warning(
                Code::DiskTooSmall,
                format!(
                    "a data disk of {} GB may have no room for updates: it takes some {needed} MB: {state} for each of \
                     {STATES_OF_AN_UPDATE} states during an update and {ARCHIVES} archives, and {SPARE_MIB} that stay free",
                    disk.gb()
                ),
            )
            .at(disk.place.clone().or(spec.gateway.image.place.clone()))
            .help(format!("choose `gcp.data_disk: {larger}` ({})", machine.disk_costs(larger))),
        );
    }

    /// Warns if `memory` and swap are too little for the spec.
    fn memory_rule(&mut self, spec: &Spec, memory: u32) {
        let channels = u32::try_from(spec.gateway.channels.len()).unwrap_or(u32::MAX);
        let browser = if has_browser(spec) { CHROMIUM_MIB } else { 0 };
        let needed =
            (HOST_MIB + CONTROL_UI_MIB + browser).saturating_add(channels.saturating_mul(CHANNEL_MIB));
        let swap = spec.host.swap.mib();
        if memory.saturating_add(swap) >= needed {
            return;
        }
        let machine_type = &spec.gcp.machine_type;
        let larger = Machine::new(machine_type).with_memory(needed);
        let larger = larger.unwrap_or_else(|| "a larger machine type".to_owned());
        let message = format!(
            "{} has {memory} MB of memory and {swap} MB of swap, and this gateway takes some {needed} MB: {HOST_MIB} for \
             the host, {CONTROL_UI_MIB} for OpenClaw, {} for its channels and {browser} for Chromium",
            machine_type.value,
            needed - HOST_MIB - CONTROL_UI_MIB - browser,
        );
        self.problems.push(
            Diagnostic::warning(Code::MachineTooSmall, message)
                .at(machine_type.place.clone().or(spec.host.swap.place.clone()))
                .help(format!("choose {larger}, or a larger `host.swap`, which is slower")),
        );
    }

    fn egress_rules(&mut self, spec: &Spec) {
        let network = &spec.gateway.network;
        if network.egress.value == Egress::All {
            for allowed in network.allow.iter().filter(|allowed| allowed.name().is_some()) {
                self.problems.push(
                    Diagnostic::warning(
                        Code::Contradiction,
                        format!("the name {} has no effect with `egress: all`", quoted(allowed.as_str())),
                    )
                    .at(allowed.place.clone())
                    .help("write the private address that it has, or `egress: listed`, which blocks all other names"),
                );
            }
            return;
        }
        let known = OpenClaw::builtin();
        let provider = known.choice(spec.gateway.auth_choice.as_str()).map(|choice| &choice.provider);
        let provider = provider.filter(|provider| known.hosts(provider).is_empty());
        let without_hosts = |channel: &&Spanned<Channel>| {
            known.channel(channel.as_str()).is_none_or(|known| known.hosts.is_empty())
        };
        let channels = spec.gateway.channels.iter().filter(without_hosts).map(|channel| channel.as_str());
        for unknown in provider.map(String::as_str).into_iter().chain(channels) {
            self.problems.push(
                Diagnostic::warning(
                    Code::UnknownHosts,
                    format!("bake does not know the hosts of {}", quoted(unknown)),
                )
                .at(network.egress.place.clone())
                .help("add their names to `gateway.network.allow`; all others are blocked"),
            );
        }
    }

    fn network_rules(&mut self, spec: &Spec) {
        if !spec.gcp.public_ip.value {
            self.problems.push(
                Diagnostic::warning(
                    Code::NoInternet,
                    "without a public address the VM reaches the internet through Cloud NAT alone",
                )
                .at(spec.gcp.public_ip.place.clone())
                .help("`bake gcloud setup` makes one; without it nothing can be installed"),
            );
        }
        let Some(subnet) = &spec.gcp.subnet else { return };
        let (network, zone) = (&spec.gcp.network, &spec.gcp.zone);
        if let Some(region) = subnet.region().filter(|region| *region != zone.region()) {
            self.problems.push(
                Diagnostic::error(
                    Code::Contradiction,
                    format!("the subnet is in {region}, and the VM in {}", zone.value),
                )
                .at(subnet.place.clone())
                .related(zone.place.clone(), "the zone")
                .help(format!("choose a subnet of the region {}, or another zone", zone.region())),
            );
        }
        let own = spec.gcp.project.as_ref().map(|project| project.as_str());
        if subnet.host().or(own) != network.host().or(own) {
            let path = |host: &str| format!("write `network: projects/{host}/global/networks/NAME`");
            self.problems.push(
                Diagnostic::error(Code::Contradiction, "network and subnet are of different projects")
                    .at(subnet.place.clone())
                    .related(network.place.clone(), "the network")
                    .help(subnet.host().map_or_else(|| "write the subnet's path too".to_owned(), path)),
            );
        }
    }

    /// Whether there is, or may be, a secret of that name.
    fn has(&self, spec: &Spec, wanted: &str) -> bool {
        let unreadable = self.section.is_some_and(|section| !matches!(section.value, Value::Map(_)));
        unreadable
            || self.declared.contains(wanted)
            || spec.secrets.iter().any(|(name, _)| name.as_str() == wanted)
    }

    /// Checks that OpenClaw's choices exist and have their secrets.
    fn setup_rules(&mut self, spec: &Spec) {
        let known = OpenClaw::builtin();
        let certain =
            known.covers(&spec.gateway.image) && !matches!(spec.image.origin, ImageOrigin::Source { .. });
        // A secret with a name that nothing knows may be a needed one, misspelt.
        let spare: Vec<_> = spec
            .secrets
            .iter()
            .filter(|(name, source)| *source != SecretSource::Generated && !known.asks_for(name))
            .map(|(name, _)| name)
            .collect();
        let (mut missing, mut refused) = (Vec::new(), Vec::new());
        let mut need = |wanted: &[&str], why: String, place| {
            if wanted.iter().any(|wanted| self.has(spec, wanted)) {
                return;
            }
            let [first, others @ ..] = wanted else { return };
            let meant = did_you_mean(first, spare.iter().map(|name| name.as_str()));
            let meant = meant.and_then(|meant| spare.iter().find(|name| name.as_str() == meant));
            let help = match meant {
                Some(meant) => format!("if `{}` is meant for it, rename it to `{first}`", meant.as_str()),
                None => format!("under `secrets`, write `{first}: {{secret_manager: ID}}`"),
            };
            let or = others.iter().map(|other| format!(" or `{other}`")).collect::<String>();
            let mut problem =
                Diagnostic::error(Code::MissingKey, format!("{why} needs the secret `{first}`{or}"))
                    .at(place)
                    .help(help);
            if let Some(meant) = meant {
                problem = problem.related(meant.place.clone(), "a secret that nothing asks for");
            }
            missing.push(problem);
        };
        match choice_problem(&spec.gateway.auth_choice, known, certain) {
            Ok(Some(Choice { needs: Needs::Key(keys), provider, .. })) => {
                let keys: Vec<_> = keys.iter().map(EnvName::as_str).collect();
                need(
                    &keys,
                    format!("the model provider `{provider}`"),
                    spec.gateway.auth_choice.place.clone(),
                );
            }
            Ok(_) => {}
            Err(problem) => refused.push(problem),
        }
        if let Model::Served { key: Some(key), .. } = &spec.gateway.model {
            need(&[key.as_str()], "the model's server".to_owned(), key.place.clone());
        }
        for channel in &spec.gateway.channels {
            let Some(found) = known.channel(channel.as_str()) else {
                let close =
                    did_you_mean(channel.as_str(), known.channels.iter().map(|known| known.name.as_str()));
                let hint = close.map(|meant| format!("did you mean `{meant}`? ")).unwrap_or_default();
                refused.push(
                    unknown("channel", channel.as_str(), certain)
                        .at(channel.place.clone())
                        .help(format!("{hint}docs/gateway.md lists them")),
                );
                continue;
            };
            if found.by_hand {
                refused.push(
                    Diagnostic::error(
                        Code::NeedsTerminal,
                        format!("the channel `{}` takes a person to set it up", found.name),
                    )
                    .at(channel.place.clone())
                    .help(format!(
                        "leave it out, and run `bake gcloud cli -- channels add --channel {}` once the gateway is ready",
                        found.name
                    )),
                );
            }
            for secret in &found.secrets {
                need(&[secret.as_str()], format!("the channel `{}`", found.name), channel.place.clone());
            }
        }
        for problem in missing.into_iter().chain(refused) {
            self.problems.push(problem);
        }
    }

    fn secret_rules(&mut self, spec: &Spec) {
        let section = self.section;
        if !self.has(spec, GATEWAY_TOKEN) {
            self.problems.push(
                Diagnostic::error(Code::MissingKey, format!("`{GATEWAY_TOKEN}` is not among the secrets"))
                    .at(section.map(|section| Location { source: Arc::clone(self.source), span: section.span.clone() }))
                    .help(format!("under `secrets`, write `{GATEWAY_TOKEN}: {{generate: hex32}}`: it is the gateway's password")),
            );
        }
        let settings: BTreeMap<_, _> =
            spec.gateway.env.iter().map(|(name, _)| (name.as_str(), name)).collect();
        for (name, _) in &spec.secrets {
            if let Some(env) = settings.get(name.as_str()) {
                self.problems.push(
                    Diagnostic::error(
                        Code::Duplicate,
                        format!("{} is a setting and a secret", quoted(name.as_str())),
                    )
                    .at(env.place.clone())
                    .related(name.place.clone(), "the secret")
                    .help("keep one of the two"),
                );
            }
            if OWN_VARIABLES.contains(&name.as_str()) {
                self.problems.push(
                    Diagnostic::error(
                        Code::ReservedName,
                        format!("{} is set by bake itself", quoted(name.as_str())),
                    )
                    .at(name.place.clone())
                    .help("choose another name"),
                );
            }
        }
    }

    fn machine_rules(&mut self, spec: &Spec) {
        let machine_type = &spec.gcp.machine_type;
        let machine = Machine::new(machine_type);
        if let Some(arch) = machine.arch().filter(|arch| *arch != spec.host.arch.value) {
            self.problems.push(
                Diagnostic::error(
                    Code::ArchMismatch,
                    format!(
                        "{} is an {arch} machine, and the host's architecture is {}",
                        machine_type.value, spec.host.arch.value
                    ),
                )
                .at(machine_type.place.clone().or(spec.host.arch.place.clone()))
                .help(match spec.host.arch.value {
                    Arch::Arm64 => {
                        "choose a machine type such as `t2a-standard-1` or `c4a-standard-1`, or `arch: amd64`"
                    }
                    Arch::Amd64 => "choose a machine type such as `e2-small`, or `arch: arm64`",
                }),
            );
        }
        match (machine.memory_mib(), &spec.image.origin) {
            (None, _) => self.problems.push(
                Diagnostic::warning(
                    Code::UnknownMachine,
                    format!("the memory of {} is not known here, so it was not checked", machine_type.value),
                )
                .at(machine_type.place.clone())
                .help("a gateway wants 2 GB, a source build 6 GB"),
            ),
            (Some(memory), ImageOrigin::Source { commit, .. }) if memory < SOURCE_BUILD_MIB => {
                self.problems.push(
                    Diagnostic::error(
                        Code::MachineTooSmall,
                        format!(
                            "{} has {memory} MB of memory, and a source build needs {SOURCE_BUILD_MIB}",
                            machine_type.value
                        ),
                    )
                    .at(machine_type.place.clone().or(commit.place.clone()))
                    .help(format!(
                        "choose {}, or `strategy: build-on-vm`, which starts from the official image",
                        machine
                            .with_memory(SOURCE_BUILD_MIB)
                            .unwrap_or_else(|| "a larger machine type".to_owned())
                    )),
                );
            }
            (Some(memory), ImageOrigin::BuildOnVm | ImageOrigin::Registry(_)) if memory < GATEWAY_MIB => {
                self.problems.push(
                    Diagnostic::warning(
                        Code::MachineTooSmall,
                        format!("{} has {memory} MB of memory, and a gateway wants 2 GB", machine_type.value),
                    )
                    .at(machine_type.place.clone())
                    .help("choose `e2-small` (2 GB), or `e2-micro` (1 GB, slow, within the free tier)"),
                );
            }
            (Some(memory), _) => self.memory_rule(spec, memory),
        }
        if let Some(why) =
            machine.is_free_type().then(|| beyond_free_tier(&spec.gcp.zone, spec.gcp.disks())).flatten()
        {
            self.problems
                .push(Diagnostic::warning(Code::FreeTier, why).at(spec.gcp.machine_type.place.clone()));
        }
    }
}
