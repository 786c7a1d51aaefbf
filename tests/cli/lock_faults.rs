//! `bake lock` with a failing upstream: it names tool, version and URL, and leaves lock, manifest and cache
//! unchanged; temporary faults are retried silently.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use crate::support::github::{Fault, Host, Release, Style, TOKEN};
use crate::support::test;
use crate::support::world::{World, release};
use crate::support::{Said, archives, elf};
use bake::digest::Sha256;
use bake::project::values::Arch;

/// The common part of the URLs of the shaky tool's archives.
const ARCHIVES: &str = "shaky_2.3.4_linux_";

/// A project with a tool that is locked and in the cache, and a second one that is not locked yet.
fn world() -> World {
    let world = World::new("  # Steady as she goes.\n  - {name: steady, repo: owner/steady}\n");
    world.github.publish("owner/steady", release("steady", "v1.0.0"));
    world.github.publish("owner/shaky", release("shaky", "v2.3.4").checksums("checksums.txt", Style::Gnu));
    world.bake(["lock"]).done();
    let second = "binaries:\n  - {name: shaky, repo: owner/shaky, version: 2.3.4}";
    world.folder.edit("images/binaries.yaml", "binaries:", second);
    world.github.requests();
    world
}

/// Locks what cannot be locked; holds the run to have changed nothing and to name tool, version and URL.
#[track_caller]
fn refused(world: &World, url: &str) -> Said {
    let before = settled(world);
    let said = world.bake(["lock"]).ended(1);
    for part in ["shaky", "2.3.4", url] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    // The query of a redirect's target is a credential.
    assert!(!said.err.contains("sig="), "{}", said.err);
    let after = settled(world);
    assert!(before.keys().eq(after.keys()), "{:#?}\n{:#?}", before.keys(), after.keys());
    for (path, content) in before {
        assert!(after[&path] == content, "{} changed", path.display());
    }
    said
}

/// Lock, manifest and complete cache entries. Partial downloads are left out, since the next run resumes them.
fn settled(world: &World) -> BTreeMap<PathBuf, Vec<u8>> {
    let partial = world.cache().join("partial");
    world.files().into_iter().filter(|(path, _)| !path.starts_with(&partial)).collect()
}

/// The part that is common to the URLs of both archives.
fn archives_url(world: &World) -> String {
    world.github.download("owner/shaky", "v2.3.4", ARCHIVES)
}

/// Locks in spite of something that passes.
#[track_caller]
fn locked(world: &World) {
    world.bake(["lock"]).done();
    for arch in Arch::ALL {
        assert_eq!(world.build("shaky", arch).binary_sha256, Some(Sha256::of(executable(arch))));
    }
}

/// The executable that [`release`] packs for the shaky tool.
fn executable(arch: Arch) -> Vec<u8> {
    elf::executable(arch, "shaky 2.3.4")
}

#[test]
fn an_archive_that_is_always_cut() {
    for length in [0, 10] {
        let world = world();
        world.github.fault(Host::Objects, ARCHIVES, Fault::Cut(length));
        refused(&world, &archives_url(&world));
    }
}

#[test]
fn an_archive_that_is_cut_once_is_read_on_from_there() {
    let world = world();
    world.github.fault_times(1, Host::Objects, "shaky_2.3.4_linux_amd64", Fault::Cut(100));
    locked(&world);
    let requests = world.github.requests();
    let ranges: Vec<_> = requests
        .iter()
        .filter(|request| request.host == Host::Objects && request.target.contains("linux_amd64"))
        .map(|request| request.header("range"))
        .collect();
    assert_eq!(ranges, [None, Some("bytes=100-")]);
}

#[test]
fn a_beginning_of_an_earlier_run_is_gone_on_from() {
    let world = world();
    world.github.fault(Host::Objects, ARCHIVES, Fault::Cut(10));
    refused(&world, &archives_url(&world));
    world.github.heal();
    world.github.requests();
    locked(&world);
    let requests = world.github.requests();
    assert!(requests.iter().any(|request| request.header("range").is_some()), "{requests:?}");
}

#[test]
fn a_server_that_knows_no_ranges_is_asked_from_the_start() {
    let world = world();
    world.github.fault_times(1, Host::Objects, ARCHIVES, Fault::Cut(100));
    world.github.fault(Host::Objects, ARCHIVES, Fault::Whole);
    locked(&world);
}

