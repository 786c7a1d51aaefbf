//! The project that stands where a folder has none, built into the program.

/// `bake.yaml`.
pub const SPEC: &str = include_str!("../../images/bake.yaml");
/// `images/binaries.yaml`.
pub const MANIFEST: &str = include_str!("../../images/binaries.yaml");
/// `bake.lock`.
pub const LOCK: &str = include_str!("../../images/bake.lock");
/// The catalog.
pub const CATALOG: &str = include_str!("../../images/catalog.yaml");
