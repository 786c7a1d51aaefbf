//! Changes of a VM by hand, which no label shows: another service account, scopes, metadata.

use super::metadata::{Attribute, ON_RUNNING_VMS, VmMetadata};
use super::script::{Name, ScriptCommand, Shell, Step, Word};
use super::vm::{Vm, account_pattern, named};

const FUNCTIONS: &[&str] = &[include_str!("sh/drift.sh")];

/// Keys that a managed instance group sets on its VMs.
const OF_GROUPS: [&str; 2] = ["created-by", "instance-template"];

/// `KEY=VALUE` for each key of the metadata; of a value, its first line.
const METADATA: &str = r"value[separator='='](metadata.items.key,metadata.items.value.sub('\n.*',''))";

impl Vm<'_> {
    /// Holds for a VM of another machine type or service account, or with scopes that are too narrow to read its
    /// secrets. Only a new VM gets others.
    pub(super) fn has_other_identity(self) -> String {
        let gcp = &self.target.spec.gcp;
        format!(
            "NOT machineType ~ \"/{}$\" OR NOT serviceAccounts[0].email ~ \"{}\" OR NOT serviceAccounts[0].scopes ~ \"/auth/cloud-platform$\"",
            gcp.machine_type.value,
            account_pattern(gcp.service_account.as_str())
        )
    }

    /// Prints the VM's metadata.
    pub(super) fn metadata_there(self) -> ScriptCommand {
        ScriptCommand::gcloud("compute instances list")
            .in_project()
            .flag("zones", self.zone())
            .flag("filter", named(self.name.as_str()))
            .flag("flatten", "metadata.items[]")
            .flag("format", METADATA)
    }

    /// Sets values of the metadata that were changed by hand, such as OS Login, without a restart. Other keys are
    /// named, and stay. A VM that is about to be replaced is left out.
    pub(super) fn metadata_drift(self, metadata: &VmMetadata) -> [Step; 2] {
        let how = "sets `drift` to the words of the metadata of bake.yaml that the command does not print, unless \
                   the VM is missing or about to be replaced";
        let shell = Shell::calling(how, FUNCTIONS, ["find_drift"])
            .value("vm", self.name.as_str())
            .value("wanted_metadata", metadata.values())
            .value("known_keys", metadata.keys())
            .command("vm_metadata", self.metadata_there());
        let add = self
            .on("compute instances add-metadata")
            .flag_word("metadata", Word(Vec::new()).name(Name::Each));
        [
            Step::shell("Metadata that was changed by hand.", shell).look(),
            Step::run("As bake.yaml says; the VM follows without a restart.", add)
                .for_each_of(Name::Drift)
                .change(Word::from(format!("~ VM {}: metadata ", self.name)).name(Name::Each)),
        ]
    }
}

impl VmMetadata {
    /// The words `KEY=VALUE` of the keys that are not read from files.
    pub(super) fn values(&self) -> String {
        let values = self.attributes().into_iter().filter_map(|(key, attribute)| match attribute {
            Attribute::Value(value) => Some(format!("{key}={value}")),
            Attribute::File(_) => None,
        });
        values.collect::<Vec<_>>().join(" ")
    }

    /// The keys that bake, for this bundle or another one, or a group sets.
    pub(super) fn keys(&self) -> String {
        let keys = self.attributes().into_iter().map(|(key, _)| key);
        keys.chain(ON_RUNNING_VMS).chain(OF_GROUPS).collect::<Vec<_>>().join(" ")
    }
}
