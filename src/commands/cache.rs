//! The location of the cache.

use std::env;
use std::path::PathBuf;

/// The cache folder: `BAKE_CACHE_DIR`, otherwise `bake` in `XDG_CACHE_HOME` or `~/.cache` (XDG Base Directory
/// Specification).
pub(super) fn folder() -> Option<PathBuf> {
    chosen(|name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from))
}

fn chosen(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The specification requires relative paths to be ignored.
    let absolute = |name| variable(name).filter(|path| path.is_absolute());
    variable("BAKE_CACHE_DIR")
        .or_else(|| absolute("XDG_CACHE_HOME").map(|path| path.join("bake")))
        .or_else(|| absolute("HOME").map(|path| path.join(".cache/bake")))
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::chosen;

    fn found(variables: &[(&str, &str)]) -> Option<PathBuf> {
        let value =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into());
        chosen(value)
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
