//! OpenClaw itself is updated in place and goes back, by the VM's own services on this machine: in use by a browser,
//! with its conversations, its migrations, and the seconds without an answer.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use bake::rehearse::metadata::{Instance, Network, SecretError, SecretValue, Secrets, Server};

use crate::support::browser::{self, Visitor};
use crate::support::gateway::{Gateway, support_file};
use crate::support::model::{Model, Question};
use crate::support::openclaw::{DAMAGE, FAIL_MIGRATION, INCOMPLETE, NEW, OLD, SCHEMA, SQL, UNREADABLE};
use crate::support::test;
use crate::support::testbed::{self, Pushed};
use crate::support::{Folder, install, said};

/// The default project's port.
const PORT: u16 = 18789;

/// The environment variable with the model's key.
const KEY: &str = "ABACUS_KEY";

/// Prints the ID of the gateway's container.
const CONTAINER: [&str; 5] =
    ["docker", "ps", "-q", "--no-trunc", "--filter=label=com.docker.compose.project=openclaw"];

/// Lets OpenClaw state another range of supported versions of Node.
const WANT_ANOTHER_NODE: &str = "sed -i 's/\"node\": .*/\"node\": \">=30.2 <31\"/' /app/package.json";

/// The time limit of a change. OpenClaw needs seconds on a free machine.
const PATIENCE: Duration = Duration::from_secs(20 * 60);

#[test]
fn openclaw_is_updated_in_place_and_goes_back() {
    browser::require();
    let model = Model::on(TcpListener::bind((testbed::engine_address("docker-26"), 0)).expect("a port"));
    let folder = Folder::project();
    model.configure(&folder, KEY, "generate: hex32");
    folder.write("images/binaries.yaml", "version: 1\nbinaries: []\n");
    folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    folder.edit("bake.yaml", "ask_after_update: false", "ask_after_update: true");
    run(&folder, &image(OLD, "previous"));
    let vm = Vm::start(folder);
    vm.until("its first start", |report| report.is("status", "start"));
    model.expect(&vm.gateway.secret(KEY));
    vm.until("a gateway", |report| report.is("status", "ready"));

    let profile = tempfile::tempdir().expect("a temporary folder");
    let visitor = Visitor {
        namespace: &vm.gateway.namespace,
        screenshots: testbed::artifacts("browser-update"),
        profile: profile.path().to_owned(),
        page: format!("localhost:{PORT}"),
    };
    let questions: Vec<_> =
        (0..6).map(|count| Question(2003 + count, u64::from(std::process::id()))).collect();
    visitor.log_in(&vm.gateway.secret("OPENCLAW_GATEWAY_TOKEN"), questions[0]);

    let (unfit, _unfit) = changed("unfit", WANT_ANOTHER_NODE);
    let unfit = vm.gateway.bundle(|folder| run(folder, &unfit));
    let (damaged, _damaged) = changed("damaged", DAMAGE);
    let damaged = vm.gateway.bundle(|folder| run(folder, &damaged));
    let (failing, _failing) = changed("failing", FAIL_MIGRATION);
    let failing = vm.gateway.bundle(|folder| run(folder, &failing));
    let new = vm.gateway.bundle(|folder| run(folder, &image(NEW, "real")));

    let container = vm.gateway.run(CONTAINER).done().out;
    let report = vm.change(&unfit, "update=0", "refused");
    assert!(
        report.text("update_error").contains("needs Node >=30.2 <31, and its image has 24."),
        "{report:?}"
    );
    assert_eq!(vm.gateway.run(CONTAINER).done().out, container, "the gateway was stopped");

    let before = vm.sql(SCHEMA);
    let report = vm.change(&damaged, "update=1", "rolled-back");
    assert!(report.text("update_error").contains(UNREADABLE), "{report:?}");
    vm.until("the old gateway", |report| {
        report.is("status", "ready")
            && report.text("releases").contains(&format!(" failed: start: {UNREADABLE}"))
    });
    assert_eq!((vm.version(), vm.sql(SCHEMA)), (OLD.to_owned(), before.clone()));

    let report = vm.change(&failing, "update=2", "rolled-back");
    assert!(report.text("update_error").contains(INCOMPLETE), "{report:?}");
    vm.until("the old gateway", |report| report.is("status", "ready"));
    assert_eq!((vm.version(), vm.sql(SCHEMA)), (OLD.to_owned(), before.clone()));

    model.requests();
    let update = vm.outage(|| {
        vm.change(&new, "update=3", "done");
    });
    assert!(model.requests() > 0, "the trial asked");
    assert_eq!(vm.version(), NEW);
    assert_ne!(vm.sql(SCHEMA), before, "nothing was migrated");
    visitor.continue_after(questions[0], questions[1], None);
    let restart = vm.outage(|| {
        vm.restart();
    });
    println!(
        "without an answer: {:.1} s in an update, {:.1} s in a restart of the new gateway, {:.2} times as long",
        update.as_secs_f64(),
        restart.as_secs_f64(),
        update.as_secs_f64() / restart.as_secs_f64()
    );

    let key = vm.gateway.secret(KEY);
    model.expect("another key");
    let ask =
        "import sys; sys.path.insert(0, '/usr/local/lib/openclaw'); import release; print(release.ask())";
    let unanswered = vm.gateway.run(["python3", "-c", ask]).done().out;
    assert!(unanswered.contains("HTTP 401"), "{unanswered}");
    model.expect(&key);

    vm.change(&new, "rollback=4", "done");
    assert_eq!(vm.version(), OLD);
    visitor.continue_after(questions[0], questions[2], Some(questions[1]));
}

