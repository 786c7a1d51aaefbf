//! From the spec as written to the checked one: each value by itself, and the defaults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::model::ModelChecker;
use super::rules::{LARGEST_SWAP, OWN_VARIABLES, Rules, SMALLEST_BOOT_DISK};
use super::{Gateway, Gcp, Host, ImageOrigin, ImageSpec, SecretSource, Spec, raw, secrecy};
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Source, Spanned, holds_password, quoted};
use crate::project::defaults;
use crate::project::host_os::HostOs;
use crate::project::names::{AptPackage, Channel, EnvName};
use crate::project::openclaw::OpenClaw;
use crate::project::values::{Arch, EnvValue, ImageRef, Size, Strategy, TimeZone};
use crate::yaml::Node;
use crate::yaml::decode::{Entries, Field, decode};

/// Persistent disks start at this size ("About Persistent Disk", size limits).
const SMALLEST_DATA_DISK: Size = Size::gigabytes(10);
const LARGEST_DISK: Size = Size::gigabytes(65536);

struct Checker<'a> {
    /// The spec's `secrets`, where there are some.
    section: Option<&'a Node>,
    source: &'a Arc<Source>,
    problems: &'a mut Problems,
}

pub(super) fn spec(
    node: &Node,
    declared: &BTreeSet<String>,
    source: &Arc<Source>,
    problems: &mut Problems,
) -> Option<Spec> {
    let raw = decode::<raw::RawSpec>(node, source, problems).get()?;
    let section = node.get("secrets");
    let spec = Checker { section, source, problems }.spec(raw);
    Rules { section, declared, source, problems }.hold(&spec);
    Some(spec)
}

