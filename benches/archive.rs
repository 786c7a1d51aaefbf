//! Hashing cached archives and the executables in them, on one thread and on two, against
//! `sha256sum` and `tar -xzf` on the same files, all in one run: `cargo bench --bench archive`.
//!
//! Figures are medians; machines differ, ratios less so. `tar` starts a separate `gzip`, so it is measured on
//! all cores and on one, and so is bake.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use bake::archive::{self, ExecutableQuery, Limits};
use bake::digest::{Hasher, Sha256};
use bake::project::values::{Arch, ArchiveFormat};
use support::{Folder, archives, said};

const RUNS: usize = 5;
const ARCHIVES: usize = 20;

/// As many bytes as a usual tool written in Go has.
const BINARY: usize = 25 << 20;

/// Set to the number of threads, and with the archives as arguments, this program is what is
/// measured, as a process like the others.
const THREADS: &str = "BAKE_BENCH_THREADS";

fn main() {
    if let Ok(threads) = std::env::var(THREADS) {
        let paths: Vec<_> = std::env::args_os().skip(1).map(PathBuf::from).collect();
        read_all(&paths, threads.parse().expect("a number"));
        return;
    }
    let folder = Folder::empty();
    let paths = make(&folder);
    let size: u64 = paths.iter().map(|path| fs::metadata(path).expect("a file").len()).sum();
    println!(
        "{ARCHIVES} archives, {} MiB in all, each with one executable of {} MiB; median of {RUNS} runs",
        size >> 20,
        BINARY >> 20
    );
    println!();
    let pin = ["taskset", "-c", "0"];
    let shell = |folder: &Folder, pin: &[&str]| {
        let script = "sha256sum \"$@\" > sums && for a do tar -xzf \"$a\" -C out || exit; done";
        fs::create_dir_all(folder.join("out")).expect("a folder");
        let mut command = command(pin, "sh");
        command.args(["-c", script, "sh"]);
        command
    };
    let bake = |threads: &str, pin: &[&str]| {
        let own = std::env::current_exe().expect("this program");
        let mut command = command(pin, own.to_str().expect("a path"));
        command.env(THREADS, threads);
        command
    };
    let mut cases = [
        ("sha256sum and tar -xzf, one core", shell(&folder, &pin), Vec::new()),
        ("bake, one thread, one core", bake("1", &pin), Vec::new()),
        ("sha256sum and tar -xzf, all cores", shell(&folder, &[]), Vec::new()),
        ("bake, one thread", bake("1", &[]), Vec::new()),
        ("bake, two threads", bake("2", &[]), Vec::new()),
    ];
    for (_, command, _) in &mut cases {
        command.args(&paths).current_dir(folder.path()).stdout(Stdio::null());
    }
    // One after another within a run, so that a noisy minute is nobody's alone.
    for _ in 0..RUNS {
        for (_, command, times) in &mut cases {
            let start = Instant::now();
            assert!(command.status().expect("a process").success());
            times.push(start.elapsed().as_secs_f64());
        }
    }
    let medians: Vec<_> = cases.iter_mut().map(|(_, _, times)| median(times)).collect();
    for ((name, ..), seconds) in cases.iter().zip(&medians) {
        println!("{name:<36} {:8.0} ms", seconds * 1e3);
    }
    println!();
    println!("ratio on one core                    {:8.2}", medians[1] / medians[0]);
    println!("ratio, one thread, to all cores      {:8.2}", medians[3] / medians[2]);
    println!("ratio, two threads, to all cores     {:8.2}", medians[4] / medians[2]);
}

fn command(pin: &[&str], program: &str) -> Command {
    let mut words = pin.iter().copied().chain([program]);
    let mut command = Command::new(words.next().unwrap_or(program));
    command.args(words);
    command
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Archives whose content compresses like programs, because it is made of programs on this machine; each
/// archive starts with another one.
fn make(folder: &Folder) -> Vec<PathBuf> {
    let mut programs = Vec::new();
    for entry in fs::read_dir("/usr/bin").expect("programs").flatten() {
        let mut head = [0; 64];
        let read = File::open(entry.path()).and_then(|mut file| file.read_exact(&mut head));
        let large = entry.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() > 100_000);
        if read.is_ok() && large && archive::check_executable(&head, arch()).is_ok() {
            programs.push(entry.path());
        }
    }
    programs.sort();
    assert!(programs.len() > 20, "too few programs on this machine");
    let one = |index: usize| {
        let mut binary = Vec::with_capacity(BINARY);
        let mut next = programs.iter().cycle().skip(index * programs.len() / ARCHIVES);
        while binary.len() < BINARY {
            binary.extend(fs::read(next.next().expect("a program")).expect("a program"));
        }
        binary.truncate(BINARY);
        let path = folder.join(&format!("{index}.tar.gz"));
        let name = format!("tool-{index}");
        fs::write(&path, archives::tar_gz(&[(&name, &binary), ("README.md", b"Read me.")])).expect("room");
        path
    };
    said(&mut Command::new("sync")).done();
    (0..ARCHIVES).map(one).collect()
}

fn arch() -> Arch {
    if cfg!(target_arch = "aarch64") { Arch::Arm64 } else { Arch::Amd64 }
}

/// As in a run with a cache, each archive is verified before it is read.
fn read_all(paths: &[PathBuf], threads: usize) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(path) = paths.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let mut file = File::open(path).expect("an archive");
                    let wanted = ExecutableQuery { path: None, name: "tool", arch: arch() };
                    let archive = sha256(path);
                    let found = archive::find(&mut file, ArchiveFormat::TarGz, &wanted, &Limits::default());
                    println!("{archive} {}", found.expect("an executable").sha256);
                }
            });
        }
    });
}

fn sha256(path: &Path) -> Sha256 {
    let mut file = File::open(path).expect("an archive");
    let (mut hasher, mut piece) = (Hasher::default(), vec![0; 64 << 10]);
    loop {
        match file.read(&mut piece).expect("an archive") {
            0 => return hasher.finish(),
            count => hasher.update(&piece[..count]),
        }
    }
}