#[test]
fn an_archive_that_changes_between_two_pieces_is_not_sewn_together() {
    let world = world();
    world.github.fault_times(1, Host::Objects, "shaky_2.3.4_linux_amd64", Fault::Cut(100));
    world.github.fault_times(1, Host::Objects, "shaky_2.3.4_linux_amd64", Fault::Body(vec![7; 300]));
    world.bake(["lock"]);
    world.github.heal();
    locked(&world);
}

#[test]
fn an_archive_shorter_than_announced() {
    let world = world();
    world.github.fault(Host::Objects, ARCHIVES, Fault::Length(50));
    refused(&world, &archives_url(&world));
}

#[test]
fn an_archive_longer_than_announced() {
    let world = world();
    world.github.fault(Host::Objects, ARCHIVES, Fault::Length(-50));
    refused(&world, &archives_url(&world));
}

#[test]
fn an_archive_that_stalls() {
    let world = world().with("BAKE_STALL_SECONDS", "1");
    world.github.fault(Host::Objects, ARCHIVES, Fault::Stall(10));
    refused(&world, &archives_url(&world));
}

#[test]
fn an_archive_that_stalls_once() {
    let world = world().with("BAKE_STALL_SECONDS", "1");
    world.github.fault_times(1, Host::Objects, ARCHIVES, Fault::Stall(100));
    locked(&world);
}

#[test]
fn an_archive_that_is_not_there() {
    let world = world();
    world.github.fault(Host::Objects, ARCHIVES, Fault::Status(404));
    refused(&world, &archives_url(&world));
    // Asking again would not help.
    let asked = world.github.requests();
    let asked = asked.iter().filter(|request| request.host == Host::Objects);
    let asked = asked.filter(|request| request.target.contains(ARCHIVES)).count();
    assert_eq!(asked, 2, "requests for two archives");
}

#[test]
fn an_archive_that_is_forbidden() {
    let world = world();
    world.github.fault(Host::Web, ARCHIVES, Fault::Status(403));
    let said = refused(&world, &archives_url(&world));
    assert!(said.err.contains("403"), "{}", said.err);
}

#[test]
fn a_server_that_fails_three_times() {
    let world = world();
    for arch in Arch::ALL {
        let part = format!("{ARCHIVES}{arch}");
        world.github.fault_times(3, Host::Objects, &part, Fault::Status(500));
    }
    locked(&world);
}

#[test]
fn a_server_that_fails_for_ever() {
    let world = world();
    world.github.fault(Host::Objects, ARCHIVES, Fault::Status(500));
    let said = refused(&world, &archives_url(&world));
    assert!(said.err.contains("500"), "{}", said.err);
    let requests = world.github.requests();
    let at: Vec<_> = requests
        .iter()
        .filter(|request| request.host == Host::Objects && request.target.contains("linux_amd64"))
        .map(|request| request.at)
        .collect();
    let pauses: Vec<Duration> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.len() >= 3, "{pauses:?}");
    assert!(pauses.last() > pauses.first(), "the pauses do not grow: {pauses:?}");
}

#[test]
fn a_server_that_wants_to_be_left_alone_for_a_moment() {
    let world = world();
    world.github.fault_times(1, Host::Web, "shaky_2.3.4_linux_amd64", Fault::TooMany(2));
    locked(&world);
    let requests = world.github.requests();
    let at: Vec<_> = requests
        .iter()
        .filter(|request| request.host == Host::Web && request.target.contains("linux_amd64"))
        .map(|request| request.at)
        .collect();
    // Whole seconds, of which the first may have begun.
    assert!(at[1] - at[0] >= Duration::from_secs(1), "{at:?}");
}

#[test]
fn a_server_that_wants_to_be_left_alone_for_a_day() {
    let world = world();
    world.github.fault(Host::Web, ARCHIVES, Fault::TooMany(86_400));
    let said = refused(&world, &archives_url(&world));
    assert!(said.err.contains("429"), "{}", said.err);
}

#[test]
fn a_redirect_to_itself() {
    let world = world();
    world.github.fault(Host::Web, ARCHIVES, Fault::Loop);
    refused(&world, &archives_url(&world));
}

