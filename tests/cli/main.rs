//! Tests without an engine and without a VM: the program, its library, and servers on loopback.

#[path = "../support/mod.rs"]
mod support;

mod add_remove;
mod architecture;
mod archives;
mod attestations;
mod audit;
mod audit_upstream;
mod bad_inputs;
mod checksum_lists;
mod commands;
mod costs;
mod docs;
mod doctor;
mod edit;
mod fetch;
mod fetch_command;
mod github_server;
mod help;
mod http;
mod image;
mod image_memory;
mod image_push;
mod init;
mod json;
mod kills;
mod language;
mod links;
mod loaders;
mod lock;
mod lock_edges;
mod lock_faults;
mod lock_over_tls;
mod lock_tampering;
mod metadata_limit;
mod oci_hostile;
mod outdated;
mod pictures;
mod policy;
mod push;
mod pushed_image;
mod registry;
mod release_names;
mod render;
mod site;
mod spec_keys;
mod unnamed_formats;
mod vm_contract;

fn main() -> std::process::ExitCode {
    support::harness::run()
}
