//! `bake image` and the tools that it replaces: their build of the rendered Dockerfile is the same
//! image, and they read its output.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::audit::plain;
use crate::support::baked::{Baked, Layout, every_packing, two};
use crate::support::depot::{Depot, Nature};
use crate::support::test;
use crate::support::{Folder, said, testbed};
use bake::digest::Sha256;
use bake::http::{Client, RetryPolicy};
use bake::oci::Images;
use bake::project::values::Arch;
use bake::registry::{Credentials, ImageSource};
use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tar::{Archive, EntryType};

/// A project on the stand-in for the official image.
fn baked(tools: Vec<crate::support::baked::Tool>) -> Baked {
    Baked::on(&testbed::base_image(), tools)
}

/// Images of an engine that are removed at the end.
struct Engine {
    name: &'static str,
    images: Vec<String>,
}

impl Engine {
    fn open(name: &'static str) -> Self {
        testbed::tool(name);
        Self { name, images: Vec::new() }
    }

    fn run(&self, arguments: &[&str]) -> String {
        said(testbed::tool(self.name).args(arguments)).done().out
    }

    /// The image for this machine from a `docker load` tarball, by name.
    fn load(&mut self, path: &Path, name: &str) {
        let output = self.run(&["load", "--input", &plain(path)]);
        self.images.push(name.to_owned());
        assert!(output.contains(&format!("Loaded image: {name}")), "{output}");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = testbed::tool(self.name).args(["rmi", "--force"]).args(&self.images).output();
    }
}

/// A file in an image.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: EntryType,
    mode: u32,
    uid: u64,
    gid: u64,
    /// The target of a link.
    target: Option<Vec<u8>>,
    content: Sha256,
}

/// The files and folders below some folders of an image, read without `bake`'s own code for layers. The
/// last layer with a path wins.
fn flattened(images: &dyn Images, folders: &[&str]) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    for layer in images.image(Arch::Amd64).expect("an image").layers {
        let mut stored = BufReader::new(images.layer(&layer).expect("a layer"));
        let packed = stored.fill_buf().expect("a layer").starts_with(&[0x1f, 0x8b]);
        let unpacked: Box<dyn Read + '_> =
            if packed { Box::new(GzDecoder::new(stored)) } else { Box::new(stored) };
        for entry in Archive::new(unpacked).entries().expect("a tarball") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path");
            let path = path.strip_prefix("./").unwrap_or(&path).components().collect::<PathBuf>();
            if !folders.iter().any(|folder| path.starts_with(folder)) {
                continue;
            }
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            assert!(!name.starts_with(b".wh."), "{} hides something", path.display());
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            let target = entry.link_name_bytes().map(Cow::into_owned);
            let header = entry.header();
            let kind = header.entry_type();
            let number = |number: std::io::Result<u64>| number.expect("a number");
            // The permissions of symbolic links are meaningless, and builders differ in them.
            let mode =
                if kind == EntryType::Symlink { 0o777 } else { header.mode().expect("a mode") & 0o7777 };
            let (uid, gid) = (number(header.uid()), number(header.gid()));
            found.insert(path, Entry { kind, mode, uid, gid, target, content: Sha256::of(&content) });
        }
    }
    found
}

/// The paths of the project's tools.
fn tools_in(baked: &Baked) -> impl Iterator<Item = PathBuf> {
    baked.tools.iter().map(|tool| Path::new("usr/local/bin").join(tool.name))
}

fn open(path: &str) -> Box<dyn Images> {
    let source = ImageSource::find(path).expect("an image");
    source.open(&Client::new(RetryPolicy::default()), &Credentials::Anonymous).expect("an image")
}

/// The config of the image in a Docker tarball.
fn config(images: &dyn Images) -> Value {
    let image = images.image(Arch::Amd64).expect("an image");
    serde_json::from_slice(&image.document).expect("JSON")
}

