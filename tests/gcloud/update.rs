//! Updates in place and the way back, run by the real gcloud; the server plays the VM's half (`docs/update.md`).

use std::collections::BTreeMap;

use crate::support::google::{Cloud, Fate, Fault, Google, Run, Shell};
use crate::support::test;
use serde_json::{Value, json};

const ACCOUNT: &str = "openclaw-gateway";
const INSTANCES: &str = "compute/projects/demo/zones/us-central1-a/instances";
const VM: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const DATA: &str = "compute/projects/demo/zones/us-central1-a/disks/openclaw-gateway-data";
const GROUP: &str = "compute/projects/demo/zones/us-central1-a/instanceGroupManagers/openclaw-gateway";
const BROKEN: &str = "start: the gateway stopped: \"Cannot find module\" | $(id)";

/// A VM of yesterday's bundle that changes its release in place, and today's bundle.
fn with_a_new_bundle() -> Cloud {
    let cloud = Cloud::created();
    cloud.in_place_of("sleep", "exit 0");
    cloud.google.update_in_place();
    render(&cloud, "timezone: UTC", "timezone: Asia/Kolkata");
    cloud
}

fn render(cloud: &Cloud, from: &str, to: &str) {
    cloud.folder.edit("bake.yaml", from, to);
    cloud.folder.bake(["render"]).done();
    cloud.google.requests();
}

/// The release of the rendered bundle.
fn release(cloud: &Cloud) -> String {
    let user_data = cloud.folder.read("out/user-data.yaml");
    let (_, rest) = user_data.split_once("\"id\":\"").expect("an identity");
    rest[..16].to_owned()
}

#[track_caller]
fn is_untouched(cloud: &Cloud, before: &BTreeMap<String, Value>) {
    let changes = cloud.google.changes();
    assert!(changes.is_empty(), "{changes:#?}");
    assert_eq!(&cloud.google.resources(), before);
}

/// Runs the action, which must not change anything, and end with `code`.
#[track_caller]
fn changes_nothing(cloud: &Cloud, shell: Shell, action: &[&str], code: i32) -> Run {
    let (_, before) = (cloud.google.requests(), cloud.google.resources());
    let run = cloud.run(shell, action).ended(code);
    is_untouched(cloud, &before);
    run
}

/// The printed lines, without the times.
fn stages(run: &Run) -> Vec<&str> {
    run.out.lines().filter_map(|line| line.split_once(" s  ")).map(|(_, line)| line).collect()
}

#[test]
fn a_running_vm_changes_its_release_in_place() {
    let cloud = with_a_new_bundle();
    let (id, new) = (cloud.google.get(VM)["id"].clone(), release(&cloud));
    let plan = changes_nothing(&cloud, Shell::Bash, &["plan"], 1);
    assert!(
        plan.out.contains(&format!("~ VM openclaw-gateway: changes to the release {new} in place")),
        "{}",
        plan.out
    );
    let run = cloud.run(Shell::Dash, &["update"]).done();
    let lines = ["update: staging", "update: image", "update: trial", "start", "update: done", "ready"];
    let lines = lines.map(|line| format!("openclaw-gateway  {line}"));
    assert_eq!(
        stages(&run).into_iter().filter(|line| lines.iter().any(|one| one == line)).collect::<Vec<_>>(),
        lines,
        "{}",
        run.out
    );
    assert_eq!(cloud.google.get(VM)["id"], id, "the VM stays");
    let mut metadata = cloud.google.metadata(VM);
    for (key, file) in [("user-data", "user-data.yaml"), ("startup-script", "startup-script.sh")] {
        assert!(
            metadata.remove(key) == Some(cloud.folder.read(&format!("out/{file}"))),
            "{key}, byte for byte"
        );
    }
    let bundle = cloud.google.get(VM)["labels"]["openclaw-bundle"].clone();
    assert_eq!(metadata["openclaw-request"], format!("update={}", bundle.as_str().expect("a label")));
    assert_eq!(metadata["enable-oslogin"], "TRUE");
    let again = changes_nothing(&cloud, Shell::Bash, &["update"], 0);
    assert!(again.out.contains("Nothing to change"), "{}", again.out);
    changes_nothing(&cloud, Shell::Dash, &["plan"], 0);
    cloud.run(Shell::Bash, &["wait"]).done();
}

