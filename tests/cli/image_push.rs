//! `bake image push`: destination, credentials, and the effect on the lock.

use crate::support::depot::{Depot, Fault};
use crate::support::images::{self, Tar, gzipped};
use crate::support::test;
use crate::support::world::{World, release};
use crate::support::{Said, interrupted};
use bake::digest::Sha256;
use serde_json::Value;

const REPOSITORY: &str = "mine/gateway";
const PASSWORD: &str = "hunter2-of-the-registry";

/// A project with one tool, whose base image and whose finished one are in the same registry.
struct Pushing {
    world: World,
    depot: Depot,
}

impl Pushing {
    fn new() -> Self {
        let depot = Depot::start();
        let layer = gzipped(Tar::new().folder("usr/").folder("usr/local/").folder("usr/local/bin/"));
        let base = images::image("amd64", &[layer]);
        for bytes in base.blobs.values() {
            depot.put_blob("base/image", bytes);
        }
        let manifest = "application/vnd.oci.image.manifest.v1+json";
        depot.put_manifest("base/image", "1", manifest, &base.blobs[&base.digest()]);

        let world = World::new("  - {name: tool, repo: owner/tool}\n");
        world.github.publish("owner/tool", release("tool", "v1.0.0"));
        world.github.publish("owner/other", release("other", "v1.0.0"));
        let spec = format!(
            "version: 1\ngateway:\n  image: {host}/base/image:1\nimage:\n  strategy: registry\n  registry: {host}/{REPOSITORY}\n  apt: []\n",
            host = depot.host(),
        );
        world.folder.write("bake.yaml", spec);
        world.bake(["lock"]).done();
        depot.asked();
        Self { world, depot }
    }

    fn reference(&self) -> String {
        format!("{}/{REPOSITORY}", self.depot.host())
    }

    fn push(&self) -> Said {
        self.world.bake(["image", "push"])
    }

    fn pushed(&self) -> Value {
        let said = self.world.bake(["image", "push", "--json"]).done();
        serde_json::from_str(&said.out).expect("JSON")
    }
}

#[test]
fn the_lock_has_the_digest_and_the_bundle_uses_it() {
    let pushing = Pushing::new();
    let said = pushing.world.bake(["render"]).ended(2);
    assert!(said.err.contains("error[not-pushed]"), "{}", said.err);

    let said = pushing.push().done();
    let pushed = pushing.world.lock().pushed.expect("a pushed image");
    assert_eq!(pushed.reference.to_string(), pushing.reference());
    let digest = pushed.digest.oci();
    let index = pushing.depot.manifest(REPOSITORY, &digest).expect("the index");
    assert_eq!(Sha256::of(index).oci(), digest);
    let tag = format!("bake-{}", pushed.digest.short(12));
    assert!(said.out.starts_with(&format!("{}:{tag}@{digest}\n", pushing.reference())), "{}", said.out);

    pushing.world.bake(["render"]).done();
    let compose = pushing.world.folder.read("out/docker-compose.yml");
    assert!(compose.contains(&format!("image: &image \"{}@{digest}\"", pushing.reference())), "{compose}");
    pushing.world.bake(["lock", "--check"]).done();
    pushing.world.bake(["check"]).done();
    // Asking publishers again changes nothing.
    let before = pushing.world.folder.read("bake.lock");
    pushing.world.bake(["lock"]).done();
    assert_eq!(pushing.world.folder.read("bake.lock"), before);
}

#[test]
fn a_second_push_is_the_same_image_and_sends_nothing() {
    let pushing = Pushing::new();
    let first = pushing.pushed();
    let (lock, asked) = (pushing.world.folder.read("bake.lock"), pushing.depot.asked());
    assert!(asked.iter().any(|asked| asked.method == "PUT"));
    let second = pushing.pushed();
    assert_eq!(second["digest"], first["digest"]);
    assert_eq!(second["sent"], 0);
    assert_eq!(pushing.world.folder.read("bake.lock"), lock);
    let asked = pushing.depot.asked();
    assert!(asked.iter().all(|asked| matches!(asked.method.as_str(), "HEAD" | "GET")), "{asked:?}");
}

#[test]
fn base_layers_stay_in_their_registry() {
    let pushing = Pushing::new();
    let said = pushing.pushed();
    assert_eq!((&said["mounted"], &said["locked"]), (&Value::from(1), &Value::from(true)));
    assert_eq!(said["images"].as_array().map(Vec::len), Some(1));
}

