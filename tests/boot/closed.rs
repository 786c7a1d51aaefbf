//! The chain closed: what the real gcloud sends to Compute Engine boots, and what the VM then says
//! of itself the real gcloud sees. This VM has a hard time: it builds OpenClaw from source, while
//! somebody holds the lock of apt.

use std::fs;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::checks;
use crate::rehearsal::{Machine, Rehearsal, Report};
use crate::strategies;
use crate::support::Folder;
use crate::support::google::{Cloud, Google, Shell};
use crate::support::test;
use crate::world::World;

const NAME: &str = "openclaw-gateway";
const INSTANCE: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";

#[test]
fn what_gcloud_sends_boots_and_what_the_vm_says_gcloud_sees() {
    let world = World::start();
    let (project, _repositories) = strategies::from_source(&world);
    let folder = Folder::project();
    for name in ["bake.yaml", "bake.lock", "images/binaries.yaml"] {
        folder.write(name, project.read(name));
    }
    folder.bake(["render"]).done();
    let cloud = Cloud::of(Google::set_up(NAME), folder);
    cloud.run(Shell::Dash, &["create"]).done();

    let described = tempfile::NamedTempFile::new().expect("a temporary file");
    let gcloud = format!("gcloud compute instances describe {NAME} --zone=us-central1-a --format=json");
    fs::write(described.path(), cloud.piped(Shell::Dash, &gcloud).done().out).expect("a file");
    let machine = Machine::new(&world, &project, "google-13-docker.qcow2");
    let lock = strategies::held_lock();
    let machine = machine
        .with(&["--metadata", described.path().to_str().expect("UTF-8")])
        .with_hardware(&lock.each_ref().map(String::as_str));

    let vm = machine.start();
    let waited = thread::scope(|scope| {
        // Half an hour is enough for Compute Engine, and not for what is emulated beside others.
        let wait = scope.spawn(|| cloud.run(Shell::Dash, &["wait", "--timeout", "7200"]));
        let mut told = 0;
        while !wait.is_finished() {
            pass_on(&vm, &machine, &cloud.google, &mut told);
            // Each look takes an emulated VM half a second.
            thread::sleep(Duration::from_secs(5));
        }
        wait.join().expect("no panic").done()
    });
    vm.tell_times("first boot of what gcloud sent, OpenClaw built from source");
    let held = |report: &Report| report.status == "starting" && report.error.contains("lock");
    assert!(vm.reports().iter().any(held), "nobody waited for the lock: {}", vm.output());
    let said = waited.out + &waited.err;
    for status in ["starting", "image", "start", "ready"] {
        assert!(said.contains(status), "{status} is not in: {said}");
    }
    assert!(vm.was_ready());
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    let status = cloud.run(Shell::Bash, &["status"]).done();
    assert!(status.out.contains("ready"), "{}{}", status.out, status.err);
    assert_eq!(vm.get("/startupz").0, "200");
    assert_eq!(vm.run_inside("cat /app/from-source").done().out, "yes\n");
}

/// What the VM has said since, by guest attributes and over its serial port, told to Compute Engine.
fn pass_on(vm: &Rehearsal<'_>, machine: &Machine<'_>, google: &Google, told: &mut usize) {
    let serial = machine.serial();
    let whole_lines = serial.rfind('\n').map_or(0, |end| end + 1);
    google.serial(INSTANCE, &serial[*told..whole_lines]);
    *told = whole_lines;
    if !serial.contains("openclaw: status=") {
        return;
    }
    let attributes = checks::attributes(vm);
    let attributes: Value = serde_json::from_str(&attributes).expect("JSON");
    // The serial line comes first.
    for (key, value) in attributes["openclaw"].as_object().into_iter().flatten() {
        google.guest_attribute(INSTANCE, &format!("openclaw/{key}"), value.as_str().expect("text"));
    }
}
