//! `bake audit` against lock, cache and bundle, and its arguments.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::audit::{audited, flip, plain, whole};
use crate::support::test;
use crate::support::world::{World, release};
use crate::support::{Folder, said};
use bake::digest::Sha256;
use bake::project::values::Arch;
use jiff::Timestamp;
use serde_json::{Value, json};

/// The path of an archive in the cache.
fn cached(world: &World, tool: &str, arch: Arch) -> PathBuf {
    let digest = world.build(tool, arch).sha256;
    world.cache().join("sha256").join(digest.short(2)).join(digest.to_string())
}

/// Changes a file that may be read only.
fn damage(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut content = fs::read(path).expect("a file");
    how(&mut content);
    fs::set_permissions(path, Permissions::from_mode(0o644)).expect("permissions");
    fs::write(path, content).expect("a file");
}

const ALL: [&str; 2] = ["--against", "lock,upstream,cache,bundle"];

#[test]
fn an_unchanged_project_is_clean_and_stays_unchanged() {
    let world = whole();
    let before = world.files();
    for arguments in [&[][..], &ALL] {
        let audit = audited(&world, arguments, 0);
        assert_eq!(audit.told, [""; 0]);
        let subjects: Vec<_> =
            audit.checks().map(|check| check["subject"].as_str().expect("a text")).collect();
        let tools = ["one 1.0.0 amd64", "one 1.0.0 arm64", "two 1.0.0 amd64", "two 1.0.0 arm64"];
        let mut expected = vec!["bake.lock", "base image"];
        expected.extend(tools.iter().chain(&tools));
        let bundle = world.folder.bundle("out");
        expected.extend(bundle.keys().map(String::as_str));
        assert_eq!(subjects.iter().collect::<BTreeSet<_>>(), expected.iter().collect());
        assert_eq!(subjects.len(), expected.len());
    }
    assert!(world.files() == before, "an audit changed something");
}

#[test]
fn the_document_says_what_was_looked_at() {
    let world = whole();
    let document = audited(&world, &ALL, 0).document;
    assert_eq!((&document["version"], &document["clean"]), (&json!(1), &json!(true)));
    let checks = document["checks"].as_array().expect("checks").len();
    assert_eq!(document["counts"], json!({"checks": checks, "findings": 0, "unchecked": 0, "notes": 0}));
    assert_eq!(document["trust"], json!({"one": "publisher checksum + API digest", "two": "computed only"}));

    damage(&cached(&world, "one", Arch::Amd64), |bytes| flip(bytes, 100));
    fs::remove_file(cached(&world, "two", Arch::Arm64)).expect("a file");
    world.github.publish("owner/two", release("two", "v1.1.0").published(&Timestamp::now().to_string()));
    let document = audited(&world, &ALL, 1).document;
    assert_eq!(document["clean"], json!(false));
    assert_eq!(document["counts"], json!({"checks": checks + 1, "findings": 1, "unchecked": 1, "notes": 1}));
}

#[test]
fn each_part_is_held_alone_where_it_is_asked_for() {
    let world = whole();
    for part in ["lock", "upstream", "cache", "bundle"] {
        let audit = audited(&world, &["--against", part], 0);
        assert!(audit.checks().count() > 0 && audit.checks().all(|check| check["against"] == part), "{part}");
        assert_eq!(world.github.requests().is_empty(), part != "upstream", "{part}");
    }
}

#[test]
fn a_missing_subject_is_skipped_with_a_note_unless_requested() {
    let world = whole();
    fs::remove_dir_all(world.folder.join("out")).expect("a bundle");
    fs::remove_dir_all(world.cache()).expect("a cache");
    let said = world.bake(["audit"]).done();
    for part in ["cache is not audited", "bundle is not audited", "`bake fetch`", "`bake render`"] {
        assert!(said.err.contains(part), "{part} is not in:\n{}", said.err);
    }
    assert_eq!(
        audited(&world, &["--against", "bundle"], 1).told,
        ["bundle unchecked could-not-check bundle"]
    );
    let audit = audited(&world, &["--against", "cache"], 1);
    assert_eq!(audit.told.len(), 4, "{:?}", audit.told);
    assert!(audit.told.iter().all(|line| line.starts_with("cache unchecked could-not-check ")));
    assert_eq!(audit.document["counts"]["unchecked"], 4);
}

