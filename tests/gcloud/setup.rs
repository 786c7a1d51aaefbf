//! `bake gcloud setup`, run by the real gcloud: the resulting project, a second run without changes, and no
//! visible secret value.

use crate::support::google::{Cloud, Fault, Google, Run, Shell, files};
use crate::support::test;
use crate::support::{Folder, processes};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

const ACCOUNT: &str = "serviceAccount:openclaw-gateway@demo.iam.gserviceaccount.com";
const DEPLOYER: &str = "serviceAccount:openclaw-deployer@demo.iam.gserviceaccount.com";

/// One secret that is made up, one from a file, one typed.
const SECRETS: [(&str, &str); 2] = [
    (
        "OPENCLAW_GATEWAY_TOKEN: {generate: hex32}",
        "OPENCLAW_GATEWAY_TOKEN: {generate: hex32, keep_in: secret-manager}\n  \
         OPENAI_API_KEY: {secret_manager: openai-api-key}\n  TELEGRAM_BOT_TOKEN: {secret_manager: telegram}",
    ),
    ("public_ip: true", "public_ip: false"),
];
const TYPED: &str = "typed $HOME `date` \"'\\ \u{fc}";
const FROM_FILE: &str = "from a file: $PATH '\" \u{20ac}";
/// A path with everything that a shell could take for its own.
const FILE: &str = "- it's $HOME \"\u{fc}\" `date`";

