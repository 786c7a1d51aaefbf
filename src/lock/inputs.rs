//! The inputs of a lock: the part of spec and manifest that selects the locked files.
//!
//! The lock contains their digest. Other settings (a port, a zone, a comment) do not affect it, so that they do
//! not make the lock stale.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::digest::Sha256;
use crate::project::Project;
use crate::project::manifest::{Binary, BinarySource};
use crate::project::names::ArchSpelling;
use crate::project::values::Arch;

/// The digest of the inputs of `project`.
pub fn digest(project: &Project) -> Sha256 {
    let mut binaries: Vec<String> = project.manifest.binaries.iter().map(binary).collect();
    // The order of the manifest is for people; it decides nothing that is fetched.
    binaries.sort_unstable();
    Sha256::of(format!("image {}\n{}", project.spec.gateway.image.value, binaries.concat()))
}

/// One line for each binary. No field can hold a space or a line break but the last, so that no
/// two different wants are written alike.
fn binary(wanted: &Binary) -> String {
    // A new key of the manifest must be looked at here. A policy selects no file: it is compared with the lock.
    let Binary {
        name,
        version,
        origin,
        binary,
        minisign,
        checksums,
        keep_siblings,
        apt,
        policy: _,
        skills: _,
    } = wanted;
    let mut line = name.value.to_string();
    if let Some(version) = version {
        let _ = write!(line, " version={}", version.value);
    }
    match origin {
        BinarySource::Catalog(_) => line.push_str(" catalog"),
        BinarySource::Release { repo, asset, arch } => {
            let _ = write!(line, " repo={repo}");
            if let Some(asset) = asset {
                let _ = write!(line, " asset={}", asset.as_str());
            }
            line.push_str(&spellings(arch.as_ref()));
        }
        BinarySource::Url { url, arch } => {
            let _ = write!(line, " url={url}{}", spellings(arch.as_ref()));
        }
    }
    if let Some(key) = minisign {
        let _ = write!(line, " minisign={key}");
    }
    if let Some(file) = checksums {
        let _ = write!(line, " checksums={}", file.as_str());
    }
    // The lock itself records the catalog's values.
    if !matches!(origin, BinarySource::Catalog(_)) {
        if *keep_siblings {
            line.push_str(" beside");
        }
        line.extend(apt.iter().map(|package| format!(" apt={package}")));
    }
    if let Some(path) = binary {
        let _ = write!(line, " binary={}", path.value);
    }
    line.push('\n');
    line
}

fn spellings(arch: Option<&BTreeMap<Arch, ArchSpelling>>) -> String {
    arch.into_iter().flatten().map(|(arch, spelling)| format!(" {arch}={}", spelling.as_str())).collect()
}

#[cfg(test)]
mod tests {
    use super::binary;
    use crate::diagnostics::{Problems, Source};
    use crate::project::catalog::Catalog;
    use crate::project::manifest;

    fn line(entry: &str) -> String {
        let text = format!("version: 1\nbinaries:\n  - {{name: tool, repo: owner/tool, {entry}}}\n");
        let mut problems = Problems::default();
        let manifest = manifest::read(Source::new("binaries.yaml", text), Catalog::builtin(), &mut problems);
        assert!(problems.is_empty(), "{problems:?}");
        binary(&manifest.expect("a manifest").binaries[0])
    }

    #[test]
    fn no_path_can_say_what_another_key_says() {
        let key = format!("RW{}", "Q".repeat(54));
        let both = line(&format!("binary: tool, minisign: {key}"));
        assert_ne!(line(&format!("binary: 'tool minisign={key}'")), both);
    }
}