/// Makes `image` the base image of the project.
fn run(folder: &Folder, image: &str) {
    let spec = folder.read("bake.yaml");
    let line = spec.lines().find(|line| line.starts_with("  image: ")).expect("a base image");
    folder.edit("bake.yaml", line, &format!("  image: {image}")).lock(&[]);
}

/// OpenClaw in the registry on loopback, by the name of its digest's file.
fn image(version: &str, name: &str) -> String {
    let digest = fs::read_to_string(testbed::boot(&format!("{name}.digest"))).expect("a digest");
    format!("{}/openclaw/openclaw:{version}@{}", testbed::registry(), digest.trim())
}

/// OpenClaw [`NEW`] after the command `change`, in the registry on loopback until `Pushed` is dropped.
fn changed(name: &str, change: &str) -> (String, Pushed) {
    let pushed = Pushed(format!("{}/openclaw/{name}-{}:{NEW}", testbed::registry(), std::process::id()));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dockerfile = format!("FROM {}\nUSER root\nRUN {change}\nUSER node\n", image(NEW, "real"));
    fs::write(folder.path().join("Dockerfile"), dockerfile).expect("a file");
    let docker = |arguments: &[&str]| {
        said(testbed::tool("docker-26").current_dir(folder.path()).args(arguments)).done().out
    };
    docker(&["build", "--quiet", "--tag", &pushed.0, "."]);
    docker(&["push", "--quiet", &pushed.0]);
    let digest = docker(&["image", "inspect", "--format", "{{index .RepoDigests 0}}", &pushed.0]);
    docker(&["image", "rm", &pushed.0]);
    let (_, digest) = digest.trim().split_once('@').expect("a digest");
    (format!("{}@{digest}", pushed.0), pushed)
}

/// A VM whose services run, and its metadata.
struct Vm {
    gateway: Gateway,
    metadata: Server,
    services: Child,
}

/// The VM's guest attributes.
#[derive(Debug)]
struct Report(BTreeMap<String, String>);

impl Report {
    fn text(&self, key: &str) -> &str {
        self.0.get(key).map_or("", String::as_str)
    }

    fn is(&self, key: &str, value: &str) -> bool {
        self.text(key) == value
    }

    /// The change for `request` has ended.
    fn answers(&self, request: &str) -> bool {
        let ends = ["done", "rolled-back", "refused"];
        self.is("update_request", request) && ends.iter().any(|end| self.is("update", end))
    }
}

struct NoSecrets;

impl Secrets for NoSecrets {
    fn read(&self, _name: &str) -> Result<SecretValue, SecretError> {
        Err(SecretError::Missing)
    }
}

