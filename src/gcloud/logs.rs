//! `logs`: the serial console, from where one left off; or the log of the gateway's container.

use super::cli;
use super::remote::FOLLOW;
use super::script::{Script, Step};
use super::ssh::{SSH_KEY, session_with};
use super::target::Target;
use super::vm::Vm;
use crate::project::names::VmName;

const FUNCTIONS: &[&str] = &[include_str!("sh/vm-state.sh"), include_str!("sh/logs.sh")];

/// Lines of the container's log to begin with.
const TAIL: &str = "200";

/// Follows the log of the gateway's container.
pub fn gateway(target: Target<'_>, member: Option<&VmName>) -> Script {
    let vm = Vm::one(target, member);
    let follow = vm.running(FOLLOW, [TAIL]);
    let shell = session_with(vm, member, follow, cli::FUNCTIONS, "follow_log");
    let step = Step::shell(format!("The log of the gateway on {}, over SSH.", vm.name), shell);
    let about = format!(
        "bake gcloud logs: follows the log of the gateway's container on the VM `{}` until Ctrl-C.\n{SSH_KEY}",
        vm.name
    );
    Script::new("logs", about, target, vec![step])
}

/// Prints what the serial console has said since the last call, or with `all` everything that
/// Compute Engine still has.
pub fn script(target: Target<'_>, member: Option<&VmName>, all: bool) -> Script {
    let vm = Vm::one(target, member);
    let how = "the last one again and again, until its first two lines, the bytes where it begins and \
               ends, are the same";
    let shell = vm
        .observed(how, FUNCTIONS, "print_log", member.map(VmName::as_str))
        .value("all", if all { "yes" } else { "no" })
        .command("vm_serial", vm.serial_onward());
    let step = Step::shell(format!("The serial console of {}.", vm.name), shell);
    let about = format!(
        "bake gcloud logs: prints the serial console of the VM `{}`{}.\n\
         Changes nothing in the project. It stores how far it has read in $XDG_STATE_HOME/bake/serial, or else ~/.local/state/bake/serial.",
        vm.name,
        if all { "" } else { ", from where the last run ended" }
    );
    Script::new("logs", about, target, vec![step])
}
