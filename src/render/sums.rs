//! `SHA256SUMS`: what `sha256sum --check --ignore-missing` can hold against what.
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

/// The lines of the binaries alone: what the VM holds against its image.
pub(super) fn binaries(plan: &Plan<'_>) -> String {
    let known = plan.host_builds().filter_map(|(name, build)| Some((name, build.binary_sha256?)));
    known.map(|(name, digest)| format!("{digest}  /{BIN_DIR}/{name}\n")).collect()
}
