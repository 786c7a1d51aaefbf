//! The rendered compose file, read and run by the real Compose.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::test;
use crate::support::{Folder, said, testbed};
use serde_json::{Value, json};

/// Settings that some language on the way could take for its own.
fn odd_settings() -> Value {
    json!({
        "DOLLARS": "a$b ${HOME} $$ $(id) `id`",
        "EMPTY": "",
        "LINES": "one\n  two\n",
        "NUMBER": "0755",
        "QUOTES": "\"double\" 'single' \\back\\",
        "SPACES": " größe # no comment: - {{x}} ",
        "WORD": "yes",
    })
}

/// A project's compose file with the folders of a VM in a temporary one, and another image.
struct Composed {
    folder: Folder,
    project: String,
}

impl Composed {
    /// On the stand-in.
    fn new() -> Self {
        Self::on(&testbed::base_image(), 18790)
    }

    fn on(base: &str, port: u16) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        testbed::tool("docker-26");
        let folder = Folder::project();
        folder.edit("bake.yaml", "env: {}", &format!("env: {}", odd_settings()));
        folder.edit("bake.yaml", "port: 18789", &format!("port: {port}"));
        folder.bake(["render"]).done();

        let rendered = folder.read("out/docker-compose.yml");
        let image = rendered.lines().find(|line| line.starts_with("  image: ")).expect("an image");
        let at = |name: &str| folder.join(name).display().to_string();
        let text = rendered
            .replace(image, &format!("  image: {base}"))
            .replace("/run/openclaw/secrets.env", &at("secrets.env"))
            .replace("/var/lib/openclaw", &at("state"));
        let secrets = "OPENCLAW_GATEWAY_TOKEN=s3cret\nTELEGRAM_BOT_TOKEN=7:not-a-real-bot\n";
        folder.write("vm/docker-compose.yml", text).write("secrets.env", secrets);
        for name in ["config", "workspace", "auth-profile-secrets"] {
            let path = folder.join("state").join(name);
            fs::create_dir_all(&path).expect("a folder");
            // As on the VM. Without root nothing here runs anyway.
            let _ = chown(path, Some(1000), Some(1000));
        }
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let project = format!("bake-test-{}-{number}", std::process::id());
        Self { folder, project }
    }

    fn compose(&self) -> Command {
        let mut command = testbed::tool("docker-26");
        command.args(["compose", "--project-name", &self.project, "--profile", "cli"]);
        command.current_dir(self.folder.join("vm"));
        command
    }

    /// What a program prints in a new container of the gateway's service.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut run = self.compose();
        run.args(["run", "--rm", "--no-TTY", "--no-deps", "--entrypoint", program, "openclaw-gateway"]);
        said(run.args(arguments)).done().out
    }
}

impl Drop for Composed {
    fn drop(&mut self) {
        let _ = self.compose().args(["down", "--timeout", "0"]).output();
    }
}

#[test]
fn compose_reads_both_services_closed_and_bounded() {
    let composed = Composed::new();
    let config = said(composed.compose().args(["config", "--format", "json"])).done();
    assert_eq!(config.err, "", "no warning");
    let config: Value = serde_json::from_str(&config.out).expect("JSON");
    let services = config["services"].as_object().expect("services");
    assert_eq!(services.keys().collect::<Vec<_>>(), ["openclaw-cli", "openclaw-gateway"]);
    for (name, service) in services {
        assert_eq!(service["cap_drop"], json!(["ALL"]), "{name}");
        assert_eq!(service["read_only"], true, "{name}");
        assert_eq!(service["security_opt"], json!(["no-new-privileges:true"]), "{name}");
        assert_eq!(service["user"], "1000:1000", "{name}");
        let logging = json!({"driver": "json-file", "options": {"max-file": "5", "max-size": "10m"}});
        assert_eq!(service["logging"], logging, "{name}");
        for key in ["privileged", "cap_add", "devices"] {
            assert!(service[key].is_null(), "{name}: {key}");
        }
    }
    let gateway = &services["openclaw-gateway"];
    assert_eq!(gateway["restart"], "unless-stopped");
    let ports = json!([{
        "mode": "ingress", "host_ip": "127.0.0.1", "target": 18789, "published": "18790", "protocol": "tcp"
    }]);
    assert_eq!(gateway["ports"], ports);
    let cli = &services["openclaw-cli"];
    assert!(cli["ports"].is_null() && cli["restart"].is_null());
    assert_eq!(cli["network_mode"], "service:openclaw-gateway");
}

