//! Shared by the end-to-end tests: projects in temporary folders, the program itself, and the real
//! tools of the testbed.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "a module of each test program, which uses its own part"
)]

pub mod archives;
pub mod audit;
pub mod baked;
pub mod browser;
pub mod cost;
pub mod depot;
pub mod dockerfile;
pub mod elf;
pub mod gateway;
pub mod github;
pub mod google;
pub mod harness;
pub mod images;
pub mod language;
pub mod model;
pub mod namespace;
pub mod openclaw;
pub mod processes;
pub mod registry;
pub mod server;
pub mod shapes;
pub mod sigstore;
pub mod testbed;
pub mod world;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use assert_cmd::cargo::cargo_bin_cmd;
pub use test_attribute::test;

use bake::diagnostics::{Problems, Source, terminal};
use bake::digest::Sha256;
use bake::lock::{self, Build, Evidence, Lock, LockedBinary, LockedImage, inputs};
use bake::project::catalog::Catalog;
use bake::project::manifest::BinarySource;
use bake::project::values::Arch;
use bake::project::{Project, manifest, spec};
use rustix::process::{Pid, Signal, kill_process};

/// A temporary folder in which tests run `bake`.
pub struct Folder(tempfile::TempDir);

/// The outcome of a run.
#[derive(Debug)]
pub struct Said {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Folder {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().expect("a temporary folder"))
    }

    /// A folder with the default project.
    pub fn project() -> Self {
        let folder = Self::empty();
        // The default name depends on the temporary folder, and the default id is random.
        folder.bake(["init", "--name", "openclaw-gateway", "--id", "0123456789abcdef"]).done();
        folder
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> &Self {
        let path = self.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, content).expect("a file");
        self
    }

    /// Writes an executable file that every user may run.
    pub fn program(&self, name: &str, content: &str) -> &Self {
        let path = self.join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        install("/dev/stdin", content, &path);
        self
    }

    /// Copies `bake` here for every user and returns its path. Other users may lack access to the target
    /// folder.
    pub fn program_for_others(&self) -> PathBuf {
        let path = self.join("bake");
        install(self.command().get_program(), "", &path);
        path
    }

    /// Replaces text that must be in the file.
    pub fn edit(&self, name: &str, from: &str, to: &str) -> &Self {
        let text = self.read(name);
        assert!(text.contains(from), "{name} does not hold {from:?}");
        self.write(name, text.replacen(from, to, 1))
    }

    /// `bake`, to run here without the caller's settings.
    pub fn command(&self) -> Command {
        let mut command = Command::new(cargo_bin_cmd!("bake").get_program());
        command
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }

    pub fn bake<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Said {
        said(self.command().args(arguments))
    }

    /// Writes a lock that pins each binary of the manifest to `builds`.
    pub fn lock(&self, builds: &[(&str, Arch, Build)]) -> &Self {
        let text = lock_text(&self.read("bake.yaml"), &self.read("images/binaries.yaml"), builds);
        self.write("bake.lock", text)
    }

    /// Changes the lock, which is then one of the manifest as it is.
    pub fn relock(&self, change: impl FnOnce(&mut Lock)) -> &Self {
        let source = Source::new("bake.lock", self.read("bake.lock"));
        let (mut lock, _) = lock::read(source, &mut Problems::default()).expect("a lock");
        lock.inputs = inputs::digest(&project(&self.read("bake.yaml"), &self.read("images/binaries.yaml")));
        change(&mut lock);
        self.write("bake.lock", lock.to_text())
    }

    /// The bundle's files, by name.
    pub fn bundle(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.join(out)).expect("a bundle");
        entries
            .map(|entry| {
                let entry = entry.expect("an entry");
                (entry.file_name().into_string().expect("a name"), fs::read(entry.path()).expect("a file"))
            })
            .collect()
    }
}

impl Said {
    /// Asserts success.
    #[track_caller]
    pub fn done(self) -> Self {
        self.ended(0)
    }

    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.out, self.err);
        self
    }
}