#[test]
fn an_update_that_went_back_fails_with_the_report_of_the_vm() {
    let cloud = with_a_new_bundle();
    cloud.google.change_ends(VM, Fate::Back(BROKEN));
    let run = cloud.run(Shell::Bash, &["update"]).ended(1);
    assert!(
        run.err.contains(&format!("went back to the one before with the state of before: {BROKEN}\n")),
        "{}",
        run.err
    );
    for advice in
        ["  bake gcloud update --retry | sh", "  bake gcloud releases | sh", "  bake gcloud logs --all | sh"]
    {
        assert!(run.err.contains(advice), "{}", run.err);
    }
    assert!(!run.err.contains("run it again"), "{}", run.err);
    // It is remembered, and not tried again unasked.
    let refused = changes_nothing(&cloud, Shell::Dash, &["update"], 1);
    assert!(refused.err.contains(BROKEN) && refused.err.contains("update --retry | sh"), "{}", refused.err);
    let waited = changes_nothing(&cloud, Shell::Dash, &["wait"], 1);
    assert!(waited.err.contains(BROKEN), "{}", waited.err);
    // Whether the gateway runs is another question.
    let resized = ["resize", "e2-small"];
    changes_nothing(&cloud, Shell::Bash, &resized, 0);
    let asked = cloud.google.metadata(VM).remove("openclaw-request");
    cloud.run(Shell::Dash, &["update", "--retry"]).done();
    assert_ne!(
        cloud.google.metadata(VM).remove("openclaw-request"),
        asked,
        "a request that the VM has not seen"
    );
    changes_nothing(&cloud, Shell::Bash, &["update", "--retry"], 0);
    cloud.run(Shell::Bash, &["wait"]).done();
}

#[test]
fn an_update_that_is_refused_or_waits_fails_and_says_why() {
    let cloud = with_a_new_bundle();
    cloud.google.change_ends(VM, Fate::Refused("verify: gog differs from the lock"));
    let run = cloud.run(Shell::Dash, &["update"]).ended(1);
    assert!(run.err.contains("did not stop its gateway: verify: gog differs from the lock"), "{}", run.err);

    let cloud = with_a_new_bundle();
    cloud.google.change_ends(VM, Fate::Waits("the data disk has 9 MiB too little"));
    // The clock jumps by a minute for each look.
    cloud.in_place_of("date", "case $* in *%s*) t=$(cat \"$HOME/t\" 2>/dev/null || echo 0); echo $((t + 60)) | tee \"$HOME/t\" ;; *) echo 20260102-030405 ;; esac");
    cloud.in_place_of("tee", "cat >\"$1\"; cat \"$1\"");
    let run = cloud.run(Shell::Bash, &["update", "--timeout", "600"]).ended(1);
    assert!(run.err.contains("It is at `waiting`: the data disk has 9 MiB too little"), "{}", run.err);
    assert!(
        stages(&run).contains(&"openclaw-gateway  update: waiting: the data disk has 9 MiB too little"),
        "{}",
        run.out
    );
}

