//! `bake gcloud`: the commands of one action, printed and never run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::console::Console;
use super::load::{self, LoadedLock};
use super::{Done, Failure, render as rendered};
use crate::cli::{self, Action, GcloudArgs, ImageArgs, MemberArg, Members, PlanArgs, UpdateArgs, WaitArgs};
use crate::diagnostics::{Code, did_you_mean};
use crate::gcloud::{
    BundleFolder, Script, Target, VmMetadata, backup, cli as container, create, destroy, doctor,
    fleet as group, image, in_place, logs, moving, releases, resize, restore, rollback, setup, ssh, status,
    token, tunnel, update, wait,
};
use crate::plan::Plan;
use crate::project::fleet::Fleet;
use crate::project::names::VmName;
use crate::render;

pub(super) fn run(
    dir: &Path,
    options: &GcloudArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let script = if options.action.sends_bundle() {
        let loaded = load::load(dir)?;
        if loaded.builtin {
            return Err(load::no_project(dir));
        }
        let (project, LoadedLock { lock, digest, .. }, warnings) = loaded.fitting()?;
        console.problems(&warnings);
        with_bundle(dir, options, &Plan::new(&project, &lock, digest), console)?
    } else {
        let spec = load::spec_alone(dir, console)?;
        // In an incident, a stale or broken lock must not block the action.
        match load::load(dir).and_then(|loaded| Ok(loaded.fitting()?)) {
            Ok((project, LoadedLock { lock, digest, .. }, _)) => {
                let plan = Plan::new(&project, &lock, digest);
                let bundle = render::render(&plan).ok().map(|(bundle, _)| render::metadata(&plan, &bundle));
                let target = Target { lock: Some(digest), ..Target::of(&spec) };
                by_spec(options, json, target, bundle.as_ref())?
            }
            Err(failure) => {
                console.note(&format!(
                    "note: this action needs bake.yaml alone, and ignores the lock: {}",
                    first_sentence(failure)
                ));
                by_spec(options, json, Target::of(&spec), None)?
            }
        }
    };
    if json {
        console.json(&script.to_document())?;
    } else {
        console.result(&script.to_shell())?;
    }
    Ok(Done::Clean)
}

/// Actions that make VMs, of the bundle as the project says it now.
fn with_bundle(
    dir: &Path,
    options: &GcloudArgs,
    plan: &Plan<'_>,
    console: &mut Console,
) -> Result<Script, Failure> {
    let (bundle, warnings) = render::render(plan)?;
    console.problems(&warnings);
    let metadata = render::metadata(plan, &bundle);
    let target = Target { adopt: options.adopt, ..Target::from(plan) };
    let folder = || written(dir, options, &bundle);
    match &options.action {
        Action::Create(options) => match members(target, options)? {
            Some(members) => group::create(target, &members, &metadata, folder()?),
            None => Ok(create::script(target, &metadata, folder()?)),
        },
        Action::Plan(PlanArgs { members: named, replace }) => {
            let options = in_place::UpdateOptions { retry: false, timeout: 0 };
            match (members(target, named)?, replace) {
                (Some(members), true) => group::update(target, &members, &metadata, BundleFolder::Beside),
                (Some(members), false) => {
                    in_place::of_fleet(target, &members, &metadata, BundleFolder::Beside, options)
                }
                (None, true) => update::script(target, &metadata, BundleFolder::Beside),
                (None, false) => Ok(in_place::script(target, &metadata, BundleFolder::Beside, options)),
            }
            .map(Script::plan_only)
        }
        Action::Update(UpdateArgs { members: named, replace, retry, timeout }) => {
            let options = in_place::UpdateOptions { retry: *retry, timeout: *timeout };
            match (members(target, named)?, replace) {
                (Some(members), true) => group::update(target, &members, &metadata, folder()?),
                (Some(members), false) => in_place::of_fleet(target, &members, &metadata, folder()?, options),
                (None, true) => update::script(target, &metadata, folder()?),
                (None, false) => Ok(in_place::script(target, &metadata, folder()?, options)),
            }
        }
        Action::Image(ImageArgs { force, timeout }) => {
            let options = image::ImageOptions { force: *force, timeout: *timeout };
            image::script(target, &metadata, folder()?, options)
        }
        Action::Move { .. } if !target.spec.fleet.is_empty() => {
            Err("move takes a single VM, and bake.yaml has a fleet: docs/gcloud.md, \"A fleet\"".to_owned())
        }
        Action::Move { from_zone, from_name, from_project, timeout } => {
            let origin = moving::Origin {
                zone: from_zone.as_ref(),
                name: from_name.as_ref(),
                project: from_project.as_ref(),
            };
            moving::script(target, &origin, &metadata, folder()?, *timeout)
        }
        _ => Err("this action sends no bundle".to_owned()),
    }
    .map_err(Failure::Argument)
}

