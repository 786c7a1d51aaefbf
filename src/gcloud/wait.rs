//! `wait`: from a VM that was created to a gateway that is ready, stage by stage.

use std::sync::LazyLock;

use super::advice;
use super::group::{self, listed};
use super::script::{Script, Shell, Step};
use super::target::Target;
use super::vm::Vm;
use crate::project::fleet::Fleet;
use crate::project::names::VmName;
use crate::vm::statuses;

static FUNCTIONS: LazyLock<[&str; 3]> =
    LazyLock::new(|| [include_str!("sh/vm-state.sh"), advice::functions(), include_str!("sh/wait.sh")]);

/// Waits for the gateways of these VMs, which may be those of a `fleet`, for `timeout` seconds in all.
///
/// A group's VMs of before are `ready` until their turn comes, and so are asked only once it is done.
///
/// `chart`, an absolute path, is the SVG file to draw.
pub fn script(
    target: Target<'_>,
    names: &[VmName],
    fleet: Option<&Fleet>,
    timeout: u32,
    chart: Option<&str>,
) -> Script {
    let group = fleet.map(|_| group::settled(Vm::of(target), names, timeout));
    let fleet = fleet.map(ToString::to_string);
    let vms = names.iter().map(|name| Vm { target, name });
    let vms = followed(vms, fleet.as_deref(), timeout, "any");
    let mut steps: Vec<_> = group.into_iter().chain(vms).collect();
    if let Some(path) = chart {
        let call = |how, name| Shell::calling(how, &*FUNCTIONS, [name]).value("chart", path);
        let begin = call("empties the record of the stages", "begin_chart");
        let draw = call("draws the record of the stages by `bake chart`", "draw_chart");
        steps.insert(0, Step::shell("The chart is drawn from a record of the stages.", begin));
        steps.insert(steps.len() - 1, Step::shell("The chart.", draw));
    }
    let about = format!(
        "bake gcloud wait: waits until each gateway is ready, and shows its stages: {}.\n\
         Changes nothing. Exit code 1: one has failed, or is not ready after {timeout} s.",
        listed(names, ", ")
    );
    Script::new("wait", about, target, steps)
}

/// The steps that wait for the gateways of `vms`, on any release, and end the script.
pub(super) fn steps<'a>(vms: impl Iterator<Item = Vm<'a>>, fleet: Option<&str>, timeout: u32) -> Vec<Step> {
    followed(vms, fleet, timeout, "")
}

/// The same, once a change of the release that `request` asks for is over; `any` is the last one.
fn followed<'a>(
    vms: impl Iterator<Item = Vm<'a>>,
    fleet: Option<&str>,
    timeout: u32,
    request: &str,
) -> Vec<Step> {
    let end = Shell::calling("exits with 1 where a VM is not ready", &*FUNCTIONS, ["conclude"]);
    vms.map(|vm| step(vm, fleet, timeout, request))
        .chain([Step::shell("Not ready is a failure.", end)])
        .collect()
}

fn step(vm: Vm<'_>, fleet: Option<&str>, timeout: u32, request: &str) -> Step {
    let how = "runs the first two every 10 s, until `status` is `ready` or `failed`, the VM does not run, \
               or the time is over; the third where it failed, or never came to `ready`";
    let shell = vm
        .observed(how, &*FUNCTIONS, "wait_for_gateway", fleet)
        .value("request", request)
        .value("timeout", timeout.to_string())
        .value("stages", statuses().join(" "))
        .command("vm_report", vm.report())
        .command("vm_serial", vm.serial());
    Step::shell(format!("The reports of {}, until its gateway is ready.", vm.name), shell)
}

#[cfg(test)]
mod tests {
    use crate::vm::UPDATE_STAGES;

    /// All stages but `done` are named in `change_state`.
    #[test]
    fn every_stage_of_an_update_is_known() {
        let functions = include_str!("sh/wait.sh");
        let (_, rest) = functions.split_once("change_state() {").expect("a function");
        let (body, _) = rest.split_once("\n}\n").expect("its end");
        let known: Vec<_> = body.split([' ', '|', ')', '\n']).collect();
        for stage in UPDATE_STAGES.iter().filter(|stage| stage.name != "done") {
            assert!(known.contains(&stage.name), "{}", stage.name);
        }
    }
}
