//! `bake gcloud create`, run by the real gcloud: the requests to Compute Engine, and the behaviour of a second
//! run, a run after a failure, and a run with existing resources.

use std::fs;

use crate::support::google::{Cloud, Fault, Google, PROJECT, Shell};
use crate::support::test;
use serde_json::{Value, json};

const ACCOUNT: &str = "openclaw-gateway";
const INSTANCE: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const DATA_DISK: &str = "compute/projects/demo/zones/us-central1-a/disks/openclaw-gateway-data";
const SCHEDULE: &str = "compute/projects/demo/regions/us-central1/resourcePolicies/openclaw-gateway-daily";

/// A label of the VM, from the bundle's script.
fn label(cloud: &Cloud, key: &str) -> String {
    let script = cloud.folder.read("out/gcloud.sh");
    let (_, rest) = script.split_once(&format!("{key}=")).expect("a label");
    let digits: String = rest.chars().take_while(char::is_ascii_hexdigit).collect();
    assert_eq!(digits.len(), 16, "{key}");
    digits
}

/// With an operation that takes a while; and a second run, in another shell, finds nothing to do.
#[test]
fn the_vm_gets_its_data_byte_for_byte() {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[]);
    cloud.google.fail("POST", "/disks", Fault::Slow(2), 1);
    cloud.run(Shell::Dash, &["create"]).done();
    let (requests, before) = (cloud.google.requests(), cloud.google.resources());
    assert!(requests.iter().filter(|request| request.path.ends_with("/wait")).count() > 4 + 1, "it waited");
    cloud.run(Shell::Bash, &["create"]).done();
    assert_eq!(cloud.google.changes().len(), 0);
    assert_eq!(cloud.google.resources(), before);

    let disk = cloud.google.get(DATA_DISK);
    assert_eq!((&disk["sizeGb"], last(&disk["type"])), (&json!("10"), "pd-balanced"));
    let mut labels = json!({"openclaw": "openclaw-gateway", "openclaw-id": "0123456789abcdef"});
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
    labels["openclaw-lock"] = json!(label(&cloud, "openclaw-lock"));
    labels["openclaw-bundle"] = json!(label(&cloud, "openclaw-bundle"));
    labels["openclaw-build"] = json!(label(&cloud, "openclaw-build"));
    labels["openclaw-version"] = json!("2026-9-4");
    labels["openclaw-bake"] = json!(env!("CARGO_PKG_VERSION").replace('.', "-"));
    assert_eq!(vm["labels"], labels);
    assert_eq!(vm["tags"]["items"], json!(["openclaw-gateway"]));
    assert_eq!(last(&vm["machineType"]), "e2-small");
    assert!(vm["networkInterfaces"][0]["accessConfigs"].is_array(), "a public address");
}

/// Compute Engine refuses an OS image of another architecture, and a disk type that the family does not take.
#[test]
fn arm64_families_get_their_os_image_and_disk_type() {
    let of = |machine: &str| {
        let machine = format!("machine_type: {machine}");
        Cloud::new(
            Google::set_up(ACCOUNT),
            &[("arch: amd64", "arch: arm64"), ("machine_type: e2-small", &machine)],
        )
    };
    for (machine, disk_type) in [("t2a-standard-1", "pd-balanced"), ("n4a-highmem-2", "hyperdisk-balanced")] {
        let script = of(machine).folder.bake(["gcloud", "create"]).done().out;
        assert!(script.contains("stock_family=debian-13-arm64\n"), "{script}");
        for flag in [
            format!("--machine-type={machine}"),
            format!("--boot-disk-type={disk_type}"),
            format!("--type={disk_type}"),
        ] {
            assert!(script.contains(&format!(" {flag} ")), "{flag}: {script}");
        }
    }

    let cloud = of("c4a-standard-1");
    cloud.run(Shell::Dash, &["create"]).done();
    let (vm, data) = (cloud.google.get(INSTANCE), cloud.google.get(DATA_DISK));
    assert_eq!(last(&vm["machineType"]), "c4a-standard-1");
    let boot = &vm["disks"][0]["initializeParams"];
    assert_eq!(last(&boot["sourceImage"]), "debian-13-arm64");
    assert_eq!([last(&boot["diskType"]), last(&data["type"])], ["hyperdisk-balanced"; 2]);
}

