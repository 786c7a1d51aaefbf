//! VMs that boot what `bake` renders, as users do it: `bake rehearse` in a network namespace with
//! an internet of its own. Needs root for the namespaces, and the disks of `tests/testbed/up`.
//!
//! `tests/README.md` has what each boot proves. Nothing here fails because it is slow;
//! a VM in which nothing moves any more does. [`chain`] is the longest, and `tests/all` runs it apart.

#![allow(unreachable_pub, reason = "modules of one test")]

#[path = "../support/mod.rs"]
mod support;

mod chain;
mod checks;
mod disks;
mod faults;
mod guest;
mod life;
mod monitor;
mod project;
mod rehearsal;
mod state;
mod strategies;
mod times;
mod world;
mod worlds;

fn main() -> std::process::ExitCode {
    support::harness::run()
}
