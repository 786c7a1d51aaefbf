//! From the spec as written to the checked one: each value by itself, and the defaults.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::model::ModelChecker;
use super::raw::{KEEP_DAYS, RawModel, RawSecret, RawSnapshots, RawSource, builtin};
use super::rules::{LARGEST_SWAP, OWN_VARIABLES, SMALLEST_DATA_DISK};
use super::{ImageOrigin, Model, SecretSource, secrecy};
use crate::diagnostics::{
    Code, Diagnostic, Location, Problems, Source, Span, Spanned, holds_password, quoted,
};
use crate::project::names::{AuthChoice, EnvName, LabelKey, LabelValue};
use crate::project::openclaw::OpenClaw;
use crate::project::values::{Destination, EnvValue, ImageRef, KeepIn, Size, Strategy};
use crate::yaml::Node;
use crate::yaml::decode::{Entries, Field};

const LARGEST_DISK: Size = Size::gigabytes(65536);

/// Prefixes of the label keys that bake and Google set.
const OWN_LABELS: [&str; 2] = ["openclaw", "goog"];
/// Compute Engine takes 64 labels for each resource ("Requirements for labels"), and bake sets four.
const MOST_LABELS: usize = 60;

/// The addresses of Compute Engine's metadata server ("About VM metadata").
const METADATA_SERVERS: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
];

pub(super) struct Checker<'a> {
    /// The spec's `secrets`, where there are some.
    pub(super) section: Option<&'a Node>,
    /// The VM's name, after which kept secrets are named.
    pub(super) vm_name: String,
    pub(super) source: &'a Arc<Source>,
    pub(super) problems: &'a mut Problems,
}

