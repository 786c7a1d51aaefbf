//! The plug pulled during the first boot, again and again.

use crate::support::test;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;
use serde_json::Value;

use crate::checks;
use crate::project::{Project, STAND_IN};
use crate::rehearsal::Machine;
use crate::world::World;

/// What the serial console says first, and within how many seconds after that the plug is pulled: so
/// it meets the boot, the bridge, the installation of Docker, the image and the gateway's start.
const MOMENTS: [(&str, f64); 5] = [
    ("", 60.0),
    ("Found startup-script", 60.0),
    ("status=starting", 60.0),
    ("status=image", 60.0),
    ("status=start ", 15.0),
];

#[test]
fn a_first_boot_that_is_cut_short_five_times_ends_well() {
    let world = World::start();
    let mut random = seeded();
    let project = Project::locked(&world, STAND_IN, |folder| {
        folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    });
    let machine = Machine::new(&world, &project, "google-13.qcow2");

    for (said, seconds) in MOMENTS {
        let vm = machine.start();
        vm.until_serial(said);
        let moment = Duration::from_secs_f64(seconds * random.f64());
        let begun = Instant::now();
        // On a quick machine the end of the first boot is the last of its moments.
        while begun.elapsed() < moment && !vm.was_ready() {
            thread::sleep(Duration::from_millis(50));
        }
        vm.pull_the_plug();
        println!("plug pulled {:.1} s after {said:?}", begun.elapsed().as_secs_f64());
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
    checks::is_tidy(&vm);
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
