//! `bake image build`: the image as an OCI image layout.

use std::panic;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Serialize;

use super::super::console::Console;
use super::super::{Done, Failure};
use super::{INTERRUPTED, ImageRow, Ready};
use crate::cli;
use crate::image::{self, LayoutOutcome, LayoutWriter, SBOM};

#[derive(Serialize)]
struct ImageBuildJson {
    version: u32,
    out: PathBuf,
    sbom: PathBuf,
    /// The digest of the index.
    digest: String,
    changed: bool,
    images: Vec<ImageRow>,
}

pub(super) fn run(
    dir: &Path,
    options: &cli::ImageBuildArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let ready = Ready::load(dir, INTERRUPTED, console)?;
    let place = dir.join(&options.out);
    let (base, images) = ready.bases(None, &options.from, console)?;
    let recipe = ready.recipe()?;
    // The base image is downloaded while the added layer is made.
    let (layout, additions) = thread::scope(|scope| {
        let layout = scope.spawn(|| LayoutWriter::begin(&place, &base, &images, &ready.cancel));
        let additions = ready.additions(&recipe, &images, &place);
        if additions.is_err() {
            ready.cancel.abandon();
        }
        (layout.join().unwrap_or_else(|cause| panic::resume_unwind(cause)), additions)
    });
    let additions = additions?;
    let image = image::assemble(&recipe, base, images, additions)?;
    let outcome = layout?.finish(&image)?;
    let document = ImageBuildJson {
        version: 1,
        out: options.out.clone(),
        sbom: options.out.join(SBOM),
        digest: image.contents.index.digest().to_string(),
        changed: outcome == LayoutOutcome::Written,
        images: image.images.iter().map(ImageRow::of).collect(),
    };
    if json {
        console.json(&document)?;
        return Ok(Done::Clean);
    }
    let state = if document.changed { "written" } else { "unchanged" };
    let rows: String = document.images.iter().map(ImageRow::line).collect();
    console.result(&format!("{}  {}  {state}\n{rows}", document.out.display(), document.digest))?;
    Ok(Done::Clean)
}
