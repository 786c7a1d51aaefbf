//! `update`: a VM of this bundle in place of the one that is there. The data disk stays.

use super::metadata::Metadata;
use super::script::{Command, Folder, Script, Step};
use super::vm::Vm;
use crate::plan::Plan;

/// Deletes the VM where it is of another bundle, and makes it anew.
///
/// # Errors
/// Where there is no data disk, so that the state would go with the VM.
pub fn script(plan: &Plan<'_>, metadata: &Metadata, folder: Folder) -> Result<Script, String> {
    let vm = Vm::of(plan);
    if !vm.has_data_disk() {
        return Err("without a data disk the state is on the boot disk, and would go with the VM: set `gcp.data_disk` in bake.yaml for the next VM".to_owned());
    }
    let mut steps: Vec<_> =
        [vm.snapshot_schedule(), vm.data_disk(), vm.disk_schedule()].into_iter().flatten().collect();
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
    /// Deletes the VM and its boot disk, and never its data disk.
    pub(super) fn delete(self, why: &str) -> Step {
        let delete = Command::gcloud("compute instances delete")
            .arg(self.name.as_str())
            .in_project()
            .flag("zone", self.zone())
            .flag("keep-disks", "data")
            .arg("--quiet");
        Step::run(why, delete)
    }
}