#[test]
fn a_flipped_bit_in_the_cache_is_found_and_the_file_is_kept() {
    let world = whole();
    let path = cached(&world, "two", Arch::Arm64);
    for at in [0, 100] {
        damage(&path, |bytes| flip(bytes, at));
        let before = world.files();
        let audit = audited(&world, &[], 1);
        assert_eq!(audit.told, ["cache finding checksum-mismatch two 1.0.0 arm64"]);
        let check = audit.told_of("two 1.0.0 arm64", "cache");
        assert_eq!(check["expected"], world.build("two", Arch::Arm64).sha256.to_string());
        assert_eq!(check["found"], Sha256::of(fs::read(&path).expect("a file")).to_string());
        assert!(world.files() == before, "an audit changed something");
        world.bake(["fetch"]).done();
        assert_eq!(audited(&world, &[], 0).told, [""; 0]);
    }
}

#[test]
fn a_pipe_in_the_cache_is_found_without_waiting() {
    let world = whole();
    let path = cached(&world, "one", Arch::Amd64);
    let bytes = fs::read(&path).expect("a file");
    let expected = ["cache finding checksum-mismatch one 1.0.0 amd64"];
    fs::remove_file(&path).expect("a file");
    said(std::process::Command::new("mkfifo").arg(&path)).done();
    assert_eq!(audited(&world, &[], 1).told, expected);
    fs::remove_file(&path).expect("a pipe");
    fs::create_dir(&path).expect("a folder");
    assert_eq!(audited(&world, &[], 1).told, expected);
    fs::remove_dir(&path).expect("a folder");
    // The right bytes, but in a file that another user could replace.
    let elsewhere = world.folder.write("elsewhere", bytes).join("elsewhere");
    std::os::unix::fs::symlink(elsewhere, &path).expect("a link");
    assert_eq!(audited(&world, &[], 1).told, expected);
}

/// Lines of a file that are tried, at most. Each costs a process.
const MOST_LINES: usize = 60;

/// One line's number for each kind of line of a file. If there are more kinds than that, each run tries others.
fn lines(text: &str) -> Vec<usize> {
    let mut seen = BTreeSet::new();
    let kind = |line: &str| {
        let end = line
            .trim_start()
            .find([' ', ':', '='])
            .map_or(line.len(), |end| end + line.len() - line.trim_start().len());
        line[..end].to_owned()
    };
    let kinds = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && seen.insert(kind(line)));
    let mut lines: Vec<_> = kinds.map(|(at, _)| at).collect();
    fastrand::shuffle(&mut lines);
    lines.truncate(MOST_LINES);
    lines
}

#[test]
fn one_bit_of_any_kind_of_line_in_the_bundle_is_found() {
    let world = whole();
    let bundle = world.folder.bundle("out");
    assert!(
        ["Dockerfile", "SHA256SUMS", "user-data.yaml", "gcloud.sh"]
            .iter()
            .all(|name| bundle.contains_key(*name)),
        "{:?}",
        bundle.keys()
    );
    for (name, content) in &bundle {
        let text = str::from_utf8(content).expect("text");
        let starts: Vec<_> = text
            .split_inclusive('\n')
            .scan(0, |at, line| {
                *at += line.len();
                Some(*at)
            })
            .collect();
        for line in lines(text) {
            let mut changed = content.clone();
            // The line's last byte, before its line feed.
            flip(&mut changed, starts[line] - 2);
            world.folder.write(&format!("out/{name}"), changed);
            let said = world.bake(["audit", "--against", "bundle", "--json"]).ended(1);
            let document: Value = serde_json::from_str(&said.out).expect("JSON");
            assert_eq!(document["counts"]["findings"], 1, "{name}:{}", line + 1);
            let check = document["checks"]
                .as_array()
                .expect("checks")
                .iter()
                .find(|check| check["verdict"] == "finding")
                .expect("a finding");
            assert_eq!((&check["code"], &check["subject"]), (&json!("bundle-differs"), &json!(name)));
            assert_eq!(check["place"]["file"], format!("out/{name}"));
            assert_eq!(check["place"]["line"], line + 1, "{name}");
        }
        world.folder.write(&format!("out/{name}"), content);
    }
    audited(&world, &["--against", "bundle"], 0);
}

