//! Tests with the testbed's tools: Docker, buildah, registries, cloud-init, and the VM's scripts without a
//! VM.

#[path = "../support/mod.rs"]
mod support;

mod audit_image;
mod browser;
mod compose;
mod configured;
mod dockerfile;
mod good_inputs;
mod image_tools;
mod metadata_server;
mod oci;
mod packaging;
mod real_readers;
mod registry_push;
mod rehearse;
mod sarif;
mod update;
mod vm_scripts;

fn main() -> std::process::ExitCode {
    support::harness::run()
}
