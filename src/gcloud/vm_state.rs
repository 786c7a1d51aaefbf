//! How a VM is looked at from outside: the commands that `vm-state.sh` is built on.

use super::script::{Name, ScriptCommand, Shell, Word};
use super::vm::{Vm, named};
use crate::project::machine::Machine;

/// Everything that Compute Engine says of the VM that matters here, in one line; nothing where there
/// is no such VM. The time is in UTC, as the VM's own reports have it.
const STATE: &str = "value[separator='|'](status,id,\
    lastStartTimestamp.date(tz=UTC,format='%Y-%m-%dT%H:%M:%SZ'),labels.openclaw-lock,\
    metadata.items.filter(key:enable-guest-attributes).extract(value),\
    labels.openclaw-bundle,machineType.basename(),labels.openclaw-version,labels.openclaw-bake,\
    serviceAccounts[0].email,serviceAccounts[0].scopes.list())";

const SNAPSHOTS: &str = "value[separator=' '](name,\
    creationTimestamp.date(tz=UTC,format='%Y-%m-%dT%H:%M:%SZ'),autoCreated)";

impl Vm<'_> {
    /// Shell code that looks at the VM: `functions` begin with those of `vm-state.sh`. Its advice has the
    /// option `--fleet` of this `fleet`, if there is one.
    pub(super) fn observed(
        self,
        how: &'static str,
        functions: &'static [&'static str],
        call: &'static str,
        fleet: Option<&str>,
    ) -> Shell {
        Shell::calling(how, functions, [call])
            .value("vm", self.name.as_str())
            .value("fleet", fleet.map_or_else(String::new, |fleet| format!(" --fleet {fleet}")))
            .value("zone", self.zone())
            .value("device", self.device())
            .value("larger", Machine::new(&self.target.spec.gcp.machine_type).larger())
            .command("vm_state", self.state())
    }

    /// The VM's state according to Compute Engine.
    fn state(self) -> ScriptCommand {
        ScriptCommand::gcloud("compute instances list")
            .in_project()
            .flag("zones", self.zone())
            .flag("filter", named(self.name.as_str()))
            .flag("format", STATE)
    }

    /// Its data disks, the one in use first.
    pub(super) fn disks(self) -> ScriptCommand {
        ScriptCommand::gcloud("compute disks list")
            .in_project()
            .flag("zones", self.zone())
            .flag("filter", self.is_its_disk())
            .flag("sort-by", "~creationTimestamp")
            .flag("format", "value[separator=' '](name,sizeGb)")
    }

    /// The snapshots of its data disks, the newest first: name, time (UTC), and whether a schedule took it.
    pub(super) fn snapshots(self) -> ScriptCommand {
        ScriptCommand::gcloud("compute snapshots list")
            .in_project()
            .flag("filter", self.is_its_snapshot())
            .flag("sort-by", "~creationTimestamp")
            .flag("format", SNAPSHOTS)
    }

    /// The VM's own report.
    pub(super) fn report(self) -> ScriptCommand {
        self.on("compute instances get-guest-attributes")
            .flag("query-path", "openclaw/")
            .flag("format", "value[separator=' '](key,value)")
    }

    /// The end of the serial console's log.
    pub(super) fn serial(self) -> ScriptCommand {
        self.on("compute instances get-serial-port-output")
    }

    /// The serial console's log from [`Name::Start`] on, after the bytes where it begins and ends.
    pub(super) fn serial_onward(self) -> ScriptCommand {
        self.serial()
            .flag_word("start", Word(Vec::new()).name(Name::Start))
            .flag("format", r#"value[no-quote,separator="\n"](start,next,contents)"#)
    }

    /// A command about the VM by its name.
    pub(super) fn on(self, words: &str) -> ScriptCommand {
        ScriptCommand::gcloud(words).arg(self.name.as_str()).in_project().flag("zone", self.zone())
    }
}
