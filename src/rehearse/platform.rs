//! QEMU's machine, processor and firmware for each architecture.

use std::path::{Path, PathBuf};

use crate::project::values::Arch;

/// The QEMU program.
pub const fn qemu(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "qemu-system-x86_64",
        Arch::Arm64 => "qemu-system-aarch64",
    }
}

/// The packages of Debian and Ubuntu that have that program and the firmware.
pub const fn packages(arch: Arch) -> &'static str {
    match arch {
        Arch::Amd64 => "qemu-system-x86",
        Arch::Arm64 => "qemu-system-arm qemu-efi-aarch64",
    }
}

/// The paths at which packages install UEFI firmware for arm64, which is not always part of QEMU.
pub const UEFI: [&str; 4] = [
    // Debian, Ubuntu.
    "/usr/share/qemu-efi-aarch64/QEMU_EFI.fd",
    // Fedora.
    "/usr/share/edk2/aarch64/QEMU_EFI.fd",
    // Homebrew on ARM and Intel.
    "/opt/homebrew/share/qemu/edk2-aarch64-code.fd",
    "/usr/local/share/qemu/edk2-aarch64-code.fd",
];

/// The first of these files that exists.
pub fn firmware(files: &[&str]) -> Option<PathBuf> {
    files.iter().map(Path::new).find(|file| file.is_file()).map(Path::to_owned)
}

/// Whether this machine can have hardware virtualization for VMs of that architecture.
pub(super) const fn is_native(arch: Arch) -> bool {
    match arch {
        Arch::Amd64 => cfg!(target_arch = "x86_64"),
        Arch::Arm64 => cfg!(target_arch = "aarch64"),
    }
}
