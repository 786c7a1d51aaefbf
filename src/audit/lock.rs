//! Compares the lock with spec, manifest and catalog, and finds places in it.

use super::report::{Against, Check, Verdict};
use crate::diagnostics::{Code, Location, Problems, Severity};
use crate::digest::Sha256;
use crate::lock::{Evidence, Lock};

/// The findings of [`crate::lock::check_staleness`] about `lock`, as checks.
pub fn check(lock: &Lock, problems: &Problems, place: &Location) -> Vec<Check> {
    const SUBJECT: &str = "bake.lock";
    let mut checks: Vec<_> = problems
        .iter()
        .map(|problem| {
            let is_error = problem.severity == Severity::Error;
            let told = if is_error { Check::finding } else { Check::note };
            let check = told(Against::Lock, SUBJECT, problem.code, problem.message.clone());
            let check = check.at(problem.place.clone().unwrap_or_else(|| place.clone()));
            match &problem.help {
                Some(help) => check.help(help.clone()),
                None => check,
            }
        })
        .collect();
    // Only the catalog states an archive that was never fetched.
    for (name, locked) in &lock.binaries {
        for (arch, build) in &locked.builds {
            if build.binary_sha256.is_some() || build.evidence.contains(&Evidence::Seed) {
                continue;
            }
            let message = "the lock has no checksum of the executable, which `bake lock` always writes";
            let check =
                Check::finding(Against::Lock, format!("{name} {arch}"), Code::UnknownExecutable, message);
            let check = check.help("the lock was edited: recreate it with `bake lock`");
            checks.push(check.at(place_of(&build.sha256, place)));
        }
    }
    if checks.iter().all(|check| check.verdict == Verdict::Note) {
        checks.push(Check::clean(Against::Lock, SUBJECT));
    }
    checks
}

/// The place of a digest in the lock, or the lock's beginning.
pub(super) fn place_of(digest: &Sha256, lock: &Location) -> Location {
    let digits = digest.to_string();
    let found = lock.source.text().find(&digits);
    Location { span: found.map_or(0..0, |start| start..start + digits.len()), ..lock.clone() }
}
