//! `bake lock` against a local upstream: selection, trust, and unchanged entries.

use std::fs;

use crate::support::Said;
use crate::support::github::release::WRONG;
use crate::support::github::{Host, Release, Style, TOKEN};
use crate::support::shapes::{self, Tool};
use crate::support::test;
use crate::support::world::{World, archive, release};
use bake::digest::Sha256;
use bake::lock::Evidence;
use bake::project::values::Arch;
use jiff::{SignedDuration, Timestamp};
use minisign::KeyPair;
use serde_json::Value;

/// A port without a listener (RFC 863).
const NOBODY: &str = "http://127.0.0.1:9";

/// A project with one tool, `tool` from `owner/tool`, and what else its entry says.
fn project(rest: &str) -> World {
    World::new(&format!("  - {{name: tool, repo: owner/tool{rest}}}\n"))
}

fn keys() -> KeyPair {
    KeyPair::generate_unencrypted_keypair().expect("keys")
}

/// When that many days ago was: RFC 3339.
fn days_ago(days: i64) -> String {
    (Timestamp::now() - SignedDuration::from_hours(24 * days)).to_string()
}

/// The name of a release's archive for amd64.
fn amd64(release: &Release) -> &str {
    let found = release.assets.iter().find(|asset| asset.name.ends_with("amd64.tar.gz"));
    &found.expect("an archive").name
}

/// The line of the output that is about a tool.
#[track_caller]
fn line<'a>(said: &'a Said, tool: &str) -> &'a str {
    let found = said.out.lines().find(|line| line.split_whitespace().next() == Some(tool));
    found.unwrap_or_else(|| panic!("nothing of {tool} in:\n{}", said.out))
}

/// Publishes these tags, oldest first; `*` marks the one that GitHub calls the latest.
fn published(world: &World, tags: &[&str]) {
    for tag in tags {
        let name = tag.trim_end_matches('*');
        let release = Arch::ALL.into_iter().fold(Release::new(name), |release, arch| {
            release.asset(&format!("tool_linux_{arch}.tar.gz"), archive("tool", name, arch))
        });
        let release = if tag.ends_with('*') { release.latest() } else { release };
        world.github.publish("owner/tool", release);
    }
}

#[test]
fn githubs_word_on_the_latest_release_decides_before_a_spelling() {
    for (tags, locked, note) in [
        // A line for the past, published later.
        (&["v3.0.0", "v2.9.1"][..], "3.0.0", Some("calls `v2.9.1` the latest release, and 3.0.0 is locked")),
        (&["v3.0.0*", "v3.1.0"], "3.1.0", Some("calls `v3.0.0` the latest release, and 3.1.0 is locked")),
        (&["v3.0.0", "v3.1.0"], "3.1.0", None),
        // A project with betas only.
        (&["v0.3.0-beta.1", "v0.3.0-beta.2"], "0.3.0-beta.2", None),
        (&["v0.3.0", "v0.4.0-rc1"], "0.4.0-rc1", None),
        // Dates, and then versions.
        (&["2025.11.3", "2026.1.20", "v1.2.0"], "1.2.0", None),
        (&["v7.1.0", "2026.1.20"], "2026.1.20", None),
        // Another thing of the same repository.
        (&["v1.4.0", "docs-v9.0.0"], "1.4.0", None),
    ] {
        let world = World::new("  - {name: tool, repo: owner/tool}\n");
        published(&world, tags);
        let said = world.bake(["lock"]).done();
        assert_eq!(world.version("tool"), locked, "{tags:?}");
        match note {
            Some(note) => assert!(said.err.contains(note), "{note}: {}", said.err),
            None => assert!(!said.err.contains("GitHub"), "{tags:?}: {}", said.err),
        }
    }
}

#[test]
fn a_locked_pre_release_gets_a_note() {
    let world = World::new("  - {name: tool, repo: owner/tool, version: 2.0.0-rc.1}\n");
    world.github.publish("owner/tool", release("tool", "v2.0.0-rc.1").prerelease());
    let said = world.bake(["lock"]).done();
    assert!(said.err.contains("GitHub marks 2.0.0-rc.1 as a pre-release"), "{}", said.err);
}

