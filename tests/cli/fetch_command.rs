//! `bake fetch`: every locked archive in the cache, and nothing else there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::github::{Fault, Host, Release, TOKEN};
use crate::support::test;
use crate::support::world::{World, archive, release};
use crate::support::{archives, elf};
use bake::digest::Sha256;
use bake::project::values::Arch;

/// A project with a few tools that are locked, and an empty cache.
fn world() -> World {
    let names = ["one", "two", "three"];
    let entry = |name| format!("  - {{name: {name}, repo: owner/{name}}}\n");
    let world = World::new(&names.map(entry).concat());
    for name in names {
        world.github.publish(&format!("owner/{name}"), release(name, "v1.0.0"));
    }
    world.bake(["lock"]).done();
    fs::remove_dir_all(world.cache()).expect("a cache");
    world.github.requests();
    world
}

/// The checksums of all locked archives.
fn locked(world: &World) -> Vec<Sha256> {
    let lock = world.lock();
    lock.binaries.values().flat_map(|tool| tool.builds.values()).map(|build| build.sha256).collect()
}

/// The file of the cache with that content.
#[track_caller]
fn cached(world: &World, digest: Sha256) -> PathBuf {
    let found = world
        .files()
        .into_iter()
        .find(|(path, content)| path.starts_with(world.cache()) && Sha256::of(content) == digest);
    found.unwrap_or_else(|| panic!("{digest} is not in the cache")).0
}

/// How often each archive came over the network.
fn downloads(world: &World) -> Vec<usize> {
    let requests = world.github.requests();
    let mut targets: Vec<_> = requests
        .iter()
        .filter(|request| request.host == Host::Objects)
        .map(|request| request.target.as_str())
        .collect();
    targets.sort_unstable();
    targets.chunk_by(|a, b| a == b).map(<[&str]>::len).collect()
}

#[test]
fn every_archive_is_fetched_once_for_both_architectures() {
    let world = world();
    let project = world.project_files();
    world.bake(["fetch"]).done();
    for digest in locked(&world) {
        cached(&world, digest);
    }
    let requests = world.github.requests();
    assert!(requests.iter().all(|request| matches!(request.host, Host::Web | Host::Objects)), "{requests:?}");
    assert_eq!(requests.len(), 2 * 6);
    assert!(world.project_files() == project);
    let before = world.files();
    world.bake(["fetch"]).done();
    assert!(world.github.requests().is_empty());
    assert!(world.files() == before);
}

#[test]
fn fetch_reuses_the_downloads_of_lock() {
    let world = World::new("  - {name: tool, repo: owner/tool}\n");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    world.github.requests();
    world.bake(["fetch"]).done();
    assert!(world.github.requests().is_empty());
}

/// Changes the cache behind its back.
fn damage(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).expect("a cached file");
    how(&mut content);
    let mut permissions = fs::metadata(path).expect("a cached file").permissions();
    #[expect(clippy::permissions_set_readonly_false, reason = "a file of this test's own")]
    permissions.set_readonly(false);
    fs::set_permissions(path, permissions).expect("a cached file");
    fs::write(path, content).expect("a cached file");
}

#[test]
fn a_damaged_cache_heals_itself() {
    type Tear = fn(&mut Vec<u8>);
    let tears: [(&str, Tear); 4] = [
        ("a flipped bit", |content| content[100] ^= 1),
        ("a torn write", |content| content.truncate(content.len() / 2)),
        ("an empty file", Vec::clear),
        ("more than there was", |content| content.push(0)),
    ];
    let world = world();
    world.bake(["fetch"]).done();
    for (name, tear) in tears {
        world.github.requests();
        let digest = locked(&world)[0];
        damage(&cached(&world, digest), tear);
        world.bake(["fetch"]).done();
        cached(&world, digest);
        assert_eq!(downloads(&world), [1], "{name}");
    }
}

#[test]
fn an_archive_that_was_replaced_is_refused() {
    let asset = "two_1.0.0_linux_arm64.tar.gz";
    let world = world();
    let locked = world.build("two", Arch::Arm64);
    let mut flipped = world.github.release("owner/two", "v1.0.0").bytes(asset).to_vec();
    flipped[50] ^= 1;
    let larger = archive("two", "1.0.0, as it should have been from the beginning", Arch::Arm64);
    let (old, new) = (locked.sha256.to_string(), Sha256::of(&flipped).to_string());
    let sizes = [format!("{} bytes", larger.len()), locked.size.expect("a size").to_string()];
    for (bytes, says) in [(flipped, [old, new]), (larger, sizes)] {
        world.github.replace("owner/two", "v1.0.0", asset, bytes.clone());
        let project = world.project_files();
        let said = world.bake(["fetch"]).ended(1);
        for part in ["two", "1.0.0", locked.url.as_str(), &says[0], &says[1]] {
            assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
        }
        assert!(world.project_files() == project);
        for (path, content) in world.files() {
            assert!(content != bytes, "{} holds what was refused", path.display());
        }
    }
}

