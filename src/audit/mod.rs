//! Holds upstream, lock, cache, bundle and image against each other.

pub mod bundle;
pub mod cache;
pub mod image;
pub mod lock;
pub mod report;
pub mod sarif;
pub mod upstream;
