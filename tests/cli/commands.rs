//! The commands other than `render`.

use crate::support::Folder;
use crate::support::test;
use crate::support::testbed::program;
use bake::project::catalog::Catalog;
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn init_writes_a_project_that_is_right_and_overwrites_nothing() {
    let folder = Folder::empty();
    folder.bake(["init", "sub/folder"]).done();
    folder.bake(["-C", "sub/folder", "check"]).done();
    folder.edit("sub/folder/bake.yaml", "port: 18789", "port: 1234");
    let again = folder.bake(["init", "sub/folder"]).ended(2);
    assert!(again.err.contains("overwrites nothing"), "{}", again.err);
    assert!(folder.read("sub/folder/bake.yaml").contains("port: 1234"));

    let half = Folder::empty();
    half.write("bake.lock", "mine");
    half.bake(["init"]).ended(2);
    assert!(!half.join("bake.yaml").exists(), "all or nothing");
}

#[test]
fn the_written_project_is_the_built_in_one() {
    let (written, empty) = (Folder::project(), Folder::empty());
    // Otherwise the written project has labels that the built-in one lacks.
    written.edit("bake.yaml", "\nid: ", "\n# id: ");
    written.bake(["render"]).done();
    empty.bake(["render"]).done();
    assert_eq!(written.bundle("out"), empty.bundle("out"));
}

#[test]
fn check_says_what_it_comes_to() {
    let folder = Folder::empty();
    let said = folder.bake(["check"]).done();
    for part in [
        "e2-small in us-central1-a",
        "gog 0.37.0, goplaces 0.4.4, wacli 0.17.1",
        "about $19 a month",
        "list prices of us-central1, 2025",
    ] {
        assert!(said.out.contains(part), "{part}: {}", said.out);
    }
    let document = json(&folder.bake(["check", "--json"]).done().out);
    assert_eq!(document["version"], 1);
    assert_eq!(document["ok"], true);
    assert_eq!(document["estimate"]["dollars_a_month"], 19);
}

#[test]
fn check_tells_every_problem_at_once() {
    let folder = Folder::project();
    folder
        .edit("bake.yaml", "port: 18789", "prot: 18789")
        .edit("bake.yaml", "zone: us-central1-a", "zone: mars")
        .edit("images/binaries.yaml", "- wacli ", "- wacly ")
        .edit("bake.lock", "gog:", "gog: 5\n  gig:");
    let document = json(&folder.bake(["check", "--json"]).ended(2).out);
    let problems = document["problems"].as_array().expect("a list");
    let codes: Vec<_> = problems.iter().map(|problem| problem["code"].as_str().expect("a code")).collect();
    assert_eq!(codes, ["unknown-key", "bad-value", "unknown-tool", "wrong-type"]);
    assert_eq!(problems[0]["place"]["file"], "bake.yaml");
    assert_eq!(problems[0]["place"]["line"], 11);
    assert_eq!(problems[0]["place"]["column"], 3);
    assert_eq!(problems[0]["help"], "did you mean `port`?");
    assert_eq!(problems[2]["place"]["file"], "images/binaries.yaml");
    assert_eq!(problems[3]["place"]["file"], "bake.lock");
}

#[test]
fn the_free_tier_is_free_and_its_limits_are_reported() {
    let folder = Folder::project();
    folder.edit("bake.yaml", "machine_type: e2-small", "machine_type: e2-micro");
    let said = folder.bake(["check"]).done();
    assert!(said.out.contains("about $0 a month"), "{}", said.out);
    // Nothing was fetched for the built-in lock, so it has no checksums of executables.
    assert_eq!(said.err.matches("warning[").count(), 1, "{}", said.err);
    assert!(said.err.starts_with("warning[unknown-executable]"), "{}", said.err);
    folder.bake(["render"]).done();
    assert_eq!(folder.read("out/gcloud.sh").matches("=pd-standard").count(), 2, "both disks");

    folder.edit("bake.yaml", "boot_disk: 20GB", "boot_disk: 30GB");
    assert!(folder.bake(["check"]).done().err.contains("30 GB of standard disk"));
    folder.edit("bake.yaml", "zone: us-central1-a", "zone: europe-west1-b");
    assert!(folder.bake(["check"]).done().err.contains("so this VM in europe-west1 is billed"));
}

