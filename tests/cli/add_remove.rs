//! `bake add` and `bake remove`: the manifest as a person would have edited it, and a lock that fits;
//! or neither.

use crate::support::github::{Fault, Host, Release, TOKEN};
use crate::support::test;
use crate::support::world::{World, archive, release};
use crate::support::{archives, elf};
use bake::lock::Evidence;
use bake::project::values::Arch;
use minisign::KeyPair;

/// A manifest as its author wrote it.
const MANIFEST: &str = "\
# What the gateway can do.
#
# Ask Ada before you remove anything.
version: 1
binaries:
  # -- mail
  - {name: post, repo: owner/post}   # reads and sends

  # -- places
  - name: places
    repo: owner/places   # the fork
    version: 1.0.0   # 1.1 crashes
    # - name: off
    #   repo: owner/off
  - {name: alarm, repo: owner/alarm}

# The end.
";

const OURS: [&str; 3] = ["post", "places", "alarm"];

/// A locked project with that manifest; upstream has another tool, `extra`.
fn world() -> World {
    let world = World::new("");
    world.folder.write("images/binaries.yaml", MANIFEST);
    for name in OURS.into_iter().chain(["extra", "further"]) {
        world.github.publish(&format!("owner/{name}"), release(name, "v1.0.0"));
    }
    world.bake(["lock"]).done();
    world.github.requests();
    world
}

fn manifest(world: &World) -> String {
    world.folder.read("images/binaries.yaml")
}

/// The manifest with lines put behind the last entry.
fn with(lines: &str) -> String {
    let last = "  - {name: alarm, repo: owner/alarm}\n";
    MANIFEST.replace(last, &format!("{last}{lines}"))
}

