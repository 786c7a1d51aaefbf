//! The VM's later days, run by the real gcloud: another machine type, snapshots and going back to one,
//! a new bundle, the end; and a fleet.

mod support;

use serde_json::{Value, json};
use support::google::{Cloud, Fault, Google, Run, Shell};

const ACCOUNT: &str = "openclaw-gateway";
const INSTANCES: &str = "compute/projects/demo/zones/us-central1-a/instances";
const DISKS: &str = "compute/projects/demo/zones/us-central1-a/disks";
const SNAPSHOTS: &str = "compute/projects/demo/global/snapshots";
const VM: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const DATA: &str = "compute/projects/demo/zones/us-central1-a/disks/openclaw-gateway-data";
const OTHERS: &str = "compute/projects/demo/zones/us-central1-a/disks/openclaw-gateway-2-data";

/// A cloud in which another gateway's disk lies beside.
fn cloud() -> Option<Cloud> {
    let google = Google::set_up(ACCOUNT);
    google.put(
        OTHERS,
        json!({"name": "openclaw-gateway-2-data", "labels": {"openclaw": "openclaw-gateway-2"}}),
    );
    Cloud::new(google, &[])
}

/// Runs the action twice: the second time in another shell, and to no effect.
#[track_caller]
fn twice(cloud: &Cloud, action: &[&str]) -> Run {
    let first = cloud.run(Shell::Dash, action).done();
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    cloud.run(Shell::Bash, action).done();
    assert_eq!(cloud.google.changes().len(), 0, "{action:?} again");
    assert_eq!(cloud.google.resources(), before, "{action:?} again");
    first
}

/// The names of what lies in a collection.
fn names(cloud: &Cloud, collection: &str) -> Vec<String> {
    let inside = |path: &String| path.strip_prefix(&format!("{collection}/")).map(str::to_owned);
    cloud.google.resources().keys().filter_map(inside).collect()
}

/// The names of the disks that an instance has, but its first.
fn data_disks(cloud: &Cloud, instance: &str) -> Vec<String> {
    let instance = cloud.google.get(instance);
    let disks = instance["disks"].as_array().expect("disks").iter().filter(|disk| disk["boot"] != true);
    disks.map(|disk| last(&disk["source"]).to_owned()).collect()
}

fn last(url: &Value) -> &str {
    url.as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default()
}

#[test]
fn another_machine_type_a_snapshot_and_back_to_it() {
    let Some(cloud) = cloud() else { return };
    let nothing = cloud.run(Shell::Dash, &["resize", "e2-medium"]).ended(1);
    assert!(nothing.err.contains("bake gcloud create"), "{}", nothing.err);
    cloud.run(Shell::Dash, &["create"]).done();

    // A failure in the middle leaves a VM that is stopped, and says so.
    let id = cloud.google.get(VM)["id"].clone();
    cloud.google.boots(&["ready"]);
    cloud.google.fail("POST", "/start", Fault::no_machine_left(), 1);
    let failed = cloud.run(Shell::Bash, &["resize", "e2-medium"]);
    assert_ne!(failed.code, 0);
    assert!(failed.err.contains("gcp.zone"), "{}", failed.err);
    let resized = twice(&cloud, &["resize", "e2-medium"]);
    assert!(resized.out.ends_with("openclaw-gateway  ready\n"), "it is waited for: {}", resized.out);
    let vm = cloud.google.get(VM);
    assert_eq!((last(&vm["machineType"]), &vm["status"], &vm["id"]), ("e2-medium", &json!("RUNNING"), &id));
    let wrong = cloud.folder.bake(["gcloud", "resize", "t2a-standard-1"]).ended(2);
    assert!(wrong.err.contains("arm64"), "{}", wrong.err);

    let taken = cloud.run(Shell::Dash, &["backup"]).done();
    let [snapshot] = &names(&cloud, SNAPSHOTS)[..] else { panic!("{:?}", names(&cloud, SNAPSHOTS)) };
    assert!(taken.out.contains(snapshot.as_str()), "{}", taken.out);
    assert_eq!(
        last(&cloud.google.get(&format!("{SNAPSHOTS}/{snapshot}"))["sourceDisk"]),
        "openclaw-gateway-data"
    );

    let (old, before) = (cloud.google.get(DATA), names(&cloud, DISKS));
    let unknown = cloud.run(Shell::Bash, &["restore", "no-such-snapshot"]).ended(1);
    assert!(unknown.err.contains("no snapshot no-such-snapshot"), "{}", unknown.err);
    assert_eq!(cloud.google.get(VM)["id"], id, "nothing was touched");
    twice(&cloud, &["restore", snapshot]);
    let made: Vec<_> = names(&cloud, DISKS).into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    let restored = cloud.google.get(&format!("{DISKS}/{}", made[0]));
    assert_eq!(last(&restored["sourceSnapshot"]), snapshot);
    assert_eq!(last(&restored["resourcePolicies"][0]), "openclaw-gateway-daily");
    assert_eq!(data_disks(&cloud, VM), made, "the VM is on the restored disk");
    assert_eq!(cloud.google.get(VM)["disks"][1]["deviceName"], "openclaw-gateway-data", "as the VM knows it");
    let kept = cloud.google.get(DATA);
    assert_eq!((&kept["id"], &kept["users"]), (&old["id"], &json!([])), "the old disk is kept");

    // Everything after takes the restored disk, too.
    cloud.run(Shell::Bash, &["destroy"]).done();
    cloud.run(Shell::Dash, &["create"]).done();
    assert_eq!(data_disks(&cloud, VM), made);
}

