//! A stand-in for GitHub on loopback: REST API, downloads, the object store to which downloads are
//! redirected, and the container registry, each with a separate origin.
//!
//! Formats, headers and limits follow GitHub's documentation: "REST API endpoints for releases",
//! "Using pagination in the REST API", "Rate limits for the REST API", "Troubleshooting the REST API"
//! (2026). It records every request and fails on demand.

mod image;
pub mod release;
pub mod tls;
pub mod wire;

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use bake::digest::Sha256;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

pub use release::{Release, Style};
use wire::{Answer, Stream};
pub use wire::{Fault, Host, Request};

/// The only valid token. It answers any other with 401.
pub const TOKEN: &str = "ghp_0123456789abcdefTESTghijklmnopqrstuv";

/// Requests per hour without and with a token.
const LIMITS: [u32; 2] = [60, 5000];

/// The default page size and the largest one.
const PER_PAGE: usize = 30;
const MOST_PER_PAGE: usize = 100;

struct Repo {
    id: u64,
    /// `OWNER/NAME`.
    name: String,
    /// Earlier names, which redirect to this one.
    former: Vec<String>,
    releases: Vec<Release>,
    /// The number of releases ever published.
    released: u32,
}

struct Attested {
    repo: String,
    sha256: Sha256,
    bundle: Value,
    /// Whether the API has it; else the store does.
    inline: bool,
}

struct Rule {
    host: Host,
    part: String,
    fault: Fault,
    /// The remaining number of times; unlimited if `None`.
    times: Option<u32>,
}

#[derive(Default)]
struct State {
    repos: Vec<Repo>,
    rules: Vec<Rule>,
    attestations: Vec<Attested>,
    requests: Vec<Request>,
    ids: u64,
    /// The folder of bare git repositories.
    repositories: Option<PathBuf>,
    /// Requests in this hour without and with a token.
    used: [u32; 2],
    closing: bool,
}

struct Shared {
    state: Mutex<State>,
    asked: Condvar,
    /// The origins, in the order of [`Host`].
    origins: [String; 4],
    /// When the rate limit resets, in seconds since 1970.
    reset: u64,
}

/// A server that runs until it is dropped.
pub struct GitHub {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
}

