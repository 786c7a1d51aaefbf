//! `update`: a VM of this bundle in place of the one that is there. The data disk stays.

use super::metadata::VmMetadata;
use super::script::{BundleFolder, Script, ScriptCommand, Step, Word};
use super::vm::Vm;
use crate::plan::Plan;

/// What helps where the state is on the boot disk.
pub(super) const MOVE: &str = "How the state comes to a data disk: docs/gcloud.md, \"A VM without a data disk\". To delete the VM and the state: bake gcloud destroy --data | sh";

/// Deletes the VM where it is of another bundle, and makes it anew.
///
/// # Errors
/// Where there is no data disk, so that the state would go with the VM.
pub fn script(plan: &Plan<'_>, metadata: &VmMetadata, folder: BundleFolder) -> Result<Script, String> {
    let vm = Vm::of(plan);
    if !vm.has_data_disk() {
        return Err("without a data disk the state is on the boot disk, and would go with the VM: docs/gcloud.md says how it comes to a data disk".to_owned());
    }
    let mut steps = vec![vm.must_be_on_its_disk(&[MOVE])];
    steps.extend([vm.snapshot_schedule(), vm.data_disk(), vm.disk_schedule()].into_iter().flatten());
    steps.push(
        vm.delete("The old VM; its data disk stays, whatever it was attached with.")
            .only_where(vm.listed(&format!("NOT labels.openclaw-bundle={}", vm.bundle(metadata))))
            .tell(format!("{}: the old VM is deleted, and the data disk kept", vm.name)),
    );
    steps.push(vm.instance(metadata));
    let about = format!(
        "Replaces the VM `{}` by one of this bundle. Rendered by bake from\n\
         lock {}. Safe to run twice: the data disk stays, and a VM of this bundle too.",
        vm.name, plan.lock_digest
    );
    Ok(Script::new("update", about, plan, steps).reading(folder, metadata.files()))
}

impl Vm<'_> {
    /// Ends the script, with `remedies`, where the VM that is there has its state on the boot disk: one
    /// that was made by hand, or of another spec than today's.
    pub(super) fn must_be_on_its_disk(self, remedies: &[&str]) -> Step {
        let device = self.device();
        let said = format!(
            "{}: the VM that is there has no disk {device}, so that its state is on the boot disk, and would go with it.",
            self.name
        );
        Step::refuse(
            "What is called so need not be of this spec: a VM that is not on a data disk has all its state on\n\
             the disk that goes with it.",
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
