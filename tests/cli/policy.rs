//! The manifest's policy, falls of trust, and the identity of repositories.

use jiff::{SignedDuration, Timestamp};

use crate::support::github::{Release, Style};
use crate::support::test;
use crate::support::world::{World, release};

/// A project with `tool` from `owner/tool`, and these other lines and keys.
fn world(top: &str, keys: &str, published: Release) -> World {
    let world = World::new("");
    let entry = format!("version: 1\n{top}binaries:\n  - {{name: tool, repo: owner/tool{keys}}}\n");
    world.folder.write("images/binaries.yaml", entry);
    world.github.publish("owner/tool", published);
    world
}

fn with_checksums(tag: &str) -> Release {
    release("tool", tag).checksums("checksums.txt", Style::Gnu)
}

fn days_ago(days: i64) -> String {
    (Timestamp::now() - SignedDuration::from_hours(24 * days)).to_string()
}

const PUBLISHER: &str = "policy: {require: publisher}\n";

#[test]
fn a_policy_for_all_is_required_of_each_tool() {
    let said = world(PUBLISHER, "", release("tool", "v1.0.0")).bake(["lock"]).ended(1);
    for part in ["below-policy", "`tool` requires `publisher`", "API digest"] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    world(PUBLISHER, "", with_checksums("v1.0.0")).bake(["lock"]).done();
    // The keys of a tool come before those of all.
    world(PUBLISHER, ", policy: {require: api}", release("tool", "v1.0.0")).bake(["lock"]).done();
    world("", ", policy: {require: signed}", with_checksums("v1.0.0")).bake(["lock"]).ended(1);
}

#[test]
fn a_lock_below_the_policy_is_refused_without_a_network() {
    let world = world("", "", release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    world.bake(["check"]).done();
    let manifest = world.folder.read("images/binaries.yaml");
    world
        .folder
        .write("images/binaries.yaml", manifest.replace("binaries:", &format!("{PUBLISHER}binaries:")));
    for command in [&["check"][..], &["render"], &["lock", "--check"]] {
        let said = world.bake(command.iter().copied());
        assert!(said.code != 0 && said.err.contains("below-policy"), "{command:?}:\n{}", said.err);
    }
}

#[test]
fn a_release_below_the_least_age_is_left_for_later() {
    let old = release("tool", "v1.0.0").published(&days_ago(30));
    let world = world("policy: {min_age_days: 9}\n", "", old);
    world.github.publish("owner/tool", release("tool", "v1.1.0").published(&days_ago(5)));
    world.bake(["lock"]).done();
    assert_eq!(world.version("tool"), "1.0.0");
    let manifest = world.folder.read("images/binaries.yaml").replace("min_age_days: 9", "min_age_days: 4");
    world.folder.write("images/binaries.yaml", manifest);
    world.bake(["lock", "--update"]).done();
    assert_eq!(world.version("tool"), "1.1.0");
}

#[test]
fn a_fall_of_trust_is_refused_unless_it_is_named() {
    let world = world("", "", with_checksums("v1.0.0"));
    world.bake(["lock"]).done();
    world.github.publish("owner/tool", release("tool", "v1.1.0"));
    let before = world.project_files();
    let said = world.bake(["lock", "--update"]).ended(1);
    for part in ["less-trust", "was: publisher checksum + API digest", "is now: API digest"] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert!(world.project_files() == before);
    world.bake(["lock", "--update", "--allow-less-trust", "tool"]).done();
    assert_eq!(world.version("tool"), "1.1.0");
}

#[test]
fn a_release_that_can_be_replaced_does_not_follow_an_immutable_one() {
    let world = world("", "", release("tool", "v1.0.0").immutable());
    world.bake(["lock"]).done();
    assert!(world.folder.read("bake.lock").contains("immutable: true"));
    world.bake(["audit", "--against", "upstream"]).done();
    world.github.publish("owner/tool", release("tool", "v1.1.0"));
    let said = world.bake(["lock", "--update"]).ended(1);
    assert!(said.err.contains("less-trust") && said.err.contains("immutable"), "{}", said.err);
    world.github.publish("owner/tool", release("tool", "v1.2.0").immutable());
    world.bake(["lock", "--update"]).done();
    assert_eq!(world.version("tool"), "1.2.0");
}

#[test]
fn a_repository_that_was_registered_again_is_refused() {
    let world = world("", "", release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    assert!(world.folder.read("bake.lock").contains("repository_id: "));
    world.bake(["audit", "--against", "upstream"]).done();
    world.github.register_again("owner/tool");
    let audited = world.bake(["audit", "--against", "upstream"]).ended(1);
    assert!(audited.out.contains("another repository than the locked one"), "{}", audited.out);
    let said = world.bake(["lock", "--update"]).ended(1);
    for part in ["other-repository", "owner/tool", "--allow-less-trust tool"] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    world.bake(["lock", "--update", "--allow-less-trust", "tool"]).done();
    world.bake(["audit", "--against", "upstream"]).done();
}

#[test]
fn a_repository_that_moved_keeps_its_id() {
    let world = world("", "", release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    world.github.rename("owner/tool", "other/name");
    let said = world.bake(["lock", "--update"]).done();
    assert!(said.err.contains("moved to other/name"), "{}", said.err);
}

#[test]
fn a_lock_without_ids_is_read_and_the_audit_tells_of_it() {
    let world = world("", "", release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    let lock = world.folder.read("bake.lock");
    let older: String = lock
        .lines()
        .filter(|line| !line.contains("repository_id:"))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_ne!(older, lock);
    world.folder.write("bake.lock", older);
    world.bake(["check"]).done();
    let said = world.bake(["audit", "--against", "upstream"]).done();
    for part in ["note: the lock has no id of its repository", "bake lock --update tool"] {
        assert!(said.out.contains(part), "{part} is not in:\n{}", said.out);
    }
    world.bake(["lock", "--update"]).done();
    assert_eq!(world.folder.read("bake.lock"), lock);
}

#[test]
fn an_age_that_is_none_is_refused() {
    let said =
        world("policy: {min_age_days: 3651}\n", "", release("tool", "v1.0.0")).bake(["check"]).ended(2);
    assert!(said.err.contains("3651 is not an age in days"), "{}", said.err);
}
