//! The HTTP client: retries, redirects, refusals, and the scope of a token. Every server is on loopback.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::support::server::{Answer, Ranges, Server};
use crate::support::test;
use crate::support::{Folder, said, testbed};
use bake::http::{Client, ContentRange, HttpError, Request, RetryPolicy, Token};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use url::Url;

const LIMIT: u64 = 1024 * 1024;

/// A fast policy: five attempts within milliseconds.
fn quick() -> RetryPolicy {
    RetryPolicy {
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        ..RetryPolicy::default()
    }
}

fn client() -> Client {
    Client::new(quick())
}

fn request(url: &str) -> Request<'static> {
    Request::new(url.parse().expect("a URL"))
}

fn text(url: &str) -> Result<String, HttpError> {
    client().text(&request(url), LIMIT)
}

/// Asks a server that has one answer, and says how often it was asked.
fn ask(answer: Answer) -> (Result<String, HttpError>, usize) {
    let server = Server::start();
    server.answer("/x", answer);
    let result = text(&server.url("/x"));
    (result, server.requests().len())
}

#[track_caller]
fn wrong(result: Result<String, HttpError>) -> String {
    result.expect_err("an error").to_string()
}

#[test]
fn a_document_is_asked_for_by_name_and_as_it_is() {
    let server = Server::start();
    server.answer("/x?page=2", Answer::of("text"));
    let request = request(&server.url("/x?page=2")).accept("text/plain").header("x-version", "1");
    assert_eq!(client().text(&request, LIMIT).expect("a text"), "text");
    let asked = server.requests().remove(0);
    assert_eq!(asked.header("User-Agent"), Some(concat!("bake/", env!("CARGO_PKG_VERSION"))));
    assert_eq!(asked.header("Accept"), Some("text/plain"));
    assert_eq!(asked.header("Accept-Encoding"), Some("identity"));
    assert_eq!(asked.header("X-Version"), Some("1"));
    assert_eq!(asked.header("Authorization"), None);
}

#[test]
fn temporary_failures_are_retried() {
    for status in [408, 429, 500, 502, 503, 504] {
        let (result, asked) = ask(Answer::of("x").after(3, Answer::status(status)));
        assert_eq!((result.expect("a text"), asked), ("x".to_owned(), 4), "{status}");
    }
    let body = "y".repeat(1000);
    let troubles = [
        Answer::of(body.clone()).cut_at(0),
        Answer::of(body.clone()).cut_at(999),
        Answer::of(body.clone()).content_length(2000),
        Answer::of(body.clone()).chunked().cut_at(500),
        Answer::gzip(body.as_bytes()).cut_at(10),
        Answer::gzip(body.as_bytes()).cut_at(10).until_close(),
    ];
    for trouble in troubles {
        let (result, asked) = ask(Answer::of(body.clone()).after(3, trouble.clone()));
        assert_eq!((result.expect("a text"), asked), (body.clone(), 4), "{trouble:?}");
    }
}

#[test]
fn permanent_failures_are_not_retried() {
    for status in [400, 401, 403, 404, 410, 418, 501, 204, 206, 304] {
        let (result, asked) = ask(Answer::status(status));
        assert_eq!(asked, 1, "{status}");
        match result.expect_err("an error") {
            HttpError::NotFound { .. } => assert!(matches!(status, 404 | 410)),
            HttpError::Status { status: told, .. } => assert_eq!(told, status),
            other => panic!("{status}: {other}"),
        }
    }
}

#[test]
fn there_is_an_end_to_it() {
    let (result, asked) = ask(Answer::status(500));
    assert_eq!(asked, 5);
    assert!(wrong(result).ends_with("/x: the server says 500 Internal Server Error"));
    let (result, asked) = ask(Answer::of("x".repeat(100)).cut_at(50));
    assert_eq!(asked, 5);
    assert!(wrong(result).contains("/x: the connection was cut: "));
    // Both kinds of failure share one patience.
    let cut = Answer::of("x".repeat(100)).cut_at(50);
    assert_eq!(ask(Answer::of("x").after(2, cut.clone()).after(2, Answer::status(500))).1, 5);
    assert!(ask(Answer::of("x").after(3, cut).after(2, Answer::status(500))).0.is_err());
}

