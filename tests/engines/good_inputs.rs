//! Odd but legal projects: the real reader of each rendered file reads every value back unchanged.
//!
//! A folder of `fixtures/good` holds the files that differ from the default project, like those of
//! `fixtures/bad`. If `bake.lock` is missing, the test makes one: with `bake lock` if all tools are in
//! the catalog, else with made-up digests.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::support::dockerfile::stage;
use crate::support::test;
use crate::support::{Folder, build, said, testbed};
use bake::diagnostics::{Problems, Source};
use bake::lock::Build;
use bake::project::catalog::Catalog;
use bake::project::manifest::{Binary, BinarySource, Manifest};
use bake::project::spec::Spec;
use bake::project::values::{Arch, ArchiveFormat};
use bake::project::{manifest, spec};
use serde_json::Value;

const FILES: [&str; 3] = ["bake.yaml", "images/binaries.yaml", "bake.lock"];

fn fixtures() -> Vec<PathBuf> {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/good");
    let entries = fs::read_dir(all).expect("the fixtures");
    let mut folders: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.sort();
    folders
}

/// A rendered project with its spec and manifest.
struct Rendered {
    name: String,
    folder: Folder,
    spec: Spec,
    manifest: Manifest,
}

fn rendered(fixture: &Path) -> Rendered {
    let name = fixture.file_name().expect("a name").to_string_lossy().into_owned();
    let folder = Folder::project();
    for file in FILES {
        if let Ok(content) = fs::read(fixture.join(file)) {
            folder.write(file, content);
        }
    }
    let mut problems = Problems::default();
    let spec = spec::read(Source::new("bake.yaml", folder.read("bake.yaml")), &mut problems);
    let path = spec.as_ref().map_or("images/binaries.yaml", |spec| spec.image.binaries.as_str());
    if path != FILES[1] {
        folder.write(path, folder.read(FILES[1]));
    }
    let source = Source::new(path, folder.read(path));
    let manifest = manifest::read(source, Catalog::builtin(), &mut problems);
    let (Some(spec), Some(manifest)) = (spec, manifest) else { panic!("{name}: {problems:?}") };
    if !fixture.join(FILES[2]).exists() {
        if manifest.binaries.iter().all(|binary| matches!(binary.origin, BinarySource::Catalog(_))) {
            folder.bake(["lock", "--offline"]).done();
        } else {
            let builds: Vec<_> = manifest.binaries.iter().flat_map(builds).collect();
            let builds: Vec<_> =
                builds.iter().map(|(name, arch, build)| (name.as_str(), *arch, build.clone())).collect();
            folder.lock(&builds);
        }
    }
    let said = folder.bake(["render"]);
    assert_eq!(said.code, 0, "{name}: {}", said.err);
    Rendered { name, folder, spec, manifest }
}

/// A build for each architecture, with `{version}` and `{arch}` expanded.
fn builds(binary: &Binary) -> Vec<(String, Arch, Build)> {
    let BinarySource::Url { url, arch: spellings } = &binary.origin else {
        panic!("a URL: {:?}", binary.name)
    };
    let version = binary.version.as_ref().map_or("", |version| version.as_str());
    let archs = Arch::ALL.into_iter().filter_map(|arch| match spellings {
        None => Some((arch, arch.as_str())),
        Some(spellings) => Some((arch, spellings.get(&arch)?.as_str())),
    });
    archs
        .map(|(arch, word)| {
            let filled = |text: &str| text.replace("{version}", version).replace("{arch}", word);
            let path = binary.binary.as_ref().map_or(binary.name.as_str(), |path| path.as_str());
            let url = filled(url.as_str());
            let build = build(&url, url.as_bytes(), &filled(path), Some(path.as_bytes()));
            (binary.name.to_string(), arch, build)
        })
        .collect()
}

