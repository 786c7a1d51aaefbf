//! `bake check`: every problem at once; on success what it comes to.

use std::path::Path;

use serde::Serialize;

use super::console::Console;
use super::load::{self, LoadedLock};
use super::{Done, Failure};
use crate::diagnostics::{Problems, json};
use crate::project::Project;
use crate::project::machine::{self, Estimate};

#[derive(Serialize)]
struct Document<'a> {
    version: u32,
    ok: bool,
    problems: Vec<json::Record<'a>>,
    /// Problems beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    left_out: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    estimate: Option<Cost>,
}

#[derive(Serialize)]
struct Cost {
    dollars_a_month: Option<u32>,
    of: String,
    prices_of: &'static str,
}

pub(super) fn run(dir: &Path, json: bool, console: &mut Console) -> Result<Done, Failure> {
    let checked = match load::load(dir) {
        Ok(loaded) => loaded.fitting(),
        Err(Failure::Input(problems)) => Err(problems),
        Err(other) => return Err(other),
    };
    if json {
        return document(checked, console);
    }
    let (project, lock, warnings) = checked?;
    console.problems(&warnings);
    console.result(&summary(&project, &lock))?;
    Ok(Done::Clean)
}

fn document(
    checked: Result<(Project, LoadedLock, Problems), Problems>,
    console: &mut Console,
) -> Result<Done, Failure> {
    let (estimate, problems, ok) = match checked {
        Ok((project, _, warnings)) => (Some(estimate(&project)), warnings, true),
        Err(problems) => (None, problems, false),
    };
    let cost = estimate.map(|estimate| Cost {
        dollars_a_month: estimate.dollars,
        of: estimate.note,
        prices_of: machine::PRICES_OF,
    });
    let records = json::records(&problems);
    let left_out = problems.left_out();
    console.json(&Document { version: 1, ok, problems: records, left_out, estimate: cost })?;
    // The document told them already.
    if ok { Ok(Done::Clean) } else { Err(Failure::Input(Problems::default())) }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands a reference over")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

fn estimate(project: &Project) -> Estimate {
    let gcp = &project.spec.gcp;
    machine::estimate(&gcp.machine_type, &gcp.zone, gcp.disks(), gcp.public_ip.value)
}

fn summary(project: &Project, LoadedLock { lock, digest, .. }: &LoadedLock) -> String {
    let spec = &project.spec;
    let binaries: Vec<_> = lock
        .binaries
        .iter()
        .map(|(name, locked)| match &locked.version {
            Some(version) => format!("{name} {version}"),
            None => name.to_string(),
        })
        .collect();
    let estimate = estimate(project);
    let cost = match estimate.dollars {
        Some(dollars) => format!("about ${dollars} a month: {}", estimate.note),
        None => estimate.note,
    };
    format!(
        "VM        {} in {}, {}, {}\nimage     {}, {}\nbinaries  {}\nlock      {digest}\ncosts     {cost}\n",
        spec.gcp.machine_type.value,
        spec.gcp.zone.value,
        spec.host.os.as_str(),
        spec.host.arch.value,
        spec.gateway.image.value,
        spec.image.origin.strategy().as_str(),
        if binaries.is_empty() { "none".to_owned() } else { binaries.join(", ") },
    )
}
