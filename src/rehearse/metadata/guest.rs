//! Guest attributes set by the VM.

use std::collections::BTreeMap;

/// By namespace and key.
pub type GuestAttributes = BTreeMap<String, BTreeMap<String, String>>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeChange {
    pub namespace: String,
    pub key: String,
    /// `None` if deleted.
    pub value: Option<String>,
}

/// In bytes, as for all metadata (<https://cloud.google.com/compute/docs/metadata/setting-custom-metadata>,
/// "Limitations").
pub(super) const LONGEST_VALUE: usize = 256 * 1024;

/// Whether it is a valid namespace or key: less than 128 bytes of `[a-zA-Z0-9-_]`.
pub(super) fn is_name(name: &str) -> bool {
    (1..128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}
