//! The end of each `--help`: examples and exit codes.

use clap::{Command, CommandFactory};

use super::Cli;

pub(super) const EXIT_CODES: &str =
    "Exit codes: 0 success; 1 a finding, or a failure outside of the input; 2 wrong input or arguments.";

/// Exit codes of the scripts of `bake gcloud`, where 0 and 1 say more than success and failure.
const OF_SCRIPTS: &[(&str, &str)] = &[
    ("backup", "0 archive and snapshot exist; 1 the snapshot alone, or a failure"),
    ("cli", "that of `openclaw`; 77 if `sudo` is refused"),
    ("doctor", "0 nothing is missing; 1 something is; 2 a lookup failed"),
    ("plan", "0 nothing to do; 1 differences; 2 a lookup failed"),
    ("status", "0 all is well; 1 there is a problem, or a failure"),
    ("wait", "0 the gateway is ready; 1 it is not, or a failure"),
];
const OF_OTHER_SCRIPTS: &str = "0 success; another one for a failure";

/// Examples by command, each with its purpose.
const EXAMPLES: &[(&str, &[(&str, &str)])] = &[
    (
        "bake",
        &[
            ("bake init my-gateway && cd my-gateway", "a project to edit"),
            ("bake render", "its bundle in out/"),
            ("bake gcloud create | sh", "the VM"),
        ],
    ),
    (
        "bake init",
        &[
            ("bake init my-gateway", "ask on the terminal"),
            ("bake init my-gateway --yes --model anthropic --channel telegram", "ask nothing"),
        ],
    ),
    (
        "bake check",
        &[
            ("bake check", "the project here"),
            ("bake -C my-gateway check --json", "another one, for a program"),
        ],
    ),
    ("bake catalog", &[("bake catalog", "a table"), ("bake catalog --json", "for a program")]),
    (
        "bake add",
        &[
            ("bake add gifgrep", "a tool of the catalog"),
            ("bake add owner/tool@1.2.3", "a GitHub release"),
            (
                "bake add --url 'https://example.org/{version}/tool-{arch}.tar.gz' --tool-version 2.1 --arch amd64=x86_64",
                "an archive of a web server",
            ),
        ],
    ),
    ("bake remove", &[("bake remove gifgrep", "from manifest and lock")]),
    (
        "bake lock",
        &[
            ("bake lock", "entries that are missing"),
            ("bake lock --update", "newer versions of all tools"),
            ("bake lock --update gog --min-age 7", "a newer version of one tool, at least a week old"),
            ("bake lock --check", "in CI: fails if the lock is stale"),
        ],
    ),
    ("bake outdated", &[("bake outdated --min-age 7", "only releases that are a week old")]),
    ("bake fetch", &[("bake fetch", "all archives of the lock into the cache")]),
    (
        "bake audit",
        &[
            ("bake audit", "lock and upstream, cache and bundle"),
            ("bake audit --against image --image gateway.tar", "an image"),
            ("bake audit --sarif > bake.sarif", "for GitHub's code scanning"),
        ],
    ),
    (
        "bake render",
        &[
            ("bake render", "the bundle in out/"),
            ("bake render --diff", "what would change"),
            ("bake render --check", "in CI: fails if out/ is not up to date"),
        ],
    ),
    (
        "bake image",
        &[("bake image build", "an OCI image layout"), ("bake image push", "into `image.registry`")],
    ),
    (
        "bake image build",
        &[
            ("bake image build", "in oci/"),
            ("bake image build --base mirror.example.com/openclaw", "with the base image of a mirror"),
        ],
    ),
    ("bake image save", &[("bake image save gateway.tar && docker load --input gateway.tar", "for Docker")]),
    (
        "bake image push",
        &[
            ("bake image push", "to `image.registry`"),
            ("bake image push ghcr.io/me/gateway:1", "to another repository"),
        ],
    ),
    (
        "bake gcloud",
        &[
            ("bake gcloud setup", "print the script, to read it"),
            ("bake gcloud setup | sh", "run it"),
            ("bake gcloud create | sh && bake gcloud wait | sh", "from nothing to a gateway"),
        ],
    ),
    ("bake gcloud setup", &[("bake gcloud setup | sh", "the project, once")]),
    ("bake gcloud doctor", &[("bake gcloud doctor | sh", "what the project lacks")]),
    ("bake gcloud plan", &[("bake gcloud plan | sh", "what `update` would change")]),
    ("bake gcloud create", &[("bake gcloud create | sh", "data disk and VM")]),
    (
        "bake gcloud wait",
        &[
            ("bake gcloud wait --timeout 900 | sh", "for 15 minutes at most"),
            ("bake gcloud wait --chart boot.svg | sh", "with a picture of the boot"),
        ],
    ),
    (
        "bake gcloud status",
        &[
            ("bake gcloud status | sh", "a few lines; 1 if there is a problem"),
            ("bake gcloud status --as-json | sh", "for a program"),
        ],
    ),
    (
        "bake gcloud logs",
        &[
            ("bake gcloud logs | sh", "new lines of the serial console"),
            ("bake gcloud logs --gateway | sh", "the gateway's log, until Ctrl-C"),
        ],
    ),
    (
        "bake gcloud image",
        &[
            ("bake gcloud image | sh", "an OS image of this lock and bundle, unless there is one"),
            ("bake gcloud image --force | sh", "with today's packages"),
        ],
    ),
    ("bake gcloud token", &[("bake gcloud token | sh", "the gateway's token")]),
    ("bake gcloud tunnel", &[("bake gcloud tunnel --port 8080 | sh", "http://127.0.0.1:8080/")]),
    ("bake gcloud dashboard", &[("bake gcloud dashboard | sh", "the Control UI, logged in")]),
    ("bake gcloud ssh", &[("bake gcloud ssh | sh", "a shell on the VM")]),
    (
        "bake gcloud cli",
        &[
            ("bake gcloud cli -- channels status | sh", "`openclaw channels status`"),
            ("bake gcloud cli -- channels login --channel whatsapp | sh", "with a QR code"),
        ],
    ),
    ("bake gcloud ask", &[("bake gcloud ask 'What is on my calendar today?' | sh", "one message")]),
    ("bake gcloud resize", &[("bake gcloud resize e2-medium | sh", "more memory")]),
    (
        "bake gcloud move",
        &[("bake gcloud move --from-zone us-central1-a | sh", "to the zone that bake.yaml has now")],
    ),
    ("bake gcloud backup", &[("bake gcloud backup | sh", "archive and snapshot")]),
    (
        "bake gcloud restore",
        &[("bake gcloud restore openclaw-gateway-data-20261130 | sh", "a snapshot that `status` lists")],
    ),
    (
        "bake gcloud update",
        &[
            ("bake render && bake gcloud update | sh", "the new bundle, in place"),
            ("bake gcloud update --replace | sh", "a new VM with the old data disk"),
        ],
    ),
    (
        "bake gcloud rollback",
        &[
            ("bake gcloud rollback | sh", "the release before, with its state"),
            ("bake gcloud rollback --keep-state | sh", "with today's state"),
        ],
    ),
    ("bake gcloud releases", &[("bake gcloud releases | sh", "the releases on the VM")]),
    (
        "bake gcloud destroy",
        &[
            ("bake gcloud destroy | sh", "VM and boot disk"),
            ("bake gcloud destroy --data | sh", "also the data disk, once you type its name"),
        ],
    ),
    (
        "bake rehearse",
        &[
            ("bake rehearse --disk debian-13-genericcloud-amd64.qcow2", "until the gateway is ready"),
            ("bake rehearse --disk debian-13-genericcloud-amd64.qcow2 --keep", "and on, until Ctrl-C"),
            (
                "bake rehearse --disk debian-13-genericcloud-amd64.qcow2 --chart boot.svg",
                "with a picture of the boot",
            ),
        ],
    ),
    ("bake graph", &[("bake graph", "for Markdown"), ("bake graph --format svg > graph.svg", "a picture")]),
    (
        "bake chart",
        &[("bake gcloud wait | sh | tee boot.log && bake chart boot.log > boot.svg", "a boot that you saw")],
    ),
    (
        "bake doctor",
        &[("bake doctor", "programs, cache, lock and port"), ("bake doctor --json", "for a program")],
    ),
    ("bake schema", &[("bake schema spec > spec.schema.json", "for an editor")]),
    (
        "bake completions",
        &[("bake completions bash > ~/.local/share/bash-completion/completions/bake", "for Bash")],
    ),
    ("bake help", &[("bake help gcloud create", "a command"), ("bake help trust", "a topic")]),
    (
        "bake man",
        &[
            ("bake man > bake.1 && man ./bake.1", "the manual page"),
            ("bake man --out man", "the pages of all commands"),
        ],
    ),
];