/// With a service account that is not known everywhere at once; on a terminal, where one value is
/// typed, and then again where there is none.
#[test]
fn a_project_is_prepared_once_and_no_secret_is_seen() {
    let mut cloud = Cloud::new(Google::empty(), &SECRETS);
    // Variables of the scripts, which would hand on what they hold.
    cloud.exported.extend(["value", "typed", "secret"].map(|name| (name, "exported")));
    cloud.in_place_of("sleep", "exit 0");
    cloud.folder.write(FILE, FROM_FILE);
    let file = format!("openai-api-key={FILE}");
    let action = ["setup", "--deployer", "--secret-file", &file];
    let account = ACCOUNT.trim_start_matches("serviceAccount:");
    cloud.google.fail("POST", "gateway-token:setIamPolicy", Fault::account_not_known_yet(account), 1);
    let typed = [("kept as the secret telegram", format!("{TYPED}\n"))];
    let typed: Vec<_> = typed.iter().map(|(asked, answer)| (*asked, answer.as_str())).collect();
    cloud.loads_anew = true;
    let (first, seen) = processes::seen_during(|| cloud.typed(Shell::Dash, &action, &typed));
    let first = first.done();
    cloud.loads_anew = false;
    assert!(
        seen.iter().any(|text| text.contains("versions\0add\0openclaw-gateway-openclaw-gateway-token\0")),
        "gcloud was seen at work"
    );
    let (requests, before) = (cloud.google.requests(), cloud.google.resources());

    let enabled: Vec<_> = before.keys().filter_map(|path| path.strip_prefix("serviceusage/demo/")).collect();
    let needed = ["compute", "iam", "iamcredentials", "iap", "secretmanager"]
        .map(|api| format!("{api}.googleapis.com"));
    assert_eq!(enabled, needed, "the APIs needed and no more");
    assert!(!cloud.script(&["setup"]).contains("iamcredentials"), "only who deploys as another needs it");
    let binding = "add-iam-policy-binding openclaw-deployer@demo.iam.gserviceaccount.com --project=demo --role=roles/iam.serviceAccountTokenCreator";
    assert!(first.out.contains(binding), "{}", first.out);
    let version =
        |secret: &str| value(&before[&format!("secretmanager/projects/demo/secrets/{secret}/versions/1")]);
    let made_up = version("openclaw-gateway-openclaw-gateway-token");
    assert_eq!(
        (made_up.len(), version("openai-api-key"), version("telegram")),
        (64, FROM_FILE.to_owned(), TYPED.to_owned())
    );
    assert!(made_up.bytes().all(|byte| byte.is_ascii_hexdigit()), "{made_up}");

    for (path, policy) in
        before.iter().filter_map(|(path, policy)| Some((path.strip_prefix("policy/")?, policy)))
    {
        let (resource, roles): (_, Vec<_>) = (path.split('/').nth(3).unwrap_or("project"), roles(policy));
        match (resource, path.rsplit('/').next().unwrap_or_default()) {
            ("secrets", _) => {
                assert_eq!(roles, [(ACCOUNT.to_owned(), "roles/secretmanager.secretAccessor".to_owned())]);
            }
            ("serviceAccounts", of) => {
                assert_eq!(format!("serviceAccount:{of}"), ACCOUNT);
                assert_eq!(roles, [(DEPLOYER.to_owned(), "roles/iam.serviceAccountUser".to_owned())]);
            }
            _ => assert_eq!(roles, [(DEPLOYER.to_owned(), "roles/compute.instanceAdmin.v1".to_owned())]),
        }
    }
    assert_eq!(before.keys().filter(|path| path.starts_with("policy/secretmanager/")).count(), 3);
    let router = &before["compute/projects/demo/regions/us-central1/routers/openclaw-gateway-nat"];
    assert_eq!(router["nats"][0]["sourceSubnetworkIpRangesToNat"], "ALL_SUBNETWORKS_ALL_IP_RANGES");
    let rule = &before["compute/projects/demo/global/firewalls/openclaw-gateway-iap"];
    assert_eq!(rule["sourceRanges"], json!(["35.235.240.0/20"]));
    assert_eq!(rule["allowed"], json!([{"IPProtocol": "tcp", "ports": ["22"]}]));
    assert_eq!(rule["targetTags"], json!(["openclaw-gateway"]));

    let second = cloud.run(Shell::Bash, &action).done();
    assert_eq!(cloud.google.changes().len(), 0, "the second run");
    assert_eq!(cloud.google.resources(), before);

    cloud.folder.bake(["render"]).done();
    let reads = "OPENCLAW_GATEWAY_TOKEN=secret-manager:openclaw-gateway-openclaw-gateway-token";
    assert!(cloud.folder.read("out/user-data.yaml").contains(reads), "the VM reads it there");
    for secret in [made_up.as_str(), FROM_FILE, TYPED] {
        for run in [&first, &second] {
            seen_nowhere(secret, run);
        }
        let out = files(&cloud.folder.join("out")).into_iter().chain(cloud.left());
        for (path, content) in out {
            assert!(!String::from_utf8_lossy(&content).contains(secret), "{secret} in {}", path.display());
        }
        assert!(!seen.iter().any(|text| text.contains(secret)), "{secret} in the process list");
        assert!(!cloud.script(&action).contains(secret));
        let told = requests.iter().filter(|request| !request.path.ends_with(":addVersion"));
        for request in told {
            assert!(!format!("{request:?}").contains(secret), "{secret} in {request:?}");
        }
    }
}

/// Without a terminal, it names the option for files, and no secret gets an empty value. An existing account
/// keeps its roles, with a note.
#[test]
fn without_a_terminal_values_come_from_files() {
    let edits =
        [("GOG_KEYRING_PASSWORD: {generate: hex32}", "GOG_KEYRING_PASSWORD: {secret_manager: keyring}")];
    let cloud = Cloud::new(Google::set_up("openclaw-gateway"), &edits);
    let policy = json!({"version": 1, "etag": "ACAB", "bindings": [
        {"role": "roles/editor", "members": [ACCOUNT]},
        {"role": "roles/owner", "members": ["user:somebody@example.com"]},
    ]});
    cloud.google.put("policy/cloudresourcemanager/projects/demo", policy);
    let failed = cloud.run(Shell::Bash, &["setup"]).ended(1);
    let warned = "openclaw-gateway@demo.iam.gserviceaccount.com has roles in the whole project";
    assert!(failed.err.contains(warned) && failed.err.contains(": roles/editor\n"), "{}", failed.err);
    assert!(failed.err.contains("--secret-file keyring=FILE"), "{}", failed.err);
    assert!(cloud.google.has("secretmanager/projects/demo/secrets/keyring"));
    assert!(!cloud.google.has("secretmanager/projects/demo/secrets/keyring/versions/1"));
    let unknown = cloud.folder.bake(["gcloud", "setup", "--secret-file", "other=bake.yaml"]).ended(2);
    assert!(unknown.err.contains("other"), "{}", unknown.err);
}

