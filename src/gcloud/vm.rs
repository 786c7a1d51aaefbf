//! A VM's commands that several actions share: what is there, and what the VM is made with.

use super::metadata::VmMetadata;
use super::script::{Name, ScriptCommand, Step, Word};
use super::shell;
use crate::digest::Sha256;
use crate::plan::Plan;
use crate::project::machine::Machine;
use crate::project::names::VmName;

/// Digits of a digest in a label, which holds 63 characters at most.
const LABEL_DIGITS: usize = 16;

/// A gateway's VM: the one of the spec, or one of a fleet.
#[derive(Clone, Copy)]
pub(super) struct Vm<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) name: &'a VmName,
}

impl<'a> Vm<'a> {
    /// The VM of the spec.
    pub(super) fn of(plan: &'a Plan<'a>) -> Self {
        Self::one(plan, None)
    }

    /// This member of a fleet, or else the VM of the spec.
    pub(super) fn one(plan: &'a Plan<'a>, member: Option<&'a VmName>) -> Self {
        Self { plan, name: member.unwrap_or(&plan.spec.name.value) }
    }

    pub(super) fn zone(self) -> &'a str {
        self.plan.spec.gcp.zone.as_str()
    }

    pub(super) fn region(self) -> &'a str {
        self.plan.spec.gcp.zone.region()
    }

    pub(super) fn has_data_disk(self) -> bool {
        !self.plan.spec.gcp.data_disk.is_zero()
    }

    /// As the data disk is called inside the VM, where every VM of a fleet knows it by the same name.
    pub(super) fn device(self) -> String {
        self.plan.spec.name.data_disk()
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

    /// Which disks are this gateway's: the one of its name, and any that was restored since. A pattern,
    /// for gcloud is about to take `gateway-2` for `=gateway` (`gcloud topic filters`), whose disks are
    /// another's.
    pub(super) fn is_its_disk(self) -> String {
        format!("labels.openclaw ~ \"^{}$\" OR {}", self.name, named(&self.name.data_disk()))
    }

    /// Prints the data disk in use: of several, the newest, which was restored.
    pub(super) fn data_in_use(self) -> ScriptCommand {
        self.list("compute disks list", self.is_its_disk().into())
            .flag("sort-by", "~creationTimestamp")
            .flag("limit", 1)
    }

    /// Prints the VM's name where it is there, and made of this bundle.
    pub(super) fn listed_as_is(self, metadata: &VmMetadata) -> ScriptCommand {
        self.listed(&format!("labels.openclaw-bundle={}", self.bundle(metadata)))
    }

    /// `openclaw=NAME`, by which disks are found, and the lock.
    pub(super) fn labels(self) -> String {
        format!("openclaw={},openclaw-lock={}", self.name, self.plan.lock_digest.short(LABEL_DIGITS))
    }

    /// All flags that make the VM what it is, but its labels.
    fn flags(self, metadata: &VmMetadata) -> ScriptCommand {
        let Plan { spec, .. } = self.plan;
        let gcp = &spec.gcp;
        let (family, image_project) = spec.host.os.image_family(spec.host.arch.value);
        let (values, files) = metadata.flags();
        let command = ScriptCommand(Vec::new())
            .flag("machine-type", &gcp.machine_type.value)
            .flag("image-family", family)
            .flag("image-project", image_project)
            .flag("boot-disk-size", format!("{}GB", gcp.boot_disk.gb()))
            .flag("boot-disk-type", Machine::new(&gcp.machine_type).disk_type())
            .flag("metadata", values)
            .flag("metadata-from-file", files)
            .flag_word("service-account", account(gcp.service_account.as_str()))
            .flag("scopes", "cloud-platform")
            .args(["--shielded-secure-boot", "--shielded-vtpm", "--shielded-integrity-monitoring"])
            .flag("tags", spec.name.as_str());
        if gcp.public_ip.value { command } else { command.arg("--no-address") }
    }

    /// The digest of all that the VM is made of: where it differs, the VM is another one.
    pub(super) fn bundle(self, metadata: &VmMetadata) -> String {
        let flags = shell::line(&self.flags(metadata));
        Sha256::of(format!("{flags}\n{}\n", metadata.contents)).short(LABEL_DIGITS)
    }

    /// Flags and labels of the VM, in the order in which they read best.
    pub(super) fn made_with(self, metadata: &VmMetadata) -> Vec<Word> {
        let labels = format!("--labels={},openclaw-bundle={}", self.labels(), self.bundle(metadata));
        self.flags(metadata).arg(labels).0
    }

    /// Makes the snapshot schedule, where the spec wants one.
    pub(super) fn snapshot_schedule(self) -> Option<Step> {
        let days = self.plan.spec.gcp.snapshot_days.as_ref().filter(|_| self.has_data_disk())?;
        let schedule = self.plan.spec.name.snapshot_schedule();
        let region = self.region();
        let there = ScriptCommand::gcloud("compute resource-policies list")
            .in_project()
            .flag("filter", format!("{} AND region:{region}", named(&schedule)))
            .flag("format", "value(name)");
        let make = ScriptCommand::gcloud("compute resource-policies create snapshot-schedule")
            .arg(schedule.clone())
            .in_project()
            .flag("region", region)
            .arg("--daily-schedule")
            .flag("start-time", "04:00")
            .flag("max-retention-days", days.value)
            .flag("on-source-disk-delete", "keep-auto-snapshots");
        Some(
            Step::run("A snapshot of the data disk every day; they outlive the disk.", make)
                .unless(there)
                .stands(format!("the snapshot schedule {schedule}"))
                .tell_already(format!("{schedule}: the snapshot schedule is there, and is kept as it is")),
        )
    }

    /// Makes the data disk, where there is none; [`Name::Data`] is its name from here on.
    pub(super) fn data_disk(self) -> Option<Step> {
        if !self.has_data_disk() {
            return None;
        }
        let gcp = &self.plan.spec.gcp;
        let disk = self.name.data_disk();
        let make = ScriptCommand::gcloud("compute disks create")
            .arg(disk.clone())
            .in_project()
            .flag("zone", self.zone())
            .flag("size", format!("{}GB", gcp.data_disk.gb()))
            .flag("type", Machine::new(&gcp.machine_type).disk_type())
            .flag("labels", self.labels());
        Some(
            Step::run("The data disk holds all that must survive; the VM may come and go.", make)
                .unless(self.data_in_use())
                .learns(Name::Data, disk.clone())
                .stands(format!("the data disk of {}", self.name))
                .tell(format!("{disk}: the VM formats it when it first boots"))
                .tell_already(format!("{disk}: the data disk is there, and is kept as it is")),
        )
    }

    /// Attaches the schedule to the data disk in use, which may be older than its schedule. A disk takes one
    /// only: one that somebody else attached stays.
    pub(super) fn disk_schedule(self) -> Option<Step> {
        self.plan.spec.gcp.snapshot_days.as_ref().filter(|_| self.has_data_disk())?;
        let schedule = self.plan.spec.name.snapshot_schedule();
        let attached = Word::from("name ~ \"^").name(Name::Data).text("$\" AND resourcePolicies[]:*");
        let attach = ScriptCommand::gcloud("compute disks add-resource-policies")
            .arg(Word(Vec::new()).name(Name::Data))
            .in_project()
            .flag("zone", self.zone())
            .flag("resource-policies", &schedule);
        Some(
            Step::run("The schedule counts once it is attached to the disk.", attach)
                .unless(self.list("compute disks list", attached))
                .tell_already(
                    Word(Vec::new())
                        .name(Name::Data)
                        .text(": the disk has a snapshot schedule, which is kept as it is"),
                ),
        )
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
        Step::run(
            "The VM: its metadata carries all that it needs. Shielded VM, OS Login, no SSH keys of the\n\
             project, and a service account that may do nothing but what it was granted.",
            make.args(self.made_with(metadata)),
        )
        .unless(self.listed(""))
        .stands(format!("the VM {name}"))
        .tell(format!(
            "{name} is on its way to a running gateway, which takes some minutes. To see its stages: bake gcloud wait | sh"
        ))
        .tell_already(format!("{name}: the VM is there, and is kept as it is"))
    }
}

/// The filter for what is called `name`, and no longer. gcloud asks Compute Engine for words, so that
/// `name=x` is true of `x-data` too.
pub(super) fn named(name: &str) -> String {
    format!("name ~ \"^{name}$\"")
}

/// The address of a service account of the project.
pub(super) fn account(id: &str) -> Word {
    Word::from(format!("{id}@")).name(Name::Domain).text(".iam.gserviceaccount.com")
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
