//! Digests as types, so that an unchecked string cannot pass for one.

use std::fmt;
use std::io::{self, Read};
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

/// Computes an MD5 checksum, as dpkg keeps it.
#[derive(Default)]
pub struct Md5Hasher(md5::Md5);

impl Md5Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub fn finish(self) -> Checksum {
        Checksum::Md5(self.0.finalize().into())
    }
}

/// A checksum by one of the algorithms that publishers use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Checksum {
    Md5([u8; 16]),
    Sha1([u8; 20]),
    Sha256(Sha256),
    Sha384([u8; 48]),
    Sha512([u8; 64]),
}

impl Checksum {
    /// Parses hexadecimal digits of either case; their number decides the algorithm.
    pub fn from_hex(hex: &str) -> Option<Self> {
        let hex = hex.to_ascii_lowercase();
        match hex.len() {
            32 => bytes(&hex).map(Self::Md5),
            40 => bytes(&hex).map(Self::Sha1),
            64 => bytes(&hex).map(Sha256).map(Self::Sha256),
            96 => bytes(&hex).map(Self::Sha384),
            128 => bytes(&hex).map(Self::Sha512),
            _ => None,
        }
    }

    pub const fn algorithm(&self) -> &'static str {
        match self {
            Self::Md5(_) => "MD5",
            Self::Sha1(_) => "SHA-1",
            Self::Sha256(_) => "SHA-256",
            Self::Sha384(_) => "SHA-384",
            Self::Sha512(_) => "SHA-512",
        }
    }

    /// Whether another file with this checksum cannot be made.
    pub const fn is_strong(&self) -> bool {
        !matches!(self, Self::Md5(_) | Self::Sha1(_))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes: &[u8] = match self {
            Self::Md5(bytes) => bytes,
            Self::Sha1(bytes) => bytes,
            Self::Sha256(digest) => &digest.0,
            Self::Sha384(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {self}", self.algorithm())
    }
}

/// Passes a stream through, and computes its checksums by every algorithm but SHA-256.
pub struct ChecksumReader<R> {
    inner: R,
    md5: md5::Md5,
    sha1: sha1::Sha1,
    sha384: sha2::Sha384,
    sha512: sha2::Sha512,
}

impl<R: Read> ChecksumReader<R> {
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            md5: md5::Md5::default(),
            sha1: sha1::Sha1::default(),
            sha384: sha2::Sha384::default(),
            sha512: sha2::Sha512::default(),
        }
    }

    /// Reads the rest of the stream, and returns the checksums of all of it.
    ///
    /// # Errors
    /// If the stream cannot be read.
    pub fn finish(mut self) -> io::Result<[Checksum; 4]> {
        io::copy(&mut self, &mut io::sink())?;
        Ok([
            Checksum::Md5(self.md5.finalize().into()),
            Checksum::Sha1(self.sha1.finalize().into()),
            Checksum::Sha384(self.sha384.finalize().into()),
            Checksum::Sha512(self.sha512.finalize().into()),
        ])
    }
}

impl<R: Read> Read for ChecksumReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.inner.read(buffer)?;
        let read = &buffer[..length];
        self.md5.update(read);
        self.sha1.update(read);
        self.sha384.update(read);
        self.sha512.update(read);
        Ok(length)
    }
}

impl FromStr for Sha256 {
    type Err = NotADigest;

    /// Accepts the bare digits and the OCI form with its `sha256:` prefix.
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        bytes(text.strip_prefix("sha256:").unwrap_or(text)).map(Self).ok_or(NotADigest)
    }
}

fn bytes<const LENGTH: usize>(hex: &str) -> Option<[u8; LENGTH]> {
    let hex = hex.as_bytes();
    if hex.len() != 2 * LENGTH {
        return None;
    }
    let mut bytes = [0; LENGTH];
    for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
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
    use super::{Checksum, ChecksumReader, Hasher, NotADigest, Sha256};

    #[test]
    fn checksums_match_coreutils() {
        let known = [
            "900150983cd24fb0d6963f7d28e17f72",
            "a9993e364706816aba3e25717850c26c9cd0d89d",
            "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
            "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
        ];
        let computed = ChecksumReader::new(&b"abc"[..]).finish().expect("a slice can be read");
        assert_eq!(computed.map(Some), known.map(Checksum::from_hex));
        assert_eq!(computed.map(|checksum| checksum.to_string()), known);
        let sha256 = Sha256::of("abc");
        assert_eq!(Checksum::from_hex(&sha256.to_string().to_uppercase()), Some(Checksum::Sha256(sha256)));
        assert_eq!(computed.map(|checksum| checksum.is_strong()), [false, false, true, true]);
        for none in ["", "abc", &"g".repeat(64), &"0".repeat(56)] {
            assert_eq!(Checksum::from_hex(none), None, "{none}");
        }
    }

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
