//! Exports the boot disk of a baked VM as an OS image.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

use super::folder::{DiskError, qemu_img};

/// The extension of the format that Compute Engine imports
/// (<https://cloud.google.com/compute/docs/import/import-existing-image>): a gzipped tar archive in GNU's format with
/// one member of this name, the raw disk.
const IMPORTED: &str = ".tar.gz";
const RAW: &str = "disk.raw";

/// Writes the disk, an overlay, to `file`: a `.tar.gz` for Compute Engine, or an independent qcow2 image. An existing
/// file is replaced once the new one is complete.
///
/// # Errors
/// If `qemu-img` fails or a file cannot be written; temporary files are removed.
pub fn export(disk: &Path, file: &Path) -> Result<(), DiskError> {
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| DiskError::File(path, error)
    };
    let temporary =
        tempfile::Builder::new().prefix(".bake-image-").tempdir_in(folder).map_err(failed(folder))?;
    let new = temporary.path().join("image");
    if is_imported(file) {
        let raw = temporary.path().join(RAW);
        convert(disk, "raw", &raw)?;
        archive(&raw, &new).map_err(failed(&new))?;
    } else {
        convert(disk, "qcow2", &new)?;
    }
    fs::rename(&new, file).map_err(failed(file))
}

/// Whether Compute Engine can import the file.
pub fn is_imported(file: &Path) -> bool {
    file.to_string_lossy().ends_with(IMPORTED)
}

fn convert(disk: &Path, format: &str, to: &PathBuf) -> Result<(), DiskError> {
    let arguments: [OsString; 5] = ["convert".into(), "-O".into(), format.into(), disk.into(), to.into()];
    qemu_img(&arguments).map(|_| ())
}

fn archive(raw: &Path, to: &Path) -> io::Result<()> {
    let file = File::open(raw)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(file.metadata()?.len());
    header.set_mode(0o644);
    header.set_mtime(0);
    // Most of the disk is zeros: a better compression takes longer and gains little.
    let encoder = GzEncoder::new(BufWriter::new(File::create(to)?), Compression::fast());
    let mut archive = tar::Builder::new(encoder);
    archive.append_data(&mut header, RAW, BufReader::with_capacity(1 << 20, file))?;
    archive.into_inner()?.finish()?.flush()
}