#[test]
fn a_vm_of_an_older_bake_is_recognized() {
    let cloud = Cloud::created();
    render(&cloud, "timezone: UTC", "timezone: Asia/Kolkata");
    let first = cloud.google.get(VM)["id"].clone();
    let unheard = changes_nothing(&cloud, Shell::Dash, &["update"], 1);
    assert!(
        unheard.err.contains("has not reported yet") && unheard.err.contains("bake gcloud wait | sh"),
        "{}",
        unheard.err
    );
    cloud.google.guest_attribute(VM, "openclaw/status", "ready");
    for action in ["update", "plan"] {
        let told = changes_nothing(&cloud, Shell::Bash, &[action], 1);
        assert!(
            told.err.contains("is of a bake whose VMs do not change their release in place"),
            "{}",
            told.err
        );
        assert!(told.err.contains("  bake gcloud update --replace | sh"), "{}", told.err);
    }
    let told = changes_nothing(&cloud, Shell::Dash, &["rollback"], 1);
    assert!(told.err.contains("update --replace"), "{}", told.err);
    changes_nothing(&cloud, Shell::Dash, &["releases"], 1);
    cloud.run(Shell::Dash, &["update", "--replace"]).done();
    assert_ne!(cloud.google.get(VM)["id"], first);

    // Without guest attributes nothing can be followed.
    let cloud = with_a_new_bundle();
    let mut vm = cloud.google.get(VM);
    vm["metadata"] = json!({"items": [{"key": "enable-guest-attributes", "value": "FALSE"}]});
    cloud.google.put(VM, vm);
    let told = changes_nothing(&cloud, Shell::Dash, &["update"], 1);
    assert!(told.err.contains("--metadata=enable-guest-attributes=TRUE"), "{}", told.err);
    let mut vm = cloud.google.get(VM);
    vm["status"] = "TERMINATED".into();
    cloud.google.put(VM, vm);
    let told = changes_nothing(&cloud, Shell::Bash, &["update"], 1);
    assert!(told.err.contains("gcloud compute instances start openclaw-gateway"), "{}", told.err);
}

#[test]
fn settings_that_no_metadata_changes_are_named_with_the_action_that_does() {
    let cloud = with_a_new_bundle();
    let edits = [
        ("machine_type: e2-small", "machine_type: e2-medium", "  bake gcloud resize e2-medium | sh"),
        (
            "service_account: openclaw-gateway",
            "service_account: another-account",
            "  bake gcloud update --replace | sh",
        ),
        ("boot_disk: 20GB", "boot_disk: 30GB", "  bake gcloud update --replace | sh"),
        ("data_disk: 10GB", "data_disk: 0", "gcp.data_disk"),
    ];
    for (from, to, advice) in edits {
        cloud.folder.edit("bake.yaml", from, to);
        let snapshots = "snapshots: {keep_days: 14}";
        if to == "data_disk: 0" {
            cloud.folder.edit("bake.yaml", snapshots, "snapshots: null");
        }
        cloud.folder.bake(["render"]).done();
        let told = changes_nothing(&cloud, Shell::Dash, &["update"], 1);
        assert!(told.err.contains(advice), "{to}: {}", told.err);
        cloud.folder.edit("bake.yaml", to, from);
        if to == "data_disk: 0" {
            cloud.folder.edit("bake.yaml", "snapshots: null", snapshots);
        }
    }
    // After `resize`, the VM is updated in place; a disk grows while it is in use.
    cloud.run(Shell::Bash, &["resize", "e2-medium", "--timeout", "0"]);
    cloud.google.guest_attribute(VM, "openclaw/status", "ready");
    cloud.folder.edit("bake.yaml", "data_disk: 10GB", "data_disk: 12GB");
    render(&cloud, "machine_type: e2-small", "machine_type: e2-medium");
    cloud.run(Shell::Dash, &["update"]).done();
    assert_eq!(cloud.google.get(DATA)["sizeGb"], "12");
}

#[test]
fn a_missing_secret_ends_an_update_before_any_change() {
    let cloud = with_a_new_bundle();
    render(
        &cloud,
        "GOG_KEYRING_PASSWORD: {generate: hex32}",
        "GOG_KEYRING_PASSWORD: {secret_manager: keyring}",
    );
    let told = changes_nothing(&cloud, Shell::Bash, &["update"], 1);
    assert!(told.err.contains("usable version of the secret keyring"), "{}", told.err);
}

#[test]
fn a_run_that_ended_in_between_is_made_up_for() {
    let cloud = with_a_new_bundle();
    cloud.google.fail("POST", "/setLabels", Fault::denied("compute.instances.setLabels"), 1);
    let failed = cloud.run(Shell::Dash, &["update"]);
    assert_ne!(failed.code, 0);
    assert!(failed.err.contains("To see it through: bake gcloud update | sh"), "{}", failed.err);
    let run = cloud.run(Shell::Bash, &["update"]).done();
    assert!(stages(&run).iter().any(|line| line.ends_with("update: done")), "{}", run.out);
    changes_nothing(&cloud, Shell::Dash, &["update"], 0);
    // A second machine that looks while the VM is at work.
    render(&cloud, "timezone: Asia/Kolkata", "timezone: Asia/Tokyo");
    cloud.google.fail(
        "GET",
        "/getGuestAttributes",
        Fault::denied("compute.instances.getGuestAttributes"),
        None,
    );
    let blind = changes_nothing(&cloud, Shell::Bash, &["update"], 1);
    assert!(blind.err.contains("gcloud auth list"), "{}", blind.err);
}

