//! Registries that fail, and images that lie.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::support::images::{Packed, Parts, Tar, gzipped, image, index, plain, zstandard};
use crate::support::registry::{Registry, Reply};
use crate::support::test;
use bake::digest::Sha256;
use bake::http::{Client, RetryPolicy};
use bake::oci::{FoundFile, OciError, files_under};
use bake::project::values::{Arch, ImageRef};
use bake::registry::{self, Credentials, ImageSource};
use serde_json::{Value, json};
use tar::EntryType;

const BIN: &str = "usr/local/bin";

fn client() -> Client {
    let (first_pause, longest_pause) = (Duration::from_millis(1), Duration::from_millis(2));
    Client::new(RetryPolicy { first_pause, longest_pause, ..RetryPolicy::default() })
}

fn reference(text: &str) -> ImageRef {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn password() -> Credentials {
    Credentials::Password { user: "me".to_owned(), password: "secret".to_owned() }
}

/// `me:secret`, as it goes over the wire.
const BASIC: &str = "Basic bWU6c2VjcmV0";

fn resolve(at: &Registry, credentials: &Credentials) -> Result<registry::ResolvedImage, OciError> {
    registry::resolve(&client(), &reference(&at.reference()), credentials)
}

/// The folder's files, by name; of each what it is, and the content that the test knows for it.
fn found(source: &ImageSource, arch: Arch) -> Result<BTreeMap<String, FoundFile>, OciError> {
    let images = source.open(&client(), &Credentials::Anonymous)?;
    files_under(&*images, &images.image(arch)?, BIN)
}

fn in_registry(at: &Registry) -> Result<BTreeMap<String, FoundFile>, OciError> {
    found(&ImageSource::Registry(reference(&at.reference())), Arch::Amd64)
}

fn in_layout(parts: &Parts) -> Result<BTreeMap<String, FoundFile>, OciError> {
    let folder = tempfile::tempdir().expect("a folder");
    parts.layout(folder.path(), "1");
    found(&ImageSource::Layout(folder.path().to_owned()), Arch::Amd64)
}

fn in_layers(layers: &[Packed]) -> Result<BTreeMap<String, FoundFile>, OciError> {
    in_layout(&image("amd64", layers))
}

#[track_caller]
fn refused(layers: &[Packed], why: &str) {
    let error = in_layers(layers).expect_err(why).to_string();
    assert!(error.contains(why), "{error}");
}

/// Compares the result with the expected contents by name.
#[track_caller]
fn holds(found: &BTreeMap<String, FoundFile>, expected: &[(&str, &str)]) {
    let found: Vec<_> = found
        .iter()
        .map(|(name, found)| match found {
            FoundFile::File { sha256, size, .. } => (name.as_str(), format!("{sha256} {size}")),
            FoundFile::Link { target } => (name.as_str(), format!("-> {target}")),
            other => (name.as_str(), format!("{other:?}")),
        })
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(name, content)| {
            let is_content = !content.starts_with("-> ") && !matches!(*content, "Directory" | "Other");
            let file = || format!("{} {}", Sha256::of(content), content.len());
            (*name, if is_content { file() } else { (*content).to_owned() })
        })
        .collect();
    assert_eq!(found, expected);
}

fn gog(content: &str) -> Tar {
    Tar::new().file("usr/local/bin/gog", content)
}

fn one_image() -> Parts {
    image("amd64", &[gzipped(gog("first"))])
}

#[test]
fn a_token_is_fetched_for_the_repository_and_sent_with_every_request() {
    let parts = one_image();
    let at = Registry::with(&parts);
    at.wants_token(None);
    assert_eq!(resolve(&at, &Credentials::Anonymous).expect("an image").digest, parts.digest());
    let asked = at.asked();
    let mut without = asked.iter().filter(|asked| asked.authorization.is_none());
    // The challenge, and the request for a token; then the manifest once more, and its config.
    assert!(without.next().is_some_and(|asked| asked.path.contains("/manifests/")), "{asked:?}");
    assert!(without.all(|asked| asked.path.starts_with("/token")), "{asked:?}");
    assert_eq!(
        asked.last().expect("a request").authorization.as_deref(),
        Some("Bearer a-token-nobody-may-see")
    );
    assert_eq!(asked.iter().filter(|asked| asked.path.starts_with("/token")).count(), 1);
    holds(&in_registry(&at).expect("files"), &[("gog", "first")]);
}

