//! Compares the lock with spec, manifest and catalog, and finds places in it.

use super::report::{Against, Check};
use crate::diagnostics::{Location, Problems, Severity};
use crate::digest::Sha256;

/// The result of [`crate::lock::check_staleness`], as checks.
pub fn check(problems: &Problems, place: &Location) -> Vec<Check> {
    let errors: Vec<_> = problems
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .map(|problem| {
            let check = Check::finding(Against::Lock, "bake.lock", problem.code, problem.message.clone());
            let check = check.at(problem.place.clone().unwrap_or_else(|| place.clone()));
            match &problem.help {
                Some(help) => check.help(help.clone()),
                None => check,
            }
        })
        .collect();
    if errors.is_empty() { vec![Check::clean(Against::Lock, "bake.lock")] } else { errors }
}

/// The place of a digest in the lock, or the lock's beginning.
pub(super) fn place_of(digest: &Sha256, lock: &Location) -> Location {
    let digits = digest.to_string();
    let found = lock.source.text().find(&digits);
    Location { span: found.map_or(0..0, |start| start..start + digits.len()), ..lock.clone() }
}