/// The command line with the end of each `--help`.
pub fn command() -> Command {
    with_examples(Cli::command(), "")
}

fn with_examples(command: Command, parent: &str) -> Command {
    let path = format!("{parent}{}", command.get_name());
    let end = end(&path, command.get_after_help().map(ToString::to_string));
    let below = format!("{path} ");
    command.mut_subcommands(|command| with_examples(command, &below)).after_long_help(end)
}

fn end(path: &str, own: Option<String>) -> String {
    let mut parts: Vec<String> = own.into_iter().collect();
    if let Some((_, examples)) = EXAMPLES.iter().find(|(of, _)| *of == path) {
        let lines = examples.iter().map(|(line, purpose)| format!("\n  # {purpose}\n  {line}"));
        parts.push(format!("Examples:{}", lines.collect::<String>()));
    }
    parts.push(match path.strip_prefix("bake gcloud ") {
        None => EXIT_CODES.to_owned(),
        Some(action) => {
            let own = OF_SCRIPTS.iter().find(|(of, _)| *of == action);
            let codes = own.map_or(OF_OTHER_SCRIPTS, |(_, codes)| codes);
            format!(
                "Exit codes of the script: {codes}.\n{}",
                EXIT_CODES.replacen("codes", "codes of bake", 1)
            )
        }
    });
    parts.join("\n\n")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn paths(command: &Command, parent: &str, found: &mut BTreeSet<String>) {
        let path = format!("{parent}{}", command.get_name());
        for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
            paths(below, &format!("{path} "), found);
        }
        found.insert(path);
    }

    #[test]
    fn every_command_has_examples_and_no_other_has() {
        let mut commands = BTreeSet::new();
        paths(&Cli::command(), "", &mut commands);
        let described: BTreeSet<_> = EXAMPLES.iter().map(|(path, _)| (*path).to_owned()).collect();
        assert_eq!(described, commands);
    }

    #[test]
    fn every_example_is_a_valid_command_line_of_its_command() {
        for (path, examples) in EXAMPLES {
            for (line, _) in *examples {
                assert!(line.contains(path.trim_start_matches("bake ")), "{path}: {line}");
                let parts = line.split("&&").flat_map(|part| part.split(['|', '>']));
                let mine = parts.map(str::trim).filter(|part| part.starts_with("bake "));
                for part in mine {
                    let words = shlex::split(part).expect("words of a shell");
                    let parsed = command().try_get_matches_from(&words);
                    assert!(
                        parsed.is_ok(),
                        "{line}: {}",
                        parsed.err().map(|e| e.to_string()).unwrap_or_default()
                    );
                }
            }
        }
    }

    #[test]
    fn the_long_help_ends_with_examples_and_exit_codes() {
        let mut command = command();
        let gcloud = command.find_subcommand_mut("gcloud").expect("a command");
        let actions: BTreeSet<_> =
            gcloud.get_subcommands().map(|action| action.get_name().to_owned()).collect();
        for (action, codes) in OF_SCRIPTS {
            assert!(actions.contains(*action), "{action}");
            let help = gcloud.find_subcommand_mut(action).expect("an action").render_long_help().to_string();
            assert!(help.contains(codes) && help.contains("Exit codes of bake: 0 success"), "{help}");
        }
        let text = command.find_subcommand_mut("render").expect("a command").render_long_help().to_string();
        assert!(text.contains("Examples:\n  # the bundle in out/\n  bake render\n"), "{text}");
        assert!(text.trim_end().ends_with(EXIT_CODES), "{text}");
        let short = command.render_help().to_string();
        assert!(!short.contains("Examples:") && short.contains("bake help"), "{short}");
    }
}