#[test]
fn a_file_that_is_missing_and_one_that_an_older_bundle_left_are_found() {
    let world = whole();
    fs::remove_file(world.folder.join("out/SHA256SUMS")).expect("a file");
    let audit = audited(&world, &[], 1);
    assert_eq!(audit.told, ["bundle finding bundle-differs SHA256SUMS"]);
    world.bake(["render"]).done();
    // Debian's images need a script that Ubuntu's do without.
    world.folder.write("bake.yaml", world.folder.read("bake.yaml") + "host: {os: ubuntu-24.04}\n");
    world.bake(["lock"]).done();
    let audit = audited(&world, &[], 1);
    assert!(
        audit.told.contains(&"bundle finding bundle-differs startup-script.sh".to_owned()),
        "{:?}",
        audit.told
    );
    let message = audit.message("startup-script.sh", "bundle");
    assert!(message.contains("older bundle") && message.contains("`bake render`"), "{message}");
    world.bake(["render"]).done();
    // The user's own files are the user's.
    world.folder.write("out/notes.txt", "mine\n");
    audited(&world, &[], 0);
}

/// Exchanges the last digit of a digest in the lock.
fn flip_in_lock(world: &World, digest: Sha256) {
    let text = digest.to_string();
    let (most, last) = text.split_at(text.len() - 1);
    world.folder.edit("bake.lock", &text, &format!("{most}{}", if last == "0" { "1" } else { "0" }));
}

#[test]
fn one_digit_of_a_digest_in_the_lock_is_found() {
    type Which = fn(&World) -> Sha256;
    let texts = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let cases: [(Which, Vec<String>); 5] = [
        // Under the new digest the cache has nothing.
        (
            |world| world.build("one", Arch::Amd64).sha256,
            texts(&[
                "upstream finding republished one 1.0.0 amd64",
                "upstream finding republished one 1.0.0 amd64",
                "cache unchecked could-not-check one 1.0.0 amd64",
            ]),
        ),
        (
            |world| world.build("two", Arch::Arm64).sha256,
            texts(&[
                "upstream finding republished two 1.0.0 arm64",
                "cache unchecked could-not-check two 1.0.0 arm64",
            ]),
        ),
        // No publisher states the executable's: it is read out of the archive.
        (
            |world| world.build("one", Arch::Arm64).binary_sha256.expect("a digest"),
            texts(&[
                "upstream finding checksum-mismatch one 1.0.0 arm64",
                "cache finding checksum-mismatch one 1.0.0 arm64",
            ]),
        ),
        (|world| world.lock().image.digest, texts(&["upstream finding tag-moved base image"])),
        (
            |world| world.lock().image.platforms[&Arch::Arm64],
            texts(&["upstream finding checksum-mismatch base image"]),
        ),
    ];
    for (which, expected) in cases {
        let world = whole();
        flip_in_lock(&world, which(&world));
        let audit = audited(&world, &[], 1);
        let (of_bundle, others): (Vec<_>, Vec<_>) =
            audit.told.iter().cloned().partition(|line| line.starts_with("bundle "));
        assert_eq!(others, expected);
        // Rendered files name their lock; the script of the first boot never changes.
        let rendered = ["Dockerfile", "SHA256SUMS", "docker-compose.yml", "gcloud.sh", "user-data.yaml"];
        assert_eq!(of_bundle, rendered.map(|name| format!("bundle finding bundle-differs {name}")));
    }
    let world = whole();
    flip_in_lock(&world, world.lock().inputs);
    assert_eq!(
        audited(&world, &[], 1).told,
        ["lock finding stale-lock bake.lock", "bundle unchecked could-not-check bundle"]
    );
}

