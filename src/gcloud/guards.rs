//! Conditions for a change: the resources to change belong to this project, and the resources to create can be
//! created.

use super::confirm::confirm;
use super::script::{Name, ScriptCommand, Shell, Step, Word};
use super::target::Target;
use super::vm::{ID_LABEL, Vm, named};
use crate::project::machine::Machine;
use crate::project::names::{MachineType, VmName};

const FUNCTIONS: &[&str] = &[include_str!("sh/guards.sh")];

/// Ends the script unless everything of the names of these VMs carries this project's labels; with
/// `--adopt`, gives the labels to the spec's VM and its disk, once its name was typed.
pub(super) fn must_be_ours(target: Target<'_>, members: Option<&[VmName]>) -> Vec<Step> {
    let vms: Vec<_> = match members {
        None => vec![Vm::of(target)],
        Some(members) => members.iter().map(|name| Vm { target, name }).collect(),
    };
    if target.adopt && members.is_none() {
        return Vm::of(target).adopted();
    }
    let group = Vm::of(target);
    // The VMs of a fleet have the labels of its template.
    let is_labelled = |vm: Vm<'_>| match (&target.spec.id, members) {
        (None, Some(_)) => format!("labels.openclaw ~ \"^({}|{})$\"", group.name, vm.name),
        _ => vm.is_labelled(),
    };
    vms.into_iter()
        .flat_map(|vm| {
            let what = [("instances", vm.name.to_string()), ("disks", vm.name.data_disk())];
            what.map(|(kind, name)| {
                Step::refuse(
                    format!("Left alone, unless bake made it for this project: {name}."),
                    vm.foreign(kind, &name, &is_labelled(vm)),
                    vm.not_ours(kind, &name),
                )
            })
        })
        .collect()
}

/// Ends the script where this project has VMs or data disks in another zone, or by another name.
pub(super) fn must_not_be_elsewhere(target: Target<'_>, members: Option<&[VmName]>) -> Vec<Step> {
    let vm = Vm::of(target);
    let here = format!("zone ~ \"/{}$\"", vm.zone());
    let named_so = match members {
        None => format!("labels.openclaw ~ \"^{}$\"", vm.name),
        // Data disks are labelled by their member, VMs by their fleet.
        Some(members) => {
            let names: Vec<_> = members.iter().chain([vm.name]).map(VmName::as_str).collect();
            format!("labels.openclaw ~ \"^({})$\"", names.join("|"))
        }
    };
    let elsewhere = match &target.spec.id {
        Some(_) => format!("{} AND (NOT {here} OR NOT {named_so})", vm.is_labelled()),
        None => format!("{named_so} AND NOT {here}"),
    };
    let list = |kind: &str| {
        ScriptCommand::gcloud(&format!("compute {kind} list"))
            .in_project()
            .flag("filter", &elsewhere)
            .flag("format", "value[separator=' in '](name,zone.basename())")
    };
    let how =
        "ends with an error where the first prints something, or the second does while the third does not";
    let shell = Shell::calling(how, FUNCTIONS, ["must_not_be_elsewhere"])
        .command("vms_elsewhere", list("instances"))
        .command("disks_elsewhere", list("disks"))
        .command("disks_here", vm.list("compute disks list", vm.is_its_disk().into()));
    vec![
        Step::shell(
            "A VM or a data disk in another zone, or by another name, has the state of this gateway.",
            shell,
        )
        .look(),
    ]
}