/// Runs what must change nothing.
#[track_caller]
fn refused(world: &World, arguments: &[&str], code: i32, parts: &[&str]) {
    let before = world.project_files();
    let said = world.bake(arguments.iter().copied()).ended(code);
    for part in parts {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert!(world.project_files() == before, "something changed");
}

#[test]
fn a_repository_is_added_as_by_hand_and_taken_out_again() {
    let world = world();
    let lock = world.folder.read("bake.lock");
    let said = world.bake(["add", "owner/extra"]).done();
    assert_eq!(manifest(&world), with("  - name: extra\n    repo: owner/extra\n"));
    assert_eq!(world.version("extra"), "1.0.0");
    for part in ["extra", "1.0.0", "API digest"] {
        assert!(said.out.contains(part), "{part} is not in:\n{}", said.out);
    }
    for request in world.github.requests() {
        assert!(request.target.contains("extra"), "{request:?}");
    }
    world.bake(["check"]).done();
    world.bake(["remove", "extra"]).done();
    assert!(world.github.requests().is_empty());
    assert_eq!(manifest(&world), MANIFEST);
    assert_eq!(world.folder.read("bake.lock"), lock);
}

#[test]
fn everything_that_can_be_said_is_written() {
    let world = world();
    let keys = KeyPair::generate_unencrypted_keypair().expect("keys");
    let key = keys.pk.to_base64();
    let mut published = Release::new("v2.0.0");
    for (arch, word) in [(Arch::Amd64, "intel"), (Arch::Arm64, "arm")] {
        let binary = elf::executable(arch, "two");
        let name = format!("box-2.0.0-{word}.tar.gz");
        published =
            published.asset(&name, archives::tar_gz(&[("bin/extra", &binary), ("bin/other", &binary)]));
        published = published.minisig(&name, &keys);
    }
    world.github.publish("owner/box", published);
    world
        .bake([
            "add",
            "owner/box@2.0.0",
            "--name",
            "extra",
            "--asset",
            "box-{version}-{arch}.tar.gz",
            "--arch",
            "amd64=intel",
            "--arch",
            "arm64=arm",
            "--binary",
            "bin/extra",
            "--minisign",
            &key,
            "--skill",
            "first",
            "--skill",
            "second",
        ])
        .done();
    let manifest = manifest(&world);
    assert!(
        manifest.starts_with(&with("").split("\n# The end").next().expect("a part").to_owned()),
        "{manifest}"
    );
    for line in [
        "  - name: extra\n    repo: owner/box\n    version: 2.0.0\n",
        "    arch: {amd64: intel, arm64: arm}\n",
        "    binary: bin/extra\n",
        "    skills: [first, second]\n",
        &key,
    ] {
        assert!(manifest.contains(line), "{line} is not in:\n{manifest}");
    }
    assert!(world.evidence("extra").contains(&Evidence::Minisign));
    assert_eq!(world.build("extra", Arch::Amd64).binary.as_str(), "bin/extra");
    world.bake(["check"]).done();
    world.bake(["remove", "extra"]).done();
    assert_eq!(self::manifest(&world), MANIFEST);
}

fn tagged(release: Release, tag: &str) -> Release {
    Release { tag: tag.to_owned(), ..release }
}

#[test]
fn what_people_paste_is_understood() {
    let newest = "  - name: extra\n    repo: owner/extra\n";
    let older = "  - name: extra\n    repo: owner/extra\n    version: 0.9.0\n";
    for (pasted, lines, version) in [
        ("https://github.com/owner/extra", newest, "1.0.0"),
        ("https://github.com/owner/extra.git", newest, "1.0.0"),
        ("github.com/owner/extra/", newest, "1.0.0"),
        ("https://www.github.com/owner/extra?tab=readme-ov-file#install", newest, "1.0.0"),
        ("https://github.com/owner/extra/releases/latest", newest, "1.0.0"),
        ("https://github.com/owner/extra/tree/main/docs", newest, "1.0.0"),
        ("owner/extra@latest", newest, "1.0.0"),
        ("owner/extra@v0.9.0", older, "0.9.0"),
        ("owner/extra@0.9.0", older, "0.9.0"),
        ("https://github.com/owner/extra@v0.9.0", older, "0.9.0"),
        ("https://github.com/owner/extra/releases/tag/v0.9.0", older, "0.9.0"),
        (
            "https://github.com/owner/extra/releases/download/v0.9.0/extra_0.9.0_linux_amd64.tar.gz",
            older,
            "0.9.0",
        ),
    ] {
        let world = world();
        world.github.publish("owner/extra", release("extra", "v0.9.0").published("2020-01-01T00:00:00Z"));
        world.bake(["add", pasted]).done();
        assert_eq!(manifest(&world), with(lines), "{pasted}");
        assert_eq!(world.version("extra"), version, "{pasted}");
    }
    // The tag of one of several things, as it is in the URL of its page.
    for page in ["releases/tag/%40own%2Fcli%402.0.0", "releases/tag/@own/cli@2.0.0"] {
        let world = world();
        for thing in ["cli", "server"] {
            let tag = format!("@own/{thing}@2.0.0");
            world.github.publish("own/tools", tagged(release(thing, "v2.0.0"), &tag));
        }
        world.bake(["add", &format!("https://github.com/own/tools/{page}")]).done();
        let lines = "  - name: cli\n    repo: own/tools\n    version: own-cli-2.0.0\n";
        assert_eq!(manifest(&world), with(lines), "{page}");
    }
}

/// The reason is the true one, the help names options, and no place that was not written is shown.
#[test]
fn each_reason_is_the_true_one() {
    let world = world().with("GITHUB_TOKEN", TOKEN);
    world.github.publish("owner/empty", release("empty", "v1.0.0"));
    world.github.vanish("owner/empty", "v1.0.0");
    world.github.publish("owner/betas", release("betas", "v1.0.0").prerelease());
    world.github.publish("owner/rolling", release("rolling", "nightly"));
    for thing in ["cli", "server"] {
        world.github.publish("owner/many", tagged(release(thing, "v1.0.0"), &format!("{thing}/v1.0.0")));
    }
    let two = ["extra-linux-amd64.tar.gz", "extra-full-linux-amd64.tar.gz"];
    let bytes = archive("extra", "1.0.0", Arch::Amd64);
    let two =
        two.into_iter().fold(Release::new("v1.0.0"), |release, name| release.asset(name, bytes.clone()));
    world.github.publish("owner/two", two);
    world.github.publish("owner/other", Release::new("v1.0.0").asset("notes.pdf", "x"));
    world.github.publish("corp/open", release("open", "v1.0.0"));
    world.github.fault(Host::Api, "/repos/corp/", Fault::Saml);
    for (tool, parts) in [
        ("owner/nothing", &["there is no repository owner/nothing, or it is private"][..]),
        ("owner/empty", &["owner/empty has no release: ", "with `--url`"]),
        ("owner/betas", &["no release but drafts and pre-releases", "name it with `@VERSION`"]),
        ("owner/rolling", &["no release whose tag names a version, such as `nightly`", "`@VERSION`"]),
        ("owner/many", &["releases of several things", "cli, server", "such as `@cli-v1.2.3`", "`--url`"]),
        ("owner/extra@9.9.9", &["owner/extra has no release 9.9.9", "with `@VERSION`"]),
        ("owner/extra@v9.9.9", &["owner/extra has no release 9.9.9"]),
        ("owner/two", &["extra-full-linux-amd64.tar.gz", "`--asset`"]),
        ("owner/other", &["has no build for amd64", "notes.pdf", "`--asset`", "`--arch`"]),
        (
            "corp/closed",
            &[
                "requires SAML single sign-on",
                "https://github.com/orgs/owner/sso?authorization_request=A1 authorizes it",
                "GITHUB_TOKEN",
            ],
        ),
    ] {
        refused(&world, &["add", tool], 1, parts);
        let said = world.bake(["add", tool]);
        assert!(!said.err.contains("-->") && !said.err.contains("binaries.yaml"), "{tool}: {}", said.err);
    }
    // Public repositories can be read without the token.
    world.bake(["add", "corp/open"]).done();
}

#[test]
fn a_url_is_added() {
    let world = world();
    let url = world.github.download("owner/extra", "v{version}", "extra_{version}_linux_{arch}.tar.gz");
    world.bake(["add", "--url", &url, "--tool-version", "1.0.0", "--name", "fetched"]).done();
    let manifest = manifest(&world);
    assert!(manifest.contains("  - name: fetched\n    url: "), "{manifest}");
    assert_eq!(world.version("fetched"), "1.0.0");
    assert_eq!(world.evidence("fetched"), [Evidence::Computed]);
    assert!(!world.github.requests().iter().any(|request| request.host == Host::Api));
    world.bake(["check"]).done();
}

#[test]
fn a_tool_of_the_catalog_is_one_line() {
    let world = world().with("GITHUB_API_URL", "http://127.0.0.1:9");
    world.bake(["add", "gog"]).done();
    assert_eq!(manifest(&world), with("  - gog\n"));
    world.bake(["check"]).done();
    world.bake(["remove", "gog"]).done();
    assert_eq!(manifest(&world), MANIFEST);
}

#[test]
fn a_tool_of_the_catalog_at_another_version_is_asked_for() {
    let world = world();
    let published = release("gogcli", "v0.99.0");
    let published = published
        .assets
        .into_iter()
        .zip(Arch::ALL)
        .fold(Release::new("v0.99.0"), |release, (asset, arch)| {
            release.asset(&asset.name, archive("gog", "0.99.0", arch))
        });
    world.github.publish("openclaw/gogcli", published);
    world.bake(["add", "gog@0.99.0"]).done();
    assert_eq!(manifest(&world), with("  - {name: gog, version: 0.99.0}\n"));
    assert_eq!(world.version("gog"), "0.99.0");
    world.bake(["check"]).done();
}

#[test]
fn several_are_added_and_removed_at_once() {
    let world = world();
    world.bake(["add", "owner/extra", "owner/further@1.0.0"]).done();
    let lines = "  - name: extra\n    repo: owner/extra\n  - name: further\n    repo: owner/further\n    version: 1.0.0\n";
    assert_eq!(manifest(&world), with(lines));
    world.bake(["remove", "further", "extra"]).done();
    assert_eq!(manifest(&world), MANIFEST);
}

#[test]
fn a_removed_entry_takes_its_own_comments_along() {
    let world = world();
    world.bake(["remove", "places"]).done();
    let places = MANIFEST.find("\n  # -- places").expect("a comment");
    let alarm = MANIFEST.find("  - {name: alarm").expect("an entry");
    let left = manifest(&world);
    assert!(
        left == format!("{}{}", &MANIFEST[..=places], &MANIFEST[alarm..])
            || left == format!("{}{}", &MANIFEST[..places], &MANIFEST[alarm..]),
        "{left}"
    );
    assert!(!world.lock().binaries.contains_key(&"places".parse().expect("a name")));
    world.bake(["check"]).done();
}

#[test]
fn the_default_manifest_keeps_its_comments() {
    let world = World::new("");
    let project = crate::support::Folder::project();
    for name in ["bake.yaml", "bake.lock", "images/binaries.yaml"] {
        world.folder.write(name, project.read(name));
    }
    let before = manifest(&world);
    world.github.publish("owner/mytool", release("mytool", "v1.0.0"));
    world.bake(["add", "owner/mytool"]).done();
    let goplaces = "  - goplaces                              # Google Places\n";
    let expected = before.replace(goplaces, &format!("{goplaces}  - name: mytool\n    repo: owner/mytool\n"));
    assert_eq!(manifest(&world), expected);
    // The others were locked, and are none of its business.
    assert!(world.github.requests().iter().all(|request| request.target.contains("mytool")));
    world.bake(["remove", "gog"]).done();
    let gog = "  - gog                                   # Gmail, Calendar, Drive\n";
    assert_eq!(manifest(&world), expected.replace(gog, ""));
    world.bake(["check"]).done();
}

#[test]
fn the_first_one_needs_a_list() {
    let world = World::new("");
    world.bake(["lock"]).done();
    world.github.publish("owner/extra", release("extra", "v1.0.0"));
    world.bake(["add", "owner/extra"]).done();
    assert_eq!(manifest(&world), "version: 1\nbinaries:\n  - name: extra\n    repo: owner/extra\n");
    world.bake(["remove", "extra"]).done();
    assert_eq!(manifest(&world), "version: 1\nbinaries: []\n");
}

#[test]
fn nothing_is_written_where_one_of_them_fails() {
    let world = world();
    world.github.fault(Host::Objects, "extra_1.0.0", Fault::Status(404));
    refused(&world, &["add", "owner/extra"], 1, &["extra", "1.0.0"]);
    world.github.heal();
    refused(&world, &["add", "owner/extra", "owner/nothing"], 1, &["owner/nothing"]);
    refused(&world, &["add", "owner/extra@9.9.9"], 1, &["extra", "9.9.9"]);
    refused(&world, &["remove", "alarm", "nothing"], 2, &["nothing"]);
}

#[test]
fn mistakes_are_reported_before_any_request() {
    let world = world();
    refused(&world, &["add", "no-such-tool"], 2, &["no-such-tool"]);
    refused(&world, &["add", "owner/post"], 2, &["post"]);
    refused(&world, &["add", "owner/extra@"], 2, &[]);
    refused(&world, &["add", "owner/ex tra"], 2, &["ex tra"]);
    refused(&world, &["add", "owner/extra", "--minisign", "nonsense"], 2, &["nonsense"]);
    refused(&world, &["add", "owner/extra", "--binary", "../extra"], 2, &["../extra"]);
    refused(&world, &["add", "--url", "http://example.org/extra"], 2, &["http://example.org/extra"]);
    refused(&world, &["add"], 2, &[]);
    refused(&world, &["remove"], 2, &[]);
    refused(&world, &["remove", "nothing"], 2, &["nothing"]);
    assert!(world.github.requests().is_empty());
}

#[test]
fn a_tool_that_is_there_already_is_not_added_twice() {
    let world = world();
    world.bake(["add", "owner/extra"]).done();
    refused(&world, &["add", "owner/extra"], 2, &["extra"]);
    refused(&world, &["add", "owner/further", "--name", "extra"], 2, &["extra"]);
}

#[test]
fn a_folder_without_a_project_gets_none() {
    let world = World::new("");
    std::fs::remove_file(world.folder.join("bake.yaml")).expect("a file");
    std::fs::remove_dir_all(world.folder.join("images")).expect("a folder");
    refused(&world, &["add", "gog"], 2, &["bake init"]);
    refused(&world, &["remove", "gog"], 2, &["bake init"]);
}

#[test]
fn an_executable_with_another_name_gives_the_command_its_name() {
    let world = world();
    let published = Arch::ALL.into_iter().fold(Release::new("v1.0.0"), |release, arch| {
        release.asset(&format!("toolcli_1.0.0_linux_{arch}.tar.gz"), archive("tl", "1.0.0", arch))
    });
    world.github.publish("owner/toolcli", published);
    world.bake(["add", "owner/toolcli"]).done();
    assert_eq!(manifest(&world), with("  - name: tl\n    repo: owner/toolcli\n"));
    world.bake(["check"]).done();
}

#[test]
fn no_command_is_named_after_a_program_of_the_image() {
    let world = world();
    let published = Arch::ALL.into_iter().fold(Release::new("v1.0.0"), |release, arch| {
        release.asset(&format!("toolcli_1.0.0_linux_{arch}.tar.gz"), archive("node", "1.0.0", arch))
    });
    world.github.publish("owner/toolcli", published.clone());
    world.github.publish("owner/curl", published);
    // Its own name, where the executable's cannot be had.
    world.bake(["add", "owner/toolcli"]).done();
    assert_eq!(manifest(&world), with("  - name: toolcli\n    repo: owner/toolcli\n"));
    world.bake(["check"]).done();
    // The message must not point at a line that does not exist.
    for arguments in [&["add", "owner/curl"][..], &["add", "owner/toolcli", "--name", "node"]] {
        refused(&world, arguments, 2, &["the image itself needs", "--name"]);
        let said = world.bake(arguments.iter().copied());
        assert!(!said.err.contains("-->"), "{}", said.err);
    }
    world.bake(["add", "owner/curl", "--name", "mycurl"]).done();
    world.bake(["check"]).done();
}
