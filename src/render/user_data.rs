//! `user-data.yaml`: the VM's files and units, within Compute Engine's limits.

use std::io::Write;

use base64::Engine;
use flate2::{Compression, GzBuilder};
use serde::Serialize;
use serde_json::json;

use super::{fill, sums};
use crate::diagnostics::{Code, Diagnostic, Problems, Spanned};
use crate::digest::Sha256;
use crate::plan::{Plan, PlannedBase};
use crate::project::names::EnvName;
use crate::project::openclaw::{Needs, OpenClaw};
use crate::project::spec::{ImageOrigin, Model, STOP_GRACE_SECONDS, SecretSource, Spec};
use crate::project::values::{Destination, Egress, InnerPath};
use crate::vm::{FILES, PROJECT, RELEASE, SCRIPTS, VmSetting};

pub(super) const NAME: &str = "user-data.yaml";
pub(super) const ENCODED: &str = "user-data.yaml.gz.b64";
pub(super) const STARTUP_SCRIPT: &str = "startup-script.sh";

/// The key of Docker's own repository.
const DOCKER_KEY: &str = include_str!("../../cloud-init/docker.asc");

/// The most bytes of one metadata value (Compute Engine, "About VM metadata", limits).
pub const LARGEST_VALUE: usize = 262_144;
/// The user is warned from this size on.
const NEAR: usize = LARGEST_VALUE / 10 * 9;

/// The VM's files from the rest of the bundle.
pub(super) struct OnVm<'a> {
    pub(super) dockerfile: &'a str,
    pub(super) compose: &'a str,
    pub(super) sums: &'a str,
    pub(super) image: &'a str,
}

/// The user-data, and how it travels.
pub(super) struct UserData {
    pub(super) text: String,
    pub(super) encoded: Option<String>,
}

/// The startup script, with its settings below the first line.
pub(super) fn startup_script(plan: &Plan<'_>) -> String {
    let repository = plan.spec.host.os.docker_repository();
    let settings = [
        (VmSetting::Packages.name(), plan.host_packages.join(" ")),
        ("apt_source", repository.unwrap_or_default().to_owned()),
        ("apt_key", repository.map_or("", |_| DOCKER_KEY.trim_end()).to_owned()),
    ];
    let line = |(name, value): (_, String)| {
        format!("{name}={}\n", shlex::try_quote(&value).expect("neither packages nor keys have a NUL"))
    };
    let settings: String = settings.map(line).concat();
    let script = include_str!("../../cloud-init/startup-script.sh");
    let (first, rest) = script.split_once('\n').unwrap_or((script, ""));
    format!("{first}\n{settings}{rest}")
}

#[derive(Serialize)]
struct UserDataContext<'a> {
    name: &'a str,
    lock: String,
    files: Vec<VmFile>,
}

#[derive(Serialize)]
struct VmFile {
    path: String,
    mode: &'static str,
    text: String,
}

impl VmFile {
    fn plain(folder: &str, name: &str, text: impl Into<String>) -> Self {
        Self { path: format!("{folder}/{name}"), mode: "0644", text: text.into() }
    }
}

pub(super) fn render(plan: &Plan<'_>, on_vm: &OnVm<'_>) -> Result<(UserData, Problems), Problems> {
    let context = UserDataContext {
        name: plan.spec.name.as_str(),
        lock: plan.lock_digest.to_string(),
        files: files(plan, on_vm),
    };
    let text = fill(NAME, include_str!("../../cloud-init/user-data.yaml.j2"), &context);
    delivered(plan, text)
}

fn files(plan: &Plan<'_>, on_vm: &OnVm<'_>) -> Vec<VmFile> {
    let mut files = vec![
        VmFile::plain(PROJECT, "settings.env", settings(plan, on_vm.image)),
        VmFile::plain(PROJECT, "docker-compose.yml", on_vm.compose),
    ];
    // With a finished image, a Dockerfile on the VM would mislead.
    if !matches!(plan.spec.image.origin, ImageOrigin::Registry(_)) {
        files.push(VmFile::plain(PROJECT, "Dockerfile", on_vm.dockerfile));
    }
    files.push(VmFile::plain(PROJECT, "binaries.sha256", sums::on_vm(plan)));
    files.push(VmFile::plain(PROJECT, "lock.sha256", format!("{}\n", plan.lock_digest)));
    files.push(VmFile::plain(PROJECT, "SHA256SUMS", on_vm.sums));
    files.push(VmFile::plain(SCRIPTS, "channels.json", channels()));
    if let Some(repository) = plan.spec.host.os.docker_repository() {
        files.push(VmFile::plain("/etc/apt/keyrings", "docker.asc", DOCKER_KEY));
        files.push(VmFile::plain("/etc/apt/sources.list.d", "docker.list", format!("{repository}\n")));
    }
    // Rendered in any case, so that an update takes a time back.
    files.push(VmFile::plain("/etc/apt/apt.conf.d", "52openclaw-reboot", reboot(plan.spec)));
    files.extend(FILES.iter().map(|file| VmFile {
        mode: if file.executable { "0755" } else { "0644" },
        ..VmFile::plain(file.folder, file.name, file.text)
    }));
    let release = release(&files);
    files.push(release);
    files
}

