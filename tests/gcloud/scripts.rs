//! The scripts of `bake gcloud`, checked without Google's APIs: shellcheck and gcloud's own parser read them,
//! dash and bash run them with a gcloud that records its arguments, and both forms of an action have the same
//! commands.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::golden;
use crate::support::test;
use crate::support::testbed::{program, tool};
use crate::support::{Folder, said};
use serde_json::Value;

/// Every action, in each way that makes other commands.
const ACTIONS: [&[&str]; 57] = [
    &["setup"],
    &["setup", "--deployer"],
    &["doctor"],
    &["create"],
    &["create", "--fleet", "2"],
    &["image"],
    &["image", "--force"],
    &["wait"],
    &["wait", "--fleet", "alice,bob"],
    &["wait", "--chart", "/tmp/it's a boot.svg"],
    &["status"],
    &["status", "--fleet", "2"],
    &["logs"],
    &["logs", "--member", "alice"],
    &["token"],
    &["token", "--member", "alice"],
    &["tunnel"],
    &["tunnel", "--member", "alice"],
    &["tunnel", "--port", "8080"],
    &["dashboard"],
    &["ssh"],
    &["cli", "--", "message", "send", "it's $HOME ${HOME} `id`\n\"now\""],
    &["cli", "--member", "alice", "--", "status"],
    &["ask", "What's new?"],
    &["logs", "--gateway"],
    &["resize", "e2-medium"],
    &["backup"],
    &["backup", "--snapshot-only"],
    &["backup", "--member", "alice"],
    &["restore", "openclaw-gateway-data-20260102-030405"],
    &["restore", "alice-data-20260102-030405", "--member", "alice"],
    &["move", "--from-zone", "us-central1-b"],
    &["move", "--from-project", "old-place", "--from-name", "old-gateway"],
    &["update"],
    &["update", "--retry"],
    &["update", "--replace"],
    &["update", "--replace", "--fleet", "alice,bob"],
    &["rollback"],
    &["rollback", "--keep-state", "--retry", "--to", "0123456789abcdef"],
    &["rollback", "--member", "alice"],
    &["releases"],
    &["releases", "--as-json", "--fleet", "2"],
    &["plan", "--replace"],
    &["update", "--fleet", "alice,bob"],
    &["destroy"],
    &["destroy", "--data"],
    &["destroy", "--all"],
    &["destroy", "--data", "--all"],
    &["destroy", "--fleet", "2"],
    &["destroy", "--all", "--fleet", "alice"],
    &["destroy", "--data", "--fleet", "2"],
    &["create", "--fleet", "alice"],
    &["plan"],
    &["plan", "--fleet", "alice"],
    &["create", "--adopt"],
    &["update", "--adopt"],
    &["destroy", "--adopt"],
];

/// Specs that make other commands, by the lines of the default one that they change.
const KINDS: [&[(&str, &str)]; 3] = [
    &[],
    &[
        ("public_ip: true", "public_ip: false"),
        ("project: null", "project: example.com:my-project-1"),
        (
            "GOG_KEYRING_PASSWORD: {generate: hex32}",
            "GOG_KEYRING_PASSWORD: {generate: hex32, secret_manager: keyring}\n  OPENAI_API_KEY: {secret_manager: openai-api-key}",
        ),
        (
            "OPENCLAW_GATEWAY_TOKEN: {generate: hex32}",
            "OPENCLAW_GATEWAY_TOKEN: {generate: hex32, secret_manager: token}",
        ),
    ],
    &[
        ("os: debian-13", "os: ubuntu-24.04"),
        ("snapshots: {keep_days: 14}", "snapshots: null"),
        ("strategy: build-on-vm", "strategy: registry"),
        (
            "registry: null",
            "registry: us-central1-docker.pkg.dev/p-12345/r/openclaw@sha256:905fed0bfabafa5dde7189e50642b3fa31d7fc4aad50a8d27d2b92071d875962",
        ),
    ],
];

fn project(edits: &[(&str, &str)]) -> Folder {
    let folder = Folder::project();
    for (from, to) in edits {
        folder.edit("bake.yaml", from, to);
    }
    folder.bake(["render"]).done();
    folder
}

