//! `--fleet`: several gateways of one spec, in Compute Engine's own stateful managed instance group.
//!
//! The group makes VMs of a template, each with the name and the data disk that were set for it, and
//! makes one anew that does not answer. The disks are nobody's but the member's: the group never
//! deletes them.

use super::destroy::confirm;
use super::group;
use super::metadata::VmMetadata;
use super::script::{BundleFolder, Name, Script, ScriptCommand, Step, Word};
use super::setup::allow_ssh;
use super::vm::{Vm, named, shortened};
use crate::plan::Plan;
use crate::project::names::VmName;

/// Where Google's health checks come from (Google, "Health checks overview", probe ranges).
const PROBES: &str = "35.191.0.0/16,130.211.0.0/22";
/// How long a group may take to make VMs, in seconds: all of them at once, or one after another.
const PATIENCE: u32 = 900;
/// Digits of the bundle's digest in a template's name.
const DIGITS: usize = 12;
/// The parts of a health check's and a firewall rule's names after the VM's.
const ALIVE: &str = "alive";

/// Makes whatever is not there of template, health check, group, disks and members.
///
/// # Errors
/// Where the spec has no data disk.
pub fn create(
    plan: &Plan<'_>,
    members: &[VmName],
    metadata: &VmMetadata,
    folder: BundleFolder,
) -> Result<Script, String> {
    let vm = Vm::of(plan);
    let mut steps = in_common(vm, metadata)?;
    let about = format!(
        "Creates the fleet `{}` of {} OpenClaw Gateways, each with its data disk. Rendered by bake from\n\
         lock {}. Safe to run twice: what is there is kept, and nothing is deleted.",
        vm.name,
        members.len(),
        plan.lock_digest
    );
    steps.extend(joined(plan, members));
    steps.push(group::settled(vm, members, PATIENCE));
    steps.push(
        Step::note("What changed in the bundle since then did not reach the members.")
            .unless(vm.group_listed(&format!("versions[].instanceTemplate ~ \"/{}$\"", vm.template(metadata))))
            .tell(format!("{}: the group makes its VMs of another bundle. To replace them, one after another: bake gcloud update --fleet … | sh", vm.name)),
    );
    Ok(Script::new("create", about, plan, steps).reading(folder, metadata.files()))
}

/// Lets the group replace its VMs by ones of this bundle, one after another.
///
/// # Errors
/// Where the spec has no data disk.
pub fn update(
    plan: &Plan<'_>,
    members: &[VmName],
    metadata: &VmMetadata,
    folder: BundleFolder,
) -> Result<Script, String> {
    let vm = Vm::of(plan);
    let mut steps = in_common(vm, metadata)?;
    let template = vm.template(metadata);
    let replace = ScriptCommand::gcloud("compute instance-groups managed rolling-action start-update")
        .arg(vm.name.as_str())
        .in_project()
        .flag("zone", vm.zone())
        .flag("version", format!("template={template}"))
        .flag("replacement-method", "recreate")
        .flag("max-surge", 0)
        .flag("max-unavailable", 1);
    steps.push(
        Step::run("One VM after another, under its name and with its disk.", replace)
            .unless(vm.group_listed(&format!("versions[].instanceTemplate ~ \"/{template}$\"")))
            .tell("The group replaces its VMs one after another; the data disks stay.")
            .tell_already(format!("{}: the group makes its VMs of this bundle", vm.name)),
    );
    steps.extend(joined(plan, members));
    steps.push(group::settled(
        vm,
        members,
        PATIENCE.saturating_mul(u32::try_from(members.len()).unwrap_or(u32::MAX)),
    ));
    let about = format!(
        "Replaces the VMs of the fleet `{}` by ones of this bundle. Rendered by bake from\n\
         lock {}. Safe to run twice; the data disks stay.",
        vm.name, plan.lock_digest
    );
    Ok(Script::new("update", about, plan, steps).reading(folder, metadata.files()))
}

/// Deletes group, templates, health check and firewall rule, where `members` are all that the group has;
/// with `data`, their disks and snapshots too, once the fleet's name was typed.
pub fn destroy(plan: &Plan<'_>, members: &[VmName], data: bool) -> Script {
    let vm = Vm::of(plan);
    let all = || members.iter().map(|name| Vm { plan, name });
    let mut steps = vec![group::whole(vm, members)];
    if data {
        steps.extend(all().map(Vm::show));
        steps.push(confirm(vm.name.as_str()));
    }
    let each = || Word(Vec::new()).name(Name::Each);
    let group = ScriptCommand::gcloud("compute instance-groups managed delete")
        .arg(vm.name.as_str())
        .in_project()
        .flag("zone", vm.zone())
        .arg("--quiet");
    let templates = ScriptCommand::gcloud("compute instance-templates list")
        .in_project()
        .flag("filter", format!("properties.labels.openclaw ~ \"^{}$\"", vm.name))
        .flag("format", "value(name)");
    let template =
        ScriptCommand::gcloud("compute instance-templates delete").arg(each()).in_project().arg("--quiet");
    let alive = format!("{}-{ALIVE}", vm.name);
    let global = |kind: &str| {
        let list = ScriptCommand::gcloud(&format!("compute {kind} list"))
            .in_project()
            .flag("filter", named(&alive))
            .flag("format", "value(name)");
        let delete = ScriptCommand::gcloud(&format!("compute {kind} delete"))
            .arg(alive.clone())
            .in_project()
            .arg("--quiet");
        (list, delete)
    };
    steps.push(
        Step::run("The group and its VMs; it was told never to delete a data disk.", group)
            .only_where(vm.group_listed(""))
            .gone(format!("the group {} and its VMs", vm.name))
            .tell(format!("{}: the group and its VMs are deleted", vm.name))
            .tell_already(format!("{}: there is no group", vm.name)),
    );
    steps.push(
        Step::run("The templates that it made VMs of.", template).for_each(templates).gone("its templates"),
    );
    let (list, delete) = global("health-checks");
    steps.push(Step::run("Its health check.", delete).only_where(list).gone("its health check"));
    let (list, delete) = global("firewall-rules");
    steps.push(
        Step::run("The way in for health checks.", delete)
            .only_where(list)
            .gone("the way in for health checks"),
    );
    if data {
        steps.extend(all().flat_map(Vm::delete_data));
        steps.push(vm.delete_schedule());
    }
    let kept =
        if data { ", with all data disks and their snapshots" } else { "; data disks and snapshots stay" };
    let about = format!("Deletes the fleet `{}`{kept}. Safe to run twice.", vm.name);
    Script::new("destroy", about, plan, steps)
}

