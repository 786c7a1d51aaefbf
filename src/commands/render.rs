//! `bake render`: writes the bundle, or compares it with the files on disk.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::Serialize;
use similar::TextDiff;

use super::bundle_changes;
use super::console::Console;
use super::load::{self, LoadedLock};
use super::{Done, Failure};
use crate::cli;
use crate::fs::{self as output, NewFile, ReplaceOutcome};
use crate::plan::Plan;
use crate::render::{self, Bundle, FILE_NAMES};

/// A text in those files of the bundle that can contain one.
const MARK: &[u8] = b"Rendered by bake";
const MARKED: [&str; 4] = ["Dockerfile", "docker-compose.yml", "gcloud.sh", "user-data.yaml"];
/// Larger than any file of a bundle.
const LARGEST_FILE: u64 = 64 << 20;

#[derive(Serialize)]
struct RenderJson {
    version: u32,
    out: PathBuf,
    changed: bool,
    files: Vec<FileRow>,
}

#[derive(Serialize)]
struct FileRow {
    name: &'static str,
    /// `same`, `new`, `changed` or `gone`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

impl FileRow {
    fn differs(&self) -> bool {
        self.state != "same"
    }
}

pub(super) fn run(
    dir: &Path,
    options: &cli::RenderArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let (project, LoadedLock { lock, digest, .. }) = load::fitting(dir, console)?;
    let plan = Plan::new(&project, &lock, digest);
    for (name, build) in plan.host_builds() {
        console.detail(&format!("{name}: {} {}", build.sha256, build.url));
    }
    let (bundle, warnings) = render::render(&plan)?;
    console.problems(&warnings);

    let out = load::output(dir, &options.out)?;
    refuse_foreign(&out)?;
    let files = files(&bundle);
    let rows = compare(&out, &bundle, &files);
    let changed = rows.iter().any(FileRow::differs);
    if options.diff {
        if changed {
            console.result(&format!("{}\n", by_meaning(&out, &bundle)))?;
        }
        console.result(&diff(&out, &options.out, &bundle))?;
    }
    if !options.check && !options.diff {
        put(dir, &out, &files, console)?;
    }
    if json {
        console.json(&RenderJson { version: 1, out: options.out.clone(), changed, files: rows })?;
    } else if !options.diff {
        console.result(&table(&options.out, &rows))?;
    }
    Ok(if changed && options.check { Done::Finding } else { Done::Clean })
}

fn put(dir: &Path, out: &Path, files: &[NewFile<'_>], console: &mut Console) -> Result<(), Failure> {
    for inside in [fs::canonicalize(dir), std::env::current_dir()].into_iter().flatten() {
        if fs::canonicalize(out).is_ok_and(|out| inside.starts_with(out)) {
            return Err(Failure::Argument(format!(
                "{}: the bundle's folder is exchanged as a whole, so it cannot contain the working directory: choose another with --out",
                out.display()
            )));
        }
    }
    if output::replace(out, files, &FILE_NAMES)? == ReplaceOutcome::OneByOne {
        console
            .note("This folder cannot be exchanged as a whole: the files were replaced one after another.");
    }
    Ok(())
}

/// Refuses to replace files that `bake` did not write.
fn refuse_foreign(out: &Path) -> Result<(), Failure> {
    let refuse = |path: &Path, what: &str| {
        Err(Failure::Argument(format!(
            "{} {what}: move it away, or choose another folder with --out",
            path.display()
        )))
    };
    match fs::symlink_metadata(out) {
        Ok(metadata) if metadata.is_symlink() && !out.is_dir() => {
            return refuse(out, "is a link to no folder");
        }
        Ok(metadata) if !metadata.is_symlink() && !metadata.is_dir() => {
            return refuse(out, "is not a folder");
        }
        _ => {}
    }
    // The other files have no mark; they belong to the bundle if a marked file is next to them.
    let is_bundle = MARKED.iter().any(|name| is_marked(&out.join(name)));
    for name in FILE_NAMES {
        let path = out.join(name);
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if !metadata.is_file() {
            return refuse(&path, "is not a file");
        }
        if !(if MARKED.contains(&name) { is_marked(&path) } else { is_bundle }) {
            return refuse(&path, "was not written by bake");
        }
    }
    Ok(())
}

fn is_marked(path: &Path) -> bool {
    there(path).is_some_and(|content| content.windows(MARK.len()).any(|part| part == MARK))
}

/// The content of a file of the bundle on disk, if it is a file of plausible size.
fn there(path: &Path) -> Option<Vec<u8>> {
    if !fs::symlink_metadata(path).ok()?.is_file() {
        return None;
    }
    let mut content = Vec::new();
    fs::File::open(path).ok()?.take(LARGEST_FILE).read_to_end(&mut content).ok()?;
    Some(content)
}

/// The files of a bundle in `out`, by name.
pub(super) fn standing(out: &Path) -> BTreeMap<&'static str, Vec<u8>> {
    FILE_NAMES.into_iter().filter_map(|name| Some((name, there(&out.join(name))?))).collect()
}

/// The files of `bundle` that are missing or different in `out`, and surplus ones there.
pub(super) fn differing(out: &Path, bundle: &Bundle) -> Vec<&'static str> {
    compare(out, bundle, &files(bundle)).iter().filter(|row| row.differs()).map(|row| row.name).collect()
}

