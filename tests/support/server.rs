//! An HTTP server on loopback that counts what it is asked for, and fails as it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

/// What the server says to a path; to any other it says 404.
#[derive(Clone, Debug)]
pub struct Answer {
    body: Vec<u8>,
    /// The length that the header tells.
    told: usize,
    /// How many times it fails with 500 before.
    failures: u32,
}

impl Answer {
    pub fn of(body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Self { told: body.len(), body, failures: 0 }
    }

    /// Ends after `length` bytes; the header still tells the whole.
    pub fn cut_at(mut self, length: usize) -> Self {
        self.body.truncate(length);
        self
    }

    pub fn after_failures(mut self, failures: u32) -> Self {
        self.failures = failures;
        self
    }
}

#[derive(Default)]
struct State {
    answers: BTreeMap<String, Answer>,
    requests: Vec<String>,
    closing: bool,
}

/// The server, until it is dropped.
pub struct Server {
    address: SocketAddr,
    /// First part of every path: a builder's cache must not know a URL from an earlier run, in
    /// which another server had the same port.
    prefix: String,
    state: Arc<Mutex<State>>,
}

impl Server {
    pub fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970");
        let server = Self { address, prefix: format!("/{}", now.as_nanos()), state: Arc::default() };
        let (state, prefix) = (Arc::clone(&server.state), server.prefix.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if locked(&state).closing {
                    break;
                }
                let (state, prefix) = (Arc::clone(&state), prefix.clone());
                // A client that hangs up early is no failure of the server's.
                thread::spawn(move || serve(&stream, &state, &prefix).unwrap_or_default());
            }
        });
        server
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{}{path}", self.address, self.prefix)
    }

    pub fn answer(&self, path: &str, answer: Answer) {
        locked(&self.state).answers.insert(path.to_owned(), answer);
    }

    pub fn remove(&self, path: &str) {
        locked(&self.state).answers.remove(path).expect("a path that is served");
    }

    /// The paths that were asked for since the last call, in order.
    pub fn requests(&self) -> Vec<String> {
        std::mem::take(&mut locked(&self.state).requests)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        locked(&self.state).closing = true;
        // Wakes the listener, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(mut stream: &TcpStream, state: &Mutex<State>, prefix: &str) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split(' ').nth(1).unwrap_or_default();
    let path = path.strip_prefix(prefix).unwrap_or(path);
    let answer = {
        let mut state = locked(state);
        state.requests.push(path.to_owned());
        state.answers.get_mut(path).map(|answer| {
            let now = answer.clone();
            answer.failures = answer.failures.saturating_sub(1);
            now
        })
    };
    let (status, told, body) = match answer {
        None => ("404 Not Found", 0, Vec::new()),
        Some(Answer { failures: 1.., .. }) => ("500 Internal Server Error", 0, Vec::new()),
        Some(Answer { body, told, .. }) => ("200 OK", told, body),
    };
    write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {told}\r\nConnection: close\r\n\r\n")?;
    stream.write_all(&body)
}