fn gcloud(folder: &Folder, action: &[&str]) -> String {
    folder.bake(["-q", "gcloud"].into_iter().chain(action.iter().copied())).done().out
}

fn document(folder: &Folder, action: &[&str]) -> Value {
    let text = gcloud(folder, &[&["--format", "json"][..], action].concat());
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{action:?}: {error}: {text}"))
}

/// Every command of a document, in the order in which a script runs them that finds nothing there.
fn vectors(document: &Value) -> Vec<Vec<String>> {
    let mut names = BTreeMap::from(
        [
            ("project", "demo"),
            ("domain", "demo"),
            ("stamp", "20260102-030405"),
            ("current", "0123456789abcdef"),
            ("each", "it"),
            ("start", "0"),
            ("terminal", "-T"),
            ("old_data", "old-gateway-data"),
            ("snapshot", "old-gateway-move-4334f6d2"),
            ("data", "openclaw-gateway-data-4334f6d2"),
            ("boot_image", "--image-family=debian-13"),
            ("image_project", "debian-cloud"),
            ("template", "a-template"),
            ("image", "an-image"),
            ("base", "debian-13-v20261110"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned())),
    );
    let vector = |value: &Value, names: &BTreeMap<String, String>| -> Vec<String> {
        let words = value.as_array().expect("an argument vector");
        words.iter().map(|word| filled(word.as_str().expect("a word"), names)).collect()
    };
    let mut vectors = Vec::new();
    for step in document["steps"].as_array().expect("steps") {
        let each = match step["each_of"].as_str() {
            Some("drift") => "key=value",
            Some("unused_account") => "account@demo.iam.gserviceaccount.com",
            _ => "it",
        };
        names.insert("each".to_owned(), each.to_owned());
        let asked = ["unless", "where", "each"].into_iter().map(|kind| &step[kind]);
        vectors.extend(asked.filter(|asked| !asked.is_null()).map(|asked| vector(asked, &names)));
        vectors.extend(step["run"].as_array().expect("commands").iter().map(|run| vector(run, &names)));
        if let (Some(name), Some(value)) = (step["learns"]["name"].as_str(), step["learns"]["else"].as_str())
        {
            names.insert(name.to_owned(), value.to_owned());
        }
    }
    vectors
}

/// A word with its names replaced by their values.
fn filled(word: &str, names: &BTreeMap<String, String>) -> String {
    let filled = names
        .iter()
        .fold(word.to_owned(), |word, (name, value)| word.replace(&format!("${{{name}}}"), value));
    assert!(!filled.contains("${"), "{word}: a name that nobody knows");
    filled
}

/// A command in the form that gcloud's linter accepts: it drops backslashes, and treats arguments after `--` as
/// gcloud's. Arguments for a shell on the VM are not its concern.
fn for_the_linter(vector: &[String]) -> String {
    let own = vector.iter().skip(1).take_while(|word| *word != "--").map(|word| match word {
        command if command.starts_with("--command=") => "--command=true".to_owned(),
        word => word.replace('\\', ""),
    });
    own.fold("gcloud".to_owned(), |line, word| {
        let quote = if word.contains('\'') { '"' } else { '\'' };
        assert!(!word.contains(quote), "{word}: the linter has no quotes for it");
        format!("{line} {quote}{word}{quote}")
    })
}

#[test]
fn shellcheck_finds_nothing_in_any_script() {
    for edits in KINDS {
        let folder = project(edits);
        for (number, action) in ACTIONS.iter().enumerate() {
            let mut shellcheck = program("shellcheck");
            let script = format!("{number}.sh");
            folder.write(&script, gcloud(&folder, action));
            let said = said(shellcheck.arg(folder.join(&script)));
            assert_eq!((said.code, said.out.as_str()), (0, ""), "{action:?}");
        }
    }
}

#[test]
fn headers_are_golden() {
    let folder = project(&[]);
    for action in ACTIONS {
        golden::is_golden("headers", action, ".sh", &golden::header(&gcloud(&folder, action)));
    }
}

