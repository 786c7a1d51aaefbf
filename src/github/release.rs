//! The shapes of the API's answers, as far as they are read.

use jiff::Timestamp;
use serde::Deserialize;
use url::Url;

use super::GithubError;
use crate::digest::Sha256;
use crate::http::Address;
use crate::lock::upstream;
use crate::project::names::{RepoSlug, Version};

/// The files that GitHub lets a release have ("About releases"). The time to compare names grows with their
/// number.
const MOST_ASSETS: usize = 1000;

/// A release.
#[derive(Deserialize)]
pub(super) struct GithubRelease {
    pub(super) tag_name: String,
    #[serde(default)]
    pub(super) draft: bool,
    #[serde(default)]
    pub(super) prerelease: bool,
    #[serde(default)]
    immutable: bool,
    pub(super) published_at: Option<Timestamp>,
    html_url: Url,
    #[serde(default)]
    assets: Vec<GithubAsset>,
}

/// A repository.
#[derive(Deserialize)]
pub(super) struct GithubRepository {
    pub(super) id: u64,
}

/// The attestations of a file.
#[derive(Deserialize)]
pub(super) struct GithubAttestations {
    #[serde(default)]
    pub(super) attestations: Vec<GithubAttestation>,
}

/// An attestation: itself, or where it is, compressed.
#[derive(Deserialize)]
pub(super) struct GithubAttestation {
    pub(super) bundle: Option<serde_json::Value>,
    pub(super) bundle_url: Option<String>,
}

/// One of its files.
#[derive(Deserialize)]
struct GithubAsset {
    name: String,
    #[serde(default)]
    state: Option<String>,
    size: u64,
    #[serde(default)]
    digest: Option<String>,
    browser_download_url: String,
}

impl GithubRelease {
    /// The release of `version`, asked for in `asked`.
    ///
    /// # Errors
    /// If it has too many files.
    pub(super) fn complete(
        self,
        asked: &RepoSlug,
        version: Version,
        passed_over: Option<Version>,
    ) -> Result<upstream::Release, GithubError> {
        if self.assets.len() > MOST_ASSETS {
            let why = format!("a release has {} files, and GitHub allows {MOST_ASSETS}", self.assets.len());
            return Err(GithubError::Malformed { url: Address::new(&self.html_url, None), why });
        }
        Ok(upstream::Release {
            repo: repository(&self.html_url).unwrap_or_else(|| asked.clone()),
            version,
            page: page(self.html_url, asked),
            immutable: self.immutable,
            prerelease: self.prerelease,
            latest: None,
            passed_over,
            long_known: None,
            assets: self.assets.into_iter().filter_map(GithubAsset::complete).collect(),
        })
    }
}

impl GithubAsset {
    /// Nothing for one whose upload has not ended, or that is not on the web.
    fn complete(self) -> Option<upstream::ReleaseAsset> {
        let uploaded = self.state.is_none_or(|state| state == "uploaded");
        let url = self.browser_download_url.parse().ok().filter(|_| uploaded)?;
        let digest = self.digest.and_then(|digest| Sha256::from_oci(&digest).ok());
        Some(upstream::ReleaseAsset { name: self.name, url, size: self.size, digest })
    }
}

/// The URL of a release's page, or of its repository where no person could read that one.
fn page(url: Url, asked: &RepoSlug) -> String {
    const LONGEST: usize = 1024;
    if url.as_str().len() > LONGEST { asked.url() } else { url.into() }
}

/// The repository of a release's page.
fn repository(page: &Url) -> Option<RepoSlug> {
    let mut path = page.path_segments()?;
    format!("{}/{}", path.next()?, path.next()?).parse().ok()
}

/// The target of `rel="next"` in a Link header (RFC 8288).
pub(super) fn next(link: &str) -> Option<&str> {
    link.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let mut parameters = parameters.split(';').map(str::trim);
        parameters.any(|parameter| matches!(parameter, "rel=\"next\"" | "rel=next")).then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn the_next_page_is_found_among_the_others() {
        let link = r#"<https://api.github.com/repositories/1/releases?page=1>; rel="prev", <https://api.github.com/repositories/1/releases?page=3>; rel="next""#;
        assert_eq!(next(link), Some("https://api.github.com/repositories/1/releases?page=3"));
        assert_eq!(next(r#"<https://api.github.com/x>; rel="last""#), None);
        assert_eq!(next("nonsense"), None);
    }
}
