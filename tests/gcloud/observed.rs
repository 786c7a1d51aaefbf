//! The actions of `bake gcloud` that look at a VM or reach it, run by the real gcloud against a local server of
//! Google's APIs: the scripts must read gcloud's real output. Each runs in one shell; `look.rs` compares both
//! shells with a fake gcloud.

use crate::support::google::{self, Cloud, Fault, Google, KEYGEN, Run, Shell};
use crate::support::processes;
use crate::support::test;

const ACCOUNT: &str = "openclaw-gateway";
const INSTANCES: &str = "compute/projects/demo/zones/us-central1-a/instances";
const INSTANCE: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const DISKS: &str = "compute/projects/demo/zones/us-central1-a/disks";
/// A cloud with the VM as `create` makes it, where pauses take no time.
fn created() -> Cloud {
    let cloud = Cloud::created();
    cloud.in_place_of("sleep", "exit 0");
    cloud
}

/// Sets a guest attribute of the VM.
fn report(cloud: &Cloud, key: &str, value: &str) {
    cloud.google.guest_attribute(INSTANCE, &format!("openclaw/{key}"), value);
}

fn lock(cloud: &Cloud) -> String {
    bake::digest::Sha256::of(cloud.folder.read("bake.lock")).to_string()
}

/// The printed lines, without the times.
fn stages(run: &Run) -> Vec<&str> {
    run.out.lines().filter_map(|line| line.split_once("openclaw-gateway  ")).map(|(_, stage)| stage).collect()
}

#[test]
fn stages_that_change_while_it_waits_are_shown() {
    let cloud = created();
    cloud.google.boots(&["starting", "starting", "image", "ready"]);
    let run = cloud.run(Shell::Dash, &["wait"]).done();
    assert_eq!(stages(&run), ["starting", "secrets", "image", "verify", "start", "ready"], "{}", run.err);
    assert!(run.err.contains("bake gcloud tunnel | sh"), "{}", run.err);
}

#[test]
fn a_failure_is_shown_with_the_console_around_it() {
    let cloud = created();
    for line in 0..60 {
        cloud.google.serial(INSTANCE, &format!("\u{1b}[0;32m[ {line}.0]\u{1b}[0m of no interest\r\n"));
    }
    cloud.google.serial(
        INSTANCE,
        "Out of memory: Killed process 7 (node)\r\nopenclaw: status=failed error=start: ñ\r\n",
    );
    for line in 0..60 {
        cloud.google.serial(INSTANCE, &format!("[ {line}.0] after\r\n"));
    }
    report(&cloud, "error", "start: the gateway stopped, \"why\" | $(nobody) knows");
    report(&cloud, "since", "2036-11-22T21:00:00Z");
    report(&cloud, "status", "failed");
    let run = cloud.run(Shell::Bash, &["wait"]).ended(1);
    assert_eq!(stages(&run), ["failed: start: the gateway stopped, \"why\" | $(nobody) knows"]);
    let quoted: Vec<_> = run.err.lines().filter_map(|line| line.strip_prefix("  | ")).collect();
    assert_eq!(quoted.len(), 21, "{}", run.err);
    assert_eq!((quoted[13], quoted[16]), ("[ 59.0] of no interest", "[ 0.0] after"));
    assert_eq!(quoted[15], "openclaw: status=failed error=start: ñ");
    assert!(run.err.contains("bake gcloud resize e2-medium | sh"), "{}", run.err);
}

#[test]
fn a_time_out_reports_the_last_status() {
    let cloud = created();
    let run = cloud.run(Shell::Dash, &["wait", "--timeout", "0"]).ended(1);
    assert!(run.err.contains("It is RUNNING, and has reported nothing"), "{}", run.err);
    report(&cloud, "since", "2036-11-22T21:00:00Z");
    report(&cloud, "error", "docker: no network");
    report(&cloud, "status", "starting");
    let run = cloud.run(Shell::Dash, &["wait", "--timeout", "0"]).ended(1);
    let stands =
        "not ready after 0 s. Its status is `starting` since 2036-11-22T21:00:00Z: docker: no network";
    assert!(run.err.contains(stands), "{}", run.err);
}

