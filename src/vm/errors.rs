//! The kinds of errors that a VM reports, and what to do about each.

/// A kind of error.
#[derive(Debug)]
pub struct ErrorKind {
    pub name: &'static str,
    pub meaning: &'static str,
    /// The advice, one line each; an indented line is a command. Placeholders: `{vm}`, `{project}`, `{zone}`,
    /// `{device}` (the data disk's device name), `{larger}` (a larger machine type), `{fleet}` and `{member}`
    /// (options of `bake gcloud`; empty without a fleet).
    pub advice: &'static [&'static str],
    /// The advice for a VM of a fleet, if it differs.
    pub fleet_advice: Option<&'static [&'static str]>,
    /// Whether a lack of memory may be the cause: then the kernel's log decides.
    pub may_be_memory: bool,
    /// A `case` pattern of the shell for the `error` of VMs that do not report a kind.
    pub text: Option<&'static str>,
}

const fn kind(name: &'static str, meaning: &'static str, advice: &'static [&'static str]) -> ErrorKind {
    ErrorKind { name, meaning, advice, fleet_advice: None, may_be_memory: false, text: None }
}

impl ErrorKind {
    const fn or_memory(self) -> Self {
        Self { may_be_memory: true, ..self }
    }

    const fn text(self, pattern: &'static str) -> Self {
        Self { text: Some(pattern), ..self }
    }

    const fn in_fleet(self, advice: &'static [&'static str]) -> Self {
        Self { fleet_advice: Some(advice), ..self }
    }
}

/// The names of placeholders in advice.
pub const PLACEHOLDERS: [&str; 7] = ["vm", "project", "zone", "device", "larger", "fleet", "member"];

const LOGS: &str = "  bake gcloud logs{member} --all | sh";
const GATEWAY_LOGS: &str = "  bake gcloud logs{member} --gateway | sh";
const SSH: &str = "  bake gcloud ssh{member} | sh";
const SETUP: &str = "  bake gcloud setup | sh";
const RENDER: &str = "  bake render";
const UPDATE: &str = "  bake gcloud update{fleet} | sh";
const REPLACE: &str = "  bake gcloud update --replace{fleet} | sh";
const AUDIT: &str = "  bake audit --against upstream";
const RELOCK: &str = "  bake lock --update TOOL";
const DISKS: &str =
    "  gcloud compute disks list --project={project} --zones={zone} --filter=labels.openclaw={vm}";