impl Checker<'_> {
    pub(super) fn version(&mut self, version: Field<u64>) {
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

    pub(super) fn model(
        &mut self,
        model: Field<Option<RawModel>>,
        auth_choice: Field<AuthChoice>,
    ) -> (Spanned<AuthChoice>, Model) {
        let known = OpenClaw::builtin();
        ModelChecker { known, source: self.source, problems: self.problems }.model(model, auth_choice)
    }

    pub(super) fn base_image(&mut self, image: Field<ImageRef>, default: &str) -> Spanned<ImageRef> {
        let image = self.value(image, default);
        if image.tag().is_none() && image.digest().is_none() {
            self.problems.push(
                Diagnostic::error(Code::BadValue, "the base image has neither a tag nor a digest")
                    .at(image.place.clone())
                    .help(format!("name a version, such as `{default}`")),
            );
        }
        if image.tag() == Some("latest") && image.digest().is_none() {
            self.problems.push(
                Diagnostic::warning(Code::BadValue, "`latest` moves: it may name another image tomorrow")
                    .at(image.place.clone())
                    .help(format!("name a version, such as `{default}`")),
            );
        }
        image
    }

    pub(super) fn env(
        &mut self,
        raw: Field<Entries<EnvName, EnvValue>>,
        _default: &str,
    ) -> Vec<(Spanned<EnvName>, Spanned<EnvValue>)> {
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
                    .help("remove it; time zone and port have separate keys"),
                );
            } else {
                env.push((name, value));
            }
        }
        env
    }

    pub(super) fn labels(
        &mut self,
        raw: Field<Entries<LabelKey, LabelValue>>,
        _default: &str,
    ) -> Vec<(Spanned<LabelKey>, Spanned<LabelValue>)> {
        let mut labels = Vec::new();
        for (key, value) in raw.get().unwrap_or_default().0 {
            let (Some(key), Some(value)) = (key.at(self.source), value.at(self.source)) else { continue };
            if OWN_LABELS.iter().any(|start| key.as_str().starts_with(start)) {
                self.problems.push(
                    Diagnostic::error(
                        Code::ReservedName,
                        format!("the label {} is reserved", quoted(key.as_str())),
                    )
                    .at(key.place)
                    .help(
                        "bake labels its resources with `openclaw…`, Google with `goog…`: choose another key",
                    ),
                );
            } else if labels.len() == MOST_LABELS {
                self.problems.push(
                    Diagnostic::error(Code::BadValue, format!("there are more than {MOST_LABELS} labels"))
                        .at(key.place)
                        .help(
                            "Compute Engine takes 64 labels for each resource, and bake needs some of them",
                        ),
                );
                break;
            } else {
                labels.push((key, value));
            }
        }
        labels
    }

    pub(super) fn origin(
        &mut self,
        strategy: Field<Strategy>,
        registry: Field<Option<ImageRef>>,
        source: Field<Option<RawSource>>,
    ) -> ImageOrigin {
        let strategy = strategy.or(Strategy::BuildOnVm, self.source);
        // An invalid value is not missing as well.
        let invalid = matches!(registry, Field::Invalid) || matches!(source, Field::Invalid);
        let registry = registry.get_some(self.source);
        let source = source.get_some(self.source);
        if invalid {
            return ImageOrigin::BuildOnVm;
        }
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

    pub(super) fn snapshot_days(&mut self, snapshots: Field<Option<RawSnapshots>>) -> Option<Spanned<u16>> {
        let days = match snapshots {
            Field::Given(None, _) => return None,
            Field::Given(Some(snapshots), _) => snapshots.keep_days,
            Field::Missing | Field::Invalid => Field::Missing,
        };
        Some(self.number(days, KEEP_DAYS, 1..=365, "a number of days"))
    }

    pub(super) fn secrets(
        &mut self,
        raw: Field<Entries<EnvName, RawSecret>>,
        default: &str,
    ) -> Vec<(Spanned<EnvName>, SecretSource)> {
        if raw.is_missing() {
            let mut secrets = self.secrets(Field::Given(builtin(default), Span::default()), default);
            for (name, _) in &mut secrets {
                name.place = None;
            }
            return secrets;
        }
        let mut secrets = Vec::new();
        for (name, secret) in raw.get().unwrap_or_default().0 {
            let (Some(name), Some(secret)) = (name.at(self.source), secret.at(self.source)) else { continue };
            let RawSecret { generate, secret_manager, keep_in } = secret.value;
            // A section with content has an error that was reported already.
            let empty =
                self.section.and_then(|section| section.get(name.as_str())).is_some_and(Node::is_empty);
            let nothing_said = empty && generate.is_missing() && secret_manager.is_missing();
            let generate = generate.get().is_some();
            let place = secret_manager.place(self.source);
            let keep_place = keep_in.place(self.source);
            let keep_in = keep_in.get();
            if let Some(keep_in) = keep_in
                && (!generate || !secret_manager.is_missing())
            {
                self.problems.push(
                    Diagnostic::error(
                        Code::Contradiction,
                        "`keep_in` is for a generated value without `secret_manager`",
                    )
                    .at(keep_place)
                    .help(match keep_in {
                        KeepIn::DataDisk => "write `{generate: hex32}`",
                        KeepIn::SecretManager => "write `{generate: hex32, keep_in: secret-manager}`",
                    }),
                );
                continue;
            }
            if keep_in == Some(KeepIn::SecretManager) {
                let own = format!("{}-{}", self.vm_name, name.as_str().to_lowercase().replace('_', "-"));
                match own.parse() {
                    Ok(id) => secrets.push((name, SecretSource::SecretManager { id, generate })),
                    Err(why) => self.problems.push(Diagnostic::error(Code::BadValue, why).at(name.place)),
                }
                continue;
            }
            match secret_manager.get() {
                Some(id) if secrecy::is_key(id.as_str()) => self.problems.push(
                    Diagnostic::error(
                        Code::LiteralSecret,
                        format!("the id of {} looks like the key itself", quoted(name.as_str())),
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
    pub(super) fn value<T: DeserializeOwned>(&self, field: Field<T>, default: &str) -> Spanned<T> {
        field.at(self.source).unwrap_or_else(|| Spanned::default_value(builtin(default)))
    }

    /// A value that may be `null`, as it is by default.
    pub(super) fn optional<T>(&self, field: Field<Option<T>>, _default: &str) -> Option<Spanned<T>> {
        field.get_some(self.source)
    }

    pub(super) fn number(
        &mut self,
        field: Field<u64>,
        default: &str,
        range: std::ops::RangeInclusive<u16>,
        what: &str,
    ) -> Spanned<u16> {
        let given = self.value(field, default);
        match u16::try_from(given.value) {
            Ok(value) if range.contains(&value) => Spanned { value, place: given.place },
            _ => {
                self.problems.push(
                    Diagnostic::error(Code::BadValue, format!("{} is not {what}", given.value))
                        .at(given.place)
                        .help(format!("choose from {} to {}", range.start(), range.end())),
                );
                Spanned::default_value(*range.start())
            }
        }
    }

    pub(super) fn swap(&mut self, field: Field<Size>, default: &str) -> Spanned<Size> {
        self.size(field, default, Size::gigabytes(0), LARGEST_SWAP, "a swap file")
    }

    fn size(
        &mut self,
        field: Field<Size>,
        default: &str,
        least: Size,
        most: Size,
        what: &str,
    ) -> Spanned<Size> {
        let size = self.value(field, default);
        if size.mib() < least.mib() || size.mib() > most.mib() {
            self.problems.push(
                Diagnostic::error(Code::BadValue, format!("not a possible size of {what}"))
                    .at(size.place.clone())
                    .help(format!("choose from {}GB to {}GB", least.gb(), most.gb())),
            );
        }
        size
    }

    pub(super) fn disk(
        &mut self,
        field: Field<Size>,
        default: &str,
        least: Size,
        what: &str,
    ) -> Spanned<Size> {
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

    /// Private networks, without the metadata server.
    pub(super) fn destinations(
        &mut self,
        field: Field<Vec<Field<Destination>>>,
        default: &str,
    ) -> Vec<Spanned<Destination>> {
        let allowed = self.list(field, default, Destination::as_str);
        let exact = |destination: &&Spanned<Destination>| {
            destination.address().is_some_and(|address| METADATA_SERVERS.contains(&address))
        };
        for destination in allowed.iter().filter(exact) {
            self.problems.push(
                Diagnostic::error(Code::BadValue, "the container never reaches the metadata server")
                    .at(destination.place.clone())
                    .help("it gives the VM's service-account token to any client: remove it"),
            );
        }
        allowed
    }

    /// The readable items of a list, each once.
    pub(super) fn list<T: DeserializeOwned>(
        &mut self,
        field: Field<Vec<Field<T>>>,
        default: &str,
        text: impl Fn(&T) -> &str,
    ) -> Vec<Spanned<T>> {
        if field.is_missing() {
            let items: Vec<Field<T>> = builtin(default);
            return items.into_iter().filter_map(Field::get).map(Spanned::default_value).collect();
        }
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
