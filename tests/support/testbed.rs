//! The real tools that `tests/testbed/up` brings onto the machine.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Set where a missing tool is a failure, as in CI.
const REQUIRED: &str = "BAKE_TESTBED_REQUIRED";

/// The testbed's folder, as `tests/testbed/up` chooses it.
pub fn folder() -> PathBuf {
    std::env::var_os("BAKE_TESTBED").map_or_else(|| PathBuf::from("/var/tmp/bake-testbed"), PathBuf::from)
}

/// A tool, ready to be given arguments; where it is missing, says so, and the test ends.
///
/// # Panics
/// Where it is missing and must not be.
pub fn tool(name: &str) -> Option<Command> {
    let path = folder().join("bin").join(name);
    if path.exists() {
        return Some(Command::new(path));
    }
    missing(name)
}

/// A program of the machine itself, on the same terms.
pub fn program(name: &str) -> Option<Command> {
    let path = std::env::var_os("PATH")?;
    if std::env::split_paths(&path).any(|folder| folder.join(name).exists()) {
        return Some(Command::new(name));
    }
    missing(name)
}

/// The stand-in for the official image, by digest, in the registry on loopback.
pub fn base_image() -> Option<String> {
    let digest = std::fs::read_to_string(folder().join("base.digest")).ok();
    match digest {
        Some(digest) => {
            let port = std::env::var("BAKE_REGISTRY_PORT").unwrap_or_else(|_| "5000".to_owned());
            Some(format!("127.0.0.1:{port}/openclaw:2026.9.4@{}", digest.trim()))
        }
        None => missing("base image"),
    }
}

/// The host of the registry on loopback.
pub fn registry() -> Option<String> {
    let image = base_image()?;
    image.split_once('/').map(|(host, _)| host.to_owned())
}

/// A file or folder of what VMs are booted from.
pub fn boot(name: &str) -> Option<PathBuf> {
    let path = folder().join("boot").join(name);
    if path.exists() { Some(path) } else { missing(&format!("boot/{name}")) }
}

/// A tag in a repository of its own in that registry, which goes at the end.
pub struct Pushed(pub String);

impl Drop for Pushed {
    fn drop(&mut self) {
        let name = self.0.split_once('/').and_then(|(_, name)| name.rsplit_once(':'));
        // The registry itself forgets manifests, and never a name.
        let repositories = folder().join("registry/data/docker/registry/v2/repositories");
        if let Some((name, _)) = name.filter(|(name, _)| !name.is_empty()) {
            let _ = std::fs::remove_dir_all(repositories.join(name));
        }
    }
}

/// Says what this machine lacks.
///
/// # Panics
/// Where nothing may be missing.
pub fn missing<T>(what: &str) -> Option<T> {
    let hint = "run tests/testbed/install and tests/testbed/up";
    assert!(std::env::var_os(REQUIRED).is_none(), "no {what} on this machine: {hint}");
    eprintln!("skipped: no {what} on this machine; {hint}");
    None
}

/// Every script and every unit of the VM, and every script of the bundle's templates.
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

/// A folder for what a run leaves to be looked at: in `BAKE_ARTIFACTS`, else below `target/`.
pub fn artifacts(name: &str) -> PathBuf {
    let root = std::env::var_os("BAKE_ARTIFACTS").map_or_else(
        || Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("artifacts"),
        PathBuf::from,
    );
    root.join(name)
}
