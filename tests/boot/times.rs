//! Measures the time from power-on to `ready`, by stage. A benchmark: it asserts no time limits.

use crate::project::{Project, STAND_IN};
use crate::rehearsal::{Machine, Rehearsal};
use crate::strategies;
use crate::support::test;
use crate::world::World;

#[test]
#[ignore = "a benchmark: tests/all --test boot times -- --ignored --nocapture"]
fn times_from_power_on_to_ready() {
    let world = World::start();
    let built = Project::locked(&world, STAND_IN, |_| ());
    let (pulled, _pushed) = strategies::pushed(&world, STAND_IN, |_| ());
    let one = Machine::new(&world, &built, "google-13.qcow2");
    let other = Machine::new(&world, &pulled, "google-13.qcow2");
    for (title, machine) in [
        ("(a) first boot, image built on the VM", &one),
        ("(b) first boot, finished image from a registry", &other),
        ("(c) reboot of the first", &one),
    ] {
        let vm = machine.start();
        vm.until_ready();
        tell(title, &vm);
        vm.power_off();
    }
}

/// Prints the duration of each stage. `boot` is the time before the first report.
fn tell(title: &str, vm: &Rehearsal<'_>) {
    let reports = vm.reports();
    let all = reports.last().map_or(0, |report| report.seconds);
    println!("{title}: {all} s");
    let starts = [("boot", 0)].into_iter();
    let starts = starts.chain(reports.iter().map(|report| (report.status.as_str(), report.seconds)));
    for ((stage, start), end) in starts.zip(reports.iter().map(|report| report.seconds)) {
        let seconds = end - start;
        println!("  {stage:<10} {seconds:>5} s {:>3} %", seconds * 100 / all.max(1));
    }
}
