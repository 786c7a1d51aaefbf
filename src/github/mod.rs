//! Releases, as GitHub's REST API tells of them (docs.github.com, "REST API endpoints for releases").

mod release;

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use url::Url;

use crate::diagnostics::quoted;
use crate::digest::Sha256;
use crate::http::{Address, Client, HttpError, Request, Token};
use crate::lock::upstream::{Release, ReleaseQuery};
use crate::lock::versions;
use crate::project::names::{RepoSlug, Version};
use crate::text::excerpt;

/// The API's default URL.
pub const API: &str = "https://api.github.com";

/// The version of the API that the shapes of answers are from.
const API_VERSION: &str = "2022-11-28";

/// The limit of one answer, in bytes: a hundred releases with some hundred files each.
const LONGEST_ANSWER: u64 = 64 << 20;

/// Pages of a hundred releases that are looked through; GitHub itself ends at ten thousand releases.
const MOST_PAGES: usize = 100;

/// Attestations of one file that are read.
const MOST_ATTESTATIONS: usize = 30;

/// The limit of one attestation, in bytes.
const LONGEST_ATTESTATION: usize = 4 << 20;

/// Words before versions that a message names.
const MOST_WORDS: usize = 6;

/// The requests that GitHub still grants in this hour ("Rate limits for the REST API"), and those that releases need.
/// Runs ask for several releases at once, so a request counts from its beginning.
pub struct Quota(Mutex<Requests>);

struct Requests {
    /// By the last answers and the requests since then; `u32::MAX` before the first answer.
    remaining: u32,
    releases: u32,
}

impl Quota {
    /// For a run that asks for `count` releases.
    pub fn for_releases(count: usize) -> Self {
        let releases = u32::try_from(count).unwrap_or(u32::MAX);
        Self(Mutex::new(Requests { remaining: u32::MAX, releases }))
    }

    /// Whether one request more is granted than the releases need; if so, it counts as begun.
    pub fn take_spare(&self) -> bool {
        let mut counts = self.counts();
        let has_spare = counts.remaining > counts.releases;
        counts.remaining = counts.remaining.saturating_sub(u32::from(has_spare));
        has_spare
    }

    fn begin_release(&self) {
        let mut counts = self.counts();
        counts.remaining = counts.remaining.saturating_sub(1);
        counts.releases = counts.releases.saturating_sub(1);
    }

    fn note(&self, header: Option<&str>) {
        if let Some(remaining) = header.and_then(|header| header.parse().ok()) {
            let mut counts = self.counts();
            counts.remaining = counts.remaining.min(remaining);
        }
    }

    fn counts(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Asks GitHub, or a server that speaks as it does.
pub struct Api<'a> {
    client: &'a Client,
    base: &'a Url,
    token: Option<&'a Token>,
    quota: &'a Quota,
    /// Releases published after this are too young to be the newest.
    youngest: Option<Timestamp>,
    /// Releases published before this are long known.
    grace: Option<Timestamp>,
}

/// Why none of a repository's releases is the newest. Displayed behind `no release`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Absence {
    /// There is none.
    #[error("")]
    Empty,
    /// All are too young.
    #[error(" that is old enough")]
    Young,
    /// All are drafts or pre-releases.
    #[error(" but drafts and pre-releases")]
    Unfinished,
    /// No tag names a version; one of them.
    #[error(" whose tag names a version, such as {}", quoted(.0))]
    Unversioned(String),
}

/// Why there is no release.
#[derive(Debug, thiserror::Error)]
pub enum GithubError {
    /// The API could not be asked, or refuses.
    #[error(transparent)]
    Net(#[from] HttpError),
    /// The repository has none of that version.
    #[error("{repo} has no release {version}: {url}")]
    NoSuchVersion {
        /// The repository.
        repo: RepoSlug,
        /// The requested version.
        version: Version,
        /// The requested URL.
        url: Address,
    },
    /// The repository has none at all, or none but drafts, pre-releases and young ones.
    #[error("{repo} has no release{why}: {url}")]
    None {
        /// The repository.
        repo: RepoSlug,
        /// The requested URL.
        url: Address,
        /// Why none of its releases qualifies.
        why: Absence,
    },
    /// The repository publishes several things, and nothing says which one is wanted.
    #[error(
        "{repo} has releases of several things, and which is meant is not known: {}: {url}",
        quoted(words)
    )]
    SeveralThings {
        /// The repository.
        repo: RepoSlug,
        /// The words before the versions in its tags.
        words: String,
        /// The requested URL.
        url: Address,
    },
    /// The repository does not exist, or is private.
    #[error("there is no repository {repo}, or it is private: {url}")]
    NoRepository {
        /// The repository.
        repo: RepoSlug,
        /// The requested URL.
        url: Address,
    },
    /// The answer is not what the API's documentation says.
    #[error("{url}: not an answer of GitHub's API: {why}")]
    Malformed {
        /// The requested URL.
        url: Address,
        /// The error.
        why: String,
    },
}

