//! VMs that boot the output of `bake`: `bake rehearse` in a network namespace with a private internet.
//! Needs root for the namespaces, and the disks of `tests/testbed/up`.
//!
//! `tests/README.md` lists what each boot proves. No test fails because it is slow, only if the VM makes no
//! progress. [`chain`] takes longest, and `tests/all` runs it separately.

#![allow(unreachable_pub, reason = "modules of one test")]

#[path = "../support/mod.rs"]
mod support;

mod arm64;
mod baked;
mod chain;
mod checks;
mod disks;
mod faults;
mod guest;
mod life;
mod monitor;
mod project;
mod rehearsal;
mod session;
mod state;
mod strategies;
mod times;
mod update;
mod upgrade;
mod world;
mod worlds;

fn main() -> std::process::ExitCode {
    support::harness::run()
}
