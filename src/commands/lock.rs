//! `bake lock`: creates, completes or updates the lock.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::base_image;
use super::console::Console;
use super::load::{self, Loaded, LoadedLock};
use super::locking::{self, IMAGE, LockOutcome, LockRequest, ToolRow};
use super::publishers::{Environment, Publishers};
use super::{Done, Failure};
use crate::cli;
use crate::diagnostics::{Code, Diagnostic, Location, Problems, json};
use crate::digest::Sha256;
use crate::fs::Revision;
use crate::lock::changes::{self, LockChange};
use crate::lock::resolve::UpdateScope;
use crate::lock::upstream::{ReleaseQuery, Upstream};
use crate::lock::{self, LockedImage, channel, versions};
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
    let mut wishes = wishes(options, &project)?;
    let publishers = Publishers::new(Environment::from_environment(options.min_age)?, console)
        .for_releases(project.manifest.binaries.len());
    let locked = old.as_ref().map(|old| &old.lock.image);
    let spec = newer_image(&project, locked, &mut wishes, &publishers, console)?;
    let edited = unpinned(&project, &wishes, &publishers, &manifest, console)?;
    let before = project.spec.gateway.image.place.clone();
    let project = match (&spec, &edited) {
        (None, None) => project,
        _ => locking::with_edits(dir, spec.as_deref(), edited.as_deref())?,
    };
    let made = locking::make(&project, old.as_ref().map(|old| &old.lock), &wishes, &publishers)?;
    made.tell(console);
    let spec = spec.as_deref().zip(before.as_ref()).map(|(to, before)| Revision {
        path: dir.join(load::SPEC),
        from: Some(before.source.text()),
        to,
    });
    let edits = edited.as_deref().map(|text| manifest.revision(text)).into_iter().chain(spec);
    keep(dir, old.as_ref(), &made, edits, json, console)
}

/// The spec with a newer base image, if `--update` asks for one and there is one.
fn newer_image(
    project: &Project,
    locked: Option<&LockedImage>,
    wishes: &mut LockRequest,
    publishers: &Publishers,
    console: &mut Console,
) -> Result<Option<String>, Failure> {
    let image = &project.spec.gateway.image;
    let (is_named, is_moving) = (wishes.update.contains(IMAGE), image.tag().is_some_and(channel::is_moving));
    let is_update = wishes.extent == UpdateScope::Newest;
    let follows = is_update && is_moving && image.digest().is_none();
    if !(is_named || follows) {
        if is_update && !is_moving {
            note_newer_tag(project, locked, publishers, console);
        }
        return Ok(None);
    }
    let arch = project.spec.host.arch.value;
    let news = base_image::look(project, locked, publishers)
        .map_err(|problem| Failure::Upstream(problem.or_at(image.place.clone()).into()))?;
    if let Some(young) = news.too_young {
        console.note(&format!("note: image: `{young}` is newer, but younger than the minimum age"));
        if is_moving && news.newer.is_none() {
            // The locked image stays.
            wishes.update.remove(IMAGE);
            wishes.kept.insert(IMAGE.to_owned());
        }
    }
    let Some(newer) = news.newer else { return Ok(None) };
    if newer.is_older && !wishes.downgrade.contains(IMAGE) {
        return Err(Failure::Upstream(
            Diagnostic::error(
                Code::Downgrade,
                format!(
                    "the tag of the base image `{}` now names an older image than the locked one: {}",
                    image.value,
                    newer.digest.oci()
                ),
            )
            .or_at(image.place.clone())
            .help("ask its publisher why; `--allow-downgrade image` goes back to it")
            .into(),
        ));
    }
    console.note(&format!("note: image: {}: {}", newer.reference, newer.facts.described(arch)));
    if let Some(warning) = newer.facts.unfit_node() {
        console.problems(&warning.or_at(image.place.clone()).into());
    }
    if is_moving {
        // A channel is meant to move.
        wishes.republished.insert(IMAGE.to_owned());
        return Ok(None);
    }
    let Some(place) = &image.place else {
        return Err(Failure::Argument(format!(
            "bake.yaml does not name the base image: write `gateway: {{image: {}}}`",
            newer.reference
        )));
    };
    Ok(Some(replaced(place, &newer.reference.to_string())))
}

/// Names a newer tag than the one that the spec pins. Only a request by name takes it.
fn note_newer_tag(
    project: &Project,
    locked: Option<&LockedImage>,
    publishers: &Publishers,
    console: &mut Console,
) {
    match base_image::look(project, locked, publishers) {
        Ok(news) => {
            if let Some(newer) = news.newer {
                console.note(&format!(
                    "note: image: {} is newer than bake.yaml: bake lock --update image",
                    newer.reference
                ));
            }
        }
        Err(problem) => {
            console.note(&format!("note: image: newer tags could not be looked up: {}", problem.message));
        }
    }
}

/// The text of a file with another value at `place`.
fn replaced(place: &Location, value: &str) -> String {
    let text = place.source.text();
    let old = &text[place.span.clone()];
    let quote = old.chars().next().filter(|c| matches!(c, '"' | '\'')).map(String::from).unwrap_or_default();
    format!("{}{quote}{value}{quote}{}", &text[..place.span.start], &text[place.span.end..])
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
        kept: BTreeSet::new(),
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

/// Prints the changes and writes them, together with the edits of spec and manifest.
fn keep<'a>(
    dir: &Path,
    old: Option<&LoadedLock>,
    made: &LockOutcome,
    edits: impl IntoIterator<Item = Revision<'a>>,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let changes = changes::changes(old.map(|old| &old.lock), &made.lock);
    if !json && !changes.is_empty() {
        console.note(changes::described(&changes).trim_end());
    }
    let written = locking::store(dir, edits, old, &made.lock)?;
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
