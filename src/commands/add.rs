//! `bake add`: adds binaries to the manifest and to the lock, or to neither.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;

use super::console::Console;
use super::load::{self, Loaded};
use super::locking::{self, LockOutcome, LockRequest, ToolRow};
use super::publishers::{Environment, Publishers};
use super::{Done, Failure};
use crate::cli;
use crate::diagnostics::Problems;
use crate::lock::Lock;
use crate::project::catalog::Catalog;
use crate::project::edit::{self, EntrySource, ManifestEntry};
use crate::project::manifest::is_reserved;
use crate::project::names::{ArchSpelling, RepoSlug, ToolName, Version};
use crate::project::values::{Arch, ArchiveFormat, WebUrl};

#[derive(Serialize)]
struct AddJson<'a> {
    version: u32,
    tools: Vec<ToolRow<'a>>,
}

/// A binary to be added.
struct New {
    entry: ManifestEntry,
    /// Whether the name is derived, so that the executable's name is better.
    unnamed: bool,
}

pub(super) fn run(
    dir: &Path,
    options: &cli::AddArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let Loaded { lock: old, builtin, manifest, problems, .. } = load::load(dir)?;
    if builtin {
        return Err(load::no_project(dir));
    }
    let ((), _) = problems.unless_errors(())?;
    manifest.tidy(dir)?;
    let old = locking::usable(dir, old, console)?;
    let mut new = wanted(options, console)?;
    let publishers = Publishers::new(Environment::from_environment(options.min_age)?, console);

    let (mut text, mut made) = locked(dir, &new, &manifest, old.as_ref().map(|old| &old.lock), &publishers)?;
    if name_after_executables(&mut new, &mut made.lock) {
        // The second run changes the names only and needs no network.
        let notes = std::mem::take(&mut made.notes);
        (text, made) = locked(dir, &new, &manifest, Some(&made.lock), &publishers)?;
        made.notes.extend(notes);
    }
    made.tell(console);
    locking::store(dir, Some(manifest.revision(&text)), old.as_ref(), &made.lock)?;
    let names: BTreeSet<_> = new.into_iter().map(|new| new.entry.name).collect();
    if json {
        console.json(&AddJson { version: 1, tools: made.tools(Some(&names)).collect() })?;
    } else {
        console.result(&made.table(Some(&names)))?;
    }
    Ok(Done::Clean)
}

/// The manifest with the new entries, and its lock.
fn locked(
    dir: &Path,
    new: &[New],
    manifest: &load::ManifestFile,
    old: Option<&Lock>,
    publishers: &Publishers,
) -> Result<(String, LockOutcome), Failure> {
    let mut text = None;
    for New { entry, .. } in new {
        let source = manifest.source(text.as_deref());
        text = Some(edit::add(&source, entry).map_err(Problems::from)?);
    }
    let text = text.unwrap_or_default();
    let project = locking::edited_project(dir, &text)?;
    let made = locking::make(&project, old, &LockRequest::missing(), publishers)?;
    Ok((text, made))
}

/// The binaries in the arguments.
fn wanted(options: &cli::AddArgs, console: &mut Console) -> Result<Vec<New>, Failure> {
    if let Some(url) = &options.url {
        let source = EntrySource::Url { url: url.clone(), arch: spellings(options) };
        let name = options.name.clone().map_or_else(|| name_of(url), Ok)?;
        return Ok(vec![new(options, free(name)?, options.tool_version.clone(), Some(source))]);
    }
    let own = options.name.is_some() || options.asset.is_some() || options.binary.is_some();
    let own = own || options.minisign.is_some() || !options.arch.is_empty() || !options.skills.is_empty();
    if own && options.tools.len() > 1 {
        return Err(Failure::Argument(
            "options such as --name and --asset describe a single binary: add the binaries one by one"
                .to_owned(),
        ));
    }
    options.tools.iter().map(|tool| of_argument(tool, own, options, console)).collect()
}

