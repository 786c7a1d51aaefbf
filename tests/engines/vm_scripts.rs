//! Tests of the VM's scripts with real parts: `tests/vm/NAME` tests `cloud-init/NAME.*`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use assert_cmd::cargo::cargo_bin_cmd;

use crate::support::test;
use crate::support::{said, testbed};

/// The exit code of a test script that lacks a part. It prints the name of the part.
const SKIPPED: i32 = 77;

/// Defines a test for each line, which runs its scripts in order.
macro_rules! scripts {
    ($($test:ident: $($script:literal)+;)+) => {
        $(
            #[test]
            fn $test() {
                for script in [$($script),+] {
                    passes(script);
                }
            }
        )+

        const RUN: &[&str] = &[$($($script),+),+];
    };
}

scripts! {
    advice: "advice";
    bake: "bake";
    configure: "configure";
    converge: "converge";
    disk: "disk";
    docker: "docker";
    egress: "egress";
    guard_on_engines: "guard-on-engines";
    hostile: "hostile-state" "hostile";
    metadata_guard: "metadata-guard";
    probe: "probe";
    quote: "quote";
    release: "release";
    report: "report";
    secrets: "secrets";
    start: "start";
    startup_script: "startup-script";
    swap: "swap";
    update: "update";
    update_killed: "update-killed";
    user_data: "user-data";
    // These share an engine and its names.
    with_docker: "home" "image" "start-compose" "verify" "home-real";
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm")
}

#[track_caller]
fn passes(name: &str) {
    let bake = cargo_bin_cmd!("bake");
    let run = said(Command::new(folder().join(name)).env("BAKE", bake.get_program()));
    if run.code == SKIPPED {
        testbed::missing(&format!("part for {name} ({})", run.out.trim()));
    }
    assert_eq!(run.code, 0, "{name}:\n{}{}", run.out, run.err);
}

#[test]
fn every_script_runs() {
    let files = fs::read_dir(folder()).expect("a folder").flatten();
    let scripts: BTreeSet<_> = files
        .filter(|entry| entry.path().is_file())
        .map(|entry| entry.file_name().into_string().expect("UTF-8"))
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert_eq!(scripts, RUN.iter().map(ToString::to_string).collect());
}
