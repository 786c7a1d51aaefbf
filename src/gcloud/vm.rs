//! Commands about a VM that several actions share.

use std::fmt::Write;

use super::metadata::{REQUEST, VmMetadata};
use super::script::{Name, ScriptCommand, Step, Word};
use super::shell;
use super::target::Target;
use crate::digest::Sha256;
use crate::project::machine::{self, Machine};
use crate::project::names::VmName;
use crate::project::spec::ImageOrigin;

/// Digits of a digest in a label, which holds 63 characters at most.
pub(super) const LABEL_DIGITS: usize = 16;

/// The label with the id of a project.
pub(super) const ID_LABEL: &str = "openclaw-id";

/// A gateway's VM: the one of the spec, or one of a fleet.
#[derive(Clone, Copy)]
pub(super) struct Vm<'a> {
    pub(super) target: Target<'a>,
    pub(super) name: &'a VmName,
}

impl<'a> Vm<'a> {
    /// The VM of the spec.
    pub(super) fn of(target: Target<'a>) -> Self {
        Self::one(target, None)
    }

    /// This member of a fleet, or else the VM of the spec.
    pub(super) fn one(target: Target<'a>, member: Option<&'a VmName>) -> Self {
        Self { target, name: member.unwrap_or(&target.spec.name.value) }
    }