#[test]
fn the_catalog_lists_every_tool_with_its_skills() {
    let folder = Folder::empty();
    let document = json(&folder.bake(["catalog", "--json"]).done().out);
    let tools = document["tools"].as_array().expect("a list");
    assert_eq!(tools.len(), Catalog::builtin().tools().len());
    let tool =
        |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap_or_else(|| panic!("{name}"));
    assert_eq!(tool("spogo")["skills"][0], "spotify-player");
    assert_eq!(tool("sag")["architectures"], serde_json::json!(["amd64"]));
    assert_eq!(folder.bake(["catalog"]).done().out.lines().count(), tools.len() + 1);
}

/// Every tool of the catalog on every architecture that it has, through lock and render.
#[test]
fn every_tool_of_the_catalog_renders() {
    for arch in ["amd64", "arm64"] {
        let folder = Folder::project();
        let tools = Catalog::builtin().tools().iter();
        let built = tools.filter(|tool| tool.builds.iter().any(|(built, _)| built.as_str() == arch));
        let names: Vec<_> = built.map(|tool| format!("  - {}\n", tool.name)).collect();
        folder.write("images/binaries.yaml", format!("version: 1\nbinaries:\n{}", names.concat()));
        let machine = if arch == "amd64" { "e2-small" } else { "t2a-standard-1" };
        folder.edit("bake.yaml", "arch: amd64", &format!("arch: {arch}"));
        folder.edit("bake.yaml", "machine_type: e2-small", &format!("machine_type: {machine}"));
        folder.bake(["render"]).ended(2);
        folder.bake(["lock", "--offline"]).done();
        folder.bake(["render"]).done();
        let dockerfile = folder.read("out/Dockerfile");
        assert!(dockerfile.contains(" -C /out/lib/codexbar "), "its bundle lies beside it");
        assert!(dockerfile.contains("spogo_0.10.3_spogo_linux_amd64_v1.tar.gz"), "an asset of no pattern");
        assert!(dockerfile.contains(" ffmpeg "), "what camsnap needs");
    }
}

#[test]
fn lock_takes_what_the_catalog_states_and_keeps_the_rest() {
    let folder = Folder::project();
    assert!(folder.bake(["lock", "--offline"]).done().out.contains("up to date"));
    folder.edit("images/binaries.yaml", "  - wacli ", "  - sag\n  - wacli ");
    assert!(folder.bake(["lock", "--check"]).ended(1).out.contains("stale"));
    let stale = folder.bake(["check"]).ended(2);
    assert!(stale.err.contains("`sag` is in the manifest and not in the lock"), "{}", stale.err);
    assert!(stale.err.contains("bake lock"), "{}", stale.err);
    folder.bake(["lock", "--offline"]).done();
    folder.bake(["check"]).done();
    assert!(
        folder.read("bake.lock").contains("104bbbc6a54fea6d0405d458ebba24f7f14fc4c90c7871f207d7589eba6411d2")
    );

    let before = folder.read("bake.lock");
    folder.edit("images/binaries.yaml", "  - sag\n", "  - {name: sag, version: 9.9.9}\n");
    let unknown = folder.bake(["lock", "--offline"]).ended(2);
    assert!(unknown.err.contains("no checksum is known for `sag` 9.9.9"), "{}", unknown.err);
    assert_eq!(folder.read("bake.lock"), before);
}