/// Runs a reader with `input` on its standard input.
fn piped(mut command: Command, input: &str) -> String {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a reader of the testbed");
    child.stdin.take().expect("its input").write_all(input.as_bytes()).expect("what it reads");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{command:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The files that cloud-init writes, by path, as Debian `release`'s YAML reader parses them.
fn on_vm(rendered: &Rendered, release: &str) -> BTreeMap<String, String> {
    let reader = testbed::tool(&format!("yaml-to-json-{release}"));
    let text = piped(reader, &rendered.folder.read("out/user-data.yaml"));
    let user_data: Value = serde_json::from_str(&text).expect("JSON");
    let files = user_data["write_files"].as_array().expect("files");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    files.iter().map(|file| (text(&file["path"]), text(&file["content"]))).collect()
}

#[test]
fn rendering_is_reproducible() {
    let fixtures = fixtures();
    assert!(fixtures.len() >= 12, "{} fixtures", fixtures.len());
    for fixture in &fixtures {
        let rendered = rendered(fixture);
        assert!(rendered.folder.bake(["render", "--check"]).code == 0, "{}", rendered.name);
        rendered.folder.bake(["check", "--json"]).done();
    }
}

/// Compose reads `gateway.env` back unchanged.
#[test]
fn compose_passes_every_value_unchanged() {
    for fixture in fixtures() {
        let rendered = rendered(&fixture);
        let mut compose = testbed::tool("docker-26");
        // The env_file exists only on the VM. An empty file replaces it.
        let secrets = rendered.folder.join("secrets.env");
        fs::write(&secrets, "").expect("a file");
        let text = rendered.folder.read("out/docker-compose.yml");
        let text = text.replace("/run/openclaw/secrets.env", secrets.to_str().expect("a path"));
        rendered.folder.write("compose/docker-compose.yml", text);
        compose.args(["compose", "--profile", "cli", "-f"]);
        compose.arg(rendered.folder.join("compose/docker-compose.yml"));
        // Values must not interpolate the caller's variables.
        compose.args(["config", "--format", "json"]).env("HOME_SWEET", "interpolated");
        let said = said(&mut compose);
        assert_eq!(said.code, 0, "{}: {}", rendered.name, said.err);
        let config: Value = serde_json::from_str(&said.out).expect("JSON");
        for service in ["openclaw-gateway", "openclaw-cli"] {
            let service = &config["services"][service];
            let set = service["environment"].as_object().expect("an environment");
            for (name, value) in &rendered.spec.gateway.env {
                // Compose escapes `$` in its output, so that it can read it again.
                let read = set[name.as_str()].as_str().map(|read| read.replace("$$", "$"));
                assert_eq!(read.as_deref(), Some(value.as_str()), "{}: {}", rendered.name, name.as_str());
            }
            assert_eq!(set["TZ"], rendered.spec.gateway.timezone.as_str(), "{}", rendered.name);
            assert_eq!(set["OPENCLAW_GATEWAY_PORT"], "18789");
        }
        let port = &config["services"]["openclaw-gateway"]["ports"][0];
        assert_eq!(port["published"], rendered.spec.gateway.port.to_string(), "{}", rendered.name);
        assert_eq!(port["host_ip"], "127.0.0.1");
    }
}

/// cloud-init writes only the bundle's files and the repository's scripts.
#[test]
fn user_data_contains_every_file_byte_for_byte() {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("cloud-init");
    for fixture in fixtures() {
        let rendered = rendered(&fixture);
        for release in ["12", "13"] {
            let files = on_vm(&rendered, release);
            let mut held = 0;
            for (path, content) in &files {
                let name = path.rsplit('/').next().unwrap_or_default();
                let of_bundle = rendered.folder.join("out").join(name);
                let own = scripts.join(name);
                let original = if path.starts_with("/opt/openclaw/") && of_bundle.exists() {
                    of_bundle
                } else if own.exists() {
                    own
                } else {
                    continue;
                };
                held += 1;
                let original = fs::read_to_string(original).expect("a file");
                assert_eq!(*content, original, "{}: {path}, Debian {release}", rendered.name);
            }
            assert!(held >= 16, "{}: {held} files", rendered.name);
        }
    }
}

/// The scripts on the VM source `settings.env`.
#[test]
fn shells_read_every_setting_unchanged() {
    for fixture in fixtures() {
        let rendered = rendered(&fixture);
        let files = on_vm(&rendered, "13");
        rendered.folder.write("settings.env", &files["/opt/openclaw/settings.env"]);
        let spec = &rendered.spec;
        let channels: Vec<_> = spec.gateway.channels.iter().map(|channel| channel.as_str()).collect();
        let project = spec.gcp.project.as_ref().map(|project| project.value.to_string()).unwrap_or_default();
        let data_disk =
            if spec.gcp.data_disk.is_zero() { String::new() } else { format!("{}-data", spec.name.value) };
        let wanted = [
            ("OPENCLAW_STRATEGY", spec.image.origin.strategy().as_str().to_owned()),
            ("OPENCLAW_PORT", spec.gateway.port.to_string()),
            ("OPENCLAW_SWAP_MIB", spec.host.swap.mib().to_string()),
            ("OPENCLAW_DATA_DISK", data_disk),
            ("OPENCLAW_AUTH_CHOICE", spec.gateway.auth_choice.to_string()),
            ("OPENCLAW_CHANNELS", channels.join(" ")),
            ("OPENCLAW_PROJECT", project),
        ];
        for shell in ["dash", "bash"] {
            let mut shell = testbed::program(shell);
            let print = |(name, _): &(&str, String)| format!("printf '%s\\0' \"${name}\"\n");
            let script = format!(". ./settings.env\n{}", wanted.iter().map(print).collect::<String>());
            shell.args(["-euc", &script]).current_dir(rendered.folder.path());
            let said = said(&mut shell).done();
            let read: Vec<_> = said.out.split_terminator('\0').collect();
            let values: Vec<_> = wanted.iter().map(|(_, value)| value.as_str()).collect();
            assert_eq!(read, values, "{}", rendered.name);
        }
    }
}

/// The shell's view of the words in the Dockerfile's `RUN` lines.
#[test]
fn shells_read_dockerfile_urls_and_paths_unchanged() {
    for fixture in fixtures() {
        let rendered = rendered(&fixture);
        let dockerfile = rendered.folder.read("out/Dockerfile");
        for binary in &rendered.manifest.binaries {
            if !matches!(binary.origin, BinarySource::Url { .. }) {
                continue;
            }
            for (name, arch, build) in builds(binary) {
                let stage = stage(&dockerfile, &name, arch);
                assert_eq!(stage.url, build.url.as_str(), "{}", rendered.name);
                assert_eq!(stage.sha256, build.sha256.to_string(), "{}", rendered.name);
                if ArchiveFormat::of(build.url.file_name()) != ArchiveFormat::TarGz {
                    continue;
                }
                let print = ["tar", "install"].map(|name| format!("{name}() {{ printf '%s\\0' \"$@\"; }}\n"));
                let tar_and_install = stage.script.split(" && echo ").next().expect("commands");
                let mut shell = Command::new("sh");
                shell.args(["-euc", &(print.concat() + tar_and_install)]);
                let said = said(&mut shell).done();
                let read = said.out.split_terminator('\0').filter(|word| *word == build.binary.as_str());
                assert_eq!(read.count(), 2, "{}: {}", rendered.name, stage.script);
            }
        }
    }
}

#[test]
fn many_binaries_are_merged_in_stages() {
    let many = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/good/forty-five-binaries");
    let rendered = rendered(&many);
    assert_eq!(rendered.manifest.binaries.len(), 45);
    let dockerfile = rendered.folder.read("out/Dockerfile");
    assert_eq!(dockerfile.matches("AS gather-").count(), 2, "{dockerfile}");
    assert_eq!(dockerfile.matches("COPY --from=gather-").count(), 2, "{dockerfile}");
}
