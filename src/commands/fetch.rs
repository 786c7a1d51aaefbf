//! `bake fetch`: every locked archive in the cache, verified.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Seek;
use std::path::Path;

use serde::Serialize;

use super::console::Console;
use super::load::{self, LoadedLock};
use super::publishers::{self, Environment, Publishers, Stated};
use super::{Done, Failure};
use crate::diagnostics::{Code, Diagnostic, Problems};
use crate::fetch::{self, Download, Fetched};
use crate::lock::{Build, Lock};
use crate::project::manifest::Manifest;
use crate::project::names::{MinisignKey, ToolName};
use crate::project::values::Arch;

/// Archives fetched at the same time.
const AT_ONCE: usize = 8;

#[derive(Serialize)]
struct FetchJson {
    version: u32,
    /// Locked archives, all of them now in the cache.
    archives: usize,
    /// The archives among them that this run downloaded.
    fetched: usize,
    /// Total of the downloaded archives.
    bytes: u64,
}

pub(super) fn run(dir: &Path, json: bool, console: &mut Console) -> Result<Done, Failure> {
    let (project, LoadedLock { lock, .. }) = load::fitting(dir, console)?;
    let publishers = Publishers::new(Environment::from_environment(0)?, console);
    let fetched = archives(&publishers, &project.manifest, &lock, &Arch::ALL)?;
    let new: Vec<_> = fetched.values().filter(|fetched| !fetched.from_cache).collect();
    let bytes: u64 = new.iter().map(|fetched| fetched.size).sum();
    let (archives, new) = (fetched.len(), new.len());
    if json {
        console.json(&FetchJson { version: 1, archives, fetched: new, bytes })?;
    } else {
        console.result(&format!(
            "{archives} archives are in the cache, verified; {new} were fetched, {bytes} bytes\n"
        ))?;
    }
    Ok(Done::Clean)
}

/// Every locked archive for these architectures, by binary, from the cache or over the network. If the
/// manifest has a publisher's key, the archive's signature is verified.
pub(super) fn archives<'a>(
    publishers: &Publishers,
    manifest: &Manifest,
    lock: &'a Lock,
    arches: &[Arch],
) -> Result<BTreeMap<(&'a ToolName, Arch), Fetched>, Failure> {
    let mut builds: Vec<(String, (&ToolName, Arch), &Build)> = Vec::new();
    for (name, locked) in &lock.binaries {
        let version = locked.version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
        let wanted = locked.builds.iter().filter(|(arch, _)| arches.contains(arch));
        builds.extend(wanted.map(|(arch, build)| (format!("{name}{version} {arch}"), (name, *arch), build)));
    }
    let fetched = fetch::in_parallel(&builds, AT_ONCE, |(label, (name, _), build)| {
        let wanted = manifest.binaries.iter().find(|binary| binary.name.value == **name);
        let mut fetched = fetch(publishers, label, build)?;
        if let Some(key) = wanted.and_then(|wanted| wanted.minisign.as_ref()) {
            verify(key, build, &mut fetched.file).map_err(|problem| problem.about(label))?;
        }
        Ok(fetched)
    });
    let (mut problems, mut archives) = (Problems::default(), BTreeMap::new());
    for ((_, key, _), result) in builds.into_iter().zip(fetched) {
        match result {
            Ok(fetched) => drop(archives.insert(key, fetched)),
            Err(found) => problems.extend(found),
        }
    }
    if problems.has_errors() { Err(Failure::Upstream(problems)) } else { Ok(archives) }
}

/// Verifies the locked signature of an archive, which is rewound.
fn verify(key: &MinisignKey, build: &Build, archive: &mut File) -> Result<(), Diagnostic> {
    let refused = |why: String| {
        Diagnostic::error(Code::BadSignature, format!("{}: {why}", build.url))
            .help("do not use it; restore the lock, or recreate it with `bake lock`")
    };
    let signature =
        build.signature.as_ref().ok_or_else(|| refused("the lock has no signature".to_owned()))?;
    let verified = signature.verify(key, build.url.file_name(), archive);
    verified.map_err(|error| refused(format!("the locked signature: {error}")))?;
    archive.rewind().map_err(|error| refused(error.to_string()))
}

fn fetch(publishers: &Publishers, label: &str, build: &Build) -> Result<Fetched, Problems> {
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
