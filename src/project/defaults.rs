//! The built-in project, which is used if a folder has none.

/// `bake.yaml`.
pub const SPEC: &str = include_str!("../../images/bake.yaml");
/// The default path of the manifest.
pub const MANIFEST_PATH: &str = "images/binaries.yaml";
/// The manifest.
pub const MANIFEST: &str = include_str!("../../images/binaries.yaml");
/// `bake.lock`.
pub const LOCK: &str = include_str!("../../images/bake.lock");
/// OpenClaw's providers and channels.
pub const OPENCLAW: &str = include_str!("../../images/openclaw.yaml");
/// The catalog.
pub const CATALOG: &str = include_str!("../../images/catalog.yaml");
/// The known machine types.
pub const MACHINES: &str = include_str!("../../images/machines.json");
