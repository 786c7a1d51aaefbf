//! SHA-256 digests as a type, so that an unchecked string cannot pass for one.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};
use sha2::Digest as _;

/// Displays as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256([u8; 32]);

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a SHA-256: expected 64 hexadecimal digits in lower case")]
pub struct NotADigest;

impl Sha256 {
    pub fn of(bytes: impl AsRef<[u8]>) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// The first `digits` hexadecimal digits, for labels and tags with a length limit.
    pub fn short(&self, digits: usize) -> String {
        let mut text = self.to_string();
        text.truncate(digits);
        text
    }

    /// Parses the OCI form only, with its `sha256:` prefix.
    pub fn from_oci(text: &str) -> Result<Self, NotADigest> {
        text.strip_prefix("sha256:").ok_or(NotADigest)?.parse()
    }

    /// The OCI form: `sha256:` and the digits (image-spec, "Digests").
    pub fn oci(&self) -> String {
        format!("sha256:{self}")
    }
}

#[derive(Clone, Default)]
pub struct Hasher(sha2::Sha256);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Sha256 {
        Sha256(self.0.finalize().into())
    }
}

impl FromStr for Sha256 {
    type Err = NotADigest;

    /// Accepts the bare digits and the OCI form with its `sha256:` prefix.
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        let hex = text.strip_prefix("sha256:").unwrap_or(text).as_bytes();
        if hex.len() != 64 {
            return Err(NotADigest);
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, NotADigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(NotADigest),
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Sha256 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Hasher, NotADigest, Sha256};

    #[test]
    fn digests_match_sha256sum() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Sha256::of("").to_string(), empty);
        assert_eq!(empty.parse(), Ok(Sha256::of("")));
        assert_eq!(Sha256::of("").oci().parse(), Ok(Sha256::of("")));
    }

    #[test]
    fn incremental_hashing_matches() {
        let mut hasher = Hasher::default();
        hasher.update(b"a whole ");
        hasher.update(b"");
        hasher.update(b"thing");
        assert_eq!(hasher.finish(), Sha256::of("a whole thing"));
    }

    #[test]
    fn only_64_lower_case_digits_are_accepted() {
        let upper = "E".repeat(64);
        for text in ["", "e3b0", "sha256:", &upper, &"g".repeat(64), &"é".repeat(32)] {
            assert_eq!(text.parse::<Sha256>(), Err(NotADigest), "{text}");
        }
    }
}