#[test]
fn a_new_bundle_and_the_end() {
    let Some(cloud) = cloud() else { return };
    cloud.run(Shell::Dash, &["create"]).done();
    cloud.run(Shell::Bash, &["update"]).done();
    let (first, data) = (cloud.google.get(VM), cloud.google.get(DATA));
    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Europe/Berlin");
    let refused = cloud.folder.bake(["gcloud", "update"]);
    assert!(refused.code != 0 && refused.err.contains("bake render"), "{}", refused.err);
    cloud.folder.bake(["render"]).done();
    let told = cloud.run(Shell::Dash, &["create"]).done();
    assert_eq!(cloud.google.get(VM)["id"], first["id"], "create replaces nothing");
    assert!(told.out.contains("bake gcloud update"), "{}", told.out);

    // The VM is gone and the new one cannot be made: nothing is lost, and the next run makes it.
    cloud.google.fail("POST", "/instances", Fault::quota(), 1);
    let failed = cloud.run(Shell::Bash, &["update"]);
    assert_ne!(failed.code, 0);
    assert!(failed.err.contains("the data disk of openclaw-gateway"), "{}", failed.err);
    assert_eq!(cloud.google.get(DATA)["id"], data["id"]);
    twice(&cloud, &["update"]);
    assert_ne!(cloud.google.get(VM)["id"], first["id"]);
    assert_eq!(
        (cloud.google.get(DATA)["id"].clone(), data_disks(&cloud, VM)),
        (data["id"].clone(), vec!["openclaw-gateway-data".to_owned()])
    );
    let user_data = cloud.google.metadata(VM).remove("user-data").unwrap_or_default();
    assert!(user_data == cloud.folder.read("out/user-data.yaml") && user_data.contains("Europe/Berlin"));

    cloud.run(Shell::Dash, &["backup"]).done();
    twice(&cloud, &["destroy"]);
    assert!(!cloud.google.has(VM) && !cloud.google.has(&format!("{DISKS}/openclaw-gateway")));
    assert_eq!(cloud.google.get(DATA)["id"], data["id"], "the data stays");
    assert_eq!(names(&cloud, SNAPSHOTS).len(), 1);
}

