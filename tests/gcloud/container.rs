//! The actions of `bake gcloud` that reach into the gateway's container, by the real gcloud and an `ssh`
//! that does what sshd does: it hands its command to the login shell. `sudo` and `docker` of the VM write
//! down what they are given.

use serde_json::Value;

use crate::support::google::{Cloud, KEYGEN, Run, Shell};
use crate::support::test;

const SSHD: &str = "while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done; shift; exec bash -c \"$*\"";
const SUDO: &str = "[ \"$1\" = -n ] && shift; exec \"$@\"";
const INSTANCE: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";

/// A VM on which docker has one container, and `exec` and `logs` do this.
fn cloud(docker: &str) -> Cloud {
    let cloud = Cloud::created();
    cloud.in_place_of("sleep", "exit 0");
    cloud.beneath_gcloud("ssh-keygen", KEYGEN);
    cloud.beneath_gcloud("ssh", SSHD);
    cloud.beneath_gcloud("sudo", SUDO);
    cloud.beneath_gcloud("docker", &format!("[ \"$1\" != ps ] || {{ echo 4711; exit; }}\n{docker}"));
    cloud
}

/// The calls of docker other than `docker ps`.
fn docker(run: &Run) -> Vec<&[String]> {
    let calls = run.calls.iter().filter(|call| call[0] == "docker" && call[1] != "ps");
    calls.map(|call| &call[1..]).collect()
}

const ODD: [&str; 14] = [
    "two words",
    "it's",
    "\"q\"",
    "$HOME",
    "${HOME}",
    "$(id)",
    "`id`",
    "a\nb\n",
    "--",
    "-x",
    "",
    "*",
    "\\n\\",
    "größe;&|<>~#!",
];

#[test]
fn a_command_arrives_as_it_was_given_and_its_exit_code_comes_back() {
    for shell in Shell::ALL {
        let cloud = cloud("echo out; echo err >&2; exit 42");
        let run = cloud.run(shell, &[&["cli", "--"][..], &ODD].concat()).ended(42);
        assert_eq!(run.out, "out\n");
        assert!(run.err.contains("err\n"), "{}", run.err);
        let [call] = &docker(&run)[..] else { panic!("{:#?}", run.calls) };
        let expected = ["exec", "-i", "4711", "node", "dist/index.js"].into_iter().chain(ODD);
        assert_eq!(call.to_vec(), expected.collect::<Vec<_>>(), "{shell:?}");
        let found = run.calls.iter().find(|call| call[0] == "docker").expect("docker ps");
        assert!(found.contains(&"label=com.docker.compose.oneoff=False".to_owned()), "{found:?}");
    }
}

/// Both forms hold the same, and no argument looks like a name that a program fills in.
#[test]
fn the_json_of_a_command_is_what_the_script_runs() {
    let cloud = cloud("exit 0");
    let text = cloud.script(&[&["--format", "json", "cli", "--"][..], &ODD].concat());
    let document: Value = serde_json::from_str(&text).expect("JSON");
    let words = document["steps"][0]["run"][2].as_array().expect("a command");
    let words: Vec<_> = words.iter().map(|word| word.as_str().expect("a word")).collect();
    assert_eq!(
        words.iter().filter(|word| word.contains("${")).count(),
        2,
        "project and terminal: {words:#?}"
    );
    let command = words.iter().find_map(|word| word.strip_prefix("--command=")).expect("a command");
    let run = cloud.run(Shell::Dash, &[&["cli", "--"][..], &ODD].concat()).done();
    let ssh = run.calls.iter().find(|call| call[0] == "ssh").expect("a session");
    let at = ssh
        .iter()
        .rposition(|word| word == "sudo")
        .map_or(0, |_| ssh.iter().position(|word| word == "--").expect("--"));
    assert_eq!(ssh[at + 1..].join(" "), command);
}

