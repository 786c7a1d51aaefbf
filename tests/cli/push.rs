//! Pushes an image to a local registry that fails on demand.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::support::depot::{Depot, Fault, Nature};
use crate::support::images::{self, Parts, Tar, gzipped};
use crate::support::registry::{Registry, Reply};
use crate::support::test;
use bake::digest::Sha256;
use bake::http::{Client, Request, RetryPolicy, SendError};
use bake::oci::{BaseImage, Blob, BlobSource, Contents, OciError};
use bake::project::values::Arch;
use bake::registry::push::{PushTarget, Pushed, own_tag, push};
use bake::registry::{Credentials, ImageSource};
use oci_spec::image::{Descriptor, MediaType};
use serde_json::{Value, json};

const EMPTY: &str = "application/vnd.oci.empty.v1+json";
const NATURE: Nature = Nature { mounts: true, referrers: true, verifies: true, elsewhere: None };
const REPOSITORY: &str = "mine/gateway";

/// An image on a base, with everything that a push needs to know of it.
struct Made {
    /// The base, and its layer.
    base: Parts,
    layer: Descriptor,
    diff_id: Sha256,
    _folder: tempfile::TempDir,
    layout: std::path::PathBuf,
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Descriptor {
    let digest: oci_spec::image::Digest = Sha256::of(bytes).oci().parse().expect("a digest");
    Descriptor::new(MediaType::from(media_type), bytes.len() as u64, digest)
}

fn document(value: &Value) -> Blob {
    let media_type = value["mediaType"].as_str().unwrap_or("application/vnd.oci.image.config.v1+json");
    let bytes = value.to_string().into_bytes();
    Blob { descriptor: descriptor(media_type, &bytes), from: BlobSource::Bytes(bytes) }
}

fn named(descriptor: &Descriptor) -> Value {
    serde_json::to_value(descriptor).expect("JSON")
}

impl Made {
    /// With a base layer of some megabytes, more than any buffer on the way takes in.
    fn new() -> Self {
        let noise: Vec<u8> =
            (0..1_500_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
        let tar = Tar::new().entry(tar::EntryType::Regular, "etc/noise", "", &noise);
        let packed = gzipped(tar);
        let layer = descriptor(packed.media_type, &packed.stored);
        let base = images::image("amd64", std::slice::from_ref(&packed));
        let folder = tempfile::tempdir().expect("a folder");
        let layout = folder.path().join("base");
        base.layout(&layout, "1");
        Self { base, layer, diff_id: packed.diff_id, _folder: folder, layout }
    }

    /// The image on the base as `source` has it; its own layer says `what`.
    fn contents(&self, source: &ImageSource, what: &str) -> Contents {
        let own = format!("a layer that says {what}").into_bytes();
        let own = Blob {
            descriptor: descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &own),
            from: BlobSource::Bytes(own),
        };
        let base = Blob { descriptor: self.layer.clone(), from: BlobSource::Base { diff_id: self.diff_id } };
        let config = document(&json!({"architecture": "amd64", "os": "linux", "what": what}));
        let manifest = document(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": named(&config.descriptor),
            "layers": [named(&base.descriptor), named(&own.descriptor)],
        }));
        let index = document(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [named(&manifest.descriptor)],
        }));
        let nothing = Blob { descriptor: descriptor(EMPTY, b"{}"), from: BlobSource::Bytes(b"{}".to_vec()) };
        let sbom = br#"{"spdxVersion":"SPDX-2.3"}"#.to_vec();
        let sbom =
            Blob { descriptor: descriptor("application/spdx+json", &sbom), from: BlobSource::Bytes(sbom) };
        let referrer = document(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/spdx+json",
            "config": named(&nothing.descriptor), "layers": [named(&sbom.descriptor)],
            "subject": named(&index.descriptor),
        }));
        let reference = match source {
            ImageSource::Registry(reference) => Some(reference.clone()),
            _ => None,
        };
        let images = source.open(&client(), &Credentials::Anonymous).expect("a base");
        images.image(Arch::Amd64).expect("its image");
        Contents {
            base: BaseImage { images, reference },
            index: index.descriptor.clone(),
            blobs: vec![base, own, config, manifest, index],
            referrer: vec![nothing, sbom, referrer],
        }
    }

    fn on_layout(&self, what: &str) -> Contents {
        self.contents(&ImageSource::Layout(self.layout.clone()), what)
    }

    /// The same in the registry that it goes to, in another repository.
    fn in_depot(&self, depot: &Depot, what: &str) -> Contents {
        for bytes in self.base.blobs.values() {
            depot.put_blob("base/image", bytes);
        }
        let root = &self.base.blobs[&self.base.digest()];
        depot.put_manifest("base/image", "1", "application/vnd.oci.image.manifest.v1+json", root);
        let reference = format!("{}/base/image:1", depot.host()).parse().expect("a reference");
        let contents = self.contents(&ImageSource::Registry(reference), what);
        depot.asked();
        contents
    }
}