/// gcloud's linter knows every flag, choice and dictionary key; it splits lines as a shell does.
#[test]
fn gcloud_accepts_every_command_of_every_action() {
    let mut commands = Vec::new();
    for edits in KINDS {
        let folder = project(edits);
        for action in ACTIONS {
            for vector in vectors(&document(&folder, action)) {
                assert_eq!(vector.first().map(String::as_str), Some("gcloud"), "{action:?}: {vector:?}");
                commands.push(for_the_linter(&vector));
            }
        }
    }
    commands.sort();
    commands.dedup();
    let wrong = "gcloud compute disks create x --zone=us-central1-a --no-such-flag";
    commands.push(wrong.to_owned());
    let folder = Folder::empty();
    folder.write("commands", format!("```\n{}\n```\n", commands.join("\n")));
    let mut gcloud = tool("gcloud");
    let lint = said(
        gcloud.args(["meta", "lint-gcloud-commands", "--commands-text-file"]).arg(folder.join("commands")),
    );
    let verdicts: Value =
        serde_json::from_str(&lint.out).unwrap_or_else(|error| panic!("{error}: {}{}", lint.out, lint.err));
    let verdicts = verdicts.as_array().expect("a list");
    assert_eq!(verdicts.len(), commands.len(), "each command was read");
    for verdict in verdicts {
        let command = verdict["command_string"].as_str().expect("a command");
        assert_eq!(verdict["success"], !command.contains("--no-such-flag"), "{verdict:#}");
    }
}

/// Records each argument on a separate line, and the standard input if the arguments use it. It has a project
/// and a billing account, reports a group as done after its creation, and has no other resources.
const RECORDER: &str = r#"#!/bin/sh
{
  for word in gcloud "$@"; do printf '%s\n' "$word"; done
  case " $* " in *' --data-file=- '*) printf 'given %s characters\n' "$(wc -c | tr -d ' ')" ;; esac
  case " $* " in *' --metadata-from-file='*) printf 'in %s\n' "$PWD" ;; esac
  echo
} >>"$LOG"
case "$1 $2" in
  'config get-value') echo demo ;;
  'compute instance-groups') case "$*" in *isStable*) echo 'True|True' ;; esac ;;
  'billing projects') echo billingAccounts/1 ;;
  'compute machine-types') echo e2-small ;;
esac
"#;

/// Runs a script from standard input, as `bake gcloud … | sh` does, without a terminal. Returns its
/// exit code, what it said on standard error, and what gcloud was asked.
fn run(shell: &str, folder: &Folder, script: &str) -> (i32, String, Vec<Vec<String>>) {
    program(shell);
    folder.program("bin/gcloud", RECORDER).write("script", script);
    let log = folder.join("asked");
    fs::write(&log, "").expect("a log");
    let path = format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(shell).env("PATH", path).env("LOG", &log).current_dir("/");
    let ended = said(command.stdin(Stdio::from(fs::File::open(folder.join("script")).expect("a script"))));
    let asked = fs::read_to_string(&log).expect("a log");
    let calls = asked.split_terminator("\n\n").map(|call| call.lines().map(str::to_owned).collect());
    (ended.code, ended.err, calls.collect())
}

