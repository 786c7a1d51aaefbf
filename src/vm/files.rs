//! The files that are the same on every VM, and the stages of `converge.sh`.

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

/// In the order of the user-data.
pub const FILES: [StaticFile; 26] = [
    file!(SYSTEMD, "openclaw-gateway.service"),
    file!(SYSTEMD, "openclaw-metadata-guard.service"),
    file!(SYSTEMD, "openclaw-names.service"),
    file!(SYSTEMD, "openclaw-update.service"),
    script!("bake.sh"),
    script!("converge.sh"),
    script!("disk.sh"),
    script!("swap.sh"),
    script!("docker.sh"),
    script!("release.py"),
    script!("secrets.py"),
    script!("image.sh"),
    script!("verify.sh"),
    script!("home.py"),
    script!("start.sh"),
    script!("configure.py"),
    script!("probe.py"),
    script!("quote.py"),
    script!("report.sh"),
    script!("cleanup.sh"),
    script!("metadata-guard.sh"),
    script!("allow-origin"),
    script!("update.py"),
    file!("/etc/docker", "daemon.json"),
    file!("/etc/sysctl.d", "99-openclaw.conf"),
    file!("/etc/apt/apt.conf.d", "20auto-upgrades"),
];

/// A script that `converge.sh` runs at every boot, in this order.
#[derive(Debug)]
pub struct VmStage {
    pub script: &'static str,
    /// The status that is reported while it runs.
    pub status: &'static str,
    /// The kind of its errors where the script names none.
    pub error_kind: &'static str,
    pub meaning: &'static str,
}

pub const STAGES: [VmStage; 9] = [
    VmStage {
        script: "disk.sh",
        status: "starting",
        error_kind: "disk-failed",
        meaning: "Formats the data disk if it is blank, and mounts it.",
    },
    VmStage {
        script: "swap.sh",
        status: "starting",
        error_kind: "swap-failed",
        meaning: "Creates the swap file and turns it on.",
    },
    VmStage {
        script: "docker.sh",
        status: "starting",
        error_kind: "docker-unavailable",
        meaning: "Installs and starts Docker.",
    },
    VmStage {
        script: "release.py",
        status: "starting",
        error_kind: "release-failed",
        meaning: "Completes or reverts an update, so that one whole release has its state.",
    },
    VmStage {
        script: "secrets.py",
        status: "secrets",
        error_kind: "secrets-unreachable",
        meaning: "Generates secrets or reads them from Secret Manager.",
    },
    VmStage {
        script: "image.sh",
        status: "image",
        error_kind: "image-failed",
        meaning: "Builds or pulls the image.",
    },
    VmStage {
        script: "verify.sh",
        status: "verify",
        error_kind: "docker-unavailable",
        meaning: "Compares each binary in the image with the lock.",
    },
    VmStage {
        script: "home.py",
        status: "start",
        error_kind: "home-failed",
        meaning: "Prepares the home folder of the gateway's user.",
    },
    VmStage {
        script: "start.sh",
        status: "start",
        error_kind: "container-failed",
        meaning: "Configures OpenClaw, starts its container and waits until the gateway has started.",
    },
];

/// The gateway works.
pub const READY: &str = "ready";
/// With this metadata attribute, a VM becomes an OS image (`bake.sh`).
pub const BAKE: &str = "openclaw-bake";
/// The statuses of such a VM until it is one.
pub const BAKE_STATUSES: [&str; 3] = ["starting", "image", "verify"];
/// The VM is an OS image, and powers off.
pub const BAKED: &str = "baked";
/// A stage needs help, or has failed for 15 minutes. The VM keeps trying.
pub const FAILED: &str = "failed";

/// The status of each stage, once, in their order.
pub fn statuses() -> Vec<&'static str> {
    let mut statuses: Vec<_> = STAGES.iter().map(|stage| stage.status).collect();
    statuses.dedup();
    statuses
}
