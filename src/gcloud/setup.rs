//! `setup`: prepares a project once, before there is a VM.

use std::collections::{BTreeMap, BTreeSet};

use super::network::nat_price;
use super::script::{Name, Script, ScriptCommand, Shell, Step, Word};
use super::target::Target;
use super::vm::{Vm, account};
use crate::project::machine;
use crate::project::names::SecretId;
use crate::project::spec::{ImageOrigin, SecretSource};
use crate::project::values::ImageRef;

const FUNCTIONS: &[&str] = &[include_str!("sh/setup.sh")];
/// The role that reads a secret.
pub(super) const READS: &str = "roles/secretmanager.secretAccessor";
/// The role that pulls an image.
pub(super) const PULLS: &str = "roles/artifactregistry.reader";
/// The account that deploys, for all gateways of a project.
pub(super) const DEPLOYER: &str = "openclaw-deployer";

/// Options that are not in the spec.
#[derive(Default)]
pub struct Options {
    /// A service account that may create and replace the VM.
    pub deployer: bool,
    /// Whether the project of the spec may be a new one.
    pub new_project: bool,
    /// Files that hold the values of secrets, as absolute paths.
    pub files: BTreeMap<SecretId, String>,
}

/// Creates missing resources.
///
/// # Errors
/// Where a file is given for a secret that the spec does not keep in Secret Manager.
pub fn script(target: Target<'_>, options: &Options) -> Result<Script, String> {
    let vm = Vm::of(target);
    let (spec, id) = (target.spec, target.spec.gcp.service_account.as_str());
    let secrets = secrets(target);
    if let Some(unknown) = options.files.keys().find(|id| !secrets.contains_key(*id)) {
        return Err(format!("no secret of bake.yaml has the Secret Manager id `{unknown}`"));
    }
    let mut steps = Vec::new();
    if let Some(project) = &spec.gcp.project {
        steps.push(create_project(project.as_str(), options.new_project)?);
    } else if options.new_project {
        return Err("--new-project makes the project that gcp.project in bake.yaml names, and it names none"
            .to_owned());
    }
    steps.push(billing());
    let registry = private_registry(target);
    let mut apis = needed_apis(target);
    apis.extend(options.deployer.then_some("iamcredentials.googleapis.com"));
    steps.extend(apis.into_iter().map(enable));
    steps.push(create_account(
        id,
        &format!("VM {}", vm.name),
        &vm.description(),
        "The VM's own account. It only has the following roles.",
    ));
    steps.push(warn_of_roles(id));
    for (secret, wanted) in &secrets {
        steps.push(create_secret(vm, secret));
        steps.push(first_value(secret, wanted, options.files.get(secret)));
        let of_secret =
            |verb: &str| ScriptCommand::gcloud(&format!("secrets {verb}")).arg(secret.as_str()).in_project();
        steps.push(bound(
            "The VM reads this secret, and no other.",
            of_secret("get-iam-policy"),
            of_secret("add-iam-policy-binding"),
            id,
            READS,
            &format!("the secret {secret}"),
        ));
    }
    if let Some(repository) = registry {
        steps.push(bound(
            "The VM pulls its image from there.",
            repository.command("get-iam-policy"),
            repository.command("add-iam-policy-binding"),
            id,
            PULLS,
            &format!("the repository {}", repository.name),
        ));
    }
    if !spec.gcp.public_ip.value {
        steps.extend(vm.private_network());
    }
    if options.deployer {
        steps.extend(deployer(id));
    }
    steps.extend(vm.use_of_subnet());
    steps.push(
        Step::note("The VM comes next.")
            .tell("The project is ready. Next: bake render, and bake gcloud create | sh"),
    );
    let about = format!(
        "bake gcloud setup: prepares the project for the VM `{}`:\n\
         APIs, service account, secrets, network. Safe to run twice; it deletes nothing.",
        vm.name
    );
    let mut costs = Vec::new();
    if !secrets.is_empty() {
        costs.push(format!("a secret {:.2} USD a month, of which six are free", machine::secret_price()));
    }
    if !spec.gcp.public_ip.value {
        costs.push(format!("Cloud NAT {}", nat_price()));
    }
    let costs = if costs.is_empty() { "none".to_owned() } else { costs.join("; ") };
    Ok(Script::new("setup", about, target, steps)
        .ahead()
        .stays("everything that exists already.")
        .gateway("keeps running; no VM is changed.")
        .costs(format!("{costs}.")))
}

