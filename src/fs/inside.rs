//! Whether a path stays in a folder once its links are followed. A project may come from a stranger, and
//! git keeps links.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::process::geteuid;

/// A link of the project leads out of its folder.
#[derive(Debug, thiserror::Error)]
#[error("a link leads to {}, out of the folder {}", found.display(), folder.display())]
struct LeadsOut {
    found: PathBuf,
    folder: PathBuf,
}

/// `path` without links. Its last components need not exist.
///
/// # Errors
/// If that is not in `folder`, or a link leads nowhere.
pub fn resolve_inside(folder: &Path, path: &Path) -> io::Result<PathBuf> {
    let folder = fs::canonicalize(folder)?;
    let there = path.ancestors().find(|above| fs::symlink_metadata(above).is_ok()).unwrap_or(Path::new("."));
    let rest = path.strip_prefix(there).unwrap_or(Path::new(""));
    let mut found = fs::canonicalize(there)?;
    // `join` would add a slash.
    if rest != Path::new("") {
        found.push(rest);
    }
    if found.starts_with(&folder) { Ok(found) } else { Err(io::Error::other(LeadsOut { found, folder })) }
}

/// Whether the user of this process made it.
pub fn is_own(metadata: &fs::Metadata) -> bool {
    std::os::unix::fs::MetadataExt::uid(metadata) == geteuid().as_raw()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::resolve_inside;

    #[test]
    fn links_may_lead_anywhere_in_the_folder_and_nowhere_else() {
        let top = tempfile::tempdir().expect("a folder");
        let (folder, outside) = (top.path().join("project"), top.path().join("project-other"));
        for folder in [folder.join("a/b"), outside.clone()] {
            fs::create_dir_all(folder).expect("a folder");
        }
        for (target, name) in [
            ("a", "in"),
            ("../project/a/b", "around"),
            ("../project-other", "out"),
            ("../project-other/new", "dangling"),
            ("dangling", "twice"),
            ("loop", "loop"),
        ] {
            symlink(target, folder.join(name)).expect("a link");
        }
        for inside in ["a", "new", "in/b", "in/new/file", "around/x"] {
            let found = resolve_inside(&folder, &folder.join(inside)).expect(inside);
            assert!(found.starts_with(folder.canonicalize().expect("a path")), "{inside}");
        }
        for bad in ["out", "out/new", "dangling", "twice", "loop", "../project-other", "in/../../.."] {
            assert!(resolve_inside(&folder, &folder.join(bad)).is_err(), "{bad}");
        }
    }
}
