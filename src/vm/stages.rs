//! The stages of `converge.sh`.

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

pub const STAGES: [VmStage; 8] = [
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
/// A stage needs help, or has failed for 15 minutes. The VM keeps trying.
pub const FAILED: &str = "failed";

/// The status of each stage, once, in their order.
pub fn statuses() -> Vec<&'static str> {
    let mut statuses: Vec<_> = STAGES.iter().map(|stage| stage.status).collect();
    statuses.dedup();
    statuses
}
