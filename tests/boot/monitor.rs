//! Disks that come and go while a VM runs, through QEMU's monitor (`docs/interop/qmp-spec` of QEMU):
//! what somebody does with `gcloud compute instances attach-disk`.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// What QEMU calls the disk, the only one of ours.
const ID: &str = "late";

/// The monitor of a VM.
pub struct Monitor(PathBuf);

impl Monitor {
    /// One that will be at `socket`.
    pub fn at(socket: PathBuf) -> Self {
        Self(socket)
    }

    /// What QEMU has to be told for it.
    pub fn arguments(&self) -> [String; 2] {
        ["-qmp".to_owned(), format!("unix:{},server=on,wait=off", self.0.display())]
    }

    /// Attaches the disk in `file`, with every byte as it is, under that device name.
    #[track_caller]
    pub fn attach(&self, file: &Path, device: &str) {
        let file = json!({ "driver": "file", "filename": file });
        self.ask("blockdev-add", &json!({ "driver": "raw", "node-name": ID, "file": file }));
        let disk = json!({
            "driver": "scsi-hd", "id": ID, "bus": "scsi0.0", "drive": ID,
            "vendor": "Google", "product": "PersistentDisk", "serial": device, "device_id": device,
        });
        self.ask("device_add", &disk);
    }

    /// Takes it away.
    #[track_caller]
    pub fn detach(&self) {
        self.ask("device_del", &json!({ "id": ID }));
        self.ask("blockdev-del", &json!({ "node-name": ID }));
    }

    #[track_caller]
    fn ask(&self, command: &str, arguments: &Value) {
        let mut stream = UnixStream::connect(&self.0).expect("QEMU's monitor");
        let mut answers = BufReader::new(stream.try_clone().expect("a socket")).lines();
        let mut next = || -> Value {
            let line = answers.next().expect("QEMU").expect("a line");
            serde_json::from_str(&line).expect("JSON")
        };
        assert!(next()["QMP"].is_object(), "no greeting");
        for question in
            [json!({ "execute": "qmp_capabilities" }), json!({ "execute": command, "arguments": arguments })]
        {
            writeln!(stream, "{question}").expect("a question");
            // Events may come in between.
            let answer = loop {
                let answer = next();
                if answer.get("event").is_none() {
                    break answer;
                }
            };
            assert!(answer.get("return").is_some(), "{question}: {answer}");
        }
    }
}
