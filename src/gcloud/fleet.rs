//! `--fleet`: several gateways of one spec, in Compute Engine's own stateful managed instance group.
//!
//! The group creates VMs from a template, each with its own name and data disk, and replaces one that does not
//! answer. The disks belong to the members: the group never deletes them.

use super::boot_image::{GroupImage, template};
use super::cleanup;
use super::confirm::confirm;
use super::destroy::FOR_GOOD;
use super::effects::{self, Rows};
use super::group::{self, listed};
use super::guards;
use super::metadata::VmMetadata;
use super::network::SshRule;
use super::script::{BundleFolder, Name, Script, ScriptCommand, Step, Word};
use super::target::Target;
use super::vm::{Vm, named};
use crate::project::names::{SnapshotName, VmName};

/// The source addresses of Google's health checks (Google, "Health checks overview", probe ranges).
const PROBES: &str = "35.191.0.0/16,130.211.0.0/22";
/// How long a group may take to make VMs, in seconds: all of them at once, or one after another.
pub(super) const PATIENCE: u32 = 900;
/// The parts of a health check's and a firewall rule's names after the VM's.
const ALIVE: &str = "alive";

/// Creates the missing ones of template, health check, group, disks and members.
///
/// # Errors
/// Where the spec has no data disk.
pub fn create(
    target: Target<'_>,
    members: &[VmName],
    metadata: &VmMetadata,
    folder: BundleFolder,
) -> Result<Script, String> {
    let vm = Vm::of(target);
    let mut steps = in_common(vm, members, metadata, GroupImage::Kept)?;
    let about = format!(
        "bake gcloud create: creates the fleet `{}`: VMs with an OpenClaw Gateway and a data disk each.\n\
         Members: {}. Safe to run twice.\n\
         Rendered by bake: to change it, edit bake.yaml.\n\
         Lock: {}",
        vm.name,
        named_or_counted(members),
        target.lock()
    );
    steps.extend(joined(target, members));
    steps.push(group::settled(vm, members, PATIENCE));
    steps.push(
        Step::note("The members do not have later changes of the bundle.")
            .unless(vm.group_has(template(), ""))
            .tell(format!("{}: the group makes its VMs of another bundle. To change them in place, one after another: bake gcloud update --fleet … | sh", vm.name)),
    );
    Ok(Script::new("create", about, target, steps)
        .reading(folder, metadata.files())
        .stays("everything that exists already; VMs from another bundle are reported, and not replaced.")
        .gateway("running ones keep running; a new one is ready after some minutes.")
        .costs(each_costs(vm, members)))
}

/// Lets the group replace its VMs by ones of this bundle, one after another.
///
/// # Errors
/// Where the spec has no data disk.
pub fn update(
    target: Target<'_>,
    members: &[VmName],
    metadata: &VmMetadata,
    folder: BundleFolder,
) -> Result<Script, String> {
    let vm = Vm::of(target);
    let mut steps = in_common(vm, members, metadata, GroupImage::Picked)?;
    let is_other = format!("NOT labels.openclaw-bundle={}", vm.bundle(metadata));
    steps.extend(vm.must_be_replaceable(vm.replaced(members, &is_other)));
    let template = template();
    let replace = ScriptCommand::gcloud("compute instance-groups managed rolling-action start-update")
        .arg(vm.name.as_str())
        .in_project()
        .flag("zone", vm.zone())
        .flag_word("version", Word::from("template=").word(template.clone()))
        .flag("replacement-method", "recreate")
        .flag("max-surge", 0)
        .flag("max-unavailable", 1);
    let replaced = Step::run("One VM after another, under its name and with its disk.", replace)
        .unless(vm.group_has(template, ""))
        .change(format!(
            "~ group {}: replaces its VMs one by one, on their data disks: {}",
            vm.name,
            listed(members, ", ")
        ))
        .tell_already(format!("group {}, of this bundle", vm.name));
    steps.push(
        members
            .iter()
            .fold(replaced, |step, name| step.away(name, effects::REPLACED).makes_vm(Vm { target, name })),
    );
    steps.extend(joined(target, members));
    steps.push(group::settled(
        vm,
        members,
        PATIENCE.saturating_mul(u32::try_from(members.len()).unwrap_or(u32::MAX)),
    ));
    let about = format!(
        "bake gcloud update --replace: replaces the VMs of the fleet `{}` that are from another bundle, one by one.\n\
         Members: {}. Safe to run twice.\n\
         Lock: {}",
        vm.name,
        named_or_counted(members),
        target.lock()
    );
    Ok(Script::new("update", about, target, steps)
        .reading(folder, metadata.files())
        .stays("all data disks with their state, and their snapshots.")
        .gateway(format!("each is away for about {} minutes while its VM is replaced.", effects::REPLACED))
        .costs(each_costs(vm, members)))
}

