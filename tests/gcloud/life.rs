//! The VM's later days, run by the real gcloud: another machine type, snapshots and going back to one,
//! a new bundle, the end; and a fleet.

use std::collections::BTreeMap;

use crate::support::google::{Cloud, Fault, Google, Run, Shell};
use crate::support::test;
use serde_json::{Value, json};

const ACCOUNT: &str = "openclaw-gateway";
const INSTANCES: &str = "compute/projects/demo/zones/us-central1-a/instances";
const DISKS: &str = "compute/projects/demo/zones/us-central1-a/disks";
const SNAPSHOTS: &str = "compute/projects/demo/global/snapshots";
const VM: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const DATA: &str = "compute/projects/demo/zones/us-central1-a/disks/openclaw-gateway-data";
const GROUP: &str = "compute/projects/demo/zones/us-central1-a/instanceGroupManagers/openclaw-gateway";
const OTHERS: &str = "compute/projects/demo/zones/us-central1-a/disks/openclaw-gateway-2-data";

/// A cloud in which another gateway's disk lies.
fn cloud() -> Cloud {
    put_others(Cloud::new(Google::set_up(ACCOUNT), &[]))
}

/// The same, with the VM and its own disk.
fn created() -> Cloud {
    put_others(Cloud::created())
}

fn put_others(cloud: Cloud) -> Cloud {
    let labels = json!({"openclaw": "openclaw-gateway-2"});
    cloud.google.put(OTHERS, json!({"name": "openclaw-gateway-2-data", "labels": labels}));
    cloud
}

/// Runs the action twice: the second time in another shell, and to no effect.
#[track_caller]
fn twice(cloud: &Cloud, action: &[&str]) -> [Run; 2] {
    let first = cloud.run(Shell::Dash, action).done();
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    let second = cloud.run(Shell::Bash, action).done();
    is_untouched(cloud, &before);
    [first, second]
}

/// Asserts that no request since the last call changes anything, and that nothing changed.
#[track_caller]
fn is_untouched(cloud: &Cloud, before: &BTreeMap<String, Value>) {
    let changes = cloud.google.changes();
    assert!(changes.is_empty(), "{changes:#?}");
    assert_eq!(&cloud.google.resources(), before);
}

