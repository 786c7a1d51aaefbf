//! An HTTP server on loopback that records requests and fails on demand.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use flate2::Compression;
use flate2::write::GzEncoder;
use rustix::net::{Shutdown, shutdown};

/// The answer to a path.
#[derive(Clone, Debug)]
pub struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Arc<[u8]>,
    /// The `Content-Length` to send instead of the body's length.
    content_length: Option<usize>,
    framing: Framing,
    trouble: Option<(usize, Trouble)>,
    ranges: Ranges,
    /// Answers to send first, and how often.
    before: Vec<(u32, Answer)>,
}

/// How the end of a body is marked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Chunks,
    /// By the end of the connection.
    Close,
}

/// A fault in the middle of a body.
#[derive(Clone, Debug)]
enum Trouble {
    Cut,
    /// Sends nothing more until the client closes the connection.
    Stall,
    Wait(Gate),
}

/// How the server handles `Range`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranges {
    /// 200 with the whole body.
    Ignored,
    /// 206 with the requested part.
    Served,
    /// 206 with at most 100,000 bytes of the part, and a matching `Content-Range`.
    Short,
    /// 206 with the right bytes and another `Content-Range`.
    WrongRange,
    /// 206 without a `Content-Range`.
    NoRange,
    /// 206 with the right `Content-Range` and bytes from elsewhere in the document.
    WrongBytes,
    /// 416.
    Refused,
}

/// Blocks answers until it opens.
#[derive(Clone, Debug, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *locked(&self.0.0) = true;
        self.0.1.notify_all();
    }

    pub fn wait(&self) {
        let open = self.0.1.wait_while(locked(&self.0.0), |open| !*open);
        drop(open.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Answer {
    /// 200 with this body.
    pub fn of(body: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: body.into().into(),
            content_length: None,
            framing: Framing::Length,
            trouble: None,
            ranges: Ranges::Ignored,
            before: Vec::new(),
        }
    }

    /// This status with an empty body.
    pub fn status(status: u16) -> Self {
        Self { status, ..Self::of([]) }
    }

    /// A redirect with this status.
    pub fn redirect(status: u16, location: impl Into<String>) -> Self {
        Self::status(status).header("Location", location)
    }

    /// 200 with a body compressed for the transfer.
    pub fn gzip(body: &[u8]) -> Self {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).expect("memory");
        Self::of(encoder.finish().expect("memory")).header("Content-Encoding", "gzip")
    }

    pub fn with_status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Ends the connection after `length` bytes of the body. `Content-Length` does not change.
    pub fn cut_at(mut self, length: usize) -> Self {
        self.trouble = Some((length, Trouble::Cut));
        self
    }

    /// Stalls after `length` bytes of the body.
    pub fn stall_at(mut self, length: usize) -> Self {
        self.trouble = Some((length, Trouble::Stall));
        self
    }

    /// Waits for the gate after `length` bytes of the body.
    pub fn wait_at(mut self, length: usize, gate: &Gate) -> Self {
        self.trouble = Some((length, Trouble::Wait(gate.clone())));
        self
    }

    /// Sends this `Content-Length`, right or wrong.
    pub fn content_length(mut self, length: usize) -> Self {
        self.content_length = Some(length);
        self
    }

    /// Sends the body in chunks, without a `Content-Length`.
    pub fn chunked(mut self) -> Self {
        self.framing = Framing::Chunks;
        self
    }

    /// Omits the length: the end of the connection ends the body.
    pub fn until_close(mut self) -> Self {
        self.framing = Framing::Close;
        self
    }

    /// Adds an entity tag and handles `Range` according to `ranges`. If `If-Range` names another tag, it
    /// sends the whole body.
    pub fn ranges(mut self, etag: &str, ranges: Ranges) -> Self {
        self.ranges = ranges;
        self.header("ETag", etag)
    }

    /// Sends `answer` first, `times` times. A later call adds answers after those of earlier ones.
    pub fn after(mut self, times: u32, answer: Self) -> Self {
        self.before.push((times, answer));
        self
    }

    /// Fails with 500 this many times first.
    pub fn after_failures(self, failures: u32) -> Self {
        self.after(failures, Self::status(500))
    }

    /// The next answer. Counts down the ones in `before`.
    fn next(&mut self) -> Self {
        match self.before.iter_mut().find(|(left, _)| *left > 0) {
            Some((left, answer)) => {
                *left -= 1;
                answer.clone()
            }
            None => self.clone(),
        }
    }

    fn own_header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }
}

