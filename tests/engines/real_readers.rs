//! Reads the rendered files with the programs that use them: cloud-init's validator, Docker Compose,
//! hadolint, shellcheck, dash, gcloud's parser.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::test;
use crate::support::testbed::{program, scripts, tool};
use crate::support::{Folder, said};
use serde_json::Value;

/// Variants of the bundle, with the lines of the default spec that it changes.
const KINDS: [(&str, &[(&str, &str)]); 9] = [
    ("default", &[]),
    ("debian-12", &[("os: debian-13", "os: debian-12")]),
    ("ubuntu", &[("os: debian-13", "os: ubuntu-24.04")]),
    ("arm64", &[("arch: amd64", "arch: arm64"), ("machine_type: e2-small", "machine_type: t2a-standard-1")]),
    (
        "source",
        &[
            ("strategy: build-on-vm", "strategy: source"),
            ("machine_type: e2-small", "machine_type: e2-standard-2"),
            (
                "source: null",
                "source: {repo: https://github.com/openclaw/openclaw.git, commit: 0123456789abcdef0123456789abcdef01234567}",
            ),
        ],
    ),
    (
        "registry",
        &[
            ("strategy: build-on-vm", "strategy: registry"),
            (
                "registry: null",
                "registry: us-central1-docker.pkg.dev/p/r/openclaw@sha256:905fed0bfabafa5dde7189e50642b3fa31d7fc4aad50a8d27d2b92071d875962",
            ),
        ],
    ),
    (
        "no data disk",
        &[("data_disk: 10GB", "data_disk: 0"), ("snapshots: {keep_days: 14}", "snapshots: null")],
    ),
    ("private", &[("public_ip: true", "public_ip: false"), ("project: null", "project: my-project-1")]),
    (
        "free tier",
        &[("machine_type: e2-small", "machine_type: e2-micro"), ("channels: []", "channels: [whatsapp]")],
    ),
];

fn rendered() -> impl Iterator<Item = (&'static str, Folder)> {
    KINDS.iter().map(|(name, edits)| {
        let folder = Folder::project();
        for (from, to) in *edits {
            folder.edit("bake.yaml", from, to);
        }
        let said = folder.bake(["render"]).done();
        assert_eq!(said.err.contains("no-internet"), *name == "private", "{name}");
        // The catalog, from which the default lock comes, knows no executables.
        assert!(said.err.contains("warning[unknown-executable]"), "{name}: {}", said.err);
        let others = said.err.matches("warning[").count() - 1;
        assert_eq!(others, usize::from(*name == "private"), "{name}: {}", said.err);
        (*name, folder)
    })
}

#[test]
fn cloud_init_of_debian_12_and_13_accepts_the_user_data() {
    for version in ["cloud-init-12", "cloud-init-13"] {
        for (name, folder) in rendered() {
            let mut validator = tool(version);
            let said = said(validator.arg(folder.join("out/user-data.yaml")));
            assert_eq!(said.code, 0, "{name}: {}{}", said.out, said.err);
        }
        let wrong = Folder::empty();
        wrong.write("user-data.yaml", "#cloud-config\npackages: 5\n");
        let mut validator = tool(version);
        assert_eq!(
            said(validator.arg(wrong.join("user-data.yaml"))).code,
            1,
            "the validator accepts invalid user-data"
        );
    }
}

#[test]
fn compose_reads_the_compose_file() {
    for (name, folder) in rendered() {
        let mut docker = tool("docker-26");
        // The secrets exist only on the VM.
        folder
            .edit("out/docker-compose.yml", "/run/openclaw/secrets.env", "secrets.env")
            .write("out/secrets.env", "A=b\n");
        let file = folder.join("out/docker-compose.yml");
        let config = said(
            docker
                .args(["compose", "--profile", "cli", "--file"])
                .arg(file)
                .args(["config", "--format", "json"]),
        );
        assert_eq!((config.code, config.err.as_str()), (0, ""), "{name}");
        let config: Value = serde_json::from_str(&config.out).expect("JSON");
        let gateway = &config["services"]["openclaw-gateway"];
        assert_eq!(gateway["ports"][0]["host_ip"], "127.0.0.1", "{name}");
        assert_eq!(gateway["ports"].as_array().map(Vec::len), Some(1), "{name}");
        assert_eq!(gateway["restart"], "unless-stopped", "{name}");
        for service in ["openclaw-gateway", "openclaw-cli"] {
            let service = &config["services"][service];
            assert_eq!(service["cap_drop"][0], "ALL", "{name}");
            assert_eq!(service["read_only"], true, "{name}");
            assert_eq!(service["security_opt"][0], "no-new-privileges:true", "{name}");
            assert_eq!(service["user"], "1000:1000", "{name}");
            assert_eq!(service["logging"]["options"]["max-size"], "10m", "{name}");
        }
    }
}

