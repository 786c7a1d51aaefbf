//! A registry on loopback that accepts pushes, fails on request and records its requests.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use bake::digest::Sha256;
use serde_json::{Value, json};

/// The prefix of its tokens.
const TOKEN: &str = "a-token-nobody-may-see-";

/// A failure in place of the regular response.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status, with these headers and this body.
    Says(u16, Vec<(&'static str, String)>, &'static str),
    /// Closes the connection after receiving this many bytes.
    CutAfter(usize),
    /// Receives this many bytes, then stops reading and never responds.
    SilentAfter(usize),
}

impl Fault {
    pub fn status(status: u16) -> Self {
        Self::Says(status, Vec::new(), "")
    }
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    /// The length of the body.
    pub length: usize,
}

/// The authentication that it requires.
#[derive(Clone, Debug, Default)]
enum Guard {
    #[default]
    Anonymous,
    /// A token, which its realm issues for this `Authorization`, or without one.
    Token(Option<String>),
    Basic(String),
}

/// Its optional features.
#[derive(Clone, Debug)]
pub struct Nature {
    /// Whether it mounts blobs from other repositories.
    pub mounts: bool,
    /// Whether it lists referrers.
    pub referrers: bool,
    /// Whether it verifies the digests of blobs.
    pub verifies: bool,
    /// Precedes the path in the `Location` of an upload.
    pub elsewhere: Option<String>,
}

#[derive(Default)]
struct State {
    /// By repository and digest.
    blobs: BTreeMap<(String, String), Vec<u8>>,
    /// By repository and digest, or tag.
    manifests: BTreeMap<(String, String), (String, Vec<u8>)>,
    faults: Vec<(String, String, VecDeque<Fault>)>,
    asked: Vec<Asked>,
    guard: Guard,
    /// Each issued token's scopes: repository and action.
    tokens: Vec<Vec<(String, String)>>,
    uploads: usize,
    refuses_subjects: bool,
    closing: bool,
}

/// A registry that runs until it is dropped.
pub struct Depot {
    address: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Depot {
    pub fn start() -> Self {
        Self::with(Nature { mounts: true, referrers: true, verifies: true, elsewhere: None })
    }

    pub fn with(nature: Nature) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let depot = Self { address, state: Arc::default() };
        let state = Arc::clone(&depot.state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if locked(&state.0).closing {
                    break;
                }
                let (state, nature) = (Arc::clone(&state), nature.clone());
                // Ignore clients that hang up early.
                thread::spawn(move || {
                    serve(&stream, &state.0, &state.1, &nature, address).unwrap_or_default();
                });
            }
        });
        depot
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Fails the next requests with `method` whose path contains `part`, once for each of `faults`.
    pub fn fail(&self, method: &str, part: &str, faults: &[Fault]) {
        let faults = faults.iter().cloned().collect();
        locked(&self.state.0).faults.push((method.to_owned(), part.to_owned(), faults));
    }

    pub fn wants_token(&self, authorization: Option<&str>) {
        locked(&self.state.0).guard = Guard::Token(authorization.map(str::to_owned));
    }

    pub fn wants_basic(&self, authorization: &str) {
        locked(&self.state.0).guard = Guard::Basic(authorization.to_owned());
    }

    /// From now on it refuses manifests with a `subject`.
    pub fn refuse_subjects(&self) {
        locked(&self.state.0).refuses_subjects = true;
    }

    pub fn put_blob(&self, repository: &str, bytes: &[u8]) {
        let key = (repository.to_owned(), Sha256::of(bytes).oci());
        locked(&self.state.0).blobs.insert(key, bytes.to_vec());
    }

    pub fn put_manifest(&self, repository: &str, name: &str, media_type: &str, bytes: &[u8]) {
        let stored = (media_type.to_owned(), bytes.to_vec());
        let mut state = locked(&self.state.0);
        state.manifests.insert((repository.to_owned(), Sha256::of(bytes).oci()), stored.clone());
        state.manifests.insert((repository.to_owned(), name.to_owned()), stored);
    }

    pub fn blob(&self, repository: &str, digest: &str) -> Option<Vec<u8>> {
        locked(&self.state.0).blobs.get(&(repository.to_owned(), digest.to_owned())).cloned()
    }

    pub fn manifest(&self, repository: &str, name: &str) -> Option<Vec<u8>> {
        let key = (repository.to_owned(), name.to_owned());
        locked(&self.state.0).manifests.get(&key).map(|(_, bytes)| bytes.clone())
    }

    /// The digests and tags of all manifests in a repository.
    pub fn manifests(&self, repository: &str) -> Vec<String> {
        let state = locked(&self.state.0);
        let names = state.manifests.keys().filter(|(there, _)| there == repository);
        names.map(|(_, name)| name.clone()).collect()
    }

    /// The requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut locked(&self.state.0).asked)
    }
}

