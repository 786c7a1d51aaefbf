//! The internet as a VM sees it, on one address of its namespace: DNS, GitHub with its downloads, the
//! registry `ghcr.io`, Debian's mirror. Tests can make parts of it fail.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use bake::project::values::Arch;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::github::{GitHub, Host, Release, tls};
use crate::support::namespace::{INTERNET, Namespace};
use crate::support::testbed;
use crate::support::world::archive;

/// The default project's tools: the command, and the name of its repository and assets.
pub const TOOLS: [(&str, &str); 3] = [("gog", "gogcli"), ("goplaces", "goplaces"), ("wacli", "wacli")];

/// Their version here, newer than any in the catalog.
pub const VERSION: &str = "99.0.0";

/// Debian's mirror.
const MIRROR: &str = "deb.debian.org";

const DNS: u16 = 53;
const HTTP: u16 = 80;
const HTTPS: u16 = 443;

/// A namespace with all servers.
pub struct World {
    pub namespace: Namespace,
    internet: Arc<Internet>,
    names: Child,
}

/// The servers' shared state.
struct Internet {
    github: GitHub,
    /// The address of the real registry.
    registry: String,
    /// The files of Debian's mirror.
    mirror: PathBuf,
    tls: Arc<ServerConfig>,
    registry_fails: AtomicBool,
    closing: AtomicBool,
    /// `HOST METHOD TARGET` of each request to the registry and the mirror.
    asked: Mutex<Vec<String>>,
}

impl World {
    /// Skips the test if this machine lacks a part for booting VMs.
    pub fn start() -> Self {
        for program in ["dnsmasq", "ip", "iptables", "qemu-img", "qemu-system-x86_64", "setpriv"] {
            testbed::program(program);
        }
        let internet = Arc::new(Internet {
            github: GitHub::behind_others(),
            registry: testbed::registry(),
            mirror: testbed::boot("apt"),
            tls: certified(),
            registry_fails: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            asked: Mutex::default(),
        });
        for (tool, repo) in TOOLS {
            let release =
                Arch::ALL.into_iter().fold(Release::new(&format!("v{VERSION}")), |release, arch| {
                    release.asset(&asset(repo, arch), archive(tool, VERSION, arch))
                });
            internet.github.publish(&format!("openclaw/{repo}"), release);
        }
        let namespace = Namespace::new();
        for port in [HTTP, HTTPS] {
            let (listener, internet) = (namespace.listen(port), Arc::clone(&internet));
            thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    if internet.closing.load(Ordering::Relaxed) {
                        break;
                    }
                    let internet = Arc::clone(&internet);
                    // Ignore clients that hang up early.
                    thread::spawn(move || internet.serve(stream, port).unwrap_or_default());
                }
            });
        }
        let names = names(&namespace);
        Self { namespace, internet, names }
    }

    pub fn github(&self) -> &GitHub {
        &self.internet.github
    }

    /// The value for `SSL_CERT_FILE`.
    pub fn authority() -> PathBuf {
        testbed::folder().join("boot/ca.pem")
    }

    /// From now on the registry answers 500.
    pub fn break_registry(&self) {
        self.internet.registry_fails.store(true, Ordering::Relaxed);
    }

    /// The registry works again.
    pub fn heal_registry(&self) {
        self.internet.registry_fails.store(false, Ordering::Relaxed);
    }

    /// Whether a request since the last call contains `part`: `HOST METHOD TARGET`.
    pub fn was_asked(&self, part: &str) -> bool {
        let github = self.internet.github.requests().into_iter();
        let mut asked = std::mem::take(&mut *locked(&self.internet.asked));
        asked.extend(github.map(|request| {
            format!("{} {} {}", tls::NAMES[request.host as usize], request.method, request.target)
        }));
        asked.iter().any(|request| request.contains(part))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.internet.closing.store(true, Ordering::Relaxed);
        for port in [HTTP, HTTPS] {
            self.namespace.knock(port);
        }
        let _ = self.names.kill();
        let _ = self.names.wait();
    }
}

impl Internet {
    fn serve(&self, stream: TcpStream, port: u16) -> io::Result<()> {
        stream.set_nodelay(true)?;
        if port == HTTP {
            return self.files(&mut BufReader::new(stream));
        }
        let mut connection = ServerConnection::new(Arc::clone(&self.tls)).map_err(io::Error::other)?;
        let mut stream = stream;
        while connection.is_handshaking() {
            connection.complete_io(&mut stream)?;
        }
        let name = connection.server_name().unwrap_or_default().to_owned();
        let mut stream = StreamOwned::new(connection, stream);
        match Host::ALL.into_iter().zip(tls::NAMES).find(|(_, known)| *known == name) {
            Some((Host::Registry, _)) => self.relay(stream),
            Some((host, _)) => self.github.serve(&mut stream, host),
            None => Ok(()),
        }
    }

