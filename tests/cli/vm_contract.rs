//! The contract with the VM's scripts (`src/vm/`): the scripts keep it, and `docs/vm-contract.md` is
//! made from it. `BAKE_BLESS=1` writes that page.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

use bake::vm::{
    ATTRIBUTES, BAKE, BAKE_STATUSES, BAKED, ERRORS, FAILED, FILES, NAMESPACE, PATHS, READY, SCRIPTS, STAGES,
    UPDATE_ATTRIBUTES, UPDATE_STAGES, VmSetting, error_kind, statuses,
};
use regex_lite::Regex;

use crate::support::test;

fn read(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect("a file")
}

/// The text of each file in a folder, by its path, without lines of comments.
fn texts(folder: &str) -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).expect("a folder").flatten() {
        let inside = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(texts(&inside));
        } else if let Ok(text) = fs::read_to_string(entry.path()) {
            let code =
                |line: &&str| !["#", "//", "<!--"].iter().any(|mark| line.trim_start().starts_with(mark));
            found.insert(inside, text.lines().filter(code).map(|line| format!("{line}\n")).collect());
        }
    }
    found
}

fn all(pattern: &str, text: &str) -> BTreeSet<String> {
    let pattern = Regex::new(pattern).expect("a pattern");
    pattern.captures_iter(text).map(|found| found[1].to_owned()).collect()
}

/// Every form in which a script names a kind. A kind in another form is found to be unused.
const KIND_FORMS: [&str; 7] = [
    r"echo ([a-z-]+) >/run/openclaw/error_kind",
    r#"\bkind ?= ?"?([a-z]+-[a-z-]+)"#,
    r"error_kind=([a-z]+-[a-z-]+)",
    r#"help_needed ([a-z-]+) ""#,
    r#"\bfail ".*" ([a-z-]+)"#,
    r#""(?:silent|refusing|stopped|gone|away)?/([a-z]+-[a-z-]+)""#,
    r"[a-z]+\.(?:sh|py):[a-z]+:([a-z-]+)",
];

#[test]
fn scripts_use_every_kind_of_error_and_no_other() {
    let mut used = BTreeSet::new();
    for (path, text) in texts("cloud-init") {
        for kind in KIND_FORMS.iter().flat_map(|form| all(form, &text)) {
            assert!(error_kind(&kind).is_some(), "{path} uses the unknown kind {kind}");
            used.insert(kind);
        }
    }
    let known: BTreeSet<_> = ERRORS.iter().map(|kind| kind.name.to_owned()).collect();
    assert_eq!(known, used, "kinds that are known, and kinds that scripts use");
}