pub(super) fn each_costs(vm: Vm<'_>, members: &[VmName]) -> String {
    match members.len() {
        1 => vm.costs(),
        many => format!("for each of the {many} VMs {}", vm.costs()),
    }
}

/// The members for a header, which has room for some names.
pub(super) fn named_or_counted(members: &[VmName]) -> String {
    match members.len() {
        many @ 11.. => {
            format!("{many} VMs, {} to {}", listed(&members[..1], ""), listed(&members[many - 1..], ""))
        }
        _ => listed(members, ", "),
    }
}

/// Puts a snapshot on a new disk of the member `name`, and has the group make its VM again on that disk.
///
/// # Errors
/// Where the spec has no data disk.
pub fn restore(target: Target<'_>, name: &VmName, snapshot: &SnapshotName) -> Result<Script, String> {
    let (group, vm, members) = (Vm::of(target), Vm { target, name }, std::slice::from_ref(name));
    if !vm.has_data_disk() {
        return Err("the VM has no data disk: set `gcp.data_disk` in bake.yaml".to_owned());
    }
    let disk = vm.restored_disk(snapshot);
    let on_group = |verb: &str| {
        ScriptCommand::gcloud(&format!("compute instance-groups managed {verb}"))
            .arg(group.name.as_str())
            .in_project()
            .flag("zone", vm.zone())
    };
    let again = format!("bake gcloud restore {snapshot} --member {name} | sh");
    let project = |text: String| Word::from(text).name(Name::Project);
    let mut steps = vec![Step::need(
        "A member is restored in its group.",
        group.group_listed(""),
        [format!(
            "There is no group {} in {}: bake gcloud create --fleet {name} | sh",
            group.name,
            vm.zone()
        )
        .into()],
    )];
    steps.extend(vm.can_be_restored(snapshot, &disk));
    steps.extend(guards::must_be_ours(target, Some(members)));
    steps.push(
        vm.was_restored(snapshot, &disk)
            .tell(project(format!(
                "  gcloud compute instance-groups managed delete-instances {} --instances={name} --zone={} --project=",
                group.name,
                vm.zone()
            )))
            .tell(project(format!("  gcloud compute disks delete {disk} --zone={} --project=", vm.zone())))
            .tell(format!("  {again}")),
    );
    steps.push(Rows::of(vm, members).look());
    steps.extend(vm.snapshot_schedule());
    steps.push(vm.make_restored(snapshot, &disk));
    steps.extend(vm.disk_schedule());
    steps.push(
        Step::run(
            "The group makes VMs with the disks that they had, so this one leaves it first. Its disk stays.",
            on_group("delete-instances").flag("instances", name),
        )
        .then(on_group("wait-until").arg("--stable").flag("timeout", PATIENCE))
        .only_where(vm.listed(&format!("NOT disks[].source ~ \"/{disk}$\"")))
        .change(format!("- VM {name}, and + a new one in its group on the restored disk"))
        .away(name, effects::REPLACED)
        .makes_vm(vm)
        .leaves(format!(
            "The VM {name} is deleted or about to be; its disks are kept. To make it again: {again}"
        )),
    );
    steps.push(join(group, vm).settles());
    steps.push(group::settled(group, members, PATIENCE));
    steps.push(vm.old_disk_stays());
    let about = format!(
        "bake gcloud restore: puts the snapshot {snapshot} on a new data disk,\n\
         on which the group `{}` makes the VM `{name}` again. Safe to run twice.",
        group.name
    );
    Ok(Script::new("restore", about, target, steps)
        .stays("the disk in use so far, the snapshot, and the other members.")
        .gateway(format!("the one on {name} is away for about {} minutes.", effects::REPLACED))
        .costs(format!("a second data disk, {}, until you delete one.", vm.disk_costs())))
}