#[test]
fn forty_tools_are_locked_from_nothing_and_then_nothing_is_asked() {
    let tools: Vec<Tool> = (0..40).map(shapes::tool).collect();
    let manifest: String = tools.iter().map(|tool| tool.entry.as_str()).collect();
    let world = World::new(&manifest);
    for tool in &tools {
        world.github.publish(&tool.repo, tool.release.clone());
    }
    let said = world.bake(["lock"]).done();
    for tool in &tools {
        assert!(line(&said, &tool.name).contains(tool.version), "{}", line(&said, &tool.name));
        for arch in Arch::ALL {
            let build = world.build(&tool.name, arch);
            let (asset, binary) = &tool.expected[&arch];
            let bytes = tool.release.bytes(asset);
            assert_eq!(build.url.as_str(), world.github.download(&tool.repo, &tool.release.tag, asset));
            assert_eq!((build.sha256, build.size), (Sha256::of(bytes), Some(bytes.len() as u64)), "{asset}");
            assert_eq!(build.binary_sha256, Some(Sha256::of(binary)), "{asset}");
        }
    }
    let requests = world.github.requests();
    let asked = requests.iter().filter(|request| request.host == Host::Api).count();
    assert!(asked <= 60, "{asked} requests are more than GitHub grants in an hour without a token");

    let locked = world.files();
    let again = world.bake(["lock"]).done();
    assert!(again.out.contains("bake.lock is up to date"), "{}", again.out);
    assert!(world.github.requests().is_empty());
    assert!(world.files() == locked, "a second run changed something");

    let project = world.project_files();
    fs::remove_dir_all(world.cache()).expect("a cache");
    world.bake(["lock"]).done();
    assert!(world.github.requests().is_empty());
    assert!(world.project_files() == project, "a run without the cache changed something");
    world.bake(["render"]).done();
}

#[test]
fn a_further_tool_asks_nothing_about_the_others() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.github.publish("owner/more", release("more", "v2.0.0"));
    world.bake(["lock"]).done();
    let before = world.folder.read("bake.lock");
    world.github.requests();
    world.folder.edit("images/binaries.yaml", "binaries:", "binaries:\n  - {name: more, repo: owner/more}");
    world.bake(["lock"]).done();
    for request in world.github.requests() {
        assert!(
            request.target.contains("owner/more") || request.target.contains("more_2.0.0"),
            "{request:?}"
        );
    }
    assert_eq!(world.version("more"), "2.0.0");
    let of_tool = before.split("  tool:").nth(1).expect("an entry");
    assert!(world.folder.read("bake.lock").ends_with(of_tool));
}

#[test]
fn a_first_lock_is_complete() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    let mut names: Vec<_> = fs::read_dir(world.folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("a name"))
        .collect();
    names.sort();
    assert_eq!(names, ["bake.lock", "bake.yaml", "images"]);
}

#[test]
fn the_base_image_is_locked_for_both_architectures() {
    let world = World::new("");
    world.bake(["lock"]).done();
    let image = world.lock().image;
    assert_eq!(image.reference.to_string(), world.github.image());
    assert_eq!(image.platforms.keys().copied().collect::<Vec<_>>(), Arch::ALL);
    assert!(image.evidence.contains(&Evidence::ApiDigest), "{:?}", image.evidence);
    assert!(!image.platforms.values().any(|digest| *digest == image.digest));
    world.github.requests();
    world.bake(["lock"]).done();
    assert!(world.github.requests().is_empty());
}

#[test]
fn the_base_image_is_locked_from_a_real_registry() {
    let image = crate::support::testbed::base_image();
    let world = World::new("");
    let (by_tag, digest) = image.split_once('@').expect("a digest");
    for reference in [by_tag, &image] {
        world.folder.write("bake.yaml", format!("version: 1\ngateway:\n  image: {reference}\n"));
        world.bake(["lock"]).done();
        let locked = world.lock().image;
        assert_eq!(locked.digest.oci(), digest);
        assert!(!locked.platforms.is_empty(), "{locked:?}");
    }
}

