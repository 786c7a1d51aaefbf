//! The progress of a long operation is on the terminal before the operation ends.

use std::process::{Command, Stdio};

use crate::support::Folder;
use crate::support::test;
use crate::support::testbed::program;

/// A gcloud whose `stop` ends only once its first line has arrived where the script's errors go.
const GCLOUD: &str = r#"#!/bin/sh
echo "$*" >>"$LOG"
case "$*" in
'config get-value project') echo demo ;;
*' machine-types list '*) echo e2-medium ;;
*' list '*'AND NOT labels'*) ;;
*'instances list '*) echo openclaw-gateway ;;
*'instances stop '*)
    echo 'Stopping instance(s) openclaw-gateway...' >&2
    tries=0
    until grep -q Stopping "$ERRORS"; do
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || { echo 'swallowed' >&2; exit 9; }
        sleep 0.1
    done
    printf '....done.' >&2
    echo 'on standard output'
    ;;
*'instances set-machine-type '*)
    printf 'ERROR: (gcloud.compute) exit code 0 is no code\nQuota '"'CPUS'"' exceeded' >&2
    exit 7
    ;;
esac
"#;

#[test]
fn progress_is_shown_before_an_operation_ends_and_errors_are_still_answered() {
    let folder = Folder::project();
    folder.program("bin/gcloud", GCLOUD);
    folder.write("script", folder.bake(["gcloud", "resize", "e2-medium"]).done().out);
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    for shell in ["dash", "bash"] {
        program(shell);
        let errors = folder.join("errors");
        let output = std::fs::File::create(&errors).expect("a file");
        folder.write("log", "");
        let ended = Command::new(shell)
            .arg(folder.join("script"))
            .env("PATH", &path)
            .env("LOG", folder.join("log"))
            .env("ERRORS", &errors)
            .stderr(Stdio::from(output))
            .output()
            .expect("a shell");
        let (out, err) = (String::from_utf8_lossy(&ended.stdout), folder.read("errors"));
        assert_eq!(ended.status.code(), Some(7), "{shell}: {out}{err}");
        assert!(err.contains("Stopping instance(s) openclaw-gateway...\n....done.\n"), "{shell}: {err}");
        assert!(out.contains("on standard output\n"), "{shell}: {out}");
        assert_eq!(err.matches("Quota 'CPUS' exceeded\n").count(), 1, "{shell}: {err}");
        assert!(err.contains("A quota of the project is used up"), "{shell}: {err}");
        assert!(!err.contains("\nexit code "), "{shell}: {err}");
    }
}

/// gcloud 2026 without a network, in its own words but for the query.
const OFFLINE: &str = r#"#!/bin/sh
cat >&2 <<'END'
ERROR: gcloud crashed (ConnectionError): HTTPSConnectionPool(host='compute.googleapis.com', port=443): Max retries exceeded with url: /compute/v1/projects/demo-1234 (Caused by NameResolutionError("<urllib3.connection.HTTPSConnection object at 0x7f69f13224b0>: Failed to resolve 'compute.googleapis.com' ([Errno -3] Temporary failure in name resolution)"))

If you would like to report this issue, please run the following command:
  gcloud feedback
END
exit 1
"#;

fn demo() -> Folder {
    let folder = Folder::project();
    folder.edit("bake.yaml", "project: null", "project: demo-1234");
    folder
}

fn shell(folder: &Folder, shell: &str) -> Command {
    program(shell);
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("env");
    // A shell cannot trap a signal that its parent ignores.
    command
        .args(["--default-signal=INT", shell])
        .arg(folder.join("script"))
        .env("PATH", path)
        .stdin(Stdio::null());
    command
}

#[test]
fn a_missing_network_is_named() {
    for action in [&["destroy"][..], &["status"], &["resize", "e2-medium"], &["backup", "--snapshot-only"]] {
        let folder = demo();
        folder.program("bin/gcloud", OFFLINE);
        folder.write("script", folder.bake(["gcloud"].into_iter().chain(action.iter().copied())).done().out);
        let ended = shell(&folder, "dash").output().expect("a shell");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert!(
            !ended.status.success() && err.contains("Google cannot be reached from here."),
            "{action:?}: {err}"
        );
    }
}

/// Ctrl-C goes to the script and to the gcloud that it waits for.
#[test]
fn ctrl_c_in_the_middle_names_what_may_have_taken_effect() {
    let gcloud = r#"#!/bin/sh
case "$*" in
*' machine-types list '*) echo e2-medium ;;
*' list '*'AND NOT labels'*) ;;
*'instances list '*) echo openclaw-gateway ;;
*'instances stop '*) : >"$STOPS"; exec sleep 60 ;;
esac
"#;
    for name in ["dash", "bash"] {
        let folder = demo();
        folder.program("bin/gcloud", gcloud);
        folder.write("script", folder.bake(["gcloud", "resize", "e2-medium"]).done().out);
        let stops = folder.join("stops");
        let mut command = shell(&folder, name);
        command.env("STOPS", &stops).stdout(Stdio::piped()).stderr(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().expect("a shell");
        let begun = std::time::Instant::now();
        while !stops.exists() && begun.elapsed().as_secs() < 60 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let group = format!("-{}", child.id());
        let killed = Command::new("kill").args(["-s", "INT", "--", &group]).status().expect("kill");
        assert!(killed.success());
        let ended = child.wait_with_output().expect("an end");
        let err = String::from_utf8_lossy(&ended.stderr);
        assert_eq!(ended.status.code(), Some(130), "{name}: {err}");
        for line in [
            "Not finished.\n",
            "Failed, and may have taken effect all the same:\n  ~ VM openclaw-gateway: stops\n",
            "gcloud compute instances start openclaw-gateway --zone=us-central1-a --project=demo-1234\n",
        ] {
            assert!(err.contains(line), "{name}: {line}{err}");
        }
    }
}
