//! `bake doctor`, with the real programs and without them.

use std::ffi::OsStr;
use std::net::TcpListener;

use crate::support::testbed::{boot, program};
use crate::support::{Folder, Said, said, test};
use serde_json::Value;

fn checks(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap_or_else(|error| panic!("{error}: {}{}", said.out, said.err))
}

fn check<'a>(document: &'a Value, name: &str) -> &'a Value {
    let checks = document["checks"].as_array().expect("a list");
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("{name}: {document:#}"))
}

/// `bake doctor` with this PATH and a cache that can be created.
fn doctor(folder: &Folder, path: &OsStr, arguments: &[&str]) -> Said {
    let mut command = folder.command();
    command.arg("doctor").args(arguments).env("PATH", path).env("HOME", folder.path());
    said(&mut command)
}

#[test]
fn absent_programs_come_with_what_installs_them() {
    let (folder, empty) = (Folder::project(), Folder::empty());
    let document = checks(&doctor(&folder, empty.path().as_os_str(), &["--json"]).ended(1));
    assert_eq!(document["ok"], false);
    for (name, state, mend) in [
        ("gcloud", "missing", "https://cloud.google.com/sdk/docs/install"),
        ("ssh", "optional", "openssh"),
        ("openssl", "optional", "openssl"),
        ("qemu-system-x86_64", "optional", "qemu"),
    ] {
        let check = check(&document, name);
        assert_eq!(check["state"], state, "{document:#}");
        assert!(check["mend"].as_str().is_some_and(|text| text.contains(mend)), "{document:#}");
        assert!(check["found"].as_str().is_some_and(|text| text.contains("not found")), "{document:#}");
    }
    let text = doctor(&folder, empty.path().as_os_str(), &[]).ended(1);
    assert!(text.out.contains("missing  gcloud"), "{}", text.out);
    assert!(text.err.contains("bake gcloud doctor | sh"), "{}", text.err);

    folder.edit("bake.yaml", "arch: amd64", "arch: arm64");
    folder.edit("bake.yaml", "machine_type: e2-small", "machine_type: t2a-standard-1");
    let document = checks(&doctor(&folder, empty.path().as_os_str(), &["--json"]).ended(1));
    let qemu = check(&document, "qemu-system-aarch64");
    let mend = if cfg!(target_os = "macos") { "qemu" } else { "qemu-system-arm qemu-efi-aarch64" };
    assert!(qemu["mend"].as_str().is_some_and(|text| text.contains(mend)), "{document:#}");
}

#[test]
fn present_programs_are_shown_with_their_versions() {
    let qemu = boot("bin").into_os_string();
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":");
    path.push(&qemu);
    for name in ["gcloud", "openssl", "qemu-img"] {
        program(name);
    }
    let folder = Folder::project();
    let document = checks(&doctor(&folder, &path, &["--json"]).done());
    for (name, found) in [
        ("bake", env!("CARGO_PKG_VERSION")),
        ("gcloud", "Google Cloud SDK "),
        ("openssl", "OpenSSL "),
        ("qemu-system-x86_64", "QEMU emulator version "),
        ("qemu-img", "qemu-img version "),
        ("lock", "bake.lock, format 1, "),
    ] {
        let check = check(&document, name);
        assert_eq!(check["state"], "ok", "{document:#}");
        assert!(check["found"].as_str().is_some_and(|text| text.starts_with(found)), "{document:#}");
    }
    // A guest is started to find out.
    assert!(["ok", "optional"].iter().any(|state| check(&document, "acceleration")["state"] == *state));
}

#[test]
fn the_command_for_a_stale_lock_mends_it() {
    let folder = Folder::project();
    // Only this check is of interest, and QEMU would take its time.
    let of = |folder: &Folder, name: &str| {
        check(&checks(&doctor(folder, OsStr::new(""), &["--json"])), name).clone()
    };
    assert_eq!(of(&folder, "lock")["state"], "ok");
    folder.edit("images/binaries.yaml", "- wacli ", "# - wacli ");
    let stale = of(&folder, "lock");
    assert_eq!((&stale["state"], &stale["mend"]), (&"missing".into(), &"bake lock".into()));
    folder.bake(["lock", "--offline"]).done();
    assert_eq!(of(&folder, "lock")["state"], "ok");

    folder.edit("bake.yaml", "port: 18789", "prot: 18789");
    let project = of(&folder, "project");
    assert_eq!((&project["state"], &project["mend"]), (&"missing".into(), &"bake check".into()));
    assert_eq!(of(&Folder::empty(), "project")["state"], "optional");
}

#[test]
fn a_taken_port_and_a_cache_that_is_a_file_are_found() {
    let folder = Folder::project();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    folder.edit("bake.yaml", "port: 18789", &format!("port: {port}")).write("file", "");
    let run = |cache: &str| {
        let mut command = folder.command();
        command.args(["doctor", "--json"]).env("BAKE_CACHE_DIR", folder.join(cache)).env("PATH", "");
        checks(&said(&mut command))
    };
    let document = run("file");
    assert_eq!(check(&document, "port")["state"], "optional", "{document:#}");
    assert_eq!(check(&document, "cache")["state"], "missing", "{document:#}");
    drop(taken);
    let document = run("new/cache");
    assert_eq!(check(&document, "port")["state"], "ok", "{document:#}");
    assert_eq!(check(&document, "cache")["state"], "ok", "{document:#}");
    assert!(!folder.join("new").exists(), "it only looks");
}