/// The forked gcloud of the tests behaves like one that is started for each call.
#[test]
fn a_gcloud_that_is_forked_does_what_gcloud_does() {
    let scripts = [
        "gcloud compute disks create given --zone=us-central1-a --size=10GB --type=pd-balanced",
        "gcloud compute disks list --filter='name=given' --format='value(name, sizeGb)'",
        "gcloud compute disks describe none --zone=us-central1-a",
        "gcloud compute disks describe",
        "printf secret | gcloud secrets create given --data-file=-",
        "cd /; umask 077; gcloud config list; gcloud secrets create none --data-file=etc/none",
        "gcloud config set compute/zone kept; gcloud config get-value compute/zone; gcloud config list",
    ];
    let did = [true, false].map(|loads_anew| {
        let mut cloud = Cloud::new(Google::set_up(ACCOUNT), &[]);
        cloud.loads_anew = loads_anew;
        let did = scripts.map(|script| {
            let run = cloud.piped(Shell::Dash, script);
            let told = format!("{}{}{:#?}", run.out, run.err, cloud.google.requests());
            // Ports and times are each one's own.
            (run.code, told.replace(|letter: char| letter.is_ascii_digit(), "0"))
        });
        let names = cloud.left().into_iter().map(|(path, _)| path.file_name().expect("a name").to_owned());
        let names =
            names.map(|name| name.to_string_lossy().replace(|letter: char| letter.is_ascii_digit(), "0"));
        let mut left: Vec<_> = names.collect();
        left.sort();
        (did, left)
    });
    let [(loaded, loaded_left), (forked, forked_left)] = did;
    for ((script, loaded), forked) in scripts.iter().zip(loaded).zip(forked) {
        assert_eq!(forked, loaded, "{script}");
    }
    assert_eq!(forked_left, loaded_left, "files, logs among them");
}

/// `gcloud.sh` of the bundle is the same script, but for where it finds its files.
#[test]
fn the_script_of_the_bundle_is_the_same() {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[]);
    let steps = |script: &str| {
        let (steps, _) = script.split_once("# ---- The run ----").expect("where the run begins");
        steps.to_owned()
    };
    assert_eq!(steps(&cloud.script(&["create"])), steps(&cloud.folder.read("out/gcloud.sh")));
}

/// A disk that bake did not make is left alone until it is adopted, and then kept with what is on it. Names
/// that begin or end alike are those of other disks and VMs. And without a public address the VM gets none.
#[test]
fn a_data_disk_that_is_there_is_adopted_and_others_are_not() {
    let google = Google::set_up(ACCOUNT);
    for (kind, name) in [
        ("disks", "openclaw-gateway-data-2"),
        ("disks", "my-openclaw-gateway-data"),
        ("instances", "openclaw-gateway-2"),
    ] {
        let path = format!("compute/projects/demo/zones/us-central1-a/{kind}/{name}");
        google.put(&path, json!({"name": name, "labels": {"openclaw": "openclaw-gateway-2"}}));
    }
    google.put(
        DATA_DISK,
        json!({"name": "openclaw-gateway-data", "id": "7", "sizeGb": "300", "status": "READY"}),
    );
    let cloud = Cloud::new(google, &[("public_ip: true", "public_ip: false")]);
    let before = cloud.google.resources();
    let refused = cloud.run(Shell::Dash, &["create"]).ended(1);
    assert!(refused.err.contains("bake gcloud create --adopt | sh"), "{}", refused.err);
    let alone = cloud.run(Shell::Dash, &["create", "--adopt"]).ended(1);
    assert!(alone.err.contains("no terminal"), "{}", alone.err);
    let typed = [("Type openclaw-gateway-data", "openclaw-gateway\n")];
    cloud.typed(Shell::Bash, &["create", "--adopt"], &typed).ended(1);
    assert_eq!(cloud.google.resources(), before, "nothing is changed unless the right name is typed");
    let typed = [("Type openclaw-gateway-data", "openclaw-gateway-data\n")];
    cloud.typed(Shell::Bash, &["create", "--adopt"], &typed).done();
    let disk = cloud.google.get(DATA_DISK);
    assert_eq!(disk["labels"], json!({"openclaw": "openclaw-gateway", "openclaw-id": "0123456789abcdef"}));
    assert_eq!((&disk["id"], &disk["sizeGb"]), (&json!("7"), &json!("300")));
    assert_eq!(texts(&disk["resourcePolicies"]), ["openclaw-gateway-daily"], "it gets the schedule");
    let vm = cloud.google.get(INSTANCE);
    assert_eq!(last(&vm["disks"][1]["source"]), "openclaw-gateway-data");
    assert!(vm["networkInterfaces"][0]["accessConfigs"].is_null(), "{vm:#}");

    // An existing schedule and another VM are kept.
    let theirs = "compute/projects/demo/regions/us-central1/resourcePolicies/theirs";
    cloud.google.put(theirs, json!({"name": "theirs"}));
    let mut disk = cloud.google.get(DATA_DISK);
    disk["resourcePolicies"] = json!([cloud.google.get(theirs)["selfLink"]]);
    disk["users"] = json!(["projects/demo/zones/us-central1-a/instances/openclaw-gateway-2"]);
    cloud.google.put(DATA_DISK, disk.clone());
    for gone in [INSTANCE, &INSTANCE.replace("/instances/", "/disks/")] {
        cloud.google.remove(gone);
    }
    let failed = cloud.run(Shell::Dash, &["create"]);
    assert_ne!(failed.code, 0);
    assert!(failed.err.contains("gcloud compute instances detach-disk VM"), "{}", failed.err);
    assert_eq!(cloud.google.get(DATA_DISK)["resourcePolicies"], disk["resourcePolicies"]);
}

