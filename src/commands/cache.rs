//! Where the cache is.

use std::env;
use std::path::PathBuf;

use super::Failure;
use crate::fetch::Cache;

/// The cache that the environment names: `BAKE_CACHE_DIR`, or `bake` in the user's folder for
/// caches (XDG Base Directory Specification), which is `~/.cache` unless `XDG_CACHE_HOME` says
/// otherwise.
pub(super) fn open() -> Result<Cache, Failure> {
    let folder = folder(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from));
    let Some(folder) = folder else {
        let why = "no place for the cache: set BAKE_CACHE_DIR to a folder";
        return Err(Failure::Other(why.to_owned()));
    };
    Cache::open(&folder).map_err(|error| Failure::Other(error.to_string()))
}

fn folder(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The specification has a relative path ignored.
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    variable("BAKE_CACHE_DIR")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|path| path.join("bake")))
        .or_else(|| absolute("HOME").map(|path| path.join(".cache/bake")))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::folder;

    fn found(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        folder(value)
    }

    #[test]
    fn the_nearest_setting_counts() {
        let all = [("BAKE_CACHE_DIR", "own"), ("XDG_CACHE_HOME", "/xdg"), ("HOME", "/home/a")];
        assert_eq!(found(&all).as_deref(), Some(Path::new("own")));
        assert_eq!(found(&all[1..]).as_deref(), Some(Path::new("/xdg/bake")));
        assert_eq!(found(&all[2..]).as_deref(), Some(Path::new("/home/a/.cache/bake")));
        let relative = [("XDG_CACHE_HOME", "xdg"), ("HOME", "/home/a")];
        assert_eq!(found(&relative).as_deref(), Some(Path::new("/home/a/.cache/bake")));
        assert_eq!(found(&[]), None);
    }
}
