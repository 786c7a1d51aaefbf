//! The code that `lock`, `add` and `remove` share.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::console::Console;
use super::load::{self, LOCK, LoadedLock};
use super::publishers::forge;
use super::{Done, Failure};
use crate::diagnostics::{Code, Diagnostic, Problems, Severity};
use crate::fetch;
use crate::fs::{self, Revision};
use crate::lock::loader::Loaders;
use crate::lock::resolve::{self, Allowed, Resolved, Task, UpdateScope};
use crate::lock::trust::Trust;
use crate::lock::upstream::{ReleaseQuery, Upstream};
use crate::lock::{Lock, LockedBinary, LockedImage, inputs, is_on, policy};
use crate::project::Project;
use crate::project::catalog::Catalog;
use crate::project::manifest::Binary;
use crate::project::names::{ToolName, Version};

/// The name of the base image among tools.
pub(super) const IMAGE: &str = "image";

/// Tools resolved at the same time. Most of the time is spent waiting for publishers.
const AT_ONCE: usize = 8;

/// The options of a new lock.
pub(super) struct LockRequest {
    /// The scope for tools that are not named.
    pub(super) extent: UpdateScope,
    /// Tools to update to newer versions.
    pub(super) update: BTreeSet<String>,
    /// Tools that stay as they are locked in any scope.
    pub(super) kept: BTreeSet<String>,
    /// Tools that may go back to an older version.
    pub(super) downgrade: BTreeSet<String>,
    /// Tools that may get another checksum for the same version.
    pub(super) republished: BTreeSet<String>,
    /// Tools that may get less evidence for their checksum, or come from a new repository of the same name.
    pub(super) less_trust: BTreeSet<String>,
}

impl LockRequest {
    /// Resolves missing entries only, without exceptions.
    pub(super) const fn missing() -> Self {
        Self {
            extent: UpdateScope::Missing,
            update: BTreeSet::new(),
            kept: BTreeSet::new(),
            downgrade: BTreeSet::new(),
            republished: BTreeSet::new(),
            less_trust: BTreeSet::new(),
        }
    }

    fn extent_of(&self, name: &str) -> UpdateScope {
        if self.kept.contains(name) {
            UpdateScope::Missing
        } else if self.update.contains(name) {
            UpdateScope::Newest
        } else if self.extent != UpdateScope::Newest && self.republished.contains(name) {
            // Accepting the file that is published now requires asking for it.
            UpdateScope::Again
        } else {
            self.extent
        }
    }

    fn allowed(&self, name: &str) -> Allowed {
        Allowed {
            downgrade: self.downgrade.contains(name),
            republished: self.republished.contains(name),
            less_trust: self.less_trust.contains(name),
        }
    }
}

/// A new lock, and notes for the user.
pub(super) struct LockOutcome {
    pub(super) lock: Lock,
    /// Notes about tools, by name.
    pub(super) notes: BTreeMap<ToolName, Vec<String>>,
    /// Publishers that could not be reached. The catalog's checksums are used for their tools.
    pub(super) unreachable: Vec<Diagnostic>,
}

/// A locked tool as `--json` prints it.
#[derive(Serialize)]
pub(super) struct ToolRow<'a> {
    name: &'a ToolName,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a Version>,
    trust: &'static str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notes: &'a [String],
}

