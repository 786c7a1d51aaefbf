//! `restore`: a snapshot on a new data disk, and a new VM on that. The disk that was in use stays.

use super::metadata::VmMetadata;
use super::script::{BundleFolder, Name, Script, ScriptCommand, Shell, Step, Word};
use super::update::MOVE;
use super::vm::{Vm, named, shortened};
use crate::digest::Sha256;
use crate::plan::Plan;
use crate::project::machine::Machine;
use crate::project::names::SnapshotName;

const FUNCTIONS: &[&str] = &[include_str!("restore.sh")];
/// Digits of the snapshot's digest in the new disk's name.
const DIGITS: usize = 8;

/// Makes a disk of the snapshot, and the VM anew on it.
///
/// # Errors
/// Where the spec has no data disk.
pub fn script(
    plan: &Plan<'_>,
    snapshot: &SnapshotName,
    metadata: &VmMetadata,
    folder: BundleFolder,
) -> Result<Script, String> {
    let vm = Vm::of(plan);
    if !vm.has_data_disk() {
        return Err("the VM has no data disk: set `gcp.data_disk` in bake.yaml".to_owned());
    }
    // A name of the snapshot's own, so that a second run finds the disk of the first.
    let digest = Sha256::of(snapshot.as_str()).short(DIGITS);
    let disk = format!("{}-{digest}", shortened(&vm.name.data_disk(), "-12345678"));
    let there = ScriptCommand::gcloud("compute snapshots list")
        .in_project()
        .flag("filter", named(snapshot.as_str()))
        .flag("format", "value(name)");
    let make = ScriptCommand::gcloud("compute disks create")
        .arg(disk.clone())
        .in_project()
        .flag("zone", vm.zone())
        .flag("source-snapshot", snapshot)
        .flag("type", Machine::new(&plan.spec.gcp.machine_type).disk_type())
        .flag("labels", vm.labels());
    let mut steps = vec![Step::need(
        "Without the snapshot nothing is touched.",
        there,
        [
            format!("There is no snapshot {snapshot}. Those that are there:").into(),
            Word::from("  gcloud compute snapshots list --project=").name(Name::Project),
        ],
    )];
    steps.push(vm.must_be_on_its_disk(&[MOVE]));
    steps.push(
        Step::note("A disk that was in use holds what the gateway has written to it since.")
            .only_where(last_attached(vm, &disk))
            .tell(format!("NOTHING IS RESTORED: {snapshot} was restored before, to the disk {disk}, which has been in use since. What is on it is of today, not of the snapshot."))
            .tell("To go back to the snapshot once more, losing what came since:")
            .tell("  bake gcloud destroy | sh")
            .tell(Word::from(format!("  gcloud compute disks delete {disk} --zone={} --project=", vm.zone())).name(Name::Project))
            .tell(format!("  bake gcloud restore {snapshot} | sh")),
    );
    steps.extend(vm.snapshot_schedule());
    steps.push(
        Step::run("The snapshot's content on a disk of its own. A VM takes the newest of its disks.", make)
            .unless(vm.list("compute disks list", named(&disk).into()))
            .stands(format!("the restored disk {disk}; the disk that was in use before is untouched"))
            .tell_already(format!("{disk}: the disk of this snapshot is there, and is kept as it is")),
    );
    steps.push(vm.data_must_be_there());
    steps.push(Step::shell(
        "A disk that came into use since then would be taken in its place.",
        Shell::calling(
            "ends with an error unless the disk in use is the restored one",
            FUNCTIONS,
            ["newest"],
        )
        .argument(Word(Vec::new()).name(Name::Data))
        .argument(disk.clone().into())
        .argument(vm.zone().into()),
    ));
    steps.extend(vm.disk_schedule());
    steps.push(
        vm.delete("The VM on the old disk goes; the disk itself stays.")
            .only_where(vm.listed(&format!("NOT disks[].source ~ \"/{disk}$\"")))
            .tell(format!("{}: the VM on the old disk is deleted, and that disk kept", vm.name)),
    );
    steps.push(vm.instance(metadata));
    steps.push(
        Step::note("What is kept costs what it costs.").tell(
            Word::from("The disk that was in use before is kept. Once it is not needed: gcloud compute disks list --project=")
                .name(Name::Project)
                .text(format!(" --filter='labels.openclaw={}', and gcloud compute disks delete", vm.name)),
        ),
    );
    let about = format!(
        "Puts the snapshot {snapshot} on a new data disk, and a new VM `{}` on that. Rendered by bake from\n\
         lock {}. Safe to run twice; the old data disk stays.",
        vm.name, plan.lock_digest
    );
    Ok(Script::new("restore", about, plan, steps).reading(folder, metadata.files()))
}

/// Prints when the disk was last attached to a VM; nothing where it is not there, or never was.
fn last_attached(vm: Vm<'_>, disk: &str) -> ScriptCommand {
    ScriptCommand::gcloud("compute disks list")
        .in_project()
        .flag("zones", vm.zone())
        .flag("filter", named(disk))
        .flag("format", "value(lastAttachTimestamp)")
}
