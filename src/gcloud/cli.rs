//! `cli` and `ask`: OpenClaw's own commands, in the gateway's container.

use super::remote::{ASK, CLI};
use super::script::{Name, Script, Step, Word};
use super::ssh::{SSH_KEY, session_with};
use super::target::Target;
use super::vm::Vm;
use crate::project::names::VmName;

/// With those of `ssh-session.sh`: everything that needs the container.
pub(super) const FUNCTIONS: &[&str] =
    &[include_str!("sh/vm-state.sh"), include_str!("sh/ssh-session.sh"), include_str!("sh/gateway.sh")];

/// The OpenClaw command that sends the message that follows it, and waits for the reply.
pub const QUESTION: [&str; 4] = ["agent", "--agent", "main", "--message"];

/// Runs an OpenClaw command with these arguments.
pub fn script(target: Target<'_>, member: Option<&VmName>, arguments: &[String]) -> Script {
    let vm = Vm::one(target, member);
    let run = vm
        .running(CLI, arguments.iter().map(String::as_str))
        .flag_word("ssh-flag", Word(Vec::new()).name(Name::Terminal));
    let shell = session_with(vm, member, run, FUNCTIONS, "run_cli")
        .given("the person's input, if there is a terminal");
    let step = Step::shell(format!("In the gateway's container on {}.", vm.name), shell);
    let about = format!(
        "bake gcloud cli: runs an OpenClaw command on the VM `{}`, in the gateway's container.\n{SSH_KEY}",
        vm.name
    );
    Script::new("cli", about, target, vec![step])
}

/// Sends one message to the gateway's agent, and prints the reply.
pub fn ask(target: Target<'_>, member: Option<&VmName>, text: &str) -> Script {
    let vm = Vm::one(target, member);
    let question = vm.running(ASK, QUESTION.into_iter().chain([text]));
    let step = Step::shell(
        format!("One message to the agent of {}, through the gateway's own command line.", vm.name),
        session_with(vm, member, question, FUNCTIONS, "ask_agent"),
    );
    let about = format!(
        "bake gcloud ask: sends one message to the agent on the VM `{}`, and prints its reply.\n\
         The model's provider charges for it.\n{SSH_KEY}",
        vm.name
    );
    Script::new("ask", about, target, vec![step])
}
