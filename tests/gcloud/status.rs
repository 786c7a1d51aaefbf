//! `bake gcloud status` compares spec, VM, lock and report, as lines and as JSON.

use crate::support::google::{Cloud, Shell};
use crate::support::test;
use serde_json::{Value, json};

const ZONE: &str = "compute/projects/demo/zones/us-central1-a";
const VM: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";

/// A ready gateway, at a time of the test's choice: 2026-11-22T18:29:59Z.
fn ready() -> Cloud {
    let cloud = Cloud::created();
    cloud.in_place_of("date", "case $* in *%s*) echo 1795372199 ;; *) echo 20260102-030405 ;; esac");
    let lock = bake::digest::Sha256::of(cloud.folder.read("bake.lock")).to_string();
    let since = "2036-11-22T21:00:00Z";
    for (key, value) in [
        ("lock", lock.as_str()),
        ("since", since),
        ("disk", "7168 9920"),
        ("reboot", ""),
        ("verified", "2026-11-22T18:00:00Z 2 3"),
        ("status", "ready"),
    ] {
        report(&cloud, key, value);
    }
    cloud
}

fn report(cloud: &Cloud, key: &str, value: &str) {
    cloud.google.guest_attribute(VM, &format!("openclaw/{key}"), value);
}

/// A snapshot of the data disk.
fn put_snapshot(cloud: &Cloud, name: &str, time: &str, by_schedule: bool) {
    let snapshot = json!({
        "name": name,
        "creationTimestamp": time,
        "autoCreated": by_schedule,
        "labels": {"openclaw": "openclaw-gateway", "openclaw-id": "0123456789abcdef"},
        "sourceDisk": format!("https://x/{}/disks/openclaw-gateway-data", ZONE.trim_start_matches("compute/")),
    });
    cloud.google.put(&format!("compute/projects/demo/global/snapshots/{name}"), snapshot);
}

/// The document that the script prints.
#[track_caller]
fn document(cloud: &Cloud, shell: Shell, action: &[&str], code: i32) -> Value {
    let run = cloud.run(shell, &[&["status", "--as-json"][..], action].concat()).ended(code);
    serde_json::from_str(&run.out).unwrap_or_else(|error| panic!("{error}: {}{}", run.out, run.err))
}

#[test]
fn a_gateway_in_order_has_no_problems() {
    let cloud = ready();
    put_snapshot(&cloud, "daily-2", "2026-11-22T04:00:00.000Z", true);
    put_snapshot(&cloud, "by-hand", "2026-11-20T10:30:00.000-08:00", false);
    let boot_disk = format!("{ZONE}/disks/openclaw-gateway");
    let mut disk = cloud.google.get(&boot_disk);
    disk["sourceImage"] =
        json!("https://x/projects/demo/global/images/openclaw-gateway-amd64-20261120-101500");
    cloud.google.put(&boot_disk, disk);
    cloud.google.put(
        "compute/projects/demo/global/images/openclaw-gateway-amd64-20261120-101500",
        json!({"name": "openclaw-gateway-amd64-20261120-101500", "labels": {"openclaw-base": "debian-13-trixie-v20261110"}}),
    );
    let run = cloud.run(Shell::Dash, &["status"]).done();
    for line in [
        "  image    openclaw-gateway-amd64-20261120-101500, 2 days old, from debian-13-trixie-v20261110, 12 days old\n",
        "  openclaw 2026-9-4\n",
        "  disk     openclaw-gateway-data, 10 GB, 7168 of 9920 MiB free\n",
        "  snapshot daily-2, of 2026-11-22T04:00:00Z, 14 hours ago\n",
        "  backup   by-hand, of 2026-11-20T18:30:00Z, 47 hours ago\n",
    ] {
        assert!(run.out.contains(line), "{line}: {}", run.out);
    }
    assert_eq!(run.err, "");
    let document = document(&cloud, Shell::Bash, &[], 0);
    assert_eq!((&document["version"], &document["project"]), (&json!(1), &json!("demo")));
    let [vm] = &document["vms"].as_array().expect("a list")[..] else { panic!("{document:#}") };
    for (key, value) in [
        ("name", json!("openclaw-gateway")),
        ("zone", json!("us-central1-a")),
        ("well", json!(true)),
        ("problems", json!([])),
        ("state", json!("RUNNING")),
        ("status", json!("ready")),
        ("since", json!("2036-11-22T21:00:00Z")),
        ("error", json!(null)),
        ("openclaw", json!("2026-9-4")),
        ("wanted_openclaw", json!("2026-9-4")),
        ("machine_type", json!("e2-small")),
        ("service_account", json!("openclaw-gateway@demo.iam.gserviceaccount.com")),
        ("reboot_required", json!(false)),
        ("verified", json!("2026-11-22T18:00:00Z 2 3")),
        ("disk", json!("openclaw-gateway-data")),
        ("disk_gb", json!(10)),
        ("disk_mib", json!(9920)),
        ("free_mib", json!(7168)),
        ("image", json!("openclaw-gateway-amd64-20261120-101500")),
        ("image_days", json!(2)),
        ("stock_image", json!("debian-13-trixie-v20261110")),
        ("stock_image_days", json!(12)),
        ("old_disks", json!([])),
        ("snapshot", json!({"name": "daily-2", "taken": "2026-11-22T04:00:00Z", "hours_ago": 14})),
        ("backup", json!({"name": "by-hand", "taken": "2026-11-20T18:30:00Z", "hours_ago": 47})),
        ("monthly_usd", json!(19)),
    ] {
        assert_eq!(vm[key], value, "{key}");
    }
    for key in ["lock", "bundle", "bake"] {
        assert!(vm[key].is_string() && vm[key] == vm[format!("wanted_{key}")], "{key}: {vm:#}");
    }
}

