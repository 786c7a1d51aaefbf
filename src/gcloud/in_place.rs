//! `update`: gives a running VM the bundle in its metadata, and follows it to the new release or back.
//!
//! The VM does the work (`cloud-init/update.py`): it prepares the release while the old gateway answers, and returns
//! to the old one by itself if the new gateway does not become ready.

use std::sync::LazyLock;

use super::boot_image::{GroupImage, template};
use super::effects::{self, Rows};
use super::metadata::{REQUEST, VmMetadata};
use super::releases;
use super::script::{BundleFolder, Name, Script, ScriptCommand, Shell, Step, Word};
use super::target::Target;
use super::update::MOVE;
use super::vm::{Vm, account_pattern};
use super::{advice, fleet, group, guards};
use crate::project::names::VmName;
use crate::vm::statuses;

static FUNCTIONS: LazyLock<[&str; 6]> = LazyLock::new(|| {
    [
        include_str!("sh/vm-state.sh"),
        releases::FUNCTIONS,
        include_str!("sh/in-place.sh"),
        include_str!("sh/follow.sh"),
        advice::functions(),
        include_str!("sh/wait.sh"),
    ]
});

/// The gateway during an update.
fn gateway() -> String {
    format!(
        "answers until the new image is there and verified; then away for about {} minutes while the state is copied and the new gateway starts. If that is not ready within 30 minutes, the VM goes back to the old release and its state by itself.",
        effects::IN_PLACE
    )
}

/// The resources that an update keeps.
const STAYS: &str =
    "the VM, its disks, all state and secrets; on the VM the old release, with a copy of the state.";

/// How an update in place is followed.
#[derive(Clone, Copy)]
pub struct UpdateOptions {
    /// Whether to try a release again that failed.
    pub retry: bool,
    /// How long to wait for the VM, in seconds.
    pub timeout: u32,
}

/// Gives the VM the bundle, or creates it where there is none.
pub fn script(
    target: Target<'_>,
    metadata: &VmMetadata,
    folder: BundleFolder,
    options: UpdateOptions,
) -> Script {
    let vm = Vm::of(target);
    let bundle = SentBundle { vm, metadata, options, fleet: None };
    let mut steps = guards::must_be_ours(target, None);
    steps.extend(guards::must_not_be_elsewhere(target, None));
    steps.push(vm.must_have_its_state_here());
    if vm.has_data_disk() {
        steps.extend(vm.disk_must_fit());
    }
    steps.push(vm.type_must_be_there(&target.spec.gcp.machine_type));
    steps.extend(vm.must_be_built_so(None));
    steps.push(bundle.look(vm));
    steps.extend(vm.must_have_secrets());
    steps.extend(vm.picked_image(vm.listed("")));
    let [look, drift] = vm.metadata_drift(metadata);
    steps.push(look);
    steps.push(Rows::of(vm, std::slice::from_ref(vm.name)).look());
    steps.extend(vm.snapshot_schedule());
    steps.extend(vm.data_disk());
    steps.extend(vm.disk_schedule());
    steps.push(vm.instance(metadata));
    steps.push(drift);
    steps.push(choose(vm));
    steps.push(
        Step::run(
            "The bundle in place of the old one; the VM notices it by itself. The labels come last: a run that ends\n\
             in between is made up for by the next one.",
            bundle.sent(),
        )
        .only_where(vm.listed(&bundle.is_other()))
        .then(vm.on("compute instances add-labels").flag("labels", vm.bundle_labels(metadata)))
        .change(change(vm))
        .away(vm.name, effects::IN_PLACE)
        .leaves(bundle.goes_on()),
    );
    steps.extend(bundle.retried(vm));
    steps.extend(vm.relabelled(""));
    steps.push(bundle.follow(vm, &[]));
    let about = format!(
        "bake gcloud update: changes the VM `{}` to the release of the current bundle, in place.\n\
         Safe to run twice.\n\
         Lock: {}",
        vm.name,
        target.lock()
    );
    Script::new("update", about, target, steps)
        .reading(folder, metadata.files())
        .stays(STAYS)
        .gateway(gateway())
        .costs(format!("unchanged, unless the data disk grows: {}", vm.costs()))
}