/// The purpose of a secret in Secret Manager, and whether its value is made up.
pub(super) struct SecretRequest {
    variables: Vec<String>,
    generate: bool,
}

/// The secrets in Secret Manager, by their ids.
pub(super) fn secrets(target: Target<'_>) -> BTreeMap<SecretId, SecretRequest> {
    let mut secrets = BTreeMap::<_, SecretRequest>::new();
    for (variable, source) in &target.spec.secrets {
        if let SecretSource::SecretManager { id, generate } = source {
            let wanted =
                secrets.entry(id.clone()).or_insert(SecretRequest { variables: Vec::new(), generate: false });
            wanted.variables.push(variable.to_string());
            wanted.generate |= generate;
        }
    }
    secrets
}

/// Makes the project only where the user says that it is a new one: a name that is not known may be a typing
/// error.
fn create_project(id: &str, is_new: bool) -> Result<Step, String> {
    let there = ScriptCommand::gcloud("projects list")
        .flag("filter", format!("projectId ~ \"^{id}$\""))
        .flag("format", "value(projectId)");
    if !is_new {
        return Ok(Step::need(
            "A name that is not known may be a typing error.",
            there,
            [
                format!("Your account sees no project {id}. Is gcp.project in bake.yaml right, and the account? gcloud projects list; gcloud auth list").into(),
                format!("To create {id} as a new project: bake gcloud setup --new-project | sh").into(),
            ],
        ));
    }
    if id.contains(':') {
        return Err(format!("gcloud creates no projects of a domain any more, such as {id}"));
    }
    Ok(Step::run(
        "The project, where this account has none of that name.",
        ScriptCommand::gcloud("projects create").arg(id),
    )
    .unless(there)
    .change(format!("+ project {id}")))
}

/// Prints the project's billing account.
pub(super) fn look_at_billing() -> ScriptCommand {
    ScriptCommand::gcloud("billing projects describe")
        .arg(Word(Vec::new()).name(Name::Project))
        .flag("format", "value(billingAccountName)")
}

fn billing() -> Step {
    Step::shell(
        "Only its owner can set the project's billing account.",
        Shell::calling(
            "ends with an error if the command prints nothing; continues if it fails",
            FUNCTIONS,
            ["billed"],
        )
        .command("look_at_billing", look_at_billing()),
    )
}

