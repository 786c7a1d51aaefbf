//! The whole chain with OpenClaw itself: a VM becomes a gateway without a login, and the state on its data disk
//! continues on another machine, in the image that `bake image push` made.

use std::fs;

use serde_json::Value;

use crate::checks;
use crate::project::{Project, REAL};
use crate::rehearsal::{Machine, PORT};
use crate::support::browser;
use crate::support::model::Model;
use crate::support::test;
use crate::support::testbed;
use crate::world::World;
use crate::{state, strategies};

const KEY: &str = "  GOOGLE_PLACES_API_KEY: {secret_manager: google-places-api-key}\n";

/// The environment variable with the model's key.
const MODEL_KEY: &str = "ABACUS_KEY";

#[test]
fn a_gateway_boots_and_its_state_survives_a_power_cut_a_kill_and_a_new_machine() {
    let world = World::start();
    testbed::boot("real.digest");
    testbed::tool("docker-26");
    browser::require();
    let model = Model::on(world.namespace.listen(0));
    // One of the skills needs a key in addition to its binary.
    let project = Project::locked(&world, REAL, |folder| {
        folder.write("bake.yaml", folder.read("bake.yaml") + KEY);
        model.configure(folder, MODEL_KEY, "generate: hex32");
    });
    let machine = Machine::new(&world, &project, "cloud-13.qcow2");

    let vm = machine.start();
    // The model's key is generated on the VM.
    vm.until("start", |report| report.status == "start");
    model.expect(&checks::read(&vm, &format!("/var/lib/openclaw/secrets/{MODEL_KEY}")));
    vm.until_ready();
    vm.print_times("first boot with OpenClaw, image built on the VM");
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    for path in ["/healthz", "/startupz"] {
        assert_eq!(vm.get(path).0, "200", "{path}");
    }
    let (status, page) = vm.get("/");
    assert_eq!(status, "200");
    assert!(page.contains("<html") && page.to_lowercase().contains("openclaw"), "{page}");
    // OpenClaw has no skill for this tool.
    assert_eq!(vm.run_inside("command -v wacli && wacli").done().out, "/usr/local/bin/wacli\n");
    let token = checks::token(&vm);
    checks::assert_secrets_kept(&machine, &vm, &[&token]);
    strategies::without_the_bridge(&vm);
    checks::assert_guard_blocks_metadata(&vm);
    // `engines browser::` covers other origins and wrong tokens.
    let page = format!("localhost:{PORT}");
    browser::converse(&world.namespace, &testbed::artifacts("browser-vm"), &token, &page);
    assert!(model.requests() > 0, "the answer came from the model");
    vm.run_inside("echo remembered >/home/node/.openclaw/workspace/note.md").done();
    // Tools store their logins like this.
    vm.run_inside("cd && mkdir -p .local/state/tool && echo in >.local/state/tool/login").done();
    checks::change_configuration(&vm);
    let config = checks::read(&vm, checks::CONFIGURATION);
    vm.run("sync").done();
    // The power cut leaves no time for a last report.
    vm.pull_the_plug();
    assert!(!machine.serial().contains(&token));

    // A start takes an emulated VM ten minutes and this machine seconds, so continue here. `life` shows with the
    // stand-in gateway that a VM continues by itself.
    let (_finished, pushed) = strategies::pushed(&world, REAL, |_| ());
    assert_state_survives(&machine, &pushed.0, &project, &token, &config);
}

/// OpenClaw continues on a data disk after a power cut, after SIGKILL, and in a new container.
#[track_caller]
fn assert_state_survives(machine: &Machine<'_>, image: &str, project: &Project, token: &str, config: &str) {
    let gateway =
        state::continue_gateway(project, image, KEY, |folder| state::copy_from_disk(machine, folder));
    let same = || {
        assert_eq!(gateway.secret("OPENCLAW_GATEWAY_TOKEN").trim_end(), token);
        let read = |path: &str| fs::read_to_string(gateway.file(path)).expect("a file");
        assert_eq!(read(checks::CONFIGURATION), config);
        assert_eq!(read("/var/lib/openclaw/workspace/note.md"), "remembered\n");
        assert_eq!(gateway.run_inside("cat ~/.local/state/tool/login").done().out, "in\n");
        state::assert_databases_whole(&gateway);
    };
    same();
    let skills = gateway.cli(&["skills", "check", "--json"]).done().out;
    let eligible = eligible(&skills);
    for skill in ["gog", "goplaces"] {
        assert!(eligible.iter().any(|name| name == skill), "{skill} is not in {eligible:?}");
    }
    let engine = |command: &str| {
        gateway.run(["sh", "-c", &format!("cd /opt/openclaw && docker compose {command}")]).done();
    };
    engine("kill --signal KILL openclaw-gateway");
    gateway.converge();
    same();
    // Like a shutdown, then a new container as on a new boot disk.
    engine("down --timeout 60");
    gateway.converge();
    same();
}

/// The names of the skills that OpenClaw lists as eligible.
fn eligible(text: &str) -> Vec<String> {
    // Messages may precede the JSON document.
    let document = &text[text.find('{').expect("a document")..];
    let document: Value = serde_json::from_str(document).expect("JSON");
    let list = document["eligible"].as_array().expect("a list").iter();
    list.filter_map(|skill| skill.as_str().or_else(|| skill["name"].as_str())).map(str::to_owned).collect()
}