#[test]
fn hadolint_finds_nothing_in_the_dockerfile() {
    for (name, folder) in rendered() {
        let mut hadolint = tool("hadolint");
        let said = said(hadolint.arg("--no-color").arg(folder.join("out/Dockerfile")));
        assert_eq!(said.code, 0, "{name}: {}{}", said.out, said.err);
    }
}

#[test]
fn shellcheck_finds_nothing_in_the_rendered_scripts() {
    for (name, folder) in rendered() {
        let mut shellcheck = program("shellcheck");
        let scripts = folder.bundle("out").into_keys().filter(|file| file.rsplit('.').next() == Some("sh"));
        let said = said(shellcheck.args(scripts).current_dir(folder.join("out")));
        assert_eq!((said.code, said.out.as_str()), (0, ""), "{name}: {}", said.err);
    }
}

#[test]
fn python_compiles_its_scripts() {
    let compile = "import glob\nfor path in glob.glob('*.py'): compile(open(path).read(), path, 'exec')";
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cloud-init");
    let mut python = program("python3");
    said(python.args(["-c", compile]).current_dir(folder)).done();
}

#[test]
fn shellcheck_finds_nothing_in_any_script() {
    let mut shellcheck = program("shellcheck");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    shellcheck.current_dir(root).arg("--external-sources").args(scripts());
    shellcheck.args([".ci/run", "tests/all", "tests/fast"]);
    let said = said(&mut shellcheck);
    assert_eq!(said.code, 0, "{}", said.out);
}

/// The golden headers and plans of `bake gcloud` (`fixtures/gcloud`), which `gcloud scripts::` and
/// `gcloud faults::` compare with the printed ones: shells read the headers, and each change of a plan is one
/// that the header of the same script announces.
#[test]
fn headers_and_plans_are_read() {
    let golden = |folder: &str| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/gcloud").join(folder);
        let files: Vec<_> = fs::read_dir(folder).expect("golden files").flatten().collect();
        files.into_iter().map(|file| file.path()).collect::<Vec<_>>()
    };
    let headers = golden("headers");
    assert!(headers.len() > 30, "{headers:?}");
    said(program("shellcheck").args(&headers)).done();
    for shell in [&["dash", "-n"][..], &["bash", "--posix", "-n"]] {
        for header in &headers {
            said(program(shell[0]).args(&shell[1..]).arg(header)).done();
        }
    }
    for header in &headers {
        let text = fs::read_to_string(header).expect("a header");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() <= FIRST_SCREEN, "{}: {} lines", header.display(), lines.len());
        assert!(lines.iter().all(|line| line.len() <= COLUMNS), "{}", header.display());
        assert!(lines[1].starts_with("# bake gcloud "), "{}", header.display());
        let changes = lines.iter().any(|line| is_change(line.trim_start_matches("# ")));
        for heading in ["# Stays: ", "# Gateway: ", "# Costs: "] {
            assert_eq!(lines.iter().any(|line| line.starts_with(heading)), changes, "{}", header.display());
        }
    }
    for path in golden("plans") {
        let text = fs::read_to_string(&path).expect("a plan");
        let (header, plan) = text.split_once("\n\n").expect("a header and a plan");
        let announced: Vec<_> = header.lines().map(|line| line.trim_start_matches("# ")).collect();
        for line in plan.lines().filter(|line| is_change(line)) {
            let is_announced = announced.iter().any(|change| fits(change.trim(), line.trim()));
            assert!(is_announced, "{}: {line}", path.display());
        }
    }
}

/// Lines and columns of a header: a screen of a terminal, with room for a fleet of some members.
const FIRST_SCREEN: usize = 40;
const COLUMNS: usize = 110;

/// Whether this is a change in a plan or a header.
fn is_change(line: &str) -> bool {
    ["  + ", "  ~ ", "  - "].iter().any(|sign| line.starts_with(sign))
}

/// Whether a change at run time is this one of the header, in which some names are not known yet.
fn fits(announced: &str, change: &str) -> bool {
    let unknown = ["NAME", "TIME", "IMAGE", "TEMPLATE", "in use", "changes its release in place"];
    let first = unknown.into_iter().filter_map(|name| announced.split_once(name));
    let Some((begin, end)) = first.min_by_key(|(begin, _)| begin.len()) else { return announced == change };
    let Some(rest) = change.strip_prefix(begin) else { return false };
    (1..=rest.len()).any(|length| rest.is_char_boundary(length) && fits(end, &rest[length..]))
}

