//! A release as its publisher makes it: assets, checksum files and signatures.

use std::io::Cursor;

use bake::digest::Sha256;
use minisign::KeyPair;
use serde_json::{Value, json};

/// A release, before or after it is published.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "they are the API's own fields")]
pub struct Release {
    pub tag: String,
    pub draft: bool,
    pub prerelease: bool,
    /// Whether the publisher made it the latest release by hand.
    pub latest: bool,
    pub immutable: bool,
    /// RFC 3339. If `None`, each release is a day newer than the one before.
    pub published: Option<String>,
    pub assets: Vec<Asset>,
}

/// One file of a release.
#[derive(Clone, Debug)]
pub struct Asset {
    pub id: u64,
    pub name: String,
    pub bytes: Vec<u8>,
    /// The SHA-256 in the API.
    pub digest: Digest,
    /// Whether the upload is complete.
    pub uploaded: bool,
}

/// The API's statement about an asset's SHA-256.
#[derive(Clone, Debug)]
pub enum Digest {
    Right,
    /// No digest, as for every asset from before June 2025.
    None,
    Wrong,
}

/// The format of a checksum file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// `HASH  NAME`, as sha256sum does.
    Gnu,
    /// `HASH *NAME`, as `sha256sum --binary` does.
    Binary,
    /// `SHA256 (NAME) = HASH`, as `sha256sum --tag` and BSD's `sha256` do.
    Bsd,
    /// Upper-case digits, as Windows' tools write them.
    UpperHex,
    /// Lines end with carriage return and line feed.
    CrLf,
    /// `HASH  ./NAME`, from `sha256sum ./*`.
    DotSlash,
    /// `HASH  dist/NAME`, from a run in the parent folder.
    InFolder,
    /// Only the hash, for a file about one asset.
    Bare,
    /// The right hash with another file's name.
    OtherName,
    /// The right name with another hash.
    Wrong,
}

/// A hash that matches no asset.
pub const WRONG: &str = "00000000000000000000000000000000000000000000000000000000deadbeef";

impl Style {
    fn line(self, name: &str, bytes: &[u8]) -> String {
        let hash = Sha256::of(bytes);
        match self {
            Self::Gnu => format!("{hash}  {name}\n"),
            Self::Binary => format!("{hash} *{name}\n"),
            Self::Bsd => format!("SHA256 ({name}) = {hash}\n"),
            Self::UpperHex => format!("{}  {name}\n", hash.to_string().to_uppercase()),
            Self::CrLf => format!("{hash}  {name}\r\n"),
            Self::DotSlash => format!("{hash}  ./{name}\n"),
            Self::InFolder => format!("{hash}  dist/{name}\n"),
            Self::Bare => format!("{hash}\n"),
            Self::OtherName => format!("{hash}  other-{name}\n"),
            Self::Wrong => format!("{WRONG}  {name}\n"),
        }
    }
}

impl Release {
    pub fn new(tag: &str) -> Self {
        let tag = tag.to_owned();
        Self {
            tag,
            draft: false,
            prerelease: false,
            latest: false,
            immutable: false,
            published: None,
            assets: Vec::new(),
        }
    }

    pub fn asset(mut self, name: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let (name, bytes) = (name.to_owned(), bytes.into());
        self.assets.push(Asset { id: 0, name, bytes, digest: Digest::Right, uploaded: true });
        self
    }

    /// Adds a checksum file that lists all assets so far.
    pub fn checksums(self, name: &str, style: Style) -> Self {
        let list: String = self.assets.iter().map(|asset| style.line(&asset.name, &asset.bytes)).collect();
        self.asset(name, list)
    }

    /// Adds `ASSET.sha256` for each asset so far.
    pub fn sidecars(mut self, style: Style) -> Self {
        for Asset { name, bytes, .. } in self.assets.clone() {
            self = self.asset(&format!("{name}.sha256"), style.line(&name, &bytes));
        }
        self
    }

    /// Adds a detached signature of the asset `of` by `keys`.
    pub fn minisig(self, of: &str, keys: &KeyPair) -> Self {
        let signature = minisign::sign(None, &keys.sk, Cursor::new(self.bytes(of)), None, None);
        self.asset(&format!("{of}.minisig"), signature.expect("a signature").to_string())
    }

