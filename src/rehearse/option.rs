//! Options of QEMU's as it reads them.

use std::ffi::OsString;
use std::path::Path;

/// A value of one of QEMU's options, in which a comma stands for itself only if it stands twice.
pub(super) fn escaped(value: &str) -> String {
    value.replace(',', ",,")
}

/// An option of QEMU's that ends in a path.
pub(super) fn option(before: &str, path: &Path) -> OsString {
    // As QEMU itself reads them, paths are UTF-8 here.
    format!("{before}{}", escaped(&path.to_string_lossy())).into()
}