#[test]
fn another_tool_wants_another_push() {
    let pushing = Pushing::new();
    let first = pushing.pushed();
    let said = pushing.world.bake(["add", "owner/other"]).done();
    assert_eq!(pushing.world.lock().pushed, None, "{}", said.err);
    let said = pushing.world.bake(["render"]).ended(2);
    assert!(said.err.contains("error[not-pushed]"), "{}", said.err);
    let second = pushing.pushed();
    assert_ne!(second["digest"], first["digest"]);
    // The base image's layer is there by now.
    assert_eq!((&second["mounted"], pushing.world.bake(["render"]).code), (&Value::from(0), 0));
}

#[test]
fn push_and_build_give_the_same_image() {
    let pushing = Pushing::new();
    let said = pushing.world.bake(["image", "build", "--json"]).done();
    let built: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(pushing.pushed()["digest"], built["digest"]);
}

#[test]
fn a_push_continues_after_ctrl_c_in_the_middle_of_a_blob() {
    let pushing = Pushing::new();
    let lock = pushing.world.folder.read("bake.lock");
    // The layer arrives, and the config does not.
    pushing.depot.fail("PUT", "/blobs/uploads/2?", &[Fault::SilentAfter(10)]);
    let is_at_work = || pushing.depot.asked().iter().any(|asked| asked.path.contains("/blobs/uploads/2?"));
    let err = interrupted(pushing.world.command().args(["-q", "image", "push"]), is_at_work);
    let told = "error[interrupted]: interrupted; the registry keeps the blobs that it has, and the next push continues from there";
    assert_eq!(err.trim_end(), told);
    assert_eq!(pushing.depot.manifests(REPOSITORY), Vec::<String>::new());
    assert_eq!(pushing.world.folder.read("bake.lock"), lock);

    let pushed = pushing.pushed();
    // The registry has the base image's layer and the tool's.
    assert_eq!((&pushed["present"], &pushed["mounted"]), (&Value::from(2), &Value::from(0)), "{pushed}");
    let digest = pushing.world.lock().pushed.expect("a pushed image").digest.oci();
    assert!(pushing.depot.manifest(REPOSITORY, &digest).is_some());
}

#[test]
fn elsewhere_than_the_spec_says_leaves_the_lock_alone() {
    let pushing = Pushing::new();
    let lock = pushing.world.folder.read("bake.lock");
    let to = format!("{}/elsewhere:v1", pushing.depot.host());
    let said = pushing.world.bake(["image", "push", &to]).done();
    assert!(said.out.starts_with(&format!("{to}@sha256:")), "{}", said.out);
    assert!(said.err.contains("bake.lock does not have its digest"), "{}", said.err);
    assert_eq!(pushing.world.folder.read("bake.lock"), lock);
    // Another tag of the repository is the same destination, because the VM uses the digest.
    pushing.world.bake(["image", "push", &format!("{}:v1", pushing.reference())]).done();
    assert!(pushing.world.lock().pushed.is_some());
    assert!(pushing.depot.manifest(REPOSITORY, "v1").is_some());
}

#[test]
fn without_a_place_nothing_is_made() {
    let pushing = Pushing::new();
    let said = pushing.world.bake(["image", "push", "gateway:1"]).ended(2);
    assert!(said.err.contains("not an image reference"), "{}", said.err);
    let digest = Sha256::of("x").oci();
    let said = pushing.world.bake(["image", "push", &format!("{}@{digest}", pushing.reference())]).ended(2);
    assert!(said.err.contains("leave `@sha256:…` away"), "{}", said.err);
    pushing.world.folder.edit("bake.yaml", "strategy: registry\n", "strategy: build-on-vm\n");
    let said = pushing.world.bake(["image", "push"]).ended(2);
    assert!(said.err.contains("nothing says where to"), "{}", said.err);
    assert!(pushing.depot.asked().iter().all(|asked| !asked.path.contains(REPOSITORY)));
}

#[test]
fn a_registry_that_fails_leaves_the_lock_alone() {
    let pushing = Pushing::new();
    let lock = pushing.world.folder.read("bake.lock");
    pushing.depot.fail("PUT", "/manifests/bake-", &[Fault::status(400)]);
    let said = pushing.push().ended(1);
    assert!(said.err.contains("HTTP 400"), "{}", said.err);
    assert_eq!(pushing.world.folder.read("bake.lock"), lock);
}

