//! The actions of `bake gcloud` that look at a VM or reach it, run in dash and in bash with a gcloud
//! that answers from files (`tests/support/gcloud`). Time passes in `sleep` alone, so that what
//! happens while a script waits happens at a moment of the test's choice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::test;
use crate::support::testbed::program;
use crate::support::{Folder, Said, said};

const RUNNING: &str = "RUNNING|4711|2026-11-22T21:00:00Z|LOCK|['TRUE']";
/// gcloud's message before the first guest attribute, with its line breaks.
const UNHEARD: &str = "ERROR: (gcloud.compute.instances.get-guest-attributes) HTTPError 404: The resource\n 'openclaw/' of type 'Guest Attribute' was not found. This command is authenticated as\n me@example.com which is the active account specified by the [core/account] property.\n";
const CUT: &str = "ERROR: gcloud crashed (ConnectionError): Connection reset by peer\n";
const CLOSED: &str = "ERROR: (gcloud.compute.start-iap-tunnel) Error while connecting [4003: 'failed to connect to backend']. (Failed to connect to port 22)\n";
const NO_KEY: &str = "me@203.0.113.7: Permission denied (publickey).\n";

/// A project, a state folder, and a gcloud in front of everything else.
struct World {
    project: Folder,
    fake: Folder,
    shell: &'static str,
}

impl World {
    /// One with a VM that runs and has not said anything yet.
    fn new(shell: &'static str) -> Self {
        program(shell);
        let world = Self { project: Folder::project(), fake: Folder::empty(), shell };
        let running = RUNNING.replace("LOCK", &world.lock()[..16]);
        world
            .now("project", "demo\n")
            .now("state", &running)
            .now("report.error", UNHEARD)
            .now("group", "True|True\n");
        world
    }

    fn lock(&self) -> String {
        bake::digest::Sha256::of(self.project.read("bake.lock")).to_string()
    }

    /// Lets gcloud answer with this from now on.
    fn now(&self, file: &str, text: &str) -> &Self {
        self.fake.write(&format!("now/{file}"), text);
        self
    }

    /// After this many pauses.
    fn at(&self, pauses: u32, file: &str, text: &str) -> &Self {
        self.fake.write(&format!("at/{pauses}/{file}"), text);
        self
    }

    fn report(&self, status: &str, error: &str) -> String {
        let lock = self.lock();
        format!("error {error}\nlock {lock}\nsince 2026-11-22T21:05:00Z\nstatus {status}\n")
    }

    fn reports(&self, status: &str, error: &str) -> &Self {
        let report = self.report(status, error);
        fs::remove_file(self.fake.join("now/report.error")).ok();
        self.now("report", &report)
    }

    fn reports_at(&self, pauses: u32, status: &str, error: &str) -> &Self {
        let report = self.report(status, error);
        self.at(pauses, "report", &report)
    }

    /// Runs the action as a user would: through a pipe.
    fn run(&self, arguments: &[&str]) -> Said {
        self.run_script(&self.project.bake(["gcloud"].iter().chain(arguments).copied()).done().out)
    }

    fn run_script(&self, script: &str) -> Said {
        self.fake.write("script", script);
        let mut shell = Command::new(self.shell);
        self.environment(&mut shell);
        let script = fs::File::open(self.fake.join("script")).expect("the script");
        said(shell.stdin(Stdio::from(script)))
    }

    fn environment(&self, command: &mut Command) {
        let fake = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/gcloud");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path: Vec<PathBuf> = std::iter::once(fake).chain(std::env::split_paths(&path)).collect();
        command
            .env("PATH", std::env::join_paths(path).expect("a path"))
            .env("FAKE", self.fake.path())
            .env("XDG_STATE_HOME", self.fake.join("state folder"))
            .env("TMPDIR", self.fake.path());
    }

    /// The arguments of each call of gcloud, with what its standard input was as the last.
    fn asked(&self) -> Vec<Vec<String>> {
        let asked = self.fake.read("asked");
        asked.split_terminator("\n\n").map(|call| call.lines().map(str::to_owned).collect()).collect()
    }

