//! How much memory `bake image` has in use, which must not grow with the base image.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::support::baked::{Baked, every_packing, real, settings};
use crate::support::cost::measured;
use crate::support::images::{Tar, plain};
use crate::support::test;
use crate::support::testbed;
use bake::digest::{Hasher, Sha256};
use bake::project::values::Arch;
use serde_json::{Value, json};

/// MiB, independent of the size of the base image. The test build uses 12 more than the release build, which
/// stays below 64 (`docs/measured.md`).
const MOST: f64 = 80.0;

/// A registry with a base image, whose upper layer is zeros that it makes while it sends them. It counts
/// what is pushed to it, and keeps nothing.
struct Registry {
    address: SocketAddr,
    index: Sha256,
    shared: Arc<Shared>,
}

struct Shared {
    /// By path.
    documents: BTreeMap<String, Vec<u8>>,
    /// The path of the layer, and its length.
    layer: (String, u64),
    /// How many bytes came.
    taken: AtomicU64,
    closing: AtomicBool,
}

impl Registry {
    /// One whose base image has a layer of so many MiB, the same for both architectures.
    fn with(mib: u64) -> Self {
        let size = mib << 20;
        let system =
            plain(Tar::new().folder("lib64").file("lib64/ld-linux-x86-64.so.2", "the tools' loader"));
        let diff_id = system.diff_id.oci();
        let below = json!({
            "mediaType": system.media_type, "digest": diff_id, "size": system.stored.len(),
        });
        let mut documents = BTreeMap::from([
            ("/v2/".to_owned(), b"{}".to_vec()),
            (format!("/v2/base/blobs/{diff_id}"), system.stored),
        ]);
        let mut add = |kind: &str, media_type: &str, document: &Value| {
            let bytes = document.to_string().into_bytes();
            let digest = Sha256::of(&bytes);
            let descriptor = json!({"mediaType": media_type, "digest": digest.oci(), "size": bytes.len()});
            documents.insert(format!("/v2/base/{kind}/{}", digest.oci()), bytes);
            (digest, descriptor)
        };
        let zeros = digest_of_zeros(mib).oci();
        let layer = json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": zeros, "size": size,
        });
        let builds = Arch::ALL.map(|arch| {
            let mut config = settings();
            config["architecture"] = json!(arch.as_str());
            config["os"] = json!("linux");
            config["rootfs"] = json!({"type": "layers", "diff_ids": [diff_id, zeros]});
            let (_, config) = add("blobs", "application/vnd.oci.image.config.v1+json", &config);
            let media_type = "application/vnd.oci.image.manifest.v1+json";
            let manifest = json!({
                "schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [below, layer],
            });
            let (_, mut build) = add("manifests", media_type, &manifest);
            build["platform"] = json!({"os": "linux", "architecture": arch.as_str()});
            build
        });
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": builds});
        let (index, _) = add("manifests", media_type, &index);

        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            documents,
            layer: (format!("/v2/base/blobs/{zeros}"), size),
            taken: AtomicU64::default(),
            closing: AtomicBool::default(),
        });
        let registry = Self { address, index, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if shared.closing.load(Ordering::SeqCst) {
                    break;
                }
                let shared = Arc::clone(&shared);
                thread::spawn(move || shared.serve(&stream).unwrap_or_default());
            }
        });
        registry
    }

    fn base(&self) -> String {
        format!("{}/base@{}", self.address, self.index.oci())
    }

    /// A repository of the same registry under another name, so that nothing can be mounted.
    fn elsewhere(&self) -> String {
        format!("localhost:{}/pushed:1", self.address.port())
    }
}

fn digest_of_zeros(mib: u64) -> Sha256 {
    let (mut hasher, zeros) = (Hasher::default(), vec![0; 1 << 20]);
    for _ in 0..mib {
        hasher.update(&zeros);
    }
    hasher.finish()
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::SeqCst);
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    /// Answers one request.
    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::with_capacity(256 << 10, stream);
        let (mut request, mut length) = (String::new(), 0);
        reader.read_line(&mut request)?;
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let Some((name, value)) = line.trim_end().split_once(": ") else { break };
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().unwrap_or_default();
            }
        }
        let taken = io::copy(&mut reader.take(length), &mut io::sink())?;
        self.taken.fetch_add(taken, Ordering::SeqCst);
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut out = BufWriter::with_capacity(256 << 10, stream);
        let mut say = |status: u16, header: &str, length: u64, body: &mut dyn Read| {
            write!(out, "HTTP/1.1 {status} Said\r\nConnection: close\r\n{header}")?;
            write!(out, "Content-Length: {length}\r\n\r\n")?;
            io::copy(body, &mut out)?;
            out.flush()
        };
        match (method, self.documents.get(path)) {
            ("POST", _) => say(202, "Location: /v2/pushed/blobs/uploads/1\r\n", 0, &mut io::empty()),
            ("PUT", _) => say(201, "", 0, &mut io::empty()),
            ("GET", Some(document)) => say(200, "", document.len() as u64, &mut document.as_slice()),
            ("GET", None) if path == self.layer.0 => {
                say(200, "", self.layer.1, &mut io::repeat(0).take(self.layer.1))
            }
            _ => say(404, "", 0, &mut io::empty()),
        }
    }
}

#[test]
fn a_large_base_image_takes_no_more_memory_than_a_small_one() {
    testbed::program("time");
    for mib in [1, 520] {
        let registry = Registry::with(mib);
        let mut tools = every_packing();
        // One that fills all buffers.
        tools.extend(real().pop());
        let baked = Baked::on(&registry.base(), tools);
        let to = registry.elsewhere();
        // No layer of an earlier run is taken over: it is made each time.
        for arguments in [["build", "--out", "layout"].as_slice(), &["save", "image.tar"], &["push", &to]] {
            let mut command = baked.command();
            let (said, cost) = measured(command.arg("image").args(arguments).arg("--json"));
            let said: Value = serde_json::from_str(&said.out).expect("JSON");
            println!("a base image of {mib} MiB, bake image {}: {:.1} MiB", arguments[0], cost.peak);
            assert!(
                cost.peak < MOST,
                "bake image {}: {} MiB for a base image of {mib}",
                arguments[0],
                cost.peak
            );
            if arguments[0] == "push" {
                assert_eq!(said["mounted"], 0);
                assert!(
                    registry.shared.taken.load(Ordering::SeqCst) > mib << 20,
                    "nothing was streamed: {said}"
                );
            }
        }
    }
}
