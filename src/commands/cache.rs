//! Where the cache of archives is.

use std::env;
use std::path::PathBuf;

/// `BAKE_CACHE_DIR`, else where the XDG Base Directory Specification puts caches; nothing where
/// neither is known.
pub(super) fn folder() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = variable("BAKE_CACHE_DIR") {
        return Some(own);
    }
    // A relative path there is to be ignored, the specification says.
    let caches = variable("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
    let caches = caches.or_else(|| Some(variable("HOME")?.join(".cache")));
    Some(caches?.join("bake"))
}
