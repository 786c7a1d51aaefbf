//! `bake outdated`, and `bake lock --update` of the base image.

use crate::support::images::{Parts, Tar, gzipped, image_with};
use crate::support::registry::{Registry, Reply};
use crate::support::test;
use crate::support::world::{World, release};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

/// An image that was built so many days ago, on this version of Node.
fn built(days: i64, node: &str) -> Parts {
    let created = Timestamp::now() - SignedDuration::from_hours(24 * days);
    let settings = json!({
        "created": created.to_string(),
        "config": {
            "Env": [format!("NODE_VERSION={node}")],
            "Labels": {"com.example.migration-notes": format!("of {days} days ago\u{1b}[2J")},
        },
    });
    image_with("amd64", &[gzipped(Tar::new().file("day", &days.to_string()))], &settings)
}

fn publish(registry: &Registry, tag: &str, parts: &Parts) {
    for (digest, bytes) in &parts.blobs {
        registry.reply(&format!("/v2/image/blobs/{}", digest.oci()), &[Reply::of(bytes.clone())]);
        let reply = Reply::of(bytes.clone()).header("Docker-Content-Digest", digest.oci());
        registry.reply(&format!("/v2/image/manifests/{}", digest.oci()), std::slice::from_ref(&reply));
        if *digest == parts.digest() {
            registry.reply(&format!("/v2/image/manifests/{tag}"), &[reply]);
        }
    }
}

/// Lists these tags, in two pages.
fn list(registry: &Registry, tags: &[&str]) {
    let (first, rest) = tags.split_at(tags.len() / 2);
    let page = |tags: &[&str]| Reply::of(json!({"name": "image", "tags": tags}).to_string());
    let next = "</v2/image/tags/list?n=1000&last=x>; rel=\"next\"";
    registry.reply("/v2/image/tags/list?n=1000", &[page(first).header("Link", next)]);
    registry.reply("/v2/image/tags/list?n=1000&last=x", &[page(rest)]);
}

/// A locked project on `image:TAG` of `registry`, with one tool.
fn project(registry: &Registry, tag: &str) -> World {
    let world = World::new("  - {name: tool, repo: owner/tool}\n");
    let image = registry.reference().replace(":1", &format!(":{tag}"));
    let image = image.replacen(&format!(":{tag}"), ":1", image.matches(&format!(":{tag}")).count() - 1);
    world.folder.write(
        "bake.yaml",
        format!("version: 1\ngateway:\n  image: '{image}'   # the base\nimage:\n  apt: []\n"),
    );
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    world
}

