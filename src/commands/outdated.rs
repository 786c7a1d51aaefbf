//! `bake outdated`: newer versions of the base image and the tools, in one table.

use std::path::Path;

use serde::Serialize;

use super::base_image::{self, ImageFacts};
use super::console::Console;
use super::load;
use super::locking::IMAGE;
use super::publishers::{Environment, Publishers};
use super::{Done, Failure};
use crate::cli;
use crate::diagnostics::{Diagnostic, Problems, json};
use crate::digest::Sha256;
use crate::fetch;
use crate::lock::upstream::{ReleaseQuery, Upstream};
use crate::lock::{LockedBinary, LockedImage, channel, versions};
use crate::project::Project;
use crate::project::manifest::Binary;
use crate::project::names::Version;

/// Publishers that are asked at the same time.
const AT_ONCE: usize = 8;

#[derive(Serialize)]
struct OutdatedJson<'a> {
    version: u32,
    outdated: bool,
    tools: &'a [OutdatedRow],
    /// Publishers that could not be asked.
    problems: Vec<json::DiagnosticRecord<'a>>,
}

/// The base image or a tool.
#[derive(Serialize)]
struct OutdatedRow {
    name: String,
    locked: String,
    /// The newer version; none if the locked one is the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    newest: Option<String>,
    /// The digest of the newer image.
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<Sha256>,
    /// Facts that the newer image states.
    #[serde(skip_serializing_if = "Option::is_none")]
    image: Option<ImageFacts>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    notes: Vec<String>,
}

pub(super) fn run(
    dir: &Path,
    options: &cli::OutdatedArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let (project, lock) = load::fitting(dir, console)?;
    let publishers = Publishers::new(Environment::from_environment(options.min_age)?, console);
    let lock = &lock.lock;
    let jobs: Vec<Option<&Binary>> =
        std::iter::once(None).chain(project.manifest.binaries.iter().map(Some)).collect();
    let found = fetch::in_parallel(&jobs, AT_ONCE, |job| match job {
        None => image(&project, &lock.image, &publishers).map(Some),
        Some(wanted) => {
            let locked = lock.binaries.get(&wanted.name.value);
            locked.map(|locked| tool(wanted, locked, &publishers)).transpose()
        }
    });
    let (mut rows, mut problems) = (Vec::new(), Problems::default());
    for row in found {
        match row {
            Ok(row) => rows.extend(row),
            Err(problem) => problems.push(problem),
        }
    }
    let outdated = rows.iter().any(|row| row.newest.is_some());
    if json {
        let problems = json::records(&problems);
        console.json(&OutdatedJson { version: 1, outdated, tools: &rows, problems })?;
    } else {
        console.result(&table(&rows))?;
        console.problems(&problems);
        console.next_step("bake gcloud status | sh, for the age of the VM's OS image", true);
    }
    Ok(if outdated || problems.has_errors() { Done::Finding } else { Done::Clean })
}

fn image(
    project: &Project,
    locked: &LockedImage,
    publishers: &Publishers,
) -> Result<OutdatedRow, Diagnostic> {
    let wanted = &project.spec.gateway.image;
    let news = base_image::look(project, Some(locked), publishers)
        .map_err(|problem| problem.or_at(wanted.place.clone()))?;
    let tag = |tag: Option<&str>| tag.unwrap_or("latest").to_owned();
    let arch = project.spec.host.arch.value;
    let mut row = OutdatedRow {
        name: IMAGE.to_owned(),
        locked: tag(wanted.tag()),
        newest: None,
        digest: None,
        image: None,
        notes: news.too_young.map(|tag| too_young(&tag)).into_iter().collect(),
    };
    if let Some(newer) = news.newer {
        row.newest = Some(tag(newer.reference.tag()));
        if wanted.tag().is_none_or(channel::is_moving) {
            row.notes.push(format!("the tag moved to {}", newer.digest.oci()));
        }
        if newer.is_older {
            row.notes.push("built before the locked one".to_owned());
        }
        row.notes.push(newer.facts.described(arch));
        row.notes.extend(newer.facts.unfit_node().map(|warning| warning.message));
        (row.digest, row.image) = (Some(newer.digest), Some(newer.facts));
    }
    Ok(row)
}

fn tool(wanted: &Binary, locked: &LockedBinary, publishers: &Publishers) -> Result<OutdatedRow, Diagnostic> {
    let mut row = OutdatedRow {
        name: wanted.name.to_string(),
        locked: locked.version.as_ref().map_or("-".to_owned(), ToString::to_string),
        newest: None,
        digest: None,
        image: None,
        notes: Vec::new(),
    };
    let (Some(repo), Some(version)) = (wanted.origin.repo(), &locked.version) else {
        row.notes.push("a URL does not tell of newer versions".to_owned());
        return Ok(row);
    };
    let place = wanted.version.as_ref().map_or(&wanted.name.place, |version| &version.place);
    let release = publishers
        .release(repo, &ReleaseQuery::Newest, wanted.policy.min_age_days)
        .map_err(|problem| problem.or_at(place.clone()))?;
    let is_newer = |other: &Version| versions::compare(other, version).is_gt();
    row.notes.extend(release.passed_over.filter(is_newer).map(|young| too_young(young.as_str())));
    row.newest = Some(release.version).filter(is_newer).map(|version| version.to_string());
    Ok(row)
}

fn too_young(version: &str) -> String {
    format!("{version} is younger than the minimum age")
}

/// One line for each: its name, the locked version, the newest one and notes.
fn table(rows: &[OutdatedRow]) -> String {
    let newest = |row: &OutdatedRow| row.newest.clone().unwrap_or_else(|| "newest".to_owned());
    let width = |of: &dyn Fn(&OutdatedRow) -> usize| rows.iter().map(of).max().unwrap_or(0);
    let (name, locked) = (width(&|row| row.name.len()), width(&|row| row.locked.len()));
    let last = width(&|row| newest(row).len());
    let line = |row: &OutdatedRow| {
        let arrow = if row.newest.is_some() { "->" } else { "  " };
        let line = format!(
            "{:name$}  {:locked$}  {arrow} {:last$}  {}",
            row.name,
            row.locked,
            newest(row),
            row.notes.join("; ")
        );
        format!("{}\n", line.trim_end())
    };
    rows.iter().map(line).collect()
}