fn client() -> Client {
    let patience = RetryPolicy {
        attempts: 3,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        stall: Duration::from_secs(20),
        connect: Duration::from_secs(20),
        ..RetryPolicy::default()
    };
    Client::new(patience)
}

fn pushed_as(contents: &Contents, to: &str, credentials: &Credentials) -> Result<Pushed, OciError> {
    let image = to.parse().expect("a reference");
    let target = PushTarget { image: &image, credentials, client: &client() };
    push(contents, &target, &|_| Box::new(|_| {}))
}

fn pushed(contents: &Contents, depot: &Depot) -> Result<Pushed, OciError> {
    pushed_as(contents, &format!("{}/{REPOSITORY}:1", depot.host()), &Credentials::Anonymous)
}

fn password() -> Credentials {
    Credentials::Password { user: "me".to_owned(), password: "hunter2".to_owned() }
}

/// `me:hunter2`, as it is sent.
const SENT: &str = "Basic bWU6aHVudGVyMg==";

/// The requests to a registry, without queries.
fn told(depot: &Depot) -> Vec<String> {
    let path = |path: &str| path.split('?').next().unwrap_or_default().to_owned();
    depot.asked().into_iter().map(|asked| format!("{} {}", asked.method, path(&asked.path))).collect()
}

fn uploads(told: &[String]) -> usize {
    told.iter().filter(|told| told.starts_with("PUT") && told.contains("/blobs/uploads/")).count()
}

#[track_caller]
fn is_whole(depot: &Depot, contents: &Contents) {
    let index = contents.index.digest().to_string();
    assert_eq!(depot.manifest(REPOSITORY, "1"), depot.manifest(REPOSITORY, &index));
    assert!(depot.manifest(REPOSITORY, &index).is_some(), "no index");
    for blob in contents.blobs.iter().chain(&contents.referrer) {
        let digest = blob.descriptor.digest().to_string();
        let bytes = depot.blob(REPOSITORY, &digest).or_else(|| depot.manifest(REPOSITORY, &digest));
        assert_eq!(Sha256::of(bytes.unwrap_or_else(|| panic!("{digest}"))).oci(), digest);
    }
}

#[test]
fn children_go_before_their_parents_and_the_index_last() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    let done = pushed(&contents, &depot).expect("a push");
    is_whole(&depot, &contents);
    let told = told(&depot);
    let puts: Vec<_> = told.iter().filter(|told| told.starts_with("PUT")).collect();
    let manifest = contents.blobs[3].descriptor.digest();
    assert_eq!(
        puts[3..5],
        [&format!("PUT /v2/{REPOSITORY}/manifests/{manifest}"), &format!("PUT /v2/{REPOSITORY}/manifests/1"),]
    );
    assert_eq!((done.uploaded, done.present, done.mounted), (8, 0, 0));
    assert_eq!(done.tag, "1");
}

#[test]
fn a_second_push_sends_nothing() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    pushed(&contents, &depot).expect("a push");
    depot.asked();
    let again = pushed(&contents, &depot).expect("another push");
    let asked = depot.asked();
    assert!(asked.iter().all(|asked| matches!(asked.method.as_str(), "HEAD" | "GET")), "{asked:?}");
    assert_eq!((again.uploaded, again.sent, again.present), (0, 0, 8));
}

#[test]
fn another_image_on_the_same_base_sends_what_is_its_own() {
    let (depot, made) = (Depot::start(), Made::new());
    pushed(&made.on_layout("one"), &depot).expect("a push");
    depot.asked();
    let contents = made.on_layout("two");
    pushed(&contents, &depot).expect("another push");
    is_whole(&depot, &contents);
    // Its layer and its config.
    assert_eq!(uploads(&told(&depot)), 2);
}

