//! Holds upstream, lock, cache, bundle, image and VM against each other.

pub mod bundle;
pub mod cache;
pub mod image;
pub mod lock;
pub mod report;
pub mod sarif;
pub mod upstream;
pub mod vm;
