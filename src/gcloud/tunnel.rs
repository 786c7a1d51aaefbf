//! `tunnel` and `dashboard`: the Control UI on a port of this machine.

use std::fmt::Write;

use super::remote::DOOR;
use super::script::{Script, ScriptCommand, Step};
use super::ssh::{SSH_KEY, session_with};
use super::target::Target;
use super::vm::Vm;
use crate::project::names::VmName;

const FUNCTIONS: &[&str] =
    &[include_str!("sh/vm-state.sh"), include_str!("sh/ssh-session.sh"), include_str!("sh/door.sh")];

/// Keeps the gateway's port open on this machine, as `port` or else the same, and with `open` opens a
/// browser there by a one-time link.
pub fn script(target: Target<'_>, member: Option<&VmName>, port: Option<u16>, open: bool) -> Script {
    let vm = Vm::one(target, member);
    let own = target.spec.gateway.port.value;
    let port = port.unwrap_or(own);
    let (action, purpose) = if open {
        ("dashboard", ", and opens the Control UI there in a browser by a one-time link")
    } else {
        ("tunnel", ", for the Control UI")
    };
    let mut about = format!(
        "bake gcloud {action}: forwards port {port} of this machine to the gateway on the VM `{}`\n\
         until Ctrl-C{purpose}.\n{SSH_KEY}",
        vm.name
    );
    if port != own {
        let _ = write!(about, "\nFrom now on the gateway accepts browsers on port {port}, too.");
    }
    let number = port.to_string();
    // The gateway lets its own address in by itself; any other one, and a link, it must be asked for.
    let (session, call) = if port == own && !open {
        (forwarding(vm.ssh(), &["-N"], port, own), "open_tunnel")
    } else {
        let want = if open { "link" } else { "page" };
        // gcloud would read an answer from the pipe that holds the session, and wait for it.
        let session = vm.running(DOOR, [number.as_str(), want]).arg("--quiet");
        (forwarding(session, &[], port, own), "open_door")
    };
    let mut shell = session_with(vm, member, session, FUNCTIONS, call).argument(number.into());
    if call == "open_door" {
        shell = shell
            .argument(if open { "link" } else { "page" }.into())
            .given("nothing, and it is not closed as long as the tunnel is to last");
    }
    let step = Step::shell("The gateway listens on the VM's loopback interface alone.", shell);
    Script::new(action, about, target, vec![step])
}

/// `ssh` with what makes the session a tunnel.
fn forwarding(ssh: ScriptCommand, first: &[&str], port: u16, remote: u16) -> ScriptCommand {
    let forward = format!("{port}:127.0.0.1:{remote}");
    let rest = [
        "-L",
        &forward,
        // A port that is taken is an error, and a network that went away is noticed.
        "-o",
        "ExitOnForwardFailure=yes",
        "-o",
        "ServerAliveInterval=30",
    ];
    ssh.arg("--").args(first.iter().copied()).args(rest)
}
