//! Actions find their project, change only what is its own, and know before the first change that the last
//! one can be made.

use std::process::Command;

use crate::support::google::{Cloud, Fault, Google, Shell};
use crate::support::test;
use crate::support::{Folder, said};
use serde_json::{Value, json};

const ACCOUNT: &str = "openclaw-gateway";
const VM: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const DATA: &str = "compute/projects/demo/zones/us-central1-a/disks/openclaw-gateway-data";
const SCHEDULE: &str = "compute/projects/demo/regions/us-central1/resourcePolicies/openclaw-gateway-daily";

/// Renders after edits to the spec.
fn edit(cloud: &Cloud, edits: &[(&str, &str)]) {
    for (from, to) in edits {
        cloud.folder.edit("bake.yaml", from, to);
    }
    cloud.folder.bake(["render"]).done();
}

/// Holds that the action ends with an error that says this, and changes nothing.
#[track_caller]
fn refuses(cloud: &Cloud, action: &[&str], why: &str) {
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    let refused = cloud.run(Shell::Dash, action).ended(1);
    assert!(refused.err.contains(why), "{action:?}: {}", refused.err);
    let changes = cloud.google.changes();
    assert!(changes.is_empty() && cloud.google.resources() == before, "{action:?}: {changes:#?}");
}

/// In a folder without a project there is no default VM to delete; below one, the project is found and named.
#[test]
fn an_action_needs_a_project_and_finds_the_one_above() {
    let folder = Folder::empty();
    for action in [&["destroy"][..], &["create"], &["status"], &["destroy", "--data"]] {
        let refused = folder.bake(["gcloud"].into_iter().chain(action.iter().copied())).ended(2);
        assert!(refused.err.contains("there is no bake.yaml"), "{action:?}: {}", refused.err);
        folder.write("script", &refused.out);
        let ended = said(Command::new("/bin/sh").arg(folder.join("script")).env("PATH", "/nonexistent"));
        assert_eq!(ended.code, 2, "{action:?}: {}", ended.err);
    }
    let project = Folder::project();
    project.write("docs/deep/x", "");
    let below = project.join("docs/deep");
    let found = project.bake(["-C", below.to_str().expect("a path"), "gcloud", "destroy"]).done();
    assert!(found.err.contains(&format!("Project: {}", project.path().display())), "{}", found.err);
    assert!(found.out.contains("gcloud compute instances delete openclaw-gateway "), "{}", found.out);
}

/// In an incident, a lock that is stale, broken or gone keeps no one from looking, rescuing and ending.
#[test]
fn actions_that_read_or_rescue_need_the_spec_alone() {
    let folder = Folder::project();
    let spoil: [&dyn Fn(); 3] = [
        &|| _ = folder.edit("bake.yaml", "openclaw:2026.9.4", "openclaw:2026.9.5"),
        &|| _ = folder.write("bake.lock", "}{ not a lock"),
        &|| std::fs::remove_file(folder.join("images/binaries.yaml")).expect("a file"),
    ];
    for spoiled in spoil {
        spoiled();
        for action in [
            &["status"][..],
            &["logs"],
            &["ssh"],
            &["token"],
            &["tunnel"],
            &["backup"],
            &["destroy"],
            &["restore", "snapshot-1"],
            &["wait"],
            &["resize", "e2-medium"],
        ] {
            let printed = folder.bake(["gcloud"].into_iter().chain(action.iter().copied())).done();
            assert!(printed.err.contains("ignores the lock"), "{action:?}: {}", printed.err);
            assert!(printed.out.contains("gcloud "), "{action:?}");
        }
        for action in ["create", "update", "plan"] {
            folder.bake(["gcloud", action]).ended(2);
        }
    }
}

/// A VM with the same name belongs to another project: none of the actions touches it.
#[test]
fn resources_with_other_labels_are_never_changed() {
    let cloud = Cloud::created();
    let mut vm = cloud.google.get(VM);
    vm["labels"]["openclaw-id"] = json!("another-project");
    cloud.google.put(VM, vm);
    for action in [&["create"][..], &["update"], &["resize", "e2-medium"], &["destroy"], &["plan"]] {
        refuses(&cloud, action, "does not carry the label openclaw-id=0123456789abcdef");
    }
}

/// The type is looked up before the VM is stopped.
#[test]
fn a_machine_type_that_the_zone_has_not_stops_no_vm() {
    let cloud = Cloud::created();
    refuses(&cloud, &["resize", "e2-highmem-3"], "There is no machine type e2-highmem-3 in us-central1-a");
    assert_eq!(cloud.google.get(VM)["status"], "RUNNING");
    edit(&cloud, &[("machine_type: e2-small", "machine_type: e2-highmem-3")]);
    refuses(&cloud, &["update"], "There is no machine type e2-highmem-3 in us-central1-a");
}