#[test]
fn a_rollback_goes_back_once_and_forward_when_asked() {
    let cloud = with_a_new_bundle();
    cloud.folder.edit("bake.yaml", "timezone: Asia/Kolkata", "timezone: UTC");
    cloud.folder.bake(["render"]).done();
    let old = release(&cloud);
    render(&cloud, "timezone: UTC", "timezone: Asia/Kolkata");
    let new = release(&cloud);
    let none = changes_nothing(&cloud, Shell::Dash, &["rollback"], 1);
    assert!(none.err.contains("has no release to go back to"), "{}", none.err);
    cloud.run(Shell::Dash, &["update"]).done();

    let listed = changes_nothing(&cloud, Shell::Bash, &["releases"], 0);
    let rows: Vec<_> = listed.out.lines().collect();
    assert!(rows[0].starts_with("RELEASE") && rows.len() == 3, "{}", listed.out);
    assert!(
        rows[1].starts_with(&new) && rows[1].contains(" 2026.9.4 ") && rows[1].contains(" current,"),
        "{}",
        listed.out
    );
    assert!(rows[2].starts_with(&old) && rows[2].contains(" kept "), "{}", listed.out);

    let run = cloud.run(Shell::Dash, &["rollback"]).done();
    let (_, plan) = run.out.split_once("Plan:\n").expect("a plan");
    let line = plan.lines().next().unwrap_or_default();
    for part in [&new, &old, "(OpenClaw 2026.9.4)", "with the state of 2026-", "LOST is what came since then"]
    {
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(run.err.contains("a new VM would run"), "{}", run.err);
    assert_eq!(cloud.google.metadata(VM)["openclaw-request"], format!("rollback={new}"));
    // A second one does not go forward again.
    let again = changes_nothing(&cloud, Shell::Bash, &["rollback"], 0);
    assert!(again.out.contains(&format!("= VM openclaw-gateway: runs the release {old}")), "{}", again.out);
    let refused = changes_nothing(&cloud, Shell::Dash, &["update"], 1);
    assert!(refused.err.contains("rolled back by hand"), "{}", refused.err);

    // The bundle of the older release makes a new VM one of it, too.
    render(&cloud, "timezone: Asia/Kolkata", "timezone: UTC");
    let run = cloud.run(Shell::Bash, &["update"]).done();
    assert!(
        run.out.contains(&format!("gets the metadata of the release {old}, which it runs")),
        "{}",
        run.out
    );
    assert!(stages(&run).is_empty(), "{}", run.out);
    assert!(cloud.google.metadata(VM)["user-data"] == cloud.folder.read("out/user-data.yaml"));
    changes_nothing(&cloud, Shell::Dash, &["update"], 0);

    let listed = cloud.run(Shell::Dash, &["releases", "--as-json"]).done().out;
    let listed: Value = serde_json::from_str(&listed).unwrap_or_else(|error| panic!("{error}: {listed}"));
    let releases = listed["vms"][0]["releases"].as_array().expect("releases");
    let row = |at: usize| (&releases[at]["release"], &releases[at]["state"], &releases[at]["healthy"]);
    assert_eq!(row(0), (&json!(old), &json!("current"), &json!(true)));
    assert_eq!(row(1), (&json!(new), &json!("kept"), &json!(true)));
    assert_eq!(row(2), (&json!(new), &json!("failed"), &json!(false)));
    assert_eq!(releases[2]["error"], "rolled back by hand");

    let unknown = changes_nothing(&cloud, Shell::Dash, &["rollback", "--to", "0123456789abcdef"], 1);
    assert!(unknown.err.contains(&format!("can go back to the release {new} only")), "{}", unknown.err);
    cloud.run(Shell::Bash, &["rollback", "--keep-state", "--to", &new]).done();
    assert_eq!(cloud.google.metadata(VM)["openclaw-request"], format!("rollback={old},keep-state"));
    changes_nothing(&cloud, Shell::Dash, &["rollback", "--to", &new], 0);
}

#[test]
fn a_rollback_that_fails_is_tried_again_when_asked() {
    let cloud = with_a_new_bundle();
    cloud.run(Shell::Dash, &["update"]).done();
    cloud.google.change_ends(VM, Fate::Back(BROKEN));
    let run = cloud.run(Shell::Bash, &["rollback"]).ended(1);
    assert!(
        run.err.contains(BROKEN) && run.err.contains("  bake gcloud rollback --retry | sh"),
        "{}",
        run.err
    );
    let again = changes_nothing(&cloud, Shell::Dash, &["rollback"], 1);
    assert!(again.err.contains("rollback --retry | sh"), "{}", again.err);
    cloud.run(Shell::Dash, &["rollback", "--retry"]).done();
    changes_nothing(&cloud, Shell::Bash, &["rollback", "--retry"], 0);
}

/// A fleet of three, created of yesterday's bundle.
fn fleet() -> Cloud {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[]);
    cloud.in_place_of("sleep", "exit 0");
    cloud.run(Shell::Dash, &["create", "--fleet", FLEET]).done();
    cloud.google.update_in_place();
    render(&cloud, "timezone: UTC", "timezone: Asia/Kolkata");
    cloud
}