#[test]
fn a_command_has_the_terminal_where_there_is_one() {
    let mut cloud = cloud("[ -t 0 ] && [ -t 1 ] && echo 'scan this'; exit 3");
    // Makes the key, for whose passphrase gcloud would ask a person.
    cloud.run(Shell::Dash, &["cli", "--", "status"]).ended(3);
    cloud.loads_anew = true;
    let run = cloud.typed(Shell::Dash, &["cli", "--", "channels", "login"], &[]).ended(3);
    assert!(run.out.contains("scan this"), "{}", run.out);
    let [call] = &docker(&run)[..] else { panic!("{:#?}", run.calls) };
    assert_eq!(call[..4], ["exec", "-i", "-t", "4711"]);
    let ssh = run.calls.iter().find(|call| call[0] == "ssh").expect("a session");
    let (off, on) = ("-T".to_owned(), "-t".to_owned());
    assert!(ssh.iter().position(|word| *word == off) < ssh.iter().position(|word| *word == on), "{ssh:?}");
}

#[test]
fn reasons_that_prevent_a_command_are_reported() {
    let cloud = cloud("exit 9");
    cloud.beneath_gcloud("sudo", "echo 'sudo: a password is required' >&2; exit 1");
    let run = cloud.run(Shell::Dash, &["cli", "--", "status"]).ended(77);
    assert!(run.err.contains("roles/compute.osAdminLogin"), "{}", run.err);
    cloud.folder.bake(["gcloud", "cli"]).ended(2);
    cloud.folder.bake(["gcloud", "cli", "status"]).ended(2);
}

/// `doctor --fix` is for a gateway that does not start.
#[test]
fn a_command_needs_no_gateway_that_runs() {
    let cloud = cloud("exit 9");
    cloud.beneath_gcloud("docker", "[ \"$1\" = compose ] && exit 7; exit 0");
    let run = cloud.run(Shell::Bash, &["cli", "--", "doctor", "--fix"]).ended(7);
    let [call] = &docker(&run)[..] else { panic!("{:#?}", run.calls) };
    let wanted = "compose -f /opt/openclaw/docker-compose.yml run --rm --no-deps -T openclaw-gateway node dist/index.js doctor --fix";
    assert_eq!(call.join(" "), wanted);
    let asked = cloud.run(Shell::Dash, &["ask", "hello"]).ended(69);
    assert!(asked.err.contains("container is not running. Why: bake gcloud status | sh"), "{}", asked.err);
}

#[test]
fn ask_prints_the_reply_only() {
    let shell = Shell::Bash;
    let cloud = cloud("printf 'Forty\\033[31m-two\\033]0;x\\007,\\nor so: ñ\\n'");
    let text = "What's \"six\" times\n$SEVEN?";
    let run = cloud.run(shell, &["ask", text]).done();
    assert_eq!(run.out, "Forty-two]0;x,\nor so: ñ\n");
    assert_eq!(
        docker(&run),
        [&["exec", "-i", "4711", "node", "dist/index.js", "agent", "--agent", "main", "--message", text]
            .map(str::to_owned)]
    );
    cloud.beneath_gcloud("docker", "[ \"$1\" != ps ] || { echo 4711; exit; }; echo 'no model' >&2; exit 5");
    let run = cloud.run(shell, &["ask", "--", "-v"]).ended(5);
    assert!(run.out.is_empty() && run.err.contains("no model"), "{run:?}");
    cloud.folder.bake(["gcloud", "ask", " \n"]).ended(2);
}

