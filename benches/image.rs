//! The gateway's image from the same lock, by `bake image` and by the tools that it does without, and
//! a push of it: `cargo bench --bench image`, on a machine with `tests/testbed/up` and `boot`.
//!
//! Everybody takes the real gateway's image as the base, by digest, and three programs of real size
//! from a server on loopback, and checks their digests. Four things are measured:
//! - a build with nothing there: the base image comes out of the registry;
//! - a build with the base image there, as after a change of the lock: no archive, no cached layer;
//! - the same build once more;
//! - a push to a repository that has nothing yet, in the registry that has the base image.
//!
//! Memory is the most that a command has in use, and for an engine also what its daemons grow to.
//! `BAKE_BENCH_RUNS` says how many runs a median is of. Machines differ, ratios less so.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bake::project::values::Arch;
use support::audit::plain;
use support::baked::{Baked, real};
use support::testbed::{self, Pushed};
use support::{Folder, said};

/// Of the real gateway's image.
const TAG: &str = ":2026.9.6";

/// What a run costs.
#[derive(Clone, Copy, Default)]
struct Cost {
    seconds: f64,
    /// Of the largest process.
    mib: f64,
}

/// What a build finds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    Base,
    Everything,
}

/// Who builds, and pushes to a repository.
struct Builder {
    name: &'static str,
    build: fn(&Bench, There) -> Cost,
    push: fn(&Bench, &str) -> Cost,
}

const BUILDERS: [Builder; 5] = [
    Builder { name: "bake", build: bake, push: push_bake },
    Builder {
        name: "docker 20.10, classic",
        build: |bench, there| bench.docker("docker-20", "0", there),
        push: |bench, to| bench.push_docker("docker-20", to),
    },
    Builder {
        name: "docker 26, BuildKit",
        build: |bench, there| bench.docker("docker-26", "1", there),
        push: |bench, to| bench.push_docker("docker-26", to),
    },
    Builder { name: "buildah", build: buildah, push: push_buildah },
    Builder { name: "umoci and skopeo", build: umoci, push: push_umoci },
];

struct Bench {
    baked: Baked,
    base: String,
    scratch: Folder,
    tag: String,
}

