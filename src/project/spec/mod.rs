//! The spec, `bake.yaml`: the gateway, its VM and its secrets.

mod check;
pub mod keys;
mod model;
pub mod raw;
mod rules;
mod secrecy;

use std::sync::Arc;

pub use keys::{Gateway, Gcp, Host, ImageSpec, Spec};

use super::names::{CommitId, EnvName, GitUrl, ModelName, ModelUrl, Provider, SecretId};
use super::openclaw::OpenClaw;
use super::values::{Destination, Egress, ImageRef, ModelApi, Size, Strategy};
use crate::diagnostics::{Problems, Source, Spanned};
use crate::yaml;
use crate::yaml::decode::{Field, decode};
use check::Checker;
use rules::Rules;

/// The port on which the gateway listens inside its container.
pub const CONTAINER_PORT: u16 = 18789;

/// How long OpenClaw may take to stop: it finishes the reply that it is giving (`gateway-shutdown-budget.mjs`
/// in its package).
pub const STOP_GRACE_SECONDS: u32 = 330;

/// The secret that is the gateway's password.
pub const GATEWAY_TOKEN: &str = "OPENCLAW_GATEWAY_TOKEN";

/// The secret with the token of a Telegram bot, which OpenClaw takes from the environment.
const TELEGRAM_TOKEN: &str = "TELEGRAM_BOT_TOKEN";

/// The model that the agents talk to.
#[derive(Clone, Debug)]
pub enum Model {
    /// OpenClaw's choice, or the usual one of the auth choice.
    Default,
    /// A model of a provider that OpenClaw knows.
    Named {
        /// The provider.
        provider: Provider,
        /// The model, by the provider's name for it.
        name: Spanned<ModelName>,
    },
    /// A model of a server with its address.
    Served {
        /// The address.
        base_url: Spanned<ModelUrl>,
        /// The server's protocol.
        api: ModelApi,
        /// The model, by the server's name for it.
        name: Spanned<ModelName>,
        /// The secret that holds the key.
        key: Option<Spanned<EnvName>>,
    },
}

impl Gateway {
    /// The hosts that the container may reach although they are private or `egress` is `listed`: those of the spec,
    /// the model's server, and for `listed` the known ones of the model's provider and of the channels.
    pub fn destinations(&self) -> Vec<Destination> {
        let mut all: Vec<_> = self.network.allow.iter().map(|allowed| allowed.value.clone()).collect();
        let mut add = |new: Destination| {
            if !all.contains(&new) {
                all.push(new);
            }
        };
        if let Model::Served { base_url, .. } = &self.model
            && let Some(server) = server(base_url.as_str())
        {
            add(server);
        }
        if self.network.egress.value == Egress::Listed {
            let known = OpenClaw::builtin();
            if let Some(choice) = known.choice(self.auth_choice.as_str()) {
                known.hosts(&choice.provider).iter().cloned().for_each(&mut add);
            }
            for channel in self.channels.iter().filter_map(|channel| known.channel(channel.as_str())) {
                channel.hosts.iter().cloned().for_each(&mut add);
                if channel.plugin.is_some() {
                    known.plugins.iter().cloned().for_each(&mut add);
                }
            }
        }
        all
    }
}

/// The server of a URL.
fn server(url: &str) -> Option<Destination> {
    let url = url::Url::parse(url).ok()?;
    let address = match url.host()? {
        url::Host::Domain(name) => {
            return format!("{}:{}", name.to_lowercase(), url.port_or_known_default()?).parse().ok();
        }
        url::Host::Ipv4(address) => address.into(),
        url::Host::Ipv6(address) => address.into(),
    };
    Some(Destination::server(address, url.port_or_known_default()?))
}

/// The source of the gateway's image.
#[derive(Clone, Debug)]
pub enum ImageOrigin {
    /// Built on the VM, on top of the official image.
    BuildOnVm,
    /// A finished image. Without a digest, the lock has that of the last push.
    Registry(Spanned<ImageRef>),
    /// Built on the VM, on top of OpenClaw built there too.
    Source {
        /// The git repository.
        repo: Spanned<GitUrl>,
        /// The commit.
        commit: Spanned<CommitId>,
    },
}

impl ImageOrigin {
    /// The strategy's name.
    pub const fn strategy(&self) -> Strategy {
        match self {
            Self::BuildOnVm => Strategy::BuildOnVm,
            Self::Registry(_) => Strategy::Registry,
            Self::Source { .. } => Strategy::Source,
        }
    }
}