#[test]
fn a_version_is_found_however_its_tag_is_written() {
    for tag in ["v1.2.3", "1.2.3", "tool-v1.2.3", "tool-1.2.3", "tool/v1.2.3"] {
        let world = project(", version: 1.2.3");
        let assets = release("tool", "v1.2.3").assets;
        world.github.publish("owner/tool", Release { assets, ..Release::new(tag) });
        world.github.publish("owner/tool", release("tool", "v1.3.0"));
        world.bake(["lock"]).done();
        assert_eq!(world.version("tool"), "1.2.3", "{tag}");
    }
}

#[test]
fn the_version_of_a_tag_with_a_name_before_it_is_the_part_behind() {
    for tag in ["v1.2.3", "1.2.3", "tool-v1.2.3"] {
        let world = project("");
        let assets = release("tool", "v1.2.3").assets;
        world.github.publish("owner/tool", Release { assets, ..Release::new(tag) });
        world.bake(["lock"]).done();
        assert_eq!(world.version("tool"), "1.2.3", "{tag}");
    }
}

#[test]
fn drafts_and_pre_releases_are_left_out() {
    let world = project("").with("GITHUB_TOKEN", TOKEN);
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.github.publish("owner/tool", release("tool", "v2.0.0-rc.1").prerelease());
    world.github.publish("owner/tool", release("tool", "v2.0.0").draft());
    world.bake(["lock"]).done();
    assert_eq!(world.version("tool"), "1.0.0");
    world.bake(["lock", "--update"]).done();
    assert_eq!(world.version("tool"), "1.0.0");
}

#[test]
fn a_pre_release_that_is_named_is_taken() {
    let world = project(", version: 2.0.0-rc.1");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.github.publish("owner/tool", release("tool", "v2.0.0-rc.1").prerelease());
    world.bake(["lock"]).done();
    assert_eq!(world.version("tool"), "2.0.0-rc.1");
}

#[test]
fn a_repository_with_pre_releases_alone_has_nothing_to_lock() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0-rc.1").prerelease());
    let said = world.bake(["lock"]).ended(1);
    assert!(said.err.contains("tool") && said.err.contains("owner/tool"), "{}", said.err);
    assert!(!world.folder.join("bake.lock").exists());
}

#[test]
fn a_release_on_the_third_page_is_found() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0").published(&days_ago(30)));
    for build in 0..250 {
        world.github.publish("owner/tool", Release::new(&format!("v2.0.{build}")).published(&days_ago(2)));
    }
    world.bake(["lock", "--min-age", "7"]).done();
    assert_eq!(world.version("tool"), "1.0.0");
}

#[test]
fn a_release_that_is_too_new_is_left_for_later() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0").published(&days_ago(30)));
    world.github.publish("owner/tool", release("tool", "v1.1.0").published(&days_ago(2)));
    world.bake(["lock", "--min-age", "7"]).done();
    assert_eq!(world.version("tool"), "1.0.0");
    world.bake(["lock", "--update", "--min-age", "7"]).done();
    assert_eq!(world.version("tool"), "1.0.0");
    world.bake(["lock", "--update", "--min-age", "1"]).done();
    assert_eq!(world.version("tool"), "1.1.0");
}

#[test]
fn no_release_is_locked_if_all_are_too_new() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.1.0").published(&days_ago(2)));
    let said = world.bake(["lock", "--min-age", "7"]).ended(1);
    assert!(said.err.contains("tool") && said.err.contains('7'), "{}", said.err);
    assert!(!world.folder.join("bake.lock").exists());
}

#[test]
fn a_repository_that_moved_is_followed_and_told() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.github.rename("owner/tool", "elsewhere/tool");
    let said = world.bake(["lock"]).done();
    let all = format!("{}{}", said.out, said.err);
    assert!(all.contains("owner/tool") && all.contains("elsewhere/tool"), "{all}");
    assert_eq!(world.version("tool"), "1.0.0");
}

