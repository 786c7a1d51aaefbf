//! The registry client against registries that want harm, and against the shapes of those in use. Each
//! server here writes its answers byte by byte.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::cost::measured;
use crate::support::{Folder, said, test};
use bake::digest::Sha256;
use bake::http::{Client, RetryPolicy};
use bake::oci::OciError;
use bake::registry::Credentials;
use bake::registry::{ResolvedImage, resolve};
use serde_json::json;

/// It is only sent to a permitted service.
const PASSWORD: &str = "correct-horse";

/// The program is not optimized here; see `image_memory`.
const MOST_MIB: f64 = 80.0;

/// A request, as it came.
#[derive(Clone, Debug)]
struct Asked {
    method: String,
    path: String,
    authorization: Option<String>,
    body: String,
}

/// A server that answers each request with a function, on a separate connection.
struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Server {
    fn start(
        answer: impl Fn(&Asked, SocketAddr, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        let (asked, answer) = (Arc::<Mutex<Vec<Asked>>>::default(), Arc::new(answer));
        let told = Arc::clone(&asked);
        // It ends with the test program.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (told, answer) = (Arc::clone(&told), Arc::clone(&answer));
                thread::spawn(move || -> std::io::Result<()> {
                    let mut reader = BufReader::new(stream.try_clone()?);
                    let (mut line, mut length, mut authorization) = (String::new(), 0, None);
                    reader.read_line(&mut line)?;
                    let mut words = line.split(' ').map(str::to_owned);
                    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
                    loop {
                        let mut header = String::new();
                        if reader.read_line(&mut header)? <= 2 {
                            break;
                        }
                        let (name, value) = header.split_once(": ").unwrap_or_default();
                        match name.to_lowercase().as_str() {
                            "content-length" => length = value.trim().parse().unwrap_or(0),
                            "authorization" => authorization = Some(value.trim().to_owned()),
                            _ => {}
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body)?;
                    let body = String::from_utf8_lossy(&body).into_owned();
                    let asked = Asked { method, path, authorization, body };
                    told.lock().expect("no panic").push(asked.clone());
                    answer(&asked, address, &mut stream.try_clone()?)?;
                    Ok(())
                });
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no panic").clone()
    }

    fn resolve(&self, credentials: &Credentials) -> Result<ResolvedImage, OciError> {
        let reference = format!("{}/team/image:1", self.address).parse().expect("a reference");
        let (first_pause, longest_pause) = (Duration::from_millis(1), Duration::from_millis(2));
        let patience = RetryPolicy {
            first_pause,
            longest_pause,
            stall: Duration::from_secs(1),
            ..RetryPolicy::default()
        };
        resolve(&Client::new(patience), &reference, credentials)
    }
}

fn login() -> Credentials {
    Credentials::Password { user: "me".to_owned(), password: PASSWORD.to_owned() }
}

fn basic() -> String {
    use base64::Engine;
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!("me:{PASSWORD}")))
}

fn say(stream: &mut TcpStream, status: &str, headers: &str, body: &[u8]) -> std::io::Result<()> {
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )?;
    stream.write_all(body)
}

/// An index with a manifest for amd64 that is never asked for.
fn index() -> Vec<u8> {
    json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [{
        "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": Sha256::of("x").oci(), "size": 1,
        "platform": {"os": "linux", "architecture": "amd64"},
    }]})
    .to_string()
    .into_bytes()
}

