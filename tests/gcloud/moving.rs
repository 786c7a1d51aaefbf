//! `bake gcloud move`: the state goes by a snapshot, and the old VM stays until the new gateway is ready.

use crate::support::google::{Cloud, Fault, Google, Shell};
use crate::support::test;
use serde_json::{Value, json};

const A: &str = "compute/projects/demo/zones/us-central1-a";
const B: &str = "compute/projects/demo/zones/us-central1-b";
const EUROPE: &str = "compute/projects/demo/zones/europe-west1-b";
const SNAPSHOT: &str = "compute/projects/demo/global/snapshots/openclaw-gateway-move-434c6542";

/// Renders after edits to the spec.
fn edit(cloud: &Cloud, edits: &[(&str, &str)]) {
    for (from, to) in edits {
        cloud.folder.edit("bake.yaml", from, to);
    }
    cloud.folder.bake(["render"]).done();
}

/// A VM as Compute Engine has it once it was started at this time.
fn started(cloud: &Cloud, path: &str, time: &str) {
    let mut vm = cloud.google.get(path);
    vm["lastStartTimestamp"] = json!(time);
    cloud.google.put(path, vm);
}

/// The VM as `create` makes it, and a spec of another zone.
fn to_zone_b() -> Cloud {
    let cloud = Cloud::created();
    started(&cloud, &format!("{A}/instances/openclaw-gateway"), "2026-11-29T08:01:30.000+00:00");
    edit(&cloud, &[("zone: us-central1-a", "zone: us-central1-b")]);
    cloud
}

/// The disk that the VM's device is.
fn state_of(vm: &Value) -> String {
    let disks = vm["disks"].as_array().expect("disks");
    let data = disks.iter().find(|disk| disk["boot"] != true).expect("a data disk");
    data["source"].as_str().and_then(|source| source.rsplit('/').next()).unwrap_or_default().to_owned()
}

#[test]
fn a_gateway_moves_to_another_zone_and_back() {
    let cloud = to_zone_b();
    cloud.google.boots(&["starting", "ready"]);
    cloud.in_place_of("sleep", "exit 0");
    let refused = cloud.run(Shell::Dash, &["update"]).ended(1);
    let advice = "bake gcloud move --from-zone=us-central1-a --from-name=openclaw-gateway | sh";
    assert!(refused.err.contains(advice), "{}", refused.err);
    let action = ["move", "--from-zone", "us-central1-a"];
    let run = cloud.run(Shell::Dash, &action).done();
    for line in [
        "~ VM openclaw-gateway in us-central1-a: stops",
        "+ snapshot openclaw-gateway-move-434c6542",
        "+ data disk openclaw-gateway-data-434c6542 in us-central1-b",
        "- VM openclaw-gateway in us-central1-a, once the new gateway is ready; its data disk stays",
    ] {
        assert!(run.out.contains(line), "{line}: {}", run.out);
    }
    let vm = cloud.google.get(&format!("{B}/instances/openclaw-gateway"));
    assert_eq!(state_of(&vm), "openclaw-gateway-data-434c6542");
    let disk = cloud.google.get(&format!("{B}/disks/openclaw-gateway-data-434c6542"));
    assert!(
        disk["sourceSnapshot"]
            .as_str()
            .is_some_and(|from| from.ends_with(SNAPSHOT.trim_start_matches("compute/"))),
        "{disk}"
    );
    let taken = cloud.google.get(SNAPSHOT);
    assert!(
        taken["sourceDisk"]
            .as_str()
            .is_some_and(|from| from.ends_with("us-central1-a/disks/openclaw-gateway-data"))
    );
    assert!(!cloud.google.has(&format!("{A}/instances/openclaw-gateway")));
    assert!(cloud.google.has(&format!("{A}/disks/openclaw-gateway-data")), "the old disk stays");
    cloud.google.requests();
    cloud.run(Shell::Bash, &action).done();
    assert!(cloud.google.changes().is_empty(), "the second run");
    cloud.run(Shell::Dash, &["plan"]).done();

    started(&cloud, &format!("{B}/instances/openclaw-gateway"), "2026-11-29T20:15:00.000+00:00");
    edit(&cloud, &[("zone: us-central1-b", "zone: us-central1-a")]);
    cloud.run(Shell::Bash, &["move", "--from-zone", "us-central1-b"]).done();
    let vm = cloud.google.get(&format!("{A}/instances/openclaw-gateway"));
    assert_eq!(state_of(&vm), "openclaw-gateway-data-434e3f5c", "what came since the move comes back too");
    assert!(!cloud.google.has(&format!("{B}/instances/openclaw-gateway")));
}

