//! `bake`: an OpenClaw Gateway on Compute Engine, from a short spec to a VM that boots into it.
//!
//! The way through: [`project`] (what is wanted) → [`lock`] (what exactly that means) → [`plan`]
//! (every value final) → [`render`] (named files) → [`mod@fs`] (on disk, all or none). All but the
//! last open no file and no socket; [`commands`] joins the two halves. See `ARCHITECTURE.md`.

// Output belongs to the console of `commands`, the exit code to `main`.
#![warn(clippy::print_stdout, clippy::print_stderr, clippy::exit)]

pub mod archive;
pub mod audit;
pub mod cli;
pub mod commands;
pub mod diagnostics;
pub mod digest;
pub mod fetch;
pub mod fs;
pub mod gcloud;
pub mod github;
pub mod http;
pub mod image;
pub mod lock;
pub mod oci;
pub mod picture;
pub mod plan;
pub mod project;
pub mod provenance;
pub mod registry;
pub mod rehearse;
pub mod render;
pub mod text;
pub mod vm;
pub mod yaml;
