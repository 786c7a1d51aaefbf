//! OpenClaw itself, from npm, configured by the VM's `configure.py` under the rendered compose file.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use bake::project::openclaw::{Needs, OpenClaw};
use serde_json::{Value, json};

use crate::support::test;
use crate::support::{Folder, Said, said, testbed};

const HERE: &str = env!("CARGO_MANIFEST_DIR");
const SECRETS: [(&str, &str); 6] = [
    ("OPENCLAW_GATEWAY_TOKEN", "s3cret-of-the-gateway-31415926535"),
    ("ANTHROPIC_API_KEY", "sk-ant-not-a-real-key-27182818284"),
    ("TELEGRAM_BOT_TOKEN", "7:not-a-real-bot"),
    ("DISCORD_BOT_TOKEN", "not-a-real-discord-token"),
    ("SLACK_BOT_TOKEN", "xoxb-not-a-real-slack-bot"),
    ("SLACK_APP_TOKEN", "xapp-not-a-real-slack-app"),
];

fn real_image() -> String {
    let digest = fs::read_to_string(testbed::boot("real.digest")).expect("a digest");
    format!("{}/openclaw/openclaw@{}", testbed::registry(), digest.trim())
}

/// The folders of a VM with the repository's scripts and the rendered files.
struct Vm {
    folder: Folder,
    project: String,
    port: u16,
}