#[test]
fn a_url_is_locked_without_asking_the_api() {
    let world = World::new("");
    let release = release("tool", "v1.0.0");
    world.github.publish("owner/tool", release.clone());
    let url = world.github.download("owner/tool", "v{version}", "tool_{version}_linux_{arch}.tar.gz");
    let entry = format!("version: 1\nbinaries:\n  - {{name: tool, version: 1.0.0, url: '{url}'}}\n");
    world.folder.write("images/binaries.yaml", entry);
    let said = world.bake(["lock"]).done();
    assert!(!world.github.requests().iter().any(|request| request.host == Host::Api));
    assert!(line(&said, "tool").contains("computed only"), "{}", said.out);
    assert_eq!(world.evidence("tool"), [Evidence::Computed]);
    let bytes = release.bytes(amd64(&release));
    assert_eq!(world.build("tool", Arch::Amd64).sha256, Sha256::of(bytes));
}

#[test]
fn the_trust_in_a_checksum_is_shown_and_kept() {
    let keys = keys();
    let plain = release("tool", "v1.0.0");
    let [computed, checksum, digest] = [Evidence::Computed, Evidence::ChecksumFile, Evidence::ApiDigest];
    let with_file = || plain.clone().checksums("checksums.txt", Style::Gnu);
    for (release, level, has, has_not) in [
        (plain.clone().without_digests(), "computed only", vec![computed], vec![checksum, digest]),
        (plain.clone(), "API digest", vec![digest], vec![checksum]),
        (with_file().without_digests(), "publisher checksum", vec![checksum], vec![digest]),
        (with_file(), "publisher checksum + API digest", vec![checksum, digest], vec![]),
        (with_file().minisig("checksums.txt", &keys), "publisher checksum + API digest", vec![], vec![]),
    ] {
        let world = project("");
        world.github.publish("owner/tool", release.clone());
        let said = world.bake(["lock"]).done();
        assert!(line(&said, "tool").contains(level), "{level}:\n{}", said.out);
        assert!(level.contains('+') || !line(&said, "tool").contains('+'), "{level}:\n{}", said.out);
        let evidence = world.evidence("tool");
        assert!(has.iter().all(|kind| evidence.contains(kind)), "{level}: {evidence:?}");
        assert!(!has_not.iter().any(|kind| evidence.contains(kind)), "{level}: {evidence:?}");
        let unchecked =
            format!("{}{}", said.out, said.err).contains("a signature exists and was not checked");
        assert_eq!(
            unchecked,
            release.assets.iter().any(|asset| asset.name.ends_with(".minisig")),
            "{said:?}"
        );
    }
}

#[test]
fn a_signature_is_checked_where_the_manifest_names_the_key() {
    let keys = keys();
    let plain = release("tool", "v1.0.0").checksums("checksums.txt", Style::Gnu);
    let world = project(&format!(", minisign: {}", keys.pk.to_base64()));
    world.github.publish("owner/tool", signed(plain, &keys));
    let said = world.bake(["lock"]).done();
    assert!(line(&said, "tool").contains("signed"), "{}", said.out);
    assert!(world.evidence("tool").contains(&Evidence::Minisign));
}

/// The release with a signature of each archive.
fn signed(release: Release, keys: &KeyPair) -> Release {
    Arch::ALL
        .iter()
        .fold(release, |release, arch| release.minisig(&format!("tool_1.0.0_linux_{arch}.tar.gz"), keys))
}

#[test]
fn a_signature_that_is_not_the_keys_is_refused() {
    let (ours, theirs) = (keys(), keys());
    let plain = || release("tool", "v1.0.0");
    let mut changed = signed(plain(), &ours);
    changed.find("tool_1.0.0_linux_amd64.tar.gz").bytes = archive("tool", "1.0.0, changed", Arch::Amd64);
    let mut none = signed(plain(), &ours);
    none.find("tool_1.0.0_linux_arm64.tar.gz.minisig").bytes = b"none".to_vec();
    for (release, why) in [
        (signed(plain(), &theirs), "another's signature"),
        (changed, "an archive that changed after it was signed"),
        (none, "what is no signature"),
        (plain(), "no signature"),
        (plain().checksums("checksums.txt", Style::Gnu).minisig("checksums.txt", &ours), "another file's"),
    ] {
        let world = project(&format!(", minisign: {}", ours.pk.to_base64()));
        world.github.publish("owner/tool", release);
        let before = world.project_files();
        let said = world.bake(["lock"]).ended(1);
        let url = world.github.download("owner/tool", "v1.0.0", "tool_1.0.0_linux_");
        for part in ["tool", "1.0.0", ".minisig", &url] {
            assert!(said.err.contains(part), "{why}: {part} is not in:\n{}", said.err);
        }
        assert!(world.project_files() == before, "{why}");
    }
}

