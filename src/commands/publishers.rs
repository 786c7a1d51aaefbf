//! The network side of resolving: GitHub, plain URLs, registries, the cache.

use std::fmt;
use std::io::{Read, Seek};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use url::Url;

use super::console::Console;
use super::progress::Bars;
use super::{Failure, cache};
use crate::archive;
use crate::diagnostics::{Code, Diagnostic};
use crate::digest::Sha256;
use crate::fetch::{self, Cache, Download, Fetched, Kept};
use crate::github::{self, Absence, Api, Quota};
use crate::http::{self, Client, HttpError, Request, RetryPolicy, Token};
use crate::lock::forge::Forge;
use crate::lock::upstream::{
    Archive, FetchedText, GRACE_DAYS, Order, Release, ReleaseQuery, Upstream, UpstreamImage,
};
use crate::oci;
use crate::project::names::RepoSlug;
use crate::project::values::{ArchiveFormat, ImageRef, WebUrl};
use crate::provenance::Authorities;
use crate::registry::{self, Credentials};

/// The largest checksum file or signature, in bytes.
const LARGEST_DOCUMENT: u64 = 4 << 20;

/// The largest archive, in bytes.
pub(super) const LARGEST_ARCHIVE: u64 = 2 << 30;

/// The largest `trusted_root.json`, in bytes.
const LARGEST_ROOT: u64 = 4 << 20;

/// Settings from environment variables.
pub(super) struct Environment {
    api: Url,
    token: Option<Token>,
    patience: RetryPolicy,
    cache: Option<PathBuf>,
    /// Files with logins of registries, in order of precedence.
    logins: Vec<PathBuf>,
    /// The least age in days of a release that is taken as the newest.
    min_age: u16,
    /// A root of trust for attestations besides the embedded ones.
    root: Option<PathBuf>,
}

impl Environment {
    /// Reads the environment. Releases younger than `min_age` days are skipped.
    ///
    /// # Errors
    /// If a variable has an invalid value.
    pub(super) fn from_environment(min_age: u16) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = variable("GITHUB_TOKEN").map(|token| token.parse::<Token>()).transpose();
        let token = token.map_err(|error| Failure::Argument(format!("GITHUB_TOKEN: {error}")))?;
        let api = api().ok_or_else(|| Failure::Argument("GITHUB_API_URL is not a URL".to_owned()))?;
        if let Some(why) = http::check_scheme(&api) {
            return Err(Failure::Argument(format!("GITHUB_API_URL cannot be used: {why}")));
        }
        let mut patience = RetryPolicy::default();
        if let Some(seconds) = variable("BAKE_STALL_SECONDS") {
            let seconds = seconds.parse().ok().filter(|seconds| (1..=600).contains(seconds));
            let Some(seconds) = seconds else {
                return Err(Failure::Argument("BAKE_STALL_SECONDS is not a number from 1 to 600".to_owned()));
            };
            patience.stall = Duration::from_secs(seconds);
        }
        let root = variable("BAKE_TRUSTED_ROOT").map(PathBuf::from);
        Ok(Self { api, token, patience, cache: cache::folder(), logins: logins(variable), min_age, root })
    }
}

/// The GitHub whose releases are locked. A variable that cannot be used is reported once GitHub is asked.
pub(super) fn forge() -> Forge {
    api().map(|api| Forge::of_api(&api)).unwrap_or_default()
}

fn api() -> Option<Url> {
    let named = std::env::var("GITHUB_API_URL").ok().filter(|value| !value.is_empty());
    Url::parse(named.as_deref().unwrap_or(github::API)).ok().filter(|url| !url.cannot_be_a_base())
}