#[test]
fn a_registry_that_takes_no_sbom_has_the_image_all_the_same() {
    let pushing = Pushing::new();
    pushing.depot.refuse_subjects();
    let said = pushing.push().done();
    assert!(said.err.contains("warning: the image is pushed, and its SBOM is not attached"), "{}", said.err);
    assert!(said.err.contains("MANIFEST_INVALID") && said.err.contains("--no-sbom"), "{}", said.err);
    assert!(pushing.world.lock().pushed.is_some());
    assert!(pushing.pushed()["without_sbom"].as_str().is_some_and(|why| why.contains("HTTP 400")));

    let pushing = Pushing::new();
    let said = pushing.world.bake(["image", "push", "--no-sbom"]).done();
    assert!(!said.err.contains("warning"), "{}", said.err);
    assert!(pushing.world.lock().pushed.is_some());
    assert!(!pushing.depot.asked().iter().any(|asked| asked.path.contains("referrers")));
}

/// No output contains the password in any encoding.
#[track_caller]
fn tells_no_secret(said: &Said) {
    for secret in [PASSWORD, "aHVudGVyMi1vZi10aGUtcmVnaXN0cn", "a-token-nobody-may-see"] {
        assert!(!format!("{}{}", said.out, said.err).contains(secret), "{}{}", said.out, said.err);
    }
}

/// `me` and the password, as they are sent.
fn basic() -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("me:{PASSWORD}")))
}

#[test]
fn the_login_of_docker_is_used() {
    use base64::Engine;
    let pushing = Pushing::new();
    pushing.depot.wants_token(Some(&basic()));
    let auth = base64::engine::general_purpose::STANDARD.encode(format!("me:{PASSWORD}"));
    let config = format!(r#"{{"auths": {{"{}": {{"auth": "{auth}"}}}}}}"#, pushing.depot.host());
    pushing.world.folder.write("docker/config.json", config);
    let docker = pushing.world.folder.join("docker");
    for arguments in [&["image", "push"][..], &["-v", "image", "push"], &["image", "push", "--json"]] {
        let said =
            crate::support::said(pushing.world.command().env("DOCKER_CONFIG", &docker).args(arguments));
        tells_no_secret(&said);
        said.done();
    }
    let asked = pushing.depot.asked();
    let with_password = asked.iter().filter(|asked| asked.authorization.as_deref() == Some(&basic()));
    assert!(with_password.clone().all(|asked| asked.path.starts_with("/token")), "{asked:?}");
    assert!(with_password.count() > 0);
    assert!(pushing.world.lock().pushed.is_some());
    assert!(!pushing.world.folder.read("bake.lock").contains(PASSWORD));
}

#[test]
fn the_helper_of_gcloud_is_used() {
    let pushing = Pushing::new();
    pushing.depot.wants_token(Some(&basic()));
    let folder = &pushing.world.folder;
    let host = pushing.depot.host();
    // As `gcloud auth configure-docker` leaves it, and as its helper speaks.
    folder.write("home/.docker/config.json", format!(r#"{{"credHelpers": {{"{host}": "gcloud"}}}}"#));
    let helper = format!(
        "#!/bin/sh\n[ \"$(cat)\" = {host} ] && [ \"$1\" = get ] || {{ echo {PASSWORD} >&2; exit 1; }}\necho '{{\"Username\": \"me\", \"Secret\": \"{PASSWORD}\"}}'\n"
    );
    folder.program("bin/docker-credential-gcloud", &helper);
    let push = || {
        let known = std::env::var("PATH").unwrap_or_default();
        let mut command = pushing.world.command();
        command.env("PATH", format!("{}:{known}", folder.join("bin").display()));
        crate::support::said(command.env("HOME", folder.join("home")).args(["image", "push"]))
    };
    let said = push();
    tells_no_secret(&said);
    said.done();

    // One that fails prints what it likes: none of it is repeated.
    folder.write("bin/docker-credential-gcloud", helper.replace("= get ]", "= set ]"));
    let said = push();
    tells_no_secret(&said);
    let said = said.ended(1);
    assert!(said.err.contains("`docker-credential-gcloud` fails"), "{}", said.err);
}

#[test]
fn a_refused_push_explains_the_login() {
    let pushing = Pushing::new();
    pushing.depot.fail(
        "HEAD",
        &format!("/v2/{REPOSITORY}/"),
        &vec![Fault::Says(403, Vec::new(), r#"{"errors":[{"code":"DENIED"}]}"#); 3],
    );
    let said = pushing.push().ended(1);
    let host = pushing.depot.host();
    for part in [format!("docker login {host}"), format!("gcloud auth configure-docker {host}")] {
        assert!(said.err.contains(&part), "{}", said.err);
    }
    assert_eq!(pushing.world.lock().pushed, None);
}
