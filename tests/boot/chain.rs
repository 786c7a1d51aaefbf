//! The whole promise with OpenClaw itself: a VM that nobody logs into becomes a gateway, and stays
//! the same one through everything that happens to its machine.

use serde_json::Value;

use crate::checks;
use crate::project::{Project, REAL};
use crate::rehearsal::{Machine, PORT, Rehearsal};
use crate::support::browser;
use crate::support::model::Model;
use crate::support::test;
use crate::support::testbed;
use crate::world::World;

const KEY: &str = "  GOOGLE_PLACES_API_KEY: {secret_manager: google-places-api-key}\n";

/// The environment variable with the model's key.
const MODEL_KEY: &str = "ABACUS_KEY";

#[test]
fn a_gateway_boots_and_outlives_a_reboot_a_power_cut_and_its_boot_disk() {
    let world = World::start();
    testbed::boot("real.digest");
    browser::require();
    let model = Model::on(world.namespace.listen(0));
    // One of the skills wants a key beside its binary.
    let project = Project::locked(&world, REAL, |folder| {
        folder.write("bake.yaml", folder.read("bake.yaml") + KEY);
        model.configure(folder, MODEL_KEY, "generate: hex32");
    });
    let mut machine = Machine::new(&world, &project, "google-13.qcow2");

    let vm = machine.start();
    vm.until_ready();
    vm.tell_times("first boot, image built on the VM");
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    for path in ["/healthz", "/startupz"] {
        assert_eq!(vm.get(path).0, "200", "{path}");
    }
    let (status, page) = vm.get("/");
    assert_eq!(status, "200");
    assert!(page.contains("<html") && page.to_lowercase().contains("openclaw"), "{page}");
    let skills = vm.run_inside("node dist/index.js skills check --json").done().out;
    let eligible = eligible(&skills);
    for skill in ["gog", "goplaces"] {
        assert!(eligible.iter().any(|name| name == skill), "{skill} is not in {eligible:?}");
    }
    // OpenClaw brings no skill for this one.
    assert_eq!(vm.run_inside("command -v wacli && wacli").done().out, "/usr/local/bin/wacli\n");
    let token = checks::token(&vm);
    checks::is_kept(&machine, &vm, &[&token]);
    checks::is_shut_in(&vm);
    checks::guard_is_what_keeps_it(&vm);
    checks::listens_on_loopback_only(&vm);
    model.expect(&checks::read(&vm, &format!("/var/lib/openclaw/secrets/{MODEL_KEY}")));
    let own = [format!("localhost:{PORT}"), format!("127.0.0.1:{PORT}")];
    let foreign = [format!("attacker.localhost:{PORT}")];
    let screenshots = testbed::artifacts("browser-vm");
    let answers = browser::prove(&world.namespace, &screenshots, &token, &own, &foreign);
    assert!(model.requests() >= answers, "every answer came from the model");

    vm.run_inside("echo remembered >/home/node/.openclaw/workspace/note.md").done();
    let configuration = "/var/lib/openclaw/config/openclaw.json";
    // As its user might change it.
    let change = "import json, sys; file = open(sys.argv[1], 'r+'); config = json.load(file); \
                  config['agents']['defaults']['userTimezone'] = 'Europe/Vienna'; \
                  file.seek(0); file.truncate(); json.dump(config, file, indent=2)";
    vm.run(&format!("python3 -c \"{change}\" {configuration}")).done();
    let config = checks::read(&vm, configuration);
    let same = |vm: &Rehearsal<'_>| {
        assert_eq!(checks::token(vm), token);
        assert_eq!(checks::read(vm, configuration), config);
        assert_eq!(checks::read(vm, "/var/lib/openclaw/workspace/note.md"), "remembered\n");
        assert_eq!(vm.get("/startupz").0, "200");
        databases_are_whole(vm);
    };
    vm.power_off();

    world.namespace.cut();
    let vm = machine.start();
    vm.until_ready();
    vm.tell_times("reboot, without an internet");
    same(&vm);
    world.namespace.mend();
    // What ran there had no time to say that it is gone.
    vm.pull_the_plug();

    machine.replace_boot_disk("google-13-docker.qcow2");
    let vm = machine.start();
    vm.until_ready();
    vm.tell_times("new boot disk, old data disk");
    same(&vm);
    assert!(!machine.serial().contains(&token) && !vm.output().contains(&token));
}

/// The names of the skills that OpenClaw says can be used.
fn eligible(text: &str) -> Vec<String> {
    // Before its document it may have something to tell.
    let document = &text[text.find('{').expect("a document")..];
    let document: Value = serde_json::from_str(document).expect("JSON");
    let list = document["eligible"].as_array().expect("a list").iter();
    list.filter_map(|skill| skill.as_str().or_else(|| skill["name"].as_str())).map(str::to_owned).collect()
}

/// Every database of the gateway's passes its own check, but for those that are locks and held.
#[track_caller]
fn databases_are_whole(vm: &Rehearsal<'_>) {
    let check = "const { DatabaseSync } = require('node:sqlite'); \
                 for (const path of process.argv.slice(1)) { \
                 const database = new DatabaseSync(path, { readOnly: true }); \
                 database.exec('PRAGMA busy_timeout = 60000'); \
                 console.log(database.prepare('PRAGMA integrity_check').get().integrity_check) }";
    let quoted = shlex::try_quote(check).expect("no NUL");
    let found = vm.run_inside(&format!(
        "node -e {quoted} $(find /home/node/.openclaw -name '*.sqlite' ! -name '*.lock.sqlite') 2>/dev/null"
    ));
    let found = found.done().out;
    assert!(!found.is_empty() && found.lines().all(|line| line == "ok"), "{found}");
}
