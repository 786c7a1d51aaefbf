//! The manifest's policy, and falls of trust.

use super::trust::Trust;
use super::{Lock, LockedBinary};
use crate::diagnostics::{Code, Diagnostic, Problems};
use crate::project::Project;
use crate::project::names::{RepoSlug, ToolName};
use crate::provenance::Workflow;

/// An error for each binary of `lock` whose evidence is less than the manifest requires.
pub fn check(lock: &Lock, project: &Project) -> Problems {
    let mut problems = Problems::default();
    for wanted in &project.manifest.binaries {
        let name = &wanted.name.value;
        let (Some(required), Some(locked)) = (wanted.policy.require, lock.binaries.get(name)) else {
            continue;
        };
        let trust = Trust::in_binary(locked);
        if trust.meets(required) {
            continue;
        }
        let required = required.as_str();
        let help = if trust == Trust::Catalog {
            "run `bake lock` where there is a network: the archive was not downloaded yet"
        } else {
            "choose a version whose publisher states more, or lower `policy: {require: …}` of this binary"
        };
        problems.push(
            Diagnostic::error(
                Code::BelowPolicy,
                format!("the policy of `{name}` requires `{required}`, and the evidence for its checksum is: {trust}"),
            )
            .at(wanted.name.place.clone())
            .help(help),
        );
    }
    problems
}

/// Refuses `new` if the evidence for it is less than for `old`, another or the same release of one source.
pub(super) fn fall(name: &ToolName, old: &LockedBinary, new: &LockedBinary) -> Result<(), Diagnostic> {
    let (before, now) = (Trust::in_binary(old), Trust::in_binary(new));
    let message = if now < before {
        format!("the evidence for the checksum of `{name}` was: {before}, and is now: {now}")
    } else if old.immutable && !new.immutable {
        format!("the locked release of `{name}` is immutable, and this one is not")
    } else if let Some((before, now)) = other_workflow(old, new) {
        format!("`{name}` was made by the workflow {before}, and now by {now}")
    } else {
        return Ok(());
    };
    Err(Diagnostic::error(Code::LessTrust, message)
        .help(format!("ask its publisher why; `--allow-less-trust {name}` accepts it")))
}

/// The locked workflow, and another one that made the same build of `new`.
fn other_workflow<'a>(old: &'a LockedBinary, new: &'a LockedBinary) -> Option<(&'a Workflow, &'a Workflow)> {
    new.builds.iter().find_map(|(arch, build)| {
        let before = old.builds.get(arch)?.attested_by.as_ref()?;
        build.attested_by.as_ref().filter(|now| *now != before).map(|now| (before, now))
    })
}

/// Refuses a repository that has another id than the locked one.
pub fn same_repository(repo: &RepoSlug, locked: u64, now: u64) -> Result<(), Diagnostic> {
    if locked == now {
        return Ok(());
    }
    Err(Diagnostic::error(
        Code::OtherRepository,
        format!(
            "{repo} is another repository than the locked one of this name: GitHub's id was {locked}, and is {now}"
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::same_repository;
    use crate::lock::trust::Trust;
    use crate::project::values::Requirement::{Api, Attested, Catalog, Computed, Publisher, Signed};

    #[test]
    fn each_requirement_accepts_its_level_and_those_above() {
        let ladder = [
            (Trust::Catalog, vec![Catalog]),
            (Trust::Computed, vec![Catalog, Computed]),
            (Trust::ApiDigest, vec![Catalog, Computed, Api]),
            (Trust::Publisher, vec![Catalog, Computed, Api, Publisher]),
            (Trust::PublisherAndApi, vec![Catalog, Computed, Api, Publisher]),
            (Trust::Attested, vec![Catalog, Computed, Api, Publisher, Attested]),
            (Trust::Signed, vec![Catalog, Computed, Api, Publisher, Attested, Signed]),
        ];
        for (trust, accepted) in ladder {
            for requirement in [Catalog, Computed, Api, Publisher, Attested, Signed] {
                assert_eq!(
                    trust.meets(requirement),
                    accepted.contains(&requirement),
                    "{trust} {requirement:?}"
                );
            }
        }
    }

    #[test]
    fn a_repository_is_known_by_its_id() {
        let repo = "owner/tool".parse().expect("a repository");
        assert!(same_repository(&repo, 17, 17).is_ok());
        let told = same_repository(&repo, 17, 18).expect_err("another repository").message;
        assert!(told.contains("was 17") && told.contains("is 18"), "{told}");
    }
}
