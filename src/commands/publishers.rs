//! The world outside, as resolving asks for it: GitHub, plain URLs, registries, the cache.

use std::io::Seek;
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use url::Url;

use super::console::Console;
use super::{Failure, cache, progress};
use crate::archive;
use crate::diagnostics::{Code, Diagnostic};
use crate::digest::Sha256;
use crate::fetch::{self, Cache, Download, Fetched, Progress};
use crate::github::{self, Api};
use crate::lock::upstream::{Archive, Image, Order, Release, Upstream, Wanted};
use crate::net::{Client, Error as NetError, Patience, Request, Token};
use crate::oci::{self, Credentials};
use crate::project::names::RepoSlug;
use crate::project::values::{ImageRef, Packing, WebUrl};

/// The largest checksum file or signature, in bytes.
const LARGEST_DOCUMENT: u64 = 4 << 20;

/// The largest archive, in bytes.
pub(super) const LARGEST_ARCHIVE: u64 = 2 << 30;

/// What the environment says of the world outside.
pub(super) struct Setup {
    api: String,
    token: Option<Token>,
    patience: Patience,
    cache: PathBuf,
    docker: Option<PathBuf>,
    youngest: Option<Timestamp>,
}

impl Setup {
    /// Reads the environment. Releases younger than `min_age` days are passed over.
    ///
    /// # Errors
    /// Where a variable holds what cannot be used.
    pub(super) fn from_environment(min_age: u16) -> Result<Self, Failure> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let token = variable("GITHUB_TOKEN").map(|token| token.parse::<Token>()).transpose();
        let token = token.map_err(|error| Failure::Argument(format!("GITHUB_TOKEN: {error}")))?;
        let youngest =
            (min_age > 0).then(|| Timestamp::now() - SignedDuration::from_hours(24 * i64::from(min_age)));
        let mut patience = Patience::default();
        if let Some(seconds) = variable("BAKE_STALL_SECONDS") {
            let seconds = seconds.parse().ok().filter(|seconds| (1..=600).contains(seconds));
            let Some(seconds) = seconds else {
                return Err(Failure::Argument("BAKE_STALL_SECONDS is not a number from 1 to 600".to_owned()));
            };
            patience.stall = std::time::Duration::from_secs(seconds);
        }
        Ok(Self {
            api: variable("GITHUB_API_URL").unwrap_or_else(|| github::API.to_owned()),
            token,
            patience,
            cache: cache::folder()?,
            docker: variable("DOCKER_CONFIG")
                .map(PathBuf::from)
                .or_else(|| Some(PathBuf::from(variable("HOME")?).join(".docker"))),
            youngest,
        })
    }
}

/// Those who publish what is locked, and the cache between.
pub(super) struct Publishers {
    client: Client,
    api: Url,
    token: Option<Token>,
    youngest: Option<Timestamp>,
    cache: Cache,
    docker: Option<PathBuf>,
    progress: Box<dyn Progress>,
}

impl Publishers {
    /// Opens the cache. Nobody is asked yet.
    ///
    /// # Errors
    /// Where the cache cannot be opened, or the environment asks for something impossible.
    pub(super) fn new(setup: Setup, console: &Console) -> Result<Self, Failure> {
        let client = Client::new(setup.patience).map_err(|error| Failure::Other(error.to_string()))?;
        let api = Url::parse(&setup.api).ok().filter(|url| !url.cannot_be_a_base());
        let api = api.ok_or_else(|| Failure::Argument("GITHUB_API_URL is not a URL".to_owned()))?;
        let cache = Cache::open(&setup.cache).map_err(|error| Failure::Other(error.to_string()))?;
        Ok(Self {
            client,
            api,
            token: setup.token,
            youngest: setup.youngest,
            cache,
            docker: setup.docker,
            progress: progress::shown(console),
        })
    }

    /// An archive, from the cache or over the network.
    pub(super) fn fetch(&self, download: &Download<'_>) -> Result<Fetched, fetch::Error> {
        fetch::fetch(&self.client, &self.cache, download, &*self.progress)
    }
}

impl Upstream for Publishers {
    fn release(&self, repo: &RepoSlug, wanted: &Wanted) -> Result<Release, Diagnostic> {
        let api = Api::new(&self.client, &self.api, self.token.as_ref(), self.youngest);
        api.release(repo, wanted).map_err(|error| of_api(&error))
    }