/// The names in a collection.
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
    let cloud = cloud();
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
    let [resized, _] = twice(&cloud, &["resize", "e2-medium"]);
    assert!(resized.out.ends_with("openclaw-gateway  ready\n"), "it is waited for: {}", resized.out);
    let vm = cloud.google.get(VM);
    assert_eq!((last(&vm["machineType"]), &vm["status"], &vm["id"]), ("e2-medium", &json!("RUNNING"), &id));
    let wrong = cloud.folder.bake(["gcloud", "resize", "t2a-standard-1"]).ended(2);
    assert!(wrong.err.contains("arm64"), "{}", wrong.err);

    let taken = cloud.run(Shell::Dash, &["backup", "--snapshot-only"]).done();
    let [snapshot] = &names(&cloud, SNAPSHOTS)[..] else { panic!("{:?}", names(&cloud, SNAPSHOTS)) };
    assert!(taken.out.contains(snapshot.as_str()), "{}", taken.out);
    assert_eq!(
        last(&cloud.google.get(&format!("{SNAPSHOTS}/{snapshot}"))["sourceDisk"]),
        "openclaw-gateway-data"
    );

    let (old, before) = (cloud.google.get(DATA), names(&cloud, DISKS));
    let vm = cloud.google.get(VM);
    let unknown = cloud.run(Shell::Bash, &["restore", "no-such-snapshot"]).ended(1);
    assert!(unknown.err.contains("no snapshot no-such-snapshot"), "{}", unknown.err);
    assert_eq!(cloud.google.get(VM)["id"], id, "nothing was touched");
    // A failure in the middle leaves a VM without a data disk: the message says so, and how to go back.
    cloud.google.fail("POST", "/attachDisk", Fault::denied("compute.disks.use"), 1);
    let failed = cloud.run(Shell::Dash, &["restore", snapshot]);
    assert!(failed.code != 0 && failed.err.contains("+ data disk openclaw-gateway-data-"), "{}", failed.err);
    assert!(failed.err.contains("gcloud compute instances attach-disk"), "{}", failed.err);
    let [first, again] = twice(&cloud, &["restore", snapshot]);
    assert!(!first.out.contains("NOTHING IS RESTORED"), "no VM was on the disk yet: {}", first.out);
    assert!(again.out.contains("NOTHING IS RESTORED") && again.out.contains("disks delete"), "{}", again.out);
    let made: Vec<_> = names(&cloud, DISKS).into_iter().filter(|name| !before.contains(name)).collect();
    assert_eq!(made.len(), 1, "{made:?}");
    let restored = cloud.google.get(&format!("{DISKS}/{}", made[0]));
    assert_eq!(last(&restored["sourceSnapshot"]), snapshot);
    assert_eq!(last(&restored["resourcePolicies"][0]), "openclaw-gateway-daily");
    assert_eq!(data_disks(&cloud, VM), made, "the VM is on the restored disk");
    assert_eq!(
        (&cloud.google.get(VM)["id"], &cloud.google.get(VM)["status"]),
        (&vm["id"], &json!("RUNNING"))
    );
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
    let cloud = created();
    cloud.run(Shell::Bash, &["update", "--replace"]).done();
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
    let failed = cloud.run(Shell::Bash, &["update", "--replace"]);
    assert_ne!(failed.code, 0);
    assert!(failed.err.contains("To make the new one: bake gcloud update | sh"), "{}", failed.err);
    assert_eq!(cloud.google.get(DATA)["id"], data["id"]);
    twice(&cloud, &["update", "--replace"]);
    assert_ne!(cloud.google.get(VM)["id"], first["id"]);
    assert_eq!(
        (cloud.google.get(DATA)["id"].clone(), data_disks(&cloud, VM)),
        (data["id"].clone(), vec!["openclaw-gateway-data".to_owned()])
    );
    let user_data = cloud.google.metadata(VM).remove("user-data").unwrap_or_default();
    assert!(user_data == cloud.folder.read("out/user-data.yaml") && user_data.contains("Europe/Berlin"));

    cloud.run(Shell::Dash, &["backup", "--snapshot-only"]).done();
    twice(&cloud, &["destroy"]);
    assert!(!cloud.google.has(VM) && !cloud.google.has(&format!("{DISKS}/openclaw-gateway")));
    assert_eq!(cloud.google.get(DATA)["id"], data["id"], "the data stays");
    assert_eq!(names(&cloud, SNAPSHOTS).len(), 1);
}

/// All state of a VM without a data disk is on the disk that goes with the VM.
#[test]
fn a_vm_that_is_on_no_data_disk_is_not_deleted_unasked() {
    let cloud = cloud();
    // As the guide has it made by hand.
    let boot = json!({"boot": true, "autoDelete": true, "deviceName": "persistent-disk-0"});
    let labels = json!({"openclaw": "openclaw-gateway", "openclaw-id": "0123456789abcdef"});
    cloud
        .google
        .put(VM, json!({"name": "openclaw-gateway", "status": "RUNNING", "disks": [boot], "labels": labels}));
    cloud.google.put(&format!("{SNAPSHOTS}/mine"), json!({"name": "mine", "diskSizeGb": "10"}));
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    for action in [&["update", "--replace"][..], &["restore", "mine"], &["destroy"]] {
        let refused = cloud.run(Shell::Dash, action).ended(1);
        assert!(refused.err.contains("its state is on the boot disk"), "{action:?}: {}", refused.err);
        assert!(refused.err.contains("bake gcloud destroy --data | sh"), "{action:?}: {}", refused.err);
        is_untouched(&cloud, &before);
    }

    // As `create` makes it, before the spec had a data disk.
    let edits = [("data_disk: 10GB", "data_disk: 0"), ("snapshots: {keep_days: 14}", "snapshots: null")];
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &edits);
    cloud.run(Shell::Dash, &["create"]).done();
    cloud.folder.edit("bake.yaml", "data_disk: 0", "data_disk: 10GB");
    cloud.folder.bake(["render"]).done();
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    for action in [&["update"][..], &["update", "--replace"], &["destroy"]] {
        let refused = cloud.run(Shell::Bash, action).ended(1);
        assert!(refused.err.contains("its state is on the boot disk"), "{action:?}: {}", refused.err);
        is_untouched(&cloud, &before);
    }
}