/// The APIs that the actions and the VM use.
pub(super) fn needed_apis(target: Target<'_>) -> BTreeSet<&'static str> {
    let has_secrets =
        target.spec.secrets.iter().any(|(_, source)| matches!(source, SecretSource::SecretManager { .. }));
    let mut apis = BTreeSet::from(["compute.googleapis.com", "iam.googleapis.com"]);
    apis.extend(has_secrets.then_some("secretmanager.googleapis.com"));
    apis.extend(private_registry(target).is_some().then_some("artifactregistry.googleapis.com"));
    apis.extend((!target.spec.gcp.public_ip.value).then_some("iap.googleapis.com"));
    apis
}

fn enable(api: &'static str) -> Step {
    let there = ScriptCommand::gcloud("services list")
        .arg("--enabled")
        .in_project()
        .flag("filter", format!("config.name ~ \"^{api}$\""))
        .flag("format", "value(config.name)");
    let why = match api {
        "compute.googleapis.com" => "VM, disks and network.",
        "iam.googleapis.com" => "Service accounts.",
        "iamcredentials.googleapis.com" => "A person who deploys acts as the deployer account.",
        "iap.googleapis.com" => "SSH without a public address goes through Identity-Aware Proxy.",
        "artifactregistry.googleapis.com" => "The finished image.",
        _ => "The secrets.",
    };
    Step::run(why, ScriptCommand::gcloud("services enable").arg(api).in_project())
        .unless(there)
        .change(format!("+ API {api}"))
}

/// Prints the address of the account.
pub(super) fn look_at_account(id: &str) -> ScriptCommand {
    ScriptCommand::gcloud("iam service-accounts list")
        .in_project()
        .flag("filter", format!("email ~ \"^{id}@\""))
        .flag("format", "value(email)")
}

fn create_account(id: &str, shown: &str, description: &str, why: &str) -> Step {
    let make = ScriptCommand::gcloud("iam service-accounts create")
        .arg(id)
        .in_project()
        .flag("display-name", shown)
        .flag("description", description);
    Step::run(why, make).unless(look_at_account(id)).change(format!("+ service account {id}"))
}

/// Says which roles the account has in the whole project: one that was there before may have some.
fn warn_of_roles(id: &str) -> Step {
    let project = Word(Vec::new()).name(Name::Project);
    let look = roles_of(ScriptCommand::gcloud("projects get-iam-policy").arg(project), "", id);
    Step::shell(
        "An existing account keeps its roles.",
        Shell::calling(
            "warns about the command's output; continues in any case",
            FUNCTIONS,
            ["warned_of_roles"],
        )
        .argument(account(id))
        .command("look_at_roles", look),
    )
}

fn create_secret(vm: Vm<'_>, id: &SecretId) -> Step {
    let there = ScriptCommand::gcloud("secrets list")
        .in_project()
        .flag("filter", format!("name ~ \"/{id}$\""))
        .flag("format", "value(name)");
    let make = ScriptCommand::gcloud("secrets create")
        .arg(id.as_str())
        .in_project()
        .flag("replication-policy", "automatic")
        .flag("labels", vm.labels());
    Step::run("A secret; its value comes next.", make)
        .unless(there)
        .change(format!("+ secret {id}"))
        .will(format!("make secret - {id}"))
}

/// Prints the newest usable version of the secret.
pub(super) fn usable_version(id: &SecretId) -> ScriptCommand {
    ScriptCommand::gcloud("secrets versions list")
        .arg(id.as_str())
        .in_project()
        .flag("filter", "state=ENABLED")
        .flag("limit", 1)
        .flag("format", "value(name)")
}

/// Gives the secret a value, where it has none.
fn first_value(id: &SecretId, wanted: &SecretRequest, file: Option<&String>) -> Step {
    let there = usable_version(id);
    let add = ScriptCommand::gcloud("secrets versions add").arg(id.as_str()).in_project();
    let variables = wanted.variables.join(", ");
    let shell = |how, call, stdin: &str| {
        let add = add.clone().flag("data-file", "-");
        Shell::calling(how, FUNCTIONS, [call]).given(stdin).command("add", add)
    };
    let step = match file {
        Some(path) => Step::run("Its value, from a file.", add.clone().flag("data-file", path)),
        None if wanted.generate => Step::shell(
            "Its value, made up here; it passes through a pipe and is stored nowhere else.",
            shell(
                "makes the value up",
                "made_up",
                "64 hexadecimal digits, as `openssl rand -hex 32` prints them, without a line break",
            ),
        ),
        None => Step::shell(
            "Its value, typed without being shown; it passes through a pipe and is stored nowhere else.",
            shell("asks for the value on the terminal", "typed", "the value, without a line break")
                .argument(id.as_str().into())
                .argument(variables.as_str().into()),
        ),
    };
    step.unless(there)
        .change(format!("+ value of the secret {id}, for {variables}"))
        .tell_already(format!("value of the secret {id}"))
}

/// Binds `role` to the account `id` by the policy that `look` prints.
fn bound(why: &str, look: ScriptCommand, add: ScriptCommand, id: &str, role: &str, on: &str) -> Step {
    let there = roles_of(look, format!("bindings.role=\"{role}\" AND ").as_str(), id);
    let add = add.flag_word("member", member(id)).flag("role", role);
    Step::shell(
        why,
        Shell::calling(
            "tries again for two minutes while the account is not known everywhere",
            FUNCTIONS,
            ["bound"],
        )
        .command("bind", add),
    )
    .unless(there)
    .change(format!("+ {role} on {on} for {id}"))
}

/// Prints the roles that the account has by this policy, where `also` holds.
pub(super) fn roles_of(policy: ScriptCommand, also: &str, id: &str) -> ScriptCommand {
    let is_its = Word::from(format!("{also}bindings.members=\"")).word(member(id)).text("\"");
    policy
        .flag("flatten", "bindings[].members")
        .flag_word("filter", is_its)
        .flag("format", "value(bindings.role)")
}

/// The account as policies name it.
pub(super) fn member(id: &str) -> Word {
    Word::from("serviceAccount:").word(account(id))
}

/// A repository of Artifact Registry, by the name of an image in it.
pub(super) struct ArtifactRepository<'a> {
    location: &'a str,
    project: String,
    pub(super) name: &'a str,
}