#[derive(Clone, Debug)]
pub struct Asked {
    pub method: String,
    /// Path and query, as passed to [`Server::url`].
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Asked {
    /// The value of a header. Case does not matter.
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    /// The path without the query.
    pub fn bare_path(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }

    /// A parameter of the query, without decoding.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let (_, query) = self.path.split_once('?')?;
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1)
    }

    /// The first byte of the requested range.
    fn start(&self) -> Option<usize> {
        self.header("Range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

fn find<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

type Handler = dyn Fn(&Asked) -> Option<Answer> + Send + Sync;

struct Shared {
    /// The first segment of every path. A builder's cache must not contain a URL from an earlier run
    /// whose server had the same port.
    prefix: String,
    handler: Box<Handler>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answers: BTreeMap<String, Answer>,
    requests: Vec<Asked>,
    closing: bool,
}

/// A server that runs until it is dropped. Unknown paths are 404.
pub struct Server {
    address: SocketAddr,
    listener: TcpListener,
    shared: Arc<Shared>,
}

impl Server {
    pub fn start() -> Self {
        Self::with(|_| None)
    }

    /// Serves paths without an [`answer`](Self::answer) through `handler`.
    pub fn with(handler: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static) -> Self {
        Self::on(TcpListener::bind(("127.0.0.1", 0)).expect("a port"), handler)
    }

    /// Serves on an existing listener, for example in another network namespace.
    pub fn on(
        listener: TcpListener,
        handler: impl Fn(&Asked) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        let address = listener.local_addr().expect("an address");
        let now = SystemTime::UNIX_EPOCH.elapsed().expect("a time after 1970");
        let prefix = format!("/{}", now.as_nanos());
        let shared = Arc::new(Shared { prefix, handler: Box::new(handler), state: Mutex::default() });
        let accepting = listener.try_clone().expect("a descriptor");
        let server = Self { address, listener, shared: Arc::clone(&shared) };
        thread::spawn(move || {
            for stream in accepting.incoming() {
                if locked(&shared.state).closing {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let shared = Arc::clone(&shared);
                // Ignore clients that hang up early.
                thread::spawn(move || serve(&stream, &shared).unwrap_or_default());
            }
        });
        server
    }

    /// The URL of a path, with the address as its host.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{}{path}", self.address, self.shared.prefix)
    }

    /// The same with `localhost` as its host, which is another origin.
    pub fn named_url(&self, path: &str) -> String {
        format!("http://localhost:{}{}{path}", self.address.port(), self.shared.prefix)
    }

    pub fn answer(&self, path: &str, answer: Answer) {
        locked(&self.shared.state).answers.insert(path.to_owned(), answer);
    }

    pub fn remove(&self, path: &str) {
        locked(&self.shared.state).answers.remove(path).expect("a path that is served");
    }

    /// The requests since the last call, in order.
    pub fn requests(&self) -> Vec<Asked> {
        std::mem::take(&mut locked(&self.shared.state).requests)
    }

    /// The paths of the requests since the last call.
    pub fn paths(&self) -> Vec<String> {
        self.requests().into_iter().map(|asked| asked.path).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        locked(&self.shared.state).closing = true;
        // Wakes the listener, so that it notices the shutdown.
        let _ = shutdown(&self.listener, Shutdown::Both);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers requests until the connection ends.
fn serve(stream: &TcpStream, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    while let Some(asked) = read_request(&mut reader, &shared.prefix)? {
        let answer = {
            let mut state = locked(&shared.state);
            if state.closing {
                return Ok(());
            }
            state.requests.push(asked.clone());
            state.answers.get_mut(&asked.path).map(Answer::next)
        };
        let answer = answer.or_else(|| (shared.handler)(&asked)).unwrap_or_else(|| Answer::status(404));
        if !send(stream, &asked, &answer)? {
            break;
        }
    }
    Ok(())
}

fn read_request(reader: &mut impl BufRead, prefix: &str) -> io::Result<Option<Asked>> {
    let mut lines = reader.by_ref().lines();
    let Some(line) = lines.next().transpose()? else { return Ok(None) };
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    for line in lines {
        let line = line?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.push((name.to_owned(), value.trim().to_owned()));
    }
    let length = find(&headers, "Content-Length").and_then(|value| value.parse().ok()).unwrap_or_default();
    let mut body = Vec::new();
    reader.take(length).read_to_end(&mut body)?;
    let path = path.strip_prefix(prefix).unwrap_or(path).to_owned();
    Ok(Some(Asked { method: method.to_owned(), path, headers, body }))
}

/// Sends an answer. Returns whether the connection stays usable.
fn send(mut stream: &TcpStream, asked: &Asked, answer: &Answer) -> io::Result<bool> {
    let Part { status, headers, body } = part(asked, answer);
    let content_length = answer.content_length.unwrap_or(body.len());
    let closing = content_length != body.len()
        || answer.framing == Framing::Close
        || matches!(answer.trouble, Some((_, Trouble::Cut | Trouble::Stall)))
        || asked.header("Connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let mut head = Vec::new();
    write!(head, "HTTP/1.1 {status} Status\r\n")?;
    for (name, value) in answer.headers.iter().chain(&headers) {
        write!(head, "{name}: {value}\r\n")?;
    }
    match answer.framing {
        Framing::Length => write!(head, "Content-Length: {content_length}\r\n")?,
        Framing::Chunks => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::Close => {}
    }
    if closing {
        head.extend_from_slice(b"Connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    stream.write_all(&head)?;
    if asked.method == "HEAD" {
        return Ok(!closing);
    }
    let chunks = answer.framing == Framing::Chunks;
    let piece = |bytes: &[u8]| match (chunks, bytes.is_empty()) {
        (_, true) => Ok(()),
        (false, _) => { stream }.write_all(bytes),
        (true, _) => {
            write!({ stream }, "{:x}\r\n", bytes.len())?;
            { stream }.write_all(bytes)?;
            { stream }.write_all(b"\r\n")
        }
    };
    match &answer.trouble {
        None => piece(body)?,
        Some((at, trouble)) => {
            let (first, rest) = body.split_at((*at).min(body.len()));
            piece(first)?;
            match trouble {
                Trouble::Cut => return Ok(false),
                // Ends when the client hangs up.
                Trouble::Stall => return stream.read_to_end(&mut Vec::new()).map(|_| false),
                Trouble::Wait(gate) => {
                    gate.wait();
                    piece(rest)?;
                }
            }
        }
    }
    if chunks {
        stream.write_all(b"0\r\n\r\n")?;
    }
    Ok(!closing)
}

/// The part of a body to send, with its status and headers.
struct Part<'a> {
    status: u16,
    headers: Vec<(String, String)>,
    body: &'a [u8],
}

fn part<'a>(asked: &Asked, answer: &'a Answer) -> Part<'a> {
    let body = &*answer.body;
    let whole = Part { status: answer.status, headers: Vec::new(), body };
    let same = asked.header("If-Range").is_none_or(|tag| answer.own_header("ETag") == Some(tag));
    let (Some(start), true) = (asked.start(), same && answer.ranges != Ranges::Ignored) else {
        return whole;
    };
    if start >= body.len() || answer.ranges == Ranges::Refused {
        let headers = vec![("Content-Range".to_owned(), format!("bytes */{}", body.len()))];
        return Part { status: 416, headers, body: &[] };
    }
    let end = if answer.ranges == Ranges::Short { body.len().min(start + 100_000) } else { body.len() };
    let range = |first: usize| {
        let (last, total) = (end - 1, body.len());
        vec![("Content-Range".to_owned(), format!("bytes {first}-{last}/{total}"))]
    };
    match answer.ranges {
        Ranges::WrongRange => Part { status: 206, headers: range(start - 1), body: &body[start..] },
        Ranges::NoRange => Part { status: 206, headers: Vec::new(), body: &body[start..] },
        Ranges::WrongBytes => Part { status: 206, headers: range(start), body: &body[..body.len() - start] },
        _ => Part { status: 206, headers: range(start), body: &body[start..end] },
    }
}
