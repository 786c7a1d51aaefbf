//! Sizes of disks and files.

use std::fmt;
use std::str::FromStr;

use crate::diagnostics::quoted;

/// A size in whole gigabytes or megabytes, written `20GB`, `512MB` or `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    megabytes: u32,
}

impl Size {
    /// `count` gigabytes.
    pub const fn gigabytes(count: u32) -> Self {
        Self { megabytes: count * 1024 }
    }

    /// In units of 2^20 bytes.
    pub const fn mib(self) -> u32 {
        self.megabytes
    }

    /// In whole units of 2^30 bytes, as gcloud's `GB` counts them.
    pub const fn gb(self) -> u32 {
        self.megabytes / 1024
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.megabytes == 0
    }

    /// Whether it is a whole number of gigabytes, as disks must be.
    pub const fn is_whole_gb(self) -> bool {
        self.megabytes.is_multiple_of(1024)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.megabytes, self.is_whole_gb()) {
            (0, _) => f.write_str("0"),
            (_, true) => write!(f, "{}GB", self.gb()),
            (megabytes, false) => write!(f, "{megabytes}MB"),
        }
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{} is not a size such as `20GB`, `512MB` or `0`", quoted(text));
        if text == "0" {
            return Ok(Self { megabytes: 0 });
        }
        let (digits, factor) = match text.strip_suffix("GB") {
            Some(digits) => (digits, 1024),
            None => (text.strip_suffix("MB").ok_or_else(wrong)?, 1),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let megabytes = digits.parse().ok().and_then(|count: u32| count.checked_mul(factor));
        megabytes.map(|megabytes| Self { megabytes }).ok_or_else(|| format!("{} is too large", quoted(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::Size;

    #[test]
    fn sizes() {
        assert_eq!("2GB".parse::<Size>().map(Size::mib), Ok(2048));
        assert_eq!("0".parse::<Size>().map(Size::is_zero), Ok(true));
        for wrong in ["", "GB", "2", "2gb", "-2GB", "2 GB", "99999999999GB", "4194304GB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
