//! Minimal executables: one ELF header, one program header and a few instructions that exit with 0.
//! Assembled by hand, so that the other architecture needs no cross-compiler.

use bake::project::values::Arch;

const HEADER: u16 = 64;
const PROGRAM_HEADER: u16 = 56;
/// The conventional load address of static executables.
const BASE: u64 = 0x40_0000;

/// `e_machine` (ELF-64 Object File Format; AArch64 ELF ABI).
const X86_64: u16 = 62;
const AARCH64: u16 = 183;

/// `mov edi, 0` · `mov eax, 60` (exit) · `syscall`.
const EXIT_AMD64: &[u8] = &[0xbf, 0, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05];
/// `mov x0, #0` · `mov x8, #93` (exit) · `svc #0`.
const EXIT_ARM64: &[u8] = &[0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];

/// An executable for `arch`. `note` follows its instructions and makes it unique.
pub fn executable(arch: Arch, note: &str) -> Vec<u8> {
    with_headers(arch, note, None)
}

/// An executable that asks for a dynamic loader.
pub fn dynamic(arch: Arch, note: &str, loader: &str) -> Vec<u8> {
    with_headers(arch, note, Some(loader))
}

fn with_headers(arch: Arch, note: &str, loader: Option<&str>) -> Vec<u8> {
    let (machine, code) = match arch {
        Arch::Amd64 => (X86_64, EXIT_AMD64),
        Arch::Arm64 => (AARCH64, EXIT_ARM64),
    };
    let headers = 1 + u16::from(loader.is_some());
    let code_at = HEADER + headers * PROGRAM_HEADER;
    let length = u64::from(code_at) + (code.len() + note.len()) as u64;
    let mut elf = Vec::new();
    // e_ident: magic, 64 bits, little endian, version 1, System V, padding.
    elf.extend([0x7f, b'E', b'L', b'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // e_type ET_EXEC, e_machine.
    short(&mut elf, &[2, machine]);
    // e_version.
    word(&mut elf, &[1]);
    // e_entry, e_phoff, e_shoff.
    long(&mut elf, &[BASE + u64::from(code_at), HEADER.into(), 0]);
    // e_flags.
    word(&mut elf, &[0]);
    // e_ehsize, e_phentsize, e_phnum, e_shentsize, e_shnum, e_shstrndx.
    short(&mut elf, &[HEADER, PROGRAM_HEADER, headers, 0, 0, 0]);
    if let Some(loader) = loader {
        // p_type PT_INTERP, p_flags readable; the path is at the end of the file.
        let size = loader.len() as u64 + 1;
        word(&mut elf, &[3, 4]);
        long(&mut elf, &[length, BASE + length, BASE + length, size, size, 1]);
    }
    // p_type PT_LOAD, p_flags readable and executable.
    word(&mut elf, &[1, 5]);
    // p_offset, p_vaddr, p_paddr, p_filesz, p_memsz, p_align.
    long(&mut elf, &[0, BASE, BASE, length, length, 0x1000]);
    elf.extend(code);
    elf.extend(note.as_bytes());
    if let Some(loader) = loader {
        elf.extend(loader.as_bytes());
        elf.push(0);
    }
    elf
}

/// The header of a Mach-O executable, as in releases for macOS.
pub fn darwin() -> Vec<u8> {
    // MH_MAGIC_64, CPU_TYPE_ARM64, its subtype, MH_EXECUTE.
    let mut macho = Vec::new();
    word(&mut macho, &[0xfeed_facf, 0x0100_000c, 0, 2, 0, 0, 0, 0]);
    macho
}

fn short(into: &mut Vec<u8>, values: &[u16]) {
    into.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn word(into: &mut Vec<u8>, values: &[u32]) {
    into.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}

fn long(into: &mut Vec<u8>, values: &[u64]) {
    into.extend(values.iter().flat_map(|value| value.to_le_bytes()));
}