/// Even with `--data`, only once the VM's name is typed; and never another gateway's.
#[test]
fn the_data_goes_only_once_the_name_is_typed() {
    let Some(cloud) = cloud() else { return };
    cloud.run(Shell::Bash, &["create"]).done();
    cloud.run(Shell::Bash, &["backup"]).done();
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    let alone = cloud.run(Shell::Dash, &["destroy", "--data"]).ended(1);
    assert!(alone.err.contains("no terminal"), "{}", alone.err);
    for (shell, typed) in [(Shell::Dash, "openclaw-gateway-2\n"), (Shell::Bash, "y\n"), (Shell::Dash, "\n")] {
        let wrong = cloud.typed(shell, &["destroy", "--data"], &[("Type openclaw-gateway", typed)]).ended(1);
        assert!(wrong.out.contains("nothing was deleted"), "{}", wrong.out);
    }
    assert_eq!(cloud.google.changes().len(), 0);
    assert_eq!(cloud.google.resources(), before);
    cloud
        .typed(Shell::Bash, &["destroy", "--data"], &[("Type openclaw-gateway", "openclaw-gateway\n")])
        .done();
    assert_eq!(names(&cloud, DISKS), ["openclaw-gateway-2-data"], "another's stays");
    assert!(names(&cloud, SNAPSHOTS).is_empty() && !cloud.google.has(VM));
    assert!(
        !cloud
            .google
            .has("compute/projects/demo/regions/us-central1/resourcePolicies/openclaw-gateway-daily")
    );
}

/// An instance template and a stateful managed group, with a data disk for each member.
#[test]
fn a_fleet_is_made_replaced_and_deleted_by_its_group() {
    let Some(cloud) = cloud() else { return };
    twice(&cloud, &["create", "--fleet", "alice,bob"]);
    assert_eq!(names(&cloud, INSTANCES), ["alice", "bob"]);
    let group =
        cloud.google.get("compute/projects/demo/zones/us-central1-a/instanceGroupManagers/openclaw-gateway");
    assert_eq!(group["targetSize"], 2);
    assert_eq!(last(&group["autoHealingPolicies"][0]["healthCheck"]), "openclaw-gateway-alive");
    let user_data = cloud.folder.read("out/user-data.yaml");
    for member in ["alice", "bob"] {
        let path = format!("{INSTANCES}/{member}");
        assert_eq!(data_disks(&cloud, &path), [format!("{member}-data")]);
        let vm = cloud.google.get(&path);
        let data = vm["disks"].as_array().and_then(|disks| disks.last()).expect("a disk");
        assert_eq!(
            (&data["autoDelete"], &data["deviceName"]),
            (&json!(false), &json!("openclaw-gateway-data"))
        );
        assert!(cloud.google.metadata(&path)["user-data"] == user_data, "{member}: byte for byte");
        assert_eq!(vm["shieldedInstanceConfig"]["enableSecureBoot"], true);
    }
    let id = |disk: &str| cloud.google.get(&format!("{DISKS}/{disk}"))["id"].clone();
    let disks = [id("alice-data"), id("bob-data")];

    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Europe/Berlin");
    cloud.folder.bake(["render"]).done();
    twice(&cloud, &["update", "--fleet", "alice,bob"]);
    let group =
        cloud.google.get("compute/projects/demo/zones/us-central1-a/instanceGroupManagers/openclaw-gateway");
    assert_eq!(group["updatePolicy"]["replacementMethod"], "RECREATE");
    assert_eq!([id("alice-data"), id("bob-data")], disks);

    twice(&cloud, &["destroy", "--fleet", "alice,bob"]);
    assert!(names(&cloud, INSTANCES).is_empty());
    assert_eq!(
        names(&cloud, DISKS),
        ["alice-data", "bob-data", "openclaw-gateway-2-data"],
        "data disks stay"
    );
    assert!(names(&cloud, "compute/projects/demo/global/instanceTemplates").is_empty());
}

/// As somebody has stopped it by hand, or as a `resize` that failed in the middle has left it.
#[test]
fn a_vm_that_stands_still_is_resized_and_started() {
    let Some(cloud) = cloud() else { return };
    cloud.run(Shell::Dash, &["create"]).done();
    let mut vm = cloud.google.get(VM);
    vm["status"] = json!("TERMINATED");
    cloud.google.put(VM, vm);
    cloud.google.boots(&["ready"]);
    cloud.google.requests();
    cloud.run(Shell::Bash, &["resize", "e2-medium"]).done();
    let changes: Vec<_> = cloud.google.changes().into_iter().map(|request| request.path).collect();
    assert_eq!(changes, ["setMachineType", "start"].map(|verb| format!("{VM}/{verb}")), "no stop");
    let vm = cloud.google.get(VM);
    assert_eq!((last(&vm["machineType"]), &vm["status"]), ("e2-medium", &json!("RUNNING")));
}
