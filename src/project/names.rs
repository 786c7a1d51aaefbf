//! Texts that must be of a certain form, each with the rule it comes from.
//!
//! Each row is a type: its pattern checks the value and is part of the JSON Schema.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;

use regex_lite::Regex;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::diagnostics::quoted;

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $pattern:literal, $rule:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                static FORM: LazyLock<Option<Regex>> =
                    LazyLock::new(|| Regex::new(concat!(r"\A(?:", $pattern, r")\z")).ok());
                match &*FORM {
                    Some(form) if form.is_match(text) => Ok(Self(text.to_owned())),
                    _ => Err(format!("{} is not {}", quoted(text), $rule)),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text(deserializer)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "pattern": concat!("^(?:", $pattern, ")$"),
                    "description": concat!("It must be ", $rule, "."),
                })
            }
        }
    )*};
}

names! {
    /// The VM's name (RFC 1035, as Compute Engine asks for), short enough that `NAME-data` and
    /// `NAME-daily` are names of at most 63 characters too.
    VmName = r"[a-z](?:[-a-z0-9]{0,55}[a-z0-9])?",
        "a VM name: lower-case letters, digits and `-`, first a letter, last not `-`, at most 57 characters";
    /// The id of a project, a label on the resources that bake creates ("Requirements for labels", Compute Engine).
    LabelId = r"[a-z0-9](?:[a-z0-9_-]{0,61}[a-z0-9])?",
        "an id for labels: lower-case letters, digits, `-` and `_`, first and last a letter or digit, at most 63 characters";
    /// A binary's name: its command, and a stage of the Dockerfile.
    ToolName = r"[a-z0-9](?:[a-z0-9._-]{0,62}[a-z0-9])?",
        "a command name: lower-case letters, digits, `.`, `_` and `-`, first and last a letter or digit, at most 64 characters";
    /// A release's version, as in URLs.
    Version = r"[A-Za-z0-9](?:[A-Za-z0-9+~_-]|\.[A-Za-z0-9+~_-])*",
        "a version: letters, digits, `.`, `+`, `~`, `_` and `-`, first a letter or digit, no `..`";
    /// A GitHub repository, `OWNER/REPO`.
    RepoSlug = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,38})/[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}",
        "a GitHub repository such as `owner/name`";
    /// A release asset's file name, with `{version}` and `{arch}`.
    AssetPattern = r"[A-Za-z0-9{][A-Za-z0-9{}._+~-]*",
        "an asset name such as `tool_{version}_linux_{arch}.tar.gz`";
    /// How a publisher spells an architecture.
    ArchSpelling = r"[A-Za-z0-9][A-Za-z0-9._-]*",
        "an architecture as in a file name, such as `x86_64`";
    /// An OpenClaw skill.
    SkillName = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?",
        "a skill's name such as `gog` or `model-usage`";
    /// The name of an environment variable (POSIX, "Environment Variable Definition").
    EnvName = r"[A-Za-z_][A-Za-z0-9_]{0,127}",
        "a variable name: letters, digits and `_`, first not a digit";
    /// A Debian package, with a version where wanted (Debian Policy 5.6.1 and 5.6.12).
    ///
    /// apt-get takes a last `-` for "remove it" and a last `+` for "install it".
    AptPackage = r"[a-z0-9][a-z0-9+.-]*(?:[a-z0-9.]|\+\+)(?:=[A-Za-z0-9.+:~-]*[A-Za-z0-9.+~])?",
        "a Debian package such as `socat` or `socat=1.7.4.4-2`";
    /// A Google Cloud project id.
    ProjectId = r"(?:[a-z0-9.-]+\.[a-z]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]",
        "a project id: 6 to 30 lower-case letters, digits and `-`, first a letter";
    /// A Compute Engine zone.
    Zone = r"[a-z]+-[a-z]+[0-9]{1,2}-[a-z]",
        "a zone such as `us-central1-a`";
    /// A Compute Engine machine type.
    MachineType = r"[a-z][a-z0-9]{1,9}(?:-[a-z0-9]{1,20}){1,4}",
        "a machine type such as `e2-small`";
    /// A time of day in UTC, to the minute.
    ClockTime = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]",
        "a time of day such as `04:30`";
    /// A VPC network of Compute Engine: of this project, or of the host project of a Shared VPC.
    NetworkName = r"(?:projects/(?:[a-z0-9.-]+\.[a-z]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]/global/networks/)?[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?",
        "a network such as `default`, or `projects/HOST/global/networks/NAME` of a Shared VPC";
    /// A subnet of a VPC network, in the VM's region.
    SubnetName = r"(?:projects/(?:[a-z0-9.-]+\.[a-z]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]/regions/[a-z]+-[a-z]+[0-9]{1,2}/subnetworks/)?[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?",
        "a subnet's name, or `projects/HOST/regions/REGION/subnetworks/NAME` of a Shared VPC";
    /// The key of a label ("Requirements for labels", Compute Engine), in ASCII.
    LabelKey = r"[a-z][a-z0-9_-]{0,62}",
        "a label's key: lower-case letters, digits, `-` and `_`, first a letter, at most 63 characters";
    /// The value of a label.
    LabelValue = r"[a-z0-9_-]{0,63}",
        "a label's value: lower-case letters, digits, `-` and `_`, at most 63 characters";
    /// A snapshot of a disk (RFC 1035, as Compute Engine asks for).
    SnapshotName = r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?",
        "a snapshot's name: lower-case letters, digits and `-`, first a letter, last not `-`, at most 63 characters";
    /// The identity of a release on a VM.
    ReleaseId = r"[0-9a-f]{16}",
        "a release: its 16 hexadecimal digits, as `bake gcloud releases` prints them";
    /// The id of a service account, the part before `@`.
    ServiceAccount = r"[a-z][-a-z0-9]{4,28}[a-z0-9]",
        "a service account id: 6 to 30 lower-case letters, digits and `-`, first a letter";
    /// The id of a secret in Secret Manager.
    SecretId = r"[A-Za-z0-9_-]{1,255}",
        "a Secret Manager id: letters, digits, `_` and `-`";
    /// A repository that Docker's builder takes for git, and to which a commit can be added: with
    /// `.git` at its end and no `#` or `?` (Docker build context, "Git repositories").
    GitUrl = r"(?:https://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]+)?|http://(?:localhost|127\.0\.0\.1)(?::[0-9]+)?)(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*\.git",
        "an https URL that ends in `.git`, such as `https://github.com/openclaw/openclaw.git`";
    /// A git commit, whole.
    CommitId = r"[0-9a-f]{40}",
        "a commit: all 40 hexadecimal digits in lower case";
    /// A choice of OpenClaw's `onboard --auth-choice`.
    AuthChoice = r"[A-Za-z][A-Za-z0-9-]{0,63}",
        "an auth choice such as `skip` or `openai-api-key`";
    /// The name of a secret where its value could be pasted by mistake: in capitals, unlike most values.
    SecretName = r"[A-Z][A-Z0-9_]{0,127}",
        "the name of a secret in capitals, such as `LLM_KEY`";
    /// A model provider of OpenClaw.
    Provider = r"[a-z0-9][a-z0-9-]{0,63}",
        "a model provider such as `anthropic`";
    /// A model, by its provider's name for it.
    ModelName = r"[A-Za-z0-9@](?:[A-Za-z0-9._:/@+-]{0,158}[A-Za-z0-9])?",
        "a model's name such as `claude-opus-5`";
    /// The address of a server with models.
    ModelUrl = r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~-]+)*/?",
        "a server's address such as `https://llm.example.com/v1`, without a user, a query or a fragment";
    /// A public key of minisign: the second line of its `.pub` file.
    MinisignKey = r"RW[A-Za-z0-9+/]{54}",
        "a minisign public key: the 56 characters of its second line, `RW…`";
    /// A channel of OpenClaw.
    Channel = r"[a-z][a-z0-9-]{0,31}",
        "a channel such as `telegram`";
}