/// Before a VM is deleted or stopped: quota, image, service account and secrets of the one in its place.
#[test]
fn a_vm_that_could_not_come_back_is_kept() {
    let cloud = Cloud::created();
    let quota = |limit| json!([{"metric": "N2_CPUS", "limit": 0, "usage": 0}, {"metric": "CPUS", "limit": limit, "usage": 6.0}]);
    cloud.google.put("quotas/us-central1", quota(7.0));
    edit(&cloud, &[("machine_type: e2-small", "machine_type: e2-standard-4")]);
    for action in [&["update", "--replace"][..], &["resize", "e2-standard-4"]] {
        refuses(&cloud, action, "room for 1 more processors, and e2-standard-4 needs 2 more");
    }
    // The new boot disk is larger than the old one, and a public address is in use already.
    let others = |limit| {
        json!([
            {"metric": "SSD_TOTAL_GB", "limit": limit, "usage": 480.0},
            {"metric": "DISKS_TOTAL_GB", "limit": 0, "usage": 0},
            {"metric": "IN_USE_ADDRESSES", "limit": 1.0, "usage": 1.0},
        ])
    };
    edit(
        &cloud,
        &[("machine_type: e2-standard-4", "machine_type: e2-medium"), ("boot_disk: 20GB", "boot_disk: 55GB")],
    );
    cloud.google.put("quotas/us-central1", others(514.0));
    refuses(
        &cloud,
        &["update", "--replace"],
        "SSD_TOTAL_GB of us-central1 has room for 34 more GB, and e2-medium needs 35 more",
    );
    cloud.google.put("quotas/us-central1", others(515.0));
    cloud.run(Shell::Dash, &["plan", "--replace"]).ended(1);
    let mut vm = cloud.google.get(VM);
    let address = vm["networkInterfaces"][0]["accessConfigs"].take();
    cloud.google.put(VM, vm);
    refuses(
        &cloud,
        &["update", "--replace"],
        "IN_USE_ADDRESSES of us-central1 has room for 0 more addresses, and e2-medium needs 1 more",
    );
    let mut vm = cloud.google.get(VM);
    vm["networkInterfaces"][0]["accessConfigs"] = address;
    cloud.google.put(VM, vm);
    edit(
        &cloud,
        &[("machine_type: e2-medium", "machine_type: e2-standard-4"), ("boot_disk: 55GB", "boot_disk: 20GB")],
    );
    cloud.google.put("quotas/us-central1", quota(8.0));
    let plan = cloud.run(Shell::Bash, &["plan", "--replace"]).ended(1);
    assert!(plan.out.contains("- VM openclaw-gateway"), "{}{}", plan.out, plan.err);

    edit(
        &cloud,
        &[(
            "OPENCLAW_GATEWAY_TOKEN: {generate: hex32}",
            "OPENCLAW_GATEWAY_TOKEN: {secret_manager: gateway-token}",
        )],
    );
    refuses(&cloud, &["update", "--replace"], "no usable version of the secret gateway-token");
    // An account that deploys may not see secrets, and replaces the VM all the same.
    let denied = Fault::denied("secretmanager.versions.list");
    cloud.google.fail("GET", "/secrets/gateway-token/versions", denied, None);
    let plan = cloud.run(Shell::Dash, &["plan", "--replace"]).ended(1);
    assert!(
        plan.err.contains("may not look up the usable version of the secret gateway-token"),
        "{}",
        plan.err
    );
    cloud.google.mend();
    cloud.google.put(
        "secretmanager/projects/demo/secrets/gateway-token",
        json!({"name": "projects/demo/secrets/gateway-token"}),
    );
    refuses(&cloud, &["update", "--replace"], "no usable version of the secret gateway-token");
    edit(
        &cloud,
        &[
            (
                "OPENCLAW_GATEWAY_TOKEN: {secret_manager: gateway-token}",
                "OPENCLAW_GATEWAY_TOKEN: {generate: hex32}",
            ),
            ("service_account: openclaw-gateway", "service_account: another-account"),
        ],
    );
    refuses(
        &cloud,
        &["update", "--replace"],
        "no service account another-account@demo.iam.gserviceaccount.com",
    );
}

