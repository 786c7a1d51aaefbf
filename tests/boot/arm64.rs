//! A VM with another architecture than this machine's.

use bake::project::values::Arch;
use bake::rehearse::works;

use crate::checks;
use crate::project::STAND_IN_ARM64;
use crate::rehearsal::Machine;
use crate::strategies;
use crate::support::{test, testbed};
use crate::world::World;

/// See `engines rehearse::` for amd64.
#[test]
fn the_probe_of_accelerators_runs_on_arm64() {
    testbed::program("qemu-system-aarch64");
    let folder = tempfile::tempdir().expect("a temporary folder");
    // On a busy machine it may exceed its time limit.
    assert!((0..5).any(|_| works(Arch::Arm64, "tcg", folder.path()).expect("QEMU")));
    assert!(!works(Arch::Arm64, "none-such", folder.path()).expect("QEMU"));
}

/// The image is of `bake image push`, which needs no machine of that architecture.
#[test]
fn an_arm64_vm_becomes_ready() {
    testbed::program("qemu-system-aarch64");
    let world = World::start();
    let (project, _pushed) = strategies::pushed(&world, STAND_IN_ARM64, |folder| {
        folder.edit("bake.yaml", "arch: amd64", "arch: arm64");
        folder.edit("bake.yaml", "machine_type: e2-small", "machine_type: t2a-standard-1");
    });
    let machine = Machine::new(&world, &project, "cloud-13-arm64.qcow2");
    let vm = machine.start();
    vm.until_ready();
    vm.print_times("a first boot on arm64, finished image from a registry");
    println!("uptime: {}", vm.run("cut -d ' ' -f 1 /proc/uptime").done().out);
    assert_eq!(vm.run("uname -m").done().out, "aarch64\n");
    assert_eq!(vm.run_inside("uname -m").done().out, "aarch64\n");
    assert_eq!(vm.get("/startupz").0, "200");
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    checks::assert_confined(&vm);
    checks::assert_guard_blocks_metadata(&vm);
    checks::token(&vm);
    vm.run("/usr/local/lib/openclaw/verify.sh").done();

    // Compute Engine keeps what arrives at the serial console.
    assert_eq!(vm.run("cat /sys/class/tty/console/active").done().out, "ttyAMA0\n");
    let serial = machine.serial();
    assert!(serial.contains("openclaw: status=ready"), "{serial}");
    let port = "cd /usr/local/lib/openclaw && python3 -c 'import release; print(release.SERIAL)'";
    assert_eq!(vm.run(port).done().out, "/dev/ttyAMA0\n");
    let end = vm.stop();
    assert_eq!(end.code, 0, "{}", end.err);
    println!("{}{}", end.err, end.out);
}