impl Vm {
    fn start(folder: Folder) -> Self {
        let gateway = Gateway::place(folder, PORT);
        let metadata = Server::start(instance(), NoSecrets, mpsc::channel().0).expect("a server");
        let port = gateway.namespace.forward(0, metadata.address());
        install(support_file("systemctl"), "", &gateway.file("/usr/local/bin/systemctl"));
        // As the user-data ends.
        let applied = "mkdir -p /var/lib/openclaw-boot && touch /var/lib/openclaw-boot/applied /run/serial";
        gateway.run(["sh", "-c", applied]).done();
        let mut services = gateway.enter();
        // They end with their namespace, also if this test is killed.
        services.args(["setpriv", "--pdeathsig", "KILL"]);
        services.args(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        services.arg("env").arg(format!("OPENCLAW_METADATA_URL=http://127.0.0.1:{port}"));
        services.arg(support_file("services")).stdin(Stdio::null());
        let services = services.spawn().expect("services");
        let vm = Self { gateway, metadata, services };
        vm.set(&vm.gateway.bundle(|_| ()), "");
        vm
    }

    /// Sets the VM's metadata.
    fn set(&self, user_data: &str, request: &str) {
        let values =
            [("enable-guest-attributes", "TRUE"), ("user-data", user_data), ("openclaw-request", request)];
        let values = values.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.metadata.set_attributes(BTreeMap::from(values));
    }

    /// Sets the VM's metadata, and waits until its request has ended as `end`.
    #[track_caller]
    fn change(&self, user_data: &str, request: &str, end: &str) -> Report {
        self.set(user_data, request);
        let report = self.until(request, |report| report.answers(request));
        assert!(report.is("update", end), "{report:?}\n{}", self.log());
        report
    }

    /// Restarts the service of the gateway.
    #[track_caller]
    fn restart(&self) {
        let namespaces = format!("/proc/{}/ns", self.services.id());
        let mut enter = self.gateway.namespace.command("nsenter");
        enter.arg(format!("--mount={namespaces}/mnt")).arg(format!("--pid={namespaces}/pid_for_children"));
        enter.args(["/usr/local/bin/systemctl", "restart", "openclaw-gateway.service"]);
        said(&mut enter).done();
    }

    /// Runs a statement in the database of the gateway's agent. Returns its rows.
    #[track_caller]
    fn sql(&self, statement: &str) -> String {
        let database = "/var/lib/openclaw/config/agents/main/agent/openclaw-agent.sqlite";
        self.gateway.run(["python3", "-c", SQL, database, statement]).done().out
    }

    /// The version of the gateway that runs.
    #[track_caller]
    fn version(&self) -> String {
        let said = self.gateway.run_inside("node -p 'require(\"/app/package.json\").version'").done();
        said.out.trim_end().to_owned()
    }

    #[track_caller]
    fn until(&self, what: &str, is_there: impl Fn(&Report) -> bool) -> Report {
        let end = Instant::now() + PATIENCE;
        loop {
            let report = Report(self.metadata.guest_attributes().remove("openclaw").unwrap_or_default());
            if is_there(&report) {
                return report;
            }
            assert!(Instant::now() < end, "no {what}: {report:?}\n{}", self.log());
            thread::sleep(Duration::from_millis(200));
        }
    }

    fn log(&self) -> String {
        let log = "tail -n 60 /run/serial /run/openclaw-*.log; cd /opt/openclaw && docker compose logs --no-color --tail 40";
        self.gateway.run(["sh", "-c", log]).out
    }

    /// The longest time without an answer of a started gateway, from outside, while `change` runs and until the
    /// gateway answers.
    fn outage(&self, change: impl FnOnce()) -> Duration {
        let over = AtomicBool::new(false);
        let published = self.gateway.published;
        thread::scope(|scope| {
            let watch = scope.spawn(|| {
                let (mut last, mut longest, mut answers) = (Instant::now(), Duration::ZERO, 0);
                // A restart takes a moment to stop the gateway.
                while !over.load(Ordering::Relaxed) || longest < Duration::from_secs(1) || answers < 10 {
                    let asked = Instant::now();
                    if has_started(published) {
                        longest = longest.max(last.elapsed());
                        last = asked;
                        answers += 1;
                    } else {
                        answers = 0;
                    }
                    thread::sleep(Duration::from_millis(100));
                }
                longest
            });
            change();
            over.store(true, Ordering::Relaxed);
            watch.join().expect("a duration")
        })
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.services.kill();
        let _ = self.services.wait();
    }
}

/// Whether the gateway answers that it has started.
fn has_started(address: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        stream.write_all(b"GET /startupz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    ask().is_ok_and(|answer| answer.contains("\"started\""))
}

fn instance() -> Instance {
    Instance {
        id: 4_567_890_123_456_789_123,
        name: "gateway".to_owned(),
        project_id: "my-project".to_owned(),
        project_number: 123_456_789_012,
        zone: "us-central1-a".to_owned(),
        machine_type: "e2-small".to_owned(),
        image: "projects/debian-cloud/global/images/debian-13".to_owned(),
        service_account: None,
        attributes: BTreeMap::from([("enable-guest-attributes".to_owned(), "TRUE".to_owned())]),
        project_attributes: BTreeMap::new(),
        tags: Vec::new(),
        disks: vec!["boot".to_owned()],
        network: Network {
            ip: Ipv4Addr::new(10, 128, 0, 2),
            subnetmask: Ipv4Addr::new(255, 255, 240, 0),
            gateway: Ipv4Addr::new(10, 128, 0, 1),
            dns: Ipv4Addr::new(169, 254, 169, 254),
            mac: "42:01:0a:80:00:02".to_owned(),
            external_ip: None,
        },
    }
}