#[test]
fn obstacles_are_answered() {
    let cloud = created();
    let answered = |cloud: &Cloud, answer: &str| {
        for action in ["wait", "status"] {
            let run = cloud.run(Shell::Dash, &[action]).ended(1);
            assert!(run.err.contains(answer), "{action}: {}{}", run.out, run.err);
            assert!(!run.err.contains("Trying again"), "{action}: {}", run.err);
        }
    };
    let change = |key: &str, value: serde_json::Value| {
        let mut vm = cloud.google.get(INSTANCE);
        vm[key] = value;
        cloud.google.put(INSTANCE, vm);
    };

    cloud.google.fail("GET", "/instances", Fault::denied("compute.instances.list"), None);
    answered(&cloud, "gcloud auth list");
    cloud.google.mend();

    change("status", "TERMINATED".into());
    answered(&cloud, "gcloud compute instances start openclaw-gateway --project=demo --zone=us-central1-a");
    change("status", "RUNNING".into());

    change("metadata", serde_json::json!({"items": [{"key": "enable-guest-attributes", "value": "FALSE"}]}));
    answered(&cloud, "--metadata=enable-guest-attributes=TRUE");

    cloud.google.remove(INSTANCE);
    // One whose name begins in the same way is another.
    let mut other = serde_json::json!({"name": "openclaw-gateway-2", "status": "RUNNING", "id": "1"});
    other["zone"] = "https://www.googleapis.com/compute/v1/projects/demo/zones/us-central1-a".into();
    cloud.google.put(&format!("{INSTANCE}-2"), other);
    answered(&cloud, "bake gcloud create | sh");
}

#[test]
fn an_api_that_is_not_enabled_is_answered() {
    let cloud = Cloud::new(Google::empty(), &[]);
    for action in ["wait", "status", "logs"] {
        let run = cloud.run(Shell::Bash, &[action]).ended(1);
        assert!(run.err.contains("bake gcloud setup | sh"), "{action}: {}", run.err);
    }
}

#[test]
fn status_is_one_look() {
    let cloud = created();
    let lock = lock(&cloud);
    let run = cloud.run(Shell::Bash, &["status"]).ended(1);
    assert!(run.out.contains(&format!("lock     {}, that of bake.lock", &lock[..16])), "{}", run.out);
    assert!(run.out.contains("no report since the VM was started"), "{}", run.out);
    for (key, value) in
        [("error", ""), ("lock", &lock), ("since", "2036-11-22T21:00:00Z"), ("status", "ready")]
    {
        report(&cloud, key, value);
    }
    let run = cloud.run(Shell::Bash, &["status"]).done();
    assert!(run.out.contains("gateway  ready, since 2036-11-22T21:00:00Z\n"), "{}", run.out);
    assert_eq!(run.err, "");
    report(&cloud, "lock", &"e".repeat(64));
    let run = cloud.run(Shell::Bash, &["status"]).ended(1);
    assert!(run.err.contains("bake gcloud update | sh"), "{}", run.err);
}

#[test]
fn logs_continue_after_the_last_line() {
    let cloud = created();
    let long: String = (0..3000).map(|line| format!("[ {line}.0] \u{1b}[1mbold\u{1b}[0m\r\n")).collect();
    cloud.google.serial(INSTANCE, &long);
    let first = cloud.run(Shell::Dash, &["logs"]).done();
    assert_eq!(first.err, "");
    assert_eq!((first.out.lines().count(), first.out.lines().last()), (3000, Some("[ 2999.0] bold")));
    assert!(first.out.ends_with('\n') && !first.out.ends_with("\n\n"));
    assert_eq!(cloud.run(Shell::Dash, &["logs"]).done().out, "");
    cloud.google.serial(INSTANCE, "half a ");
    assert_eq!(cloud.run(Shell::Dash, &["logs"]).done().out, "half a ");
    cloud.google.serial(INSTANCE, "line\r\n");
    assert_eq!(cloud.run(Shell::Dash, &["logs"]).done().out, "line\n");
    assert_eq!(cloud.run(Shell::Dash, &["logs", "--all"]).done().out.lines().count(), 3001);
}