/// Another zone, name or family: no second VM on an empty disk, and no VM deleted that cannot come back.
#[test]
fn state_that_is_elsewhere_is_not_left_behind() {
    let cloud = Cloud::created();
    let spec = cloud.folder.read("bake.yaml");
    for (from, to, why) in [
        ("zone: us-central1-a", "zone: us-central1-b", "openclaw-gateway in us-central1-a"),
        ("name: openclaw-gateway ", "name: other-gateway ", "openclaw-gateway in us-central1-a"),
        (
            "machine_type: e2-small",
            "machine_type: n4-standard-2",
            "machines of this family take Hyperdisk only",
        ),
    ] {
        cloud.folder.write("bake.yaml", &spec);
        edit(&cloud, &[(from, to)]);
        refuses(&cloud, &["update"], why);
        if !to.starts_with("machine_type") {
            refuses(&cloud, &["create"], why);
            // The data disk alone, once its VM is gone, is state too.
            cloud.folder.write("bake.yaml", &spec);
        }
    }
    cloud.folder.bake(["render"]).done();
    cloud.run(Shell::Bash, &["destroy"]).done();
    edit(&cloud, &[("zone: us-central1-a", "zone: us-central1-b")]);
    refuses(&cloud, &["create"], "openclaw-gateway-data in us-central1-a");
}

/// Each change of the spec is applied, or told.
#[test]
fn drift_is_planned_and_applied_or_told() {
    let cloud = Cloud::created();
    cloud.google.boots(&["ready"]);
    let plan = cloud.run(Shell::Dash, &["plan"]).done();
    assert!(plan.out.contains("Nothing to change"), "{}", plan.out);

    edit(&cloud, &[("data_disk: 10GB", "data_disk: 25GB"), ("keep_days: 14", "keep_days: 3")]);
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    let plan = cloud.run(Shell::Bash, &["plan"]).ended(1);
    for line in [
        "data disk openclaw-gateway-data: grows to 25 GB",
        "snapshots are kept for 3 days",
        "= VM openclaw-gateway",
    ] {
        assert!(plan.out.contains(line), "{line}: {}", plan.out);
    }
    assert!(
        cloud.google.changes().is_empty() && cloud.google.resources() == before,
        "a plan changes nothing"
    );
    let id = cloud.google.get(VM)["id"].clone();
    cloud.run(Shell::Dash, &["update"]).done();
    assert_eq!(cloud.google.get(DATA)["sizeGb"], "25");
    let retention = &cloud.google.get(SCHEDULE)["snapshotSchedulePolicy"]["retentionPolicy"];
    assert_eq!(retention, &json!({"maxRetentionDays": 3, "onSourceDiskDelete": "KEEP_AUTO_SNAPSHOTS"}));
    assert_eq!(cloud.google.get(VM)["id"], id, "the VM is what it was");
    cloud.run(Shell::Bash, &["plan"]).done();

    edit(&cloud, &[("data_disk: 25GB", "data_disk: 20GB")]);
    refuses(&cloud, &["update"], "is larger than bake.yaml says (20GB)");
    edit(&cloud, &[("data_disk: 20GB", "data_disk: 25GB"), ("timezone: UTC", "timezone: Asia/Tokyo")]);
    let told = cloud.run(Shell::Dash, &["status"]).ended(1);
    assert!(told.err.contains("bake.yaml or bake.lock has changed since the VM was made"), "{}", told.err);
    let plan = cloud.run(Shell::Dash, &["plan", "--replace"]).ended(1);
    assert!(plan.out.contains("- VM openclaw-gateway, and + a new one"), "{}", plan.out);

    cloud.google.fail("GET", "/disks", Fault::denied("compute.disks.list"), None);
    cloud.run(Shell::Dash, &["plan"]).ended(2);
    assert_eq!(cloud.google.get(VM)["id"], id);
}

/// Without an id in the spec, the label with the name decides.
#[test]
fn a_project_without_an_id_goes_by_its_name() {
    let folder = Folder::project();
    let without: String = folder
        .read("bake.yaml")
        .lines()
        .filter(|line| !line.starts_with("id: "))
        .map(|line| format!("{line}\n"))
        .collect();
    folder.write("bake.yaml", without);
    folder.bake(["render"]).done();
    let cloud = Cloud::of(Google::set_up(ACCOUNT), folder);
    cloud.run(Shell::Dash, &["create"]).done();
    assert_eq!(cloud.google.get(DATA)["labels"], json!({"openclaw": "openclaw-gateway"}));
    let mut vm = cloud.google.get(VM);
    vm["labels"] = Value::Null;
    cloud.google.put(VM, vm);
    refuses(&cloud, &["destroy"], "does not carry the label openclaw=openclaw-gateway");
}
