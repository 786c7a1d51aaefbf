//! `bake image push`: the image into a registry, and its digest into the lock.

use std::path::Path;

use oci_spec::image::Descriptor;
use serde::Serialize;

use super::super::console::Console;
use super::super::publishers::code_of;
use super::super::{Done, Failure, locking};
use super::{ImageRow, Ready};
use crate::cli;
use crate::diagnostics::Code;
use crate::digest::Sha256;
use crate::fetch::Progress;
use crate::lock::{Lock, PushedImage};
use crate::project::Project;
use crate::project::spec::ImageOrigin;
use crate::project::values::ImageRef;
use crate::registry::push::{PushTarget, push};

/// The message on Ctrl-C. A pull gets either the old or the new image at any time.
const INTERRUPTED: &str =
    "interrupted; the registry keeps the blobs that it has, and the next push continues from there";

#[derive(Serialize)]
struct ImagePushJson {
    version: u32,
    /// With its tag.
    reference: String,
    /// The digest of the index.
    digest: String,
    /// Whether the lock has its digest.
    locked: bool,
    /// In bytes; 0 if the registry had everything.
    sent: u64,
    uploaded: usize,
    mounted: usize,
    present: usize,
    /// The reason for a missing SBOM.
    without_sbom: Option<String>,
    images: Vec<ImageRow>,
}

pub(super) fn run(
    dir: &Path,
    options: &cli::ImagePushArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let ready = Ready::load(dir, INTERRUPTED, console)?;
    let to = target(options.to.as_ref(), &ready.project)?;
    let credentials = ready
        .publishers
        .credentials(&to)
        .map_err(|error| Failure::Other(code_of(&error), error.to_string()))?;
    let client = ready.publishers.client();
    let mut image = ready.assemble(dir, None, &options.from, console)?;

    if options.no_sbom {
        image.contents.referrer.clear();
    }
    let bars = ready.publishers.progress();
    let watch = |blob: &Descriptor| -> Box<dyn FnMut(u64)> {
        let label = format!("push {}", blob.digest().digest().get(..12).unwrap_or_default());
        let mut bar = bars.started(&label, Some(blob.size()));
        Box::new(move |bytes| bar.advance(bytes))
    };
    let target = PushTarget { image: &to, credentials: &credentials, client };
    let pushed = push(&image.contents, &target, &watch)
        .map_err(|error| Failure::Other(code_of(&error), error.to_string()))?;

    let digest = image.contents.index.digest().to_string();
    let locked = lock(dir, &ready, &to, &digest)?;
    let document = ImagePushJson {
        version: 1,
        reference: format!("{}:{}", to.repository(), pushed.tag),
        digest,
        locked,
        sent: pushed.sent,
        uploaded: pushed.uploaded,
        mounted: pushed.mounted,
        present: pushed.present,
        without_sbom: pushed.without_sbom,
        images: image.images.iter().map(ImageRow::of).collect(),
    };
    if let Some(why) = &document.without_sbom {
        console.note(&format!(
            "warning: the image is pushed, and its SBOM is not attached to it: {why}; a registry that takes no SBOM is pushed to with `--no-sbom`"
        ));
    }
    if json {
        console.json(&document)?;
        return Ok(Done::Clean);
    }
    let ImagePushJson { reference, digest, sent, uploaded, mounted, present, images, .. } = &document;
    let rows: String = images.iter().map(ImageRow::line).collect();
    console.result(&format!("{reference}@{digest}\n{rows}"))?;
    console.note(&format!(
        "{uploaded} blobs sent ({sent} bytes), {mounted} taken over from the base image, {present} there already"
    ));
    let next = match &ready.project.spec.image.origin {
        _ if locked => "bake.lock has its digest: `bake render` uses it".to_owned(),
        ImageOrigin::Registry(registry) => {
            format!("bake.lock does not have its digest: bake.yaml names `{}`", registry.value)
        }
        ImageOrigin::BuildOnVm | ImageOrigin::Source { .. } => format!(
            "bake.lock does not have its digest: for the VM to pull it, set `strategy: registry` and `registry: {}` under `image` in bake.yaml, and push once more",
            to.repository()
        ),
    };
    console.note(&next);
    Ok(Done::Clean)
}

/// The repository of the arguments, otherwise that of the spec.
fn target(to: Option<&ImageRef>, project: &Project) -> Result<ImageRef, Failure> {
    let named = match (to, &project.spec.image.origin) {
        (Some(to), _) => to,
        (None, ImageOrigin::Registry(registry)) => &registry.value,
        (None, ImageOrigin::BuildOnVm | ImageOrigin::Source { .. }) => {
            return Err(Failure::Argument(
                "nothing says where to: name a repository, `bake image push HOST/REPOSITORY`, or set `strategy: registry` and `registry:` under `image` in bake.yaml"
                    .to_owned(),
            ));
        }
    };
    if named.digest().is_some() {
        return Err(Failure::Argument(format!(
            "{named} names an image that is there already: to push, leave `@sha256:…` away"
        )));
    }
    Ok(named.clone())
}

/// Writes the digest of the image pushed to `to` into the lock, if the spec pulls from there. Returns whether
/// the lock has it.
fn lock(dir: &Path, ready: &Ready, to: &ImageRef, digest: &str) -> Result<bool, Failure> {
    let ImageOrigin::Registry(wanted) = &ready.project.spec.image.origin else { return Ok(false) };
    if wanted.digest().is_some() || wanted.repository() != to.repository() {
        return Ok(false);
    }
    let digest = Sha256::from_oci(digest)
        .map_err(|_| Failure::Other(Code::BadImage, format!("{digest} is not a SHA-256")))?;
    let old = &ready.lock.lock;
    let pushed = PushedImage { reference: wanted.value.clone(), digest, lock: old.content() };
    locking::store(dir, None, Some(&ready.lock), &Lock { pushed: Some(pushed), ..old.clone() })?;
    Ok(true)
}
