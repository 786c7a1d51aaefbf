//! `ssh`: a shell on the VM. Nothing needs one to be set up; it is for looking around.

use super::script::{Script, ScriptCommand, Shell, Step};
use super::target::Target;
use super::vm::{Vm, account};
use crate::project::names::VmName;

const FUNCTIONS: &[&str] = &[include_str!("sh/vm-state.sh"), include_str!("sh/ssh-session.sh")];
/// The source addresses of Identity-Aware Proxy's tunnels (Google, "Using IAP for TCP forwarding").
pub(super) const IAP: &str = "35.235.240.0/20";

/// A line of the header of each script with an SSH session.
pub(super) const SSH_KEY: &str =
    "It connects by SSH: on first use, gcloud creates a key on this machine and registers it with OS Login.";

/// Opens a shell.
pub fn script(target: Target<'_>, member: Option<&VmName>) -> Script {
    let vm = Vm::one(target, member);
    let shell = session(vm, member, vm.ssh(), "open_shell").given("the person's input");
    let step = Step::shell(format!("A shell on {}.", vm.name), shell);
    let about = format!("bake gcloud ssh: opens a shell on the VM `{}`.\n{SSH_KEY}", vm.name);
    Script::new("ssh", about, target, vec![step])
}

/// Shell that calls a function of `ssh-session.sh` or `gateway.sh` to run `session` on the VM, which may be a
/// `member` of a fleet, and answers what is said against it.
pub(super) fn session(
    vm: Vm<'_>,
    member: Option<&VmName>,
    session: ScriptCommand,
    call: &'static str,
) -> Shell {
    session_with(vm, member, session, FUNCTIONS, call)
}

/// The same with these files of functions, of which `vm-state.sh` and `ssh-session.sh` are the first.
pub(super) fn session_with(
    vm: Vm<'_>,
    member: Option<&VmName>,
    session: ScriptCommand,
    functions: &'static [&'static str],
    call: &'static str,
) -> Shell {
    let gcp = &vm.target.spec.gcp;
    let ranges = if gcp.public_ip.value { "YOUR_ADDRESS/32" } else { IAP };
    vm.observed(
        "runs the last one; if it fails, the others find the reason: the one before it only \
         connect, every 10 s until it can",
        functions,
        call,
        member.map(VmName::as_str),
    )
    .argument(account(gcp.service_account.as_str()))
    .value("ranges", ranges)
    .value("tag", vm.target.spec.name.as_str())
    .command("vm_probe", vm.ssh().flag("command", "true").arg("--quiet"))
    .command("vm_session", session)
}

impl Vm<'_> {
    /// `gcloud compute ssh`: a VM without a public address is reached through Identity-Aware Proxy.
    pub(super) fn ssh(self) -> ScriptCommand {
        let command = self.on("compute ssh");
        if self.target.spec.gcp.public_ip.value { command } else { command.arg("--tunnel-through-iap") }
    }
}
