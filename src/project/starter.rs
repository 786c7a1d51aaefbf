//! A project's first `bake.yaml`: the built-in spec with some other values.

use std::fmt::Write;

use super::defaults;
use super::names::{Channel, EnvName, LabelId, MachineType, Provider, VmName, Zone};
use super::openclaw::{Needs, OpenClaw};
use super::values::Size;

/// The answers to the questions of `bake init`.
#[derive(Clone, Debug)]
pub struct Answers {
    /// The VM's name.
    pub name: VmName,
    /// The project's id in labels.
    pub id: LabelId,
    /// The zone.
    pub zone: Zone,
    /// The machine type.
    pub machine_type: MachineType,
    /// The model provider; none leaves the choice for later.
    pub model: Option<Provider>,
    /// The channels.
    pub channels: Vec<Channel>,
    /// The data disk; `0` for none.
    pub data_disk: Size,
}

impl Answers {
    /// The secrets that provider and channels need, each under its variable.
    pub fn secrets(&self) -> Vec<EnvName> {
        let known = OpenClaw::builtin();
        let choice = self.model.as_ref().and_then(|provider| known.provider(provider.as_str()));
        let key = choice.and_then(|choice| match &choice.needs {
            Needs::Key(names) => names.first(),
            Needs::Address | Needs::Person => None,
        });
        let channels = self.channels.iter().filter_map(|channel| known.channel(channel.as_str()));
        let tokens = channels.flat_map(|channel| &channel.secrets);
        let mut secrets: Vec<EnvName> = Vec::new();
        for name in key.into_iter().chain(tokens) {
            if !secrets.contains(name) {
                secrets.push(name.clone());
            }
        }
        secrets
    }

    /// The text of `bake.yaml`, its comments kept.
    pub fn spec(&self) -> String {
        let mut text = defaults::SPEC.to_owned();
        for (key, value) in [
            ("name", self.name.to_string()),
            // Quoted, because `4e99999` is a number in YAML.
            ("# id", format!("\"{}\"", self.id)),
            ("  zone", self.zone.to_string()),
            ("  machine_type", self.machine_type.to_string()),
            ("  data_disk", self.data_disk.to_string()),
        ] {
            set(&mut text, key, &value);
        }
        if let Some(provider) = &self.model {
            set(&mut text, "  model", &format!("{{provider: {provider}}}"));
        }
        if self.data_disk.is_zero() {
            set(&mut text, "  snapshots", "null");
        }
        let channels: Vec<_> = self.channels.iter().map(Channel::as_str).collect();
        set(&mut text, "  channels", &format!("[{}]", channels.join(", ")));
        for name in self.secrets() {
            // In Secret Manager, under a name that no other gateway of the project has.
            let id = format!("{}-{}", self.name, name.as_str().to_ascii_lowercase().replace('_', "-"));
            let _ = writeln!(text, "  {name}: {{secret_manager: {id}}}");
        }
        text
    }
}

/// Replaces the value of the line of `key`, with its indentation; the comment after it keeps its column
/// where there is room.
fn set(text: &mut String, key: &str, value: &str) {
    let lines = text.lines().map(|line| {
        let Some(old) = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")) else {
            return format!("{line}\n");
        };
        // One that the built-in spec leaves out is written as a comment there.
        let new = format!("{}: {value}", key.trim_start_matches("# "));
        match old.find(" #") {
            Some(at) => {
                let (before, comment) = old.split_at(at + 1);
                let column = key.len() + 2 + before.len();
                format!("{new:<width$} {comment}\n", width = column - 1)
            }
            None => format!("{new}\n"),
        }
    });
    *text = lines.collect();
}

/// A VM name from the last part of a folder's absolute path: in lower case, with `-` in place of invalid
/// characters, and with some digits of the path's digest, so that two folders never get the same name.
///
/// Nothing where the folder's name has no letter or digit that a VM name could have.
pub fn vm_name(path: &str) -> Option<VmName> {
    let folder = path.rsplit('/').next().unwrap_or_default();
    let mut name = String::new();
    for c in folder.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
    }
    if !name.bytes().any(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert_str(0, "vm-");
    }
    name.truncate(LONGEST - DIGITS - 1);
    let digest = crate::digest::Sha256::of(path).short(DIGITS);
    format!("{}-{digest}", name.trim_end_matches('-')).parse().ok()
}

