//! The metadata server of a rehearsal with its real clients: cloud-init of two Debian releases, Google's
//! guest agent and the VM's scripts. Handwritten requests cover faults that these never cause.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use crate::support::test;
use crate::support::{Said, said, testbed};
use bake::rehearse::Reply;
use bake::rehearse::metadata::{
    AttributeChange, Instance, Network, SecretError, SecretValue, Secrets, Server,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

/// Line endings, quotes, control and non-ASCII characters, and no final newline.
const USER_DATA: &str =
    "#cloud-config\r\n# \u{fc}\u{20ac}\u{1f600} \"'\\ <&>\t\u{7f} %41 \u{feff}\n\n  end without newline";
const SECRET: &str = "sk-\"$\u{fc}\nrest\n";

/// Both servers and their events.
struct Google {
    server: Server,
    changes: Mutex<mpsc::Receiver<AttributeChange>>,
    /// Releases the read of the secret `slow`.
    gate: mpsc::Sender<()>,
}

struct Vault(Mutex<mpsc::Receiver<()>>);

impl Secrets for Vault {
    fn read(&self, name: &str) -> Result<SecretValue, SecretError> {
        match name {
            "openai" => Ok(SecretValue::new(SECRET)),
            "slow" => {
                let _ = self.0.lock().expect("a lock").recv();
                Ok(SecretValue::new("at last"))
            }
            "denied" => Err(SecretError::Denied),
            "broken" => Err(SecretError::Failed),
            "panic" => panic!("as a reader may"),
            _ => Err(SecretError::Missing),
        }
    }
}

fn instance(attributes: &[(&str, &str)]) -> Instance {
    let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    Instance {
        id: 4_567_890_123_456_789_123,
        name: "gateway".to_owned(),
        project_id: "my-project".to_owned(),
        project_number: 123_456_789_012,
        zone: "us-central1-a".to_owned(),
        machine_type: "e2-small".to_owned(),
        image: "projects/debian-cloud/global/images/debian-13".to_owned(),
        service_account: Some("gateway-vm@my-project.iam.gserviceaccount.com".to_owned()),
        attributes: attributes.iter().map(owned).collect(),
        project_attributes: BTreeMap::from([("of-the-project".to_owned(), "yes".to_owned())]),
        tags: vec!["gateway".to_owned()],
        disks: vec!["boot".to_owned(), "gateway-data".to_owned()],
        network: Network {
            ip: Ipv4Addr::new(169, 254, 169, 15),
            subnetmask: Ipv4Addr::new(255, 255, 255, 0),
            gateway: Ipv4Addr::new(169, 254, 169, 2),
            dns: Ipv4Addr::new(169, 254, 169, 3),
            mac: "42:01:0a:80:00:02".to_owned(),
            external_ip: None,
        },
    }
}

impl Google {
    fn of(instance: Instance) -> Self {
        let (sender, changes) = mpsc::channel();
        let (gate, waiting) = mpsc::channel();
        let server = Server::start(instance, Vault(Mutex::new(waiting)), sender).expect("a server");
        Self { server, changes: Mutex::new(changes), gate }
    }

    fn with(attributes: &[(&str, &str)]) -> Self {
        Self::of(instance(attributes))
    }

    /// A VM with guest attributes enabled.
    fn usual() -> Self {
        Self::with(&[("enable-guest-attributes", "TRUE"), ("user-data", USER_DATA)])
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[("Metadata-Flavor", "Google")], b"")
    }

    fn v1(&self, path: &str) -> Answer {
        self.get(&format!("/computeMetadata/v1/{path}"))
    }

    /// The text of a value that must exist.
    #[track_caller]
    fn text(&self, path: &str) -> String {
        let answer = self.v1(path);
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    }

    #[track_caller]
    fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    fn attribute(&self, method: &str, path: &str, body: &[u8]) -> u16 {
        let path = format!("/computeMetadata/v1/instance/guest-attributes/{path}");
        self.ask(method, &path, &[("Metadata-Flavor", "Google")], body).status
    }

    /// The events since the last call.
    fn changes(&self) -> Vec<AttributeChange> {
        self.changes.lock().expect("a lock").try_iter().collect()
    }

    fn token(&self) -> String {
        let token = self.json("instance/service-accounts/default/token");
        token["access_token"].as_str().expect("a token").to_owned()
    }

    fn secret(&self, path: &str) -> Answer {
        let authorization = format!("Bearer {}", self.token());
        self.ask("GET", path, &[("Authorization", &authorization)], b"")
    }

    fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        ask(self.server.address(), method, path, headers, body)
    }
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

