//! Every action with each of its requests failing once: afterwards the resources are unchanged or complete, or
//! the message names the difference; and no resource of another project changes.

use std::collections::{BTreeMap, BTreeSet};

use crate::golden;
use crate::image::{put_builder, put_image};
use crate::support::google::{Cloud, Fault, Google, Run, Shell};
use crate::support::test;
use serde_json::{Value, json};

/// If set, every changing request meets every fault. That takes minutes of two processors.
const ALL_FAULTS: &str = "BAKE_TEST_ALL_FAULTS";

/// How many faults each changing request meets otherwise.
const SHARE: usize = 3;

/// An action with fewer changing requests than this meets all faults at each.
const FEW: usize = 4;

const ZONE: &str = "compute/projects/demo/zones/us-central1-a";

/// The possible faults of a request that changes something.
fn faults() -> Vec<(&'static str, Fault)> {
    vec![
        ("403", Fault::denied("compute.something")),
        ("404", Fault::status(404, "notFound")),
        ("409", Fault::status(409, "alreadyExists")),
        ("412", Fault::status(412, "conditionNotMet")),
        ("429", Fault::status(429, "rateLimitExceeded")),
        ("503", Fault::status(503, "backendError")),
        ("quota", Fault::quota()),
        ("stock-out", Fault::no_machine_left()),
        ("lost", Fault::Lost),
    ]
}

/// Resources of another gateway whose names begin as this one's do.
fn put_others(google: &Google) -> BTreeMap<String, Value> {
    let labels = json!({"openclaw": "openclaw-gateway-2", "openclaw-id": "fedcba9876543210"});
    for (path, resource) in [
        ("zones/us-central1-a/instances/openclaw-gateway-2", json!({"status": "RUNNING"})),
        ("zones/us-central1-a/disks/openclaw-gateway-2-data", json!({"sizeGb": "10"})),
        ("zones/us-central1-a/disks/my-openclaw-gateway-data", json!({"sizeGb": "10"})),
        ("global/snapshots/openclaw-gateway-2-data-1", json!({})),
    ] {
        let (_, name) = path.rsplit_once('/').expect("a name");
        let mut resource = resource;
        resource["name"] = json!(name);
        resource["labels"] = labels.clone();
        google.put(&format!("compute/projects/demo/{path}"), resource);
    }
    google.put(
        "compute/projects/demo/regions/us-central1/resourcePolicies/openclaw-gateway-2-daily",
        json!({"name": "openclaw-gateway-2-daily"}),
    );
    google
        .resources()
        .into_iter()
        .filter(|(path, _)| path.contains("openclaw-gateway-2") || path.contains("/my-"))
        .collect()
}

/// The relevant fields of a resource, without traces of other resources.
fn essence(resources: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut resources = resources.clone();
    for resource in resources.values_mut() {
        if let Some(fields) = resource.as_object_mut() {
            for key in [
                "id",
                "users",
                "lastAttachTimestamp",
                "creationTimestamp",
                "fingerprint",
                "labelFingerprint",
                "networkInterfaces",
                "etag",
                "data",
                "uniqueId",
                "oauth2ClientId",
            ] {
                fields.remove(key);
            }
        }
    }
    resources
}

/// The paths of all resources. The versions of a secret count as one: gcloud repeats an `addVersion` whose reply was
/// lost, with the same value.
fn keys(resources: &BTreeMap<String, Value>) -> BTreeSet<&str> {
    const VERSIONS: &str = "/versions";
    let end = |path: &str| path.find("/versions/").map_or(path.len(), |at| at + VERSIONS.len());
    resources.keys().map(|path| &path[..end(path)]).collect()
}

/// How a message names the resource of this path.
fn name(path: &str) -> &str {
    let path = path.split("/versions/").next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    last.split('@').next().unwrap_or_default()
}

