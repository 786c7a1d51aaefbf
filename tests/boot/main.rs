//! VMs that boot what `bake` renders, as users do it: `bake rehearse` in a network namespace with
//! an internet of its own. Needs root for the namespaces, and the disks of `tests/testbed/up`.
//!
//! Under emulation all of it takes about an hour on two cores: `--test-threads=2`. Nothing here
//! fails because it is slow; a VM in which nothing moves any more does.

#![allow(unreachable_pub, reason = "modules of one test")]

#[path = "../support/mod.rs"]
mod support;

mod checks;
mod disks;
mod faults;
mod guest;
mod kills;
mod namespace;
mod project;
mod real_gateway;
mod rehearsal;
mod strategies;
mod world;
mod worlds;