/// `setup` creates a missing project only with `--new-project`. Without billing it stops, and says how to get it.
#[test]
fn a_project_of_the_spec_is_made_and_needs_billing() {
    let edits = [("project: null", "project: my-new-project")];
    let cloud = Cloud::new(Google::empty(), &edits);
    let before = cloud.google.resources();
    let typing_error = cloud.run(Shell::Bash, &["setup"]).ended(1);
    assert!(typing_error.err.contains("bake gcloud setup --new-project | sh"), "{}", typing_error.err);
    assert_eq!(cloud.google.resources(), before, "a name that may be a typing error makes no project");
    let failed = cloud.run(Shell::Dash, &["setup", "--new-project"]).ended(1);
    assert!(failed.err.contains("gcloud billing projects link my-new-project"), "{}", failed.err);
    assert!(failed.err.contains("Done:\n  + project my-new-project"), "{}", failed.err);
    assert!(cloud.google.has("cloudresourcemanager/projects/my-new-project"));
}

/// The VM's account may pull from the repository of the image, and from no other.
#[test]
fn a_private_registry_lets_the_vm_in() {
    let image = format!("us-central1-docker.pkg.dev/demo/images/openclaw@sha256:{}", "9".repeat(64));
    let image = format!("registry: {image}");
    let edits = [("strategy: build-on-vm", "strategy: registry"), ("registry: null", image.as_str())];
    let google = Google::empty();
    let repository = "artifactregistry/projects/demo/locations/us-central1/repositories/images";
    google.put(repository, json!({"name": "projects/demo/locations/us-central1/repositories/images"}));
    let cloud = Cloud::new(google, &edits);
    cloud.run(Shell::Dash, &["setup"]).done();
    let before = cloud.google.resources();
    assert!(before.contains_key("serviceusage/demo/artifactregistry.googleapis.com"));
    let reader = (ACCOUNT.to_owned(), "roles/artifactregistry.reader".to_owned());
    assert_eq!(roles(&before[&format!("policy/{repository}")]), [reader]);
    cloud.google.requests();
    cloud.run(Shell::Bash, &["setup"]).done();
    assert_eq!(cloud.google.changes().len(), 0, "the second run");
}

/// Secret values in arguments are refused.
#[test]
fn a_literal_value_is_refused() {
    let folder = Folder::project();
    folder.edit("bake.yaml", "{generate: hex32}", "sk-0123456789abcdef");
    let refused = folder.bake(["gcloud", "setup"]).ended(2);
    assert!(
        !refused.err.contains("sk-0123456789abcdef") && !refused.out.contains("sk-0123456789abcdef"),
        "{}",
        refused.err
    );
    assert!(refused.out.ends_with("exit 2\n"), "{}", refused.out);
}

#[track_caller]
fn seen_nowhere(secret: &str, run: &Run) {
    for (place, text) in [("output", &run.out), ("errors", &run.err), ("environment", &run.environment)] {
        assert!(!text.contains(secret), "{secret} in the {place}");
    }
    assert!(run.calls.len() > 10, "programs were written down");
    for call in &run.calls {
        assert!(!call.iter().any(|argument| argument.contains(secret)), "{secret} in {call:?}");
    }
}

fn value(version: &Value) -> String {
    let data = BASE64_STANDARD.decode(version["data"].as_str().unwrap_or_default()).expect("base64");
    String::from_utf8(data).expect("text")
}

/// Members and roles.
fn roles(policy: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let bindings = policy["bindings"].as_array().into_iter().flatten();
    bindings
        .flat_map(|binding| {
            let members = binding["members"].as_array().into_iter().flatten();
            members.map(|member| (text(member), text(&binding["role"]))).collect::<Vec<_>>()
        })
        .collect()
}
