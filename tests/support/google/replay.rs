//! gcloud, asked once for each call in each state of the server. A test that lets every request of a script
//! fail once runs the calls before that request again and again: they are answered by what gcloud did the
//! first time.
//!
//! The script's `gcloud` is this very test program, which hands its arguments to the test over a socket.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::state::State;
use super::{Request, Shared, forks, locked};

/// Names the socket to the program when it is run as gcloud.
pub(super) const SOCKET: &str = "BAKE_REPLAY";

/// The effects of one call of gcloud.
#[derive(Clone)]
struct Done {
    code: u8,
    out: Vec<u8>,
    err: Vec<u8>,
    requests: Vec<Request>,
    after: State,
}

type Known = Arc<Mutex<HashMap<(u64, Vec<u8>), Done>>>;

/// The program as gcloud, where it is run as that.
pub fn client() -> Option<ExitCode> {
    let socket = std::env::var_os(SOCKET)?;
    let mut call = Vec::new();
    let mut part = |bytes: &[u8]| {
        call.extend((u32::try_from(bytes.len()).expect("a length")).to_le_bytes());
        call.extend(bytes);
    };
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let mut given = Vec::new();
    if arguments.iter().any(|argument| argument == "--data-file=-") {
        std::io::stdin().read_to_end(&mut given).expect("a standard input");
    }
    part(arguments.join("\0").as_bytes());
    part(&given);
    part(std::env::current_dir().expect("a folder").display().to_string().as_bytes());
    let environment = std::env::vars().filter(|(name, _)| name != SOCKET);
    let environment: Vec<_> = environment.map(|(name, value)| format!("{name}={value}")).collect();
    part(environment.join("\0").as_bytes());
    let mut stream = UnixStream::connect(socket).expect("the test");
    stream.write_all(&call).expect("the test");
    stream.shutdown(std::net::Shutdown::Write).expect("the test");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("the test");
    let parts = parts(&answer);
    std::io::stdout().write_all(parts[1]).expect("a standard output");
    std::io::stderr().write_all(parts[2]).expect("a standard error");
    Some(ExitCode::from(parts[0][0]))
}

fn parts(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (part, rest) = rest.split_at(u32::from_le_bytes(*length) as usize);
        parts.push(part);
        bytes = rest;
    }
    parts
}

/// Answers calls from now on, for a server. Returns the words of shell that make one.
pub(super) fn serve(shared: &Arc<Shared>, folder: &Path) -> String {
    let socket: PathBuf = folder.join("replay");
    let listener = UnixListener::bind(&socket).expect("a socket");
    let (shared, known) = (Arc::clone(shared), Known::default());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut call = Vec::new();
            if stream.read_to_end(&mut call).is_ok() {
                // Ignore the error if the script has ended.
                let _ = stream.write_all(&answer(&shared, &known, &call));
            }
        }
    });
    let program = std::env::current_exe().expect("this program");
    format!("{SOCKET}='{}' exec '{}'", socket.display(), program.display())
}

fn answer(shared: &Shared, known: &Known, call: &[u8]) -> Vec<u8> {
    let key = (locked(&shared.state).fingerprint(), call.to_vec());
    let done = known.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    let left = locked(&shared.nth).as_ref().map(|(left, _)| *left);
    let done = if let Some(done) = done.filter(|done| left.is_none_or(|left| left >= done.requests.len())) {
        *locked(&shared.state) = done.after.clone();
        locked(&shared.requests).extend(done.requests.iter().cloned());
        if let Some((left, _)) = &mut *locked(&shared.nth) {
            *left -= done.requests.len();
        }
        done
    } else {
        let before = locked(&shared.requests).len();
        let mut done = asked(&parts(call));
        done.requests = locked(&shared.requests)[before..].to_vec();
        done.after = locked(&shared.state).clone();
        let has_failed = left.is_some() && locked(&shared.nth).is_none();
        if !has_failed {
            known.lock().unwrap_or_else(PoisonError::into_inner).insert(key, done.clone());
        }
        done
    };
    let mut answer = Vec::new();
    for part in [&[done.code][..], &done.out, &done.err] {
        answer.extend((u32::try_from(part.len()).expect("a length")).to_le_bytes());
        answer.extend(part);
    }
    answer
}

/// Asks gcloud itself.
fn asked(call: &[&[u8]]) -> Done {
    let part = |index: usize| std::str::from_utf8(call[index]).expect("text");
    let arguments: Vec<_> = part(0).split('\0').collect();
    let environment: Vec<_> = part(3).split('\0').filter_map(|pair| pair.split_once('=')).collect();
    let (code, out, err) = forks::run(&arguments, &environment, part(2), call[1]);
    Done { code, out, err, requests: Vec::new(), after: State::new("none") }
}