#[test]
fn both_forms_hold_the_same_commands() {
    for action in
        [&["create"][..], &["create", "--fleet", "2"], &["setup", "--deployer"], &["update", "--replace"]]
    {
        let folder = project(&[
            ("public_ip: true", "public_ip: false"),
            (
                "GOG_KEYRING_PASSWORD: {generate: hex32}",
                "GOG_KEYRING_PASSWORD: {generate: hex32, secret_manager: keyring}",
            ),
        ]);
        let script = gcloud(&folder, action);
        let mut document = document(&folder, action);
        // There is no VM to replace, so its replacement is not looked at.
        let replaces = |step: &Value| step["how"].as_str().is_some_and(|how| how.contains("VMs to replace"));
        document["steps"].as_array_mut().expect("steps").retain(|step| !replaces(step));
        let mut there = vectors(&document);
        // Resources to delete do not exist here, and nothing fails.
        let is_skipped = |word: &String| ["delete", "list-errors", "regions"].contains(&word.as_str());
        there.retain(|vector| !vector.iter().any(is_skipped));
        let is_change = |vector: &Vec<String>| {
            vector
                .iter()
                .any(|word| ["update", "resize", "add-metadata", "disks_elsewhere"].contains(&word.as_str()))
        };
        there.retain(|vector| !is_change(vector));
        // The script picks the one of the stock image.
        let template = script.split("stock_template=").nth(1).and_then(|rest| rest.lines().next());
        for word in there.iter_mut().flatten() {
            *word = word.replace("a-template", template.unwrap_or_default());
        }
        there.sort();
        there.dedup();
        for shell in ["dash", "bash"] {
            let (code, err, mut calls) = run(shell, &folder, &script);
            assert_eq!((code, err.as_str()), (0, ""), "{action:?} in {shell}");
            assert_eq!(calls.remove(0).join(" "), "gcloud config get-value project");
            for call in &mut calls {
                if let Some(given) = call.last().filter(|last| last.starts_with("given ")) {
                    assert_eq!(given, "given 64 characters", "no line break, and nothing of the script");
                    call.pop();
                }
                call.pop_if(|last| last.starts_with("in "));
            }
            // The script looks twice: for its plan, and before each change.
            calls.sort();
            calls.dedup();
            assert_eq!(calls, there, "{action:?} in {shell}");
        }
    }
}

/// Folders as people, or their enemies, could name them.
const AWKWARD: [&str; 5] = ["-rf out", "it's $HOME `id` \"x\"", "größe 日本", "a\\b;c&d|e", "new\nline"];

#[test]
fn any_folder_arrives_as_one_word() {
    for name in AWKWARD {
        let folder = Folder::project();
        let out = format!("./{name}");
        folder.bake(["render", "--out", &out]).done();
        let secret = folder.join(name).join("se cret");
        fs::write(&secret, "x").expect("a file");
        let script = folder.bake(["-q", "gcloud", "create", "--out", &out]).done().out;
        let vector = folder.bake(["-q", "gcloud", "create", "--out", &out, "--format=json"]).done().out;
        let vector: Value = serde_json::from_str(&vector).expect("JSON");
        let whole = fs::canonicalize(folder.join(name)).expect("a folder");
        assert_eq!(vector["folder"].as_str().map(Path::new), Some(whole.as_path()));
        folder.edit(
            "bake.yaml",
            "GOG_KEYRING_PASSWORD: {generate: hex32}",
            "GOG_KEYRING_PASSWORD: {secret_manager: keyring}",
        );
        let file = format!("keyring={}", secret.display());
        let setup = folder.bake(["-q", "gcloud", "setup", "--secret-file", &file]).done().out;
        for shell in ["dash", "bash"] {
            let (code, err, calls) = run(shell, &folder, &script);
            assert_eq!((code, err.as_str()), (0, ""), "{name} in {shell}");
            let made = calls.iter().flatten().collect::<Vec<_>>();
            // The recorder writes lines, so that one in a name ends it there.
            let first = format!("in {}", whole.display()).lines().next().map(str::to_owned);
            assert!(made.iter().any(|line| Some(*line) == first.as_ref()), "{name} in {shell}: {made:?}");
            let (code, err, calls) = run(shell, &folder, &setup);
            assert_eq!((code, err.as_str()), (0, ""), "{name} in {shell}");
            let first = format!("--data-file={}/se cret", whole.display()).lines().next().map(str::to_owned);
            let made = calls.iter().flatten().collect::<Vec<_>>();
            assert!(made.iter().any(|line| Some(*line) == first.as_ref()), "{name} in {shell}: {made:?}");
        }
    }
}

