//! A new entry of a manifest, and its spellings.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::project::names::{
    ArchSpelling, AssetPattern, MinisignKey, RepoSlug, SkillName, ToolName, Version,
};
use crate::project::values::{Arch, InnerPath, WebUrl};
use crate::yaml::{self, FlowMap, FlowSeq};

/// One entry of the manifest, to be written.
#[derive(Clone, Debug)]
pub struct ManifestEntry {
    /// The binary's command.
    pub name: ToolName,
    /// Its version; none where any locked one will do.
    pub version: Option<Version>,
    /// Its source; none for a tool of the catalog.
    pub source: Option<EntrySource>,
    /// The executable's path in the archive, where it is not the name.
    pub binary: Option<InnerPath>,
    /// The publisher's public key, where a signature is asked for.
    pub minisign: Option<MinisignKey>,
    /// The OpenClaw skills it serves.
    pub skills: Vec<SkillName>,
}

/// The source of a tool that is not in the catalog.
#[derive(Clone, Debug)]
pub enum EntrySource {
    /// Releases of a GitHub repository.
    Repo {
        /// The repository.
        repo: RepoSlug,
        /// The release asset's name, where more than one could be meant.
        asset: Option<AssetPattern>,
        /// How the publisher spells each architecture, where it has to be said.
        arch: Option<BTreeMap<Arch, ArchSpelling>>,
    },
    /// A file at a URL.
    Url {
        /// The URL, with `{version}` and `{arch}`.
        url: WebUrl,
        /// How the publisher spells each architecture, where it has to be said.
        arch: Option<BTreeMap<Arch, ArchSpelling>>,
    },
}

/// The long form, in the order in which people write it.
#[derive(Serialize)]
struct Long<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    repo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    asset: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arch: Option<FlowMap<&'a BTreeMap<Arch, ArchSpelling>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    binary: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    minisign: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skills: Option<FlowSeq<&'a [SkillName]>>,
}

impl ManifestEntry {
    fn long(&self) -> Long<'_> {
        let (repo, url, asset, arch) = match &self.source {
            None => (None, None, None, None),
            Some(EntrySource::Repo { repo, asset, arch }) => {
                (Some(repo), None, asset.as_ref(), arch.as_ref())
            }
            Some(EntrySource::Url { url, arch }) => (None, Some(url), None, arch.as_ref()),
        };
        Long {
            name: self.name.as_str(),
            repo: repo.map(RepoSlug::as_str),
            url: url.map(WebUrl::as_str),
            version: self.version.as_ref().map(Version::as_str),
            asset: asset.map(AssetPattern::as_str),
            arch: arch.map(FlowMap),
            binary: self.binary.as_ref().map(InnerPath::as_str),
            minisign: self.minisign.as_ref().map(MinisignKey::as_str),
            skills: (!self.skills.is_empty()).then_some(FlowSeq(&self.skills)),
        }
    }

    /// Whether the name alone says everything.
    fn is_short(&self) -> bool {
        self.version.is_none() && self.needs_no_lines()
    }

    /// Whether it fits on a line.
    fn needs_no_lines(&self) -> bool {
        self.source.is_none() && self.binary.is_none() && self.minisign.is_none() && self.skills.is_empty()
    }

    /// Its lines in a list without brackets, with the dash and without indentation.
    pub(super) fn lines(&self) -> Vec<String> {
        let text =
            if self.needs_no_lines() { self.in_brackets(false) } else { self.plainly(written(&self.long())) };
        let lines = text.lines().enumerate();
        lines.map(|(index, line)| format!("{}{line}", if index == 0 { "- " } else { "  " })).collect()
    }

    /// The entry in a flow list, on one line. If the document is `json`, every text is in double quotes.
    pub(super) fn in_brackets(&self, json: bool) -> String {
        match (json, self.is_short()) {
            (true, true) => serde_json::Value::from(self.name.as_str()).to_string(),
            (true, false) => serde_json::to_string(&self.long()).unwrap_or_default(),
            (false, true) => written(&self.name.as_str()),
            (false, false) => self.plainly(written(&FlowMap(self.long()))),
        }
    }

    fn plainly(&self, text: String) -> String {
        match &self.version {
            Some(version) => with_plain_version(&text, version),
            None => text,
        }
    }
}

/// `text`, an entry as the YAML writer has it, with its version as people write it.
pub(super) fn with_plain_version(text: &str, version: &Version) -> String {
    let key = |value: &str| format!("version: {value}");
    text.replacen(&key(&written(&version.as_str())), &key(&plain(version)), 1)
}

/// A version in YAML. The writer quotes every text that begins with a digit; three numbers between dots are
/// text to every reader (YAML 1.1 and 1.2, "Tag Resolution") and are usually not quoted.
pub(super) fn plain(version: &Version) -> String {
    let text = version.as_str();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if text.split('.').count() > 2 && text.split('.').all(is_number) {
        text.to_owned()
    } else {
        written(&text)
    }
}

/// `value` in YAML, without a line break at its end.
pub(super) fn written<T: Serialize>(value: &T) -> String {
    // Texts and structs of texts can all be written; were one not, the edit would not be what was
    // asked for, and be refused.
    yaml::to_string(value).unwrap_or_default().trim_end().to_owned()
}
