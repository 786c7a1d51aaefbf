//! The host from which a GitHub serves the files of releases.

use std::fmt;

use url::Url;

use crate::project::names::{RepoSlug, Version};
use crate::project::values::WebUrl;

use super::versions;

/// The host of GitHub itself.
const GITHUB: &str = "github.com";

/// A GitHub, by the host of its web pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Forge(String);

impl Default for Forge {
    fn default() -> Self {
        Self(GITHUB.to_owned())
    }
}

impl fmt::Display for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Forge {
    /// The GitHub whose API is at `api`: `https://api.github.com`, `https://api.OWNER.ghe.com`, or
    /// `https://HOST/api/v3`.
    pub fn of_api(api: &Url) -> Self {
        let host = api.host_str().unwrap_or_default();
        Self(host.strip_prefix("api.").unwrap_or(host).to_owned())
    }

    /// Whether `url` is on this host. The port does not matter: only a GitHub on loopback has one.
    pub fn serves(&self, url: &WebUrl) -> bool {
        Url::parse(url.as_str()).is_ok_and(|url| url.host_str() == Some(self.0.as_str()))
    }
}

/// Whether `url` has the path of a file in the release `version` of `repo`. On github.com that is
/// `/OWNER/REPO/releases/download/TAG/FILE`; other servers must have repository and tag in it.
pub(super) fn is_of_release(url: &WebUrl, repo: &RepoSlug, version: &Version) -> bool {
    let Ok(url) = Url::parse(url.as_str()) else { return false };
    let (Some(path), None, None) = (url.path_segments(), url.query(), url.fragment()) else { return false };
    let path: Vec<_> = path.collect();
    let is_repo = |owner: &str, name: &str| format!("{owner}/{name}").eq_ignore_ascii_case(repo.as_str());
    let is_tag = |tag: &[&str]| {
        let tag = tag.join("/").replace("%2F", "/").replace("%2f", "/");
        versions::is_tag_of(&tag.replace("%40", "@").replace("%2B", "+"), version)
    };
    match path.as_slice() {
        [.., ""] => false,
        [owner, name, "releases", "download", tag @ .., _] => is_repo(owner, name) && is_tag(tag),
        _ if url.host_str() == Some(GITHUB) => false,
        [before @ .., _] => {
            let mut at =
                (0..before.len()).filter(|at| at + 1 < before.len() && is_repo(before[*at], before[at + 1]));
            at.any(|at| before[at + 2..].iter().any(|tag| is_tag(&[tag])))
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Forge, is_of_release};

    #[test]
    fn a_github_is_known_by_its_host() {
        let forge = |api: &str| Forge::of_api(&api.parse().expect("a URL"));
        let serves = |api: &str, url: &str| forge(api).serves(&url.parse().expect("a URL"));
        assert_eq!(forge("https://api.github.com"), Forge::default());
        assert!(serves("https://api.octo.ghe.com/", "https://octo.ghe.com/a/b"));
        assert!(serves("https://git.example.org/api/v3", "https://git.example.org/a/b"));
        assert!(serves("http://127.0.0.1:1", "http://127.0.0.1:2/a"));
        assert!(!serves("https://api.github.com", "https://github.com.example.org/a/b"));
    }

    #[test]
    fn a_file_of_a_release_is_known_by_its_path() {
        let is_of = |path: &str| {
            let url = format!("https://github.com/{path}").parse().expect("a URL");
            is_of_release(&url, &"Owner/tool".parse().expect("a name"), &"1.2.3".parse().expect("a version"))
        };
        for path in ["v1.2.3/t.gz", "1.2.3/t.gz", "tool-1.2.3/t.gz", "cli%2Fv1.2.3/t.gz", "cli/v1.2.3/t.gz"] {
            assert!(is_of(&format!("owner/tool/releases/download/{path}")), "{path}");
        }
        for path in [
            "other/tool/releases/download/v1.2.3/t.gz",
            "owner/tools/releases/download/v1.2.3/t.gz",
            "owner/tool/releases/download/v1.2.4/t.gz",
            "owner/tool/releases/download/v1.2.3-rc.1/t.gz",
            "owner/tool/releases/download/t.gz",
            "owner/tool/archive/v1.2.3/t.gz",
            "owner/tool/releases/download/v1.2.3/t.gz?x=1",
            "x/owner/tool/releases/download/v1.2.3/t.gz",
        ] {
            assert!(!is_of(path), "{path}");
        }
        let elsewhere = |path: &str| {
            let url = format!("https://git.example.org/{path}").parse().expect("a URL");
            is_of_release(&url, &"Owner/tool".parse().expect("a name"), &"1.2.3".parse().expect("a version"))
        };
        assert!(
            elsewhere("files/owner/tool/v1.2.3/t.gz") && elsewhere("owner/tool/releases/download/v1.2.3/t")
        );
        for path in
            ["files/t_1.2.3.gz", "files/owner/tool/v1.2.4/t.gz", "owner/tool/t.gz", "v1.2.3/owner/tool/t"]
        {
            assert!(!elsewhere(path), "{path}");
        }
    }
}
