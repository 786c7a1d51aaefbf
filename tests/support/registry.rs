//! A registry on loopback that fails on demand and records requests.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use super::images::Parts;

/// The only token that it issues and accepts.
const TOKEN: &str = "a-token-nobody-may-see";

#[derive(Clone, Debug)]
pub struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// The connection ends after this many bytes of the body.
    cut: Option<usize>,
}

impl Reply {
    pub fn of(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.into(), cut: None }
    }

    pub fn status(status: u16) -> Self {
        Self { status, ..Self::of("") }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub fn cut_at(mut self, length: usize) -> Self {
        self.cut = Some(length);
        self
    }
}

/// The authentication that it requires.
#[derive(Clone, Debug, Default)]
enum Guard {
    #[default]
    Anonymous,
    /// A token, which its realm issues for this `Authorization`, or without one.
    Token(Option<String>),
    /// This `Authorization`.
    Basic(String),
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
    pub range: Option<String>,
}

#[derive(Default)]
struct State {
    /// The replies to each path, in order. The last one repeats.
    replies: BTreeMap<String, VecDeque<Reply>>,
    asked: Vec<Asked>,
    guard: Guard,
    ignores_ranges: bool,
    closing: bool,
}

/// A registry that runs until it is dropped.
pub struct Registry {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Registry {
    /// Serves `parts` as `image:1`.
    pub fn with(parts: &Parts) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let registry = Self { address, state: Arc::default() };
        registry.reply("/v2/", &[Reply::of("{}")]);
        for (digest, bytes) in &parts.blobs {
            registry.reply(&format!("/v2/image/blobs/{}", digest.oci()), &[Reply::of(bytes.clone())]);
            let reply = Reply::of(bytes.clone()).header("Docker-Content-Digest", digest.oci());
            registry.reply(&format!("/v2/image/manifests/{}", digest.oci()), std::slice::from_ref(&reply));
            if *digest == parts.digest() {
                registry.reply("/v2/image/manifests/1", &[reply]);
            }
        }
        let state = Arc::clone(&registry.state);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if locked(&state).closing {
                    break;
                }
                let state = Arc::clone(&state);
                // Ignore clients that hang up early.
                thread::spawn(move || serve(&stream, &state, address).unwrap_or_default());
            }
        });
        registry
    }

    /// The reference of `image:1`.
    pub fn reference(&self) -> String {
        format!("{}/image:1", self.address)
    }

    pub fn reply(&self, path: &str, replies: &[Reply]) {
        locked(&self.state).replies.insert(path.to_owned(), replies.iter().cloned().collect());
    }

    /// Sends these replies before the existing ones.
    pub fn first(&self, path: &str, replies: &[Reply]) {
        let mut state = locked(&self.state);
        let known = state.replies.get_mut(path).expect("a path that is served");
        replies.iter().rev().for_each(|reply| known.push_front(reply.clone()));
    }

    /// Requires a token from now on, which the realm issues for `authorization`, or without one.
    pub fn wants_token(&self, authorization: Option<&str>) {
        locked(&self.state).guard = Guard::Token(authorization.map(str::to_owned));
    }

    pub fn wants_basic(&self, authorization: &str) {
        locked(&self.state).guard = Guard::Basic(authorization.to_owned());
    }

    pub fn ignores_ranges(&self) {
        locked(&self.state).ignores_ranges = true;
    }

    /// The requests since the last call.
    pub fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut locked(&self.state).asked)
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        locked(&self.state).closing = true;
        // Wakes the listener, so that it notices the shutdown.
        let _ = TcpStream::connect(self.address);
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: &TcpStream, state: &Mutex<State>, address: SocketAddr) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    let mut headers = BTreeMap::new();
    while let Some(line) = lines.next().transpose()?.filter(|line| !line.is_empty()) {
        if let Some((name, value)) = line.split_once(": ") {
            headers.insert(name.to_lowercase(), value.to_owned());
        }
    }
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let asked = Asked {
        authorization: headers.remove("authorization"),
        range: headers.remove("range"),
        path: path.clone(),
    };
    let reply = {
        let mut state = locked(state);
        state.asked.push(asked.clone());
        let answer = answer(&mut state, &asked, address);
        let begin = asked.range.as_deref().filter(|_| !state.ignores_ranges && answer.status == 200);
        ranged(answer, begin)
    };
    write!(stream, "HTTP/1.1 {} Said\r\nConnection: close\r\n", reply.status)?;
    write!(stream, "Content-Length: {}\r\n", reply.body.len())?;
    for (name, value) in &reply.headers {
        write!(stream, "{name}: {value}\r\n")?;
    }
    stream.write_all(b"\r\n")?;
    stream.write_all(&reply.body[..reply.cut.unwrap_or(usize::MAX).min(reply.body.len())])
}

fn answer(state: &mut State, asked: &Asked, address: SocketAddr) -> Reply {
    let authorization = asked.authorization.as_deref();
    if let Some(query) = asked.path.strip_prefix("/token?") {
        return match &state.guard {
            Guard::Token(wanted) if wanted.is_none() || wanted.as_deref() == authorization => {
                assert!(query.contains("scope=repository%3Aimage%3Apull"), "{query}");
                assert!(query.contains("service=fault"), "{query}");
                Reply::of(format!(r#"{{"token":"{TOKEN}"}}"#))
            }
            _ => Reply { body: b"wrong password".to_vec(), ..Reply::status(401) },
        };
    }
    let (passes, challenge) = match &state.guard {
        Guard::Anonymous => (true, String::new()),
        Guard::Token(_) => (
            authorization == Some(&format!("Bearer {TOKEN}")),
            format!(r#"Bearer realm="http://{address}/token",service="fault",scope="repository:image:pull""#),
        ),
        Guard::Basic(wanted) => (authorization == Some(wanted), r#"Basic realm="fault""#.to_owned()),
    };
    if !passes {
        return Reply::status(401).header("WWW-Authenticate", challenge);
    }
    match state.replies.get_mut(&asked.path) {
        Some(replies) if replies.len() > 1 => replies.pop_front().expect("more than one"),
        Some(replies) => replies.front().expect("at least one").clone(),
        None => Reply::status(404),
    }
}

/// The part of the reply that the client's `Range` asks for.
fn ranged(mut reply: Reply, range: Option<&str>) -> Reply {
    let begin = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    if let Some(begin) = begin {
        let all = reply.body.len();
        reply.body.drain(..all.min(begin));
        reply.cut = reply.cut.map(|cut| cut.saturating_sub(begin));
        reply.status = 206;
        reply.headers.push(("Content-Range".to_owned(), format!("bytes {begin}-{}/{all}", all - 1)));
    }
    reply
}