fn main() {
    let runs = std::env::var("BAKE_BENCH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(5);
    let (Some(registry), Some(digest)) = (testbed::registry(), testbed::boot("real.digest")) else { return };
    let digest = fs::read_to_string(digest).expect("a digest");
    let base = format!("{registry}/openclaw/openclaw{TAG}@{}", digest.trim());
    let tag = format!("localhost/bake-bench-{}:1", std::process::id());
    let bench = Bench { baked: Baked::on(&base, real()), base, scratch: Folder::empty(), tag };
    bench.baked.bake(["render"]).done();
    bench.scratch.write("context/Dockerfile", bench.baked.folder.read("out/Dockerfile"));
    println!("median of {runs}; seconds, MiB; ratio to bake");
    let mut costs: Vec<[Vec<Cost>; 4]> = BUILDERS.iter().map(|_| Default::default()).collect();
    for run in 0..runs {
        for (builder, costs) in BUILDERS.iter().zip(&mut costs) {
            for (there, costs) in
                [There::Nothing, There::Base, There::Everything].into_iter().zip(&mut *costs)
            {
                costs.push((builder.build)(&bench, there));
            }
            let to = Pushed(format!("{registry}/bake-bench-{}-{run}:1", std::process::id()));
            costs[3].push((builder.push)(&bench, &to.0));
        }
    }
    drop(bench);
    let steps = ["build, nothing there", "build, the base image there", "the same build again", "push"];
    for (step, what) in steps.iter().enumerate() {
        println!("\n{what}");
        let own = median(&costs[0][step]);
        for (builder, costs) in BUILDERS.iter().zip(&costs) {
            let Cost { seconds, mib } = median(&costs[step]);
            let ratio = seconds / own.seconds;
            println!("  {:22} {seconds:8.2} s  {mib:7.0} MiB  {ratio:6.1}", builder.name);
        }
    }
}

/// Each of the two by itself.
fn median(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> f64| {
        let mut all: Vec<_> = costs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Cost { seconds: middle(|cost| cost.seconds), mib: middle(|cost| cost.mib) }
}

/// Runs a command to its end, and measures it; `daemons` work for it.
fn measured(command: &Command, daemons: &[u32]) -> Cost {
    let peak = tempfile::NamedTempFile::new().expect("a file");
    let mut timed = testbed::program("time").expect("GNU time");
    timed.args(["--format", "%M", "--output"]).arg(peak.path()).arg(command.get_program());
    timed.args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        timed.current_dir(folder);
    }
    timed.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    for daemon in daemons {
        // From here on the peak is counted anew (proc(5), "clear_refs").
        fs::write(format!("/proc/{daemon}/clear_refs"), "5").expect("a daemon");
    }
    let begun = Instant::now();
    said(&mut timed).done();
    let seconds = begun.elapsed().as_secs_f64();
    let own: f64 = fs::read_to_string(peak.path()).expect("a peak").trim().parse().expect("KiB");
    let all: f64 = own + daemons.iter().map(|daemon| peak_of(*daemon)).sum::<f64>();
    Cost { seconds, mib: all / 1024.0 }
}

/// In KiB.
fn peak_of(process: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a daemon");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    line.trim().trim_end_matches(" kB").parse().expect("KiB")
}

/// Runs a tool of the testbed to its end.
fn tool(name: &str, arguments: &[&str]) {
    said(testbed::tool(name).expect("the testbed's tools").args(arguments)).done();
}

impl Bench {
    fn layout(&self) -> PathBuf {
        self.scratch.join("layout")
    }

    fn docker(&self, engine: &str, buildkit: &str, there: There) -> Cost {
        let mut build = testbed::tool(engine).expect("an engine");
        build.env("DOCKER_BUILDKIT", buildkit).args(["build", "--quiet", "--force-rm", "--network", "host"]);
        match there {
            There::Nothing => {
                self.forget(engine);
                tool(engine, &["builder", "prune", "--all", "--force"]);
            }
            There::Base => tool(engine, &["pull", "--quiet", &self.base]),
            There::Everything => {}
        }
        build.args((there != There::Everything).then_some("--no-cache"));
        build.args(["--tag", &self.tag]).arg(self.scratch.join("context"));
        measured(&build, &daemons(engine))
    }

    /// Removes the image and its base from an engine that may have neither.
    fn forget(&self, engine: &str) {
        // An engine lists what was pulled by tag and digest under its digest alone.
        let base = self.base.replacen(TAG, "", 1);
        for arguments in
            [&["rmi", "--force", &self.tag], &["rmi", "--force", &base], &["image", "prune", "--force"]]
        {
            let _ = testbed::tool(engine).map(|mut docker| docker.args(arguments).output());
        }
    }

    fn push_docker(&self, engine: &str, to: &str) -> Cost {
        tool(engine, &["tag", &self.tag, to]);
        let mut push = testbed::tool(engine).expect("an engine");
        push.args(["push", "--quiet", to]);
        let cost = measured(&push, &daemons(engine));
        tool(engine, &["rmi", to]);
        cost
    }

    /// `buildah` with a storage of its own.
    fn buildah(&self) -> Command {
        let mut buildah = testbed::tool("buildah").expect("buildah");
        buildah.arg("--root").arg(self.storage()).arg("--runroot").arg(self.scratch.join("run"));
        buildah.args(["--storage-driver", "overlay"]);
        buildah
    }

    fn storage(&self) -> PathBuf {
        self.scratch.join("storage")
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for engine in ["docker-20", "docker-26"] {
            self.forget(engine);
        }
        let _ = Command::new("umount").arg("--recursive").arg(self.storage().join("overlay")).output();
    }
}

/// The process that builds, and the one that keeps layers.
fn daemons(engine: &str) -> Vec<u32> {
    let folder = testbed::folder().join(engine);
    let pid = |path: &Path| fs::read_to_string(path).ok()?.trim().parse().ok();
    [folder.join("pid"), folder.join("exec/containerd/containerd.pid")]
        .iter()
        .filter_map(|path| pid(path))
        .collect()
}

fn remove(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).expect("a folder");
    }
}

