//! `rollback`: back to the release before, with the state of that time, or with today's.

use std::sync::LazyLock;

use super::effects::{self, Rows};
use super::metadata::REQUEST;
use super::script::{Name, Script, ScriptCommand, Shell, Step, Word};
use super::target::Target;
use super::vm::Vm;
use super::{advice, guards, releases};
use crate::project::names::{ReleaseId, VmName};
use crate::vm::statuses;

static FUNCTIONS: LazyLock<[&str; 6]> = LazyLock::new(|| {
    [
        include_str!("sh/vm-state.sh"),
        releases::FUNCTIONS,
        include_str!("sh/rollback.sh"),
        include_str!("sh/follow.sh"),
        advice::functions(),
        include_str!("sh/wait.sh"),
    ]
});

/// The target of a rollback.
pub struct RollbackOptions<'a> {
    /// The release; by default the one before.
    pub to: Option<&'a ReleaseId>,
    /// Whether today's state stays.
    pub keep_state: bool,
    /// Whether to try again what failed.
    pub retry: bool,
    /// How long to wait for the VM, in seconds.
    pub timeout: u32,
}

/// Has the VM, which may be a `member` of a fleet, go back, and follows it.
pub fn script(target: Target<'_>, member: Option<&VmName>, options: &RollbackOptions<'_>) -> Script {
    let vm = Vm::one(target, member);
    let of_member = member.map_or_else(String::new, |name| format!(" --member {name}"));
    let keep = if options.keep_state { ",keep-state" } else { "" };
    let mut request = Word::from(format!("--metadata=^:^{REQUEST}=rollback=")).name(Name::CurrentRelease);
    if options.retry {
        request = request.text("-").name(Name::Stamp);
    }
    let ask = ScriptCommand::gcloud("compute instances add-metadata")
        .arg(Word(Vec::new()).name(Name::Each))
        .in_project()
        .flag("zone", vm.zone())
        .arg(request.text(keep));
    let how = "ends with an error unless `contract` is 1 in the second, and the third has a release that is `kept`; \
               sets `rollback_vm` to the VM, or to nothing where it has gone back already, and `current` to the release \
               that is `current`";
    let shell = |how, call| {
        vm.observed(how, &*FUNCTIONS, call, member.map(VmName::as_str))
            .value("member", of_member.as_str())
            .value("and_keep", keep)
            .value("keeps_state", if options.keep_state { "yes" } else { "no" })
            .value("to", options.to.map(ToString::to_string).unwrap_or_default())
            .command("vm_report", vm.report())
            .command("vm_releases", vm.releases())
    };
    let again = if options.retry { Word::from("-").name(Name::Stamp) } else { Word::from("") };
    let look = shell(how, "look_for_rollback").argument(again);
    let mut steps = match member {
        None => guards::must_be_ours(target, None),
        Some(name) => guards::must_be_ours(target, Some(std::slice::from_ref(name))),
    };
    steps.push(Step::shell("Which release the VM runs, and which it can go back to.", look).look());
    steps.push(Rows::of(vm, std::slice::from_ref(vm.name)).look());
    let already = Shell::calling("names a VM that has gone back already", &*FUNCTIONS, ["tell_already"]);
    steps.push(Step::shell("A VM that has gone back does not go forward again unasked.", already).in_plan());
    steps.push(
        Step::run("The VM notices the request by itself, and remembers that it has done it.", ask)
            .for_each_of(Name::RollbackVm)
            .change(Word::from(format!("~ VM {}: ", vm.name)).name(Name::Effect))
            .away(vm.name, effects::IN_PLACE)
            .leaves(format!(
                "The VM goes back by itself. To see it through: bake gcloud rollback{of_member} | sh"
            )),
    );
    let how = "runs the first two every 10 s, until `update` is `done` for this request and `status` is `ready`; \
               ends with an error where `update` is `rolled-back` or `refused`";
    let follow = shell(how, "follow_rollback")
        .value("timeout", options.timeout.to_string())
        .value("stages", statuses().join(" "))
        .command("vm_serial", vm.serial());
    steps.push(Step::shell("The reports of the VM, until it runs the release before.", follow));
    let (lost, stays) = if options.keep_state {
        (
            "nothing. If the older OpenClaw cannot read today's state, the VM goes forward again by itself.",
            "today's state.",
        )
    } else {
        (
            "everything that the gateway wrote since the update: messages, settings, logins. `--keep-state` keeps it.",
            "a copy of today's state, until the next update. `bake gcloud rollback --to RELEASE` brings it back.",
        )
    };
    let anew = if member.is_some() {
        "The group keeps its template: a new VM would run the newer release."
    } else {
        "The metadata of the VM, bake.yaml and bake.lock keep the newer release: a new VM would run it, on the older state."
    };
    let about = format!(
        "bake gcloud rollback: changes the VM `{}` to the release before: image, scripts and state together.\n\
         {anew}\n\
         Safe to run twice: a VM that has gone back stays there.",
        vm.name
    );
    Script::new("rollback", about, target, steps)
        .lost(lost)
        .stays(stays)
        .gateway(format!(
            "away for about {} minutes while the state changes places and the older gateway starts.",
            effects::IN_PLACE
        ))
        .costs(format!("unchanged: {}", vm.costs()))
}
