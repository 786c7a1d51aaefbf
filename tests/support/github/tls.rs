//! The server under GitHub's own names, behind a proxy, with certificates from a throw-away
//! authority.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::thread;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::wire::{Host, Request};
use super::{GitHub, Shared, locked};
use crate::support::testbed;

/// The names, in the order of [`Host`].
pub const NAMES: [&str; 4] =
    ["api.github.com", "github.com", "release-assets.githubusercontent.com", "ghcr.io"];

/// The server and its proxy.
pub struct Proxied {
    pub github: GitHub,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Proxied {
    /// `None` if the machine cannot create certificates.
    pub fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = Arc::new(certified(folder.path()));
        let mut github = GitHub::with_origins(NAMES.map(|name| format!("https://{name}")));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = listener.local_addr().expect("an address");
        github.addresses.push(address);
        let shared = Arc::clone(&github.shared);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if locked(&shared.state).closing {
                    break;
                }
                let (shared, config) = (Arc::clone(&shared), Arc::clone(&config));
                // Ignore clients that hang up early.
                thread::spawn(move || connected(stream, &shared, config).unwrap_or_default());
            }
        });
        Self { github, address, folder }
    }

    /// The value for `HTTPS_PROXY`.
    pub fn proxy(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The value for `SSL_CERT_FILE`.
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }
}

/// Serves the host that a CONNECT request names (RFC 9110, 9.3.6).
fn connected(mut stream: TcpStream, shared: &Shared, config: Arc<ServerConfig>) -> std::io::Result<()> {
    let Some(connect) = Request::read(&mut stream, Host::Web)? else { return Ok(()) };
    let name = connect.target.trim_end_matches(":443");
    let Some(host) = Host::ALL.into_iter().zip(NAMES).find(|(_, known)| *known == name) else {
        return stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n");
    };
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
    let connection = ServerConnection::new(config).map_err(std::io::Error::other)?;
    shared.serve(&mut StreamOwned::new(connection, stream), host.0)
}

/// Creates an authority in `folder` and a certificate for all names.
fn certified(folder: &Path) -> ServerConfig {
    let names: Vec<_> = NAMES.iter().map(|name| format!("DNS:{name}")).collect();
    let alternatives = format!("subjectAltName={}", names.join(","));
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let make = |arguments: &[&str]| {
        let mut openssl: Command = testbed::program("openssl");
        let output = openssl.current_dir(folder).args(["req", "-x509"]).args(key).args(arguments).output();
        let output = output.expect("openssl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    make(&["-subj", "/CN=Throw-away authority", "-keyout", "authority.key", "-out", "authority.pem"]);
    let signed = ["-CA", "authority.pem", "-CAkey", "authority.key"];
    let own = ["-subj", "/CN=github.com", "-keyout", "own.key", "-out", "own.pem"];
    let no_authority = ["-addext", "basicConstraints=critical,CA:FALSE", "-addext", &alternatives];
    make(&[&own[..], &signed, &no_authority].concat());
    // Fails if another test of the process has installed it already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let certificate = CertificateDer::from_pem_file(folder.join("own.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("own.key")).expect("a key");
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate], key);
    config.expect("a key that fits")
}
