//! `token`: prints the token that the Control UI asks for.

use super::script::{Script, ScriptCommand, Shell, Step};
use super::ssh::session;
use super::target::Target;
use super::vm::Vm;
use crate::project::names::VmName;
use crate::project::spec::{GATEWAY_TOKEN, SecretSource};

/// The VM's folder of generated secrets.
const KEPT: &str = "/var/lib/openclaw/secrets";

/// Prints the token from wherever it is: Secret Manager, or the VM.
pub fn script(target: Target<'_>, member: Option<&VmName>) -> Script {
    let vm = Vm::one(target, member);
    let token = target.spec.secrets.iter().find(|(name, _)| name.as_str() == GATEWAY_TOKEN);
    let step = match token.map(|(_, source)| source) {
        Some(SecretSource::SecretManager { id, .. }) => {
            let read =
                ScriptCommand::gcloud("secrets versions access latest").flag("secret", id).in_project();
            let shell = Shell::calling("prints it", &[include_str!("sh/token.sh")], ["print_secret"])
                .command("secret_value", read);
            Step::shell("The token is kept in Secret Manager.", shell)
        }
        // The gateway has a token in any case: a spec without is refused.
        Some(SecretSource::Generated) | None => {
            let read = vm.ssh().flag("command", format!("sudo -n cat {KEPT}/{GATEWAY_TOKEN}"));
            Step::shell(
                "The VM has generated the token, and only the VM has it: SSH is the only way. With\n\
                 {generate: hex32, secret_manager: ID} it is kept in Secret Manager, and read without.",
                session(vm, member, read, "read_token"),
            )
        }
    };
    let about = format!(
        "bake gcloud token: prints the token of the gateway on the VM `{}`.\n\
         Changes nothing. Anyone who has the token controls the gateway.",
        vm.name
    );
    Script::new("token", about, target, vec![step])
}