/// Gives the members of a fleet the bundle, one after another, until one goes back to its old release.
///
/// # Errors
/// Where the spec has no data disk.
pub fn of_fleet(
    target: Target<'_>,
    members: &[VmName],
    metadata: &VmMetadata,
    folder: BundleFolder,
    options: UpdateOptions,
) -> Result<Script, String> {
    let vm = Vm::of(target);
    let named = group::listed(members, ",");
    let bundle = SentBundle { vm, metadata, options, fleet: Some(&named) };
    let each = || members.iter().map(|name| Vm { target, name });
    let mut steps = fleet::in_common(vm, members, metadata, GroupImage::Kept)?;
    for member in each() {
        steps.extend(member.must_be_built_so(Some(&named)));
        steps.push(bundle.look(member));
    }
    steps.extend(vm.must_have_secrets());
    let template = template();
    let start = ScriptCommand::gcloud("compute instance-groups managed rolling-action start-update")
        .arg(vm.name.as_str())
        .in_project()
        .flag("zone", vm.zone())
        .flag_word("version", Word::from("template=").word(template.clone()))
        .flag("type", "opportunistic")
        .flag("minimal-action", "refresh")
        .flag("most-disruptive-allowed-action", "refresh")
        .flag("replacement-method", "recreate")
        .flag("max-surge", 0)
        .flag("max-unavailable", 1);
    steps.push(
        Step::run(
            "The template for all members. `opportunistic`: the group changes none of them unasked, since it would not\n\
             wait for a gateway. A VM that it repairs keeps the template that it has.",
            start,
        )
        .unless(vm.group_has(template, " AND updatePolicy.type=OPPORTUNISTIC"))
        .change(format!("~ group {}: new members are of this bundle", vm.name))
        .leaves(format!("The members run the releases that they had. To change them, one after another: bake gcloud update --fleet {named} | sh"))
        .tell_already(format!("group {}, of this bundle", vm.name)),
    );
    for (place, member) in each().enumerate() {
        let refresh = ScriptCommand::gcloud("compute instance-groups managed update-instances")
            .arg(vm.name.as_str())
            .in_project()
            .flag("zone", vm.zone())
            .flag("instances", member.name)
            .flag("minimal-action", "refresh")
            .flag("most-disruptive-allowed-action", "refresh");
        steps.push(choose(member));
        steps.push(
            Step::run("The metadata and labels of the template, without a restart.", refresh)
                .only_where(member.listed(&bundle.is_other()))
                .change(change(member))
                .away(member.name, effects::IN_PLACE)
                .leaves(bundle.goes_on()),
        );
        steps.extend(bundle.retried(member));
        steps.push(bundle.follow(member, members.get(place.saturating_add(1)..).unwrap_or_default()));
    }
    steps.extend(fleet::joined(target, members));
    let patience = fleet::PATIENCE.saturating_mul(u32::try_from(members.len()).unwrap_or(u32::MAX));
    steps.push(group::settled(vm, members, patience));
    let about = format!(
        "bake gcloud update: changes the VMs of the fleet `{}` to the release of the current bundle, in place, one by one.\n\
         It stops at the first that goes back to its old release. Members: {}. Safe to run twice.\n\
         Lock: {}",
        vm.name,
        fleet::named_or_counted(members),
        target.lock()
    );
    Ok(Script::new("update", about, target, steps)
        .reading(folder, metadata.files())
        .stays(STAYS)
        .gateway(format!("each {}", gateway()))
        .costs(format!("unchanged, unless the data disk grows: {}", fleet::each_costs(vm, members))))
}

