//! Reads the project's three files from a folder, or the built-in ones.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::diagnostics::{Code, Diagnostic, Location, Problems, Source};
use crate::digest::Sha256;
use crate::fs::inside::resolve_inside;
use crate::fs::{Revision, tidy};
use crate::lock::{self, Lock, MENDED_BY};
use crate::project::catalog::Catalog;
use crate::project::spec::Spec;
use crate::project::{Project, defaults, manifest, spec};
use crate::text::sanitize;
use crate::yaml;

use super::console::Console;
use super::{Failure, publishers};

pub(super) const SPEC: &str = "bake.yaml";
pub(super) const LOCK: &str = "bake.lock";
pub(super) const MANIFEST: &str = defaults::MANIFEST_PATH;

/// The note for a user without a project.
pub(super) const NO_PROJECT: &str =
    "There is no bake.yaml here: this is the default project. `bake init` writes it out to edit.";

/// A project with its lock, and their sources.
pub(super) struct Loaded {
    pub(super) project: Project,
    /// The lock, or its problems. They are separate because `bake lock` can repair it.
    pub(super) lock: Result<LoadedLock, Problems>,
    /// Whether the folder has no project and the built-in one is used.
    pub(super) builtin: bool,
    /// The text of the manifest.
    pub(super) manifest: ManifestFile,
    pub(super) problems: Problems,
}

/// The manifest's text, for edits.
pub(super) struct ManifestFile {
    path: PathBuf,
    name: String,
    text: String,
}

impl ManifestFile {
    /// Removes temporary files of killed runs next to the manifest and next to the lock in `dir`.
    pub(super) fn tidy(&self, dir: &Path) -> Result<(), Failure> {
        Ok(tidy(dir, &[&self.path, &dir.join(LOCK)])?)
    }

    /// Its replacement by `text`.
    pub(super) fn revision<'a>(&'a self, text: &'a str) -> Revision<'a> {
        Revision { path: self.path.clone(), from: Some(&self.text), to: text }
    }

    /// The current text, or `text`, under the manifest's name.
    pub(super) fn source(&self, text: Option<&str>) -> Source {
        Source::new(self.name.clone(), text.unwrap_or(&self.text))
    }
}

pub(super) struct LoadedLock {
    pub(super) lock: Lock,
    pub(super) digest: Sha256,
    pub(super) place: Location,
}

impl Loaded {
    /// The lock, if it exists and fits the project, with the project and all warnings.
    pub(super) fn fitting(mut self) -> Result<(Project, LoadedLock, Problems), Problems> {
        match self.lock {
            Ok(locked) => {
                // Invalid input would be reported a second time as a difference.
                if !self.problems.has_errors() {
                    lock::check_staleness(
                        &locked.lock,
                        &self.project,
                        &publishers::forge(),
                        &locked.place,
                        &mut self.problems,
                    );
                }
                let (found, warnings) = self.problems.unless_errors((self.project, locked))?;
                Ok((found.0, found.1, warnings))
            }
            Err(problems) => {
                self.problems.extend(problems);
                Err(self.problems)
            }
        }
    }
}

/// Reads the files in `dir`.
///
/// # Errors
/// If the spec or the manifest cannot be read at all. All other problems are returned with the result.
pub(super) fn load(dir: &Path) -> Result<Loaded, Failure> {
    load_from(dir, None, None)
}

/// The project in `dir` with its lock, for commands that need both without errors. Prints warnings.
///
/// # Errors
/// If either has errors, or the lock is stale.
pub(super) fn fitting(dir: &Path, console: &mut Console) -> Result<(Project, LoadedLock), Failure> {
    let loaded = load(dir)?;
    if loaded.builtin {
        console.note(NO_PROJECT);
    }
    let (project, lock, warnings) = loaded.fitting()?;
    console.problems(&warnings);
    Ok((project, lock))
}