/// Pipes the script into a shell, on a terminal if the action asks for a name there.
fn run(cloud: &Cloud, shell: Shell, action: &[&str], script: &str) -> Run {
    if !action.contains(&"--data") {
        return cloud.piped(shell, script);
    }
    let (mut run, _) = cloud.on_a_terminal(shell, script, &[("Type openclaw-gateway", "openclaw-gateway\n")]);
    run.out = run.out.replace('\r', "");
    run.err.clone_from(&run.out);
    run
}

/// Runs the action once for each of its requests and what can happen to it, the shells taking turns.
#[track_caller]
fn each_request_fails_once(cloud: &Cloud, action: &[&str]) {
    cloud.in_place_of("sleep", "exit 0");
    cloud.in_place_of("date", "case $* in *%s*) echo 1000 ;; *) echo 20260102-030405 ;; esac");
    cloud.in_place_of("openssl", "printf '%064d\\n' 7");
    let others = put_others(&cloud.google);
    cloud.replays();
    let script = cloud.script(action);
    let back = cloud.google.keep();
    back(&cloud.google);
    let before = essence(&cloud.google.resources());
    let first = run(cloud, Shell::Dash, action, &script).done();
    let plan = format!("{}\n{}", golden::header(&script), golden::plan(&first.out));
    golden::is_golden("plans", action, ".txt", &plan);
    if golden::is_blessing() {
        return;
    }
    let requests = cloud.google.requests();
    let wanted = essence(&cloud.google.resources());
    assert!(before != wanted, "{action:?} changes something");
    // Each backup takes one more snapshot.
    let is_repeatable = action[0] != "backup";
    if is_repeatable {
        run(cloud, Shell::Posix, action, &script).done();
        assert_eq!(essence(&cloud.google.resources()), wanted, "{action:?}, a second time");
    }

    let faults = faults();
    let everything = std::env::var_os(ALL_FAULTS).is_some();
    let changing = requests.iter().filter(|request| request.changes()).count();
    let (mut tried, mut turn) = (BTreeSet::new(), 0);
    for (number, request) in requests.iter().enumerate() {
        // Requests take turns: each gets some of the faults, and together they get all.
        let share = match request.changes() {
            true if everything || changing < FEW => faults.len(),
            true => SHARE,
            false => 1,
        };
        let mut some: BTreeMap<_, _> = faults
            .iter()
            .cycle()
            .skip(number * share)
            .take(share)
            .map(|(kind, fault)| (*kind, fault))
            .collect();
        if request.changes() {
            // The most treacherous one: the change was made.
            some.insert("lost", &Fault::Lost);
        }
        for (&kind, &fault) in &some {
            let shell = Shell::ALL[turn % Shell::ALL.len()];
            turn += 1;
            back(&cloud.google);
            cloud.google.fail_nth(number, fault.clone());
            let run = run(cloud, shell, action, &script);
            tried.insert(kind);
            let after = cloud.google.resources();
            let what = format!("{action:?}, {kind} at request {number}, {} {}", request.method, request.path);
            for (path, resource) in &others {
                assert_eq!(after.get(path), Some(resource), "{what}: another gateway's {path}");
            }
            is_old_or_wanted_or_named(&what, &run, &before, &wanted, &essence(&after));
            if kind == "lost" && request.changes() && is_repeatable {
                back_to_the_end(cloud, action, &script, &what, &wanted);
            }
        }
    }
    assert_eq!(tried.len(), faults.len(), "each kind of fault came up");
}

#[track_caller]
fn is_old_or_wanted_or_named(
    what: &str,
    run: &Run,
    before: &BTreeMap<String, Value>,
    wanted: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
) {
    if run.code == 0 {
        assert_eq!(keys(after), keys(wanted), "{what}: it says that it is done\n{}\n{}", run.out, run.err);
        return;
    }
    if after == before {
        return;
    }
    let paths: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    for path in paths.into_iter().filter(|path| before.get(*path) != after.get(*path)) {
        assert!(run.err.contains("Not finished."), "{what}: {path} is changed\n{}\n{}", run.out, run.err);
        let (_, told) = run.err.split_once("Not finished.").expect("what is left");
        assert!(told.contains(name(path)), "{what}: {path} is not named\n{told}");
    }
}

