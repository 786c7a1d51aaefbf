//! gcloud, loaded once in a test program, and forked for each call.
//!
//! Loading takes nearly all of the time of a call, and calls took half of that of all tests without VMs.

use std::collections::HashMap;
use std::io::{IoSlice, Read, Seek, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::json;

use super::run::found;
use crate::support::said;

/// The words of shell that run gcloud, but for its arguments.
pub(super) fn call() -> String {
    let call = folder().join("call.py");
    format!("{} -I -S '{}' '{}'", python(), call.display(), socket().display())
}

/// Runs gcloud with the content of `stdin`. Returns its exit code, standard output and standard error.
pub(super) fn run(
    arguments: &[&str],
    environment: &[(&str, &str)],
    folder: &str,
    stdin: &[u8],
) -> (u8, Vec<u8>, Vec<u8>) {
    let mut files = [(); 3].map(|()| tempfile::tempfile().expect("a temporary file"));
    files[0].write_all(stdin).expect("a file");
    files[0].rewind().expect("a file");
    let environment: HashMap<_, _> = environment.iter().copied().collect();
    let request =
        json!({"arguments": arguments, "environment": environment, "folder": folder, "umask": UMASK});
    let mut server = UnixStream::connect(socket()).expect("the gcloud that is forked");
    let sent = files.each_ref().map(AsFd::as_fd);
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(ancillary.push(SendAncillaryMessage::ScmRights(&sent)), "room for three files");
    sendmsg(&server, &[IoSlice::new(b" ")], &mut ancillary, SendFlags::empty()).expect("a message");
    server.write_all(format!("{request}\n").as_bytes()).expect("a request");
    let mut code = String::new();
    server.read_to_string(&mut code).expect("an answer");
    let code = code.parse().unwrap_or_else(|_| panic!("gcloud ended with {code:?}"));
    let [_, out, err] = files.map(|mut file| {
        let mut content = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut content)).expect("a file");
        content
    });
    (code, out, err)
}

/// The usual mask of a login shell.
const UMASK: u32 = 0o022;

/// The socket of the server, which starts with the first call.
fn socket() -> &'static Path {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    SOCKET.get_or_init(serve)
}

/// The interpreter itself. The first `python3` of PATH may be a launcher that takes longer than the call.
fn python() -> &'static str {
    static PYTHON: OnceLock<String> = OnceLock::new();
    PYTHON.get_or_init(|| {
        let print = "import os, sys; print(os.path.realpath(sys.executable))";
        let path = said(Command::new("python3").args(["-I", "-S", "-c", print])).done().out;
        path.trim_end().to_owned()
    })
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/google/forks")
}

/// Starts the gcloud that is forked; it ends with this process. Returns where it listens.
fn serve() -> PathBuf {
    let socket = std::env::temp_dir().join(format!("bake-gcloud-{}", std::process::id()));
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket).expect("a socket");
    // gcloud's launcher takes these for arguments of its interpreter, and `-S` from them where it should.
    let instead = format!("-S {}", folder().join("serve.py").display());
    assert_eq!(instead.split_whitespace().count(), 2, "a path that the launcher would take for two");
    let mut gcloud = Command::new(found("gcloud"));
    gcloud.arg(std::process::id().to_string());
    gcloud.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    gcloud.envs([("CLOUDSDK_PYTHON_ARGS", instead.as_str()), ("LANG", "C.UTF-8"), ("HOME", "/nonexistent")]);
    gcloud.stdin(OwnedFd::from(listener)).stdout(Stdio::null());
    drop(gcloud.spawn().expect("gcloud"));
    socket
}