/// The files with logins of Docker and Podman, in order of precedence: a named file, then Docker's, then
/// Podman's (containers-auth.json(5)).
fn logins(variable: impl Fn(&str) -> Option<String>) -> Vec<PathBuf> {
    let folder = |name: &str| variable(name).map(PathBuf::from);
    let home = folder("HOME");
    let at_home = |name: &str| home.as_ref().map(|home| home.join(name));
    [
        folder("REGISTRY_AUTH_FILE"),
        folder("DOCKER_CONFIG").or_else(|| at_home(".docker")).map(|docker| docker.join("config.json")),
        folder("XDG_RUNTIME_DIR").map(|folder| folder.join("containers/auth.json")),
        folder("XDG_CONFIG_HOME")
            .or_else(|| at_home(".config"))
            .map(|config| config.join("containers/auth.json")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The origin of the expected checksum and size, for messages.
#[derive(Clone, Copy)]
pub(super) struct Stated<'a> {
    /// The origin of the SHA-256.
    sha256: &'a str,
    /// The origin of the size.
    size: &'a str,
}

impl<'a> Stated<'a> {
    /// The same origin for both.
    pub(super) const fn by(who: &'a str) -> Self {
        Self { sha256: who, size: who }
    }
}

/// The publishers of the locked files, and the cache. Both are opened on first use: a complete lock needs
/// neither.
pub(super) struct Publishers {
    setup: Environment,
    client: Client,
    cache: OnceLock<Cache>,
    /// The downloads of an audit, which leaves the cache as it is.
    scratch: Option<OnceLock<TempDir>>,
    progress: Bars,
    quota: Quota,
    authorities: OnceLock<Result<Authorities, String>>,
}

impl Publishers {
    /// Does not use the network.
    pub(super) fn new(setup: Environment, console: &Console) -> Self {
        Self {
            client: Client::new(setup.patience.clone()),
            setup,
            cache: OnceLock::new(),
            scratch: None,
            progress: Bars::new(console.is_quiet()),
            quota: Quota::for_releases(0),
            authorities: OnceLock::new(),
        }
    }

    /// As [`new`](Self::new), and leaves the cache as it is.
    pub(super) fn auditing(setup: Environment, console: &Console) -> Self {
        Self { scratch: Some(OnceLock::new()), ..Self::new(setup, console) }
    }

    /// An archive, from the cache or over the network. `stated` names the origin of its checksum.
    pub(super) fn fetch(&self, download: &Download<'_>, stated: Stated<'_>) -> Result<Fetched, Diagnostic> {
        if let Some(scratch) = &self.scratch {
            return self.fetch_into(scratch, download, stated);
        }
        let fetched = fetch::fetch(&self.client, self.cache()?, download, &self.progress);
        fetched.map_err(|error| of_fetch(&error, stated))
    }

    fn fetch_into(
        &self,
        scratch: &OnceLock<TempDir>,
        download: &Download<'_>,
        stated: Stated<'_>,
    ) -> Result<Fetched, Diagnostic> {
        if let Some(expected) = download.expected
            && let Ok(Kept::Sound(file)) = self.cache()?.look(&expected)
        {
            let size = file.metadata().map_err(|error| cannot_cache(&error))?.len();
            return Ok(Fetched { sha256: expected, size, file, from_cache: true });
        }
        if scratch.get().is_none() {
            let made = tempfile::tempdir().map_err(|error| cannot_cache(&error))?;
            scratch.get_or_init(|| made);
        }
        let folder = scratch.wait();
        let cache = Cache::open(folder.path()).map_err(|error| cannot_cache(&error))?;
        let fetched = fetch::fetch(&self.client, &cache, download, &self.progress);
        fetched.map_err(|error| of_fetch(&error, stated))
    }

    /// The user's login at the registry of `reference`, from Docker's or Podman's configuration.
    pub(super) fn credentials(&self, reference: &ImageRef) -> Result<Credentials, oci::OciError> {
        Credentials::find(&self.setup.logins, reference)
    }

    /// The same, for a run that asks for `count` releases.
    pub(super) fn for_releases(self, count: usize) -> Self {
        Self { quota: Quota::for_releases(count), ..self }
    }

    /// Fails if GitHub grants no more requests than the releases need.
    fn spare_request(&self) -> Result<(), Diagnostic> {
        if self.quota.take_spare() {
            return Ok(());
        }
        let message = "the last requests that GitHub grants in this hour are for releases: set GITHUB_TOKEN";
        Err(Diagnostic::error(Code::CouldNotCheck, message))
    }

    /// The time after which a publication is younger than the minimum age of the arguments or the manifest.
    pub(super) fn youngest(&self, min_age_days: u16) -> Option<Timestamp> {
        let days = self.setup.min_age.max(min_age_days);
        (days > 0).then(|| days_ago(days))
    }

    /// The HTTP client.
    pub(super) const fn client(&self) -> &Client {
        &self.client
    }

    /// The progress bars.
    pub(super) const fn progress(&self) -> &Bars {
        &self.progress
    }

    /// The cache of archives.
    pub(super) fn cache(&self) -> Result<&Cache, Diagnostic> {
        if let Some(cache) = self.cache.get() {
            return Ok(cache);
        }
        let Some(folder) = &self.setup.cache else {
            let message = "nothing says where archives are kept";
            return Err(Diagnostic::error(Code::CannotCache, message).help("set BAKE_CACHE_DIR or HOME"));
        };
        let cache = match self.scratch {
            Some(_) => Cache::at(folder),
            None => Cache::open(folder).map_err(|error| cannot_cache(&error))?,
        };
        Ok(self.cache.get_or_init(|| cache))
    }
}

impl Upstream for Publishers {
    fn release(
        &self,
        repo: &RepoSlug,
        wanted: &ReleaseQuery,
        min_age_days: u16,
    ) -> Result<Release, Diagnostic> {
        let youngest = self.youngest(min_age_days);
        let api = Api::new(&self.client, &self.setup.api, self.setup.token.as_ref(), &self.quota, youngest)
            .with_grace(days_ago(GRACE_DAYS));
        api.release(repo, wanted).map_err(|error| of_api(&error))
    }

    fn repository_id(&self, repo: &RepoSlug) -> Result<u64, Diagnostic> {
        self.spare_request()?;
        let api = Api::new(&self.client, &self.setup.api, self.setup.token.as_ref(), &self.quota, None);
        api.repository_id(repo).map_err(|error| of_api(&error))
    }

    fn attestations(&self, repo: &RepoSlug, sha256: &Sha256) -> Result<Vec<String>, Diagnostic> {
        self.spare_request()?;
        let api = Api::new(&self.client, &self.setup.api, self.setup.token.as_ref(), &self.quota, None);
        api.attestations(repo, sha256).map_err(|error| of_api(&error))
    }

    fn authorities(&self) -> Result<&Authorities, Diagnostic> {
        let known = self.authorities.get_or_init(|| authorities(self.setup.root.as_deref()));
        known.as_ref().map_err(|why| Diagnostic::error(Code::IoFailed, why))
    }

    fn document(&self, url: &WebUrl) -> Result<FetchedText, Diagnostic> {
        match self.client.text(&Request::new(parsed(url)?), LARGEST_DOCUMENT) {
            Ok(text) => Ok(FetchedText::Text(text)),
            Err(HttpError::Malformed { .. } | HttpError::TooLarge { .. }) => Ok(FetchedText::NoText),
            Err(error @ (HttpError::NotFound { .. } | HttpError::Status { status: 401 | 403, .. })) => {
                Ok(FetchedText::Absent(of_net(&error)))
            }
            Err(error) => Err(of_net(&error)),
        }
    }

    fn archive(&self, order: &Order<'_>) -> Result<Archive, Diagnostic> {
        let version = order.version.map(|version| format!(" {version}")).unwrap_or_default();
        let url = parsed(order.url)?;
        let download = Download {
            url: &url,
            expected: order.sha256,
            size: order.size,
            limit: LARGEST_ARCHIVE,
            label: &format!("{}{version} {}", order.tool, order.arch),
        };
        let stated = Stated { sha256: order.stated_by, size: "the release API" };
        let mut fetched = self.fetch(&download, stated)?;
        let wanted =
            archive::ExecutableQuery { path: order.binary, name: order.tool.as_str(), arch: order.arch };
        let named = ArchiveFormat::of(order.url.file_name());
        let found = archive::format_of(&mut fetched.file, named).and_then(|format| {
            let limits = archive::Limits::default();
            Ok((format, archive::find(&mut fetched.file, format, &wanted, &limits)?))
        });
        let (format, found) = found.map_err(|error| {
            Diagnostic::error(Code::BadArchive, format!("{error}: {}", order.url)).help(
                "choose another file with `asset:`, another path in it with `binary:`, or another version",
            )
        })?;
        fetched
            .file
            .rewind()
            .map_err(|error| Diagnostic::error(Code::BadArchive, format!("{error}: {}", order.url)))?;
        Ok(Archive {
            sha256: fetched.sha256,
            size: fetched.size,
            format,
            binary: found.path,
            binary_sha256: found.sha256,
            loader: found.loader,
            content: Box::new(fetched.file),
        })
    }

    fn published(&self, url: &WebUrl) -> Result<(Sha256, u64), Diagnostic> {
        let download = Download {
            url: &parsed(url)?,
            expected: None,
            size: None,
            limit: LARGEST_ARCHIVE,
            label: url.file_name(),
        };
        let published = fetch::published(&self.client, &download, &self.progress);
        published.map_err(|error| of_fetch(&error, Stated::by("no publisher")))
    }

    fn image(&self, reference: &ImageRef) -> Result<UpstreamImage, Diagnostic> {
        let credentials = self.credentials(reference);
        let resolved =
            credentials.and_then(|credentials| registry::resolve(&self.client, reference, &credentials));
        let resolved = resolved.map_err(|error| of_image(&error))?;
        Ok(UpstreamImage { digest: resolved.digest, platforms: resolved.platforms })
    }
}

fn days_ago(days: u16) -> Timestamp {
    Timestamp::now() - SignedDuration::from_hours(24 * i64::from(days))
}

/// The embedded roots of trust, and the one at `root`.
fn authorities(root: Option<&Path>) -> Result<Authorities, String> {
    let embedded = Authorities::embedded();
    let Some(path) = root else { return Ok(embedded) };
    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LARGEST_ROOT).read_to_string(&mut text));
    let told = |why: String| format!("BAKE_TRUSTED_ROOT, {}: {why}", path.display());
    read.map_err(|error| told(error.to_string()))?;
    embedded.with(&text).map_err(told)
}