/// After the fault, the same script runs to the end.
#[track_caller]
fn back_to_the_end(
    cloud: &Cloud,
    action: &[&str],
    script: &str,
    what: &str,
    wanted: &BTreeMap<String, Value>,
) {
    let run = run(cloud, Shell::Dash, action, script);
    assert_eq!(run.code, 0, "{what}, and again:\n{}\n{}", run.out, run.err);
    let after = essence(&cloud.google.resources());
    assert_eq!(keys(&after), keys(wanted), "{what}, and again");
}

#[test]
fn setup_with_each_request_failing_once() {
    let edits = [(
        "OPENCLAW_GATEWAY_TOKEN: {generate: hex32}",
        "OPENCLAW_GATEWAY_TOKEN: {generate: hex32, secret_manager: gateway-token}",
    )];
    each_request_fails_once(&Cloud::new(Google::empty(), &edits), &["setup"]);
}

#[test]
fn create_with_each_request_failing_once() {
    each_request_fails_once(&Cloud::new(Google::set_up("openclaw-gateway"), &[]), &["create"]);
}

/// There are two images of other bundles, and a builder of another bundle that an earlier run left.
#[test]
fn image_with_each_request_failing_once() {
    let cloud = Cloud::new(Google::set_up("openclaw-gateway"), &[]);
    cloud.google.boots(&["image", "baked"]);
    put_image(&cloud, "openclaw-gateway-amd64-20251101-000000");
    put_image(&cloud, "openclaw-gateway-amd64-20251102-000000");
    put_builder(&cloud, "0123456789abcdef");
    each_request_fails_once(&cloud, &["image", "--timeout", "60"]);
}

#[test]
fn update_in_place_with_each_request_failing_once() {
    let cloud = Cloud::created();
    cloud.google.update_in_place();
    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Asia/Tokyo");
    cloud.folder.edit("bake.yaml", "data_disk: 10GB", "data_disk: 12GB");
    cloud.folder.bake(["render"]).done();
    each_request_fails_once(&cloud, &["update"]);
}

#[test]
fn rollback_with_each_request_failing_once() {
    let cloud = Cloud::created();
    cloud.google.update_in_place();
    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Asia/Tokyo");
    cloud.folder.bake(["render"]).done();
    cloud.in_place_of("sleep", "exit 0");
    cloud.run(Shell::Dash, &["update"]).done();
    each_request_fails_once(&cloud, &["rollback"]);
}

#[test]
fn replacement_with_each_request_failing_once() {
    let cloud = Cloud::created();
    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Asia/Tokyo");
    cloud.folder.edit("bake.yaml", "data_disk: 10GB", "data_disk: 12GB");
    cloud.folder.edit("bake.yaml", "keep_days: 14", "keep_days: 9");
    cloud.folder.bake(["render"]).done();
    each_request_fails_once(&cloud, &["update", "--replace"]);
}

#[test]
fn resize_with_each_request_failing_once() {
    let cloud = Cloud::created();
    cloud.google.boots(&["ready"]);
    each_request_fails_once(&cloud, &["resize", "e2-medium", "--timeout", "0"]);
}

#[test]
fn backup_with_each_request_failing_once() {
    each_request_fails_once(&Cloud::created(), &["backup", "--snapshot-only"]);
}

#[test]
fn restore_with_each_request_failing_once() {
    let cloud = Cloud::created();
    let snapshot = json!({"name": "mine", "diskSizeGb": "10", "sourceDisk": format!("https://x/{ZONE}/disks/openclaw-gateway-data")});
    cloud.google.put("compute/projects/demo/global/snapshots/mine", snapshot);
    each_request_fails_once(&cloud, &["restore", "mine"]);
}

