//! The contract between `bake` and the scripts in `cloud-init/`: what a VM reports, what its scripts
//! read, and where its files are.
//!
//! Each fact is one row here. Rust code uses the rows; tests hold the scripts and
//! `docs/vm-contract.md` to them (`tests/cli/vm_contract.rs`).

mod attributes;
mod errors;
mod files;
mod paths;
mod settings;
mod stages;

pub use attributes::{ATTRIBUTES, ERROR, ERROR_KIND, GuestAttribute, LOCK, NAMESPACE, SINCE, STATUS};
pub use errors::{ERRORS, ErrorKind, PLACEHOLDERS, error_kind};
pub use files::{FILES, StaticFile};
pub use paths::{PATHS, PROJECT, SCRIPTS, SECRETS, VmPath};
pub use settings::VmSetting;
pub use stages::{FAILED, READY, STAGES, VmStage, statuses};
