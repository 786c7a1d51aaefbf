//! The gcloud commands for the life of the VM, one file an action.
//!
//! Nothing here runs anything: an action becomes text that can be read before it is run. The `*.sh`
//! files beside these are functions that such a text begins with.

mod advice;
pub mod backup;
pub mod cli;
pub mod create;
pub mod destroy;
pub mod fleet;
mod group;
mod json;
pub mod logs;
mod metadata;
mod observe;
mod remote;
pub mod resize;
pub mod restore;
mod script;
pub mod setup;
mod shell;
pub mod ssh;
pub mod status;
pub mod token;
pub mod tunnel;
pub mod update;
mod vm;
pub mod wait;

pub use json::ActionJson;
pub use metadata::{Attribute, VmMetadata};
pub use script::{BundleFolder, Script};