#[test]
fn the_log_of_the_container_is_followed_and_harmless() {
    let said = "printf 'one \\033[2Jtwo\\302\\23331m\\r\\n\\tthree\\007\\n'; echo four >&2";
    let shell = Shell::Dash;
    let cloud = cloud(said);
    let run = cloud.run(shell, &["logs", "--gateway"]).done();
    assert_eq!(run.out, "one two31m\n\tthree\nfour\n");
    assert!(run.err.contains("container has stopped"), "{}", run.err);
    assert_eq!(docker(&run), [&["logs", "--follow", "--tail", "200", "4711"].map(str::to_owned)]);
    let followed = run.calls.iter().find(|call| call[0] == "docker").expect("docker ps");
    assert!(followed.contains(&"-a".to_owned()), "of one that stopped, too: {followed:?}");
    cloud.folder.bake(["gcloud", "logs", "--gateway", "--all"]).ended(2);
}

fn snapshots(run: &Run) -> usize {
    run.calls.iter().filter(|call| call[0] == "gcloud" && call.contains(&"snapshot".to_owned())).count()
}

#[test]
fn a_backup_asks_the_gateway_first_and_always_takes_the_snapshot() {
    let shell = Shell::Dash;
    let cloud = cloud("exit 0");
    let run = cloud.run(shell, &["backup"]).done();
    let [writable, made, pruned] = &docker(&run)[..] else { panic!("{:#?}", run.calls) };
    assert_eq!(writable[1..], ["4711", "test", "-w", "/backups"]);
    assert_eq!(made[3..], ["dist/index.js", "backup", "create", "--output", "/backups", "--verify"]);
    assert!(pruned[4].contains("tail -n +6"), "{pruned:?}");
    let at = |name: &str, word: &str| {
        run.calls.iter().rposition(|call| call[0] == name && call.iter().any(|had| had == word))
    };
    assert!(at("docker", "create") < at("gcloud", "snapshot"), "{:#?}", run.calls);

    let reason =
        "[ \"$1\" != ps ] || { echo 4711; exit; }; case $* in *create*) echo 'disk full' >&2; exit 1 ;; esac";
    cloud.beneath_gcloud("docker", reason);
    let run = cloud.run(shell, &["backup"]).ended(1);
    assert_eq!(snapshots(&run), 1);
    for part in ["disk full", "made no archive", "--snapshot-only", "bake gcloud restore"] {
        assert!(format!("{}{}", run.out, run.err).contains(part), "{part}: {}", run.err);
    }
    assert!(!run.err.contains("Not finished"), "{}", run.err);

    cloud.beneath_gcloud(
        "docker",
        "[ \"$1\" != ps ] || { echo 4711; exit; }; case $* in *test*) exit 1 ;; esac",
    );
    let run = cloud.run(shell, &["backup"]).ended(1);
    assert!(run.err.contains("bake gcloud update | sh"), "{}", run.err);

    cloud.beneath_gcloud("ssh", "echo 'me@x: Permission denied (publickey).' >&2; exit 255");
    let run = cloud.run(shell, &["backup"]).ended(1);
    assert_eq!(snapshots(&run), 1);
    assert!(run.err.contains("roles/compute.osAdminLogin"), "{}", run.err);

    let run = cloud.run(shell, &["backup", "--snapshot-only"]).done();
    assert!(snapshots(&run) == 1 && !run.calls.iter().any(|call| call[0] == "ssh"), "{:#?}", run.calls);
}

#[test]
fn a_vm_that_does_not_run_is_not_asked_for_an_archive() {
    let cloud = cloud("exit 0");
    let mut stopped = cloud.google.get(INSTANCE);
    stopped["status"] = "TERMINATED".into();
    cloud.google.put(INSTANCE, stopped);
    let run = cloud.run(Shell::Bash, &["backup"]).done();
    assert!(snapshots(&run) == 1 && run.err.contains("does not run"), "{}", run.err);
    assert!(!run.calls.iter().any(|call| call[0] == "ssh"), "{:#?}", run.calls);
}

/// `ssh` for a tunnel that the user ends after a while.
const TUNNEL: &str = "while [ $# -gt 0 ] && [ \"$1\" != -- ]; do shift; done; [ $# -gt 0 ] || exit 0; shift; timeout 3 bash -c \"$*\"; exit 0";
const TOKEN: &str = "x9HtNaAOR0BVuKwhoGEaQj77Onqvj5TNdEGY0_t1YT8";

