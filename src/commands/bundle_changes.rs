//! The changes from one bundle to the next, by their meaning: the gateway, the tools, settings, the VM.
//!
//! Both bundles are read as text, since only the new one is known as a plan. The meaning of a line is taken from
//! the form that `bake render` gives it; an unknown line is left to the text diff.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::lock::{channel, versions};
use crate::project::values::{ArchiveFormat, ImageRef, WebUrl};
use crate::text::excerpt;

/// Longest value that is shown.
const LONGEST: usize = 120;

/// Options of `gcloud` that describe the VM.
const VM_OPTIONS: [&str; 5] = ["machine-type", "image-family", "image", "boot-disk-size", "zone"];

/// Settings that follow from others.
const DERIVED: [&str; 2] = ["OPENCLAW_IMAGE", "OPENCLAW_SOURCE_IMAGE"];

/// Files in the user-data that are compared in other ways, or are derived.
const READ_OTHERWISE: [&str; 7] = [
    "settings.env",
    "docker-compose.yml",
    "Dockerfile",
    "binaries.sha256",
    "lock.sha256",
    "SHA256SUMS",
    // Names all others.
    "release.json",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Topic {
    Gateway,
    Tool,
    Package,
    Setting,
    Vm,
    /// A script or setting of the system that `bake` puts on the VM.
    File,
}

/// One difference.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BundleChange {
    topic: Topic,
    name: String,
    /// None if it is new.
    from: Option<String>,
    /// None if it is gone.
    to: Option<String>,
}

/// The values in a bundle, by what they are about.
type BundleFacts = BTreeMap<(Topic, String), BundleFact>;

/// A value for people, and what tells it from another one.
#[derive(Debug, PartialEq, Eq)]
struct BundleFact {
    shown: String,
    exact: String,
}

/// The differences between the files of two bundles, by name.
pub(super) fn changes(old: &BTreeMap<&str, String>, new: &BTreeMap<&str, String>) -> Vec<BundleChange> {
    let (before, now) = (facts(old), facts(new));
    let keys: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let mut found = Vec::new();
    for key in keys {
        let (from, to) = (before.get(key), now.get(key));
        if from.map(|fact| &fact.exact) != to.map(|fact| &fact.exact) {
            let shown = |fact: Option<&BundleFact>| fact.map(|fact| fact.shown.clone());
            let (topic, name) = key.clone();
            found.push(BundleChange { topic, name, from: shown(from), to: shown(to) });
        }
    }
    found
}

/// One line, such as `gateway 2026.9.4 to 2026.9.6, gog 0.37.0 to 0.38.1, 2 settings`, and the settings below
/// it.
pub(super) fn described(changes: &[BundleChange]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let named = changes.iter().filter(|change| change.topic <= Topic::Tool);
    parts.extend(named.map(|change| match (&change.from, &change.to) {
        (Some(from), Some(to)) if from == to => format!("{} {to} with other files", change.name),
        (Some(from), Some(to)) => format!("{} {from} to {to}", change.name),
        (None, Some(to)) => format!("new: {} {to}", change.name),
        (_, None) => format!("without {}", change.name),
    }));
    for (topic, one, many) in [
        (Topic::Package, "Debian package", "Debian packages"),
        (Topic::Setting, "setting", "settings"),
        (Topic::Vm, "property of the VM", "properties of the VM"),
        (Topic::File, "other file of the VM", "other files of the VM"),
    ] {
        match changes.iter().filter(|change| change.topic == topic).count() {
            0 => {}
            1 => parts.push(format!("1 {one}")),
            count => parts.push(format!("{count} {many}")),
        }
    }
    let mut text = format!("{}\n", parts.join(", "));
    for change in
        changes.iter().filter(|change| matches!(change.topic, Topic::Package | Topic::Setting | Topic::Vm))
    {
        let shown = |value: &Option<String>| match value.as_deref() {
            None => "-".to_owned(),
            Some("") => "(empty)".to_owned(),
            Some(value) => value.to_owned(),
        };
        let _ = writeln!(text, "  {}: {} -> {}", change.name, shown(&change.from), shown(&change.to));
    }
    text
}

fn facts(files: &BTreeMap<&str, String>) -> BundleFacts {
    let mut facts = BundleFacts::new();
    let text = |name: &str| files.get(name).map_or("", String::as_str);
    of_dockerfile(text("Dockerfile"), &mut facts);
    of_compose(text("docker-compose.yml"), &mut facts);
    of_user_data(text("user-data.yaml"), &mut facts);
    of_script(text("gcloud.sh"), &mut facts);
    facts
}

