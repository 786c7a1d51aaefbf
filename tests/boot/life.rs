//! The life of a machine: a power cut during its first boot, a reboot without internet, a new boot disk with
//! a finished image and a late data disk, restarts of the gateway, and updates in place.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use serde_json::Value;

use crate::monitor::Monitor;
use crate::project::Project;
use crate::rehearsal::Machine;
use crate::support::openclaw::OLD;
use crate::support::{Folder, test, testbed};
use crate::update::{Images, Updates};
use crate::world::{TOOLS, VERSION, World};
use crate::{checks, disks, strategies};

/// The moments of the power cut, of which the seed chooses one: text on the serial console, and the maximum delay
/// after it in seconds. They hit the boot, the bridge, Docker's installation, the image and the gateway's start.
const MOMENTS: [(&str, f64); 5] = [
    ("", 60.0),
    ("Found startup-script", 60.0),
    ("status=starting", 60.0),
    ("status=image", 60.0),
    ("status=start ", 15.0),
];

#[test]
fn a_gateway_survives_power_cuts_a_reboot_a_new_boot_disk_and_updates() {
    let world = World::start();
    let mut random = seeded();
    let mut images = Images::default();
    let base = images.gateway(OLD);
    let project = Project::locked(&world, &base, |folder| {
        folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    });
    let machine = Machine::new(&world, &project, "google-13.qcow2");

    let (said, seconds) = random.choice(MOMENTS).expect("a moment");
    let vm = machine.start();
    vm.until_serial(said);
    let moment = Duration::from_secs_f64(seconds * random.f64());
    let begun = Instant::now();
    // A fast machine may finish its first boot earlier.
    while begun.elapsed() < moment && !vm.was_ready() {
        thread::sleep(Duration::from_millis(50));
    }
    vm.pull_the_plug();
    println!("plug pulled {:.1} s after {said:?}", begun.elapsed().as_secs_f64());

    let vm = machine.start();
    vm.until_ready();
    vm.print_times("a first boot after a power cut");
    let token = checks::token(&vm);
    let config = checks::read(&vm, checks::CONFIGURATION);
    serde_json::from_str::<Value>(&config).expect("a whole openclaw.json");
    assert_eq!(vm.run("dpkg --audit").done().out, "");
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    vm.run("/usr/local/lib/openclaw/verify.sh").done();
    assert_eq!(vm.get("/startupz").0, "200");
    checks::assert_cleaned_up(&vm);
    vm.run_inside("echo remembered >/home/node/.openclaw/workspace/note.md").done();
    // Tools store their logins like this.
    vm.run_inside("cd && mkdir -p .local/state/tool && echo in >.local/state/tool/login").done();
    checks::change_configuration(&vm);
    let config = checks::read(&vm, checks::CONFIGURATION);
    vm.power_off();

    world.namespace.cut();
    // As a user runs it: `bake` exits by itself and ends the VM.
    let reboot = machine.rehearse(&["--json", "--ask", "Are you there?"]).done();
    let document: Value = serde_json::from_str(&reboot.out).expect("JSON");
    assert_eq!((&document["ready"], &document["emulated"]), (&Value::Bool(true), &Value::Bool(true)));
    assert_eq!(document["lock"], project.lock());
    assert_eq!(document["reply"], "A stand-in was asked: Are you there?");
    let stages = document["stages"].as_array().expect("a list");
    assert_eq!(stages[0]["name"], "boot");
    assert!(reboot.err.contains(" s  ready\n"), "{}", reboot.err);
    world.namespace.mend();

    // The reboot's VM was killed, so it could not report its end.
    let on_debian_12 = |folder: &Folder| {
        folder.edit("bake.yaml", "os: debian-13", "os: debian-12");
    };
    let (finished, _pushed) = strategies::pushed(&world, &base, on_debian_12);
    let updates = Updates::from(&world, &mut images, &finished, on_debian_12);
    let image = testbed::boot("cloud-12.qcow2");
    let touched = |image: &Path| {
        let metadata = fs::metadata(image).expect("an image");
        (metadata.len(), metadata.modified().expect("a time"))
    };
    let before = touched(&image);
    let monitor = Monitor::at(machine.file("monitor.sock"));
    let machine = machine
        .replaced(&finished, "cloud-12.qcow2")
        .with(&["--metadata", &updates.metadata()])
        .with_hardware(&monitor.arguments().each_ref().map(String::as_str));
    let vm = machine.start_with(&["--no-data-disk"]);
    world.was_asked("");
    disks::assert_only_the_data_disk_is_used(&machine, &vm, &monitor);
    vm.until("ready", |report| report.status == "ready");
    assert!(vm.run("cat /etc/debian_version").done().out.starts_with("12"));
    vm.print_times("new boot disk with Debian 12, finished image, old data disk attached late");
    let mounted = vm.run("findmnt -n -o FSTYPE,LABEL /var/lib/openclaw").done().out;
    assert_eq!(mounted.split_whitespace().collect::<Vec<_>>(), ["ext4", "openclaw"]);
    assert_eq!(checks::token(&vm), token);
    assert_eq!(checks::read(&vm, checks::CONFIGURATION), config);
    assert_eq!(checks::read(&vm, "/var/lib/openclaw/workspace/note.md"), "remembered\n");
    assert_eq!(vm.run_inside("cat ~/.local/state/tool/login").done().out, "in\n");
    assert_eq!(checks::attribute(&vm, "lock"), finished.lock());
    assert!(!world.was_asked("github.com"), "a release was fetched");
    let runs =
        TOOLS.map(|(tool, _)| format!("{tool} && grep --quiet '{tool} {VERSION}' /usr/local/bin/{tool}"));
    vm.run_inside(&runs.join(" && ")).done();
    strategies::without_the_bridge(&vm);

    disks::assert_gateway_restarts(&vm);
    assert_eq!(checks::token(&vm), token);
    vm.print_times("after restarts of the gateway");
    disks::assert_grows(&vm, &monitor);
    disks::assert_only_ssh_is_reachable(&world, &monitor);

    let vm = updates.assert_each_ends_whole(&machine, vm);
    assert_eq!(checks::token(&vm), token);
    assert!(!machine.serial().contains(&token) && !vm.output().contains(&token));
    let end = vm.stop();
    assert_eq!(end.code, 0, "{}", end.err);
    assert_eq!(touched(&image), before, "the image was written to");
    assert!(end.out.contains("start ") && end.out.ends_with(" s, emulated\n"), "{}", end.out);
}

/// A new seed for each run. `BAKE_TEST_SEED` repeats an earlier one.
pub fn seeded() -> Rng {
    let seed = std::env::var("BAKE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970").subsec_nanos().into()
    });
    println!("BAKE_TEST_SEED={seed}");
    Rng::with_seed(seed)
}