fn door(link: &str) -> Cloud {
    let cloud = cloud(&format!(
        "printf '%s\\n' '{{\"ok\":true,\"port\":18789,\"browserUrl\":\"{link}\",\"expires\":1}}'"
    ));
    cloud.beneath_gcloud("ssh", TUNNEL);
    cloud
}

fn link(port: u16) -> String {
    format!(
        "http://127.0.0.1:{port}/#bootstrapToken={TOKEN}&bootstrapProfile=owner&gatewayUrl=ws%3A%2F%2F127.0.0.1%3A{port}"
    )
}

/// The link is for the browser alone: in no argument, no message and no file that stays.
#[test]
fn the_dashboard_is_opened_by_a_link_that_only_the_browser_sees() {
    for (shell, action) in [
        (Shell::Dash, &["dashboard", "--port", "8081"][..]),
        (Shell::Bash, &["tunnel", "--open", "--port", "8081"]),
    ] {
        let mut cloud = door(&link(18789));
        // One that is still open when the tunnel ends.
        cloud.in_place_of("surf", "cat \"$2\" >\"$HOME/page\"; /bin/ls -l \"$2\" >\"$HOME/mode\"; printf '%s\\n' \"$@\" >\"$HOME/arguments\"");
        cloud.exported = vec![("BROWSER", "surf --new:other")];
        let run = cloud.run(shell, action).done();
        let left = cloud.left();
        let file = |name: &str| {
            let file = left.iter().find(|(path, _)| path.ends_with(name));
            String::from_utf8_lossy(&file.unwrap_or_else(|| panic!("{name}: {}", run.err)).1).into_owned()
        };
        let expected = link(8081).replace('&', "&amp;");
        assert!(file("page").contains(&format!("content=\"0; url={expected}\"")), "{}", file("page"));
        assert!(file("mode").starts_with("-rw-------"), "{}", file("mode"));
        assert!(file("arguments").starts_with("--new\n/"), "{}", file("arguments"));
        assert_eq!(run.out, "");
        let spoken = format!("{:?}{}{}{}", run.calls, run.err, run.environment, file("arguments"));
        assert!(!spoken.contains(TOKEN), "{spoken}");
        for (path, content) in &left {
            let holds = String::from_utf8_lossy(content).contains(TOKEN);
            assert!(
                !holds || path.ends_with("page") || path.ends_with("beneath/docker"),
                "{}",
                path.display()
            );
        }
        let ssh = run.calls.iter().find(|call| call[0] == "ssh").expect("a session").join(" ");
        assert!(ssh.contains(" -L 8081:127.0.0.1:18789 -o ExitOnForwardFailure=yes"), "{ssh}");
    }
}

#[test]
fn a_link_is_printed_where_no_browser_is_and_never_another() {
    let cloud = door(&link(18789));
    let run = cloud.run(Shell::Dash, &["dashboard"]).done();
    assert_eq!(run.out, format!("{}\n", link(18789)));
    assert!(!run.err.contains(TOKEN), "{}", run.err);
    for wrong in [
        "https://evil.example/#x",
        "http://127.0.0.1:18789.evil.example/#x",
        "file:///etc/passwd",
        "http://127.0.0.1:1/#\\u003cx\\\"'><",
    ] {
        let mut cloud = door(&wrong.replace('\'', "'\\''"));
        cloud.in_place_of("surf", ": >\"$HOME/page\"");
        cloud.exported = vec![("BROWSER", "surf")];
        let run = cloud.run(Shell::Bash, &["dashboard"]).done();
        assert!(run.out.is_empty() && run.err.contains("gave no one-time link"), "{wrong}: {run:?}");
        assert!(!cloud.left().iter().any(|(path, _)| path.ends_with("page")), "{wrong}");
    }
}

