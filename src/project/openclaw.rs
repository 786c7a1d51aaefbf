//! The parts of OpenClaw that can be set up without a person: onboarding choices, and channels.
//!
//! It is data, in `images/openclaw.yaml`, read like any other file.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::defaults;
use super::names::{AuthChoice, Channel, EnvName};
use super::values::{Destination, ImageRef, InnerPath};
use crate::diagnostics::{Problems, Source};
use crate::yaml;
use crate::yaml::decode::{Entries, Field, decode};

/// The choice that leaves out the model.
pub const SKIP: &str = "skip";

/// The versions of Node that OpenClaw 2026.9 runs on (`engines` of its package).
pub const NODE: &str = "Node 24 from 24.16 on, or 26.1 and later";

/// Whether OpenClaw runs on this version of Node, such as `24.16.0`; `None` if that is not a version.
pub fn runs_on_node(version: &str) -> Option<bool> {
    let mut numbers = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    let (major, minor) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(match major {
        24 => minor >= 16,
        26 => minor >= 1,
        _ => major > 26,
    })
}

/// Choices and channels of the releases that were looked at.
#[derive(Debug)]
pub struct OpenClaw {
    releases: Vec<String>,
    /// The choices of onboarding. The first of a provider is its usual one.
    pub choices: Vec<Choice>,
    /// The channels, by name.
    pub channels: Vec<KnownChannel>,
    /// The servers of plug-ins.
    pub plugins: Vec<Destination>,
    hosts: BTreeMap<String, Vec<Destination>>,
}

/// One choice of `onboard --auth-choice`.
#[derive(Debug)]
pub struct Choice {
    /// Its name.
    pub choice: AuthChoice,
    /// The model provider it sets up.
    pub provider: String,
    /// The requirements of the setup.
    pub needs: Needs,
    /// Whether the provider has models to talk to.
    pub chats: bool,
}

/// The requirements of a choice.
#[derive(Debug, PartialEq, Eq)]
pub enum Needs {
    /// A secret, any of these.
    Key(Vec<EnvName>),
    /// The address of a server.
    Address,
    /// A person.
    Person,
}

/// One channel.
#[derive(Debug)]
pub struct KnownChannel {
    /// Its name.
    pub name: Channel,
    /// The npm package of its plug-in, unless OpenClaw ships it.
    pub plugin: Option<String>,
    /// The secrets it takes, all of them.
    pub secrets: Vec<EnvName>,
    /// The file that is there once a person has linked an account, below OpenClaw's state folder.
    pub link: Option<InnerPath>,
    /// Whether only a person can set it up.
    pub by_hand: bool,
    /// Its servers, as far as they are known.
    pub hosts: Vec<Destination>,
}

impl OpenClaw {
    /// The built-in data.
    pub fn builtin() -> &'static Self {
        static BUILTIN: LazyLock<OpenClaw> = LazyLock::new(|| {
            let mut problems = Problems::default();
            let known = OpenClaw::read(defaults::OPENCLAW, &mut problems);
            known.filter(|_| problems.is_empty()).expect("a test reads the built-in file")
        });
        &BUILTIN
    }

    /// Whether the release in `image` is one of those that were looked at, variants included.
    pub fn covers(&self, image: &ImageRef) -> bool {
        image.tag().is_some_and(|tag| {
            let release = tag.split_once('-').map_or(tag, |(release, _)| release);
            self.releases.iter().any(|known| known == release)
        })
    }

    /// The choice of that name.
    pub fn choice(&self, name: &str) -> Option<&Choice> {
        self.choices.iter().find(|known| known.choice.as_str() == name)
    }

    /// The usual choice of a model provider.
    pub fn provider(&self, name: &str) -> Option<&Choice> {
        self.choices.iter().find(|known| known.chats && known.provider == name)
    }

    /// The servers of a model provider, as far as they are known.
    pub fn hosts(&self, provider: &str) -> &[Destination] {
        self.hosts.get(provider).map_or(&[], Vec::as_slice)
    }

    /// The channel of that name.
    pub fn channel(&self, name: &str) -> Option<&KnownChannel> {
        self.channels.iter().find(|known| known.name.as_str() == name)
    }

    /// Whether anything that OpenClaw can be set up with takes a secret of that name.
    pub fn asks_for(&self, secret: &EnvName) -> bool {
        let by_choice = |known: &Choice| matches!(&known.needs, Needs::Key(keys) if keys.contains(secret));
        self.choices.iter().any(by_choice) || self.channels.iter().any(|known| known.secrets.contains(secret))
    }

    fn read(text: &str, problems: &mut Problems) -> Option<Self> {
        let source = Arc::new(Source::new("openclaw.yaml", text));
        let node = yaml::parse(&source)
            .map_err(|unreadable| problems.push(unreadable.at(Arc::clone(&source))))
            .ok()?;
        let raw = decode::<RawOpenClaw>(&node, &source, problems).get()?;
        let releases = raw.releases.get()?.into_iter().map(Field::get);
        let choices = raw.choices.get()?.into_iter().map(|choice| choice.get()?.complete());
        let channels = raw.channels.get()?.into_iter().map(|channel| channel.get()?.complete());
        let hosts = raw.hosts.get()?.0.into_iter().map(|(name, hosts)| Some((name.get()?, all(hosts)?)));
        Some(Self {
            releases: releases.collect::<Option<_>>()?,
            choices: choices.collect::<Option<_>>()?,
            channels: channels.collect::<Option<_>>()?,
            plugins: all(raw.plugins)?,
            hosts: hosts.collect::<Option<_>>()?,
        })
    }
}

