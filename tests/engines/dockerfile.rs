//! Builds the rendered Dockerfile with every supported builder. The tools are served on loopback.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::support::archives::{self, Members};
use crate::support::server::{Answer, Server};
use crate::support::test;
use crate::support::{Folder, Said, build, said, testbed};
use bake::diagnostics::{Problems, Source};
use bake::digest::Sha256;
use bake::lock;
use bake::project::values::Arch;
use serde_json::{Value, json};

/// A tool as a publisher releases it.
struct Tool {
    name: String,
    /// The last segment of its URL.
    file: String,
    /// The executable's path in the archive.
    path: &'static str,
    pack: fn(&Members<'_>) -> Vec<u8>,
    keep_siblings: bool,
    /// Whether the lock contains the executable's own digest.
    known: bool,
    /// Makes the content unique, because BuildKit does not download a known digest again.
    salt: String,
}

fn tool(name: &str, file: &str, path: &'static str, pack: fn(&Members<'_>) -> Vec<u8>) -> Tool {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let time = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_nanos();
    let salt = format!("{time}-{}", COUNT.fetch_add(1, Ordering::Relaxed));
    Tool { name: name.to_owned(), file: file.to_owned(), path, pack, keep_siblings: false, known: true, salt }
}

/// Each archive format, and names that the shell, BuildKit or a URL could interpret.
fn every_shape() -> Vec<Tool> {
    vec![
        tool("flat", "flat.tar.gz", "flat", archives::tar_gz),
        tool("folder", "folder-1.tgz", "folder-1/bin/folder", archives::tar_gz),
        tool("dotted", "dotted.tar.gz", "bin/dotted", archives::dotted_tar_gz),
        tool("xz", "xz.tar.xz", "xz", archives::tar_xz),
        tool("bz2", "bz2.tar.bz2", "bz2", archives::tar_bz2),
        tool("zst", "zst.tar.zst", "zst", archives::tar_zst),
        tool("odd.tar", "odd.tar.gz", "odd one/it's \"größe\" $(id) <<EOF #1 [a] *", archives::tar_gz),
        tool("zipped", "zipped.zip", "bin/zipped", archives::zip),
        tool("odd_zip", "odd[1-3]$(id);&.zip?a=%20&b=*", "odd [v1]*?/it's \"größe\" <<EOF", archives::zip),
        tool("dashed", "dashed.zip", "-x", archives::zip),
        tool("bare", "bare-linux", "bare", archives::bare),
        tool("single", "single.gz", "single", archives::gz),
        Tool { known: false, ..tool("unknown", "unknown.tar.gz", "unknown", archives::tar_gz) },
        Tool { keep_siblings: true, ..tool("codex", "Codex.tar.gz", "CodexCLI", archives::tar_gz) },
        Tool { keep_siblings: true, ..tool("plugins", "plugins.zip", "bin/plugins", archives::zip) },
    ]
}

fn one() -> Vec<Tool> {
    vec![tool("flat", "flat.tar.gz", "flat", archives::tar_gz)]
}

impl Tool {
    /// Its output.
    fn says(&self, version: &str, arch: Arch) -> String {
        format!("{} {version} {arch}", self.name)
    }

    /// A tool with other files reads its output from one of them.
    fn binary(&self, version: &str, arch: Arch) -> String {
        let salt = &self.salt;
        if self.keep_siblings {
            return format!(
                "#!/bin/sh\n# {version} {arch} {salt}\ncat \"$(dirname \"$(readlink -f \"$0\")\")/data/said\"\n"
            );
        }
        format!("#!/bin/sh\n# {salt}\necho {}\n", self.says(version, arch))
    }

    fn archive(&self, version: &str, arch: Arch) -> Vec<u8> {
        let (binary, said) = (self.binary(version, arch), self.says(version, arch) + "\n");
        (self.pack)(&[
            (self.path, binary.as_bytes()),
            (&self.data(), said.as_bytes()),
            ("README.md", b"not the tool"),
        ])
    }

    /// A file next to the executable.
    fn data(&self) -> String {
        Path::new(self.path).with_file_name("data/said").to_str().expect("UTF-8").to_owned()
    }

    /// Other files that are installed with the executable.
    fn siblings(&self) -> Vec<String> {
        if self.keep_siblings {
            vec![self.path.to_owned(), self.data(), "README.md".to_owned()]
        } else {
            Vec::new()
        }
    }

    fn served_at(&self, version: &str, arch: Arch) -> String {
        format!("/{version}/{arch}/{}", self.file)
    }
}