/// Actions that need the spec alone.
fn by_spec(
    options: &GcloudArgs,
    json: bool,
    target: Target<'_>,
    bundle: Option<&VmMetadata>,
) -> Result<Script, Failure> {
    let target = Target { adopt: options.adopt, ..target };
    Ok(match &options.action {
        Action::Setup(setup) => {
            setup::script(target, &setup_options(setup, json)?).map_err(Failure::Argument)?
        }
        Action::Doctor => doctor::script(target),
        Action::Resize { machine_type, timeout } => {
            must_be_single(
                target,
                "Compute Engine gives all VMs of a group the machine type of its template, so that no member can have its own. To change all members, set gcp.machine_type, then run bake render, and bake gcloud update --replace | sh",
            )?;
            resize::script(target, machine_type, *timeout).map_err(Failure::Argument)?
        }
        Action::Backup { member: of, snapshot_only } => {
            backup::script(target, member(target, of)?, *snapshot_only).map_err(Failure::Argument)?
        }
        Action::Restore { snapshot, member: of } => match member(target, of)? {
            Some(name) => group::restore(target, name, snapshot),
            None => restore::script(target, snapshot),
        }
        .map_err(Failure::Argument)?,
        Action::Rollback { member: of, keep_state, to, retry, timeout } => {
            let options = rollback::RollbackOptions {
                to: to.as_ref(),
                keep_state: *keep_state,
                retry: *retry,
                timeout: *timeout,
            };
            rollback::script(target, member(target, of)?, &options)
        }
        Action::Releases { members: options, as_json } => {
            let fleet = fleet(target, options)?.map(|fleet| fleet.to_string());
            releases::script(target, &vms(target, options)?, fleet.as_deref(), *as_json)
        }
        Action::Destroy { members: options, data, all } => match members(target, options)? {
            Some(members) => group::destroy(target, &members, *data, *all),
            None => destroy::script(target, *data, *all).map_err(Failure::Argument)?,
        },
        Action::Wait(WaitArgs { members, timeout, chart }) => {
            let chart = chart.as_deref().map(new_file).transpose()?;
            let fleet = fleet(target, members)?;
            wait::script(target, &vms(target, members)?, fleet.as_ref(), *timeout, chart.as_deref())
        }
        Action::Status { members, as_json } => {
            let fleet = fleet(target, members)?;
            status::script(target, &vms(target, members)?, fleet.as_ref(), bundle, *as_json)
        }
        Action::Logs { member: of, gateway: true, .. } => logs::gateway(target, member(target, of)?),
        Action::Logs { member: of, all, .. } => logs::script(target, member(target, of)?, *all),
        Action::Token(of) => token::script(target, member(target, of)?),
        Action::Tunnel { member: of, port, open } => {
            tunnel::script(target, member(target, of)?, *port, *open)
        }
        Action::Dashboard { member: of, port } => tunnel::script(target, member(target, of)?, *port, true),
        Action::Ssh(of) => ssh::script(target, member(target, of)?),
        Action::Cli { member: of, arguments } => container::script(target, member(target, of)?, arguments),
        Action::Ask { member: of, text } => container::ask(target, member(target, of)?, text.as_str()),
        Action::Create(_) | Action::Image(_) | Action::Update(_) | Action::Plan(_) | Action::Move { .. } => {
            return Err(Failure::Argument("this action sends the bundle".to_owned()));
        }
    })
}

/// Why an action has no lock, in one sentence.
fn first_sentence(failure: Failure) -> String {
    let (problems, _) = failure.report();
    let first = problems.errors().iter().next().map(|problem| problem.message.clone());
    first.unwrap_or_else(|| "bake check says more".to_owned())
}

/// Printed in the place of a script, so that the shell it is piped to fails, too.
pub(super) fn failing_script(why: &str, code: u8) -> String {
    let lines: String =
        why.lines().map(|line| format!("echo '{}' >&2\n", line.replace('\'', "'\\''"))).collect();
    format!("#!/bin/sh\n# bake printed no commands, for this reason:\n{lines}exit {code}\n")
}

/// The fleet: the one of the command line, whose members must be in `bake.yaml` if that names some, or else the one
/// of `bake.yaml`.
fn fleet(target: Target<'_>, options: &Members) -> Result<Option<Fleet>, Failure> {
    let known: Vec<_> = target.spec.fleet.iter().map(|name| name.value.clone()).collect();
    let Some(given) = &options.fleet else {
        return Ok((!known.is_empty()).then_some(Fleet::Names(known)));
    };
    if !known.is_empty() {
        for name in names(target, given)? {
            must_be_known(target, &name)?;
        }
    }
    Ok(Some(given.clone()))
}

