//! Newer base images: other tags of the same channel, and tags that moved.

use std::fmt::Write;

use jiff::Timestamp;
use serde::Serialize;

use super::publishers::{Publishers, of_image};
use crate::diagnostics::{Code, Diagnostic};
use crate::digest::Sha256;
use crate::lock::upstream::Upstream;
use crate::lock::{LockedImage, channel};
use crate::oci::Images;
use crate::project::values::{Arch, ImageRef};
use crate::project::{Project, openclaw};
use crate::registry::Registry;
use crate::text::excerpt;

/// Newer images that are looked into, until one is old enough and has a build for the host.
const MOST_TRIES: usize = 8;

/// Facts that an image states about itself.
#[derive(Clone, Debug, Serialize)]
pub(super) struct ImageFacts {
    /// When it was built.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) created: Option<Timestamp>,
    /// The download's size for the host's architecture, in bytes.
    size: u64,
    /// The version of Node in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Option<String>,
    /// The publisher's notes on migrations.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    migrations: Vec<String>,
}

/// An image that could take the place of the locked one.
pub(super) struct NewImage {
    pub(super) reference: ImageRef,
    pub(super) digest: Sha256,
    pub(super) facts: ImageFacts,
    /// Whether it was built before the locked one.
    pub(super) is_older: bool,
}

/// The result of a search for a newer image.
#[derive(Default)]
pub(super) struct ImageNews {
    pub(super) newer: Option<NewImage>,
    /// A newer tag that is younger than the minimum age.
    pub(super) too_young: Option<String>,
}

impl ImageFacts {
    /// Reads the config of the image with this digest.
    fn read(
        publishers: &Publishers,
        reference: &ImageRef,
        digest: Sha256,
        arch: Arch,
    ) -> Result<Self, Diagnostic> {
        let pinned = reference.pinned(digest).parse::<ImageRef>();
        let pinned = pinned.map_err(|error| Diagnostic::error(Code::BadValue, error))?;
        let opened = publishers
            .credentials(&pinned)
            .and_then(|credentials| Registry::new(publishers.client(), &pinned, &credentials))
            .and_then(|registry| registry.image(arch));
        let image = opened.map_err(|error| of_image(&error))?;
        let config = image.config.config().as_ref();
        let labels = config.and_then(|config| config.labels().as_ref());
        let label = |key: &str| labels.and_then(|labels| labels.get(key));
        let created = label("org.opencontainers.image.created").or(image.config.created().as_ref());
        let env = config.and_then(|config| config.env().as_ref()).into_iter().flatten();
        let migrations = labels.into_iter().flatten().filter(|(key, _)| key.contains("migration"));
        let mut migrations: Vec<_> =
            migrations.map(|(key, text)| format!("{}: {}", excerpt(key, 80), excerpt(text, 400))).collect();
        migrations.sort();
        Ok(Self {
            created: created.and_then(|created| created.parse().ok()),
            size: image.layers.iter().map(|layer| layer.descriptor.size()).sum(),
            node: env
                .filter_map(|entry| entry.strip_prefix("NODE_VERSION="))
                .map(|node| excerpt(node, 40))
                .next(),
            migrations,
        })
    }

    /// A warning if OpenClaw does not run on the image's Node.
    pub(super) fn unfit_node(&self) -> Option<Diagnostic> {
        let node = self.node.as_ref()?;
        if openclaw::runs_on_node(node) != Some(false) {
            return None;
        }
        let message = format!("the base image has Node {node}, and OpenClaw needs {}", openclaw::NODE);
        Some(
            Diagnostic::warning(Code::BadImage, message)
                .help("the gateway may not start: choose another tag with `gateway.image`"),
        )
    }

    /// In a few words: `built 2026-09-24, 412 MB for amd64`.
    pub(super) fn described(&self, arch: Arch) -> String {
        let mut text = String::new();
        if let Some(created) = self.created {
            let _ = write!(text, "built {}, ", created.strftime("%Y-%m-%d"));
        }
        let _ = write!(text, "{} MB for {arch}", self.size / 1_000_000);
        for note in &self.migrations {
            let _ = write!(text, "; {note}");
        }
        text
    }
}

/// Looks for an image that is newer than the locked one, in the channel of the spec's tag.
///
/// # Errors
/// What the registry could not be asked.
pub(super) fn look(
    project: &Project,
    locked: Option<&LockedImage>,
    publishers: &Publishers,
) -> Result<ImageNews, Diagnostic> {
    let reference = &project.spec.gateway.image.value;
    let arch = project.spec.host.arch.value;
    let youngest = publishers.youngest(project.manifest.policy.min_age_days);
    let is_young =
        |facts: &ImageFacts| youngest.is_some_and(|youngest| facts.created.is_none_or(|at| at > youngest));
    let tag = reference.tag().unwrap_or("latest");
    let mut news = ImageNews::default();
    if channel::is_moving(tag) {
        let Some(locked) = locked.filter(|locked| locked.reference == *reference) else { return Ok(news) };
        let now = publishers.image(&reference.with_tag(tag).unwrap_or_else(|_| reference.clone()))?;
        if now.digest != locked.digest {
            let facts = ImageFacts::read(publishers, reference, now.digest, arch)?;
            let before = ImageFacts::read(publishers, reference, locked.digest, arch).ok();
            let before = before.and_then(|before| before.created);
            let is_older = before.zip(facts.created).is_some_and(|(before, now)| now < before);
            if is_young(&facts) {
                news.too_young = Some(tag.to_owned());
            } else {
                let (reference, digest) = (reference.clone(), now.digest);
                news.newer = Some(NewImage { reference, digest, facts, is_older });
            }
        }
        return Ok(news);
    }
    let tags = publishers
        .credentials(reference)
        .and_then(|credentials| Registry::new(publishers.client(), reference, &credentials))
        .and_then(|registry| registry.tags());
    let tags = tags.map_err(|error| of_image(&error))?;
    for newer in channel::newer(tag, &tags).into_iter().take(MOST_TRIES) {
        let Ok(other) = reference.with_tag(newer) else { continue };
        let image = publishers.image(&other)?;
        if !image.platforms.contains_key(&arch) {
            continue;
        }
        let facts = ImageFacts::read(publishers, &other, image.digest, arch)?;
        if is_young(&facts) {
            news.too_young.get_or_insert_with(|| newer.to_owned());
            continue;
        }
        // A digest in the spec is replaced by the new one.
        let pinned = reference.digest().and_then(|_| other.pinned(image.digest).parse().ok());
        let reference = pinned.unwrap_or(other);
        news.newer = Some(NewImage { reference, digest: image.digest, facts, is_older: false });
        break;
    }
    Ok(news)
}