/// Parses a URL for a request.
pub(super) fn parsed(url: &WebUrl) -> Result<Url, Diagnostic> {
    Url::parse(url.as_str()).map_err(|error| Diagnostic::error(Code::BadValue, format!("{url}: {error}")))
}

fn of_fetch(error: &fetch::FetchError, stated: Stated<'_>) -> Diagnostic {
    let stated_by = match error {
        fetch::FetchError::Net(error) => return of_net(error),
        fetch::FetchError::Cache { .. } => return cannot_cache(error),
        fetch::FetchError::Mismatch { .. } => stated.sha256,
        fetch::FetchError::WrongSize { .. } => stated.size,
    };
    Diagnostic::error(Code::ChecksumMismatch, format!("{error}, as {stated_by} says"))
        .help("it was thrown away; do not use it before its publisher told why")
}

fn cannot_cache(error: &dyn fmt::Display) -> Diagnostic {
    Diagnostic::error(Code::CannotCache, error.to_string())
}

fn of_net(error: &HttpError) -> Diagnostic {
    let (code, help) = match error {
        HttpError::NotFound { .. } => {
            (Code::UpstreamGone, "it may have been renamed or withdrawn; choose another version")
        }
        HttpError::Unreachable { .. } | HttpError::Setup { .. } => {
            (Code::UpstreamUnreachable, "run it again where there is a network")
        }
        HttpError::RateLimited { .. } => {
            (Code::UpstreamFailed, "wait, and run it again: downloaded files stay in the cache")
        }
        _ => (Code::UpstreamFailed, "run it again later; where it stays so, ask its publisher"),
    };
    Diagnostic::error(code, error.to_string()).help(help)
}