    fn document(&self, url: &WebUrl) -> Result<Option<String>, Diagnostic> {
        match self.client.text(&Request::new(parsed(url)?), LARGEST_DOCUMENT) {
            Ok(text) => Ok(Some(text)),
            // Not text, or far too long: nothing that states a checksum.
            Err(NetError::NotFound { .. } | NetError::Malformed { .. } | NetError::TooLarge { .. }) => {
                Ok(None)
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
        let mut fetched = self.fetch(&download).map_err(|error| of_fetch(&error, order.stated_by))?;
        let wanted = archive::Wanted { path: order.binary, name: order.tool.as_str(), arch: order.arch };
        let packing = Packing::of(order.url.file_name());
        let found = archive::find(&mut fetched.file, packing, &wanted, &archive::Limits::default());
        let found = found.map_err(|error| {
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
            binary: found.path,
            binary_sha256: found.sha256,
            content: Box::new(fetched.file),
        })
    }

    fn published(&self, url: &WebUrl) -> Result<(Sha256, u64), Diagnostic> {
        let unusable =
            |error: &dyn std::fmt::Display| Diagnostic::error(Code::CannotCache, error.to_string());
        // A cache of its own knows nothing yet, and goes at the end.
        let folder = tempfile::tempdir().map_err(|error| unusable(&error))?;
        let cache = Cache::open(folder.path()).map_err(|error| unusable(&error))?;
        let download = Download {
            url: &parsed(url)?,
            expected: None,
            size: None,
            limit: LARGEST_ARCHIVE,
            label: url.file_name(),
        };
        let fetched = fetch::fetch(&self.client, &cache, &download, &*self.progress);
        fetched.map(|fetched| (fetched.sha256, fetched.size)).map_err(|error| of_fetch(&error, "nobody"))
    }

    fn image(&self, reference: &ImageRef) -> Result<Image, Diagnostic> {
        let credentials = self
            .docker
            .as_deref()
            .map_or(Ok(Credentials::Anonymous), |folder| Credentials::of_docker(folder, reference));
        let resolved = credentials.and_then(|credentials| oci::registry::resolve(reference, &credentials));
        let resolved = resolved.map_err(|error| of_image(&error))?;
        Ok(Image { digest: resolved.digest, platforms: resolved.platforms })
    }
}

/// A URL, to be asked.
pub(super) fn parsed(url: &WebUrl) -> Result<Url, Diagnostic> {
    Url::parse(url.as_str()).map_err(|error| Diagnostic::error(Code::BadValue, format!("{url}: {error}")))
}

/// Says what a problem is about.
pub(super) fn about(title: &str, problem: Diagnostic) -> Diagnostic {
    Diagnostic { message: format!("{title}: {}", problem.message), ..problem }
}

/// `stated_by` says where an expected checksum comes from.
pub(super) fn of_fetch(error: &fetch::Error, stated_by: &str) -> Diagnostic {
    match error {
        fetch::Error::Net(error) => of_net(error),
        fetch::Error::Mismatch { .. } | fetch::Error::WrongSize { .. } => {
            Diagnostic::error(Code::ChecksumMismatch, format!("{error}, as {stated_by} says"))
                .help("it was thrown away; do not use it before its publisher told why")
        }
        fetch::Error::Cache { .. } => Diagnostic::error(Code::CannotCache, error.to_string()),
    }
}

fn of_net(error: &NetError) -> Diagnostic {
    let (code, help) = match error {
        NetError::NotFound { .. } => {
            (Code::UpstreamGone, "it may have been renamed or withdrawn; choose another version")
        }
        NetError::Unreachable { .. } | NetError::Setup { .. } => {
            (Code::UpstreamUnreachable, "run it again where there is a network")
        }
        NetError::RateLimited { .. } => {
            (Code::UpstreamFailed, "wait, and run it again: what was fetched stays in the cache")
        }
        _ => (Code::UpstreamFailed, "run it again later; where it stays so, ask its publisher"),
    };
    Diagnostic::error(code, error.to_string()).help(help)
}

fn of_api(error: &github::Error) -> Diagnostic {
    match error {
        github::Error::Net(error) => of_net(error),
        github::Error::NoSuchVersion { .. } | github::Error::None { .. } => {
            Diagnostic::error(Code::UpstreamGone, error.to_string())
                .help("it may have been withdrawn; choose another version with `version:`")
        }
        github::Error::NoRepository { .. } => Diagnostic::error(Code::UpstreamGone, error.to_string())
            .help("correct its name; only what everybody can read can be baked in"),
        github::Error::Malformed { .. } => Diagnostic::error(Code::UpstreamFailed, error.to_string())
            .help("GITHUB_API_URL must be the URL of a GitHub API"),
    }
}

fn of_image(error: &oci::Error) -> Diagnostic {
    let code = match error {
        oci::Error::Unreachable { .. } => Code::UpstreamUnreachable,
        oci::Error::NotFound { .. } => Code::UpstreamGone,
        oci::Error::Mismatch { .. } => Code::ChecksumMismatch,
        oci::Error::NoBuild { .. } => Code::NoBuildForArch,
        _ => Code::UpstreamFailed,
    };
    Diagnostic::error(code, format!("the base image: {error}"))
}