impl VmName {
    /// The data disk's name, which is its device name too.
    pub fn data_disk(&self) -> String {
        format!("{self}-data")
    }

    /// The name of the data disk's snapshot schedule.
    pub fn snapshot_schedule(&self) -> String {
        format!("{self}-daily")
    }
}

impl Zone {
    /// The region it lies in.
    pub fn region(&self) -> &str {
        self.0.rsplit_once('-').map_or(&self.0, |(region, _)| region)
    }
}

impl NetworkName {
    /// The project that its path names.
    pub fn host(&self) -> Option<&str> {
        host(&self.0)
    }

    /// Its name without the path.
    pub fn name(&self) -> &str {
        last(&self.0)
    }
}

impl SubnetName {
    /// The project that its path names.
    pub fn host(&self) -> Option<&str> {
        host(&self.0)
    }

    /// The region that its path names.
    pub fn region(&self) -> Option<&str> {
        self.0.split('/').nth(3)
    }

    /// Its name without the path.
    pub fn name(&self) -> &str {
        last(&self.0)
    }
}

/// `HOST` of `projects/HOST/…`.
fn host(path: &str) -> Option<&str> {
    path.strip_prefix("projects/")?.split('/').next()
}

fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl RepoSlug {
    /// The repository's own name, without its owner's.
    pub fn name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// The URL of its page.
    pub fn url(&self) -> String {
        format!("https://github.com/{self}")
    }
}

