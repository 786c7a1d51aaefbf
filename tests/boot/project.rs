//! The project of `bake init`, locked in the world in which its VM will boot.

use std::path::PathBuf;
use std::process::Command;

use assert_cmd::cargo::cargo_bin_cmd;
use bake::digest::Sha256;

use crate::support::github::TOKEN;
use crate::support::{Folder, said};
use crate::world::World;

/// OpenClaw itself.
pub const REAL: &str = "ghcr.io/openclaw/openclaw:2026.9.6";

/// A small program that answers the same health checks.
pub const STAND_IN: &str = "ghcr.io/openclaw/standin:1";

/// The same for arm64.
pub const STAND_IN_ARM64: &str = "ghcr.io/openclaw/standin-arm64:1";

pub struct Project {
    folder: Folder,
    program: PathBuf,
}

impl Project {
    /// The default project on the base image `image`, changed by `change`.
    pub fn locked(world: &World, image: &str, change: impl FnOnce(&Folder)) -> Self {
        let folder = Folder::project();
        folder.edit("bake.yaml", "ghcr.io/openclaw/openclaw:2026.9.4", image);
        change(&folder);
        let project = Self { folder, program: cargo_bin_cmd!("bake").get_program().into() };
        said(project.bake(world).args(["lock", "--update"])).done();
        project
    }

    /// The same, for another `bake`.
    pub fn by(self, program: PathBuf) -> Self {
        Self { program, ..self }
    }

    /// A command that runs `bake` in the world on this project.
    pub fn bake(&self, world: &World) -> Command {
        let mut command = world.namespace.command(&self.program);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("BAKE_CACHE_DIR", self.folder.join("cache"))
            .env("GITHUB_TOKEN", TOKEN)
            .env("SSL_CERT_FILE", World::authority());
        command
    }

    pub fn read(&self, name: &str) -> String {
        self.folder.read(name)
    }

    /// The lock's digest, which identifies the lock on the VM.
    pub fn lock(&self) -> String {
        Sha256::of(self.folder.read("bake.lock")).to_string()
    }
}
