//! The data disk is never guessed and never wiped, and the gateway recovers by itself: checks of a running VM.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::checks;
use crate::monitor::Monitor;
use crate::rehearsal::{Machine, Rehearsal};
use crate::support::said;
use crate::world::World;

/// The device name of the data disk.
const DEVICE: &str = "openclaw-gateway-data";

/// The size in bytes of a foreign disk.
const FOREIGN: u64 = 64 << 20;

/// A VM that booted without its data disk waits for it and touches no other disk. Attaches the machine's data disk in
/// the end.
#[track_caller]
pub fn assert_only_the_data_disk_is_used(machine: &Machine<'_>, vm: &Rehearsal<'_>, monitor: &Monitor) {
    vm.until_error("failed", &["openclaw-gateway-data is not attached"]);
    assert_boot_disk_unused(vm);
    let disk = machine.file("foreign.raw");
    for (make, found) in
        [(photos as fn(&Path), "ext4 with the label 'photos'"), (unknown_data, "unknown data")]
    {
        make(&disk);
        let before = fs::read(&disk).expect("a disk");
        monitor.attach(&disk, "raw", DEVICE);
        vm.until_error("failed", &[found, "not touched"]);
        assert_boot_disk_unused(vm);
        monitor.detach();
        assert!(fs::read(&disk).expect("a disk") == before, "a foreign disk was written to: {found}");
        vm.until_error("failed", &["openclaw-gateway-data is not attached"]);
    }
    monitor.attach(&machine.file("data.qcow2"), "qcow2", DEVICE);
}

/// The file system grows with the disk at the next start.
#[track_caller]
pub fn assert_grows(vm: &Rehearsal<'_>, monitor: &Monitor) {
    let room = || -> u64 {
        let blocks = vm.run("stat --file-system --format '%b %S' /var/lib/openclaw").done().out;
        let mut numbers = blocks.split_whitespace().map(|number| number.parse::<u64>().expect("a number"));
        numbers.next().zip(numbers.next()).map(|(blocks, size)| blocks * size).expect("two numbers")
    };
    // The default project's disk has 10 GiB.
    let (before, gib) = (room(), 1 << 30);
    monitor.grow(13 * gib);
    vm.run("/usr/local/lib/openclaw/disk.sh").done();
    assert!(room() > before + 2 * gib, "{before}, {}", room());
}

/// The VM's network interface accepts SSH, but not the gateway's port.
#[track_caller]
pub fn assert_only_ssh_is_reachable(world: &World, monitor: &Monitor) {
    let ask = |from: u16, to: u16| {
        monitor.forward(from, to);
        let url = format!("http://127.0.0.1:{from}/");
        said(world.namespace.command("curl").args(["--silent", "--show-error", "--max-time", "120", &url]))
    };
    // curl: not HTTP.
    let ssh = ask(10022, 22);
    assert_eq!(ssh.code, 1, "{}", ssh.err);
    let gateway = ask(10789, 18789);
    // curl: empty reply or connection reset.
    assert!([52, 56].contains(&gateway.code) && gateway.out.is_empty(), "{}{}", gateway.code, gateway.err);
}

/// The gateway restarts after any kind of end.
#[track_caller]
pub fn assert_gateway_restarts(vm: &Rehearsal<'_>) {
    vm.run("kill -KILL $(docker inspect -f '{{.State.Pid}}' $(docker ps --quiet))").done();
    vm.until_error("start", &["the gateway was killed (exit code 137)"]);
    vm.until_ready();
    vm.run("docker rm --force $(docker ps --quiet)").done();
    vm.until_error("start", &["the gateway's container is gone"]);
    vm.until_ready();
    // Stop the socket too, because the first request would start Docker.
    vm.run("systemctl stop docker.socket docker.service").done();
    vm.until_error("start", &["Docker is away"]);
    vm.until_ready();
    vm.run("systemctl restart docker.service").done();
    assert_eq!(vm.get("/startupz").0, "200");
    checks::assert_confined(vm);
    checks::assert_guard_blocks_metadata(vm);
}

#[track_caller]
fn assert_boot_disk_unused(vm: &Rehearsal<'_>) {
    // Docker starts only after the disk check, so it may not run yet.
    assert_eq!(vm.run("docker ps --all --quiet 2>/dev/null").out, "");
    assert_eq!(vm.run("ls -A /var/lib/openclaw").out, "");
}

/// A user's file system.
fn photos(raw: &Path) {
    blank(raw);
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("photo"), "of a cat").expect("a file");
    said(Command::new("mkfs.ext4").args(["-q", "-F", "-L", "photos", "-d"]).arg(folder.path()).arg(raw))
        .done();
}

/// Unknown data near the beginning.
fn unknown_data(raw: &Path) {
    blank(raw);
    let mut bytes = fs::read(raw).expect("a disk");
    bytes[700_001] = 1;
    fs::write(raw, bytes).expect("a disk");
}

fn blank(raw: &Path) {
    let _ = fs::remove_file(raw);
    fs::File::create(raw).and_then(|file| file.set_len(FOREIGN)).expect("a disk");
}