/// Another region, name and disk type at once.
#[test]
fn a_gateway_moves_to_another_region_name_and_disk_family() {
    let cloud = Cloud::created();
    started(&cloud, &format!("{A}/instances/openclaw-gateway"), "2026-11-29T08:01:30.000+00:00");
    cloud.google.boots(&["ready"]);
    edit(
        &cloud,
        &[
            ("zone: us-central1-a", "zone: europe-west1-b"),
            ("name: openclaw-gateway ", "name: claw-eu "),
            ("machine_type: e2-small", "machine_type: n4-standard-2"),
        ],
    );
    cloud
        .run(Shell::Dash, &["move", "--from-zone", "us-central1-a", "--from-name", "openclaw-gateway"])
        .done();
    let disk = cloud.google.get(&format!("{EUROPE}/disks/claw-eu-data-434c6542"));
    assert!(disk["type"].as_str().is_some_and(|kind| kind.ends_with("/hyperdisk-balanced")), "{disk}");
    assert_eq!(disk["labels"]["openclaw"], "claw-eu");
    assert!(cloud.google.has(&format!("{EUROPE}/instances/claw-eu")));
    assert!(!cloud.google.has(&format!("{A}/instances/openclaw-gateway")));
    cloud.run(Shell::Bash, &["plan"]).done();
}

/// A new gateway that does not get ready, or cannot be made, leaves the old VM, which starts again.
#[test]
fn the_old_vm_stays_until_the_new_gateway_is_ready() {
    let cloud = to_zone_b();
    cloud.in_place_of("sleep", "exit 0");
    cloud.google.boots(&["failed", "ready"]);
    let action = ["move", "--from-zone", "us-central1-a"];
    let old = format!("{A}/instances/openclaw-gateway");
    let failed = cloud.run(Shell::Dash, &action).ended(1);
    assert_eq!(cloud.google.get(&old)["status"], "TERMINATED");
    assert!(
        failed
            .err
            .contains("gcloud compute instances start openclaw-gateway --zone=us-central1-a --project=demo"),
        "{}",
        failed.err
    );
    cloud.run(Shell::Bash, &action).done();
    assert!(!cloud.google.has(&old));

    let cloud = to_zone_b();
    cloud.google.fail("POST", "us-central1-b/instances", Fault::no_machine_left(), None);
    cloud.run(Shell::Bash, &action).ended(1);
    assert_eq!(cloud.google.get(&old)["status"], "TERMINATED");
}

