//! `bake add`: adds binaries to the manifest and to the lock, or to neither.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::console::Console;
use super::load::{self, Loaded};
use super::locking::{self, LockOutcome, LockRequest, ToolRow};
use super::publishers::{Environment, Publishers};
use super::{Done, Failure};
use crate::cli;
use crate::diagnostics::{Code, Diagnostic, Problems};
use crate::lock::{Lock, versions};
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
    let made = locking::make(&project, old, &LockRequest::missing(), publishers);
    let is_url = new.iter().any(|new| matches!(new.entry.source, Some(EntrySource::Url { .. })));
    Ok((text, made.map_err(|failure| of_arguments(failure, is_url))?))
}

/// An error about the arguments. It has no place, because the manifest lacks the entry, and its help names
/// options instead of the manifest's keys.
fn of_arguments(failure: Failure, is_url: bool) -> Failure {
    let Failure::Upstream(problems) = failure else { return failure };
    let options = [
        ("`asset:`", "`--asset`"),
        ("`arch:`", "`--arch`"),
        ("`binary:`", "`--binary`"),
        ("`url:`", "`--url`"),
        ("`version:`", "`@VERSION`"),
        ("`version: ", "`@"),
    ];
    Failure::Upstream(problems.each(|problem| {
        let help = problem.help.as_ref().map(|help| {
            if is_url && problem.code == Code::BadArchive {
                return "write `{arch}` into the URL, with the publisher's words in `--arch`; or name the executable with `--binary`".to_owned();
            }
            options.iter().fold(help.clone(), |help, (key, option)| help.replace(key, option))
        });
        Diagnostic { place: None, help, ..problem }
    }))
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
    let (what, version) = split(argument)?;
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

/// Splits `WHAT@VERSION`. The URL of a repository, or of one of its releases or their files, is understood too.
fn split(argument: &str) -> Result<(String, Option<Version>), Failure> {
    let hosts = ["https://github.com/", "http://github.com/", "https://www.github.com/", "github.com/"];
    let pasted = hosts.into_iter().find_map(|host| argument.strip_prefix(host));
    let (what, release) = pasted.map_or_else(|| (argument.to_owned(), None), of_page);
    let (what, version) = match what.split_once('@') {
        Some((what, version)) => (what.to_owned(), Some(version.to_owned())),
        None => (what, release),
    };
    let Some(tag) = version.filter(|version| version != "latest") else { return Ok((what, None)) };
    // `v1.2.3` is the version 1.2.3; a tag with more before it names one of several things.
    let bare = tag.strip_prefix('v').filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let version = match bare {
        Some(bare) => bare.parse().map_err(Failure::Argument)?,
        None => versions::of_whole_tag(&tag)
            .ok_or_else(|| Failure::Argument(tag.parse::<Version>().err().unwrap_or_default()))?,
    };
    Ok((what, Some(version)))
}

/// The repository and the tag in the path of a page on GitHub.
fn of_page(path: &str) -> (String, Option<String>) {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = percent_decode_str(path).decode_utf8_lossy();
    let parts: Vec<_> = path.trim_end_matches('/').split('/').collect();
    let repo = parts[..parts.len().min(2)].join("/");
    let tag = match parts.get(2..).unwrap_or_default() {
        ["releases", "tag", tag @ ..] | ["releases", "download", tag @ .., _] => tag.join("/"),
        _ => String::new(),
    };
    (repo.strip_suffix(".git").unwrap_or(&repo).to_owned(), Some(tag).filter(|tag| !tag.is_empty()))
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

/// The name of an executable without the version and the platform behind it: `tool` of
/// `tool_v1.2.3_linux_amd64`.
fn command_of(executable: &str) -> &str {
    const PLATFORMS: [&str; 7] = ["aarch64", "amd64", "arm64", "linux", "linux64", "x64", "x86"];
    let ends = executable.match_indices(['-', '_']).find(|(at, _)| {
        let word = executable[at + 1..].split(['-', '_']).next().unwrap_or_default();
        let number = word.strip_prefix('v').unwrap_or(word);
        let is_version = number.contains('.') && number.starts_with(|c: char| c.is_ascii_digit());
        is_version || PLATFORMS.contains(&word)
    });
    ends.map_or(executable, |(at, _)| &executable[..at])
}

/// Gives each binary with a derived name the name of the executable in its archive, also in the lock. Returns
/// whether any name changed.
fn name_after_executables(new: &mut [New], lock: &mut Lock) -> bool {
    let mut changed = false;
    for New { entry, .. } in new.iter_mut().filter(|new| new.unnamed) {
        let Some(locked) = lock.binaries.get(&entry.name) else { continue };
        let named = locked.builds.values().map(|build| command_of(build.binary.file_name()));
        let named: BTreeSet<_> = named.collect();
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