/// Even with `--data`, only once the VM's name is typed; and never another gateway's.
#[test]
fn the_data_goes_only_once_the_name_is_typed() {
    let cloud = created();
    cloud.run(Shell::Bash, &["backup", "--snapshot-only"]).done();
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    let alone = cloud.run(Shell::Dash, &["destroy", "--data"]).ended(1);
    assert!(alone.err.contains("no terminal"), "{}", alone.err);
    for (shell, typed) in [(Shell::Dash, "openclaw-gateway-2\n"), (Shell::Bash, "y\n"), (Shell::Dash, "\n")] {
        let wrong = cloud.typed(shell, &["destroy", "--data"], &[("Type openclaw-gateway", typed)]).ended(1);
        assert!(wrong.out.contains("Nothing was changed"), "{}", wrong.out);
    }
    is_untouched(&cloud, &before);

    // Somebody's copy of the disk, whose name begins as that of a restored one.
    let copy = json!({"name": "mine", "sourceDisk": format!("https://x/{}-2", DATA.replace("compute/", ""))});
    cloud.google.put(&format!("{SNAPSHOTS}/mine"), copy);
    cloud.google.fail("DELETE", "/openclaw-gateway-data", Fault::denied("compute.disks.delete"), 1);
    let failed =
        cloud.typed(Shell::Dash, &["destroy", "--data"], &[("Type openclaw-gateway", "openclaw-gateway\n")]);
    assert_ne!(failed.code, 0);
    let (_, told) = failed.out.split_once("Done:").expect("what is done");
    let (gone, tried) = told.split_once("Failed,").expect("what failed");
    assert!(gone.contains("- VM openclaw-gateway") && !gone.contains("- data disk"), "{gone}");
    assert!(tried.contains("- data disk of openclaw-gateway: openclaw-gateway-data"), "{tried}");
    cloud
        .typed(Shell::Bash, &["destroy", "--data"], &[("Type openclaw-gateway", "openclaw-gateway\n")])
        .done();
    assert_eq!(names(&cloud, DISKS), ["openclaw-gateway-2-data"], "another's stays");
    assert!(names(&cloud, SNAPSHOTS) == ["mine"] && !cloud.google.has(VM));
    assert!(
        !cloud
            .google
            .has("compute/projects/demo/regions/us-central1/resourcePolicies/openclaw-gateway-daily")
    );
}