#[test]
fn a_realm_that_wants_a_password_gets_it_and_the_registry_only_the_token() {
    let at = Registry::with(&one_image());
    at.wants_token(Some(BASIC));
    resolve(&at, &password()).expect("an image");
    for asked in at.asked() {
        let gets_password = asked.authorization.as_deref() == Some(BASIC);
        assert_eq!(gets_password, asked.path.starts_with("/token"), "{asked:?}");
    }

    let error = resolve(&at, &Credentials::Anonymous).expect_err("no password");
    assert!(matches!(&error, OciError::Denied { who: "anonymous users", .. }), "{error:?}");
    let other = Credentials::Password { user: "me".to_owned(), password: "guessed".to_owned() };
    let error = resolve(&at, &other).expect_err("another password").to_string();
    assert!(error.contains("this login") && error.contains("docker login 127.0.0.1:"), "{error}");
    assert!(!error.contains("guessed"), "{error}");
    assert!(!format!("{other:?}").contains("guessed"));
    // A refusal is final.
    assert_eq!(at.asked().iter().filter(|asked| asked.path.starts_with("/token")).count(), 2);
}

#[test]
fn name_and_password_are_enough_where_the_registry_says_so() {
    let at = Registry::with(&one_image());
    at.wants_basic(BASIC);
    resolve(&at, &password()).expect("an image");
    let error = resolve(&at, &Credentials::Anonymous).expect_err("no password");
    assert!(matches!(error, OciError::Denied { .. }), "{error:?}");
}

#[test]
fn only_temporary_failures_are_retried() {
    let parts = one_image();
    let tag = "/v2/image/manifests/1";
    let tries = |at: &Registry| at.asked().iter().filter(|asked| asked.path == tag).count();
    for (first, count) in
        [(vec![Reply::status(429).header("Retry-After", "1")], 2), (vec![Reply::status(500); 3], 4)]
    {
        let at = Registry::with(&parts);
        at.first(tag, &first);
        assert_eq!(resolve(&at, &Credentials::Anonymous).expect("an image").digest, parts.digest());
        assert_eq!(tries(&at), count);
    }
    for status in [403, 404] {
        let at = Registry::with(&parts);
        at.first(tag, &[Reply::status(status)]);
        let error = resolve(&at, &Credentials::Anonymous).expect_err("no image");
        match status {
            403 => assert!(matches!(&error, OciError::Denied { .. }), "{error:?}"),
            _ => assert!(error.to_string().contains("no such tag `1`"), "{error}"),
        }
        assert_eq!(tries(&at), 1);
    }
}

#[test]
fn a_registry_that_stays_down_is_named_at_the_end() {
    let at = Registry::with(&one_image());
    at.reply("/v2/image/manifests/1", &[Reply::status(503)]);
    let error = resolve(&at, &Credentials::Anonymous).expect_err("no image").to_string();
    assert!(error.contains(&at.reference()) && error.contains("5 tries (HTTP 503)"), "{error}");
}

#[test]
fn an_unreachable_registry_is_reported() {
    let gone = Registry::with(&one_image()).reference();
    let error = registry::resolve(&client(), &reference(&gone), &Credentials::Anonymous).expect_err("nobody");
    assert!(matches!(&error, OciError::Unreachable { why, .. } if why.contains("refused")), "{error:?}");
    // No name server knows it (RFC 6761), and it would be spoken to in TLS.
    let error = registry::resolve(&client(), &reference("registry.invalid/image:1"), &Credentials::Anonymous);
    assert!(matches!(&error, Err(OciError::Unreachable { .. })), "{error:?}");
}

#[test]
fn a_manifest_with_other_bytes_than_its_digest_is_refused() {
    let (parts, other) = (one_image(), image("amd64", &[gzipped(gog("other"))]));
    let bytes = other.blobs[&other.digest()].clone();
    let at = Registry::with(&parts);
    // The header promises one, the body is the other.
    let lie = Reply::of(bytes.clone()).header("Docker-Content-Digest", parts.digest().oci());
    at.reply("/v2/image/manifests/1", &[lie]);
    let error = resolve(&at, &Credentials::Anonymous).expect_err("a lie").to_string();
    assert!(error.contains(&parts.digest().oci()) && error.contains(&other.digest().oci()), "{error}");

    // The reference promises one, and header and body agree on the other.
    let path = format!("/v2/image/manifests/{}", parts.digest().oci());
    at.reply(&path, &[Reply::of(bytes).header("Docker-Content-Digest", other.digest().oci())]);
    let pinned = reference(&at.reference()).pinned(parts.digest());
    let error =
        registry::resolve(&client(), &reference(&pinned), &Credentials::Anonymous).expect_err("another");
    assert!(matches!(&error, OciError::Mismatch { .. }), "{error:?}");
}

