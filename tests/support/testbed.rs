//! The real tools that `tests/testbed/up` installs.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::harness::skip;

/// If set, as in CI, a missing part fails the test.
const REQUIRED: &str = "BAKE_TESTBED_REQUIRED";

/// The testbed's folder, with the same default as `tests/testbed/up`.
pub fn folder() -> PathBuf {
    std::env::var_os("BAKE_TESTBED").map_or_else(|| PathBuf::from("/var/tmp/bake-testbed"), PathBuf::from)
}

/// A tool of the testbed, without arguments. Skips the test if it is missing.
pub fn tool(name: &str) -> Command {
    let path = folder().join("bin").join(name);
    // Destructors may ask for a tool while a skipped test unwinds, and clean up as far as they can.
    if !path.exists() && !std::thread::panicking() {
        missing(name);
    }
    Command::new(path)
}

/// A program on the `PATH`. Skips the test if it is missing.
pub fn program(name: &str) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|folder| folder.join(name).exists()) {
        missing(name);
    }
    Command::new(name)
}

/// The stand-in for the official image, by digest, in the registry on loopback.
pub fn base_image() -> String {
    let Ok(digest) = std::fs::read_to_string(folder().join("base.digest")) else { missing("base image") };
    let port = std::env::var("BAKE_REGISTRY_PORT").unwrap_or_else(|_| "5000".to_owned());
    format!("127.0.0.1:{port}/openclaw:2026.9.4@{}", digest.trim())
}

/// The host of the registry on loopback.
pub fn registry() -> String {
    let image = base_image();
    image.split_once('/').map_or_else(String::new, |(host, _)| host.to_owned())
}

/// A boot file or folder for VMs.
pub fn boot(name: &str) -> PathBuf {
    let path = folder().join("boot").join(name);
    if !path.exists() {
        missing(&format!("boot/{name}"));
    }
    path
}

/// A tag in a separate repository of that registry. Deletes the repository when it is dropped.
pub struct Pushed(pub String);

impl Drop for Pushed {
    fn drop(&mut self) {
        let name = self.0.split_once('/').and_then(|(_, name)| name.rsplit_once(':'));
        // The registry's API deletes manifests, but never a repository.
        let repositories = folder().join("registry/data/docker/registry/v2/repositories");
        if let Some((name, _)) = name.filter(|(name, _)| !name.is_empty()) {
            let _ = std::fs::remove_dir_all(repositories.join(name));
        }
    }
}

/// Skips the running test because this machine lacks a real part.
///
/// # Panics
/// If `BAKE_TESTBED_REQUIRED` is set.
pub fn missing(what: &str) -> ! {
    let reason = format!("no {what} on this machine: run tests/testbed/install and tests/testbed/up");
    assert!(std::env::var_os(REQUIRED).is_none(), "{reason}");
    eprintln!("skipped: {reason}");
    skip(reason)
}

/// Every script and unit of the VM, and every script in the bundle's templates.
pub fn scripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut scripts = Vec::new();
    for folder in ["cloud-init", "images"] {
        for entry in std::fs::read_dir(root.join(folder)).expect("a folder").flatten() {
            if entry.path().extension().is_some_and(|suffix| suffix == "sh") {
                scripts.push(entry.path());
            }
        }
    }
    scripts
}

/// This machine's address in the default network of an engine's containers.
pub fn engine_address(engine: &str) -> std::net::Ipv4Addr {
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let found = super::said(tool(engine).args(["network", "inspect", "--format", format, "bridge"])).done();
    found.out.trim().parse().expect("an address")
}

/// A folder for results to inspect after a run: in `BAKE_ARTIFACTS`, else below `target/`.
pub fn artifacts(name: &str) -> PathBuf {
    let root = std::env::var_os("BAKE_ARTIFACTS")
        .map_or_else(|| Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("artifacts"), PathBuf::from);
    root.join(name)
}