#[test]
fn a_token_in_secret_manager_is_printed_and_appears_nowhere_else() {
    let generate = "OPENCLAW_GATEWAY_TOKEN: {generate: hex32";
    let edit = (generate, "OPENCLAW_GATEWAY_TOKEN: {secret_manager: gateway-token, generate: hex32");
    let mut cloud = Cloud::new(Google::set_up(ACCOUNT), &[edit]);
    let missing = cloud.run(Shell::Bash, &["token"]).ended(1);
    assert!(missing.err.contains("bake gcloud setup | sh"), "{}", missing.err);
    cloud.piped(Shell::Bash, "gcloud secrets create gateway-token --replication-policy=automatic; printf 's3cr3t-t0k3n\\n' | gcloud secrets versions add gateway-token --data-file=-").done();
    cloud.loads_anew = true;
    let (run, seen) = processes::seen_during(|| cloud.run(Shell::Bash, &["token"]));
    let run = run.done();
    assert_eq!((run.out.as_str(), run.err.as_str()), ("s3cr3t-t0k3n\n", ""));
    assert!(!run.calls.iter().flatten().any(|word| word.contains("s3cr3t")), "{:?}", run.calls);
    for (place, text) in [("environment", &run.environment), ("script", &cloud.script(&["token"]))] {
        assert!(!text.contains("s3cr3t"), "in the {place}");
    }
    let left = cloud.left();
    assert!(
        left.iter().any(|(path, _)| path.extension().is_some_and(|end| end == "log")),
        "gcloud's own log"
    );
    for (path, content) in left {
        assert!(!String::from_utf8_lossy(&content).contains("s3cr3t"), "in {}", path.display());
    }
    let is_gcloud = |text: &&String| text.contains("versions\0access\0latest\0--secret=gateway-token");
    assert!(seen.iter().any(|text| is_gcloud(&text)), "gcloud was seen at work");
    assert!(!seen.iter().any(|text| text.contains("s3cr3t")), "in the process list");
}

/// The arguments of each `ssh`.
fn sessions(run: &Run) -> Vec<String> {
    run.calls.iter().filter(|call| call[0] == "ssh").map(|call| call.join(" ")).collect()
}

/// The real gcloud creates a key, registers it with OS Login, and starts an `ssh` with a prepared outcome.
#[test]
fn a_vm_is_reached_by_the_ssh_that_gcloud_begins() {
    let mut cloud = created();
    cloud.beneath_gcloud("ssh-keygen", KEYGEN);
    cloud.beneath_gcloud("ssh", "exit 0");
    let run = cloud.run(Shell::Dash, &["tunnel"]).done();
    assert!(run.err.contains("http://127.0.0.1:18789/"), "{}", run.err);
    let [tunnel] = &sessions(&run)[..] else { panic!("{:#?}", run.calls) };
    let id = cloud.google.get(INSTANCE)["id"].clone();
    for part in [
        &format!("-o HostKeyAlias=compute.{} ", id.as_str().expect("an id")),
        " me_example_com@203.0.113.10 -N -L 18789:127.0.0.1:18789 -o ExitOnForwardFailure=yes -o ServerAliveInterval=30",
    ] {
        assert!(tunnel.contains(part), "{part}: {tunnel}");
    }
    let made = run.calls.iter().find(|call| call[0] == "ssh-keygen").expect("a key");
    assert_eq!(made[1..5], ["-N", "", "-t", "rsa"], "nobody can be asked for a passphrase");
    let profile = cloud.google.get(&format!("oslogin/users/{}/loginProfile", google::ACCOUNT));
    assert!(
        profile["sshPublicKeys"]["f1"]["key"].as_str().is_some_and(|key| key.starts_with("ssh-rsa AAAA"))
    );

    // OS Login knows the key, but the VM does not yet: gcloud ends with 1 for every exit code of ssh.
    cloud.beneath_gcloud(
        "ssh",
        "tries=$(cat \"$HOME/tries\" 2>/dev/null)x; printf %s \"$tries\" >\"$HOME/tries\"\n\
         [ ${#tries} -gt 3 ] || { echo 'me@203.0.113.10: Permission denied (publickey).' >&2; exit 255; }\n\
         case \"$*\" in *' -- true') ;; *) echo made-on-the-vm ;; esac",
    );
    let run = cloud.run(Shell::Bash, &["token"]).done();
    assert_eq!((run.out.as_str(), run.err.matches("Not let in yet").count()), ("made-on-the-vm\n", 1));
    let read = "me_example_com@203.0.113.10 -- sudo -n cat /var/lib/openclaw/secrets/OPENCLAW_GATEWAY_TOKEN";
    let session = sessions(&run);
    assert!(session.len() == 5 && session[0].ends_with(read) && session[4].ends_with(read), "{session:#?}");

    // A program on the VM that fails.
    cloud.beneath_gcloud(
        "ssh",
        "case \"$*\" in *' -- true') ;; *) echo 'cat: no such file' >&2; exit 1 ;; esac",
    );
    let run = cloud.run(Shell::Dash, &["token"]).ended(1);
    assert!(run.err.contains("The token could not be read"), "{}", run.err);

    cloud.beneath_gcloud("ssh", "[ ! -t 0 ] || echo 'welcome, person'; exit 7");
    cloud.loads_anew = true;
    let run = cloud.typed(Shell::Bash, &["ssh"], &[]).ended(7);
    assert!(run.out.contains("welcome, person"), "{}", run.out);
    assert!(sessions(&run)[0].ends_with(" me_example_com@203.0.113.10"), "{:#?}", run.calls);
}

