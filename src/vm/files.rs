//! The files that are the same on every VM.

use super::paths::SCRIPTS;

/// A file of `cloud-init/` and where the user-data puts it.
#[derive(Debug)]
pub struct StaticFile {
    pub folder: &'static str,
    pub name: &'static str,
    pub text: &'static str,
    pub executable: bool,
}

macro_rules! file {
    ($folder:expr, $name:literal) => {
        StaticFile {
            folder: $folder,
            name: $name,
            text: include_str!(concat!("../../cloud-init/", $name)),
            executable: false,
        }
    };
}

macro_rules! script {
    ($name:literal) => {
        StaticFile { executable: true, ..file!(SCRIPTS, $name) }
    };
}

const SYSTEMD: &str = "/etc/systemd/system";

pub const FILES: [StaticFile; 20] = [
    file!("/etc/apt/apt.conf.d", "20auto-upgrades"),
    file!("/etc/docker", "daemon.json"),
    file!(SYSTEMD, "openclaw-gateway.service"),
    file!(SYSTEMD, "openclaw-metadata-guard.service"),
    script!("allow-origin"),
    script!("cleanup.sh"),
    script!("configure.py"),
    script!("converge.sh"),
    script!("disk.sh"),
    script!("docker.sh"),
    script!("home.py"),
    script!("image.sh"),
    script!("metadata-guard.sh"),
    script!("probe.py"),
    script!("quote.py"),
    script!("report.sh"),
    script!("secrets.py"),
    script!("start.sh"),
    script!("swap.sh"),
    script!("verify.sh"),
];