/// Builds the rendered Dockerfile and returns the tarball of `docker save`.
fn from_the_dockerfile(baked: &Baked, engine: &mut Engine) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    baked.bake(["render"]).done();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("localhost/bake-image-{}-{}-{count}:1", engine.name, std::process::id());
    let scratch = Folder::empty();
    scratch.write("Dockerfile", baked.folder.read("out/Dockerfile"));
    let mut build = testbed::tool(engine.name);
    build.args(["build", "--network", "host", "--tag", &name]).arg(scratch.path());
    engine.images.push(name.clone());
    said(&mut build).done();
    let path = plain(&baked.folder.join("dockerfile.tar"));
    engine.run(&["save", "--output", &path, &name]);
    path
}

/// Both images have the same files below `/usr/local`, and their configs differ only in the fields that
/// are removed here.
fn is_the_same_as_from_the_dockerfile(engine: &'static str) {
    let (baked, mut engine) = (baked(every_packing()), Engine::open(engine));
    let theirs = from_the_dockerfile(&baked, &mut engine);
    baked.image(["save", "ours.tar"]);
    baked.image(["build"]);
    let (ours, theirs) = (open(&plain(&baked.folder.join("ours.tar"))), open(&theirs));
    let folders = ["usr/local/bin", "usr/local/lib"];
    let found = flattened(&*ours, &folders);
    let expected = flattened(&*theirs, &folders);
    for path in found.keys().chain(expected.keys()) {
        assert_eq!(found.get(path), expected.get(path), "{}", path.display());
    }
    for path in folders.iter().map(PathBuf::from).chain(tools_in(&baked)) {
        assert!(found.contains_key(&path), "{}", path.display());
    }
    let layout = open(&plain(&baked.folder.join("oci")));
    let layers = |images: &dyn Images| images.image(Arch::Amd64).expect("an image").layers.into_iter();
    let diff_ids = |images: &dyn Images| layers(images).map(|layer| layer.diff_id).collect::<Vec<_>>();
    assert_eq!(diff_ids(&*ours), diff_ids(&*layout));

    let (mut ours, mut theirs) = (config(&*ours), config(&*theirs));
    for config in [&mut ours, &mut theirs] {
        let config = config.as_object_mut().expect("a config");
        // The builder's time, layers and commands differ.
        for differs in ["created", "rootfs", "history"] {
            config.remove(differs);
        }
        // A comment on the base image's origin, which builders drop.
        config.remove("comment");
        // Docker's notes on the container of its last step. Ours keeps those from the base image, because it
        // drops no field.
        for notes in ["container", "container_config", "docker_version", "moby.buildkit.buildinfo.v1"] {
            config.remove(notes);
        }
        let settings = config["config"].as_object_mut().expect("settings");
        // More notes on the container. `Image` names the step before.
        let of_container = [
            "Hostname",
            "Domainname",
            "Image",
            "ArgsEscaped",
            "AttachStdin",
            "AttachStdout",
            "AttachStderr",
            "Tty",
            "OpenStdin",
            "StdinOnce",
        ];
        for notes in of_container {
            settings.remove(notes);
        }
        // Null and an empty list are equivalent.
        settings.retain(|_, value| !value.is_null());
    }
    // The base image has no version label, so its tag is the version. A Dockerfile cannot read the tag.
    let labels = ours["config"]["Labels"].as_object_mut().expect("labels");
    assert_eq!(labels.remove("org.opencontainers.image.version"), Some(json!("2026.9.4")));
    assert_eq!(ours, theirs);
}

#[test]
fn docker_26_builds_the_same_image_from_the_dockerfile() {
    is_the_same_as_from_the_dockerfile("docker-26");
}

