//! Runs commands in a VM through QEMU's guest agent (`docs/interop/qemu-ga-ref` of QEMU) on a separate
//! serial port, which needs neither network nor account.

use std::io::{self, BufRead, BufReader, ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::Said;

/// The timeout of one read. It is not an error: the caller decides whether to retry.
const PATIENCE: Duration = Duration::from_secs(60);

/// Precedes the answer to `guest-sync-delimited`.
const DELIMITER: u8 = 0xff;

/// A connection to the guest agent of a VM.
pub struct Guest {
    socket: PathBuf,
}

impl Guest {
    /// QEMU's arguments that make the agent reachable at `socket`.
    pub fn arguments(socket: &std::path::Path) -> [String; 6] {
        [
            "-device".to_owned(),
            "virtio-serial-pci".to_owned(),
            "-chardev".to_owned(),
            format!("socket,id=agent,path={},server=on,wait=off", socket.display()),
            "-device".to_owned(),
            "virtserialport,chardev=agent,name=org.qemu.guest_agent.0".to_owned(),
        ]
    }

    pub fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// Runs a shell script in the VM and waits for its end. Calls `alive` meanwhile, which may panic.
    pub fn run(&self, script: &str, alive: impl Fn()) -> Said {
        let started = self.tell(script, &alive);
        loop {
            alive();
            let status = match self.ask("guest-exec-status", &json!({ "pid": started["pid"] })) {
                Ok(status) => status,
                Err(error) => {
                    assert!(error.kind() != ErrorKind::Other, "the agent has lost the process: {error}");
                    continue;
                }
            };
            if status["exited"] == true {
                let code = status["exitcode"].as_i64().and_then(|code| i32::try_from(code).ok());
                let [out, err] = ["out-data", "err-data"].map(|key| text(&status[key]));
                return Said { code: code.unwrap_or(-1), out, err };
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Starts a shell script in the VM and returns the agent's answer.
    pub fn tell(&self, script: &str, alive: impl Fn()) -> Value {
        let arguments = json!({ "path": "/bin/sh", "arg": ["-c", script], "capture-output": true });
        loop {
            match self.ask("guest-exec", &arguments) {
                Ok(started) => return started,
                // The agent is not up yet.
                Err(_) => alive(),
            }
            thread::sleep(Duration::from_millis(500));
        }
    }

    /// Sends a command on a new connection and returns its answer.
    fn ask(&self, command: &str, arguments: &Value) -> io::Result<Value> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut answers = BufReader::new(stream.try_clone()?);
        // Discards the unread rest of an earlier answer.
        let sync = json!({ "execute": "guest-sync-delimited", "arguments": { "id": 1 } });
        stream.write_all(&[DELIMITER])?;
        writeln!(stream, "{sync}")?;
        answers.read_until(DELIMITER, &mut Vec::new())?;
        read(&mut answers)?;
        writeln!(stream, "{}", json!({ "execute": command, "arguments": arguments }))?;
        let mut answer = read(&mut answers)?;
        match answer.get_mut("return") {
            Some(value) => Ok(value.take()),
            None => Err(io::Error::other(answer.to_string())),
        }
    }
}

fn read(answers: &mut impl BufRead) -> io::Result<Value> {
    let mut line = String::new();
    if answers.read_line(&mut line)? == 0 {
        return Err(ErrorKind::UnexpectedEof.into());
    }
    serde_json::from_str(&line).map_err(io::Error::other)
}

fn text(encoded: &Value) -> String {
    let bytes = STANDARD.decode(encoded.as_str().unwrap_or_default()).expect("base64");
    String::from_utf8_lossy(&bytes).into_owned()
}