/// The settings of unattended-upgrades for updates that need a restart. The gateway finishes its reply first.
fn reboot(spec: &Spec) -> String {
    match &spec.host.reboot_at {
        Some(time) => format!(
            "// `host.reboot_at`, for updates of the kernel.\nUnattended-Upgrade::Automatic-Reboot \"true\";\n\
             Unattended-Upgrade::Automatic-Reboot-Time \"{}\";\n",
            time.value
        ),
        None => {
            "// `host.reboot_at` sets a time.\nUnattended-Upgrade::Automatic-Reboot \"false\";\n".to_owned()
        }
    }
}

/// Digits of a release's identity.
const IDENTITY_DIGITS: usize = 16;

/// Names a bundle by everything that it places on the VM, so that the VM recognizes it.
fn release(files: &[VmFile]) -> VmFile {
    let line = |file: &VmFile| format!("{} {} {}\n", Sha256::of(&file.text), file.mode, file.path);
    let identity = Sha256::of(files.iter().map(line).collect::<String>()).short(IDENTITY_DIGITS);
    let is_outside = |path: &&str| ![PROJECT, SCRIPTS].iter().any(|folder| path.starts_with(folder));
    let outside: Vec<_> = files.iter().map(|file| file.path.as_str()).filter(is_outside).collect();
    VmFile {
        path: RELEASE.to_owned(),
        mode: "0644",
        text: format!("{}\n", json!({"id": identity, "files": outside})),
    }
}

/// The identity of the release in a user-data.
pub(super) fn identity(user_data: &str) -> Option<String> {
    let (_, rest) = user_data.split_once(&format!("path: \"{RELEASE}\"\n"))?;
    let (_, rest) = rest.split_once("\"id\":\"")?;
    rest.get(..IDENTITY_DIGITS).map(str::to_owned)
}

#[derive(Serialize)]
struct Row {
    name: &'static str,
    value: String,
}

fn settings(plan: &Plan<'_>, image: &str) -> String {
    let row = |setting: &VmSetting| Row { name: setting.name(), value: value(*setting, plan, image) };
    let settings: Vec<_> = VmSetting::ALL.iter().map(row).collect();
    let context = std::collections::BTreeMap::from([("settings", settings)]);
    fill("settings.env", include_str!("../../cloud-init/settings.env.j2"), &context)
}

/// The value of a setting; empty where it does not apply.
fn value(setting: VmSetting, plan: &Plan<'_>, image: &str) -> String {
    let spec = plan.spec;
    match (setting, &spec.image.origin) {
        (VmSetting::Strategy, origin) => origin.strategy().as_str().to_owned(),
        (VmSetting::Image, _) => image.to_owned(),
        (VmSetting::SourceRepo, ImageOrigin::Source { repo, .. }) => repo.to_string(),
        (VmSetting::SourceCommit, ImageOrigin::Source { commit, .. }) => commit.to_string(),
        (VmSetting::SourceRepo | VmSetting::SourceCommit, _) => String::new(),
        (VmSetting::SourceImage, _) => match &plan.base {
            PlannedBase::Local(tag) => tag.clone(),
            PlannedBase::Pinned { .. } => String::new(),
        },
        (VmSetting::Port, _) => spec.gateway.port.value.to_string(),
        (VmSetting::Packages, _) => plan.host_packages.join(" "),
        (VmSetting::Allow, _) => {
            let allowed = |to: &Destination| {
                Some(format!(
                    "{},{}",
                    to.network()?,
                    to.port().map(|port| port.to_string()).unwrap_or_default()
                ))
            };
            spec.gateway.destinations().iter().filter_map(allowed).collect::<Vec<_>>().join(" ")
        }
        (VmSetting::Egress, _) => spec.gateway.network.egress.as_str().to_owned(),
        (VmSetting::Names, _) if spec.gateway.network.egress.value == Egress::All => String::new(),
        (VmSetting::Names, _) => {
            let named = |to: &Destination| to.name().map(|(name, port)| format!("{name},{port}"));
            spec.gateway.destinations().iter().filter_map(named).collect::<Vec<_>>().join(" ")
        }
        (VmSetting::SwapMib, _) => spec.host.swap.mib().to_string(),
        (VmSetting::DataDisk, _) if spec.gcp.data_disk.is_zero() => String::new(),
        (VmSetting::DataDisk, _) => spec.name.data_disk(),
        (VmSetting::AuthChoice, _) => spec.gateway.auth_choice.to_string(),
        (VmSetting::Model, _) => model(spec),
        (VmSetting::Channels, _) => {
            spec.gateway.channels.iter().map(|channel| channel.as_str()).collect::<Vec<_>>().join(" ")
        }
        (VmSetting::Secrets, _) => {
            let secret = |(name, source): &(Spanned<EnvName>, SecretSource)| match source {
                SecretSource::Generated => format!("{}=generate", name.value),
                SecretSource::SecretManager { id, .. } => format!("{}=secret-manager:{id}", name.value),
            };
            spec.secrets.iter().map(secret).collect::<Vec<_>>().join(" ")
        }
        (VmSetting::Project, _) => {
            spec.gcp.project.as_ref().map(|project| project.to_string()).unwrap_or_default()
        }
        (VmSetting::AskAfterUpdate, _) => {
            let asks = spec.gateway.ask_after_update.value;
            if asks { "yes" } else { "" }.to_owned()
        }
        (VmSetting::StopSeconds, _) => STOP_GRACE_SECONDS.to_string(),
    }
}