/// Nothing stops before it is known what moves, and that there is a place for it.
#[test]
fn a_move_that_cannot_be_changes_nothing() {
    let cloud = to_zone_b();
    let refuses = |action: &[&str], why: &str| {
        cloud.google.requests();
        let refused = cloud.run(Shell::Dash, action).ended(1);
        assert!(refused.err.contains(why), "{action:?}: {}", refused.err);
        assert!(cloud.google.changes().is_empty(), "{action:?}");
    };
    // The old VM stays in use while the new one is made, and frees the quota of its processors only in its region.
    let quota = |limit| json!([{"metric": "CPUS", "limit": limit, "usage": 2.0}]);
    cloud.google.put("quotas/us-central1", quota(3.0));
    edit(&cloud, &[("machine_type: e2-small", "machine_type: e2-standard-4")]);
    refuses(
        &["move", "--from-zone", "us-central1-a"],
        "room for 1 more processors, and e2-standard-4 needs 2 more",
    );
    edit(&cloud, &[("zone: us-central1-b", "zone: europe-west1-b")]);
    cloud.google.put("quotas/europe-west1", quota(5.0));
    refuses(
        &["move", "--from-zone", "us-central1-a"],
        "room for 3 more processors, and e2-standard-4 needs 4 more",
    );
    // The old VM keeps its disks until the new gateway is ready.
    edit(&cloud, &[("machine_type: e2-standard-4", "machine_type: e2-medium")]);
    cloud.google.put("quotas/europe-west1", json!([{"metric": "SSD_TOTAL_GB", "limit": 29, "usage": 0}]));
    refuses(&["move", "--from-zone", "us-central1-a"], "room for 29 more GB, and e2-medium needs 30 more");
    edit(&cloud, &[("machine_type: e2-medium", "machine_type: e2-standard-4")]);
    edit(
        &cloud,
        &[
            ("zone: europe-west1-b", "zone: us-central1-b"),
            ("machine_type: e2-standard-4", "machine_type: e2-small"),
        ],
    );
    refuses(&["move", "--from-zone", "europe-west1-b"], "There is no VM openclaw-gateway in europe-west1-b");
    let mut other = cloud.google.get(&format!("{A}/instances/openclaw-gateway"));
    other["zone"] = json!("https://x/projects/demo/zones/us-central1-b");
    cloud.google.put(&format!("{B}/instances/openclaw-gateway"), other);
    refuses(
        &["move", "--from-zone", "us-central1-a"],
        "and its state is not that of openclaw-gateway in us-central1-a",
    );
    let same = cloud.folder.bake(["gcloud", "move"]).ended(2);
    assert!(same.err.contains("--from-zone"), "{}", same.err);
}

/// The old VM and its snapshot are of the old project, and the new ones of the spec's.
#[test]
fn a_gateway_moves_between_projects_and_back() {
    let google = Google::empty();
    google.add_project("first-place", "openclaw-gateway");
    let cloud = Cloud::new(google, &[("project: null", "project: first-place")]);
    cloud.run(Shell::Dash, &["create"]).done();
    let old = format!("{A}/instances/openclaw-gateway").replace("/demo/", "/first-place/");
    let new = old.replace("/first-place/", "/next-place/");
    started(&cloud, &old, "2026-11-29T08:01:30.000+00:00");
    cloud.google.boots(&["ready"]);
    edit(&cloud, &[("project: first-place", "project: next-place")]);
    let action = ["move", "--from-project", "first-place"];
    // Nothing stops for a project that is not set up.
    cloud.google.add_project("next-place", "somebody-else");
    let refused = cloud.run(Shell::Dash, &action).ended(1);
    assert!(refused.err.contains("no service account openclaw-gateway@next-place"), "{}", refused.err);
    assert_eq!(cloud.google.get(&old)["status"], "RUNNING");

    cloud.google.add_project("next-place", "openclaw-gateway");
    cloud.run(Shell::Bash, &action).done();
    assert!(cloud.google.has(&new) && !cloud.google.has(&old));
    let disk = "compute/projects/next-place/zones/us-central1-a/disks/openclaw-gateway-data-434c6542";
    let source = cloud.google.get(disk)["sourceSnapshot"].to_string();
    assert!(
        source.ends_with("projects/first-place/global/snapshots/openclaw-gateway-move-434c6542\""),
        "{source}"
    );

    started(&cloud, &new, "2026-11-29T20:15:00.000+00:00");
    edit(&cloud, &[("project: next-place", "project: first-place")]);
    cloud.run(Shell::Dash, &["move", "--from-project", "next-place"]).done();
    assert!(cloud.google.has(&old) && !cloud.google.has(&new));
    assert_eq!(state_of(&cloud.google.get(&old)), "openclaw-gateway-data-434e3f5c");
}
