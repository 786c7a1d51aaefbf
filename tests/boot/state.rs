//! Reads and continues the state on a VM's data disk without booting the VM again.

use std::fs;
use std::path::Path;

use crate::project::{Project, REAL};
use crate::rehearsal::{Machine, PORT};
use crate::support::gateway::Gateway;
use crate::support::{Folder, said, testbed};

/// Finds the gateway's databases. Lock files are empty.
const DATABASES: &str = "find /home/node/.openclaw -name '*.sqlite' ! -name '*.lock.sqlite'";

/// Copies the state from the data disk of a stopped machine into `folder`, which must not exist.
///
/// First repairs the file system as `disk.sh` does, which replays the journal after a power cut.
#[track_caller]
pub fn copy_from_disk(machine: &Machine<'_>, folder: &Path) {
    let raw = machine.file("data.raw");
    let qcow2 = machine.file("data.qcow2");
    said(testbed::program("qemu-img").args(["convert", "-O", "raw"]).arg(qcow2).arg(&raw)).done();
    let check = said(testbed::program("e2fsck").arg("-p").arg(&raw));
    // e2fsck(8): codes from 4 on mean uncorrected errors.
    assert!((0..4).contains(&check.code), "{}{}", check.out, check.err);
    fs::create_dir_all(folder).expect("a folder");
    let copy = format!("rdump / {}", folder.display());
    let copied = said(testbed::program("debugfs").args(["-R", &copy]).arg(&raw));
    // It always exits with 0.
    let errors: Vec<_> = copied.err.lines().filter(|line| !line.starts_with("debugfs ")).collect();
    assert!(errors.is_empty(), "{errors:?}");
    fs::remove_file(raw).expect("a file");
}

/// Runs OpenClaw itself on a copy of a VM's state, in the finished image `image`. The VM's scripts start it on this
/// machine, as on another VM with the same data disk. `secret` is a line of `bake.yaml` that needs Secret Manager; its
/// value is generated here.
#[track_caller]
pub fn continue_gateway(
    project: &Project,
    image: &str,
    secret: &str,
    prepare: impl FnOnce(&Path),
) -> Gateway {
    let folder = Folder::project();
    for name in ["bake.yaml", "bake.lock", "images/binaries.yaml"] {
        folder.write(name, project.read(name));
    }
    assert!(folder.read("bake.yaml").contains(REAL), "another gateway");
    let (name, _) = secret.split_once(':').expect("a name");
    folder.edit("bake.yaml", secret, &format!("{name}: {{generate: hex32}}\n"));
    Gateway::start_with(folder, image, PORT, |vm| prepare(&vm.join("var/lib/openclaw")))
}

/// Every database of the gateway passes its integrity check.
#[track_caller]
pub fn assert_databases_whole(gateway: &Gateway) {
    let check = "const { DatabaseSync } = require('node:sqlite'); \
                 for (const path of process.argv.slice(1)) { \
                 const database = new DatabaseSync(path, { readOnly: true }); \
                 database.exec('PRAGMA busy_timeout = 60000'); \
                 console.log(database.prepare('PRAGMA integrity_check').get().integrity_check) }";
    let quoted = shlex::try_quote(check).expect("no NUL");
    let found = gateway.run_inside(&format!("node -e {quoted} $({DATABASES}) 2>/dev/null")).done().out;
    assert!(!found.is_empty() && found.lines().all(|line| line == "ok"), "{found}");
}
