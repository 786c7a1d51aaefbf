//! Conditions for deleting or stopping a VM: whether the one in its place can be made, as far as gcloud tells.

use super::script::{ScriptCommand, Shell, Step, Word};
use super::setup;
use super::vm::{Vm, account};
use crate::project::machine::Machine;
use crate::project::names::{MachineType, SecretId, VmName};

const FUNCTIONS: &[&str] = &[include_str!("sh/replacement.sh")];
const REQUIRE_FOUND: &[&str] = &[include_str!("sh/require-found.sh")];
const SET_UP: &str = "This creates it: bake gcloud setup | sh";

/// Machine type, status, size of the boot disk and public address of each VM.
const MACHINES: &str = "value[separator=' '](machineType.basename(),status,disks[0].diskSizeGb,\
    networkInterfaces[0].accessConfigs[0].natIP)";

/// The VMs that new ones take the place of.
pub(super) struct Replaced {
    /// Prints each, as [`MACHINES`] has it.
    pub(super) machines: ScriptCommand,
    /// Whether the new VMs use the same quota, so that the old ones make room for them.
    pub(super) make_room: bool,
    /// The size of a second data disk, in GB; the old VM keeps its disks then, and else takes its boot disk with it.
    pub(super) second_disk: u32,
}

impl Vm<'_> {
    /// Ends the script where `replaced` are VMs, and the VMs of this spec that take their places could not be
    /// made.
    pub(super) fn must_be_replaceable(self, replaced: Replaced) -> Vec<Step> {
        let spec = self.target.spec;
        let (family, project) = spec.host.os.image_family(spec.host.arch.value);
        let image = ScriptCommand::gcloud("compute images describe-from-family")
            .arg(family)
            .flag("project", project)
            .flag("format", "value(name)");
        let vm_account = account(spec.gcp.service_account.as_str());
        let identity = ScriptCommand::gcloud("iam service-accounts describe")
            .arg(vm_account.clone())
            .in_project()
            .flag("format", "value(email)");
        let mut steps = vec![
            self.quota_must_suffice(replaced, &spec.gcp.machine_type, true),
            must_be_found(
                format!("image family {family} of {project}").into(),
                "Set host.os in bake.yaml to another one.",
                image,
            ),
            must_be_found(Word::from("service account ").word(vm_account), SET_UP, identity),
        ];
        steps.extend(self.must_have_secrets());
        steps
    }

    /// Ends the script where there are VMs to change, and a secret of theirs has no usable version.
    pub(super) fn must_have_secrets(self) -> Vec<Step> {
        let secrets = setup::secrets(self.target);
        let look = |id: &SecretId| {
            let versions = setup::usable_version(id);
            must_be_found(format!("usable version of the secret {id}").into(), SET_UP, versions)
        };
        secrets.keys().map(look).collect()
    }

    /// The VMs `names` for which `filter` holds. They make room for the new ones, which are in their zone.
    pub(super) fn replaced(self, names: &[VmName], filter: &str) -> Replaced {
        let names: Vec<_> = names.iter().map(VmName::as_str).collect();
        let filter = if filter.is_empty() { String::new() } else { format!(" AND {filter}") };
        let machines = ScriptCommand::gcloud("compute instances list")
            .in_project()
            .flag("zones", self.zone())
            .flag("filter", format!("name ~ \"^({})$\"{filter}", names.join("|")))
            .flag("format", MACHINES);
        Replaced { machines, make_room: true, second_disk: 0 }
    }

    /// Ends the script where `replaced` are VMs, and a quota of the region has no room for as many VMs of
    /// `machine_type`: processors, and of new VMs disks and public addresses too.
    pub(super) fn quota_must_suffice(
        self,
        replaced: Replaced,
        machine_type: &MachineType,
        are_new: bool,
    ) -> Step {
        let gcp = &self.target.spec.gcp;
        let boot_gb = if are_new { gcp.boot_disk.gb() } else { 0 };
        let addresses = u32::from(are_new && gcp.public_ip.value);
        let quotas = ScriptCommand::gcloud("compute regions describe")
            .arg(self.region())
            .in_project()
            .flag("flatten", "quotas[]")
            .flag("format", "value[separator=' '](quotas.metric,quotas.limit,quotas.usage)");
        let how = "ends with an error where the first prints machine types, and the second less room than as \
                   many VMs of the new type need";
        let shell = Shell::calling(how, FUNCTIONS, ["require_quota"])
            .argument(machine_type.as_str().into())
            .argument(self.region().into())
            .argument(if replaced.make_room { "yes" } else { "" }.into())
            .value("disk_quota", Machine::new(machine_type).disk_quota())
            .value("boot_gb", boot_gb.to_string())
            .value("second_gb", replaced.second_disk.to_string())
            .value("addresses", addresses.to_string())
            .command("machines_now", replaced.machines)
            .command("region_quotas", quotas);
        Step::shell("The VM comes back only where the quota has room for it.", shell).look()
    }
}

fn must_be_found(what: Word, remedy: &str, look: ScriptCommand) -> Step {
    let how = "if there are VMs to replace, ends with an error if the command prints nothing or finds \
               nothing; continues if it is denied";
    let why = format!("A VM that is replaced needs it: {}.", super::shell::described(&what));
    let shell = Shell::calling(how, REQUIRE_FOUND, ["require_found"])
        .argument(what)
        .argument(remedy.into())
        .command("look_up", look);
    Step::shell(why, shell).look()
}