impl Drop for Depot {
    fn drop(&mut self) {
        locked(&self.state.0).closing = true;
        self.state.1.notify_all();
        // Wakes the listener, so that it notices the shutdown.
        let _ = TcpStream::connect(self.address);
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn status(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    fn refusal(status: u16, code: &str) -> Self {
        let body = json!({"errors": [{"code": code, "message": "so it is"}]});
        Self { body: body.to_string().into_bytes(), ..Self::status(status) }
    }

    fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

fn serve(
    mut stream: &TcpStream,
    state: &Mutex<State>,
    ended: &Condvar,
    nature: &Nature,
    address: SocketAddr,
) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request)?;
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        headers.insert(name.to_lowercase(), value.to_owned());
    }
    let mut words = request.split(' ').map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let length: usize = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let fault = {
        let mut state = locked(state);
        let fitting = state
            .faults
            .iter_mut()
            .find(|(of, part, left)| *of == method && path.contains(part.as_str()) && !left.is_empty());
        fitting.and_then(|(_, _, left)| left.pop_front())
    };
    let mut body = Vec::new();
    let taken = match fault {
        Some(Fault::CutAfter(most) | Fault::SilentAfter(most)) => most.min(length),
        _ => length,
    };
    reader.by_ref().take(taken as u64).read_to_end(&mut body)?;
    let authorization = headers.get("authorization").cloned();
    let asked = Asked { method, path, authorization, length: body.len() };
    locked(state).asked.push(asked.clone());
    let reply = match fault {
        Some(Fault::CutAfter(_)) => return Ok(()),
        Some(Fault::SilentAfter(_)) => {
            let state = ended.wait_while(locked(state), |state| !state.closing);
            drop(state.unwrap_or_else(PoisonError::into_inner));
            return Ok(());
        }
        Some(Fault::Says(status, headers, body)) => Reply {
            status,
            headers: headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            body: body.as_bytes().to_vec(),
        },
        None if body.len() < length => return Ok(()),
        None => answer(&mut locked(state), &asked, &headers, body, nature, address),
    };
    write!(stream, "HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status)?;
    write!(stream, "Content-Length: {}\r\n", reply.body.len())?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    if asked.method == "HEAD" { Ok(()) } else { stream.write_all(&reply.body) }
}

/// The scopes that a token request asks for: repository and action.
fn scopes(query: &str) -> Vec<(String, String)> {
    let asked = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == "scope");
    let scopes = asked.flat_map(|(_, scope)| {
        let (repository, actions) = scope
            .strip_prefix("repository:")
            .and_then(|scope| scope.rsplit_once(':'))
            .unwrap_or_else(|| panic!("{scope}"));
        let of = |action: &str| (repository.to_owned(), action.to_owned());
        actions.split(',').map(of).collect::<Vec<_>>()
    });
    scopes.collect()
}