impl Checker<'_> {
    fn spec(&mut self, raw: raw::RawSpec) -> Spec {
        self.version(raw.version);
        Spec {
            name: self.named(raw.name, "openclaw-gateway"),
            id: raw.id.at(self.source),
            gateway: self.gateway(raw.gateway.get().unwrap_or_default()),
            image: self.image(raw.image.get().unwrap_or_default()),
            host: self.host(raw.host.get().unwrap_or_default()),
            gcp: self.gcp(raw.gcp.get().unwrap_or_default()),
            secrets: self.secrets(raw.secrets),
        }
    }

    fn version(&mut self, version: Field<u64>) {
        match version.at(self.source) {
            Some(version) if version.value != 1 => self.problems.push(
                Diagnostic::error(
                    Code::UnsupportedVersion,
                    format!("this release of bake reads version 1 of the spec, not {}", version.value),
                )
                .at(version.place)
                .help("write `version: 1`, or use a newer release of bake"),
            ),
            _ => {}
        }
    }

    fn gateway(&mut self, raw: raw::RawGateway) -> Gateway {
        let known = OpenClaw::builtin();
        let mut checker = ModelChecker { known, source: self.source, problems: self.problems };
        let (auth_choice, model) = checker.model(raw.model, raw.auth_choice);
        Gateway {
            image: self.base_image(raw.image),
            port: self.number(raw.port, 18789, 1..=u16::MAX, "a port"),
            timezone: raw.timezone.or(TimeZone::UTC, self.source),
            env: self.env(raw.env),
            auth_choice,
            model,
            channels: self.list(raw.channels, Channel::as_str),
        }
    }

    fn base_image(&mut self, image: Field<ImageRef>) -> Spanned<ImageRef> {
        let image: Spanned<ImageRef> = self.named(image, "ghcr.io/openclaw/openclaw:2026.9.4");
        if image.tag().is_none() && image.digest().is_none() {
            self.problems.push(
                Diagnostic::error(Code::BadValue, "the base image has neither a tag nor a digest")
                    .at(image.place.clone())
                    .help("name a version, such as `ghcr.io/openclaw/openclaw:2026.9.4`"),
            );
        }
        if image.tag() == Some("latest") && image.digest().is_none() {
            self.problems.push(
                Diagnostic::warning(
                    Code::BadValue,
                    "`latest` moves: what is locked today is another image tomorrow",
                )
                .at(image.place.clone())
                .help("name a version, such as `:2026.9.4`"),
            );
        }
        image
    }

    fn env(&mut self, raw: Field<Entries<EnvName, EnvValue>>) -> Vec<(Spanned<EnvName>, Spanned<EnvValue>)> {
        let mut env = Vec::new();
        for (name, value) in raw.get().unwrap_or_default().0 {
            let (Some(name), Some(value)) = (name.at(self.source), value.at(self.source)) else { continue };
            let suspicion = if secrecy::is_secret_name(name.as_str()) {
                Some("is a secret by its name")
            } else if holds_password(value.as_str()) {
                Some("holds a URL with a password")
            } else {
                secrecy::is_key(value.as_str()).then_some("holds a key, by its first letters")
            };
            if let Some(suspicion) = suspicion {
                self.problems.push(
                    Diagnostic::error(
                        Code::LiteralSecret,
                        format!("{} {suspicion}, and `env` is for plain settings", quoted(name.as_str())),
                    )
                    .at(value.place)
                    .help(format!("under `secrets`, write `{}: {{secret_manager: ID}}`", name.as_str())),
                );
            } else if OWN_VARIABLES.contains(&name.as_str()) {
                self.problems.push(
                    Diagnostic::error(
                        Code::ReservedName,
                        format!("{} is set by bake itself", quoted(name.as_str())),
                    )
                    .at(name.place)
                    .help("remove it; time zone and port have keys of their own"),
                );
            } else {
                env.push((name, value));
            }
        }
        env
    }

    fn image(&mut self, raw: raw::RawImage) -> ImageSpec {
        let strategy = raw.strategy.or(Strategy::BuildOnVm, self.source);
        // What was told to be wrong is not missing too.
        let told = matches!(raw.registry, Field::Invalid) || matches!(raw.source, Field::Invalid);
        let registry = raw.registry.get_some(self.source);
        let source = raw.source.get_some(self.source);
        let origin = if told { ImageOrigin::BuildOnVm } else { self.origin(&strategy, registry, source) };
        ImageSpec {
            origin,
            apt: if raw.apt.is_missing() {
                vec![self.named(Field::Missing, "socat")]
            } else {
                self.list(raw.apt, AptPackage::as_str)
            },
            binaries: self.named(raw.binaries, defaults::MANIFEST_PATH),
        }
    }

    fn origin(
        &mut self,
        strategy: &Spanned<Strategy>,
        registry: Option<Spanned<ImageRef>>,
        source: Option<Spanned<raw::RawSource>>,
    ) -> ImageOrigin {
        let unused = |key: &str, place| {
            Diagnostic::warning(
                Code::Contradiction,
                format!("`{key}` has no effect with the strategy `{}`", strategy.as_str()),
            )
            .at(place)
            .help(format!("remove it, or set `strategy: {key}`"))
        };
        if let Some(registry) = registry.as_ref().filter(|_| strategy.value != Strategy::Registry) {
            self.problems.push(unused("registry", registry.place.clone()));
        }
        if let Some(source) = source.as_ref().filter(|_| strategy.value != Strategy::Source) {
            self.problems.push(unused("source", source.place.clone()));
        }
        let missing = |message: &str, help: &str| {
            Diagnostic::error(Code::MissingKey, message).at(strategy.place.clone()).help(help)
        };
        match (strategy.value, registry, source) {
            (Strategy::BuildOnVm, ..) => ImageOrigin::BuildOnVm,
            (Strategy::Registry, Some(registry), _) => ImageOrigin::Registry(registry),
            (Strategy::Registry, None, _) => {
                self.problems.push(missing(
                    "the strategy `registry` needs to know the finished image",
                    "add `registry: HOST/REPOSITORY` under `image`, with `@sha256:…` where it is there already",
                ));
                ImageOrigin::BuildOnVm
            }
            (Strategy::Source, _, Some(source)) => {
                let told = [
                    matches!(source.value.repo, Field::Invalid),
                    matches!(source.value.commit, Field::Invalid),
                ];
                let (repo, commit) = (source.value.repo.at(self.source), source.value.commit.at(self.source));
                if let (Some(repo), Some(commit)) = (repo, commit) {
                    return ImageOrigin::Source { repo, commit };
                }
                if !told.contains(&true) {
                    self.problems.push(missing(
                        "the strategy `source` needs a repository and a commit",
                        "write `source: {repo: https://github.com/openclaw/openclaw.git, commit: …}` with all 40 digits",
                    ));
                }
                ImageOrigin::BuildOnVm
            }
            (Strategy::Source, _, None) => {
                self.problems.push(missing(
                    "the strategy `source` needs to know the sources",
                    "add `source: {repo: https://github.com/openclaw/openclaw.git, commit: …}` under `image`",
                ));
                ImageOrigin::BuildOnVm
            }
        }
    }

    fn host(&mut self, raw: raw::RawHost) -> Host {
        Host {
            os: raw.os.or(HostOs::Debian13, self.source),
            arch: raw.arch.or(Arch::Amd64, self.source),
            swap: self.size(raw.swap, Size::gigabytes(2), Size::gigabytes(0), LARGEST_SWAP, "a swap file"),
        }
    }

    fn gcp(&mut self, raw: raw::RawGcp) -> Gcp {
        let keep = match raw.snapshots {
            Field::Given(None, _) => None,
            Field::Given(Some(snapshots), _) => Some(snapshots.keep_days),
            Field::Missing | Field::Invalid => Some(Field::Missing),
        };
        Gcp {
            project: raw.project.get_some(self.source),
            zone: self.named(raw.zone, "us-central1-a"),
            machine_type: self.named(raw.machine_type, "e2-small"),
            boot_disk: self.disk(raw.boot_disk, Size::gigabytes(20), SMALLEST_BOOT_DISK, "a boot disk"),
            data_disk: self.disk(raw.data_disk, Size::gigabytes(10), Size::gigabytes(0), "a data disk"),
            public_ip: raw.public_ip.or(true, self.source),
            service_account: self.named(raw.service_account, "openclaw-gateway"),
            snapshot_days: keep.map(|days| self.number(days, 14, 1..=365, "a number of days")),
        }
    }

    fn secrets(
        &mut self,
        raw: Field<Entries<EnvName, raw::RawSecret>>,
    ) -> Vec<(Spanned<EnvName>, SecretSource)> {
        if raw.is_missing() {
            let generated = |name| (self.named(Field::Missing, name), SecretSource::Generated);
            return ["OPENCLAW_GATEWAY_TOKEN", "GOG_KEYRING_PASSWORD"].map(generated).into();
        }
        let mut secrets = Vec::new();
        for (name, secret) in raw.get().unwrap_or_default().0 {
            let (Some(name), Some(secret)) = (name.at(self.source), secret.at(self.source)) else { continue };
            let raw::RawSecret { generate, secret_manager } = secret.value;
            // With anything in it, a wrong key was told already.
            let empty =
                self.section.and_then(|section| section.get(name.as_str())).is_some_and(Node::is_empty);
            let nothing_said = empty && generate.is_missing() && secret_manager.is_missing();
            let generate = generate.get().is_some();
            let place = secret_manager.place(self.source);
            match secret_manager.get() {
                Some(id) if secrecy::is_key(id.as_str()) => self.problems.push(
                    Diagnostic::error(
                        Code::LiteralSecret,
                        format!("what stands as the id of {} looks like the key itself", quoted(name.as_str())),
                    )
                    .at(place)
                    .help("put the key into Secret Manager, and its id there into the spec; replace the key if it was in use"),
                ),
                Some(id) => secrets.push((name, SecretSource::SecretManager { id, generate })),
                None if generate => secrets.push((name, SecretSource::Generated)),
                None if nothing_said => self.problems.push(
                    Diagnostic::error(
                        Code::MissingKey,
                        format!("nothing says where the value of {} comes from", quoted(name.as_str())),
                    )
                    .at(name.place)
                    .help("write `{generate: hex32}` or `{secret_manager: ID}`"),
                ),
                None => {}
            }
        }
        secrets
    }

    /// A value from text, or a default that is text too.
    fn named<T: std::str::FromStr<Err: std::fmt::Debug>>(
        &self,
        field: Field<T>,
        default: &str,
    ) -> Spanned<T> {
        field
            .at(self.source)
            .unwrap_or_else(|| Spanned::default_value(default.parse().expect("defaults are well-formed")))
    }

    fn number(
        &mut self,
        field: Field<u64>,
        default: u16,
        range: std::ops::RangeInclusive<u16>,
        what: &str,
    ) -> Spanned<u16> {
        let Some(given) = field.at(self.source) else { return Spanned::default_value(default) };
        match u16::try_from(given.value) {
            Ok(value) if range.contains(&value) => Spanned { value, place: given.place },
            _ => {
                self.problems.push(
                    Diagnostic::error(Code::BadValue, format!("{} is not {what}", given.value))
                        .at(given.place)
                        .help(format!("choose from {} to {}", range.start(), range.end())),
                );
                Spanned::default_value(default)
            }
        }
    }

    fn size(
        &mut self,
        field: Field<Size>,
        default: Size,
        least: Size,
        most: Size,
        what: &str,
    ) -> Spanned<Size> {
        let size = field.or(default, self.source);
        if size.mib() < least.mib() || size.mib() > most.mib() {
            self.problems.push(
                Diagnostic::error(Code::BadValue, format!("not a possible size of {what}"))
                    .at(size.place.clone())
                    .help(format!("choose from {}GB to {}GB", least.gb(), most.gb())),
            );
        }
        size
    }

    fn disk(&mut self, field: Field<Size>, default: Size, least: Size, what: &str) -> Spanned<Size> {
        let size = self.size(field, default, least, LARGEST_DISK, what);
        let too_small = !size.is_zero() && size.mib() < SMALLEST_DATA_DISK.mib() && least.is_zero();
        if !size.is_whole_gb() || too_small {
            self.problems.push(
                Diagnostic::error(Code::BadValue, format!("not a possible size of {what}"))
                    .at(size.place.clone())
                    .help(format!("disks come in whole gigabytes, from {}GB on", SMALLEST_DATA_DISK.gb())),
            );
        }
        size
    }

    /// The readable items of a list, each once.
    fn list<T>(&mut self, field: Field<Vec<Field<T>>>, text: impl Fn(&T) -> &str) -> Vec<Spanned<T>> {
        let mut kept: Vec<Spanned<T>> = Vec::new();
        let mut first = BTreeMap::<String, Option<Location>>::new();
        for item in field.get().unwrap_or_default() {
            let Some(item) = item.at(self.source) else { continue };
            if let Some(first) = first.get(text(&item)) {
                self.problems.push(
                    Diagnostic::error(Code::Duplicate, format!("{} is a duplicate", quoted(text(&item))))
                        .at(item.place)
                        .related(first.clone(), "the first time")
                        .help("remove one of the two"),
                );
            } else {
                first.insert(text(&item).to_owned(), item.place.clone());
                kept.push(item);
            }
        }
        kept
    }
}