const FLEET: &str = "alice,bob,carol";

#[test]
fn a_fleet_stops_at_the_first_member_that_went_back() {
    let cloud = fleet();
    let update = ["update", "--fleet", FLEET];
    let path = |name: &str| format!("{INSTANCES}/{name}");
    let ids = || ["alice", "bob", "carol"].map(|name| cloud.google.get(&path(name))["id"].clone());
    let is_new = |name: &str| cloud.google.metadata(&path(name))["user-data"].contains("Asia/Kolkata");
    let before = ids();
    render(&cloud, "machine_type: e2-small", "machine_type: e2-medium");
    let told = changes_nothing(&cloud, Shell::Dash, &update, 1);
    let advice = format!("  bake gcloud update --replace --fleet {FLEET} | sh");
    assert!(told.err.contains(&advice), "{}", told.err);
    render(&cloud, "machine_type: e2-medium", "machine_type: e2-small");
    cloud.google.change_ends(&path("bob"), Fate::Back(BROKEN));
    let run = cloud.run(Shell::Dash, &update).ended(1);
    assert!(
        run.out.contains("alice  update: done") && run.out.contains("bob  update: rolled-back"),
        "{}{}",
        run.out,
        run.err
    );
    assert!(!run.out.contains("carol  "), "{}{}", run.out, run.err);
    assert!(
        run.err.contains(&format!(
            "bob changed its release, and went back to the one before with the state of before: {BROKEN}"
        )),
        "{}",
        run.err
    );
    assert!(run.err.contains("The others were not changed: carol"), "{}", run.err);
    assert_eq!(["alice", "bob", "carol"].map(is_new), [true, true, false]);
    let policy = cloud.google.get(GROUP)["updatePolicy"].clone();
    assert_eq!(
        (&policy["type"], &policy["minimalAction"], &policy["mostDisruptiveAllowedAction"]),
        (&json!("OPPORTUNISTIC"), &json!("REFRESH"), &json!("REFRESH")),
        "{policy}"
    );

    let refused = changes_nothing(&cloud, Shell::Bash, &update, 1);
    assert!(refused.err.contains("failed on bob before"), "{}", refused.err);
    let retry = ["update", "--retry", "--fleet", FLEET];
    let run = cloud.run(Shell::Bash, &retry).done();
    assert!(!run.out.contains("alice  "), "{}", run.out);
    assert!(run.out.contains("bob  update: done") && run.out.contains("carol  update: done"), "{}", run.out);
    assert!(is_new("carol"));
    assert_eq!(ids(), before, "no VM was replaced");
    changes_nothing(&cloud, Shell::Dash, &update, 0);
}