/// A project on the stand-in base image, whose tools are served on loopback.
struct Sample {
    folder: Folder,
    server: Server,
    tools: Vec<Tool>,
}

impl Sample {
    fn new(tools: Vec<Tool>) -> Self {
        let sample = Self { folder: Folder::project(), server: Server::start(), tools };
        sample.folder.edit("bake.yaml", "ghcr.io/openclaw/openclaw:2026.9.4", &testbed::base_image());
        sample.folder.edit("bake.yaml", "apt: [socat]", "apt: []");
        sample.publish(|_| "1");
        sample
    }

    /// Publishes every tool at its version and locks it.
    fn publish(&self, version: impl Fn(&Tool) -> &'static str) {
        let mut manifest = String::from("version: 1\nbinaries:\n");
        let mut builds = Vec::new();
        for tool in &self.tools {
            let version = version(tool);
            let url = self.server.url("/{version}/{arch}/") + &tool.file;
            let entry = json!({"name": tool.name, "version": version, "url": url, "binary": tool.path, "beside": tool.keep_siblings});
            let _ = writeln!(manifest, "  - {entry}");
            for arch in Arch::ALL {
                let (archive, binary) = (tool.archive(version, arch), tool.binary(version, arch));
                let path = tool.served_at(version, arch);
                let known = tool.known.then_some(binary.as_bytes());
                builds.push((
                    tool.name.as_str(),
                    arch,
                    build(&self.server.url(&path), &archive, tool.path, known),
                ));
                self.server.answer(&path, Answer::of(archive));
            }
        }
        self.folder.write("images/binaries.yaml", manifest).lock(&builds);
    }

    fn dockerfile(&self) -> String {
        self.folder.bake(["render"]).done();
        self.folder.read("out/Dockerfile")
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Builder {
    /// Docker 26's.
    BuildKit,
    /// Debian 13's.
    Buildah,
}
use Builder::{BuildKit, Buildah};

/// The Docker that stores and runs the images.
const DOCKER: &str = "docker-26";

fn docker() -> Command {
    testbed::tool(DOCKER)
}

fn buildkit() -> Command {
    let mut command = docker();
    command.args(["build", "--progress", "plain"]);
    command
}

fn inspect(image: &str, pointer: &str) -> Value {
    let inspected = said(docker().args(["image", "inspect", image])).done();
    let images: Value = serde_json::from_str(&inspected.out).expect("JSON");
    images[0].pointer(pointer).cloned().unwrap_or_default()
}

/// The output of a command in a new container without network, as the image's user.
fn run<'a>(image: &str, options: &[&str], command: impl IntoIterator<Item = &'a str>) -> String {
    let mut run = docker();
    run.args(["run", "--rm", "--network", "none"]).args(options).arg(image).args(command);
    said(&mut run).done().out
}

/// A builder and its images, which are removed at the end.
struct Workshop {
    builder: Builder,
    tag: String,
    scratch: Folder,
    /// Images whose name a later build has taken.
    nameless: Vec<String>,
}

impl Workshop {
    fn open(builder: Builder) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        testbed::tool(DOCKER);
        testbed::tool("buildah");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let tag = format!("localhost/bake-test-{}-{number}:1", std::process::id());
        Self { builder, tag, scratch: Folder::empty(), nameless: Vec::new() }
    }

    /// In a private storage on top of the testbed's, which has the base image.
    fn buildah(&self) -> Command {
        let mut command = testbed::tool("buildah");
        let shared = testbed::folder().join("buildah/root").display().to_string();
        command.arg("--root").arg(self.storage()).arg("--runroot").arg(self.scratch.join("run"));
        command.args(["--storage-driver", "overlay", "--storage-opt"]);
        command.arg(format!("overlay.imagestore={shared}"));
        command
    }

    fn storage(&self) -> PathBuf {
        self.scratch.join("storage")
    }

    /// Builds a Dockerfile in an otherwise empty context.
    fn build(&mut self, dockerfile: &str) -> Said {
        self.build_for(Arch::Amd64, dockerfile)
    }