#[test]
fn a_file_of_checksums_is_read_however_it_is_written() {
    let styles = [
        Style::Gnu,
        Style::Binary,
        Style::Bsd,
        Style::UpperHex,
        Style::CrLf,
        Style::DotSlash,
        Style::InFolder,
    ];
    for name in ["checksums.txt", "SHA256SUMS", "tool_1.0.0_checksums.txt", "sha256sum.txt", "sha256.sum"] {
        for style in styles {
            let world = project("");
            world.github.publish("owner/tool", release("tool", "v1.0.0").checksums(name, style));
            world.bake(["lock"]).done();
            assert!(world.evidence("tool").contains(&Evidence::ChecksumFile), "{name}, {style:?}");
        }
    }
    for style in styles.into_iter().chain([Style::Bare]) {
        let world = project("");
        world.github.publish("owner/tool", release("tool", "v1.0.0").sidecars(style));
        world.bake(["lock"]).done();
        assert!(world.evidence("tool").contains(&Evidence::ChecksumFile), "{style:?}");
    }
}

#[test]
fn a_file_of_checksums_that_lists_other_files_says_nothing() {
    let world = project("");
    let release = release("tool", "v1.0.0").checksums("checksums.txt", Style::OtherName);
    world.github.publish("owner/tool", release);
    let said = world.bake(["lock"]).done();
    assert!(!line(&said, "tool").contains("publisher checksum"), "{}", said.out);
    assert!(!world.evidence("tool").contains(&Evidence::ChecksumFile));
}

#[test]
fn statements_that_disagree_are_both_named() {
    let asset = "tool_1.0.0_linux_amd64.tar.gz";
    let plain = || release("tool", "v1.0.0");
    for (release, first, second) in [
        (plain().checksums("checksums.txt", Style::Wrong), "checksums.txt", "API"),
        (plain().without_digests().checksums("checksums.txt", Style::Wrong), "checksums.txt", "download"),
        (plain().sidecars(Style::Wrong), ".sha256", "API"),
        (plain().wrong_digest(asset), "API", "download"),
        (plain().checksums("checksums.txt", Style::Gnu).wrong_digest(asset), "checksums.txt", "API"),
    ] {
        let right = Sha256::of(release.bytes(asset)).to_string();
        let world = project("");
        world.github.publish("owner/tool", release);
        let before = world.project_files();
        let said = world.bake(["lock"]).ended(1);
        for part in [
            "tool",
            "1.0.0",
            first,
            second,
            WRONG,
            &right,
            &world.github.download("owner/tool", "v1.0.0", "tool_"),
        ] {
            assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
        }
        assert!(world.project_files() == before);
    }
}

#[test]
fn musl_comes_before_glibc_and_archives_before_anything_else() {
    let world = project("");
    let release = Arch::ALL.into_iter().fold(Release::new("v1.0.0"), |release, arch| {
        let spelling = if arch == Arch::Amd64 { "x86_64" } else { "aarch64" };
        let bytes = archive("tool", "1.0.0", arch);
        let bare = crate::support::elf::executable(arch, "bare");
        release
            .asset(&format!("tool-{spelling}-unknown-linux-gnu.tar.gz"), "glibc's")
            .asset(&format!("tool-{spelling}-unknown-linux-musl.tar.gz"), bytes)
            .asset(&format!("tool-{spelling}-unknown-linux-musl"), bare)
            .asset(&format!("tool_1.0.0_{arch}.deb"), "a package")
            .asset(&format!("tool-1.0.0.{spelling}.rpm"), "a package")
            .asset(&format!("tool-{spelling}-unknown-linux-musl.apk"), "a package")
            .asset(&format!("tool-{spelling}-apple-darwin.tar.gz"), "another system's")
            .asset(&format!("tool-{spelling}-pc-windows-msvc.zip"), "another system's")
    });
    world.github.publish("owner/tool", release);
    world.bake(["lock"]).done();
    let names = Arch::ALL.map(|arch| world.build("tool", arch).url.file_name().to_owned());
    assert_eq!(names, ["tool-x86_64-unknown-linux-musl.tar.gz", "tool-aarch64-unknown-linux-musl.tar.gz"]);
}

