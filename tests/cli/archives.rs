//! Archives, good and hostile: each has its outcome in `fixtures/archives/expected.txt`, and what
//! is found is what the build unpacks.
//!
//! `BAKE_BLESS=1` rewrites the table with new archives from `fixtures/archives/make`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::support::dockerfile::{Stage, stage};
use crate::support::test;
use crate::support::testbed::program;
use crate::support::{Folder, said};
use bake::archive::{self, ArchiveError, Executable, ExecutableQuery, Limits};
use bake::digest::Sha256;
use bake::project::values::{Arch, ArchiveFormat, InnerPath};
use proptest::prelude::*;
use serde_json::json;

const PATH: &str = "bin/tool";
const EXPECTED: &str = "expected.txt";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/archives")
}

/// Every archive of the fixtures, by name.
fn fixtures() -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(folder()).expect("the fixtures");
    entries
        .map(|entry| entry.expect("an entry").path())
        .map(|path| (path.file_name().expect("a name").to_string_lossy().into_owned(), path))
        .filter(|(name, _)| name != EXPECTED && name != "make")
        .map(|(name, path)| (name, fs::read(path).expect("a file")))
        .collect()
}

fn inner(path: &str) -> InnerPath {
    path.parse().expect("a path")
}

/// Reads an archive: by the path, or for any executable.
fn read(archive: &[u8], name: &str, path: Option<&InnerPath>) -> Result<Executable, ArchiveError> {
    let wanted = ExecutableQuery { path, name: "tool", arch: Arch::Amd64 };
    archive::find(&mut Cursor::new(archive), ArchiveFormat::of(name), &wanted, &Limits::default())
}

fn told(outcome: Result<Executable, ArchiveError>) -> String {
    match outcome {
        Ok(found) => format!("found {}, {} bytes", found.path, found.size),
        Err(error) => error.to_string(),
    }
}

#[test]
fn each_archive_has_the_outcome_that_the_table_says() {
    if std::env::var_os("BAKE_BLESS").is_some() {
        said(&mut Command::new(folder().join("make"))).done();
    }
    // `path` asks for bin/tool; `find` for any executable, and of several for `tool`.
    let mut table = String::new();
    for (name, archive) in fixtures() {
        let by_path = told(read(&archive, &name, Some(&inner(PATH))));
        let found = told(read(&archive, &name, None));
        let _ = writeln!(table, "{name}\n    path: {by_path}\n    find: {found}");
    }
    let file = folder().join(EXPECTED);
    if std::env::var_os("BAKE_BLESS").is_some() {
        fs::write(&file, &table).expect("a table");
    }
    let expected = fs::read_to_string(file).expect("the table");
    for (line, (found, expected)) in table.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "line {}", line + 1);
    }
    assert_eq!(table.lines().count(), expected.lines().count());
}

#[test]
fn the_script_makes_the_same_bytes_again() {
    let mut python = program("python3");
    let made = Folder::empty();
    said(python.arg(folder().join("make")).arg(made.path())).done();
    let again: BTreeMap<_, _> = made.bundle("").into_iter().collect();
    let stored = fixtures();
    assert_eq!(again.keys().collect::<Vec<_>>(), stored.keys().collect::<Vec<_>>());
    for (name, content) in &stored {
        assert!(*content == again[name], "{name} differs");
        assert!(content.len() < 64 << 10, "{name} is large");
    }
}

/// The commands of the rendered Dockerfile, with this machine in place of a container's: its folders
/// are below `folder`.
struct Build {
    folder: Folder,
}

impl Build {
    fn new() -> Self {
        for tool in ["tar", "unzip", "gzip", "xz", "bzip2", "zstd"] {
            program(tool);
        }
        Self { folder: Folder::empty() }
    }

