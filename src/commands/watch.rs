//! Watches the VM of a rehearsal: prints its reports, and verifies them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;
use std::thread;
use std::time::{Duration, Instant};

use url::Url;

use super::console::Console;
use crate::http::{Client, Request, RetryPolicy};
use crate::rehearse::metadata::{AttributeChange, Server};
use crate::rehearse::{Reply, Running, StatusReport, Timeline, described};
use crate::vm::{BAKED, FAILED, READY};

/// The size limit of a probe's answer, in bytes.
const LARGEST_PROBE: u64 = 1 << 16;

/// The pause between two looks at a description's file.
const DESCRIPTION_PAUSE: Duration = Duration::from_secs(1);

/// The metadata of a VM in a file, whose changes reach the running VM.
pub(super) struct DescribedMetadata<'a> {
    path: &'a Path,
    server: &'a Server,
    /// The text that is served.
    text: String,
    looked: Instant,
}

impl<'a> DescribedMetadata<'a> {
    pub(super) fn new(path: &'a Path, text: String, server: &'a Server) -> Self {
        Self { path, server, text, looked: Instant::now() }
    }

    /// Serves the file's metadata if it has changed. A file that is being written is read again.
    fn follow(&mut self, console: &mut Console) {
        if self.looked.elapsed() < DESCRIPTION_PAUSE {
            return;
        }
        self.looked = Instant::now();
        let Ok(text) = std::fs::read_to_string(self.path) else { return };
        if text == self.text {
            return;
        }
        if let Ok(attributes) = described::attributes(&text) {
            self.server.set_attributes(attributes);
            self.text = text;
            console.note(&format!("The VM's metadata is now that of {}.", self.path.display()));
        }
    }
}

/// A running VM, with its reports.
pub(super) struct VmWatch<'a> {
    vm: Running,
    begun: Instant,
    timeline: Timeline,
    reply: Reply,
    changes: Receiver<AttributeChange>,
    described: Option<DescribedMetadata<'a>>,
    interrupted: Arc<AtomicBool>,
    limit: Duration,
}

impl<'a> VmWatch<'a> {
    /// Starts at power-on.
    pub(super) fn begin(
        vm: Running,
        changes: Receiver<AttributeChange>,
        described: Option<DescribedMetadata<'a>>,
        interrupted: Arc<AtomicBool>,
        limit: Duration,
    ) -> Self {
        let (timeline, reply) = (Timeline::default(), Reply::default());
        Self { vm, begun: Instant::now(), timeline, reply, changes, described, interrupted, limit }
    }

    /// The reports of the VM so far.
    pub(super) const fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The time since power-on.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Whether QEMU is running.
    pub(super) fn runs(&mut self) -> bool {
        matches!(self.vm.ended(), Ok(None))
    }

    pub(super) fn is_interrupted(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed)
    }

    /// Waits until the VM is ready, or returns the reason why it is not.
    pub(super) fn until_settled(&mut self, console: &mut Console) -> Result<(), String> {
        loop {
            self.step(console)?;
            match self.timeline.status() {
                Some(READY) => return Ok(()),
                Some(FAILED) => return Err(format!("the VM says: {}", self.last_error())),
                _ if self.is_interrupted() => return Err("interrupted".to_owned()),
                _ if self.begun.elapsed() > self.limit => return Err(self.too_long()),
                _ => {}
            }
        }
    }

    /// Waits until the VM is an OS image and has powered off, or returns the reason why not.
    pub(super) fn until_baked(&mut self, console: &mut Console) -> Result<(), String> {
        loop {
            let step = self.step(console);
            match self.timeline.status() {
                Some(BAKED) if matches!(self.vm.ended(), Ok(Some((status, _))) if status.success()) => {
                    return Ok(());
                }
                Some(FAILED) => return Err(format!("the VM says: {}", self.last_error())),
                _ if self.is_interrupted() => return Err("interrupted".to_owned()),
                _ if self.begun.elapsed() > self.limit => return Err(self.too_long()),
                _ => step?,
            }
        }
    }

    /// Waits until the agent has replied, or returns the reason why it has not.
    pub(super) fn until_answered(&mut self, console: &mut Console) -> Result<(), String> {
        loop {
            self.step(console)?;
            match self.reply.settled() {
                Some(outcome) => return outcome.map(|_| ()),
                None if self.is_interrupted() => return Err("interrupted".to_owned()),
                None if self.begun.elapsed() > self.limit => {
                    return Err(format!("the agent has not replied within {} s", self.limit.as_secs()));
                }
                None => {}
            }
        }
    }

    /// The agent's reply, if there is one.
    pub(super) fn reply(&self) -> Option<&str> {
        self.reply.settled()?.ok()
    }

    /// Waits for Ctrl-C. The result is the VM's status at that time.
    pub(super) fn until_interrupted(&mut self, console: &mut Console) -> Result<(), String> {
        while !self.is_interrupted() {
            self.step(console)?;
        }
        match self.timeline.status() {
            Some(READY) => Ok(()),
            Some(status) => Err(format!("the VM says: {status} {}", self.last_error())),
            None => Err("the VM has said nothing".to_owned()),
        }
    }

    /// Waits a fraction of a second and processes reports.
    fn step(&mut self, console: &mut Console) -> Result<(), String> {
        thread::sleep(Duration::from_millis(100));
        if let Some(described) = &mut self.described {
            described.follow(console);
        }
        while let Ok(change) = self.changes.try_recv() {
            self.reply.take(&change);
            let Some(report) = self.timeline.take(change, self.begun.elapsed()) else { continue };
            let error = if report.error.is_empty() { String::new() } else { format!(": {}", report.error) };
            console.note(&format!("{:>5} s  {}{error}", report.seconds, report.status));
        }
        match self.vm.ended() {
            Ok(None) => Ok(()),
            Ok(Some((status, said))) => Err(format!("QEMU ended ({status}) {said}")),
            Err(error) => Err(format!("QEMU cannot be watched: {error}")),
        }
    }

    fn last_error(&self) -> &str {
        self.timeline.reports().last().map_or("", |report| &report.error)
    }

    fn too_long(&self) -> String {
        let seconds = self.limit.as_secs();
        match self.timeline.reports().last() {
            None => format!("the VM has said nothing within {seconds} s"),
            Some(StatusReport { status, error, .. }) => {
                format!("the VM is not ready within {seconds} s; its status is {status} {error}")
            }
        }
    }

    /// Verifies the VM's claim to be ready: compares its lock with the bundle's, and probes the gateway through
    /// the forwarded port.
    pub(super) fn confirm(&self, lock: &str, port: u16) -> Result<(), String> {
        let said = self.timeline.lock();
        if said != lock {
            return Err(format!("the VM says that it runs lock {said}, and the bundle's is {lock}"));
        }
        let url = Url::parse(&format!("http://127.0.0.1:{port}/startupz"));
        let request = Request::new(url.map_err(|error| error.to_string())?);
        let mut patience = RetryPolicy::default();
        if self.is_interrupted() {
            // The user waits for the end.
            patience = RetryPolicy { attempts: 1, ..patience };
        }
        // The Control UI answers any path with 200, so the body decides.
        let started = |text: &str| {
            serde_json::from_str::<serde_json::Value>(text).is_ok_and(|body| body["status"] == "started")
        };
        match Client::new(patience).text(&request, LARGEST_PROBE) {
            Ok(text) if started(&text) => Ok(()),
            Ok(_) => Err("the VM says that it is ready, and its gateway does not say `started`".to_owned()),
            Err(error) => Err(format!("the VM says that it is ready, and {error}")),
        }
    }
}
