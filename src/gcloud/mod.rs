//! The gcloud commands for the life of the VM, one file an action.
//!
//! Nothing here runs anything: an action becomes text that can be read before it is run.

pub mod create;
mod script;
