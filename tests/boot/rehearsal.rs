//! Runs `bake rehearse` and does to the machine what users do: look, wait, stop it, cut the power,
//! replace a disk.

use std::cell::Cell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::guest::Guest;
use crate::project::Project;
use crate::support::{Said, said, testbed};
use crate::world::World;

/// After this time without output from `bake` or the serial console, the VM counts as stuck. The longest
/// silence is the start of the real gateway under emulation: six minutes.
const SILENCE: Duration = Duration::from_secs(25 * 60);

/// The port that `bake` forwards to the gateway.
pub const PORT: u16 = 18789;

/// The files of a machine, which persist between its runs.
pub struct Machine<'a> {
    world: &'a World,
    project: &'a Project,
    disk: PathBuf,
    folder: tempfile::TempDir,
    /// Extra arguments of `bake rehearse` and QEMU.
    options: Vec<String>,
    qemu: Vec<String>,
}

/// A running machine.
pub struct Rehearsal<'a> {
    world: &'a World,
    folder: PathBuf,
    /// The length of the serial log before this run.
    serial_begin: usize,
    child: Child,
    readers: Vec<JoinHandle<()>>,
    said: Arc<Heard>,
    results: Arc<Heard>,
    /// The number of lines already read.
    seen: Cell<usize>,
    guest: Guest,
}

/// The lines of one of `bake`'s outputs.
#[derive(Default)]
struct Heard {
    lines: Mutex<Vec<String>>,
    more: Condvar,
}

/// A report of the VM, as printed by `bake`: `  12 s  status: error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    pub seconds: u64,
    pub status: String,
    pub error: String,
}

impl<'a> Machine<'a> {
    /// Skips the test if the testbed lacks the disk.
    pub fn new(world: &'a World, project: &'a Project, disk: &str) -> Self {
        Self::on(world, project, testbed::boot(disk))
    }

    /// With an OS image that the testbed does not have.
    pub fn on(world: &'a World, project: &'a Project, disk: PathBuf) -> Self {
        // Not below /tmp, which may be a tmpfs.
        let folder = tempfile::Builder::new().prefix("vm-").tempdir_in(testbed::folder());
        Self {
            world,
            project,
            disk,
            folder: folder.expect("a temporary folder"),
            options: Vec::new(),
            qemu: Vec::new(),
        }
    }

    /// Adds options of `bake rehearse`.
    pub fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// Adds options of QEMU.
    pub fn with_hardware(mut self, options: &[&str]) -> Self {
        self.qemu.extend(options.iter().map(|&option| option.to_owned()));
        self
    }

    /// The path of a file: `boot.qcow2`, `data.qcow2`, `serial.log`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The serial console's output in all runs.
    pub fn serial(&self) -> String {
        serial(self.folder.path())
    }

    /// Replaces the boot disk by a fresh copy of `disk`, for another project with the same name.
    pub fn replaced(self, project: &'a Project, disk: &str) -> Self {
        fs::remove_file(self.file("boot.qcow2")).expect("a boot disk");
        Self { project, disk: testbed::boot(disk), ..self }
    }

    /// Runs until `bake` exits by itself.
    pub fn rehearse(&self, options: &[&str]) -> Said {
        let mut command = self.project.bake(self.world);
        command.args(["rehearse", "--timeout", "3600"]).arg("--disk").arg(&self.disk);
        said(command.arg("--dir").arg(self.folder.path()).args(&self.options).args(options))
    }