/// An instance template and a stateful managed group, with a data disk for each member.
#[test]
fn a_fleet_is_made_replaced_and_deleted_by_its_group() {
    let cloud = cloud();
    cloud.google.fail("POST", "/createInstances", Fault::quota(), 1);
    let failed = cloud.run(Shell::Bash, &["create", "--fleet", "alice,bob"]);
    let (_, told) = failed.err.split_once("Done:").unwrap_or_else(|| panic!("{}", failed.err));
    let (done, tried) = told.split_once("Failed,").expect("what failed");
    assert!(failed.code != 0 && failed.err.contains("gcp.machine_type"), "{}", failed.err);
    assert!(done.contains("+ group openclaw-gateway") && done.contains("+ data disk alice-data"), "{done}");
    assert!(tried.contains("+ VM alice") && !done.contains("+ VM"), "{told}");
    twice(&cloud, &["create", "--fleet", "alice,bob"]);
    assert_eq!(names(&cloud, INSTANCES), ["alice", "bob"]);
    let group = cloud.google.get(GROUP);
    assert_eq!(group["targetSize"], 2);
    assert_eq!(last(&group["autoHealingPolicies"][0]["healthCheck"]), "openclaw-gateway-alive");
    let check = cloud.google.get("compute/projects/demo/global/healthChecks/openclaw-gateway-alive");
    assert_eq!((&check["type"], &check["tcpHealthCheck"]["port"]), (&json!("TCP"), &json!(22)));
    let rule = cloud.google.get("compute/projects/demo/global/firewalls/openclaw-gateway-alive");
    assert_eq!(rule["sourceRanges"], json!(["35.191.0.0/16", "130.211.0.0/22"]), "Google's probes alone");
    assert_eq!(rule["allowed"], json!([{"IPProtocol": "tcp", "ports": ["22"]}]));
    assert_eq!(rule["targetTags"], json!(["openclaw-gateway"]));
    for member in ["alice", "bob"] {
        let kept = &cloud.google.get(&format!("members/{GROUP}"))[member]["preservedState"]["disks"];
        assert_eq!(kept["openclaw-gateway-data"]["autoDelete"], "NEVER", "{kept}");
        is_as_the_spec_says(&cloud, member);
    }
    let id = |path: String| cloud.google.get(&path)["id"].clone();
    let disks = || ["alice", "bob"].map(|name| id(format!("{DISKS}/{name}-data")));
    let vms = || ["alice", "bob"].map(|name| id(format!("{INSTANCES}/{name}")));
    let (data, [alice, bob]) = (disks(), vms());

    // The group replaces a member that does not answer, and keeps its disk.
    cloud.google.dies(GROUP, "alice");
    assert!(vms()[0] != alice && vms()[1] == bob);
    is_as_the_spec_says(&cloud, "alice");

    let (old, [alice, bob]) =
        (last(&cloud.google.get(GROUP)["versions"][0]["instanceTemplate"]).to_owned(), vms());
    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Europe/Berlin");
    cloud.folder.bake(["render"]).done();
    twice(&cloud, &["update", "--replace", "--fleet", "alice,bob"]);
    let group = cloud.google.get(GROUP);
    assert_eq!(group["updatePolicy"]["replacementMethod"], "RECREATE");
    assert_eq!(group["updatePolicy"]["maxUnavailable"]["fixed"], 1, "one after another");
    let new = last(&group["versions"][0]["instanceTemplate"]).to_owned();
    assert!(new != old && new.starts_with("openclaw-gateway-"), "{new}");
    assert!(vms()[0] != alice && vms()[1] != bob);
    for member in ["alice", "bob"] {
        is_as_the_spec_says(&cloud, member);
    }
    assert_eq!(disks(), data);

    // The group is deleted as a whole: an action that names a part of it asks back.
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    let refused = cloud.run(Shell::Dash, &["destroy", "--fleet", "alice"]).ended(1);
    assert!(refused.err.contains("would go with it: bob"), "{}", refused.err);
    is_untouched(&cloud, &before);

    twice(&cloud, &["destroy", "--fleet", "alice,bob"]);
    assert!(names(&cloud, INSTANCES).is_empty());
    assert_eq!(
        names(&cloud, DISKS),
        ["alice-data", "bob-data", "openclaw-gateway-2-data"],
        "data disks stay"
    );
    assert!(names(&cloud, "compute/projects/demo/global/instanceTemplates").is_empty());
}

