//! A project with its upstream and a private cache.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use bake::diagnostics::{Problems, Source, terminal};
use bake::lock::{self, Build, Evidence, Lock};
use bake::project::values::Arch;

use super::github::{GitHub, Release};
use super::{Folder, Said, archives, elf, said};

/// A project with its upstream and a private cache.
pub struct World {
    pub folder: Folder,
    pub github: GitHub,
    cache: tempfile::TempDir,
    /// Extra environment variables for every run.
    env: Vec<(String, String)>,
}

impl World {
    /// A project with these entries below `binaries:`.
    pub fn new(binaries: &str) -> Self {
        let (folder, github) = (Folder::empty(), GitHub::start());
        folder.write("bake.yaml", format!("version: 1\ngateway:\n  image: {}\n", github.image()));
        folder.write("images/binaries.yaml", format!("version: 1\nbinaries:{}", listed(binaries)));
        let cache = tempfile::tempdir().expect("a temporary folder");
        Self { folder, github, cache, env: Vec::new() }
    }

    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// `bake`, to run here against only this upstream.
    pub fn command(&self) -> Command {
        let mut command = self.folder.command();
        command
            .env("GITHUB_API_URL", self.github.api())
            .env("BAKE_CACHE_DIR", self.cache())
            // A closed port: requests must not leave loopback.
            .env("HTTPS_PROXY", "http://127.0.0.1:9")
            .envs(self.env.iter().map(|(key, value)| (key, value)));
        command
    }

    pub fn bake<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Said {
        said(self.command().args(arguments))
    }

    pub fn cache(&self) -> PathBuf {
        self.cache.path().join("cache")
    }

    /// Path and content of every file in project and cache.
    pub fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(self.folder.path(), &mut found);
        collect(&self.cache(), &mut found);
        found
    }

    /// Path and content of every file in the project, apart from the cache.
    pub fn project_files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut found = BTreeMap::new();
        collect(self.folder.path(), &mut found);
        found
    }

    #[track_caller]
    pub fn lock(&self) -> Lock {
        let mut problems = Problems::default();
        let lock = lock::read(Source::new("bake.lock", self.folder.read("bake.lock")), &mut problems);
        assert!(problems.is_empty(), "{}", terminal::render(&problems, false));
        lock.expect("a whole lock").0
    }

    /// The lock's build of a tool.
    #[track_caller]
    pub fn build(&self, tool: &str, arch: Arch) -> Build {
        let lock = self.lock();
        let tool = lock.binaries.get(&tool.parse().expect("a name")).expect("a locked tool");
        tool.builds.get(&arch).expect("a build").clone()
    }

    /// The evidence for the checksum of a tool's build.
    #[track_caller]
    pub fn evidence(&self, tool: &str) -> Vec<Evidence> {
        self.build(tool, Arch::Amd64).evidence
    }

    /// The locked version of a tool.
    #[track_caller]
    pub fn version(&self, tool: &str) -> String {
        let lock = self.lock();
        let locked = lock.binaries.get(&tool.parse().expect("a name")).expect("a locked tool");
        locked.version.as_ref().expect("a version").to_string()
    }
}

/// A release in goreleaser's format without a checksum file: `NAME_VERSION_linux_ARCH.tar.gz`.
pub fn release(name: &str, tag: &str) -> Release {
    let version = tag.trim_start_matches('v');
    Arch::ALL.into_iter().fold(Release::new(tag), |release, arch| {
        release.asset(&format!("{name}_{version}_linux_{arch}.tar.gz"), archive(name, version, arch))
    })
}

/// A `.tar.gz` with the executable and another file.
pub fn archive(name: &str, version: &str, arch: Arch) -> Vec<u8> {
    let binary = elf::executable(arch, &format!("{name} {version}"));
    archives::tar_gz(&[(name, &binary), ("README.md", b"Read me.\n")])
}

fn listed(binaries: &str) -> String {
    if binaries.is_empty() { " []\n".to_owned() } else { format!("\n{binaries}") }
}

fn collect(folder: &Path, found: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
}
