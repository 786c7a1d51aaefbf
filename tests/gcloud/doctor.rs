//! `bake gcloud doctor`: each missing part is named, its command mends it, and nothing is changed.

use crate::support::google::{Cloud, Fault, Google, Shell};
use crate::support::test;
use serde_json::json;

const SECRETS: [(&str, &str); 1] = [(
    "GOG_KEYRING_PASSWORD: {generate: hex32}",
    "GOG_KEYRING_PASSWORD: {generate: hex32, secret_manager: keyring}",
)];

#[test]
fn what_it_misses_is_what_setup_creates() {
    let cloud = Cloud::new(Google::empty(), &SECRETS);
    let before = cloud.run(Shell::Dash, &["doctor"]).ended(1);
    assert!(cloud.google.changes().is_empty(), "{:?}", cloud.google.changes());
    for line in [
        "ok       project: demo\n",
        "missing  API secretmanager.googleapis.com\n         gcloud services enable secretmanager.googleapis.com --project=demo\n",
        "missing  service account\n         bake gcloud setup | sh\n",
        "missing  value of the secret keyring\n         bake gcloud setup | sh\n",
    ] {
        assert!(before.out.contains(line), "{line}: {}{}", before.out, before.err);
    }
    assert_eq!(before.err, "", "no lookup that can only fail");

    cloud.run(Shell::Dash, &["setup"]).done();
    let account = "user:me@example.com";
    cloud.google.put(
        "policy/cloudresourcemanager/projects/demo",
        json!({"bindings": [
            {"role": "roles/owner", "members": [account, "user:other@example.com"]},
            {"role": "roles/viewer", "members": ["user:other@example.com"]},
        ]}),
    );
    let after = cloud.run(Shell::Bash, &["doctor"]).done();
    for line in [
        "ok       account: me@example.com\n",
        "ok       API secretmanager.googleapis.com\n",
        "ok       roles of me@example.com: roles/owner\n",
        "ok       service account: openclaw-gateway@demo.iam.gserviceaccount.com\n",
        "ok       right of openclaw-gateway@demo.iam.gserviceaccount.com to the secret keyring: roles/secretmanager.secretAccessor\n",
        "Nothing is missing. Next: bake gcloud create | sh\n",
    ] {
        assert!(after.out.contains(line), "{line}: {}{}", after.out, after.err);
    }
}

#[test]
fn billing_that_is_off_is_missing_and_a_forbidden_lookup_is_unknown() {
    let cloud = Cloud::new(Google::set_up("openclaw-gateway"), &[]);
    cloud.google.fail("GET", "billingInfo", Fault::denied("resourcemanager.projects.get"), None);
    let run = cloud.run(Shell::Dash, &["doctor"]).ended(2);
    assert!(run.out.contains("unknown  billing: gcloud could not look it up\n"), "{}", run.out);
    assert!(run.err.contains("resourcemanager.projects.get"), "{}", run.err);
    assert!(!run.out.contains("Nothing is missing"), "{}", run.out);

    cloud.google.mend();
    let unpaid = json!({"name": "projects/demo/billingInfo", "projectId": "demo"});
    cloud.google.put("cloudbilling/projects/demo/billingInfo", unpaid);
    let run = cloud.run(Shell::Bash, &["doctor"]).ended(1);
    let lines = "missing  billing\n         gcloud billing accounts list\n         gcloud billing projects link demo --billing-account=ID\n";
    assert!(run.out.contains(lines), "{}", run.out);
}