impl Answer {
    fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

fn ask(address: SocketAddr, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let mut head =
        format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {}\r\n", body.len());
    if !headers.iter().any(|(name, _)| *name == "Host") {
        head.push_str("Host: metadata.google.internal\r\n");
    }
    for (name, value) in headers {
        write!(head, "{name}: {value}\r\n").expect("a string");
    }
    head.push_str("\r\n");
    let mut stream = TcpStream::connect(address).expect("a connection");
    stream.write_all(head.as_bytes()).expect("a request");
    // The server may refuse a body without reading all of it.
    let _ = stream.write_all(body);
    answer(&mut stream)
}

fn answer(stream: &mut TcpStream) -> Answer {
    let mut bytes = Vec::new();
    if let Err(error) = stream.read_to_end(&mut bytes) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "{error}");
    }
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {}", String::from_utf8_lossy(&bytes)));
    let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    Answer { status, head, body: bytes[end + 4..].to_vec() }
}

/// Runs cloud-init of a Debian release against the server.
fn cloud_init(debian: &str, google: &Google) -> Value {
    let root = testbed::folder().join(debian);
    if !root.exists() {
        testbed::missing(debian);
    }
    let code = include_str!("../support/metadata/cloud-init.py");
    let run =
        said(Command::new("chroot").arg(root).args(["python3", "-I", "-c", code, &google.url()])).done();
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}{}", run.out, run.err))
}

#[test]
fn cloud_init_of_debian_12_and_13_finds_its_data() {
    for debian in ["debian-12", "debian-13"] {
        let google = Google::with(&[
            ("enable-guest-attributes", "TRUE"),
            ("user-data", USER_DATA),
            ("ssh-keys", "cloudinit:ssh-ed25519 AAAA me"),
        ]);
        let found = cloud_init(debian, &google);
        let expected = json!({
            "found": true, "id": "4567890123456789123", "zone": "us-central1-a", "region": "us-central1",
            "hostname": "gateway", "keys": ["ssh-ed25519 AAAA me"],
            "user-data": BASE64_STANDARD.encode(USER_DATA),
        });
        assert_eq!(found, expected, "{debian}");
        let attributes = google.server.guest_attributes();
        assert_eq!(attributes["hostkeys"]["ssh-ed25519"], "AAAAC3Nza", "{debian}");

        let packed = BASE64_STANDARD.encode([0x1f, 0x8b, 0, 255]);
        let google = Google::with(&[("user-data", &packed), ("user-data-encoding", "base64")]);
        let found = cloud_init(debian, &google);
        assert_eq!(found["user-data"], packed, "{debian}");
        assert_eq!(google.server.guest_attributes(), BTreeMap::new(), "{debian}");
    }
}

/// Runs a program of Google's guest agent.
fn in_a_vm(google: &Google, script: &str) -> Said {
    if !testbed::folder().join("guest-agent").exists() {
        testbed::missing("guest-agent");
    }
    let helper = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/metadata/in-a-vm");
    let port = google.server.address().port().to_string();
    // A limit for a test that hangs; no result depends on it.
    said(Command::new("timeout").arg("120").arg(helper).args([&port, "sh", "-c", script]))
}

#[test]
fn google_script_runner_runs_the_startup_script_unchanged() {
    let script = "#!/bin/sh\n# \u{fc} \"'\\ $HOME `id`\ncp \"$0\" /ran\n";
    let google = Google::with(&[("startup-script", script)]);
    let run = in_a_vm(&google, "google_metadata_script_runner startup >&2; cat /ran");
    let run = run.done();
    assert_eq!(run.out, script, "{}", run.err);

    let google = Google::with(&[]);
    let run = in_a_vm(&google, "google_metadata_script_runner startup").done();
    assert!(format!("{}{}", run.out, run.err).contains("No startup scripts to run"), "{run:?}");
}

#[test]
fn google_guest_agent_creates_users_from_ssh_keys() {
    let google = Google::with(&[("ssh-keys", "alice:ssh-ed25519 AAAA alice"), ("enable-oslogin", "FALSE")]);
    let script = "mkdir -p /run/sshd; google_guest_agent >&2 & \
                  until [ -s /home/alice/.ssh/authorized_keys ]; do sleep 0.1; done; \
                  cat /home/alice/.ssh/authorized_keys";
    let run = in_a_vm(&google, script);
    let run = run.done();
    assert!(run.out.contains("ssh-ed25519 AAAA alice"), "{run:?}");
}

