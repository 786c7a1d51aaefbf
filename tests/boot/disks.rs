//! The data disk: never guessed, never wiped, and the state of a gateway that comes back by itself.

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

/// The name under which the VM knows its data disk.
const DEVICE: &str = "openclaw-gateway-data";

/// Bytes of the disk that comes late.
const DISK: u64 = 64 << 20;

#[test]
fn without_its_own_data_disk_no_gateway_starts_and_with_it_none_stays_away() {
    let world = World::start();
    let (project, _pushed) = strategies::pushed(&world);
    // With cloud-init on the disk, and a finished image in a registry: the bridge and the build are in the others.
    let machine = Machine::new(&world, &project, "cloud-13.qcow2");
    let monitor = Monitor::at(machine.file("monitor.sock"));
    let machine = machine.with_hardware(&monitor.arguments().each_ref().map(String::as_str));

    let vm = machine.start_with(&["--no-data-disk"]);
    world.was_asked("");
    vm.until_told("failed", &["openclaw-gateway-data is not attached"]);
    not_on_the_boot_disk(&vm);

    let disk = machine.file("late.raw");
    for (make, told) in [(photos as fn(&Path), "ext4 with the label 'photos'"), (something, "unknown data")] {
        make(&disk);
        let before = fs::read(&disk).expect("a disk");
        monitor.attach(&disk, DEVICE);
        vm.until_told("failed", &[told, "not touched"]);
        not_on_the_boot_disk(&vm);
        monitor.detach();
        assert!(fs::read(&disk).expect("a disk") == before, "a disk that is not ours was written to: {told}");
        vm.until_told("failed", &["openclaw-gateway-data is not attached"]);
    }

    blank(&disk);
    monitor.attach(&disk, DEVICE);
    vm.until("ready", |report| report.status == "ready");
    vm.tell_times("with a blank data disk at last");
    assert_eq!(vm.run("findmnt -n -o FSTYPE,LABEL /var/lib/openclaw").done().out, "ext4 openclaw\n");
    assert!(!world.was_asked("github.com"), "a release was fetched");
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    let runs =
        TOOLS.map(|(tool, _)| format!("{tool} && grep --quiet '{tool} {VERSION}' /usr/local/bin/{tool}"));
    vm.run_inside(&runs.join(" && ")).done();
    strategies::without_the_bridge(&vm);
    let token = checks::token(&vm);
    comes_back(&vm);
    assert_eq!(checks::token(&vm), token);
    vm.tell_times("with all that was done to it");
    grows(&vm, &monitor);
    is_closed_to_the_network(&world, &monitor);
    let end = vm.stop();
    assert_eq!(end.code, 0, "{}", end.err);
    assert!(end.out.contains("start ") && end.out.ends_with(" s, emulated\n"), "{}", end.out);
}

/// A larger disk gives more room at the next start.
fn grows(vm: &Rehearsal<'_>, monitor: &Monitor) {
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

/// Whoever reaches the VM's network interface finds SSH there, and no gateway.
fn is_closed_to_the_network(world: &World, monitor: &Monitor) {
    let ask = |from: u16, to: u16| {
        monitor.forward(from, to);
        let url = format!("http://127.0.0.1:{from}/");
        said(world.namespace.command("curl").args(["--silent", "--show-error", "--max-time", "120", &url]))
    };
    // Curl: it speaks another protocol.
    let ssh = ask(10022, 22);
    assert_eq!(ssh.code, 1, "{}", ssh.err);
    let gateway = ask(10789, 18789);
    // Curl: no answer, or cut off.
    assert!([52, 56].contains(&gateway.code) && gateway.out.is_empty(), "{}{}", gateway.code, gateway.err);
}

/// Whatever ends the gateway, it is there again.
fn comes_back(vm: &Rehearsal<'_>) {
    vm.run("kill -KILL $(docker inspect -f '{{.State.Pid}}' $(docker ps --quiet))").done();
    vm.until_told("start", &["the gateway was killed (exit code 137)"]);
    vm.until_ready();
    vm.run("docker rm --force $(docker ps --quiet)").done();
    vm.until_told("start", &["the gateway's container is gone"]);
    vm.until_ready();
    // The socket would start it at the first question.
    vm.run("systemctl stop docker.socket docker.service").done();
    vm.until_told("start", &["Docker is away"]);
    vm.until_ready();
    vm.run("systemctl restart docker.service").done();
    assert_eq!(vm.get("/startupz").0, "200");
    checks::is_shut_in(vm);
    checks::guard_is_what_keeps_it(vm);
}

#[track_caller]
fn not_on_the_boot_disk(vm: &Rehearsal<'_>) {
    // Docker may not even run: that comes after the disk.
    assert_eq!(vm.run("docker ps --all --quiet 2>/dev/null").out, "");
    assert_eq!(vm.run("ls -A /var/lib/openclaw").out, "");
}

/// Somebody's own file system.
fn photos(raw: &Path) {
    blank(raw);
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("photo"), "of a cat").expect("a file");
    said(Command::new("mkfs.ext4").args(["-q", "-F", "-L", "photos", "-d"]).arg(folder.path()).arg(raw))
        .done();
}

/// Something that no tool knows, near the beginning.
fn something(raw: &Path) {
    blank(raw);
    let mut bytes = fs::read(raw).expect("a disk");
    bytes[700_001] = 1;
    fs::write(raw, bytes).expect("a disk");
}

fn blank(raw: &Path) {
    let _ = fs::remove_file(raw);
    fs::File::create(raw).and_then(|file| file.set_len(DISK)).expect("a disk");
}
