//! Reads and runs the rendered compose file with the real Compose.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::support::test;
use crate::support::{Folder, said, testbed};
use serde_json::{Value, json};

/// Values that YAML, Compose or the shell could interpret.
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

/// The lower folder of the home's overlay, after paths of the VM are moved to a temporary folder.
const HOME_SHIPPED: &str = "state-boot/home/lower";

/// A project's compose file with another image and the VM's folders in a temporary one.
struct Composed {
    folder: Folder,
    project: String,
}

impl Composed {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        testbed::tool("docker-26");
        let base = testbed::base_image();
        let folder = Folder::project();
        folder.edit("bake.yaml", "env: {}", &format!("env: {}", odd_settings()));
        folder.edit("bake.yaml", "port: 18789", "port: 18790");
        folder.bake(["render"]).done();

        let rendered = folder.read("out/docker-compose.yml");
        let image = rendered.lines().find(|line| line.starts_with("    image: ")).expect("an image");
        let at = |name: &str| folder.join(name).display().to_string();
        let text = rendered
            .replace(image, &format!("    image: &image {base}"))
            .replace("/run/openclaw/secrets.env", &at("secrets.env"))
            .replace("/var/lib/openclaw", &at("state"));
        let secrets = "OPENCLAW_GATEWAY_TOKEN=s3cret\nTELEGRAM_BOT_TOKEN=7:not-a-real-bot\n";
        folder.write("vm/docker-compose.yml", text).write("secrets.env", secrets);
        let state = ["config", "workspace", "auth-profile-secrets", "backups", "home/upper", "home/work"];
        for name in state.map(|name| format!("state/{name}")).iter().chain([&HOME_SHIPPED.to_owned()]) {
            let path = folder.join(name);
            fs::create_dir_all(&path).expect("a folder");
            // As on the VM. Without root, the test cannot run anyway.
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

    /// The output of a program in a new container of the gateway's service.
    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut run = self.compose();
        run.args(["run", "--rm", "--no-TTY", "--no-deps", "--entrypoint", program, "openclaw-gateway"]);
        said(run.args(arguments)).done().out
    }
}

impl Drop for Composed {
    fn drop(&mut self) {
        let _ = self.compose().args(["down", "--timeout", "0", "--volumes"]).output();
    }
}

#[test]
fn compose_reads_both_services_with_their_restrictions() {
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
        // OpenClaw documents this period, in which it can finish a reply.
        assert_eq!(service["stop_grace_period"], "5m30s", "{name}");
        // The default machine, e2-small, has 2 GiB.
        let limits = ["pids_limit", "mem_limit", "cpu_shares"].map(|key| service[key].to_string());
        assert_eq!(limits, ["2048", "\"1728053248\"", "512"], "{name}");
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
    let options = config["volumes"]["home"]["driver_opts"]["o"].as_str().expect("options");
    assert!(!options.contains(char::is_whitespace), "{options}");
    let cli = &services["openclaw-cli"];
    assert!(cli["ports"].is_null() && cli["restart"].is_null());
    assert_eq!(cli["network_mode"], "service:openclaw-gateway");
}

#[test]
fn containers_receive_settings_unchanged() {
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
fn containers_can_write_only_their_state() {
    let composed = Composed::new();
    let script = "id -u; grep -E '^(CapEff|CapBnd|NoNewPrivs):' /proc/self/status | tr -s '\\t' ' '
        for folder in / /app /usr/local/bin /tmp /home/node /home/node/.openclaw \\
            /home/node/.openclaw/workspace /home/node/.config/openclaw /backups; do
            touch \"$folder/x\" 2>/dev/null && echo \"$folder\"
        done; true";
    let expected = "1000\nCapEff: 0000000000000000\nCapBnd: 0000000000000000\nNoNewPrivs: 1\n/tmp\n/home/node\n\
         /home/node/.openclaw\n/home/node/.openclaw/workspace\n/home/node/.config/openclaw\n/backups\n";
    assert_eq!(composed.run("sh", &["-c", script]), expected);
    for state in ["config/x", "workspace/x", "auth-profile-secrets/x", "backups/x", "home/upper/x"] {
        assert!(composed.folder.join("state").join(state).exists(), "{state}");
    }
}
