//! `bake render`: the bundle, the same bytes everywhere, whole or not at all.

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crate::support::test;
use crate::support::testbed::missing;
use crate::support::{Folder, said};

#[test]
fn an_empty_folder_gets_the_whole_bundle() {
    let folder = Folder::empty();
    folder.bake(["render"]).done();
    let bundle = folder.bundle("out");
    let names: Vec<_> = bundle.keys().map(String::as_str).collect();
    let expected = [
        "Dockerfile",
        "SHA256SUMS",
        "docker-compose.yml",
        "gcloud.sh",
        "startup-script.sh",
        "user-data.yaml",
    ];
    assert_eq!(names, expected);
    assert_eq!(
        folder.join("out/gcloud.sh").metadata().expect("a script").permissions().mode() & 0o111,
        0o111
    );
}

/// The checksums of the facts that the project started from.
#[test]
fn the_default_bundle_pins_the_three_tools_and_the_base_image() {
    let folder = Folder::empty();
    folder.bake(["render"]).done();
    let dockerfile = folder.read("out/Dockerfile");
    let user_data = folder.read("out/user-data.yaml");
    for checksum in [
        "905fed0bfabafa5dde7189e50642b3fa31d7fc4aad50a8d27d2b92071d875962",
        "4abde90c4e74ceb125f3fdd87676ff7958e89f7820978ffa11de26aee06e721c",
        "a693e598a567dba7415241141eb40c8fe7ab0e5d282b7cbc37a9b3b760f3f634",
        "40d794060e75b801c1a3bf80a1315e767615abc4625bd17adbc9d7688e224f1e",
        "cbd5e74d5b805550cc36c7479aca552970cc1b314c5c08e02367e08b785714fd",
        "8e5d21f8d5f097e5d3a883cdb42848a9e50a7383e4de049c807cc44e6e7c81b6",
        "cc596b846506a5f4cfcee111394a2725f375f01cca2ebb492a161fd1b747f101",
    ] {
        assert!(dockerfile.contains(checksum), "{checksum}");
        assert!(user_data.contains(checksum), "{checksum}");
    }
}

#[test]
fn a_second_run_changes_no_byte_and_touches_no_file() {
    let folder = Folder::empty();
    folder.bake(["render"]).done();
    let inode = folder.join("out").metadata().expect("a folder").ino();
    let before = folder.bundle("out");
    let second = folder.bake(["render"]).done();
    assert_eq!(folder.bundle("out"), before);
    assert_eq!(folder.join("out").metadata().expect("a folder").ino(), inode);
    assert!(second.out.lines().all(|line| line.starts_with("same")), "{}", second.out);
}

#[test]
fn surroundings_change_no_byte() {
    let here = Folder::project();
    here.bake(["render"]).done();
    let there = Folder::empty();
    for name in ["bake.yaml", "images/binaries.yaml", "bake.lock"] {
        there.write(&format!("a b/ü/{name}"), here.read(name));
    }
    let mut shell = Command::new("sh");
    let script = "umask 077; cd /; exec \"$0\" -C \"$1\" render --out \"$2\"";
    shell.args(["-c", script]).arg(here.command().get_program()).arg(there.join("a b/ü")).arg("o ut");
    shell.envs([
        ("TZ", "Pacific/Chatham"),
        ("LANG", "tr_TR.UTF-8"),
        ("LC_ALL", "C"),
        ("SOURCE_DATE_EPOCH", "1"),
    ]);
    said(&mut shell).done();
    assert_eq!(there.bundle("a b/ü/o ut"), here.bundle("out"));
}

/// Only root can switch to another user.
#[test]
fn another_user_gets_the_same_bytes() {
    let folder = Folder::empty();
    folder.bake(["render"]).done();
    if fs::metadata("/proc/self").expect("a process").uid() != 0 {
        missing("root");
    }
    let theirs = Folder::empty();
    fs::set_permissions(theirs.path(), fs::Permissions::from_mode(0o777)).expect("permissions");
    let program = theirs.program_for_others();
    let mut other = Command::new("setpriv");
    other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(program).arg("render");
    said(other.current_dir(theirs.path())).done();
    assert_eq!(theirs.bundle("out"), folder.bundle("out"));
    assert_eq!(theirs.join("out").metadata().expect("a folder").uid(), 65534);
}

