//! `move`: the gateway in another zone, project or region, by another name, or there on another kind of disk. The
//! state goes by a snapshot; the old VM stays, stopped, until the new gateway is ready.

use super::effects::{self, Rows};
use super::guards;
use super::metadata::VmMetadata;
use super::replacement::Replaced;
use super::script::{BundleFolder, Name, Script, ScriptCommand, Shell, Step, Word};
use super::target::Target;
use super::vm::{Vm, shortened};
use super::wait;
use crate::project::machine::Machine;
use crate::project::names::{ProjectId, VmName, Zone};

const FUNCTIONS: &[&str] = &[include_str!("sh/move.sh")];

/// The place of the gateway, as far as it differs from the spec.
#[derive(Default)]
pub struct Origin<'a> {
    /// The zone of the VM.
    pub zone: Option<&'a Zone>,
    /// Its name.
    pub name: Option<&'a VmName>,
    /// Its project.
    pub project: Option<&'a ProjectId>,
}

/// Moves the VM from `origin` to where the spec says, and waits for its gateway for `timeout` seconds.
///
/// # Errors
/// Where the origin is the place of the spec, or there is no data disk.
pub fn script(
    target: Target<'_>,
    origin: &Origin<'_>,
    metadata: &VmMetadata,
    folder: BundleFolder,
    timeout: u32,
) -> Result<Script, String> {
    let vm = Vm::of(target);
    if !vm.has_data_disk() {
        return Err("without a data disk the state is on the boot disk: docs/gcloud.md says how it comes to a data disk".to_owned());
    }
    let mut old_spec = target.spec.clone();
    if let Some(zone) = origin.zone {
        old_spec.gcp.zone.value = zone.clone();
    }
    if let Some(name) = origin.name {
        old_spec.name.value = name.clone();
    }
    let project = origin
        .project
        .filter(|project| target.spec.gcp.project.as_ref().is_none_or(|own| own.value != **project));
    let old = Vm::of(Target { spec: &old_spec, lock: None, adopt: false });
    if old.zone() == vm.zone() && old.name == vm.name && project.is_none() {
        return Err(format!(
            "bake.yaml has {} in {}, and that is where it would move from: write the new zone, name or project into bake.yaml, and name the old one with --from-zone, --from-name or --from-project. To a machine family with other disks, change the zone or the name too",
            vm.name,
            vm.zone()
        ));
    }
    let moved = Move { vm, old, project };
    let mut steps = moved.conditions();
    steps.extend(vm.picked_image(vm.listed("")));
    let rows = Rows::of(vm, std::slice::from_ref(vm.name)).moving_from(old, |command| moved.in_old(command));
    steps.push(rows.look());
    steps.push(moved.stop_old());
    steps.push(moved.take_snapshot());
    steps.extend(vm.snapshot_schedule());
    steps.push(moved.make_disk());
    steps.extend(vm.disk_schedule());
    steps.push(vm.instance(metadata));
    steps.extend(wait::steps(std::iter::once(vm), None, timeout));
    steps.extend(moved.delete_old());
    let about = format!(
        "bake gcloud move: moves the gateway from the VM `{}` in {}{} to `{}` in {}.\n\
         Safe to run twice.\n\
         Lock: {}",
        old.name,
        old.zone(),
        project.map_or_else(String::new, |project| format!(" of the project {project}")),
        vm.name,
        vm.zone(),
        target.lock()
    );
    Ok(Script::new("move", about, target, steps)
        .reading(folder, metadata.files())
        .stays("the old VM, stopped, until the new gateway is ready; its data disk and the snapshot for good.")
        .gateway(format!(
            "away for about {} minutes, longer for a large disk: until the new one is ready. To go back, restore the \
             old values in bake.yaml, run bake render, and bake gcloud move --from-zone={} --from-name={} | sh",
            effects::MOVED,
            vm.zone(),
            vm.name
        ))
        .costs(format!("{} The old data disk and the snapshot cost as before, until you delete them.", vm.costs())))
}

/// A move: the two VMs, and the old one's project where that is another.
#[derive(Clone, Copy)]
struct Move<'a> {
    vm: Vm<'a>,
    old: Vm<'a>,
    project: Option<&'a ProjectId>,
}

