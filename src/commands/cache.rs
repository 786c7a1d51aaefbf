//! Where the cache of archives is.

use std::env;
use std::path::PathBuf;

use super::Failure;

/// `BAKE_CACHE_DIR`, else where the XDG Base Directory Specification puts caches.
///
/// # Errors
/// Where neither that nor a home folder is known.
pub(super) fn folder() -> Result<PathBuf, Failure> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(own) = variable("BAKE_CACHE_DIR") {
        return Ok(own);
    }
    // A relative path there is to be ignored, the specification says.
    let caches = variable("XDG_CACHE_HOME").filter(|folder| folder.is_absolute());
    let caches = caches.or_else(|| Some(variable("HOME")?.join(".cache")));
    caches.map(|caches| caches.join("bake")).ok_or_else(|| {
        Failure::Argument("neither BAKE_CACHE_DIR nor HOME says where archives are kept".to_owned())
    })
}