/// Parses `NAME` or `OWNER/REPO`, each with an optional `@VERSION`.
fn of_argument(
    argument: &str,
    own: bool,
    options: &cli::AddArgs,
    console: &mut Console,
) -> Result<New, Failure> {
    let (what, version) = match argument.split_once('@') {
        Some((what, version)) => (what, Some(version.parse::<Version>().map_err(Failure::Argument)?)),
        None => (argument, None),
    };
    if !what.contains('/') {
        let name = what.parse().map_err(Failure::Argument)?;
        if options.name.is_some() || options.asset.is_some() || !options.arch.is_empty() {
            return Err(Failure::Argument(format!(
                "`{name}` is taken from the catalog, which knows its files; to choose them, name its repository, OWNER/REPO"
            )));
        }
        return Ok(new(options, name, version, None));
    }
    let repo: RepoSlug = what.parse().map_err(Failure::Argument)?;
    let known =
        Catalog::builtin().tools().iter().find(|tool| tool.repo.as_str().eq_ignore_ascii_case(repo.as_str()));
    if let Some(tool) = known.filter(|_| !own) {
        console.note(&format!("note: the catalog knows {repo} as `{}`", tool.name));
        return Ok(new(options, tool.name.clone(), version, None));
    }
    let name = match &options.name {
        Some(name) => name.clone(),
        None => repo.name().to_ascii_lowercase().parse().map_err(|_| no_name(repo.as_str()))?,
    };
    let source = EntrySource::Repo { repo, asset: options.asset.clone(), arch: spellings(options) };
    Ok(new(options, free(name)?, version, Some(source)))
}

fn new(options: &cli::AddArgs, name: ToolName, version: Option<Version>, source: Option<EntrySource>) -> New {
    New {
        unnamed: options.name.is_none() && source.is_some(),
        entry: ManifestEntry {
            name,
            version,
            source,
            binary: options.binary.clone(),
            minisign: options.minisign.clone(),
            skills: options.skills.clone(),
        },
    }
}

fn spellings(options: &cli::AddArgs) -> Option<BTreeMap<Arch, ArchSpelling>> {
    (!options.arch.is_empty()).then(|| options.arch.iter().cloned().collect())
}

/// Refuses the name of a program in the image. The manifest reader would report it too, but for a line that is
/// not written yet.
fn free(name: ToolName) -> Result<ToolName, Failure> {
    if is_reserved(&name) {
        return Err(Failure::Argument(format!(
            "`{name}` is a program that the image itself needs: say another name with `--name`"
        )));
    }
    Ok(name)
}

/// A name for the file at a URL: the first word of the file name.
fn name_of(url: &WebUrl) -> Result<ToolName, Failure> {
    let (stem, _) = ArchiveFormat::split(url.file_name());
    let word = stem.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or_default();
    word.to_ascii_lowercase().parse().map_err(|_| no_name(url.as_str()))
}

fn no_name(source: &str) -> Failure {
    Failure::Argument(format!("{source} gives no name for the command: say one with `--name`"))
}

/// Gives each binary with a derived name the name of the executable in its archive, also in the lock. Returns
/// whether any name changed.
fn name_after_executables(new: &mut [New], lock: &mut Lock) -> bool {
    let mut changed = false;
    for New { entry, .. } in new.iter_mut().filter(|new| new.unnamed) {
        let Some(locked) = lock.binaries.get(&entry.name) else { continue };
        let named: BTreeSet<_> = locked.builds.values().map(|build| build.binary.file_name()).collect();
        // If the architectures differ, the file name contains one of them.
        let own = named.first().filter(|_| named.len() == 1).and_then(|name| name.parse::<ToolName>().ok());
        let own = own.filter(|own| *own != entry.name && !is_reserved(own));
        let Some(own) = own.filter(|own| !lock.binaries.contains_key(own)) else {
            continue;
        };
        if let Some(locked) = lock.binaries.remove(&entry.name) {
            lock.binaries.insert(own.clone(), locked);
            entry.name = own;
            changed = true;
        }
    }
    changed
}
