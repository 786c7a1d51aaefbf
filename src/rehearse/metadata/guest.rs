//! Guest attributes: what the VM says of itself.

use std::collections::BTreeMap;

/// Guest attributes by namespace and key.
pub type GuestAttributes = BTreeMap<String, BTreeMap<String, String>>;

/// A guest attribute that was set or deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeChange {
    /// The namespace, such as `openclaw`.
    pub namespace: String,
    /// The key, such as `status`.
    pub key: String,
    /// The new value; none where the attribute was deleted.
    pub value: Option<String>,
}

/// The longest value in bytes: that of any metadata
/// (<https://cloud.google.com/compute/docs/metadata/setting-custom-metadata>, "Limitations").
pub(super) const LONGEST_VALUE: usize = 256 * 1024;

/// Whether that may name a namespace or a key: the rule for keys of metadata, which are fewer than
/// 128 bytes of `[a-zA-Z0-9-_]`.
pub(super) fn is_name(name: &str) -> bool {
    (1..128).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}
