//! OS images: a builder becomes one, new VMs boot from it, old ones go.

use crate::support::google::{Cloud, Fault, Google, Shell};
use crate::support::test;
use serde_json::{Value, json};

const BUILDER: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway-builder";
const IMAGES: &str = "compute/projects/demo/global/images/";
/// Of the project `0123456789abcdef`, Debian 13 and a boot disk of 20 GB.
const FAMILY: &str = "openclaw-gateway-amd64-c0af0bc7";

/// A cloud whose builders report these statuses, each of which is read once.
fn cloud(statuses: &[&str]) -> Cloud {
    let cloud = Cloud::new(Google::set_up("openclaw-gateway"), &[]);
    cloud.in_place_of("sleep", "exit 0");
    cloud.google.boots(statuses);
    cloud
}

/// The names of all images, and the remains of a builder.
fn made(cloud: &Cloud) -> Vec<String> {
    let paths = cloud.google.resources().into_keys();
    let is_ours = |path: &String| path.starts_with(IMAGES) || path.ends_with("-builder");
    paths.filter(is_ours).map(|path| path.rsplit('/').next().expect("a name").to_owned()).collect()
}

fn change_bundle(cloud: &Cloud, from: &str, to: &str) {
    cloud.folder.edit("bake.yaml", from, to);
    cloud.folder.bake(["render"]).done();
}

/// The image that the boot disk of this VM was made from.
fn source(cloud: &Cloud, vm: &str) -> String {
    let disk = cloud.google.get(&format!("compute/projects/demo/zones/us-central1-a/disks/{vm}"));
    let source = disk["sourceImage"].as_str().expect("an image");
    source.rsplit('/').next().expect("a name").to_owned()
}

/// An image of another bundle.
pub(crate) fn put_image(cloud: &Cloud, name: &str) {
    let labels = json!({"openclaw": "openclaw-gateway", "openclaw-id": "0123456789abcdef", "openclaw-bundle": "other"});
    let image = json!({
        "name": name,
        "family": FAMILY,
        "status": "READY",
        "creationTimestamp": format!("2025-11-{}T10:00:00.000-08:00", &name[name.len() - 9..name.len() - 7]),
        "labels": labels,
    });
    cloud.google.put(&format!("{IMAGES}{name}"), image);
}

/// Newer images than `good`, each with one reason against it. Returns their paths.
fn put_misfits(cloud: &Cloud, good: &str) -> Vec<String> {
    let good = cloud.google.get(&format!("{IMAGES}{good}"));
    let reasons = [
        ("/labels/openclaw-lock", json!("0123456789abcdef")),
        ("/labels/openclaw-id", json!("fedcba9876543210")),
        ("/status", json!("PENDING")),
        ("/family", json!("openclaw-gateway-amd64-8e0f6886")),
    ];
    let put = |(number, (part, value)): (usize, (&str, Value))| {
        let mut image = good.clone();
        let name = format!("openclaw-gateway-amd64-20270102-00000{number}");
        image["creationTimestamp"] = json!("2027-01-02T10:00:00.000-08:00");
        *image.pointer_mut(part).expect("a part of an image") = value;
        image["name"] = json!(name);
        let path = format!("{IMAGES}{name}");
        cloud.google.put(&path, image);
        path
    };
    reasons.into_iter().enumerate().map(put).collect()
}

