//! The scripts of `bake gcloud`: the real gcloud runs them against a server of Google's APIs on loopback.

#[path = "../support/mod.rs"]
mod support;

mod cleanup;
mod container;
mod create;
mod doctor;
mod documentation;
mod drift;
mod effects;
mod faults;
mod golden;
mod image;
mod life;
mod look;
mod moving;
mod networks;
mod observed;
mod progress;
mod right_vm;
mod scripts;
mod setup;
mod status;
mod update;
mod words;

fn main() -> std::process::ExitCode {
    support::google::replay::client().unwrap_or_else(support::harness::run)
}