/// Loads the image with `docker load` and checks a container's user, health check and binaries.
fn is_loaded_and_runs(engine: &'static str) {
    let (baked, mut engine) = (baked(every_packing()), Engine::open(engine));
    let name = baked.image(["save", "image.tar"])["name"].as_str().expect("a name").to_owned();
    engine.load(&baked.folder.join("image.tar"), &name);
    for tool in &baked.tools {
        engine.run(&["run", "--rm", "--network", "none", "--entrypoint", tool.name, &name]);
    }
    let user = engine.run(&["run", "--rm", "--network", "none", "--entrypoint", "id", &name]);
    assert!(user.starts_with("uid=1000(node) gid=1000(node)"), "{user}");
    let said = engine.run(&[
        "run",
        "--rm",
        "--network",
        "none",
        "--entrypoint",
        "cat",
        &name,
        "/usr/local/lib/codex/data/said",
    ]);
    assert_eq!(said, "said\n");
    let inspected: Value = serde_json::from_str(&engine.run(&["image", "inspect", &name])).expect("JSON");
    let test = inspected[0].pointer("/Config/Healthcheck/Test").cloned().unwrap_or_default();
    assert!(test.to_string().contains("/healthz"), "{test}");
}

#[test]
fn docker_26_loads_and_runs_it() {
    is_loaded_and_runs("docker-26");
}

#[test]
fn docker_20_loads_and_runs_it() {
    is_loaded_and_runs("docker-20");
}

#[test]
fn skopeo_reads_every_format() {
    let (baked, _) = (baked(two()), testbed::program("skopeo"));
    baked.image(["build"]);
    let saved = baked.image(["save", "image.tar"]);
    let tag = saved["name"].as_str().and_then(|name| name.split(':').nth(1)).expect("a tag").to_owned();
    let (layout, tarball) = (plain(&baked.folder.join("oci")), plain(&baked.folder.join("image.tar")));
    let inspected = |form: &str| -> Value {
        let said = said(Command::new("skopeo").args(["inspect", form])).done();
        serde_json::from_str(&said.out).expect("JSON")
    };
    for form in [
        format!("oci:{layout}"),
        format!("oci:{layout}:{tag}"),
        format!("oci-archive:{tarball}"),
        format!("docker-archive:{tarball}"),
    ] {
        let found = inspected(&form);
        assert_eq!(found["Architecture"], "amd64", "{form}");
        let labels = &found["Labels"];
        let lock = Sha256::of(baked.folder.read("bake.lock")).to_string();
        assert_eq!(labels["ai.openclaw.bake.lock"], lock, "{form}");
        let copy = format!("dir:{}", plain(&baked.folder.join("copy")));
        said(Command::new("skopeo").args(["copy", "--quiet", &form, &copy])).done();
    }
}

