//! `bake init`: the defaults as a project to edit.

use std::fs;
use std::path::Path;

use super::console::Console;
use super::load::{LOCK, MANIFEST, SPEC};
use super::{Done, Failure};
use crate::project::defaults;
use crate::write::{self, NewFile};

pub(super) fn run(dir: &Path, console: &mut Console) -> Result<Done, Failure> {
    let files = [(SPEC, defaults::SPEC), (MANIFEST, defaults::MANIFEST), (LOCK, defaults::LOCK)];
    for (name, _) in files {
        let path = dir.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Failure::Argument(format!(
                "{} is there already, and `init` overwrites nothing: choose another folder with `bake init DIR`",
                path.display()
            )));
        }
    }
    let files = files.map(|(name, text)| NewFile { name, content: text.as_bytes(), executable: false });
    write::create(dir, &files)?;
    for file in &files {
        let path = dir.join(file.name);
        console.result(&format!("{}\n", path.strip_prefix(".").unwrap_or(&path).display()))?;
    }
    console.note("Edit bake.yaml and images/binaries.yaml, then run `bake lock` and `bake render`.");
    Ok(Done::Clean)
}