#[test]
fn a_redirect_to_plain_http_elsewhere() {
    let world = world().with("GITHUB_TOKEN", TOKEN);
    // Were it followed, this proxy would see it.
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    listener.set_nonblocking(true).expect("a listener that does not wait");
    let proxy = format!("http://{}", listener.local_addr().expect("an address"));
    let world = world.with("HTTP_PROXY", &proxy).with("http_proxy", &proxy);
    world.github.fault(Host::Web, ARCHIVES, Fault::Redirect("http://downloads.example/shaky".to_owned()));
    let said = refused(&world, &archives_url(&world));
    assert!(said.err.contains("http://downloads.example/shaky"), "{}", said.err);
    assert!(listener.accept().is_err(), "it was followed");
}

#[test]
fn the_api_redirects_to_another_host() {
    // As for the token, localhost is another host than 127.0.0.1.
    let world = world().with("GITHUB_TOKEN", TOKEN);
    let web = world.github.download("owner", "x", "y");
    let elsewhere = format!("{}/api-is-elsewhere", web.split("/owner").next().expect("an origin"));
    world.github.fault(Host::Api, "owner/shaky", Fault::Redirect(elsewhere));
    refused(&world, "/repos/owner/shaky/releases");
    let requests = world.github.requests();
    let strays: Vec<_> = requests.iter().filter(|request| request.host == Host::Web).collect();
    assert!(!strays.is_empty(), "it was not followed");
    assert!(strays.iter().all(|request| request.header("authorization").is_none()), "{strays:?}");
}

#[test]
fn an_archive_that_is_gzipped_on_its_way() {
    let world = world();
    world.github.fault(Host::Objects, ARCHIVES, Fault::Gzip);
    locked(&world);
}

#[test]
fn a_file_of_checksums_that_is_gzipped_on_its_way() {
    let world = world();
    world.github.fault(Host::Objects, "checksums.txt", Fault::Gzip);
    locked(&world);
}

#[test]
fn an_archive_with_a_flipped_bit() {
    let world = world();
    let mut digests = Vec::new();
    for asset in world.github.release("owner/shaky", "v2.3.4").assets {
        let mut bytes = asset.bytes;
        if asset.name.starts_with(ARCHIVES) {
            digests.push(Sha256::of(&bytes));
            bytes[100] ^= 1;
            digests.push(Sha256::of(&bytes));
            world.github.fault(Host::Objects, &asset.name, Fault::Body(bytes));
        }
    }
    let said = refused(&world, &archives_url(&world));
    for digest in digests {
        assert!(said.err.contains(&digest.to_string()), "{digest} is not in:\n{}", said.err);
    }
}

#[test]
fn an_archive_of_another_size() {
    let world = world();
    world.github.fault(Host::Objects, ARCHIVES, Fault::Body(b"<html>Sorry!</html>".to_vec()));
    refused(&world, &archives_url(&world));
}

#[test]
fn a_file_of_checksums_that_cannot_be_read() {
    for fault in [Fault::Status(403), Fault::Cut(10), Fault::Status(404)] {
        let world = world();
        world.github.fault(Host::Objects, "checksums.txt", fault);
        refused(&world, &world.github.download("owner/shaky", "v2.3.4", "checksums.txt"));
    }
}

#[test]
fn an_api_that_does_not_answer_as_it_should() {
    for fault in [
        Fault::Status(500),
        Fault::Status(403),
        Fault::Cut(20),
        Fault::Stall(20),
        Fault::Loop,
        Fault::Body(b"<html>Sorry!</html>".to_vec()),
        Fault::Body(b"{}".to_vec()),
        Fault::Body(b"[]".to_vec()),
        Fault::Body(b"null".to_vec()),
    ] {
        let world = world().with("BAKE_STALL_SECONDS", "1");
        world.github.fault(Host::Api, "owner/shaky", fault);
        refused(&world, "/repos/owner/shaky/releases");
    }
}

#[test]
fn an_api_that_fails_three_times() {
    let world = world();
    world.github.fault_times(3, Host::Api, "owner/shaky", Fault::Status(502));
    locked(&world);
}

#[test]
fn a_release_that_vanished() {
    let world = world();
    world.github.vanish("owner/shaky", "v2.3.4");
    refused(&world, "/repos/owner/shaky/releases");
}

#[test]
fn a_repository_that_vanished() {
    let world = world();
    world.folder.edit("images/binaries.yaml", "owner/shaky", "owner/nothing");
    let before = world.files();
    let said = world.bake(["lock"]).ended(1);
    for part in ["shaky", "2.3.4", "/repos/owner/nothing/releases"] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert!(world.files() == before);
}

