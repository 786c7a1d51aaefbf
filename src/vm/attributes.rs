//! The reports of a VM: guest attributes, and the same on its serial console.

/// The namespace of the guest attributes.
pub const NAMESPACE: &str = "openclaw";

pub const STATUS: &str = "status";
pub const ERROR: &str = "error";
pub const ERROR_KIND: &str = "error_kind";
pub const LOCK: &str = "lock";
pub const SINCE: &str = "since";

/// A guest attribute.
#[derive(Debug)]
pub struct GuestAttribute {
    pub key: &'static str,
    pub meaning: &'static str,
}

/// In the order in which `report.sh` writes them. A reader that sees a new status finds the rest of
/// the report in place.
pub const ATTRIBUTES: [GuestAttribute; 7] = [
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