fn add(facts: &mut BundleFacts, topic: Topic, name: &str, shown: &str, exact: &str) {
    let fact = BundleFact { shown: excerpt(shown, LONGEST), exact: exact.to_owned() };
    facts.insert((topic, excerpt(name, LONGEST)), fact);
}

/// The base image, the tools and the packages.
fn of_dockerfile(text: &str, facts: &mut BundleFacts) {
    let mut tool = None;
    let mut tools: BTreeMap<String, (Option<String>, String)> = BTreeMap::new();
    let joined = text.replace("\\\n", " ");
    for line in joined.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            ["ARG", argument] => {
                let Some(image) = argument.strip_prefix("OPENCLAW=") else { continue };
                let image = image.trim_matches(['"', '\'']);
                let reference: Option<ImageRef> = image.parse().ok();
                let tag = reference.as_ref().and_then(ImageRef::tag);
                let version = tag.and_then(channel::version_of).map(|version| version.to_string());
                let shown = version.or(tag.map(str::to_owned)).unwrap_or_else(|| image.to_owned());
                add(facts, Topic::Gateway, "gateway", &shown, image);
            }
            ["FROM", .., "AS", stage] => {
                let name = stage.strip_prefix("amd64-").or_else(|| stage.strip_prefix("arm64-"));
                tool = name.map(str::to_owned);
            }
            ["ADD", checksum, .., url, _] => {
                let Some(tool) = &tool else { continue };
                let (version, exact) = tools.entry(tool.clone()).or_default();
                let url = url.replace('\\', "");
                let _ = write!(exact, "{checksum} {url} ");
                *version = version.take().or_else(|| version_in(&url));
            }
            [
                "RUN",
                "apt-get",
                "update",
                "&&",
                "apt-get",
                "install",
                "--yes",
                "--no-install-recommends",
                ref packages @ ..,
            ] if tool.is_none() || tool.as_deref() == Some("") => {
                for package in packages.iter().take_while(|package| **package != "&&") {
                    add(facts, Topic::Package, package, package, package);
                }
            }
            _ => {}
        }
    }
    for (name, (version, exact)) in tools {
        add(facts, Topic::Tool, &name, version.as_deref().unwrap_or("of a URL"), &exact);
    }
}

/// The version in the URL of a release, or in its file name.
fn version_in(url: &str) -> Option<String> {
    let tag = url.split_once("/releases/download/").and_then(|(_, rest)| rest.split('/').next());
    let of_tag = tag.and_then(|tag| versions::of_tag(&tag.replace("%2F", "/")));
    let of_name = || {
        let url: WebUrl = url.parse().ok()?;
        let (stem, _) = ArchiveFormat::split(url.file_name());
        stem.split(['-', '_']).find(|word| word.contains('.')).and_then(versions::of_tag)
    };
    of_tag.or_else(of_name).map(|version| version.to_string())
}

/// The environment and the ports.
fn of_compose(text: &str, facts: &mut BundleFacts) {
    let mut inside = false;
    for line in text.lines() {
        let is_entry = line.starts_with("      ") && !line.trim_start().starts_with('#');
        match line.trim() {
            "environment: &environment" => inside = true,
            entry if inside && is_entry => {
                if let Some((name, value)) = entry.split_once(": ") {
                    add(facts, Topic::Setting, name, value.trim_matches('"'), value);
                }
            }
            _ => inside = false,
        }
    }
}

/// The settings of the VM's scripts, and the scripts.
fn of_user_data(text: &str, facts: &mut BundleFacts) {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("  - path: ") {
            files.push((path.trim_matches('"').to_owned(), String::new()));
        } else if let Some((_, content)) = files.last_mut()
            && let Some(line) = line.strip_prefix("      ")
        {
            content.push_str(line);
            content.push('\n');
        }
    }
    for (path, content) in files {
        let name = path.rsplit('/').next().unwrap_or_default();
        if name == "settings.env" {
            for (name, value) in content.lines().filter_map(|line| line.split_once('=')) {
                if !name.starts_with('#') && !DERIVED.contains(&name) {
                    add(facts, Topic::Setting, name, value.trim_matches('\''), value);
                }
            }
        } else if !READ_OTHERWISE.contains(&name) {
            add(facts, Topic::File, &path, name, &content);
        }
    }
}

/// The VM's properties in the commands that create it.
fn of_script(text: &str, facts: &mut BundleFacts) {
    for word in text.split_whitespace() {
        let Some((name, value)) = word.strip_prefix("--").and_then(|option| option.split_once('=')) else {
            continue;
        };
        if VM_OPTIONS.contains(&name) && !value.starts_with('$') && !value.contains('"') {
            add(facts, Topic::Vm, name, value.trim_matches('\''), value);
        }
    }
}
