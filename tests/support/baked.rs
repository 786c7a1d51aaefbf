//! A project that `bake image` can build: tools in every archive format, served on loopback, whose
//! executables run.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use bake::diagnostics::{Problems, Source};
use bake::digest::Sha256;
use bake::lock::{self, Lock};
use bake::project::values::Arch;
use serde_json::{Value, json};

use super::archives::{self, Members};
use super::images::{Parts, Tar, gzipped, index};
use super::server::{Answer, Server};
use super::{Folder, Said, build, elf, said};

/// A tool as a publisher releases it.
pub struct Tool {
    pub name: &'static str,
    /// The last part of its URL.
    file: &'static str,
    /// The executable's path in the archive.
    pub path: &'static str,
    pack: fn(&Members<'_>) -> Vec<u8>,
    pub keep_siblings: bool,
    /// Whether the lock contains the executable's own digest.
    known: bool,
    /// A program of this machine to use as the amd64 executable. The arm64 one has the same length.
    real: Option<&'static str>,
    /// The dynamic loader of its executables.
    pub loader: Option<&'static str>,
}

const fn tool(
    name: &'static str,
    file: &'static str,
    path: &'static str,
    pack: fn(&Members<'_>) -> Vec<u8>,
) -> Tool {
    Tool { name, file, path, pack, keep_siblings: false, known: true, real: None, loader: None }
}

/// One tool for each archive format.
pub fn every_packing() -> Vec<Tool> {
    vec![
        tool("flat", "flat.tar.gz", "flat", archives::tar_gz),
        tool("folder", "folder-1.tgz", "folder-1/bin/folder", archives::tar_gz),
        tool("dotted", "dotted.tar.gz", "bin/dotted", archives::dotted_tar_gz),
        tool("xz", "xz.tar.xz", "xz", archives::tar_xz),
        tool("bz2", "bz2.tar.bz2", "bz2", archives::tar_bz2),
        tool("zst", "zst.tar.zst", "zst", archives::tar_zst),
        tool("odd.tar", "odd.tar.gz", "odd one/it's \"größe\" $(id)", archives::tar_gz),
        tool("zipped", "zipped.zip", "bin/zipped", archives::zip),
        tool("bare", "bare-linux", "bare", archives::bare),
        tool("single", "single.gz", "single", archives::gz),
        Tool { known: false, ..tool("unknown", "unknown.tar.gz", "unknown", archives::tar_gz) },
        Tool { keep_siblings: true, ..tool("codex", "Codex.tar.gz", "CodexCLI", archives::tar_gz) },
        Tool { keep_siblings: true, ..tool("plugins", "plugins.zip", "bin/plugins", archives::zip) },
        Tool { keep_siblings: true, ..tool("deep", "deep.tar.gz", "deep-1/deep", archives::tar_gz) },
    ]
}

/// Two tools, for tests that do not depend on the archive format.
pub fn two() -> Vec<Tool> {
    vec![
        tool("flat", "flat.tar.gz", "flat", archives::tar_gz),
        Tool { keep_siblings: true, ..tool("codex", "Codex.tar.gz", "CodexCLI", archives::tar_gz) },
    ]
}

/// Tools without other files, whose executable's digest is in the lock.
pub fn lone() -> Vec<Tool> {
    let mut tools = every_packing();
    tools.retain(|tool| tool.known && !tool.keep_siblings);
    tools
}

/// Tools of realistic size, one with other files. They are Go programs that the testbed installs.
pub fn real() -> Vec<Tool> {
    let tool = |name, file, real| Tool { real: Some(real), ..tool(name, file, name, archives::tar_gz) };
    vec![
        tool("first", "first.tar.gz", "/usr/bin/skopeo"),
        tool("second", "second.tar.gz", "/usr/bin/buildah"),
        Tool { keep_siblings: true, ..tool("third", "third.tar.gz", "/usr/bin/umoci") },
    ]
}

impl Tool {
    pub fn binary(&self, arch: Arch) -> Vec<u8> {
        let note = format!("{} 1", self.name);
        let mut binary = match self.loader {
            Some(loader) => elf::dynamic(arch, &note, loader),
            None => elf::executable(arch, &note),
        };
        if let Some(path) = self.real {
            let real = std::fs::read(path).unwrap_or_else(|error| panic!("{path}: {error}"));
            match arch {
                Arch::Amd64 => return real,
                Arch::Arm64 => binary.extend(real),
            }
        }
        binary
    }

    /// The archive to download.
    pub fn archive(&self, arch: Arch) -> Vec<u8> {
        // Longer than the name field of a tar header.
        let long = format!("{}/{}", "long".repeat(20), "name".repeat(20));
        let data = Path::new(self.path).with_file_name("data/said");
        let data = data.to_str().expect("UTF-8");
        let mut members: Vec<(&str, &[u8])> =
            vec![(self.path, b""), (data, b"said\n"), ("README.md", b"Read me.")];
        let binary = self.binary(arch);
        members[0].1 = &binary;
        if self.keep_siblings {
            members.push((&long, b"far away"));
        }
        (self.pack)(&members)
    }
}

/// The project, its tools and a private cache.
pub struct Baked {
    pub folder: Folder,
    pub server: Server,
    pub tools: Vec<Tool>,
    cache: Folder,
}

impl Baked {
    /// A project on a base image that is pinned by digest.
    pub fn on(base: &str, tools: Vec<Tool>) -> Self {
        let baked =
            Self { folder: Folder::project(), server: Server::start(), tools, cache: Folder::empty() };
        baked.folder.edit("bake.yaml", "ghcr.io/openclaw/openclaw:2026.9.4", base);
        baked.folder.edit("bake.yaml", "apt: [socat]", "apt: []");
        let mut manifest = String::from("version: 1\nbinaries:\n");
        let mut builds = Vec::new();
        for tool in &baked.tools {
            let url = baked.server.url("/{arch}/") + tool.file;
            let entry = json!({"name": tool.name, "version": "1", "url": url, "binary": tool.path, "beside": tool.keep_siblings});
            let _ = writeln!(manifest, "  - {entry}");
            for arch in Arch::ALL {
                let (archive, binary) = (tool.archive(arch), tool.binary(arch));
                let path = format!("/{arch}/{}", tool.file);
                let known = tool.known.then_some(binary.as_slice());
                let build = build(&baked.server.url(&path), &archive, tool.path, known);
                builds.push((tool.name, arch, build));
                baked.server.answer(&path, Answer::of(archive));
            }
        }
        if baked.tools.is_empty() {
            manifest.insert_str(manifest.len() - 1, " []");
        }
        baked.folder.write("images/binaries.yaml", manifest).lock(&builds);
        baked
    }

    /// A project whose base image is a layout in its folder, `base`.
    pub fn on_layout(tools: Vec<Tool>) -> Self {
        let parts = base();
        let baked = Self::on(&format!("registry.example/owner/base:1.2@{}", parts.digest().oci()), tools);
        parts.layout(&baked.folder.join("base"), "1");
        baked
    }

    /// The URL of a tool's archive for an architecture, and its checksum.
    pub fn archive(&self, tool: &Tool, arch: Arch) -> (String, Sha256) {
        let lock = self.folder.read("bake.lock");
        let source = Source::new("bake.lock", lock);
        let (lock, _) = lock::read(source, &mut Problems::default()).expect("a lock");
        let build = &lock.binaries[&tool.name.parse().expect("a name")].builds[&arch];
        (build.url.to_string(), build.sha256)
    }

    /// Makes the archives unavailable, in the cache and over the network.
    pub fn without_archives(&self) {
        for tool in &self.tools {
            for arch in Arch::ALL {
                self.server.remove(&format!("/{arch}/{}", tool.file));
            }
        }
        std::fs::remove_dir_all(self.cache()).expect("a folder");
        std::fs::create_dir(self.cache()).expect("a folder");
    }

    pub fn cache(&self) -> &Path {
        self.cache.path()
    }

    pub fn relock(&self, change: impl FnOnce(&mut Lock)) {
        self.folder.relock(change);
    }

    /// `bake`, to run here with this cache and no network but loopback.
    pub fn command(&self) -> Command {
        let mut command = self.folder.command();
        command.env("BAKE_CACHE_DIR", self.cache.path()).env("HTTPS_PROXY", "http://127.0.0.1:9");
        command
    }

    pub fn bake<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Said {
        said(self.command().args(arguments))
    }

    /// Runs `bake image ARGUMENTS --json` and returns its output.
    #[track_caller]
    pub fn image<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Value {
        let said = said(self.command().arg("image").args(arguments).arg("--json")).done();
        serde_json::from_str(&said.out).expect("JSON")
    }
}

/// A base image for both architectures, configured as Docker's builder does it.
pub fn base() -> Parts {
    index(
        Arch::ALL
            .map(|arch| {
                let layer = Tar::new()
                    .folder("lib64")
                    .file("lib64/ld-linux-x86-64.so.2", "glibc's loader")
                    .folder("usr")
                    .folder("usr/local")
                    .folder("usr/local/bin")
                    .file("usr/local/bin/node", &format!("node {arch}"));
                let parts = super::images::image_with(arch.as_str(), &[gzipped(layer)], &settings());
                (json!({"os": "linux", "architecture": arch.as_str()}), parts)
            })
            .into(),
    )
}

/// The fields of the base image's config besides its layers.
pub fn settings() -> Value {
    json!({
        "created": "2026-09-04T00:00:00Z",
        "author": "somebody",
        "config": {
            "User": "node",
            "Env": ["PATH=/usr/local/bin:/usr/bin", "NODE_ENV=production"],
            "Entrypoint": ["tini", "--"],
            "Cmd": ["node", "openclaw.mjs"],
            "WorkingDir": "/app",
            "ExposedPorts": {"18789/tcp": {}},
            "Healthcheck": {"Test": ["CMD", "node", "-e", "1"], "Interval": 30_000_000_000_u64},
            "Labels": {
                "org.opencontainers.image.source": "https://example.org/base",
                "org.opencontainers.image.revision": "0123456789abcdef",
                "maintainer": "somebody"
            }
        },
        "history": [{"created_by": "a builder"}],
        "docker_version": "20.10.24"
    })
}

/// An image layout on disk.
pub struct Layout(pub PathBuf);

impl Layout {
    pub fn json(&self, path: &str) -> Value {
        let bytes = std::fs::read(self.0.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        serde_json::from_slice(&bytes).expect("JSON")
    }

    /// Reads the blob of a descriptor and verifies its size and digest.
    #[track_caller]
    pub fn blob(&self, descriptor: &Value) -> Vec<u8> {
        let digest: Sha256 = descriptor["digest"].as_str().expect("a digest").parse().expect("a digest");
        let bytes = std::fs::read(self.0.join(format!("blobs/sha256/{digest}"))).expect("a blob");
        assert_eq!(Sha256::of(&bytes), digest);
        assert_eq!(descriptor["size"], bytes.len());
        bytes
    }

    pub fn document(&self, descriptor: &Value) -> Value {
        serde_json::from_slice(&self.blob(descriptor)).expect("JSON")
    }

    /// The image index.
    pub fn index(&self) -> Value {
        let top = self.json("index.json");
        assert_eq!(top["manifests"].as_array().map(Vec::len), Some(1));
        self.document(&top["manifests"][0])
    }

    /// The manifest for an architecture.
    pub fn manifest(&self, arch: Arch) -> Value {
        let index = self.index();
        let manifests = index["manifests"].as_array().expect("manifests");
        let of = |entry: &&Value| entry["platform"]["architecture"] == arch.as_str();
        self.document(manifests.iter().find(of).expect("a build"))
    }

    pub fn config(&self, arch: Arch) -> Value {
        self.document(&self.manifest(arch)["config"])
    }

    /// The last layer, uncompressed.
    pub fn added(&self, arch: Arch) -> Vec<u8> {
        let manifest = self.manifest(arch);
        let layer = manifest["layers"].as_array().and_then(|layers| layers.last()).expect("a layer").clone();
        let mut bytes = Vec::new();
        let stored = self.blob(&layer);
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(stored.as_slice()), &mut bytes)
            .expect("gzip");
        bytes
    }

    /// Replaces the added layer and updates every document that refers to it.
    pub fn replace_added(&self, arch: Arch, packed: &[u8]) {
        let write = |bytes: &[u8]| {
            let digest = Sha256::of(bytes);
            std::fs::write(self.0.join(format!("blobs/sha256/{digest}")), bytes).expect("a blob");
            (json!(digest.oci()), json!(bytes.len()))
        };
        let set = |descriptor: &mut Value, (digest, size): (Value, Value)| {
            descriptor["digest"] = digest;
            descriptor["size"] = size;
        };
        let mut unpacked = Vec::new();
        std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(packed), &mut unpacked).expect("gzip");
        let (mut manifest, mut config) = (self.manifest(arch), self.config(arch));
        config["rootfs"]["diff_ids"][1] = json!(Sha256::of(&unpacked).oci());
        set(&mut manifest["layers"][1], write(packed));
        set(&mut manifest["config"], write(config.to_string().as_bytes()));
        let mut index = self.index();
        let manifests = index["manifests"].as_array_mut().expect("manifests");
        let of = |entry: &&mut Value| entry["platform"]["architecture"] == arch.as_str();
        set(manifests.iter_mut().find(of).expect("a build"), write(manifest.to_string().as_bytes()));
        let mut top = self.json("index.json");
        set(&mut top["manifests"][0], write(index.to_string().as_bytes()));
        std::fs::write(self.0.join("index.json"), top.to_string()).expect("an index");
    }
}
