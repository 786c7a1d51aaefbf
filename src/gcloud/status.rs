//! `status`: one look at VM, gateway and lock.

use std::sync::LazyLock;

use super::script::{Script, Shell, Step};
use super::vm::Vm;
use super::{advice, group};
use crate::plan::Plan;
use crate::project::fleet::Fleet;
use crate::project::names::VmName;

static FUNCTIONS: LazyLock<[&str; 3]> =
    LazyLock::new(|| [include_str!("observe.sh"), advice::functions(), include_str!("status.sh")]);

/// Looks once at each of these VMs, which may be those of a `fleet`.
pub fn script(plan: &Plan<'_>, names: &[VmName], fleet: Option<&Fleet>) -> Script {
    let how = "holds what the first two print against each other, where `lock` is to be the digest of \
               bake.lock; runs the last one where the gateway is not ready";
    let group = fleet.map(|_| group::at_rest(Vm::of(plan), names));
    let fleet = fleet.map(ToString::to_string);
    let looks = names.iter().map(|name| {
        let shell = Vm { plan, name }
            .observed(how, &*FUNCTIONS, "show_gateway", fleet.as_deref())
            .command("vm_report", Vm { plan, name }.report())
            .command("vm_serial", Vm { plan, name }.serial())
            .value("lock", plan.lock_digest.to_string());
        Step::shell(format!("Whether {name} runs, is ready, and is what bake.lock says."), shell)
    });
    let end = Shell::calling("exits with 1 where something is not well", &*FUNCTIONS, ["conclude"]);
    let steps = looks.chain(group).chain([Step::shell("Not well is a finding.", end)]).collect();
    Script::new("status", "One look at the gateway from outside.", plan, steps)
}
