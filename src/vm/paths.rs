//! The paths of the VM's files.

/// The bundle's files for the VM. `docker compose …` works from here as root.
pub const PROJECT: &str = "/opt/openclaw";
/// The scripts.
pub const SCRIPTS: &str = "/usr/local/lib/openclaw";
/// The release's identity.
pub const RELEASE: &str = "/opt/openclaw/release.json";
/// The secrets that the VM generated.
pub const SECRETS: &str = "/var/lib/openclaw/secrets";

/// A file or folder that more than one program uses.
#[derive(Debug)]
pub struct VmPath {
    pub path: &'static str,
    pub meaning: &'static str,
}

const fn row(path: &'static str, meaning: &'static str) -> VmPath {
    VmPath { path, meaning }
}

/// Every path that more than one script, template or module uses.
pub const PATHS: [VmPath; 33] = [
    row("/etc/apt/keyrings/docker.asc", "Docker's signing key, on Debian 12 only."),
    row(PROJECT, "The bundle's files: Dockerfile, docker-compose.yml and the files below."),
    row(
        "/opt/openclaw/binaries.sha256",
        "The locked SHA-256 of each binary, in the form of `sha256sum`, or `unknown` in its place.",
    ),
    row("/opt/openclaw/docker-compose.yml", "The gateway's Compose file."),
    row("/opt/openclaw/lock.sha256", "The SHA-256 of bake.lock."),
    row(RELEASE, "The release's identity, and its files outside of the two folders."),
    row("/opt/openclaw/settings.env", "The settings below."),
    row("/run/openclaw", "Files in memory, mode 0700: gone after a reboot."),
    row("/run/openclaw-names.conf", "The configuration of the resolver, with `OPENCLAW_EGRESS=listed`."),
    row("/run/openclaw-rehearsal", "The question of `bake rehearse --ask`, in a rehearsal only."),
    row("/run/openclaw-rehearsal-port", "In a rehearsal only: the gateway's port on the host."),
    row("/run/openclaw/error_kind", "The kind of the running stage's error, if it fails."),
    row("/run/openclaw/report", "The last report, and whether it has arrived."),
    row("/run/openclaw/secrets.env", "The secrets of this boot, for Compose."),
    row("/run/openclaw/settled", "The state is mounted, and no interrupted update is left."),
    row("/run/openclaw/trial", "When the trial of a new release began."),
    row("/run/openclaw/start.log", "The output of the last command that starts or configures the gateway."),
    row("/run/openclaw/verified", "When the binaries were compared with the lock, and the result."),
    row(SCRIPTS, "The scripts."),
    row("/usr/local/lib/openclaw/allow-origin", "Lets browsers open the Control UI through one more port."),
    row("/usr/local/lib/openclaw/channels.json", "How to set up each channel."),
    row("/var/lib/openclaw", "All state that survives. The data disk is mounted here."),
    row("/var/lib/openclaw/auth-profile-secrets", "`~/.config/openclaw` in the container."),
    row("/var/lib/openclaw/backups", "`/backups` in the container."),
    row("/var/lib/openclaw/config", "`~/.openclaw` in the container."),
    row("/var/lib/openclaw/home/upper", "Files that the gateway and its tools write in their home folder."),
    row("/var/lib/openclaw/home/work", "The work folder of the home's overlay."),
    row("/var/lib/openclaw/releases", "The journal of updates, and copies of the state, for root only."),
    row(SECRETS, "Generated secrets, a file each, for root only."),
    row("/var/lib/openclaw/workspace", "`~/.openclaw/workspace` in the container."),
    row(
        "/var/lib/openclaw-boot",
        "State of the boot disk: which steps of a first boot are complete, and images.",
    ),
    row("/var/lib/openclaw-boot/home", "The home folder that each image ships."),
    row(
        "/var/lib/openclaw-boot/releases",
        "Each release's files. /opt/openclaw and /usr/local/lib/openclaw are links into the current one.",
    ),
];
