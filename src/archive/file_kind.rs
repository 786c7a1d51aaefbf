//! Detects file types by their first bytes.

use std::fmt;

/// The magic of tar is at offset 257.
pub(super) const HEAD: usize = 512;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    Empty,
    Zeros,
    Elf,
    /// Including universal binaries.
    MacOs,
    /// Portable Executable.
    Windows,
    /// Starts with `#!`.
    Script,
    /// Often an error page or a login page.
    Html,
    /// Often an API error.
    Json,
    Gzip,
    Xz,
    Bzip2,
    Zstd,
    Zip,
    /// Uncompressed.
    Tar,
    SevenZip,
    /// An `ar` archive, such as a Debian package.
    Ar,
    /// Other text.
    Text,
    Unknown,
}

impl FileKind {
    /// Expects the first [`HEAD`] bytes, or all of a shorter file.
    pub(super) fn at(head: &[u8]) -> Self {
        const MAGIC: [(&[u8], FileKind); 19] = [
            (b"\x7fELF", FileKind::Elf),
            (b"\xcf\xfa\xed\xfe", FileKind::MacOs),
            (b"\xce\xfa\xed\xfe", FileKind::MacOs),
            (b"\xfe\xed\xfa\xcf", FileKind::MacOs),
            (b"\xfe\xed\xfa\xce", FileKind::MacOs),
            (b"\xca\xfe\xba\xbe", FileKind::MacOs),
            (b"\xca\xfe\xba\xbf", FileKind::MacOs),
            (b"MZ", FileKind::Windows),
            (b"#!", FileKind::Script),
            (b"\x1f\x8b", FileKind::Gzip),
            (b"\xfd7zXZ\0", FileKind::Xz),
            (b"BZh", FileKind::Bzip2),
            (b"\x28\xb5\x2f\xfd", FileKind::Zstd),
            (b"PK\x03\x04", FileKind::Zip),
            (b"PK\x05\x06", FileKind::Zip),
            (b"7z\xbc\xaf\x27\x1c", FileKind::SevenZip),
            (b"!<arch>\n", FileKind::Ar),
            (b"{", FileKind::Json),
            (b"[", FileKind::Json),
        ];
        if head.is_empty() {
            return Self::Empty;
        }
        if let Some((_, kind)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return *kind;
        }
        // The file may start with a skippable frame (RFC 8878, 3.1.2).
        if head.len() >= 4 && (0x50..=0x5f).contains(&head[0]) && head[1..4] == *b"\x2a\x4d\x18" {
            return Self::Zstd;
        }
        if head.get(257..262) == Some(b"ustar") {
            return Self::Tar;
        }
        if head.iter().all(|byte| *byte == 0) {
            return Self::Zeros;
        }
        let text = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
        let begins = |with: &str| {
            text.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with.as_bytes()))
        };
        if ["<!doctype html", "<html", "<head"].into_iter().any(begins) {
            return Self::Html;
        }
        let readable = |byte: &u8| *byte >= 0x80 || byte.is_ascii_graphic() || byte.is_ascii_whitespace();
        if head.iter().all(readable) { Self::Text } else { Self::Unknown }
    }
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "empty",
            Self::Zeros => "nothing but zeros",
            Self::Elf => "an ELF file",
            Self::MacOs => "a macOS file",
            Self::Windows => "a Windows file",
            Self::Script => "a script (it begins with `#!`)",
            Self::Html => "an HTML page",
            Self::Json => "JSON",
            Self::Gzip => "a gzip file",
            Self::Xz => "an xz file",
            Self::Bzip2 => "a bzip2 file",
            Self::Zstd => "a Zstandard file",
            Self::Zip => "a zip archive",
            Self::Tar => "a tar archive",
            Self::SevenZip => "a 7z archive",
            Self::Ar => "an ar archive, such as a Debian package",
            Self::Text => "text",
            Self::Unknown => "an unknown file type",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::FileKind;

    #[test]
    fn html_pages_are_detected() {
        for page in ["<!DOCTYPE html><html>", "\u{feff}\n  <HTML>", "<html lang=en>"] {
            assert_eq!(FileKind::at(page.as_bytes()), FileKind::Html, "{page}");
        }
        assert_eq!(FileKind::at(b"{\"message\": \"Not Found\"}"), FileKind::Json);
        assert_eq!(FileKind::at(b"Not Found\n"), FileKind::Text);
        assert_eq!(FileKind::at(b"\x50\x2a\x4d\x18\0\0\0\0"), FileKind::Zstd);
        assert_eq!(FileKind::at(b"P"), FileKind::Text);
        assert_eq!(FileKind::at(&[0; 512]), FileKind::Zeros);
        assert_eq!(FileKind::at(b""), FileKind::Empty);
    }
}
