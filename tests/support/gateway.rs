//! The real gateway without a VM: runs the VM's scripts on the rendered user-data with the testbed's Docker and
//! OpenClaw from npm. The VM's folders are below a temporary one, and its loopback interface is in a namespace.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use super::namespace::Namespace;
use super::{Folder, Said, said, testbed};

/// The stages of `converge.sh` that are left out. The image exists already.
const LEFT_OUT: [&str; 2] = ["image.sh", "verify.sh"];

/// The beginning of each Compose project's name; the test's process ID follows.
const PREFIX: &str = "bake-gateway-";

/// The maximum number of attempts per stage.
const ATTEMPTS: u32 = 5;

/// A gateway that runs until it is dropped.
pub struct Gateway {
    /// The gateway listens on 127.0.0.1 in here, as on the VM.
    pub namespace: Namespace,
    /// The gateway's published address on this machine.
    pub published: SocketAddr,
    /// The gateway's port on the VM.
    port: u16,
    folder: Folder,
    /// The name of the Compose project and of its images, unique on this machine.
    project: String,
}

impl Gateway {
    /// Runs the stages for the project in `folder`, which has to publish the gateway on port `port`.
    ///
    /// # Panics
    /// If a stage fails.
    #[track_caller]
    pub fn start(folder: Folder, port: u16) -> Self {
        let digest = fs::read_to_string(testbed::boot("real.digest")).expect("a digest");
        let image = format!("{}/openclaw/openclaw@{}", testbed::registry(), digest.trim());
        Self::start_with(folder, &image, port, |_| ())
    }

    /// Like [`Gateway::start`], but with `image` in place of the image that the VM would build. `prepare` may change
    /// the VM's files before the first stage.
    ///
    /// # Panics
    /// If a stage fails.
    #[track_caller]
    pub fn start_with(folder: Folder, image: &str, port: u16, prepare: impl FnOnce(&Path)) -> Self {
        let gateway = Self::place(folder, port);
        prepare(&gateway.folder.join("vm"));
        let settings = gateway.folder.read("vm/opt/openclaw/settings.env");
        let tag = settings.lines().find_map(|line| line.strip_prefix("OPENCLAW_IMAGE="));
        let mut pull = testbed::tool("docker-26");
        said(pull.args(["pull", "--quiet", image])).done();
        let mut rename = testbed::tool("docker-26");
        said(rename.args(["tag", image, tag.expect("an image").trim_matches('\'')])).done();
        gateway.converge();
        gateway
    }