/// Makes the lock of `project`. Entries of `old` are kept unless `wishes` ask for others.
///
/// # Errors
/// All problems of all tools.
pub(super) fn make(
    project: &Project,
    old: Option<&Lock>,
    wishes: &LockRequest,
    upstream: &dyn Upstream,
) -> Result<LockOutcome, Failure> {
    let catalog = Catalog::builtin();
    let (forge, loaders) = (forge(), Loaders::of(project));
    // The base image is resolved in parallel with the tools.
    let jobs: Vec<Option<&Binary>> =
        std::iter::once(None).chain(project.manifest.binaries.iter().map(Some)).collect();
    let done = fetch::in_parallel(&jobs, AT_ONCE, |job| match job {
        None => image(project, old.map(|old| &old.image), wishes, catalog, upstream).map(LockedEntry::Image),
        Some(wanted) => {
            let held = old.and_then(|old| old.binaries.get(&wanted.name.value));
            // A build on another host was not published by this repository.
            let held =
                held.filter(|held| held.builds.values().all(|build| is_on(&forge, wanted, held, build)));
            binary(wanted, held, wishes, loaders, upstream)
                .map(|(resolved, asked)| LockedEntry::Binary(wanted, resolved, asked))
        }
    });
    let (mut problems, mut unreachable, mut notes) = (Problems::default(), Vec::new(), BTreeMap::new());
    let (mut image, mut binaries, mut repositories) = (None, BTreeMap::new(), Vec::new());
    for entry in done {
        match entry {
            Err(found) => problems.extend(found),
            Ok(LockedEntry::Image(resolved)) => {
                unreachable.extend(resolved.unreachable);
                image = Some(resolved.locked);
            }
            Ok(LockedEntry::Binary(wanted, resolved, asked)) => {
                let name = wanted.name.value.clone();
                if asked && resolved.unreachable.is_none() {
                    repositories.push(wanted);
                }
                unreachable.extend(resolved.unreachable);
                notes.insert(name.clone(), resolved.notes);
                binaries.insert(name, resolved.locked);
            }
        }
    }
    // After the releases: without a token, GitHub may refuse further requests.
    repositories.retain(|_| problems.is_empty());
    let ids = fetch::in_parallel(&repositories, AT_ONCE, |wanted| {
        let held = old.and_then(|old| old.binaries.get(&wanted.name.value));
        resolve::repository(wanted, held, wishes.allowed(wanted.name.as_str()), upstream)
    });
    for (wanted, id) in repositories.iter().zip(ids) {
        let name = &wanted.name.value;
        match id {
            Err(problem) => problems.push(problem),
            Ok((id, note)) => {
                binaries
                    .entry(name.clone())
                    .and_modify(|locked: &mut LockedBinary| locked.repository_id = id);
                notes.entry(name.clone()).or_default().extend(note);
            }
        }
    }
    match image {
        Some(image) if problems.is_empty() => {
            let lock = Lock { version: 1, inputs: inputs::digest(project), image, pushed: None, binaries };
            check_policy(&lock, project)?;
            Ok(LockOutcome { lock: lock.with_push_of(old, project), notes, unreachable })
        }
        _ => Err(Failure::Upstream(problems)),
    }
}

/// Checks a new lock against the manifest's policy.
///
/// # Errors
/// Lists every binary with less evidence than it requires.
pub(super) fn check_policy(lock: &Lock, project: &Project) -> Result<(), Failure> {
    let problems = policy::check(lock, project);
    if problems.is_empty() { Ok(()) } else { Err(Failure::Upstream(problems)) }
}

enum LockedEntry<'a> {
    Image(Resolved<LockedImage>),
    /// Its last part is whether its publisher was asked.
    Binary(&'a Binary, Resolved<LockedBinary>, bool),
}

fn image(
    project: &Project,
    old: Option<&LockedImage>,
    wishes: &LockRequest,
    catalog: &Catalog,
    upstream: &dyn Upstream,
) -> Result<Resolved<LockedImage>, Problems> {
    let extent = wishes.extent_of(IMAGE);
    match old.filter(|old| resolve::keeps_image(project, old, extent, catalog)) {
        Some(old) => Ok(Resolved::plain(old.clone())),
        None => Ok(resolve::image(project, old, extent, wishes.allowed(IMAGE), catalog, upstream)?),
    }
}

fn binary(
    wanted: &Binary,
    old: Option<&LockedBinary>,
    wishes: &LockRequest,
    loaders: Loaders<'_>,
    upstream: &dyn Upstream,
) -> Result<(Resolved<LockedBinary>, bool), Problems> {
    let name = wanted.name.as_str();
    match resolve::task(wanted, old, wishes.extent_of(name)) {
        Task::Keep(old) if loaders.fit(old) => Ok((Resolved::plain(old.clone()), false)),
        Task::Keep(LockedBinary { version, .. }) => {
            // Another build of the same version may fit.
            let which = version.clone().map_or(ReleaseQuery::Newest, ReleaseQuery::Version);
            let resolved = resolve::binary(wanted, &which, None, wishes.allowed(name), loaders, upstream)?;
            Ok((resolved, true))
        }
        Task::Ask(which) => {
            let resolved = resolve::binary(wanted, &which, old, wishes.allowed(name), loaders, upstream)?;
            Ok((resolved, true))
        }
    }
}

/// Whether a newer release has written the lock.
pub(super) fn is_of_newer_release(problems: &Problems) -> bool {
    problems.iter().any(|problem| problem.code == Code::UnsupportedVersion)
}

/// Runs a command that edits the project, and repeats it on top of the new files if another run has changed
/// them. It ends because each repetition means that another run has succeeded.
pub(super) fn over_others(mut run: impl FnMut() -> Result<Done, Failure>) -> Result<Done, Failure> {
    const MOST: u32 = 16;
    for _ in 1..MOST {
        match run() {
            Err(Failure::Overtaken(_)) => {}
            ended => return ended,
        }
    }
    run()
}

