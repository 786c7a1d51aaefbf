//! `bake gcloud`: the commands of one action, printed and never run.

use std::fs;
use std::path::Path;

use super::console::Console;
use super::load::{self, LoadedLock};
use super::{Done, Failure, render as rendered};
use crate::cli::{Action, Format, Gcloud, Members};
use crate::gcloud::{Folder, Metadata, Script, create, logs, ssh, status, token, tunnel, wait};
use crate::plan::Plan;
use crate::project::names::VmName;
use crate::render;

pub(super) fn run(dir: &Path, options: &Gcloud, console: &mut Console) -> Result<Done, Failure> {
    let (project, LoadedLock { lock, digest, .. }) = load::fitting(dir, console)?;
    let plan = Plan::new(&project, &lock, digest);
    let script = script(dir, options, &plan, console)?;
    match options.format {
        Format::Sh => console.result(&script.to_shell())?,
        Format::Json => console.json(&script.to_document())?,
    }
    Ok(Done::Clean)
}

fn script(dir: &Path, options: &Gcloud, plan: &Plan<'_>, console: &mut Console) -> Result<Script, Failure> {
    let mut bundle = || standing(dir, options, plan, console);
    Ok(match &options.action {
        Action::Create(_) => {
            let (metadata, folder) = bundle()?;
            create::script(plan, &metadata, folder)
        }
        Action::Wait(options) => wait::script(plan, &members(&options.members, plan)?, options.timeout),
        Action::Status(options) => status::script(plan, &members(options, plan)?),
        Action::Logs { all } => logs::script(plan, *all),
        Action::Token => token::script(plan),
        Action::Tunnel { port } => tunnel::script(plan, *port),
        Action::Ssh => ssh::script(plan),
        action => return Err(Failure::Other(format!("not there yet: {action:?}"))),
    })
}

/// The VMs that the action is about.
fn members(options: &Members, plan: &Plan<'_>) -> Result<Vec<VmName>, Failure> {
    let name = &plan.spec.name.value;
    match &options.fleet {
        Some(fleet) => fleet.members(name).map_err(Failure::Argument),
        None => Ok(vec![name.clone()]),
    }
}

/// What goes into the VM's metadata and where it lies, which must be what the project says today.
fn standing(
    dir: &Path,
    options: &Gcloud,
    plan: &Plan<'_>,
    console: &mut Console,
) -> Result<(Metadata, Folder), Failure> {
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
    // What the script does elsewhere must not hang on where it is run.
    let folder =
        fs::canonicalize(&out).map_err(|error| Failure::Other(format!("{}: {error}", out.display())))?;
    match folder.into_os_string().into_string() {
        Ok(folder) => Ok((metadata, Folder::At(folder))),
        Err(folder) => Err(Failure::Argument(format!(
            "{}: the folder's name is not UTF-8, and cannot stand in a script",
            folder.display()
        ))),
    }
}
