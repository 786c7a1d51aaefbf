//! `restore`: a snapshot on a new data disk, which takes the place of the one in use. That one stays.

use super::effects::{self, Rows};
use super::guards;
use super::script::{Name, Script, ScriptCommand, Shell, Step, Word};
use super::target::Target;
use super::update::MOVE;
use super::vm::{Vm, named, shortened};
use crate::digest::Sha256;
use crate::project::machine::Machine;
use crate::project::names::SnapshotName;

/// Digits of the snapshot's digest in the new disk's name.
const DIGITS: usize = 8;

/// Makes a disk of the snapshot, and has the VM use it, which is made of the same bundle as before: it needs
/// no lock, and no bundle.
///
/// # Errors
/// Where the spec has no data disk.
pub fn script(target: Target<'_>, snapshot: &SnapshotName) -> Result<Script, String> {
    let vm = Vm::of(target);
    if !vm.has_data_disk() {
        return Err("the VM has no data disk: set `gcp.data_disk` in bake.yaml".to_owned());
    }
    let disk = vm.restored_disk(snapshot);
    let mut steps = vm.can_be_restored(snapshot, &disk);
    steps.extend(guards::must_be_ours(target, None));
    steps.push(
        vm.was_restored(snapshot, &disk)
            .tell("  bake gcloud destroy | sh")
            .tell(
                Word::from(format!("  gcloud compute disks delete {disk} --zone={} --project=", vm.zone()))
                    .name(Name::Project),
            )
            .tell(format!("  bake gcloud restore {snapshot} | sh")),
    );
    steps.push(Rows::of(vm, std::slice::from_ref(vm.name)).look());
    steps.extend(vm.snapshot_schedule());
    steps.push(vm.make_restored(snapshot, &disk));
    steps.extend(vm.disk_schedule());
    steps.extend(exchanged(vm, &disk));
    steps.push(vm.old_disk_stays());
    let about = format!(
        "bake gcloud restore: puts the snapshot {snapshot} on a new data disk,\n\
         which the VM `{}` uses from then on. Safe to run twice.",
        vm.name
    );
    Ok(Script::new("restore", about, target, steps)
        .stays("the disk in use so far, and the snapshot.")
        .gateway_away(effects::RESTART)
        .costs(format!("a second data disk, {}, until you delete one.", vm.disk_costs())))
}

impl Vm<'_> {
    /// The disk of this snapshot. The name is the snapshot's own, so that a second run finds the disk of the first.
    pub(super) fn restored_disk(self, snapshot: &SnapshotName) -> String {
        let digest = Sha256::of(snapshot.as_str()).short(DIGITS);
        format!("{}-{digest}", shortened(&self.name.data_disk(), "-12345678"))
    }

    /// Ends the script without the snapshot, without a data disk, or if the VM would take another disk.
    pub(super) fn can_be_restored(self, snapshot: &SnapshotName, disk: &str) -> Vec<Step> {
        let there = ScriptCommand::gcloud("compute snapshots list")
            .in_project()
            .flag("filter", named(snapshot.as_str()))
            .flag("format", "value(name)");
        let newer = self
            .list("compute disks list", self.is_its_disk().into())
            .flag("sort-by", "~creationTimestamp")
            .flag("limit", 1);
        let shell = Shell::calling(
            "ends with an error where the second prints something and the first another disk",
            &[include_str!("sh/restore.sh")],
            ["must_be_newest"],
        )
        .argument(disk.into())
        .argument(self.zone().into())
        .command("newest_disk", newer)
        .command("restored_disk", self.list("compute disks list", named(disk).into()));
        vec![
            Step::need(
                "Without the snapshot nothing is touched.",
                there,
                [
                    format!("There is no snapshot {snapshot}. Those that there are:").into(),
                    Word::from("  gcloud compute snapshots list --project=").name(Name::Project),
                ],
            ),
            Step::need(
                "Without a data disk the state is on the boot disk, and a restored disk would hide it.",
                self.data_in_use(),
                [
                    format!("{}: there is no data disk, so that its state is on the boot disk.", self.name)
                        .into(),
                    MOVE.into(),
                ],
            ),
            Step::shell("A VM takes the newest of its disks: this must be the restored one.", shell).look(),
        ]
    }

    /// Says that the snapshot was restored before. The commands that restore it again follow.
    pub(super) fn was_restored(self, snapshot: &SnapshotName, disk: &str) -> Step {
        Step::note("A disk that was in use holds what the gateway has written to it since.")
            .only_where(last_attached(self, disk))
            .look()
            .tell(format!("NOTHING IS RESTORED: {snapshot} was restored before, to the disk {disk}, which has been in use since. Its content is current, not that of the snapshot."))
            .tell("To go back to the snapshot once more, losing what came since:")
    }

    /// Makes the disk; [`Name::Data`] is its name from here on.
    pub(super) fn make_restored(self, snapshot: &SnapshotName, disk: &str) -> Step {
        let make = ScriptCommand::gcloud("compute disks create")
            .arg(disk)
            .in_project()
            .flag("zone", self.zone())
            .flag("source-snapshot", snapshot)
            .flag("type", Machine::new(&self.target.spec.gcp.machine_type).disk_type())
            .flag("labels", self.labels());
        Step::run("The snapshot's content on a separate disk; the disk in use stays as it is.", make)
            .unless(self.list("compute disks list", named(disk).into()))
            .learns(Name::Data, disk)
            .change(format!("+ data disk {disk}, of the snapshot {snapshot}"))
            .makes_disk(self, disk, self.target.spec.gcp.data_disk.gb())
            .tell_already(format!("data disk {disk}, of the snapshot {snapshot}"))
    }

    pub(super) fn old_disk_stays(self) -> Step {
        Step::note("The disk that was in use stays.").tell(
            Word::from("You keep paying for the disk that was in use before. Once it is not needed: gcloud compute disks list --project=")
                .name(Name::Project)
                .text(format!(" --filter='labels.openclaw={}', and gcloud compute disks delete", self.name)),
        )
    }
}