/// Changes that do not affect the locked files do not make the lock stale.
#[test]
fn a_lock_is_stale_for_a_reason_only() {
    let folder = Folder::project();
    folder.edit("bake.yaml", "port: 18789", "port: 18790").edit(
        "bake.yaml",
        "zone: us-central1-a",
        "zone: us-east1-b",
    );
    folder.write(
        "images/binaries.yaml",
        "binaries: [wacli, gog, {name: goplaces, version: 0.4.4}] # in another order\n",
    );
    folder.bake(["lock", "--offline"]).done();
    folder.bake(["check"]).done();
    folder.edit("images/binaries.yaml", "gog,", "{name: gog, binary: other/gog},");
    assert!(folder.bake(["check"]).ended(2).err.contains("stale-lock"));
}

#[test]
fn schemas_take_what_check_takes() {
    let folder = Folder::project();
    for (which, name) in [("spec", "bake.yaml"), ("manifest", "images/binaries.yaml"), ("lock", "bake.lock")]
    {
        let schema = json(&folder.bake(["schema", which]).done().out);
        let validator = jsonschema::validator_for(&schema).expect("a schema");
        let instance = as_json(&folder.read(name));
        let errors: Vec<_> = validator.iter_errors(&instance).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{name}: {errors:?}");
        let mut wrong = instance.clone();
        wrong["no_such_key"] = Value::from(1);
        assert!(!validator.is_valid(&wrong), "{name}: unknown keys are refused");
    }
}

fn as_json(yaml: &str) -> Value {
    use std::io::Write;
    let mut reader = crate::support::testbed::tool("yaml-to-json-13");
    let mut child = reader
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("a reader");
    child.stdin.take().expect("a pipe").write_all(yaml.as_bytes()).expect("written");
    json(&String::from_utf8_lossy(&child.wait_with_output().expect("an end").stdout))
}

#[test]
fn completions_and_the_manual_name_the_commands() {
    let folder = Folder::empty();
    for shell in ["bash", "zsh", "fish"] {
        assert!(folder.bake(["completions", shell]).done().out.contains("render"), "{shell}");
    }
    folder.write("completions", folder.bake(["completions", "bash"]).done().out);
    assert!(folder.bake(["man"]).done().out.starts_with(".ie"));
    crate::support::said(program("bash").arg("-n").arg(folder.join("completions"))).done();
}

#[test]
fn wrong_arguments_end_with_2() {
    let folder = Folder::empty();
    for arguments in
        [&["no-such"][..], &["render", "--no-such"], &["-C", "nowhere", "render"], &["schema", "x"], &[]]
    {
        let said = folder.bake(arguments.iter().copied()).ended(2);
        assert!(!said.err.is_empty());
        assert_eq!(said.out, "");
    }
}

#[test]
fn a_manifest_without_a_spec_is_not_passed_over_in_silence() {
    let folder = Folder::empty();
    folder.write("images/binaries.yaml", "version: 1\nbinaries: [sag]\n");
    assert!(folder.bake(["render"]).done().err.contains("images/binaries.yaml is not read"));
}

/// A lock that was changed by hand or by a merge is not accepted.
#[test]
fn a_lock_that_was_tampered_with_is_stale() {
    let checksums = [
        "905fed0bfabafa5dde7189e50642b3fa31d7fc4aad50a8d27d2b92071d875962",
        "4abde90c4e74ceb125f3fdd87676ff7958e89f7820978ffa11de26aee06e721c",
    ];
    let changes: [(&str, &str); 8] = [
        (checksums[0], checksums[1]),
        ("https://github.com/openclaw/gogcli", "https://evil.example/openclaw/gogcli"),
        ("gogcli_0.37.0_linux_amd64", "gogcli_0.37.0_linux_arm64"),
        ("binary: gog", "binary: evil"),
        ("cc596b846506", "cc596b846507"),
        ("      arm64:", "      arm64: {}\n    apt: [netcat-openbsd]\n    x:"),
        ("    builds:", "    apt: [netcat-openbsd]\n    builds:"),
        ("    builds:", "    beside: true\n    builds:"),
    ];
    for (from, to) in changes {
        let folder = Folder::project();
        folder.edit("bake.lock", from, to);
        assert!(!folder.bake(["check"]).ended(2).err.is_empty(), "{to}");
        folder.bake(["render"]).ended(2);
        folder.bake(["lock", "--check"]).ended(1);
        folder.bake(["lock", "--offline"]).done();
        folder.bake(["check"]).done();
    }
}

