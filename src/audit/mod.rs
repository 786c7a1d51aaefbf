//! Holds upstream, lock, cache, bundle and image against each other.

pub mod bundle;
pub mod report;
pub mod sarif;