/// The gateway must allow another port; its own is allowed already.
#[test]
fn the_gateway_learns_another_port() {
    let cloud = door("");
    let run = cloud.run(Shell::Dash, &["tunnel", "--port", "8082"]).done();
    assert!(docker(&run).is_empty() && run.out.is_empty(), "{run:?}");
    let ssh = run.calls.iter().find(|call| call[0] == "ssh").expect("a session").join(" ");
    assert!(
        ssh.contains("/usr/local/lib/openclaw/allow-origin") && ssh.ends_with(" bake 8082 page"),
        "{ssh}"
    );
    for part in [
        "http://127.0.0.1:8082/",
        "bake gcloud token | sh",
        "bake gcloud dashboard | sh",
        "devices approve",
        "This VM is older",
    ] {
        assert!(run.err.contains(part), "{part}: {}", run.err);
    }
    let run = cloud.run(Shell::Bash, &["tunnel", "--port", "18789"]).done();
    assert!(!run.calls.iter().flatten().any(|word| word.contains("allow-origin")), "{:#?}", run.calls);
}

/// The commands in the documentation's section "From ready to the first answer", in order, one line of shell each.
fn commands_of_the_documentation() -> Vec<String> {
    let document = include_str!("../../docs/getting-started.md");
    let (_, rest) = document.split_once("6. **From ready to the first answer.**").expect("the section");
    let (section, _) = rest.split_once("\n## Later").expect("its end");
    let shown = section.split('`').skip(1).step_by(2).chain(section.lines());
    let commands = shown.map(|text| text.trim().split("  #").next().unwrap_or_default().trim());
    commands.filter(|text| text.starts_with("bake ") && !text.contains('`')).map(str::to_owned).collect()
}

#[test]
fn the_documented_commands_lead_from_ready_to_the_first_answer() {
    let mut cloud = cloud(&format!(
        "case $* in *dashboard*) printf '{{\"browserUrl\":\"%s\"}}\\n' '{}' ;; *--message*) echo 'Forty-two.' ;; *) echo done ;; esac",
        link(18789)
    ));
    cloud.beneath_gcloud("ssh", TUNNEL);
    cloud.google.update_in_place();
    // The yaml block, written where the documentation says.
    cloud.folder.edit("bake.yaml", "model: null ", "model: {provider: anthropic} ");
    cloud.folder.edit(
        "bake.yaml",
        "  # OPENAI_API_KEY",
        "  ANTHROPIC_API_KEY: {secret_manager: anthropic-api-key}\n  # OPENAI_API_KEY",
    );
    cloud.folder.bake(["render"]).done();
    let commands = commands_of_the_documentation();
    for part in [
        "dashboard",
        "token",
        "tunnel",
        "setup",
        "render",
        "update",
        "ask",
        "models status",
        "--gateway",
        "whatsapp",
    ] {
        assert!(commands.iter().any(|command| command.contains(part)), "{part}: {commands:#?}");
    }
    for command in commands {
        let line = command.strip_suffix("| sh").unwrap_or(&command);
        let words = shlex::split(line).expect("words of a shell");
        let words: Vec<_> = words.iter().skip(1).map(String::as_str).collect();
        match words[..] {
            // `bake init` is not a step here.
            ["init", ..] => {}
            ["gcloud", "setup"] => {
                let typed = [("kept as the secret anthropic-api-key", "sk-ant-a-key\n")];
                cloud.loads_anew = true;
                cloud.typed(Shell::Dash, &["setup"], &typed).done();
                cloud.loads_anew = false;
            }
            ["gcloud", ref action @ ..] => {
                assert!(command.ends_with("| sh"), "{command}");
                let run = cloud.run(Shell::Dash, action).done();
                if action[0] == "ask" {
                    assert_eq!(run.out, "Forty-two.\n");
                }
            }
            ref others => {
                cloud.folder.bake(others.iter().copied()).done();
            }
        }
    }
}
