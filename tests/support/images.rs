//! Hand-made images, including ones that no builder would produce.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use bake::digest::Sha256;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use tar::{EntryType, Header};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";

/// A layer's tar, entry by entry. Names are written unchanged.
#[derive(Clone, Default)]
pub struct Tar(Vec<u8>);

impl Tar {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn entry(self, kind: EntryType, path: &str, link: &str, content: &[u8]) -> Self {
        self.entry_with(kind, path, link, content, 0o755)
    }

    fn entry_with(mut self, kind: EntryType, path: &str, link: &str, content: &[u8], mode: u32) -> Self {
        let mut header = Header::new_gnu();
        let fields = header.as_gnu_mut().expect("a GNU header");
        fields.name[..path.len()].copy_from_slice(path.as_bytes());
        fields.linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(content);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, path: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, path, "", content.as_bytes())
    }

    pub fn folder(self, path: &str) -> Self {
        self.entry(EntryType::Directory, path, "", b"")
    }

    /// A folder that every user may write to.
    pub fn folder_for_all(self, path: &str) -> Self {
        self.entry_with(EntryType::Directory, path, "", b"", 0o777)
    }

    pub fn symlink(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, path, target, b"")
    }

    pub fn hard_link(self, path: &str, target: &str) -> Self {
        self.entry(EntryType::Link, path, target, b"")
    }

    /// A POSIX pax record for the next entry.
    pub fn pax(self, records: &[(&str, &str)]) -> Self {
        let record = |(key, value): &(&str, &str)| {
            let rest = format!(" {key}={value}\n");
            // The length counts its own digits.
            let digits = (1..=8).find(|digits| (rest.len() + digits).to_string().len() == *digits);
            format!("{}{rest}", rest.len() + digits.expect("a length"))
        };
        let content: String = records.iter().map(record).collect();
        self.entry(EntryType::XHeader, "pax", "", content.as_bytes())
    }

    /// Appends raw bytes.
    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    /// The finished archive, with its two empty blocks.
    pub fn bytes(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&[0; 1024]);
        self.0
    }
}

/// A compressed or plain layer.
#[derive(Clone)]
pub struct Packed {
    pub stored: Vec<u8>,
    pub diff_id: Sha256,
    pub media_type: &'static str,
}

pub fn plain(tar: Tar) -> Packed {
    let bytes = tar.bytes();
    Packed {
        diff_id: Sha256::of(&bytes),
        stored: bytes,
        media_type: "application/vnd.oci.image.layer.v1.tar",
    }
}

pub fn gzipped(tar: Tar) -> Packed {
    let bytes = tar.bytes();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&bytes).expect("memory");
    Packed {
        diff_id: Sha256::of(&bytes),
        stored: encoder.finish().expect("memory"),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip",
    }
}

pub fn zstandard(tar: Tar) -> Packed {
    let bytes = tar.bytes();
    Packed {
        diff_id: Sha256::of(&bytes),
        stored: zstd::encode_all(bytes.as_slice(), 3).expect("memory"),
        media_type: "application/vnd.oci.image.layer.v1.tar+zstd",
    }
}

/// Blobs by digest, and the descriptor of the root.
#[derive(Clone)]
pub struct Parts {
    pub blobs: BTreeMap<Sha256, Vec<u8>>,
    pub root: Value,
}

fn add(blobs: &mut BTreeMap<Sha256, Vec<u8>>, media_type: &str, bytes: Vec<u8>) -> Value {
    let digest = Sha256::of(&bytes);
    let descriptor = json!({"mediaType": media_type, "digest": digest.oci(), "size": bytes.len()});
    blobs.insert(digest, bytes);
    descriptor
}

/// An image of these layers.
pub fn image(arch: &str, layers: &[Packed]) -> Parts {
    image_with(arch, layers, &json!({}))
}

/// An image of these layers, with `settings` in its config.
pub fn image_with(arch: &str, layers: &[Packed], settings: &Value) -> Parts {
    let mut blobs = BTreeMap::new();
    let diff_ids: Vec<_> = layers.iter().map(|layer| layer.diff_id.oci()).collect();
    let mut config = settings.clone();
    config["architecture"] = json!(arch);
    config["os"] = json!("linux");
    config["rootfs"] = json!({"type": "layers", "diff_ids": diff_ids});
    let config = add(&mut blobs, CONFIG, config.to_string().into_bytes());
    let stored: Vec<_> =
        layers.iter().map(|layer| add(&mut blobs, layer.media_type, layer.stored.clone())).collect();
    let manifest = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": stored});
    let root = add(&mut blobs, MANIFEST, manifest.to_string().into_bytes());
    Parts { blobs, root }
}

/// An index of images, each with its `platform`.
pub fn index(images: Vec<(Value, Parts)>) -> Parts {
    let mut blobs = BTreeMap::new();
    let mut manifests = Vec::new();
    for (platform, mut parts) in images {
        if !platform.is_null() {
            parts.root["platform"] = platform;
        }
        manifests.push(parts.root);
        blobs.extend(parts.blobs);
    }
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let root = add(&mut blobs, INDEX, index.to_string().into_bytes());
    Parts { blobs, root }
}

impl Parts {
    pub fn digest(&self) -> Sha256 {
        self.root["digest"].as_str().expect("a digest").parse().expect("a digest")
    }

    /// Writes an image layout in which `tag` names the root.
    pub fn layout(&self, folder: &Path, tag: &str) {
        let mut root = self.root.clone();
        root["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        self.layout_of(folder, &[root]);
    }

    /// Writes an image layout whose `index.json` lists `manifests`.
    pub fn layout_of(&self, folder: &Path, manifests: &[Value]) {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a folder");
        for (digest, bytes) in &self.blobs {
            fs::write(blobs.join(digest.to_string()), bytes).expect("a file");
        }
        fs::write(folder.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file");
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        fs::write(folder.join("index.json"), index.to_string()).expect("a file");
    }
}