    pub fn start(&self) -> Rehearsal<'a> {
        self.start_with(&[])
    }

    pub fn start_with(&self, options: &[&str]) -> Rehearsal<'a> {
        let socket = self.file("agent.sock");
        let _ = fs::remove_file(&socket);
        let serial_begin = self.serial().len();
        let mut command = self.project.bake(self.world);
        command.args(["rehearse", "--keep", "--port", &PORT.to_string()]).arg("--disk").arg(&self.disk);
        command.arg("--dir").arg(self.folder.path()).args(&self.options).args(options);
        command.arg("--").args(Guest::arguments(&socket)).args(&self.qemu);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("bake");
        let (said, results) = (Arc::new(Heard::default()), Arc::new(Heard::default()));
        let readers = vec![
            results.listen(child.stdout.take().expect("a pipe")),
            said.listen(child.stderr.take().expect("a pipe")),
        ];
        Rehearsal {
            world: self.world,
            folder: self.folder.path().to_owned(),
            serial_begin,
            child,
            readers,
            said,
            results,
            seen: Cell::new(0),
            guest: Guest::at(socket),
        }
    }
}

impl Rehearsal<'_> {
    /// Waits for the next report that satisfies `wanted`.
    #[track_caller]
    pub fn until(&self, what: &str, wanted: impl Fn(&Report) -> bool) -> Report {
        let watch = Watch::default();
        loop {
            if let Some(report) = self.next(&wanted) {
                return report;
            }
            self.alive(what, &watch);
            let lines = self.said.lines();
            drop(self.said.more.wait_timeout(lines, Duration::from_secs(1)));
        }
    }

    /// Waits for `ready`, and panics at `failed`.
    #[track_caller]
    pub fn until_ready(&self) -> Report {
        let report = self.until("ready or failed", |report| ["ready", "failed"].contains(&&*report.status));
        if report.status == "failed" {
            self.give_up(&format!("failed: {}", report.error));
        }
        report
    }

    /// Waits for the next report of `status` whose error contains all of `parts`.
    #[track_caller]
    pub fn until_error(&self, status: &str, parts: &[&str]) -> Report {
        self.until(&format!("{status}: …{}…", parts.join("…")), |report| {
            report.status == status && parts.iter().all(|part| report.error.contains(part))
        })
    }

    /// Waits until the serial console has printed `text` in this run.
    #[track_caller]
    pub fn until_serial(&self, text: &str) {
        let watch = Watch::default();
        while !serial(&self.folder)[self.serial_begin..].contains(text) {
            self.alive(text, &watch);
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Waits for a line with `text` after the first `begin` bytes of the serial console, and returns its rest.
    #[track_caller]
    pub fn until_serial_after(&self, begin: usize, text: &str) -> String {
        let watch = Watch::default();
        loop {
            let serial = serial(&self.folder);
            if let Some((rest, _)) =
                serial[begin..].split_once(text).and_then(|(_, rest)| rest.split_once('\r'))
            {
                return rest.to_owned();
            }
            self.alive(text, &watch);
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// The length of the serial console's output so far.
    pub fn serial_end(&self) -> usize {
        serial(&self.folder).len()
    }

    /// Waits until the VM's uptime reaches `seconds`. Under emulation its clock counts instructions.
    #[track_caller]
    pub fn until_uptime(&self, seconds: f64) {
        loop {
            let uptime = self.run("cut -d ' ' -f 1 /proc/uptime").done().out;
            let left = seconds - uptime.trim().parse::<f64>().expect("seconds");
            if left <= 0.0 {
                return;
            }
            // The VM's clock is never ahead of this machine's, and polling slows the VM down.
            thread::sleep(Duration::from_secs_f64(left.max(1.0)));
        }
    }

    /// The next unread report that satisfies `wanted`.
    fn next(&self, wanted: impl Fn(&Report) -> bool) -> Option<Report> {
        let lines = self.said.lines();
        while let Some(line) = lines.get(self.seen.get()) {
            self.seen.set(self.seen.get() + 1);
            if let Some(report) = Report::read(line).filter(&wanted) {
                return Some(report);
            }
        }
        None
    }

    /// Whether any report so far was `ready`.
    pub fn was_ready(&self) -> bool {
        self.reports().iter().any(|report| report.status == "ready")
    }

    pub fn reports(&self) -> Vec<Report> {
        self.said.lines().iter().filter_map(|line| Report::read(line)).collect()
    }

    /// Each status that the VM has reported, with the seconds since its kernel started, by the VM's clock. Under
    /// emulation that clock counts instructions, so that it hardly depends on this machine's load.
    #[track_caller]
    pub fn reports_by_its_clock(&self) -> Vec<(String, u64)> {
        let console = serial(&self.folder)[self.serial_begin..].to_owned();
        let lines =
            console.lines().filter_map(|line| line.split_once("openclaw: status=")?.1.split_once(" since="));
        let (statuses, times): (Vec<_>, Vec<_>) =
            lines.map(|(status, rest)| (status.to_owned(), rest.get(..20).expect("a time"))).unzip();
        let script = format!(
            "start=$(($(date +%s) - $(cut -d . -f 1 /proc/uptime))); \
             for time in {}; do echo $(($(date -d $time +%s) - start)); done",
            times.join(" ")
        );
        let seconds = self.run(&script).done().out;
        let seconds = seconds.lines().map(|line| line.parse().expect("seconds"));
        statuses.into_iter().zip(seconds).collect()
    }

    /// The output of `bake` so far.
    pub fn output(&self) -> String {
        [self.said.text(), self.results.text()].concat()
    }

    /// Runs a shell script in the VM, as root.
    #[track_caller]
    pub fn run(&self, script: &str) -> Said {
        let watch = Watch::default();
        self.guest.run(script, || self.alive(script, &watch))
    }

    /// Runs a shell script in the gateway's container, as the gateway.
    #[track_caller]
    pub fn run_inside(&self, script: &str) -> Said {
        let script = shlex::try_quote(script).expect("no NUL");
        // Running Compose would take an emulated machine seconds.
        let container = "docker ps --quiet --filter label=com.docker.compose.service=openclaw-gateway";
        self.run(&format!("docker exec $({container}) sh -c {script} </dev/null"))
    }

    /// Status and body of the gateway's response through the forwarded port.
    #[track_caller]
    pub fn get(&self, path: &str) -> (String, String) {
        let url = format!("http://127.0.0.1:{PORT}{path}");
        let format = ["--silent", "--show-error", "--max-time", "300", "--write-out", "\n%{http_code}"];
        let answer = said(self.world.namespace.command("curl").args(format).arg(url)).done().out;
        let (body, status) = answer.rsplit_once('\n').expect("a status");
        (status.to_owned(), body.to_owned())
    }

    /// Cuts the power: SIGKILL to QEMU.
    pub fn pull_the_plug(mut self) {
        kill(self.qemu(), Signal::KILL);
        self.end();
    }

    /// Shuts the VM down as an administrator would.
    pub fn power_off(mut self) {
        let watch = Watch::default();
        self.guest.tell("systemctl --no-block poweroff", || self.alive("power off", &watch));
        self.end();
    }

    /// Sends Ctrl-C, which also ends the VM.
    #[track_caller]
    pub fn stop(mut self) -> Said {
        let qemu = self.qemu();
        kill(self.child.id(), Signal::INT);
        let code = self.end().unwrap_or(-1);
        assert!(!is_the_vm(qemu), "the VM runs on");
        Said { code, out: self.results.text(), err: self.said.text() }
    }

    #[track_caller]
    fn qemu(&self) -> u32 {
        let watch = Watch::default();
        loop {
            if let Some(qemu) = children(self.child.id()).into_iter().find(|&pid| is_the_vm(pid)) {
                return qemu;
            }
            self.alive("QEMU", &watch);
            thread::sleep(Duration::from_millis(100));
        }
    }

    fn end(&mut self) -> Option<i32> {
        let status = self.child.wait().expect("an end");
        for reader in self.readers.drain(..) {
            reader.join().expect("no panic");
        }
        status.code()
    }

    /// Panics if `bake` has exited, the kernel has panicked or the VM makes no progress.
    #[track_caller]
    fn alive(&self, what: &str, watch: &Watch) {
        let bake = self.child.id();
        // Until it is waited for, an exited process is a zombie.
        let state = fs::read_to_string(format!("/proc/{bake}/stat")).unwrap_or_default();
        if state.rsplit(") ").next().is_none_or(|rest| rest.starts_with('Z')) {
            self.give_up(&format!("bake ended before: {what}"));
        }
        let serial = serial(&self.folder);
        if serial.contains("Kernel panic") {
            self.give_up("the VM's kernel panicked");
        }
        if !watch.moved((serial.len(), self.said.lines().len())) {
            self.give_up(&format!("nothing moves any more before: {what}"));
        }
    }

    #[track_caller]
    fn give_up(&self, why: &str) -> ! {
        let serial = serial(&self.folder);
        let tail: Vec<_> = serial.lines().rev().take(60).collect();
        let tail: String = tail.into_iter().rev().map(|line| format!("{line}\n")).collect();
        panic!("{why}\n--- bake:\n{}\n--- serial console:\n{tail}", self.output());
    }

    /// Prints when each stage began, in seconds of this machine's clock.
    pub fn print_times(&self, title: &str) {
        let rows = self.reports().into_iter().map(|Report { seconds, status, error }| {
            format!("{seconds:>6} s  {status}{}{error}\n", if error.is_empty() { "" } else { ": " })
        });
        let table = format!("{title}:\n{}", rows.collect::<String>());
        // Part of the log even if the test passes.
        io::stderr().write_all(table.as_bytes()).expect("a standard error");
    }
}

impl Drop for Rehearsal<'_> {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            kill(self.child.id(), Signal::INT);
            let _ = self.child.wait();
        }
    }
}

