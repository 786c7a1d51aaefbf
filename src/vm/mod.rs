//! The contract between `bake` and the scripts in `cloud-init/`: what a VM reports, what its scripts
//! read, and where its files are.
//!
//! Each fact is one row here. Rust code uses the rows; tests hold the scripts and
//! `docs/vm-contract.md` to them (`tests/cli/vm_contract.rs`).

#![allow(missing_docs, reason = "the rows explain themselves")]

mod attributes;
mod errors;
mod files;
mod paths;
mod settings;
mod stages;

pub use attributes::{ATTRIBUTES, Attribute, ERROR, ERROR_KIND, LOCK, NAMESPACE, SINCE, STATUS};
pub use errors::{ERRORS, ErrorKind, PLACEHOLDERS, error_kind};
pub use files::{FILES, VmFile};
pub use paths::{PATHS, PROJECT, SCRIPTS, SECRETS, VmPath};
pub use settings::Setting;
pub use stages::{FAILED, READY, STAGES, Stage, statuses};