/// A builder of another bundle, which runs.
pub(crate) fn put_builder(cloud: &Cloud, owner: &str) {
    let labels =
        json!({"openclaw-builder": owner, "openclaw-bundle": "other", "openclaw-base": "debian-13-v1"});
    let metadata = json!({"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]});
    let builder = json!({"name": "openclaw-gateway-builder", "status": "RUNNING", "labels": labels, "metadata": metadata});
    cloud.google.put(BUILDER, builder);
}

#[test]
fn an_image_is_baked_once_for_a_bundle_and_the_last_two_stay() {
    let cloud = cloud(&["starting", "image", "verify", "baked"]);
    for name in ["by-hand", "openclaw-gateway-2-amd64-20250101-000000"] {
        cloud
            .google
            .put(&format!("{IMAGES}{name}"), json!({"name": name, "family": FAMILY, "status": "READY"}));
    }
    let run = cloud.run(Shell::Dash, &["image"]).done();
    for told in ["openclaw-gateway-builder  verify", "openclaw-gateway-builder  baked"] {
        assert!(run.out.contains(told), "{}", run.out);
    }
    let requests = cloud.google.requests();
    let asked = |end: &str| {
        let found = requests.iter().find(|request| request.method == "POST" && request.path.ends_with(end));
        found.unwrap_or_else(|| panic!("no {end}")).body.clone()
    };
    let builder = asked("/instances");
    assert_eq!(
        (&builder["serviceAccounts"], builder["disks"].as_array().map(Vec::len)),
        (&Value::Null, Some(1))
    );
    let metadata = builder["metadata"]["items"].to_string();
    assert!(metadata.contains("openclaw-bake") && metadata.contains("user-data"), "{metadata}");
    let scheduling = &builder["scheduling"];
    assert_eq!(scheduling["instanceTerminationAction"], "DELETE");
    assert_eq!(scheduling["maxRunDuration"]["seconds"], "5400", "{scheduling}");
    let image = asked("/images");
    assert_eq!((&image["family"], &image["storageLocations"]), (&json!(FAMILY), &json!(["us-central1"])));
    assert_eq!(image["labels"]["openclaw-base"], "debian-13-v20261110");
    assert_eq!(
        (&image["labels"]["openclaw-os"], &image["labels"]["openclaw-arch"]),
        (&json!("debian-13"), &json!("amd64"))
    );
    let [_, _, first] = &made(&cloud)[..] else { panic!("{:?}", made(&cloud)) };

    let again = cloud.run(Shell::Bash, &["image"]).done();
    assert_eq!(cloud.google.changes().len(), 0);
    assert!(
        again.out.contains(&format!("= image {first}, of this lock and bundle, from debian-13-v20261110")),
        "{}",
        again.out
    );

    // A VM of this lock boots from it, although the bundle has changed.
    change_bundle(&cloud, "timezone: UTC", "timezone: Asia/Tokyo");
    let misfits = put_misfits(&cloud, first);
    let created = cloud.run(Shell::Posix, &["create"]).done();
    assert!(created.out.contains(&format!("from {first}")), "{}", created.out);
    assert_eq!(source(&cloud, "openclaw-gateway"), *first);
    for misfit in misfits {
        cloud.google.remove(&misfit);
    }

    cloud.run(Shell::Posix, &["image"]).done();
    assert_eq!(made(&cloud).len(), 4, "{:?}", made(&cloud));
    let forced = cloud.run(Shell::Dash, &["image", "--force"]).done();
    assert!(forced.out.contains(&format!("- image {first}, older than the last two")), "{}", forced.out);
    let left = made(&cloud);
    assert!(left.len() == 4 && left.contains(&"by-hand".to_owned()) && !left.contains(first), "{left:?}");

    // Disks of this size fit no image of a larger disk.
    change_bundle(&cloud, "boot_disk: 20GB", "boot_disk: 40GB");
    let larger = cloud.run(Shell::Dash, &["image"]).done();
    assert!(larger.out.contains("+ image openclaw-gateway-amd64-8e0f6886-"), "{}", larger.out);
    assert_eq!(made(&cloud).len(), 5);
}

#[test]
fn a_builder_that_does_not_get_there_is_named_and_the_next_run_goes_on() {
    let cloud = cloud(&["starting", "failed"]);
    let failed = cloud.run(Shell::Dash, &["image"]).ended(1);
    assert!(failed.err.contains("openclaw-gateway-builder failed"), "{}", failed.err);
    let id = cloud.google.get(BUILDER)["id"].clone();

    // Another one takes its place, and does not report.
    cloud.google.boots(&[]);
    let silent = cloud.run(Shell::Dash, &["image", "--timeout", "0"]).ended(1);
    for told in [
        "has not become an image after 0 s",
        "Cloud NAT",
        "Not finished.",
        "gcloud compute instances delete openclaw-gateway-builder --zone=us-central1-a --project=demo",
    ] {
        assert!(silent.err.contains(told), "{told}: {}", silent.err);
    }
    let second = cloud.google.get(BUILDER)["id"].clone();
    assert_ne!(second, id);

    // It gets there after all, but there is no room for the image.
    cloud.google.boots(&["image", "baked"]);
    let quota = "Quota 'IMAGES' exceeded.  Limit: 100.0 globally.";
    cloud.google.fail("POST", "/images", Fault::policy(quota), 1);
    let full = cloud.run(Shell::Bash, &["image"]).ended(1);
    assert!(full.err.contains("as many images as its quota allows"), "{}", full.err);
    assert_eq!(cloud.google.get(BUILDER)["id"], second);
    let done = cloud.run(Shell::Posix, &["image"]).done();
    assert!(!done.out.contains("+ VM"), "{}", done.out);
    assert_eq!(made(&cloud).len(), 1, "{:?}", made(&cloud));

    put_builder(&cloud, "another-one");
    let refused = cloud.run(Shell::Dash, &["image"]).ended(1);
    assert!(refused.err.contains("is not a builder of this project"), "{}", refused.err);
    assert!(cloud.google.has(BUILDER));
}

#[test]
fn without_a_baked_image_baked_is_refused_and_auto_says_what_it_takes() {
    let cloud = cloud(&[]);
    let plan = cloud.run(Shell::Dash, &["plan"]).ended(1);
    assert!(plan.out.contains("from debian-13, since no image of this lock is baked"), "{}", plan.out);
    change_bundle(&cloud, "image: auto", "image: baked");
    for action in [&["create"][..], &["create", "--fleet", "2"]] {
        let refused = cloud.run(Shell::Bash, action).ended(1);
        assert!(refused.err.contains("bake gcloud image | sh"), "{}", refused.err);
    }
    assert_eq!(cloud.google.changes().len(), 0);
}

/// The template names the family, so that a VM that is made again has the newest image, and an update in place, which
/// may not change a VM's image, stays possible.
#[test]
fn a_fleet_heals_from_the_newest_baked_image_and_updates_in_place() {
    let cloud = cloud(&["baked"]);
    cloud.run(Shell::Dash, &["image"]).done();
    let first = made(&cloud).remove(0);
    cloud.google.boots(&["ready"]);
    let fleet = ["--fleet", "3"];
    let created = cloud.run(Shell::Dash, &[&["create"][..], &fleet].concat()).done();
    assert!(created.out.contains(&format!("of VMs from the newest image of {FAMILY}")), "{}", created.out);
    let members = ["openclaw-gateway-1", "openclaw-gateway-2", "openclaw-gateway-3"];
    assert!(members.iter().all(|member| source(&cloud, member) == first));

    put_image(&cloud, "openclaw-gateway-amd64-20270102-000000");
    let path = format!("{IMAGES}openclaw-gateway-amd64-20270102-000000");
    let mut newer = cloud.google.get(&path);
    newer["creationTimestamp"] = json!("2027-01-02T10:00:00.000-08:00");
    cloud.google.put(&path, newer);
    let group = "compute/projects/demo/zones/us-central1-a/instanceGroupManagers/openclaw-gateway";
    for member in members {
        cloud.google.dies(group, member);
        assert_eq!(source(&cloud, member), "openclaw-gateway-amd64-20270102-000000");
    }

    // No image is baked of the new lock.
    cloud.google.remove(&format!("{IMAGES}{first}"));
    cloud.google.update_in_place();
    change_bundle(&cloud, "timezone: UTC", "timezone: Asia/Tokyo");
    let updated = cloud.run(Shell::Bash, &[&["update"][..], &fleet].concat()).done();
    assert!(updated.out.contains(&format!("of VMs from the newest image of {FAMILY}")), "{}", updated.out);

    // Another image would need other VMs, so that an update in place keeps it.
    change_bundle(&cloud, "image: auto", "image: stock");
    change_bundle(&cloud, "timezone: Asia/Tokyo", "timezone: Europe/Paris");
    let kept = cloud.run(Shell::Dash, &[&["update"][..], &fleet].concat()).done();
    let told =
        format!("the newest image of {FAMILY} as before (to the stock image: bake gcloud update --replace)");
    assert!(kept.out.contains(&told), "{}", kept.out);
}