    pub(super) fn zone(self) -> &'a str {
        self.target.spec.gcp.zone.as_str()
    }

    pub(super) fn region(self) -> &'a str {
        self.target.spec.gcp.zone.region()
    }

    pub(super) fn has_data_disk(self) -> bool {
        !self.target.spec.gcp.data_disk.is_zero()
    }

    /// As the data disk is called inside the VM, where every VM of a fleet knows it by the same name.
    pub(super) fn device(self) -> String {
        self.target.spec.name.data_disk()
    }

    /// Prints the VM's name where it is there and `filter` holds.
    pub(super) fn listed(self, filter: &str) -> ScriptCommand {
        let name = named(self.name.as_str());
        let filter = if filter.is_empty() { name } else { format!("{name} AND {filter}") };
        self.list("compute instances list", filter.into())
    }

    /// Lists names in the VM's zone.
    pub(super) fn list(self, words: &str, filter: Word) -> ScriptCommand {
        ScriptCommand::gcloud(words)
            .in_project()
            .flag("zones", self.zone())
            .flag_word("filter", filter)
            .flag("format", "value(name)")
    }

    /// A filter for resources with this project's labels.
    pub(super) fn is_labelled(self) -> String {
        match &self.target.spec.id {
            Some(id) => format!("labels.{ID_LABEL} ~ \"^{}$\"", id.value),
            None => format!("labels.openclaw ~ \"^{}$\"", self.name),
        }
    }

    /// Holds for this gateway's data disks: that of its name, and any that was restored since. They are
    /// patterns, since gcloud takes `gateway-2` for `=gateway` (`gcloud topic filters`).
    pub(super) fn is_its_disk(self) -> String {
        let own = named(&self.name.data_disk());
        self.disks_labelled(self.name.as_str(), self.target.adopt.then_some(own))
    }

    /// Holds for the data disks of these members, and for what `or` says.
    pub(super) fn is_disk_of(self, members: &[VmName], or: &str) -> String {
        let names: Vec<_> = members.iter().map(VmName::as_str).collect();
        self.disks_labelled(&format!("({})", names.join("|")), Some(or.to_owned()))
    }

    fn disks_labelled(self, names: &str, or: Option<String>) -> String {
        let mut terms = vec![format!("labels.openclaw ~ \"^{names}$\"")];
        if self.target.spec.id.is_some() {
            terms.push(self.is_labelled());
        }
        if let Some(or) = or {
            // gcloud takes no conjunction inside of a disjunction.
            terms = terms.into_iter().map(|term| format!("({term} OR {or})")).collect();
        }
        terms.join(" AND ")
    }

    /// Prints the data disk in use: of several, the newest, which was restored.
    pub(super) fn data_in_use(self) -> ScriptCommand {
        self.list("compute disks list", self.is_its_disk().into())
            .flag("sort-by", "~creationTimestamp")
            .flag("limit", 1)
    }

    /// Ends the script where there is no data disk; [`Name::Data`] is its name from here on.
    pub(super) fn data_must_be_there(self) -> Step {
        Step::need(
            "The data disk in use: of several, the newest, which was restored.",
            self.data_in_use(),
            [format!("{} has no data disk in {}.", self.name, self.zone()).into()],
        )
        .learns(Name::Data, "")
    }

    /// Prints the VM's name if it exists and was created from this bundle.
    pub(super) fn listed_as_is(self, metadata: &VmMetadata) -> ScriptCommand {
        self.listed(&format!("labels.openclaw-bundle={}", self.bundle(metadata)))
    }

    /// The labels of new resources: those by which this project's are known, and those of the spec.
    pub(super) fn labels(self) -> String {
        format!("{}{}", self.identity(), self.more_labels())
    }

    /// The labels of the spec, each after a comma.
    pub(super) fn more_labels(self) -> String {
        let labels = self.target.spec.gcp.labels.iter();
        labels.fold(String::new(), |mut text, (key, value)| {
            let _ = write!(text, ",{}={}", key.value, value.value);
            text
        })
    }

    /// The labels by which this project's resources are known.
    pub(super) fn identity(self) -> String {
        let mut labels = format!("openclaw={}", self.name);
        if let Some(id) = &self.target.spec.id {
            let _ = write!(labels, ",{ID_LABEL}={}", id.value);
        }
        labels
    }

    /// The description of resources that take no labels.
    pub(super) fn description(self) -> String {
        format!("OpenClaw, made by bake for {}", self.identity())
    }

    /// Holds for a resource with this project's description.
    pub(super) fn is_described(self) -> String {
        format!("description ~ \"^{}$\"", self.description())
    }

    /// All flags that make the VM what it is, but its labels. It is the same VM from a baked image.
    fn flags(self, metadata: &VmMetadata) -> ScriptCommand {
        let (values, files) = metadata.flags();
        self.flags_with(self.stock_image(), values, files)
    }

    /// The same, with this image and this metadata.
    fn flags_with(self, image: [Word; 2], values: String, files: String) -> ScriptCommand {
        let spec = self.target.spec;
        let gcp = &spec.gcp;
        let command = ScriptCommand(Vec::new())
            .flag("machine-type", &gcp.machine_type.value)
            .args(image)
            .flag("boot-disk-size", format!("{}GB", gcp.boot_disk.gb()))
            .flag("boot-disk-type", Machine::new(&gcp.machine_type).disk_type())
            .flag("metadata", values)
            .flag("metadata-from-file", files)
            .flag_word("service-account", account(gcp.service_account.as_str()))
            .flag("scopes", "cloud-platform")
            .args(["--shielded-secure-boot", "--shielded-vtpm", "--shielded-integrity-monitoring"])
            .flag("tags", spec.name.as_str())
            .args(self.network_flags());
        if gcp.public_ip.value { command } else { command.arg("--no-address") }
    }

    /// The digest of everything that the VM is created from.
    pub(super) fn bundle(self, metadata: &VmMetadata) -> String {
        let flags = shell::line(&self.flags(metadata));
        Sha256::of(format!("{flags}\n{}\n", metadata.contents)).short(LABEL_DIGITS)
    }

    /// The digest of the settings that only a new VM gets: neither metadata nor what another action changes.
    pub(super) fn build(self) -> String {
        let spec = self.target.spec;
        let command = ScriptCommand(Vec::new())
            .args(self.stock_image())
            .flag("boot-disk-size", format!("{}GB", spec.gcp.boot_disk.gb()))
            .flag("tags", spec.name.as_str())
            .args(self.network_flags());
        let public = spec.gcp.public_ip.value;
        Sha256::of(format!("{}\n{public}\n", shell::line(&command))).short(LABEL_DIGITS)
    }

    /// The labels that name the VM's bundle, lock and versions.
    pub(super) fn bundle_labels(self, metadata: &VmMetadata) -> String {
        let lock = self.target.lock.map(|lock| format!("openclaw-lock={},", lock.short(LABEL_DIGITS)));
        format!(
            "{}openclaw-bundle={},{}",
            lock.unwrap_or_default(),
            self.bundle(metadata),
            self.version_labels()
        )
    }

    /// The labels with the versions of OpenClaw and bake.
    pub(super) fn version_labels(self) -> String {
        format!("openclaw-version={},openclaw-bake={}", self.openclaw_version(), bake_version())
    }

    /// OpenClaw's version in the spec, as a label has it: the tag of the image, or the commit.
    pub(super) fn openclaw_version(self) -> String {
        let spec = self.target.spec;
        label_value(match &spec.image.origin {
            ImageOrigin::Source { commit, .. } => commit.as_str(),
            ImageOrigin::Registry(image) => image.tag().unwrap_or("by-digest"),
            ImageOrigin::BuildOnVm => spec.gateway.image.tag().unwrap_or("by-digest"),
        })
    }

    /// Flags and labels of the VM, in the order in which they read best.
    pub(super) fn made_with(self, metadata: &VmMetadata) -> Vec<Word> {
        let (values, files) = metadata.flags();
        self.flags_with(self.boot_image(), values, files).arg(self.labels_flag(metadata)).0
    }

    /// The same for a template: a VM that the group refreshes sees by the request that the bundle is new.
    pub(super) fn templated(self, metadata: &VmMetadata) -> Vec<Word> {
        let (values, files) = metadata.flags();
        let request = self.update_request(metadata);
        let values = format!("{values},{REQUEST}={request}");
        self.flags_with(Self::template_image(), values, files).arg(self.labels_flag(metadata)).0
    }

    /// The request for an update to this bundle.
    pub(super) fn update_request(self, metadata: &VmMetadata) -> String {
        format!("update={}", self.bundle(metadata))
    }

    fn labels_flag(self, metadata: &VmMetadata) -> String {
        format!("--labels={},{},openclaw-build={}", self.labels(), self.bundle_labels(metadata), self.build())
    }

    /// Makes the snapshot schedule where the spec wants one, and has it keep snapshots as long as that says.
    pub(super) fn snapshot_schedule(self) -> Vec<Step> {
        let Some(days) = self.target.spec.gcp.snapshot_days.as_ref().filter(|_| self.has_data_disk()) else {
            return Vec::new();
        };
        let (days, schedule) = (days.value, self.target.spec.name.snapshot_schedule());
        let region = self.region();
        let there = |filter: &str| {
            ScriptCommand::gcloud("compute resource-policies list")
                .in_project()
                .flag("filter", format!("{} AND region:{region}{filter}", named(&schedule)))
                .flag("format", "value(name)")
        };
        let make = ScriptCommand::gcloud("compute resource-policies create snapshot-schedule")
            .arg(schedule.clone())
            .in_project()
            .flag("region", region)
            .arg("--daily-schedule")
            .flag("start-time", "04:00")
            .flag("max-retention-days", days)
            .flag("on-source-disk-delete", "keep-auto-snapshots")
            .flag("storage-location", region)
            .flag("description", self.description())
            .flag("snapshot-labels", self.labels());
        let keep = ScriptCommand::gcloud("compute resource-policies update snapshot-schedule")
            .arg(schedule.clone())
            .in_project()
            .flag("region", region)
            .flag("max-retention-days", days);
        let is_other = format!(" AND NOT snapshotSchedulePolicy.retentionPolicy.maxRetentionDays={days}");
        vec![
            Step::run("A snapshot of the data disk every day; they outlive the disk.", make)
                .unless(there(""))
                .change(format!("+ snapshot schedule {schedule}, daily, kept for {days} days")),
            Step::run("As long as bake.yaml says; only of a schedule that bake made for this project.", keep)
                .only_where(there(&format!("{is_other} AND {}", self.is_described())))
                .change(format!("~ snapshot schedule {schedule}: snapshots are kept for {days} days"))
                .tell_already(format!("snapshot schedule {schedule}")),
        ]
        .into_iter()
        .chain(self.relabelled_schedule())
        .chain([self.schedule_elsewhere(there(
            " AND NOT snapshotSchedulePolicy.snapshotProperties.storageLocations:*",
        ))])
        .collect()
    }

    /// Names a schedule by an older bake, where `found` prints it: Compute Engine chooses the location of its
    /// snapshots, and gcloud cannot change that.
    fn schedule_elsewhere(self, found: ScriptCommand) -> Step {
        let schedule = self.target.spec.name.snapshot_schedule();
        Step::note("An older schedule leaves the location of snapshots to Compute Engine.")
            .only_where(found)
            .look()
            .tell(format!("note: Compute Engine chooses where the snapshots of {schedule} are stored, as a rule in several regions. To have them in {}: set gcp.snapshots to null in bake.yaml, bake render, bake gcloud update | sh; then", self.region()))
            .tell(Word::from(format!("  gcloud compute resource-policies delete {schedule} --region={} --project=", self.region())).name(Name::Project))
            .tell("and the same steps with gcp.snapshots as before. Existing snapshots stay where they are.")
    }

    /// Makes the data disk where there is none, and grows it to the size of the spec; [`Name::Data`] is its
    /// name from here on.
    pub(super) fn data_disk(self) -> Vec<Step> {
        if !self.has_data_disk() {
            return Vec::new();
        }
        let gcp = &self.target.spec.gcp;
        let (disk, gb) = (self.name.data_disk(), gcp.data_disk.gb());
        let kind = Machine::new(&gcp.machine_type).disk_type();
        let make = ScriptCommand::gcloud("compute disks create")
            .arg(disk.clone())
            .in_project()
            .flag("zone", self.zone())
            .flag("size", format!("{gb}GB"))
            .flag("type", kind)
            .flag("labels", self.labels());
        let grow = ScriptCommand::gcloud("compute disks resize")
            .arg(Word(Vec::new()).name(Name::Data))
            .in_project()
            .flag("zone", self.zone())
            .flag("size", format!("{gb}GB"))
            .arg("--quiet");
        let data = || Word::from("name ~ \"^").name(Name::Data).text("$\" AND ");
        vec![
            Step::run("The data disk has everything that must survive the VM.", make)
                .unless(self.data_in_use())
                .learns(Name::Data, disk.clone())
                .makes_disk(self, disk.as_str(), gb)
                .change(format!("+ data disk {disk}, {gb} GB {kind}, which the VM formats when it first boots")),
            Step::run("A disk can grow, also while it is in use.", grow)
                .only_where(self.list("compute disks list", data().text(format!("sizeGb<{gb}"))))
                .change(Word::from("~ data disk ").name(Name::Data).text(format!(": grows to {gb} GB")))
                .makes_disk(self, Word(Vec::new()).name(Name::Data), gb)
                .tell("The VM uses the new size once its gateway has started again: bake gcloud ssh | sh, then sudo systemctl restart openclaw-gateway")
                .tell_already(Word::from("data disk ").name(Name::Data)),
        ]
        .into_iter()
        .chain(self.relabelled_disk())
        .collect()
    }

    /// Attaches the schedule to the data disk in use, which may be older than its schedule, or takes it away
    /// where the spec wants none. A disk takes one schedule only: another one stays.
    pub(super) fn disk_schedule(self) -> Option<Step> {
        if !self.has_data_disk() {
            return None;
        }
        let schedule = self.target.spec.name.snapshot_schedule();
        let attached = |which: &str| {
            let data =
                Word::from("name ~ \"^").name(Name::Data).text(format!("$\" AND resourcePolicies[]{which}"));
            self.list("compute disks list", data)
        };
        let command = |words: &str| {
            ScriptCommand::gcloud(words)
                .arg(Word(Vec::new()).name(Name::Data))
                .in_project()
                .flag("zone", self.zone())
                .flag("resource-policies", &schedule)
        };
        let line =
            |text: &str| Word::from("~ data disk ").name(Name::Data).text(format!(": {text}{schedule}"));
        Some(if self.target.spec.gcp.snapshot_days.is_some() {
            Step::run(
                "The schedule counts once it is attached to the disk.",
                command("compute disks add-resource-policies"),
            )
            .unless(attached(":*"))
            .change(line("its snapshots follow the schedule "))
        } else {
            Step::run("bake.yaml wants no schedule.", command("compute disks remove-resource-policies"))
                .only_where(attached(&format!(" ~ \"/{schedule}$\"")))
                .change(line("no more snapshots by the schedule "))
        })
    }

    /// Makes the VM, where there is none.
    pub(super) fn instance(self, metadata: &VmMetadata) -> Step {
        let name = self.name;
        let mut make = ScriptCommand::gcloud("compute instances create")
            .arg(name.as_str())
            .in_project()
            .flag("zone", self.zone());
        if self.has_data_disk() {
            // Without auto-delete=no the data would go with the VM.
            let disk = Word::from("name=")
                .name(Name::Data)
                .text(format!(",device-name={},mode=rw,boot=no,auto-delete=no", self.device()));
            make = make.flag_word("disk", disk);
        }
        let gcp = &self.target.spec.gcp;
        let line = format!(
            "+ VM {name}, {} in {}, {} GB boot disk{}",
            gcp.machine_type.value,
            self.zone(),
            gcp.boot_disk.gb(),
            if gcp.public_ip.value { ", a public address" } else { ", no public address" }
        );
        let line = Word::from(format!("{line}, from ")).word(self.boot_image_said());
        Step::run(
            "The VM: its metadata has everything that it needs. Shielded VM, OS Login, no SSH keys of the\n\
             project, and a service account with only the granted roles.",
            make.args(self.made_with(metadata)),
        )
        .unless(self.listed(""))
        .change(line)
        .makes_vm(self)
        .tell(format!(
            "{name} is on its way to a running gateway, which takes some minutes. To see its stages: bake gcloud wait | sh"
        ))
        .tell_already(format!("VM {name}"))
    }

    /// The monthly costs of the gateway in the spec, in US dollars; empty for an unknown price.
    pub(super) fn whole_dollars(self) -> String {
        let gcp = &self.target.spec.gcp;
        let estimate = machine::estimate(&gcp.machine_type, &gcp.zone, gcp.disks(), gcp.public_ip.value);
        estimate.dollars.map(|dollars| dollars.to_string()).unwrap_or_default()
    }

    /// The monthly costs of the gateway, for a header.
    pub(super) fn costs(self) -> String {
        format!("{}.", self.dollars())
    }

    /// The monthly costs of a data disk as the spec has it.
    pub(super) fn disk_costs(self) -> String {
        let gcp = &self.target.spec.gcp;
        let machine = Machine::new(&gcp.machine_type);
        let (gb, kind) = (gcp.data_disk.gb(), machine.disk_type());
        match machine.disk_price() {
            Some(price) => format!("about {:.2} USD a month for {gb} GB {kind}", price * f64::from(gb)),
            None => format!("the price of {gb} GB {kind}"),
        }
    }

    /// The monthly costs of the gateway in the spec.
    pub(super) fn dollars(self) -> String {
        let gcp = &self.target.spec.gcp;
        let estimate = machine::estimate(&gcp.machine_type, &gcp.zone, gcp.disks(), gcp.public_ip.value);
        match estimate.dollars {
            Some(dollars) => format!("about {dollars} USD a month: {}", estimate.note),
            None => estimate.note,
        }
    }
}

