//! `bake gcloud create`, run by the real gcloud: what arrives at Compute Engine, and that a second
//! run, a run after a failure and a run over what is there already do what they should.

mod support;

use std::fs;

use serde_json::{Value, json};
use support::google::{Cloud, Fault, Google, PROJECT, Shell};

const ACCOUNT: &str = "openclaw-gateway";
const INSTANCE: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const DATA_DISK: &str = "compute/projects/demo/zones/us-central1-a/disks/openclaw-gateway-data";
const SCHEDULE: &str = "compute/projects/demo/regions/us-central1/resourcePolicies/openclaw-gateway-daily";

/// What a label of the VM holds, by the script of the bundle.
fn label(cloud: &Cloud, key: &str) -> String {
    let script = cloud.folder.read("out/gcloud.sh");
    let (_, rest) = script.split_once(&format!("{key}=")).expect("a label");
    let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    assert_eq!(digits.len(), 16, "{key}");
    digits
}

#[test]
fn the_vm_gets_all_that_it_needs_byte_for_byte() {
    let Some(cloud) = Cloud::new(Google::set_up(ACCOUNT), &[]) else { return };
    cloud.run(Shell::Dash, &["create"]).done();

    let disk = cloud.google.get(DATA_DISK);
    assert_eq!((&disk["sizeGb"], last(&disk["type"])), (&json!("10"), "pd-balanced"));
    let mut labels = json!({"openclaw": "openclaw-gateway", "openclaw-lock": label(&cloud, "openclaw-lock")});
    assert_eq!(disk["labels"], labels);
    assert_eq!(texts(&disk["resourcePolicies"]), ["openclaw-gateway-daily"]);
    let schedule = cloud.google.get(SCHEDULE);
    let retention = &schedule["snapshotSchedulePolicy"]["retentionPolicy"];
    assert_eq!(retention, &json!({"maxRetentionDays": 14, "onSourceDiskDelete": "KEEP_AUTO_SNAPSHOTS"}));

    let vm = cloud.google.get(INSTANCE);
    let mut metadata = cloud.google.metadata(INSTANCE);
    for (key, file) in [("user-data", "out/user-data.yaml"), ("startup-script", "out/startup-script.sh")] {
        let arrived = metadata.remove(key).unwrap_or_default();
        assert!(arrived == cloud.folder.read(file), "{key} did not arrive as it stands in {file}");
    }
    let fixed =
        ["block-project-ssh-keys", "enable-guest-attributes", "enable-oslogin", "serial-port-logging-enable"];
    assert_eq!(
        metadata.into_iter().collect::<Vec<_>>(),
        fixed.map(|key| (key.to_owned(), "TRUE".to_owned()))
    );

    let [boot, data] = vm["disks"].as_array().expect("disks").as_slice() else { panic!("{vm:#}") };
    assert_eq!((&boot["boot"], &boot["autoDelete"]), (&json!(true), &json!(true)));
    assert_eq!(boot["initializeParams"]["diskSizeGb"], "20");
    assert!(
        boot["initializeParams"]["sourceImage"].as_str().is_some_and(|image| image.ends_with("/debian-13"))
    );
    assert_eq!((&data["boot"], &data["autoDelete"]), (&json!(false), &json!(false)), "the data stays");
    assert_eq!((&data["deviceName"], &data["mode"]), (&json!("openclaw-gateway-data"), &json!("READ_WRITE")));
    assert_eq!(last(&data["source"]), "openclaw-gateway-data");

    let account = format!("{ACCOUNT}@{PROJECT}.iam.gserviceaccount.com");
    let scopes = ["https://www.googleapis.com/auth/cloud-platform"];
    assert_eq!(vm["serviceAccounts"], json!([{"email": account, "scopes": scopes}]));
    let shielded = json!({"enableIntegrityMonitoring": true, "enableSecureBoot": true, "enableVtpm": true});
    assert_eq!(vm["shieldedInstanceConfig"], shielded);
    labels["openclaw-bundle"] = json!(label(&cloud, "openclaw-bundle"));
    assert_eq!(vm["labels"], labels);
    assert_eq!(vm["tags"]["items"], json!(["openclaw-gateway"]));
    assert_eq!(last(&vm["machineType"]), "e2-small");
    assert!(vm["networkInterfaces"][0]["accessConfigs"].is_array(), "a public address");
}

