//! `bake gcloud destroy --all` deletes the resources that `setup` made and nothing else uses.

use crate::support::google::{Cloud, Google, Shell};
use crate::support::test;
use serde_json::{Value, json};

const EDITS: [(&str, &str); 2] = [
    (
        "OPENCLAW_GATEWAY_TOKEN: {generate: hex32}",
        "OPENCLAW_GATEWAY_TOKEN: {generate: hex32, secret_manager: claw-token}",
    ),
    ("public_ip: true", "public_ip: false"),
];
const SECRET: &str = "secretmanager/projects/demo/secrets/claw-token";
const ACCOUNT: &str = "iam/projects/demo/serviceAccounts/openclaw-gateway@demo.iam.gserviceaccount.com";
const ROUTER: &str = "compute/projects/demo/regions/us-central1/routers/openclaw-gateway-nat";
const RULE: &str = "compute/projects/demo/global/firewalls/openclaw-gateway-iap";
const SCHEDULE: &str = "compute/projects/demo/regions/us-central1/resourcePolicies/openclaw-gateway-daily";
const ZONE: &str = "compute/projects/demo/zones/us-central1-a";

/// A project that was set up, with its VM.
fn set_up() -> Cloud {
    let cloud = Cloud::new(Google::empty(), &EDITS);
    cloud.run(Shell::Dash, &["setup"]).done();
    cloud.run(Shell::Bash, &["create"]).done();
    cloud
}

/// Members of a policy.
fn members(cloud: &Cloud, path: &str) -> Vec<Value> {
    let policies = cloud.google.resources();
    let bindings = policies.get(&format!("policy/{path}")).map(|policy| policy["bindings"].clone());
    bindings.iter().filter_map(Value::as_array).flatten().map(|binding| binding["members"].clone()).collect()
}

/// A first run keeps the secret, whose name is not typed; a second one deletes it; a third one changes nothing.
#[test]
fn deletes_resources_of_setup_and_secrets_whose_name_is_typed() {
    let cloud = set_up();
    let foreign = [
        ("secretmanager/projects/demo/secrets/theirs", json!({"name": "projects/demo/secrets/theirs"})),
        (
            "compute/projects/demo/global/firewalls/openclaw-gateway-iap-2",
            json!({"name": "openclaw-gateway-iap-2"}),
        ),
    ];
    for (path, resource) in &foreign {
        cloud.google.put(path, resource.clone());
    }
    let id = cloud.google.get(&format!("{ZONE}/instances/openclaw-gateway"))["labels"]["openclaw-id"].clone();
    let image = |name: &str, family: &str, id: &Value| {
        let labels = json!({"openclaw": "openclaw-gateway", "openclaw-id": id});
        let path = format!("compute/projects/demo/global/images/{name}");
        cloud.google.put(&path, json!({"name": name, "family": family, "status": "READY", "labels": labels}));
        path
    };
    let images = ["amd64", "arm64"]
        .map(|arch| image(&format!("baked-{arch}"), &format!("openclaw-gateway-{arch}-0123abcd"), &id));
    let others = [
        image("of-another-family", "openclaw-gateway-x-amd64-0123abcd", &id),
        image("of-another-project", "openclaw-gateway-amd64-0123abcd", &json!("fedcba9876543210")),
    ];
    assert_eq!(members(&cloud, SECRET).len(), 1);
    let kept = cloud.typed(Shell::Dash, &["destroy", "--all"], &[("Type claw-token", "no\n")]).done();
    for path in [ACCOUNT, ROUTER, RULE] {
        assert!(!cloud.google.has(path), "{path}: {}", kept.out);
    }
    for (path, stays) in images.iter().map(|path| (path, false)).chain(others.iter().map(|path| (path, true)))
    {
        assert_eq!(cloud.google.has(path), stays, "{path}: {}", kept.out);
    }
    assert!(cloud.google.has(SECRET) && members(&cloud, SECRET).is_empty(), "{}", kept.out);
    for line in [
        "- service account openclaw-gateway@demo.iam.gserviceaccount.com",
        "- router and Cloud NAT openclaw-gateway-nat",
        "- OS image baked-arm64",
        "  = data disk openclaw-gateway-data, 10 GB: about 1.00 USD a month",
        "The secret claw-token stays, and costs about 0.06 USD a month",
    ] {
        assert!(kept.out.contains(line), "{line}: {}", kept.out);
    }
    let asked = [("Type openclaw-gateway ", "openclaw-gateway\n"), ("Type claw-token", "claw-token\n")];
    cloud.typed(Shell::Bash, &["destroy", "--all", "--data"], &asked).done();
    assert!(!cloud.google.has(SECRET));
    let left: Vec<_> =
        cloud.google.resources().into_keys().filter(|path| path.contains("openclaw-gateway")).collect();
    assert_eq!(left, ["compute/projects/demo/global/firewalls/openclaw-gateway-iap-2"]);
    assert!(cloud.google.has(foreign[0].0));
    cloud.google.requests();
    let again = cloud.run(Shell::Dash, &["destroy", "--all"]).done();
    assert!(cloud.google.changes().is_empty() && again.out.contains("Nothing to change"), "{}", again.out);
}

