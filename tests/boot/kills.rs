//! The plug pulled during the first boot, again and again.

use std::fs;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use serde_json::Value;

use crate::checks;
use crate::project::{Project, STAND_IN};
use crate::rehearsal::Machine;
use crate::world::World;

const KILLS: u32 = 5;

/// Less than a first boot takes under emulation, and enough to get through any one stage of it.
const LONGEST: Duration = Duration::from_secs(150);

#[test]
fn a_first_boot_that_is_cut_short_five_times_ends_well() {
    let Some(world) = World::start() else { return };
    let mut random = seeded();
    let project = Project::locked(&world, STAND_IN, |_| ());
    let Some(machine) = Machine::new(&world, &project, "google-13-docker.qcow2") else { return };

    let mut kills = 0;
    while kills < KILLS {
        let vm = machine.start();
        let (begun, moment) = (Instant::now(), LONGEST.mul_f64(random.f64()));
        while begun.elapsed() < moment && !vm.was_ready() {
            thread::sleep(Duration::from_millis(50));
        }
        let (ready, last) = (vm.was_ready(), vm.reports().pop());
        vm.pull_the_plug();
        let stage = last.map_or_else(|| "before any report".to_owned(), |report| report.status);
        println!("killed after {:>3} s: {stage}", begun.elapsed().as_secs());
        if ready {
            // The first boot is over: another one.
            for disk in ["boot.qcow2", "data.qcow2"] {
                fs::remove_file(machine.file(disk)).expect("a disk");
            }
            kills = 0;
        } else {
            kills += 1;
        }
    }

    let vm = machine.start();
    vm.until_ready();
    vm.tell_times("a first boot after five power cuts");
    checks::token(&vm);
    let config = checks::read(&vm, "/var/lib/openclaw/config/openclaw.json");
    serde_json::from_str::<Value>(&config).expect("a whole openclaw.json");
    assert_eq!(vm.run("dpkg --audit").done().out, "");
    assert_eq!(checks::attribute(&vm, "lock"), project.lock());
    vm.run("/usr/local/lib/openclaw/verify.sh").done();
    assert_eq!(vm.get("/startupz").0, "200");
    checks::is_shut_in(&vm);
}

/// A new seed for each run of the test; the old one where it is to be seen again.
fn seeded() -> Rng {
    let seed = std::env::var("BAKE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| {
        SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970").subsec_nanos().into()
    });
    println!("BAKE_TEST_SEED={seed}");
    Rng::with_seed(seed)
}