#[test]
fn without_a_tag_the_image_gets_a_default_one() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    let to = format!("{}/{REPOSITORY}", depot.host());
    let done = pushed_as(&contents, &to, &Credentials::Anonymous).expect("a push");
    let digest = contents.index.digest().to_string();
    assert_eq!(done.tag, own_tag(digest.trim_start_matches("sha256:").parse().expect("a digest")));
    assert_eq!(depot.manifest(REPOSITORY, &done.tag), depot.manifest(REPOSITORY, &digest));
}

#[test]
fn base_layers_are_mounted_from_their_own_registry() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.in_depot(&depot, "one");
    let done = pushed(&contents, &depot).expect("a push");
    is_whole(&depot, &contents);
    assert_eq!(done.mounted, 1);
    let asked = depot.asked();
    let layer = made.layer.digest().to_string();
    // Its bytes went nowhere, and its own layer was not looked for there.
    assert!(!asked.iter().any(|asked| asked.method == "GET" && asked.path.contains(&layer)), "{asked:?}");
    assert!(asked.iter().all(|asked| asked.length < 10_000), "{asked:?}");
    assert_eq!(asked.iter().filter(|asked| asked.path.contains("mount=")).count(), 1);
}

#[test]
fn a_refused_mount_continues_as_an_upload() {
    let depot = Depot::with(Nature { mounts: false, ..NATURE });
    let made = Made::new();
    let contents = made.in_depot(&depot, "one");
    let done = pushed(&contents, &depot).expect("a push");
    is_whole(&depot, &contents);
    assert_eq!((done.mounted, done.uploaded), (0, 8));
    let told = told(&depot);
    let begun = told.iter().filter(|told| told.starts_with("POST")).count();
    assert_eq!(begun, uploads(&told));
}

#[test]
fn a_refused_mount_does_not_stop_the_push() {
    let made = Made::new();
    for status in [400, 403, 404, 405] {
        let depot = Depot::start();
        let contents = made.in_depot(&depot, "one");
        depot.fail("POST", "mount=", &[Fault::status(status)]);
        let done = pushed(&contents, &depot).unwrap_or_else(|error| panic!("{status}: {error}"));
        is_whole(&depot, &contents);
        assert_eq!((done.mounted, done.uploaded), (0, 8), "{status}");
    }
    // The registry accepts no credentials for the mount.
    let depot = Depot::start();
    depot.wants_token(None);
    let contents = made.in_depot(&depot, "one");
    let challenge = format!(r#"Bearer realm="http://{}/token",service="depot""#, depot.host());
    let refused = Fault::Says(401, vec![("WWW-Authenticate", challenge)], "");
    depot.fail("POST", "mount=", &[refused.clone(), refused]);
    pushed(&contents, &depot).expect("a push");
    is_whole(&depot, &contents);
    // The registry refuses every push.
    let depot = Depot::start();
    let contents = made.in_depot(&depot, "one");
    depot.fail("POST", "/uploads/", &[Fault::status(403), Fault::status(403)]);
    let error = pushed(&contents, &depot).expect_err("a refusal");
    assert!(matches!(error, OciError::MayNotPush { .. }), "{error}");
}

#[test]
fn base_layers_of_another_registry_are_streamed_across() {
    let (depot, made) = (Depot::start(), Made::new());
    let elsewhere = Registry::with(&made.base);
    let source = ImageSource::Registry(elsewhere.reference().parse().expect("a reference"));
    let contents = made.contents(&source, "one");
    pushed(&contents, &depot).expect("a push");
    is_whole(&depot, &contents);
    assert!(depot.asked().iter().all(|asked| !asked.path.contains("mount=")));
}

#[test]
fn a_base_with_a_wrong_last_byte_is_not_passed_on() {
    // One that would take anything.
    let depot = Depot::with(Nature { verifies: false, ..NATURE });
    let made = Made::new();
    let elsewhere = Registry::with(&made.base);
    let source = ImageSource::Registry(elsewhere.reference().parse().expect("a reference"));
    let contents = made.contents(&source, "one");
    let digest: Sha256 =
        made.layer.digest().to_string().trim_start_matches("sha256:").parse().expect("a digest");
    elsewhere.ignores_ranges();
    let mut wrong = made.base.blobs[&digest].clone();
    *wrong.last_mut().expect("a byte") ^= 1;
    elsewhere.reply(&format!("/v2/image/blobs/{}", digest.oci()), &[Reply::of(wrong)]);
    let error = pushed(&contents, &depot).expect_err("wrong bytes");
    assert!(matches!(error, OciError::Mismatch { .. }), "{error}");
    assert_eq!(depot.blob(REPOSITORY, &digest.oci()), None);
    assert_eq!(depot.manifests(REPOSITORY), Vec::<String>::new());
}

#[test]
fn bytes_that_do_not_match_their_digest_stay_here() {
    // One that would take anything.
    let depot = Depot::with(Nature { verifies: false, ..NATURE });
    let made = Made::new();
    for index in 0..3 {
        let mut contents = made.on_layout("one");
        let blob = &mut contents.blobs[index];
        let length = usize::try_from(blob.descriptor.size()).expect("a length");
        blob.from = BlobSource::Bytes(vec![b'x'; length]);
        let digest = blob.descriptor.digest().to_string();
        let error = pushed(&contents, &depot).expect_err("wrong bytes");
        assert!(matches!(&error, OciError::Mismatch { expected, .. } if *expected == digest), "{error}");
        assert_eq!(depot.blob(REPOSITORY, &digest), None);
        assert_eq!(depot.manifests(REPOSITORY), Vec::<String>::new());
    }
    // A manifest too.
    let mut contents = made.on_layout("one");
    contents.blobs[3].from = BlobSource::Bytes(b"{}".to_vec());
    let error = pushed(&contents, &depot).expect_err("a wrong manifest");
    assert!(matches!(error, OciError::Mismatch { .. }), "{error}");
    assert_eq!(depot.manifests(REPOSITORY), Vec::<String>::new());
}

#[test]
fn an_interrupted_upload_restarts() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    depot.fail("PUT", "/blobs/uploads/", &[Fault::CutAfter(1_000_000), Fault::CutAfter(10)]);
    pushed(&contents, &depot).expect("a push");
    is_whole(&depot, &contents);
}