fn files(bundle: &Bundle) -> Vec<NewFile<'_>> {
    bundle
        .iter()
        .map(|(name, file)| NewFile { name, content: file.text.as_bytes(), executable: file.executable })
        .collect()
}

fn compare(out: &Path, bundle: &Bundle, files: &[NewFile<'_>]) -> Vec<FileRow> {
    let row = |name: &'static str| {
        let exists = fs::symlink_metadata(out.join(name)).is_ok();
        let wanted = bundle.get(name);
        let same = files.iter().any(|file| file.name == name && file.stands_in(out));
        let state = match (exists, wanted) {
            (false, None) => return None,
            (true, Some(_)) if same => "same",
            (true, Some(_)) => "changed",
            (false, Some(_)) => "new",
            (true, None) => "gone",
        };
        let sha256 = wanted.map(|file| file.digest().to_string());
        Some(FileRow { name, state, size: wanted.map(|file| file.text.len()), sha256 })
    };
    FILE_NAMES.iter().copied().filter_map(row).collect()
}

fn table(out: &Path, rows: &[FileRow]) -> String {
    let row = |row: &FileRow| {
        let path = out.join(row.name).display().to_string();
        let size = row.size.map_or_else(String::new, |size| format!("{size:>8} bytes"));
        format!("{:<8} {path:<28} {size}\n", row.state)
    };
    rows.iter().map(row).collect()
}

/// The differences between the files in `out` and the new bundle, by their meaning.
fn by_meaning(out: &Path, bundle: &Bundle) -> String {
    let text = |content: Vec<u8>| String::from_utf8_lossy(&content).into_owned();
    let old: BTreeMap<_, _> =
        standing(out).into_iter().map(|(name, content)| (name, text(content))).collect();
    if old.is_empty() {
        return "a new bundle\n".to_owned();
    }
    let new = bundle.iter().map(|(name, file)| (*name, file.text.clone())).collect();
    let changes = bundle_changes::changes(&old, &new);
    if changes.is_empty() {
        return "only checksums, comments or the lock's digest differ\n".to_owned();
    }
    bundle_changes::described(&changes)
}

fn diff(out: &Path, shown: &Path, bundle: &Bundle) -> String {
    let mut text = String::new();
    for name in FILE_NAMES {
        let there = there(&out.join(name)).unwrap_or_default();
        let there = String::from_utf8_lossy(&there);
        let wanted = bundle.get(name).map_or("", |file| &file.text);
        let path = shown.join(name).display().to_string();
        let diff = TextDiff::from_lines(there.as_ref(), wanted);
        text.push_str(&diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string());
    }
    text
}