/// Whether the request's token grants the action on its repository.
fn is_allowed(state: &State, asked: &Asked) -> bool {
    let token =
        asked.authorization.as_deref().and_then(|sent| sent.strip_prefix("Bearer ")?.strip_prefix(TOKEN));
    let token = token.and_then(|number| number.parse::<usize>().ok()?.checked_sub(1));
    let Some(allowed) = token.and_then(|number| state.tokens.get(number)) else { return false };
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let path = path.strip_prefix("/v2/").unwrap_or_default();
    let repository = ["/blobs/", "/manifests/", "/referrers/"].iter().find_map(|part| path.split_once(part));
    // Any valid token grants requests without a repository.
    let Some((repository, _)) = repository else { return true };
    let action = if matches!(asked.method.as_str(), "GET" | "HEAD") { "pull" } else { "push" };
    let from = parameter(query, "mount").and_then(|_| parameter(query, "from"));
    let wanted = [(repository.to_owned(), action.to_owned())].into_iter();
    wanted.chain(from.map(|from| (from, "pull".to_owned()))).all(|wanted| allowed.contains(&wanted))
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    pairs.find(|(known, _)| known == name).map(|(_, value)| value.into_owned())
}

fn answer(
    state: &mut State,
    asked: &Asked,
    headers: &BTreeMap<String, String>,
    body: Vec<u8>,
    nature: &Nature,
    address: SocketAddr,
) -> Reply {
    let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
    let authorization = asked.authorization.as_deref();
    if path == "/token" {
        return match &state.guard {
            Guard::Token(wanted) if wanted.is_none() || wanted.as_deref() == authorization => {
                state.tokens.push(scopes(query));
                let body = json!({"access_token": format!("{TOKEN}{}", state.tokens.len())});
                Reply { body: body.to_string().into_bytes(), ..Reply::status(200) }
            }
            _ => Reply { body: b"wrong password: hunter2".to_vec(), ..Reply::status(401) },
        };
    }
    let (passes, challenge) = match &state.guard {
        Guard::Anonymous => (true, String::new()),
        Guard::Token(_) => (
            is_allowed(state, asked),
            format!(r#"Bearer realm="http://{address}/token",service="depot",scope="whatever""#),
        ),
        Guard::Basic(wanted) => (authorization == Some(wanted), r#"Basic realm="depot""#.to_owned()),
    };
    if !passes {
        return Reply::status(401).header("WWW-Authenticate", challenge);
    }
    let path = path.strip_prefix("/v2/").unwrap_or(path);
    if let Some((repository, upload)) = path.split_once("/blobs/uploads/") {
        return upload_reply(state, asked, (repository, upload, query), body, nature, address);
    }
    if let Some((repository, digest)) = path.split_once("/blobs/") {
        return match state.blobs.get(&(repository.to_owned(), digest.to_owned())) {
            Some(bytes) => Reply { body: bytes.clone(), ..Reply::status(200) },
            None => Reply::refusal(404, "BLOB_UNKNOWN"),
        };
    }
    if let Some((repository, digest)) = path.split_once("/referrers/") {
        return if nature.referrers { referrers(state, repository, digest) } else { Reply::status(404) };
    }
    let Some((repository, name)) = path.split_once("/manifests/") else { return Reply::status(404) };
    if asked.method == "PUT" {
        return put_manifest(state, (repository, name), headers, &body, nature);
    }
    match state.manifests.get(&(repository.to_owned(), name.to_owned())) {
        Some((media_type, bytes)) => Reply { body: bytes.clone(), ..Reply::status(200) }
            .header("Content-Type", media_type)
            .header("Docker-Content-Digest", Sha256::of(bytes).oci()),
        None => Reply::refusal(404, "MANIFEST_UNKNOWN"),
    }
}

fn upload_reply(
    state: &mut State,
    asked: &Asked,
    (repository, upload, query): (&str, &str, &str),
    body: Vec<u8>,
    nature: &Nature,
    address: SocketAddr,
) -> Reply {
    if asked.method == "POST" {
        let from = parameter(query, "mount").zip(parameter(query, "from"));
        if let Some((digest, from)) = from.filter(|_| nature.mounts) {
            let key = (from, digest.clone());
            if let Some(bytes) = state.blobs.get(&key).cloned() {
                state.blobs.insert((repository.to_owned(), digest.clone()), bytes);
                return Reply::status(201).header("Location", format!("/v2/{repository}/blobs/{digest}"));
            }
        }
        state.uploads += 1;
        let root = nature.elsewhere.clone().unwrap_or_else(|| format!("http://{address}"));
        let location = format!("{root}/v2/{repository}/blobs/uploads/{}?_state=a%2Fb", state.uploads);
        return Reply::status(202).header("Location", location);
    }
    if !upload.parse().is_ok_and(|upload: usize| upload <= state.uploads) {
        return Reply::refusal(404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(parameter(query, "_state").as_deref(), Some("a/b"), "{query}");
    let digest = parameter(query, "digest").unwrap_or_default();
    if nature.verifies && Sha256::of(&body).oci() != digest {
        return Reply::refusal(400, "DIGEST_INVALID");
    }
    state.blobs.insert((repository.to_owned(), digest.clone()), body);
    Reply::status(201).header("Location", format!("/v2/{repository}/blobs/{digest}"))
}

/// Stores a manifest if all its children exist, as registries do.
fn put_manifest(
    state: &mut State,
    (repository, name): (&str, &str),
    headers: &BTreeMap<String, String>,
    body: &[u8],
    nature: &Nature,
) -> Reply {
    let document: Value = serde_json::from_slice(body).expect("JSON");
    if state.refuses_subjects && document["subject"].is_object() {
        return Reply::refusal(400, "MANIFEST_INVALID");
    }
    let digests = |of: &Value| -> Vec<String> {
        let listed = of.as_array().into_iter().flatten();
        listed.map(|child| child["digest"].as_str().expect("a digest").to_owned()).collect()
    };
    let blobs = digests(&document["layers"]).into_iter();
    let blobs = blobs.chain(document["config"]["digest"].as_str().map(str::to_owned));
    let key = |digest: String| (repository.to_owned(), digest);
    let whole = blobs.map(key).all(|key| state.blobs.contains_key(&key))
        && digests(&document["manifests"]).into_iter().map(key).all(|key| state.manifests.contains_key(&key));
    if !whole && !name.starts_with("sha256-") {
        return Reply::refusal(400, "MANIFEST_BLOB_UNKNOWN");
    }
    let digest = Sha256::of(body).oci();
    assert!(!name.starts_with("sha256:") || name == digest, "{name} is {digest}");
    let media_type = headers.get("content-type").cloned().unwrap_or_default();
    assert_eq!(document["mediaType"], media_type.as_str());
    for name in [name.to_owned(), digest.clone()] {
        state.manifests.insert(key(name), (media_type.clone(), body.to_vec()));
    }
    let reply = Reply::status(201).header("Docker-Content-Digest", digest);
    match document["subject"]["digest"].as_str().filter(|_| nature.referrers) {
        Some(subject) => reply.header("OCI-Subject", subject),
        None => reply,
    }
}

fn referrers(state: &State, repository: &str, digest: &str) -> Reply {
    let mut listed = BTreeMap::new();
    for ((there, _), (media_type, bytes)) in &state.manifests {
        let document: Value = serde_json::from_slice(bytes).expect("JSON");
        if there == repository && document["subject"]["digest"] == digest {
            let digest = Sha256::of(bytes).oci();
            let entry = json!({
                "mediaType": media_type, "digest": digest, "size": bytes.len(),
                "artifactType": document["artifactType"],
            });
            listed.insert(digest, entry);
        }
    }
    let listed: Vec<_> = listed.into_values().collect();
    let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": listed});
    Reply { body: index.to_string().into_bytes(), ..Reply::status(200) }
}
