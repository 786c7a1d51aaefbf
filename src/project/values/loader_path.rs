//! The path of a dynamic loader.

use std::fmt;
use std::str::FromStr;

use super::Arch;
use crate::diagnostics::quoted;

/// The program interpreter of a dynamically linked executable (`PT_INTERP`): an absolute path, such as
/// `/lib64/ld-linux-x86-64.so.2`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LoaderPath(String);

impl LoaderPath {
    /// The absolute path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether glibc's loader for `arch` is at this path, in Debian.
    pub fn is_glibc(&self, arch: Arch) -> bool {
        self.is_one_of(match arch {
            Arch::Amd64 => &["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"],
            Arch::Arm64 => &["/lib/ld-linux-aarch64.so.1", "/lib/aarch64-linux-gnu/ld-linux-aarch64.so.1"],
        })
    }

    /// Whether musl's loader for `arch` is at this path, in Debian's package `musl`.
    pub fn is_musl(&self, arch: Arch) -> bool {
        self.is_one_of(match arch {
            Arch::Amd64 => &["/lib/ld-musl-x86_64.so.1"],
            Arch::Arm64 => &["/lib/ld-musl-aarch64.so.1"],
        })
    }

    /// `/lib` and `/lib64` are links into `/usr`.
    fn is_one_of(&self, known: &[&str]) -> bool {
        known.contains(&self.0.strip_prefix("/usr").unwrap_or(&self.0))
    }
}

impl FromStr for LoaderPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LONGEST: usize = 255;
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+-".contains(&byte);
        let parts = text.strip_prefix('/').map(|rest| rest.split('/'));
        let is_absolute = parts.is_some_and(|mut parts| parts.all(|part| !matches!(part, "" | "." | "..")));
        if is_absolute && text.len() <= LONGEST && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!("{} is not the absolute path of a loader", quoted(text)))
    }
}

impl fmt::Display for LoaderPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Arch, LoaderPath};

    #[test]
    fn paths_are_absolute_and_plain() {
        let of = |text: &str| text.parse::<LoaderPath>().ok();
        for wrong in ["", "/", "lib/ld.so", "/lib/../ld.so", "/lib//ld.so", "/lib/$(id)", "/lib/ld so", "/é"]
        {
            assert_eq!(of(wrong), None, "{wrong}");
        }
        let glibc = of("/usr/lib64/ld-linux-x86-64.so.2").expect("a path");
        assert!(glibc.is_glibc(Arch::Amd64) && !glibc.is_glibc(Arch::Arm64) && !glibc.is_musl(Arch::Amd64));
        let musl = of("/lib/ld-musl-aarch64.so.1").expect("a path");
        assert!(musl.is_musl(Arch::Arm64) && !musl.is_musl(Arch::Amd64) && !musl.is_glibc(Arch::Arm64));
    }
}