impl<'a> Api<'a> {
    /// The API at `base`, a URL that paths can be added to. `token` is sent to that origin alone.
    /// Releases after `youngest` are passed over where the newest is wanted.
    pub const fn new(
        client: &'a Client,
        base: &'a Url,
        token: Option<&'a Token>,
        quota: &'a Quota,
        youngest: Option<Timestamp>,
    ) -> Self {
        Self { client, base, token, quota, youngest, grace: None }
    }

    /// Tells too which release is the newest of those published before `grace`.
    #[must_use]
    pub const fn with_grace(self, grace: Timestamp) -> Self {
        Self { grace: Some(grace), ..self }
    }

    /// The release of `repo` that is wanted.
    ///
    /// # Errors
    /// Where there is none, or the API could not be asked.
    pub fn release(&self, repo: &RepoSlug, wanted: &ReleaseQuery) -> Result<Release, GithubError> {
        self.quota.begin_release();
        match wanted {
            ReleaseQuery::Newest => self.newest(repo),
            ReleaseQuery::Version(version) => self.of_version(repo, version),
        }
    }

    /// The number of `repo`, which stays when it is renamed, and which no later repository of its name gets.
    ///
    /// # Errors
    /// Where there is none, or the API could not be asked.
    pub fn repository_id(&self, repo: &RepoSlug) -> Result<u64, GithubError> {
        let (found, _) = self.of_repository::<release::GithubRepository>(repo, &self.url(repo, &[]))?;
        Ok(found.id)
    }