    /// Serves the mirror's files.
    fn files(&self, stream: &mut BufReader<TcpStream>) -> io::Result<()> {
        while let Some(head) = Head::read(stream)? {
            self.note(MIRROR, &head);
            let path = decoded(head.target.trim_start_matches('/'));
            let inside = path.split('/').all(|part| !part.starts_with('.'));
            let content = inside.then(|| fs::read(self.mirror.join(path)).ok()).flatten();
            let (status, content) = content.map_or((404, Vec::new()), |content| (200, content));
            send(stream.get_mut(), status, &content, head.method == "HEAD")?;
        }
        Ok(())
    }

    /// Relays one request to the real registry, then closes the connection.
    fn relay<S: Read + Write>(&self, stream: S) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let Some(head) = Head::read(&mut stream)? else { return Ok(()) };
        self.note(tls::NAMES[Host::Registry as usize], &head);
        if self.registry_fails.load(Ordering::Relaxed) {
            // distribution-spec, "Error codes".
            let body = br#"{"errors":[{"code":"UNAVAILABLE","message":"the registry is down"}]}"#;
            return send(stream.get_mut(), 500, body, head.method == "HEAD");
        }
        let mut registry = TcpStream::connect(&self.registry)?;
        let mut request = format!("{} {} HTTP/1.1\r\n", head.method, head.target);
        for (name, value) in &head.fields {
            if !name.eq_ignore_ascii_case("connection") {
                request.extend([name, ": ", value, "\r\n"]);
            }
        }
        // Otherwise the registry would redirect pushes to plain HTTP.
        request += "X-Forwarded-Proto: https\r\nConnection: close\r\n\r\n";
        registry.write_all(request.as_bytes())?;
        io::copy(&mut stream.by_ref().take(head.length()), &mut registry)?;
        io::copy(&mut registry, stream.get_mut())?;
        stream.get_mut().flush()
    }

    fn note(&self, host: &str, head: &Head) {
        locked(&self.asked).push(format!("{host} {} {}", head.method, head.target));
    }
}

/// A request up to its body, for servers whose clients send several before they read.
struct Head {
    method: String,
    target: String,
    fields: Vec<(String, String)>,
}

impl Head {
    /// Reads the next request; `None` if the client has closed the connection.
    fn read(stream: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Ok(None);
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut lines = lines.into_iter();
        let first = lines.next().unwrap_or_default();
        let mut words = first.split(' ').map(str::to_owned);
        let field =
            |line: String| line.split_once(": ").map(|(name, value)| (name.to_owned(), value.to_owned()));
        Ok(Some(Self {
            method: words.next().unwrap_or_default(),
            target: words.next().unwrap_or_default(),
            fields: lines.filter_map(field).collect(),
        }))
    }
}

impl Head {
    /// The length of the body.
    fn length(&self) -> u64 {
        let mut fields = self.fields.iter();
        let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        length.map_or(0, |(_, length)| length.parse().expect("a number"))
    }
}

fn send(stream: &mut impl Write, status: u16, content: &[u8], head_only: bool) -> io::Result<()> {
    write!(stream, "HTTP/1.1 {status} -\r\nContent-Length: {}\r\n\r\n", content.len())?;
    if !head_only {
        stream.write_all(content)?;
    }
    stream.flush()
}

/// Decodes percent-encoding (RFC 3986, 2.1), which apt uses in file names.
fn decoded(path: &str) -> String {
    let mut parts = path.split('%');
    let mut decoded = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        decoded.extend(u8::from_str_radix(digits, 16).ok());
        decoded.extend(rest.as_bytes());
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

/// The name of a tool's asset.
pub fn asset(repo: &str, arch: Arch) -> String {
    format!("{repo}_{VERSION}_linux_{arch}.tar.gz")
}

/// Starts the DNS server. Unknown names do not resolve.
fn names(namespace: &Namespace) -> Child {
    let mut command = namespace.command("dnsmasq");
    command.args(["--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=root"]);
    command.args(["--no-resolv", "--no-hosts", "--bind-interfaces", "--address=/#/"]);
    command.arg(format!("--listen-address={INTERNET}"));
    for name in tls::NAMES.into_iter().chain([MIRROR]) {
        command.arg(format!("--address=/{name}/{INTERNET}"));
    }
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("dnsmasq");
    while !namespace.knock(DNS) {
        assert!(child.try_wait().expect("a process").is_none(), "dnsmasq ended");
    }
    child
}

fn certified() -> Arc<ServerConfig> {
    let (certificate, key) = (testbed::boot("server.pem"), testbed::boot("server.key"));
    // Fails if another test of the process has installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificates: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(certificate).expect("certificates").collect();
    let key = PrivateKeyDer::from_pem_file(key).expect("a key");
    let config =
        ServerConfig::builder().with_no_client_auth().with_single_cert(certificates.expect("PEM"), key);
    Arc::new(config.expect("a key that fits"))
}

fn locked<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