#[test]
fn vm_scripts_report_and_read_secrets() {
    let google = Google::usual();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/metadata/vm-scripts");
    let mut command = Command::new(script);
    command.env("OPENCLAW_METADATA_URL", google.url()).env("OPENCLAW_SECRET_MANAGER_URL", google.url());
    let run = said(&mut command);
    if run.code == 77 {
        testbed::missing(&run.out);
    }
    let run = run.done();
    assert!(!format!("{}{}", run.out, run.err).contains("not ok"), "{run:?}");
    let changes = google.changes();
    let mut reply = Reply::default();
    for change in changes.iter().filter(|change| change.namespace != "openclaw") {
        assert!(reply.settled().is_none(), "changes follow the exit code: {changes:?}");
        reply.take(change);
    }
    assert_eq!(reply.settled(), Some(Ok("It is for this.\n\nñ")), "{changes:?}");
    let statuses =
        changes.iter().filter(|change| change.key == "status").filter_map(|change| change.value.as_deref());
    assert_eq!(statuses.collect::<Vec<_>>(), ["image", "ready"]);
}

#[test]
fn every_answer_identifies_the_server() {
    let google = Google::usual();
    for path in ["/", "/computeMetadata/v1/instance/id", "/computeMetadata/v1/instance", "/nowhere"] {
        let answer = google.get(path);
        assert_eq!(answer.header("Metadata-Flavor"), Some("Google"), "{path}");
        assert_eq!(answer.header("Server"), Some("Metadata Server for VM"), "{path}");
    }
    let id = google.v1("instance/id");
    assert_eq!(id.header("Content-Type"), Some("application/text"));
    assert_eq!(id.header("ETag").map(str::len), Some(16));
    assert_eq!(google.v1("instance/id?alt=json").header("Content-Type"), Some("application/json"));
    assert_eq!(google.v1("instance/?recursive=true").header("Content-Type"), Some("application/json"));
    assert_eq!(google.v1("nothing").header("Content-Type"), Some("text/html; charset=UTF-8"));
}

#[test]
fn requests_without_the_flavor_header_or_for_other_hosts_are_refused() {
    let google = Google::usual();
    let id = "/computeMetadata/v1/instance/id";
    let flavor = ("Metadata-Flavor", "Google");
    let forwarded = ("X-Forwarded-For", "192.0.2.1");
    let status = |path, headers: &[_]| google.ask("GET", path, headers, b"").status;
    assert_eq!(status(id, &[]), 403);
    assert_eq!(status(id, &[("Metadata-Flavor", "google")]), 403);
    assert_eq!(status(id, &[flavor, forwarded]), 403);
    assert_eq!(status("/?recursive=true", &[]), 403);
    assert_eq!(status("/", &[]), 200);
    for host in [
        "metadata.google.internal",
        "Metadata.Google.Internal.",
        "169.254.169.254:80",
        "[::1]:8",
        "localhost:9",
    ] {
        assert_eq!(status(id, &[flavor, ("Host", host)]), 200, "{host}");
    }
    for host in ["evil.example", "metadata.google.internal.evil.example", "a@b", ""] {
        assert_eq!(status(id, &[flavor, ("Host", host)]), 403, "{host}");
    }
    let secret = "/v1/projects/my-project/secrets/openai/versions/latest:access";
    let authorization = format!("Bearer {}", google.token());
    assert_eq!(status(secret, &[("Authorization", &authorization), ("Host", "evil.example")]), 403);
    assert_eq!(google.ask("POST", id, &[flavor], b"").status, 405);
    assert_eq!(google.ask("PUT", id, &[flavor], b"x").status, 405);
    assert_eq!(google.ask("OPTIONS", id, &[flavor], b"").status, 405);
}

