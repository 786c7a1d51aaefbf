//! The checksum file that a manifest names.

use std::str::FromStr;

use super::{WebUrl, text_values};
use crate::project::names::AssetPattern;

/// A checksum file, with `{version}` and `{arch}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChecksumsFile {
    /// By its name, next to the archive.
    Sibling(AssetPattern),
    /// By its URL.
    Url(WebUrl),
}

impl ChecksumsFile {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Sibling(name) => name.as_str(),
            Self::Url(url) => url.as_str(),
        }
    }
}

impl FromStr for ChecksumsFile {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains("://") { text.parse().map(Self::Url) } else { text.parse().map(Self::Sibling) }
    }
}

text_values! {
    ChecksumsFile = "ChecksumsFile", {"type": "string", "description": "A file's name, or an https URL, with `{version}` and `{arch}`."};
}