fn of_api(error: &github::GithubError) -> Diagnostic {
    match error {
        github::GithubError::Net(error @ HttpError::Status { status: 401, .. }) => {
            of_net(error).help("let GITHUB_TOKEN hold a token that is accepted there, or unset it")
        }
        github::GithubError::Net(error @ HttpError::SingleSignOn { .. }) => {
            of_net(error).help("authorize GITHUB_TOKEN there, or unset it: public repositories need none")
        }
        github::GithubError::Net(error @ HttpError::Status { status: 403, .. }) => {
            of_net(error).help("if GITHUB_TOKEN is set, let it hold a token that may read this repository, or unset it")
        }
        github::GithubError::Net(error) => of_net(error),
        github::GithubError::NoSuchVersion { .. } => Diagnostic::error(Code::UpstreamGone, error.to_string())
            .help("it may have been withdrawn; choose another version with `version:`"),
        github::GithubError::None { why, .. } => {
            let help = match why {
                Absence::Empty => "name its archive by its URL, with `url:`, or choose another repository",
                Absence::Young => "wait, lower `--min-age` or `min_age_days`, or name a version with `version:`",
                Absence::Unfinished => "to take a pre-release, name it with `version:`",
                Absence::Unversioned(_) => "name a release by its tag, with `version:`",
            };
            Diagnostic::error(Code::UpstreamGone, error.to_string()).help(help)
        }
        github::GithubError::SeveralThings { .. } => {
            Diagnostic::error(Code::AmbiguousAsset, error.to_string())
                .help("name a release by its tag, with `-` for `/` and `@`, such as `version: cli-v1.2.3`; or the archive by its URL, with `url:`")
        }
        github::GithubError::NoRepository { .. } => Diagnostic::error(Code::UpstreamGone, error.to_string())
            .help("correct its name; only public repositories are supported"),
        github::GithubError::Malformed { .. } => Diagnostic::error(Code::UpstreamFailed, error.to_string())
            .help("GITHUB_API_URL must be the URL of a GitHub API"),
    }
}

pub(super) fn of_image(error: &oci::OciError) -> Diagnostic {
    Diagnostic::error(code_of(error), format!("the base image: {error}"))
}

pub(super) const fn code_of(error: &oci::OciError) -> Code {
    match error {
        oci::OciError::NoSource { .. } | oci::OciError::NotASource { .. } => Code::BadArgument,
        oci::OciError::Io { .. } => Code::IoFailed,
        oci::OciError::Unreachable { .. } => Code::UpstreamUnreachable,
        oci::OciError::NotFound { .. } => Code::UpstreamGone,
        oci::OciError::Mismatch { .. } => Code::ChecksumMismatch,
        oci::OciError::NoBuild { .. } => Code::NoBuildForArch,
        oci::OciError::Denied { .. }
        | oci::OciError::MayNotPush { .. }
        | oci::OciError::Failing { .. }
        | oci::OciError::Answer { .. }
        | oci::OciError::Credentials { .. } => Code::UpstreamFailed,
        oci::OciError::Incomplete { .. }
        | oci::OciError::NotAnImage { .. }
        | oci::OciError::Several { .. }
        | oci::OciError::Layer { .. } => Code::BadImage,
    }
}
