//! `bake gcloud`: the commands of one action, printed and never run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::console::Console;
use super::load::{self, LoadedLock};
use super::{Done, Failure, render as rendered};
use crate::cli::{self, Action, GcloudArgs, Members, WaitArgs};
use crate::diagnostics::Code;
use crate::gcloud::{
    BundleFolder, Script, VmMetadata, backup, cli as container, create, destroy, fleet, logs, resize,
    restore, setup, ssh, status, token, tunnel, update, wait,
};
use crate::plan::Plan;
use crate::project::names::VmName;
use crate::render;

pub(super) fn run(
    dir: &Path,
    options: &GcloudArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let (project, LoadedLock { lock, digest, .. }) = load::fitting(dir, console)?;
    let plan = Plan::new(&project, &lock, digest);
    let script = script(dir, options, &plan, json, console)?;
    if json {
        console.json(&script.to_document())?;
    } else {
        console.result(&script.to_shell())?;
    }
    Ok(Done::Clean)
}

fn script(
    dir: &Path,
    options: &GcloudArgs,
    plan: &Plan<'_>,
    json: bool,
    console: &mut Console,
) -> Result<Script, Failure> {
    let mut bundle = || standing(dir, options, plan, console);
    Ok(match &options.action {
        Action::Setup(setup) => {
            setup::script(plan, &setup_options(setup, json)?).map_err(Failure::Argument)?
        }
        Action::Create(options) => {
            let members = members(plan, options)?;
            let (metadata, folder) = bundle()?;
            match members {
                Some(members) => fleet::create(plan, &members, &metadata, folder),
                None => Ok(create::script(plan, &metadata, folder)),
            }
            .map_err(Failure::Argument)?
        }
        Action::Update(options) => {
            let members = members(plan, options)?;
            let (metadata, folder) = bundle()?;
            match members {
                Some(members) => fleet::update(plan, &members, &metadata, folder),
                None => update::script(plan, &metadata, folder),
            }
            .map_err(Failure::Argument)?
        }
        Action::Resize { machine_type, timeout } => {
            resize::script(plan, machine_type, *timeout).map_err(Failure::Argument)?
        }
        Action::Backup { member: of, snapshot_only } => {
            backup::script(plan, of.member.as_ref(), *snapshot_only).map_err(Failure::Argument)?
        }
        Action::Restore { snapshot } => {
            let (metadata, folder) = bundle()?;
            restore::script(plan, snapshot, &metadata, folder).map_err(Failure::Argument)?
        }
        Action::Destroy { members: options, data } => match members(plan, options)? {
            Some(members) => fleet::destroy(plan, &members, *data),
            None => destroy::script(plan, *data).map_err(Failure::Argument)?,
        },
        Action::Wait(WaitArgs { members, timeout }) => {
            wait::script(plan, &vms(plan, members)?, members.fleet.as_ref(), *timeout)
        }
        Action::Status(options) => status::script(plan, &vms(plan, options)?, options.fleet.as_ref()),
        Action::Logs { member: of, gateway: true, .. } => logs::gateway(plan, of.member.as_ref()),
        Action::Logs { member: of, all, .. } => logs::script(plan, of.member.as_ref(), *all),
        Action::Token(of) => token::script(plan, of.member.as_ref()),
        Action::Tunnel { member: of, port, open } => tunnel::script(plan, of.member.as_ref(), *port, *open),
        Action::Dashboard { member: of, port } => tunnel::script(plan, of.member.as_ref(), *port, true),
        Action::Ssh(of) => ssh::script(plan, of.member.as_ref()),
        Action::Cli { member: of, arguments } => container::script(plan, of.member.as_ref(), arguments),
        Action::Ask { member: of, text } => container::ask(plan, of.member.as_ref(), text.as_str()),
    })
}

/// The VMs of the fleet, if there is one.
fn members(plan: &Plan<'_>, options: &Members) -> Result<Option<Vec<VmName>>, Failure> {
    let members = options.fleet.as_ref().map(|fleet| fleet.members(&plan.spec.name));
    members
        .transpose()
        .map_err(|wrong| Failure::Argument(format!("the fleet is too large for its name: {wrong}")))
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
    Ok(setup::Options { deployer: options.deployer, files })
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

/// The VMs that the action looks at.
fn vms(plan: &Plan<'_>, options: &Members) -> Result<Vec<VmName>, Failure> {
    Ok(members(plan, options)?.unwrap_or_else(|| vec![plan.spec.name.value.clone()]))
}

/// The VM's metadata and the folder that has it. The bundle must match the project.
fn standing(
    dir: &Path,
    options: &GcloudArgs,
    plan: &Plan<'_>,
    console: &mut Console,
) -> Result<(VmMetadata, BundleFolder), Failure> {
    let (bundle, warnings) = render::render(plan)?;
    console.problems(&warnings);
    let out = dir.join(&options.out);
    let differing = rendered::differing(&out, &bundle);
    if !differing.is_empty() {
        return Err(Failure::Argument(format!(
            "{} is not what the project says now ({}): run `bake render` first",
            out.display(),
            differing.join(", ")
        )));
    }
    let metadata = render::metadata(plan, &bundle);
    Ok((metadata, BundleFolder::At(absolute(&out)?)))
}