impl Move<'_> {
    /// `step` in the old VM's project.
    fn there(self, step: Step) -> Step {
        match self.project {
            Some(project) => step.in_other_project(project),
            None => step,
        }
    }

    /// `command` in the old VM's project.
    fn in_old(self, command: ScriptCommand) -> ScriptCommand {
        match self.project {
            Some(project) => command.in_other_project(project),
            None => command,
        }
    }

    /// The old VM's project.
    fn old_project(self) -> Word {
        self.project.map_or_else(|| Word(Vec::new()).name(Name::Project), |project| project.as_str().into())
    }

    /// Ends the script before the old VM stops where the new one cannot be made.
    fn conditions(self) -> Vec<Step> {
        let Self { vm, old, .. } = self;
        let mut steps = guards::must_be_ours(vm.target, None);
        steps.extend(guards::must_be_ours(old.target, None).into_iter().map(|step| self.there(step)));
        steps.push(vm.type_must_be_there(&vm.target.spec.gcp.machine_type));
        steps.push(self.find_origin());
        let machines = self.in_old(old.replaced(std::slice::from_ref(old.name), "").machines);
        let make_room = self.project.is_none() && old.region() == vm.region();
        steps.extend(vm.must_be_replaceable(Replaced {
            machines,
            make_room,
            second_disk: vm.target.spec.gcp.data_disk.gb(),
        }));
        steps
    }

    /// Finds the old VM, and names snapshot and disk after its last start: a second run continues with these, and
    /// a VM that has run since gets new ones.
    fn find_origin(self) -> Step {
        let Self { vm, old, .. } = self;
        let started = ScriptCommand::gcloud("compute instances list")
            .in_project()
            .flag("zones", old.zone())
            .flag("filter", super::vm::named(old.name.as_str()))
            .flag("format", "value(lastStartTimestamp.date(tz=UTC,format='%m%d%H%M%S'))");
        let is_named = |name: Name| Word::from("name ~ \"^").name(name).text("$\"");
        let snapshot = ScriptCommand::gcloud("compute snapshots list")
            .in_project()
            .flag_word("filter", is_named(Name::Snapshot))
            .flag("format", "value(name)");
        let data = vm.name.data_disk();
        let shell = Shell::calling(
            "the first prints the time of the last start: `snapshot` and `data` end with it, in hexadecimal; of the \
             second, `old_data`; `new_snapshot` and `new_data` are the same names where the next two print nothing. \
             Ends with an error without an old disk, or where the last prints a VM that is not on the new disk",
            FUNCTIONS,
            ["find_origin"],
        )
        .value("from", format!("{} in {}", old.name, old.zone()))
        .value("to", format!("{} in {}", vm.name, vm.zone()))
        .value("snapshot_base", format!("{}-move", shortened(old.name.as_str(), "-move-12345678")))
        .value("disk_base", shortened(&data, "-12345678"))
        .command("old_start", self.in_old(started))
        .command("old_disk", self.in_old(old.data_in_use()))
        .command("taken_snapshot", self.in_old(snapshot))
        .command("made_disk", vm.list("compute disks list", is_named(Name::Data)))
        .command("disk_in_use", vm.data_in_use())
        .command("new_vm", vm.listed(""));
        Step::shell("The old VM, and how far an earlier run has come.", shell).look()
    }

    fn stop_old(self) -> Step {
        let Self { vm, old, .. } = self;
        let way_back = Word::from(format!(
            "The VM {} may be stopped; nothing of it is deleted. To go back: gcloud compute instances delete {} --zone={} --keep-disks=data --project=",
            old.name,
            vm.name,
            vm.zone()
        ))
        .name(Name::Project)
        .text(format!("; gcloud compute instances start {} --zone={} --project=", old.name, old.zone()))
        .word(self.old_project());
        self.there(
            Step::run("The gateway stops, and its disk is at rest.", old.on("compute instances stop"))
                .only_where(old.listed("NOT status=TERMINATED"))
                .change(format!("~ VM {} in {}: stops", old.name, old.zone()))
                .away(old.name, effects::MOVED),
        )
        .leaves(way_back)
    }

    fn take_snapshot(self) -> Step {
        let take = ScriptCommand::gcloud("compute disks snapshot")
            .arg(Word(Vec::new()).name(Name::OldData))
            .in_project()
            .flag("zone", self.old.zone())
            .flag_word("snapshot-names", Word(Vec::new()).name(Name::Each))
            .flag("labels", self.old.labels())
            .flag("storage-location", self.vm.region());
        self.there(
            Step::run("The state, of a VM that is stopped.", take)
                .for_each_of(Name::NewSnapshot)
                .change(Word::from("+ snapshot ").name(Name::Each))
                .will(Word::from("make snapshot - ").name(Name::Each).text(" ?")),
        )
    }

    fn make_disk(self) -> Step {
        let gcp = &self.vm.target.spec.gcp;
        let kind = Machine::new(&gcp.machine_type).disk_type();
        let source =
            Word::from("projects/").word(self.old_project()).text("/global/snapshots/").name(Name::Snapshot);
        let make = ScriptCommand::gcloud("compute disks create")
            .arg(Word(Vec::new()).name(Name::Each))
            .in_project()
            .flag("zone", self.vm.zone())
            .flag_word("source-snapshot", source)
            .flag("size", format!("{}GB", gcp.data_disk.gb()))
            .flag("type", kind)
            .flag("labels", self.vm.labels());
        Step::run("The state in its new place; the old disk stays.", make)
            .for_each_of(Name::NewData)
            .change(
                Word::from("+ data disk ")
                    .name(Name::Each)
                    .text(format!(" in {}, {kind}, of that snapshot", self.vm.zone())),
            )
            .makes_disk(self.vm, Word(Vec::new()).name(Name::Each), gcp.data_disk.gb())
    }

    /// Deletes the old VM, and says what stays.
    fn delete_old(self) -> [Step; 2] {
        let old = self.old;
        let (name, zone) = (old.name, old.zone());
        let delete = old
            .delete("The new gateway is ready. The old VM goes; its data disk stays.")
            .only_where(old.listed(""))
            .change(format!("- VM {name} in {zone}, once the new gateway is ready; its data disk stays"))
            .will(format!("end vm from/{zone} {name}"))
            .will(format!("end disk from/{zone} {name}"));
        let stays = Word::from(format!(
            "You keep paying for the old data disk and the snapshot of the move. Once they are not needed: \
             gcloud compute disks list --zones={zone} --filter='labels.openclaw={name}' --project="
        ))
        .word(self.old_project())
        .text(", and gcloud compute disks delete, gcloud compute snapshots delete");
        [self.there(delete).settles(), Step::note("The old disk and the snapshot stay.").tell(stays)]
    }
}
