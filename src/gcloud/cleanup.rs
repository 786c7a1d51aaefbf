//! `destroy --all`: deletes the resources that `setup` made for this gateway and that nothing else uses, and its OS
//! images.

use super::network::FROM_IAP;
use super::script::{Name, ScriptCommand, Shell, Step, Word};
use super::setup::{DEPLOYER, PULLS, READS, member, private_registry, roles_of, secrets};
use super::target::Target;
use super::vm::{ID_LABEL, Vm, account, named};
use crate::project::machine;
use crate::project::names::VmName;

const FUNCTIONS: &[&str] = &[include_str!("sh/unused.sh")];

fn each() -> Word {
    Word(Vec::new()).name(Name::Each)
}

/// Finds the resources that only these VMs use.
pub(super) fn find_unused(target: Target<'_>, members: &[VmName]) -> Step {
    let vm = Vm::of(target);
    let id = target.spec.gcp.service_account.as_str();
    let rule = format!("{}-{}", vm.name, FROM_IAP.end);
    let own: Vec<_> = members.iter().map(VmName::as_str).collect();
    let others = format!("NOT name ~ \"^({})$\"", own.join("|"));
    let list = |words: &str, filter: Word| {
        ScriptCommand::gcloud(words).in_project().flag_word("filter", filter).flag("format", "value(name)")
    };
    let vms =
        |filter: Word| list("compute instances list", Word::from(format!("{others} AND ")).word(filter));
    let private = format!(
        "zone ~ \"/{}-[a-z]$\" AND networkInterfaces[].network ~ \"/{}$\" AND NOT networkInterfaces[].accessConfigs[].type:*",
        vm.region(),
        vm.network().name()
    );
    let is_account = |field: &str| Word::from(format!("{field} ~ \"^")).word(account(id)).text("$\"");
    let of_secret = || ScriptCommand::gcloud("secrets get-iam-policy").arg(each()).in_project();
    let spec_secrets: Vec<_> = secrets(target).into_keys().map(|id| id.to_string()).collect();
    let how = "finds the resources that carry this project's labels or description, except those whose users the \
               next command prints: `unused_rule`, `unused_router`, `unused_account`, `unused_secrets`; and, of an \
               unused account, the secrets and the repository that it may read: `bound_secrets`, `bound_repository`";
    let mut shell = Shell::calling(how, FUNCTIONS, ["find_unused"])
        .command(
            "own_rule",
            list("compute firewall-rules list", format!("{} AND {}", named(&rule), vm.is_described()).into()),
        )
        .command("rule_users", vms(format!("tags.items ~ \"^{}$\"", vm.name).into()))
        .command("own_router", vm.own_router("value(name)"))
        .command("router_users", vms(private.into()))
        .command(
            "own_account",
            ScriptCommand::gcloud("iam service-accounts list")
                .in_project()
                .flag_word("filter", is_account("email").text(format!(" AND {}", vm.is_described())))
                .flag("format", "value(email)"),
        )
        .command("account_users", vms(is_account("serviceAccounts[].email")))
        .command("own_secrets", own_secrets(vm))
        .command(
            "secret_users",
            of_secret()
                .flag("flatten", "bindings[].members")
                .flag_word("filter", Word::from("NOT bindings.members=\"").word(member(id)).text("\""))
                .flag("format", "value(bindings.members)"),
        )
        .command(
            "spec_secrets",
            ScriptCommand::gcloud("secrets list")
                .in_project()
                .flag("filter", format!("name ~ \"/({})$\"", spec_secrets.join("|")))
                .flag("format", "value(name.basename())"),
        )
        .command("bound_secret", roles_of(of_secret(), &is_role(READS), id));
    let mut repository_name = "";
    if let Some(repository) = private_registry(target) {
        repository_name = repository.name;
        shell =
            shell.command("bound_role", roles_of(repository.command("get-iam-policy"), &is_role(PULLS), id));
    }
    let shell = shell
        .value("repository", repository_name)
        .value("region", vm.region())
        .value("keeps_secrets", keeps_secrets(target));
    Step::shell("Resources that setup made for this gateway and that others do not use.", shell).look()
}

/// `yes` where the spec has secrets in Secret Manager; otherwise its API may be disabled.
fn keeps_secrets(target: Target<'_>) -> &'static str {
    if secrets(target).is_empty() { "" } else { "yes" }
}

fn is_role(role: &str) -> String {
    format!("bindings.role=\"{role}\" AND ")
}

impl Vm<'_> {
    /// The router of `setup`, in this format.
    pub(super) fn own_router(self, format: &str) -> ScriptCommand {
        ScriptCommand::gcloud("compute routers list")
            .in_project()
            .flag("regions", self.region())
            .flag("filter", format!("{} AND {}", named(&self.nat()), self.is_described()))
            .flag("format", format)
    }
}

