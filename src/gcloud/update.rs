//! `update --replace`: replaces the VM by one of this bundle. The data disk stays.

use super::effects::{self, Rows};
use super::guards;
use super::metadata::VmMetadata;
use super::script::{BundleFolder, Script, ScriptCommand, Step, Word};
use super::target::Target;
use super::vm::Vm;

/// The advice if the state is on the boot disk.
pub(super) const MOVE: &str = "How the state comes to a data disk: docs/gcloud.md, \"A VM without a data disk\". To delete the VM and the state: bake gcloud destroy --data | sh";

/// Deletes the VM if it is of another bundle, and creates it again.
///
/// # Errors
/// Where there is no data disk, so that the state would go with the VM.
pub fn script(target: Target<'_>, metadata: &VmMetadata, folder: BundleFolder) -> Result<Script, String> {
    let vm = Vm::of(target);
    if !vm.has_data_disk() {
        return Err("without a data disk the state is on the boot disk, and would go with the VM: docs/gcloud.md says how it comes to a data disk".to_owned());
    }
    let mut steps = guards::must_be_ours(target, None);
    steps.extend(guards::must_not_be_elsewhere(target, None));
    steps.push(vm.must_be_on_its_disk(&[MOVE]));
    steps.extend(vm.disk_must_fit());
    steps.push(vm.type_must_be_there(&target.spec.gcp.machine_type));
    let is_other =
        format!("(NOT labels.openclaw-bundle={} OR {})", vm.bundle(metadata), vm.has_other_identity());
    steps.extend(vm.must_be_replaceable(vm.replaced(std::slice::from_ref(vm.name), &is_other)));
    steps.extend(vm.picked_image(vm.listed(&format!("NOT {is_other}"))));
    let [look, drift] = vm.metadata_drift(metadata);
    steps.push(look);
    steps.push(Rows::of(vm, std::slice::from_ref(vm.name)).look());
    steps.extend(vm.snapshot_schedule());
    steps.extend(vm.data_disk());
    steps.extend(vm.disk_schedule());
    steps.push(
        vm.delete("A VM of another bundle, machine type, service account or scopes; its data disk stays.")
            .only_where(vm.listed(&is_other))
            .change(format!("- VM {}, and + a new one of this bundle on the same data disk", vm.name))
            .away(vm.name, effects::REPLACED)
            .makes_vm(vm)
            .leaves(format!("The VM {} is deleted or about to be; its data disk is kept. To make the new one: bake gcloud update | sh", vm.name)),
    );
    steps.push(vm.instance(metadata).settles());
    steps.push(drift);
    steps.extend(vm.relabelled(&format!("labels.openclaw-bundle={}", vm.bundle(metadata))));
    let about = format!(
        "bake gcloud update --replace: replaces the VM `{}` unless it was created from the current bundle.\n\
         Safe to run twice.\n\
         Lock: {}",
        vm.name,
        target.lock()
    );
    Ok(Script::new("update", about, target, steps)
        .reading(folder, metadata.files())
        .stays("the data disk with all state, and its snapshots.")
        .gateway(format!(
            "away for about {} minutes while the VM is replaced; otherwise it keeps running.",
            effects::REPLACED
        ))
        .costs(vm.costs()))
}

impl Vm<'_> {
    /// Ends the script, with `remedies`, where the VM that is there has its state on the boot disk: one that
    /// was made by hand, or of another spec than today's.
    pub(super) fn must_be_on_its_disk(self, remedies: &[&str]) -> Step {
        let device = self.device();
        let said = format!(
            "{}: the VM that is there has no disk {device}, so that its state is on the boot disk, and would go with it.",
            self.name
        );
        Step::refuse(
            "A VM without a data disk has all its state on the disk that goes with it.",
            self.listed(&format!("NOT disks[].deviceName ~ \"^{device}$\"")),
            std::iter::once(said.as_str()).chain(remedies.iter().copied()).map(Word::from),
        )
    }

    /// Deletes the VM and its boot disk, and never its data disk.
    pub(super) fn delete(self, why: &str) -> Step {
        let delete = ScriptCommand::gcloud("compute instances delete")
            .arg(self.name.as_str())
            .in_project()
            .flag("zone", self.zone())
            .flag("keep-disks", "data")
            .arg("--quiet");
        Step::run(why, delete)
    }
}
