//! `bake audit` against a local publisher that changes its files or does not answer.

use crate::support::audit::{audited, flip, whole};
use crate::support::github::{Fault, Host, Style, TOKEN};
use crate::support::test;
use crate::support::world::{archive, release};
use bake::digest::Sha256;
use bake::project::values::Arch;
use jiff::{SignedDuration, Timestamp};

const AMD64: &str = "_1.0.0_linux_amd64.tar.gz";

#[test]
fn an_asset_that_was_replaced_is_found() {
    // With what the API says nothing needs to be downloaded.
    let world = whole();
    let asset = format!("one{AMD64}");
    world.github.replace("owner/one", "v1.0.0", &asset, archive("one", "another", Arch::Amd64));
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, ["upstream finding republished one 1.0.0 amd64"]);
    let check = audit.told_of("one 1.0.0 amd64", "upstream");
    assert_eq!(check["url"], world.github.download("owner/one", "v1.0.0", &asset));
    assert!(
        check["message"]
            .as_str()
            .is_some_and(|text| text.contains(&world.build("one", Arch::Amd64).sha256.to_string()))
    );
    let requests = world.github.requests();
    let downloads = requests.iter().filter(|request| request.target.contains("linux_amd64"));
    assert!(downloads.into_iter().all(|request| request.target.contains("two_")), "{requests:?}");
}

#[test]
fn an_asset_without_a_checksum_is_downloaded_again() {
    let world = whole();
    let asset = format!("two{AMD64}");
    let mut bytes = world.github.release("owner/two", "v1.0.0").bytes(&asset).to_vec();
    flip(&mut bytes, 60);
    world.github.replace("owner/two", "v1.0.0", &asset, bytes.clone());
    let before = world.files();
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, ["upstream finding republished two 1.0.0 amd64"]);
    assert!(audit.message("two 1.0.0 amd64", "upstream").contains(&Sha256::of(&bytes).to_string()));
    assert!(world.files() == before, "the cache took it in");
}

#[test]
fn a_checksum_file_that_says_otherwise_is_found() {
    let world = whole();
    let list = release("one", "v1.0.0").checksums("checksums.txt", Style::Wrong);
    world.github.replace("owner/one", "v1.0.0", "checksums.txt", list.bytes("checksums.txt"));
    let audit = audited(&world, &[], 1);
    assert_eq!(
        audit.told,
        ["upstream finding republished one 1.0.0 amd64", "upstream finding republished one 1.0.0 arm64"]
    );
    assert!(audit.message("one 1.0.0 amd64", "upstream").contains("checksums.txt"));
}

/// The result of one publisher is reported even if another does not answer.
#[test]
fn a_checksum_file_that_cannot_be_had_hides_no_finding() {
    let world = whole();
    let asset = format!("one{AMD64}");
    world.github.replace("owner/one", "v1.0.0", &asset, archive("one", "another", Arch::Amd64));
    world.github.fault(Host::Objects, "checksums.txt", Fault::Status(403));
    world.github.fault(Host::Web, "checksums.txt", Fault::Status(403));
    let audit = audited(&world, &[], 1);
    assert_eq!(
        audit.told,
        [
            "upstream unchecked could-not-check one 1.0.0 amd64",
            "upstream finding republished one 1.0.0 amd64",
            "upstream unchecked could-not-check one 1.0.0 arm64",
        ]
    );
}

#[test]
fn withdrawn_releases_are_found() {
    let gone = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("upstream finding upstream-gone {name}")).collect()
    };
    let both = gone(&["one 1.0.0 amd64", "one 1.0.0 arm64"]);
    let world = whole();
    world
        .github
        .change("owner/one", "v1.0.0", |release| release.assets.retain(|asset| !asset.name.ends_with(AMD64)));
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, gone(&["one 1.0.0 amd64"]));
    assert!(audit.message("one 1.0.0 amd64", "upstream").contains(&format!("one{AMD64}")));

    let world = whole();
    world.github.publish("owner/one", release("one", "v0.9.0").published("2025-01-01T00:00:00Z"));
    world.github.vanish("owner/one", "v1.0.0");
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, both);
    assert!(audit.message("one 1.0.0 amd64", "upstream").contains("owner/one"));

    let world = whole();
    world.github.fault(Host::Api, "owner/one", Fault::Status(404));
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, both);
    assert!(audit.message("one 1.0.0 amd64", "upstream").contains("owner/one"));
}