#[test]
fn lists_directories_and_returns_values_unchanged() {
    let google = Google::usual();
    assert_eq!(google.get("/").text(), "computeMetadata/\n");
    assert_eq!(google.get("/computeMetadata/").text(), "v1/\n");
    assert_eq!(google.text(""), "instance/\nproject/\n");
    assert_eq!(google.text("project/"), "attributes/\nnumeric-project-id\nproject-id\n");
    assert_eq!(google.text("instance/attributes/"), "enable-guest-attributes\nuser-data\n");
    assert_eq!(google.text("instance/disks/"), "0/\n1/\n");
    assert_eq!(google.text("instance/disks/?alt=json"), "0/\n1/\n");
    let account = "instance/service-accounts/default/";
    assert_eq!(google.text(account), "aliases\nemail\nscopes\ntoken\n");
    for (path, value) in [
        ("project/project-id", "my-project"),
        ("project/numeric-project-id", "123456789012"),
        ("project/attributes/of-the-project", "yes"),
        ("instance/id", "4567890123456789123"),
        ("instance/name", "gateway"),
        ("instance/hostname", "gateway.us-central1-a.c.my-project.internal"),
        ("instance/zone", "projects/123456789012/zones/us-central1-a"),
        ("instance/machine-type", "projects/123456789012/machineTypes/e2-small"),
        ("instance/image", "projects/debian-cloud/global/images/debian-13"),
        ("instance/tags", "[\"gateway\"]"),
        ("instance/tags?alt=text", "gateway\n"),
        ("instance/disks/1/device-name", "gateway-data"),
        ("instance/disks/1/index", "1"),
        ("instance/network-interfaces/0/ip", "169.254.169.15"),
        ("instance/network-interfaces/0/access-configs/0/external-ip", ""),
        ("instance/service-accounts/default/scopes", "https://www.googleapis.com/auth/cloud-platform\n"),
        ("instance/service-accounts/gateway-vm%40my-project.iam.gserviceaccount.com/aliases", "default\n"),
        ("instance/name?alt=json", "\"gateway\""),
        ("instance/attributes/user-data", USER_DATA),
    ] {
        assert_eq!(google.text(path), value, "{path}");
    }
    for path in ["instance/id/", "instance/nothing", "instance/disks/2/", "instance/disks/01/", "v1"] {
        assert_eq!(google.v1(path).status, 404, "{path}");
    }
    let moved = google.v1("instance?recursive=true");
    assert_eq!(
        (moved.status, moved.header("Location")),
        (301, Some("/computeMetadata/v1/instance/?recursive=true"))
    );
    let head = google.ask("HEAD", "/computeMetadata/v1/instance/name", &[("Metadata-Flavor", "Google")], b"");
    assert_eq!((head.status, head.header("Content-Length"), &*head.body), (200, Some("7"), &b""[..]));
    assert_eq!(google.v1("instance/id?alt=yaml").status, 400);
}

#[test]
fn recursive_answers_are_json_with_google_key_names() {
    let google = Google::usual();
    let all = google.json("?recursive=true");
    assert_eq!(all["project"]["numericProjectId"], 123_456_789_012_i64);
    assert_eq!(all["project"]["attributes"], json!({"of-the-project": "yes"}));
    let instance = &all["instance"];
    assert_eq!(instance["id"], 4_567_890_123_456_789_123_i64);
    assert_eq!(instance["machineType"], "projects/123456789012/machineTypes/e2-small");
    assert_eq!(instance["attributes"]["user-data"], USER_DATA);
    assert_eq!(instance["guestAttributes"], json!({}));
    assert_eq!(instance["disks"][1]["deviceName"], "gateway-data");
    assert_eq!(instance["networkInterfaces"][0]["dnsServers"], json!(["169.254.169.3"]));
    let account = &instance["serviceAccounts"]["gateway-vm@my-project.iam.gserviceaccount.com"];
    assert_eq!(account["scopes"], json!(["https://www.googleapis.com/auth/cloud-platform"]));
    assert!(!all.to_string().contains(&google.token()), "only a request by name returns a token");
    assert_eq!(google.json("instance/attributes/?recursive=True"), instance["attributes"]);
    let lines = google.text("instance/scheduling/?recursive=true&alt=text");
    assert_eq!(lines, "automatic-restart TRUE\non-host-maintenance MIGRATE\npreemptible FALSE\n");

    let without = Google::of(Instance { service_account: None, ..self::instance(&[]) });
    assert_eq!(without.text("instance/service-accounts/"), "");
    assert_eq!(without.v1("instance/service-accounts/default/token").status, 404);
}

