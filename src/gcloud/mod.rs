//! The gcloud commands for the life of the VM, one file an action.
//!
//! Nothing here runs anything: an action becomes text that can be read before it is run. The files in `sh/`
//! are functions that such a text ends with, those in `vm/` are what an SSH session runs on the VM.

mod advice;
pub mod backup;
mod boot_image;
mod cleanup;
pub mod cli;
mod confirm;
pub mod create;
pub mod destroy;
pub mod doctor;
mod drift;
mod effects;
pub mod fleet;
mod group;
mod guards;
pub mod image;
pub mod in_place;
mod json;
mod labels;
pub mod logs;
mod metadata;
pub mod moving;
mod network;
pub mod releases;
mod remote;
mod replacement;
pub mod resize;
pub mod restore;
pub mod rollback;
mod script;
pub mod setup;
mod shell;
pub mod ssh;
pub mod status;
mod target;
pub mod token;
pub mod tunnel;
pub mod update;
mod vm;
mod vm_state;
pub mod wait;

pub use json::ActionJson;
pub use metadata::{Attribute, VmMetadata};
pub use script::{BundleFolder, Script};
pub use target::Target;