/// All kinds. If several patterns match an error's text, the first one counts.
pub static ERRORS: [ErrorKind; 29] = [
    kind(
        "secret-unavailable",
        "A secret does not exist in Secret Manager, has no usable version, or the VM may not read it.",
        &["Create the secret, or let the service account of the VM read it. This does both:", SETUP],
    )
    .text("secrets:*"),
    kind(
        "secret-invalid",
        "A secret is empty, not UTF-8, or contains a NUL character.",
        &[
            "Add a version with the right value to the secret that the message names. The VM reads the latest one:",
            "  gcloud secrets versions add SECRET --project={project} --data-file=FILE",
        ],
    ),
    kind(
        "secrets-unreachable",
        "Secret Manager or the metadata server does not answer.",
        &[
            "The VM keeps trying. Secret Manager's API must be enabled, and a VM without a public address \
             needs Cloud NAT. This does both:",
            SETUP,
        ],
    ),
    kind(
        "disk-not-attached",
        "The data disk is not attached to the VM.",
        &[
            "Attach the data disk. The VM finds it without a restart. To find its name, and to attach it:",
            DISKS,
            "  gcloud compute instances attach-disk {vm} --project={project} --zone={zone} --device-name={device} --disk=DISK",
        ],
    )
    .text("disk:*'not attached'*"),
    kind(
        "disk-in-use",
        "The data disk or its mount point has content that bake did not write.",
        &[
            "bake neither formats nor hides data that it did not write. Move the data away, or attach another disk:",
            SSH,
            DISKS,
        ],
    ),
    kind(
        "disk-needs-repair",
        "`e2fsck` cannot repair the data disk's file system by itself.",
        &[
            "Take a snapshot of the disk, then run the command in the message on the VM:",
            "  bake gcloud backup{member} | sh",
            SSH,
        ],
    ),
    kind(
        "disk-full",
        "The data disk or the boot disk has no space left.",
        &[
            "Remove files, such as old archives in `/var/lib/openclaw/backups`:",
            SSH,
            "Or set a larger `gcp.data_disk` in bake.yaml, which grows in use. A larger `gcp.boot_disk` needs `update --replace`:",
            RENDER,
            UPDATE,
        ],
    ),
    kind(
        "disk-failed",
        "The data disk cannot be formatted or mounted.",
        &["The serial console has the kernel's errors for the disk:", LOGS],
    ),
    kind(
        "swap-failed",
        "The swap file cannot be created.",
        &["Look at the boot disk, or set `host.swap` to another size:", LOGS, SSH],
    ),
    kind(
        "release-failed",
        "An update or a rollback cannot be completed or reverted yet.",
        &["The VM keeps trying. Its console has the reason:", LOGS],
    ),
    kind(
        "state-newer",
        "The state belongs to a newer OpenClaw than this bundle has.",
        &[
            "Lock the newer version again, or restore a snapshot of the time before:",
            RENDER,
            UPDATE,
            "  bake gcloud restore SNAPSHOT | sh",
        ],
    ),
    kind(
        "packages-unavailable",
        "Packages of the operating system cannot be installed.",
        &[
            "The VM keeps trying. Without a public address it needs Cloud NAT, which this creates:",
            SETUP,
            "apt's output is on the serial console:",
            LOGS,
        ],
    ),
    kind(
        "package-key-mismatch",
        "The file with Docker's signing key is not the one that bake ships.",
        &[
            "A program on the VM has changed the key, so nothing from that source is installed. \
             Write the VM's files again:",
            RENDER,
            UPDATE,
        ],
    ),
    kind(
        "docker-unavailable",
        "Docker does not start or does not answer.",
        &["Docker's log is on the VM (`journalctl -u docker`). The VM keeps restarting Docker:", SSH],
    )
    .or_memory(),
    kind(
        "checksum-mismatch",
        "A downloaded file does not have the SHA-256 in bake.lock.",
        &[
            "The file has changed since it was locked, or it was tampered with. Compare it with what its \
             publisher states:",
            AUDIT,
            "Only if the publisher confirms the new file, lock it and update the VM:",
            RELOCK,
            RENDER,
            UPDATE,
        ],
    )
    .text("image:*hecksum*|image:*'did NOT match'*|image:*': FAILED'*|image:*' is locked'"),
    kind(
        "binary-mismatch",
        "A binary in the image does not have the SHA-256 in bake.lock.",
        &[
            "The image contains other binaries than bake.lock, so it is not started. Compare the lock with what \
             publishers state:",
            AUDIT,
            "If the lock is right, make the image again. With `strategy: registry` that is:",
            "  bake image push",
            RENDER,
            UPDATE,
        ],
    )
    .text("verify:*'bake.lock'*"),
    kind(
        "download-failed",
        "A locked file cannot be downloaded.",
        &[
            "The VM keeps trying. If the file is gone for good, lock another version and update the VM:",
            AUDIT,
            RELOCK,
            RENDER,
            UPDATE,
        ],
    ),
    kind(
        "pull-failed",
        "The finished image cannot be pulled from its registry.",
        &[
            "The VM keeps trying. Push the image, and let the VM's service account read the registry:",
            "  bake image push",
            SETUP,
        ],
    ),
    ErrorKind {
        text: Some("*'out of memory'*"),
        fleet_advice: Some(&[
            "The VM ran out of memory. The members of a fleet share one machine type. A larger one keeps all their state:",
            "  gcp.machine_type: {larger}, in bake.yaml",
            RENDER,
            REPLACE,
        ]),
        ..kind(
            "out-of-memory",
            "A build or the gateway ran out of memory.",
            &[
                "The VM ran out of memory. A larger machine type keeps all its state:",
                "  bake gcloud resize {larger} | sh",
            ],
        )
    },
    kind(
        "image-failed",
        "The image cannot be built.",
        &["The build's output is on the serial console:", LOGS],
    )
    .or_memory(),
    kind(
        "home-failed",
        "The home folder that the image ships cannot be unpacked.",
        &["Look at the free space of the boot disk, and at Docker's log:", SSH],
    )
    .or_memory(),
    kind(
        "guard-failed",
        "The firewall rules that keep containers away from the metadata server cannot be set.",
        &["No container runs without these rules. The output of iptables is on the serial console:", LOGS],
    ),
    kind(
        "configuration-failed",
        "OpenClaw refuses its configuration: onboarding, model, channels or origins.",
        &[
            "Correct `gateway` or `secrets` in bake.yaml, and update the VM. The whole output is on the VM, in \
             /run/openclaw/start.log:",
            RENDER,
            UPDATE,
        ],
    )
    .or_memory(),
    kind(
        "container-failed",
        "Docker Compose cannot create or start the gateway's container.",
        &["Docker's errors are on the serial console:", LOGS],
    )
    .or_memory(),
    kind(
        "start-timeout",
        "The gateway does not finish its start within 20 minutes.",
        &[
            "The gateway's log shows how far it gets. A small machine type may be the cause:",
            GATEWAY_LOGS,
            "  bake gcloud resize {larger} | sh",
        ],
    )
    .in_fleet(&["The gateway's log shows how far it gets:", GATEWAY_LOGS])
    .or_memory(),
    kind(
        "gateway-unresponsive",
        "The gateway runs, but does not answer.",
        &["The VM restarts the gateway by itself. The gateway's log:", GATEWAY_LOGS],
    )
    .or_memory(),
    kind(
        "gateway-stopped",
        "The gateway's container stopped or was removed.",
        &["The VM starts the gateway again by itself. The gateway's log:", GATEWAY_LOGS],
    )
    .or_memory(),
    kind(
        "gateway-refuses-state",
        "OpenClaw refuses its state or configuration, or its agents.",
        &["OpenClaw's own repair, and the gateway's log:", "  bake gcloud cli{member} -- doctor --fix | sh", GATEWAY_LOGS],
    ),
    kind(
        "user-data-not-applied",
        "The startup script cannot install cloud-init or apply the user-data yet.",
        &[
            "The VM keeps trying. Without a public address it needs Cloud NAT, which this creates:",
            SETUP,
            "The output of apt and cloud-init is on the serial console:",
            LOGS,
        ],
    ),
];

