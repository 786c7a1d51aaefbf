//! gcloud, loaded once in a test program, and forked for each call.
//!
//! Loading takes nearly all of the time of a call, and calls took half of that of all tests without VMs.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::run::found;
use crate::support::said;

/// The words of shell that run gcloud, but for its arguments.
pub(super) fn call() -> String {
    static SOCKET: OnceLock<PathBuf> = OnceLock::new();
    let socket = SOCKET.get_or_init(serve);
    let call = folder().join("call.py");
    format!("{} -I -S '{}' '{}'", python(), call.display(), socket.display())
}

/// The interpreter itself. The first `python3` of PATH may be a launcher that takes longer than the call.
fn python() -> String {
    let print = "import os, sys; print(os.path.realpath(sys.executable))";
    let path = said(Command::new("python3").args(["-I", "-S", "-c", print])).done().out;
    path.trim_end().to_owned()
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