    /// Holds that nothing is left in the folder for temporary files.
    #[track_caller]
    fn is_clean(&self) {
        let left = fs::read_dir(self.fake.path()).expect("a folder").flatten();
        let left: Vec<_> =
            left.filter(|entry| entry.file_name().to_string_lossy().starts_with("bake.")).collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn shells() -> impl Iterator<Item = World> {
    ["dash", "bash"].into_iter().map(World::new)
}

/// The printed lines, without the times.
fn stages(said: &Said) -> Vec<&str> {
    said.out
        .lines()
        .filter_map(|line| line.split_once("openclaw-gateway  "))
        .map(|(_, stage)| stage)
        .collect()
}

#[test]
fn wait_shows_each_stage_as_it_passes() {
    for world in shells() {
        world
            .reports_at(2, "starting", "")
            .reports_at(3, "starting", "docker: no network")
            .at(4, "report.error", CUT)
            .at(5, "report.error", CUT)
            .reports_at(6, "image", "")
            .reports_at(9, "ready", "");
        let said = world.run(&["wait"]).done();
        assert_eq!(
            stages(&said),
            [
                "no report yet; the VM is RUNNING",
                "starting",
                "starting: docker: no network",
                "secrets",
                "image",
                "verify",
                "start",
                "ready"
            ]
        );
        assert!(said.out.ends_with("   90 s  openclaw-gateway  ready\n"), "{}", said.out);
        assert_eq!(said.err.matches("Connection reset by peer").count(), 1, "told once: {}", said.err);
        assert!(said.err.contains("bake gcloud tunnel | sh"), "{}", said.err);
        let asked = world.asked();
        assert!(
            asked.iter().all(|call| call.last().is_some_and(|stdin| stdin == "from /dev/null")),
            "{asked:?}"
        );
        world.is_clean();
    }
}

#[test]
fn wait_draws_the_stages_that_it_shows() {
    for world in shells() {
        world.reports("starting", "").reports_at(4, "image", "").reports_at(9, "ready", "");
        let bake = world.project.command().get_program().to_owned();
        let chart = world.fake.join("it's a boot.svg");
        let name = chart.to_str().expect("UTF-8");
        let script = world.project.bake(["gcloud", "wait", "--chart", name]).done().out;
        let without = world.run_script(&script).done();
        assert!(without.err.contains("The chart was not drawn. With bake on the PATH:"), "{}", without.err);
        assert!(!chart.exists());

        world.fake.program("bake-bin/bake", &format!("#!/bin/sh\nexec '{}' \"$@\"\n", bake.display()));
        world.reports("starting", "");
        fs::remove_file(world.fake.join("slept")).expect("a file");
        let path = format!("PATH='{}':$PATH\n", world.fake.join("bake-bin").display());
        let said = world.run_script(&format!("{path}{script}")).done();
        assert!(said.err.contains(&format!("The boot as a picture: {name}")), "{}", said.err);
        let svg = fs::read_to_string(&chart).expect("a picture");
        assert!(svg.contains(">ready after ") && svg.contains(">image<"), "{svg}");
        assert!(!world.fake.join("it's a boot.svg.log").exists());
    }
}

#[test]
fn wait_quotes_the_console_around_a_failure() {
    for world in shells() {
        let mut console: String = (0..100).map(|line| format!("[ {line}.0] before\r\n")).collect();
        console.push_str(
            "\u{1b}[0;1;31mmkfs\u{1b}[0m said\u{9b}31m \u{7}no\r\nopenclaw: status=failed error=x\r\n",
        );
        console.extend((0..100).map(|line| format!("[ {line}.0] after\r\n")));
        world
            .reports("start", "")
            .reports_at(1, "failed", "start: the \u{1b}[2Jgateway ran out of memory")
            .now("serial", &console);
        let said = world.run(&["wait"]).ended(1);
        assert_eq!(stages(&said), ["start", "failed: start: the gateway ran out of memory"]);
        let quoted: Vec<_> = said.err.lines().filter_map(|line| line.strip_prefix("  | ")).collect();
        assert_eq!(quoted.len(), 21, "{}", said.err);
        assert_eq!(quoted[14], "mkfs said31m no");
        assert_eq!(quoted[15], "openclaw: status=failed error=x");
        assert_eq!(quoted[20], "[ 4.0] after");
        assert!(said.err.contains("bake gcloud resize e2-medium | sh"), "{}", said.err);
        world.is_clean();
    }
}

#[test]
fn wait_ends_and_reports_the_last_status() {
    for world in shells() {
        world.reports("image", "image: pulling");
        let said = world.run(&["wait", "--timeout", "95"]).ended(1);
        assert!(
            said.err.contains(
                "not ready after 95 s. Its status is `image` since 2026-11-22T21:05:00Z: image: pulling"
            ),
            "{}",
            said.err
        );
        assert_eq!(world.fake.read("slept").trim(), "10");
        assert!(said.err.contains("bake gcloud logs | sh"));
    }
    for world in shells() {
        let said = world.run(&["wait", "--timeout", "20"]).ended(1);
        assert!(said.err.contains("It is RUNNING, and has reported nothing"), "{}", said.err);
    }
    for world in shells() {
        let said = world.now("state.error", CUT).run(&["wait", "--timeout", "20"]).ended(1);
        assert!(said.err.contains("could not be looked at for 20 s: ERROR: gcloud crashed"), "{}", said.err);
    }
}

/// A VM without memory may not get to report anything: its console tells.
#[test]
fn a_vm_without_memory_is_reported_although_it_is_silent() {
    let killed = "[ 9.0] Out of memory: Killed process 7 (node) total-vm:1kB\r\n";
    for world in shells() {
        let said = world.now("serial", killed).run(&["wait", "--timeout", "0"]).ended(1);
        assert!(said.err.contains("has reported nothing since it was started.\n"), "{}", said.err);
        assert!(said.err.contains("bake gcloud resize e2-medium | sh"), "{}", said.err);
        assert!(!said.err.contains("has no network"), "{}", said.err);
        let said = world.run(&["status"]).ended(1);
        assert!(said.err.contains("bake gcloud resize e2-medium | sh"), "{}", said.err);
        world.reports("start", "");
        let said = world.run(&["wait", "--timeout", "0"]).ended(1);
        assert!(said.err.contains("bake gcloud resize e2-medium | sh"), "{}", said.err);
        world.is_clean();
    }
    for world in shells() {
        world.now("serial.error", CUT);
        for action in [&["wait", "--timeout", "0"][..], &["status"]] {
            let said = world.run(action).ended(1);
            assert!(!said.err.contains("bake gcloud resize"), "{}", said.err);
            assert!(said.err.contains("bake gcloud logs | sh"), "{}", said.err);
        }
    }
}

/// Guest attributes outlive a stop of the VM, and so does a `ready` of before.
#[test]
fn reports_from_before_the_last_start_are_ignored() {
    for world in shells() {
        world.reports("ready", "").now("state", "RUNNING|1|2026-11-22T21:06:00Z|x|['TRUE']");
        world.at(1, "report", "status ready\nsince 2026-11-22T21:07:00Z\n");
        assert_eq!(stages(&world.run(&["wait"]).done())[0], "no report yet; the VM is RUNNING");
    }
    for world in shells() {
        world.reports("ready", "").now("state", "RUNNING|1|2026-11-22T21:06:00Z|x|['TRUE']");
        assert!(world.run(&["status"]).ended(1).out.contains("no report since the VM was started"));
    }
}

/// Each error that prevents a gateway: gcloud's message, and the command that helps.
#[test]
fn permanent_errors_are_answered_at_once() {
    let said_of_it = [
        ("state", "", "bake gcloud create | sh"),
        (
            "state",
            "TERMINATED|1|||",
            "gcloud compute instances start openclaw-gateway --project=demo --zone=us-central1-a",
        ),
        ("state", "STOPPING|1|||", "gcloud compute instances start"),
        ("state", "SUSPENDED|1|||", "gcloud compute instances resume openclaw-gateway"),
        ("state", "RUNNING|1|||", "--metadata=enable-guest-attributes=TRUE"),
        ("state", "RUNNING|1|||['FALSE']", "--metadata=enable-guest-attributes=TRUE"),
        (
            "report.error",
            "ERROR: (gcloud.compute.instances.get-guest-attributes) HTTPError 412: Guest attributes access is\n disabled for the instance.",
            "--metadata=enable-guest-attributes=TRUE",
        ),
        (
            "state.error",
            "ERROR: (gcloud.compute.instances.list) You do not currently have an active account selected.\nPlease run:\n\n  $ gcloud auth login\n",
            "gcloud is not logged in: gcloud auth login",
        ),
        (
            "state.error",
            "ERROR: (gcloud.compute.instances.list) There was a problem refreshing your current auth tokens: Reauthentication failed.",
            "gcloud auth login",
        ),
        (
            "state.error",
            "ERROR: (gcloud.compute.instances.list) Some requests did not succeed:\n - Compute Engine API has not been used\n in project 1 before or it is disabled.",
            "bake gcloud setup | sh",
        ),
        (
            "report.error",
            "ERROR: (x) HTTPError 403: Required 'compute.instances.getGuestAttributes' permission for 'x'. This command is authenticated as me which is the active account specified by the [core/account] property.",
            "gcloud auth list",
        ),
    ];
    for action in ["wait", "status"] {
        for (file, text, answer) in said_of_it {
            for world in shells() {
                let said = world.now(file, text).run(&[action]).ended(1);
                assert!(said.err.contains(answer), "{action}: {text}: {}", said.err);
                assert!(!said.err.contains("Trying again"), "{text}: {}", said.err);
                assert!(!world.fake.join("slept").exists(), "{text}: {}", said.err);
            }
        }
    }
}

#[test]
fn without_a_project_gcloud_is_asked_for_nothing_else() {
    for world in shells() {
        let said = world.now("project", "").run(&["status"]).ended(1);
        assert!(said.err.contains("gcloud config set project PROJECT"), "{}", said.err);
        assert_eq!(world.asked().len(), 1);
    }
}

#[test]
fn status_is_one_look_at_vm_gateway_and_lock() {
    for world in shells() {
        world.reports("ready", "telegram could not be added");
        world.now(
            "state",
            &RUNNING.replace("LOCK", &world.lock()[..16]).replace("['TRUE']", "['TRUE']||e2-small"),
        );
        world
            .now("disks", "openclaw-gateway-data 10\nopenclaw-gateway-data-1 10\n")
            .now("snapshots", "daily-1 2026-11-21T04:00:00Z True\n");
        let said = world.run(&["status"]).done();
        let lock = world.lock();
        assert_eq!(
            said.out,
            format!(
                "openclaw-gateway in us-central1-a of demo\n  \
                   vm       RUNNING, started 2026-11-22T21:00:00Z\n  \
                   gateway  ready, since 2026-11-22T21:05:00Z: telegram could not be added\n  \
                   lock     {lock}, that of bake.lock\n  \
                   machine  e2-small\n  \
                   disk     openclaw-gateway-data, 10 GB\n  \
                   old disk openclaw-gateway-data-1, 10 GB, which a restore has left; you keep paying for it\n  \
                   snapshot daily-1, of 2026-11-21T04:00:00Z\n  \
                   backup   none yet: bake gcloud backup | sh\n  \
                   costs    about 19 USD a month: e2-small, 30 GB pd-balanced, one public address; list prices of us-central1, 2025; traffic and snapshots come on top\n"
            )
        );
        assert_eq!((said.err.as_str(), world.asked().len()), ("", 7));
    }
    for world in shells() {
        world.reports("failed", "secrets: secret telegram is forbidden");
        let said = world.run(&["status"]).ended(1);
        assert!(said.err.contains("bake gcloud setup | sh"), "{}", said.err);
    }
    for world in shells() {
        // Before its first report the VM's label has the first digits.
        let said = world.run(&["status"]).ended(1);
        assert!(
            said.out.contains(&format!("lock     {}, that of bake.lock", &world.lock()[..16])),
            "{}",
            said.out
        );
    }
    for world in shells() {
        world.now("state", &RUNNING.replace("LOCK", "0123456789abcdef"));
        let other = world.report("ready", "").replace(&world.lock(), &"e".repeat(64));
        fs::remove_file(world.fake.join("now/report.error")).expect("a file");
        let said = world.now("report", &other).run(&["status"]).ended(1);
        assert!(said.out.contains(&format!("lock     {}; bake.lock is ", "e".repeat(64))), "{}", said.out);
        assert!(said.err.contains("bake gcloud update | sh"), "{}", said.err);
    }
}

#[test]
fn every_vm_of_a_fleet_is_looked_at() {
    for world in shells() {
        world.reports("ready", "");
        let said = world.run(&["status", "--fleet", "alice,bob"]).done();
        assert_eq!(said.out.matches(", that of bake.lock").count(), 2, "{}", said.out);
        let names = |word: &str| world.asked().iter().flatten().filter(|asked| asked.contains(word)).count();
        assert_eq!((names("alice"), names("bob"), names("openclaw-gateway")), (6, 6, 1));
    }
    for world in shells() {
        world.reports("failed", "image: x").now("serial", "");
        let said = world.run(&["wait", "--fleet", "2"]).ended(1);
        assert!(
            said.err.contains("openclaw-gateway-1 failed") && said.err.contains("openclaw-gateway-2 failed")
        );
    }
}

/// An action, the state of the cloud, and the expected advice.
type Advised<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a [&'a str]);

/// Advice for a fleet or one of its members has the option that selects it: without it the command would be
/// about a missing VM.
#[test]
fn advice_is_about_the_fleet_and_its_member() {
    let (fleet, member) = (["--fleet", "alice,bob"], ["--member", "alice"]);
    let cases: [Advised; 9] = [
        (&["wait"], &[], &["logs --member bob", "wait --fleet alice,bob"]),
        (&["status"], &[("state", "")], &["create --fleet alice,bob"]),
        (&["wait"], &[("serial", "oom-kill:constraint")], &["update --replace --fleet alice,bob"]),
        (
            &["wait"],
            &[("status", "failed")],
            &["logs --member alice --all", "logs --member bob --all", "wait --fleet alice,bob"],
        ),
        (&["wait"], &[("status", "ready")], &["tunnel --member bob", "token --member bob"]),
        (&["status"], &[], &["wait --fleet alice,bob", "logs --member bob"]),
        (&["status"], &[("lock", "0123456789abcdef")], &["update --fleet alice,bob"]),
        (
            &["tunnel"],
            &[("session.error", NO_KEY), ("probe.error", CLOSED)],
            &["token --member alice", "status --fleet alice", "logs --member alice"],
        ),
        (&["logs"], &[("state", "")], &["create --fleet alice"]),
    ];
    for (action, now, advice) in cases {
        for world in shells() {
            for (file, text) in now {
                match *file {
                    "status" => world.reports(text, "image: x"),
                    "lock" => {
                        world.reports("ready", "").now("report", &format!("status ready\nlock {text}\n"))
                    }
                    file => world.now(file, text),
                };
            }
            let option = if ["tunnel", "logs"].contains(&action[0]) { member } else { fleet };
            let waits = if action[0] == "wait" { &["--timeout", "0"][..] } else { &[] };
            let said = world.run(&[action, &option, waits].concat());
            for advice in advice {
                assert!(said.err.contains(&format!("bake gcloud {advice} | sh")), "{action:?}: {}", said.err);
            }
            let is_told =
                |line: &&str| ["--fleet ", "--member ", "setup"].iter().any(|part| line.contains(part));
            let others = said.err.lines().filter(|line| line.contains("bake gcloud") && !is_told(line));
            assert_eq!(others.count(), 0, "{action:?}: {}", said.err);
            assert!(!said.err.contains("--target-tags=alice"), "the tag is the fleet's: {}", said.err);
        }
    }
}

#[test]
fn a_member_is_looked_at_and_reached_by_its_name() {
    for world in shells() {
        world.now("serial", "hello\r\n").now("session", "made-on-the-vm\n");
        assert_eq!(world.run(&["logs", "--member", "alice"]).done().out, "hello\n");
        assert_eq!(world.run(&["logs", "--member", "bob"]).done().out, "hello\n", "its own place in its log");
        assert_eq!(world.run(&["token", "--member", "alice"]).done().out, "made-on-the-vm\n");
        world.run(&["tunnel", "--member", "bob"]).done();
        let asked: Vec<_> = world.asked().iter().map(|call| call.join(" ")).collect();
        let of_one = asked.iter().filter(|call| call.contains("openclaw-gateway")).count();
        assert_eq!(of_one, 0, "{asked:#?}");
        assert!(asked.iter().any(|call| call.starts_with("compute ssh alice ")), "{asked:#?}");
        assert!(asked.iter().any(|call| call.starts_with("compute ssh bob ")), "{asked:#?}");
    }
}

/// A group does not report the VMs that it replaces; old errors do not count, and temporary ones do not end the
/// wait.
#[test]
fn a_group_at_work_is_waited_for() {
    let old = "2020-01-01T00:00:00Z alice QUOTA_EXCEEDED Quota 'CPUS' exceeded\n";
    let passing = format!("{old}2036-01-01T00:00:00Z alice INTERNAL_ERROR Internal error.\n");
    let quota = format!("{old}2036-01-01T00:00:00Z bob QUOTA_EXCEEDED Quota 'CPUS' exceeded\n");
    let alice_only = ["wait", "--fleet", "alice"];
    for world in shells() {
        world
            .reports("ready", "")
            .now("group", "False|True\n")
            .now("group-errors", old)
            .at(1, "group-errors", &passing)
            .at(3, "group", "True|False\n")
            .at(4, "group", "True|True\n")
            .at(4, "state", "")
            .at(5, "state", &RUNNING.replace("RUNNING|", "STOPPING|"))
            .at(6, "state", RUNNING);
        let said = world.run(&alice_only).done();
        let lines: Vec<_> = said.out.lines().filter_map(|line| line.split_once("alice  ")).collect();
        let stages: Vec<_> = lines.into_iter().map(|(_, stage)| stage).collect();
        assert_eq!((stages[0], stages[stages.len() - 1]), ("its group replaces it", "ready"), "{}", said.out);
        assert_eq!(said.err.matches("INTERNAL_ERROR").count(), 1, "{}", said.err);
        assert!(!said.err.contains("QUOTA"), "{}", said.err);
        world.is_clean();
    }
    for world in shells() {
        world.now("group", "False|True\n").at(1, "group-errors", &quota);
        let said = world.run(&alice_only).ended(1);
        assert!(said.err.contains("bob QUOTA") && said.err.contains("gcp.machine_type"), "{}", said.err);
        assert!(said.err.contains("bake gcloud wait --fleet alice | sh"), "{}", said.err);
    }
    for world in shells() {
        world.now("group", "False|True\n");
        let said = world.run(&["wait", "--fleet", "alice", "--timeout", "60"]).ended(1);
        assert!(said.err.contains("The group openclaw-gateway is not done after 60 s"), "{}", said.err);
        world.now("group", "");
        let said = world.run(&alice_only).ended(1);
        assert!(said.err.contains("bake gcloud create --fleet alice | sh"), "{}", said.err);
        world.now("group", "True|True\n").now("state", "");
        let said = world.run(&["wait", "--fleet", "alice", "--timeout", "60"]).ended(1);
        assert!(said.err.contains("managed list-errors openclaw-gateway"), "{}", said.err);
    }
}

#[test]
fn logs_continue_after_the_last_line() {
    for world in shells() {
        let mut console: String = (0..50).map(|line| format!("\u{1b}[1mline\u{1b}[0m {line}\r\n")).collect();
        let plain =
            |console: &str| console.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "").replace('\r', "");
        console.push_str("half a ");
        world.now("serial", &console);
        let first = world.run(&["logs"]).done();
        assert_eq!((first.out, first.err.as_str()), (plain(&console), ""));
        assert_eq!(world.run(&["logs"]).done().out, "", "nothing new");

        let seen = console.len();
        console.push_str("line\r\nñ and more\r\n");
        world.now("serial", &console);
        assert_eq!(world.run(&["logs"]).done().out, plain(&console[seen..]));
        assert_eq!(world.run(&["logs", "--all"]).done().out, plain(&console));

        // A buffer that ran over in between.
        let seen = console.len();
        console.push_str(&"x".repeat(1000));
        world.now("serial", &console).now("oldest", &(seen + 100).to_string());
        let said = world.run(&["logs"]).done();
        assert_eq!(
            (said.out.len(), said.err.trim()),
            (900, "[100 bytes are gone: only the last mebibyte is kept]")
        );

        // The log of another start, however long it is.
        let again = format!("second boot\n{}", "y".repeat(5000));
        world.now("serial", &again).now("oldest", "0");
        world.now("state", "RUNNING|4711|2026-11-23T08:00:00Z||['TRUE']");
        assert_eq!(world.run(&["logs"]).done().out, again);
        world.now("serial", "third boot\r\n");
        assert_eq!(world.run(&["logs"]).done().out, "third boot\n", "shorter than what was seen");
        world.is_clean();
    }
}

#[test]
fn logs_of_no_vm_are_an_error_and_of_a_stopped_one_are_not() {
    for world in shells() {
        let said = world.now("state", "").run(&["logs"]).ended(1);
        assert!(said.err.contains("bake gcloud create | sh"), "{}", said.err);
    }
    for world in shells() {
        let world =
            world.now("state", "TERMINATED|1|2026-11-22T21:00:00Z|x|['TRUE']").now("serial", "bye\r\n");
        assert_eq!(world.run(&["logs"]).done().out, "bye\n");
    }
}

#[test]
fn a_state_file_that_is_damaged_begins_from_the_beginning() {
    for world in shells() {
        world.now("serial", "one\r\n");
        let file = "state folder/bake/serial/demo/us-central1-a/openclaw-gateway";
        for damaged in ["", "4711 2026-11-22T21:00:00Z\n$(touch x)\n", "\n\n\n", "4711 2026-11-22T21:00:00Z"]
        {
            world.fake.write(file, damaged);
            assert_eq!(world.run(&["logs"]).done().out, "one\n", "{damaged:?}");
        }
        assert_eq!(world.run(&["logs"]).done().out, "");
    }
}

#[test]
fn the_token_is_read_where_it_is() {
    let kept = "{generate: hex32, secret_manager: gateway-token}";
    for world in shells() {
        world.project.edit(
            "bake.yaml",
            "OPENCLAW_GATEWAY_TOKEN: {generate: hex32}",
            &format!("OPENCLAW_GATEWAY_TOKEN: {kept}"),
        );
        world.project.bake(["lock", "--offline"]).done();
        world.now("secret", "s3cr3t-t0k3n");
        let said = world.run(&["token"]).done();
        assert_eq!((said.out.as_str(), said.err.as_str()), ("s3cr3t-t0k3n\n", ""));
        let read = [
            "secrets",
            "versions",
            "access",
            "latest",
            "--secret=gateway-token",
            "--project=demo",
            "from /dev/null",
        ];
        assert_eq!(world.asked()[1], read);
        let missing = "ERROR: (gcloud.secrets.versions.access) NOT_FOUND: Secret [projects/1/secrets/gateway-token] not found or has no versions.";
        let said = world.now("secret.error", missing).run(&["token"]).ended(1);
        assert!(said.err.contains("bake gcloud setup | sh"), "{}", said.err);
    }
    for world in shells() {
        world.now("session", "made-on-the-vm");
        let said = world.run(&["token"]).done();
        assert_eq!(said.out, "made-on-the-vm");
        let asked = world.asked();
        let command = "--command=sudo -n cat /var/lib/openclaw/secrets/OPENCLAW_GATEWAY_TOKEN";
        assert_eq!(
            asked[1],
            [
                "compute",
                "ssh",
                "openclaw-gateway",
                "--project=demo",
                "--zone=us-central1-a",
                command,
                "from /dev/null"
            ]
        );
        assert_eq!(asked.len(), 2);

        world.now("session.error", "sudo: a password is required\n");
        let said = world.run(&["token"]).ended(1);
        assert!(said.err.contains("roles/compute.osAdminLogin"), "{}", said.err);
    }
}

#[test]
fn the_tunnel_is_to_the_loopback_interface_and_through_iap_without_an_address() {
    for world in shells() {
        let said = world.run(&["tunnel"]).done();
        assert!(said.err.contains("http://127.0.0.1:18789/"), "{}", said.err);
        assert!(
            world.asked()[1]
                .join(" ")
                .contains("us-central1-a -- -N -L 18789:127.0.0.1:18789 -o ExitOnForwardFailure=yes")
        );

        world.project.edit("bake.yaml", "public_ip: true", "public_ip: false");
        let said = world.run(&["tunnel", "--port", "8080"]).done();
        assert!(said.err.contains("http://127.0.0.1:8080/"), "{}", said.err);
        let asked = world.asked();
        let tunnel = asked.last().expect("a call").join(" ");
        assert!(
            tunnel.contains("--tunnel-through-iap --command=")
                && tunnel.contains(" -- -L 8080:127.0.0.1:18789"),
            "{tunnel}"
        );

        let said = world
            .now("session.error", "bind [127.0.0.1]:18789: Address already in use\n")
            .now("session.code", "255");
        let said = said.run(&["tunnel"]).ended(255);
        assert!(said.err.contains("bake gcloud tunnel --port OTHER | sh"), "{}", said.err);
    }
}

/// The session is begun again once the key has arrived.
#[test]
fn an_ssh_key_that_is_not_there_yet_is_waited_for() {
    for world in shells() {
        world
            .now("session.error", NO_KEY)
            .now("session.code", "255")
            .now("probe.error", NO_KEY)
            .at(1, "probe.error", "ssh: connect to host 203.0.113.7 port 22: Connection refused\n")
            .at(2, "probe.error", NO_KEY)
            .at(3, "session", "made-on-the-vm\n");
        let said = world.run(&["token"]).done();
        assert_eq!((said.out.as_str(), said.err.matches("Not let in yet").count()), ("made-on-the-vm\n", 1));
        world.is_clean();
    }
}

#[test]
fn reasons_for_a_refused_login_are_answered() {
    let iap = "ERROR: (gcloud.compute.start-iap-tunnel) Error while connecting [4033: 'not authorized'].\n";
    for (error, pauses, answers) in [
        (
            iap,
            0,
            &[
                "projects add-iam-policy-binding demo --member=\"user:$(gcloud config get-value account)\" --role=roles/iap.tunnelResourceAccessor",
            ][..],
        ),
        (
            NO_KEY,
            12,
            &[
                "--role=roles/compute.osAdminLogin",
                "service-accounts add-iam-policy-binding openclaw-gateway@demo.iam.gserviceaccount.com --project=demo",
                "gcloud compute os-login describe-profile",
            ],
        ),
        (
            CLOSED,
            12,
            &[
                "--allow=tcp:22 --target-tags=openclaw-gateway --source-ranges=YOUR_ADDRESS/32",
                "bake gcloud logs | sh",
            ],
        ),
        (
            "ERROR: (gcloud.compute.ssh) You do not currently have an active account selected.\nPlease run:\n $ gcloud auth login\n",
            0,
            &["gcloud is not logged in: gcloud auth login"],
        ),
        ("ERROR: (gcloud.compute.ssh) Your platform does not support SSH.\n", 0, &["install OpenSSH"]),
        ("ERROR: (gcloud.compute.ssh) something new\n", 0, &["something new"]),
    ] {
        for world in shells() {
            let world =
                world.now("session.error", error).now("session.code", "255").now("probe.error", error);
            let said = world.run(&["tunnel"]).ended(255);
            for answer in answers {
                assert!(said.err.contains(answer), "{error}: {}", said.err);
            }
            let slept = fs::read_to_string(world.fake.join("slept")).unwrap_or("0".to_owned());
            assert_eq!(slept.trim(), pauses.to_string(), "{error}");
        }
    }
    for world in shells() {
        world.now("session.error", NO_KEY).now("session.code", "255").now("probe.error", NO_KEY);
        let said = world.now("state", "TERMINATED|1|||").run(&["tunnel"]).ended(255);
        assert!(said.err.contains("gcloud compute instances start openclaw-gateway"), "{}", said.err);
    }
}

/// `script` gives a terminal, which is what the session reads, while the shell reads the pipe.
#[test]
fn a_shell_on_the_vm_has_the_terminal() {
    for world in shells() {
        let mut terminal = program("script");
        let text = world.project.bake(["gcloud", "ssh"]).done().out;
        world.fake.write("script", &text);
        world.environment(&mut terminal);
        world.now("session", "welcome").now("session.code", "0");
        let run = format!("cat {} | {}", world.fake.join("script").display(), world.shell);
        let said = said(terminal.args(["-qec", &run, "/dev/null"]).stdin(Stdio::null())).done();
        assert!(said.out.contains("welcome"), "{}", said.out);
        assert_eq!(
            world.asked().last().and_then(|call| call.last()).map(String::as_str),
            Some("from /dev/tty")
        );
    }
}

#[test]
fn the_exit_code_of_the_session_is_the_scripts() {
    for world in shells() {
        world.now("session.error", "").now("session.code", "42");
        assert_eq!(world.run(&["token"]).code, 42);
        assert_eq!(world.asked().len(), 2, "what the VM ends with is no failure to connect");
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let folder = Folder::project();
    for wrong in [
        &["gcloud", "tunnel", "--port", "0"][..],
        &["gcloud", "tunnel", "--port", "65536"],
        &["gcloud", "wait", "--timeout", "soon"],
        &["gcloud", "status", "--fleet", "0"],
        &["gcloud", "status", "--fleet", "-x"],
        &["gcloud", "logs", "--fleet", "2"],
    ] {
        folder.bake(wrong.iter().copied()).ended(2);
    }
}

/// Each kind of error of the VM's contract, from `wait` and `status`, and for a fleet.
#[test]
fn every_kind_of_error_is_answered_with_its_advice() {
    let fill = |line: &str, fleet: bool| {
        let (fleet, member) = if fleet { (" --fleet a1,b2", " --member a1") } else { ("", "") };
        let vm = if fleet.is_empty() { "openclaw-gateway" } else { "a1" };
        [
            ("{vm}", vm),
            ("{project}", "demo"),
            ("{zone}", "us-central1-a"),
            ("{device}", "openclaw-gateway-data"),
            ("{larger}", "e2-medium"),
            ("{fleet}", fleet),
            ("{member}", member),
        ]
        .iter()
        .fold(line.to_owned(), |line, (name, value)| line.replace(name, value))
    };
    let world = World::new("dash");
    let scripts: Vec<_> = [&["status"][..], &["status", "--fleet", "a1,b2"], &["wait"]]
        .into_iter()
        .map(|arguments| {
            (arguments, world.project.bake(["gcloud"].iter().chain(arguments).copied()).done().out)
        })
        .collect();
    for kind in &bake::vm::ERRORS {
        world.reports("failed", "stage: words that no pattern knows");
        let report = format!("error_kind {}\n{}", kind.name, world.report("failed", "stage: no pattern"));
        world.now("report", &report);
        for (arguments, script) in &scripts {
            let said = world.run_script(script);
            let in_fleet = arguments.contains(&"--fleet");
            let lines = kind.fleet_advice.filter(|_| in_fleet).unwrap_or(kind.advice);
            for line in lines {
                let line = fill(line, in_fleet);
                assert!(said.err.lines().any(|told| told == line), "{arguments:?}: {line}\n{}", said.err);
            }
            assert!(!said.err.contains(['{', '}']), "{}", said.err);
        }
        world.now("serial", "[ 9.0] Out of memory: Killed process 7 (node) total-vm:1kB\r\n");
        let said = world.run_script(&scripts[0].1);
        let memory = kind.may_be_memory || kind.name == "out-of-memory";
        assert_eq!(said.err.contains("The VM ran out of memory."), memory, "{}: {}", kind.name, said.err);
        world.now("serial", "");
    }
}

/// VMs of older releases report no kind.
#[test]
fn the_text_of_an_error_without_a_kind_is_answered() {
    for (error, advice) in [
        (
            "secrets: secret bot is forbidden: the VM's service account may not read it (403)",
            "bake gcloud setup | sh",
        ),
        (
            "disk: data disk openclaw-gateway-data is not attached (no /dev/disk/by-id/x)",
            "attach-disk openclaw-gateway",
        ),
        (
            "image: build of x: gog: https://x/gog.tar.gz has SHA-256 0123456789ab, and ba9876543210 is locked",
            "bake lock --update TOOL",
        ),
        (
            "image: build of x: sha256sum: WARNING: 1 computed checksum did NOT match",
            "bake lock --update TOOL",
        ),
        (
            "verify: not what bake.lock says: gog: locked as 1, found 2 at /usr/local/bin/gog",
            "bake image push",
        ),
        ("start: the gateway ran out of memory (exit code 137)", "bake gcloud resize e2-medium | sh"),
    ] {
        for world in shells() {
            let said = world.reports("failed", error).run(&["wait"]).ended(1);
            assert!(said.err.contains(advice), "{error}: {}", said.err);
        }
    }
}