/// The VM runs the scripts from the user-data, so the test extracts them again.
#[test]
fn scripts_in_the_user_data_are_complete_and_pass_shellcheck() {
    for (name, folder) in rendered() {
        let (reader, _) = (tool("yaml-to-json-13"), program("shellcheck"));
        let files = vm_files(reader, &folder);
        for (path, content) in &files {
            let file = Path::new(path).file_name().and_then(|file| file.to_str()).expect("a name");
            let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("cloud-init").join(file);
            if let Ok(source) = fs::read_to_string(source) {
                assert_eq!(*content, source, "{name}: {path}");
            }
            if Path::new(path).extension().is_some_and(|suffix| suffix == "sh") {
                folder.write(&format!("scripts/{file}"), content);
            }
        }
        let scripts: Vec<_> = fs::read_dir(folder.join("scripts")).expect("scripts").flatten().collect();
        assert!(scripts.len() > 8, "{name}");
        for script in scripts {
            let said = said(Command::new("shellcheck").arg(script.path()));
            assert_eq!(said.code, 0, "{name}: {}", said.out);
        }
        folder.write("scripts/settings.env", &files["/opt/openclaw/settings.env"]);
        for shell in ["dash", "bash"] {
            let mut shell = program(shell);
            let read = said(
                shell
                    .args(["-euc", ". ./scripts/settings.env; echo \"$OPENCLAW_PORT\""])
                    .current_dir(folder.path()),
            );
            assert_eq!((read.out.as_str(), read.err.as_str()), ("18789\n", ""), "{name}");
        }
    }
}

fn vm_files(mut reader: Command, folder: &Folder) -> std::collections::BTreeMap<String, String> {
    let mut child = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a YAML reader");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(folder.read("out/user-data.yaml").as_bytes())
        .expect("written");
    let read: Value =
        serde_json::from_slice(&child.wait_with_output().expect("an end").stdout).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    read["write_files"]
        .as_array()
        .expect("files")
        .iter()
        .map(|file| (text(&file["path"]), text(&file["content"])))
        .collect()
}

/// Runs the script in dash and bash with a gcloud that records its arguments. Then gcloud's own parser
/// checks each command.
#[test]
fn gcloud_accepts_every_command() {
    let mut commands = Vec::new();
    for (name, folder) in rendered() {
        folder.program("bin/gcloud", RECORDER);
        let mut asked = Vec::new();
        for shell in ["dash", "bash"] {
            let mut shell = program(shell);
            let path =
                format!("{}:{}", folder.join("bin").display(), std::env::var("PATH").unwrap_or_default());
            let log = folder.join("asked");
            let run = said(
                shell.arg(folder.join("out/gcloud.sh")).env("PATH", path).env("LOG", &log).current_dir("/"),
            );
            assert_eq!((run.code, run.err.as_str()), (0, ""), "{name}");
            asked.push(fs::read_to_string(&log).expect("a log"));
            fs::remove_file(log).expect("a log");
        }
        assert_eq!(asked[0], asked[1], "{name}: dash and bash");
        let create = asked[0].lines().filter(|line| line.contains(" instances create ")).collect::<Vec<_>>();
        let [create] = create[..] else { panic!("{name}: {}", asked[0]) };
        let bridge = create.contains("startup-script=startup-script.sh");
        assert_eq!(bridge, name != "ubuntu", "{name}: Google's Debian images run no user-data by themselves");
        assert_eq!(create.contains("--no-address"), name == "private");
        assert_eq!(create.contains("--boot-disk-type=pd-standard"), name == "free tier");
        assert_eq!(create.contains("auto-delete=no"), name != "no data disk");
        commands.extend(asked[0].lines().map(str::to_owned));
    }
    let wrong = "gcloud compute instances create x --zone=us-central1-a --no-such-flag";
    commands.push(wrong.to_owned());
    let folder = Folder::empty();
    folder.write("commands", format!("```\n{}\n```\n", commands.join("\n")));
    let mut gcloud = tool("gcloud");
    let lint = said(
        gcloud
            .arg("meta")
            .arg("lint-gcloud-commands")
            .arg("--commands-text-file")
            .arg(folder.join("commands")),
    );
    let verdicts: Value =
        serde_json::from_str(&lint.out).unwrap_or_else(|error| panic!("{error}: {}{}", lint.out, lint.err));
    let verdicts = verdicts.as_array().expect("a list");
    assert_eq!(verdicts.len(), commands.len(), "a command has no verdict");
    for verdict in verdicts {
        let is_wrong =
            verdict["command_string"].as_str().is_some_and(|command| command.contains("--no-such-flag"));
        assert_eq!(verdict["success"], !is_wrong, "{verdict:#}");
    }
}

/// Prints a project if asked for one. Every other answer is empty: nothing exists yet.
const RECORDER: &str = r#"#!/bin/sh
if [ "$1 $2" = 'config get-value' ]; then echo demo; exit; fi
line=gcloud
for word; do
  word=$(printf %s "$word" | sed "s/'/'\\\\''/g")
  case $word in *[!a-zA-Z0-9=,.:/@_-]*) word="'$word'" ;; esac
  line="$line $word"
done
printf '%s\n' "$line" >> "$LOG"
"#;
