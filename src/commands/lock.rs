//! `bake lock`: makes the lock, from what the catalog states and what the old lock holds.

use std::path::Path;

use serde::Serialize;

use super::console::Console;
use super::load::{self, LOCK, Loaded};
use super::{Done, Failure};
use crate::cli;
use crate::diagnostics::Code;
use crate::digest::Sha256;
use crate::lock;
use crate::project::catalog::Catalog;
use crate::write;

#[derive(Serialize)]
struct Document {
    version: u32,
    changed: bool,
    lock: Sha256,
}

pub(super) fn run(dir: &Path, options: &cli::Lock, console: &mut Console) -> Result<Done, Failure> {
    let Loaded { project, lock: old, builtin, problems, .. } = load::load(dir)?;
    if problems.has_errors() {
        return Err(problems.into());
    }
    console.problems(&problems);
    if builtin && !options.check {
        return Err(Failure::Argument(format!(
            "{}: there is no bake.yaml to lock; `bake init` writes one",
            dir.display()
        )));
    }
    let old = match old {
        // A newer release of bake wrote it, and knows more than this one.
        Err(problems) if problems.iter().any(|problem| problem.code == Code::UnsupportedVersion) => {
            return Err(problems.into());
        }
        // A lock that cannot be read is made anew.
        old => old.ok(),
    };
    let lock = lock::seed(&project, old.as_ref().map(|old| &old.lock), Catalog::builtin())?;
    let text = lock.to_text();
    let digest = Sha256::of(&text);
    let changed = old.is_none_or(|old| old.digest != digest);
    if changed && !options.check {
        write::file(&dir.join(LOCK), text.as_bytes())?;
    }
    if options.json {
        console.json(&Document { version: 1, changed, lock: digest })?;
    } else {
        console.result(match (changed, options.check) {
            (false, _) => "bake.lock is up to date\n",
            (true, true) => "bake.lock is stale\n",
            (true, false) => "bake.lock written\n",
        })?;
    }
    Ok(if changed && options.check { Done::Finding } else { Done::Clean })
}