#[test]
fn a_server_that_says_nothing_more_is_given_up() {
    let patience = RetryPolicy { attempts: 2, stall: Duration::from_millis(500), ..quick() };
    let client = Client::new(patience);
    let server = Server::start();
    server.answer("/body", Answer::of("x".repeat(100)).stall_at(50));
    let message = wrong(client.text(&request(&server.url("/body")), LIMIT));
    assert!(message.ends_with("/body: no data for 0.5 s"), "{message}");
    assert_eq!(server.requests().len(), 2);

    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("http://{}/head", silent.local_addr().expect("an address"));
    let message = wrong(client.text(&request(&url), LIMIT));
    assert!(message.ends_with("/head: no data for 0.5 s"), "{message}");
}

#[test]
fn a_pause_that_is_asked_for_is_made() {
    let soon = || {
        let soon = Timestamp::now() + SignedDuration::from_secs(3);
        soon.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    for asked in [|| "1".to_owned(), soon] {
        let start = Instant::now();
        let asked = asked();
        let busy = Answer::status(503).header("Retry-After", &asked);
        let (result, count) = ask(Answer::of("x").after(1, busy));
        assert_eq!((result.expect("a text"), count), ("x".to_owned(), 2));
        assert!(start.elapsed() >= Duration::from_secs(1), "it came back too early: {asked}");
    }
}

#[test]
fn a_pause_beyond_patience_ends_it_at_once() {
    for asked in ["61", "99999999999999999999", "Fri, 31 Dec 2100 23:59:59 GMT"] {
        for status in [429, 503] {
            let (result, count) = ask(Answer::status(status).header("Retry-After", asked));
            assert_eq!(count, 1, "{asked}");
            let message = wrong(result);
            assert!(
                message.contains(&format!("{status} ")) && message.contains("; try again after 2"),
                "{message}"
            );
        }
    }
    // A time in the past and an invalid time have no effect.
    for asked in ["0", "Sun, 06 Nov 1994 08:49:37 GMT", "soon"] {
        assert_eq!(ask(Answer::of("x").after(1, Answer::status(503).header("Retry-After", asked))).1, 2);
    }
}

#[test]
fn a_rate_limit_says_when_it_ends_and_what_helps() {
    let limits = [
        (
            Answer::status(403)
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", "4102444800"),
            true,
        ),
        (
            Answer::status(429)
                .header("x-ratelimit-remaining", "0")
                .header("x-ratelimit-reset", "4102444800"),
            true,
        ),
        (Answer::status(403).header("x-ratelimit-remaining", "0"), false),
        (Answer::status(403).header("retry-after", "5"), false),
    ];
    let token: Token = "sesame".parse().expect("a token");
    for (limit, known) in limits {
        let server = Server::start();
        server.answer("/x", limit);
        for token in [None, Some(&token)] {
            let error = client().text(&request(&server.url("/x")).token(token), LIMIT).expect_err("a limit");
            assert!(
                matches!(error, HttpError::RateLimited { had_token, .. } if had_token == token.is_some()),
                "{error:?}"
            );
            let message = error.to_string();
            assert_eq!(message.contains("2100-01-01T00:00:00Z"), known, "{message}");
            assert_eq!(message.contains("set GITHUB_TOKEN"), token.is_none(), "{message}");
        }
        assert_eq!(server.requests().len(), 2);
    }
    // There are requests left: this 403 is of another kind.
    let error = ask(Answer::status(403).header("x-ratelimit-remaining", "59")).0.expect_err("an error");
    assert!(matches!(error, HttpError::Status { status: 403, .. }), "{error}");
}

#[test]
fn redirects_are_followed() {
    for status in [301, 302, 303, 307, 308] {
        let server = Server::start();
        server.answer("/a/x", Answer::redirect(status, "../b/y?z=1#there"));
        server.answer("/b/y?z=1", Answer::of("y"));
        let mut response = client().get(&request(&server.url("/a/x"))).expect("an answer");
        let mut body = String::new();
        response.read_to_string(&mut body).expect("a body");
        assert_eq!(body, "y");
        assert_eq!(response.url().as_str(), server.url("/b/y?z=1"));
        let moved = response.moved().map(Url::as_str);
        assert_eq!(moved.is_some(), matches!(status, 301 | 308), "{status}");
        assert!(moved.is_none_or(|moved| moved == server.url("/b/y?z=1")));
    }
}

#[test]
fn only_permanent_redirects_are_reported() {
    let server = Server::start();
    server.answer("/old", Answer::redirect(301, server.url("/new")));
    server.answer("/new", Answer::redirect(302, server.url("/today")));
    server.answer("/today", Answer::redirect(301, server.url("/now")));
    server.answer("/now", Answer::of("now"));
    let moved = |path| client().get(&request(&server.url(path))).expect("an answer").moved().cloned();
    assert_eq!(moved("/old").expect("a move").as_str(), server.url("/new"));
    assert_eq!(moved("/new"), None);
    assert_eq!(moved("/now"), None);
}

#[test]
fn redirects_have_an_end() {
    let server = Server::start();
    server.answer("/loop", Answer::redirect(302, server.url("/loop")));
    let message = wrong(text(&server.url("/loop")));
    assert!(message.contains("/loop") && message.ends_with("gave up after 10 redirects"), "{message}");
    assert_eq!(server.requests().len(), 11);
    for step in 0..10 {
        server.answer(&format!("/{step}"), Answer::redirect(302, server.url(&format!("/{}", step + 1))));
    }
    server.answer("/10", Answer::of("there"));
    assert_eq!(text(&server.url("/0")).expect("ten are fine"), "there");
}

#[test]
fn a_redirect_to_where_nothing_may_go_is_refused() {
    let cases = [
        ("http://example.invalid/x", "use https"),
        ("ftp://127.0.0.1/x", "neither https nor http"),
        ("file:///etc/passwd", "neither https nor http"),
        ("https://user:password@example.invalid/x", "a user name or password"),
        ("http://[", "an invalid URL"),
        ("", ""),
    ];
    for (location, why) in cases {
        let server = Server::start();
        let answer = if location.is_empty() { Answer::status(302) } else { Answer::redirect(302, location) };
        server.answer("/x", answer);
        let message = wrong(text(&server.url("/x")));
        assert!(message.contains(&server.url("/x")) && message.contains(why), "{message}");
        assert!(!message.contains("password@"), "{message}");
        assert_eq!(server.requests().len(), 1, "{location}");
    }
    for url in ["http://example.invalid/x", "ftp://example.invalid/x", "https://u:secret@example.invalid/x"] {
        let error = text(url).expect_err("an error");
        assert!(matches!(error, HttpError::Insecure { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn a_token_goes_home_and_nowhere_else() {
    let (home, other) = (Server::start(), Server::start());
    let token: Token = "sesame".parse().expect("a token");
    home.answer("/moved", Answer::redirect(301, home.url("/here")));
    home.answer("/here", Answer::redirect(302, other.url("/there")));
    other.answer("/there", Answer::redirect(302, home.url("/back")));
    home.answer("/back", Answer::redirect(302, home.named_url("/named")));
    home.answer("/named", Answer::of("done"));
    let body = client().text(&request(&home.url("/moved")).token(Some(&token)), LIMIT);
    assert_eq!(body.expect("a text"), "done");
    let sent: Vec<_> = home
        .requests()
        .into_iter()
        .map(|asked| (asked.path.clone(), asked.header("Authorization").map(ToOwned::to_owned)))
        .collect();
    let bearer = Some("Bearer sesame".to_owned());
    let path = |path: &str| path.to_owned();
    assert_eq!(
        sent,
        [
            (path("/moved"), bearer.clone()),
            (path("/here"), bearer),
            (path("/back"), None),
            (path("/named"), None)
        ]
    );
    assert!(other.requests().iter().all(|asked| asked.header("Authorization").is_none()));
}

#[test]
fn no_message_holds_a_signature() {
    let server = Server::start();
    server.answer("/x?q=1", Answer::redirect(302, server.url("/y?signature=sesame")));
    let error = text(&server.url("/x?q=1")).expect_err("an error");
    assert!(!format!("{error:?} {error}").contains("sesame"), "{error:?}");
    assert!(error.to_string().contains("/x?q=1 (redirected to http://"), "{error}");
    server.answer("/y?signature=sesame", Answer::of("x".repeat(10)).cut_at(5));
    let error = text(&server.url("/x?q=1")).expect_err("an error");
    assert!(!format!("{error:?} {error}").contains("sesame"), "{error:?}");
    let silent = TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address");
    let error = text(&format!("http://{silent}/x#sesame")).expect_err("an error");
    assert!(!format!("{error:?} {error}").contains("sesame"), "{error:?}");
}

#[test]
fn a_body_compressed_for_transfer_is_decoded() {
    let body = "text ".repeat(1000);
    assert_eq!(ask(Answer::gzip(body.as_bytes())).0.expect("a text"), body);
    assert_eq!(ask(Answer::gzip(body.as_bytes()).chunked()).0.expect("a text"), body);
    // Compressed in two pieces (RFC 1952, 2.2).
    let server = Server::start();
    let both =
        [crate::support::archives::gz(&[("a", b"one ")]), crate::support::archives::gz(&[("b", b"two")])]
            .concat();
    server.answer("/x", Answer::of(both).header("Content-Encoding", "X-GZip"));
    assert_eq!(text(&server.url("/x")).expect("a text"), "one two");
    for (encoding, body) in [("br", &b"x"[..]), ("gzip, gzip", b"x"), ("gzip", b"no gzip at all")] {
        let (result, asked) = ask(Answer::of(body).header("Content-Encoding", encoding));
        assert!(matches!(result, Err(HttpError::Malformed { .. })), "{encoding}: {result:?}");
        assert_eq!(asked, 1, "{encoding}");
    }
}

#[test]
fn a_compressed_file_keeps_its_own_compression() {
    let file = crate::support::archives::gz(&[("a", b"content")]);
    let server = Server::start();
    // One server says of the file what it should say of the transfer; the other compresses twice.
    server.answer("/said.tar.gz", Answer::of(file.clone()).header("Content-Encoding", "gzip"));
    server.answer("/twice.tar.GZ", Answer::gzip(&file));
    for (path, encoded) in [("/said.tar.gz", false), ("/twice.tar.GZ", true)] {
        let mut response = client().get(&request(&server.url(path))).expect("an answer");
        assert_eq!(response.was_encoded(), encoded, "{path}");
        assert_eq!(response.length().is_none(), encoded, "{path}");
        let mut body = Vec::new();
        response.read_to_end(&mut body).expect("a body");
        assert_eq!(body, file, "{path}");
    }
}

#[test]
fn large_and_binary_documents_are_refused() {
    let server = Server::start();
    server.answer("/x", Answer::of("x".repeat(100)));
    assert!(client().text(&request(&server.url("/x")), 100).is_ok());
    let message = wrong(client().text(&request(&server.url("/x")), 99));
    assert!(message.ends_with("/x: larger than the limit of 99 bytes"), "{message}");
    // One without an end is left in the middle.
    server.answer("/x", Answer::of("x".repeat(1000)).stall_at(500));
    assert!(matches!(client().text(&request(&server.url("/x")), 99), Err(HttpError::TooLarge { .. })));
    // The limit applies to the decoded body.
    server.answer("/x", Answer::gzip(&vec![b'x'; 1_000_000]));
    assert!(matches!(client().text(&request(&server.url("/x")), 99), Err(HttpError::TooLarge { .. })));
    let (result, asked) = ask(Answer::of([0xff, 0xfe]));
    assert!(wrong(result).ends_with("it is not UTF-8"));
    assert_eq!(asked, 1);
}

#[test]
fn a_part_is_asked_for_and_told() {
    let server = Server::start();
    server.answer("/x", Answer::of("0123456789").ranges("\"one\"", Ranges::Served));
    let whole = client().get(&request(&server.url("/x"))).expect("an answer");
    assert_eq!((whole.part(), whole.length()), (None, Some(10)));
    let validator = whole.validator().expect("a tag");
    let asking = request(&server.url("/x")).from_byte(4, Some(&validator));
    let mut part = client().get(&asking).expect("an answer");
    assert_eq!(part.part(), Some(Some(ContentRange { start: 4, end: 9, total: Some(10) })));
    let mut body = String::new();
    part.read_to_string(&mut body).expect("a body");
    assert_eq!(body, "456789");
    // It changed: the whole comes.
    server.answer("/x", Answer::of("abcdefghij").ranges("\"two\"", Ranges::Served));
    assert_eq!(client().get(&asking).expect("an answer").part(), None);
}

#[test]
fn only_what_names_the_same_bytes_is_a_validator() {
    let validator = |headers: &[(&str, &str)]| {
        let server = Server::start();
        let answer =
            headers.iter().fold(Answer::of("x"), |answer, (name, value)| answer.header(name, *value));
        server.answer("/x", answer);
        client().get(&request(&server.url("/x"))).expect("an answer").validator().is_some()
    };
    let (changed, soon, later) =
        ("Sun, 06 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:38 GMT", "Sun, 06 Nov 1994 08:59:37 GMT");
    assert!(validator(&[("ETag", "\"a\"")]));
    assert!(!validator(&[("ETag", "W/\"a\"")]));
    assert!(validator(&[("Last-Modified", changed), ("Date", later)]));
    assert!(!validator(&[("Last-Modified", changed), ("Date", soon)]));
    assert!(!validator(&[("Last-Modified", changed)]));
    assert!(!validator(&[]));
}

#[test]
fn a_host_without_an_answer_is_asked_no_more() {
    let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port").local_addr().expect("an address");
    let url = format!("http://{free}/x");
    let first = client();
    let message = wrong(first.text(&request(&url), LIMIT));
    assert!(
        message.starts_with(&format!("{url}: the host cannot be reached: Connection refused")),
        "{message}"
    );
    // It is there now, but this run has given it up; another host on the way is asked as before.
    let late = TcpListener::bind(free).expect("the same port");
    let _ = late.set_nonblocking(true);
    assert!(wrong(first.text(&request(&format!("http://{free}/y")), LIMIT)).contains("/y: the host cannot"));
    assert!(late.accept().is_err(), "it was asked again");
    let server = Server::start();
    server.answer("/x", Answer::of("x"));
    assert!(first.text(&request(&server.url("/x")), LIMIT).is_ok());
    server.answer("/x", Answer::redirect(302, url));
    assert!(wrong(first.text(&request(&server.url("/x")), LIMIT)).contains("(redirected to http://"));
}

#[test]
fn an_unknown_host_is_reported() {
    let patience = RetryPolicy { attempts: 2, ..quick() };
    let error = Client::new(patience).text(&request("https://nobody.invalid/x"), LIMIT);
    assert!(matches!(error, Err(HttpError::Unreachable { .. })), "{error:?}");
}

#[test]
fn a_tls_failure_is_not_a_network_failure() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let url = format!("https://{}/x", listener.local_addr().expect("an address"));
    let asked = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = stream.read(&mut [0; 1024]);
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").expect("a listener");
        let _ = stream.read_to_end(&mut Vec::new());
        // There is no second connection.
        listener.set_nonblocking(true).expect("a listener");
        assert!(listener.accept().is_err());
    });
    let error = text(&url).expect_err("an error");
    assert!(matches!(error, HttpError::Untrusted { .. }), "{error:?}");
    asked.join().expect("one connection");
}

/// Not a test: the tests below run it as a separate process with another environment.
#[test]
#[ignore = "a part of other tests"]
fn child_asks() {
    let url = std::env::var("ASK").expect("a URL");
    let result = client().text(&request(&url), LIMIT);
    println!("\nresult: {}", result.unwrap_or_else(|error| error.to_string()));
}

fn ask_as_child(url: &str, environment: &[(&str, &str)]) -> String {
    let this = std::env::current_exe().expect("this program");
    let mut command = Command::new(this);
    command.args(["http::child_asks", "--exact", "--ignored", "--nocapture"]).env("ASK", url);
    for name in
        ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY"]
    {
        command.env_remove(name);
    }
    let out = said(command.envs(environment.iter().copied())).done().out;
    let result = out.lines().find_map(|line| line.strip_prefix("result: "));
    result.unwrap_or_else(|| panic!("no result: {out}")).to_owned()
}

#[test]
fn a_proxy_is_asked_for_the_web_and_never_for_this_machine() {
    let (server, proxy) = (Server::start(), Server::start());
    server.answer("/x", Answer::of("direct"));
    let address = Url::parse(&proxy.url("")).expect("a URL");
    let address = format!("http://127.0.0.1:{}", address.port().expect("a port"));
    let environment = ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY"].map(|name| (name, address.as_str()));
    assert_eq!(ask_as_child(&server.url("/x"), &environment), "direct");
    assert_eq!(ask_as_child(&server.named_url("/x"), &environment), "direct");
    assert!(proxy.requests().is_empty());
    let message = ask_as_child("https://nobody.invalid/x", &environment);
    assert!(message.contains("the host cannot be reached"), "{message}");
    // An unreachable host is retried less often than one that answers.
    assert_eq!(
        proxy.requests().iter().map(|asked| asked.method.as_str()).collect::<Vec<_>>(),
        ["CONNECT"; 3]
    );
    let excepted = [environment[2], ("NO_PROXY", "nobody.invalid")];
    ask_as_child("https://nobody.invalid/x", &excepted);
    assert!(proxy.requests().is_empty());
}

/// Serves a fixed answer over TLS as `localhost`; returns the file of its certificate.
fn tls_server(folder: &Folder, answer: String) -> u16 {
    let mut openssl = testbed::program("openssl");
    openssl.current_dir(folder.path()).args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", "2"]);
    openssl.args(["-pkeyopt", "ec_paramgen_curve:P-256", "-keyout", "key.pem", "-out", "certificate.pem"]);
    openssl.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
    openssl.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    said(&mut openssl).done();
    let certificate = CertificateDer::from_pem_file(folder.join("certificate.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .expect("a pair");
    let config = Arc::new(config);
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let _ = answer_over_tls(stream, Arc::clone(&config), &answer);
        }
    });
    port
}

fn answer_over_tls(
    stream: TcpStream,
    config: Arc<rustls::ServerConfig>,
    answer: &str,
) -> std::io::Result<()> {
    let connection = rustls::ServerConnection::new(config).map_err(std::io::Error::other)?;
    let mut stream = rustls::StreamOwned::new(connection, stream);
    let (mut request, mut buffer) = (Vec::new(), [0; 1024]);
    while !request.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut buffer)?;
        request.extend_from_slice(&buffer[..count]);
    }
    stream.write_all(answer.as_bytes())?;
    stream.conn.send_close_notify();
    stream.flush()
}

