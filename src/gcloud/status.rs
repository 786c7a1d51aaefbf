//! `status`: one look at VM, gateway and lock.

use super::script::{Script, Shell, Step};
use super::vm::Vm;
use crate::plan::Plan;
use crate::project::names::VmName;

const FUNCTIONS: &[&str] = &[include_str!("observe.sh"), include_str!("status.sh")];

/// Looks at each of these VMs once.
pub fn script(plan: &Plan<'_>, names: &[VmName]) -> Script {
    let how = "holds what they print against each other; `lock` is to be the digest of bake.lock";
    let looks = names.iter().map(|name| {
        let shell = Vm { plan, name }
            .observed(how, FUNCTIONS, "show_gateway")
            .command("vm_report", Vm { plan, name }.report())
            .value("lock", plan.lock_digest.to_string());
        Step::shell(format!("Whether {name} runs, is ready, and is what bake.lock says."), shell)
    });
    let end = Shell::calling("exits with 1 where something is not well", FUNCTIONS, ["conclude"]);
    let steps = looks.chain([Step::shell("Not well is a finding.", end)]).collect();
    Script::new("status", "One look at the gateway from outside.", plan, steps)
}