/// Every action for one member, and for a fleet without a public address.
#[test]
fn a_fleet_is_looked_at_and_a_member_reached_and_brought_back() {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[("public_ip: true", "public_ip: false")]);
    cloud.in_place_of("sleep", "exit 0");
    cloud.beneath_gcloud("ssh-keygen", KEYGEN);
    cloud.beneath_gcloud("ssh", "echo made-on-the-vm");
    let fleet = ["--fleet", "alice,bob"];
    cloud.run(Shell::Dash, &[&["create"][..], &fleet].concat()).done();
    cloud.google.boots(&["image", "ready"]);
    let run = cloud.run(Shell::Bash, &[&["wait"][..], &fleet].concat()).done();
    assert!(run.out.contains("alice  ready") && run.out.contains("bob  ready"), "{}", run.out);
    assert!(run.err.contains("bake gcloud tunnel --member bob | sh"), "{}", run.err);
    let run = cloud.run(Shell::Dash, &[&["status"][..], &fleet].concat()).done();
    assert_eq!(run.out.matches(", that of bake.lock").count(), 2, "{}", run.out);
    cloud.google.serial(&format!("{INSTANCES}/alice"), "hello from alice\r\n");
    assert_eq!(cloud.run(Shell::Dash, &["logs", "--member", "alice"]).done().out, "hello from alice\n");
    let nobody = cloud.run(Shell::Dash, &["logs", "--member", "carol"]).ended(1);
    assert!(nobody.err.contains("bake gcloud create --fleet carol | sh"), "{}", nobody.err);

    let run = cloud.run(Shell::Bash, &["token", "--member", "bob"]).done();
    assert_eq!(run.out, "made-on-the-vm\n");
    let session = sessions(&run).join("\n");
    let id = cloud.google.get(&format!("{INSTANCES}/bob"))["id"].clone();
    for part in [
        " -o ProxyCommand ",
        " compute start-iap-tunnel 'bob' '%p' --listen-on-stdin --project=demo --zone=us-central1-a ",
        &format!(" me_example_com@compute.{} -- sudo -n cat ", id.as_str().expect("an id")),
    ] {
        assert!(session.contains(part), "{part}: {session}");
    }

    // Back to a snapshot, by the command that is printed once it was taken.
    let taken = cloud.run(Shell::Dash, &["backup", "--member", "alice"]).done().out;
    let (_, snapshot) = taken.rsplit_once("bake gcloud restore ").expect("a command");
    let snapshot = snapshot.strip_suffix(" --member alice | sh\n").expect("a snapshot").to_owned();
    let bob = cloud.google.get(&format!("{INSTANCES}/bob"))["id"].clone();
    let restore = ["restore", &snapshot, "--member", "alice"];
    cloud.run(Shell::Posix, &restore).done();
    let again = cloud.run(Shell::Bash, &restore).done();
    assert!(again.out.contains("NOTHING IS RESTORED"), "{}", again.out);
    assert!(cloud.google.has(&format!("{DISKS}/alice-data")), "the old disk stays");
    assert_eq!(cloud.google.get(&format!("{INSTANCES}/bob"))["id"], bob, "the other member stays");
    let alice = cloud.google.get(&format!("{INSTANCES}/alice"));
    let source = alice["disks"].as_array().and_then(|disks| disks.last()).map(|disk| disk["source"].clone());
    let source = source.as_ref().and_then(|source| source.as_str()).unwrap_or_default().to_owned();
    let (_, disk) = source.rsplit_once('/').expect("a disk");
    let from = cloud.google.get(&format!("{DISKS}/{disk}"))["sourceSnapshot"].to_string();
    assert!(from.contains(&format!("/snapshots/{snapshot}")), "{from}");

    // And everything goes, the disk in between included.
    let all = [&["destroy", "--data"][..], &fleet].concat();
    cloud.typed(Shell::Dash, &all, &[("Type openclaw-gateway", "openclaw-gateway\n")]).done();
    let left: Vec<_> =
        cloud.google.resources().into_keys().filter(|path| path.starts_with("compute/")).collect();
    let is_ours =
        |path: &&String| ["/disks/", "/snapshots/", "/instances/"].iter().any(|kind| path.contains(kind));
    assert_eq!(left.iter().filter(is_ours).count(), 0, "{left:#?}");
}
