//! Time and memory of `bake render` by the number of binaries, and its cold start against that of
//! Python, all in one run: `cargo bench --bench render`.
//!
//! Figures are medians of whole processes; machines differ, ratios less so.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write;
use std::process::Command;

use bake::project::values::Arch;
use support::{Folder, build, said};

const RUNS: usize = 15;

/// Runs a command and prints its seconds, its peak memory in KiB and its exit code. Only the parent process can
/// query the peak memory, and Rust's standard library does not.
const MEASURE: &str = "
import os, sys, time
start = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, fd, '/dev/null', os.O_WRONLY, 0) for fd in (1, 2)])
_, status, usage = os.wait4(child, 0)
print(time.perf_counter() - start, usage.ru_maxrss, os.waitstatus_to_exitcode(status))
";

struct Run {
    seconds: f64,
    peak_mib: f64,
    code: i32,
}

fn main() {
    let bake = env!("CARGO_BIN_EXE_bake");
    let folder = Folder::project();
    let (mut render, mut python) = (Vec::new(), Vec::new());
    let python_path =
        said(Command::new("python3").args(["-c", "import sys; print(sys.executable)"])).done().out;
    let (mut check, mut count) = (Vec::new(), 0);
    for _ in 0..RUNS {
        count += 1;
        render.push(run(&folder, &[bake, "render", "--out", &format!("out-{count}")]).seconds);
        check.push(run(&folder, &[bake, "render", "--check"]).seconds);
        python.push(run(&folder, &[python_path.trim(), "-c", "pass"]).seconds);
    }
    let (render, check, python) = (median(render), median(check), median(python));
    println!("cold start, median of {RUNS}:");
    println!("  bake render, default project   {:7.2} ms", render * 1e3);
    println!("  the same with --check          {:7.2} ms (no file written)", check * 1e3);
    println!("  python3 -c pass                {:7.2} ms", python * 1e3);
    println!("  ratios to Python               {:7.2} and {:.2}", render / python, check / python);
    println!();
    println!(
        "{:>9} {:>11} {:>10} {:>14} {:>9}  strategy",
        "binaries", "median ms", "peak MiB", "us per binary", "exit code"
    );
    for strategy in ["build-on-vm", "registry"] {
        for count in [3, 100, 1_000, 10_000] {
            let folder = project(count, strategy);
            let runs: Vec<_> = (0..RUNS).map(|_| run(&folder, &[bake, "render", "--check"])).collect();
            let peak = median(runs.iter().map(|run| run.peak_mib).collect());
            let code = runs[0].code;
            let seconds = median(runs.into_iter().map(|run| run.seconds).collect());
            let each = seconds * 1e6 / f64::from(count);
            println!("{count:>9} {:>11.1} {peak:>10.1} {each:>14.1} {code:>9}  {strategy}", seconds * 1e3);
        }
    }
    println!("exit code 1: nothing stands in out/ yet; 2: the user-data is too large for Compute Engine");
}

fn run(folder: &Folder, command: &[&str]) -> Run {
    let mut python = Command::new("python3");
    let out = said(python.args(["-c", MEASURE]).args(command).current_dir(folder.path())).done().out;
    let fields: Vec<f64> = out.split_whitespace().map(|field| field.parse().expect("a number")).collect();
    #[expect(clippy::cast_possible_truncation, reason = "an exit code")]
    Run { seconds: fields[0], peak_mib: fields[1] / 1024.0, code: fields[2] as i32 }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// A project of that many binaries from URLs, with its lock.
fn project(count: u32, strategy: &str) -> Folder {
    let folder = Folder::project();
    if strategy == "registry" {
        let digest = bake::digest::Sha256::of("an image").oci();
        folder.edit("bake.yaml", "strategy: build-on-vm", "strategy: registry");
        folder.edit("bake.yaml", "registry: null", &format!("registry: example.org/openclaw@{digest}"));
    }
    let (mut manifest, mut builds) = (String::from("version: 1\nbinaries:\n"), Vec::new());
    let names: Vec<String> = (0..count).map(|i| format!("tool-{i}")).collect();
    for name in &names {
        let url = format!("https://example.org/{name}/{{version}}/{name}_{{arch}}.tar.gz");
        let _ = writeln!(manifest, "  - {{name: {name}, version: 1.2.3, url: \"{url}\"}}");
        for arch in Arch::ALL {
            let url = url.replace("{version}", "1.2.3").replace("{arch}", arch.as_str());
            builds.push((name.as_str(), arch, build(&url, url.as_bytes(), name, Some(name.as_bytes()))));
        }
    }
    folder.write("images/binaries.yaml", manifest).lock(&builds);
    folder
}