#[test]
fn vms_can_set_guest_attributes() {
    let google = Google::usual();
    assert_eq!(google.attribute("PUT", "openclaw/status", b"image"), 200);
    assert_eq!(google.attribute("PUT", "openclaw/error", b""), 200);
    assert_eq!(google.attribute("PUT", "hostkeys/ssh-rsa", "\u{fc}\n".as_bytes()), 200);
    assert_eq!(google.text("instance/guest-attributes/"), "hostkeys/\nopenclaw/\n");
    assert_eq!(google.text("instance/guest-attributes/openclaw/"), "error\nstatus\n");
    assert_eq!(google.text("instance/guest-attributes/hostkeys/ssh-rsa"), "\u{fc}\n");
    let all = google.json("instance/guest-attributes/?recursive=true");
    assert_eq!(
        all,
        json!({"hostkeys": {"ssh-rsa": "\u{fc}\n"}, "openclaw": {"error": "", "status": "image"}})
    );
    assert_eq!(google.attribute("DELETE", "hostkeys/ssh-rsa", b""), 200);
    assert_eq!(google.attribute("DELETE", "hostkeys/ssh-rsa", b""), 404);
    assert_eq!(google.attribute("GET", "hostkeys/", b""), 404);
    assert_eq!(google.server.guest_attributes()["openclaw"]["status"], "image");
    let change = |namespace: &str, key: &str, value: Option<&str>| AttributeChange {
        namespace: namespace.to_owned(),
        key: key.to_owned(),
        value: value.map(str::to_owned),
    };
    let changes = google.changes();
    let expected = [
        change("openclaw", "status", Some("image")),
        change("openclaw", "error", Some("")),
        change("hostkeys", "ssh-rsa", Some("\u{fc}\n")),
        change("hostkeys", "ssh-rsa", None),
    ];
    assert_eq!(changes, expected);
}

#[test]
fn a_change_of_the_metadata_ends_the_wait_for_one() {
    let google = Google::usual();
    let attributes = "instance/attributes/?recursive=true";
    let before = google.v1(attributes);
    let known = before.header("ETag").expect("an ETag").to_owned();
    let wait = format!("{attributes}&wait_for_change=true&last_etag={known}");
    // Without a change, the wait ends after its timeout.
    assert_eq!(google.v1(&format!("{wait}&timeout_sec=1")).header("ETag"), Some(&*known));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| google.v1(&format!("{wait}&timeout_sec=60")));
        assert_eq!(google.attribute("PUT", "a/b", b"of the VM, and no change of these"), 200);
        let new = [("enable-guest-attributes", "FALSE"), ("openclaw-request", "rollback=1")];
        google
            .server
            .set_attributes(new.map(|(key, value)| (key.to_owned(), value.to_owned())).into_iter().collect());
        let after = waiting.join().expect("an answer");
        assert_eq!(
            after.json(),
            json!({"enable-guest-attributes": "FALSE", "openclaw-request": "rollback=1"})
        );
        assert_ne!(after.header("ETag"), Some(&*known));
        assert_eq!(google.attribute("PUT", "a/b", b"x"), 403);
    });
}

#[test]
fn guest_attributes_have_limits() {
    let google = Google::usual();
    let longest = vec![b'x'; 256 * 1024];
    assert_eq!(google.attribute("PUT", "a/longest", &longest), 200);
    assert_eq!(google.attribute("PUT", "a/longer", &[&longest[..], b"x"].concat()), 413);
    assert_eq!(google.attribute("PUT", "a/bytes", b"\xff\xfe"), 400);
    let name = "n".repeat(127);
    assert_eq!(google.attribute("PUT", &format!("{name}/{name}"), b"x"), 200);
    for path in ["a", "a/", "a/b/", "a/b/c", "a/b%2Fc", "a/..", "a/b%20c", &format!("a/{name}n")] {
        assert_eq!(google.attribute("PUT", path, b"x"), 400, "{path}");
    }
    let keys: Vec<_> = google.changes().into_iter().map(|change| change.key).collect();
    assert_eq!(keys, ["longest", &name]);

    let without = Google::with(&[("enable-guest-attributes", "FALSE")]);
    for method in ["GET", "PUT", "DELETE"] {
        assert_eq!(without.attribute(method, "a/b", b"x"), 403, "{method}");
    }
    assert_eq!(
        without.v1("instance/guest-attributes/").text(),
        "Guest attributes endpoint access is disabled.\n"
    );
    assert_eq!(without.changes().len(), 0);
}