/// Deletes group, templates, health check and firewall rule, if `members` are all members of the group; with
/// `data`, their disks and snapshots too, after the fleet's name was typed; with `setup`, also what `setup` made.
pub fn destroy(target: Target<'_>, members: &[VmName], data: bool, setup: bool) -> Script {
    let vm = Vm::of(target);
    let all = || members.iter().map(|name| Vm { target, name });
    let mut steps = guards::must_be_ours(target, Some(members));
    steps.push(group::require_all_members(vm, members).look());
    if setup {
        steps.push(cleanup::find_unused(target, members));
        steps.push(cleanup::find_older(target, members));
    }
    let rows = Rows::of(vm, members).with_snapshots();
    steps.push(if setup || target.spec.gcp.public_ip.value { rows } else { rows.with_nat() }.look());
    if data {
        steps.push(confirm(vm.name.as_str(), FOR_GOOD));
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
    let delete = Step::run("The group and its VMs; it never deletes a data disk.", group)
        .only_where(vm.group_listed(""))
        .change(format!("- group {} and its VMs: {}", vm.name, listed(members, ", ")))
        .tell(format!("{}: the group and its VMs are deleted", vm.name));
    steps.push(all().fold(delete, Step::ends_vm));
    steps.push(
        Step::run("The templates that it made VMs of.", template)
            .for_each(templates)
            .change(Word::from("- template ").name(Name::Each)),
    );
    let (list, delete) = global("health-checks");
    steps.push(
        Step::run("Its health check.", delete).only_where(list).change(format!("- health check {alive}")),
    );
    let (list, delete) = global("firewall-rules");
    steps.push(
        Step::run("The way in for health checks.", delete)
            .only_where(list)
            .change(format!("- firewall rule {alive}")),
    );
    if data {
        steps.extend(all().flat_map(Vm::delete_data));
        steps.push(vm.delete_schedule());
    } else {
        steps.push(Step::note("The data disks stay.").tell(format!(
            "You keep paying for the data disks and their snapshots: {}. The same fleet on them: bake gcloud create --fleet {names} | sh. To delete them too: bake gcloud destroy --data --fleet {names} | sh",
            all().map(|vm| vm.name.data_disk()).collect::<Vec<_>>().join(", "),
            names = listed(members, ",")
        )));
    }
    if setup {
        steps.extend(cleanup::delete_unused(target));
    }
    let about = format!(
        "bake gcloud destroy: deletes the fleet `{}` with its VMs{}.\nMembers: {}. Safe to run twice.{}",
        vm.name,
        if data { ",\ntheir data disks and snapshots, and the schedule" } else { "" },
        named_or_counted(members),
        if setup {
            "\nAlso deletes its OS images, and what `setup` made for it and nothing else uses."
        } else {
            ""
        }
    );
    vm.farewell(Script::new("destroy", about, target, steps), members.len(), data, setup)
}

/// The common resources of the members.
pub(super) fn in_common(
    vm: Vm<'_>,
    members: &[VmName],
    metadata: &VmMetadata,
    image: GroupImage,
) -> Result<Vec<Step>, String> {
    if !vm.has_data_disk() {
        return Err("each member of a fleet needs a data disk: set `gcp.data_disk` in bake.yaml".to_owned());
    }
    if let Some(token) = vm.target.spec.shared_telegram_token(members.len()) {
        return Err(format!(
            "one Telegram bot cannot serve {} gateways, and all members get the secret {}: write a project for each member, with the token of its own bot",
            members.len(),
            token.as_str()
        ));
    }
    let (name, template, alive) = (vm.name, template(), format!("{}-{ALIVE}", vm.name));
    let listed = |words: &str, name: Word| {
        let filter = Word::from("name ~ \"^").word(name).text("$\"");
        ScriptCommand::gcloud(words).in_project().flag_word("filter", filter).flag("format", "value(name)")
    };
    let make_template = ScriptCommand::gcloud("compute instance-templates create")
        .arg(template.clone())
        .in_project()
        .args(vm.subnet_region())
        .args(vm.templated(metadata));
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
        .flag_word("template", template.clone())
        .flag("health-check", &alive)
        .flag("initial-delay", 600);
    let mut steps = guards::must_be_ours(vm.target, Some(members));
    steps.push(vm.type_must_be_there(&vm.target.spec.gcp.machine_type));
    steps.push(vm.picked_template(metadata, image));
    steps.push(Rows::of(vm, members).look());
    steps.extend(vm.snapshot_schedule());
    steps.push(
        Step::run("The settings of each VM, except its name and its data disk.", make_template)
            .unless(listed("compute instance-templates list", template.clone()))
            .change(Word::from("+ template ").word(template).text(", of VMs from ").name(Name::Image)),
    );
    steps.push(
        Step::run(
            "Whether a VM is alive, asked of its SSH port. The gateway's own port stays closed: a gateway that\n\
             dies is started again on the VM.",
            make_check,
        )
        .unless(listed("compute health-checks list", alive.clone().into()))
        .change(format!("+ health check {alive}")),
    );
    steps.push(vm.allow_ssh(SshRule { end: ALIVE, ranges: PROBES, why: "The way in for health checks." }));
    steps.push(
        Step::run(
            "The group, still empty. It replaces a VM that does not answer for two minutes.",
            make_group,
        )
        .unless(vm.group_listed(""))
        .change(format!("+ group {name}")),
    );
    Ok(steps)
}

/// Each member with its data disk.
pub(super) fn joined(target: Target<'_>, members: &[VmName]) -> Vec<Step> {
    let whole = Vm::of(target);
    let mut steps = Vec::new();
    for name in members {
        let vm = Vm { target, name };
        steps.extend(vm.data_disk());
        steps.extend(vm.disk_schedule());
        steps.push(join(whole, vm));
    }
    steps
}

/// Adds a member with the disk [`Name::Data`], unless it exists.
fn join(group: Vm<'_>, vm: Vm<'_>) -> Step {
    let name = vm.name;
    let there = ScriptCommand::gcloud("compute instance-groups managed list-instances")
        .arg(group.name.as_str())
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
        .arg(group.name.as_str())
        .in_project()
        .flag("zone", vm.zone())
        .flag("instance", name)
        .flag_word("stateful-disk", disk);
    Step::run("A member under its own name, which keeps its disk through every repair.", join)
        .unless(there)
        .change(format!("+ VM {name}, in its group"))
        .makes_vm(vm)
        .ahead()
        .tell(format!("{name} is on its way to a running gateway, which takes some minutes."))
        .tell_already(format!("VM {name}"))
}

impl Vm<'_> {
    /// Prints the group's name where it is there and `filter` holds.
    pub(super) fn group_listed(self, filter: &str) -> ScriptCommand {
        let name = named(self.name.as_str());
        let filter = if filter.is_empty() { name } else { format!("{name} AND {filter}") };
        self.list("compute instance-groups managed list", filter.into())
    }

    /// Prints the group's name where it has this template and `and` holds.
    pub(super) fn group_has(self, template: Word, and: &str) -> ScriptCommand {
        let name = named(self.name.as_str());
        let filter = Word::from(format!("{name} AND versions[].instanceTemplate ~ \"/"))
            .word(template)
            .text(format!("$\"{and}"));
        self.list("compute instance-groups managed list", filter)
    }
}
