//! The reports of a VM: guest attributes, and the same on its serial console.

/// The namespace of the guest attributes.
pub const NAMESPACE: &str = "openclaw";

pub const STATUS: &str = "status";
pub const ERROR: &str = "error";
pub const ERROR_KIND: &str = "error_kind";
pub const LOCK: &str = "lock";
pub const SINCE: &str = "since";
pub const VERIFIED: &str = "verified";

/// A guest attribute.
#[derive(Debug)]
pub struct GuestAttribute {
    pub key: &'static str,
    pub meaning: &'static str,
}

/// In the order in which `report.sh` writes them. A reader that sees a new status finds the rest of
/// the report in place.
pub const ATTRIBUTES: [GuestAttribute; 8] = [
    GuestAttribute { key: LOCK, meaning: "The SHA-256 of the `bake.lock` that the VM was rendered from." },
    GuestAttribute { key: SINCE, meaning: "When the status was reached (RFC 3339, UTC)." },
    GuestAttribute {
        key: "disk",
        meaning: "The free and the total space of `/var/lib/openclaw` in MiB, such as `7168 9920`. It follows \
                  changes of a hundredth of the total.",
    },
    GuestAttribute {
        key: "reboot",
        meaning: "`required` if an update of the operating system takes effect only after a restart, else empty.",
    },
    GuestAttribute {
        key: VERIFIED,
        meaning: "When the binaries were last compared with the lock (RFC 3339, UTC), how many of them are right, and \
                  how many there are, such as `2026-11-30T04:12:09Z 3 3`. The lock may lack the checksum of some. \
                  Those of the running container are compared every day.",
    },
    GuestAttribute {
        key: ERROR,
        meaning: "Why the stage fails, in one line of at most 400 printable ASCII characters; with \
                  `ready`, what works only in part. Empty where there is nothing to say. It never \
                  contains a secret.",
    },
    GuestAttribute {
        key: ERROR_KIND,
        meaning: "The kind of the error, a word of the table below. Empty whenever `error` is empty, \
                  and for remarks with `ready`. VMs of older releases of bake do not report it.",
    },
    GuestAttribute { key: STATUS, meaning: "The stage that the VM is in, or `ready` or `failed`." },
];

/// How updates reach a VM; a VM with another value, or none, is replaced.
pub const CONTRACT: &str = "contract";
pub const RELEASES: &str = "releases";

/// The reports of updates and rollbacks, in the order in which `release.py` writes them; `update.py` writes the last
/// two.
pub const UPDATE_ATTRIBUTES: [GuestAttribute; 6] = [
    GuestAttribute {
        key: "update_release",
        meaning: "The release that the report is about; for `back` and `rolled-back`, the one that is current again.",
    },
    GuestAttribute {
        key: "update_error",
        meaning: "Why the VM waits, refused or went back, with the gateway's own line; as `error`.",
    },
    GuestAttribute { key: "update", meaning: "The stage of the update or rollback." },
    GuestAttribute {
        key: "update_request",
        meaning: "The value of the metadata's `openclaw-request` that the report answers; written last.",
    },
    GuestAttribute {
        key: CONTRACT,
        meaning: "How updates reach the VM. VMs of older releases of bake do not report it: they are replaced.",
    },
    GuestAttribute {
        key: RELEASES,
        meaning: "A line for each release: `ID VERSION LOCK SINCE` and `current`, `kept` (with a copy of its state) \
                  or `gone`; or `ID - - - failed: WHY`.",
    },
];

/// A value of `update`.
#[derive(Debug)]
pub struct UpdateStage {
    pub name: &'static str,
    pub meaning: &'static str,
}

const fn stage(name: &'static str, meaning: &'static str) -> UpdateStage {
    UpdateStage { name, meaning }
}

/// The gateway of before answers until `stopping`.
pub const UPDATE_STAGES: [UpdateStage; 11] = [
    stage("staging", "The files of the new release are written."),
    stage("image", "Its image is built or pulled."),
    stage("verify", "The binaries in the image are compared with the lock."),
    stage("stopping", "The gateway finishes its replies and stops."),
    stage("saving", "The state is copied."),
    stage("trial", "The new release runs, and must be ready for a minute."),
    stage("done", "The new release is kept."),
    stage("back", "The new release failed: the one before returns, with its state."),
    stage("rolled-back", "The release before runs again."),
    stage("waiting", "Something is missing that may come: the VM tries again within five minutes."),
    stage("refused", "The release cannot be used, and is not tried again without a new request."),
];