#[test]
fn destroy_with_each_request_failing_once() {
    each_request_fails_once(&Cloud::created(), &["destroy"]);
}

/// Without a terminal, the secret stays.
#[test]
fn destroy_all_with_each_request_failing_once() {
    let edits = [
        (
            "OPENCLAW_GATEWAY_TOKEN: {generate: hex32}",
            "OPENCLAW_GATEWAY_TOKEN: {generate: hex32, secret_manager: gateway-token}",
        ),
        ("public_ip: true", "public_ip: false"),
    ];
    let cloud = Cloud::new(Google::empty(), &edits);
    cloud.run(Shell::Dash, &["setup"]).done();
    cloud.run(Shell::Dash, &["create"]).done();
    each_request_fails_once(&cloud, &["destroy", "--all"]);
}

#[test]
fn move_with_each_request_failing_once() {
    let cloud = Cloud::created();
    let path = format!("{ZONE}/instances/openclaw-gateway");
    let mut vm = cloud.google.get(&path);
    vm["lastStartTimestamp"] = json!("2026-11-29T08:01:30.000+00:00");
    cloud.google.put(&path, vm);
    cloud.google.boots(&["ready"]);
    cloud.folder.edit("bake.yaml", "zone: us-central1-a", "zone: us-central1-b");
    cloud.folder.bake(["render"]).done();
    each_request_fails_once(&cloud, &["move", "--from-zone", "us-central1-a", "--timeout", "0"]);
}

#[test]
fn destroy_data_with_each_request_failing_once() {
    let cloud = Cloud::created();
    let source = format!("https://x/{ZONE}/disks/openclaw-gateway-data");
    let labels = json!({"openclaw": "openclaw-gateway", "openclaw-id": "0123456789abcdef"});
    cloud.google.put(
        "compute/projects/demo/global/snapshots/mine",
        json!({"name": "mine", "sourceDisk": source, "labels": labels}),
    );
    each_request_fails_once(&cloud, &["destroy", "--data"]);
}

const FLEET: [&str; 2] = ["--fleet", "alice"];

/// A fleet of one member, as `create` makes it.
fn fleet() -> Cloud {
    let cloud = Cloud::new(Google::set_up("openclaw-gateway"), &[]);
    cloud.run(Shell::Posix, &[&["create"][..], &FLEET].concat()).done();
    cloud
}

#[test]
fn create_of_a_fleet_with_each_request_failing_once() {
    let cloud = Cloud::new(Google::set_up("openclaw-gateway"), &[]);
    each_request_fails_once(&cloud, &[&["create"][..], &FLEET].concat());
}

#[test]
fn update_in_place_of_a_fleet_with_each_request_failing_once() {
    let cloud = fleet();
    cloud.google.update_in_place();
    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Asia/Tokyo");
    cloud.folder.bake(["render"]).done();
    each_request_fails_once(&cloud, &[&["update"][..], &FLEET].concat());
}

#[test]
fn replacement_of_a_fleet_with_each_request_failing_once() {
    let cloud = fleet();
    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Asia/Tokyo");
    cloud.folder.bake(["render"]).done();
    each_request_fails_once(&cloud, &[&["update", "--replace"][..], &FLEET].concat());
}

#[test]
fn restore_of_a_member_with_each_request_failing_once() {
    let cloud = fleet();
    let snapshot = json!({"name": "mine", "diskSizeGb": "10", "sourceDisk": format!("https://x/{ZONE}/disks/alice-data")});
    cloud.google.put("compute/projects/demo/global/snapshots/mine", snapshot);
    each_request_fails_once(&cloud, &["restore", "mine", "--member", "alice"]);
}

#[test]
fn destroy_of_a_fleet_with_each_request_failing_once() {
    each_request_fails_once(&fleet(), &[&["destroy"][..], &FLEET].concat());
}