/// With and without a fleet.
#[test]
fn every_command_in_advice_is_a_valid_command_line() {
    let mut seen = 0;
    for kind in &ERRORS {
        let in_fleet = kind.fleet_advice.unwrap_or(kind.advice);
        for (advice, fleet, member) in [(kind.advice, "", ""), (in_fleet, " --fleet a", " --member a")] {
            for line in advice.iter().filter_map(|line| line.strip_prefix("  bake ")) {
                let line = line
                    .replace("{fleet}", fleet)
                    .replace("{member}", member)
                    .replace("{larger}", "e2-medium")
                    .replace("SNAPSHOT", "snapshot-1");
                let words = shlex::split(line.trim_end_matches(" | sh")).expect("words of a shell");
                let words = ["bake".to_owned()].into_iter().chain(words);
                if let Err(error) = bake::cli::command().try_get_matches_from(words) {
                    panic!("{}: bake {line}: {error}", kind.name);
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen} commands");
}

#[test]
fn converge_runs_the_stages_of_the_contract() {
    let converge = read("cloud-init/converge.sh");
    let rows = Regex::new(r"(?m)^    ([a-z]+\.(?:sh|py)):([a-z]+):([a-z-]+)$").expect("a pattern");
    let rows: Vec<_> =
        rows.captures_iter(&converge).map(|row| row.get(0).map(|row| row.as_str().trim())).collect();
    let stages: Vec<_> = STAGES
        .iter()
        .map(|stage| format!("{}:{}:{}", stage.script, stage.status, stage.error_kind))
        .collect();
    assert_eq!(rows, stages.iter().map(|stage| Some(stage.as_str())).collect::<Vec<_>>());
    for stage in &STAGES {
        let file = FILES.iter().find(|file| file.name == stage.script).expect("a file");
        assert!(file.executable && file.folder == SCRIPTS, "{}", stage.script);
    }
    let reported = all(r#"(?:status=|report.sh" )([a-z]+)"#, &converge);
    let known = statuses().into_iter().chain([READY, FAILED]).collect::<Vec<_>>();
    assert!(reported.iter().all(|status| known.contains(&status.as_str())), "{reported:?}");
}

#[test]
fn a_vm_that_becomes_an_image_runs_stages_of_the_contract() {
    let bake = read("cloud-init/bake.sh");
    let (_, stages) = bake.split_once("\nstages=(").expect("the stages");
    let (stages, _) = stages.split_once(')').expect("their end");
    let known = STAGES.map(|stage| format!("{}:{}:{}", stage.script, stage.status, stage.error_kind));
    let ran: Vec<_> = stages.split(' ').collect();
    assert!(ran.iter().all(|stage| known.iter().any(|known| known == stage)), "{ran:?}");
    let statuses: Vec<_> = ran.iter().filter_map(|stage| stage.split(':').nth(1)).collect();
    assert_eq!(statuses, BAKE_STATUSES);
    assert!(
        bake.contains(&format!("report_until_sent {BAKED}"))
            && bake.contains(&format!("attributes/{BAKE}\""))
    );
}

#[test]
fn the_report_has_the_attributes_of_the_contract_in_their_order() {
    let report = read("cloud-init/report.sh");
    let put = Regex::new(r"\bput(?:_or_delete)? ([a-z_]+) ").expect("a pattern");
    let keys: Vec<_> = put.captures_iter(&report).map(|found| found[1].to_owned()).collect();
    assert_eq!(keys, ATTRIBUTES.map(|attribute| attribute.key));
    for path in ["cloud-init/report.sh", "cloud-init/startup-script.sh"] {
        assert!(read(path).contains(&format!("guest-attributes/{NAMESPACE}")), "{path}");
        assert!(read(path).contains("openclaw: status="), "{path}: the line for the serial console");
    }
    assert!(read("src/gcloud/sh/wait.sh").contains(&format!("openclaw: status={FAILED}")));
}

#[test]
fn updates_report_the_stages_and_attributes_of_the_contract() {
    let (release, update) = (read("cloud-init/release.py"), read("cloud-init/update.py"));
    let reported = all(r#"(?:report|release\.report)\("([a-z-]+)""#, &(release.clone() + &update));
    // `prepare` reports each script by its name.
    let scripts = all(r"\b(image|verify)\.sh\b", &update);
    let known: BTreeSet<_> = UPDATE_STAGES.iter().map(|stage| stage.name.to_owned()).collect();
    assert_eq!(&reported | &scripts, known);
    let values = |text: &str| -> Vec<String> {
        let row = text.split_once("values = {").expect("the attributes").1.split_once('}').expect("an end").0;
        Regex::new(r#""([a-z_]+)": "#)
            .expect("a pattern")
            .captures_iter(row)
            .map(|key| key[1].to_owned())
            .collect()
    };
    let keys = [values(&release), values(&update)].concat();
    assert_eq!(keys, UPDATE_ATTRIBUTES.map(|attribute| attribute.key));
}

#[test]
fn scripts_read_every_setting_and_no_other() {
    // Overrides for tests and rehearsals, and variables of the container.
    let others = [
        "OPENCLAW_METADATA_URL",
        "OPENCLAW_SECRET_MANAGER_URL",
        "OPENCLAW_GATEWAY_TOKEN",
        "OPENCLAW_GATEWAY_PORT",
    ];
    let mut read_by_scripts = BTreeSet::new();
    for (_, text) in texts("cloud-init") {
        read_by_scripts.extend(all(r"\b(OPENCLAW_[A-Z_]+)", &text));
    }
    read_by_scripts.retain(|name| !others.contains(&name.as_str()));
    let known: BTreeSet<_> = VmSetting::ALL.iter().map(|setting| setting.name().to_owned()).collect();
    assert_eq!(read_by_scripts, known);
    let support = read("tests/vm/support/common.bash");
    let (_, settings) = support.split_once("settings() {").expect("the settings of the tests");
    let (settings, _) = settings.split_once("\n}").expect("its end");
    assert_eq!(all(r"\b(OPENCLAW_[A-Z_]+)=", settings), known, "tests/vm/support/common.bash");
}

#[test]
fn a_path_that_two_files_share_is_in_the_contract() {
    let form = r"(/(?:usr/local/lib|var/lib|opt|run)/openclaw[A-Za-z0-9_./-]*|/etc/apt/keyrings/[a-z.]+)";
    let mut users = BTreeMap::<String, BTreeSet<String>>::new();
    let mut words = String::new();
    for folder in ["cloud-init", "images", "src"] {
        for (file, text) in texts(folder).into_iter().filter(|(file, _)| !file.starts_with("src/vm/")) {
            let text = text.split("#[cfg(test)]").next().unwrap_or_default();
            words += text;
            for path in all(form, text) {
                users.entry(path.trim_end_matches(['.', '/']).to_owned()).or_default().insert(file.clone());
            }
        }
    }
    let known = |path: &str| PATHS.iter().any(|row| row.path == path);
    for (path, users) in &users {
        let script = FILES.iter().any(|file| path == &format!("{}/{}", file.folder, file.name));
        assert!(users.len() < 2 || known(path) || script, "{path}: used by {users:?}");
    }
    for row in &PATHS {
        // Some scripts have the folder in a variable.
        let (_, name) = row.path.rsplit_once('/').expect("an absolute path");
        assert!(words.contains(&format!("/{name}")), "{}: used by no file", row.path);
    }
}

#[test]
fn the_page_is_made_from_the_contract() {
    let page = page();
    if std::env::var_os("BAKE_BLESS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/vm-contract.md"), &page).expect("written");
    }
    assert_eq!(read("docs/vm-contract.md"), page, "BAKE_BLESS=1 writes docs/vm-contract.md");
}

fn page() -> String {
    let mut page = "\
<!-- Made from src/vm/ by `BAKE_BLESS=1 cargo test --test cli vm_contract`. -->

# The contract with the VM

The reports of a VM, the settings of its scripts, and the paths of its files.

## Reports

The VM reports its state as guest attributes in the namespace `openclaw`, and as a line on the serial
console:

    openclaw: status=STATUS since=TIME lock=SHA256 error_kind=KIND error=TEXT

`error_kind=` and `error=` are left out where they are empty. New words may appear before `error=`, which
extends to the end of the line.

| attribute | meaning |
|---|---|
"
    .to_owned();
    for attribute in &ATTRIBUTES {
        let _ = writeln!(page, "| `{}` | {} |", attribute.key, attribute.meaning);
    }
    page += "
## Updates

Reports of updates and rollbacks (`docs/update.md`) are guest attributes too, and lines on the serial console:

    openclaw: update=STAGE release=ID error=TEXT

| attribute | meaning |
|---|---|
";
    for attribute in &UPDATE_ATTRIBUTES {
        let _ = writeln!(page, "| `{}` | {} |", attribute.key, attribute.meaning);
    }
    page += "
| value of `update` | meaning |
|---|---|
";
    for stage in &UPDATE_STAGES {
        let _ = writeln!(page, "| `{}` | {} |", stage.name, stage.meaning);
    }
    page += "
## Stages

`converge.sh` runs these scripts in their order, at every boot and whenever the gateway fails. The last line
that a script writes to standard error is its error. Before a script fails, it may write the kind of the
error to `/run/openclaw/error_kind`. Exit code 78 means that a retry is not enough: the VM reports `failed`
at once, and after 15 minutes for any other code. It keeps trying in any case.

| script | status | kind of its other errors | purpose |
|---|---|---|---|
";
    for stage in &STAGES {
        let _ = writeln!(
            page,
            "| `{}` | `{}` | `{}` | {} |",
            stage.script, stage.status, stage.error_kind, stage.meaning
        );
    }
    let _ = writeln!(
        page,
        "\nThe other values of `status` are `{READY}`, `{FAILED}`, and `{BAKED}` of a VM that becomes an OS image."
    );
    page += "
## Kinds of errors

`bake gcloud wait`, `bake gcloud status` and `bake rehearse` print the advice. If the kernel's log shows that
memory ran out, kinds marked with * get the advice of `out-of-memory`.
";
    for kind in &ERRORS {
        let mark = if kind.may_be_memory { " *" } else { "" };
        let _ = write!(page, "\n### `{}`{mark}\n\n{}\n\n", kind.name, kind.meaning);
        for line in kind.advice {
            let _ = writeln!(page, "    {line}");
        }
    }
    page += "
## Settings

`/opt/openclaw/settings.env` has one shell assignment a line, and no secrets.

| setting | meaning |
|---|---|
";
    for setting in VmSetting::ALL {
        let _ = writeln!(page, "| `{}` | {} |", setting.name(), setting.meaning());
    }
    page += "
## Paths

| path | content |
|---|---|
";
    for row in &PATHS {
        let _ = writeln!(page, "| `{}` | {} |", row.path, row.meaning);
    }
    page
}