impl Vm<'_> {
    /// Prints the name of the resource `name` if it does not have this project's labels.
    fn foreign(self, kind: &str, name: &str, is_labelled: &str) -> ScriptCommand {
        self.list(&format!("compute {kind} list"), format!("{} AND NOT {is_labelled}", named(name)).into())
    }

    fn not_ours(self, kind: &str, name: &str) -> [Word; 4] {
        let label = match &self.target.spec.id {
            Some(id) => format!("{ID_LABEL}={}", id.value),
            None => format!("openclaw={}", self.name),
        };
        let what = if kind == "disks" { "disk" } else { "VM" };
        [
            format!("The {what} {name} in {} does not carry the label {label}: bake did not make it for this project, and leaves it alone. To look at it:", self.zone()).into(),
            Word::from(format!("  gcloud compute {kind} describe {name} --zone={} --project=", self.zone())).name(Name::Project),
            "Is it another gateway? Then give this one another name in bake.yaml. Is it this one, made by hand or by an older bake? Then take it over:".into(),
            "  bake gcloud create --adopt | sh".into(),
        ]
    }

    /// Shows what has the names of this VM and its disk, and labels it as this project's.
    fn adopted(self) -> Vec<Step> {
        let labelled = self.is_labelled();
        let mut steps = Vec::new();
        for (kind, what, name) in
            [("instances", "VM", self.name.to_string()), ("disks", "disk", self.name.data_disk())]
        {
            let foreign = self.foreign(kind, &name, &labelled);
            let show = ScriptCommand::gcloud(&format!("compute {kind} list"))
                .in_project()
                .flag("zones", self.zone())
                .flag("filter", named(&name));
            let label = ScriptCommand::gcloud(&format!("compute {kind} add-labels"))
                .arg(name.as_str())
                .in_project()
                .flag("zone", self.zone())
                .flag("labels", self.labels());
            steps.push(Step::run(format!("The {what} to adopt."), show).only_where(foreign.clone()).look());
            steps.push(
                confirm(
                    &name,
                    "It will count as this project's, and later actions may replace or delete it.",
                )
                .only_where(foreign.clone()),
            );
            steps.push(
                Step::run("Its labels say from now on whose it is.", label)
                    .only_where(foreign)
                    .change(format!("~ {what} {name}: labels {}", self.labels())),
            );
        }
        steps
    }

    /// Ends the script where the zone has no such machine type.
    pub(super) fn type_must_be_there(self, machine_type: &MachineType) -> Step {
        let there = ScriptCommand::gcloud("compute machine-types list")
            .in_project()
            .flag("zones", self.zone())
            .flag("filter", named(machine_type.as_str()))
            .flag("format", "value(name)");
        Step::need(
            "A VM that was stopped or deleted for a machine type that there is not would not come back.",
            there,
            [
                format!("There is no machine type {machine_type} in {}. Those that there are:", self.zone())
                    .into(),
                Word::from(format!("  gcloud compute machine-types list --zones={} --project=", self.zone()))
                    .name(Name::Project),
            ],
        )
    }

    /// Ends the script where the data disk in use cannot be attached to the spec's machine type, or is
    /// larger than the spec says.
    pub(super) fn disk_must_fit(self) -> [Step; 3] {
        let gcp = &self.target.spec.gcp;
        let gb = gcp.data_disk.gb();
        let is_hyper = Machine::new(&gcp.machine_type).disk_type().starts_with("hyperdisk");
        let other = if is_hyper { "NOT type ~ \"/hyperdisk\"" } else { "type ~ \"/hyperdisk\"" };
        let disk = |filter: &str| {
            let data = Word::from("name ~ \"^").name(Name::Data).text(format!("$\" AND {filter}"));
            self.list("compute disks list", data)
        };
        [
            Step::note("The data disk in use: of several, the newest, which was restored.")
                .unless(self.data_in_use())
                .learns(Name::Data, "")
                .look(),
            Step::refuse(
                "Some families of machines take Hyperdisk only, others none.",
                disk(other),
                [
                    format!("{} cannot use the data disk there is: machines of this family take {} only.", gcp.machine_type.value, if is_hyper { "Hyperdisk" } else { "persistent disks" }).into(),
                    "Nothing was changed. Write another gcp.machine_type into bake.yaml, or another gcp.zone or name too, and move the state to a disk of that kind: bake gcloud move.".into(),
                ],
            ),
            Step::refuse(
                "A disk never shrinks.",
                disk(&format!("sizeGb>{gb}")),
                [
                    Word::from("The data disk ").name(Name::Found).text(format!(" is larger than bake.yaml says ({gb}GB), and a disk cannot shrink.")),
                    "Nothing was changed. Write its size into bake.yaml: gcp.data_disk".into(),
                ],
            ),
        ]
    }
}