impl Vm {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let vm =
            Self { folder: Folder::project(), project: format!("bake-conf-{}", std::process::id()), port };
        vm.folder.edit("bake.yaml", "port: 18789", &format!("port: {port}"));
        // The registry is another service of the same file.
        let env = "env: {NPM_CONFIG_REGISTRY: \"http://npm:4873\", NPM_CONFIG_FETCH_RETRIES: \"0\"}";
        vm.folder.edit("bake.yaml", "env: {}", env);
        let secrets: String = SECRETS[1..]
            .iter()
            .map(|(name, _)| format!("  {name}: {{secret_manager: {}}}\n", name.to_lowercase()))
            .collect();
        vm.folder.write("bake.yaml", vm.folder.read("bake.yaml") + &secrets);
        for folder in ["bin", "registry/packages", "state-boot/home/lower"] {
            fs::create_dir_all(vm.path(folder)).expect("a folder");
        }
        let home = ["home/upper", "home/work"];
        for folder in ["config", "workspace", "auth-profile-secrets", "backups"].into_iter().chain(home) {
            let path = vm.path("state").join(folder);
            fs::create_dir_all(&path).expect("a folder");
            // As on the VM. Without root, the test cannot run anyway.
            let _ = chown(path, Some(1000), Some(1000));
        }
        let docker = testbed::folder().join("bin/docker-26");
        symlink(docker, vm.path("bin/docker")).expect("a link");
        vm.program("bin/npm", "#!/bin/sh\nexec node /opt/npm/bin/npm-cli.js \"$@\"\n");
        // The official image contains npm, the testbed's does not. The daemon has a separate `/usr`.
        let npm = said(testbed::program("npm").args(["root", "--global"])).done().out;
        let mut copy = testbed::program("cp");
        said(copy.args(["-aL", &format!("{}/npm", npm.trim())]).arg(vm.path("npm"))).done();
        let registry = format!("{HERE}/tests/support/npm-registry.mjs");
        fs::copy(registry, vm.path("registry/registry.mjs")).expect("a copy");
        vm
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join("vm").join(name)
    }

    fn program(&self, name: &str, text: &str) {
        self.folder.write(&format!("vm/{name}"), text);
        let mode = fs::Permissions::from_mode(0o755);
        fs::set_permissions(self.path(name), mode).expect("a program");
    }

    /// Renders the project and installs its files on the VM.
    fn place(&self) {
        self.folder.bake(["render"]).done();
        let mut reader = testbed::tool("yaml-to-json-13");
        reader.stdin(fs::File::open(self.folder.join("out/user-data.yaml")).expect("user-data"));
        let user_data: Value = serde_json::from_str(&said(&mut reader).done().out).expect("JSON");
        for file in user_data["write_files"].as_array().expect("files") {
            let (path, text) = (file["path"].as_str().expect("a path"), file["content"].as_str());
            let text = text.expect("a text");
            match path {
                "/opt/openclaw/settings.env" => self.folder.write("vm/project/settings.env", text),
                "/usr/local/lib/openclaw/channels.json" => self.folder.write("vm/lib/channels.json", text),
                "/usr/local/lib/openclaw/quote.py" => {
                    let run = self.path("run").display().to_string();
                    self.folder.write("vm/lib/quote.py", "");
                    self.program("lib/quote.py", &text.replace("/run/openclaw", &run));
                    &self.folder
                }
                _ => continue,
            };
        }
        self.folder.write("vm/project/docker-compose.yml", self.compose_file());
    }

    fn compose_file(&self) -> String {
        let rendered = self.folder.read("out/docker-compose.yml");
        let line = rendered.lines().find(|line| line.starts_with("    image: ")).expect("an image");
        let image = real_image();
        let at = |name: &str| self.path(name).display().to_string();
        let mount = |source: &str, target: &str| {
            format!("- {{type: bind, source: {source}, target: {target}, read_only: true}}")
        };
        let npm = [mount(&at("npm"), "/opt/npm"), mount(&at("bin/npm"), "/usr/local/bin/npm")];
        let plugins = testbed::boot("plugins").display().to_string();
        let registry = [mount(&at("registry"), "/registry"), mount(&plugins, "/registry/packages")];
        let registry = format!(
            "  npm:\n    image: {image}\n    volumes:\n      {}\n    \
             entrypoint: [node, /registry/registry.mjs, \"4873\", /registry/packages]\n\nvolumes:\n",
            registry.join("\n      ")
        );
        rendered
            .replace(line, &format!("    image: &image {image}"))
            .replace("/run/openclaw/secrets.env", &at("run/secrets.env"))
            .replace("/var/lib/openclaw", &at("state"))
            .replacen(": &volumes\n", &format!(": &volumes\n      {}\n", npm.join("\n      ")), 1)
            .replacen("\nvolumes:\n", &format!("\n{registry}"), 1)
    }

    fn docker(&self, arguments: &[&str]) -> Said {
        said(&mut self.docker_command(arguments))
    }

    fn docker_command(&self, arguments: &[&str]) -> Command {
        let mut docker = testbed::tool("docker-26");
        docker.args(arguments).current_dir(self.path("project")).env("COMPOSE_PROJECT_NAME", &self.project);
        docker
    }

    /// Runs the script that configures the gateway before its container starts.
    fn configure(&self, without: &[&str], arguments: &[&str]) -> Said {
        let rows = SECRETS.iter().filter(|(name, _)| !without.contains(name));
        let rows: String = rows.map(|(name, value)| format!("{name}=\"{value}\"\n")).collect();
        self.folder.write("vm/run/secrets.env", rows);
        let mut command = Command::new("python3");
        command.arg(format!("{HERE}/tests/vm/support/configured.py")).arg(self.folder.join("vm"));
        let path = std::env::var("PATH").expect("a PATH");
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        said(command.env("COMPOSE_PROJECT_NAME", &self.project).args(arguments))
    }

    fn config(&self) -> Value {
        serde_json::from_str(&self.folder.read("vm/state/config/openclaw.json")).expect("JSON")
    }

    /// Limits a stop to 20 s: a gateway that cannot reach Telegram would take all 330 s.
    fn start(&self) {
        self.docker(&["compose", "up", "--detach", "--timeout", "20", "openclaw-gateway"]).done();
        let startup = format!("http://127.0.0.1:{}/startupz", self.port);
        let mut ask = testbed::program("curl");
        ask.args(["--silent", "--show-error", "--fail", "--retry", "900", "--retry-delay", "2"]);
        ask.args(["--retry-all-errors", &startup]);
        assert!(said(&mut ask).done().out.contains("started"));
    }

    /// The findings of OpenClaw's own audit, without the informational ones.
    fn findings(&self) -> Vec<(String, String)> {
        let audit = ["compose", "exec", "-T", "openclaw-gateway", "node", "dist/index.js"];
        let audit = [&audit[..], &["security", "audit", "--deep", "--json"]].concat();
        let out = self.docker(&audit).done().out;
        let report: Value = serde_json::from_str(&out[out.find('{').expect("JSON")..]).expect("JSON");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let findings = report["findings"].as_array().expect("findings").iter();
        findings
            .map(|finding| (text(&finding["severity"]), text(&finding["checkId"])))
            // The probe of `--deep` waits only a few seconds and fails on a busy machine.
            .filter(|(severity, check)| severity != "info" && check != "gateway.probe_failed")
            .collect()
    }
}

impl Drop for Vm {
    fn drop(&mut self) {
        let _ = self.docker_command(&["compose", "down", "--timeout", "0"]).output();
    }
}