/// What the members have in common.
fn in_common(vm: Vm<'_>, metadata: &VmMetadata) -> Result<Vec<Step>, String> {
    if !vm.has_data_disk() {
        return Err("each member of a fleet needs a data disk: set `gcp.data_disk` in bake.yaml".to_owned());
    }
    let (name, template, alive) = (vm.name, vm.template(metadata), format!("{}-{ALIVE}", vm.name));
    let listed = |words: &str, name: &str| {
        ScriptCommand::gcloud(words).in_project().flag("filter", named(name)).flag("format", "value(name)")
    };
    let make_template = ScriptCommand::gcloud("compute instance-templates create")
        .arg(template.clone())
        .in_project()
        .args(vm.made_with(metadata));
    let make_check = ScriptCommand::gcloud("compute health-checks create tcp")
        .arg(alive.clone())
        .in_project()
        .flag("port", 22)
        .flag("check-interval", "30s")
        .flag("timeout", "10s")
        .flag("unhealthy-threshold", 4);
    let make_group = ScriptCommand::gcloud("compute instance-groups managed create")
        .arg(name.as_str())
        .in_project()
        .flag("zone", vm.zone())
        .flag("size", 0)
        .flag("template", &template)
        .flag("health-check", &alive)
        .flag("initial-delay", 600);
    let mut steps: Vec<_> = vm.snapshot_schedule().into_iter().collect();
    steps.push(
        Step::run("What each VM is made of: all but its name and its data disk.", make_template)
            .unless(listed("compute instance-templates list", &template))
            .stands(format!("the template {template}")),
    );
    steps.push(
        Step::run(
            "Whether a VM is alive, asked of its SSH port. The gateway's own port stays closed: a gateway that\n\
             dies is started again on the VM.",
            make_check,
        )
        .unless(listed("compute health-checks list", &alive))
        .stands(format!("the health check {alive}")),
    );
    steps.push(allow_ssh(vm, ALIVE, PROBES, "The way in for health checks."));
    steps.push(
        Step::run(
            "The group, empty yet. It makes a VM anew that does not answer for two minutes.",
            make_group,
        )
        .unless(vm.group_listed(""))
        .stands(format!("the group {name}")),
    );
    Ok(steps)
}

/// Each member with its data disk.
fn joined(plan: &Plan<'_>, members: &[VmName]) -> Vec<Step> {
    let whole = Vm::of(plan);
    let mut steps = Vec::new();
    for name in members {
        let vm = Vm { plan, name };
        steps.extend(vm.data_disk());
        steps.extend(vm.disk_schedule());
        let there = ScriptCommand::gcloud("compute instance-groups managed list-instances")
            .arg(whole.name.as_str())
            .in_project()
            .flag("zone", vm.zone())
            .flag("filter", format!("instance ~ \"/{name}$\""))
            .flag("format", "value(instance)");
        let disk = Word::from(format!("device-name={},source=projects/", vm.device()))
            .name(Name::Project)
            .text(format!("/zones/{}/disks/", vm.zone()))
            .name(Name::Data)
            .text(",mode=rw,auto-delete=never");
        let join = ScriptCommand::gcloud("compute instance-groups managed create-instance")
            .arg(whole.name.as_str())
            .in_project()
            .flag("zone", vm.zone())
            .flag("instance", name)
            .flag_word("stateful-disk", disk);
        steps.push(
            Step::run("A member under its own name, which keeps its disk through every repair.", join)
                .unless(there)
                .stands(format!("the VM {name}"))
                .tell(format!("{name} is on its way to a running gateway, which takes some minutes."))
                .tell_already(format!("{name}: the VM is there, and is kept as it is")),
        );
    }
    steps
}

impl Vm<'_> {
    /// The template of this bundle.
    fn template(self, metadata: &VmMetadata) -> String {
        let mut digest = self.bundle(metadata);
        digest.truncate(DIGITS);
        format!("{}-{digest}", shortened(self.name.as_str(), "-123456789012"))
    }

    /// Prints the group's name where it is there and `filter` holds.
    pub(super) fn group_listed(self, filter: &str) -> ScriptCommand {
        let name = named(self.name.as_str());
        let filter = if filter.is_empty() { name } else { format!("{name} AND {filter}") };
        self.list("compute instance-groups managed list", filter.into())
    }
}