/// The model as the VM's `configure.py` reads it, in JSON.
fn model(spec: &Spec) -> String {
    let choice = OpenClaw::builtin().choice(spec.gateway.auth_choice.as_str());
    let provider = choice.map(|known| known.provider.as_str());
    let keys = choice.and_then(|known| match &known.needs {
        Needs::Key(keys) => Some(keys),
        Needs::Address | Needs::Person => None,
    });
    let value = match &spec.gateway.model {
        Model::Default => json!({"provider": provider, "keys": keys}),
        Model::Named { provider, name } => json!({"provider": provider, "keys": keys, "name": name.value}),
        Model::Served { base_url, api, name, key } => json!({
            "base_url": base_url.value,
            "api": api.in_openclaw(),
            "name": name.value,
            "key": key.as_ref().map(|key| &key.value),
        }),
    };
    value.to_string()
}

/// How each channel is set up, the same on every VM.
fn channels() -> String {
    let channels = OpenClaw::builtin().channels.iter().filter(|known| !known.by_hand);
    let lines: Vec<_> = channels
        .map(|known| {
            let how = json!({
                "plugin": known.plugin,
                "secrets": known.secrets,
                "link": known.link.as_ref().map(InnerPath::as_str),
            });
            format!("  {}: {how}", json!(known.name))
        })
        .collect();
    format!("{{\n{}\n}}\n", lines.join(",\n"))
}

/// As it is while it fits; compressed above that, which cloud-init unpacks by itself; refused
/// where even that is too much.
fn delivered(plan: &Plan<'_>, text: String) -> Result<(UserData, Problems), Problems> {
    let mut problems = Problems::default();
    if text.len() <= LARGEST_VALUE {
        if text.len() >= NEAR {
            problems.push(
                Diagnostic::warning(
                    Code::BundleNearLimit,
                    format!(
                        "the user-data has {} bytes of the {LARGEST_VALUE} that Compute Engine takes",
                        text.len()
                    ),
                )
                .help("above that it is sent compressed, and can no longer be read in the console"),
            );
        }
        return Ok((UserData { text, encoded: None }, problems));
    }
    let encoded = compressed(&text);
    if encoded.len() > LARGEST_VALUE {
        return Err(Diagnostic::error(
            Code::BundleTooLarge,
            format!(
                "the user-data has {} bytes, compressed {}, and Compute Engine takes {LARGEST_VALUE}",
                text.len(),
                encoded.len()
            ),
        )
        .help(match plan.spec.image.origin {
            ImageOrigin::Registry(_) => "bake fewer binaries",
            _ => "bake fewer binaries, or build the image elsewhere and use `strategy: registry`: then the Dockerfile stays out of the user-data",
        })
        .into());
    }
    problems.push(
        Diagnostic::warning(
            Code::BundleNearLimit,
            format!(
                "the user-data has {} bytes, more than Compute Engine takes, and is sent compressed",
                text.len()
            ),
        )
        .help(format!("{ENCODED} is what the VM gets; {NAME} is the same to read")),
    );
    Ok((UserData { text, encoded: Some(encoded) }, problems))
}

/// gzip without a name or a time in it, in base64.
fn compressed(text: &str) -> String {
    let mut encoder = GzBuilder::new().mtime(0).write(Vec::new(), Compression::best());
    let bytes = encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish());
    base64::engine::general_purpose::STANDARD.encode(bytes.expect("memory takes every write")) + "\n"
}
