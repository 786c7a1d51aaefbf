//! Files of a rehearsal: disks, serial log and instance ID.

use std::ffi::OsString;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;
use thiserror::Error;

use crate::project::values::Size;
use crate::text::sanitize;

const QEMU_IMG: &str = "qemu-img";

#[derive(Debug, Error)]
pub enum DiskError {
    #[error("{QEMU_IMG}: {0}; it is in the package qemu-utils (Debian, Ubuntu) or qemu (Homebrew)")]
    NoProgram(io::Error),
    #[error("{QEMU_IMG}: {0}")]
    Refused(String),
    #[error("{0}: {1}")]
    File(PathBuf, io::Error),
    #[error("{0}: {1}")]
    Image(PathBuf, io::Error),
    #[error("{0}: {1}")]
    NoDisk(PathBuf, String),
    /// The OS image differs from the one the boot disk is based on.
    #[error(
        "{disk} was created from a different version of {image}: give --disk the same \
         one again, or remove {disk} for a new boot disk"
    )]
    OtherImage { disk: PathBuf, image: PathBuf },
    #[error("{0}: another rehearsal runs in this folder")]
    InUse(PathBuf),
    /// The guest could read any file of this machine through such an image.
    #[error(
        "{image} takes its content from {other}, which could be any file of this machine: give --disk an image of one file, such as that of `qemu-img convert -O qcow2` if you trust it"
    )]
    OtherFile { image: PathBuf, other: String },
    #[error(
        "{image} is a {format} image: give --disk one of the format qcow2 or raw, as `qemu-img convert -O qcow2` makes it"
    )]
    Format { image: PathBuf, format: String },
    /// The OS image is larger than the boot disk of the spec.
    #[error("{image} is a disk of {has} GB, and `gcp.boot_disk` is {wanted} GB: make that larger")]
    TooLarge {
        image: PathBuf,
        /// In GB, rounded up.
        has: u64,
        wanted: u32,
    },
}

pub struct RehearsalFolder {
    path: PathBuf,
    /// Locked while in use.
    _lock: File,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct ImageInfo {
    format: String,
    virtual_size: u64,
    backing_filename: Option<String>,
    #[serde(default)]
    format_specific: FormatSpecific,
}

#[derive(Default, Deserialize)]
struct FormatSpecific {
    #[serde(default)]
    data: FormatData,
}

/// The fields of QEMU's `ImageInfoSpecificQCow2`.
#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct FormatData {
    data_file: Option<String>,
}

impl ImageInfo {
    /// Fails unless the image consists of one file.
    fn check(&self, image: &Path) -> Result<(), DiskError> {
        let image = || image.to_owned();
        if let Some(other) = self.backing_filename.as_ref().or(self.format_specific.data.data_file.as_ref()) {
            return Err(DiskError::OtherFile { image: image(), other: sanitize(other) });
        }
        // The extents of a VMDK image are other files, for example.
        if !["qcow2", "raw"].contains(&self.format.as_str()) {
            return Err(DiskError::Format { image: image(), format: sanitize(&self.format) });
        }
        Ok(())
    }
}

impl RehearsalFolder {
    /// Creates and locks the folder; fails if another run uses it.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let failed = |error| DiskError::File(path.to_owned(), error);
        fs::create_dir_all(path).map_err(failed)?;
        // QEMU resolves the relative path of a backing file against the overlay's folder.
        let path = fs::canonicalize(path).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(DiskError::InUse(path)),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An overlay over the OS image.
    pub fn boot_disk(&self) -> PathBuf {
        self.path.join("boot.qcow2")
    }

    pub fn data_disk(&self) -> PathBuf {
        self.path.join("data.qcow2")
    }

    /// Output of all runs.
    pub fn serial_log(&self) -> PathBuf {
        self.path.join("serial.log")
    }

    /// Output of the last run.
    pub fn qemu_log(&self) -> PathBuf {
        self.path.join("qemu.log")
    }