impl Spec {
    /// The token of the Telegram bot that all members of a fleet would share.
    pub fn shared_telegram_token(&self, members: usize) -> Option<&Spanned<EnvName>> {
        self.secrets
            .iter()
            .filter(|(name, source)| {
                name.as_str() == TELEGRAM_TOKEN && matches!(source, SecretSource::SecretManager { .. })
            })
            .map(|(name, _)| name)
            .find(|_| members > 1)
    }
}

impl Gcp {
    /// Boot disk and data disk together.
    pub fn disks(&self) -> Size {
        Size::gigabytes(self.boot_disk.gb() + self.data_disk.gb())
    }
}

/// The source of a secret's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// Made on the VM at first boot, kept on the data disk.
    Generated,
    /// Read from Secret Manager at every start.
    SecretManager {
        /// Its id there.
        id: SecretId,
        /// Whether its first value is generated when it is created.
        generate: bool,
    },
}

/// Reads a spec; errors are added to `problems`.
///
/// Returns `None` if the text could not be read at all. A spec with errors has defaults in place of invalid
/// values, and only serves to find further problems.
pub fn read(mut source: Source, problems: &mut Problems) -> Option<Spec> {
    let (node, declared, source) = match yaml::parse(&source) {
        Ok(mut node) => {
            source.hide(secrecy::values(&node, source.text()));
            let source = Arc::new(source);
            let declared = secrecy::declared(&node);
            secrecy::refuse_literals(&mut node, &source, problems);
            (node, declared, source)
        }
        Err(unreadable) => {
            source.hide(secrecy::suspects(source.text()));
            problems.push(unreadable.at(Arc::new(source)));
            return None;
        }
    };
    let raw = decode::<keys::RawSpec>(&node, &source, problems);
    if !matches!(raw, Field::Given(..)) {
        return None;
    }
    let section = node.get("secrets");
    let vm_name = vm_name(&raw);
    let spec = Checker { section, vm_name, source: &source, problems }.spec(raw, "");
    Rules { section, declared: &declared, source: &source, problems }.hold(&spec);
    Some(spec)
}

/// The name of the VM as the spec writes it, or the usual one.
fn vm_name(raw: &Field<keys::RawSpec>) -> String {
    match raw {
        Field::Given(keys::RawSpec { name: Field::Given(name, _), .. }, _) => name.to_string(),
        _ => "openclaw-gateway".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{SecretSource, read};
    use crate::diagnostics::{Problems, Source};

    #[test]
    fn a_generated_secret_is_kept_in_secret_manager_with_one_word() {
        let secrets = "{OPENCLAW_GATEWAY_TOKEN: {generate: hex32, keep_in: secret-manager}, \
                       GOG_KEYRING_PASSWORD: {generate: hex32, keep_in: data-disk}}";
        let text = format!("version: 1\nname: agent-7\nsecrets: {secrets}\n");
        let spec = read(Source::new("bake.yaml", text), &mut Problems::default()).expect("a spec");
        let source = |at: usize| spec.secrets[at].1.clone();
        let id = "agent-7-openclaw-gateway-token".parse().expect("an id");
        assert_eq!(source(0), SecretSource::SecretManager { id, generate: true });
        assert_eq!(source(1), SecretSource::Generated);
    }

    fn destinations(gateway: &str) -> Vec<String> {
        let text = format!("version: 1\ngateway: {gateway}\n");
        let spec = read(Source::new("bake.yaml", text), &mut Problems::default()).expect("a spec");
        spec.gateway.destinations().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_listed_network_has_the_hosts_of_model_and_channels() {
        let model = "model: {provider: groq}, channels: [slack]";
        let allow = "allow: [10.1.2.3:5432, slack.com]";
        assert_eq!(
            destinations(&format!("{{{model}, network: {{egress: listed, {allow}}}}}")),
            ["10.1.2.3:5432", "slack.com", "api.groq.com", "slack-files.com", "registry.npmjs.org"]
        );
        assert_eq!(
            destinations(&format!("{{{model}, network: {{{allow}}}}}")),
            ["10.1.2.3:5432", "slack.com"]
        );
        let server = "model: {base_url: 'https://models.example.com/v1', name: big}";
        assert_eq!(destinations(&format!("{{{server}}}")), ["models.example.com:443"]);
    }
}
