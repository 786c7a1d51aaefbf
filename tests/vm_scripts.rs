//! The scripts of the VM, each with real parts: `tests/vm/NAME` tests `cloud-init/NAME.*`.

mod support;

use std::fs;
use std::path::Path;
use std::process::Command;

use support::said;

/// What a test script exits with where the machine lacks something; it has said what.
const SKIPPED: i32 = 77;

#[test]
fn every_script_does_its_job() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vm");
    let mut scripts: Vec<_> =
        fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    scripts.retain(|path| path.is_file() && !path.ends_with(".shellcheckrc"));
    scripts.sort();
    assert!(scripts.len() > 8, "{scripts:?}");
    let required = std::env::var_os("BAKE_TESTBED_REQUIRED").is_some();
    for script in scripts {
        let name = script.file_name().and_then(|name| name.to_str()).expect("a name");
        let run = said(&mut Command::new(&script));
        if run.code == SKIPPED && !required {
            eprint!("{name}: {}", run.out);
            continue;
        }
        assert_eq!(run.code, 0, "{name}:\n{}{}", run.out, run.err);
    }
}
