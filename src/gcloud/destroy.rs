//! `destroy`: the VM and its boot disk; data disk and snapshots only where that was asked for twice.

use super::script::{Name, Script, ScriptCommand, Shell, Step, Word};
use super::vm::{Vm, named, shortened};
use crate::plan::Plan;

const FUNCTIONS: &[&str] = &[include_str!("confirm.sh")];

/// Deletes the VM; with `data`, whatever the gateway has, once its name was typed.
///
/// # Errors
/// Where the state is on the boot disk and `data` is not given.
pub fn script(plan: &Plan<'_>, data: bool) -> Result<Script, String> {
    let vm = Vm::of(plan);
    if !vm.has_data_disk() && !data {
        return Err(
            "without a data disk the state is on the boot disk, and goes with the VM: say so with --data"
                .to_owned(),
        );
    }
    let mut steps = Vec::new();
    if data {
        steps.push(vm.show());
        steps.push(confirm(vm.name.as_str()));
    } else {
        steps.push(vm.must_be_on_its_disk(&["To delete it with its state: bake gcloud destroy --data | sh"]));
    }
    let mut delete = vm
        .delete("The VM and its boot disk; a data disk stays, whatever it was attached with.")
        .only_where(vm.listed(""))
        .gone(format!("the VM {}", vm.name))
        .tell(format!("{}: the VM is deleted", vm.name))
        .tell_already(format!("{}: there is no VM", vm.name));
    if !data {
        let kept = "The data disk is kept, and costs what it costs. A VM on it: bake gcloud create | sh. To delete it too: bake gcloud destroy --data | sh";
        delete = delete.tell(kept);
    }
    steps.push(delete);
    if data {
        steps.extend(vm.delete_data());
        steps.push(vm.delete_schedule());
    }
    let about = format!(
        "Deletes the VM `{}`{}. Safe to run twice.",
        vm.name,
        if data {
            ", its data disks, their snapshots and the schedule"
        } else {
            "; the data disk and its snapshots stay"
        }
    );
    Ok(Script::new("destroy", about, plan, steps))
}

/// Goes on where `name` is typed only.
pub(super) fn confirm(name: &str) -> Step {
    Step::shell(
        "Nobody can bring it back, so the name is asked for; on the terminal, since standard input may be\n\
         this script.",
        Shell::calling(
            "asks for the name on the terminal, and ends with an error unless it is typed",
            FUNCTIONS,
            ["confirmed"],
        )
        .argument(name.into()),
    )
}

impl Vm<'_> {
    /// Shows the disks and snapshots that there are.
    pub(super) fn show(self) -> Step {
        let disks = ScriptCommand::gcloud("compute disks list")
            .in_project()
            .flag("zones", self.zone())
            .flag("filter", self.is_its_disk());
        let snapshots = ScriptCommand::gcloud("compute snapshots list")
            .in_project()
            .flag("filter", self.is_its_snapshot());
        Step::run(format!("What {} has beside its VM.", self.name), disks).then(snapshots)
    }

    /// Of its data disk, or of one that was restored: of no copy that somebody made under a longer name.
    fn is_its_snapshot(self) -> String {
        let disk = self.name.data_disk();
        let restored = shortened(&disk, "-12345678");
        format!("sourceDisk ~ \"/zones/{}/disks/({disk}|{restored}-[0-9a-f]{{8}})$\"", self.zone())
    }

    /// Deletes the data disks, and all snapshots of them.
    pub(super) fn delete_data(self) -> [Step; 2] {
        let each = || Word(Vec::new()).name(Name::Each);
        let disk = ScriptCommand::gcloud("compute disks delete")
            .arg(each())
            .in_project()
            .flag("zone", self.zone())
            .arg("--quiet");
        let snapshot =
            ScriptCommand::gcloud("compute snapshots delete").arg(each()).in_project().arg("--quiet");
        let snapshots = ScriptCommand::gcloud("compute snapshots list")
            .in_project()
            .flag("filter", self.is_its_snapshot())
            .flag("format", "value(name)");
        [
            Step::run("The data disk, and those that were in use before a restore.", disk)
                .for_each(self.list("compute disks list", self.is_its_disk().into()))
                .gone(format!("the data disks of {}", self.name)),
            Step::run("Every snapshot of these disks.", snapshot)
                .for_each(snapshots)
                .gone(format!("the snapshots of the data disks of {}", self.name)),
        ]
    }

    /// Deletes the schedule, which no disk has any more.
    pub(super) fn delete_schedule(self) -> Step {
        let schedule = self.plan.spec.name.snapshot_schedule();
        let there = ScriptCommand::gcloud("compute resource-policies list")
            .in_project()
            .flag("filter", format!("{} AND region:{}", named(&schedule), self.region()))
            .flag("format", "value(name)");
        let delete = ScriptCommand::gcloud("compute resource-policies delete")
            .arg(schedule)
            .in_project()
            .flag("region", self.region())
            .arg("--quiet");
        Step::run("The snapshot schedule; no disk has it any more.", delete).only_where(there)
    }
}