/// Each difference has its word in `problems`, and its advice on standard error.
#[test]
fn each_difference_is_a_problem_of_the_document() {
    let cloud = ready();
    let mut vm = cloud.google.get(VM);
    vm["serviceAccounts"] = json!([{"email": "another@demo.iam.gserviceaccount.com", "scopes": ["https://x/auth/cloud-platform"]}]);
    let items = vm["metadata"]["items"].as_array_mut().expect("metadata");
    items.retain(|item| item["key"] != "enable-oslogin");
    items.push(json!({"key": "startup-command", "value": "x"}));
    cloud.google.put(VM, vm);
    for (key, value) in [
        ("error", "start: it said \"no\\yes\" | $(id)"),
        ("disk", "300 9920"),
        ("reboot", "required"),
        ("lock", "e0e1"),
        ("status", "start"),
    ] {
        report(&cloud, key, value);
    }
    put_snapshot(&cloud, "daily-1", "2026-11-20T17:00:00.000Z", true);
    let mut older = cloud.google.get(&format!("{ZONE}/disks/openclaw-gateway-data"));
    older["name"] = json!("openclaw-gateway-data-0a1b2c3d");
    older["creationTimestamp"] = json!("2025-01-01T00:00:00.000Z");
    cloud.google.put(&format!("{ZONE}/disks/openclaw-gateway-data-0a1b2c3d"), older);
    cloud.folder.edit("bake.yaml", "data_disk: 10GB", "data_disk: 12GB");
    cloud.folder.edit("bake.yaml", "timezone: UTC", "timezone: Asia/Tokyo");
    let document = document(&cloud, Shell::Dash, &[], 1);
    let vm = &document["vms"][0];
    let problems = [
        "not-ready",
        "other-lock",
        "reboot-required",
        "other-identity",
        "other-bundle",
        "other-metadata",
        "other-disk-size",
        "disk-nearly-full",
        "snapshots-late",
    ];
    assert_eq!(vm["problems"], json!(problems), "{document:#}");
    for (key, value) in [
        ("well", json!(false)),
        ("error", json!("start: it said \"no\\yes\" | $(id)")),
        ("reboot_required", json!(true)),
        ("metadata_to_set", json!(["enable-oslogin=TRUE"])),
        ("metadata_of_others", json!(["startup-command"])),
        ("old_disks", json!([{"name": "openclaw-gateway-data-0a1b2c3d", "size_gb": 10}])),
        ("wanted_disk_gb", json!(12)),
        ("backup", json!(null)),
    ] {
        assert_eq!(vm[key], value, "{key}");
    }

    // Advice names the action that makes the change: `update` refuses these in place.
    cloud.folder.edit("bake.yaml", "machine_type: e2-small", "machine_type: e2-standard-2");
    let advice = cloud.run(Shell::Posix, &["status"]).ended(1).err;
    for command in [
        "bake gcloud update --replace | sh",
        "bake gcloud resize e2-standard-2 | sh",
        "sudo systemctl reboot",
    ] {
        assert!(advice.contains(command), "{command}: {advice}");
    }
    let advice = cloud.run(Shell::Dash, &["status", "--fleet", "openclaw-gateway"]).ended(1).err;
    assert!(advice.contains("bake gcloud update --replace --fleet openclaw-gateway | sh"), "{advice}");
    assert!(!advice.contains("bake gcloud resize"), "{advice}");

    // A report is never run, and a missing VM is an object too.
    report(&cloud, "disk", "a[$(touch${IFS}pwned)] 9920");
    let run = cloud.run(Shell::Bash, &["status"]).ended(1);
    assert!(run.out.contains("old disk openclaw-gateway-data-0a1b2c3d, 10 GB"), "{}", run.out);
    assert!(!run.out.contains("MiB free") && !run.out.contains("pwned"), "{}", run.out);
    cloud.google.remove(VM);
    let document = self::document(&cloud, Shell::Bash, &["--fleet", "alice,openclaw-gateway"], 1);
    for (vm, name) in document["vms"].as_array().expect("a list").iter().zip(["alice", "openclaw-gateway"]) {
        assert_eq!((&vm["name"], &vm["state"], &vm["well"]), (&json!(name), &Value::Null, &json!(false)));
        assert_eq!(vm["problems"][0], "not-running", "{vm:#}");
    }
}
