//! Changes of a VM by hand: `plan` shows each, `update` applies it, and what bake does not set is named and kept.

use crate::support::google::{Cloud, Shell};
use crate::support::test;
use serde_json::{Value, json};

const VM: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const SCHEDULE: &str = "compute/projects/demo/regions/us-central1/resourcePolicies/openclaw-gateway-daily";

/// Changes the resource as another client would.
fn change(cloud: &Cloud, path: &str, change: impl Fn(&mut Value)) {
    let mut resource = cloud.google.get(path);
    change(&mut resource);
    cloud.google.put(path, resource);
}

/// Replaces the metadata's items for which `edit` says so; without a value, removes them.
fn set_metadata(cloud: &Cloud, key: &str, value: Option<&str>) {
    change(cloud, VM, |vm| {
        let items = vm["metadata"]["items"].as_array_mut().expect("metadata");
        items.retain(|item| item["key"] != key);
        items.extend(value.map(|value| json!({"key": key, "value": value})));
    });
}

#[test]
fn metadata_that_was_changed_by_hand_is_put_right_in_place() {
    let cloud = Cloud::created();
    let id = cloud.google.get(VM)["id"].clone();
    set_metadata(&cloud, "enable-oslogin", Some("FALSE"));
    set_metadata(&cloud, "block-project-ssh-keys", None);
    set_metadata(&cloud, "ssh-keys", Some("me:ssh-rsa AAAA= me\nenable-oslogin=TRUE"));
    let plan = cloud.run(Shell::Dash, &["plan"]).ended(1);
    let planned: Vec<_> = plan.out.lines().filter(|line| line.starts_with("  ~")).collect();
    let wanted = ["enable-oslogin=TRUE", "block-project-ssh-keys=TRUE"]
        .map(|word| format!("  ~ VM openclaw-gateway: metadata {word}"));
    assert_eq!(planned, wanted, "{}", plan.err);
    let note = "note: openclaw-gateway has metadata that bake did not set, and keeps it: ssh-keys\n";
    assert!(plan.err.contains(note), "{}", plan.err);
    cloud.run(Shell::Bash, &["update"]).done();
    let metadata = cloud.google.metadata(VM);
    assert_eq!(metadata["enable-oslogin"], "TRUE");
    assert_eq!(metadata["block-project-ssh-keys"], "TRUE");
    assert!(metadata["ssh-keys"].starts_with("me:ssh-rsa"));
    assert!(metadata["user-data"] == cloud.folder.read("out/user-data.yaml"), "as it was");
    assert_eq!(cloud.google.get(VM)["id"], id, "the same VM");
    cloud.run(Shell::Dash, &["plan"]).done();
}

/// Only a new VM gets other scopes.
#[test]
fn scopes_that_cannot_read_secrets_replace_the_vm() {
    let cloud = Cloud::created();
    let id = cloud.google.get(VM)["id"].clone();
    let narrow = json!(["https://www.googleapis.com/auth/devstorage.read_only"]);
    change(&cloud, VM, |vm| vm["serviceAccounts"][0]["scopes"] = narrow.clone());
    set_metadata(&cloud, "enable-oslogin", Some("FALSE"));
    let plan = cloud.run(Shell::Bash, &["plan", "--replace"]).ended(1);
    assert!(plan.out.contains("- VM openclaw-gateway, and + a new one"), "{}", plan.out);
    assert!(!plan.out.contains("metadata"), "the new VM has the metadata: {}", plan.out);
    cloud.run(Shell::Dash, &["update", "--replace"]).done();
    let vm = cloud.google.get(VM);
    assert_ne!(vm["id"], id);
    assert_eq!(vm["serviceAccounts"][0]["scopes"], json!(["https://www.googleapis.com/auth/cloud-platform"]));
    cloud.run(Shell::Bash, &["plan"]).done();
}

/// Snapshots stay in the region, where a policy of locations allows them; an older schedule is named.
#[test]
fn the_schedule_stores_snapshots_in_the_region() {
    let cloud = Cloud::created();
    let properties = cloud.google.get(SCHEDULE)["snapshotSchedulePolicy"]["snapshotProperties"].clone();
    assert_eq!(properties["storageLocations"], json!(["us-central1"]));
    let same = cloud.run(Shell::Dash, &["plan"]).done();
    assert!(!same.out.contains("Compute Engine chooses"), "{}", same.out);
    change(&cloud, SCHEDULE, |schedule| {
        let properties = &mut schedule["snapshotSchedulePolicy"]["snapshotProperties"];
        properties.as_object_mut().expect("properties").remove("storageLocations");
    });
    let told = cloud.run(Shell::Bash, &["plan"]).done();
    let advice = "  gcloud compute resource-policies delete openclaw-gateway-daily --region=us-central1 --project=demo";
    assert!(told.out.contains(advice), "{}", told.out);
}