/// The bundle that VMs are given.
#[derive(Clone, Copy)]
struct SentBundle<'a> {
    /// The VM of the spec.
    vm: Vm<'a>,
    metadata: &'a VmMetadata,
    options: UpdateOptions,
    /// The names of the fleet's members, separated by commas.
    fleet: Option<&'a str>,
}

impl SentBundle<'_> {
    /// Holds for a VM with another bundle in its metadata.
    fn is_other(self) -> String {
        format!("NOT labels.openclaw-bundle={}", self.vm.bundle(self.metadata))
    }

    fn goes_on(self) -> String {
        let fleet = self.fleet.map_or_else(String::new, |fleet| format!(" --fleet {fleet}"));
        format!(
            "A VM that has the new metadata changes its release by itself. To see it through: bake gcloud update{fleet} | sh"
        )
    }

    /// Gives the spec's VM the metadata of the bundle, and the request.
    fn sent(self) -> ScriptCommand {
        let (values, files) = self.metadata.all_flags();
        let request = self.vm.update_request(self.metadata);
        self.vm
            .on("compute instances add-metadata")
            .flag("metadata", format!("{values},{REQUEST}={request}"))
            .flag("metadata-from-file", files)
    }

    /// A request that the VM has not seen, for a release that failed.
    fn retried(self, vm: Vm<'_>) -> Option<Step> {
        let request = format!("{REQUEST}={}-", self.vm.update_request(self.metadata));
        let again = ScriptCommand::gcloud("compute instances add-metadata")
            .arg(Word(Vec::new()).name(Name::Each))
            .in_project()
            .flag("zone", vm.zone())
            .flag_word("metadata", Word::from(request).name(Name::Stamp));
        self.options.retry.then(|| {
            Step::run("The VM tries a release that failed only for a new request.", again)
                .for_each_of(Name::FailedVm)
                .change(Word::from("~ VM ").name(Name::Each).text(": ").name(Name::Effect))
                .away(vm.name, effects::IN_PLACE)
                .leaves(self.goes_on())
        })
    }

    fn shell(self, vm: Vm<'_>, how: &'static str, call: &'static str) -> Shell {
        vm.observed(how, &*FUNCTIONS, call, self.fleet)
            .value("bundle", self.vm.bundle(self.metadata))
            .value("release", self.metadata.release.as_str())
            .value("request", self.vm.update_request(self.metadata))
            .value("retry", if self.options.retry { "yes" } else { "no" })
            .command("vm_report", vm.report())
            .command("vm_releases", vm.releases())
    }

    fn look(self, vm: Vm<'_>) -> Step {
        let how = "ends with an error unless `contract` is 1 in the second, or if the third says that the release failed";
        Step::shell(
            format!("Whether {} changes its release in place, and which it runs.", vm.name),
            self.shell(vm, how, "look_for_update"),
        )
        .look()
    }

    /// Follows the VM; `rest` are the members whose turn comes after it.
    fn follow(self, vm: Vm<'_>, rest: &[VmName]) -> Step {
        let how = "runs the first two every 10 s, until `update` is `done` for this request and `status` is `ready`; \
                   ends with an error where `update` is `rolled-back` or `refused`";
        let rest: String = rest.iter().map(|name| format!(" {name}")).collect();
        let again = if self.options.retry { Word::from("-").name(Name::Stamp) } else { Word::from("") };
        let shell = self
            .shell(vm, how, "follow_update")
            .argument(again)
            .value("rest", rest)
            .value("timeout", self.options.timeout.to_string())
            .value("stages", statuses().join(" "))
            .command("vm_serial", vm.serial());
        Step::shell(format!("The reports of {}, until it runs the release or has gone back.", vm.name), shell)
    }
}

/// The line of the plan.
fn change(vm: Vm<'_>) -> Word {
    Word::from(format!("~ VM {}: ", vm.name)).name(Name::Effect)
}