/// The version of this bake, as a label has it.
pub(super) fn bake_version() -> String {
    label_value(env!("CARGO_PKG_VERSION"))
}

/// `text` with a dash for each character that a label cannot have ("Requirements for labels", Compute Engine).
pub(super) fn label_value(text: &str) -> String {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
    text.to_ascii_lowercase().chars().map(|c| if fits(c) { c } else { '-' }).take(63).collect()
}

/// A filter for the exact name `name`. gcloud sends Compute Engine a word search, so `name=x` also matches
/// `x-data`.
pub(super) fn named(name: &str) -> String {
    format!("name ~ \"^{name}$\"")
}

/// The address of a service account of the project.
pub(super) fn account(id: &str) -> Word {
    Word::from(format!("{id}@")).name(Name::Domain).text(".iam.gserviceaccount.com")
}

/// The pattern of the same address, in any project.
pub(super) fn account_pattern(id: &str) -> String {
    format!("^{id}@[^@]*\\.iam\\.gserviceaccount\\.com$")
}

/// As much of `name` as leaves room for `end` in the 63 characters of a name.
pub(super) fn shortened<'a>(name: &'a str, end: &str) -> &'a str {
    // Names are ASCII.
    let room = 63_usize.saturating_sub(end.len()).min(name.len());
    name.get(..room).unwrap_or(name).trim_end_matches('-')
}

#[cfg(test)]
mod tests {
    use super::shortened;

    #[test]
    fn names_leave_room() {
        assert_eq!(shortened("gateway-data", "-12345678"), "gateway-data");
        assert_eq!(shortened(&"a".repeat(62), "-12345678").len(), 54);
        assert_eq!(shortened(&format!("{}-{}", "a".repeat(53), "b".repeat(9)), "-12345678"), "a".repeat(53));
    }
}