#[test]
fn an_interrupted_push_continues() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    let own = contents.blobs[1].descriptor.digest().to_string();
    depot.fail("PUT", &own.replace(':', "%3A"), &vec![Fault::CutAfter(3); 3]);
    let error = pushed(&contents, &depot).expect_err("cut off");
    assert!(matches!(error, OciError::Failing { tries: 3, .. }), "{error}");
    assert_eq!(depot.manifests(REPOSITORY), Vec::<String>::new());
    depot.asked();
    let done = pushed(&contents, &depot).expect("another push");
    is_whole(&depot, &contents);
    assert_eq!(done.present, 1);
    let layer = made.layer.digest().to_string().replace(':', "%3A");
    assert!(!depot.asked().iter().any(|asked| asked.method == "PUT" && asked.path.contains(&layer)));
}

#[test]
fn temporary_failures_of_a_push_are_retried() {
    for (method, part) in [
        ("HEAD", "/blobs/"),
        ("POST", "/uploads/"),
        ("PUT", "/uploads/"),
        ("PUT", "/manifests/sha256:"),
        ("PUT", "/manifests/1"),
    ] {
        let (depot, made) = (Depot::start(), Made::new());
        let contents = made.on_layout("one");
        let limited = Fault::Says(429, vec![("Retry-After", "0".to_owned())], "slow down");
        depot.fail(method, part, &[Fault::status(500), limited]);
        pushed(&contents, &depot).unwrap_or_else(|error| panic!("{method} {part}: {error}"));
        is_whole(&depot, &contents);
    }
}

#[test]
fn permanent_failures_of_a_push_are_reported() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    depot.fail("POST", "/uploads/", &vec![Fault::status(503); 9]);
    let error = pushed(&contents, &depot).expect_err("a registry that is down");
    assert!(error.to_string().contains("still fails after 3 tries (HTTP 503)"), "{error}");
    assert_eq!(depot.manifests(REPOSITORY), Vec::<String>::new());
}

#[test]
fn a_long_retry_after_ends_the_push() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    let limited = Fault::Says(429, vec![("Retry-After", "3600".to_owned())], "");
    depot.fail("POST", "/uploads/", &vec![limited; 9]);
    let error = pushed(&contents, &depot).expect_err("a limit");
    assert!(error.to_string().contains("after 1 tries (HTTP 429, retry after 2"), "{error}");
}