#[test]
fn values_that_google_refuses_are_refused_here() {
    let folder = project(&[]);
    for arguments in [
        &["destory"][..],
        &["resize", "e2-medium; id"],
        &["resize", "t2a-standard-1"],
        &["resize", "c4-standard-2"],
        &["restore", "-x"],
        &["restore", "Snap$(id)"],
        &["create", "--fleet", "0"],
        &["create", "--fleet", "alice,-bob"],
        &["create", "--fleet", "$(id)"],
        &["logs", "--member", "-x"],
        &["token", "--member", "$(id)"],
        &["tunnel", "--member", "Alice"],
        &["ssh", "--member", "alice,bob"],
        &["backup", "--member", ""],
        &["resize", "e2-medium", "--member", "alice"],
        &["setup", "--secret-file", "keyring=bake.yaml"],
        &["setup", "--secret-file", "keyring=/nowhere"],
        &["setup", "--secret-file", "../x=bake.yaml"],
        &["create", "--out", "nowhere"],
        &["update", "--replace", "--retry"],
        &["rollback", "--to", "$(id)"],
        &["explode"],
    ] {
        let refused = folder.bake(["gcloud"].into_iter().chain(arguments.iter().copied())).ended(2);
        fails_too(&folder, &refused.out);
        let json =
            folder.bake(["gcloud", "--format=json"].into_iter().chain(arguments.iter().copied())).ended(2);
        let document: Value = serde_json::from_str(&json.out).expect("JSON");
        assert_eq!((&document["ok"], &document["exit_code"]), (&Value::from(false), &Value::from(2)));
        assert!(document["problems"].as_array().is_some_and(|why| !why.is_empty()), "{arguments:?}");
    }
}

/// If there is no script, bake prints one that says why, runs nothing and fails the pipe.
#[track_caller]
fn fails_too(folder: &Folder, printed: &str) {
    for shell in ["dash", "bash"] {
        let (code, err, calls) = run(shell, folder, printed);
        assert_eq!(code, 2, "{shell}: {printed}");
        assert!(!err.is_empty() && calls.is_empty(), "{shell}: {printed}");
    }
}

/// In JSON that is a name, which a program fills in: it would read another file.
#[test]
fn a_path_that_reads_like_a_name_is_refused_for_json() {
    let folder = project(&[(
        "GOG_KEYRING_PASSWORD: {generate: hex32}",
        "GOG_KEYRING_PASSWORD: {secret_manager: keyring}",
    )]);
    folder.write("${project}", "x");
    let setup = ["gcloud", "setup", "--secret-file", "keyring=${project}"];
    let script = folder.bake(setup).done().out;
    assert!(script.contains("/${project}'"), "{script}");
    let refused = folder.bake(setup.into_iter().chain(["--format=json"])).ended(2);
    assert!(refused.err.contains("${project}: a path with `${`"), "{}", refused.err);
}

/// The members are written in `bake.yaml` once; a fleet that was created by `--fleet` alone needs no `fleet` there.
#[test]
fn a_fleet_of_the_spec_needs_no_retyping() {
    let folder = project(&[]);
    let by_option = |action: &str| gcloud(&folder, &[action, "--fleet", "alice,bob"]);
    let actions = ["create", "update", "plan", "wait", "status", "destroy"];
    let typed = actions.map(by_option);
    folder.edit("bake.yaml", "fleet: []", "fleet: [alice, bob]");
    folder.bake(["render"]).done();
    for (action, typed) in actions.into_iter().zip(typed) {
        assert_eq!(gcloud(&folder, &[action]), typed, "{action}");
    }
    assert!(folder.read("out/gcloud.sh").contains("--instance=bob"), "the bundle creates the fleet");
    let summary = folder.bake(["check"]).done();
    assert!(summary.out.contains("2 VMs, each with"), "{}", summary.out);

    for (action, why) in [
        (
            &["status", "--fleet", "alcie,bob"][..],
            "`alcie` is no member of the fleet in bake.yaml: did you mean `alice`?",
        ),
        (&["logs", "--member", "carol"], "its members are alice, bob; add it to `fleet`"),
        (&["ssh"], "choose a member with --member (alice, bob)"),
        (&["restore", "mine"], "choose a member with --member (alice, bob)"),
        (
            &["resize", "e2-medium"],
            "no member can have its own. To change all members, set gcp.machine_type, then run bake render, and bake gcloud update --replace | sh",
        ),
        (&["move", "--from-zone", "us-central1-b"], "bake.yaml has a fleet"),
    ] {
        let refused = folder.bake(["gcloud"].into_iter().chain(action.iter().copied())).ended(2);
        assert!(refused.err.contains(why), "{action:?}: {}", refused.err);
        fails_too(&folder, &refused.out);
    }
    gcloud(&folder, &["logs", "--member", "bob"]);
    let left = gcloud(&folder, &["destroy"]);
    assert!(left.contains("data disks and their snapshots: alice-data, bob-data."), "{left}");
}