#[test]
fn two_assets_that_fit_alike_are_both_listed() {
    let world = project("");
    let release = Arch::ALL.into_iter().fold(Release::new("v1.0.0"), |release, arch| {
        release
            .asset(&format!("tool_linux_{arch}.tar.gz"), archive("tool", "1.0.0", arch))
            .asset(&format!("tool-full_linux_{arch}.tar.gz"), archive("tool", "1.0.0", arch))
    });
    world.github.publish("owner/tool", release);
    let before = world.files();
    let said = world.bake(["lock"]).ended(1);
    for part in ["tool", "1.0.0", "tool_linux_amd64.tar.gz", "tool-full_linux_amd64.tar.gz", "asset"] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert!(world.files() == before);
    world.folder.edit("images/binaries.yaml", "owner/tool", "owner/tool, asset: 'tool_linux_{arch}.tar.gz'");
    world.bake(["lock"]).done();
}

#[test]
fn an_unfinished_upload_is_ignored() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0").unfinished("tool_1.0.0_linux_arm64.tar.gz"));
    let said = world.bake(["lock"]);
    assert!(said.err.contains("arm64"), "{said:?}");
    assert!(!world.github.requests().iter().any(|request| request.target.contains("arm64")));
}

#[test]
fn the_token_reaches_the_api_alone_and_no_message() {
    let world = project("").with("GITHUB_TOKEN", TOKEN);
    let release = release("tool", "v1.0.0").checksums("checksums.txt", Style::Gnu);
    world.github.publish("owner/tool", release);
    let mut said = vec![world.bake(["-v", "lock"]).done()];
    let requests = world.github.requests();
    for request in &requests {
        let expected = (request.host == Host::Api).then(|| format!("Bearer {TOKEN}"));
        assert_eq!(request.header("authorization"), expected.as_deref(), "{}", request.target);
        assert!(!request.target.contains(TOKEN));
    }
    for host in [Host::Api, Host::Web, Host::Objects] {
        assert!(requests.iter().any(|request| request.host == host), "{host:?} was not asked");
    }
    said.push(world.bake(["-v", "lock", "--update", "--json"]).done());
    world.github.vanish("owner/tool", "v1.0.0");
    said.push(world.bake(["-v", "lock", "--update"]).ended(1));
    for said in said {
        assert!(!said.out.contains(TOKEN) && !said.err.contains(TOKEN), "{said:?}");
    }
    for (path, content) in world.files() {
        assert!(!String::from_utf8_lossy(&content).contains(TOKEN), "{}", path.display());
    }
}

#[test]
fn a_token_that_is_not_accepted_is_named_by_its_variable() {
    let wrong = "ghp_wrongWRONGwrongWRONGwrongWRONGwrong";
    let world = project("").with("GITHUB_TOKEN", wrong);
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    let said = world.bake(["lock"]).ended(1);
    assert!(said.err.contains("GITHUB_TOKEN"), "{}", said.err);
    assert!(!said.err.contains(wrong), "{}", said.err);
}

#[test]
fn an_exhausted_limit_says_when_it_ends() {
    for token in [None, Some(TOKEN)] {
        let world = project("");
        let world = match token {
            Some(token) => world.with("GITHUB_TOKEN", token),
            None => world,
        };
        world.github.publish("owner/tool", release("tool", "v1.0.0"));
        world.github.exhaust();
        let before = world.files();
        let said = world.bake(["lock"]).ended(1);
        let reset = Timestamp::from_second(world.github.reset().cast_signed()).expect("a time");
        for part in ["tool", "owner/tool", &reset.to_string()[11..16]] {
            assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
        }
        assert_eq!(said.err.contains("GITHUB_TOKEN"), token.is_none(), "{}", said.err);
        // Asking again before that time is what GitHub asks not to be done.
        let asked = world.github.requests().iter().filter(|request| request.host == Host::Api).count();
        assert_eq!(asked, 1);
        assert!(world.files() == before);
    }
}

