//! The identity of a binary's repository.

use super::{Allowed, is_of_same_source};
use crate::diagnostics::Diagnostic;
use crate::lock::{LockedBinary, policy};
use crate::project::manifest::Binary;

/// The id of the repository of `wanted`, and a note where GitHub did not tell it. `old` is what the lock holds
/// of it.
///
/// # Errors
/// If it is another repository than the locked one, at its place in the manifest.
pub fn repository(
    wanted: &Binary,
    old: Option<&LockedBinary>,
    allowed: Allowed,
    upstream: &dyn super::super::upstream::Upstream,
) -> Result<(Option<u64>, Option<String>), Diagnostic> {
    let Some(repo) = wanted.origin.repo() else { return Ok((None, None)) };
    let locked = old.filter(|old| is_of_same_source(wanted, old)).and_then(|old| old.repository_id);
    let now = match upstream.repository_id(repo) {
        Ok(now) => now,
        Err(why) => return Ok((locked, Some(format!("the repository's id is not known: {}", why.message)))),
    };
    if let Some(locked) = locked.filter(|_| !allowed.less_trust) {
        policy::same_repository(repo, locked, now).map_err(|problem| {
            problem.or_at(wanted.name.place.clone()).help(format!(
                "it was deleted and registered again, perhaps by another person; `--allow-less-trust {}` accepts it",
                wanted.name.value
            ))
        })?;
    }
    Ok((Some(now), None))
}