#[test]
fn a_lock_that_does_not_fit_is_a_finding_and_one_that_cannot_be_read_is_wrong_input() {
    let world = whole();
    let lock = world.folder.read("bake.lock");
    world.folder.edit(
        "images/binaries.yaml",
        "owner/two}\n",
        "owner/two}\n  - {name: three, repo: owner/three}\n",
    );
    let audit = audited(&world, &["--against", "lock,bundle"], 1);
    assert_eq!(audit.told, ["lock finding stale-lock bake.lock", "bundle unchecked could-not-check bundle"]);
    assert!(audit.message("bake.lock", "lock").contains("`three`"));

    for (text, says) in
        [("version: [\n", "bake.lock"), ("version: 2\n", "unsupported-version"), ("", "bake.lock")]
    {
        world.folder.write("bake.lock", text);
        let said = world.bake(["audit"]).ended(2);
        assert!(said.err.contains(says), "{}", said.err);
        let said = world.bake(["audit", "--json"]).ended(2);
        let document: Value = serde_json::from_str(&said.out).expect("JSON");
        assert_eq!((&document["version"], &document["ok"]), (&json!(1), &json!(false)));
    }
    fs::remove_file(world.folder.join("bake.lock")).expect("a lock");
    let said = world.bake(["audit"]).ended(2);
    assert!(said.err.contains("missing-file") && said.err.contains("bake lock"), "{}", said.err);
    world.folder.write("bake.lock", lock).write("bake.yaml", "version: 1\nnonsense: 1\n");
    let said = world.bake(["audit"]).ended(2);
    assert!(said.err.contains("unknown-key"), "{}", said.err);
    assert!(world.github.requests().is_empty());
}