#[test]
fn other_content_is_distinguished_from_an_image() {
    let chart = json!({"schemaVersion": 2, "layers": [], "config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": Sha256::of("").oci(), "size": 0}});
    let both = json!({"schemaVersion": 2, "manifests": [], "layers": []});
    for (body, why) in [
        (chart.to_string(), "helm"),
        (both.to_string(), "both an index and a manifest"),
        (json!({"schemaVersion": 1}).to_string(), "version 1"),
        (json!({"schemaVersion": 2, "mediaType": "text/odd"}).to_string(), "text/odd"),
        (json!({"schemaVersion": 2, "manifests": []}).to_string(), "none for a supported platform"),
        ("<html>".to_owned(), "expected value"),
        ("[".repeat(100_000), "not an image"),
    ] {
        let at = Registry::with(&one_image());
        at.reply("/v2/image/manifests/1", &[Reply::of(body)]);
        let error = resolve(&at, &Credentials::Anonymous).expect_err(why);
        assert!(matches!(&error, OciError::NotAnImage { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// Enough that it comes in several pieces, and compresses badly.
fn long_image(length: usize) -> (Parts, String) {
    let mut content = String::new();
    while content.len() < length {
        content += &Sha256::of(content.len().to_string()).to_string();
    }
    (image("amd64", &[plain(gog(&content))]), content)
}

fn long_blob(parts: &Parts) -> (String, Vec<u8>) {
    let (digest, bytes) = parts.blobs.iter().max_by_key(|(_, bytes)| bytes.len()).expect("a blob");
    (format!("/v2/image/blobs/{}", digest.oci()), bytes.clone())
}

#[test]
fn a_layer_that_breaks_off_is_taken_up_where_it_broke() {
    let (parts, content) = long_image(3 << 20);
    let (path, bytes) = long_blob(&parts);
    for ignores_ranges in [false, true] {
        let at = Registry::with(&parts);
        if ignores_ranges {
            at.ignores_ranges();
        }
        at.first(&path, &[Reply::of(bytes.clone()).cut_at(2 << 20)]);
        holds(&in_registry(&at).expect("files"), &[("gog", &content)]);
        let ranges: Vec<_> =
            at.asked().into_iter().filter(|asked| asked.path == path).map(|asked| asked.range).collect();
        assert_eq!(ranges.len(), 2, "{ranges:?}");
        assert_ne!(ranges[1].as_deref(), Some("bytes=0-"));
    }
}

/// More often than patience lasts where nothing comes.
#[test]
fn a_layer_that_breaks_off_after_every_mebibyte_arrives() {
    const STEP: usize = 9 << 17;
    let (parts, content) = long_image(7 * STEP);
    let (path, bytes) = long_blob(&parts);
    let at = Registry::with(&parts);
    let cuts: Vec<_> = (1..=6).map(|cut| Reply::of(bytes.clone()).cut_at(cut * STEP)).collect();
    at.first(&path, &cuts);
    holds(&in_registry(&at).expect("files"), &[("gog", &content)]);
    assert_eq!(at.asked().iter().filter(|asked| asked.path == path).count(), 7);
}

#[test]
fn a_layer_that_breaks_off_at_one_place_for_ever_is_given_up() {
    let (parts, _) = long_image(3 << 20);
    let (path, bytes) = long_blob(&parts);
    let at = Registry::with(&parts);
    at.reply(&path, &[Reply::of(bytes).cut_at(2 << 20)]);
    let error = in_registry(&at).expect_err("half a layer");
    assert!(matches!(&error, OciError::Failing { .. }), "{error:?}");
    assert_eq!(at.asked().iter().filter(|asked| asked.path == path).count(), 5);
}

#[test]
fn a_layer_with_a_flipped_bit_is_refused() {
    let (parts, _) = long_image(3 << 20);
    let (path, mut bytes) = long_blob(&parts);
    for at in [1000, bytes.len() - 1] {
        bytes[at] ^= 1;
        let registry = Registry::with(&parts);
        for ignores_ranges in [false, true] {
            if ignores_ranges {
                registry.ignores_ranges();
            }
            registry.reply(&path, &[Reply::of(bytes.clone())]);
            let error = in_registry(&registry).expect_err("another layer");
            assert!(matches!(&error, OciError::Mismatch { .. }), "{error:?}");
        }
        bytes[at] ^= 1;
    }
}

#[test]
fn a_layer_that_is_too_short_or_too_long_is_refused() {
    let (parts, _) = long_image(3 << 20);
    let (path, bytes) = long_blob(&parts);
    let longer = [bytes.as_slice(), b"more"].concat();
    for body in [bytes[..bytes.len() / 2].to_vec(), longer] {
        let at = Registry::with(&parts);
        at.reply(&path, &[Reply::of(body)]);
        let error = in_registry(&at).expect_err("another length").to_string();
        assert!(error.contains("bytes long"), "{error}");
    }
    let at = Registry::with(&parts);
    at.reply(&path, &[Reply::status(404)]);
    let error = in_registry(&at).expect_err("no layer").to_string();
    assert!(error.contains("no such blob sha256:"), "{error}");
}

fn platform(arch: &str, variant: Option<&str>) -> Value {
    json!({"os": "linux", "architecture": arch, "variant": variant})
}

/// amd64 and arm64, with another system and a newer amd64 first, an attestation, and one that does not say what it is for.
fn many() -> Parts {
    let of = |arch, content| image(arch, &[gzipped(gog(content))]);
    let attestation = json!({"os": "unknown", "architecture": "unknown"});
    index(vec![
        (json!({"os": "windows", "architecture": "arm64"}), of("arm64", "windows")),
        (platform("amd64", Some("v3")), of("amd64", "newer")),
        (platform("amd64", None), of("amd64", "amd")),
        (platform("amd64", None), of("amd64", "amd, but second")),
        (attestation, of("unknown", "attestation")),
        (Value::Null, of("arm64", "arm")),
    ])
}

#[test]
fn each_architecture_has_its_image_also_in_nested_indexes() {
    for parts in [many(), index(vec![(Value::Null, many())])] {
        let folder = tempfile::tempdir().expect("a folder");
        parts.layout(folder.path(), "1");
        let layout = ImageSource::Layout(folder.path().to_owned());
        holds(&found(&layout, Arch::Amd64).expect("amd64"), &[("gog", "amd")]);
        holds(&found(&layout, Arch::Arm64).expect("arm64"), &[("gog", "arm")]);
        let at = Registry::with(&parts);
        holds(&in_registry(&at).expect("files"), &[("gog", "amd")]);
        let resolved = resolve(&at, &Credentials::Anonymous).expect("an index");
        assert_eq!(resolved.digest, parts.digest());
        let arm = image("arm64", &[gzipped(gog("arm"))]).digest();
        let amd = image("amd64", &[gzipped(gog("amd"))]).digest();
        assert_eq!(resolved.platforms, BTreeMap::from([(Arch::Amd64, amd), (Arch::Arm64, arm)]));
    }
}

#[test]
fn a_missing_architecture_is_reported_with_the_available_ones() {
    let folder = tempfile::tempdir().expect("a folder");
    index(vec![(platform("amd64", None), one_image())]).layout(folder.path(), "1");
    let error = found(&ImageSource::Layout(folder.path().to_owned()), Arch::Arm64).expect_err("no arm64");
    assert!(error.to_string().ends_with("no build for linux/arm64; there is linux/amd64"), "{error}");
    // The index says so, and the config does not.
    let lying = index(vec![(platform("amd64", None), image("arm64", &[gzipped(gog("arm"))]))]);
    assert!(matches!(in_layout(&lying), Err(OciError::NoBuild { .. })));
}

#[test]
fn two_images_in_one_layout_are_not_chosen_from() {
    let (first, second) = (one_image(), image("amd64", &[gzipped(gog("second"))]));
    let mut both = first.clone();
    both.blobs.extend(second.blobs.clone());
    let folder = tempfile::tempdir().expect("a folder");
    both.layout_of(folder.path(), &[first.root.clone(), second.root.clone()]);
    let error =
        found(&ImageSource::Layout(folder.path().to_owned()), Arch::Amd64).expect_err("two").to_string();
    assert!(error.contains(&first.digest().oci()) && error.contains(&second.digest().oci()), "{error}");
    // The same one under two names is one.
    both.layout_of(folder.path(), &[first.root.clone(), first.root]);
    assert!(found(&ImageSource::Layout(folder.path().to_owned()), Arch::Amd64).is_ok());
}

#[test]
fn every_blob_of_a_layout_is_verified() {
    let parts = one_image();
    for (digest, bytes) in &parts.blobs {
        let mut broken = parts.clone();
        let mut bytes = bytes.clone();
        let last = bytes.len() - 1;
        // Still JSON, where it was.
        bytes[last] = if bytes[last] == b'}' { b' ' } else { bytes[last] ^ 1 };
        broken.blobs.insert(*digest, bytes);
        let error = in_layout(&broken).expect_err("another blob");
        assert!(matches!(&error, OciError::Mismatch { .. }), "{error:?}");

        broken.blobs.remove(digest);
        let error = in_layout(&broken).expect_err("no blob");
        assert!(matches!(&error, OciError::Incomplete { .. }), "{error:?}");
    }
    // The stored layer is right, and is not what the config says it is.
    let mut layer = gzipped(gog("first"));
    layer.diff_id = Sha256::of("something else");
    let error = in_layers(&[layer]).expect_err("another layer").to_string();
    assert!(error.contains("the uncompressed layer has the digest"), "{error}");
}

#[test]
fn documents_have_an_end() {
    let mut long = one_image();
    let (digest, config) =
        long.blobs.iter().find(|(_, bytes)| bytes.starts_with(b"{\"arch")).expect("a config");
    let (digest, mut config) = (*digest, config.clone());
    config.resize(5 << 20, b' ');
    let manifest = String::from_utf8(long.blobs[&long.digest()].clone()).expect("JSON");
    let mut manifest: Value = serde_json::from_str(&manifest).expect("JSON");
    manifest["config"]["digest"] = Sha256::of(&config).oci().into();
    manifest["config"]["size"] = config.len().into();
    let manifest = manifest.to_string().into_bytes();
    long.root["digest"] = Sha256::of(&manifest).oci().into();
    long.root["size"] = manifest.len().into();
    long.blobs.remove(&digest);
    long.blobs.insert(Sha256::of(&config), config);
    long.blobs.insert(Sha256::of(&manifest), manifest);
    let error = in_layout(&long).expect_err("too long").to_string();
    assert!(error.contains("is longer than 4 MiB"), "{error}");

    let folder = tempfile::tempdir().expect("a folder");
    one_image().layout(folder.path(), "1");
    fs::write(folder.path().join("index.json"), " ".repeat(5 << 20)).expect("a file");
    let error = found(&ImageSource::Layout(folder.path().to_owned()), Arch::Amd64).expect_err("too long");
    assert!(error.to_string().contains("`index.json` is longer than 4 MiB"), "{error}");
}

#[test]
fn layers_are_read_however_they_are_compressed() {
    let layers = [
        plain(gog("1")),
        gzipped(Tar::new().file("usr/local/bin/b", "2")),
        zstandard(Tar::new().file("usr/local/bin/c", "3")),
    ];
    holds(&in_layers(&layers).expect("files"), &[("b", "2"), ("c", "3"), ("gog", "1")]);
}

#[test]
fn later_layers_replace_and_hide() {
    let base = || {
        gzipped(
            Tar::new()
                .folder("usr/")
                .folder("usr/local/")
                .folder("usr/local/bin/")
                .file("usr/local/bin/gog", "first")
                .file("usr/local/bin/other", "other"),
        )
    };
    let over = |tar| in_layers(&[base(), gzipped(tar)]).expect("files");
    holds(&over(gog("second")), &[("gog", "second"), ("other", "other")]);
    holds(&over(Tar::new().file("usr/local/bin/.wh.gog", "")), &[("other", "other")]);
    holds(&over(Tar::new().file("usr/local/bin/.wh..wh..opq", "")), &[]);
    holds(&over(Tar::new().file("usr/.wh.local", "")), &[]);
    holds(&over(Tar::new().file(".wh..wh..opq", "")), &[]);
    holds(&over(Tar::new().file(".wh..wh.plnk", "")), &[("gog", "first"), ("other", "other")]);
    // A name that only begins like a folder that is hidden.
    holds(
        &over(Tar::new().file("usr/.wh.loca", "").file("usr/local/.wh.bi", "")),
        &[("gog", "first"), ("other", "other")],
    );
    // A whiteout hides files of lower layers, not of its own layer, in any order.
    holds(&over(gog("new").file("usr/local/bin/.wh.gog", "")), &[("gog", "new"), ("other", "other")]);
    holds(&over(gog("new").file("usr/local/bin/.wh..wh..opq", "")), &[("gog", "new")]);
    holds(&over(gog("new").file("usr/.wh.local", "")), &[("gog", "new")]);
    holds(&over(Tar::new().file("usr/.wh.local", "").file("usr/local/bin/gog", "new")), &[("gog", "new")]);
    // A folder again is the same folder, anything else takes its place.
    holds(&over(Tar::new().folder("usr/local/bin")), &[("gog", "first"), ("other", "other")]);
    holds(&over(Tar::new().file("usr/local/bin", "a file")), &[]);
    holds(
        &over(Tar::new().folder("opt/bin").file("opt/bin/gog", "opt").symlink("usr/local/bin", "/opt/bin")),
        &[("gog", "opt")],
    );
    holds(&over(Tar::new().symlink("usr/local", "../nowhere")), &[]);
    // And back again.
    let back = [
        base(),
        gzipped(Tar::new().symlink("usr/local", "/opt")),
        gzipped(Tar::new().folder("usr/local/").folder("usr/local/bin/")),
    ];
    holds(&in_layers(&back).expect("files"), &[]);
    // The last of a name, in one layer.
    holds(
        &in_layers(&[plain(gog("first").file("./usr//local/bin/gog", "last"))]).expect("files"),
        &[("gog", "last")],
    );
    holds(
        &in_layers(&[plain(Tar::new().file("/usr/local/bin/gog", "absolute"))]).expect("files"),
        &[("gog", "absolute")],
    );
}

#[test]
fn links_lead_where_the_kernel_follows_them() {
    let base = Tar::new()
        .symlink("bin", "usr/bin")
        .folder("usr/bin")
        .file("usr/bin/sh", "shell")
        .folder("opt/x")
        .file("opt/x/gog", "in opt")
        .folder("usr/local/bin")
        .symlink("usr/local/bin/absolute", "/opt/x/gog")
        .symlink("usr/local/bin/relative", "../../../opt/./x//gog")
        .symlink("usr/local/bin/merged", "/bin/sh")
        .symlink("usr/local/bin/outside", "../../../../../../../../opt/x/gog")
        .symlink("usr/local/bin/chain", "absolute")
        .symlink("usr/local/bin/folder", "/opt/x")
        .symlink("usr/local/bin/nowhere", "/nowhere")
        .symlink("usr/local/bin/through-a-file", "/opt/x/gog/..")
        .symlink("usr/local/bin/slash", "/opt/x/gog/")
        .symlink("usr/local/bin/self", "self")
        .symlink("usr/local/bin/ping", "pong")
        .symlink("usr/local/bin/pong", "ping")
        .symlink("usr/local/bin/empty", "")
        .hard_link("usr/local/bin/hard", "opt/x/gog")
        .hard_link("usr/local/bin/hard-symlink", "/bin")
        .entry(EntryType::Fifo, "usr/local/bin/pipe", "", b"");
    let expected = [
        ("absolute", "in opt"),
        ("chain", "in opt"),
        ("empty", "-> "),
        ("folder", "Directory"),
        ("hard", "in opt"),
        ("hard-symlink", "-> usr/bin"),
        ("merged", "shell"),
        ("nowhere", "-> /nowhere"),
        ("outside", "in opt"),
        ("ping", "-> pong"),
        ("pipe", "Other"),
        ("pong", "-> ping"),
        ("relative", "in opt"),
        ("self", "-> self"),
        ("slash", "-> /opt/x/gog/"),
        ("through-a-file", "-> /opt/x/gog/.."),
    ];
    holds(&in_layers(&[gzipped(base.clone())]).expect("files"), &expected);
    // A hard link keeps what it was made for; a symbolic link sees what is there now.
    let later = gzipped(Tar::new().file("opt/x/gog", "changed").hard_link("usr/local/bin/late", "opt/x/gog"));
    let changed = expected.map(|(name, what)| match (name, what) {
        ("hard", _) => (name, what),
        (_, "in opt") => (name, "changed"),
        _ => (name, what),
    });
    let mut changed = changed.to_vec();
    changed.push(("late", "changed"));
    changed.sort_unstable();
    holds(&in_layers(&[gzipped(base.clone()), later]).expect("files"), &changed);
    // Forty links on a way are followed, one more is not.
    let chain = |length: usize| {
        let tar = (1..length).fold(gog("end"), |tar, at| {
            let target = if at == 1 { "gog".to_owned() } else { format!("l{}", at - 1) };
            tar.symlink(&format!("usr/local/bin/l{at}"), &target)
        });
        in_layers(&[gzipped(tar)]).expect("files")
    };
    assert!(matches!(chain(41)["l40"], FoundFile::File { .. }));
    assert!(matches!(chain(42)["l41"], FoundFile::Link { .. }));
}

#[test]
fn owner_mode_and_layer_are_reported() {
    let mut header = tar::Header::new_ustar();
    header.set_path("usr/local/bin/gog").expect("a short path");
    header.set_mode(0o104_751);
    header.set_uid(1000);
    header.set_gid(1001);
    header.set_size(0);
    header.set_cksum();
    let layer = plain(Tar::new().raw(header.as_bytes()));
    let found = in_layers(&[plain(Tar::new().folder("usr")), layer]).expect("files");
    let expected = FoundFile::File {
        sha256: Sha256::of(""),
        size: 0,
        mode: 0o4751,
        uid: 1000,
        gid: 1001,
        attributes: None,
        layer: 1,
    };
    assert_eq!(found["gog"], expected);
}

#[test]
fn entries_that_programs_read_differently_are_refused() {
    let refuses = |tar, why| refused(&[gzipped(tar)], why);
    for path in ["../gog", "usr/../gog", "usr/local/bin/.."] {
        refuses(Tar::new().file(path, ""), "an invalid path");
    }
    refuses(Tar::new().hard_link("gog", "../../etc/shadow"), "an invalid path");
    refuses(Tar::new().hard_link("gog", "nowhere"), "a hard link to `nowhere`, which is not a file");
    refuses(Tar::new().folder("x").hard_link("gog", "x"), "a hard link to `x`, which is not a file");
    refuses(
        Tar::new().symlink("usr/local/bin", "/etc").file("usr/local/bin/gog", ""),
        "is below `usr/local/bin`",
    );
    refuses(Tar::new().file("usr/local/bin", "").file("usr/local/bin/gog", ""), "is below `usr/local/bin`");
    refuses(Tar::new().file("usr/.wh..", ""), "not a valid whiteout");
    refuses(Tar::new().file("usr/.wh.", ""), "not a valid whiteout");
    refuses(Tar::new().file("/", ""), "unknown type");
    refuses(Tar::new().symlink("/", "x"), "its root is not a directory");
    refuses(Tar::new().file("gog/", "content"), "is not a file, but has content");
    refuses(Tar::new().entry(EntryType::Link, "gog", "x", &[0; 512]), "is not a file, but has content");
    refuses(Tar::new().entry(EntryType::Continuous, "gog", "", b""), "unknown type");
    refuses(Tar::new().pax(&[("path", "a"), ("path", "b")]).file("gog", ""), "`path` twice");
    refuses(Tar::new().pax(&[("size", "many")]).file("gog", ""), "`size` without a number");
    refuses(Tar::new().pax(&[("GNU.sparse.major", "1")]).file("gog", ""), "runtimes interpret differently");
    refuses(
        Tar::new().pax(&[("SCHILY.xattr.trusted.overlay.opaque", "y")]).folder("usr"),
        "runtimes interpret differently",
    );
    let long = "x/".repeat(3000);
    refuses(Tar::new().pax(&[("path", &long)]).file("gog", ""), "longer than 4096 bytes");
    refuses(Tar::new().pax(&[("path", &"x".repeat(256))]).file("gog", ""), "an invalid path");
    refuses(Tar::new().pax(&[("comment", &"x".repeat(2 << 20))]).file("gog", ""), "1 MiB of names");
    // Truncated in a file, with digests that match.
    let mut cut = gog(&"x".repeat(2048)).bytes();
    cut.truncate(1000);
    let layer = Packed { diff_id: Sha256::of(&cut), stored: cut, media_type: plain(Tar::new()).media_type };
    refused(&[layer], "it is cut off in `usr/local/bin/gog`");
    // Encrypted, as its media type says.
    let mut layer = plain(gog(""));
    layer.media_type = "application/vnd.oci.image.layer.v1.tar+gzip+encrypted";
    refused(&[layer], "encrypted");
}

#[test]
fn a_way_through_a_link_of_a_lower_layer_is_refused() {
    let base = gzipped(Tar::new().folder("usr/bin").symlink("bin", "usr/bin"));
    refused(&[base.clone(), gzipped(Tar::new().file("bin/gog", ""))], "layer 2");
    refused(&[base, gzipped(Tar::new().file("bin/.wh.gog", ""))], "is below `bin`");
}

/// A file of 8 EiB of which nothing is stored.
#[test]
fn a_bomb_ends_at_the_limit() {
    let mut header = tar::Header::new_gnu();
    header.set_path("gog").expect("a short path");
    header.set_entry_type(EntryType::GNUSparse);
    header.set_mode(0o755);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    let gnu = header.as_gnu_mut().expect("a GNU header");
    let huge = 40 << 30;
    gnu.set_real_size(huge);
    gnu.sparse[0].set_offset(huge);
    gnu.sparse[0].set_length(0);
    header.set_cksum();
    refused(&[gzipped(Tar::new().raw(header.as_bytes()))], "more than 32 GiB");
}

/// A tarball of files.
fn tarball(members: &[(&str, &[u8])], links: &[(&str, &str)]) -> tempfile::NamedTempFile {
    let tar = members
        .iter()
        .fold(Tar::new(), |tar, (path, content)| tar.entry(EntryType::Regular, path, "", content));
    let tar = links.iter().fold(tar, |tar, (path, target)| tar.symlink(path, target));
    let file = tempfile::NamedTempFile::new().expect("a file");
    fs::write(file.path(), tar.bytes()).expect("a file");
    file
}

/// The format of Docker before 25: config, layers, and a list of both.
fn saved(layers: &[Packed], paths: &[&str]) -> (String, Vec<u8>, Vec<u8>) {
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.oci()).collect();
    let config =
        json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": diff_ids}});
    let config = config.to_string().into_bytes();
    let name = format!("{}.json", Sha256::of(&config));
    let manifest = json!([{"Config": name, "RepoTags": ["x:1"], "Layers": paths}]).to_string().into_bytes();
    (name, config, manifest)
}

fn in_tarball(file: &tempfile::NamedTempFile) -> Result<BTreeMap<String, FoundFile>, OciError> {
    found(&ImageSource::Tarball(file.path().to_owned()), Arch::Amd64)
}

#[test]
fn older_tarballs_are_compared_with_their_config() {
    let (first, second) = (plain(gog("first")), gzipped(Tar::new().file("usr/local/bin/b", "packed")));
    let (name, config, manifest) = saved(
        &[first.clone(), second.clone(), first.clone()],
        &["1/layer.tar", "2/layer.tar", "3/layer.tar"],
    );
    let link: &[(&str, &str)] = &[("3/layer.tar", "../1/layer.tar")];
    let whole: [(&str, &[u8]); 4] = [
        (&name, &config),
        ("1/layer.tar", &first.stored),
        ("2/layer.tar", &second.stored),
        ("manifest.json", &manifest),
    ];
    holds(&in_tarball(&tarball(&whole, link)).expect("files"), &[("b", "packed"), ("gog", "first")]);

    // Each member changed, or taken away.
    for at in 0..3 {
        let mut bytes = whole[at].1.to_vec();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        let mut broken = whole;
        broken[at].1 = &bytes;
        let error = in_tarball(&tarball(&broken, link)).expect_err("another image");
        assert!(
            matches!(&error, OciError::Mismatch { .. } | OciError::Layer { .. }),
            "{}: {error:?}",
            whole[at].0
        );
        let without: Vec<_> = whole.iter().filter(|(name, _)| *name != whole[at].0).copied().collect();
        let error = in_tarball(&tarball(&without, link)).expect_err("a part is missing");
        assert!(matches!(&error, OciError::Incomplete { .. }), "{error:?}");
    }
    for (target, why) in [
        ("../../1/layer.tar", "a path outside"),
        ("/1/layer.tar", "a path outside"),
        ("layer.tar", "a loop of links"),
    ] {
        let error = in_tarball(&tarball(&whole, &[("3/layer.tar", target)])).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
    let mut twice = whole.to_vec();
    twice.push(whole[0]);
    let error = in_tarball(&tarball(&twice, link)).expect_err("two configs").to_string();
    assert!(error.contains("two members"), "{error}");
}

#[test]
fn a_tarball_without_an_image_is_reported() {
    let file = tempfile::NamedTempFile::new().expect("a file");
    let cut = {
        let mut bytes = gog(&"x".repeat(4096)).bytes();
        bytes.truncate(2048);
        bytes
    };
    for (bytes, why) in [
        (gzipped(gog("")).stored, "unpack it with `gunzip` first"),
        (zstandard(gog("")).stored, "unpack it with `unzstd` first"),
        (gog("").bytes(), "without `oci-layout` or `manifest.json`"),
        (cut, "cut off in usr/local/bin/gog"),
        (b"#!/bin/sh\n".repeat(100), "not a tarball"),
        (Vec::new(), "without `oci-layout`"),
        (Tar::new().file("../manifest.json", "").bytes(), "an invalid path"),
    ] {
        fs::write(file.path(), bytes).expect("a file");
        let error = in_tarball(&file).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn a_path_takes_precedence_over_a_reference() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    one_image().layout(&folder.path().join("layout"), "1");
    fs::write(path("file"), "").expect("a file");
    assert_eq!(
        ImageSource::find(&path("layout")).expect("a layout"),
        ImageSource::Layout(path("layout").into())
    );
    assert_eq!(ImageSource::find(&path("file")).expect("a file"), ImageSource::Tarball(path("file").into()));
    let text = "ghcr.io/openclaw/openclaw:2026.9.4";
    assert_eq!(ImageSource::find(text).expect("a reference"), ImageSource::Registry(reference(text)));
    for (text, why) in [
        (path(""), "a folder without `oci-layout`"),
        (path("missing"), "no such folder or file here"),
        ("openclaw".to_owned(), "not an image reference"),
        ("/dev/null".to_owned(), "not a file"),
    ] {
        let error = ImageSource::find(&text).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
    }
}

#[test]
fn passwords_come_from_where_docker_keeps_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("config.json");
    let podman = folder.path().join("auth.json");
    let files = [config.clone(), podman.clone()];
    let of = |image: &str| Credentials::find(&files, &reference(image));
    assert!(matches!(of("ghcr.io/a/b:1"), Ok(Credentials::Anonymous)));
    let text = json!({"auths": {"ghcr.io": {"auth": "bWU6c2VjcmV0"}, "https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="}, "broken.example.org": {"auth": "%"}}});
    fs::write(&config, text.to_string()).expect("a file");
    for (image, wanted) in [("ghcr.io/a/b:1", "me"), ("docker.io/a/b:1", "hub")] {
        let found = of(image).expect("credentials");
        assert!(
            matches!(&found, Credentials::Password { user, password } if user == wanted && password == "secret")
        );
        assert_eq!(format!("{found:?}"), "Password(…)");
    }
    assert!(matches!(of("quay.io/a/b:1"), Ok(Credentials::Anonymous)));
    // Podman's counts where Docker's has none.
    let text =
        json!({"auths": {"quay.io/a": {"auth": "bWU6c2VjcmV0"}, "ghcr.io": {"auth": "b3RoZXI6c2VjcmV0"}}});
    fs::write(&podman, text.to_string()).expect("a file");
    for image in ["quay.io/a/b:1", "ghcr.io/a/b:1"] {
        assert!(matches!(of(image), Ok(Credentials::Password { user, .. }) if user == "me"), "{image}");
    }
    assert!(matches!(of("quay.io/b/a:1"), Ok(Credentials::Anonymous)));
    fs::remove_file(&podman).expect("a file");
    let error = of("broken.example.org/a:1").expect_err("no base64").to_string();
    assert!(error.starts_with("broken.example.org: "), "{error}");
    fs::write(&config, "{").expect("a file");
    assert!(of("ghcr.io/a/b:1").is_err());
    fs::write(&config, json!({"credHelpers": {"ghcr.io": "is-not-installed"}}).to_string()).expect("a file");
    let error = of("ghcr.io/a/b:1").expect_err("no helper").to_string();
    assert!(error.contains("`docker-credential-is-not-installed` cannot be run: add its folder"), "{error}");
    assert!(matches!(of("quay.io/a/b:1"), Ok(Credentials::Anonymous)));
    fs::write(&config, json!({"credsStore": "is-neither"}).to_string()).expect("a file");
    let error = of("quay.io/a/b:1").expect_err("no helper").to_string();
    assert!(error.contains("`docker-credential-is-neither` cannot be run"), "{error}");
}
