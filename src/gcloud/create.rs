//! `create`, which is also the bundle's `gcloud.sh`: data disk, snapshot schedule and VM; what is there
//! is kept, nothing is deleted.

use super::metadata::VmMetadata;
use super::script::{BundleFolder, Script, Step};
use super::vm::Vm;
use crate::plan::Plan;

/// The script's file name in the bundle.
pub const NAME: &str = "gcloud.sh";

/// Makes whatever is not there of disk, schedule and VM.
pub fn script(plan: &Plan<'_>, metadata: &VmMetadata, folder: BundleFolder) -> Script {
    let vm = Vm::of(plan);
    let mut steps: Vec<_> =
        [vm.snapshot_schedule(), vm.data_disk(), vm.disk_schedule()].into_iter().flatten().collect();
    steps.push(vm.instance(metadata));
    steps.push(
        Step::note("What changed in the bundle since the VM was made did not reach it.")
            .unless(vm.listed_as_is(metadata))
            .tell(format!("{}: the VM was made of another bundle. To replace it: bake gcloud update | sh, which keeps the data disk, and ends where the VM is on none", vm.name)),
    );
    let about = format!(
        "Creates the VM `{}` of an OpenClaw Gateway, with its data disk. Safe to run twice: it deletes nothing.\n\
         Rendered by bake from lock {}.\n\
         Change bake.yaml instead.",
        vm.name, plan.lock_digest
    );
    Script::new("create", about, plan, steps).reading(folder, metadata.files())
}