impl ArtifactRepository<'_> {
    /// `gcloud artifacts repositories VERB` of it.
    pub(super) fn command(&self, verb: &str) -> ScriptCommand {
        ScriptCommand::gcloud(&format!("artifacts repositories {verb}"))
            .arg(self.name)
            .flag("location", self.location)
            .flag("project", &self.project)
    }
}

/// The repository of the finished image, if the VM needs permission to pull from it.
pub(super) fn private_registry(target: Target<'_>) -> Option<ArtifactRepository<'_>> {
    let ImageOrigin::Registry(image) = &target.spec.image.origin else { return None };
    let image: &ImageRef = &image.value;
    let mut path = image.repository().split('/');
    let location = path.next()?.strip_suffix("-docker.pkg.dev")?;
    // In the path of an image, a project such as example.com:name is two parts.
    let project = match path.next()? {
        domain if domain.contains('.') => format!("{domain}:{}", path.next()?),
        project => project.to_owned(),
    };
    Some(ArtifactRepository { location, project, name: path.next()? })
}

/// An account for programs that deploy: VMs, disks and snapshots, and acting as the VM's account.
fn deployer(vm_account: &str) -> Vec<Step> {
    let project = || Word(Vec::new()).name(Name::Project);
    let of_project = |words: &str| ScriptCommand::gcloud(words).arg(project());
    let of_account = |words: &str| ScriptCommand::gcloud(words).arg(account(vm_account)).in_project();
    let act_as = bound(
        "It starts VMs with the VM's account, and with no other.",
        of_account("iam service-accounts get-iam-policy"),
        of_account("iam service-accounts add-iam-policy-binding"),
        DEPLOYER,
        "roles/iam.serviceAccountUser",
        &format!("the account {vm_account}"),
    );
    let address = || account(DEPLOYER);
    let use_it = Step::note("Not even an owner of the project may act as an account unasked.")
        .tell(
            "To deploy as that account, without a key, let the person who deploys act as it, and then switch to it:",
        )
        .tell(
            Word::from("  gcloud iam service-accounts add-iam-policy-binding ")
                .word(address())
                .text(" --project=")
                .name(Name::Project)
                .text(" --role=roles/iam.serviceAccountTokenCreator --member=user:NAME@EXAMPLE.COM"),
        )
        .tell(Word::from("  gcloud config set auth/impersonate_service_account ").word(address()));
    vec![
        create_account(
            DEPLOYER,
            "Deploys OpenClaw gateways",
            "OpenClaw, made by bake for programs that deploy",
            "An account for programs that deploy. It has no key. A person who acts as it may delete every VM, disk\n\
             and snapshot of the project, and read what its VMs may read, secrets too, through a new VM that\n\
             has the VM's account.",
        ),
        bound(
            "The narrowest of Google's roles that makes VMs, disks, snapshots and groups.",
            of_project("projects get-iam-policy"),
            of_project("projects add-iam-policy-binding").arg("--condition=None"),
            DEPLOYER,
            "roles/compute.instanceAdmin.v1",
            "the project",
        ),
        act_as,
        use_it,
    ]
}