#[test]
fn no_build_for_arm64() {
    let world = world();
    world.github.change("owner/shaky", "v2.3.4", |release| {
        release.assets.retain(|asset| !asset.name.contains("arm64"));
    });
    let said = refused(&world, "/owner/shaky/releases/tag/v2.3.4");
    assert!(said.err.contains("arm64"), "{}", said.err);
    // To do without it is a decision of the manifest's.
    let without = "version: 2.3.4, arch: {amd64: amd64}";
    world.folder.edit("images/binaries.yaml", "version: 2.3.4", without);
    world.bake(["lock"]).done();
    assert_eq!(world.lock().binaries[&"shaky".parse().expect("a name")].builds.len(), 1);
}

#[test]
fn two_files_that_could_be_meant() {
    let world = world();
    world.github.change("owner/shaky", "v2.3.4", |release| {
        let mut other = release.find("shaky_2.3.4_linux_amd64.tar.gz").clone();
        other.name = String::from("shaky-full_2.3.4_linux_amd64.tar.gz");
        release.assets.push(other);
    });
    let said = refused(&world, "/owner/shaky/releases/tag/v2.3.4");
    for name in ["shaky_2.3.4_linux_amd64.tar.gz", "shaky-full_2.3.4_linux_amd64.tar.gz"] {
        assert!(said.err.contains(name), "{name} is not in:\n{}", said.err);
    }
}

/// A release whose archives for both architectures hold what `pack` makes of their executable.
fn packed(pack: impl Fn(Arch) -> Vec<u8>) -> Release {
    Arch::ALL.into_iter().fold(Release::new("v2.3.4"), |release, arch| {
        release.asset(&format!("{ARCHIVES}{arch}.tar.gz"), pack(arch))
    })
}

#[test]
fn archives_that_do_not_hold_what_they_should() {
    let swapped = |arch| match arch {
        Arch::Amd64 => Arch::Arm64,
        Arch::Arm64 => Arch::Amd64,
    };
    for (release, part) in [
        (packed(|arch| archives::tar_gz(&[("shaky", &executable(swapped(arch)))])), "arm64"),
        (packed(|_| archives::tar_gz(&[("shaky", &elf::darwin())])), "macOS"),
        (packed(|_| archives::tar_gz(&[("shaky", b"#!/bin/sh\n")])), "script"),
        (
            packed(|arch| archives::tar_gz(&[("other", &executable(arch)), ("more", &executable(arch))])),
            "other",
        ),
        (packed(|_| archives::tar_gz(&[("README.md", b"Read me.\n")])), "shaky"),
        (packed(|_| b"<html>not found</html>".to_vec()), "gz"),
    ] {
        let world = world();
        world.github.vanish("owner/shaky", "v2.3.4");
        world.github.publish("owner/shaky", release);
        let before = world.project_files();
        let said = world.bake(["lock"]).ended(1);
        for part in ["shaky", "2.3.4", &archives_url(&world), part] {
            assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
        }
        assert!(world.project_files() == before);
    }
}

#[test]
fn a_host_that_does_not_answer() {
    let world = world().with("GITHUB_API_URL", "http://127.0.0.1:9");
    let said = refused(&world, "http://127.0.0.1:9/repos/owner/shaky/releases");
    assert!(world.github.requests().is_empty(), "{}", said.err);
}

#[test]
fn an_api_on_plain_http_elsewhere_is_a_mistake() {
    let world = world().with("GITHUB_API_URL", "http://api.example").with("GITHUB_TOKEN", TOKEN);
    let before = world.files();
    let said = world.bake(["lock"]).ended(2);
    assert!(said.err.contains("GITHUB_API_URL"), "{}", said.err);
    assert!(!said.err.contains(TOKEN));
    assert!(world.files() == before);
}

#[test]
fn a_registry_that_does_not_have_the_image() {
    let world = world();
    let image = world.github.image();
    let (name, _) = image.rsplit_once(':').expect("a tag");
    world.folder.edit("bake.yaml", &image, &format!("{name}:no-such-tag"));
    let before = world.project_files();
    let said = world.bake(["lock"]).ended(1);
    assert!(said.err.contains("no-such-tag"), "{}", said.err);
    assert!(world.project_files() == before);
}