fn names(target: Target<'_>, fleet: &Fleet) -> Result<Vec<VmName>, Failure> {
    fleet
        .members(&target.spec.name)
        .map_err(|wrong| Failure::Argument(format!("the fleet is too large for its name: {wrong}")))
}

/// The VMs of the fleet, if there is one.
fn members(target: Target<'_>, options: &Members) -> Result<Option<Vec<VmName>>, Failure> {
    fleet(target, options)?.map(|fleet| names(target, &fleet)).transpose()
}

/// The member that an action on one VM is about, if there is a fleet.
fn member<'a>(target: Target<'_>, of: &'a MemberArg) -> Result<Option<&'a VmName>, Failure> {
    match &of.member {
        None if !target.spec.fleet.is_empty() => Err(Failure::Argument(format!(
            "this action is about one VM, and bake.yaml has a fleet: choose a member with --member ({})",
            listed(target)
        ))),
        Some(name) => {
            must_be_known(target, name)?;
            Ok(Some(name))
        }
        None => Ok(None),
    }
}

/// Refuses a name that is not in the spec's fleet, if that has members.
fn must_be_known(target: Target<'_>, name: &VmName) -> Result<(), Failure> {
    let fleet = &target.spec.fleet;
    if fleet.is_empty() || fleet.iter().any(|known| known.value == *name) {
        return Ok(());
    }
    let closest = did_you_mean(name.as_str(), fleet.iter().map(|known| known.as_str()));
    let hint = closest.map_or_else(
        || format!("its members are {}; add it to `fleet` if it is a new one", listed(target)),
        |closest| format!("did you mean `{closest}`?"),
    );
    Err(Failure::Argument(format!("`{name}` is no member of the fleet in bake.yaml: {hint}")))
}

/// The members of the spec's fleet.
fn listed(target: Target<'_>) -> String {
    target.spec.fleet.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Refuses an action for a single VM if the spec has a fleet.
fn must_be_single(target: Target<'_>, instead: &str) -> Result<(), Failure> {
    if target.spec.fleet.is_empty() {
        return Ok(());
    }
    Err(Failure::Argument(format!("this action is for a single VM, and bake.yaml has a fleet: {instead}")))
}

fn setup_options(options: &cli::SetupArgs, json: bool) -> Result<setup::Options, Failure> {
    let mut files = BTreeMap::new();
    for (id, path) in &options.secret_file {
        if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
            return Err(Failure::Argument(format!("{}: there is no such file", path.display())));
        }
        let path = absolute(path)?;
        // In JSON, `${` starts a name that the reader fills in.
        if json && path.contains("${") {
            return Err(Failure::Argument(format!("{path}: a path with `${{` cannot be written in JSON")));
        }
        files.insert(id.clone(), path);
    }
    Ok(setup::Options { deployer: options.deployer, new_project: options.new_project, files })
}

/// A script must not depend on the directory it runs in.
fn absolute(path: &Path) -> Result<String, Failure> {
    let path = fs::canonicalize(path)
        .map_err(|error| Failure::Other(Code::IoFailed, format!("{}: {error}", path.display())))?;
    path.into_os_string().into_string().map_err(|path| {
        Failure::Argument(format!(
            "{}: this path is not UTF-8, so it cannot be written in a script",
            path.display()
        ))
    })
}

/// The absolute path of a file that a script creates.
fn new_file(path: &Path) -> Result<String, Failure> {
    let (folder, name) = (path.parent().unwrap_or(path), path.file_name().and_then(|name| name.to_str()));
    let Some(name) = name else {
        return Err(Failure::Argument(format!("{}: this is not the name of a file", path.display())));
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    Ok(format!("{}/{name}", absolute(folder)?.trim_end_matches('/')))
}

/// The VMs that the action looks at.
fn vms(target: Target<'_>, options: &Members) -> Result<Vec<VmName>, Failure> {
    Ok(members(target, options)?.unwrap_or_else(|| vec![target.spec.name.value.clone()]))
}

/// The folder of the bundle, which must be what the project says today.
fn written(dir: &Path, options: &GcloudArgs, bundle: &render::Bundle) -> Result<BundleFolder, Failure> {
    let out = dir.join(&options.out);
    let differing = rendered::differing(&out, bundle);
    if !differing.is_empty() {
        return Err(Failure::Argument(format!(
            "{} is not what the project says now ({}): run `bake render` first",
            out.display(),
            differing.join(", ")
        )));
    }
    Ok(BundleFolder::At(absolute(&out)?))
}