#[test]
fn a_container_gets_the_settings_as_they_were_written() {
    let composed = Composed::new();
    let out = composed.run("env", &["--null"]);
    let found: Vec<_> = out.split('\0').filter_map(|setting| setting.split_once('=')).collect();
    for (name, value) in odd_settings().as_object().expect("a map") {
        let value = value.as_str().expect("text");
        assert!(found.contains(&(name, value)), "{name}={value}: {found:?}");
    }
    assert!(found.contains(&("OPENCLAW_GATEWAY_TOKEN", "s3cret")));
}

#[test]
fn a_container_can_write_its_state_and_nothing_else() {
    let composed = Composed::new();
    let script = "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status | tr -s '\\t' ' '
        for folder in / /app /usr/local/bin /tmp /home/node /home/node/.openclaw \\
            /home/node/.openclaw/workspace /home/node/.config/openclaw; do
            touch \"$folder/x\" 2>/dev/null && echo \"$folder\"
        done; true";
    let expected = "1000\nCapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\n/tmp\n/home/node\n\
         /home/node/.openclaw\n/home/node/.openclaw/workspace\n/home/node/.config/openclaw\n";
    assert_eq!(composed.run("sh", &["-c", script]), expected);
    for state in ["config/x", "workspace/x", "auth-profile-secrets/x"] {
        assert!(composed.folder.join("state").join(state).exists(), "{state}");
    }
}

#[test]
fn openclaw_itself_is_set_up_headless_takes_a_channel_and_starts() {
    let (registry, digest) = (testbed::registry(), testbed::boot("real.digest"));
    let digest = fs::read_to_string(digest).expect("a digest");
    let image = format!("{registry}/openclaw/openclaw@{}", digest.trim());
    // Held until the gateway comes, so that nobody else gets it.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let composed = Composed::on(&image, port);
    let engine = |arguments: &[&str]| said(testbed::tool("docker-26").args(arguments).arg(&image)).done();
    engine(&["pull", "--quiet"]);
    let cli = |arguments: &[&str]| {
        let mut run = composed.compose();
        run.args(["run", "--rm", "--no-TTY", "--no-deps", "openclaw-gateway", "node", "dist/index.js"]);
        said(run.args(arguments)).done();
    };
    // The very words of the VM's script.
    let script = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/cloud-init/start.sh"));
    let script = script.expect("a script");
    let words = script.split_once("cli onboard ").and_then(|(_, rest)| rest.split_once("||"));
    let words = words.expect("an onboarding").0.replace("$OPENCLAW_AUTH_CHOICE", "skip");
    let words = shlex::split(&words.replace("\\\n", " ")).expect("words");
    let words: Vec<_> = ["onboard"].into_iter().chain(words.iter().map(String::as_str)).collect();
    cli(&words);
    cli(&["channels", "add", "--channel", "telegram", "--use-env"]);

    let config = composed.folder.read("state/config/openclaw.json");
    assert!(config.contains("telegram") && config.contains("OPENCLAW_GATEWAY_TOKEN"), "{config}");
    for secret in ["s3cret", "not-a-real-bot"] {
        assert!(!config.contains(secret), "{config}");
    }
    drop(listener);
    // What it is ready by is the end of its start, which no channel holds up. OpenClaw gives its workers
    // five seconds: on a busy machine it ends itself, and Docker starts it again.
    said(composed.compose().args(["up", "--detach", "openclaw-gateway"])).done();
    let startup = format!("http://127.0.0.1:{port}/startupz");
    let mut ask = testbed::program("curl");
    ask.args([
        "--silent",
        "--show-error",
        "--fail",
        "--retry",
        "900",
        "--retry-delay",
        "2",
        "--retry-all-errors",
    ]);
    assert!(said(ask.arg(startup)).done().out.contains("started"));
    drop(composed);
    engine(&["rmi"]);
}
