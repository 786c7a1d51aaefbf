//! `bake image push` to a real registry: Debian's `docker-registry` in the testbed.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::support::audit::plain;
use crate::support::baked::{self, Baked, two};
use crate::support::test;
use crate::support::testbed::{self, Pushed};
use crate::support::world::{World, release};
use crate::support::{elf, said};
use bake::digest::Sha256;
use bake::http::{Client, RetryPolicy};
use bake::oci::{FoundFile, files_under};
use bake::project::values::Arch;
use bake::registry::{Credentials, ImageSource};
use serde_json::Value;

/// A project on the stand-in for the official image, which is in the same registry.
struct Pushing {
    world: World,
    host: String,
    repository: String,
    /// Deletes the repository when it is dropped.
    _pushed: Pushed,
}

impl Pushing {
    /// Pushes through `proxy`, or directly to the registry.
    fn new(name: &str, proxy: Option<&Proxy>) -> Self {
        let base = testbed::base_image();
        let host = testbed::registry();
        let repository = format!("bake-push-{name}-{}", std::process::id());
        let pushed = Pushed(format!("{host}/{repository}:1"));
        let world = World::new("  - {name: tool, repo: owner/tool}\n");
        world.github.publish("owner/tool", release("tool", "v1.0.0"));
        let to = proxy.map_or_else(|| host.clone(), Proxy::host);
        let spec = format!(
            "version: 1\ngateway:\n  image: {base}\nimage:\n  strategy: registry\n  registry: {to}/{repository}:1\n  apt: []\n"
        );
        world.folder.write("bake.yaml", spec);
        world.bake(["lock"]).done();
        Self { world, host, repository, _pushed: pushed }
    }

    fn push(&self) -> Value {
        let said = self.world.bake(["image", "push", "--json"]).done();
        serde_json::from_str(&said.out).expect("JSON")
    }

    /// The digest in the lock.
    fn digest(&self) -> String {
        self.world.lock().pushed.expect("a pushed image").digest.oci()
    }