#[test]
fn a_vm_without_a_public_address_gets_none() {
    let edits = [("public_ip: true", "public_ip: false")];
    let Some(cloud) = Cloud::new(Google::set_up(ACCOUNT), &edits) else { return };
    cloud.run(Shell::Bash, &["create"]).done();
    assert!(cloud.google.get(INSTANCE)["networkInterfaces"][0]["accessConfigs"].is_null());
}

/// `gcloud.sh` of the bundle is the same script, from wherever it is started.
#[test]
fn the_script_of_the_bundle_asks_for_the_same() {
    let Some(printed) = Cloud::new(Google::set_up(ACCOUNT), &[]) else { return };
    printed.run(Shell::Dash, &["create"]).done();
    let Some(bundled) = Cloud::new(Google::set_up(ACCOUNT), &[]) else { return };
    bundled.piped(Shell::Dash, &format!("sh '{}'", bundled.folder.join("out/gcloud.sh").display())).done();
    let asked = |cloud: &Cloud| {
        cloud
            .google
            .changes()
            .into_iter()
            .map(|request| (request.path, without_hosts(&request.body)))
            .collect::<Vec<_>>()
    };
    assert_eq!(asked(&printed), asked(&bundled));
}

#[test]
fn a_second_run_changes_nothing() {
    for shell in Shell::ALL {
        let Some(cloud) = Cloud::new(Google::set_up(ACCOUNT), &[]) else { return };
        cloud.run(shell, &["create"]).done();
        let (before, _) = (cloud.google.resources(), cloud.google.requests());
        cloud.run(shell, &["create"]).done();
        assert_eq!(cloud.google.changes().len(), 0, "{shell:?}");
        assert_eq!(cloud.google.resources(), before, "{shell:?}");
    }
}

/// Names that begin or end alike are others' disks and VMs.
#[test]
fn what_is_called_alike_is_not_taken_for_it() {
    let google = Google::set_up(ACCOUNT);
    let labels = json!({"of": "somebody else"});
    for (kind, name) in [
        ("disks", "openclaw-gateway-data-2"),
        ("disks", "my-openclaw-gateway-data"),
        ("instances", "openclaw-gateway-2"),
    ] {
        let path = format!("compute/projects/demo/zones/us-central1-a/{kind}/{name}");
        google.put(&path, json!({"name": name, "labels": labels}));
    }
    let Some(cloud) = Cloud::new(google, &[]) else { return };
    cloud.run(Shell::Dash, &["create"]).done();
    assert!(cloud.google.has(DATA_DISK) && cloud.google.has(INSTANCE));
}

/// Whoever has a disk from before keeps it, and what is on it.
#[test]
fn a_data_disk_that_is_there_is_adopted() {
    let Some(cloud) = Cloud::new(Google::set_up(ACCOUNT), &[]) else { return };
    let disk = json!({"name": "openclaw-gateway-data", "id": "7", "sizeGb": "300", "status": "READY"});
    cloud.google.put(DATA_DISK, disk);
    cloud.run(Shell::Dash, &["create"]).done();
    let disk = cloud.google.get(DATA_DISK);
    assert_eq!((&disk["id"], &disk["sizeGb"]), (&json!("7"), &json!("300")));
    assert_eq!(texts(&disk["resourcePolicies"]), ["openclaw-gateway-daily"], "it gets the schedule");
    assert_eq!(last(&cloud.google.get(INSTANCE)["disks"][1]["source"]), "openclaw-gateway-data");
}