#[test]
fn skopeo_and_buildah_find_both_architectures() {
    let (mut skopeo, _) = (testbed::program("skopeo"), testbed::tool("buildah"));
    let baked = Baked::on_layout(two());
    baked.image(["build", "--base", "base"]);
    // Copying changes no byte.
    skopeo.args(["copy", "--quiet", "--all", "--preserve-digests", "oci:oci", "oci:copy:1"]);
    said(skopeo.current_dir(baked.folder.path())).done();
    let blobs = |layout: &str| -> std::collections::BTreeSet<_> {
        let entries = fs::read_dir(baked.folder.join(layout).join("blobs/sha256")).expect("blobs").flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    assert_eq!(blobs("copy"), blobs("oci"));
    for arch in Arch::ALL {
        let storage = Folder::empty();
        let buildah = |arguments: &[&str]| buildah(&baked, &storage, arguments);
        let container = buildah(&["from", "--arch", arch.as_str(), "oci:oci"]);
        let path = buildah(&["mount", container.trim()]);
        for tool in &baked.tools {
            let binary = fs::read(Path::new(path.trim()).join("usr/local/bin").join(tool.name));
            assert!(binary.expect("an executable") == tool.binary(arch), "{arch}");
        }
        buildah(&["rm", container.trim()]);
    }
}

/// umoci does not select platforms, so the layout must contain one image.
#[track_caller]
fn is_unpacked_by_umoci(baked: &Baked, layout: &str, tag: &str) {
    let bundle = baked.folder.join(&format!("{layout}-unpacked"));
    let mut umoci = testbed::program("umoci");
    umoci.arg("unpack").arg("--image").arg(format!("{}:{tag}", baked.folder.join(layout).display()));
    said(umoci.arg(&bundle)).done();
    for tool in &baked.tools {
        let path = bundle.join("rootfs/usr/local/bin").join(tool.name);
        assert!(fs::read(path).expect("an executable") == tool.binary(Arch::Amd64));
    }
    let config: Value =
        serde_json::from_slice(&fs::read(bundle.join("config.json")).expect("a config")).expect("JSON");
    assert_eq!(config["process"]["user"]["uid"], 1000);
}

#[test]
fn umoci_unpacks_it() {
    let (baked, _) = (baked(two()), testbed::program("umoci"));
    baked.image(["build"]);
    let index = Layout(baked.folder.join("oci")).json("index.json");
    let name = &index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"];
    is_unpacked_by_umoci(&baked, "oci", name.as_str().expect("a tag"));
}

#[test]
fn umoci_unpacks_the_tarball() {
    let _ = testbed::program("umoci");
    let baked = Baked::on_layout(two());
    let name =
        baked.image(["save", "image.tar", "--base", "base"])["name"].as_str().expect("a name").to_owned();
    fs::create_dir(baked.folder.join("layout")).expect("a folder");
    let mut tar = Command::new("tar");
    said(tar.current_dir(baked.folder.path()).args(["-xf", "image.tar", "-C", "layout"])).done();
    is_unpacked_by_umoci(&baked, "layout", name.split(':').nth(1).expect("a tag"));
}

/// Runs buildah in a project with a private storage.
fn buildah(baked: &Baked, storage: &Folder, arguments: &[&str]) -> String {
    let mut buildah = testbed::tool("buildah");
    buildah.arg("--root").arg(storage.join("root")).arg("--runroot").arg(storage.join("run"));
    // buildah derives a name from the path, and names must be in lower case.
    buildah.current_dir(baked.folder.path());
    said(buildah.args(["--storage-driver", "vfs"]).args(arguments)).done().out
}

#[test]
fn buildah_builds_on_it() {
    let (baked, _) = (baked(two()), testbed::tool("buildah"));
    baked.image(["build"]);
    let storage = Folder::empty();
    let buildah = |arguments: &[&str]| buildah(&baked, &storage, arguments);
    let container = buildah(&["from", "oci:oci"]);
    let path = buildah(&["mount", container.trim()]);
    for tool in &baked.tools {
        let binary = fs::read(Path::new(path.trim()).join("usr/local/bin").join(tool.name));
        assert!(binary.expect("an executable") == tool.binary(Arch::Amd64));
    }
    let inspected: Value = serde_json::from_str(&buildah(&["inspect", container.trim()])).expect("JSON");
    assert_eq!(inspected.pointer("/OCIv1/config/User"), Some(&json!("1000:1000")));
    buildah(&["rm", "--all"]);
}

#[test]
fn podman_loads_it() {
    let (baked, _) = (baked(two()), testbed::program("podman"));
    let saved = baked.image(["save", "image.tar"]);
    let storage = Folder::empty();
    let podman = |arguments: &[&str]| {
        let mut podman = testbed::program("podman");
        podman.arg("--root").arg(storage.join("root")).arg("--runroot").arg(storage.join("run"));
        podman.current_dir(baked.folder.path());
        said(podman.args(["--storage-driver", "vfs"]).args(arguments)).done().out
    };
    podman(&["load", "--quiet", "--input", "image.tar"]);
    let name = saved["name"].as_str().expect("a name");
    let inspected: Value = serde_json::from_str(&podman(&["image", "inspect", name])).expect("JSON");
    assert_eq!(inspected[0]["User"], "1000:1000");
    let path = podman(&["image", "mount", name]);
    for tool in &baked.tools {
        let binary = fs::read(Path::new(path.trim()).join("usr/local/bin").join(tool.name));
        assert!(binary.expect("an executable") == tool.binary(Arch::Amd64));
    }
    podman(&["image", "umount", name]);
}

/// Debian's `golang-github-opencontainers-image-spec-dev` contains the published schemas.
#[test]
fn documents_conform_to_the_oci_schemas() {
    let folder = testbed::folder().join("image-spec");
    if !folder.exists() {
        testbed::missing("schema of the OCI image-spec");
    }
    let mut registry = Vec::new();
    for entry in fs::read_dir(&folder).expect("schemas").flatten() {
        let schema: Value = serde_json::from_slice(&fs::read(entry.path()).expect("a schema")).expect("JSON");
        registry.push((entry.file_name().into_string().expect("UTF-8"), schema));
    }
    let schemas: BTreeMap<_, _> = registry.into_iter().collect();
    let validator = |name: &str| {
        let mut options = jsonschema::options();
        options = options.with_retriever(Schemas(schemas.clone()));
        options.build(&schemas[name]).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let baked = Baked::on_layout(two());
    baked.image(["build", "--base", "base"]);
    let layout = Layout(baked.folder.join("oci"));
    let (index, manifest) = (validator("image-index-schema.json"), validator("image-manifest-schema.json"));
    let config = validator("config-schema.json");
    let holds = |validator: &jsonschema::Validator, document: &Value| {
        let problems: Vec<_> = validator.iter_errors(document).map(|error| error.to_string()).collect();
        assert!(problems.is_empty(), "{problems:?}: {document}");
    };
    holds(&index, &layout.json("index.json"));
    holds(&index, &layout.index());
    holds(&validator("image-layout-schema.json"), &layout.json("oci-layout"));
    for arch in Arch::ALL {
        holds(&manifest, &layout.manifest(arch));
        holds(&config, &layout.config(arch));
    }
    // `bake image push` also pushes the SBOM's manifest and the list that names it.
    let depot = Depot::with(Nature { mounts: true, referrers: false, verifies: true, elsewhere: None });
    baked.image(["push", &format!("{}/gateway", depot.host()), "--base", "base"]);
    let names = depot.manifests("gateway");
    let list = format!(
        "sha256-{}",
        layout.json("index.json")["manifests"][0]["digest"]
            .as_str()
            .expect("a digest")
            .trim_start_matches("sha256:")
    );
    assert!(names.contains(&list), "{names:?}");
    let mut referrers = 0;
    for name in names {
        let document = depot.manifest("gateway", &name).expect("a manifest");
        let document: Value = serde_json::from_slice(&document).expect("JSON");
        referrers += usize::from(document["subject"].is_object());
        holds(if document["manifests"].is_array() { &index } else { &manifest }, &document);
    }
    assert_eq!(referrers, 1);
    // Make sure that the schemas reject something.
    let mut wrong = layout.index();
    wrong["manifests"][0]["digest"] = json!("no digest");
    assert!(!index.is_valid(&wrong));
}

/// Schemas refer to each other by file name.
struct Schemas(BTreeMap<String, Value>);

impl jsonschema::Retrieve for Schemas {
    fn retrieve(
        &self,
        uri: &jsonschema::Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let name = uri.path().as_str().rsplit('/').next().unwrap_or_default();
        self.0.get(name).cloned().ok_or_else(|| format!("{uri} is not there").into())
    }
}

#[test]
fn an_audit_of_either_image_is_clean() {
    let (baked, mut engine) = (baked(two()), Engine::open("docker-26"));
    baked.relock(|lock| {
        for tool in lock.binaries.values_mut() {
            assert!(tool.builds.values().all(|build| build.binary_sha256.is_some()));
        }
    });
    let theirs = from_the_dockerfile(&baked, &mut engine);
    baked.image(["build"]);
    baked.image(["save", "ours.tar"]);
    for image in ["oci", "ours.tar", &theirs] {
        let said = baked.bake(["audit", "--against", "image", "--image", image]);
        assert_eq!(said.code, 0, "{image}: {}{}", said.out, said.err);
    }
}