#[test]
fn a_registry_that_falls_silent_is_noticed() {
    for fault in [Fault::SilentAfter(100), Fault::SilentAfter(usize::MAX)] {
        let (depot, made) = (Depot::start(), Made::new());
        let contents = made.on_layout("one");
        depot.fail("PUT", "/uploads/", &vec![fault.clone(); 9]);
        let patience = RetryPolicy {
            attempts: 2,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(2),
            stall: Duration::from_millis(200),
            connect: Duration::from_secs(20),
            ..RetryPolicy::default()
        };
        let image = format!("{}/{REPOSITORY}:1", depot.host()).parse().expect("a reference");
        let client = Client::new(patience);
        let target = PushTarget { image: &image, credentials: &Credentials::Anonymous, client: &client };
        let error = push(&contents, &target, &|_| Box::new(|_| {})).expect_err("silence");
        assert!(error.to_string().contains("after 2 tries (nothing happened for"), "{fault:?}: {error}");
    }
}

#[test]
fn a_token_has_the_smallest_scope() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.in_depot(&depot, "one");
    depot.wants_token(Some(SENT));
    let to = format!("{}/{REPOSITORY}:1", depot.host());
    pushed_as(&contents, &to, &password()).expect("a push");
    is_whole(&depot, &contents);
    let asked = depot.asked();
    let tokens: Vec<_> = asked.iter().filter(|asked| asked.path.starts_with("/token")).collect();
    assert_eq!(tokens.len(), 1, "{asked:?}");
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(tokens[0].path.split_once('?').expect("a query").1.as_bytes())
            .into_owned()
            .collect();
    let owned = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        query,
        [
            owned("service", "depot"),
            owned("scope", "repository:mine/gateway:pull,push"),
            owned("scope", "repository:base/image:pull"),
        ]
    );
    // The password went to the service alone.
    let others = asked.iter().filter(|asked| !asked.path.starts_with("/token"));
    assert!(others.clone().all(|asked| asked.authorization.as_deref() != Some(SENT)));
}

#[test]
fn a_token_that_ran_out_is_asked_for_again() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    depot.wants_token(None);
    // In the middle of a blob, as a token ends that was given for five minutes.
    let challenge = format!(r#"Bearer realm="http://{}/token",service="depot""#, depot.host());
    depot.fail("PUT", "/uploads/", &[Fault::Says(401, vec![("WWW-Authenticate", challenge)], "")]);
    pushed(&contents, &depot).expect("a push");
    is_whole(&depot, &contents);
    assert_eq!(told(&depot).iter().filter(|told| told.starts_with("GET /token")).count(), 2);
}

#[test]
fn a_name_and_a_password_are_enough_where_they_are_asked_for() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    depot.wants_basic(SENT);
    let to = format!("{}/{REPOSITORY}:1", depot.host());
    pushed_as(&contents, &to, &password()).expect("a push");
    is_whole(&depot, &contents);
    let error = pushed(&contents, &depot).expect_err("nobody in particular");
    assert!(error.to_string().contains("does not let anonymous users push"), "{error}");
}

#[test]
fn no_refusal_tells_a_secret() {
    let made = Made::new();
    let contents = made.on_layout("one");
    let token = Depot::start();
    token.wants_token(Some("Basic of somebody else"));
    let basic = Depot::start();
    basic.wants_basic("Basic of somebody else");
    let forbidden = Depot::start();
    forbidden.wants_token(Some(SENT));
    forbidden.fail("POST", "/uploads/", &[Fault::status(403)]);
    let unreadable = Depot::start();
    unreadable.wants_token(None);
    let none = r#"{"access_token": "hunter2 with a blank"}"#;
    unreadable.fail("GET", "/token", &[Fault::Says(200, Vec::new(), none)]);
    for (depot, words) in [
        (token, "does not let this login push"),
        (basic, "does not let this login push"),
        (forbidden, "does not let this login push"),
        (unreadable, "returned no usable token"),
    ] {
        let to = format!("{}/{REPOSITORY}:1", depot.host());
        let error = pushed_as(&contents, &to, &password()).expect_err("a refusal");
        assert!(error.to_string().contains(words), "{error}");
        for secret in ["hunter2", "bWU6aHVudGVyMg", "a-token-nobody-may-see"] {
            assert!(!format!("{error} {error:?}").contains(secret), "{error:?}");
        }
        assert_eq!(depot.manifests(REPOSITORY), Vec::<String>::new());
    }
}

