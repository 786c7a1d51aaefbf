//! Checks that a file is a Linux executable for an architecture.
//!
//! Reads only the 64-byte ELF header (gABI chapter 4, "ELF Header").

use std::fmt;

use super::file_kind::FileKind;
use crate::project::values::Arch;

/// Size of a 64-bit header.
const HEADER: usize = 64;

/// Why a file does not run on an architecture. Displays as a noun phrase such as `a macOS file`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotExecutable {
    /// Not ELF.
    Other(FileKind),
    /// Shorter than its header.
    Cut,
    Bits32,
    BigEndian,
    Machine(u16),
    /// `EI_OSABI`.
    System(u8),
    /// `e_type` of an object file or a core dump.
    Type(u16),
    /// No entry point.
    Library,
    /// An invalid field.
    Header,
    /// Its program headers, or the path of its loader.
    Loader,
}

impl fmt::Display for NotExecutable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(kind) => kind.fmt(f),
            Self::Cut => f.write_str("an ELF file with a truncated header"),
            Self::Bits32 => f.write_str("a 32-bit ELF file"),
            Self::BigEndian => f.write_str("a big-endian ELF file"),
            Self::Machine(machine) => {
                let known = Arch::ALL.into_iter().find(|arch| machine_of(*arch) == *machine);
                match known {
                    Some(arch) => write!(f, "an ELF file for {arch}"),
                    None => write!(f, "an ELF file for another processor (e_machine {machine})"),
                }
            }
            Self::System(system) => {
                write!(f, "an ELF file for another operating system (EI_OSABI {system})")
            }
            Self::Type(1) => f.write_str("an object file"),
            Self::Type(4) => f.write_str("a core dump"),
            Self::Type(other) => write!(f, "an ELF file of unknown type ({other})"),
            Self::Library => f.write_str("a shared library (it has no entry point)"),
            Self::Header => f.write_str("an ELF file with an invalid header"),
            Self::Loader => f.write_str("an ELF file with invalid program headers"),
        }
    }
}

/// `e_machine` (gABI, "Machine").
const fn machine_of(arch: Arch) -> u16 {
    match arch {
        Arch::Amd64 => 62,
        Arch::Arm64 => 183,
    }
}

/// Checks the first 64 bytes of a file, or all of a shorter one.
///
/// Position-independent executables and shared libraries have the same type; one with an entry point counts
/// as executable.
pub fn check_executable(head: &[u8], arch: Arch) -> Result<(), NotExecutable> {
    const CLASS_64: u8 = 2;
    const LITTLE_ENDIAN: u8 = 1;
    const VERSION: u8 = 1;
    // System V, which is nearly universal, and GNU/Linux.
    const SYSTEMS: [u8; 2] = [0, 3];
    const EXECUTABLE: u16 = 2;
    const SHARED: u16 = 3;
    if !head.starts_with(b"\x7fELF") {
        return Err(NotExecutable::Other(FileKind::at(head)));
    }
    let Some(&header) = head.first_chunk::<HEADER>() else { return Err(NotExecutable::Cut) };
    let [_, _, _, _, class, data, version, system, ..] = header;
    let half = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]);
    let (kind, machine, program_headers) = (half(16), half(18), half(56));
    if data == 2 {
        return Err(NotExecutable::BigEndian);
    }
    if class == 1 {
        return Err(NotExecutable::Bits32);
    }
    if (class, data, version) != (CLASS_64, LITTLE_ENDIAN, VERSION) {
        return Err(NotExecutable::Header);
    }
    if machine != machine_of(arch) {
        return Err(NotExecutable::Machine(machine));
    }
    if !SYSTEMS.contains(&system) {
        return Err(NotExecutable::System(system));
    }
    if kind != EXECUTABLE && kind != SHARED {
        return Err(NotExecutable::Type(kind));
    }
    if header[24..32] == [0; 8] {
        return Err(NotExecutable::Library);
    }
    if header[20..24] != [1, 0, 0, 0] || program_headers == 0 {
        return Err(NotExecutable::Header);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::{FileKind, NotExecutable, check_executable};
    use crate::project::values::Arch;

    /// A position-independent executable for amd64.
    fn header() -> [u8; 64] {
        let mut header = [0; 64];
        header[..8].copy_from_slice(b"\x7fELF\x02\x01\x01\0");
        (header[16], header[18], header[20], header[24], header[56]) = (3, 62, 1, 0x40, 1);
        header
    }

    #[test]
    fn each_header_field_is_checked() {
        assert_eq!(check_executable(&header(), Arch::Amd64), Ok(()));
        let cases: [(usize, u8, Result<(), NotExecutable>); 14] = [
            (4, 1, Err(NotExecutable::Bits32)),
            (4, 3, Err(NotExecutable::Header)),
            (5, 2, Err(NotExecutable::BigEndian)),
            (6, 0, Err(NotExecutable::Header)),
            (7, 3, Ok(())),
            (7, 9, Err(NotExecutable::System(9))),
            (16, 2, Ok(())),
            (16, 1, Err(NotExecutable::Type(1))),
            (16, 4, Err(NotExecutable::Type(4))),
            (18, 183, Err(NotExecutable::Machine(183))),
            (18, 243, Err(NotExecutable::Machine(243))),
            (20, 0, Err(NotExecutable::Header)),
            (24, 0, Err(NotExecutable::Library)),
            (56, 0, Err(NotExecutable::Header)),
        ];
        for (at, byte, expected) in cases {
            let mut changed = header();
            changed[at] = byte;
            assert_eq!(check_executable(&changed, Arch::Amd64), expected, "{byte} at {at}");
        }
        assert_eq!(check_executable(&header()[..63], Arch::Amd64), Err(NotExecutable::Cut));
        assert_eq!(check_executable(&header(), Arch::Arm64), Err(NotExecutable::Machine(62)));
    }

    #[test]
    fn other_file_types_are_named() {
        for (head, kind) in [
            (&b"\xcf\xfa\xed\xfe\x0c\0\0\x01"[..], FileKind::MacOs),
            (b"\xca\xfe\xba\xbe\0\0\0\x02", FileKind::MacOs),
            (b"MZ\x90\0", FileKind::Windows),
            (b"#!/bin/sh\n", FileKind::Script),
            (b"", FileKind::Empty),
        ] {
            assert_eq!(check_executable(head, Arch::Amd64), Err(NotExecutable::Other(kind)));
        }
    }

    #[test]
    fn this_test_is_an_executable() {
        let own = std::env::current_exe().and_then(std::fs::read).expect("this program");
        let arch = if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::Amd64 };
        if cfg!(target_os = "linux") {
            assert_eq!(check_executable(&own, arch), Ok(()));
        }
    }
}