#[test]
fn waiting_requests_see_changes_and_do_not_block_others() {
    let google = Google::usual();
    assert_eq!(google.attribute("PUT", "a/b", b"before"), 200);
    let path = "instance/guest-attributes/a/b?wait_for_change=true";
    let etag = google.v1("instance/guest-attributes/a/b").header("ETag").map(str::to_owned).expect("an ETag");

    // An unknown ETag and an expired wait both return the current value.
    assert_eq!(google.text(&format!("{path}&last_etag=NONE")), "before");
    assert_eq!(google.text(&format!("{path}&last_etag={etag}&timeout_sec=0")), "before");
    assert_eq!(google.text(&format!("{path}&timeout_sec=1")), "before");
    assert_eq!(google.v1(&format!("{path}&timeout_sec=soon")).status, 400);
    assert_eq!(google.v1("instance/nothing?wait_for_change=true").status, 404);

    // A single-threaded server would block on the waits and never see the changes.
    let waits = [format!("{path}&last_etag={etag}&timeout_sec=600"), format!("{path}&last_etag={etag}")];
    let mut waiting: Vec<_> = waits
        .iter()
        .map(|path| {
            let mut stream = TcpStream::connect(google.server.address()).expect("a connection");
            let head = "Host: metadata\r\nMetadata-Flavor: Google\r\nConnection: close";
            write!(stream, "GET /computeMetadata/v1/{path} HTTP/1.1\r\n{head}\r\n\r\n").expect("a request");
            stream
        })
        .collect();
    assert_eq!(google.attribute("PUT", "other/c", b"x"), 200);
    assert_eq!(google.attribute("PUT", "a/b", b"after"), 200);
    for stream in &mut waiting {
        assert_eq!(answer(stream).text(), "after");
    }
}

#[test]
fn shutdown_ends_waiting_requests() {
    let google = Google::usual();
    let address = google.server.address();
    let mut stream = TcpStream::connect(address).expect("a connection");
    let path = "/computeMetadata/v1/instance/?recursive=true&wait_for_change=true";
    write!(stream, "GET {path} HTTP/1.1\r\nMetadata-Flavor: Google\r\n\r\n").expect("a request");
    google.text("instance/id");
    drop(google);
    let mut rest = Vec::new();
    // Closed or reset.
    let _ = stream.read_to_end(&mut rest);
    assert_eq!(rest, b"");
    // A process that another test is starting holds an inherited copy of the listener for a moment.
    let is_refused = || {
        thread::sleep(Duration::from_millis(20));
        let attempt = TcpStream::connect_timeout(&address, Duration::from_secs(1));
        attempt.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
    };
    assert!((0..100).any(|_| is_refused()));
}

#[test]
fn secret_manager_uses_google_error_messages() {
    let google = Google::usual();
    let path = |project: &str, secret: &str, version: &str| {
        format!("/v1/projects/{project}/secrets/{secret}/versions/{version}:access")
    };
    for (project, version) in [("my-project", "latest"), ("123456789012", "1")] {
        let answer = google.secret(&path(project, "openai", version));
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("Content-Type"), Some("application/json; charset=UTF-8"));
        let expected = json!({
            "name": "projects/123456789012/secrets/openai/versions/1",
            "payload": {"data": BASE64_STANDARD.encode(SECRET)},
        });
        assert_eq!(answer.json(), expected);
    }
    for (path, code, status, message) in [
        (
            path("my-project", "no", "latest"),
            404,
            "NOT_FOUND",
            "Secret [projects/123456789012/secrets/no] not found or has no versions.",
        ),
        (
            path("my-project", "openai", "7"),
            404,
            "NOT_FOUND",
            "Secret Version [projects/123456789012/secrets/openai/versions/7] not found.",
        ),
        (
            path("other", "openai", "latest"),
            403,
            "PERMISSION_DENIED",
            "Permission 'secretmanager.versions.access' denied for resource 'projects/other/secrets/openai/versions/latest' (or it may not exist).",
        ),
        (
            path("my-project", "denied", "1"),
            403,
            "PERMISSION_DENIED",
            "Permission 'secretmanager.versions.access' denied for resource 'projects/my-project/secrets/denied/versions/1' (or it may not exist).",
        ),
        (path("my-project", "broken", "latest"), 503, "UNAVAILABLE", "The service is currently unavailable."),
        (path("my-project", "panic", "latest"), 503, "UNAVAILABLE", "The service is currently unavailable."),
        (
            path("my-project", "..%2F..%2Fshadow", "latest"),
            400,
            "INVALID_ARGUMENT",
            "The resource name is not in a valid format.",
        ),
        (
            path("my-project", "openai", "newest"),
            400,
            "INVALID_ARGUMENT",
            "The resource name is not in a valid format.",
        ),
    ] {
        let answer = google.secret(&path);
        assert_eq!(answer.status, code, "{path}");
        assert_eq!(
            answer.json(),
            json!({"error": {"code": code, "message": message, "status": status}}),
            "{path}"
        );
    }
    let latest = path("my-project", "openai", "latest");
    for authorization in ["", "Bearer ", "Bearer ya29.other", &google.token()] {
        let answer = google.ask("GET", &latest, &[("Authorization", authorization)], b"");
        assert_eq!(answer.status, 401, "{authorization}");
        assert_eq!(answer.json()["error"]["status"], "UNAUTHENTICATED");
    }
    assert_eq!(google.secret("/v1/projects/my-project/secrets/openai").status, 404);

    let without = Google::of(Instance { service_account: None, ..instance(&[]) });
    assert_eq!(without.ask("GET", &latest, &[("Authorization", "Bearer x")], b"").status, 401);
}