#[test]
fn no_network_is_needed() {
    let folder = Folder::empty();
    let mut apart = Command::new("unshare");
    apart.args(["--net", "--map-root-user"]).arg(folder.command().get_program()).arg("render");
    said(apart.current_dir(folder.path())).done();
}

#[test]
fn check_tells_what_differs_and_changes_nothing() {
    let folder = Folder::project();
    let missing = folder.bake(["render", "--check"]).ended(1);
    assert!(missing.out.lines().all(|line| line.starts_with("new")), "{}", missing.out);
    assert!(!folder.join("out").exists());

    folder.bake(["render"]).done();
    folder.bake(["render", "--check"]).done();

    folder.edit("out/Dockerfile", "USER 1000:1000", "USER 0");
    let tampered = folder.bake(["render", "--check", "--diff"]).ended(1);
    assert!(tampered.out.contains("-USER 0\n+USER 1000:1000\n"), "{}", tampered.out);
    folder.bake(["render", "--diff"]).done();
    assert!(folder.read("out/Dockerfile").contains("USER 0\n"), "left as it was");

    let json: serde_json::Value =
        serde_json::from_str(&folder.bake(["render", "--check", "--json"]).ended(1).out).expect("JSON");
    assert_eq!(json["version"], 1);
    assert_eq!(json["changed"], true);
    assert_eq!(json["files"][0]["state"], "changed");
}

/// The bundle on disk is made into an older one.
#[test]
fn the_diff_begins_with_what_changes_by_meaning() {
    let folder = Folder::project();
    let fresh = folder.bake(["render", "--diff"]).done();
    assert!(fresh.out.starts_with("a new bundle\n\n--- a/"), "{}", fresh.out);
    folder.bake(["render"]).done();
    assert_eq!(folder.bake(["render", "--diff"]).done().out, "");
    let edit = |name: &str, pairs: &[(&str, &str)]| {
        let text = folder.read(name);
        let older = pairs.iter().fold(text.clone(), |text, (new, old)| {
            assert!(text.contains(new), "{new}: {text}");
            text.replace(new, old)
        });
        folder.write(name, older);
    };
    let gog = bake::project::catalog::Catalog::builtin().tool("gog").expect("a tool").version.to_string();
    edit(
        "out/Dockerfile",
        &[
            ("openclaw/openclaw:2026.9.4@", "openclaw/openclaw:2026.8.1@"),
            (&format!("/releases/download/v{gog}/"), "/releases/download/v0.1.9/"),
            (" socat", " socat jq"),
        ],
    );
    edit("out/docker-compose.yml", &[("TZ: \"UTC\"", "TZ: \"Asia/Tokyo\"")]);
    edit(
        "out/user-data.yaml",
        &[
            ("OPENCLAW_PORT=18789", "OPENCLAW_PORT=18777"),
            ("errors=/run/openclaw/stage.err", "errors=/run/openclaw/x.err"),
        ],
    );
    edit("out/gcloud.sh", &[("--machine-type=e2-small", "--machine-type=e2-micro")]);
    let said = folder.bake(["render", "--diff"]).done();
    let head = format!(
        "gateway 2026.8.1 to 2026.9.4, gog 0.1.9 to {gog}, 1 Debian package, 2 settings, 1 property of the VM, 1 other file of the VM\n"
    );
    assert!(said.out.starts_with(&head), "{}", said.out);
    for line in [
        "  jq: jq -> -\n",
        "  OPENCLAW_PORT: 18777 -> 18789\n",
        "  TZ: Asia/Tokyo -> UTC\n",
        "  machine-type: e2-micro -> e2-small\n\n--- a/",
    ] {
        assert!(said.out.contains(line), "{line}: {}", said.out);
    }
    folder.bake(["render"]).done();
    edit("out/Dockerfile", &[("USER 1000:1000", "USER 0")]);
    let said = folder.bake(["render", "--diff"]).done();
    assert!(said.out.starts_with("only checksums, comments or the lock's digest differ\n"), "{}", said.out);
}

