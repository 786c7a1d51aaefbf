//! `status`: one look at the VM, its gateway, disk and snapshots, against bake.yaml and bake.lock.

use std::sync::LazyLock;

use super::advice;
use super::boot_image;
use super::group::{self, listed};
use super::metadata::VmMetadata;
use super::script::{Script, Shell, Step};
use super::target::Target;
use super::vm::{Vm, bake_version};
use crate::project::fleet::Fleet;
use crate::project::names::VmName;

static FUNCTIONS: LazyLock<[&str; 5]> = LazyLock::new(|| {
    [
        include_str!("sh/vm-state.sh"),
        advice::functions(),
        include_str!("sh/drift.sh"),
        include_str!("sh/json.sh"),
        include_str!("sh/status.sh"),
    ]
});

/// Looks once at each of these VMs, which may be those of a `fleet`; `as_json` has the script print one document.
pub fn script(
    target: Target<'_>,
    names: &[VmName],
    fleet: Option<&Fleet>,
    bundle: Option<&VmMetadata>,
    as_json: bool,
) -> Script {
    let how = "compares the output of all but the serial console, which it reads where the gateway is not \
               ready, with the values: `lock` must be the digest of bake.lock";
    let group = fleet.map(|_| group::at_rest(Vm::of(target), names));
    let fleet = fleet.map(ToString::to_string);
    let spec = target.spec;
    let keep_days = spec.gcp.snapshot_days.as_ref().map(|days| days.value.to_string());
    let looks = names.iter().map(|name| {
        let vm = Vm { target, name };
        let shell = vm
            .observed(how, &*FUNCTIONS, "show_one", fleet.as_deref())
            .command("vm_report", vm.report())
            .command("vm_serial", vm.serial())
            .command("vm_metadata", vm.metadata_there())
            .command("vm_image", vm.source_image())
            .command("stock_image", boot_image::base_of_image())
            .value("image_names", vm.image_names())
            .command("vm_disks", vm.disks())
            .command("vm_snapshots", vm.snapshots())
            .value("as_json", if as_json { "yes" } else { "" })
            .value("wanted_size", spec.gcp.data_disk.gb().to_string())
            .value("wanted_machine", spec.gcp.machine_type.as_str())
            .value("wanted_account", spec.gcp.service_account.as_str())
            .value("wanted_version", vm.openclaw_version())
            .value("wanted_bake", bake_version())
            .value("wanted_metadata", bundle.map(VmMetadata::values).unwrap_or_default())
            .value("known_keys", bundle.map(VmMetadata::keys).unwrap_or_default())
            .value("keep_days", keep_days.clone().unwrap_or_default())
            .value("costs", vm.dollars())
            .value("dollars", vm.whole_dollars())
            .value("lock", target.lock.map(|lock| lock.to_string()).unwrap_or_default())
            .value("bundle", bundle.map(|bundle| vm.bundle(bundle)).unwrap_or_default());
        Step::shell(format!("{name} against bake.yaml and bake.lock."), shell)
    });
    let close = Shell::calling("ends the document", &*FUNCTIONS, ["end_document"]);
    let close = as_json.then(|| Step::shell("The document is complete.", close));
    let end = Shell::calling("exits with 1 where something is not well", &*FUNCTIONS, ["conclude"]);
    let steps = looks.chain(close).chain(group).chain([Step::shell("Not well is a finding.", end)]).collect();
    let about = format!(
        "bake gcloud status: compares each VM and its gateway with bake.yaml and the lock: {}.\n\
         Changes nothing. Exit code 1: something needs attention.",
        listed(names, ", ")
    );
    Script::new("status", about, target, steps)
}