    /// The VM's files for the project in `folder`, before the first stage.
    #[track_caller]
    pub fn place(folder: Folder, port: u16) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        static LEFTOVERS: Once = Once::new();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let project = format!("{PREFIX}{}-{number}", std::process::id());
        LEFTOVERS.call_once(remove_leftovers);
        folder.edit("bake.yaml", "data_disk: 10GB", "data_disk: 0").edit(
            "bake.yaml",
            "snapshots: {keep_days: 14}",
            "snapshots: null",
        );
        // The image takes the project's name.
        let spec = folder.read("bake.yaml");
        let name = spec.lines().find(|line| line.starts_with("name: ")).expect("a name");
        folder.edit("bake.yaml", name, &format!("name: {project}"));
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let published = free.local_addr().expect("an address");
        let gateway = Self { namespace: Namespace::new(), published, port, folder, project };
        gateway.user_data(&[]);
        let wrapper = fs::read_to_string(support_file("docker")).expect("a script");
        let docker = testbed::folder().join("bin/docker-26").display().to_string();
        let wrapper = wrapper.replace("@PROJECT@", &gateway.project).replace("@DOCKER@", &docker);
        gateway.folder.program("vm/usr/local/bin/docker", &wrapper);
        gateway.namespace.forward(port, published);
        gateway
    }

    /// Renders the project and places its files, or returns them as user-data with `--print`.
    #[track_caller]
    fn user_data(&self, options: &[&str]) -> String {
        self.folder.bake(["render"]).done();
        let mut place = Command::new(support_file("place"));
        place.args(options).arg(self.folder.join("out/user-data.yaml")).arg(self.folder.join("vm"));
        said(place.args([self.port.to_string(), self.published.port().to_string()])).done().out
    }

    /// The project as the VM's metadata has it, after `change`.
    #[track_caller]
    pub fn bundle(&self, change: impl FnOnce(&Folder)) -> String {
        change(&self.folder);
        self.user_data(&["--print"])
    }

    /// Runs the stages again, as the VM does when the gateway is down.
    ///
    /// # Panics
    /// If a stage fails.
    #[track_caller]
    pub fn converge(&self) {
        let converge = self.folder.read("vm/usr/local/lib/openclaw/converge.sh");
        let stages =
            converge.split_once("\nstages=(").and_then(|(_, rest)| rest.split_once(')')).expect("stages").0;
        let stages =
            stages.split_whitespace().filter_map(|stage| stage.split_once(':')).map(|(name, _)| name);
        for stage in stages.filter(|stage| !LEFT_OUT.contains(stage)) {
            let run = || self.run([format!("/usr/local/lib/openclaw/{stage}")]);
            let mut done = run();
            // `converge.sh` retries too: OpenClaw gives its workers five seconds and exits on a busy machine.
            for _ in 1..ATTEMPTS {
                if done.code == 0 {
                    break;
                }
                done = run();
            }
            assert_eq!((done.code, &*done.err), (0, ""), "{stage}: {}", self.log());
        }
    }

    /// The path of a file of the VM.
    pub fn file(&self, path: &str) -> PathBuf {
        self.folder.join("vm").join(path.trim_start_matches('/'))
    }

    /// Runs a command on the VM, as root.
    pub fn run(&self, command: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Said {
        said(self.enter().args(command))
    }

    /// The prefix that runs a command on the VM as root.
    pub fn enter(&self) -> Command {
        let mut enter = self.namespace.command("unshare");
        enter.args(["--mount", "--propagation", "private"]).arg(support_file("inside"));
        enter.arg(self.folder.join("vm"));
        enter
    }

    /// The text of an `ssh` that runs its command on the VM as sshd does, with an empty standard input.
    pub fn ssh(&self) -> String {
        self.folder.program("vm/usr/local/bin/sudo", "#!/bin/sh\nshift\nexec \"$@\"\n");
        let enter = self.enter();
        let words = std::iter::once(enter.get_program()).chain(enter.get_args());
        let words = words.map(|word| shlex::try_quote(word.to_str().expect("UTF-8")).expect("no NUL"));
        format!(
            "while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done\nshift\n\
             PATH=/usr/sbin:/usr/bin:/sbin:/bin exec {} bash -c \"$*\" </dev/null\n",
            words.collect::<Vec<_>>().join(" ")
        )
    }

    /// Runs OpenClaw's CLI in the gateway's container.
    pub fn cli(&self, arguments: &[&str]) -> Said {
        let exec = ["docker", "compose", "exec", "-T", "openclaw-gateway", "node", "dist/index.js"];
        self.run(["sh", "-c", "cd /opt/openclaw && exec \"$@\"", "sh"].iter().chain(&exec).chain(arguments))
    }

    /// Runs a shell script in the gateway's container.
    pub fn run_inside(&self, script: &str) -> Said {
        let exec = "cd /opt/openclaw && exec docker compose exec -T openclaw-gateway sh -c \"$1\"";
        self.run(["sh", "-c", exec, "sh", script])
    }

    /// Reads a secret that was generated on the VM.
    ///
    /// # Panics
    /// If there is none.
    #[track_caller]
    pub fn secret(&self, name: &str) -> String {
        fs::read_to_string(self.file("/var/lib/openclaw/secrets").join(name)).expect("a secret")
    }

    /// The last lines of the gateway's log.
    fn log(&self) -> String {
        let logs = "cd /opt/openclaw && docker compose logs --no-color --tail 50 2>&1";
        self.run(["sh", "-c", logs]).out
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        remove(&self.project);
    }
}

/// Removes everything of a Compose project from the testbed's Docker.
fn remove(project: &str) {
    let label = format!("label=com.docker.compose.project={project}");
    let script = "\
        { $docker ps -aq --filter $1; $docker ps -aq --filter name=^$2-; } | sort -u | xargs -r $docker rm -f -v
        $docker network ls -q --filter $1 | xargs -r $docker network rm
        $docker volume ls -q --filter $1 | xargs -r $docker volume rm
        $docker image ls --format '{{.Repository}}:{{.Tag}}' $2 | xargs -r $docker rmi";
    with_docker(script, &[&label, project]);
}

/// Removes what tests that were killed have left.
fn remove_leftovers() {
    let list = "$docker ps -a --filter label=com.docker.compose.project --format '{{.Label \"com.docker.compose.project\"}}'";
    let projects: BTreeSet<String> = with_docker(list, &[]).lines().map(str::to_owned).collect();
    for project in projects {
        let process = project.strip_prefix(PREFIX).and_then(|rest| rest.split_once('-'));
        if process.is_some_and(|(process, _)| !Path::new("/proc").join(process).exists()) {
            remove(&project);
        }
    }
}

/// Runs a script in which `$docker` is the testbed's Docker.
fn with_docker(script: &str, arguments: &[&str]) -> String {
    let docker = testbed::folder().join("bin/docker-26");
    said(Command::new("sh").args(["-c", script, "sh"]).args(arguments).env("docker", docker)).out
}

pub fn support_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/gateway").join(name)
}
