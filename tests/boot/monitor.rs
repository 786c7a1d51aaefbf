//! Attaches and detaches disks of a running VM through QEMU's monitor (`docs/interop/qmp-spec` of QEMU),
//! like `gcloud compute instances attach-disk`.

use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// QEMU's ID for the attached disk.
const ID: &str = "late";

/// The monitor of a VM.
pub struct Monitor(PathBuf);

impl Monitor {
    /// The monitor will listen at `socket`.
    pub fn at(socket: PathBuf) -> Self {
        Self(socket)
    }

    /// QEMU's arguments for the monitor.
    pub fn arguments(&self) -> [String; 2] {
        ["-qmp".to_owned(), format!("unix:{},server=on,wait=off", self.0.display())]
    }

    /// Attaches the disk in `file`, in a `format` of QEMU, under that device name.
    #[track_caller]
    pub fn attach(&self, file: &Path, format: &str, device: &str) {
        let file = json!({ "driver": "file", "filename": file });
        let mut session = Session::open(&self.0);
        session.ask("blockdev-add", &json!({ "driver": format, "node-name": ID, "file": file }));
        let disk = json!({
            "driver": "scsi-hd", "id": ID, "bus": "scsi0.0", "drive": ID,
            "vendor": "Google", "product": "PersistentDisk", "serial": device, "device_id": device,
        });
        session.ask("device_add", &disk);
    }

    /// Detaches the disk and waits until the VM has released it.
    #[track_caller]
    pub fn detach(&self) {
        let mut session = Session::open(&self.0);
        session.ask("device_del", &json!({ "id": ID }));
        session.until(|event| event["event"] == "DEVICE_DELETED" && event["data"]["device"] == ID);
        session.ask("blockdev-del", &json!({ "node-name": ID }));
    }

    /// Resizes the disk, as `gcloud compute disks resize` does.
    #[track_caller]
    pub fn grow(&self, bytes: u64) {
        Session::open(&self.0).ask("block_resize", &json!({ "node-name": ID, "size": bytes }));
    }

    /// Forwards a port of 127.0.0.1 to a port of the VM's network interface, open or not.
    #[track_caller]
    pub fn forward(&self, from: u16, to: u16) {
        let forward = format!("hostfwd_add net0 tcp:127.0.0.1:{from}-169.254.169.10:{to}");
        Session::open(&self.0).ask("human-monitor-command", &json!({ "command-line": forward }));
    }
}

/// A connection to a monitor.
struct Session {
    stream: UnixStream,
    lines: Lines<BufReader<UnixStream>>,
    /// Events that no caller has read yet.
    events: Vec<Value>,
}

impl Session {
    #[track_caller]
    fn open(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket).expect("QEMU's monitor");
        let lines = BufReader::new(stream.try_clone().expect("a socket")).lines();
        let mut session = Self { stream, lines, events: Vec::new() };
        assert!(session.next()["QMP"].is_object(), "no greeting");
        session.ask("qmp_capabilities", &json!({}));
        session
    }

    fn next(&mut self) -> Value {
        let line = self.lines.next().expect("QEMU").expect("a line");
        serde_json::from_str(&line).expect("JSON")
    }

    #[track_caller]
    fn ask(&mut self, command: &str, arguments: &Value) {
        let question = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream, "{question}").expect("a question");
        let answer = loop {
            let answer = self.next();
            if answer.get("event").is_none() {
                break answer;
            }
            self.events.push(answer);
        };
        assert!(answer.get("return").is_some(), "{question}: {answer}");
    }

    fn until(&mut self, wanted: impl Fn(&Value) -> bool) {
        while !self.events.iter().any(&wanted) {
            let event = self.next();
            self.events.push(event);
        }
    }
}
