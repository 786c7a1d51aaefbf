//! A user's text reaches a command as one argument with any content, or Compute Engine's rules refuse it before
//! there is a script.

use crate::support::Folder;
use crate::support::google::{Cloud, Google, Shell};
use crate::support::test;

/// A folder with everything that a shell could take for its own.
const OUT: &str = "-o ut's \"$HOME\" `date` $(id) \\ ;&|<>*? \u{fc}\u{20ac}\u{1f600}";

#[test]
fn a_folder_of_any_name_arrives_whole() {
    let folder = Folder::project();
    let out = format!("--out={OUT}");
    folder.bake(["render", &out]).done();
    let cloud = Cloud::of(Google::set_up("openclaw-gateway"), folder);
    for shell in Shell::ALL {
        cloud.run(shell, &["create", &out]).done();
    }
    let vm = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
    let user_data = cloud.folder.read(&format!("{OUT}/user-data.yaml"));
    assert!(cloud.google.metadata(vm)["user-data"] == user_data, "byte for byte");
}

#[test]
fn names_that_compute_engine_refuses_are_refused_first() {
    let long = format!("name: {}", "a".repeat(64));
    let wrong = [
        ("name: openclaw-gateway ", "name: -gateway "),
        ("name: openclaw-gateway ", "name: \"a b\" "),
        ("name: openclaw-gateway ", "name: \"$HOME\" "),
        ("name: openclaw-gateway ", "name: \"it's\" "),
        ("name: openclaw-gateway ", "name: g\u{fc}n "),
        ("name: openclaw-gateway ", "name: Gateway "),
        ("name: openclaw-gateway ", "name: gateway- "),
        ("name: openclaw-gateway", &long),
        ("project: null", "project: \"-p\""),
        ("project: null", "project: \"my project\""),
        ("project: null", "project: \"$(id)aaaa\""),
        ("zone: us-central1-a", "zone: \"us-central1-a --quiet\""),
        ("machine_type: e2-small", "machine_type: \"e2-small;id\""),
        ("service_account: openclaw-gateway", "service_account: \"a'b-cdef\""),
        ("service_account: openclaw-gateway", "service_account: --quiet"),
        ("GOG_KEYRING_PASSWORD: {generate: hex32}", "GOG_KEYRING_PASSWORD: {secret_manager: \"a b\"}"),
        ("GOG_KEYRING_PASSWORD: {generate: hex32}", "GOG_KEYRING_PASSWORD: {secret_manager: \"\u{fc}$\"}"),
    ];
    for (from, to) in wrong {
        let folder = Folder::project();
        folder.edit("bake.yaml", from, to);
        folder.bake(["check"]).ended(2);
        for action in ["setup", "create", "destroy"] {
            let refused = folder.bake(["gcloud", action]).ended(2);
            let names_gcloud = |line: &str| line.trim_start().starts_with("gcloud");
            assert!(refused.out.ends_with("\nexit 2\n"), "{to}: {}", refused.out);
            assert!(!refused.out.lines().any(names_gcloud), "{to}: {}", refused.out);
        }
    }
}