/// Telegram delivers each message of a bot to one reader only.
#[test]
fn members_of_a_fleet_do_not_share_a_telegram_bot() {
    let folder = project(&[(
        "GOG_KEYRING_PASSWORD: {generate: hex32}",
        "TELEGRAM_BOT_TOKEN: {secret_manager: telegram}",
    )]);
    gcloud(&folder, &["create", "--fleet", "alice"]);
    let refused = folder.bake(["gcloud", "create", "--fleet", "alice,bob"]).ended(2);
    assert!(refused.err.contains("all members get the secret TELEGRAM_BOT_TOKEN"), "{}", refused.err);
    gcloud(&folder, &["destroy", "--fleet", "alice,bob"]);
}

#[test]
fn a_bundle_of_yesterday_is_not_sent() {
    let folder = project(&[]);
    folder.edit("bake.yaml", "timezone: UTC", "timezone: Europe/Berlin");
    for action in [&["create"][..], &["update"], &["create", "--fleet", "2"]] {
        let refused = folder.bake(["gcloud"].into_iter().chain(action.iter().copied())).ended(2);
        assert!(refused.err.contains("run `bake render` first"), "{action:?}: {}", refused.err);
        fails_too(&folder, &refused.out);
    }
    // These send nothing of it.
    for action in ["setup", "backup", "destroy", "plan"] {
        folder.bake(["gcloud", action]).done();
    }
    let json = folder.bake(["gcloud", "create", "--format=json"]).ended(2).out;
    assert_eq!(serde_json::from_str::<Value>(&json).expect("JSON")["ok"], false);
}

#[test]
fn state_on_the_boot_disk_is_not_thrown_away() {
    let folder =
        project(&[("data_disk: 10GB", "data_disk: 0"), ("snapshots: {keep_days: 14}", "snapshots: null")]);
    for action in [
        &["update", "--replace"][..],
        &["destroy"],
        &["backup"],
        &["restore", "snapshot-1"],
        &["create", "--fleet", "2"],
    ] {
        let refused = folder.bake(["gcloud"].into_iter().chain(action.iter().copied())).ended(2);
        assert!(refused.err.contains("data disk"), "{action:?}: {}", refused.err);
    }
    assert!(gcloud(&folder, &["destroy", "--data"]).contains("\n    confirmed openclaw-gateway "));
}

#[test]
fn without_a_terminal_nothing_is_deleted_for_good_and_no_secret_is_asked_for() {
    let folder = project(&[(
        "GOG_KEYRING_PASSWORD: {generate: hex32}",
        "GOG_KEYRING_PASSWORD: {secret_manager: keyring}",
    )]);
    for shell in ["dash", "bash"] {
        let script = gcloud(&folder, &["destroy", "--data"]);
        let (code, err, calls) = run(shell, &folder, &script);
        assert_eq!(code, 1, "{shell}: {err}");
        assert!(
            err.contains("no terminal to ask on") && err.contains("Nothing was changed"),
            "{shell}: {err}"
        );
        assert!(!calls.iter().flatten().any(|word| word == "delete"), "{shell}: {calls:?}");

        let (code, err, calls) = run(shell, &folder, &gcloud(&folder, &["setup"]));
        assert_eq!(code, 1, "{shell}: {err}");
        assert!(err.contains("--secret-file keyring=FILE"), "{shell}: {err}");
        assert!(err.contains("Done:") && err.contains("+ secret keyring"), "{shell}: {err}");
        assert!(!calls.iter().flatten().any(|word| word == "add"), "{shell}: {calls:?}");
    }
}