#[test]
fn no_token_goes_to_another_host() {
    let elsewhere = Depot::start();
    let depot = Depot::with(Nature { elsewhere: Some(format!("http://{}", elsewhere.host())), ..NATURE });
    depot.wants_token(None);
    let made = Made::new();
    // It began no such upload, and drops it.
    let error = pushed(&made.on_layout("one"), &depot).expect_err("another host");
    let asked = elsewhere.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|asked| asked.authorization.is_none()),
        "{asked:?}, {error}"
    );
}

#[test]
fn the_registrys_reason_is_reported() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    let body = r#"{"errors":[{"code":"DIGEST_INVALID","message":"provided digest\u001b[2J did not match"}]}"#;
    depot.fail("PUT", "/uploads/", &[Fault::Says(400, Vec::new(), body)]);
    let error = pushed(&contents, &depot).expect_err("a refusal").to_string();
    assert!(error.contains("HTTP 400 to the blob sha256:") && error.contains("DIGEST_INVALID"), "{error}");
    assert!(!error.contains('\u{1b}'), "{error:?}");
    depot.fail("POST", "/uploads/", &[Fault::Says(404, Vec::new(), "")]);
    let error = pushed(&contents, &depot).expect_err("a refusal").to_string();
    assert!(error.contains("no such repository"), "{error}");
}

#[test]
fn a_registry_that_stores_something_else_is_not_believed() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    let other = vec![("Docker-Content-Digest", Sha256::of("another").oci())];
    depot.fail("PUT", "/manifests/1", &[Fault::Says(201, other, "")]);
    let error = pushed(&contents, &depot).expect_err("another digest").to_string();
    assert!(error.contains("under another digest"), "{error}");
}

fn listed(index: &[u8]) -> Vec<String> {
    let index: Value = serde_json::from_slice(index).expect("JSON");
    let entries = index["manifests"].as_array().expect("a list");
    entries.iter().map(|entry| entry["digest"].as_str().expect("a digest").to_owned()).collect()
}

#[test]
fn the_sbom_refers_to_the_index() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    pushed(&contents, &depot).expect("a push");
    let referrer = contents.referrer[2].descriptor.digest().to_string();
    assert!(depot.manifest(REPOSITORY, &referrer).is_some());
    // The registry lists it itself.
    let tag = contents.index.digest().to_string().replace(':', "-");
    assert_eq!(depot.manifest(REPOSITORY, &tag), None);
}

#[test]
fn a_registry_without_a_list_of_referrers_gets_one_under_a_tag() {
    let depot = Depot::with(Nature { referrers: false, ..NATURE });
    let made = Made::new();
    let contents = made.on_layout("one");
    let tag = contents.index.digest().to_string().replace(':', "-");
    // Another signer has signed it before.
    let other = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [named(&descriptor("application/vnd.oci.image.manifest.v1+json", b"a signature"))],
        "annotations": {"org.example.team": "of somebody else"},
    });
    depot.put_manifest(
        REPOSITORY,
        &tag,
        "application/vnd.oci.image.index.v1+json",
        other.to_string().as_bytes(),
    );
    pushed(&contents, &depot).expect("a push");
    let referrer = contents.referrer[2].descriptor.digest().to_string();
    let index = depot.manifest(REPOSITORY, &tag).expect("a list");
    assert_eq!(listed(&index), [Sha256::of("a signature").oci(), referrer]);
    let list: Value = serde_json::from_slice(&index).expect("JSON");
    assert_eq!(list["annotations"], other["annotations"]);
    pushed(&contents, &depot).expect("another push");
    assert_eq!(depot.manifest(REPOSITORY, &tag), Some(index));
}

#[test]
fn a_tag_that_is_something_else_is_left_alone() {
    let depot = Depot::with(Nature { referrers: false, ..NATURE });
    let made = Made::new();
    let contents = made.on_layout("one");
    let tag = contents.index.digest().to_string().replace(':', "-");
    let manifest = &contents.blobs[3];
    let BlobSource::Bytes(bytes) = &manifest.from else { panic!("a document") };
    depot.put_manifest(REPOSITORY, &tag, manifest.descriptor.media_type().as_ref(), bytes);
    let done = pushed(&contents, &depot).expect("the image");
    let why = done.without_sbom.expect("instead of a referrers list");
    assert!(why.contains("instead of a referrers list"), "{why}");
    assert_eq!(depot.manifest(REPOSITORY, &tag).as_ref(), Some(bytes));
}

