//! `resize`: another machine type for the VM, as for one that ran out of memory.

use super::effects::{self, Rows};
use super::guards;
use super::script::{Name, Script, ScriptCommand, Step, Word};
use super::target::Target;
use super::vm::Vm;
use super::wait;
use crate::project::machine::{self, Machine};
use crate::project::names::MachineType;

/// Stops the VM, changes its type, starts it, and waits for its gateway for `timeout` seconds.
///
/// # Errors
/// Where the type is of another architecture, or takes other disks than the VM has.
pub fn script(target: Target<'_>, machine_type: &MachineType, timeout: u32) -> Result<Script, String> {
    let vm = Vm::of(target);
    let (spec, wanted) = (target.spec, Machine::new(machine_type));
    if let Some(arch) = wanted.arch().filter(|arch| *arch != spec.host.arch.value) {
        return Err(format!("{machine_type} is an {arch} machine, and the VM is {}", spec.host.arch.value));
    }
    let is_hyper = |machine: &Machine<'_>| machine.disk_type().starts_with("hyperdisk");
    let current = Machine::new(&spec.gcp.machine_type);
    if is_hyper(&wanted) != is_hyper(&current) {
        return Err(format!(
            "{machine_type} takes {} disks, and those of the VM are {}: write the type and another zone or name into bake.yaml, and run bake gcloud move",
            wanted.disk_type(),
            current.disk_type()
        ));
    }
    let command =
        |words: &str| ScriptCommand::gcloud(words).arg(vm.name.as_str()).in_project().flag("zone", vm.zone());
    let is_other = format!("NOT machineType ~ \"/{machine_type}$\"");
    let start = command("compute instances start");
    let by_hand =
        Word::from(format!("  gcloud compute instances start {} --zone={} --project=", vm.name, vm.zone()))
            .name(Name::Project);
    let mut steps = vec![vm.must_be_there()];
    steps.extend(guards::must_be_ours(target, None));
    steps.push(vm.type_must_be_there(machine_type));
    steps.push(vm.quota_must_suffice(
        vm.replaced(std::slice::from_ref(vm.name), &is_other),
        machine_type,
        false,
    ));
    steps.push(Rows::of(vm, std::slice::from_ref(vm.name)).look());
    steps.extend([
        Step::run("Only a VM that is stopped can change its type.", command("compute instances stop"))
            .only_where(vm.listed(&format!("{is_other} AND NOT status=TERMINATED")))
            .change(format!("~ VM {}: stops", vm.name))
            .away(vm.name, effects::RESTART)
            .leaves(
                Word::from(format!(
                    "The VM {} may be stopped. To start it with the machine type that it has:\n",
                    vm.name
                ))
                .word(by_hand),
            ),
        Step::run(
            "The new type; disks, addresses inside and metadata stay.",
            command("compute instances set-machine-type").flag("machine-type", machine_type),
        )
        .only_where(vm.listed(&is_other))
        .change(format!("~ VM {}: becomes {machine_type}", vm.name))
        .runs(vm, Some(machine_type)),
        Step::run("The gateway starts with the VM.", start)
            .unless(vm.listed(&format!("status=RUNNING AND machineType ~ \"/{machine_type}$\"")))
            .change(format!("~ VM {}: starts", vm.name))
            .runs(vm, Some(machine_type))
            .settles()
            .tell_already(format!("VM {}, which runs as {machine_type}", vm.name)),
    ]);
    if *machine_type != *spec.gcp.machine_type {
        steps.push(Step::note("The spec is what the next VM is made of.").tell(format!(
            "Write it into bake.yaml too, or update refuses, and update --replace goes back: machine_type: {machine_type}"
        )));
    }
    steps.extend(wait::steps(std::iter::once(vm), None, timeout));
    let about = format!(
        "bake gcloud resize: changes the machine type of the VM `{}` to {machine_type}.\nSafe to run twice.",
        vm.name
    );
    let estimate = |machine_type: &MachineType| {
        let gcp = &spec.gcp;
        let dollars = machine::estimate(machine_type, &gcp.zone, gcp.disks(), gcp.public_ip.value).dollars;
        dollars.map_or_else(|| "an unknown price".to_owned(), |dollars| format!("about {dollars} USD"))
    };
    let costs = format!(
        "{} a month with the machine type in bake.yaml, {} afterwards.",
        estimate(&spec.gcp.machine_type),
        estimate(machine_type)
    );
    Ok(Script::new("resize", about, target, steps)
        .stays("all disks, and the VM's address inside its network.")
        .gateway_away(effects::RESTART)
        .costs(costs))
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