/// Characters of a VM name.
const LONGEST: usize = 57;
/// Digits of the digest in a name.
const DIGITS: usize = 4;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::diagnostics::{Problems, Source, terminal};
    use crate::project::spec;

    fn answers() -> Answers {
        Answers {
            name: "abc".parse().expect("a name"),
            id: "4e99999".parse().expect("an id"),
            zone: "europe-west4-b".parse().expect("a zone"),
            machine_type: "e2-standard-16".parse().expect("a machine type"),
            model: None,
            channels: Vec::new(),
            data_disk: Size::gigabytes(37),
        }
    }

    fn read(text: &str) -> spec::Spec {
        let mut problems = Problems::default();
        let spec = spec::read(Source::new("bake.yaml", text), &mut problems);
        assert!(problems.is_empty(), "{}\n{text}", terminal::render(&problems, false));
        spec.expect("a spec")
    }

    #[test]
    fn each_answer_is_in_the_spec_and_all_else_is_as_it_was() {
        let text = answers().spec();
        let spec = read(&text);
        assert_eq!(spec.name.as_str(), "abc");
        assert_eq!(spec.id.as_ref().map(|id| id.as_str()), Some("4e99999"));
        assert_eq!(spec.gcp.zone.as_str(), "europe-west4-b");
        assert_eq!(spec.gcp.machine_type.as_str(), "e2-standard-16");
        assert_eq!(spec.gcp.data_disk.gb(), 37);
        let changed = text.lines().zip(defaults::SPEC.lines()).filter(|(new, old)| new != old).count();
        assert_eq!((changed, text.lines().count()), (5, defaults::SPEC.lines().count()));
        let comment = |text: &str, start: &str| {
            let line = text.lines().find(|line| line.starts_with(start)).map(str::to_owned);
            line.and_then(|line| line.find('#')).expect("a comment")
        };
        assert_eq!(comment(&text, "name:"), comment(defaults::SPEC, "name:"));
    }

    /// Every provider and channel that can be set up without a person, with the secrets that it needs.
    #[test]
    fn every_model_and_channel_makes_a_spec_without_a_problem() {
        let known = OpenClaw::builtin();
        for choice in
            known.choices.iter().filter(|choice| choice.chats && matches!(choice.needs, Needs::Key(_)))
        {
            let model = Some(choice.provider.parse().expect("a provider"));
            read(&Answers { model, ..answers() }.spec());
        }
        let channels: Vec<Channel> =
            known.channels.iter().filter(|known| !known.by_hand).map(|known| known.name.clone()).collect();
        let spec =
            read(&Answers { channels: channels.clone(), data_disk: Size::gigabytes(0), ..answers() }.spec());
        assert_eq!(spec.gateway.channels.len(), channels.len());
        assert!(spec.gcp.data_disk.is_zero() && spec.gcp.snapshot_days.is_none());
    }

    #[test]
    fn a_folder_gives_its_name_to_the_vm_and_no_two_the_same() {
        let name = |folder: &str| vm_name(&format!("/home/me/{folder}")).map(|name| name.to_string());
        assert_ne!(name("my-gateway"), vm_name("/home/you/my-gateway").map(|name| name.to_string()));
        for nothing in ["", "...", "日本", "--", "_ _"] {
            assert_eq!(name(nothing), None, "{nothing}");
        }
        let long = "x".repeat(80);
        let folders = [
            "my-gateway",
            "my_gateway",
            "My-Gateway",
            "my gateway",
            "my-gateway-",
            "2024-bot",
            "größe",
            "Bot",
            &long[..58],
            &long,
        ];
        let names: BTreeSet<_> = folders.iter().map(|folder| name(folder).expect("a name")).collect();
        assert_eq!(names.len(), folders.len(), "{names:?}");
        assert!(name("my_gateway").is_some_and(|name| name.starts_with("my-gateway-")), "{names:?}");
        assert!(name("2024-bot").is_some_and(|name| name.starts_with("vm-2024-bot-")), "{names:?}");
    }
}