/// Only the spec below `dir`, even if the manifest or the lock is invalid.
///
/// # Errors
/// Where there is no spec, or it has errors.
pub(super) fn spec_alone(dir: &Path, console: &mut Console) -> Result<Spec, Failure> {
    if is_absent(&dir.join(SPEC)) {
        return Err(no_project(dir));
    }
    let mut problems = Problems::default();
    let spec = file(dir, SPEC, &mut problems).and_then(|source| spec::read(source, &mut problems));
    let Some(spec) = spec else { return Err(problems.into()) };
    let (spec, warnings) = problems.unless_errors(spec)?;
    console.problems(&warnings);
    Ok(spec)
}

/// The folder of the project that `dir` is in: the nearest one with a spec, `dir` itself or one above it.
/// `dir` where there is none.
pub(super) fn project_folder(dir: &Path) -> PathBuf {
    let found = || {
        let whole = std::path::absolute(dir).ok().filter(|_| dir.is_dir() && is_absent(&dir.join(SPEC)))?;
        whole.ancestors().skip(1).find(|folder| !is_absent(&folder.join(SPEC))).map(Path::to_owned)
    };
    found().unwrap_or_else(|| dir.to_owned())
}

/// Like [`load`], with these texts in place of those of spec and manifest.
pub(super) fn edited(dir: &Path, spec: Option<&str>, manifest: Option<&str>) -> Result<Loaded, Failure> {
    load_from(dir, spec, manifest)
}

/// The error of a command that needs a project to write to.
pub(super) fn no_project(dir: &Path) -> Failure {
    Failure::Argument(format!(
        "{}: there is no bake.yaml here, nor in a folder above; `bake init` writes one",
        dir.display()
    ))
}

/// Whether the folder has a lock, even an unreadable one.
pub(super) fn has_lock(dir: &Path) -> bool {
    !is_absent(&dir.join(LOCK))
}

/// The path to write to: `named`, relative to `dir`.
///
/// # Errors
/// If `named` is in `dir`, but a link there leads out of it.
pub(super) fn output(dir: &Path, named: &Path) -> Result<PathBuf, Failure> {
    let path = dir.join(named);
    let is_inside = match named.strip_prefix(dir) {
        Ok(below) if named.is_absolute() => !has_parent(below),
        _ => named.is_relative() && !has_parent(named),
    };
    if is_inside && let Err(error) = resolve_inside(dir, &path) {
        return Err(Failure::Argument(format!("{}: {error}", path.display())));
    }
    Ok(path)
}

fn has_parent(path: &Path) -> bool {
    path.components().any(|component| component == Component::ParentDir)
}

fn load_from(dir: &Path, edited_spec: Option<&str>, edited: Option<&str>) -> Result<Loaded, Failure> {
    if !dir.is_dir() {
        return Err(Failure::Argument(format!("{}: there is no such folder", dir.display())));
    }
    let mut problems = Problems::default();
    let builtin = is_absent(&dir.join(SPEC));
    let spec = if let Some(text) = edited_spec {
        spec::read(Source::new(SPEC, text), &mut problems)
    } else if builtin {
        passed_over(dir, &mut problems);
        spec::read(Source::new(SPEC, defaults::SPEC), &mut problems)
    } else {
        file(dir, SPEC, &mut problems).and_then(|source| spec::read(source, &mut problems))
    };
    let file = manifest_file(dir, spec.as_ref(), builtin, &mut problems);
    let manifest =
        file.as_ref().and_then(|file| manifest::read(file.source(edited), Catalog::builtin(), &mut problems));
    let lock = locked(dir, builtin);
    let (Some(spec), Some(file), Some(manifest)) = (spec, file, manifest) else {
        problems.extend(lock.err().unwrap_or_default());
        return Err(problems.into());
    };
    let project = Project::new(spec, manifest, &mut problems);
    Ok(Loaded { project, lock, builtin, manifest: file, problems })
}

fn manifest_file(
    dir: &Path,
    spec: Option<&Spec>,
    builtin: bool,
    problems: &mut Problems,
) -> Option<ManifestFile> {
    let named = spec.map(|spec| &spec.image.binaries);
    let inside = named.map_or(MANIFEST, |path| path.as_str());
    let path = dir.join(inside);
    if builtin {
        return Some(ManifestFile { path, name: inside.to_owned(), text: defaults::MANIFEST.to_owned() });
    }
    if is_absent(&path) {
        problems.push(
            missing(dir, inside)
                .at(named.and_then(|named| named.place.clone()))
                .help("write it, `version: 1` and `binaries: []` at the least; `bake init` shows one"),
        );
        return None;
    }
    let source = file(dir, inside, problems)?;
    Some(ManifestFile { path, name: source.name().to_owned(), text: source.text().to_owned() })
}