impl ErrorKind {
    /// The advice for a VM outside a fleet, where `value` fills the placeholders.
    pub fn advice_with<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> String {
        let mut text = self.advice.join("\n");
        for name in PLACEHOLDERS {
            text = text.replace(&format!("{{{name}}}"), value(name).unwrap_or_default());
        }
        text
    }
}

/// The kind of this name.
pub fn error_kind(name: &str) -> Option<&'static ErrorKind> {
    ERRORS.iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::{ERRORS, error_kind};

    #[test]
    fn every_kind_has_advice_and_a_unique_name() {
        for kind in &ERRORS {
            let word = |c: char| c.is_ascii_lowercase() || c == '-';
            assert!(kind.name.chars().all(word) && !kind.name.is_empty(), "{}", kind.name);
            assert!(std::ptr::eq(error_kind(kind.name).expect("a kind"), kind), "{} twice", kind.name);
            assert!(!kind.advice_with(|_| Some("x")).contains(['{', '}']), "{}: a placeholder", kind.name);
            for advice in [Some(kind.advice), kind.fleet_advice].into_iter().flatten() {
                assert!(advice.len() > 1, "{}: a sentence and a command", kind.name);
                assert!(!advice[0].starts_with(' ') && advice[0].ends_with([':', '.']), "{}", kind.name);
                assert!(advice.iter().any(|line| line.starts_with("  ")), "{}: no command", kind.name);
            }
        }
    }
}
