//! Tells how a download is packed by its content, where its name does not say it.

use std::io::{Read, Seek};

use super::error::ArchiveError;
use super::file_kind::FileKind;
use super::search::read_head;
use super::{Limits, stream, tar_reader};
use crate::project::values::ArchiveFormat;

/// The format of `archive`, which is rewound. A name with an archive's ending decides; another name, such as
/// `stable` or `download`, says nothing.
///
/// # Errors
/// If it cannot be read.
pub fn format_of(
    archive: &mut (impl Read + Seek),
    named: ArchiveFormat,
) -> Result<ArchiveFormat, ArchiveError> {
    if named != ArchiveFormat::Bare {
        return Ok(named);
    }
    archive.rewind().map_err(ArchiveError::Read)?;
    let head = read_head(archive)?;
    let (one_file, tar) = match FileKind::at(&head) {
        FileKind::Zip => return rewound(archive, ArchiveFormat::Zip),
        FileKind::Gzip => (ArchiveFormat::Gz, ArchiveFormat::TarGz),
        FileKind::Xz => (ArchiveFormat::Xz, ArchiveFormat::TarXz),
        FileKind::Bzip2 => (ArchiveFormat::Bz2, ArchiveFormat::TarBz2),
        FileKind::Zstd => (ArchiveFormat::Zst, ArchiveFormat::TarZst),
        _ if is_tar(&head) => return rewound(archive, ArchiveFormat::Tar),
        _ => return rewound(archive, ArchiveFormat::Bare),
    };
    let inside = read_head(&mut stream::open(archive, one_file, Limits::default())?)?;
    rewound(archive, if is_tar(&inside) { tar } else { one_file })
}

fn is_tar(head: &[u8]) -> bool {
    FileKind::at(head) == FileKind::Tar || tar_reader::is_of_1979(head)
}

fn rewound(archive: &mut impl Seek, format: ArchiveFormat) -> Result<ArchiveFormat, ArchiveError> {
    archive.rewind().map_err(ArchiveError::Read).map(|()| format)
}