#[test]
fn newer_tags_of_the_channel_are_found_and_taken_if_they_are_asked_for() {
    let (old, new) = (built(60, "24.16.0"), built(10, "24.17.1"));
    let registry = Registry::with(&old);
    publish(&registry, "2026.9.4", &old);
    publish(&registry, "2026.9.6", &new);
    publish(&registry, "2026.10.1", &built(2, "26.1.0"));
    list(&registry, &["latest", "2026.9.4", "2026.9.6-slim", "2026.9.6", "2026.10.0-rc.1", "2026.10.1"]);
    let world = project(&registry, "2026.9.4");
    let said = world.bake(["outdated", "--min-age", "7"]).ended(1);
    for part in ["image  2026.9.4  -> 2026.9.6", "2026.10.1 is younger", "of 10 days ago", "tool   1.0.0"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    assert!(!said.out.contains('\u{1b}'), "{}", said.out);
    // Every tool: the tag is pinned, and stays.
    let before = world.project_files();
    let said = world.bake(["lock", "--update", "--min-age", "7"]).done();
    let note = "/image:2026.9.6 is newer than bake.yaml: bake lock --update image\n";
    assert!(said.err.contains(note), "{}", said.err);
    assert!(world.project_files() == before);
    let said = world.bake(["lock", "--update", "tool"]).done();
    assert!(!said.err.contains("2026.9.6"), "{}", said.err);
    let said = world.bake(["lock", "--update", "image", "--min-age", "7"]).done();
    for part in ["2026.9.6", "built ", "MB for amd64", &new.digest().oci()] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
    let spec = world.folder.read("bake.yaml");
    assert!(spec.contains("/image:2026.9.6'   # the base\n"), "{spec}");
    assert_eq!(world.lock().image.digest, new.digest());
    world.bake(["check"]).done();
    let said = world.bake(["outdated", "--min-age", "7", "--json"]).done();
    let said: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!((&said["outdated"], &said["tools"][0]["name"]), (&json!(false), &json!("image")));
    // Without a minimum age the youngest counts.
    let said = world.bake(["outdated", "--json"]).ended(1);
    let said: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(said["tools"][0]["newest"], "2026.10.1");
}

#[test]
fn a_policy_in_the_manifest_counts_for_the_base_image() {
    let registry = Registry::with(&built(60, "24.16.0"));
    publish(&registry, "3.1", &built(60, "24.16.0"));
    publish(&registry, "3.2", &built(5, "24.16.0"));
    list(&registry, &["3.1", "3.2"]);
    let world = project(&registry, "3.1");
    let manifest = world.folder.read("images/binaries.yaml");
    let policy = manifest.replace("version: 1\n", "version: 1\npolicy: {min_age_days: 9}\n");
    world.folder.write("images/binaries.yaml", policy);
    world.bake(["lock"]).done();
    world.bake(["outdated"]).done();
    let said = world.bake(["lock", "--update", "image"]).done();
    assert!(said.err.contains("`3.2` is newer, but younger"), "{}", said.err);
    assert!(world.folder.read("bake.yaml").contains(":3.1'"));
}

#[test]
fn a_channel_that_moves_is_followed_and_not_backwards() {
    let (old, new) = (built(30, "24.16.0"), built(10, "22.4.0"));
    let registry = Registry::with(&old);
    publish(&registry, "stable", &old);
    let world = project(&registry, "stable");
    world.bake(["outdated"]).done();
    publish(&registry, "stable", &new);
    let said = world.bake(["outdated"]).ended(1);
    for part in ["the tag moved to", &new.digest().oci(), "Node 22.4.0", "needs Node 24"] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    let said = world.bake(["lock", "--update", "--min-age", "20"]).done();
    assert!(said.err.contains("`stable` is newer, but younger"), "{}", said.err);
    assert_eq!(world.lock().image.digest, old.digest());
    let said = world.bake(["lock", "--update"]).done();
    assert!(said.err.contains("warning[bad-image]"), "{}", said.err);
    assert_eq!(world.lock().image.digest, new.digest());
    // Backwards.
    publish(&registry, "stable", &old);
    let before = world.project_files();
    let said = world.bake(["lock", "--update", "image"]).ended(1);
    assert!(
        said.err.contains("error[downgrade]") && said.err.contains("--allow-downgrade image"),
        "{}",
        said.err
    );
    assert!(world.project_files() == before);
    world.bake(["lock", "--update", "image", "--allow-downgrade", "image"]).done();
    assert_eq!(world.lock().image.digest, old.digest());
}

#[test]
fn newer_tools_and_failures_are_listed() {
    let image = built(60, "24.16.0");
    let registry = Registry::with(&image);
    publish(&registry, "3.1", &image);
    list(&registry, &["3.1"]);
    let world = project(&registry, "3.1");
    world.bake(["outdated"]).done();
    world.github.publish("owner/tool", release("tool", "v1.1.0"));
    let said = world.bake(["outdated"]).ended(1);
    assert!(said.out.contains("tool   1.0.0  -> 1.1.0"), "{}", said.out);
    registry.reply("/v2/image/tags/list?n=1000", &[Reply::status(404)]);
    let said = world.bake(["outdated"]).ended(1);
    assert!(said.out.contains("1.1.0") && said.err.contains("list of tags"), "{} {}", said.out, said.err);
}
