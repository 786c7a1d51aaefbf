//! `bake fetch`: every locked archive in the cache, verified.

use std::path::Path;

use super::console::Console;
use super::load::{self, LoadedLock};
use super::publishers::{self, Publishers, Setup, Stated};
use super::{Done, Failure};
use crate::diagnostics::Problems;
use crate::fetch::{self, Download};
use crate::lock::Build;

/// Archives that are fetched at once.
const AT_ONCE: usize = 8;

pub(super) fn run(dir: &Path, console: &mut Console) -> Result<Done, Failure> {
    let (_, LoadedLock { lock, .. }) = load::fitting(dir, console)?;
    let publishers = Publishers::new(Setup::from_environment(0)?, console);
    let mut builds: Vec<(String, &Build)> = Vec::new();
    for (name, locked) in &lock.binaries {
        let version = locked.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        builds.extend(locked.builds.iter().map(|(arch, build)| (format!("{name}{version} {arch}"), build)));
    }
    let fetched = fetch::in_parallel(&builds, AT_ONCE, |(label, build)| fetch(&publishers, label, build));
    let (mut problems, mut new, mut bytes) = (Problems::default(), 0, 0);
    for result in fetched {
        match result {
            Ok(fetched) if fetched.from_cache => {}
            Ok(fetched) => {
                new += 1;
                bytes += fetched.size;
            }
            Err(found) => problems.extend(found),
        }
    }
    if problems.has_errors() {
        return Err(Failure::Upstream(problems));
    }
    console.result(&format!(
        "{} archives are in the cache, verified; {new} were fetched, {bytes} bytes\n",
        builds.len()
    ))?;
    Ok(Done::Clean)
}

fn fetch(publishers: &Publishers, label: &str, build: &Build) -> Result<fetch::Fetched, Problems> {
    let url = publishers::parsed(&build.url)?;
    let download = Download {
        url: &url,
        expected: Some(build.sha256),
        size: build.size,
        limit: publishers::LARGEST_ARCHIVE,
        label,
    };
    let fetched = publishers.fetch(&download, Stated::by("bake.lock"));
    Ok(fetched.map_err(|problem| problem.about(label))?)
}
