//! How downloads are packed.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a download is packed, by its file name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum ArchiveFormat {
    /// A tar archive, gzip.
    #[serde(rename = "tar.gz")]
    TarGz,
    /// A tar archive, xz.
    #[serde(rename = "tar.xz")]
    TarXz,
    /// A tar archive, bzip2.
    #[serde(rename = "tar.bz2")]
    TarBz2,
    /// A tar archive, Zstandard.
    #[serde(rename = "tar.zst")]
    TarZst,
    /// A tar archive, not compressed.
    #[serde(rename = "tar")]
    Tar,
    /// A zip archive.
    #[serde(rename = "zip")]
    Zip,
    /// One file, gzip.
    #[serde(rename = "gz")]
    Gz,
    /// One file, bzip2.
    #[serde(rename = "bz2")]
    Bz2,
    /// One file, xz.
    #[serde(rename = "xz")]
    Xz,
    /// One file, Zstandard.
    #[serde(rename = "zst")]
    Zst,
    /// The executable itself.
    #[serde(rename = "bare")]
    Bare,
}

impl ArchiveFormat {
    const BY_ENDING: [(&'static str, Self); 16] = [
        (".tar.gz", Self::TarGz),
        (".tgz", Self::TarGz),
        (".tar.xz", Self::TarXz),
        (".txz", Self::TarXz),
        (".tar.bz2", Self::TarBz2),
        (".tbz2", Self::TarBz2),
        (".tbz", Self::TarBz2),
        (".tar.zst", Self::TarZst),
        (".tzst", Self::TarZst),
        (".tar", Self::Tar),
        (".zip", Self::Zip),
        (".gz", Self::Gz),
        (".bz2", Self::Bz2),
        (".xz", Self::Xz),
        (".zst", Self::Zst),
        ("", Self::Bare),
    ];

    /// The usual ending of its file names.
    pub fn ending(self) -> &'static str {
        let found = Self::BY_ENDING.iter().find(|(_, packing)| *packing == self);
        found.map_or("", |(ending, _)| ending)
    }

    /// The format of a file with this name.
    pub fn of(file_name: &str) -> Self {
        Self::split(file_name).1
    }

    /// A file name without the ending that says how it is packed, and what that says.
    pub fn split(file_name: &str) -> (&str, Self) {
        let name = file_name.to_ascii_lowercase();
        let found = Self::BY_ENDING.iter().find(|(ending, _)| name.ends_with(ending));
        found.map_or((file_name, Self::Bare), |(ending, packing)| {
            (&file_name[..file_name.len() - ending.len()], *packing)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ArchiveFormat;

    #[test]
    fn packing_goes_by_the_ending() {
        assert_eq!(ArchiveFormat::of("a_1.2.tar.gz"), ArchiveFormat::TarGz);
        assert_eq!(ArchiveFormat::of("A.TGZ"), ArchiveFormat::TarGz);
        assert_eq!(ArchiveFormat::of("a.gz"), ArchiveFormat::Gz);
        assert_eq!(ArchiveFormat::of("a-1.2.xz"), ArchiveFormat::Xz);
        assert_eq!(ArchiveFormat::of("a.tbz2"), ArchiveFormat::TarBz2);
        assert_eq!(ArchiveFormat::of("a.tar"), ArchiveFormat::Tar);
        assert_eq!(ArchiveFormat::of("a-linux-x64"), ArchiveFormat::Bare);
        assert_eq!(ArchiveFormat::TarGz.ending(), ".tar.gz");
    }
}
