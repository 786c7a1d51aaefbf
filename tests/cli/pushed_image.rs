//! `strategy: registry`: the lock has the digest of the last push, and everything goes by it.

use crate::support::Folder;
use crate::support::test;
use bake::diagnostics::{Problems, Source};
use bake::digest::Sha256;
use bake::lock::{self, Lock, PushedImage};

const REFERENCE: &str = "us-central1-docker.pkg.dev/my-project/my-repo/openclaw";

/// The default project, with a finished image that the spec names without a digest.
fn project() -> Folder {
    let folder = Folder::project();
    folder.edit("bake.yaml", "strategy: build-on-vm", "strategy: registry");
    folder.edit("bake.yaml", "registry: null", &format!("registry: {REFERENCE}"));
    folder
}

fn lock(folder: &Folder) -> Lock {
    let mut problems = Problems::default();
    let lock = lock::read(Source::new("bake.lock", folder.read("bake.lock")), &mut problems);
    lock.expect("a lock that can be read").0
}

/// As `bake image push` leaves the lock.
fn push(folder: &Folder) -> Sha256 {
    let lock = lock(folder);
    let digest = Sha256::of("an index");
    let reference = REFERENCE.parse().expect("a reference");
    let pushed = Some(PushedImage { reference, digest, lock: lock.content() });
    folder.write("bake.lock", Lock { pushed, ..lock }.to_text());
    digest
}

#[test]
fn the_bundle_has_the_digest_of_the_push() {
    let folder = project();
    let digest = push(&folder);
    folder.bake(["render"]).done();
    let wanted = format!("{REFERENCE}@{}", digest.oci());
    assert!(folder.read("out/docker-compose.yml").contains(&format!("image: &image \"{wanted}\"")));
    assert!(folder.read("out/user-data.yaml").contains(&format!("OPENCLAW_IMAGE={wanted}")));
    folder.bake(["lock", "--check"]).done();
    let said = folder.bake(["check"]).done();
    assert!(!said.err.contains("not-pushed"), "{}", said.err);
}

#[test]
fn an_unpushed_image_is_not_rendered() {
    let folder = project();
    let said = folder.bake(["render"]).ended(2);
    assert!(said.err.contains("error[not-pushed]"), "{}", said.err);
    assert!(said.err.contains("bake image push"), "{}", said.err);
    assert!(!folder.join("out").exists());
    // The lock is correct, and editing it would not help.
    folder.bake(["lock", "--check"]).done();
    let said = folder.bake(["check"]).done();
    assert!(said.err.contains("warning[not-pushed]"), "{}", said.err);
}

#[test]
fn a_digest_in_the_spec_needs_no_push() {
    let folder = project();
    let digest = Sha256::of("another index").oci();
    folder.edit("bake.yaml", REFERENCE, &format!("{REFERENCE}@{digest}"));
    folder.bake(["render"]).done();
    assert!(folder.read("out/docker-compose.yml").contains(&format!("{REFERENCE}@{digest}")));
}

#[test]
fn a_lock_that_stays_the_same_keeps_the_push() {
    let folder = project();
    push(&folder);
    let before = folder.read("bake.lock");
    folder.bake(["lock", "--offline"]).done();
    assert_eq!(folder.read("bake.lock"), before);
}

#[test]
fn a_lock_that_changes_forgets_the_push() {
    let folder = project();
    push(&folder);
    folder.bake(["remove", "gog"]).done();
    assert_eq!(lock(&folder).pushed, None);
    folder.bake(["lock", "--check"]).done();
    let said = folder.bake(["render"]).ended(2);
    assert!(said.err.contains("error[not-pushed]"), "{}", said.err);
}

#[test]
fn a_push_to_elsewhere_is_stale_and_goes() {
    let folder = project();
    push(&folder);
    folder.edit("bake.yaml", REFERENCE, "ghcr.io/me/openclaw");
    let said = folder.bake(["lock", "--check"]).ended(1);
    assert!(said.err.contains(&format!("the pushed image `{REFERENCE}`")), "{}", said.err);
    let said = folder.bake(["lock", "--offline"]).done();
    assert!(said.err.contains(&format!("- pushed image {REFERENCE}")), "{}", said.err);
    assert_eq!(lock(&folder).pushed, None);
}

#[test]
fn a_push_does_not_change_the_digest_of_the_inputs() {
    let folder = project();
    let before = lock(&folder).content();
    push(&folder);
    assert_eq!(lock(&folder).content(), before);
}
