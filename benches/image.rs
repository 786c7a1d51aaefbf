//! The gateway's image from the same lock, by `bake image` and by the tools that it does without, and
//! pushes of it: `cargo bench --bench image`, after `tests/testbed/install`, `up` and `boot`, on a
//! machine that does nothing else meanwhile.
//!
//! Every builder uses the real gateway's image as the base, by digest, and three programs of real size, one of
//! them with additional files, from a server on loopback, and checks their digests. [`STEPS`] are measured one
//! after the other; each run starts with another builder.
//!
//! Memory is the peak of the largest process of a command. For an engine, the peak of its daemons is added; the
//! growth excludes their initial use. The containers of a build and the registry are excluded.
//!
//! `BAKE_BENCH_RUNS` says how many runs a median is of. Machines differ, ratios less so.

#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use bake::http::{Client, RetryPolicy};
use bake::project::values::Arch;
use bake::registry::{Credentials, ImageSource};
use flate2::read::GzDecoder;
use support::audit::plain;
use support::baked::{Baked, real};
use support::cost::measured;
use support::testbed::{self, Pushed};
use support::{Folder, said};

/// The tag of the real gateway's image.
const TAG: &str = ":2026.9.6";

/// The smallest unpacked base image of realistic size, in bytes.
const SMALLEST: u64 = 500_000_000;

/// The measured steps, in this order.
const STEPS: [&str; 6] = [
    "a build with nothing there: the base image comes out of the registry",
    "a build with the base image there, as after a change of the lock: no archive, no cached layer",
    "the same build again",
    "a push to an empty repository of the registry that has the base image",
    "the same push again",
    "a push to an empty repository of another registry",
];

/// Those of [`STEPS`] that the goals are about: cold, and warm.
const COLD: usize = 0;
const WARM: [usize; 2] = [1, 2];

/// How many times faster a cold build must be than one by Docker.
const FASTER: f64 = 10.0;

/// The memory limit of `bake`, in MiB.
const MOST: f64 = 64.0;

/// The cost of a run.
#[derive(Clone, Copy)]
struct Cost {
    seconds: f64,
    /// In MiB.
    peak: f64,
    /// In MiB.
    growth: f64,
}

/// The state before a build.
#[derive(Clone, Copy, PartialEq, Eq)]
enum There {
    Nothing,
    Base,
    Everything,
}

/// A program that builds, and pushes to a repository.
struct Builder {
    name: &'static str,
    build: fn(&Bench, There) -> Cost,
    push: fn(&Bench, &str) -> Cost,
}

/// The builder that the others are compared with, and that the goals apply to.
const BAKE: usize = 0;
const DOCKER: usize = 1;

const BUILDERS: [Builder; 4] = [
    Builder { name: "bake", build: bake, push: push_bake },
    Builder {
        name: "docker 26, BuildKit",
        build: |bench, there| bench.docker("docker-26", there),
        push: |bench, to| bench.push_docker("docker-26", to),
    },
    Builder { name: "buildah", build: buildah, push: push_buildah },
    Builder { name: "umoci and skopeo", build: umoci, push: push_umoci },
];

/// The cost of each run of a builder, by step.
type Costs = [Vec<Cost>; STEPS.len()];

struct Bench {
    baked: Baked,
    base: String,
    scratch: Folder,
    tag: String,
}

