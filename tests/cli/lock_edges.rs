//! Edge cases of `bake lock` and `bake add`: missing checksums, concurrent runs, obstacles.

use std::fs;
use std::io::Cursor;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::github::{Fault, Host, Release, Style};
use crate::support::server::Gate;
use crate::support::test;
use crate::support::world::{World, archive, release};
use bake::digest::Sha256;
use bake::lock::Evidence;
use bake::project::values::Arch;
use minisign::KeyPair;
use serde_json::Value;

const AMD64: &str = "tool_1.0.0_linux_amd64.tar.gz";

/// A project with one tool, `tool` from `owner/tool`, whose release is this one.
fn project(release: Release) -> World {
    let world = World::new("  - {name: tool, repo: owner/tool}\n");
    world.github.publish("owner/tool", release);
    world
}

/// A project with one tool, `tool` from the URL of that version's archives.
fn project_of_url(version: &str) -> World {
    let world = World::new("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.github.publish("owner/tool", release("tool", "v2.0.0"));
    name_url(&world, version);
    world
}

fn name_url(world: &World, version: &str) {
    let file = format!("tool_{version}_linux_{{arch}}.tar.gz");
    let url = world.github.download("owner/tool", &format!("v{version}"), &file);
    let manifest = format!("version: 1\nbinaries:\n  - {{name: tool, url: '{url}'}}\n");
    world.folder.write("images/binaries.yaml", manifest);
}

#[test]
fn another_url_is_fetched_and_not_taken_for_the_locked_one() {
    let world = project_of_url("1.0.0");
    world.bake(["lock"]).done();
    name_url(&world, "2.0.0");
    world.bake(["lock"]).done();
    for arch in Arch::ALL {
        let build = world.build("tool", arch);
        assert!(build.url.as_str().contains("v2.0.0"), "{}", build.url);
        let published = world.github.release("owner/tool", "v2.0.0");
        let bytes = published.bytes(&format!("tool_2.0.0_linux_{arch}.tar.gz"));
        assert_eq!(build.sha256, Sha256::of(bytes), "{arch}");
    }
}

#[test]
fn an_archive_without_a_checksum_is_downloaded_again() {
    let world = project(release("tool", "v1.0.0").without_digests());
    world.bake(["lock"]).done();
    let old = world.build("tool", Arch::Amd64).sha256;
    let other = archive("tool", "other bytes", Arch::Amd64);
    world.github.replace("owner/tool", "v1.0.0", AMD64, other.clone());
    let before = world.files();
    let said = world.bake(["lock", "--update"]).ended(1);
    let url = world.github.download("owner/tool", "v1.0.0", AMD64);
    for part in ["republished", "`tool` 1.0.0", &url, &old.to_string(), &Sha256::of(&other).to_string()] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert!(world.files() == before);
    world.bake(["lock", "--update", "--allow-republished", "tool"]).done();
    assert_eq!(world.build("tool", Arch::Amd64).sha256, Sha256::of(&other));
}

#[test]
fn every_list_of_checksums_is_read() {
    let lists = release("tool", "v1.0.0").checksums("checksums.txt", Style::Gnu);
    let world = project(lists.checksums("SHA256SUMS", Style::Wrong));
    let said = world.bake(["lock"]).ended(1);
    assert!(said.err.contains("SHA256SUMS") && said.err.contains("disagree"), "{}", said.err);
}

#[test]
fn an_empty_checksum_file_is_reported() {
    let of_one = format!("{AMD64}.sha256");
    let utf16: Vec<u8> = "\u{feff}a checksum".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (name, content) in [
        (of_one.as_str(), b"<html>Not found</html>".to_vec()),
        (&of_one, utf16.clone()),
        ("SHA256SUMS", utf16),
    ] {
        let world = project(release("tool", "v1.0.0").asset(name, content));
        let said = world.bake(["lock"]).done();
        assert!(said.err.contains(&format!("note: tool: `{name}` s")), "{name}:\n{}", said.err);
        assert!(!world.evidence("tool").contains(&Evidence::ChecksumFile));
    }
}

#[test]
fn a_store_that_forbids_what_it_does_not_have_has_no_checksums() {
    let world = project_of_url("1.0.0");
    for guess in [".sha256", "SHA256SUMS", "checksums.txt"] {
        world.github.fault(Host::Web, guess, Fault::Status(403));
    }
    world.bake(["lock"]).done();
    assert_eq!(world.evidence("tool"), [Evidence::Computed]);
}

#[test]
fn another_repository_does_not_continue_the_first() {
    let world = project(release("tool", "v1.0.0"));
    let fork = |tag: &str| {
        Arch::ALL.into_iter().fold(Release::new(tag), |release, arch| {
            release.asset(&format!("tool-linux-{arch}.tar.gz"), archive("tool", "of a fork", arch))
        })
    };
    world.github.publish("fork/same", fork("v1.0.0"));
    world.github.publish("fork/older", fork("v0.5.0"));
    world.bake(["lock"]).done();
    for (repo, version) in [("fork/same", "1.0.0"), ("fork/older", "0.5.0")] {
        let manifest = format!("version: 1\nbinaries:\n  - {{name: tool, repo: {repo}}}\n");
        world.folder.write("images/binaries.yaml", manifest);
        world.bake(["lock"]).done();
        assert_eq!(world.version("tool"), version);
    }
}

#[test]
fn the_source_of_a_different_size_is_named() {
    let world = project(release("tool", "v1.0.0").without_digests());
    world.github.fault(Host::Objects, AMD64, Fault::Body(b"<html>Sorry!</html>".to_vec()));
    let said = world.bake(["lock"]).ended(1);
    assert!(said.err.contains("as the release API says"), "{}", said.err);
}

/// Adds this tool in the time in which another run is at work.
fn add_meanwhile(world: &World, repo: &str) {
    world.bake(["add", repo]).done();
}

#[test]
fn two_that_add_at_once_lose_nothing() {
    let world = project(release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    world.github.publish("owner/slow", release("slow", "v1.0.0"));
    world.github.publish("owner/quick", release("quick", "v1.0.0"));
    let gate = Gate::default();
    world.github.fault_times(1, Host::Api, "owner/slow", Fault::Held(gate.clone()));
    let said = thread::scope(|scope| {
        let slow = scope.spawn(|| world.bake(["add", "owner/slow"]));
        // By now it has read both files.
        world.github.wait_for(Host::Api, "owner/slow");
        add_meanwhile(&world, "owner/quick");
        gate.open();
        slow.join().expect("a run")
    });
    // The slow one was overtaken, and put its own on top.
    said.done();
    world.bake(["lock", "--check"]).done();
    assert_eq!(world.lock().binaries.len(), 3);
    let manifest = world.folder.read("images/binaries.yaml");
    assert!(manifest.contains("owner/quick") && manifest.contains("owner/slow"), "{manifest}");
}

#[test]
fn a_lock_that_was_made_meanwhile_is_not_undone() {
    let world = project(release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    world.github.publish("owner/tool", release("tool", "v2.0.0"));
    world.github.publish("owner/quick", release("quick", "v1.0.0"));
    // Those of the first lock, which is not waited for.
    world.github.requests();
    let gate = Gate::default();
    world.github.fault_times(1, Host::Api, "owner/tool", Fault::Held(gate.clone()));
    let said = thread::scope(|scope| {
        let slow = scope.spawn(|| world.bake(["lock", "--update"]));
        world.github.wait_for(Host::Api, "owner/tool");
        add_meanwhile(&world, "owner/quick");
        gate.open();
        slow.join().expect("a run")
    });
    let said = said.ended(1);
    assert!(said.err.contains("bake.lock") && said.err.contains("run it again"), "{}", said.err);
    world.bake(["lock", "--check"]).done();
}

#[test]
fn a_failure_to_write_the_lock_leaves_the_manifest() {
    let world = project(release("tool", "v1.0.0"));
    world.github.publish("owner/other", release("other", "v1.0.0"));
    fs::create_dir(world.folder.join("bake.lock")).expect("a folder");
    let before = world.project_files();
    let said = world.bake(["add", "owner/other"]).ended(1);
    assert!(said.err.contains("bake.lock"), "{}", said.err);
    assert!(world.project_files() == before);
}

#[test]
fn a_lock_that_cannot_be_read_is_not_passed_over_in_silence() {
    let world = project(release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    let conflict = format!("<<<<<<< HEAD\n{}", world.folder.read("bake.lock"));
    for command in [&["lock"][..], &["remove", "tool"]] {
        world.folder.write("bake.lock", &conflict);
        let said = world.bake(command.iter().copied()).done();
        assert!(said.err.contains("warning") && said.err.contains("bake.lock"), "{command:?}\n{}", said.err);
    }
}

#[test]
fn a_lock_of_a_newer_release_is_not_called_stale() {
    let world = project(release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    world.folder.edit("bake.lock", "version: 1\n", "version: 2\n");
    let said = world.bake(["lock", "--check"]).ended(2);
    assert!(said.err.contains("error[unsupported-version]"), "{}", said.err);
    assert!(!said.out.contains("stale"), "{}", said.out);
    let said = world.bake(["lock", "--check", "--json"]).ended(2);
    assert!(said.out.contains("unsupported-version") && said.err.is_empty(), "{}{}", said.out, said.err);
}

#[test]
fn the_choice_between_two_tags_of_a_version_is_stable() {
    let of_tag = |tag: &str| {
        Arch::ALL.into_iter().fold(Release::new(tag), |release, arch| {
            release.asset(&format!("tool-linux-{arch}.tar.gz"), archive("tool", tag, arch))
        })
    };
    for tags in [["v1.2.3", "1.2.3"], ["1.2.3", "v1.2.3"], ["v1.2.3", "tool-v1.2.3"]] {
        let world = World::new("  - {name: tool, repo: owner/tool}\n");
        for tag in tags {
            world.github.publish("owner/tool", of_tag(tag));
        }
        world.bake(["lock"]).done();
        let right = Sha256::of(world.github.release("owner/tool", "v1.2.3").bytes("tool-linux-amd64.tar.gz"));
        assert_eq!(world.build("tool", Arch::Amd64).sha256, right, "{tags:?}");
        let before = world.files();
        world.bake(["lock", "--update"]).done();
        world.folder.edit("images/binaries.yaml", "owner/tool", "owner/tool, version: 1.2.3");
        world.bake(["lock", "--update"]).done();
        assert_eq!(world.build("tool", Arch::Amd64).sha256, right, "{tags:?}");
        assert!(world.files().keys().eq(before.keys()));
    }
}

#[test]
fn every_failure_is_a_document_where_one_is_wanted() {
    let world = project(release("tool", "v1.0.0"));
    for arguments in [
        &["lock", "--json", "--update", "no-such-tool"][..],
        &["lock", "--json", "-C", "no-such-folder"],
        &["lock", "--json", "--check"],
    ] {
        let said = world.bake(arguments.iter().copied());
        assert!(said.code > 0);
        let document: Value = serde_json::from_str(&said.out).expect(&said.out);
        assert!(document["problems"][0]["message"].is_string(), "{arguments:?}: {document}");
    }
}

#[test]
fn no_answer_fills_the_terminal() {
    let world = project(release("tool", "v1.0.0"));
    let long = "long".repeat(100_000);
    let told = |tag: &str, page: &str, assets: &str| {
        format!(
            r#"[{{"tag_name":"{tag}","html_url":"{page}","published_at":"2026-01-01T00:00:00Z","assets":[{assets}]}}]"#
        )
    };
    let page = "https://example.org/owner/tool";
    let asset = format!(r#"{{"name":"a","size":"\u001b[2J{long}","browser_download_url":"{page}"}}"#);
    for answer in [
        told(&format!("v1.{}", "1".repeat(100_000)), page, ""),
        told("v1.0.0", &format!("{page}/{long}"), ""),
        told("v1.0.0", page, &asset),
    ] {
        world.github.heal();
        world.github.fault(Host::Api, "owner/tool", Fault::Body(answer.into_bytes()));
        let said = world.bake(["lock"]).ended(1);
        assert!(said.err.len() < 4096, "{} bytes", said.err.len());
        assert!(!said.err.contains('\u{1b}'), "{}", said.err);
    }
}

#[test]
fn a_signature_of_another_file_is_rejected() {
    let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
    let world =
        World::new(&format!("  - {{name: tool, repo: owner/tool, minisign: {}}}\n", keys.pk.to_base64()));
    let signed = |tag: &str, named: &str| {
        let version = tag.trim_start_matches('v');
        Arch::ALL.into_iter().fold(Release::new(tag), |release, arch| {
            let (old, file) = (archive("tool", "1.0.0", arch), format!("tool_{version}_linux_{arch}.tar.gz"));
            let comment = format!("timestamp:1\tfile:tool_{named}_linux_{arch}.tar.gz\thashed");
            let signature = minisign::sign(None, &keys.sk, Cursor::new(&old), Some(&comment), None);
            let signature = signature.expect("a signature").to_string();
            release.asset(&file, old).asset(&format!("{file}.minisig"), signature)
        })
    };
    world.github.publish("owner/tool", signed("v1.0.0", "1.0.0"));
    world.bake(["lock"]).done();
    assert!(world.evidence("tool").contains(&Evidence::Minisign));
    // The old archive as a new version, with the old archive's signature.
    world.github.publish("owner/tool", signed("v2.0.0", "1.0.0"));
    let said = world.bake(["lock", "--update"]).ended(1);
    assert!(said.err.contains("bad-signature") && said.err.contains(AMD64), "{}", said.err);
    assert_eq!(world.version("tool"), "1.0.0");
}

#[test]
fn the_catalog_does_not_replace_a_signature() {
    let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
    let world = World::new(&format!("  - {{name: gog, minisign: {}}}\n", keys.pk.to_base64()))
        .with("GITHUB_API_URL", "http://127.0.0.1:9");
    world.bake(["lock", "--offline"]).ended(2);
    let said = world.bake(["lock"]).ended(1);
    assert!(said.err.contains("upstream-unreachable"), "{}", said.err);
    assert!(!world.folder.join("bake.lock").exists());
}

#[test]
fn an_allowed_exception_queries_the_publisher() {
    let world = project(release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    let other = archive("tool", "other bytes", Arch::Amd64);
    world.github.replace("owner/tool", "v1.0.0", AMD64, other.clone());
    world.github.publish("owner/tool", release("tool", "v2.0.0"));
    world.bake(["lock", "--allow-republished", "tool"]).done();
    assert_eq!(world.version("tool"), "1.0.0");
    assert_eq!(world.build("tool", Arch::Amd64).sha256, Sha256::of(other));
}

#[test]
fn an_older_newest_release_of_a_pinned_tool_is_reported() {
    let world = World::new("  - {name: tool, repo: owner/tool, version: 2.0.0}\n");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.github.publish("owner/tool", release("tool", "v2.0.0").prerelease());
    let said = world.bake(["lock", "--update", "tool"]).done();
    assert!(said.err.contains("--allow-downgrade tool"), "{}", said.err);
    assert_eq!(world.version("tool"), "2.0.0");
}

#[test]
fn files_of_a_killed_run_are_removed() {
    let world = project(release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    let before = world.project_files();
    for name in [".bake.lock.bake-new", "images/.binaries.yaml.bake-new"] {
        world.folder.write(name, "half a");
    }
    world.bake(["lock"]).done();
    assert!(world.project_files() == before);
}

#[test]
fn a_repository_with_several_tools_is_ambiguous() {
    let world = project(release("tool", "tool-v1.0.0"));
    world.bake(["lock"]).done();
    assert_eq!(world.version("tool"), "1.0.0");
    world.github.publish("owner/tool", release("lib", "lib-v9.9.9"));
    world.bake(["lock", "--update"]).done();
    assert_eq!(world.version("tool"), "1.0.0", "the word is the repository's name");
    let world = World::new("  - {name: tool, repo: owner/tools}\n");
    world.github.publish("owner/tools", release("tool", "tool-v1.0.0"));
    world.github.publish("owner/tools", release("lib", "lib-v9.9.9"));
    let said = world.bake(["lock"]).ended(1);
    for part in ["ambiguous-asset", "`tool`", "owner/tools", "`lib, tool`", "url:"] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    world.github.publish("owner/tools", release("tool", "v2.0.0"));
    world.bake(["lock"]).done();
    assert_eq!(world.version("tool"), "2.0.0", "no word is its own");
}

/// Comparing each name with each other would take hours for as many files as an answer has room for.
#[test]
fn a_release_with_many_files_takes_no_longer_and_one_with_too_many_is_refused() {
    let world = World::new("  - {name: tool, repo: owner/tool}\n");
    let with = |count: usize, name: &dyn Fn(usize) -> String| {
        let files = count - release("tool", "v1.0.0").assets.len();
        (0..files).fold(release("tool", "v1.0.0"), |release, number| release.asset(&name(number), "x"))
    };
    let own = |_: usize| "tool_1.0.0_linux_amd64.sha256".to_owned();
    let list = |number: usize| format!("checksums{number}.txt");
    let build = |number: usize| format!("tool{number}_1.0.0_windows.zip");
    for name in [&own as &dyn Fn(usize) -> String, &list, &build] {
        world.github.publish("owner/tool", Release { tag: "v1.0.1".to_owned(), ..with(1001, name) });
        let said = world.bake(["lock"]).ended(1);
        assert!(said.err.contains("has 1001 files, and GitHub allows 1000"), "{}", said.err);
        world.github.vanish("owner/tool", "v1.0.1");
    }
    world.github.publish("owner/tool", with(1000, &build));
    let start = Instant::now();
    world.bake(["lock"]).done();
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
}