/// The quota of the region is used up when the VM is to be made: the disk stands by then.
#[test]
fn a_failure_in_the_middle_says_what_stands_and_the_next_run_completes_it() {
    for (shell, fault, advice) in
        [(Shell::Dash, Fault::quota(), "quota"), (Shell::Bash, Fault::no_machine_left(), "zone")]
    {
        let Some(cloud) = Cloud::new(Google::set_up(ACCOUNT), &[]) else { return };
        cloud.google.fail("POST", "/instances", fault, 1);
        let failed = cloud.run(shell, &["create"]);
        assert_ne!(failed.code, 0, "{}", failed.out);
        assert!(failed.err.contains("openclaw-gateway-data"), "what stands is named:\n{}", failed.err);
        assert!(failed.err.to_lowercase().contains(advice), "{}", failed.err);
        assert!(cloud.google.has(DATA_DISK) && !cloud.google.has(INSTANCE));
        let disk = cloud.google.get(DATA_DISK);
        cloud.run(shell, &["create"]).done();
        assert_eq!(cloud.google.get(DATA_DISK)["id"], disk["id"], "the same disk");
        assert!(cloud.google.has(INSTANCE));
    }
}

/// A slow operation is waited for, and not taken for a failure.
#[test]
fn a_slow_operation_is_waited_for() {
    let Some(cloud) = Cloud::new(Google::set_up(ACCOUNT), &[]) else { return };
    cloud.google.fail("POST", "/disks", Fault::Slow(2), 1);
    cloud.run(Shell::Dash, &["create"]).done();
    let waits = cloud.google.requests().into_iter().filter(|request| request.path.ends_with("/wait"));
    assert!(waits.count() > 2);
    assert!(cloud.google.has(INSTANCE));
}

#[test]
fn each_refusal_gets_its_answer() {
    let answers = [
        ("denied", Some(("/disks", Fault::denied("compute.disks.create"))), "may not"),
        ("not enabled", None, "bake gcloud setup"),
        ("no account", None, "bake gcloud setup"),
        ("not its user", Some(("/instances", Fault::may_not_act_as(ACCOUNT))), "iam.serviceAccountUser on it"),
    ];
    for (name, fault, answer) in answers {
        let google = match name {
            "not enabled" => Google::empty(),
            "no account" => Google::set_up("somebody-else"),
            _ => Google::set_up(ACCOUNT),
        };
        let Some(cloud) = Cloud::new(google, &[]) else { return };
        if let Some((end, fault)) = fault {
            cloud.google.fail("POST", end, fault, None);
        }
        let failed = cloud.run(Shell::Dash, &["create"]);
        assert_ne!(failed.code, 0, "{name}: {}", failed.out);
        assert!(failed.err.contains(answer), "{name}: {}", failed.err);
    }
}

/// Without its files, or with others than the plan's, no script is printed.
#[test]
fn a_bundle_that_differs_is_to_be_rendered_first() {
    let Some(cloud) = Cloud::new(Google::set_up(ACCOUNT), &[]) else { return };
    fs::write(cloud.folder.join("out/user-data.yaml"), "#cloud-config\n").expect("a file");
    let refused = cloud.folder.bake(["gcloud", "create"]);
    assert_ne!(refused.code, 0);
    assert_eq!(refused.out, "");
    assert!(refused.err.contains("bake render"), "{}", refused.err);
}

/// The last part of a URL.
fn last(url: &Value) -> &str {
    url.as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default()
}

fn texts(urls: &Value) -> Vec<&str> {
    urls.as_array().into_iter().flatten().map(last).collect()
}

/// A body in which the server's own port does not count.
fn without_hosts(body: &Value) -> Value {
    let text = body.to_string();
    let parts: Vec<_> = text.split("http://127.0.0.1:").collect();
    let rest = |part: &&str| part.trim_start_matches(|c: char| c.is_ascii_digit()).to_owned();
    let text = parts[0].to_owned() + &parts[1..].iter().map(rest).collect::<String>();
    serde_json::from_str(&text).expect("JSON")
}
