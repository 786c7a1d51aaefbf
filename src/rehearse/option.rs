//! QEMU option syntax.

use std::ffi::OsString;
use std::path::Path;

/// Doubles commas.
pub(super) fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// An option that ends in a path.
pub(super) fn option(before: &str, path: &Path) -> OsString {
    // QEMU expects UTF-8 paths.
    format!("{before}{}", escaped(&path.to_string_lossy())).into()
}
