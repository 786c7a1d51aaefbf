//! The effects of a plan: which VMs and disks stay, how long gateways are away, and what a month costs before and after.
//!
//! Steps note their effects on rows (`sh/effects.sh` lists the kinds); [`look`] finds the rows of before.

use super::script::{Script, ScriptCommand, Shell, Step, Word};
use super::vm::Vm;
use crate::project::machine::Machine;
use crate::project::names::{MachineType, VmName};

/// Minutes without a gateway: of a change of the release in place, a restart of the VM, a new VM on the same disk, and
/// a move. Estimates for an `e2-small`, from times on this project's test machine: docs/measured.md.
pub(super) const IN_PLACE: u32 = 2;
pub(super) const RESTART: u32 = 3;
pub(super) const REPLACED: u32 = 5;
pub(super) const MOVED: u32 = 10;

/// The rows of an action that changes a gateway.
pub(super) struct Rows<'a> {
    vm: Vm<'a>,
    members: &'a [VmName],
    commands: Vec<(&'static str, &'static str, ScriptCommand)>,
}

impl<'a> Rows<'a> {
    /// The VMs `members` of the spec of `vm`, with their disks.
    pub(super) fn of(vm: Vm<'a>, members: &'a [VmName]) -> Self {
        Self { vm, members, commands: Vec::new() }.with("vm", "found_vm", "disk", "found_disk", vm, members)
    }

    /// Those of a VM that moves, too.
    pub(super) fn moving_from(self, old: Vm<'_>, there: impl Fn(ScriptCommand) -> ScriptCommand) -> Self {
        let members = std::slice::from_ref(old.name);
        let mut rows = self.with("old_vm", "found_old_vm", "old_disk", "found_old_disk", old, members);
        for (kind, _, command) in &mut rows.commands {
            if kind.starts_with("old_") {
                *command = there(command.clone());
            }
        }
        rows
    }

    /// The snapshots of their disks, too.
    pub(super) fn with_snapshots(mut self) -> Self {
        let snapshots = ScriptCommand::gcloud("compute snapshots list")
            .in_project()
            .flag("filter", self.vm.is_snapshot_of(self.members))
            .flag("format", "value[separator=' '](name,storageBytes)");
        self.commands.push(("snapshot", "found_snapshot", snapshots));
        self
    }

    /// The router with the Cloud NAT that `setup` made, too.
    pub(super) fn with_nat(mut self) -> Self {
        let routers = self.vm.own_router("value[separator=' '](region.basename(),name)");
        self.commands.push(("nat", "found_nat", routers));
        self
    }

    fn with(
        mut self,
        kind: &'static str,
        function: &'static str,
        disk: &'static str,
        disk_function: &'static str,
        vm: Vm<'_>,
        members: &[VmName],
    ) -> Self {
        let list = |words: &str, filter: String, fields: &str| {
            ScriptCommand::gcloud(words)
                .in_project()
                .flag("zones", vm.zone())
                .flag("filter", filter)
                .flag("format", format!("value[separator=' '](zone.basename(),name,{fields})"))
        };
        let names: Vec<_> = members.iter().map(VmName::as_str).collect();
        let names = format!("name ~ \"^({})$\"", names.join("|"));
        let vms = list(
            "compute instances list",
            names.clone(),
            "machineType.basename(),status,networkInterfaces[0].accessConfigs[0].natIP",
        );
        // A boot disk has the name of its VM, and no labels.
        let disks = list("compute disks list", vm.is_disk_of(members, &names), "type.basename(),sizeGb");
        self.commands.extend([(kind, function, vms), (disk, disk_function, disks)]);
        self
    }

    /// The step that finds them.
    pub(super) fn look(self) -> Step {
        let how = "each prints rows for the last lines of the plan; where one fails, the plan has no costs";
        let shell = Shell::calling(how, &[], ["look_at_rows"]);
        let shell = self.commands.into_iter().fold(shell, |shell, (kind, function, command)| {
            shell.argument(kind.into()).command(function, command)
        });
        Step::shell("The VMs and disks of before, for the costs and what stays.", shell).look()
    }
}

impl Step {
    /// Its VM is made, or made again, as the spec has it.
    pub(super) fn makes_vm(self, vm: Vm<'_>) -> Self {
        let gcp = &vm.target.spec.gcp;
        let address = if gcp.public_ip.value { " address" } else { "" };
        let (zone, name, machine_type) = (vm.zone(), vm.name, &gcp.machine_type.value);
        self.will(format!("make vm {zone} {name} {machine_type} RUNNING{address}")).makes_disk(
            vm,
            name.as_str(),
            gcp.boot_disk.gb(),
        )
    }

    /// A disk of so many GB, of the kind that fits the spec's machine type.
    pub(super) fn makes_disk(self, vm: Vm<'_>, name: impl Into<Word>, gb: u32) -> Self {
        let kind = Machine::new(&vm.target.spec.gcp.machine_type).disk_type();
        let row = Word::from(format!("make disk {} ", vm.zone())).word(name.into());
        self.will(row.text(format!(" {kind} {gb}")))
    }

    /// Its VM runs afterwards, as this machine type if that changes.
    pub(super) fn runs(self, vm: Vm<'_>, machine_type: Option<&MachineType>) -> Self {
        let of = machine_type.map_or_else(String::new, |machine_type| format!(" {machine_type}"));
        self.will(format!("run {} {}{of}", vm.zone(), vm.name))
    }

    /// Its gateway is away for `minutes`.
    pub(super) fn away(self, vm: &VmName, minutes: u32) -> Self {
        self.will(format!("away {vm} {minutes}"))
    }

    /// The VM and its boot disk go for good.
    pub(super) fn ends_vm(self, vm: Vm<'_>) -> Self {
        let (zone, name) = (vm.zone(), vm.name);
        self.will(format!("gone {name}"))
            .will(format!("end vm {zone} {name}"))
            .will(format!("end disk {zone} {name}"))
    }
}

impl Script {
    /// The words about a gateway that is away.
    pub(super) fn gateway_away(self, minutes: u32) -> Self {
        self.gateway(format!("away for about {minutes} minutes."))
    }
}
