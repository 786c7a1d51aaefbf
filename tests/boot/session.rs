//! Records the README's picture: a user's session from `bake init` to `ready`.

use std::os::unix::fs::symlink;
use std::path::Path;

use assert_cmd::cargo::cargo_bin_cmd;

use crate::support::github::TOKEN;
use crate::support::{Folder, said, test, testbed};
use crate::world::World;

#[test]
#[ignore = "a recording: tests/all --test boot session -- --ignored --nocapture"]
fn a_session_from_init_to_ready_is_recorded() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let recording = root.join("docs/images/session.cast");
    let world = World::start();
    let folder = Folder::empty();
    symlink(testbed::boot("google-13-docker.qcow2"), folder.join("debian-13.qcow2")).expect("a link");
    let program = cargo_bin_cmd!("bake");
    let programs = Path::new(program.get_program()).parent().expect("a folder");
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").expect("a PATH"));
    let mut record = world.namespace.command("/usr/bin/python3");
    record
        .arg(root.join("packaging/session/record.py"))
        .arg(&recording)
        .current_dir(folder.path())
        .env_clear()
        .env("PATH", path)
        .env("HOME", folder.path())
        .env("GITHUB_TOKEN", TOKEN)
        .env("SSL_CERT_FILE", World::authority());
    said(&mut record).done();
}