/// Resources of an older bake have no description and no id, and those of a move are in another zone.
#[test]
fn names_what_an_older_bake_made_and_what_a_move_left() {
    let cloud = set_up();
    for path in [ACCOUNT, ROUTER, RULE, SCHEDULE] {
        let mut resource = cloud.google.get(path);
        resource.as_object_mut().expect("fields").remove("description");
        cloud.google.put(path, resource);
    }
    let disk = |zone: &str, name: &str, size: &str, labels: Value| {
        let kind = format!("https://x/projects/demo/zones/{zone}/diskTypes/pd-balanced");
        let zone_url = format!("https://x/projects/demo/zones/{zone}");
        let disk = json!({"name": name, "sizeGb": size, "type": kind, "zone": zone_url, "labels": labels});
        cloud.google.put(&format!("compute/projects/demo/zones/{zone}/disks/{name}"), disk);
    };
    let ours = json!({"openclaw": "openclaw-gateway", "openclaw-id": "0123456789abcdef"});
    disk("us-central1-f", "openclaw-gateway-data-0badcafe", "25", ours);
    disk("us-central1-a", "openclaw-gateway-data-deadbeef", "40", json!({"openclaw": "openclaw-gateway"}));
    disk("us-central1-a", "openclaw-gateway-data-copy", "7", json!({}));
    let foreign = json!({"openclaw": "openclaw-gateway", "openclaw-id": "fedcba9876543210"});
    disk("us-central1-c", "openclaw-gateway-data", "9", foreign);
    let before = cloud.google.resources();
    let run = cloud.run(Shell::Bash, &["destroy", "--all"]).done();
    for line in [
        "  = data disk openclaw-gateway-data-0badcafe in us-central1-f, 25 GB: about 2.50 USD a month",
        "  = data disk openclaw-gateway-data-deadbeef, 40 GB: about 4.00 USD a month",
        "  = Cloud NAT openclaw-gateway-nat: about 4.67 USD a month",
        "  gcloud compute disks delete openclaw-gateway-data-0badcafe --zone=us-central1-f --project=demo",
        "  gcloud compute disks delete openclaw-gateway-data-deadbeef --zone=us-central1-a --project=demo",
        "  gcloud compute resource-policies delete openclaw-gateway-daily --region=us-central1 --project=demo",
        "  gcloud compute firewall-rules delete openclaw-gateway-iap --project=demo",
        "  gcloud compute routers delete openclaw-gateway-nat --region=us-central1 --project=demo",
        "  gcloud iam service-accounts delete openclaw-gateway@demo.iam.gserviceaccount.com --project=demo",
    ] {
        assert!(run.out.lines().any(|said| said == line), "{line}\n{}", run.out);
    }
    assert!(!run.out.contains("-copy") && !run.out.contains("us-central1-c"), "{}", run.out);
    let after = cloud.google.resources();
    for (path, resource) in before.iter().filter(|(path, _)| {
        !path.contains("instances/")
            && !path.ends_with("disks/openclaw-gateway")
            && !path.ends_with("/openclaw-gateway-data")
            && !path.contains("operations")
    }) {
        assert_eq!(after.get(path), Some(resource), "{path}");
    }
}

/// Other VMs and accounts keep what they use, which the script names.
#[test]
fn keeps_and_names_resources_that_others_use() {
    let cloud = set_up();
    let other = json!({
        "name": "batch-7",
        "status": "TERMINATED",
        "tags": {"items": ["openclaw-gateway"]},
        "serviceAccounts": [{"email": "openclaw-gateway@demo.iam.gserviceaccount.com"}],
        "networkInterfaces": [{"network": "https://x/projects/demo/global/networks/default"}],
    });
    cloud.google.put(&format!("{ZONE}/instances/batch-7"), other);
    let policy = json!({"etag": "ACAB", "bindings": [
        {"role": "roles/secretmanager.secretAccessor", "members": ["user:ops@example.com", "serviceAccount:openclaw-gateway@demo.iam.gserviceaccount.com"]},
    ]});
    cloud.google.put(&format!("policy/{SECRET}"), policy.clone());
    let run = cloud.run(Shell::Bash, &["destroy", "--all"]).done();
    for path in [ACCOUNT, ROUTER, RULE, SECRET] {
        assert!(cloud.google.has(path), "{path}");
    }
    assert_eq!(cloud.google.get(&format!("policy/{SECRET}")), policy);
    for line in [
        "service account openclaw-gateway@demo.iam.gserviceaccount.com, which others use: batch-7",
        "firewall rule openclaw-gateway-iap, which others use: batch-7",
        "router, with Cloud NAT, openclaw-gateway-nat, which others use: batch-7",
        "secret claw-token, which others use: user:ops@example.com",
    ] {
        assert!(run.err.contains(line), "{line}: {}", run.err);
    }
    assert!(run.out.contains("  = Cloud NAT openclaw-gateway-nat: about 4.67 USD a month"), "{}", run.out);
    assert!(!cloud.google.has(&format!("{ZONE}/instances/openclaw-gateway")));
}

/// A resource of the same name that bake did not make for this project has not its description.
#[test]
fn resources_that_setup_did_not_make_stay() {
    let cloud = set_up();
    for path in [ACCOUNT, ROUTER, RULE] {
        let mut resource = cloud.google.get(path);
        resource["description"] =
            json!("OpenClaw, made by bake for openclaw=openclaw-gateway,openclaw-id=fedcba9876543210");
        cloud.google.put(path, resource);
    }
    let mut secret = cloud.google.get(SECRET);
    secret["labels"]["openclaw-id"] = json!("fedcba9876543210");
    cloud.google.put(SECRET, secret);
    cloud.run(Shell::Dash, &["destroy", "--all"]).done();
    for path in [ACCOUNT, ROUTER, RULE, SECRET] {
        assert!(cloud.google.has(path), "{path}");
    }
}
