//! How long it takes from power-on to `ready`, and what of it which stage takes. A benchmark: it
//! asserts nothing of time.

use serde_json::Value;

use crate::project::{Project, STAND_IN};
use crate::rehearsal::Machine;
use crate::strategies;
use crate::world::World;

#[test]
#[ignore = "a benchmark: cargo test --test boot times -- --ignored --nocapture"]
fn times_from_power_on_to_ready() {
    let Some(world) = World::start() else { return };
    let built = Project::locked(&world, STAND_IN, |_| ());
    let (pulled, _pushed) = strategies::pushed(&world);
    let Some(one) = Machine::new(&world, &built, "google-13.qcow2") else { return };
    let Some(other) = Machine::new(&world, &pulled, "google-13.qcow2") else { return };
    for (title, machine) in [
        ("(a) first boot, image built on the VM", &one),
        ("(c) the same VM after a power cut", &one),
        ("(b) first boot, finished image from a registry", &other),
    ] {
        tell(title, &machine.rehearse(&["--json"]).done().out);
    }
}

fn tell(title: &str, document: &str) {
    let document: Value = serde_json::from_str(document).expect("JSON");
    let stages = document["stages"].as_array().expect("a list");
    let seconds = |stage: &Value| stage["seconds"].as_u64().expect("a number");
    let all: u64 = stages.iter().map(seconds).sum();
    println!("{title}: {all} s");
    for stage in stages {
        let name = stage["name"].as_str().expect("a name");
        println!("  {name:<10} {:>5} s {:>3} %", seconds(stage), seconds(stage) * 100 / all.max(1));
    }
}
