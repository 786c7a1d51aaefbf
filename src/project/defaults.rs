//! The project that stands where a folder has none, built into the program.

/// `bake.yaml`.
pub const SPEC: &str = include_str!("../../images/bake.yaml");
/// Where the manifest is, unless the spec says otherwise.
pub const MANIFEST_PATH: &str = "images/binaries.yaml";
/// The manifest.
pub const MANIFEST: &str = include_str!("../../images/binaries.yaml");
/// `bake.lock`.
pub const LOCK: &str = include_str!("../../images/bake.lock");
/// What OpenClaw can be set up with.
pub const OPENCLAW: &str = include_str!("../../images/openclaw.yaml");
/// The catalog.
pub const CATALOG: &str = include_str!("../../images/catalog.yaml");
/// What is known of machine types.
pub const MACHINES: &str = include_str!("../../images/machines.json");
