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