#[test]
fn an_update_says_what_changes() {
    let world = project("");
    let (old, new) = (release("tool", "v1.2.3"), release("tool", "v1.3.0"));
    world.github.publish("owner/tool", old.clone());
    world.bake(["lock"]).done();
    world.github.publish("owner/tool", new.clone());
    world.bake(["lock"]).done();
    assert_eq!(world.version("tool"), "1.2.3", "only --update looks for newer ones");
    let said = world.bake(["lock", "--update"]).done();
    let [old, new] = [&old, &new].map(|release| Sha256::of(release.bytes(amd64(release))).to_string());
    for part in ["tool 1.2.3 -> 1.3.0", &old[..8], &new[..8]] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert_eq!(world.version("tool"), "1.3.0");
    let said = world.bake(["lock", "--update"]).done();
    assert!(said.out.contains("up to date"), "{}", said.out);
}

#[test]
fn an_update_fetches_no_archive_that_is_as_it_was() {
    let world = project("");
    let release = release("tool", "v1.2.3");
    let archive = format!("/{}", amd64(&release));
    world.github.publish("owner/tool", release);
    world.bake(["lock"]).done();
    fs::remove_dir_all(world.cache()).expect("the cache");
    world.github.requests();
    let said = world.bake(["lock", "--update"]).done();
    assert!(said.out.contains("up to date"), "{}", said.out);
    let asked = world.github.requests();
    assert!(asked.iter().any(|request| request.target.contains("owner/tool/releases")), "{asked:?}");
    assert!(!asked.iter().any(|request| request.target.ends_with(&archive)), "{asked:?}");
}

#[test]
fn a_pinned_version_moves_only_where_it_is_named() {
    let world = World::new(
        "  # kept back for a reason\n  - {name: tool, repo: owner/tool, version: 1.0.0}  # see above\n  - {name: more, repo: owner/more}\n",
    );
    for name in ["tool", "more"] {
        world.github.publish(&format!("owner/{name}"), release(name, "v1.0.0"));
    }
    world.bake(["lock"]).done();
    for name in ["tool", "more"] {
        world.github.publish(&format!("owner/{name}"), release(name, "v2.0.0"));
    }
    let manifest = world.folder.read("images/binaries.yaml");
    world.bake(["lock", "--update"]).done();
    assert_eq!((world.version("tool"), world.version("more")), ("1.0.0".to_owned(), "2.0.0".to_owned()));
    assert_eq!(world.folder.read("images/binaries.yaml"), manifest);
    world.bake(["lock", "--update", "tool"]).done();
    assert_eq!(world.version("tool"), "2.0.0");
    let expected = manifest.replace("version: 1.0.0", "version: 2.0.0");
    assert_eq!(world.folder.read("images/binaries.yaml"), expected);
    world.bake(["check"]).done();
}

#[test]
fn only_the_named_tool_is_updated() {
    let world = World::new("  - {name: tool, repo: owner/tool}\n  - {name: more, repo: owner/more}\n");
    for (name, tag) in [("tool", "v1.0.0"), ("more", "v1.0.0"), ("tool", "v2.0.0"), ("more", "v2.0.0")] {
        if tag == "v2.0.0" && !world.folder.join("bake.lock").exists() {
            world.bake(["lock"]).done();
        }
        world.github.publish(&format!("owner/{name}"), release(name, tag));
    }
    world.github.requests();
    world.bake(["lock", "--update", "more"]).done();
    assert_eq!((world.version("tool"), world.version("more")), ("1.0.0".to_owned(), "2.0.0".to_owned()));
    assert!(!world.github.requests().iter().any(|request| request.target.contains("owner/tool")));
}

#[test]
fn updating_an_unknown_tool_is_a_mistake() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    let said = world.bake(["lock", "--update", "tol"]).ended(2);
    assert!(said.err.contains("tol"), "{}", said.err);
}