/// Has the VM use `disk` in the place of the data disk that it has.
fn exchanged(vm: Vm<'_>, disk: &str) -> [Step; 4] {
    let on = |words: &str| vm.on(words);
    let device = vm.device();
    let is_other = format!("disks[].deviceName ~ \"^{device}$\" AND NOT disks[].source ~ \"/{disk}$\"");
    let has_none = format!("NOT disks[].source ~ \"/{disk}$\"");
    let by_hand = format!(
        "The VM {} may be stopped, or without a data disk. To have it use the old one again: gcloud compute instances attach-disk {} --zone={} --device-name={device} --disk=DISK, and gcloud compute instances start",
        vm.name,
        vm.name,
        vm.zone()
    );
    [
        Step::run("A disk in use is exchanged while the VM is stopped.", on("compute instances stop"))
            .only_where(vm.listed(&format!("{has_none} AND NOT status=TERMINATED")))
            .change(format!("~ VM {}: stops", vm.name))
            .away(vm.name, effects::RESTART)
            .leaves(by_hand),
        Step::run(
            "The disk that was in use; it stays.",
            on("compute instances detach-disk").flag("device-name", &device),
        )
        .only_where(vm.listed(&is_other))
        .change(format!("~ VM {}: its data disk is detached, and kept", vm.name)),
        Step::run(
            "The VM knows its data disk by the device's name.",
            on("compute instances attach-disk").flag("disk", disk).flag("device-name", &device),
        )
        .only_where(vm.listed(&has_none))
        .change(format!("~ VM {}: gets the data disk {disk}", vm.name)),
        Step::run("The gateway starts with the VM.", on("compute instances start"))
            .only_where(vm.listed(&format!("(NOT status=RUNNING OR {has_none})")))
            .change(format!("~ VM {}: starts", vm.name))
            .runs(vm, None)
            .settles()
            .tell(format!(
                "{} starts on the restored disk. To see its stages: bake gcloud wait | sh",
                vm.name
            )),
    ]
}

/// Prints when the disk was last attached to a VM; nothing where it is not there, or never was.
fn last_attached(vm: Vm<'_>, disk: &str) -> ScriptCommand {
    ScriptCommand::gcloud("compute disks list")
        .in_project()
        .flag("zones", vm.zone())
        .flag("filter", named(disk))
        .flag("format", "value(lastAttachTimestamp)")
}
