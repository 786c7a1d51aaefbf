//! `destroy`: the VM and its boot disk; data disk and snapshots only where that was asked for twice.

use super::cleanup;
use super::confirm::confirm;
use super::effects::Rows;
use super::guards;
use super::network::nat_price;
use super::script::{Name, Script, ScriptCommand, Step, Word};
use super::target::Target;
use super::vm::{ID_LABEL, Vm, named, shortened};
use crate::project::machine;
use crate::project::names::VmName;

/// The warning before a deletion of data.
pub(super) const FOR_GOOD: &str = "All of this will be deleted, and cannot be brought back.";

/// Deletes the VM; with `data`, also every other resource of the gateway, after its name was typed; with `all`, also
/// its OS images, and what `setup` made for it and nothing else uses.
///
/// # Errors
/// Where the state is on the boot disk and `data` is not given.
pub fn script(target: Target<'_>, data: bool, all: bool) -> Result<Script, String> {
    let vm = Vm::of(target);
    if !vm.has_data_disk() && !data {
        return Err(
            "without a data disk the state is on the boot disk, and goes with the VM: say so with --data"
                .to_owned(),
        );
    }
    let mut steps = guards::must_be_ours(target, None);
    if all {
        steps.push(cleanup::find_unused(target, std::slice::from_ref(vm.name)));
        steps.push(cleanup::find_older(target, std::slice::from_ref(vm.name)));
    }
    let rows = Rows::of(vm, std::slice::from_ref(vm.name)).with_snapshots();
    steps.push(if all || target.spec.gcp.public_ip.value { rows } else { rows.with_nat() }.look());
    if data {
        steps.push(confirm(vm.name.as_str(), FOR_GOOD));
    } else {
        steps.push(vm.must_be_on_its_disk(&["To delete it with its state: bake gcloud destroy --data | sh"]));
    }
    let mut delete = vm
        .delete("The VM and its boot disk; a data disk stays.")
        .only_where(vm.listed(""))
        .change(format!("- VM {} and its boot disk", vm.name))
        .ends_vm(vm)
        .tell(format!("{}: the VM is deleted", vm.name));
    if !data {
        delete = delete.tell("You keep paying for the data disk and its snapshots. A VM on it: bake gcloud create | sh. To delete it too: bake gcloud destroy --data | sh");
    }
    steps.push(delete);
    if data {
        steps.extend(vm.delete_data());
        steps.push(vm.delete_schedule());
    }
    if all {
        steps.extend(cleanup::delete_unused(target));
    }
    let about = format!(
        "bake gcloud destroy: deletes the VM `{}` and its boot disk{}.{}\nSafe to run twice.",
        vm.name,
        if data { ",\nits data disks, their snapshots and the schedule" } else { "" },
        if all {
            "\nAlso deletes its OS images, and what `setup` made for it and nothing else uses."
        } else {
            ""
        }
    );
    Ok(vm.farewell(Script::new("destroy", about, target, steps), 1, data, all))
}

impl Vm<'_> {
    /// Adds to the header of a `destroy` of `vms` VMs the resources that stay, and their price.
    pub(super) fn farewell(self, script: Script, vms: usize, data: bool, all: bool) -> Script {
        let disks = if vms == 1 { "data disk" } else { "data disks" };
        let mut stays = Vec::new();
        let mut costs = Vec::new();
        if !data {
            stays.push(format!("{disks} and snapshots, until you add --data"));
            costs.push(format!("{}{}", if vms == 1 { "" } else { "for each data disk " }, self.disk_costs()));
            costs.push(format!("snapshots about {:.2} USD a month for each GB", machine::snapshot_price()));
        }
        if all {
            stays.push("resources that other VMs use, and each secret whose name you do not type".to_owned());
        } else {
            stays.push("OS images and what `setup` made, until you add --all".to_owned());
            costs.push(format!("an OS image about {:.2} USD a month for each GB", machine::image_price()));
            if !self.target.spec.gcp.public_ip.value {
                costs.push(format!("Cloud NAT {}", nat_price()));
            }
        }
        let costs = match &costs[..] {
            [] => "nothing afterwards, except for what stays.".to_owned(),
            costs => format!("afterwards {}.", costs.join("; ")),
        };
        let gone = if vms == 1 { "gone with its VM." } else { "gone with their VMs." };
        script.stays(format!("{}.", stays.join("; "))).gateway(gone).costs(costs)
    }

    /// Holds for snapshots of its data disk, or of one that was restored, but not for those of a copy under a
    /// longer name.
    pub(super) fn is_its_snapshot(self) -> String {
        self.is_snapshot_of(std::slice::from_ref(self.name))
    }

    /// A pattern for the names of the data disks of these members.
    pub(super) fn disk_names(members: &[VmName]) -> String {
        let disks = members.iter().map(|name| {
            let disk = name.data_disk();
            let restored = shortened(&disk, "-12345678");
            format!("{disk}|{restored}-[0-9a-f]{{8}}")
        });
        disks.collect::<Vec<_>>().join("|")
    }

    /// The same for these members.
    pub(super) fn is_snapshot_of(self, members: &[VmName]) -> String {
        let disks = Vm::disk_names(members);
        let of_disk = format!("sourceDisk ~ \"/zones/{}/disks/({disks})$\"", self.zone());
        match &self.target.spec.id {
            // One without a label was taken by hand, or by an older bake's schedule.
            Some(_) => format!("{of_disk} AND ({} OR NOT labels.{ID_LABEL}:*)", self.is_labelled()),
            None => of_disk,
        }
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
                .change(Word::from(format!("- data disk of {}: ", self.name)).name(Name::Each))
                .will(Word::from(format!("end disk {} ", self.zone())).name(Name::Each)),
            Step::run("Every snapshot of these disks.", snapshot)
                .for_each(snapshots)
                .change(Word::from(format!("- snapshot of a data disk of {}: ", self.name)).name(Name::Each))
                .will(Word::from("end snapshot - ").name(Name::Each)),
        ]
    }

    /// Deletes the schedule that bake made for this project.
    pub(super) fn delete_schedule(self) -> Step {
        let schedule = self.target.spec.name.snapshot_schedule();
        let there = ScriptCommand::gcloud("compute resource-policies list")
            .in_project()
            .flag(
                "filter",
                format!("{} AND region:{} AND {}", named(&schedule), self.region(), self.is_described()),
            )
            .flag("format", "value(name)");
        let delete = ScriptCommand::gcloud("compute resource-policies delete")
            .arg(schedule.clone())
            .in_project()
            .flag("region", self.region())
            .arg("--quiet");
        Step::run("The snapshot schedule, which no disk has any more.", delete)
            .only_where(there)
            .change(format!("- snapshot schedule {schedule}"))
    }
}