#[test]
fn an_archive_that_vanished_is_named() {
    let world = world();
    world.github.vanish("owner/two", "v1.0.0");
    let said = world.bake(["fetch"]).ended(1);
    for part in ["two", "1.0.0", world.build("two", Arch::Amd64).url.as_str()] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
}

#[test]
fn one_failure_does_not_hide_another() {
    let world = world();
    world.github.vanish("owner/one", "v1.0.0");
    world.github.vanish("owner/three", "v1.0.0");
    let said = world.bake(["fetch"]).ended(1);
    for name in ["one", "three"] {
        assert!(said.err.contains(world.build(name, Arch::Amd64).url.as_str()), "{}", said.err);
    }
    cached(&world, world.build("two", Arch::Amd64).sha256);
}

#[test]
fn the_token_is_not_sent() {
    let world = world().with("GITHUB_TOKEN", TOKEN);
    let said = world.bake(["-v", "fetch"]).done();
    assert!(world.github.requests().iter().all(|request| request.header("authorization").is_none()));
    assert!(!said.out.contains(TOKEN) && !said.err.contains(TOKEN), "{said:?}");
}

#[test]
fn a_cut_is_read_on_and_a_stall_is_given_up() {
    let world = world().with("BAKE_STALL_SECONDS", "5");
    world.github.fault_times(1, Host::Objects, "one_1.0.0_linux_amd64", Fault::Cut(100));
    world.github.fault_times(1, Host::Objects, "two_1.0.0_linux_amd64", Fault::Stall(100));
    world.bake(["fetch"]).done();
    let requests = world.github.requests();
    let resumed = requests.iter().filter(|request| request.host == Host::Objects);
    let resumed = resumed.filter(|request| request.header("range") == Some("bytes=100-")).count();
    assert_eq!(resumed, 2);
}

#[test]
fn a_stale_lock_is_not_fetched() {
    let world = world();
    world.folder.edit("images/binaries.yaml", "binaries:", "binaries:\n  - {name: four, repo: owner/four}");
    let said = world.bake(["fetch"]).ended(2);
    assert!(said.err.contains("stale-lock") && said.err.contains("four"), "{}", said.err);
    assert!(world.github.requests().is_empty());
}

#[test]
fn two_at_once_share_one_download() {
    for _ in 0..5 {
        let world = world();
        // Long enough that the second comes while the first is at it.
        world.github.fault(Host::Objects, "", Fault::Slow(64, Duration::from_millis(20)));
        let start = || {
            let mut command = world.command();
            command.arg("fetch").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("bake")
        };
        let runs = [start(), start()];
        for run in runs {
            let output = run.wait_with_output().expect("an end");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        assert_eq!(downloads(&world), [1; 6]);
        for digest in locked(&world) {
            cached(&world, digest);
        }
    }
}

#[test]
fn two_tools_of_one_archive_share_one_download() {
    let world = World::new(
        "  - {name: one, repo: owner/both, binary: one}\n  - {name: two, repo: owner/both, binary: two}\n",
    );
    let published = Arch::ALL.into_iter().fold(Release::new("v1.0.0"), |release, arch| {
        let [one, two] = ["one", "two"].map(|name| elf::executable(arch, name));
        let bytes = archives::tar_gz(&[("one", &one), ("two", &two)]);
        release.asset(&format!("both_1.0.0_linux_{arch}.tar.gz"), bytes)
    });
    world.github.publish("owner/both", published);
    // Long enough that the second is wanted while the first comes.
    world.github.fault(Host::Objects, "", Fault::Slow(64, Duration::from_millis(50)));
    world.bake(["lock"]).done();
    assert_eq!(downloads(&world), [1; 2]);
    fs::remove_dir_all(world.cache()).expect("a cache");
    world.bake(["fetch"]).done();
    assert_eq!(downloads(&world), [1; 2]);
}

#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let world = world();
    let blocked = world.folder.join("blocked");
    fs::write(&blocked, "a file, not a folder").expect("a file");
    let blocked = blocked.to_str().expect("a path").to_owned();
    let world = world.with("BAKE_CACHE_DIR", &blocked);
    let said = world.bake(["fetch"]).ended(1);
    assert!(said.err.contains(&blocked), "{}", said.err);
}