/// A lock that has everything is kept, though it names what no catalog knows.
#[test]
fn lock_keeps_what_fits_from_a_url() {
    let folder = Folder::project();
    let url = "https://example.org/1.2/tool_x86_64.tar.gz";
    let entry = "{name: tool, version: 1.2, url: \"https://example.org/{version}/tool_{arch}.tar.gz\", arch: {amd64: x86_64}}";
    folder.write("images/binaries.yaml", format!("binaries:\n  - {entry}\n"));
    let build = crate::support::build(url, b"archive", "tool", None);
    folder.lock(&[("tool", bake::project::values::Arch::Amd64, build)]);
    folder.bake(["check"]).done();
    let before = folder.read("bake.lock");
    folder.bake(["lock", "--offline"]).done();
    assert_eq!(folder.read("bake.lock"), before);
    folder.write("images/binaries.yaml", format!("binaries:\n  - {entry}\n  - sag\n"));
    folder.bake(["lock", "--offline"]).done();
    folder.bake(["check"]).done();
    folder.edit("images/binaries.yaml", "example.org", "example.com");
    assert!(
        folder.bake(["check"]).ended(2).err.contains("`tool` has another URL for amd64 than the manifest")
    );
    folder.bake(["lock", "--offline"]).ended(2);
}

#[test]
fn a_lock_of_a_newer_release_is_not_overwritten() {
    let folder = Folder::project();
    folder.edit("bake.lock", "version: 1", "version: 2");
    folder.bake(["lock", "--offline"]).ended(2);
    assert!(folder.read("bake.lock").contains("version: 2"));
}

#[test]
fn placeholders_of_a_path_are_filled_in() {
    let folder = Folder::project();
    folder.write("images/binaries.yaml", "binaries: [{name: gog, binary: \"gogcli_{version}/gog\"}]\n");
    folder.bake(["lock", "--offline"]).done();
    folder.bake(["render"]).done();
    assert!(folder.read("out/Dockerfile").contains(" gogcli_0.37.0/gog "));
    folder.edit("images/binaries.yaml", "{version}", "{arch}");
    assert!(folder.bake(["lock", "--offline"]).ended(2).err.contains("bad-placeholder"));
}

#[test]
fn quiet_tells_errors_alone() {
    let folder = Folder::project();
    folder.edit("bake.yaml", "public_ip: true", "public_ip: false");
    assert!(folder.bake(["render"]).done().err.contains("no-internet"));
    assert_eq!(folder.bake(["render", "-q"]).done().err, "");
    folder.edit("bake.yaml", "port: 18789", "port: x");
    let err = folder.bake(["render", "-q"]).ended(2).err;
    assert!(err.contains("wrong-type") && !err.contains("no-internet"), "{err}");
    assert!(folder.bake(["render", "-v", "--color", "always"]).ended(2).err.contains("\u{1b}["));
}

#[test]
fn wrong_input_is_one_json_document_too() {
    let folder = Folder::project();
    folder.edit("bake.yaml", "port: 18789", "port: x");
    for command in ["check", "lock", "render"] {
        let said = folder.bake([command, "--json"]).ended(2);
        let document = json(&said.out);
        assert_eq!(
            (&document["ok"], &document["problems"][0]["code"]),
            (&Value::from(false), &Value::from("wrong-type"))
        );
        assert_eq!(said.err, "");
    }
}

#[test]
fn a_project_that_cannot_be_seen_is_not_taken_for_none() {
    let folder = Folder::project();
    std::fs::remove_file(folder.join("bake.yaml")).expect("a file");
    std::os::unix::fs::symlink("nowhere", folder.join("bake.yaml")).expect("a link");
    folder.bake(["render"]).ended(2);
    assert!(!folder.join("out").exists());
}