    /// The registry's content at a path of the repository.
    fn has(&self, path: &str) -> Vec<u8> {
        let url = format!("http://{}/v2/{}/{path}", self.host, self.repository);
        let accept =
            "Accept: application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json";
        let output = Command::new("curl").args(["-fsSL", "-H", accept, &url]).output().expect("curl");
        assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    /// Reads and verifies every layer of the pushed image.
    #[track_caller]
    fn is_whole(&self) {
        let reference = format!("{}/{}@{}", self.host, self.repository, self.digest());
        let source = ImageSource::Registry(reference.parse().expect("a reference"));
        let images =
            source.open(&Client::new(RetryPolicy::default()), &Credentials::Anonymous).expect("the image");
        let image = images.image(Arch::Amd64).expect("one for amd64");
        let files = files_under(&*images, &image, "usr/local/bin").expect("its files");
        let Some(FoundFile::File { sha256, mode: 0o755, uid: 0, gid: 0, .. }) = files.get("tool") else {
            panic!("{files:?}")
        };
        assert_eq!(*sha256, Sha256::of(binary()));
    }
}

/// The tool's executable.
fn binary() -> Vec<u8> {
    elf::executable(Arch::Amd64, "tool 1.0.0")
}

/// Forwards connections to the registry, and cuts them on request.
struct Proxy {
    address: SocketAddr,
    passing: Arc<Passing>,
}

/// The proxy's faults and counters.
#[derive(Default)]
struct Passing {
    /// The number of bytes after which a connection is cut. `cuts` such cuts remain.
    cut_after: AtomicU64,
    cuts: AtomicUsize,
    /// The number of bytes sent to the registry.
    passed: AtomicU64,
    /// Cuts requests whose path contains this.
    refused: Mutex<Option<String>>,
    closing: AtomicBool,
}

impl Proxy {
    fn to(registry: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let proxy = Self { address, passing: Arc::default() };
        let (registry, passing) = (registry.to_owned(), Arc::clone(&proxy.passing));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if passing.closing.load(Ordering::SeqCst) {
                    break;
                }
                let server = TcpStream::connect(&registry).expect("the registry");
                let socket = |stream: &TcpStream| stream.try_clone().expect("a socket");
                let (mut back, mut there) = (socket(&server), socket(&client));
                thread::spawn(move || {
                    let _ = std::io::copy(&mut back, &mut there);
                    let _ = there.shutdown(Shutdown::Both);
                });
                let passing = Arc::clone(&passing);
                thread::spawn(move || passing.pass(client, server));
            }
        });
        proxy
    }

    fn host(&self) -> String {
        self.address.to_string()
    }

    /// Cuts the next `times` connections after `bytes` bytes to the registry.
    fn cut(&self, times: usize, bytes: u64) {
        self.passing.cut_after.store(bytes, Ordering::SeqCst);
        self.passing.cuts.store(times, Ordering::SeqCst);
    }

    /// Cuts every connection with a PUT to a path that contains `part`.
    fn refuse(&self, part: Option<&str>) {
        let mut refused = self.passing.refused.lock().unwrap_or_else(PoisonError::into_inner);
        *refused = part.map(str::to_owned);
    }

    /// The number of bytes sent to the registry since the last call.
    fn passed(&self) -> u64 {
        self.passing.passed.swap(0, Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.passing.closing.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl Passing {
    fn pass(&self, mut client: TcpStream, mut server: TcpStream) {
        let mut buffer = vec![0; 64 << 10];
        let mut count = 0;
        while let Ok(read @ 1..) = client.read(&mut buffer) {
            count += read as u64;
            self.passed.fetch_add(read as u64, Ordering::SeqCst);
            if self.is_refused(&buffer[..read]) || self.is_due(count) {
                let _ = client.shutdown(Shutdown::Both);
                break;
            }
            if server.write_all(&buffer[..read]).is_err() {
                break;
            }
        }
        let _ = server.shutdown(Shutdown::Both);
    }

    /// Whether it begins with a PUT request that must not get through.
    fn is_refused(&self, bytes: &[u8]) -> bool {
        let line = bytes.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.as_ref().is_some_and(|part| line.starts_with("PUT ") && line.contains(part.as_str()))
    }

    fn is_due(&self, count: u64) -> bool {
        let fewer = |cuts: usize| cuts.checked_sub(1);
        count > self.cut_after.load(Ordering::SeqCst)
            && self.cuts.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer).is_ok()
    }
}

#[test]
fn mounts_the_base_image_and_a_second_push_sends_nothing() {
    let pushing = Pushing::new("mount", None);
    let first = pushing.push();
    assert_eq!(first["mounted"], 1, "{first}");
    assert!(first["sent"].as_u64().expect("bytes") < 1_000_000, "{first}");
    pushing.is_whole();
    let second = pushing.push();
    assert_eq!((&second["sent"], &second["uploaded"]), (&Value::from(0), &Value::from(0)));
    assert_eq!(second["digest"], first["digest"]);
}

#[test]
fn other_programs_read_the_image() {
    let mut skopeo = testbed::program("skopeo");
    let pushing = Pushing::new("skopeo", None);
    pushing.push();
    let reference = format!("docker://{}/{}@{}", pushing.host, pushing.repository, pushing.digest());
    let out = said(skopeo.args(["inspect", "--tls-verify=false", "--config", &reference])).done().out;
    let config: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((&config["architecture"], &config["os"]), (&Value::from("amd64"), &Value::from("linux")));
    let by_tag = said(
        testbed::program("skopeo")
            .args(["inspect", "--tls-verify=false", "--raw"])
            .arg(format!("docker://{}/{}:1", pushing.host, pushing.repository)),
    );
    assert_eq!(Sha256::of(by_tag.done().out).oci(), pushing.digest());
}

#[test]
fn docker_runs_it_by_its_digest() {
    let mut pull = testbed::tool("docker-26");
    let pushing = Pushing::new("run", None);
    pushing.push();
    let reference = format!("{}/{}@{}", pushing.host, pushing.repository, pushing.digest());
    said(pull.args(["pull", "--quiet", &reference])).done();
    let mut cat = testbed::tool("docker-26");
    let hash =
        ["run", "--rm", "--network", "none", "--entrypoint", "sha256sum", &reference, "/usr/local/bin/tool"];
    let out = said(cat.args(hash)).done().out;
    let _ = testbed::tool("docker-26").args(["image", "rm", "--force", &reference]).output();
    assert!(out.starts_with(&Sha256::of(binary()).to_string()), "{out}");
}

#[test]
fn docker_pulls_each_architecture() {
    let (host, mut to) = (testbed::registry(), testbed::program("skopeo"));
    let docker = |arguments: &[&str]| said(testbed::tool("docker-26").args(arguments)).done().out;
    let name = format!("{host}/bake-push-two-{}", std::process::id());
    let _pushed = Pushed(format!("{name}:1"));
    let base = baked::base();
    let baked = Baked::on(&format!("{name}/base:1@{}", base.digest().oci()), two());
    base.layout(&baked.folder.join("base"), "1");
    to.current_dir(baked.folder.path()).args(["copy", "--quiet", "--all", "--preserve-digests"]);
    to.args(["--dest-tls-verify=false", "oci:base:1"]).arg(format!("docker://{name}/base:1"));
    said(&mut to).done();

    let pushed = baked.image(["push", &format!("{name}/gateway")]);
    assert_eq!((&pushed["mounted"], pushed["images"].as_array().map(Vec::len)), (&Value::from(2), Some(2)));
    let digest = pushed["digest"].as_str().expect("a digest");
    let reference = format!("{name}/gateway@{digest}");

    // The pulled image is identical, byte for byte.
    let built = baked.image(["build"]);
    assert_eq!(built["digest"], digest);
    let mut from = testbed::program("skopeo");
    from.current_dir(baked.folder.path()).args(["copy", "--quiet", "--all", "--preserve-digests"]);
    from.args(["--src-tls-verify=false"]).arg(format!("docker://{reference}")).arg("oci:copy:1");
    said(&mut from).done();
    let blobs = |layout: &str| -> BTreeSet<_> {
        let entries = fs::read_dir(baked.folder.join(layout).join("blobs/sha256")).expect("blobs").flatten();
        entries.map(|entry| entry.file_name()).collect()
    };
    assert_eq!(blobs("copy"), blobs("oci"));

    for arch in Arch::ALL {
        let platform = format!("linux/{arch}");
        docker(&["pull", "--quiet", "--platform", &platform, &reference]);
        let container = docker(&["create", "--platform", &platform, &reference]);
        let copy = |name: &str| baked.folder.join(&format!("{name}-{arch}"));
        for tool in &baked.tools {
            // `docker cp` would copy a link, so follow it.
            let path = format!("{}:/usr/local/bin/{}", container.trim(), tool.name);
            docker(&["cp", "--follow-link", &path, &plain(&copy(tool.name))]);
        }
        docker(&["rm", container.trim()]);
        // Docker keeps one image per digest, so remove it before pulling another platform.
        docker(&["image", "rm", "--force", &reference]);
        for tool in &baked.tools {
            let binary = fs::read(copy(tool.name)).expect("an executable");
            assert!(binary == tool.binary(arch), "{} {arch}", tool.name);
        }
    }

    let audit = baked.bake(["audit", "--against", "image", "--image", &reference, "--json"]);
    assert_eq!(audit.code, 0, "{}{}", audit.out, audit.err);
    assert!(audit.out.contains("arm64") && audit.out.contains("amd64"), "{}", audit.out);
}

#[test]
fn the_sbom_can_be_found_from_the_image() {
    let pushing = Pushing::new("sbom", None);
    pushing.push();
    let digest = pushing.digest();
    // This registry has no referrers API.
    let list = pushing.has(&format!("manifests/{}", digest.replace(':', "-")));
    let list: Value = serde_json::from_slice(&list).expect("JSON");
    let referrers = list["manifests"].as_array().expect("a list");
    assert_eq!(referrers.len(), 1, "{list}");
    assert_eq!(referrers[0]["artifactType"], "application/vnd.cyclonedx+json");
    let manifest = pushing.has(&format!("manifests/{}", referrers[0]["digest"].as_str().expect("a digest")));
    let manifest: Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest["subject"]["digest"], digest);
    // The list repeats the manifest's annotations.
    assert!(manifest["annotations"]["org.opencontainers.image.created"].is_string(), "{manifest}");
    assert_eq!(referrers[0]["annotations"], manifest["annotations"]);
    let sbom = pushing.has(&format!("blobs/{}", manifest["layers"][0]["digest"].as_str().expect("a digest")));
    let sbom: Value = serde_json::from_slice(&sbom).expect("JSON");
    assert!(sbom.to_string().contains(&Sha256::of(binary()).to_string()), "{sbom}");
}

#[test]
fn resumes_a_push_after_cut_connections() {
    let registry = testbed::registry();
    let proxy = Proxy::to(&registry);
    let pushing = Pushing::new("cut", Some(&proxy));
    // Another host name makes it another registry, so that the base image is sent.
    proxy.cut(2, 20_000_000);
    let said = pushing.push();
    assert_eq!(said["mounted"], 0, "{said}");
    assert_eq!(proxy.passing.cuts.load(Ordering::SeqCst), 0, "nothing was cut");
    pushing.is_whole();
}

#[test]
fn resumes_an_interrupted_push_in_a_later_run() {
    let registry = testbed::registry();
    let proxy = Proxy::to(&registry);
    let pushing = Pushing::new("later", Some(&proxy));
    let lock = pushing.world.folder.read("bake.lock");
    // All blobs arrive, but no manifest.
    proxy.refuse(Some("/manifests/"));
    pushing.world.bake(["image", "push"]).ended(1);
    assert!(proxy.passed() > 50_000_000, "the base image was not sent");
    assert_eq!(pushing.world.folder.read("bake.lock"), lock);

    proxy.refuse(None);
    pushing.push();
    assert!(proxy.passed() < 10_000_000, "the base image was sent once more");
    pushing.is_whole();
}