/// The lock of the project in `dir`. An unreadable lock is replaced with a warning, because its checksums are
/// lost for new archives.
///
/// # Errors
/// If a newer release of bake wrote it.
pub(super) fn usable(
    dir: &Path,
    old: Result<LoadedLock, Problems>,
    console: &mut Console,
) -> Result<Option<LoadedLock>, Failure> {
    match old {
        Ok(old) => Ok(Some(old)),
        Err(problems) if is_of_newer_release(&problems) => Err(problems.into()),
        Err(problems) => {
            if load::has_lock(dir) {
                console.problems(&problems.each(|problem| {
                    Diagnostic { severity: Severity::Warning, ..problem }.help(
                        "its contents are ignored: downgrades and replaced archives go unnoticed; restore it first if you can",
                    )
                }));
            }
            Ok(None)
        }
    }
}

/// The project with `manifest` in place of its file.
pub(super) fn edited_project(dir: &Path, manifest: &str) -> Result<Project, Failure> {
    with_edits(dir, None, Some(manifest))
}

/// The project with these texts in place of its files.
pub(super) fn with_edits(dir: &Path, spec: Option<&str>, manifest: Option<&str>) -> Result<Project, Failure> {
    let loaded = load::edited(dir, spec, manifest)?;
    let (project, _) = loaded.problems.unless_errors(loaded.project)?;
    Ok(project)
}

/// Writes the lock if it changed, together with the edits of other files: all or none. Returns whether the
/// lock changed.
pub(super) fn store<'a>(
    dir: &Path,
    edits: impl IntoIterator<Item = Revision<'a>>,
    old: Option<&LoadedLock>,
    lock: &Lock,
) -> Result<bool, Failure> {
    let text = lock.to_text();
    let from = old.map(|old| old.place.source.text());
    let changed = from != Some(text.as_str());
    let lock = changed.then(|| Revision { path: dir.join(LOCK), from, to: &text });
    let mut files: Vec<Revision<'_>> = Vec::new();
    for edit in edits {
        files.push(edit);
    }
    files.extend(lock);
    if !files.is_empty() {
        fs::revise(dir, &files)?;
    }
    Ok(changed)
}

impl LockOutcome {
    /// Prints warnings about unreachable publishers, and notes.
    pub(super) fn tell(&self, console: &mut Console) {
        let mut told = BTreeSet::new();
        let mut problems = Problems::default();
        for why in &self.unreachable {
            let warning = Diagnostic { severity: Severity::Warning, ..why.clone() }.help(
                "the entries of the lock or the catalog are used unchanged; run `bake lock` again with a network",
            );
            if told.insert(warning.message.clone()) {
                problems.push(warning);
            }
        }
        console.problems(&problems);
        for (name, notes) in &self.notes {
            for note in notes {
                console.note(&format!("note: {name}: {note}"));
            }
        }
    }

    /// The locked tools, or those in `only`.
    pub(super) fn tools<'a>(
        &'a self,
        only: Option<&'a BTreeSet<ToolName>>,
    ) -> impl Iterator<Item = ToolRow<'a>> {
        let binaries =
            self.lock.binaries.iter().filter(move |(name, _)| only.is_none_or(|only| only.contains(*name)));
        binaries.map(|(name, locked)| ToolRow {
            name,
            version: locked.version.as_ref(),
            trust: Trust::in_binary(locked).as_str(),
            notes: self.notes.get(name).map_or(&[], Vec::as_slice),
        })
    }

    /// One line for each tool: its version, and the evidence for its checksums.
    pub(super) fn table(&self, only: Option<&BTreeSet<ToolName>>) -> String {
        let rows: Vec<_> = self
            .lock
            .binaries
            .iter()
            .filter(|(name, _)| only.is_none_or(|only| only.contains(*name)))
            .map(|(name, locked)| {
                let version = locked.version.as_ref().map_or("-", |version| version.as_str());
                (name.as_str(), version, Trust::in_binary(locked))
            })
            .collect();
        let width = |of: fn(&(&str, &str, Trust)) -> usize| rows.iter().map(of).max().unwrap_or(0);
        let (name, version) = (width(|row| row.0.len()), width(|row| row.1.len()));
        rows.iter().map(|row| format!("{:name$}  {:version$}  {}\n", row.0, row.1, row.2)).collect()
    }
}
