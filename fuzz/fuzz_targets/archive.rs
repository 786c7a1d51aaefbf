//! Any file, taken for an archive of each kind that it could be: nothing panics, memory stays
//! bounded, and what `find` chose is what `read_out` hands over.

#![no_main]

use std::io::Cursor;

use bake::archive::{Limits, ExecutableQuery, find, read_out};
use bake::digest::Sha256;
use bake::project::values::{Arch, ArchiveFormat};
use libfuzzer_sys::fuzz_target;

const PACKINGS: [ArchiveFormat; 11] = [
    ArchiveFormat::TarGz,
    ArchiveFormat::TarXz,
    ArchiveFormat::TarBz2,
    ArchiveFormat::TarZst,
    ArchiveFormat::Tar,
    ArchiveFormat::Zip,
    ArchiveFormat::Gz,
    ArchiveFormat::Bz2,
    ArchiveFormat::Xz,
    ArchiveFormat::Zst,
    ArchiveFormat::Bare,
];

fuzz_target!(|data: &[u8]| {
    let limits = Limits { total_bytes: 4 << 20, members: 1000, ..Limits::default() };
    let mut file = Cursor::new(data);
    for packing in PACKINGS {
        let wanted = ExecutableQuery { path: None, name: "tool", arch: Arch::Amd64 };
        let Ok(found) = find(&mut file, packing, &wanted, &limits) else { continue };
        let mut out = Vec::new();
        let again = read_out(&mut file, packing, &found.path, Arch::Amd64, &limits, &mut out);
        assert_eq!(again.ok().as_ref(), Some(&found));
        assert_eq!(Sha256::of(&out), found.sha256);
        assert_eq!(out.len() as u64, found.size);
    }
});