impl GitHub {
    pub fn start() -> Self {
        let listeners = [(); 4].map(|()| TcpListener::bind(("127.0.0.1", 0)).expect("a port"));
        let addresses = listeners.each_ref().map(|listener| listener.local_addr().expect("an address"));
        let mut server = Self::with_origins(addresses.map(|address| format!("http://{address}")));
        for (listener, host) in listeners.into_iter().zip(Host::ALL) {
            let shared = Arc::clone(&server.shared);
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if locked(&shared.state).closing {
                        break;
                    }
                    let shared = Arc::clone(&shared);
                    // Ignore clients that hang up early.
                    thread::spawn(move || {
                        let mut stream = stream;
                        // An answer takes several writes, and Nagle's algorithm would delay them.
                        stream.set_nodelay(true).unwrap_or_default();
                        shared.serve(&mut stream, host).unwrap_or_default();
                    });
                }
            });
        }
        server.addresses = addresses.to_vec();
        server
    }

    /// A server with GitHub's own names and no listener: callers pass connections to [`Self::serve`].
    pub fn behind_others() -> Self {
        Self::with_origins(tls::NAMES.map(|name| format!("https://{name}")))
    }

    /// Serves a connection to `host` until the client closes it.
    pub fn serve(&self, stream: &mut dyn Stream, host: Host) -> std::io::Result<()> {
        self.shared.serve(stream, host)
    }

    /// Serves the bare git repositories `OWNER/NAME.git` below `folder`, as plain files.
    pub fn host_repositories(&self, folder: &Path) {
        locked(&self.shared.state).repositories = Some(folder.to_owned());
    }

    fn with_origins(origins: [String; 4]) -> Self {
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970");
        let shared = Shared {
            state: Mutex::default(),
            asked: Condvar::new(),
            origins,
            reset: (now + Duration::from_secs(25 * 60)).as_secs(),
        };
        Self { shared: Arc::new(shared), addresses: Vec::new() }
    }

    /// The value for `GITHUB_API_URL`.
    pub fn api(&self) -> &str {
        self.shared.origin(Host::Api)
    }

    /// The base image's reference, by tag.
    pub fn image(&self) -> String {
        format!(
            "{}/openclaw:{}",
            self.shared.origin(Host::Registry).trim_start_matches("http://"),
            image::TAG
        )
    }

    /// When the rate limit resets, in seconds since 1970.
    pub fn reset(&self) -> u64 {
        self.shared.reset
    }

    /// The download URL of a release's asset.
    pub fn download(&self, repo: &str, tag: &str, asset: &str) -> String {
        release::download(self.shared.origin(Host::Web), repo, tag, asset)
    }

    /// Publishes a release, and creates the repository if necessary.
    pub fn publish(&self, repo: &str, mut release: Release) {
        let mut state = locked(&self.shared.state);
        let ids = state.ids;
        state.ids += 1 + release.assets.len() as u64;
        for (asset, id) in release.assets.iter_mut().zip(ids..) {
            asset.id = id * 1000;
        }
        let known = state.repos.iter().position(|known| known.name == repo);
        let at = known.unwrap_or_else(|| {
            let (name, former) = (repo.to_owned(), Vec::new());
            state.repos.push(Repo { id: 7_000_000 + ids, name, former, releases: Vec::new(), released: 0 });
            state.repos.len() - 1
        });
        let repo = &mut state.repos[at];
        let day = repo.released;
        repo.released += 1;
        release
            .published
            .get_or_insert_with(|| format!("2026-{:02}-{:02}T10:00:00Z", 1 + day / 28, 1 + day % 28));
        repo.releases.push(release);
    }

    /// Changes a published release, as publishers should not.
    pub fn change(&self, repo: &str, tag: &str, change: impl FnOnce(&mut Release)) {
        let mut state = locked(&self.shared.state);
        change(
            state.repo(repo).releases.iter_mut().find(|release| release.tag == tag).expect("that release"),
        );
    }

    /// The current state of a release.
    pub fn release(&self, repo: &str, tag: &str) -> Release {
        let mut found = None;
        self.change(repo, tag, |release| found = Some(release.clone()));
        found.expect("`change` finds it")
    }

    /// Replaces the content of an asset. The API's digest follows.
    pub fn replace(&self, repo: &str, tag: &str, asset: &str, bytes: impl Into<Vec<u8>>) {
        self.change(repo, tag, |release| release.find(asset).bytes = bytes.into());
    }

    /// Removes a release.
    pub fn vanish(&self, repo: &str, tag: &str) {
        let mut state = locked(&self.shared.state);
        let releases = &mut state.repo(repo).releases;
        let before = releases.len();
        releases.retain(|release| release.tag != tag);
        assert_eq!(releases.len() + 1, before, "{repo} has no {tag}");
    }

    /// Adds an attestation of a file. If it is not `inline`, the API names its place in the store.
    pub fn attest(&self, repo: &str, sha256: Sha256, bundle: Value, inline: bool) {
        let repo = repo.to_owned();
        locked(&self.shared.state).attestations.push(Attested { repo, sha256, bundle, inline });
    }

    /// Removes all attestations.
    pub fn forget_attestations(&self) {
        locked(&self.shared.state).attestations.clear();
    }

    /// The id of a repository.
    pub fn id(&self, repo: &str) -> u64 {
        locked(&self.shared.state).repo(repo).id
    }

    /// Deletes a repository and registers its name again, with the same releases.
    pub fn register_again(&self, repo: &str) {
        locked(&self.shared.state).repo(repo).id += 500;
    }

    /// Renames a repository. The old name redirects.
    pub fn rename(&self, repo: &str, to: &str) {
        let mut state = locked(&self.shared.state);
        let repo = state.repo(repo);
        repo.former.push(std::mem::replace(&mut repo.name, to.to_owned()));
    }

    /// Fails every later request whose target contains `part`.
    pub fn fault(&self, host: Host, part: &str, fault: Fault) {
        self.rule(host, part, fault, None);
    }

    /// Fails the next `times` requests whose target contains `part`.
    pub fn fault_times(&self, times: u32, host: Host, part: &str, fault: Fault) {
        self.rule(host, part, fault, Some(times));
    }

    fn rule(&self, host: Host, part: &str, fault: Fault, times: Option<u32>) {
        locked(&self.shared.state).rules.push(Rule { host, part: part.to_owned(), fault, times });
    }

    /// Removes all faults.
    pub fn heal(&self) {
        locked(&self.shared.state).rules.clear();
    }

    /// A new hour begins: all requests are granted again.
    pub fn begin_hour(&self) {
        locked(&self.shared.state).used = [0; 2];
    }

    /// Uses up the rate limit with and without a token.
    pub fn exhaust(&self) {
        locked(&self.shared.state).used = LIMITS;
    }

    /// The requests since the last call, in order.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut locked(&self.shared.state).requests)
    }

    /// Waits for a request whose target contains `part`.
    pub fn wait_for(&self, host: Host, part: &str) {
        let state = locked(&self.shared.state);
        let came = |state: &mut State| {
            !state.requests.iter().any(|request| request.host == host && request.target.contains(part))
        };
        drop(self.shared.asked.wait_while(state, came).unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for GitHub {
    fn drop(&mut self) {
        locked(&self.shared.state).closing = true;
        // Wakes the listeners, so that they notice the shutdown.
        for address in &self.addresses {
            let _ = TcpStream::connect(address);
        }
    }
}

impl State {
    fn repo(&mut self, name: &str) -> &mut Repo {
        self.repos.iter_mut().find(|repo| repo.name == name).unwrap_or_else(|| panic!("no repository {name}"))
    }

    /// The fault that applies to this request, if any.
    fn fault(&mut self, request: &Request) -> Option<Fault> {
        let applies = |rule: &&mut Rule| {
            rule.host == request.host && request.target.contains(&rule.part) && rule.times != Some(0)
        };
        let rule = self.rules.iter_mut().find(applies)?;
        if let Some(times) = &mut rule.times {
            *times -= 1;
        }
        Some(rule.fault.clone())
    }
}

impl Repo {
    fn called(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The releases that this client may see, newest first.
    fn releases(&self, drafts: bool) -> Vec<(usize, &Release)> {
        let mut releases: Vec<_> = self.releases.iter().enumerate().collect();
        releases.retain(|(_, release)| drafts || !release.draft);
        releases.sort_by(|(_, a), (_, b)| b.published.cmp(&a.published));
        releases
    }
}

impl Shared {
    fn origin(&self, host: Host) -> &str {
        &self.origins[host as usize]
    }

    fn serve(&self, stream: &mut dyn Stream, host: Host) -> std::io::Result<()> {
        while let Some(request) = Request::read(stream, host)? {
            let (answer, fault) = self.answer(&request);
            if !answer.send(stream, &request, fault.as_ref())? {
                break;
            }
        }
        Ok(())
    }

    fn answer(&self, request: &Request) -> (Answer, Option<Fault>) {
        let mut state = locked(&self.state);
        let fault = state.fault(request);
        state.requests.push(request.clone());
        self.asked.notify_all();
        let answer = match &fault {
            Some(Fault::Status(status)) => refusal(request.host, *status),
            Some(Fault::Saml) if request.header("authorization").is_some() => {
                let text = "Resource protected by organization SAML enforcement. You must grant your Personal Access token access to this organization.";
                problem(403, text, "https://docs.github.com/articles/authenticating-to-a-github-organization-with-saml-single-sign-on/")
                    .header("x-github-sso", "required; url=https://github.com/orgs/owner/sso?authorization_request=A1")
            }
            Some(Fault::TooMany(seconds)) => {
                refusal(request.host, 429).header("retry-after", seconds.to_string())
            }
            Some(Fault::Loop) => redirect(302, format!("{}{}", self.origin(request.host), request.target)),
            Some(Fault::Redirect(to)) => redirect(302, to.clone()),
            Some(Fault::Body(body)) => Answer::new(200, body.clone()),
            _ => match request.host {
                Host::Api => self.api(&state, request),
                Host::Web => self.web(&state, request),
                Host::Objects => object(&state, request, matches!(fault, Some(Fault::Whole))),
                Host::Registry => image::answer(request.path()),
            },
        };
        let answer = match fault {
            Some(Fault::Gzip) => gzipped(answer),
            _ => answer,
        };
        (if request.host == Host::Api { self.limited(&mut state, request, answer) } else { answer }, fault)
    }

    /// Counts a request to the API against the rate limit. Answers 403 if the limit is exceeded.
    fn limited(&self, state: &mut State, request: &Request, answer: Answer) -> Answer {
        if request.header("user-agent").is_none_or(str::is_empty) {
            let text = "Request forbidden by administrative rules. Please make sure your request has a User-Agent header.";
            return Answer::new(403, text).header("content-type", "text/html; charset=utf-8");
        }
        let token = request.header("authorization");
        if token.is_some_and(|token| token != format!("Bearer {TOKEN}")) {
            return problem(401, "Bad credentials", "https://docs.github.com/rest");
        }
        let class = usize::from(token.is_some());
        let limit = LIMITS[class];
        let exceeded = state.used[class] >= limit;
        // 304 does not count against the limit.
        if !exceeded && answer.status != 304 {
            state.used[class] += 1;
        }
        let answer = if exceeded { exceeded_limit(class) } else { answer };
        answer
            .header("x-ratelimit-limit", limit.to_string())
            .header("x-ratelimit-remaining", (limit - state.used[class]).to_string())
            .header("x-ratelimit-reset", self.reset.to_string())
            .header("x-ratelimit-used", state.used[class].to_string())
            .header("x-ratelimit-resource", "core")
            .header("x-github-media-type", "github.v3; format=json")
            .header("x-github-request-id", "0400:8E2:1A2B3C:4D5E6F:67890ABC")
    }

    fn api(&self, state: &State, request: &Request) -> Answer {
        let parts = request.parts();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let (repo, rest) = match parts.as_slice() {
            ["repositories", id, rest @ ..] => {
                (state.repos.iter().find(|repo| repo.id.to_string() == *id), rest)
            }
            ["repos", owner, name, rest @ ..] => {
                let name = format!("{owner}/{name}");
                let now = state.repos.iter().find(|repo| repo.called(&name));
                let moved = || state.repos.iter().find(|repo| repo.former.contains(&name));
                if let (None, Some(repo)) = (now, moved()) {
                    return self.moved(repo, rest, request);
                }
                (now, rest)
            }
            _ => (None, &[][..]),
        };
        let Some(repo) = repo else { return refusal(Host::Api, 404) };
        let drafts = request.header("authorization").is_some();
        let releases = repo.releases(drafts);
        let json = |(id, release): &(usize, &Release)| {
            release.json(self.origin(Host::Api), self.origin(Host::Web), &repo.name, id + 1)
        };
        match rest {
            [] => ok(request, &json!({ "id": repo.id, "full_name": repo.name, "private": false })),
            ["releases"] => self.page(repo, &releases, json, request),
            ["releases", "latest"] => releases
                .iter()
                .filter(|(_, release)| !release.draft && !release.prerelease)
                // The publisher may name another one than the newest.
                .min_by_key(|(_, release)| !release.latest)
                .map_or_else(|| refusal(Host::Api, 404), |found| ok(request, &json(found))),
            ["releases", "tags", tag] => releases
                .iter()
                .find(|(_, release)| !release.draft && release.tag == *tag)
                .map_or_else(|| refusal(Host::Api, 404), |found| ok(request, &json(found))),
            ["attestations", digest] => {
                let all = state.attestations.iter().enumerate();
                let found = all.filter(|(_, one)| one.repo == repo.name && one.sha256.oci() == *digest);
                let found: Vec<_> = found
                    .map(|(at, one)| {
                        let place = format!("{}/attestations/{at}", self.origin(Host::Objects));
                        json!({
                            "bundle": if one.inline { one.bundle.clone() } else { Value::Null },
                            "bundle_url": place,
                            "repository_id": repo.id,
                            "initiator": "user",
                        })
                    })
                    .collect();
                ok(request, &json!({ "attestations": found }))
            }
            ["releases", "assets", id] => {
                let found = repo.releases.iter().flat_map(|release| &release.assets);
                match found.into_iter().find(|asset| asset.id.to_string() == *id) {
                    Some(asset) => redirect(302, self.object_url(repo, asset.id, &asset.name)),
                    None => refusal(Host::Api, 404),
                }
            }
            _ => refusal(Host::Api, 404),
        }
    }

    fn page(
        &self,
        repo: &Repo,
        releases: &[(usize, &Release)],
        json: impl Fn(&(usize, &Release)) -> Value,
        request: &Request,
    ) -> Answer {
        let number = |key, otherwise| {
            request
                .query(key)
                .and_then(|value| value.parse().ok())
                .filter(|value| *value > 0)
                .unwrap_or(otherwise)
        };
        let (size, page): (usize, usize) =
            (number("per_page", PER_PAGE).min(MOST_PER_PAGE), number("page", 1));
        let pages = releases.chunks(size).len().max(1);
        let shown = releases.chunks(size).nth(page - 1).unwrap_or_default();
        let mut links = Vec::new();
        let mut link = |to: usize, rel| {
            let query = match request.query("per_page") {
                Some(size) => format!("per_page={size}&page={to}"),
                None => format!("page={to}"),
            };
            let origin = self.origin(Host::Api);
            links.push(format!("<{origin}/repositories/{}/releases?{query}>; rel=\"{rel}\"", repo.id));
        };
        if page > 1 {
            link(page - 1, "prev");
        }
        if page < pages {
            link(page + 1, "next");
            link(pages, "last");
        }
        if page > 1 {
            link(1, "first");
        }
        let answer = ok(request, &shown.iter().map(json).collect());
        if links.is_empty() { answer } else { answer.header("link", links.join(", ")) }
    }

    fn moved(&self, repo: &Repo, rest: &[&str], request: &Request) -> Answer {
        let query = request.target.split_once('?').map(|(_, query)| format!("?{query}")).unwrap_or_default();
        let path: String = rest.iter().map(|part| format!("/{part}")).collect();
        let url = format!("{}/repositories/{}{path}{query}", self.origin(Host::Api), repo.id);
        let body = json!({
            "message": "Moved Permanently",
            "url": url,
            "documentation_url": "https://docs.github.com/rest/guides/best-practices-for-using-the-rest-api#follow-redirects",
        });
        json_answer(301, &body).header("location", url)
    }

    fn web(&self, state: &State, request: &Request) -> Answer {
        let parts = request.parts();
        let parts: Vec<_> = parts.iter().map(String::as_str).collect();
        let [owner, name, rest @ ..] = parts.as_slice() else { return refusal(Host::Web, 404) };
        if name.strip_suffix(".git").is_some() {
            return repository_file(state, &parts);
        }
        let called = format!("{owner}/{name}");
        let now = state.repos.iter().find(|repo| repo.called(&called));
        if let (None, Some(repo)) = (now, state.repos.iter().find(|repo| repo.former.contains(&called))) {
            return redirect(301, format!("{}/{}/{}", self.origin(Host::Web), repo.name, rest.join("/")));
        }
        let (Some(repo), ["releases", "download", tag, file]) = (now, rest) else {
            return refusal(Host::Web, 404);
        };
        let release = repo.releases.iter().find(|release| !release.draft && release.tag == *tag);
        let asset = release.and_then(|release| release.assets.iter().find(|asset| asset.name == *file));
        match asset.filter(|asset| asset.uploaded) {
            Some(asset) => redirect(302, self.object_url(repo, asset.id, &asset.name)),
            None => refusal(Host::Web, 404),
        }
    }

    /// A signed URL like GitHub's, with the file name in it.
    fn object_url(&self, repo: &Repo, id: u64, name: &str) -> String {
        format!(
            "{}/github-production-release-asset/{}/{id}?sp=r&sv=2018-11-09&sr=b&sig=Zm9yIGEgbW9tZW50%3D&rscd=attachment%3B+filename%3D{name}",
            self.origin(Host::Objects),
            repo.id,
        )
    }
}

/// A file of a bare repository, for git's dumb protocol ("HTTP transfer protocols").
fn repository_file(state: &State, parts: &[&str]) -> Answer {
    let inside = parts.iter().all(|part| !part.starts_with('.'));
    let folder = state.repositories.as_ref().filter(|_| inside);
    let content = folder.and_then(|folder| std::fs::read(folder.join(parts.join("/"))).ok());
    content.map_or_else(|| refusal(Host::Web, 404), |content| Answer::new(200, content))
}

/// A stored file, or a range of it (RFC 9110, section 14).
fn object(state: &State, request: &Request, whole: bool) -> Answer {
    let id = request.path().rsplit('/').next().unwrap_or_default();
    // The store accepts only its own signature and refuses other credentials.
    if request.header("authorization").is_some() {
        return Answer::new(401, "<Error><Code>InvalidAuthenticationInfo</Code></Error>");
    }
    if let Some(at) = request.path().strip_prefix("/attestations/") {
        let stored = at.parse().ok().and_then(|at: usize| state.attestations.get(at));
        let Some(stored) = stored else { return refusal(Host::Objects, 404) };
        let packed = snap::raw::Encoder::new().compress_vec(stored.bundle.to_string().as_bytes());
        return Answer::new(200, packed.expect("a short text"))
            .header("content-type", "application/x-snappy");
    }
    let mut assets = state.repos.iter().flat_map(|repo| &repo.releases).flat_map(|release| &release.assets);
    let Some(asset) = assets.find(|asset| asset.id.to_string() == id) else {
        return refusal(Host::Objects, 404);
    };
    let etag = format!("\"0x{}\"", &Sha256::of(&asset.bytes).to_string()[..16]);
    let length = asset.bytes.len();
    let range = request.header("range").filter(|_| !whole);
    let range = range.filter(|_| request.header("if-range").is_none_or(|known| known == etag));
    let range = range.and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
    let answer = match range.and_then(|(from, to)| Some((from.parse::<usize>().ok()?, to))) {
        None => Answer::new(200, asset.bytes.clone()),
        Some((from, _)) if from >= length => {
            return Answer::new(416, "").header("content-range", format!("bytes */{length}"));
        }
        Some((from, to)) => {
            let to = to.parse().unwrap_or(length - 1).min(length - 1).max(from);
            Answer::new(206, &asset.bytes[from..=to])
                .header("content-range", format!("bytes {from}-{to}/{length}"))
        }
    };
    answer
        .header("etag", etag)
        .header("accept-ranges", "bytes")
        .header("content-type", "application/octet-stream")
        .header("content-disposition", format!("attachment; filename={}", asset.name))
}

fn redirect(status: u16, to: String) -> Answer {
    Answer::new(status, "").header("location", to)
}

fn json_answer(status: u16, body: &Value) -> Answer {
    Answer::new(status, body.to_string()).header("content-type", "application/json; charset=utf-8")
}

/// 304 if the client's copy is current.
fn ok(request: &Request, body: &Value) -> Answer {
    let etag = format!("W/\"{}\"", Sha256::of(body.to_string()));
    let known = request.header("if-none-match") == Some(etag.as_str());
    let answer = if known { Answer::new(304, "") } else { json_answer(200, body) };
    answer.header("etag", etag).header("cache-control", "public, max-age=60, s-maxage=60")
}

fn problem(status: u16, message: &str, documentation: &str) -> Answer {
    let body =
        json!({ "message": message, "documentation_url": documentation, "status": status.to_string() });
    json_answer(status, &body)
}

fn refusal(host: Host, status: u16) -> Answer {
    if host != Host::Api {
        return Answer::new(status, "Not Found").header("content-type", "text/plain; charset=utf-8");
    }
    let (message, page) = match status {
        404 => ("Not Found", "https://docs.github.com/rest/releases/releases#list-releases"),
        403 => ("Resource not accessible by integration", "https://docs.github.com/rest"),
        429 => (
            "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.",
            "https://docs.github.com/free-pro-team@latest/rest/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits",
        ),
        _ => ("Server Error", "https://docs.github.com/rest"),
    };
    problem(status, message, page)
}

fn exceeded_limit(class: usize) -> Answer {
    let message = [
        "API rate limit exceeded for 203.0.113.7. (But here's the good news: Authenticated requests get a higher rate limit. Check out the documentation for more details.)",
        "API rate limit exceeded for user ID 583231. If you reach out to GitHub Support for help, please include the request ID 0400:8E2:1A2B3C:4D5E6F:67890ABC.",
    ][class];
    problem(403, message, "https://docs.github.com/rest/overview/resources-in-the-rest-api#rate-limiting")
}

fn gzipped(mut answer: Answer) -> Answer {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(&answer.body).expect("memory");
    answer.body = encoder.finish().expect("memory");
    answer.header("content-encoding", "gzip")
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
