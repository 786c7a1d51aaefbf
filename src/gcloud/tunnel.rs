//! `tunnel`: the Control UI on a port of this machine.

use super::script::{Script, Step};
use super::ssh::session;
use super::vm::Vm;
use crate::plan::Plan;
use crate::project::names::VmName;

/// Keeps the gateway's port open on this machine, as `port` or else the same.
pub fn script(plan: &Plan<'_>, member: Option<&VmName>, port: Option<u16>) -> Script {
    let vm = Vm::one(plan, member);
    let remote = plan.spec.gateway.port.value;
    let port = port.unwrap_or(remote);
    let tunnel = vm.ssh().args([
        "--".to_owned(),
        "-N".to_owned(),
        "-L".to_owned(),
        format!("{port}:127.0.0.1:{remote}"),
        // A port that is taken is an error, and a network that went away is noticed.
        "-o".to_owned(),
        "ExitOnForwardFailure=yes".to_owned(),
        "-o".to_owned(),
        "ServerAliveInterval=30".to_owned(),
    ]);
    let shell = session(vm, member, tunnel, "open_tunnel").argument(port.to_string().into());
    let step = Step::shell("The gateway listens on the VM's loopback interface alone.", shell);
    Script::new("tunnel", "The Control UI on this machine, until Ctrl-C.", plan, vec![step])
}