/// The region's quota is exhausted when the VM is created; the disk exists by then.
#[test]
fn a_failure_lists_created_resources_and_the_next_run_completes_them() {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[]);
    let faults = [
        (Shell::Dash, Fault::quota(), "gcp.machine_type"),
        (Shell::Bash, Fault::no_machine_left(), "gcp.zone"),
        (Shell::Dash, Fault::may_not_act_as(ACCOUNT), "roles/iam.serviceAccountUser"),
    ];
    let mut is_first = true;
    for (shell, fault, advice) in faults {
        cloud.google.fail("POST", "/instances", fault, 1);
        let failed = cloud.run(shell, &["create"]);
        assert_ne!(failed.code, 0, "{}", failed.out);
        let (_, standing) =
            failed.err.split_once("Not finished.").unwrap_or_else(|| panic!("{}", failed.err));
        let (done, tried) = standing.split_once("Failed,").expect("what failed");
        assert_eq!(done.contains("+ data disk openclaw-gateway-data"), is_first, "{done}");
        assert!(tried.contains("+ VM openclaw-gateway") && !done.contains("+ VM"), "{standing}");
        is_first = false;
        assert!(failed.err.contains(advice), "{}", failed.err);
        assert!(cloud.google.has(DATA_DISK) && !cloud.google.has(INSTANCE));
    }
    let disk = cloud.google.get(DATA_DISK);
    cloud.run(Shell::Bash, &["create"]).done();
    assert_eq!(cloud.google.get(DATA_DISK)["id"], disk["id"], "the same disk");
    assert!(cloud.google.has(INSTANCE));
}

#[test]
fn missing_prerequisites_are_answered_with_the_next_command() {
    let mut cloud = Cloud::new(Google::empty(), &[]);
    let failed = cloud.run(Shell::Dash, &["create"]).ended(1);
    assert!(failed.err.contains("bake gcloud setup"), "{}", failed.err);
    assert_eq!(cloud.google.changes().len(), 0, "nothing was enabled by the way");

    cloud.google = Google::set_up("somebody-else");
    cloud.google.fail("POST", "/resourcePolicies", Fault::denied("compute.resourcePolicies.create"), 1);
    let failed = cloud.run(Shell::Bash, &["create"]).ended(1);
    assert!(failed.err.contains("gcloud config set account"), "{}", failed.err);
    let failed = cloud.run(Shell::Bash, &["create"]).ended(1);
    assert!(failed.err.contains("The service account is not there yet: bake gcloud setup"), "{}", failed.err);

    cloud.project = "";
    let failed = cloud.run(Shell::Dash, &["create"]).ended(1);
    assert!(failed.err.contains("gcloud config set project"), "{}", failed.err);
}

/// Without its files, or with others than the plan's, no script is printed.
#[test]
fn an_outdated_bundle_is_refused() {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[]);
    fs::write(cloud.folder.join("out/user-data.yaml"), "#cloud-config\n").expect("a file");
    let refused = cloud.folder.bake(["gcloud", "create"]);
    assert_eq!(refused.code, 2);
    let piped = cloud.piped(Shell::Dash, &refused.out).ended(2);
    assert!(piped.err.contains("bake render") && piped.calls.is_empty(), "{}", piped.err);
    assert!(refused.err.contains("bake render"), "{}", refused.err);
}

/// The last part of a URL.
fn last(url: &Value) -> &str {
    url.as_str().and_then(|url| url.rsplit('/').next()).unwrap_or_default()
}

fn texts(urls: &Value) -> Vec<&str> {
    urls.as_array().into_iter().flatten().map(last).collect()
}