#[test]
fn a_slow_secret_does_not_block_other_requests() {
    let google = Google::usual();
    let path = "/v1/projects/my-project/secrets/slow/versions/latest:access";
    thread::scope(|scope| {
        let slow = scope.spawn(|| google.secret(path).status);
        for _ in 0..50 {
            google.text("instance/id");
        }
        google.gate.send(()).expect("a reader");
        assert_eq!(slow.join().expect("an answer"), 200);
    });
}

#[test]
fn concurrent_reads_and_writes_succeed() {
    let google = Google::usual();
    thread::scope(|scope| {
        for thread in 0..8 {
            let google = &google;
            scope.spawn(move || {
                for turn in 0..25 {
                    assert_eq!(google.attribute("PUT", &format!("many/k{thread}-{turn}"), b"x"), 200);
                    assert_eq!(google.text("instance/attributes/user-data"), USER_DATA);
                }
            });
        }
    });
    assert_eq!(google.server.guest_attributes()["many"].len(), 200);
    assert_eq!(google.changes().len(), 200);
}

#[test]
fn malformed_requests_are_refused_and_later_ones_served() {
    let google = Google::usual();
    let raw = |request: &str, hang_up: bool| {
        let mut stream = TcpStream::connect(google.server.address()).expect("a connection");
        let _ = stream.write_all(request.as_bytes());
        if hang_up {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).lines().next().unwrap_or_default().to_owned()
    };
    let put = "PUT /computeMetadata/v1/instance/guest-attributes/a/b HTTP/1.1\r\nMetadata-Flavor: Google\r\n";
    let long = "x".repeat(2_000_000);
    let get =
        |path: &str| format!("GET {path} HTTP/1.1\r\nMetadata-Flavor: Google\r\nConnection: close\r\n\r\n");
    for (request, status) in [
        ("nonsense\r\n\r\n".to_owned(), "400 Bad Request"),
        (get("/computeMetadata/v1/%ff%fe%zz"), "404 Not Found"),
        (get("/computeMetadata/v1/../../etc/passwd"), "404 Not Found"),
        (get("*"), "404 Not Found"),
    ] {
        assert_eq!(raw(&request, false), format!("HTTP/1.1 {status}"), "{request}");
    }
    assert_eq!(raw("", true), "");
    for (request, status) in [
        (get(&format!("/{long}")), "431 Request Header Fields Too Large"),
        (format!("GET / HTTP/1.1\r\nX: {long}\r\n\r\n"), "431 Request Header Fields Too Large"),
        (format!("{put}Content-Length: 99999999999\r\n\r\n{long}"), "413 Payload Too Large"),
        (format!("{put}Transfer-Encoding: chunked\r\n\r\n200000\r\n{long}"), "413 Payload Too Large"),
        // The body ends early.
        (format!("{put}Content-Length: 100\r\n\r\nshort"), "400 Bad Request"),
    ] {
        let said = raw(&request, true);
        // After a flood, or if the client closes first, the answer may be lost.
        assert!(said.is_empty() || said == format!("HTTP/1.1 {status}"), "{said}");
    }
    assert_eq!(google.text("instance/id"), "4567890123456789123");
    assert_eq!(google.server.guest_attributes(), BTreeMap::new());
}