fn bake(bench: &Bench, there: There) -> Cost {
    let layout = bench.baked.folder.join("oci");
    match there {
        There::Nothing => remove(&layout),
        // With another time in it, it has the same base and another layer.
        There::Base => {
            said(bench.baked.command().env("SOURCE_DATE_EPOCH", "1").args(["image", "build"])).done();
        }
        There::Everything => {}
    }
    if there != There::Everything {
        remove(bench.baked.cache());
        fs::create_dir(bench.baked.cache()).expect("a folder");
    }
    let mut build = bench.baked.command();
    build.args(["image", "build"]);
    measured(&build, &[])
}

fn push_bake(bench: &Bench, to: &str) -> Cost {
    let mut push = bench.baked.command();
    push.args(["image", "push", to]);
    measured(&push, &[])
}

fn buildah(bench: &Bench, there: There) -> Cost {
    match there {
        There::Nothing => {
            said(bench.buildah().args(["rmi", "--all", "--force"])).done();
        }
        There::Base => {
            said(bench.buildah().args(["pull", "--quiet", "--tls-verify=false", &bench.base])).done();
        }
        There::Everything => {}
    }
    let mut build = bench.buildah();
    build.args([
        "build",
        "--quiet",
        "--format",
        "docker",
        "--layers",
        "--tls-verify=false",
        "--network",
        "host",
        "--tag",
        &bench.tag,
    ]);
    build.args((there != There::Everything).then_some("--no-cache")).arg(bench.scratch.join("context"));
    measured(&build, &[])
}

fn push_buildah(bench: &Bench, to: &str) -> Cost {
    let mut push = bench.buildah();
    push.args(["push", "--quiet", "--tls-verify=false", &bench.tag, &format!("docker://{to}")]);
    measured(&push, &[])
}

/// What a person would write; a second run has no less to do, but for blobs that are there.
fn umoci(bench: &Bench, there: There) -> Cost {
    if there == There::Nothing {
        remove(&bench.layout());
    }
    let layout = plain(&bench.layout());
    let mut script = format!(
        "set -eu\ncd '{}'\nrm -rf bin\nmkdir bin\nskopeo copy --quiet --src-tls-verify=false 'docker://{}' 'oci:{layout}:base'\numoci tag --image '{layout}:base' 1\n",
        plain(bench.scratch.path()),
        // skopeo takes a tag or a digest.
        bench.base.replacen(TAG, "", 1),
    );
    for (url, sha256) in bench.baked.archives(Arch::Amd64) {
        let name = url.rsplit('/').next().unwrap_or_default().trim_end_matches(".tar.gz").to_owned();
        let _ = writeln!(
            script,
            "curl --silent --fail --output archive '{url}'\necho '{sha256}  archive' | sha256sum --check --quiet\n\
             tar -xzf archive -C bin '{name}'\nchmod 755 'bin/{name}'\n\
             umoci insert --image '{layout}:1' 'bin/{name}' '/usr/local/bin/{name}'"
        );
    }
    let _ = writeln!(script, "umoci config --image '{layout}:1' --config.user 1000:1000");
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]);
    measured(&shell, &[])
}

fn push_umoci(bench: &Bench, to: &str) -> Cost {
    let mut push = Command::new("skopeo");
    push.args(["copy", "--quiet", "--dest-tls-verify=false"]);
    push.arg(format!("oci:{}:1", bench.layout().display())).arg(format!("docker://{to}"));
    measured(&push, &[])
}