    fn unpack(
        &self,
        archive: &[u8],
        packing: ArchiveFormat,
        path: &str,
        beside: bool,
    ) -> Result<Vec<u8>, String> {
        let (out, work) = (self.folder.join("out"), self.folder.join("download"));
        for folder in [&out, &work] {
            let _ = fs::remove_dir_all(folder);
            fs::create_dir(folder).expect("a folder");
        }
        let here = |text: &str| text.replace("/out/", &format!("{}/", out.display()));
        let stage = rendered_stage(packing, path, beside);
        let download = work.join(here(&stage.download));
        fs::create_dir_all(download.parent().expect("a folder")).expect("a folder");
        fs::write(&download, archive).expect("a file");
        let mut command = Command::new("sh");
        command.arg("-c").arg(here(&stage.script)).current_dir(&work);
        // As in a container, where no locale is set.
        command.env_remove("LANG").env_remove("LC_ALL");
        let said = said(&mut command);
        if said.code != 0 {
            return Err(said.err);
        }
        Ok(fs::read(out.join("bin/tool")).expect("a binary"))
    }

    /// Compares the result with the file that the build unpacks, alone and together with the rest of the
    /// archive.
    #[track_caller]
    fn agrees(&self, archive: &[u8], name: &str, found: &Executable, besides: &[bool]) {
        let packing = ArchiveFormat::of(name);
        let archived = !matches!(
            packing,
            ArchiveFormat::Gz
                | ArchiveFormat::Bz2
                | ArchiveFormat::Xz
                | ArchiveFormat::Zst
                | ArchiveFormat::Bare
        );
        for beside in besides.iter().copied().filter(|beside| archived || !beside) {
            let unpacked = self.unpack(archive, packing, found.path.as_str(), beside);
            let unpacked =
                unpacked.unwrap_or_else(|error| panic!("{name}: found, and the build says {error}"));
            assert_eq!(Sha256::of(&unpacked), found.sha256, "{name}, beside: {beside}");
            assert_eq!(unpacked.len() as u64, found.size, "{name}");
        }
    }
}

/// The stage of a tool that is packed in this way, as `bake render` writes it.
fn rendered_stage(packing: ArchiveFormat, path: &str, beside: bool) -> Arc<Stage> {
    static RENDERED: Mutex<BTreeMap<(ArchiveFormat, String, bool), Arc<Stage>>> = Mutex::new(BTreeMap::new());
    let key = (packing, path.to_owned(), beside);
    if let Some(stage) = RENDERED.lock().expect("no panic").get(&key) {
        return Arc::clone(stage);
    }
    let folder = Folder::project();
    let url = format!("https://example.org/x{}", packing.ending());
    let entry = json!({"name": "tool", "url": url, "binary": path, "beside": beside});
    folder.write("images/binaries.yaml", format!("version: 1\nbinaries:\n  - {entry}\n"));
    folder.lock(&Arch::ALL.map(|arch| ("tool", arch, crate::support::build(&url, b"", path, None))));
    folder.bake(["render"]).done();
    let stage = Arc::new(stage(&folder.read("out/Dockerfile"), "tool", Arch::Amd64));
    RENDERED.lock().expect("no panic").insert(key, Arc::clone(&stage));
    stage
}

#[test]
fn the_build_unpacks_what_is_found() {
    let build = Build::new();
    let mut count = 0;
    for (name, archive) in fixtures() {
        for path in [None, Some(inner(PATH))] {
            if let Ok(found) = read(&archive, &name, path.as_ref()) {
                build.agrees(&archive, &name, &found, &[false, true]);
                count += 1;
            }
        }
    }
    assert!(count > 40, "{count} good archives");
}

