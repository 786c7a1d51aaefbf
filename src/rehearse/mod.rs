//! A rehearsal: what a VM of Compute Engine has around it, on this machine.

pub mod metadata;
