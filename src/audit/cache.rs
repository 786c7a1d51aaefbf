//! Holds the cached archives, and the executables in them, against the lock.
//!
//! The cache itself removes damaged files on their next use. The audit only reads it.

use super::lock::place_of;
use super::report::{Against, Check};
use super::upstream::builds;
use crate::archive;
use crate::diagnostics::{Code, Location};
use crate::fetch::{self, Cache, Kept};
use crate::lock::{Build, Lock};
use crate::project::names::ToolName;
use crate::project::values::Arch;

/// Archives that are read at once.
const AT_ONCE: usize = 2;

/// Compares every locked archive in `cache` with `lock`. `place` is the lock's place.
pub fn check(lock: &Lock, cache: &Cache, place: &Location) -> Vec<Check> {
    let builds: Vec<_> = builds(lock).collect();
    fetch::in_parallel(&builds, AT_ONCE, |(subject, name, arch, build)| {
        held(subject, name, *arch, build, cache).at(place_of(&build.sha256, place))
    })
}

fn held(subject: &str, name: &ToolName, arch: Arch, build: &Build, cache: &Cache) -> Check {
    let unchecked = |why: String| Check::unchecked(Against::Cache, subject, why);
    let mut file = match cache.look(&build.sha256) {
        Ok(Kept::Sound(file)) => file,
        Ok(Kept::Nothing) => {
            return unchecked("the archive is not in the cache".to_owned()).help("`bake fetch` brings it");
        }
        Ok(Kept::Altered(found)) => {
            let message = match found {
                Some(_) => "the cached archive is not what is locked",
                None => "the cache has something other than a file in place of the archive",
            };
            let check = Check::finding(Against::Cache, subject, Code::ChecksumMismatch, message)
                .help("the disk may be failing; `bake fetch` replaces it");
            return match found {
                Some(found) => check.difference(&build.sha256, &found),
                None => check,
            };
        }
        Err(error) => return unchecked(error.to_string()),
    };
    let Some(locked) = build.binary_sha256 else {
        return unchecked("the lock does not know the executable in the archive".to_owned())
            .help("`bake lock` learns it");
    };
    let wanted = archive::ExecutableQuery { path: Some(&build.binary), name: name.as_str(), arch };
    match archive::find(&mut file, build.archive_format(), &wanted, &archive::Limits::default()) {
        Ok(executable) if executable.sha256 == locked => Check::clean(Against::Cache, subject),
        Ok(executable) => {
            let message = "the executable in the archive is not what is locked";
            Check::finding(Against::Cache, subject, Code::ChecksumMismatch, message)
                .difference(&locked, &executable.sha256)
                .help("the lock was edited: restore it, or recreate it with `bake lock`")
        }
        Err(error) => Check::finding(Against::Cache, subject, Code::BadArchive, error.to_string()),
    }
}