/// Finds what an older bake made for these VMs, without the labels and descriptions of today, and data disks in other
/// zones.
pub(super) fn find_older(target: Target<'_>, members: &[VmName]) -> Step {
    let vm = Vm::of(target);
    let list = |words: &str, filter: String, format: &str| {
        ScriptCommand::gcloud(words).in_project().flag("filter", filter).flag("format", format)
    };
    let unsigned = |name: &str| format!("{} AND NOT description:*", named(name));
    let label = target.spec.id.as_ref().map_or("openclaw", |_| ID_LABEL);
    let disks = |filter: String| {
        list(
            "compute disks list",
            filter,
            "value[separator=' '](zone.basename(),name,type.basename(),sizeGb)",
        )
    };
    let (id, region) = (target.spec.gcp.service_account.as_str(), vm.region());
    let how = "names the output of its commands after the run, and keeps it";
    let shell = Shell::calling(how, FUNCTIONS, ["find_older"])
        .value("region", region)
        .command(
            "disks_elsewhere",
            disks(format!("{} AND NOT zone ~ \"/{}$\"", vm.is_disk_of(members, "name ~ \"^$\""), vm.zone())),
        )
        .command(
            "older_disks",
            disks(format!("name ~ \"^({})$\" AND NOT labels.{label}:*", Vm::disk_names(members))),
        )
        .command(
            "older_schedule",
            list(
                "compute resource-policies list",
                format!("{} AND region:{region}", unsigned(&target.spec.name.snapshot_schedule())),
                "value(name)",
            ),
        )
        .command(
            "older_rule",
            list(
                "compute firewall-rules list",
                unsigned(&format!("{}-{}", vm.name, FROM_IAP.end)),
                "value(name)",
            ),
        )
        .command(
            "older_router",
            list("compute routers list", unsigned(&vm.nat()), "value(name)").flag("regions", region),
        )
        .command(
            "older_account",
            ScriptCommand::gcloud("iam service-accounts list")
                .in_project()
                .flag_word(
                    "filter",
                    Word::from("email ~ \"^")
                        .word(account(id))
                        .text(format!("$\" AND displayName ~ \"^VM {}$\" AND NOT description:*", vm.name)),
                )
                .flag("format", "value(email)"),
        );
    Step::shell("Resources of an older bake have other labels, or none.", shell).look()
}

fn own_secrets(vm: Vm<'_>) -> ScriptCommand {
    let name = format!("labels.openclaw ~ \"^{}$\"", vm.name);
    let filter = if vm.target.spec.id.is_some() { format!("{name} AND {}", vm.is_labelled()) } else { name };
    ScriptCommand::gcloud("secrets list")
        .in_project()
        .flag("filter", filter)
        .flag("format", "value(name.basename())")
}

/// Deletes what [`find_unused`] has found.
pub(super) fn delete_unused(target: Target<'_>) -> Vec<Step> {
    let vm = Vm::of(target);
    let id = target.spec.gcp.service_account.as_str();
    let delete = |words: &str| ScriptCommand::gcloud(words).arg(each()).in_project();
    let unbind =
        |command: ScriptCommand, role: &str| command.flag_word("member", member(id)).flag("role", role);
    let line = |text: &str| Word::from(text).name(Name::Each);
    let mut steps = vec![
        Step::run(
            "OS images; another bake gcloud image makes one anew.",
            delete("compute images delete").arg("--quiet"),
        )
        .for_each(vm.all_baked_images())
        .change(line("- OS image ")),
        Step::run("The way in for SSH.", delete("compute firewall-rules delete").arg("--quiet"))
            .for_each_of(Name::UnusedRule)
            .change(line("- firewall rule ")),
        Step::run(
            "The way out; Cloud NAT goes with its router.",
            delete("compute routers delete").flag("region", vm.region()).arg("--quiet"),
        )
        .for_each_of(Name::UnusedRouter)
        .change(line("- router and Cloud NAT "))
        .will(Word::from(format!("end nat {} ", vm.region())).name(Name::Each)),
        Step::run(
            "A policy keeps the members that it names.",
            unbind(delete("secrets remove-iam-policy-binding"), READS),
        )
        .for_each_of(Name::BoundSecrets)
        .change(line("- the right of the service account to read the secret ")),
    ];
    if let Some(repository) = private_registry(target) {
        steps.push(
            Step::run(
                "The same for the repository of images.",
                unbind(repository.command("remove-iam-policy-binding"), PULLS),
            )
            .for_each_of(Name::BoundRepository)
            .change(line("- the right of the service account to pull from ")),
        );
    }
    let ask = Shell::calling(
        "asks for the name of the secret on the terminal, and keeps it otherwise",
        FUNCTIONS,
        ["delete_secret"],
    )
    .argument(each())
    .value("secret_price", format!("{:.2}", machine::secret_price()))
    .command("delete", delete("secrets delete").arg("--quiet"));
    steps.extend([
        Step::run(
            "The VM's own account.",
            ScriptCommand::gcloud("iam service-accounts delete").arg(each()).in_project().arg("--quiet"),
        )
        .for_each_of(Name::UnusedAccount)
        .change(line("- service account ")),
        Step::shell("Secrets only after a question.", ask)
            .for_each_of(Name::UnusedSecrets)
            .change(line("- secret, if you type its name: "))
        .will(line("ask secret - ")),
        Step::shell(
            "Older resources stay.",
            Shell::calling("prints what was found, with the commands that delete it", FUNCTIONS, ["tell_older"]),
        ),
        Step::note("Others may act as it.").tell(format!(
            "An account {DEPLOYER}, which setup --deployer makes for all gateways, is left alone; it costs nothing."
        )),
    ]);
    steps
}