#[test]
fn a_file_that_no_longer_belongs_is_removed_and_foreign_ones_stay() {
    let folder = Folder::project();
    folder.bake(["render"]).done();
    folder.write("out/notes.txt", "mine").write("out/deep/er/file", "mine too");
    std::os::unix::fs::symlink("nowhere", folder.join("out/link")).expect("a link");
    let inode = folder.join("out/notes.txt").metadata().expect("a file").ino();

    folder.edit("bake.yaml", "os: debian-13", "os: ubuntu-24.04");
    folder.bake(["render"]).done();

    assert!(!folder.join("out/startup-script.sh").exists(), "Ubuntu's images have cloud-init");
    assert_eq!(folder.read("out/notes.txt"), "mine");
    assert_eq!(folder.join("out/notes.txt").metadata().expect("a file").ino(), inode, "the very file");
    assert_eq!(folder.read("out/deep/er/file"), "mine too");
    assert_eq!(fs::read_link(folder.join("out/link")).expect("a link").to_str(), Some("nowhere"));
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 6, "nothing is left beside out/");
}

#[test]
fn a_link_to_a_folder_stays_a_link() {
    let folder = Folder::project();
    fs::create_dir(folder.join("elsewhere")).expect("a folder");
    std::os::unix::fs::symlink("elsewhere", folder.join("out")).expect("a link");
    folder.bake(["render"]).done();
    assert!(folder.join("out").is_symlink());
    assert!(folder.join("elsewhere/user-data.yaml").exists());
}

/// A file with a bundle's name that `bake` did not write is not overwritten.
#[test]
fn files_of_others_are_not_overwritten() {
    let by_hand = Folder::project();
    by_hand.write("deploy/Dockerfile", "FROM scratch\n");
    assert!(by_hand.bake(["render", "--out", "deploy"]).ended(2).err.contains("was not written by bake"));
    assert_eq!(by_hand.read("deploy/Dockerfile"), "FROM scratch\n");

    let unmarked = Folder::project();
    unmarked.write("app/startup-script.sh", "mine").write("app/SHA256SUMS", "mine");
    assert!(unmarked.bake(["render", "--out", "app"]).ended(2).err.contains("was not written by bake"));
    assert_eq!(unmarked.read("app/SHA256SUMS"), "mine");

    let folder = Folder::project();
    folder.write("out/user-data.yaml.gz.b64/mine", "mine");
    assert!(folder.bake(["render"]).ended(2).err.contains("is not a file"));
    assert_eq!(folder.read("out/user-data.yaml.gz.b64/mine"), "mine");

    let pipe = Folder::project();
    fs::create_dir(pipe.join("out")).expect("a folder");
    said(Command::new("mkfifo").arg(pipe.join("out/Dockerfile"))).done();
    for arguments in [&["render"][..], &["render", "--check"], &["render", "--diff"]] {
        pipe.bake(arguments.iter().copied()).ended(2);
    }
    for out in ["bake.yaml", "/dev/null"] {
        assert!(pipe.bake(["render", "--out", out]).ended(2).err.contains("is not a folder"));
    }
}

#[test]
fn a_script_that_lost_its_mode_gets_it_back() {
    let folder = Folder::project();
    folder.bake(["render"]).done();
    let script = folder.join("out/gcloud.sh");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).expect("permissions");
    folder.bake(["render", "--check"]).ended(1);
    folder.bake(["render"]).done();
    assert_eq!(script.metadata().expect("a script").permissions().mode() & 0o111, 0o111);
}

#[test]
fn init_on_a_full_disk_leaves_nothing() {
    const SCRIPT: &str = r#"
        mount -t tmpfs -o size=16k tmpfs "$1" && cd "$1" && head -c 8k /dev/zero > full
        "$0" init
        echo "exit code $?"
        ls -A
    "#;
    let disk = Folder::empty();
    let mut apart = Command::new("unshare");
    apart.args(["--mount", "--map-root-user", "sh", "-c", SCRIPT]).arg(disk.command().get_program());
    assert_eq!(said(apart.arg(disk.path())).out, "exit code 1\nfull\n");
}