    /// The attestations in `repo` that name this digest, as text.
    ///
    /// # Errors
    /// If the API or the store of attestations could not be asked.
    pub fn attestations(&self, repo: &RepoSlug, sha256: &Sha256) -> Result<Vec<String>, GithubError> {
        let url = self.url(repo, &["attestations", &sha256.oci()]);
        let found = match self.answer::<release::GithubAttestations>(&url) {
            Ok((found, _)) => found.attestations,
            Err(GithubError::Net(HttpError::NotFound { .. })) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut texts = Vec::new();
        for attestation in found.into_iter().take(MOST_ATTESTATIONS) {
            match (attestation.bundle.filter(|bundle| !bundle.is_null()), attestation.bundle_url) {
                (Some(bundle), _) => texts.push(bundle.to_string()),
                (None, Some(at)) => {
                    let malformed = |why: &str| GithubError::Malformed {
                        url: Address::new(&url, None),
                        why: format!("the place of an attestation: {why}"),
                    };
                    let at = Url::parse(&at).map_err(|_| malformed("it is not a URL"))?;
                    texts.push(self.stored(&at)?);
                }
                (None, None) => {}
            }
        }
        Ok(texts)
    }

    /// An attestation in the store, which compresses it by Snappy.
    fn stored(&self, at: &Url) -> Result<String, GithubError> {
        let malformed = |why: String| GithubError::Malformed { url: Address::new(at, None), why };
        let mut response = self.client.get(&Request::new(at.clone()))?;
        let packed = response.document(LONGEST_ATTESTATION as u64)?;
        let length = snap::raw::decompress_len(&packed).map_err(|error| malformed(error.to_string()))?;
        if length > LONGEST_ATTESTATION {
            return Err(malformed(format!("it has {length} bytes")));
        }
        let unpacked = snap::raw::Decoder::new().decompress_vec(&packed);
        let unpacked = unpacked.map_err(|error| malformed(error.to_string()))?;
        String::from_utf8(unpacked).map_err(|_| malformed("it is not UTF-8".to_owned()))
    }

    /// The highest version on the first page that has one: releases come newest first, but a
    /// release of an older line may come after one of a newer.
    fn newest(&self, repo: &RepoSlug) -> Result<Release, GithubError> {
        let mut next = Some(self.releases(repo));
        let mut young: Option<Version> = None;
        let mut why = Absence::Empty;
        let mut latest = None;
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else { break };
            let (page, following) = self.page(repo, &url)?;
            if why == Absence::Empty && !page.is_empty() {
                why = Absence::Unfinished;
            }
            let stable = page.into_iter().filter(|release| !release.draft && !release.prerelease);
            let stable: Vec<_> = stable.collect();
            if let Some(other) = stable.iter().find(|release| versions::of_tag(&release.tag_name).is_none()) {
                why = Absence::Unversioned(other.tag_name.clone());
            }
            let stable = stable.into_iter();
            let stable = stable.filter_map(|release| Some((versions::of_tag(&release.tag_name)?, release)));
            let mut stable: Vec<(Version, release::GithubRelease)> = stable.collect();
            let is_doubtful = |(version, _): &(Version, _)| versions::is_prerelease(version);
            if latest.is_none() && (stable.len() > 1 || stable.iter().any(is_doubtful)) {
                latest = self.latest(repo);
            }
            // GitHub's word decides before a spelling: on a release that looks like a pre-release, and on a
            // project that went from dates to versions.
            let is_latest = |tag: &str| latest.as_deref() == Some(tag);
            stable.retain(|(version, release)| {
                !versions::is_prerelease(version) || is_latest(&release.tag_name)
            });
            if let Some(own) = stable.iter().find(|(_, release)| is_latest(&release.tag_name)) {
                let is_date = versions::is_date(&own.0);
                stable.retain(|(version, _)| versions::is_date(version) == is_date);
            }
            let mut best: Option<(Version, release::GithubRelease)> = None;
            let before = |best: &Option<(Version, release::GithubRelease)>, version: &Version, tag: &str| {
                best.as_ref().is_none_or(|(known, release)| {
                    let newer = versions::compare(version, known);
                    newer.then(rank(&release.tag_name, known).cmp(&rank(tag, version))).is_gt()
                })
            };
            let stable = self.of_one_thing(repo, stable)?;
            let is_known = |release: &release::GithubRelease| {
                self.grace.is_some_and(|grace| release.published_at.is_some_and(|at| at < grace))
            };
            let known = stable.iter().filter(|(_, release)| is_known(release)).map(|(version, _)| version);
            let long_known = known.max_by(|one, other| versions::compare(one, other)).cloned();
            for (version, release) in stable {
                if self.youngest.is_some_and(|youngest| release.published_at.is_none_or(|at| at > youngest)) {
                    if young.as_ref().is_none_or(|known| versions::compare(&version, known).is_gt()) {
                        young = Some(version);
                    }
                } else if before(&best, &version, &release.tag_name) {
                    best = Some((version, release));
                }
            }
            if let Some((version, release)) = best {
                let passed_over = young.filter(|young| versions::compare(young, &version).is_gt());
                let tag = release.tag_name.clone();
                let is_other = |latest: &String| {
                    let of = versions::of_tag(latest);
                    let word = of.as_ref().map(|of| versions::word_of_tag(latest, of));
                    *latest != tag && of != passed_over && word == Some(versions::word_of_tag(&tag, &version))
                };
                let latest = latest.filter(is_other);
                let found = release.complete(repo, version, passed_over)?;
                return Ok(Release { latest, long_known, ..found });
            }
            next = following;
        }
        Err(GithubError::None {
            repo: repo.clone(),
            url: Address::new(&self.releases(repo), None),
            why: if young.is_some() { Absence::Young } else { why },
        })
    }

    /// The tag of the release that GitHub calls the latest, if it says so and a request is left for it.
    fn latest(&self, repo: &RepoSlug) -> Option<String> {
        if !self.quota.take_spare() {
            return None;
        }
        let url = self.url(repo, &["releases", "latest"]);
        self.answer::<release::GithubRelease>(&url).ok().map(|(release, _)| release.tag_name)
    }

    fn of_version(&self, repo: &RepoSlug, version: &Version) -> Result<Release, GithubError> {
        for tag in tags(version) {
            let url = self.url(repo, &["releases", "tags", &tag]);
            match self.answer::<release::GithubRelease>(&url) {
                Ok((release, _)) => return release.complete(repo, version.clone(), None),
                Err(GithubError::Net(HttpError::NotFound { .. })) => {}
                Err(error) => return Err(error),
            }
        }
        let mut next = Some(self.releases(repo));
        for _ in 0..MOST_PAGES {
            let Some(url) = next.take() else { break };
            let (page, following) = self.page(repo, &url)?;
            let page = page.into_iter().filter(|release| !release.draft);
            let found = page.filter(|release| versions::is_tag_of(&release.tag_name, version));
            let found = found.map(|release| (version.clone(), release)).collect();
            if let Some((version, release)) = self.of_one_thing(repo, found)?.into_iter().next() {
                return release.complete(repo, version, None);
            }
            next = following;
        }
        Err(GithubError::NoSuchVersion {
            repo: repo.clone(),
            version: version.clone(),
            url: Address::new(&self.releases(repo), None),
        })
    }