/// Reads a type from text by its `FromStr`.
///
/// # Errors
/// What `FromStr` says of it.
pub fn text<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: fmt::Display>,
{
    struct Text<T>(std::marker::PhantomData<T>);

    impl<T: FromStr<Err: fmt::Display>> de::Visitor<'_> for Text<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("text")
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
            text.parse().map_err(E::custom)
        }
    }

    deserializer.deserialize_str(Text(std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_compiles_and_is_anchored() {
        assert!("openclaw-gateway".parse::<VmName>().is_ok());
        assert!("openclaw-gateway\n".parse::<VmName>().is_err());
        assert!("Openclaw".parse::<VmName>().is_err());
        assert!("a".repeat(58).parse::<VmName>().is_err());
        assert!("gog".parse::<ToolName>().is_ok());
        assert!("../gog".parse::<ToolName>().is_err());
        assert!("1.2.3-rc.1+x".parse::<Version>().is_ok());
        assert!("1..2".parse::<Version>().is_err());
        assert!("owner/name".parse::<RepoSlug>().is_ok());
        assert!("owner/../name".parse::<RepoSlug>().is_err());
        assert!("owner/..".parse::<RepoSlug>().is_err());
        assert!("x_{version}_{arch}.zip".parse::<AssetPattern>().is_ok());
        assert!("x86_64".parse::<ArchSpelling>().is_ok());
        assert!("model-usage".parse::<SkillName>().is_ok());
        assert!("GOG_KEYRING_PASSWORD".parse::<EnvName>().is_ok());
        assert!("socat=1.7.4.4-2".parse::<AptPackage>().is_ok());
        assert!("g++".parse::<AptPackage>().is_ok());
        assert!("-o".parse::<AptPackage>().is_err());
        assert!("tini-".parse::<AptPackage>().is_err());
        assert!("https://github.com/openclaw/openclaw.git".parse::<GitUrl>().is_ok());
        assert!("https://github.com/x/y".parse::<GitUrl>().is_err());
        assert!("https://github.com/x/y.git#evil:sub".parse::<GitUrl>().is_err());
        assert!("https://github.com/x/y.git?ref=z".parse::<GitUrl>().is_err());
        assert!("example.com:my-project".parse::<ProjectId>().is_ok());
        assert_eq!(
            "us-central1-a".parse::<Zone>().map(|zone| zone.region().to_owned()),
            Ok("us-central1".to_owned())
        );
        assert!("e2-custom-2-4096".parse::<MachineType>().is_ok());
        assert!("openclaw-gateway".parse::<ServiceAccount>().is_ok());
        assert!("openai-api-key".parse::<SecretId>().is_ok());
        assert!("openclaw-gateway-data-20260102-030405".parse::<SnapshotName>().is_ok());
        assert!("-x".parse::<SnapshotName>().is_err());
        let network: NetworkName = "projects/net-host-1/global/networks/prod".parse().expect("a network");
        assert_eq!((network.host(), network.name()), (Some("net-host-1"), "prod"));
        let subnet: SubnetName =
            "projects/example.com:net-host/regions/europe-west1/subnetworks/vms".parse().expect("a subnet");
        assert_eq!(
            (subnet.host(), subnet.region(), subnet.name()),
            (Some("example.com:net-host"), Some("europe-west1"), "vms")
        );
        assert_eq!("vms".parse::<SubnetName>().map(|subnet| subnet.host().is_none()), Ok(true));
        for wrong in ["projects/net-host-1/networks/prod", "global/networks/prod", "Prod", "a/b", ""] {
            assert!(wrong.parse::<NetworkName>().is_err() && wrong.parse::<SubnetName>().is_err(), "{wrong}");
        }
        assert!("cost-center".parse::<LabelKey>().is_ok() && "4a".parse::<LabelKey>().is_err());
        assert!("4a".parse::<LabelValue>().is_ok() && "".parse::<LabelValue>().is_ok());
        assert!("Team".parse::<LabelValue>().is_err() && "a=b".parse::<LabelValue>().is_err());
        assert!("0".repeat(40).parse::<CommitId>().is_ok());
        assert!("apiKey".parse::<AuthChoice>().is_ok());
        assert!("telegram".parse::<Channel>().is_ok());
        assert!("anthropic/claude-opus-5:free".parse::<ModelName>().is_ok());
        assert!("https://llm.example.com:8443/v1".parse::<ModelUrl>().is_ok());
        assert!("http://[::1]:11434/v1/".parse::<ModelUrl>().is_ok());
        for wrong in
            ["https://me:pass@host/v1", "https://host/v1?key=x", "ftp://host", "https://", "https://h/a b"]
        {
            assert!(wrong.parse::<ModelUrl>().is_err(), "{wrong}");
        }
    }
}