#[test]
fn the_bundle_cannot_replace_the_project_folder() {
    let folder = Folder::project();
    for out in [".", "..", "/"] {
        let refused = folder.bake(["render", "--out", out]).ended(2);
        assert!(refused.err.contains("choose another with --out"), "{}", refused.err);
    }
}

/// On a file system that is really full. The shell prints every deviation.
#[test]
fn a_full_disk_leaves_the_old_bundle() {
    const SCRIPT: &str = r#"
        set -eu
        mount -t tmpfs -o size=400k tmpfs "$1"
        cd "$1"
        "$0" init -q > "$2/log" && "$0" render -q > "$2/log"
        cp -r out "$2/before"
        sed -i 's/port: 18789/port: 18790/' bake.yaml
        head -c 1M /dev/zero > full 2> "$2/log" || true
        "$0" render && echo 'it was written' || echo "exit code $?"
        diff -r out "$2/before"
        ls -A
    "#;
    let (disk, kept) = (Folder::empty(), Folder::empty());
    let mut apart = Command::new("unshare");
    apart.args(["--mount", "--map-root-user", "sh", "-c", SCRIPT]).arg(disk.command().get_program());
    let said = said(apart.arg(disk.path()).arg(kept.path())).done();
    assert_eq!(said.out, "exit code 1\n.bake\n.gitignore\nbake.lock\nbake.yaml\nfull\nimages\nout\n");
    assert!(said.err.contains("No space left on device"), "{}", said.err);
}

/// Killed at any moment, the folder holds one whole bundle: the old one or the new one.
#[test]
fn killed_in_between_it_is_the_old_bundle_or_the_new_one() {
    let folder = Folder::project();
    let mut bundles = Vec::new();
    let spec = folder.read("bake.yaml");
    for port in ["18789", "18790"] {
        folder.write("bake.yaml", spec.replace("port: 18789", &format!("port: {port}")));
        folder.bake(["render"]).done();
        bundles.push(folder.bundle("out"));
    }
    folder.write("out/foreign", "mine");
    let mut whole = Duration::ZERO;
    let mut seen = [0, 0];
    for round in 0..400_u32 {
        if round % 20 == 0 {
            // As long as a whole run takes here and now, and somewhat more.
            let _ = fs::remove_dir_all(folder.join("other"));
            let start = Instant::now();
            folder.bake(["render", "--out", "other"]).done();
            whole = start.elapsed().mul_f64(1.5);
        }
        let port = if round % 2 == 0 { "18789" } else { "18790" };
        folder.write("bake.yaml", spec.replace("port: 18789", &format!("port: {port}")));
        let mut child = folder.command().arg("render").stdout(Stdio::null()).spawn().expect("bake");
        std::thread::sleep(whole.mul_f64(f64::from(round * 37 % 100) / 100.0));
        let _ = child.kill();
        let _ = child.wait();
        let mut bundle = folder.bundle("out");
        assert_eq!(bundle.remove("foreign").as_deref(), Some(&b"mine"[..]), "round {round}");
        let which = bundles.iter().position(|whole| *whole == bundle);
        seen[which.unwrap_or_else(|| panic!("round {round}: a mixture"))] += 1;
        if round >= 60 && seen.iter().all(|count| *count > 5) {
            break;
        }
    }
    assert!(seen.iter().all(|count| *count > 5), "both bundles were met: {seen:?}");
    fs::remove_dir_all(folder.join("other")).expect("a bundle");
    folder.write("bake.yaml", spec);
    folder.bake(["render"]).done();
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 6, "nothing is left beside out/");
}