    /// Creates a boot disk of `size` over `image`, which is opened read-only, and a new instance ID; keeps
    /// an existing disk. Fails if `image` is larger, or differs from the disk's base.
    pub fn prepare_boot_disk(&self, image: &Path, size: Size) -> Result<(), DiskError> {
        let disk = self.boot_disk();
        let unreadable = |error| DiskError::Image(image.to_owned(), error);
        let image = fs::canonicalize(image).map_err(unreadable)?;
        let stamp = fs::metadata(&image).and_then(|metadata| {
            Ok(format!("{}\n{} bytes, {:?}\n", image.display(), metadata.len(), metadata.modified()?))
        });
        let (stamp, stamped) = (stamp.map_err(unreadable)?, self.path.join("image"));
        if disk.exists() {
            // An overlay is invalid over different data.
            let same = fs::read_to_string(&stamped).is_ok_and(|before| before == stamp);
            return if same { Ok(()) } else { Err(DiskError::OtherImage { disk, image }) };
        }
        let info = qemu_img(&["info".into(), "--output=json".into(), image.clone().into()]);
        let info = info.map_err(|error| match error {
            DiskError::Refused(why) => DiskError::NoDisk(image.clone(), why),
            other => other,
        })?;
        let info: ImageInfo = serde_json::from_slice(&info)
            .map_err(|error| DiskError::NoDisk(image.clone(), error.to_string()))?;
        info.check(&image)?;
        if info.virtual_size > bytes(size) {
            return Err(DiskError::TooLarge {
                image,
                has: info.virtual_size.div_ceil(1 << 30),
                wanted: size.gb(),
            });
        }
        let id = self.path.join("instance");
        for (path, content) in [(id, format!("{}\n", new_id())), (stamped, stamp)] {
            fs::write(&path, content).map_err(|error| DiskError::File(path, error))?;
        }
        create(&disk, size, &["-F".into(), info.format.into(), "-b".into(), image.into()])
    }

    /// Creates a blank data disk of `size`; keeps an existing one.
    pub fn prepare_data_disk(&self, size: Size) -> Result<(), DiskError> {
        let disk = self.data_disk();
        if disk.exists() { Ok(()) } else { create(&disk, size, &[]) }
    }

    /// Changes with each new boot disk.
    pub fn instance_id(&self) -> Result<u64, DiskError> {
        let path = self.path.join("instance");
        let failed = |error| DiskError::File(path.clone(), error);
        let text = fs::read_to_string(&path).map_err(failed)?;
        text.trim().parse().map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
    }

    /// The serial log from this offset.
    pub fn serial_from(&self, byte: u64) -> Vec<u8> {
        let mut log = Vec::new();
        if let Ok(mut file) = File::open(self.serial_log()) {
            let moved = io::Seek::seek(&mut file, io::SeekFrom::Start(byte));
            let _ = moved.and_then(|_| file.read_to_end(&mut log));
        }
        log
    }
}

/// As long as Compute Engine's IDs.
fn new_id() -> u64 {
    fastrand::u64(1_000_000_000_000_000_000..9_000_000_000_000_000_000)
}

/// Compute Engine's gigabytes are 2^30 bytes.
fn bytes(size: Size) -> u64 {
    u64::from(size.gb()) << 30
}

/// Uses a temporary name until complete.
fn create(disk: &Path, size: Size, backing: &[OsString]) -> Result<(), DiskError> {
    let new = disk.with_extension("new");
    let mut arguments: Vec<OsString> = vec!["create".into(), "-q".into(), "-f".into(), "qcow2".into()];
    arguments.extend_from_slice(backing);
    arguments.extend([new.clone().into(), bytes(size).to_string().into()]);
    qemu_img(&arguments)?;
    fs::rename(&new, disk).map_err(|error| DiskError::File(disk.to_owned(), error))
}

pub(super) fn qemu_img(arguments: &[OsString]) -> Result<Vec<u8>, DiskError> {
    let output = Command::new(QEMU_IMG).args(arguments).output().map_err(DiskError::NoProgram)?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(DiskError::Refused(said.trim().trim_start_matches("qemu-img: ").to_owned()))
}
