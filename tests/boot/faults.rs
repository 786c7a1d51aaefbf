//! A first boot under bad conditions. The VM boots from what the real gcloud sends, builds OpenClaw from source, waits
//! for missing parts, reports each fault, and becomes ready without help once the faults are fixed. Then the real
//! gcloud reads each of its reports.

use std::fs;

use bake::project::values::Arch;
use serde_json::Value;

use crate::checks;
use crate::project::Project;
use crate::rehearsal::{Machine, Rehearsal};
use crate::strategies;
use crate::support::google::{Cloud, Google, Shell};
use crate::support::world::archive;
use crate::support::{Folder, test};
use crate::world::{World, asset};

const NAME: &str = "openclaw-gateway";
const INSTANCE: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";

/// Duration of a fault, in seconds of the VM's clock.
const WHILE: f64 = 60.0;

#[test]
fn a_first_boot_reports_faults_and_recovers_from_them() {
    let world = World::start();
    let (project, _repositories) = strategies::from_source(&world, |folder| {
        let keys = "  OPENAI_API_KEY: {secret_manager: openai-api-key}\n  \
                    TELEGRAM_BOT_TOKEN: {secret_manager: telegram-bot-token}\n";
        folder.write("bake.yaml", folder.read("bake.yaml") + keys);
        folder.edit("bake.yaml", "channels: []", "channels: [telegram]");
    });
    let cloud = create(&project);
    let described = tempfile::NamedTempFile::new().expect("a temporary file");
    let gcloud = format!("gcloud compute instances describe {NAME} --zone=us-central1-a --format=json");
    fs::write(described.path(), cloud.piped(Shell::Dash, &gcloud).done().out).expect("a file");
    let secrets = tempfile::tempdir().expect("a temporary folder");
    fs::write(secrets.path().join("telegram-bot-token"), "7:not-a-real-bot").expect("a secret");
    let machine = Machine::new(&world, &project, "google-13-docker.qcow2");
    let dpkg_lock = strategies::held_lock();
    let [metadata, folder] = [described.path(), secrets.path()].map(|path| path.to_str().expect("UTF-8"));
    let machine = machine
        .with(&["--metadata", metadata, "--secrets", folder])
        .with_hardware(&dpkg_lock.each_ref().map(String::as_str));
    let mut seen = Vec::new();

    world.namespace.cut();
    world.namespace.slow_down();
    let vm = machine.start();
    // apt treats the missing network as a warning as long as it has no lock.
    vm.until_error("starting", &["the user-data is not applied yet", "dpkg frontend lock"]);
    vm.until_error("starting", &["the user-data is not applied yet", "deb.debian.org"]);
    vm.until_uptime(WHILE);
    assert!(!vm.was_ready());
    world.break_registry();
    let (gog, tampered) = (asset("gogcli", Arch::Amd64), archive("gog", "6.6.6", Arch::Amd64));
    let right = world.github().release("openclaw/gogcli", "v99.0.0").bytes(&gog).to_vec();
    world.github().replace("openclaw/gogcli", "v99.0.0", &gog, tampered);
    world.namespace.mend();

    vm.until_error("failed", &["secret openai-api-key is missing"]);
    checks::assert_never_started(&vm);
    seen.push(Seen::now(&machine, &vm, &["failed", "openai-api-key", "bake gcloud setup"]));
    let value = "sk-not-a-real-key-3141592653589793";
    fs::write(secrets.path().join("openai-api-key"), value).expect("a secret");
    world.namespace.speed_up();

    vm.until_error("image", &["ghcr.io", "500"]);
    seen.push(Seen::now(&machine, &vm, &["image", "ghcr.io", "500"]));
    let now: f64 = vm.run("cut -d ' ' -f 1 /proc/uptime").done().out.trim().parse().expect("seconds");
    vm.until_uptime(now + WHILE);
    checks::assert_never_started(&vm);
    world.heal_registry();

    vm.until_error("failed", &["image: ", "gog", "is locked"]);
    checks::assert_never_started(&vm);
    seen.push(Seen::now(&machine, &vm, &["failed", "gog", "is locked", "bake audit --against upstream"]));
    world.github().replace("openclaw/gogcli", "v99.0.0", &gog, right);

    vm.until_ready();
    vm.print_times("first boot under bad conditions, OpenClaw built from source");
    assert_eq!(vm.get("/startupz").0, "200");
    assert_eq!(
        vm.run_inside("cat /app/from-source; printenv OPENAI_API_KEY").done().out,
        format!("yes\n{value}\n")
    );
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    let config = checks::read(&vm, checks::CONFIGURATION);
    assert!(config.contains(r#""telegram": {"enabled": true}"#), "{config}");
    checks::assert_secrets_kept(&machine, &vm, &[value, &checks::token(&vm)]);
    checks::assert_no_secret_in_layers(&vm);
    seen.push(Seen::now(&machine, &vm, &["ready"]));
    drop(vm);
    gcloud_sees(&cloud, &seen);
}

/// Creates the project's VM with `bake gcloud create`.
fn create(project: &Project) -> Cloud {
    let folder = Folder::project();
    for name in ["bake.yaml", "bake.lock", "images/binaries.yaml"] {
        folder.write(name, project.read(name));
    }
    folder.bake(["render"]).done();
    let cloud = Cloud::of(Google::set_up(NAME), folder);
    cloud.run(Shell::Dash, &["create"]).done();
    cloud
}

/// The VM's state at one moment, and the expected output of `bake gcloud wait`.
struct Seen {
    attributes: Value,
    serial: String,
    expected: Vec<String>,
}

impl Seen {
    #[track_caller]
    fn now(machine: &Machine<'_>, vm: &Rehearsal<'_>, expected: &[&str]) -> Self {
        let attributes = serde_json::from_str(&checks::attributes(vm)).expect("JSON");
        let expected = expected.iter().map(|&part| part.to_owned()).collect();
        Self { attributes, serial: machine.serial(), expected }
    }
}

/// Plays the VM's reports back to Compute Engine and reads each with `bake gcloud wait`.
#[track_caller]
fn gcloud_sees(cloud: &Cloud, seen: &[Seen]) {
    let mut sent = 0;
    for Seen { attributes, serial, expected } in seen {
        cloud.google.serial(INSTANCE, &serial[sent..]);
        sent = serial.len();
        for (key, value) in attributes["openclaw"].as_object().expect("the VM's attributes") {
            cloud.google.guest_attribute(INSTANCE, &format!("openclaw/{key}"), value.as_str().expect("text"));
        }
        let wait = cloud.run(Shell::Dash, &["wait", "--timeout", "1"]);
        let said = wait.out + &wait.err;
        for part in expected {
            assert!(said.contains(part), "{part} is not in: {said}");
        }
        assert_eq!(wait.code == 0, expected[0] == "ready", "{said}");
    }
    let status = cloud.run(Shell::Bash, &["status"]).done();
    assert!(status.out.contains("ready"), "{}{}", status.out, status.err);
}
