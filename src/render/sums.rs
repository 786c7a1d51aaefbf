//! `SHA256SUMS`: the checksums for `sha256sum --check --ignore-missing`.
//!
//! Rendered files by name, release archives as `TOOL/ARCH/FILE`, and for the host's architecture
//! the binaries at their path in the image, once their own digests are known.

use std::fmt::Write;

use crate::digest::Sha256;
use crate::plan::Plan;
use crate::project::BIN_DIR;

pub(super) const NAME: &str = "SHA256SUMS";

pub(super) fn render(plan: &Plan<'_>, files: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for (name, content) in files {
        let _ = writeln!(text, "{}  {name}", Sha256::of(content));
    }
    for (name, locked) in &plan.lock.binaries {
        for (arch, build) in &locked.builds {
            let _ = writeln!(text, "{}  {name}/{arch}/{}", build.sha256, build.url.file_name());
        }
    }
    text.push_str(&binaries(plan));
    text
}

/// The lines of the binaries.
fn binaries(plan: &Plan<'_>) -> String {
    let known = plan.host_builds().filter_map(|(name, build)| Some((name, build.binary_sha256?)));
    known.map(|(name, digest)| format!("{digest}  /{BIN_DIR}/{name}\n")).collect()
}

/// The binaries that the VM compares with its image; `unknown` marks those that it cannot compare.
pub(super) fn on_vm(plan: &Plan<'_>) -> String {
    let mut text = String::new();
    for (name, build) in plan.host_builds() {
        let digest = build.binary_sha256.map(|digest| digest.to_string());
        let _ = writeln!(text, "{}  /{BIN_DIR}/{name}", digest.as_deref().unwrap_or("unknown"));
    }
    text
}
