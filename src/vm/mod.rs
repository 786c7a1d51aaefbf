//! The contract between `bake` and the scripts in `cloud-init/`: the VM's reports, the settings of its scripts,
//! and the paths of its files.
//!
//! Each fact is one row here. Rust code uses the rows; tests hold the scripts and
//! `docs/vm-contract.md` to them (`tests/cli/vm_contract.rs`).

mod attributes;
mod errors;
mod files;
mod paths;
mod settings;

pub use attributes::{
    ATTRIBUTES, CONTRACT, ERROR, ERROR_KIND, GuestAttribute, LOCK, NAMESPACE, RELEASES, SINCE, STATUS,
    UPDATE_ATTRIBUTES, UPDATE_STAGES, UpdateStage, VERIFIED,
};
pub use errors::{ERRORS, ErrorKind, PLACEHOLDERS, error_kind};
pub use files::{BAKE, BAKE_STATUSES, BAKED, FAILED, FILES, READY, STAGES, StaticFile, VmStage, statuses};
pub use paths::{PATHS, PROJECT, RELEASE, SCRIPTS, SECRETS, VmPath};
pub use settings::VmSetting;