    fn build_for(&mut self, arch: Arch, dockerfile: &str) -> Said {
        self.scratch.write("context/Dockerfile", dockerfile);
        let mut command = match self.builder {
            BuildKit => buildkit(),
            Buildah => self.buildah(),
        };
        if self.builder == Buildah {
            command.args(["build", "--format", "docker", "--layers", "--force-rm"]);
        }
        command.args(["--platform", &format!("linux/{arch}"), "--network", "host", "--tag", &self.tag]);
        command.arg(self.scratch.join("context"));
        if self.has_image() {
            let earlier = inspect(&self.tag, "/Id").as_str().expect("an id").to_owned();
            self.nameless.push(earlier);
        }
        let start = Instant::now();
        let built = said(&mut command);
        eprintln!("{:?}: {:.1} s", self.builder, start.elapsed().as_secs_f64());
        if self.builder == Buildah && built.code == 0 {
            let archive = self.scratch.join("image.tar").display().to_string();
            let to = format!("docker-archive:{archive}:{}", self.tag);
            said(self.buildah().args(["push", "--quiet", &self.tag, &to])).done();
            said(docker().args(["load", "--input", &archive])).done();
            fs::remove_file(archive).expect("an archive");
        }
        built
    }

    fn has_image(&self) -> bool {
        said(docker().args(["image", "inspect", &self.tag])).code == 0
    }
}

impl Drop for Workshop {
    fn drop(&mut self) {
        let images = self.nameless.iter().chain([&self.tag]).rev();
        // A failed build leaves no image, and removing an image removes its unnamed ancestors.
        let _ = docker().args(["rmi"]).args(images).output();
    }
}

/// Checks an image with every kind of tool.
fn builds_every_shape(builder: Builder) {
    let (sample, mut shop) = (Sample::new(every_shape()), Workshop::open(builder));
    sample.folder.edit("bake.yaml", "apt: []", "apt: [ed]");
    shop.build(&sample.dockerfile()).done();

    holds_the_binaries(&sample, &shop, Arch::Amd64);
    holds_nothing_else(&sample, &shop);
    runs_as_the_base_image_does(&sample, &shop);
}

fn holds_the_binaries(sample: &Sample, shop: &Workshop, arch: Arch) {
    let container = said(docker().args(["create", &shop.tag])).done().out;
    let copied = shop.scratch.join("local");
    let from = format!("{}:/usr/local", container.trim());
    said(docker().args(["cp", "--archive", &from]).arg(&copied)).done();
    said(docker().args(["rm", container.trim()])).done();
    for tool in &sample.tools {
        let path = copied.join("bin").join(&tool.name);
        let binary = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", tool.name));
        assert_eq!(Sha256::of(binary), Sha256::of(tool.binary("1", arch)), "{}", tool.name);
        let metadata = path.metadata().expect("a file");
        assert_eq!(metadata.mode() & 0o7777, 0o755, "{}", tool.name);
        assert_eq!((metadata.uid(), metadata.gid()), (0, 0), "{}", tool.name);
        assert_eq!(path.is_symlink(), tool.keep_siblings, "{}", tool.name);
    }
}

/// Outside the base image's files and Debian's packages, only the tools are installed: no archives and
/// no programs for unpacking.
fn holds_nothing_else(sample: &Sample, shop: &Workshop) {
    let list = "find / -xdev '(' -path /bin -o -path /etc -o -path /usr/bin -o -path /usr/share -o -path /var ')' -prune \
                -o ! -type d -print; command -v bzip2 unzip xz zstd || true";
    let files = |image: &str| -> BTreeSet<String> {
        let found = run(image, &["--user", "0", "--entrypoint", "sh"], ["-c", list]);
        found.lines().map(ToOwned::to_owned).collect()
    };
    let base = files(&testbed::base_image());
    let new: BTreeSet<_> = files(&shop.tag).difference(&base).cloned().collect();
    let mut expected = BTreeSet::new();
    for tool in &sample.tools {
        expected.insert(format!("/usr/local/bin/{}", tool.name));
        let siblings = tool.siblings();
        expected.extend(siblings.into_iter().map(|file| format!("/usr/local/lib/{}/{file}", tool.name)));
    }
    assert_eq!(new, expected);
}