type Packer = fn(&crate::support::archives::Members<'_>) -> Vec<u8>;

#[test]
fn archives_of_the_usual_packers_are_read() {
    use crate::support::archives;
    let build = Build::new();
    program("zip");
    let noise = (0..10_000_u32).flat_map(|index| index.wrapping_mul(2_654_435_761).to_be_bytes());
    let tool: Vec<u8> = fixtures()["good-bare"].iter().copied().chain(noise).collect();
    for path in ["tool", "x-1.2/bin/tool", "odd [v1]*?/it's \"größe\" <<EOF"] {
        let members: &archives::Members<'_> = &[(path, &tool), ("README.md", b"Read me.")];
        let packers: [(&str, Packer); 8] = [
            ("x.tar.gz", archives::tar_gz),
            ("x.tgz", archives::dotted_tar_gz),
            ("x.tar.xz", archives::tar_xz),
            ("x.tar.bz2", archives::tar_bz2),
            ("x.tar.zst", archives::tar_zst),
            ("x.zip", archives::zip),
            ("x.gz", archives::gz),
            ("x", archives::bare),
        ];
        for (name, pack) in packers {
            let archive = pack(members);
            let path = inner(path);
            for path in [None, Some(&path)] {
                let wanted = ExecutableQuery { path, name: "tool", arch: Arch::Amd64 };
                let mut file = Cursor::new(&archive);
                let found = archive::find(&mut file, ArchiveFormat::of(name), &wanted, &Limits::default());
                let found = found.unwrap_or_else(|error| panic!("{name}: {error}"));
                assert_eq!(found.sha256, Sha256::of(&tool), "{name}");
                build.agrees(&archive, name, &found, &[false, true]);
            }
        }
    }
}

#[test]
fn limits_are_kept_to_the_byte() {
    let fixtures = fixtures();
    let limited = |name: &str, limits: Limits| {
        let wanted = ExecutableQuery { path: None, name: "tool", arch: Arch::Amd64 };
        told(archive::find(&mut Cursor::new(&fixtures[name]), ArchiveFormat::of(name), &wanted, &limits))
    };
    let default = Limits::default();
    let found = "found bin/tool, 74 bytes";
    assert_eq!(limited("good.tar.gz", Limits { member_bytes: 74, ..default }), found);
    for name in ["good.tar.gz", "good.zip"] {
        assert_eq!(
            limited(name, Limits { member_bytes: 73, ..default }),
            "`bin/tool` in the archive is larger than 73 bytes"
        );
    }
    // Three members, and the folder that one of them is in.
    assert_eq!(limited("good.tar.gz", Limits { members: 4, ..default }), found);
    for name in ["good.tar.gz", "good.tar"] {
        assert_eq!(
            limited(name, Limits { members: 3, ..default }),
            "the archive contains more than 3 members"
        );
    }
    assert_eq!(
        limited("good.zip", Limits { members: 2, ..default }),
        "the archive contains more than 2 members"
    );
    // Three headers, three contents, two blocks at the end.
    assert_eq!(limited("good.tar.gz", Limits { total_bytes: 8 * 512, ..default }), found);
    let short = Limits { total_bytes: 8 * 512 - 1, ..default };
    assert_eq!(limited("good.tar.gz", short), "the archive unpacks to more than 4095 bytes");
    let short = Limits { total_bytes: 1 << 20, ..default };
    for name in ["bomb.tar.zst", "bomb.zip", "bomb.gz", "bomb-padding.tar.bz2"] {
        assert_eq!(limited(name, short), "the archive unpacks to more than 1 MiB", "{name}");
    }
}

#[test]
fn the_executable_can_be_extracted() {
    for (name, archive) in fixtures().into_iter().filter(|(name, _)| name.starts_with("good")) {
        let path = inner(PATH);
        let Ok(found) = read(&archive, &name, Some(&path)) else { continue };
        let limits = Limits::default();
        let mut out = Vec::new();
        let mut file = Cursor::new(&archive);
        let again =
            archive::read_out(&mut file, ArchiveFormat::of(&name), &path, Arch::Amd64, &limits, &mut out)
                .ok();
        assert_eq!(again.as_ref(), Some(&found), "{name}");
        assert_eq!(Sha256::of(&out), found.sha256, "{name}");
        // A sink that is full.
        let mut small = [0_u8; 10];
        let full = archive::read_out(
            &mut file,
            ArchiveFormat::of(&name),
            &path,
            Arch::Amd64,
            &limits,
            &mut &mut small[..],
        );
        assert!(matches!(full, Err(ArchiveError::Write(_))), "{name}: {full:?}");
    }
}

/// Set for the process that [`nothing_is_written_and_memory_is_bounded`] starts.
const CHILD: &str = "BAKE_ARCHIVES_CHILD";

/// An archive of half a gigabyte that is not refused for its ratio, in a few kilobytes.
const LARGE: &str = "large.tar.zst";

#[test]
fn nothing_is_written_and_memory_is_bounded() {
    if let Some(large) = std::env::var_os(CHILD) {
        read_everything(Path::new(&large));
        return;
    }
    let (empty, elsewhere) = (Folder::empty(), Folder::empty());
    elsewhere.write(LARGE, large());
    let mut child = Command::new(std::env::current_exe().expect("this test"));
    child.args(["--exact", "archives::nothing_is_written_and_memory_is_bounded", "--nocapture"]);
    child.current_dir(empty.path()).env("TMPDIR", empty.path()).env(CHILD, elsewhere.join(LARGE));
    let said = said(&mut child).done();
    assert_eq!(fs::read_dir(empty.path()).expect("a folder").count(), 0);
    if cfg!(target_os = "linux") {
        let peak = said.out.lines().find_map(|line| line.split("VmHWM:").nth(1)).expect("a peak");
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a number");
        // The program itself and its fixtures take a tenth of this.
        assert!(peak < 100 << 10, "{peak} KiB");
    }
}

fn read_everything(large: &Path) {
    for (name, archive) in fixtures() {
        let _ = told(read(&archive, &name, Some(&inner(PATH))));
        let _ = told(read(&archive, &name, None));
    }
    let limits = Limits { ratio: u64::MAX, ..Limits::default() };
    let wanted = ExecutableQuery { path: None, name: "tool", arch: Arch::Amd64 };
    let mut file = File::open(large).expect("a file");
    let found = archive::find(&mut file, ArchiveFormat::TarZst, &wanted, &limits).expect("an executable");
    assert_eq!(found.size, LARGE_SIZE);
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    println!("{}", status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default());
}

const LARGE_SIZE: u64 = (512 << 20) + 512;

/// A frame of Zstandard (RFC 8878) with blocks that repeat one byte: a header, an executable of
/// zeros, the end.
fn large() -> Vec<u8> {
    const REPEATED: u32 = 128 << 10;
    let good = &fixtures()["good-long-name.tar"];
    let mut header = good[1024..1536].to_vec();
    header[..9].copy_from_slice(b"bin/tool\0");
    header[124..136].copy_from_slice(format!("{LARGE_SIZE:011o}\0").as_bytes());
    fix_checksum(&mut header);
    header.extend(&good[1536..2048]);
    let mut frame = b"\x28\xb5\x2f\xfd\0\x38".to_vec();
    let block = |kind: u32, size: u32| (kind << 1 | size << 3).to_le_bytes();
    frame.extend(&block(0, 1024)[..3]);
    frame.extend(header);
    for size in (0..(LARGE_SIZE - 512) / u64::from(REPEATED)).map(|_| REPEATED).chain([1024]) {
        frame.extend(&block(1, size)[..3]);
        frame.push(0);
    }
    frame.extend(&[1, 0, 0]);
    frame
}

/// Makes the checksum of a tar header right.
fn fix_checksum(header: &mut [u8]) {
    header[148..156].fill(b' ');
    let sum: u32 = header[..512].iter().map(|byte| u32::from(*byte)).sum();
    header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
}

/// One change to an archive. Places are fractions of its length.
#[derive(Clone, Debug)]
enum Change {
    Set(u16, u8),
    Flip(u16, u8),
    Remove(u16, u8),
    Repeat(u16, u16),
    Cut(u16),
    /// A field of a tar header, whose checksum is made right again.
    Field(u8, u16, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let fields = prop_oneof![
        Just(b"0".to_vec()),
        Just(b"1".to_vec()),
        Just(b"2".to_vec()),
        Just(b"5".to_vec()),
        Just(b"L".to_vec()),
        Just(b"x".to_vec()),
        Just(b"\0".to_vec()),
        Just(b"/".to_vec()),
        Just(b"./bin/tool\0".to_vec()),
        Just(b"bin/tool\0".to_vec()),
        Just(b"00000000001\0".to_vec()),
        Just(b"00000001000 ".to_vec()),
        Just(b"       112  ".to_vec()),
        Just(b"ustar  \0".to_vec()),
        Just(b"ustar\x0000".to_vec()),
        proptest::collection::vec(any::<u8>(), 1..4),
    ];
    let starts = prop_oneof![
        Just(0_u16),
        Just(100),
        Just(124),
        Just(156),
        Just(157),
        Just(257),
        Just(345),
        0..512_u16
    ];
    prop_oneof![
        (any::<u16>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        (any::<u16>(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        (any::<u16>(), 1..9_u8).prop_map(|(at, count)| Change::Remove(at, count)),
        (any::<u16>(), 1..600_u16).prop_map(|(at, count)| Change::Repeat(at, count)),
        any::<u16>().prop_map(Change::Cut),
        (any::<u8>(), starts, fields).prop_map(|(block, at, bytes)| Change::Field(block, at, bytes)),
    ]
}

fn changed(mut archive: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        if archive.is_empty() {
            break;
        }
        let place = |at: u16| usize::from(at) * archive.len() / (1 << 16);
        match change {
            Change::Set(at, byte) => {
                let at = place(*at);
                archive[at] = *byte;
            }
            Change::Flip(at, bit) => {
                let at = place(*at);
                archive[at] ^= 1 << bit;
            }
            Change::Remove(at, count) => {
                let at = place(*at);
                archive.drain(at..(at + usize::from(*count)).min(archive.len()));
            }
            Change::Repeat(at, count) => {
                let at = place(*at);
                let again = archive[at..(at + usize::from(*count)).min(archive.len())].to_vec();
                archive.splice(at..at, again);
            }
            Change::Cut(at) => archive.truncate(place(*at)),
            Change::Field(block, at, bytes) => {
                let at = usize::from(*at).min(512 - bytes.len());
                let blocks = archive.len() / 512;
                if blocks > 0 {
                    let start = usize::from(*block) % blocks * 512;
                    archive[start + at..start + at + bytes.len()].copy_from_slice(bytes);
                    fix_checksum(&mut archive[start..start + 512]);
                }
            }
        }
    }
    archive
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..2000), magic in 0..8_usize) {
        let magics: [&[u8]; 8] =
            [b"", b"\x1f\x8b\x08\0", b"\xfd7zXZ\0", b"BZh9", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"PK\x05\x06", b"\x7fELF"];
        let bytes = [magics[magic], &bytes].concat();
        for name in ["x.tar.gz", "x.tar.xz", "x.tar.bz2", "x.tar.zst", "x.tar", "x.zip", "x.gz", "x"] {
            let _ = told(read(&bytes, name, None));
            let _ = told(read(&bytes, name, Some(&inner(PATH))));
        }
    }

    /// The executable from a mutated archive is the one that the build unpacks.
    #[test]
    fn a_changed_archive_is_refused_or_read_as_the_build_reads_it(
        index in any::<prop::sample::Index>(),
        changes in proptest::collection::vec(change(), 1..4),
    ) {
        let mut good = fixtures();
        good.retain(|name, _| name.starts_with("good"));
        let (name, archive) = good.iter().nth(index.index(good.len())).expect("one of them");
        let archive = changed(archive.clone(), &changes);
        let build = Build::new();
        // In a zip archive, only the executable is read; other members may be damaged.
        let besides: &[bool] = if ArchiveFormat::of(name) == ArchiveFormat::Zip { &[false] } else { &[false, true] };
        for path in [None, Some(inner(PATH))] {
            if let Ok(found) = read(&archive, name, path.as_ref()) {
                build.agrees(&archive, name, &found, besides);
            }
        }
    }
}
