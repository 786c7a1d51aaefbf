//! How a managed instance group is looked at: the commands that `group.sh` is built on.

use super::script::{ScriptCommand, Shell, Step};
use super::vm::{Vm, named};
use crate::project::names::VmName;

const FUNCTIONS: &[&str] = &[include_str!("sh/group.sh")];
const MEMBERS: &[&str] = &[include_str!("sh/require-all-members.sh")];
/// The state of a group: whether it has finished its work, and whether all its VMs have its template.
const STATE: &str = "value[separator='|'](status.isStable,status.versionTarget.isReached)";
/// The errors of creating VMs, one per line: time (UTC), VM, message.
const ERRORS: &str = "value[separator=' '](timestamp.date(tz=UTC,format='%Y-%m-%dT%H:%M:%SZ'),\
    instanceActionDetails.instance.basename(),error.code,error.message)";

/// Ends the script unless the group of `vm`'s spec has the requested VMs, all of one bundle, within `patience`
/// seconds.
pub(super) fn settled(vm: Vm<'_>, members: &[VmName], patience: u32) -> Step {
    let how = "runs them every 10 s, until the first prints `True|True`; ends with an error where it prints \
               nothing, where the second tells of something that does not pass by itself, or the time is over";
    Step::shell(
        "The group is now creating the VMs.",
        observed(vm, members, how, "settled").argument(patience.to_string().into()),
    )
}

/// Looks at the group once; where it is at work, that is a finding of `status`.
pub(super) fn at_rest(vm: Vm<'_>, members: &[VmName]) -> Step {
    let how = "not well unless the first prints `True|True`; then the second tells why";
    Step::shell("Whether the group has made all VMs, of one bundle.", observed(vm, members, how, "rests"))
}

/// Ends the script where the group has other members than these.
pub(super) fn require_all_members(vm: Vm<'_>, members: &[VmName]) -> Step {
    let others = ScriptCommand::gcloud("compute instance-groups managed list-instances")
        .arg(vm.name.as_str())
        .in_project()
        .flag("zone", vm.zone())
        .flag("filter", format!("NOT instance ~ \"/({})$\"", listed(members, "|")))
        .flag("format", "value(instance.basename())");
    let shell = Shell::calling(
        "ends with an error where the command prints something",
        MEMBERS,
        ["require_all_members"],
    )
    .value("group", vm.name.as_str())
    .value("zone", vm.zone())
    .command("other_members", others);
    Step::shell("The group is deleted as a whole, with all its members.", shell)
        .only_where(vm.group_listed(""))
}

/// Shell that looks at the group.
fn observed(vm: Vm<'_>, members: &[VmName], how: &'static str, call: &'static str) -> Shell {
    let errors = ScriptCommand::gcloud("compute instance-groups managed list-errors")
        .arg(vm.name.as_str())
        .in_project()
        .flag("zone", vm.zone())
        .flag("format", ERRORS);
    let state = ScriptCommand::gcloud("compute instance-groups managed list")
        .in_project()
        .flag("zones", vm.zone())
        .flag("filter", named(vm.name.as_str()))
        .flag("format", STATE);
    Shell::calling(how, FUNCTIONS, [call])
        .value("group", vm.name.as_str())
        .value("zone", vm.zone())
        .value("fleet", format!(" --fleet {}", listed(members, ",")))
        .command("group_state", state)
        .command("group_errors", errors)
}

pub(super) fn listed(members: &[VmName], separator: &str) -> String {
    members.iter().map(VmName::as_str).collect::<Vec<_>>().join(separator)
}