fn runs_as_the_base_image_does(sample: &Sample, shop: &Workshop) {
    let base = testbed::base_image();
    for key in ["Entrypoint", "Cmd", "Healthcheck", "Env", "WorkingDir"] {
        let pointer = format!("/Config/{key}");
        let expected = inspect(&base, &pointer);
        assert!(!expected.is_null(), "{key}");
        assert_eq!(inspect(&shop.tag, &pointer), expected, "{key}");
    }
    let (_, digest) = base.split_once('@').expect("a digest");
    let lock = Sha256::of(sample.folder.read("bake.lock")).to_string();
    let labels = inspect(&shop.tag, "/Config/Labels");
    assert_eq!(labels["ai.openclaw.bake.lock"], json!(lock));
    assert_eq!(labels["org.opencontainers.image.base.name"], json!(base));
    assert_eq!(labels["org.opencontainers.image.base.digest"], json!(digest));

    // Runs each tool by name through the base image's entry point.
    let script = "id -u; id -g; command -v ed; for tool; do \"$tool\"; done";
    let names = sample.tools.iter().map(|tool| tool.name.as_str());
    let out = run(&shop.tag, &[], ["sh", "-c", script, "sh"].into_iter().chain(names));
    let mut expected = vec!["1000".to_owned(), "1000".to_owned(), "/usr/bin/ed".to_owned()];
    expected.extend(sample.tools.iter().map(|tool| tool.says("1", Arch::Amd64)));
    assert_eq!(out.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn hadolint_reports_nothing() {
    let (sample, mut hadolint) = (Sample::new(every_shape()), testbed::tool("hadolint"));
    sample.dockerfile();
    said(hadolint.arg(sample.folder.join("out/Dockerfile"))).done();
}

#[test]
fn docker_26_builds_every_shape() {
    builds_every_shape(BuildKit);
}

#[test]
fn buildah_builds_every_shape() {
    builds_every_shape(Buildah);
}

/// A fault and the expected message of the build.
type Fault = (fn(&Sample), &'static str);

fn flip_a_byte(sample: &Sample) {
    let mut archive = sample.tools[0].archive("1", Arch::Amd64);
    let middle = archive.len() / 2;
    archive[middle] ^= 1;
    sample.server.answer("/1/amd64/flat.tar.gz", Answer::of(archive));
}

fn cut(sample: &Sample) -> (Vec<u8>, usize) {
    let archive = sample.tools[0].archive("1", Arch::Amd64);
    let half = archive.len() / 2;
    (archive, half)
}

fn change_build(sample: &Sample, change: fn(&mut lock::Build)) {
    sample.folder.relock(|lock| {
        let builds = lock.binaries.values_mut().next().expect("a tool").builds.values_mut();
        builds.for_each(change);
    });
}

/// Changes manifest and lock, because a lock with another path is stale.
fn change_path(sample: &Sample, path: &str) {
    sample.folder.edit("images/binaries.yaml", "\"binary\":\"flat\"", &format!("\"binary\":\"{path}\""));
    let source = Source::new("bake.lock", sample.folder.read("bake.lock"));
    let (lock, _) = lock::read(source, &mut Problems::default()).expect("a lock");
    let builds = lock.binaries.values().flat_map(|tool| tool.builds.clone());
    let builds: Vec<_> = builds
        .map(|(arch, build)| ("flat", arch, lock::Build { binary: path.parse().expect("a path"), ..build }))
        .collect();
    sample.folder.lock(&builds);
}

/// A build with a fault must fail with its message and leave no image.
fn fails(builder: Builder, (fault, message): Fault) {
    let (sample, mut shop) = (Sample::new(one()), Workshop::open(builder));
    fault(&sample);
    let built = shop.build(&sample.dockerfile());
    let output = built.out + &built.err;
    assert_ne!(built.code, 0, "{output}");
    assert!(output.contains(message), "{message}: {output}");
    // Both builders show the failing step's instruction, and BuildKit its stage as well.
    let step = output.lines().rfind(|line| {
        line.starts_with(match builder {
            BuildKit => " > [amd64-flat ",
            Buildah => "Error: building at STEP ",
        })
    });
    assert!(
        step.is_some_and(|line| line.contains("flat.tar.gz") || line.contains("flat: no build")),
        "{output}"
    );
    assert!(!shop.has_image());
}

fn lock_another_binary(sample: &Sample) {
    change_build(sample, |build| build.binary_sha256 = Some(Sha256::of("other")));
}

#[test]
fn docker_26_refuses_deviations_from_the_lock() {
    let faults: [Fault; 8] = [
        (flip_a_byte, "digest mismatch sha256:"),
        // BuildKit ignores the status (moby/buildkit#6380).
        (|sample| sample.server.remove("/1/amd64/flat.tar.gz"), "digest mismatch sha256:"),
        (
            |sample| {
                let (archive, half) = cut(sample);
                sample.server.answer("/1/amd64/flat.tar.gz", Answer::of(&archive[..half]));
            },
            "digest mismatch sha256:",
        ),
        (
            |sample| {
                let (archive, half) = cut(sample);
                sample.server.answer("/1/amd64/flat.tar.gz", Answer::of(archive).cut_at(half));
            },
            "unexpected EOF",
        ),
        (|sample| change_path(sample, "bin/other"), "tar: bin/other: Not found in archive"),
        (|sample| change_path(sample, "data"), "install: omitting directory 'data'"),
        (lock_another_binary, "/out/bin/flat: FAILED"),
        (
            |sample| {
                sample.folder.edit("bake.yaml", "arch: amd64", "arch: arm64");
                sample.folder.edit("bake.yaml", "machine_type: e2-small", "machine_type: t2a-standard-1");
                let only = "\"name\":\"flat\",\"arch\":{\"arm64\":\"arm64\"}";
                sample.folder.edit("images/binaries.yaml", "\"name\":\"flat\"", only);
                sample.folder.relock(|lock| {
                    for tool in lock.binaries.values_mut() {
                        tool.builds.remove(&Arch::Amd64);
                    }
                });
            },
            "flat: no build for amd64 is locked",
        ),
    ];
    for fault in faults {
        fails(BuildKit, fault);
    }
}

#[test]
fn buildah_refuses_deviations_from_the_lock() {
    let faults: [Fault; 3] = [
        (flip_a_byte, "unexpected response digest for \"http://"),
        (|sample| sample.server.remove("/1/amd64/flat.tar.gz"), "invalid response status 404"),
        (lock_another_binary, "/out/bin/flat: FAILED"),
    ];
    for fault in faults {
        fails(Buildah, fault);
    }
}

/// buildah is not tested here: it downloads all archives again to check its cache.
#[test]
fn docker_26_downloads_only_changed_archives() {
    let tools = ["first", "second", "third"].map(|name| tool(name, name, name, archives::bare));
    let (mut sample, mut shop) = (Sample::new(tools.into()), Workshop::open(BuildKit));
    shop.build(&sample.dockerfile()).done();
    let mut first = sample.server.paths();
    first.sort_unstable();
    assert_eq!(first, ["/1/amd64/first", "/1/amd64/second", "/1/amd64/third"]);

    sample.publish(|tool| if tool.name == "second" { "2" } else { "1" });
    shop.build(&sample.dockerfile()).done();
    assert_eq!(sample.server.paths(), ["/2/amd64/second"]);
    let all = "first; second; third";
    assert_eq!(run(&shop.tag, &[], ["sh", "-c", all]), "first 1 amd64\nsecond 2 amd64\nthird 1 amd64\n");

    shop.build(&sample.dockerfile()).done();
    assert!(sample.server.paths().is_empty());

    // The first tool that needs another unpacker.
    sample.tools.push(tool("zipped", "zipped.zip", "zipped", archives::zip));
    sample.publish(|tool| if tool.name == "second" { "2" } else { "1" });
    shop.build(&sample.dockerfile()).done();
    assert_eq!(sample.server.paths(), ["/1/amd64/zipped.zip"]);
}

/// An image cannot have this many layers.
fn builds_130_tools(builder: Builder) {
    let names = (0..130).map(|number| format!("tool-{number}"));
    let tools = names.map(|name| tool(&name, &name, "it", archives::bare)).collect();
    let (sample, mut shop) = (Sample::new(tools), Workshop::open(builder));
    shop.build(&sample.dockerfile()).done();
    let layers = inspect(&shop.tag, "/RootFS/Layers");
    assert!(layers.as_array().is_some_and(|layers| layers.len() < 10), "{layers}");
    let all = "seq 0 129 | while read -r n; do \"tool-$n\"; done";
    let expected: String = sample.tools.iter().map(|tool| tool.says("1", Arch::Amd64) + "\n").collect();
    assert_eq!(run(&shop.tag, &[], ["sh", "-c", all]), expected);
}

#[test]
fn docker_26_builds_130_tools() {
    builds_130_tools(BuildKit);
}

/// The tools' stages run nothing for the other architecture.
fn builds_for_arm64(builder: Builder) {
    let (sample, mut shop) = (Sample::new(every_shape()), Workshop::open(builder));
    shop.build_for(Arch::Arm64, &sample.dockerfile()).done();
    assert!(sample.server.paths().iter().all(|path| path.starts_with("/1/arm64/")));
    holds_the_binaries(&sample, &shop, Arch::Arm64);
}

#[test]
fn docker_26_builds_for_arm64() {
    builds_for_arm64(BuildKit);
}

#[test]
fn buildah_builds_for_arm64() {
    builds_for_arm64(Buildah);
}