#[test]
fn a_size_that_is_not_the_locked_one_is_found() {
    let world = whole();
    let size = world.build("one", Arch::Amd64).size.expect("a size");
    world.folder.edit("bake.lock", &format!("size: {size}\n"), &format!("size: {}\n", size + 1));
    let audit = audited(&world, &["--against", "upstream"], 1);
    assert_eq!(audit.told, ["upstream finding republished one 1.0.0 amd64"]);
    let message = audit.message("one 1.0.0 amd64", "upstream");
    assert!(message.contains(&size.to_string()) && message.contains(&(size + 1).to_string()), "{message}");
}

#[test]
fn a_newer_version_is_a_note_until_the_lock_lags_for_too_long() {
    let days_ago = |days: i64| (Timestamp::now() - SignedDuration::from_hours(24 * days)).to_string();
    let world = whole();
    world.github.publish("owner/two", release("two", "v1.1.0").published(&days_ago(88)));
    world.github.publish("owner/one", release("one", "v2.0.0-rc.1").prerelease());
    let audit = audited(&world, &[], 0);
    assert_eq!(audit.told, ["upstream note newer-version two 1.0.0"]);
    assert!(audit.message("two 1.0.0", "upstream").contains("1.1.0"));

    world.github.begin_hour();
    // Newer releases follow one another; the one before the last has been there for long.
    world.github.publish("owner/two", release("two", "v1.0.7").published(&days_ago(92)));
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, ["upstream finding newer-version two 1.0.0"]);
    let message = audit.message("two 1.0.0", "upstream");
    assert!(message.contains("1.0.7") && message.contains("90 days"), "{message}");

    // The manifest decides, not the lock.
    world.github.begin_hour();
    world.folder.edit("images/binaries.yaml", "repo: owner/two", "repo: owner/two, version: 1.0.0");
    world.bake(["lock"]).done();
    let audit = audited(&world, &["--against", "lock,upstream"], 0);
    assert_eq!(audit.told, ["upstream note newer-version two 1.0.0"]);
    world.github.begin_hour();
    world.folder.edit("images/binaries.yaml", "version: 1.0.0", "policy: {min_age_days: 90}");
    world.bake(["lock"]).done();
    let audit = audited(&world, &["--against", "lock,upstream"], 0);
    assert_eq!(audit.told, ["upstream note newer-version two 1.0.0"]);
}

#[test]
fn a_silent_publisher_is_unchecked_and_not_clean() {
    let tools = ["one 1.0.0 amd64", "one 1.0.0 arm64", "two 1.0.0 amd64", "two 1.0.0 arm64"];
    let unchecked = |names: &[&str]| -> Vec<String> {
        names.iter().map(|name| format!("upstream unchecked could-not-check {name}")).collect()
    };
    let world = whole();
    world.github.exhaust();
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, unchecked(&tools));
    assert!(audit.message(tools[0], "upstream").contains("limit"), "{}", audit.message(tools[0], "upstream"));

    let world = whole();
    world.github.fault(Host::Api, "owner/one", Fault::Status(500));
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, unchecked(&tools[..2]));
    assert!(audit.message(tools[0], "upstream").contains("500"));

    // The newest release alone does not answer.
    let world = whole();
    world.github.fault(Host::Api, "latest", Fault::Status(500));
    world.github.fault(Host::Api, "releases?", Fault::Status(500));
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, unchecked(&["one 1.0.0, newer versions", "two 1.0.0, newer versions"]));

    let world = whole();
    world.github.fault(Host::Registry, "", Fault::Status(403));
    assert_eq!(audited(&world, &[], 1).told, unchecked(&["base image"]));

    // Nothing listens there.
    let world = whole().with("GITHUB_API_URL", "http://127.0.0.1:9");
    assert_eq!(audited(&world, &[], 1).told, unchecked(&tools));
}

#[test]
fn a_tool_that_is_not_in_lock_and_manifest_alike_is_not_passed_over() {
    let world = whole();
    world.folder.edit("images/binaries.yaml", "name: two, repo: owner/two", "name: three, repo: owner/three");
    assert_eq!(
        audited(&world, &["--against", "upstream"], 1).told,
        ["upstream unchecked could-not-check three", "upstream unchecked could-not-check two 1.0.0"]
    );
}

#[test]
fn the_token_appears_in_no_output() {
    let world = whole().with("GITHUB_TOKEN", TOKEN);
    world.github.vanish("owner/one", "v1.0.0");
    for form in ["--json", "--sarif", "-v"] {
        let said = world.bake(["audit", form]).ended(1);
        assert!(!said.out.contains(TOKEN) && !said.err.contains(TOKEN), "{said:?}");
    }
    let requests = world.github.requests();
    let with = requests.iter().filter(|request| request.header("authorization").is_some());
    assert!(with.clone().count() > 0 && with.into_iter().all(|request| request.host == Host::Api));
}
