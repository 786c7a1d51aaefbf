//! `docs/incident.md`: its commands in their order, with the real gcloud. Commands that wait for a VM or open a session
//! on it have their own tests.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::support::google::{Cloud, Shell};
use crate::support::test;

const ZONE: &str = "compute/projects/demo/zones/us-central1-a";
const VM: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const SNAPSHOTS: &str = "compute/projects/demo/global/snapshots";
const SECRET: &str = "secretmanager/projects/demo/secrets/telegram-bot-token";
const ELSEWHERE: [&str; 6] = ["audit", "cli", "ssh", "wait", "status", "logs"];

/// The commands in a section of the page.
fn commands(section: &str) -> Vec<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/incident.md");
    let page = fs::read_to_string(page).expect("the page");
    let (_, rest) = page.split_once(&format!("\n## {section}\n")).expect("the section");
    let section = rest.split("\n## ").next().unwrap_or_default();
    let blocks = section.split("```").skip(1).step_by(2).filter_map(|block| block.strip_prefix("sh\n"));
    blocks.flat_map(str::lines).map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

/// The names of the only resources in a collection whose names begin so.
fn names(cloud: &Cloud, collection: &str, begin: &str) -> Vec<String> {
    let resources = cloud.google.resources();
    let inside = resources.keys().filter_map(|path| path.strip_prefix(&format!("{collection}/")));
    inside.filter(|name| name.starts_with(begin) && !name.contains('/')).map(str::to_owned).collect()
}

/// Runs a section's commands; returns how many.
fn follow(cloud: &Cloud, section: &str) -> usize {
    let mut run = 0;
    for line in commands(section) {
        let snapshot = names(cloud, SNAPSHOTS, "").first().cloned().unwrap_or_default();
        let file = cloud.folder.join("value");
        let line = line
            .replace("NAME", "openclaw-gateway")
            .replace("PROJECT", "demo")
            .replace("ZONE", "us-central1-a")
            .replace("SNAPSHOT", &snapshot)
            .replace("FILE", file.to_str().expect("UTF-8"))
            .replace("--secret=ID", "--secret=telegram-bot-token")
            .replace("add ID", "add telegram-bot-token");
        let words = shlex::split(line.split('|').next().unwrap_or_default()).expect("words of a shell");
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        match words[..] {
            ["gcloud", ..] => drop(cloud.piped(Shell::Dash, &line).done()),
            ["bake", "gcloud", action, ..] if ELSEWHERE.contains(&action) => continue,
            ["bake", "gcloud", ref action @ ..] => drop(cloud.run(Shell::Dash, action).done()),
            ["bake", command, ..] if ELSEWHERE.contains(&command) => continue,
            ["bake", ref arguments @ ..] => drop(cloud.folder.bake(arguments.iter().copied()).done()),
            _ => panic!("{section}: {line}"),
        }
        run += 1;
    }
    run
}

/// The data disk that the VM has.
fn data_disk(cloud: &Cloud) -> String {
    let source = &cloud.google.get(VM)["disks"][1]["source"];
    source.as_str().and_then(|url| url.rsplit('/').next()).expect("a disk").to_owned()
}

#[test]
fn a_compromised_gateway_is_stopped_and_continues_on_an_older_state() {
    let cloud = Cloud::created();
    let (vm, disk) = (cloud.google.get(VM)["id"].clone(), data_disk(&cloud));
    let run = follow(&cloud, "The gateway is compromised");
    assert_eq!(run, 7);
    assert_ne!(cloud.google.get(VM)["id"], vm, "a new VM");
    assert_ne!(data_disk(&cloud), disk, "on the restored disk");
    assert!(names(&cloud, &format!("{ZONE}/disks"), &disk).contains(&disk), "the evidence is kept");
    let account = "iam/projects/demo/serviceAccounts/openclaw-gateway@demo.iam.gserviceaccount.com";
    assert_eq!(cloud.google.get(account)["disabled"], true);
}

#[test]
fn a_leaked_key_has_a_new_version_and_the_old_one_is_of_no_use() {
    let cloud = Cloud::created();
    cloud.google.put(SECRET, json!({"name": "projects/demo/secrets/telegram-bot-token"}));
    let old = json!({"name": "projects/demo/secrets/telegram-bot-token/versions/1", "state": "ENABLED", "data": "eA=="});
    cloud.google.put(&format!("{SECRET}/versions/1"), old);
    cloud.folder.write("value", "new");
    assert_eq!(follow(&cloud, "A key leaked"), 2);
    assert_eq!(cloud.google.get(&format!("{SECRET}/versions/1"))["state"], "DISABLED");
    assert_eq!(cloud.google.get(&format!("{SECRET}/versions/2"))["data"], "bmV3");
}

#[test]
fn a_lost_vm_and_a_lost_disk_come_back_from_a_snapshot() {
    let cloud = Cloud::created();
    cloud.run(Shell::Dash, &["backup", "--snapshot-only"]).done();
    cloud.run(Shell::Dash, &["destroy"]).done();
    cloud.google.remove(&format!("{ZONE}/disks/openclaw-gateway-data"));
    assert_eq!(follow(&cloud, "The VM is gone"), 4);
    let restored = data_disk(&cloud);
    let disk = cloud.google.get(&format!("{ZONE}/disks/{restored}"));
    assert!(disk["sourceSnapshot"].is_string(), "{disk}");
}