    /// Omits the API's digests of all assets so far.
    pub fn without_digests(mut self) -> Self {
        for asset in &mut self.assets {
            asset.digest = Digest::None;
        }
        self
    }

    /// Makes the API's digest of this asset wrong.
    pub fn wrong_digest(mut self, of: &str) -> Self {
        self.find(of).digest = Digest::Wrong;
        self
    }

    /// Leaves the upload of this asset incomplete.
    pub fn unfinished(mut self, of: &str) -> Self {
        self.find(of).uploaded = false;
        self
    }

    pub fn draft(mut self) -> Self {
        self.draft = true;
        self
    }

    pub fn immutable(mut self) -> Self {
        self.immutable = true;
        self
    }

    pub fn prerelease(mut self) -> Self {
        self.prerelease = true;
        self
    }

    /// Makes GitHub call it the latest, even if another one is newer.
    pub fn latest(mut self) -> Self {
        self.latest = true;
        self
    }

    /// Sets the publication time: RFC 3339.
    pub fn published(mut self, time: &str) -> Self {
        self.published = Some(time.to_owned());
        self
    }

    /// The content of the asset `of`.
    pub fn bytes(&self, of: &str) -> &[u8] {
        let found = self.assets.iter().find(|asset| asset.name == of);
        &found.unwrap_or_else(|| panic!("{}: no asset {of}", self.tag)).bytes
    }

    pub fn find(&mut self, of: &str) -> &mut Asset {
        let tag = &self.tag;
        let found = self.assets.iter_mut().find(|asset| asset.name == of);
        found.unwrap_or_else(|| panic!("{tag}: no asset {of}"))
    }

    /// The API's JSON. `repo` is `OWNER/NAME`, `id` the release's.
    pub fn json(&self, api: &str, web: &str, repo: &str, id: usize) -> Value {
        let (tag, published) = (&self.tag, &self.published);
        let owner = repo.split('/').next().unwrap_or_default();
        let url = format!("{api}/repos/{repo}/releases/{id}");
        let author = json!({ "login": owner, "id": 1, "type": "User", "site_admin": false });
        let assets: Vec<_> = self
            .assets
            .iter()
            .map(|asset| {
                json!({
                    "url": format!("{api}/repos/{repo}/releases/assets/{}", asset.id),
                    "id": asset.id,
                    "node_id": format!("RA_{}", asset.id),
                    "name": asset.name,
                    "label": "",
                    "uploader": author,
                    "content_type": content_type(&asset.name),
                    "state": if asset.uploaded { "uploaded" } else { "open" },
                    "size": asset.bytes.len(),
                    "digest": match asset.digest {
                        Digest::Right => json!(Sha256::of(&asset.bytes).oci()),
                        Digest::Wrong => json!(format!("sha256:{WRONG}")),
                        Digest::None => Value::Null,
                    },
                    "download_count": 42,
                    "created_at": published,
                    "updated_at": published,
                    "browser_download_url": download(web, repo, tag, &asset.name),
                })
            })
            .collect();
        json!({
            "url": url,
            "assets_url": format!("{url}/assets"),
            "upload_url": format!("{url}/assets{{?name,label}}"),
            "html_url": format!("{web}/{repo}/releases/tag/{tag}"),
            "id": id,
            "author": author,
            "node_id": format!("RE_{id}"),
            "tag_name": tag,
            "target_commitish": "main",
            "name": tag,
            "draft": self.draft,
            "immutable": self.immutable,
            "prerelease": self.prerelease,
            "created_at": published,
            "updated_at": published,
            "published_at": if self.draft { Value::Null } else { json!(published) },
            "assets": assets,
            "tarball_url": format!("{api}/repos/{repo}/tarball/{tag}"),
            "zipball_url": format!("{api}/repos/{repo}/zipball/{tag}"),
            "body": "What's Changed",
        })
    }
}

/// The download URL of an asset. The tag is escaped into one path segment.
pub fn download(web: &str, repo: &str, tag: &str, asset: &str) -> String {
    format!("{web}/{repo}/releases/download/{}/{asset}", tag.replace('/', "%2F").replace('+', "%2B"))
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit('.').next() {
        Some("gz") => "application/gzip",
        Some("zip") => "application/zip",
        Some("txt") => "text/plain",
        _ => "application/octet-stream",
    }
}