    /// Those of `releases` that are of the same thing, where a repository publishes several: those
    /// without a word before the version, or with the repository's name there.
    fn of_one_thing(
        &self,
        repo: &RepoSlug,
        releases: Vec<(Version, release::GithubRelease)>,
    ) -> Result<Vec<(Version, release::GithubRelease)>, GithubError> {
        let word = |(version, release): &(Version, release::GithubRelease)| {
            versions::word_of_tag(&release.tag_name, version).to_owned()
        };
        let words: BTreeSet<String> = releases.iter().map(word).collect();
        let own = ["", repo.name()].into_iter().find(|own| words.contains(*own));
        match own {
            Some(own) => Ok(releases.into_iter().filter(|release| word(release) == own).collect()),
            None if words.len() < 2 => Ok(releases),
            None => Err(GithubError::SeveralThings {
                repo: repo.clone(),
                words: words.into_iter().take(MOST_WORDS).collect::<Vec<_>>().join(", "),
                url: Address::new(&self.releases(repo), None),
            }),
        }
    }

    fn page(
        &self,
        repo: &RepoSlug,
        url: &Url,
    ) -> Result<(Vec<release::GithubRelease>, Option<Url>), GithubError> {
        self.of_repository(repo, url)
    }

    /// An answer that only a missing repository lacks.
    fn of_repository<T: serde::de::DeserializeOwned>(
        &self,
        repo: &RepoSlug,
        url: &Url,
    ) -> Result<(T, Option<Url>), GithubError> {
        self.answer(url).map_err(|error| match error {
            GithubError::Net(HttpError::NotFound { .. }) => {
                GithubError::NoRepository { repo: repo.clone(), url: Address::new(url, None) }
            }
            error => error,
        })
    }

    /// An answer, and the URL of the page after it.
    fn answer<T: serde::de::DeserializeOwned>(&self, url: &Url) -> Result<(T, Option<Url>), GithubError> {
        let ask = |token| {
            let request = Request::new(url.clone())
                .accept("application/vnd.github+json")
                .header("x-github-api-version", API_VERSION)
                .token(token);
            self.client.document(&request, LONGEST_ANSWER)
        };
        let (head, text) = match ask(self.token) {
            // An organization with SAML refuses tokens that it did not authorize, even for public repositories.
            Err(refused @ (HttpError::SingleSignOn { .. } | HttpError::Status { status: 403, .. }))
                if self.token.is_some() =>
            {
                ask(None).map_err(|_| refused)?
            }
            answer => answer?,
        };
        self.quota.note(head.header("x-ratelimit-remaining"));
        let malformed = |why: String| GithubError::Malformed { url: Address::new(url, None), why };
        let answer =
            serde_json::from_str(&text).map_err(|error| malformed(excerpt(&error.to_string(), 200)))?;
        let next = head.header("link").and_then(release::next).map(|next| url.join(next)).transpose();
        let next =
            next.map_err(|error| malformed(format!("the link to its next page is not a URL: {error}")))?;
        // The token goes along, and must not go anywhere else.
        match next {
            Some(next) if next.origin() != self.base.origin() => Err(malformed(format!(
                "its next page is elsewhere, at {}",
                next.origin().ascii_serialization()
            ))),
            next => Ok((answer, next)),
        }
    }

    fn releases(&self, repo: &RepoSlug) -> Url {
        let mut url = self.url(repo, &["releases"]);
        url.query_pairs_mut().append_pair("per_page", "100");
        url
    }

    fn url(&self, repo: &RepoSlug, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        // `new` asks for a URL for which this does not fail.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push("repos").extend(repo.as_str().split('/')).extend(path);
        }
        url
    }
}

/// The tags that a version is looked for under, the likeliest first.
fn tags(version: &Version) -> [String; 2] {
    [format!("v{version}"), version.to_string()]
}

/// Which of several tags of one version counts, the least first: that which is found again where
/// that version is asked for.
fn rank(tag: &str, version: &Version) -> usize {
    tags(version).iter().position(|known| known == tag).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::Quota;

    #[test]
    fn the_last_requests_are_for_releases() {
        let quota = Quota::for_releases(3);
        assert!(quota.take_spare(), "nothing is known before the first answer");
        quota.begin_release();
        quota.note(Some("4"));
        assert!(quota.take_spare() && quota.take_spare(), "two releases are left");
        // An answer to an earlier request, and one without the header.
        quota.note(Some("3"));
        quota.note(None);
        assert!(!quota.take_spare());
        quota.begin_release();
        quota.begin_release();
        assert!(!quota.take_spare(), "all are used");
    }
}
