//! `resize`: another machine type for the VM, as for one that ran out of memory.

use super::script::{Script, ScriptCommand, Step};
use super::vm::Vm;
use super::wait;
use crate::plan::Plan;
use crate::project::machine::Machine;
use crate::project::names::MachineType;

/// Stops the VM, changes its type, starts it, and waits for its gateway for `timeout` seconds.
///
/// # Errors
/// Where the type is of another architecture, or takes other disks than the VM has.
pub fn script(plan: &Plan<'_>, machine_type: &MachineType, timeout: u32) -> Result<Script, String> {
    let vm = Vm::of(plan);
    let (spec, wanted) = (plan.spec, Machine::new(machine_type));
    if let Some(arch) = wanted.arch().filter(|arch| *arch != spec.host.arch.value) {
        return Err(format!("{machine_type} is an {arch} machine, and the VM is {}", spec.host.arch.value));
    }
    let is_hyper = |machine: &Machine<'_>| machine.disk_type().starts_with("hyperdisk");
    let current = Machine::new(&spec.gcp.machine_type);
    if is_hyper(&wanted) != is_hyper(&current) {
        return Err(format!(
            "{machine_type} takes {} disks, and those of the VM are {}: a snapshot can be restored to a new VM of that type",
            wanted.disk_type(),
            current.disk_type()
        ));
    }
    let command =
        |words: &str| ScriptCommand::gcloud(words).arg(vm.name.as_str()).in_project().flag("zone", vm.zone());
    let is_other = format!("NOT machineType ~ \"/{machine_type}$\"");
    let mut steps = vec![
        vm.must_be_there(),
        Step::run(
            "The type can be changed of a VM that stands still only.",
            command("compute instances stop"),
        )
        .only_where(vm.listed(&format!("{is_other} AND NOT status=TERMINATED"))),
        Step::run(
            "The new type; disks, addresses inside and metadata stay.",
            command("compute instances set-machine-type").flag("machine-type", machine_type),
        )
        .only_where(vm.listed(&is_other))
        .stands(format!("the VM {} as {machine_type}", vm.name)),
        Step::run("The gateway starts with the VM.", command("compute instances start"))
            .unless(vm.listed("status=RUNNING"))
            .tell(format!("{} starts as {machine_type}", vm.name))
            .tell_already(format!("{}: the VM runs as {machine_type}", vm.name)),
        Step::note("The spec is what the next VM is made of.")
            .tell(format!("So that an update keeps it, write into bake.yaml: machine_type: {machine_type}")),
    ];
    steps.extend(wait::steps(std::iter::once(vm), None, timeout));
    let about = format!("Gives the VM `{}` the machine type {machine_type}. Safe to run twice.", vm.name);
    Ok(Script::new("resize", about, plan, steps))
}

impl Vm<'_> {
    /// Ends the script where there is no VM.
    pub(super) fn must_be_there(self) -> Step {
        Step::need(
            "Without a VM there is nothing to do.",
            self.listed(""),
            [format!("There is no VM {} in {}: bake gcloud create | sh", self.name, self.zone()).into()],
        )
    }
}
