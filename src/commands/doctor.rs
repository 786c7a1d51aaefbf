//! `bake doctor`: the programs, folders and files on this machine that the other commands need.

use std::fmt::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::fs::{Access, access};
use serde::Serialize;

use super::cache;
use super::console::Console;
use super::load::{self, Loaded};
use super::{Done, Failure};
use crate::cli;
use crate::diagnostics::Problems;
use crate::project::values::Arch;
use crate::rehearse::{Acceleration, UEFI, emulates_well, firmware, packages, qemu};
use crate::text::excerpt;

/// Characters of a program's version.
const LONGEST: usize = 100;
const INSTALL_SSH: &str = by_system("sudo apt-get install openssh-client", "brew install openssh");
const INSTALL_OPENSSL: &str = by_system("sudo apt-get install openssl", "brew install openssl");

const fn by_system<'a>(debian: &'a str, homebrew: &'a str) -> &'a str {
    if cfg!(target_os = "macos") { homebrew } else { debian }
}

#[derive(Serialize)]
struct DoctorJson<'a> {
    version: u32,
    ok: bool,
    checks: &'a [MachineCheck],
}

/// One part of this machine.
#[derive(Serialize)]
struct MachineCheck {
    name: &'static str,
    state: CheckState,
    found: String,
    /// The command that mends it, or an address with instructions.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum CheckState {
    Ok,
    /// Some commands need it.
    Optional,
    /// All use of the project needs it.
    Missing,
}

impl CheckState {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Optional => "optional",
            Self::Missing => "missing",
        }
    }
}

impl MachineCheck {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: CheckState::Ok, found: found.into(), mend: None }
    }

    fn optional(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, state: CheckState::Optional, found: found.into(), mend: Some(mend.into()) }
    }

    fn missing(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, state: CheckState::Missing, found: found.into(), mend: Some(mend.into()) }
    }
}

pub(super) fn run(dir: &Path, json: bool, console: &mut Console) -> Result<Done, Failure> {
    let mut checks = vec![MachineCheck::ok("bake", env!("CARGO_PKG_VERSION"))];
    let (port, arch) = match load::load(dir) {
        Ok(loaded) => {
            let spec = &loaded.project.spec;
            let (port, arch) = (spec.gateway.port.value, spec.host.arch.value);
            project(dir, loaded, &mut checks);
            (Some(port), arch)
        }
        Err(failure) => {
            let (problems, _) = failure.report();
            checks.push(MachineCheck::missing("project", first(&problems), "bake check"));
            (None, Arch::Amd64)
        }
    };
    checks.extend([cache(), gcloud()]);
    checks.extend([
        optional("ssh", &["-V"], "bake gcloud ssh, tunnel and cli need it", INSTALL_SSH),
        optional("openssl", &["version"], "bake gcloud setup generates secrets with it", INSTALL_OPENSSL),
    ]);
    rehearsal(arch, &mut checks)?;
    checks.extend(port.map(gateway_port));
    let ok = checks.iter().all(|check| check.state != CheckState::Missing);
    if json {
        console.json(&DoctorJson { version: 1, ok, checks: &checks })?;
    } else {
        console.result(&table(&checks))?;
        console.note(cli::CHECKS_PROJECT);
    }
    Ok(if ok { Done::Clean } else { Done::Finding })
}

fn project(dir: &Path, loaded: Loaded, checks: &mut Vec<MachineCheck>) {
    if loaded.builtin {
        checks.push(MachineCheck::optional(
            "project",
            "no bake.yaml here, nor in a folder above",
            "bake init my-gateway && cd my-gateway",
        ));
        return;
    }
    if loaded.problems.has_errors() {
        checks.push(MachineCheck::missing("project", first(&loaded.problems), "bake check"));
        return;
    }
    checks.push(MachineCheck::ok("project", excerpt(&dir.join(load::SPEC).display().to_string(), LONGEST)));
    checks.push(match loaded.fitting() {
        Ok((_, locked, _)) => {
            let digest = locked.digest.to_string();
            MachineCheck::ok("lock", format!("bake.lock, format {}, {}", locked.lock.version, &digest[..12]))
        }
        Err(problems) => MachineCheck::missing("lock", first(&problems), "bake lock"),
    });
}

/// The first error, in one line.
fn first(problems: &Problems) -> String {
    let errors = problems.errors();
    let message = errors.iter().next().map_or("it has errors", |problem| &problem.message);
    excerpt(message, LONGEST)
}