#[test]
fn a_version_that_goes_backwards_is_refused_unless_it_is_named() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.9.0"));
    world.github.publish("owner/tool", release("tool", "v1.10.0"));
    world.bake(["lock"]).done();
    world.github.vanish("owner/tool", "v1.10.0");
    let before = world.files();
    let said = world.bake(["lock", "--update"]).ended(1);
    for part in ["tool", "1.10.0", "1.9.0", "--allow-downgrade"] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert!(world.files() == before);
    world.bake(["lock", "--update", "--allow-downgrade", "other"]).ended(2);
    world.bake(["lock", "--update", "--allow-downgrade", "tool"]).done();
    assert_eq!(world.version("tool"), "1.9.0");
}

#[test]
fn an_archive_that_changed_under_its_version_is_refused_unless_it_is_named() {
    let asset = "tool_1.0.0_linux_amd64.tar.gz";
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    world.bake(["lock"]).done();
    let old = world.build("tool", Arch::Amd64).sha256;
    let other = archive("tool", "1.0.0, other bytes", Arch::Amd64);
    world.github.replace("owner/tool", "v1.0.0", asset, other.clone());
    let before = world.files();
    let said = world.bake(["lock", "--update"]).ended(1);
    let url = world.github.download("owner/tool", "v1.0.0", asset);
    for part in
        ["tool", "1.0.0", &url, &old.to_string(), &Sha256::of(&other).to_string(), "--allow-republished"]
    {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert!(world.files() == before);
    world.bake(["lock", "--update", "--allow-republished", "tool"]).done();
    assert_eq!(world.build("tool", Arch::Amd64).sha256, Sha256::of(&other));
}

#[test]
fn a_check_changes_nothing() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    let before = world.project_files();
    world.bake(["lock", "--check"]).ended(1);
    assert!(world.project_files() == before);
    world.bake(["lock"]).done();
    let (before, _) = (world.files(), world.github.requests());
    world.bake(["lock", "--check"]).done();
    assert!(world.files() == before);
    assert!(world.github.requests().is_empty());
}

#[test]
fn offline_nothing_is_asked() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0"));
    let said = world.bake(["lock", "--offline"]).ended(2);
    assert!(said.err.contains("tool"), "{}", said.err);
    assert!(world.github.requests().is_empty());
    world.bake(["lock"]).done();
    world.github.requests();
    world.bake(["lock", "--offline"]).done();
    assert!(world.github.requests().is_empty());
}

#[test]
fn the_catalogs_checksums_are_kept_without_a_network() {
    let world = World::new("  - gog\n").with("GITHUB_API_URL", NOBODY);
    let said = world.bake(["lock"]).done();
    assert!(line(&said, "gog").contains("catalog checksum"), "{}", said.out);
    assert!(said.err.contains("gog"), "a warning names what could not be completed:\n{}", said.err);
    assert_eq!(world.evidence("gog"), [Evidence::Seed]);
    world.bake(["render"]).done();
}

#[test]
fn the_default_project_is_locked_without_a_network() {
    let world = World::new("");
    fs::remove_file(world.folder.join("bake.yaml")).expect("a file");
    fs::remove_dir_all(world.folder.join("images")).expect("a folder");
    world.bake(["init"]).done();
    let world = world.with("GITHUB_API_URL", NOBODY);
    let before = world.folder.read("bake.lock");
    world.bake(["lock"]).done();
    assert_eq!(world.folder.read("bake.lock"), before);
}

#[test]
fn a_document_tells_what_was_locked() {
    let world = project("");
    world.github.publish("owner/tool", release("tool", "v1.0.0").checksums("checksums.txt", Style::Gnu));
    let said = world.bake(["lock", "--json"]).done();
    let document: Value = serde_json::from_str(&said.out).expect("one JSON document");
    assert_eq!((&document["version"], &document["changed"]), (&1.into(), &true.into()));
    assert!(document.to_string().contains("publisher checksum + API digest"), "{document}");
    let again = world.bake(["lock", "--json"]).done();
    let document: Value = serde_json::from_str(&again.out).expect("one JSON document");
    assert_eq!(document["changed"], false);
}