/// Installs a program at `path`, from another file or from `given` on standard input.
///
/// Another process writes it: a child that another test forks meanwhile would inherit our open file, and
/// until that child calls `exec`, running the program fails with "Text file busy".
pub fn install(from: impl AsRef<OsStr>, given: &str, path: &Path) {
    let mut command = assert_cmd::Command::new("install");
    command.args(["-m", "755"]).arg(from).arg(path).write_stdin(given).assert().success();
}

/// Runs a command to completion.
pub fn said(command: &mut Command) -> Said {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    Said {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Starts a command, interrupts it with Ctrl-C once `is_at_work` returns true, and returns its last line.
///
/// # Panics
/// If it exits with any code but 1.
#[track_caller]
pub fn interrupted(command: &Command, mut is_at_work: impl FnMut() -> bool) -> String {
    // A shell's background jobs ignore Ctrl-C, and their children inherit that.
    let mut started = Command::new("env");
    started.env_clear().envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    started.current_dir(command.get_current_dir().expect("a folder")).arg("--default-signal=INT");
    started.arg(command.get_program()).args(command.get_args());
    let child = started.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("bake");
    while !is_at_work() {
        thread::sleep(Duration::from_millis(10));
    }
    kill_process(Pid::from_child(&child), Signal::INT).expect("a process");
    let output = child.wait_with_output().expect("an end");
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{err}");
    err
}

/// A build as `bake lock` would record it; without `binary`, one that was not fetched.
pub fn build(url: &str, archive: &[u8], path: &str, binary: Option<&[u8]>) -> Build {
    Build {
        url: url.parse().expect("a URL"),
        sha256: Sha256::of(archive),
        size: Some(archive.len() as u64),
        format: None,
        binary: path.parse().expect("a path"),
        binary_sha256: binary.map(Sha256::of),
        loader: None,
        signature: None,
        attested_by: None,
        evidence: vec![if binary.is_some() { Evidence::Computed } else { Evidence::ChecksumFile }],
    }
}

fn project(spec_text: &str, manifest_text: &str) -> Project {
    let mut problems = Problems::default();
    let spec = spec::read(Source::new("bake.yaml", spec_text), &mut problems);
    let manifest =
        manifest::read(Source::new("binaries.yaml", manifest_text), Catalog::builtin(), &mut problems);
    let (Some(spec), Some(manifest)) = (spec, manifest) else {
        panic!("{}", terminal::render(&problems, false))
    };
    let project = Project::new(spec, manifest, &mut problems);
    assert!(!problems.has_errors(), "{}", terminal::render(&problems, false));
    project
}

/// The lock of a project, as text.
pub fn lock_text(spec_text: &str, manifest_text: &str, builds: &[(&str, Arch, Build)]) -> String {
    let project = project(spec_text, manifest_text);
    let reference = project.spec.gateway.image.value.clone();
    let digest =
        reference.digest().or_else(|| Catalog::builtin().base_image(&reference)).expect("a known base image");
    let mut by_name = BTreeMap::<&str, Vec<_>>::new();
    for (name, arch, build) in builds {
        by_name.entry(name).or_default().push((*arch, build.clone()));
    }
    let mut binaries = BTreeMap::new();
    for binary in &project.manifest.binaries {
        let name = binary.name.value.clone();
        let repo = match &binary.origin {
            manifest::BinarySource::Release { repo, .. } => Some(repo.clone()),
            manifest::BinarySource::Catalog(_) | manifest::BinarySource::Url { .. } => None,
        };
        binaries.insert(
            name.clone(),
            LockedBinary {
                version: binary.version.as_ref().map(|version| version.value.clone()),
                repo,
                moved_to: None,
                repository_id: None,
                immutable: false,
                keep_siblings: binary.keep_siblings,
                apt: binary.apt.clone(),
                builds: by_name.remove(name.as_str()).unwrap_or_default().into_iter().collect(),
            },
        );
    }
    let evidence = if reference.digest().is_some() { Evidence::Spec } else { Evidence::Seed };
    let image = LockedImage { reference, digest, platforms: BTreeMap::new(), evidence: vec![evidence] };
    Lock { version: 1, inputs: inputs::digest(&project), image, pushed: None, binaries }.to_text()
}
