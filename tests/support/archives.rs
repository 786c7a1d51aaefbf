//! Builds release archives in every supported format with the machine's own tools.

use std::fs::{self, DirBuilder, File, FileTimes, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};

/// The path and content of each member. The executable comes first.
pub type Members<'a> = [(&'a str, &'a [u8])];

/// Packs the members by path with `tar` and the given compression option.
fn tar(members: &Members<'_>, option: &str, prefix: &str) -> Vec<u8> {
    let folder = spread(members);
    let paths = members.iter().map(|(path, _)| format!("{prefix}{path}"));
    output(Command::new("tar").current_dir(&folder).args(["--create", option, "--"]).args(paths), &[])
}

pub fn tar_gz(members: &Members<'_>) -> Vec<u8> {
    tar(members, "--gzip", "")
}

/// Like `tar -c .`: each path begins with `./`.
pub fn dotted_tar_gz(members: &Members<'_>) -> Vec<u8> {
    tar(members, "--gzip", "./")
}

pub fn tar_xz(members: &Members<'_>) -> Vec<u8> {
    tar(members, "--xz", "")
}

pub fn tar_bz2(members: &Members<'_>) -> Vec<u8> {
    tar(members, "--bzip2", "")
}

pub fn tar_zst(members: &Members<'_>) -> Vec<u8> {
    tar(members, "--zstd", "")
}

pub fn zip(members: &Members<'_>) -> Vec<u8> {
    let folder = spread(members);
    // Names on its command line would be patterns.
    output(Command::new("zip").current_dir(&folder).args(["--quiet", "--recurse-paths", "-", "."]), &[])
}

pub fn gz(members: &Members<'_>) -> Vec<u8> {
    output(Command::new("gzip").arg("--no-name"), members[0].1)
}

/// The executable itself, without an archive.
pub fn bare(members: &Members<'_>) -> Vec<u8> {
    members[0].1.to_vec()
}

/// Writes the members to a folder without group or other permissions, as a strict umask does.
fn spread(members: &Members<'_>) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (path, content) in members {
        let path = folder.path().join(path);
        let parent = path.parent().unwrap_or(Path::new("/"));
        DirBuilder::new().recursive(true).mode(0o700).create(parent).expect("a folder");
        fs::write(&path, content).expect("a file");
        fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("permissions");
    }
    for (path, _) in members {
        let path = folder.path().join(path);
        path.ancestors().take_while(|path| path.starts_with(&folder)).for_each(date);
    }
    folder
}

/// Sets fixed timestamps, so that repacking yields the locked SHA-256 again.
fn date(path: &Path) {
    let day = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    // `zip` records access times, and reading a folder updates them unless they are in the future.
    let times = FileTimes::new().set_modified(day(1_750_000_000)).set_accessed(day(2_100_000_000));
    File::open(path).and_then(|file| file.set_times(times)).expect("a time");
}

fn output(command: &mut Command, input: &[u8]) -> Vec<u8> {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a packer");
    child.stdin.take().expect("a pipe").write_all(input).expect("a reader");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{command:?}");
    output.stdout
}