#[test]
fn the_platform_says_whose_certificates_count() {
    let folder = Folder::empty();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\nConnection: close\r\n\r\ntrusted".to_owned();
    let port = tls_server(&folder, answer);
    let url = format!("https://localhost:{port}/x");
    let file = folder.join("certificate.pem");
    let trusting = [("SSL_CERT_FILE", file.to_str().expect("a path")), ("SSL_CERT_DIR", "/nowhere")];
    assert_eq!(ask_as_child(&url, &trusting), "trusted");
    let message = ask_as_child(&url, &[]);
    assert!(
        message.starts_with(&format!("{url}: the TLS connection failed: invalid peer certificate")),
        "{message}"
    );
    // The name counts, too.
    let message = ask_as_child(&url.replace("localhost", "127.0.0.1"), &trusting);
    assert!(message.contains("the TLS connection failed"), "{message}");
}

#[test]
fn nothing_goes_from_https_to_http() {
    let (folder, server) = (Folder::empty(), Server::start());
    server.answer("/x", Answer::of("plain"));
    let location = server.url("/x?signature=sesame");
    let answer = format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n");
    let port = tls_server(&folder, answer);
    let file = folder.join("certificate.pem");
    let trusting = [("SSL_CERT_FILE", file.to_str().expect("a path"))];
    let message = ask_as_child(&format!("https://localhost:{port}/x"), &trusting);
    assert!(message.ends_with("refused: it redirects from https to plain http"), "{message}");
    assert!(!message.contains("sesame"), "{message}");
    assert!(server.requests().is_empty());
}
