//! `releases`: the releases that a VM has.

use std::sync::LazyLock;

use super::group::listed;
use super::script::{Script, ScriptCommand, Shell, Step};
use super::target::Target;
use super::vm::Vm;
use crate::project::names::VmName;

/// How the releases of a VM are read.
pub(super) const FUNCTIONS: &str = include_str!("sh/releases.sh");

static SHOW: LazyLock<[&str; 4]> = LazyLock::new(|| {
    [
        include_str!("sh/vm-state.sh"),
        FUNCTIONS,
        include_str!("sh/json.sh"),
        include_str!("sh/show-releases.sh"),
    ]
});

/// Prints the releases of these VMs, which may be those of a fleet, as a table, or, if `as_json`, as one document.
pub fn script(target: Target<'_>, names: &[VmName], fleet: Option<&str>, as_json: bool) -> Script {
    let how = "prints the third, a release on each line: identity, OpenClaw's version, the beginning of the lock's \
               SHA-256, since when, and `current`, `kept`, `gone` or `failed: ` and why";
    let (call, end) =
        if as_json { ("print_releases", "end_document") } else { ("show_releases", "conclude") };
    let looks = names.iter().map(|name| {
        let vm = Vm { target, name };
        let shell = vm
            .observed(how, &*SHOW, call, fleet)
            .command("vm_report", vm.report())
            .command("vm_releases", vm.releases());
        Step::shell(format!("The releases of {name}, as it reports them."), shell)
    });
    let end = Shell::calling("exits with 1 where a VM cannot be looked at", &*SHOW, [end]);
    let steps = looks.chain([Step::shell("A VM that says nothing is a failure.", end)]).collect();
    let title = format!(
        "bake gcloud releases: prints the releases that each VM has, and whether they are healthy: {}.\nChanges nothing.",
        listed(names, ", ")
    );
    Script::new("releases", title, target, steps)
}

impl Vm<'_> {
    /// The releases that the VM reports, a line each.
    pub(super) fn releases(self) -> ScriptCommand {
        self.on("compute instances get-guest-attributes")
            .flag("query-path", "openclaw/releases")
            .flag("format", "value(value)")
    }
}