fn choose(vm: Vm<'_>) -> Step {
    let how = "sets `failed_vm` to the VM if the release failed on it before, and otherwise to nothing";
    let shell = Shell::calling(how, &*FUNCTIONS, ["choose_vm"]).value("vm", vm.name.as_str());
    Step::shell(format!("Sets the names of the steps about {}.", vm.name), shell).in_plan()
}

impl Vm<'_> {
    /// Ends the script where the VM that is there has its state on another disk than the bundle looks for it.
    fn must_have_its_state_here(self) -> Step {
        let device = self.device();
        let attached = format!("disks[].deviceName ~ \"^{device}$\"");
        if self.has_data_disk() {
            let said = format!(
                "{}: the VM that is there has no disk {device}, so that its state is on the boot disk, and bake.yaml has a data disk.",
                self.name
            );
            return Step::refuse(
                "The new release looks for the state on the data disk.",
                self.listed(&format!("NOT {attached}")),
                [said.into(), MOVE.into()],
            );
        }
        Step::refuse(
            "The new release looks for the state on the boot disk.",
            self.listed(&attached),
            [
                format!("{}: the state is on the data disk, and bake.yaml has none.", self.name).into(),
                "Write its size into bake.yaml: gcp.data_disk".into(),
            ],
        )
    }

    /// Ends the script where the VM differs from the spec in what no metadata changes. `fleet` names the members of
    /// its fleet.
    fn must_be_built_so(self, fleet: Option<&str>) -> [Step; 3] {
        let gcp = &self.target.spec.gcp;
        let (name, machine_type) = (self.name, &gcp.machine_type.value);
        let replace = format!(
            "  bake gcloud update --replace{} | sh",
            fleet.map_or_else(String::new, |fleet| format!(" --fleet {fleet}"))
        );
        let keep = |key: &str| {
            format!(
                "Write the VM's own back into bake.yaml ({key}), or replace it, on the same data disk, which takes some 5 minutes without a gateway:"
            )
        };
        let resize: Vec<Word> = match fleet {
            None => vec![
                "Write that of the VM into bake.yaml, or change it, with all state, in some 3 minutes without a gateway:".into(),
                format!("  bake gcloud resize {machine_type} | sh").into(),
            ],
            Some(_) => vec![keep("gcp.machine_type").into(), replace.clone().into()],
        };
        let mismatch = |text: &str| Word::from(format!("{name}: {text}"));
        [
            Step::refuse(
                "A machine type changes only while the VM is stopped.",
                self.listed(&format!("NOT machineType ~ \"/{machine_type}$\"")),
                std::iter::once(mismatch(&format!(
                    "bake.yaml says {machine_type}, and the VM is of another type."
                )))
                .chain(resize),
            ),
            Step::refuse(
                "Service account and scopes change only while the VM is stopped.",
                self.listed(&format!(
                    "(NOT serviceAccounts[0].email ~ \"{}\" OR NOT serviceAccounts[0].scopes ~ \"/auth/cloud-platform$\")",
                    account_pattern(gcp.service_account.as_str())
                )),
                [
                    mismatch(&format!(
                        "bake.yaml says the service account {}, and the VM has another one, or scopes that are too narrow.",
                        gcp.service_account.as_str()
                    )),
                    keep("gcp.service_account").into(),
                    replace.clone().into(),
                ],
            ),
            Step::refuse(
                "These settings are those that the VM was created with.",
                self.listed(&format!(
                    "labels.openclaw-build:* AND NOT labels.openclaw-build={}",
                    self.build()
                )),
                [
                    mismatch(
                        "bake.yaml says another OS, architecture, boot disk, network, subnet or public address than the VM was created with.",
                    ),
                    keep("host.os, host.arch, gcp.boot_disk, gcp.network, gcp.subnet, gcp.public_ip").into(),
                    replace.into(),
                ],
            ),
        ]
    }
}
