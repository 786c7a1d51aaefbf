//! `create`, which is also the bundle's `gcloud.sh`: snapshot schedule, data disk and VM. It keeps existing
//! resources and deletes nothing.

use super::effects::Rows;
use super::guards;
use super::metadata::VmMetadata;
use super::script::{BundleFolder, Script, Step};
use super::target::Target;
use super::vm::Vm;

/// The script's file name in the bundle.
pub const NAME: &str = "gcloud.sh";

/// Creates the missing ones of schedule, disk and VM.
pub fn script(target: Target<'_>, metadata: &VmMetadata, folder: BundleFolder) -> Script {
    let vm = Vm::of(target);
    let mut steps = guards::must_be_ours(target, None);
    steps.extend(guards::must_not_be_elsewhere(target, None));
    steps.extend(vm.picked_image(vm.listed("")));
    let [look, drift] = vm.metadata_drift(metadata);
    steps.push(look);
    steps.push(Rows::of(vm, std::slice::from_ref(vm.name)).look());
    steps.extend(vm.snapshot_schedule());
    steps.extend(vm.data_disk());
    steps.extend(vm.disk_schedule());
    steps.push(vm.instance(metadata));
    steps.push(drift);
    steps.extend(vm.relabelled(""));
    steps.push(
        Step::note("The VM there is may be of an older bundle.").unless(vm.listed_as_is(metadata)).tell(
            format!("{}: the VM has another bundle. To change it in place: bake gcloud update | sh", vm.name),
        ),
    );
    let about = format!(
        "bake gcloud create: creates the VM `{}` of an OpenClaw Gateway, with its data disk.\n\
         Safe to run twice. Rendered by bake: to change it, edit bake.yaml.\n\
         Lock: {}",
        vm.name,
        target.lock()
    );
    Script::new("create", about, target, steps)
        .reading(folder, metadata.files())
        .stays("everything that exists already; a VM from another bundle is reported, and not replaced.")
        .gateway("a running one keeps running; a new one is ready after some minutes.")
        .costs(vm.costs())
}