#[test]
fn invalid_arguments_are_refused() {
    let world = whole();
    let file = world.folder.write("file", "no image\n").join("file");
    let folder = world.folder.write("folder/file", "").join("folder");
    let (file, folder) = (plain(&file), plain(&folder));
    for (arguments, says) in [
        (vec!["--against", "image"], "--image"),
        (vec!["--image"], "--image"),
        (vec!["--image", ""], "image"),
        (vec!["--image", "No Image"], "No Image"),
        (vec!["--image", "./nowhere"], "./nowhere"),
        (vec!["--image", file.as_str()], "file"),
        (vec!["--image", folder.as_str()], "oci-layout"),
        (vec!["--against", "nonsense"], "nonsense"),
        (vec!["--against", ""], "--against"),
        (vec!["--json", "--sarif"], "--sarif"),
    ] {
        let said = said(world.command().arg("audit").args(&arguments));
        assert_eq!(said.code, 2, "{arguments:?}: {said:?}");
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
}

/// `--image` implies `--against image`.
#[test]
fn image_implies_against_image() {
    let world = whole();
    let image = format!("{}-nothing", world.github.image());
    let audit = audited(&world, &["--against", "lock", "--image", &image], 1);
    assert_eq!(
        audit.told,
        ["amd64", "arm64"].map(|arch| format!("image unchecked could-not-check {image} {arch}"))
    );
}

#[test]
fn a_folder_without_a_project_is_the_default_one() {
    let world = whole();
    for name in ["bake.yaml", "bake.lock"] {
        fs::remove_file(world.folder.join(name)).expect("a file");
    }
    fs::remove_dir_all(world.folder.join("images")).expect("a folder");
    let said = world.bake(["audit", "--against", "lock"]).done();
    assert!(said.err.contains("the default project"), "{}", said.err);
    // The network is unreachable here.
    let audit = audited(&world, &["--against", "lock,upstream"], 1);
    assert!(
        audit.told.contains(&"upstream unchecked could-not-check base image".to_owned()),
        "{:?}",
        audit.told
    );
    assert!(
        audit.told.iter().all(|line| line.starts_with("upstream unchecked ")
            || line == "lock note unknown-executable bake.lock"
            || line.starts_with("upstream finding upstream-gone ")),
        "{:?}",
        audit.told
    );
}

#[test]
fn paths_for_code_scanning_count_from_the_root_of_the_repository() {
    let world = whole();
    flip_in_lock(&world, world.build("one", Arch::Arm64).binary_sha256.expect("a digest"));
    let repository = Folder::empty();
    repository.write(".git/HEAD", "ref: refs/heads/main\n");
    for (path, content) in world.project_files() {
        let name = path.strip_prefix(world.folder.path()).expect("a file of the project");
        repository.write(&format!("deploy/{}", name.display()), content);
    }
    repository.write("deploy/scripts/x", "");
    for (folder, project) in [("", "deploy"), ("deploy", "."), ("deploy/scripts", "..")] {
        let said = said(
            world.command().current_dir(repository.join(folder)).args(["-C", project, "audit", "--sarif"]),
        )
        .ended(1);
        let document: Value = serde_json::from_str(&said.out).expect("JSON");
        let results = document["runs"][0]["results"].as_array().expect("results");
        let uris: BTreeSet<_> = results
            .iter()
            .map(|result| {
                result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
                    .as_str()
                    .expect("a path")
            })
            .collect();
        assert!(
            uris.contains("deploy/bake.lock") && uris.contains("deploy/out/Dockerfile"),
            "{folder}: {uris:?}"
        );
        assert!(uris.iter().all(|uri| repository.join(uri).is_file()), "{folder}: {uris:?}");
    }
}

/// The arguments of an audit of a report, which is written to a file.
fn report(world: &World, text: &str) -> [String; 2] {
    world.folder.write("report.json", text);
    ["--report".to_owned(), "report.json".to_owned()]
}

#[test]
fn the_report_of_a_vm_is_compared_with_the_lock() {
    let world = whole();
    let dockerfile = world.folder.read("out/Dockerfile");
    let (_, digest) = dockerfile.split_once("ai.openclaw.bake.lock=").expect("a label");
    let digest = digest.lines().next().expect("a line").trim_matches('\'');
    for (report_text, code, expected) in [
        (format!("lock {digest}\nstatus ready\nverified 2026-11-30T07:00:00Z\n"), 0, vec![]),
        (format!("lock {digest}\nstatus ready\nverified 2026-11-30T07:00:00Z 4 4\n"), 0, vec![]),
        (
            format!("lock {digest}\nstatus ready\nverified 2026-11-30T07:00:00Z 1 4\n"),
            1,
            vec!["vm unchecked could-not-check binaries of VM, verified 2026-11-30T07:00:00Z"],
        ),
        (
            json!([{"key": "lock", "value": digest}, {"key": "status", "value": "ready"}]).to_string(),
            0,
            vec![],
        ),
        (
            json!({"vms": [{"name": "a", "lock": "12ab", "status": "ready"}]}).to_string(),
            1,
            vec!["vm finding vm-differs lock of VM a"],
        ),
        (
            format!(
                "lock {digest}\nstatus failed\nerror_kind binary-mismatch\nerror one: locked as 12, found 34\n"
            ),
            1,
            vec!["vm finding checksum-mismatch binaries of VM"],
        ),
        (format!("lock {digest}\nstatus image\n"), 1, vec!["vm unchecked could-not-check binaries of VM"]),
        (
            "status failed\nerror no network\n".to_owned(),
            1,
            vec!["vm unchecked could-not-check lock of VM", "vm unchecked could-not-check binaries of VM"],
        ),
    ] {
        let arguments = report(&world, &report_text);
        let arguments: Vec<_> =
            ["--against", "vm"].into_iter().chain(arguments.iter().map(String::as_str)).collect();
        assert_eq!(audited(&world, &arguments, code).told, expected, "{report_text}");
    }
    let said = world.bake(["audit", "--against", "vm"]).ended(2);
    assert!(said.err.contains("--report"), "{}", said.err);
    report(&world, "{}");
    let said = world.bake(["audit", "--report", "report.json"]).ended(2);
    assert!(said.err.contains("report.json: it has no report"), "{}", said.err);
}