fn main() {
    let begun = Instant::now();
    let runs = std::env::var("BAKE_BENCH_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(5);
    let (registry, digest) = (testbed::registry(), testbed::boot("real.digest"));
    let digest = fs::read_to_string(digest).expect("a digest");
    let base = format!("{registry}/openclaw/openclaw{TAG}@{}", digest.trim());
    let (compressed, unpacked) = size_of(&base);
    println!("base image: {} MB compressed, {} MB unpacked", compressed / 1_000_000, unpacked / 1_000_000);
    assert!(unpacked >= SMALLEST, "the base image is too small to tell anything");

    let tag = format!("localhost/bake-bench-{}:1", std::process::id());
    let bench = Bench { baked: Baked::on(&base, real()), base, scratch: Folder::empty(), tag };
    bench.baked.bake(["render"]).done();
    bench.scratch.write("context/Dockerfile", bench.baked.folder.read("out/Dockerfile"));
    let mut costs: [Costs; BUILDERS.len()] = Default::default();
    for run in 0..runs {
        for at in (0..BUILDERS.len()).map(|at| (at + run) % BUILDERS.len()) {
            eprintln!(
                "{:4.0} s: run {} of {runs}, {}",
                begun.elapsed().as_secs_f64(),
                run + 1,
                BUILDERS[at].name
            );
            let once = bench.run(&BUILDERS[at], &registry);
            costs[at].iter_mut().zip(once).for_each(|(costs, cost)| costs.push(cost));
        }
    }
    drop(bench);
    print_costs(&costs, runs);
    print_goals(&costs);
    println!("\nit took {:.0} s", begun.elapsed().as_secs_f64());
}

/// The compressed and unpacked size of an image, in bytes.
fn size_of(image: &str) -> (u64, u64) {
    let source = ImageSource::Registry(image.parse().expect("a reference"));
    let images =
        source.open(&Client::new(RetryPolicy::default()), &Credentials::Anonymous).expect("the base image");
    let (mut compressed, mut unpacked) = (0, 0);
    for layer in images.image(Arch::Amd64).expect("one for amd64").layers {
        compressed += layer.descriptor.size();
        let stored = images.layer(&layer).expect("a layer");
        unpacked += io::copy(&mut GzDecoder::new(stored), &mut io::sink()).expect("gzip");
    }
    (compressed, unpacked)
}

fn print_costs(costs: &[Costs], runs: usize) {
    println!("medians of {runs}; each ratio is to bake");
    for (step, what) in STEPS.iter().enumerate() {
        println!("\n{what}\n{:24}  seconds   ratio  peak MiB   ratio  growth MiB", "");
        let own = median(&costs[BAKE][step]);
        for (builder, costs) in BUILDERS.iter().zip(costs) {
            let Cost { seconds, peak, growth } = median(&costs[step]);
            let (slower, larger) = (seconds / own.seconds, peak / own.peak);
            println!(
                "  {:22} {seconds:8.2} {slower:7.1}  {peak:8.0} {larger:7.1}  {growth:10.0}",
                builder.name
            );
        }
    }
}

fn print_goals(costs: &[Costs]) {
    let seconds = |builder: usize, step: usize| median(&costs[builder][step]).seconds;
    let ratio = |steps: &[usize]| {
        let of = |step: &usize| seconds(DOCKER, *step) / seconds(BAKE, *step);
        steps.iter().map(of).fold(f64::INFINITY, f64::min)
    };
    let told = |met: bool| if met { "met" } else { "missed" };
    let (cold, warm) = (ratio(&[COLD]), ratio(&WARM));
    let peak = costs[BAKE].iter().flatten().map(|cost| cost.peak).fold(0.0, f64::max);
    println!("\ngoals");
    println!("  {FASTER} times as fast as docker build, cold: {cold:.1}, {}", told(cold >= FASTER));
    println!("  no slower, warm: {warm:.1}, {}", told(warm >= 1.0));
    println!("  below {MOST} MiB in every run of every step: {peak:.0}, {}", told(peak < MOST));
}

/// Each of the three by itself.
fn median(costs: &[Cost]) -> Cost {
    let middle = |of: fn(&Cost) -> f64| {
        let mut all: Vec<_> = costs.iter().map(of).collect();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    Cost {
        seconds: middle(|cost| cost.seconds),
        peak: middle(|cost| cost.peak),
        growth: middle(|cost| cost.growth),
    }
}

/// Runs a command to its end, and measures it; `daemons` work for it.
fn cost(command: &Command, daemons: &[u32]) -> Cost {
    // Writes of earlier commands must not slow this one down.
    said(&mut Command::new("sync")).done();
    for daemon in daemons {
        // Resets the peak (proc(5), "clear_refs").
        fs::write(format!("/proc/{daemon}/clear_refs"), "5").expect("a daemon");
    }
    let before = peak_of(daemons);
    let (_, cost) = measured(command);
    let after = peak_of(daemons);
    Cost { seconds: cost.seconds, peak: cost.peak + after, growth: cost.peak + after - before }
}

/// In MiB, together.
fn peak_of(processes: &[u32]) -> f64 {
    let peak = |process: &u32| -> f64 {
        let status = fs::read_to_string(format!("/proc/{process}/status")).expect("a daemon");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse().expect("KiB")
    };
    processes.iter().map(peak).sum::<f64>() / 1024.0
}

/// Runs a tool of the testbed to its end.
fn tool(name: &str, arguments: &[&str]) {
    said(testbed::tool(name).args(arguments)).done();
}

impl Bench {
    /// One run of each step.
    fn run(&self, builder: &Builder, registry: &str) -> [Cost; STEPS.len()] {
        let build = |there| (builder.build)(self, there);
        let name = format!("bake-bench-{}:1", std::process::id());
        let (nothing, base, again) = (build(There::Nothing), build(There::Base), build(There::Everything));
        let to = Pushed(format!("{registry}/{name}"));
        let (push, push_again) = ((builder.push)(self, &to.0), (builder.push)(self, &to.0));
        drop(to);
        // Another name, so that the base image's layers are uploaded.
        let elsewhere = Pushed(format!("{}/{name}", registry.replace("127.0.0.1", "localhost")));
        [nothing, base, again, push, push_again, (builder.push)(self, &elsewhere.0)]
    }

    fn layout(&self) -> PathBuf {
        self.scratch.join("layout")
    }

    fn docker(&self, engine: &str, there: There) -> Cost {
        let mut build = testbed::tool(engine);
        build.args(["build", "--quiet", "--force-rm", "--network", "host"]);
        match there {
            There::Nothing => {
                self.forget(engine);
                tool(engine, &["builder", "prune", "--all", "--force"]);
                let inspect = said(testbed::tool(engine).args(["inspect", &self.base]));
                assert_ne!(inspect.code, 0, "{engine}: something keeps the base image");
            }
            There::Base => {
                tool(engine, &["pull", "--quiet", &self.base]);
                tool(engine, &["rmi", "--force", &self.tag]);
            }
            There::Everything => {}
        }
        build.args((there != There::Everything).then_some("--no-cache"));
        build.args(["--tag", &self.tag]).arg(self.scratch.join("context"));
        cost(&build, &daemons(engine))
    }

    /// Removes the image and its base from an engine that may have neither.
    fn forget(&self, engine: &str) {
        // An engine lists what was pulled by tag and digest under its digest alone.
        let base = self.base.replacen(TAG, "", 1);
        // Images of intermediate stages keep the base image, too.
        for arguments in
            [&["rmi", "--force", &self.tag][..], &["image", "prune", "--force"], &["rmi", "--force", &base]]
        {
            let _ = testbed::tool(engine).args(arguments).output();
        }
    }

    fn push_docker(&self, engine: &str, to: &str) -> Cost {
        tool(engine, &["tag", &self.tag, to]);
        let mut push = testbed::tool(engine);
        push.args(["push", "--quiet", to]);
        let cost = cost(&push, &daemons(engine));
        tool(engine, &["rmi", to]);
        cost
    }

    /// `buildah` with separate storage.
    fn buildah(&self) -> Command {
        let mut buildah = testbed::tool("buildah");
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
        self.forget("docker-26");
        let _ = Command::new("umount").arg("--recursive").arg(self.storage().join("overlay")).output();
    }
}

/// The process that builds, and the one that keeps layers.
fn daemons(engine: &str) -> [u32; 2] {
    let folder = testbed::folder().join(engine);
    ["pid", "exec/containerd/containerd.pid"].map(|file| {
        let pid = fs::read_to_string(folder.join(file)).expect("a daemon");
        pid.trim().parse().expect("its number")
    })
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
    cost(&build, &[])
}

fn push_bake(bench: &Bench, to: &str) -> Cost {
    let mut push = bench.baked.command();
    push.args(["image", "push", to]);
    cost(&push, &[])
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
    cost(&build, &[])
}

fn push_buildah(bench: &Bench, to: &str) -> Cost {
    let mut push = bench.buildah();
    push.args(["push", "--quiet", "--tls-verify=false", &bench.tag, &format!("docker://{to}")]);
    cost(&push, &[])
}

/// A script as a person would write it. A second run does the same work, except for blobs that the registry
/// has.
fn umoci(bench: &Bench, there: There) -> Cost {
    if there == There::Nothing {
        remove(&bench.layout());
    }
    let layout = plain(&bench.layout());
    let mut script = format!(
        "set -eu\ncd '{}'\nrm -rf bin\nmkdir bin\n\
         skopeo copy --quiet --src-tls-verify=false 'docker://{}' 'oci:{layout}:base'\n\
         umoci tag --image '{layout}:base' 1\n",
        plain(bench.scratch.path()),
        // skopeo takes a tag or a digest.
        bench.base.replacen(TAG, "", 1),
    );
    for tool in &bench.baked.tools {
        let (url, sha256) = bench.baked.archive(tool, Arch::Amd64);
        let (name, path) = (tool.name, tool.path);
        let _ = writeln!(
            script,
            "curl --silent --fail --output archive '{url}'\n\
             echo '{sha256}  archive' | sha256sum --check --quiet\n\
             mkdir 'bin/{name}'\n\
             tar -xzf archive -C 'bin/{name}'\n\
             chmod 755 'bin/{name}/{path}'"
        );
        let _ = if tool.keep_siblings {
            writeln!(
                script,
                "chmod -R a+rX 'bin/{name}'\n\
                 ln -s '../lib/{name}/{path}' bin/link\n\
                 umoci insert --image '{layout}:1' 'bin/{name}' '/usr/local/lib/{name}'\n\
                 umoci insert --image '{layout}:1' bin/link '/usr/local/bin/{name}'"
            )
        } else {
            writeln!(script, "umoci insert --image '{layout}:1' 'bin/{name}/{path}' '/usr/local/bin/{name}'")
        };
    }
    let _ = writeln!(script, "umoci config --image '{layout}:1' --config.user 1000:1000");
    let mut shell = Command::new("bash");
    shell.args(["-c", &script]);
    cost(&shell, &[])
}

fn push_umoci(bench: &Bench, to: &str) -> Cost {
    let mut push = Command::new("skopeo");
    push.args(["copy", "--quiet", "--dest-tls-verify=false"]);
    push.arg(format!("oci:{}:1", bench.layout().display())).arg(format!("docker://{to}"));
    cost(&push, &[])
}
