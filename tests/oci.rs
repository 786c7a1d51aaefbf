//! Images as registries, layouts and tarballs have them, against the real tools.

mod support;

use std::process::Command;

use bake::oci::{Credentials, registry};
use bake::project::values::{Arch, ImageRef};
use support::testbed;

fn reference(text: &str) -> ImageRef {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

/// What `curl` says of a manifest.
fn digest_header(repository: &str, tag: &str) -> String {
    let (host, name) = repository.split_once('/').expect("a repository");
    let mut curl = Command::new("curl");
    curl.args(["-fsSI", "-H", "Accept: application/vnd.oci.image.index.v1+json"])
        .args(["-H", "Accept: application/vnd.docker.distribution.manifest.v2+json"])
        .args(["-H", "Accept: application/vnd.oci.image.manifest.v1+json"])
        .arg(format!("http://{host}/v2/{name}/manifests/{tag}"));
    let said = support::said(&mut curl).done().out;
    let line = said.lines().find_map(|line| line.strip_prefix("Docker-Content-Digest: "));
    line.expect("a digest").trim().to_owned()
}

#[test]
fn a_tag_is_resolved_to_the_digest_that_the_registry_has() {
    let Some(pinned) = testbed::base_image() else { return };
    let (tagged, _) = pinned.split_once('@').expect("a digest");
    let resolved = registry::resolve(&reference(tagged), &Credentials::Anonymous).expect("an image");
    let image = reference(&pinned);
    assert_eq!(Some(resolved.digest), image.digest());
    assert_eq!(resolved.digest.oci(), digest_header(image.repository(), image.tag().expect("a tag")));
    // One manifest, no index: what it is for is only in its config.
    assert_eq!(resolved.platforms.into_iter().collect::<Vec<_>>(), [(Arch::Amd64, resolved.digest)]);
    assert_eq!(resolved.media_type, "application/vnd.docker.distribution.manifest.v2+json");

    let again = registry::resolve(&image, &Credentials::Anonymous).expect("the same by its digest");
    assert_eq!(again.digest, resolved.digest);
}

#[test]
fn what_the_registry_does_not_have_is_named() {
    let Some(pinned) = testbed::base_image() else { return };
    let repository = reference(&pinned).repository().to_owned();
    for (missing, what) in [
        (format!("{repository}:no-such-tag"), "no such tag `no-such-tag`"),
        (format!("{repository}-nothing:1"), "no such tag `1`"),
        (format!("{repository}@sha256:{}", "0".repeat(64)), "no such manifest sha256:000"),
    ] {
        let error = registry::resolve(&reference(&missing), &Credentials::Anonymous).expect_err("nothing");
        assert!(error.to_string().starts_with(&format!("{missing}: ")), "{error}");
        assert!(error.to_string().contains(what), "{error}");
    }
}
