//! `doctor`: the parts that the project lacks for this gateway.

use super::script::{Name, Script, ScriptCommand, Shell, Step, Word};
use super::setup::{self, PULLS, READS};
use super::target::Target;
use super::vm::{Vm, account};

const FUNCTIONS: &[&str] = &[include_str!("sh/doctor.sh")];
/// Creates everything that the later checks look for.
const SETUP: &str = "bake gcloud setup | sh";

/// Looks at account, project, billing, APIs, roles, service account and secrets.
pub fn script(target: Target<'_>) -> Script {
    let (spec, vm) = (target.spec, Vm::of(target));
    let id = spec.gcp.service_account.as_str();
    let project = || Word(Vec::new()).name(Name::Project);
    let of_project = |text: &str, end: &str| Word::from(text).name(Name::Project).text(end);
    let other_project = if spec.gcp.project.is_some() {
        "bake gcloud setup --new-project | sh   # or correct gcp.project in bake.yaml"
    } else {
        "gcloud config set project PROJECT"
    };
    let mut steps = vec![
        Step::shell(
            "All other checks need an account.",
            check("require_account", "account", "gcloud auth login".into())
                .command("look", ScriptCommand::gcloud("config get-value account")),
        ),
        Step::shell(
            "A project that the account cannot see looks like a missing one.",
            check("require_output", "project", "gcloud projects list".into())
                .argument(other_project.into())
                .command(
                    "look",
                    ScriptCommand::gcloud("projects list")
                        .flag_word("filter", of_project("projectId ~ \"^", "$\""))
                        .flag("format", "value(projectId)"),
                ),
        ),
        Step::shell(
            "Without billing nothing can be created.",
            check("require_output", "billing", "gcloud billing accounts list".into())
                .argument(of_project("gcloud billing projects link ", " --billing-account=ID"))
                .command("look", setup::look_at_billing()),
        ),
        Step::shell(
            "VM, service account, secrets and image each have an API.",
            Shell::calling("compares the list with the APIs in `needed`", FUNCTIONS, ["require_apis"])
                .value("needed", setup::needed_apis(target).into_iter().collect::<Vec<_>>().join(" "))
                .command(
                    "look",
                    ScriptCommand::gcloud("services list")
                        .arg("--enabled")
                        .in_project()
                        .flag("format", "value(config.name)"),
                ),
        ),
        Step::shell(
            "The account's own roles.",
            Shell::calling("prints the roles of the account", FUNCTIONS, ["show_roles"]).command(
                "look",
                ScriptCommand::gcloud("projects get-iam-policy")
                    .arg(project())
                    .flag("flatten", "bindings[].members")
                    .flag("format", "value(bindings.members,bindings.role)"),
            ),
        ),
        Step::shell(
            "The VM's account.",
            of_api("iam.googleapis.com", "service account".into())
                .command("look", setup::look_at_account(id)),
        ),
    ];
    for secret in setup::secrets(target).keys() {
        let policy = ScriptCommand::gcloud("secrets get-iam-policy").arg(secret.as_str()).in_project();
        steps.push(Step::shell(
            "A secret without a value would stop the VM.",
            of_api("secretmanager.googleapis.com", format!("value of the secret {secret}").into())
                .command("look", setup::usable_version(secret)),
        ));
        let on = format!("secret {secret}");
        steps.push(has_role("secretmanager.googleapis.com", policy, READS, &on, id));
    }
    if let Some(repository) = setup::private_registry(target) {
        let subject = format!("repository {}", repository.name);
        let policy = repository.command("get-iam-policy");
        steps.push(has_role("artifactregistry.googleapis.com", policy, PULLS, &subject, id));
    }
    let end = Shell::calling(
        "exits with 1 if something is missing, with 2 if something could not be looked up",
        FUNCTIONS,
        ["conclude_checks"],
    );
    steps.push(Step::shell("A missing part is a finding.", end));
    let about = format!(
        "bake gcloud doctor: checks what the VM `{}` needs in the project, and prints the command that adds it.\n\
         Changes nothing. Exit code 0: nothing is missing; 1: something is; 2: a lookup failed.",
        vm.name
    );
    Script::new("doctor", about, target, steps)
}

fn check(call: &'static str, subject: &str, mend: Word) -> Shell {
    Shell::calling("something is missing if the command prints nothing", FUNCTIONS, [call])
        .argument(subject.into())
        .argument(mend)
}

/// A resource that `setup` creates once this API is enabled.
fn of_api(api: &'static str, subject: Word) -> Shell {
    Shell::calling(
        "something is missing if the API is disabled, or if the command prints nothing",
        FUNCTIONS,
        ["require_of_api"],
    )
    .argument(api.into())
    .argument(subject)
    .argument(SETUP.into())
}

/// Whether the VM's account has this role.
fn has_role(api: &'static str, policy: ScriptCommand, role: &str, on: &str, id: &str) -> Step {
    let look = setup::roles_of(policy, &format!("bindings.role=\"{role}\" AND "), id);
    let subject = Word::from("right of ").word(account(id)).text(format!(" to the {on}"));
    Step::shell("The VM's account needs this role.", of_api(api, subject).command("look", look))
}
