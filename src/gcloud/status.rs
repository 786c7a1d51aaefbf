//! `status`: one look at VM, gateway and lock.

use std::sync::LazyLock;

use super::advice;
use super::group::{self, listed};
use super::metadata::VmMetadata;
use super::script::{Script, Shell, Step};
use super::target::Target;
use super::vm::Vm;
use crate::project::fleet::Fleet;
use crate::project::names::VmName;

static FUNCTIONS: LazyLock<[&str; 3]> =
    LazyLock::new(|| [include_str!("sh/vm-state.sh"), advice::functions(), include_str!("sh/status.sh")]);

/// Looks once at each of these VMs, which may be those of a `fleet`.
pub fn script(
    target: Target<'_>,
    names: &[VmName],
    fleet: Option<&Fleet>,
    bundle: Option<&VmMetadata>,
) -> Script {
    let how = "compares the output of the first two, in which `lock` must be the digest of \
               bake.lock; runs the last one where the gateway is not ready";
    let group = fleet.map(|_| group::at_rest(Vm::of(target), names));
    let fleet = fleet.map(ToString::to_string);
    let looks = names.iter().map(|name| {
        let shell = Vm { target, name }
            .observed(how, &*FUNCTIONS, "show_gateway", fleet.as_deref())
            .command("vm_report", Vm { target, name }.report())
            .command("vm_serial", Vm { target, name }.serial())
            .command("vm_disks", Vm { target, name }.disks())
            .command("vm_snapshots", Vm { target, name }.newest_snapshot())
            .value("wanted_size", target.spec.gcp.data_disk.gb().to_string())
            .value("wanted_machine", target.spec.gcp.machine_type.as_str())
            .value("costs", Vm { target, name }.dollars())
            .value("lock", target.lock.map(|lock| lock.to_string()).unwrap_or_default())
            .value("bundle", bundle.map(|bundle| Vm { target, name }.bundle(bundle)).unwrap_or_default());
        Step::shell(format!("Whether {name} runs, is ready, and is what bake.lock says."), shell)
    });
    let end = Shell::calling("exits with 1 where something is not well", &*FUNCTIONS, ["conclude"]);
    let steps = looks.chain(group).chain([Step::shell("Not well is a finding.", end)]).collect();
    let about = format!(
        "bake gcloud status: compares each VM and its gateway with bake.yaml and the lock: {}.\n\
         Changes nothing. Exit code 1: something needs attention.",
        listed(names, ", ")
    );
    Script::new("status", about, target, steps)
}