fn locked(dir: &Path, builtin: bool) -> Result<LoadedLock, Problems> {
    let mut problems = Problems::default();
    let source = if builtin {
        Some(Source::new(LOCK, defaults::LOCK))
    } else if is_absent(&dir.join(LOCK)) {
        problems.push(missing(dir, LOCK).help(MENDED_BY));
        None
    } else {
        file(dir, LOCK, &mut problems)
    };
    let Some(source) = source else { return Err(problems) };
    let digest = Sha256::of(source.text());
    match lock::read(source, &mut problems) {
        Some((lock, place)) => Ok(LoadedLock { lock, digest, place }),
        None => Err(problems),
    }
}

/// Warns about files of a project without a spec.
fn passed_over(dir: &Path, problems: &mut Problems) {
    for name in ["bake.yml", MANIFEST, LOCK].into_iter().filter(|name| !is_absent(&dir.join(name))) {
        problems.push(
            Diagnostic::warning(
                Code::MissingFile,
                format!("{} is not read: there is no {SPEC} next to it", shown(dir, name)),
            )
            .help("`bake init` in an empty folder writes one"),
        );
    }
}

/// Whether the path does not exist. A dangling link or an unreadable file is a mistake and does not select the
/// built-in project.
fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

/// The path of a file of the project, as the user would type it.
fn shown(dir: &Path, name: &str) -> String {
    let path = dir.join(name);
    sanitize(&path.strip_prefix(".").unwrap_or(&path).display().to_string())
}

fn missing(dir: &Path, name: &str) -> Diagnostic {
    Diagnostic::error(Code::MissingFile, format!("{} is missing", shown(dir, name)))
}

/// A text file of the project, of plausible size.
fn file(dir: &Path, name: &str, problems: &mut Problems) -> Option<Source> {
    let path = dir.join(name);
    let name = &shown(dir, name);
    let unreadable = |what: &str| {
        Diagnostic::error(Code::MissingFile, format!("{name} cannot be read: {what}"))
            .help("it must be a readable file")
    };
    let path = match resolve_inside(dir, &path) {
        Ok(path) => path,
        Err(error) => {
            problems.push(unreadable(&error.to_string()));
            return None;
        }
    };
    // Opening a pipe would wait for its writer.
    match fs::metadata(&path) {
        Ok(metadata) if metadata.is_file() => {}
        Ok(_) => {
            problems.push(unreadable("not a file"));
            return None;
        }
        Err(error) => {
            problems.push(unreadable(&error.to_string()));
            return None;
        }
    }
    let mut bytes = Vec::new();
    let limit = yaml::LARGEST as u64 + 1;
    if let Err(error) = File::open(&path).and_then(|file| file.take(limit).read_to_end(&mut bytes)) {
        problems.push(unreadable(&error.to_string()));
        return None;
    }
    if bytes.len() > yaml::LARGEST {
        problems.push(
            Diagnostic::error(
                Code::InputTooLarge,
                format!("{name} has more than {} MiB", yaml::LARGEST >> 20),
            )
            .help("no project needs that much: is it the right file?"),
        );
        return None;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Some(Source::new(name, text)),
        Err(error) => {
            problems.push(not_text(name, &error));
            None
        }
    }
}

fn not_text(name: &str, error: &std::string::FromUtf8Error) -> Diagnostic {
    let at = error.utf8_error().valid_up_to();
    let text = String::from_utf8_lossy(error.as_bytes());
    let mut source = Source::new(name, text.clone());
    // The unreadable text may contain a secret.
    source.hide([0..text.len()]);
    Diagnostic::error(Code::NotText, format!("{name} is not UTF-8"))
        .at(Location { source: Arc::new(source), span: at..at + 1 })
        .help("save it as UTF-8; the line is not shown")
}