#[test]
fn an_upload_goes_where_the_registry_sends_it() {
    let elsewhere = |path: &str| vec![("Location", path.to_owned())];
    for (method, status) in [("POST", 307), ("POST", 308), ("PUT", 307)] {
        let (depot, made) = (Depot::start(), Made::new());
        let contents = made.on_layout("one");
        // Absolute or relative: the upload begins, or ends, in another repository than it was asked for.
        let to = match method {
            "POST" => format!("/v2/{REPOSITORY}/blobs/uploads/"),
            _ => format!(
                "http://{}/v2/{REPOSITORY}/blobs/uploads/1?_state=a%2Fb&digest={}",
                depot.host(),
                made.layer.digest()
            ),
        };
        depot.fail(method, "/blobs/uploads/", &[Fault::Says(status, elsewhere(&to), "")]);
        pushed(&contents, &depot).unwrap_or_else(|error| panic!("{method} {status}: {error}"));
        is_whole(&depot, &contents);
    }
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    let to = format!("/v2/{REPOSITORY}/blobs/uploads/again");
    depot.fail("PUT", "/blobs/uploads/", &vec![Fault::Says(307, elsewhere(&to), ""); 99]);
    let error = pushed(&contents, &depot).expect_err("a loop").to_string();
    assert!(error.contains("endlessly"), "{error}");
    assert_eq!(uploads(&told(&depot)), 6);
}

#[test]
fn progress_counts_every_byte() {
    let (depot, made) = (Depot::start(), Made::new());
    let contents = made.on_layout("one");
    let image = format!("{}/{REPOSITORY}:1", depot.host()).parse().expect("a reference");
    let seen = std::rc::Rc::new(std::cell::RefCell::new(BTreeMap::<String, u64>::new()));
    let target = PushTarget { image: &image, credentials: &Credentials::Anonymous, client: &client() };
    let watch = |descriptor: &Descriptor| -> Box<dyn FnMut(u64)> {
        let (seen, digest) = (std::rc::Rc::clone(&seen), descriptor.digest().to_string());
        Box::new(move |bytes| *seen.borrow_mut().entry(digest.clone()).or_default() += bytes)
    };
    push(&contents, &target, &watch).expect("a push");
    let layers = contents.blobs.iter().take(3).chain(&contents.referrer[..2]);
    let sizes = layers.map(|blob| (blob.descriptor.digest().to_string(), blob.descriptor.size()));
    assert_eq!(*seen.borrow(), sizes.collect());
}

/// Content that turns out to be wrong at its end, after it gave the other side time to get all of it.
struct Wrong {
    left: usize,
    arrived: std::sync::Arc<(std::sync::Mutex<usize>, std::sync::Condvar)>,
    all: usize,
}

impl std::io::Read for Wrong {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.left.min(buffer.len());
        self.left -= count;
        buffer[..count].fill(b'x');
        if count > 0 || buffer.is_empty() {
            return Ok(count);
        }
        let (arrived, more) = &*self.arrived;
        let arrived = arrived.lock().expect("no panic while it is held");
        let missing = |arrived: &mut usize| *arrived < self.all;
        drop(more.wait_timeout_while(arrived, Duration::from_secs(2), missing).expect("no panic"));
        Err(std::io::Error::other("wrong bytes"))
    }
}

#[test]
fn the_last_bytes_wait_for_the_end_of_their_source() {
    use std::io::{BufRead, BufReader, Read};
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    // Whole pieces: the end of the source comes after the last of them, and not with it.
    let all = 512 << 10;
    let arrived = std::sync::Arc::new((std::sync::Mutex::new(0), std::sync::Condvar::new()));
    let counted = std::sync::Arc::clone(&arrived);
    let server = std::thread::spawn(move || {
        let mut reader = BufReader::new(listener.accept().expect("a connection").0);
        let mut line = String::new();
        while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
            line.clear();
        }
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = reader.read(&mut buffer) {
            *counted.0.lock().expect("no panic while it is held") += count;
            counted.1.notify_all();
        }
    });
    let mut content = Wrong { left: all, arrived: std::sync::Arc::clone(&arrived), all };
    let request = Request::stream(url.parse().expect("a URL"), &mut content, all as u64);
    let error = client().send(request).expect_err("wrong bytes");
    assert!(matches!(error, SendError::Content(_)), "{error}");
    server.join().expect("an end");
    assert!(*arrived.0.lock().expect("no panic while it is held") < all);
}