/// A registry that wants a token; `challenge` and `granted` say how.
fn guarded(
    challenge: impl Fn(SocketAddr) -> String + Send + Sync + 'static,
    granted: impl Fn(&Asked, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
) -> Server {
    Server::start(move |asked, here, stream| {
        if asked.path.starts_with("/token") {
            granted(asked, stream)
        } else if asked.authorization.as_deref() == Some("Bearer granted") {
            say(stream, "200 OK", "", &index())
        } else {
            say(stream, "401 No", &challenge(here), b"")
        }
    })
}

fn grant(_: &Asked, stream: &mut TcpStream) -> std::io::Result<()> {
    say(stream, "200 OK", "", br#"{"token":"granted"}"#)
}

fn bearer(here: SocketAddr) -> String {
    format!("WWW-Authenticate: Bearer realm=\"http://{here}/token\",service=\"s\"\r\n")
}

#[test]
fn the_challenges_of_registries_in_use_are_answered() {
    let shapes: [fn(SocketAddr) -> String; 5] = [
        // ghcr and Artifact Registry
        |here| {
            format!(
                "WWW-Authenticate: Bearer realm=\"http://{here}/token\",service=\"ghcr.io\",scope=\"repository:team/image:pull\"\r\n"
            )
        },
        // Docker Hub, after a token that did not do
        |here| {
            format!(
                "www-authenticate: Bearer realm=\"http://{here}/token\",service=\"registry.docker.io\",scope=\"repository:team/image:pull,push\",error=\"insufficient_scope\"\r\n"
            )
        },
        // Several in one header, and several headers
        |here| {
            format!(
                "WWW-Authenticate: Basic realm=\"a, b\", Bearer realm=\"http://{here}/token\",service=\"s\"\r\n"
            )
        },
        |here| format!("WWW-Authenticate: Basic realm=\"a\"\r\n{}", bearer(here)),
        |here| {
            format!(
                "WWW-Authenticate: Negotiate\r\nWWW-Authenticate: Bearer realm = http://{here}/token , service=s\r\n"
            )
        },
    ];
    for shape in shapes {
        let server = guarded(shape, grant);
        let resolved = server.resolve(&login()).expect("an image");
        assert_eq!(resolved.digest, Sha256::of(index()));
        for asked in server.asked() {
            let got_password = asked.authorization.as_deref() == Some(&basic());
            assert_eq!(got_password, asked.path.starts_with("/token"), "{asked:?}");
            assert!(
                !got_password || asked.path.contains("scope=repository%3Ateam%2Fimage%3Apull"),
                "{asked:?}"
            );
        }
    }
}

#[test]
fn an_identity_token_is_exchanged() {
    let server = guarded(bearer, |asked, stream| {
        let form: Vec<_> = url::form_urlencoded::parse(asked.body.as_bytes()).into_owned().collect();
        let has = |name: &str, value: &str| form.iter().any(|(n, v)| n == name && v == value);
        let right = asked.method == "POST"
            && has("grant_type", "refresh_token")
            && has("refresh_token", PASSWORD)
            && has("service", "s")
            && has("scope", "repository:team/image:pull");
        let status = if right { "200 OK" } else { "401 No" };
        say(stream, status, "", br#"{"access_token":"granted"}"#)
    });
    server.resolve(&Credentials::IdentityToken(PASSWORD.to_owned())).expect("an image");
    assert!(server.asked().iter().all(|asked| asked.body.is_empty() || asked.path.starts_with("/token")));
    // The challenge asks for a password, but there is none.
    let server = guarded(|_| "WWW-Authenticate: Basic realm=\"x\"\r\n".to_owned(), grant);
    let error = server.resolve(&Credentials::IdentityToken(PASSWORD.to_owned())).expect_err("no password");
    assert!(error.to_string().contains("identity token") && !error.to_string().contains(PASSWORD), "{error}");
}

#[test]
fn a_password_goes_nowhere_in_the_clear_and_to_no_other_host() {
    let thief = Server::start(|_, _, stream| say(stream, "200 OK", "", br#"{"token":"granted"}"#));
    let there = thief.address;
    for (credentials, is_sent) in [(login(), false), (Credentials::IdentityToken(PASSWORD.to_owned()), false)]
    {
        // The service for tokens sends the request elsewhere.
        for status in ["301 M", "302 F", "307 T", "308 P"] {
            let server = guarded(bearer, move |_, stream| {
                say(stream, status, &format!("Location: http://{there}/token\r\n"), b"")
            });
            let _ = server.resolve(&credentials);
        }
        // The registry does so.
        let server = Server::start(move |_, _, stream| {
            say(stream, "307 T", &format!("Location: http://{there}/v2/\r\n"), b"")
        });
        let _ = server.resolve(&credentials);
        for asked in thief.asked() {
            let told = format!("{:?} {} {}", asked.authorization, asked.path, asked.body);
            assert_eq!(told.contains(PASSWORD) || told.contains(&basic()), is_sent, "{asked:?}");
        }
    }
    assert!(!thief.asked().is_empty());
    // Plain http is for this machine.
    let server =
        guarded(|_| "WWW-Authenticate: Bearer realm=\"http://192.0.2.1/token\"\r\n".to_owned(), grant);
    let error = server.resolve(&login()).expect_err("in the clear").to_string();
    assert!(error.contains("plain http"), "{error}");
    // Another host, though over https, is asked without the password: nothing listens there.
    let server =
        guarded(|_| "WWW-Authenticate: Bearer realm=\"https://tokens.invalid/\"\r\n".to_owned(), grant);
    assert!(matches!(server.resolve(&login()), Err(OciError::Unreachable { .. })));
}

#[test]
fn a_token_that_cannot_be_one_is_refused() {
    for token in ["a\\r\\nX-A: b", "", "a b", "\\u0000", "ä"] {
        let answer = format!(r#"{{"token":"{token}"}}"#);
        let server = guarded(bearer, move |_, stream| say(stream, "200 OK", "", answer.as_bytes()));
        let error = server.resolve(&Credentials::Anonymous).expect_err("no token").to_string();
        assert!(error.contains("returned no usable token"), "{token}: {error}");
    }
}

#[test]
fn a_registry_is_asked_again_when_it_says_so() {
    let first = Mutex::new(true);
    let server = Server::start(move |_, _, stream| {
        if std::mem::take(&mut *first.lock().expect("no panic")) {
            return say(stream, "429 Wait", "Retry-After: 2\r\n", b"");
        }
        say(stream, "200 OK", "", &index())
    });
    let begun = Instant::now();
    server.resolve(&Credentials::Anonymous).expect("an image");
    // `Retry-After` counts whole seconds.
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_manifest_that_is_somewhere_else_is_read_there() {
    for location in ["/elsewhere", "elsewhere", "../x"] {
        let server = Server::start(move |asked, _, stream| match asked.path.as_str() {
            "/v2/team/image/manifests/1" => say(stream, "307 T", &format!("Location: {location}\r\n"), b""),
            _ => say(stream, "200 OK", "", &index()),
        });
        assert_eq!(server.resolve(&Credentials::Anonymous).expect("an image").digest, Sha256::of(index()));
    }
}

/// Sends `head`, and then pieces without an end.
fn flood(stream: &mut TcpStream, head: &str, piece: &[u8]) -> std::io::Result<()> {
    stream.write_all(head.as_bytes())?;
    loop {
        stream.write_all(piece)?;
    }
}

#[test]
fn nothing_endless_fills_the_memory() {
    const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
    let blank = || vec![b' '; 1 << 20];
    let endless: [(&str, Server); 6] = [
        ("manifest", Server::start(move |_, _, stream| flood(stream, OK, &blank()))),
        ("token", guarded(bearer, move |_, stream| flood(stream, OK, &blank()))),
        ("refusal", Server::start(move |_, _, stream| flood(stream, "HTTP/1.1 403 No\r\n\r\n", &blank()))),
        (
            "refused token",
            guarded(bearer, move |_, stream| flood(stream, "HTTP/1.1 400 No\r\n\r\n", &blank())),
        ),
        (
            "challenge",
            Server::start(move |_, _, stream| {
                flood(stream, "HTTP/1.1 401 No\r\nWWW-Authenticate: ", &blank())
            }),
        ),
        (
            "config",
            Server::start(move |asked, _, stream| {
                if !asked.path.contains("/manifests/") {
                    return flood(stream, OK, &blank());
                }
                let manifest = json!({"schemaVersion": 2, "layers": [], "config": {
                    "mediaType": "application/vnd.oci.image.config.v1+json", "digest": Sha256::of("c").oci(), "size": 9,
                }});
                say(stream, "200 OK", "", manifest.to_string().as_bytes())
            }),
        ),
    ];
    for (what, server) in endless {
        let folder = Folder::empty();
        let spec = format!(
            "version: 1\ngateway: {{image: \"{}/team/image:1\"}}\nimage: {{apt: []}}\n",
            server.address
        );
        folder.write("bake.yaml", spec).write("images/binaries.yaml", "version: 1\nbinaries: []\n");
        let mut command = folder.command();
        // It fails as expected, and its cost is reported.
        command.env("BAKE_STALL_SECONDS", "2").arg("lock");
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", "\"$@\" 2>&1 || [ $? -eq 1 ]", "sh"])
            .arg(command.get_program())
            .args(command.get_args());
        shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
        shell.current_dir(folder.path());
        let (said, cost) = measured(&shell);
        assert!(said.out.contains("error"), "{what}: {}", said.out);
        assert!(!said.out.contains("panicked") && said.out.len() < 4096, "{what}: {}", said.out);
        assert!(cost.peak < MOST_MIB, "{what}: {cost:?}");
        assert!(cost.seconds < 60.0, "{what}: {cost:?}");
    }
}

#[test]
fn a_trickle_is_cut_off() {
    let trickle = |stream: &mut TcpStream| -> std::io::Result<()> {
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")?;
        loop {
            stream.write_all(b" ")?;
            thread::sleep(Duration::from_millis(200));
        }
    };
    for server in [
        Server::start(move |_, _, stream| trickle(stream)),
        guarded(bearer, move |_, stream| trickle(stream)),
    ] {
        let begun = Instant::now();
        let error = server.resolve(&Credentials::Anonymous).expect_err("a trickle").to_string();
        // Twice the second that silence may last here.
        assert!(error.contains("too slow") && error.contains("bytes in 2 s"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert!(server.asked().len() <= 3, "{:?}", server.asked());
    }
}

#[test]
fn an_index_has_a_bounded_number_of_others_in_it() {
    let nested = |entries: usize, digest: &str, size: usize| {
        let entry = json!({
            "mediaType": "application/vnd.oci.image.index.v1+json", "digest": digest, "size": size,
        });
        json!({"schemaVersion": 2, "manifests": vec![entry; entries]}).to_string().into_bytes()
    };
    for (entries, depth, why) in [(300, 1, "more than 256 images"), (1, 9, "nested levels")] {
        let mut documents = vec![index()];
        for _ in 0..depth {
            let last = documents.last().expect("one");
            documents.push(nested(entries, &Sha256::of(last).oci(), last.len()));
        }
        let server = Server::start(move |asked, _, stream| {
            let name = asked.path.rsplit('/').next().unwrap_or_default();
            let named = documents.iter().find(|document| Sha256::of(document).oci() == name);
            say(stream, "200 OK", "", named.or(documents.last()).expect("one"))
        });
        let error = server.resolve(&Credentials::Anonymous).expect_err(why).to_string();
        assert!(error.contains(why), "{error}");
        assert!(server.asked().len() < 8);
    }
}

/// Runs `bake lock` with Docker's configuration, and a credential helper of this content.
fn locked_with(server: &Server, config: &str, helper: &str) -> crate::support::Said {
    let folder = Folder::empty();
    let spec =
        format!("version: 1\ngateway: {{image: \"{}/team/image:1\"}}\nimage: {{apt: []}}\n", server.address);
    folder.write("bake.yaml", spec).write("images/binaries.yaml", "version: 1\nbinaries: []\n");
    folder.write("docker/config.json", config.replace("HOST", &server.address.to_string()));
    folder.program("bin/docker-credential-test", helper);
    let known = std::env::var("PATH").unwrap_or_default();
    let mut command = folder.command();
    command.env("PATH", format!("{}:{known}", folder.join("bin").display()));
    command.env("DOCKER_CONFIG", folder.join("docker")).env("HOME", folder.path());
    said(command.arg("lock"))
}

#[test]
fn empty_helpers_are_skipped_and_failing_ones_reported() {
    const STORE: &str = r#"{"credsStore": "test"}"#;
    // A login of anything at all is refused.
    let server = guarded(bearer, |asked, stream| {
        let status = if asked.authorization.is_some() { "401 No" } else { "200 OK" };
        say(stream, status, "", br#"{"token":"granted"}"#)
    });
    for helper in [
        "#!/bin/sh\nread -r server\nprintf '{\"ServerURL\":\"%s\",\"Username\":\"\",\"Secret\":\"\"}' \"$server\"\n",
        "#!/bin/sh\necho credentials not found in native keychain\nexit 1\n",
    ] {
        locked_with(&server, STORE, helper).done();
    }
    for config in [r#"{"auths": {"HOST": {"auth": ""}}}"#, r#"{"auths": {"HOST": {}}}"#, "{}"] {
        locked_with(&server, config, "").done();
    }
    for helper in [
        // Fails before it reads, which now and then closed the pipe first.
        "#!/bin/sh\nexec <&-\necho correct-horse\nexit 1\n",
        "#!/bin/sh\ncat >/dev/null\necho correct-horse >&2\nexit 3\n",
        "#!/bin/sh\nexec >/dev/null 2>&1 <&-\nkill $$\n",
    ] {
        for _ in 0..5 {
            let said = locked_with(&server, STORE, helper).ended(1);
            assert!(said.err.contains("`docker-credential-test` fails"), "{}", said.err);
            assert!(!said.err.contains(PASSWORD), "{}", said.err);
        }
    }
    let said = locked_with(&server, STORE, "#!/bin/sh\necho correct-horse\n").ended(1);
    assert!(said.err.contains("is invalid") && !said.err.contains(PASSWORD), "{}", said.err);
}