#[test]
fn openclaw_reads_its_model_channels_and_origins() {
    let vm = Vm::new();
    vm.folder.edit("bake.yaml", "channels: []", "channels: [telegram, discord]");
    vm.folder.edit("bake.yaml", "model: null", "model: {provider: anthropic}");
    vm.place();
    vm.docker(&["pull", "--quiet", &real_image()]).done();

    // The registry does not run yet.
    let first = vm.configure(&[], &[]).done();
    let discord = "channel discord could not be added: its plug-in @openclaw/discord could not be installed, \
                   exit code 1: npm error network request";
    assert!(first.err.contains(discord), "{}", first.err);
    assert!(!first.err.contains("telegram"), "{}", first.err);
    let config = vm.config();
    assert_eq!(config["channels"], json!({"telegram": {"enabled": true}}));
    let first_model = config["agents"]["defaults"]["model"]["primary"].as_str().expect("a model");
    assert!(first_model.starts_with("anthropic/"), "{first_model}");
    let origins =
        [vm.port, 18789].map(|port| [format!("http://127.0.0.1:{port}"), format!("http://localhost:{port}")]);
    assert_eq!(config["gateway"]["controlUi"]["allowedOrigins"], json!(origins.concat()));
    vm.start();
    assert_eq!(vm.findings(), [], "OpenClaw's own audit of the project");

    // With the registry, the missing channel is added at the next start, and so are two more.
    vm.folder.edit(
        "bake.yaml",
        "channels: [telegram, discord]",
        "channels: [telegram, discord, slack, whatsapp]",
    );
    vm.place();
    vm.docker(&["compose", "up", "--detach", "npm"]).done();
    // The user has to scan WhatsApp's code. Until then each start explains how.
    let link = "whatsapp waits to be linked: bake gcloud cli -- channels login --channel whatsapp\n";
    assert_eq!(vm.configure(&[], &[]).done().err, link);
    for channel in ["telegram", "discord", "slack", "whatsapp"] {
        assert_eq!(vm.config()["channels"][channel]["enabled"], true, "{channel}");
    }
    assert_eq!(vm.configure(&[], &["--allow-origin", "28080"]).done().err, "");
    let allowed = vm.config()["gateway"]["controlUi"]["allowedOrigins"].to_string();
    assert!(allowed.contains("http://localhost:28080") && allowed.contains(&origins[0][0]), "{allowed}");

    // A model server instead of a provider, then no model.
    let served = "model: {base_url: https://llm.example.com/v1, name: small, key: ANTHROPIC_API_KEY}";
    vm.folder.edit("bake.yaml", "model: {provider: anthropic}", served);
    vm.place();
    assert_eq!(vm.configure(&[], &[]).done().err, link);
    assert_eq!(vm.config()["agents"]["defaults"]["model"]["primary"], "custom/small");
    vm.folder.edit("bake.yaml", served, "model: null");
    vm.place();
    let without = ["ANTHROPIC_API_KEY", "DISCORD_BOT_TOKEN"];
    assert_eq!(vm.configure(&without, &[]).done().err, link);
    let config = vm.config();
    assert_eq!(config["agents"]["defaults"]["model"], Value::Null);
    assert_eq!(config["models"]["providers"]["custom"], Value::Null);
    assert_eq!(config["channels"]["telegram"]["enabled"], true);
    for (_, secret) in SECRETS {
        assert!(!config.to_string().contains(secret), "{config}");
    }
    // Without key and token the gateway still starts.
    vm.start();
}

/// Compares `images/openclaw.yaml` with the package.
#[test]
fn known_choices_match_the_openclaw_package() {
    let image = real_image();
    let script = Path::new(HERE).join("tests/support/known-choices.mjs");
    let mount = format!("{}:/known-choices.mjs:ro", script.display());
    let mut docker = testbed::tool("docker-26");
    let docker = docker.args([
        "run",
        "--rm",
        "--volume",
        &mount,
        "--entrypoint",
        "node",
        &image,
        "/known-choices.mjs",
    ]);
    let package: Value = serde_json::from_str(&said(docker).done().out).expect("JSON");

    let known = OpenClaw::builtin();
    let named = |value: &Value| -> Vec<String> {
        let variables = value["variables"].as_array().expect("variables").iter();
        variables.map(|name| name.as_str().expect("a name").to_owned()).collect()
    };
    let choices = package["choices"].as_object().expect("choices");
    assert!(choices.len() > 50, "{choices:?}");
    let ours: BTreeMap<_, _> = known.choices.iter().map(|known| (known.choice.as_str(), known)).collect();
    assert_eq!(
        ours.keys().copied().collect::<Vec<_>>(),
        choices.keys().map(String::as_str).collect::<Vec<_>>()
    );
    for (name, choice) in choices {
        assert_eq!(ours[name.as_str()].provider, choice["provider"].as_str().expect("a provider"), "{name}");
        let variables = named(choice);
        // For variables that the package does not name, use its documentation.
        if let Needs::Key(keys) = &ours[name.as_str()].needs
            && !variables.is_empty()
        {
            assert!(
                keys.iter().all(|key| variables.iter().any(|name| name == key.as_str())),
                "{name}: {variables:?}"
            );
        }
    }
    let channels = package["channels"].as_object().expect("channels");
    let ours: BTreeMap<_, _> = known.channels.iter().map(|known| (known.name.as_str(), known)).collect();
    assert_eq!(
        ours.keys().copied().collect::<Vec<_>>(),
        channels.keys().map(String::as_str).collect::<Vec<_>>()
    );
    for (name, channel) in channels.iter().filter(|(name, _)| !ours[name.as_str()].by_hand) {
        assert_eq!(ours[name.as_str()].plugin.as_deref(), channel["plugin"].as_str(), "{name}");
        let variables = named(channel);
        for secret in &ours[name.as_str()].secrets {
            assert!(variables.iter().any(|name| name == secret.as_str()), "{name}: {variables:?}");
        }
    }
}
