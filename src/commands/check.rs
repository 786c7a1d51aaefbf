//! `bake check`: prints every problem, or a summary.

use std::path::Path;

use serde::Serialize;

use super::console::Console;
use super::load::{self, LoadedLock};
use super::{Done, Failure};
use crate::diagnostics::{Diagnostic, Severity, json};
use crate::plan::VmImage;
use crate::project::Project;
use crate::project::machine::{self, Estimate};
use crate::project::spec::SecretSource;

#[derive(Serialize)]
struct CheckJson<'a> {
    version: u32,
    ok: bool,
    /// Whether the folder has no project, and the built-in one was checked.
    builtin: bool,
    /// Warnings only. Errors lead to another document without an estimate.
    problems: Vec<json::DiagnosticRecord<'a>>,
    estimate: Cost,
}

#[derive(Serialize)]
struct Cost {
    dollars_a_month: Option<u32>,
    of: String,
    prices_of: &'static str,
}

pub(super) fn run(dir: &Path, json: bool, console: &mut Console) -> Result<Done, Failure> {
    let loaded = load::load(dir)?;
    let builtin = loaded.builtin;
    let (project, lock, mut warnings) = loaded.fitting()?;
    if let VmImage::NotPushed(problem) = VmImage::new(&project.spec, &lock.lock) {
        warnings.push(Diagnostic { severity: Severity::Warning, ..*problem });
    }
    if json {
        let Estimate { dollars, note } = estimate(&project);
        let estimate = Cost { dollars_a_month: dollars, of: note, prices_of: machine::prices_of() };
        console.json(&CheckJson {
            version: 1,
            ok: true,
            builtin,
            problems: json::records(&warnings),
            estimate,
        })?;
        return Ok(Done::Clean);
    }
    if builtin {
        console.note(load::NO_PROJECT);
    }
    console.problems(&warnings);
    console.result(&summary(&project, &lock))?;
    Ok(Done::Clean)
}

fn estimate(project: &Project) -> Estimate {
    let gcp = &project.spec.gcp;
    let each = machine::estimate(&gcp.machine_type, &gcp.zone, gcp.disks(), gcp.public_ip.value);
    match u32::try_from(project.spec.fleet.len()) {
        Ok(members @ 1..) => Estimate {
            dollars: each.dollars.map(|dollars| dollars.saturating_mul(members)),
            note: format!("{members} VMs, each with {}", each.note),
        },
        _ => each,
    }
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
    let kept = spec.secrets.iter().filter(|(_, source)| *source == SecretSource::Generated);
    let kept: Vec<_> = kept.map(|(name, _)| name.as_str()).collect();
    // The state has OAuth tokens in the clear in any case.
    let disk = if kept.is_empty() {
        "the gateway's state; no secret of the spec".to_owned()
    } else {
        format!("the gateway's state, and {} in the clear (keep_in: secret-manager)", kept.join(", "))
    };
    format!(
        "VM        {} in {}, {}, {}\nimage     {}, {}\nbinaries  {}\nlock      {digest}\ncosts     {cost}\ndata disk {disk}\n",
        spec.gcp.machine_type.value,
        spec.gcp.zone.value,
        spec.host.os.as_str(),
        spec.host.arch.value,
        spec.gateway.image.value,
        spec.image.origin.strategy().as_str(),
        if binaries.is_empty() { "none".to_owned() } else { binaries.join(", ") },
    )
}
