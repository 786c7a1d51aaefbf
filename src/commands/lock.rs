//! `bake lock`: creates, completes or updates the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::console::Console;
use super::load::{self, Loaded, LoadedLock};
use super::locking::{self, IMAGE, LockOutcome, LockRequest, ToolRow};
use super::publishers::{Environment, Publishers};
use super::{Done, Failure};
use crate::cli;
use crate::diagnostics::{Problems, json};
use crate::digest::Sha256;
use crate::fs::Revision;
use crate::lock::changes::{self, LockChange};
use crate::lock::resolve::UpdateScope;
use crate::lock::upstream::{ReleaseQuery, Upstream};
use crate::lock::{self, versions};
use crate::project::catalog::Catalog;
use crate::project::manifest::Binary;
use crate::project::names::Version;
use crate::project::{Project, edit};

#[derive(Serialize)]
struct LockJson<'a> {
    version: u32,
    changed: bool,
    /// The digest of the lock, if it can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<Sha256>,
    tools: Vec<ToolRow<'a>>,
    changes: &'a [LockChange],
    /// Why it is stale, with `--check`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    problems: Vec<json::DiagnosticRecord<'a>>,
}

pub(super) fn run(
    dir: &Path,
    options: &cli::LockArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let loaded = load::load(dir)?;
    if options.check {
        return check(loaded, json, console);
    }
    if loaded.builtin {
        return Err(load::no_project(dir));
    }
    let Loaded { project, lock: old, manifest, problems, .. } = loaded;
    let ((), problems) = problems.unless_errors(())?;
    console.problems(&problems);
    manifest.tidy(dir)?;
    let old = locking::usable(dir, old, console)?;
    if options.offline {
        let lock = lock::from_catalog(&project, old.as_ref().map(|old| &old.lock), Catalog::builtin())?;
        locking::check_policy(&lock, &project)?;
        let made = LockOutcome { lock, notes: BTreeMap::new(), unreachable: Vec::new() };
        return keep(dir, old.as_ref(), &made, None, json, console);
    }
    let wishes = wishes(options, &project)?;
    let publishers = Publishers::new(Environment::from_environment(options.min_age)?, console);
    let edited = unpinned(&project, &wishes, &publishers, &manifest, console)?;
    let project = edited.as_deref().map_or(Ok(project), |text| locking::edited_project(dir, text))?;
    let made = locking::make(&project, old.as_ref().map(|old| &old.lock), &wishes, &publishers)?;
    made.tell(console);
    let edit = edited.as_deref().map(|text| manifest.revision(text));
    keep(dir, old.as_ref(), &made, edit, json, console)
}

/// Checks whether the lock is up to date, without network access.
fn check(loaded: Loaded, as_json: bool, console: &mut Console) -> Result<Done, Failure> {
    let ((), _) = loaded.problems.clone().unless_errors(())?;
    // Whether an unreadable lock is stale is unknown; a newer release may be able to read it.
    if let Err(problems) = &loaded.lock
        && locking::is_of_newer_release(problems)
    {
        return Err(problems.clone().into());
    }
    let digest = loaded.lock.as_ref().ok().map(|locked| locked.digest);
    let fits = loaded.fitting();
    if as_json {
        console.json(&LockJson {
            version: 1,
            changed: fits.is_err(),
            lock: digest,
            tools: Vec::new(),
            changes: &[],
            problems: fits.as_ref().err().map(json::records).unwrap_or_default(),
        })?;
    } else {
        if let Err(problems) = &fits {
            console.problems(problems);
        }
        console.result(if fits.is_ok() { "bake.lock is up to date\n" } else { "bake.lock is stale\n" })?;
    }
    Ok(if fits.is_ok() { Done::Clean } else { Done::Finding })
}

fn wishes(options: &cli::LockArgs, project: &Project) -> Result<LockRequest, Failure> {
    let known: BTreeSet<&str> =
        project.manifest.binaries.iter().map(|binary| binary.name.as_str()).chain([IMAGE]).collect();
    let named = options.update.iter().flatten();
    for name in named
        .chain(&options.allow_downgrade)
        .chain(&options.allow_republished)
        .chain(&options.allow_less_trust)
    {
        if !known.contains(name.as_str()) {
            return Err(Failure::Argument(format!("there is no `{name}` in the manifest")));
        }
    }
    let owned = |names: &[String]| names.iter().cloned().collect();
    Ok(LockRequest {
        extent: match options.update.as_deref() {
            None => UpdateScope::Complete,
            Some([]) => UpdateScope::Newest,
            Some(_) => UpdateScope::Missing,
        },
        update: owned(options.update.as_deref().unwrap_or_default()),
        downgrade: owned(&options.allow_downgrade),
        republished: owned(&options.allow_republished),
        less_trust: owned(&options.allow_less_trust),
    })
}

/// The manifest with newer versions of the tools named by `--update` that have a pinned version, or `None` if
/// there are none. Other pinned tools are listed in notes.
fn unpinned(
    project: &Project,
    wishes: &LockRequest,
    upstream: &dyn Upstream,
    manifest: &load::ManifestFile,
    console: &mut Console,
) -> Result<Option<String>, Failure> {
    let mut text = None;
    for binary in &project.manifest.binaries {
        let Some(pinned) = &binary.version else { continue };
        let name = &binary.name.value;
        if !wishes.update.contains(name.as_str()) {
            if wishes.extent == UpdateScope::Newest {
                console.note(&format!(
                    "note: {name}: the manifest asks for {}; `--update {name}` looks for a newer one",
                    pinned.value
                ));
            }
            continue;
        }
        let newest = newest(binary, upstream)?;
        let order = versions::compare(&newest, &pinned.value);
        if order.is_gt() || (order.is_lt() && wishes.downgrade.contains(name.as_str())) {
            let source = manifest.source(text.as_deref());
            text = Some(edit::set_version(&source, name, &newest).map_err(Problems::from)?);
        } else if order.is_lt() {
            console.note(&format!(
                "note: {name}: the manifest asks for {}, and the newest release is {newest}; `--allow-downgrade {name}` goes back to it",
                pinned.value
            ));
        }
    }
    Ok(text)
}

fn newest(binary: &Binary, upstream: &dyn Upstream) -> Result<Version, Failure> {
    let repo = binary.origin.repo().ok_or_else(|| {
        Failure::Argument(format!(
            "`{}` comes from a URL, which does not tell of newer versions: write its version into the manifest",
            binary.name.value
        ))
    })?;
    let release = upstream.release(repo, &ReleaseQuery::Newest, binary.policy.min_age_days);
    release.map(|release| release.version).map_err(|problem| {
        let place = binary.version.as_ref().and_then(|version| version.place.clone());
        Failure::Upstream(problem.or_at(place).into())
    })
}

/// Prints the changes and writes them, together with the `edit` of the manifest.
fn keep(
    dir: &Path,
    old: Option<&LoadedLock>,
    made: &LockOutcome,
    edit: Option<Revision<'_>>,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let changes = changes::changes(old.map(|old| &old.lock), &made.lock);
    if !json && !changes.is_empty() {
        console.note(changes::described(&changes).trim_end());
    }
    let written = locking::store(dir, edit, old, &made.lock)?;
    if json {
        console.json(&LockJson {
            version: 1,
            changed: written,
            lock: Some(Sha256::of(made.lock.to_text())),
            tools: made.tools(None).collect(),
            changes: &changes,
            problems: Vec::new(),
        })?;
    } else {
        console.result(&made.table(None))?;
        console.result(if written { "bake.lock written\n" } else { "bake.lock is up to date\n" })?;
    }
    Ok(Done::Clean)
}
