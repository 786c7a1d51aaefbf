//! `bake remove`: takes binaries out of the manifest and the lock, without network access.

use std::path::Path;

use serde::Serialize;

use super::console::Console;
use super::load::{self, Loaded};
use super::locking;
use super::{Done, Failure};
use crate::diagnostics::Problems;
use crate::fs;
use crate::lock::{Lock, inputs};
use crate::project::edit;
use crate::project::names::ToolName;

#[derive(Serialize)]
struct RemoveJson<'a> {
    version: u32,
    removed: &'a [ToolName],
}

pub(super) fn run(
    dir: &Path,
    names: &[ToolName],
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    // A problem of a binary may be the reason to remove it.
    let Loaded { project, lock: old, builtin, manifest, .. } = load::load(dir)?;
    if builtin {
        return Err(load::no_project(dir));
    }
    manifest.tidy(dir)?;
    let old = locking::usable(dir, old, console)?;
    let asked_before = inputs::digest(&project);
    let mut text = None;
    for name in names {
        let source = manifest.source(text.as_deref());
        text = Some(edit::remove(&source, name).map_err(Problems::from)?);
    }
    let text = text.unwrap_or_default();
    let project = locking::edited_project(dir, &text)?;
    let edit = manifest.revision(&text);
    if let Some(old) = &old {
        let mut lock = old.lock.clone();
        lock.binaries.retain(|name, _| !names.contains(name));
        // A stale lock stays stale.
        if lock.inputs == asked_before {
            lock.inputs = inputs::digest(&project);
        } else {
            console.note("note: bake.lock was stale before, and still is: run `bake lock`");
        }
        let lock = Lock { pushed: None, ..lock }.with_push_of(Some(&old.lock), &project);
        locking::store(dir, Some(edit), Some(old), &lock)?;
    } else {
        console.note("note: there is no bake.lock that could be read: run `bake lock`");
        fs::revise(dir, &[edit])?;
    }
    if json {
        console.json(&RemoveJson { version: 1, removed: names })?;
    } else {
        let lines: String = names.iter().map(|name| format!("{name} removed\n")).collect();
        console.result(&lines)?;
    }
    Ok(Done::Clean)
}
