//! The actions of `bake gcloud` that look at a VM, run with the real gcloud against a server of
//! Google's APIs on loopback: what gcloud really prints and says is what the scripts must read. Each
//! in one shell; that both do the same is held by `gcloud_look.rs`, where gcloud costs nothing.

mod support;

use support::google::{Cloud, Fault, Google, Run, Shell};

const ACCOUNT: &str = "openclaw-gateway";
const INSTANCE: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";

/// A cloud with the VM as `create` makes it, where pauses take no time.
fn created() -> Option<Cloud> {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[])?;
    cloud.run(Shell::Dash, &["create"]).done();
    cloud.in_place_of("sleep", "exit 0");
    Some(cloud)
}

/// What the VM says of itself.
fn report(cloud: &Cloud, key: &str, value: &str) {
    cloud.google.guest_attribute(INSTANCE, &format!("openclaw/{key}"), value);
}

fn lock(cloud: &Cloud) -> String {
    bake::digest::Sha256::of(cloud.folder.read("bake.lock")).to_string()
}

/// The lines of what was shown, without the times.
fn stages(run: &Run) -> Vec<&str> {
    run.out.lines().filter_map(|line| line.split_once("openclaw-gateway  ")).map(|(_, stage)| stage).collect()
}

#[test]
fn stages_that_change_while_it_waits_are_shown() {
    let Some(cloud) = created() else { return };
    cloud.google.boots(&["starting", "starting", "image", "ready"]);
    let run = cloud.run(Shell::Dash, &["wait"]).done();
    assert_eq!(stages(&run), ["starting", "secrets", "image", "verify", "start", "ready"], "{}", run.err);
    assert!(run.err.contains("bake gcloud tunnel | sh"), "{}", run.err);
}

#[test]
fn a_failure_is_shown_with_the_console_around_it() {
    let Some(cloud) = created() else { return };
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
fn a_time_out_says_where_it_stands() {
    let Some(cloud) = created() else { return };
    let run = cloud.run(Shell::Dash, &["wait", "--timeout", "0"]).ended(1);
    assert!(run.err.contains("It is RUNNING, and has reported nothing"), "{}", run.err);
    report(&cloud, "since", "2036-11-22T21:00:00Z");
    report(&cloud, "error", "docker: no network");
    report(&cloud, "status", "starting");
    let run = cloud.run(Shell::Dash, &["wait", "--timeout", "0"]).ended(1);
    let stands =
        "not ready after 0 s. It stands at `starting` since 2036-11-22T21:00:00Z: docker: no network";
    assert!(run.err.contains(stands), "{}", run.err);
}

#[test]
fn what_stands_in_the_way_is_answered() {
    let Some(cloud) = created() else { return };
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
    let Some(cloud) = Cloud::new(Google::empty(), &[]) else { return };
    for action in ["wait", "status", "logs"] {
        let run = cloud.run(Shell::Bash, &[action]).ended(1);
        assert!(run.err.contains("bake gcloud setup | sh"), "{action}: {}", run.err);
    }
}

#[test]
fn status_is_one_look() {
    let Some(cloud) = created() else { return };
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
fn logs_go_on_where_they_left_off() {
    let Some(cloud) = created() else { return };
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
fn a_token_in_secret_manager_is_printed_and_stands_nowhere_else() {
    let generate = "OPENCLAW_GATEWAY_TOKEN: {generate: hex32";
    let edit = (generate, "OPENCLAW_GATEWAY_TOKEN: {secret_manager: gateway-token, generate: hex32");
    let Some(cloud) = Cloud::new(Google::set_up(ACCOUNT), &[edit]) else { return };
    let missing = cloud.run(Shell::Bash, &["token"]).ended(1);
    assert!(missing.err.contains("bake gcloud setup | sh"), "{}", missing.err);
    cloud.piped(Shell::Bash, "gcloud secrets create gateway-token --replication-policy=automatic; printf 's3cr3t-t0k3n\\n' | gcloud secrets versions add gateway-token --data-file=-").done();
    let run = cloud.run(Shell::Bash, &["token"]).done();
    assert_eq!((run.out.as_str(), run.err.as_str()), ("s3cr3t-t0k3n\n", ""));
    assert!(!run.calls.iter().flatten().any(|word| word.contains("s3cr3t")), "{:?}", run.calls);
}
