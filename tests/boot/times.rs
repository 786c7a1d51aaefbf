//! Measures the time from power-on to `ready`, by stage. A benchmark: it asserts no time limits. With
//! `BAKE_TEST_BEFORE=PROGRAM`, it measures another `bake` too.

use std::path::PathBuf;

use crate::project::{Project, STAND_IN};
use crate::rehearsal::{Machine, Rehearsal};
use crate::support::{test, testbed};
use crate::world::World;

#[test]
#[ignore = "a benchmark: tests/all --test boot times -- --ignored --nocapture"]
fn times_from_power_on_to_ready() {
    let world = World::start();
    let locked = || {
        Project::locked(&world, STAND_IN, |folder| {
            folder.edit("bake.yaml", "apt: [socat]", "apt: []");
        })
    };
    let first_boot = |title: &str, project: &Project, disk: PathBuf| {
        let machine = Machine::on(&world, project, disk);
        let vm = machine.start();
        vm.until_ready();
        tell(title, &vm);
    };
    let stock = testbed::boot("google-13.qcow2");
    let project = locked();
    first_boot("first boot, stock image", &project, stock.clone());

    let builder = Machine::new(&world, &project, "google-13-docker.qcow2");
    let image = builder.file("image.qcow2");
    builder.rehearse(&["--bake", image.to_str().expect("UTF-8")]).done();
    let machine = Machine::on(&world, &project, image);
    for title in ["first boot, baked image", "reboot"] {
        let vm = machine.start();
        vm.until_ready();
        tell(title, &vm);
        vm.power_off();
    }
    if let Some(program) = std::env::var_os("BAKE_TEST_BEFORE") {
        first_boot("first boot, stock image, by another version", &locked().by(program.into()), stock);
    }
}

/// Prints the duration of each stage by the VM's clock and by this machine's. `boot` is the time before the first
/// report.
fn tell(title: &str, vm: &Rehearsal<'_>) {
    let here: Vec<_> = vm.reports().into_iter().map(|report| (report.status, report.seconds)).collect();
    for (clock, reports) in [("the VM's clock", vm.reports_by_its_clock()), ("this machine's clock", here)] {
        let all = reports.last().map_or(0, |(_, seconds)| *seconds);
        println!("{title}, by {clock}: {all} s");
        let mut start = ("boot".to_owned(), 0);
        for report in reports {
            let (stage, seconds) = (&start.0, report.1 - start.1);
            println!("  {stage:<10} {seconds:>5} s {:>3} %", seconds * 100 / all.max(1));
            start = report;
        }
    }
}
