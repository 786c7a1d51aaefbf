//! `bake render`: the bundle, on disk or held against what stands there.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use similar::TextDiff;

use super::console::Console;
use super::load::{self, LoadedLock};
use super::{Done, Failure};
use crate::cli;
use crate::plan::Plan;
use crate::render::{self, Bundle, FILE_NAMES};
use crate::write::{self, NewFile, Outcome};

#[derive(Serialize)]
struct Document {
    version: u32,
    out: PathBuf,
    changed: bool,
    files: Vec<Row>,
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    /// `same`, `new`, `changed` or `gone`.
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
}

pub(super) fn run(dir: &Path, options: &cli::Render, console: &mut Console) -> Result<Done, Failure> {
    let loaded = load::load(dir)?;
    if loaded.builtin {
        console.note(
            "There is no bake.yaml here: this is the default project. `bake init` writes it out to edit.",
        );
    }
    let (project, LoadedLock { lock, digest, .. }, warnings) = loaded.fitting()?;
    console.problems(&warnings);
    let plan = Plan::new(&project, &lock, digest);
    for (name, build) in plan.host_builds() {
        console.detail(&format!("{name}: {} {}", build.sha256, build.url));
    }
    let (bundle, warnings) = render::render(&plan)?;
    console.problems(&warnings);

    let out = dir.join(&options.out);
    let rows = compare(&out, &bundle);
    let changed = rows.iter().any(|row| row.state != "same");
    if options.diff {
        console.result(&diff(&out, &options.out, &bundle))?;
    }
    if !options.check && !options.diff {
        put(dir, &out, &bundle, console)?;
    }
    if options.json {
        console.json(&Document { version: 1, out: options.out.clone(), changed, files: rows })?;
    } else if !options.diff {
        console.result(&table(&options.out, &rows))?;
    }
    Ok(if changed && options.check { Done::Finding } else { Done::Clean })
}

fn put(dir: &Path, out: &Path, bundle: &Bundle, console: &mut Console) -> Result<(), Failure> {
    for inside in [fs::canonicalize(dir), std::env::current_dir()].into_iter().flatten() {
        if fs::canonicalize(out).is_ok_and(|out| inside.starts_with(out)) {
            return Err(Failure::Argument(format!(
                "{}: the bundle's folder is exchanged as a whole, so it cannot be one that you stand in: choose another with --out",
                out.display()
            )));
        }
    }
    let files: Vec<_> = bundle
        .iter()
        .map(|(name, file)| NewFile { name, content: file.text.as_bytes(), executable: file.executable })
        .collect();
    if write::replace(out, &files, &FILE_NAMES)? == Outcome::OneByOne {
        console.note("This file system cannot exchange folders: the files were replaced one after another.");
    }
    Ok(())
}

fn compare(out: &Path, bundle: &Bundle) -> Vec<Row> {
    let row = |name: &'static str| {
        let there = fs::read(out.join(name)).ok();
        let wanted = bundle.get(name);
        let state = match (&there, wanted) {
            (None, None) => return None,
            (Some(there), Some(wanted)) if *there == wanted.text.as_bytes() => "same",
            (Some(_), Some(_)) => "changed",
            (None, Some(_)) => "new",
            (Some(_), None) => "gone",
        };
        let sha256 = wanted.map(|file| file.digest().to_string());
        Some(Row { name, state, size: wanted.map(|file| file.text.len()), sha256 })
    };
    FILE_NAMES.iter().copied().filter_map(row).collect()
}

fn table(out: &Path, rows: &[Row]) -> String {
    let row = |row: &Row| {
        let path = out.join(row.name).display().to_string();
        let size = row.size.map_or_else(String::new, |size| format!("{size:>8} bytes"));
        format!("{:<8} {path:<28} {size}\n", row.state)
    };
    rows.iter().map(row).collect()
}

fn diff(out: &Path, shown: &Path, bundle: &Bundle) -> String {
    let mut text = String::new();
    for name in FILE_NAMES {
        let there = fs::read(out.join(name)).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let there = there.unwrap_or_default();
        let wanted = bundle.get(name).map_or("", |file| &file.text);
        let path = shown.join(name).display().to_string();
        let diff = TextDiff::from_lines(there.as_str(), wanted);
        text.push_str(&diff.unified_diff().header(&format!("a/{path}"), &format!("b/{path}")).to_string());
    }
    text
}
