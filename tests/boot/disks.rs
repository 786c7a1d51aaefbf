//! The data disk is never guessed and never wiped, and the gateway recovers by itself.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::checks;
use crate::monitor::Monitor;
use crate::rehearsal::{Machine, Rehearsal};
use crate::strategies;
use crate::support::said;
use crate::support::test;
use crate::world::{TOOLS, VERSION, World};

/// The device name of the data disk.
const DEVICE: &str = "openclaw-gateway-data";

/// The size in bytes of the disk that is attached late.
const DISK: u64 = 64 << 20;

#[test]
fn the_gateway_runs_only_with_its_data_disk_and_restarts_by_itself() {
    let world = World::start();
    let (project, _pushed) = strategies::pushed(&world);
    // cloud-init is on the disk and the image in a registry. Other scenarios cover the bridge and the build.
    let machine = Machine::new(&world, &project, "cloud-13.qcow2");
    let monitor = Monitor::at(machine.file("monitor.sock"));
    let machine = machine.with_hardware(&monitor.arguments().each_ref().map(String::as_str));

    let vm = machine.start_with(&["--no-data-disk"]);
    world.was_asked("");
    vm.until_error("failed", &["openclaw-gateway-data is not attached"]);
    assert_boot_disk_unused(&vm);

    let disk = machine.file("late.raw");
    for (make, found) in
        [(photos as fn(&Path), "ext4 with the label 'photos'"), (unknown_data, "unknown data")]
    {
        make(&disk);
        let before = fs::read(&disk).expect("a disk");
        monitor.attach(&disk, DEVICE);
        vm.until_error("failed", &[found, "not touched"]);
        assert_boot_disk_unused(&vm);
        monitor.detach();
        assert!(fs::read(&disk).expect("a disk") == before, "a foreign disk was written to: {found}");
        vm.until_error("failed", &["openclaw-gateway-data is not attached"]);
    }

    blank(&disk);
    monitor.attach(&disk, DEVICE);
    vm.until("ready", |report| report.status == "ready");
    vm.print_times("with a blank data disk");
    assert_eq!(vm.run("findmnt -n -o FSTYPE,LABEL /var/lib/openclaw").done().out, "ext4 openclaw\n");
    assert!(!world.was_asked("github.com"), "a release was fetched");
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    let runs =
        TOOLS.map(|(tool, _)| format!("{tool} && grep --quiet '{tool} {VERSION}' /usr/local/bin/{tool}"));
    vm.run_inside(&runs.join(" && ")).done();
    strategies::without_the_bridge(&vm);
    let token = checks::token(&vm);
    assert_gateway_restarts(&vm);
    assert_eq!(checks::token(&vm), token);
    vm.print_times("after restarts of the gateway");
    assert_grows(&vm, &monitor);
    assert_only_ssh_is_reachable(&world, &monitor);
    let end = vm.stop();
    assert_eq!(end.code, 0, "{}", end.err);
    assert!(end.out.contains("start ") && end.out.ends_with(" s, emulated\n"), "{}", end.out);
}

/// The file system grows with the disk at the next start.
fn assert_grows(vm: &Rehearsal<'_>, monitor: &Monitor) {
    let room = || -> u64 {
        let blocks = vm.run("stat --file-system --format '%b %S' /var/lib/openclaw").done().out;
        let mut numbers = blocks.split_whitespace().map(|number| number.parse::<u64>().expect("a number"));
        numbers.next().zip(numbers.next()).map(|(blocks, size)| blocks * size).expect("two numbers")
    };
    assert!(room() < DISK);
    monitor.grow(4 * DISK);
    vm.run("/usr/local/lib/openclaw/disk.sh").done();
    assert!(room() > 3 * DISK, "{}", room());
}

/// The VM's network interface accepts SSH, but not the gateway's port.
fn assert_only_ssh_is_reachable(world: &World, monitor: &Monitor) {
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
fn assert_gateway_restarts(vm: &Rehearsal<'_>) {
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
    fs::File::create(raw).and_then(|file| file.set_len(DISK)).expect("a disk");
}