/// The user stopped the VM, or a `resize` failed in the middle.
#[test]
fn a_stopped_vm_is_resized_and_started() {
    let cloud = created();
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

/// A member of a fleet, by the bundle as it is now.
#[track_caller]
fn is_as_the_spec_says(cloud: &Cloud, member: &str) {
    let path = format!("{INSTANCES}/{member}");
    assert_eq!(data_disks(cloud, &path), [format!("{member}-data")]);
    let vm = cloud.google.get(&path);
    let data = vm["disks"].as_array().and_then(|disks| disks.last()).expect("a disk");
    assert_eq!((&data["autoDelete"], &data["deviceName"]), (&json!(false), &json!("openclaw-gateway-data")));
    let mut metadata = cloud.google.metadata(&path);
    for (key, file) in [("user-data", "user-data.yaml"), ("startup-script", "startup-script.sh")] {
        let whole = metadata.remove(key) == Some(cloud.folder.read(&format!("out/{file}")));
        assert!(whole, "{member}: {key}, byte for byte");
    }
    assert_eq!(
        metadata.remove("created-by").as_deref().map(|group| group.ends_with("/openclaw-gateway")),
        Some(true)
    );
    let bundle = vm["labels"]["openclaw-bundle"].as_str().unwrap_or_default();
    assert_eq!(metadata.remove("openclaw-request"), Some(format!("update={bundle}")));
    let keys: Vec<_> = metadata.keys().map(String::as_str).collect();
    let flags =
        ["block-project-ssh-keys", "enable-guest-attributes", "enable-oslogin", "serial-port-logging-enable"];
    assert_eq!(keys, flags);
    assert!(metadata.values().all(|value| value == "TRUE"), "{metadata:?}");
    assert_eq!(vm["shieldedInstanceConfig"]["enableSecureBoot"], true);
    let account = json!([{
        "email": format!("{ACCOUNT}@demo.iam.gserviceaccount.com"),
        "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
    }]);
    assert_eq!(vm["serviceAccounts"], account);
    assert_eq!(vm["tags"]["items"], json!(["openclaw-gateway"]));
    let label = |key: &str| vm["labels"][key].as_str().map(str::len);
    assert_eq!(vm["labels"]["openclaw"], "openclaw-gateway");
    assert_eq!((label("openclaw-lock"), label("openclaw-bundle")), (Some(16), Some(16)), "{}", vm["labels"]);
}

/// The group reports "done" before it has created a VM, and reports no later errors.
#[test]
fn a_group_is_waited_for_and_its_errors_are_reported() {
    let cloud = cloud();
    cloud.in_place_of("sleep", "exit 0");
    cloud.google.groups_take(1);
    cloud.run(Shell::Dash, &["create", "--fleet", "alice,bob"]).done();
    assert_eq!(names(&cloud, INSTANCES), ["alice", "bob"], "it was waited for");

    cloud.google.groups_take(0);
    cloud.google.boots(&["ready"]);
    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Europe/Berlin");
    cloud.folder.bake(["render"]).done();
    cloud.google.groups_lack("QUOTA_EXCEEDED", "Quota 'CPUS' exceeded.  Limit: 2.0 in region us-central1.");
    let failed = cloud.run(Shell::Bash, &["update", "--replace", "--fleet", "alice,bob"]).ended(1);
    assert!(failed.err.contains("alice QUOTA_EXCEEDED Quota 'CPUS'"), "{}", failed.err);
    for advice in ["gcp.machine_type", "bake gcloud wait --fleet alice,bob | sh"] {
        assert!(failed.err.contains(advice), "{}", failed.err);
    }

    // One VM is away, and the other one ready, with the bundle of yesterday.
    assert_eq!(names(&cloud, INSTANCES), ["bob"]);
    let waited = cloud.run(Shell::Dash, &["wait", "--fleet", "alice,bob"]).ended(1);
    assert!(waited.err.contains("QUOTA_EXCEEDED") && !waited.out.contains("ready"), "{}", waited.out);
    let looked = cloud.run(Shell::Bash, &["status", "--fleet", "bob"]).ended(1);
    assert!(looked.err.contains("The group openclaw-gateway is at work"), "{}", looked.err);
    assert!(looked.err.contains("QUOTA_EXCEEDED"), "{}", looked.err);

    cloud.google.mend();
    let waited = cloud.run(Shell::Bash, &["wait", "--fleet", "alice,bob"]).done();
    for member in ["alice", "bob"] {
        assert!(waited.out.contains(&format!("{member}  ready")), "{}", waited.out);
        is_as_the_spec_says(&cloud, member);
    }
}
