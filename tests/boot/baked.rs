//! An OS image: a VM that becomes one, and two VMs that boot from it without an internet.

use std::fs;
use std::path::{Path, PathBuf};

use crate::checks;
use crate::project::{Project, STAND_IN};
use crate::rehearsal::{Machine, Rehearsal};
use crate::support::{said, test, testbed};
use crate::world::World;

/// Values in which two VMs of one image must differ, each with a command that prints it.
const IDENTITIES: [(&str, &str); 4] = [
    ("machine ID", "cat /etc/machine-id"),
    ("SSH host key", "ssh-keygen -A >&2; cat /etc/ssh/ssh_host_ed25519_key.pub"),
    ("random seed", "od -An -tx1 /var/lib/systemd/random-seed"),
    ("generated secret", "cat /var/lib/openclaw/secrets/OPENCLAW_GATEWAY_TOKEN"),
];

/// Programs of the first VM that the second finds changed in its image, and what replaces their version.
const TAMPERED: (&str, &str) = ("goplaces 99.0.0", "goplaces 66.0.6");

#[test]
fn a_baked_image_boots_to_ready_without_an_internet_and_gives_each_vm_its_own_identity() {
    let world = World::start();
    let project = Project::locked(&world, STAND_IN, |folder| {
        folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    });
    let builder = Machine::new(&world, &project, "google-13-docker.qcow2");
    let image = builder.file("image.qcow2");
    let chart = builder.file("chart.svg");
    let [bake, draw] = [&image, &chart].map(|file| file.to_str().expect("UTF-8"));
    let baked = builder.rehearse(&["--bake", bake, "--chart", draw]).done();
    assert!(baked.err.contains(" s  baked\n") && baked.err.contains("bake rehearse --disk"), "{}", baked.err);
    println!("{}", baked.out);
    let chart = fs::read_to_string(chart).expect("a chart");
    assert!(
        chart.starts_with("<svg") && ["verify", "baked"].iter().all(|stage| chart.contains(stage)),
        "{chart}"
    );
    let raw = builder.file("image.raw");
    assert_is_sealed(&image, &raw);
    world.was_asked("");

    world.namespace.cut();
    let machine = Machine::on(&world, &project, image.clone());
    let vm = machine.start();
    vm.until_ready();
    vm.print_times("a first boot from a baked image, without an internet");
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    assert_eq!(vm.get("/startupz").0, "200");
    let first = identities(&vm);
    drop(vm);
    assert!(!world.was_asked(""), "a server was reached");

    tamper(&raw);
    let machine = Machine::on(&world, &project, raw);
    let vm = machine.start();
    vm.until_error("failed", &["verify: not what bake.lock says: goplaces: locked as"]);
    checks::assert_never_started(&vm);
    for ((what, _), (first, second)) in IDENTITIES.iter().zip(first.iter().zip(identities(&vm))) {
        assert!(!second.is_empty() && *first != second, "the same {what}: {second}");
    }
}

fn identities(vm: &Rehearsal<'_>) -> Vec<String> {
    IDENTITIES.iter().map(|(_, command)| vm.run(command).done().out).collect()
}

/// The image holds nothing of the VM that it was made on; nothing is mounted to look at it.
#[track_caller]
fn assert_is_sealed(image: &Path, raw: &Path) {
    said(testbed::program("qemu-img").args(["convert", "-O", "raw"]).args([image, raw])).done();
    let list = |folder: &str| inside(raw, &format!("ls -p {folder}"));
    assert_eq!(inside(raw, "cat /etc/machine-id"), "");
    for (folder, gone) in [
        ("/etc/ssh", "/ssh_host_"),
        ("/etc/systemd/system", "/openclaw-"),
        ("/opt", "/openclaw/"),
        ("/usr/local/lib", "/openclaw/"),
        ("/var/lib", "/openclaw/"),
        ("/var/lib/openclaw-boot", "/applied"),
        ("/var/lib/openclaw-boot", "/bridge-done"),
        ("/var/lib/systemd", "/random-seed"),
        ("/var/lib/cloud", "/instances/"),
        ("/var/lib/docker/containers", "/config.v2.json"),
        ("/var/log/journal", "/system.journal"),
    ] {
        assert!(!list(folder).contains(gone), "{folder}: {}", list(folder));
    }
    assert!(list("/var/lib/docker").contains("/overlay2/") || list("/var/lib/docker").contains("/image/"));
    // The metadata server's token, and the credential's name in its answer.
    for secret in ["ya29.", "OPENCLAW_GATEWAY_TOKEN=\""] {
        assert_eq!(find(raw, secret), [0; 0], "{secret} is on the disk");
    }
}

/// The offsets of `text` on a disk, without its holes.
#[track_caller]
fn find(raw: &Path, text: &str) -> Vec<u64> {
    let search = "import os, sys
file, text, end = os.open(sys.argv[1], os.O_RDONLY), sys.argv[2].encode(), 0
size = os.fstat(file).st_size
while end < size:
    try:
        begin = os.lseek(file, end, os.SEEK_DATA)
    except OSError:
        break
    end = os.lseek(file, begin, os.SEEK_HOLE)
    for place in range(begin, end, 1 << 24):
        part = os.pread(file, min(1 << 24, end - place) + len(text) - 1, place)
        at = part.find(text)
        while at >= 0:
            print(place + at)
            at = part.find(text, at + 1)";
    let found = said(testbed::program("python3").args(["-c", search]).arg(raw).arg(text)).done().out;
    found.lines().map(|line| line.parse().expect("a number")).collect()
}

/// The output of a command of debugfs(8) on the image's root file system.
#[track_caller]
fn inside(raw: &Path, command: &str) -> String {
    let table = said(testbed::program("sfdisk").args(["--json"]).arg(raw)).done().out;
    let table: serde_json::Value = serde_json::from_str(&table).expect("JSON");
    let partitions = table["partitiontable"]["partitions"].as_array().expect("partitions");
    let root = partitions.iter().max_by_key(|partition| partition["size"].as_u64()).expect("a partition");
    let offset = root["start"].as_u64().expect("a sector") * 512;
    let place = PathBuf::from(format!("{}?offset={offset}", raw.display()));
    said(testbed::program("debugfs").args(["-R", command]).arg(place)).done().out
}

/// Changes a program in the image's layers.
#[track_caller]
fn tamper(raw: &Path) {
    let (from, to) = TAMPERED;
    let places = find(raw, from);
    assert!(!places.is_empty(), "{from} is not on the disk");
    let file = fs::OpenOptions::new().write(true).open(raw).expect("a disk");
    for place in places {
        std::os::unix::fs::FileExt::write_all_at(&file, to.as_bytes(), place).expect("a disk");
    }
}
