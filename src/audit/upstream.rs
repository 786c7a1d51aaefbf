//! Holds publishers and registries, as they answer today, against the lock.

use super::lock::place_of;
use super::report::{Against, Check};
use crate::diagnostics::{Code, Diagnostic, Location};
use crate::lock::LockedBinary;
use crate::lock::resolve::recheck::{Newer, Today};
use crate::lock::upstream::GRACE_DAYS;
use crate::lock::{Lock, LockedImage, MENDED_BY};
use crate::project::names::ToolName;

/// The publishers' answers about one binary, as checks.
pub fn binary(name: &ToolName, locked: &LockedBinary, today: Today, lock: &Location) -> Vec<Check> {
    let title = title(name, locked);
    let mut checks = Vec::new();
    for (arch, problems) in today.builds {
        let subject = format!("{title} {arch}");
        if problems.is_empty() {
            checks.push(Check::clean(Against::Upstream, subject.clone()));
        }
        for problem in problems {
            let mut check = of_problem(&subject, problem);
            if let Some(build) = locked.builds.get(&arch) {
                check = check.at(place_of(&build.sha256, lock)).url(&build.url);
            }
            checks.push(check);
        }
    }
    if today.lacks_id {
        let message = format!("the lock has no id of its repository; `bake lock --update {name}` records it");
        checks.push(Check::note(Against::Upstream, title.clone(), Code::OtherRepository, message));
    }
    match today.newer {
        Ok(None) => {}
        Ok(Some(Newer { version, overdue: None })) => checks.push(
            Check::note(Against::Upstream, title, Code::NewerVersion, format!("{version} is published"))
                .help(format!("`bake lock --update {name}` moves on")),
        ),
        Ok(Some(Newer { overdue: Some(version), .. })) => {
            let message = format!(
                "{version} has been published for more than {GRACE_DAYS} days, and only the lock names an older version"
            );
            let keep = locked
                .version
                .as_ref()
                .map(|kept| format!("; `version: {kept}` in the manifest keeps this one"));
            checks.push(
                Check::finding(Against::Upstream, title, Code::NewerVersion, message)
                    .help(format!("`bake lock --update {name}` moves on{}", keep.unwrap_or_default()))
                    .at(lock.clone()),
            );
        }
        Err(problem) => checks.push(of_problem(&format!("{title}, newer versions"), problem)),
    }
    checks
}

/// A binary that is missing in the manifest or in `lock`, so that it cannot be checked: the manifest has its
/// source, the lock its version.
pub fn unknown(name: &ToolName, lock: &Lock, place: &Location) -> Check {
    let (subject, why) = match lock.binaries.get(name) {
        Some(locked) => (title(name, locked), "it is not in the manifest, which says where it is published"),
        None => (name.to_string(), "it is in the manifest and not in the lock"),
    };
    Check::unchecked(Against::Upstream, subject, why).help(MENDED_BY).at(place.clone())
}

/// The registry's answer about the base image, as checks.
pub fn image(
    locked: &LockedImage,
    today: Result<Vec<Diagnostic>, Diagnostic>,
    lock: &Location,
) -> Vec<Check> {
    let problems = today.unwrap_or_else(|problem| vec![problem]);
    if problems.is_empty() {
        return vec![Check::clean(Against::Upstream, BASE_IMAGE)];
    }
    let place = place_of(&locked.digest, lock);
    problems.into_iter().map(|problem| of_problem(BASE_IMAGE, problem).at(place.clone())).collect()
}

const BASE_IMAGE: &str = "base image";

/// A tool and its version, as subjects name it.
pub(super) fn title(name: &ToolName, locked: &LockedBinary) -> String {
    locked.version.as_ref().map_or_else(|| name.to_string(), |version| format!("{name} {version}"))
}

/// Every build of the lock, with the subject that it is known by.
pub(super) fn builds(
    lock: &Lock,
) -> impl Iterator<Item = (String, &ToolName, crate::project::values::Arch, &crate::lock::Build)> {
    lock.binaries.iter().flat_map(|(name, locked)| {
        let title = title(name, locked);
        locked.builds.iter().map(move |(arch, build)| (format!("{title} {arch}"), name, *arch, build))
    })
}

/// A missing answer is not a finding.
fn of_problem(subject: &str, problem: Diagnostic) -> Check {
    let check = match problem.code {
        Code::UpstreamUnreachable | Code::UpstreamFailed | Code::CannotCache | Code::CouldNotCheck => {
            Check::unchecked(Against::Upstream, subject, problem.message)
        }
        code => Check::finding(Against::Upstream, subject, code, problem.message),
    };
    match problem.help {
        Some(help) => check.help(help),
        None => check,
    }
}