/// The items of a list, which may be missing.
fn all<T>(list: Field<Vec<Field<T>>>) -> Option<Vec<T>> {
    list.get().unwrap_or_default().into_iter().map(Field::get).collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawOpenClaw {
    #[serde(rename = "version")]
    _version: Field<u64>,
    releases: Field<Vec<Field<String>>>,
    choices: Field<Vec<Field<RawChoice>>>,
    channels: Field<Vec<Field<RawChannel>>>,
    hosts: Field<Entries<String, Vec<Field<Destination>>>>,
    plugins: Field<Vec<Field<Destination>>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawChoice {
    choice: Field<AuthChoice>,
    provider: Field<String>,
    key: Field<Vec<Field<EnvName>>>,
    needs: Field<RawNeeds>,
    chats: Field<bool>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum RawNeeds {
    Person,
    Address,
}

impl RawChoice {
    fn complete(self) -> Option<Choice> {
        let needs = match self.needs.get() {
            Some(RawNeeds::Person) => Needs::Person,
            Some(RawNeeds::Address) => Needs::Address,
            None => Needs::Key(self.key.get()?.into_iter().map(Field::get).collect::<Option<_>>()?),
        };
        Some(Choice {
            choice: self.choice.get()?,
            provider: self.provider.get()?,
            needs,
            chats: self.chats.get().unwrap_or(true),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RawChannel {
    name: Field<Channel>,
    plugin: Field<String>,
    secrets: Field<Vec<Field<EnvName>>>,
    link: Field<InnerPath>,
    hosts: Field<Vec<Field<Destination>>>,
    needs: Field<RawNeeds>,
}

impl RawChannel {
    fn complete(self) -> Option<KnownChannel> {
        Some(KnownChannel {
            name: self.name.get()?,
            plugin: self.plugin.get(),
            secrets: all(self.secrets)?,
            hosts: all(self.hosts)?,
            link: self.link.get(),
            by_hand: matches!(self.needs.get(), Some(RawNeeds::Person)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn node_versions_are_compared() {
        for (version, runs) in [
            ("24.15.9", Some(false)),
            ("24.16.0", Some(true)),
            ("25.9.0", Some(false)),
            ("26.0.1", Some(false)),
            ("v26.1.0", Some(true)),
            ("30.0.0", Some(true)),
            ("lts", None),
        ] {
            assert_eq!(runs_on_node(version), runs, "{version}");
        }
    }

    #[test]
    fn the_built_in_file_reads_without_a_complaint() {
        let mut problems = Problems::default();
        let known = OpenClaw::read(defaults::OPENCLAW, &mut problems);
        assert!(problems.is_empty(), "{}", crate::diagnostics::terminal::render(&problems, false));
        let known = known.expect("complete entries");
        let choices: BTreeSet<_> = known.choices.iter().map(|known| &known.choice).collect();
        assert_eq!(choices.len(), known.choices.len(), "each choice once");
        let channels: BTreeSet<_> = known.channels.iter().map(|known| &known.name).collect();
        assert_eq!(channels.len(), known.channels.len(), "each channel once");
        for provider in known.hosts.keys() {
            assert!(known.choices.iter().any(|known| &known.provider == provider), "{provider}");
        }
        let usual = known.channels.iter().filter(|known| !known.by_hand);
        assert!(usual.clone().all(|known| !known.hosts.is_empty()) && !known.plugins.is_empty());
        for choice in &known.choices {
            assert!(!matches!(&choice.needs, Needs::Key(keys) if keys.is_empty()), "{}", choice.choice);
        }
    }

    #[test]
    fn the_documentation_has_each_name_with_its_secrets() {
        let page = include_str!("../../docs/gateway.md");
        let known = OpenClaw::builtin();
        for choice in &known.choices {
            let (own, usual) = (choice.choice.as_str(), known.provider(&choice.provider));
            let usual = usual.is_some_and(|usual| usual.choice == choice.choice);
            let name = if usual { &choice.provider } else { own };
            match &choice.needs {
                Needs::Key(keys) => {
                    let keys: Vec<_> = keys.iter().map(|key| format!("`{key}`")).collect();
                    let row = format!("| `{name}` | {} |", keys.join(" or "));
                    assert!(page.contains(&row), "{row}");
                }
                Needs::Person => assert!(page.contains(&format!("`{own}`")), "{own}"),
                Needs::Address => {}
            }
        }
        for channel in known.channels.iter().filter(|known| !known.by_hand) {
            let secrets: Vec<_> = channel.secrets.iter().map(|secret| format!("`{secret}`")).collect();
            let secrets = if secrets.is_empty() { "none".to_owned() } else { secrets.join(", ") };
            let row = format!("| `{}` | {secrets} |", channel.name);
            assert!(page.contains(&row), "{row}");
        }
    }

    #[test]
    fn a_variant_of_an_image_is_of_the_same_release() {
        let covers = |tag: &str| {
            let image = format!("ghcr.io/openclaw/openclaw:{tag}").parse().expect("an image");
            OpenClaw::builtin().covers(&image)
        };
        assert!(covers("2026.9.4") && covers("2026.9.6-browser") && covers("2026.9.6-r20260924"));
        assert!(!covers("2026.9.40") && !covers("latest") && !covers("2026.10.1"));
    }
}