/// The cache is a folder that can be written to, or can be created.
fn cache() -> MachineCheck {
    let Some(folder) = cache::folder() else {
        return MachineCheck::missing(
            "cache",
            "no folder: HOME is not set",
            "export BAKE_CACHE_DIR=/var/cache/bake",
        );
    };
    let shown = folder.display().to_string();
    let existing: Option<PathBuf> =
        folder.ancestors().find(|path| path.symlink_metadata().is_ok()).map(Path::to_owned);
    let is_usable = existing
        .is_some_and(|path| path.is_dir() && access(&path, Access::WRITE_OK | Access::EXEC_OK).is_ok());
    if is_usable {
        MachineCheck::ok("cache", excerpt(&shown, LONGEST))
    } else {
        let found = format!("{} is not a folder that you may write to", excerpt(&shown, LONGEST));
        MachineCheck::missing("cache", found, "export BAKE_CACHE_DIR=\"$(mktemp -d)\"")
    }
}

fn gcloud() -> MachineCheck {
    match version("gcloud", &["--version"]) {
        Ok(version) => MachineCheck::ok("gcloud", version),
        Err(why) => MachineCheck::missing("gcloud", why, "https://cloud.google.com/sdk/docs/install"),
    }
}

/// A program that some commands use.
fn optional(name: &'static str, arguments: &[&str], needed: &str, mend: &str) -> MachineCheck {
    match version(name, arguments) {
        Ok(version) => MachineCheck::ok(name, version),
        Err(why) => MachineCheck::optional(name, format!("{why}; {needed}"), mend),
    }
}

/// The first line that the program prints, or why there is none.
fn version(name: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(name)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|_| "not found on the PATH".to_owned())?;
    // `ssh -V` prints to standard error.
    let said = if output.stdout.is_empty() { output.stderr } else { output.stdout };
    let said = String::from_utf8_lossy(&said);
    let line = excerpt(said.lines().next().unwrap_or_default(), LONGEST);
    if output.status.success() { Ok(line) } else { Err(format!("it does not run: {line}")) }
}

/// QEMU, and whether it runs VMs at full speed.
fn rehearsal(arch: Arch, checks: &mut Vec<MachineCheck>) -> Result<(), Failure> {
    let debian = format!("sudo apt-get install {} qemu-utils", packages(arch));
    let install = by_system(&debian, "brew install qemu");
    for name in [qemu(arch), "qemu-img"] {
        let check = optional(name, &["--version"], "bake rehearse needs it", install);
        let is_missing = check.state != CheckState::Ok;
        checks.push(check);
        if is_missing {
            return Ok(());
        }
    }
    if arch == Arch::Arm64 {
        checks.push(match firmware(&UEFI) {
            Some(file) => MachineCheck::ok("firmware", file.display().to_string()),
            None => MachineCheck::optional("firmware", "no UEFI for arm64: bake rehearse needs it", install),
        });
    }
    let folder = tempfile::tempdir()?;
    checks.push(match Acceleration::best(arch, folder.path())? {
        Acceleration::Hardware(name) => MachineCheck::ok("acceleration", name),
        Acceleration::Emulation => {
            let old = if emulates_well(arch)? { "" } else { "; emulation needs QEMU 10 or newer" };
            let found = format!("none: bake rehearse takes some twenty times as long{old}");
            MachineCheck::optional("acceleration", found, acceleration_advice())
        }
    });
    Ok(())
}

fn acceleration_advice() -> &'static str {
    if Path::new("/dev/kvm").exists() && access("/dev/kvm", Access::READ_OK | Access::WRITE_OK).is_err() {
        "sudo usermod -aG kvm \"$USER\"   # then log in again"
    } else {
        "bake rehearse on a machine with KVM, or with nested virtualization"
    }
}

/// A tunnel uses the gateway's own port.
fn gateway_port(port: u16) -> MachineCheck {
    match TcpListener::bind(("127.0.0.1", port)) {
        Ok(_) => MachineCheck::ok("port", format!("127.0.0.1:{port} is free")),
        Err(error) => {
            let found = format!("127.0.0.1:{port}: {error}");
            MachineCheck::optional("port", found, "bake gcloud tunnel --port 28789 | sh")
        }
    }
}

fn table(checks: &[MachineCheck]) -> String {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for MachineCheck { name, state, found, mend } in checks {
        let _ = writeln!(text, "{:<8} {name:<width$}  {found}", state.as_str());
        if let Some(mend) = mend {
            let _ = writeln!(text, "{:<8} {:<width$}  {mend}", "", "");
        }
    }
    text
}
