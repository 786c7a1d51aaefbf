//! The server's thread, and requests as they come: one by one, or many in the parts of a batch.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Write;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use futures_util::future;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Response, header};
use hyper_util::rt::TokioIo;
use percent_encoding::percent_decode_str;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use url::form_urlencoded;

use super::{LOST, Shared, locked};

/// A request, and what came of it.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    /// Service and path without the API's version, decoded: `compute/projects/demo/zones`.
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// Null where there was none.
    pub body: Value,
    pub status: u16,
}

impl Request {
    fn new(method: &str, target: &str, body: &[u8]) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parts: Vec<_> = path
            .trim_matches('/')
            .split('/')
            .map(|part| percent_decode_str(part).decode_utf8_lossy().into_owned())
            .collect();
        // The second is the version.
        if parts.len() > 1 {
            parts.remove(1);
        }
        Self {
            method: method.to_owned(),
            path: parts.join("/"),
            query: form_urlencoded::parse(query.as_bytes()).into_owned().collect(),
            body: serde_json::from_slice(body).unwrap_or_default(),
            status: 0,
        }
    }

    /// The service's name, which the path begins with.
    pub fn service(&self) -> &str {
        self.path.split('/').next().unwrap_or_default()
    }

    /// The path's parts after the service; a `:verb` at its end is a separate part.
    pub fn parts(&self) -> Vec<&str> {
        let mut parts: Vec<_> = self.path.split('/').skip(1).collect();
        if let Some((name, verb)) = parts.last().and_then(|last| last.rsplit_once(':')) {
            parts.pop();
            parts.extend([name, verb]);
        }
        parts
    }

    /// Whether it would change something.
    pub fn changes(&self) -> bool {
        let reads = [
            "/wait",
            ":getIamPolicy",
            ":testIamPermissions",
            "/listManagedInstances",
            "/listErrors",
            "/listPerInstanceConfigs",
        ];
        self.method != "GET" && !reads.iter().any(|end| self.path.ends_with(end))
    }
}

/// The thread that serves until this is dropped.
pub(super) struct Server {
    address: SocketAddr,
    /// Ends the thread by being dropped.
    stop: Option<oneshot::Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(super) fn start(shared: Arc<Shared>) -> Self {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        listener.set_nonblocking(true).expect("a socket");
        let address = listener.local_addr().expect("an address");
        locked(&shared.state).base = format!("http://{address}/compute/v1/");
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(future::select(pin!(accept(listener, shared)), stopped));
        });
        Self { address, stop: Some(stop), thread: Some(thread) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported when it happened.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) {
    let listener = TcpListener::from_std(listener).expect("a listener");
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let shared = Arc::clone(&shared);
        let service = service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { answer(&shared, request).await }
        });
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async move {
            // A client may disconnect.
            let _ = connection.await;
        });
    }
}

async fn answer(
    shared: &Shared,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, io::Error> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let kind =
        head.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let (status, kind, content) = match kind.split_once("boundary=") {
        Some((_, boundary)) if target.starts_with("/batch/") => {
            let boundary = boundary.trim_matches('"');
            let content = batch(shared, boundary, &String::from_utf8_lossy(&body));
            (200, format!("multipart/mixed; boundary={boundary}"), content)
        }
        _ => {
            let (status, content) = one(shared, Request::new(head.method.as_str(), target, &body));
            if status == LOST {
                return Err(io::Error::other(content));
            }
            (status, "application/json; charset=UTF-8".to_owned(), content)
        }
    };
    let response =
        Response::builder().status(status).header(header::CONTENT_TYPE, kind).body(Full::new(content.into()));
    Ok(response.expect("a status and a header that are right"))
}

/// Answers a request and writes it down.
fn one(shared: &Shared, mut request: Request) -> (u16, String) {
    let (status, body) = match shared.answer(&request) {
        Ok(body) => (200, body),
        Err(refusal) => (refusal.status, refusal.body()),
    };
    request.status = status;
    locked(&shared.requests).push(request);
    (status, body.to_string())
}

/// Each part of a batch is a separate request, and so is each part of the answer ("Batching requests", Compute
/// Engine).
fn batch(shared: &Shared, boundary: &str, body: &str) -> String {
    let mut answer = String::new();
    for part in body.split(&format!("--{boundary}")).map(|part| part.replace("\r\n", "\n")) {
        let Some((outer, inner)) = part.trim_start().split_once("\n\n") else { continue };
        let (head, body) = inner.split_once("\n\n").unwrap_or((inner, ""));
        let mut words = head.lines().next().unwrap_or_default().split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        // Some clients name the host as well.
        let target = target.find("/compute/").map_or(target, |at| &target[at..]);
        let id = outer
            .lines()
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| name.eq_ignore_ascii_case("content-id"))
            .map_or("", |(_, id)| id.trim())
            .trim_start_matches('<');
        let (status, content) = one(shared, Request::new(method, target, body.trim().as_bytes()));
        let _ = write!(
            answer,
            "--{boundary}\r\nContent-Type: application/http\r\nContent-ID: <response-{id}\r\n\r\n\
             HTTP/1.1 {status} Status\r\nContent-Type: application/json; charset=UTF-8\r\n\
             Content-Length: {}\r\n\r\n{content}\r\n",
            content.len()
        );
    }
    answer + &format!("--{boundary}--\r\n")
}