/// Files that another program writes into out/ during the exchange are kept.
#[test]
fn nothing_foreign_is_lost_while_the_bundle_changes() {
    let folder = Folder::project();
    folder.bake(["render"]).done();
    fs::create_dir(folder.join("out/theirs")).expect("a folder");
    let spec = folder.read("bake.yaml");
    let (stop, mut written) = (AtomicBool::new(false), Vec::new());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut written = Vec::new();
            for i in 0..50_000 {
                // In place and by rename, as editors save: from a unique name.
                for (new, name) in [
                    (format!("out/theirs/{i}"), None),
                    (format!("out/.new-{i}"), Some(format!("out/file-{}", i % 50))),
                ] {
                    let text = i.to_string();
                    let done = fs::write(folder.join(&new), &text).is_ok()
                        && name
                            .as_ref()
                            .is_none_or(|name| fs::rename(folder.join(&new), folder.join(name)).is_ok());
                    if done {
                        written.push((name.unwrap_or(new), text));
                    }
                }
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                std::thread::sleep(Duration::from_micros(100));
            }
            written
        });
        for port in 20_000..20_040 {
            folder.write("bake.yaml", spec.replace("port: 18789", &format!("port: {port}")));
            folder.bake(["render"]).done();
        }
        stop.store(true, Ordering::Relaxed);
        written = writer.join().expect("a writer");
    });
    // A file written into the old folder is moved by the next run.
    folder.bake(["render"]).done();
    let last: std::collections::BTreeMap<_, _> = written.into_iter().collect();
    assert!(last.len() > 100, "{}", last.len());
    for (name, text) in last {
        assert_eq!(fs::read_to_string(folder.join(&name)).ok(), Some(text), "{name}");
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 6, "nothing is left beside out/");
}

/// A run that was killed after the exchange left the old folder. The next one moves the user's files out of it
/// and keeps the newer of two versions.
#[test]
fn the_next_run_finishes_the_exchange_of_a_killed_one() {
    const DAY: u64 = 24 * 60 * 60;
    let folder = Folder::project();
    folder.bake(["render"]).done();
    let place = |name: &str, text: &str, day: u64| {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(day * DAY);
        let path = folder.write(name, text).join(name);
        fs::File::open(path).and_then(|file| file.set_modified(time)).expect("a time");
    };
    for (name, old, new) in [("older", 1, 2), ("newer", 2, 1), ("as-old", 1, 1), ("a-folder-now", 50_000, 1)]
    {
        place(&format!(".out.bake-1/{name}"), "old", old);
        let name = if name == "a-folder-now" { "a-folder-now/inner" } else { name };
        place(&format!("out/{name}"), "new", new);
    }
    place(".out.bake-1/only", "old", 1);
    place(".out.bake-1/theirs/inner", "old", 1);
    place(".out.bake-1/made-meanwhile/inner", "old", 1);
    fs::create_dir(folder.join("out/made-meanwhile")).expect("a folder");
    place(".out.bake-1/Dockerfile", "ours", 9);
    place("out/linked", "both", 1);
    fs::hard_link(folder.join("out/linked"), folder.join(".out.bake-1/linked")).expect("a link");
    // Its name says that it never was in the place of `out/`.
    fs::create_dir(folder.join("new")).expect("a folder");
    let inode = fs::metadata(folder.join("new")).expect("a folder").ino();
    let unused = format!(".out.bake-{inode}");
    fs::rename(folder.join("new"), folder.join(&unused)).expect("a name");
    place(&format!("{unused}/only-here"), "never seen", 1);

    folder.bake(["render"]).done();
    for (name, text) in [
        ("older", "new"),
        ("newer", "old"),
        ("as-old", "old"),
        ("a-folder-now/inner", "new"),
        ("only", "old"),
        ("theirs/inner", "old"),
        ("made-meanwhile/inner", "old"),
        ("linked", "both"),
    ] {
        assert_eq!(folder.read(&format!("out/{name}")), text, "{name}");
    }
    folder.bake(["render", "--check"]).done();
    let left: Vec<_> = folder.bundle(".out.bake-1").into_keys().collect();
    assert_eq!(left, ["a-folder-now"], "what has no place stays");
    assert!(!folder.join("out/only-here").exists());
    assert!(!folder.join(&unused).exists());
}