impl Heard {
    fn listen(self: &Arc<Self>, stream: impl Read + Send + 'static) -> JoinHandle<()> {
        let heard = Arc::clone(self);
        thread::spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                heard.lines().push(line);
                heard.more.notify_all();
            }
        })
    }

    fn text(&self) -> String {
        self.lines().iter().map(|line| format!("{line}\n")).collect()
    }

    fn lines(&self) -> MutexGuard<'_, Vec<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Report {
    fn read(line: &str) -> Option<Self> {
        const STATUSES: [&str; 7] = ["starting", "secrets", "image", "verify", "start", "ready", "failed"];
        let (seconds, rest) = line.trim_start().split_once(" s  ")?;
        let (status, error) = rest.split_once(": ").unwrap_or((rest, ""));
        let status = status.trim();
        STATUSES.contains(&status).then_some(())?;
        Some(Self { seconds: seconds.parse().ok()?, status: status.to_owned(), error: error.to_owned() })
    }
}

/// The last progress: the lengths of the outputs, and when they changed.
struct Watch(Cell<((usize, usize), Instant)>);

impl Default for Watch {
    fn default() -> Self {
        Self(Cell::new(((0, 0), Instant::now())))
    }
}

impl Watch {
    fn moved(&self, now: (usize, usize)) -> bool {
        let (before, since) = self.0.get();
        if before != now {
            self.0.set((now, Instant::now()));
        }
        before != now || since.elapsed() < SILENCE
    }
}

fn serial(folder: &Path) -> String {
    let log = fs::read(folder.join("serial.log")).unwrap_or_default();
    // Drops non-ASCII bytes: the end of the log may be in the middle of a character.
    log.into_iter().map(char::from).filter(char::is_ascii).collect()
}

fn kill(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).expect("a process");
    // The process may have exited already.
    let _ = kill_process(pid, signal);
}

/// The running child processes of `parent`.
fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc").flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    // proc_pid_stat(5): pid (name) state parent …
    let parent_of = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.rsplit_once(") ")?.1.split(' ').nth(1)?.parse().ok()
    };
    pids.filter(|pid| parent_of(pid) == Some(parent)).collect()
}

/// Whether it is QEMU with the VM, not the one with which `bake` probes KVM.
fn is_the_vm(pid: u32) -> bool {
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&command).contains("boot.qcow2")
}