/// Where others may write beside `out/`, they could plant a folder that looks as if a killed run had left it.
#[test]
fn a_leftover_of_another_user_is_left_alone() {
    let folder = Folder::project();
    folder.bake(["render"]).done();
    for (leftover, file) in [(".out.bake-1", "planted.yml"), (".out.bake-2", "own.yml")] {
        folder.write(&format!("{leftover}/{file}"), "services: {}\n");
    }
    if chown(folder.join(".out.bake-1"), Some(4002), Some(4002)).is_err() {
        missing("root, to give a folder to another user,");
    }
    let spec = folder.read("bake.yaml");
    folder.write("bake.yaml", spec.replace("port: 18789", "port: 18790"));
    folder.bake(["render"]).done();
    assert!(!folder.join("out/planted.yml").exists() && folder.join(".out.bake-1/planted.yml").exists());
    assert!(folder.join("out/own.yml").exists() && !folder.join(".out.bake-2").exists());
}

/// A folder that cannot be exchanged gets its files one by one, with a note.
#[test]
fn a_mount_point_gets_its_files_one_by_one() {
    const SCRIPT: &str = r#"
        set -eu
        mkdir "$1/out"
        mount -t tmpfs tmpfs "$1/out"
        cd "$1"
        echo mine > out/notes
        "$0" render -q > log
        sed -i 's/port: 18789/port: 18790/' bake.yaml
        "$0" render > log
        "$0" render --check -q
        cat out/notes
        ls -A out | wc -l
    "#;
    let folder = Folder::project();
    let mut apart = Command::new("unshare");
    apart.args(["--mount", "--map-root-user", "sh", "-c", SCRIPT]).arg(folder.command().get_program());
    let said = said(apart.arg(folder.path())).done();
    assert!(said.out.ends_with("mine\n7\n"), "{}", said.out);
    assert!(said.err.contains("one after another"), "{}", said.err);
}

/// While the bundle changes, a reader sees the old one or the new one, never some files of each.
#[test]
fn readers_never_see_a_mixture() {
    const CHANGING: [&str; 2] = ["SHA256SUMS", "user-data.yaml"];
    let folder = Folder::project();
    let spec = folder.read("bake.yaml");
    let mut whole = Vec::new();
    for port in ["18789", "18790"] {
        folder.write("bake.yaml", spec.replace("port: 18789", &format!("port: {port}")));
        folder.bake(["render"]).done();
        whole.push(CHANGING.map(|name| folder.read(&format!("out/{name}"))));
    }
    let stop = AtomicBool::new(false);
    let seen = std::thread::scope(|scope| {
        let watcher = scope.spawn(|| {
            let mut seen = [0_u32; 2];
            while !stop.load(Ordering::Relaxed) {
                // The folder is opened once, so that both files are read from the same one.
                let Ok(out) = fs::File::open(folder.join("out")) else { continue };
                let read = |name| fs::read_to_string(format!("/proc/self/fd/{}/{name}", out.as_raw_fd()));
                let [Ok(first), Ok(last)] = CHANGING.map(read) else { continue };
                let which = whole.iter().position(|bundle| *bundle == [first.clone(), last.clone()]);
                seen[which.expect("a whole bundle")] += 1;
            }
            seen
        });
        for round in 0..200 {
            let port = if round % 2 == 0 { "18789" } else { "18790" };
            folder.write("bake.yaml", spec.replace("port: 18789", &format!("port: {port}")));
            folder.command().arg("render").stdout(Stdio::null()).status().expect("bake");
        }
        stop.store(true, Ordering::Relaxed);
        watcher.join().expect("no mixture")
    });
    assert!(seen.iter().all(|count| *count > 50), "{seen:?}");
}

#[test]
fn two_runs_at_once_take_turns() {
    let folder = Folder::project();
    let runs: Vec<_> =
        (0..8).map(|_| folder.command().arg("render").stdout(Stdio::null()).spawn().expect("bake")).collect();
    for mut run in runs {
        assert!(run.wait().expect("an end").success());
    }
    folder.bake(["render", "--check"]).done();
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    let folder = Folder::empty();
    let mut shell = Command::new("sh");
    shell.args(["-c", "{ \"$0\" catalog; echo $? >&2; } | :"]).arg(folder.command().get_program());
    assert_eq!(said(&mut shell).done().err, "0\n");
}
