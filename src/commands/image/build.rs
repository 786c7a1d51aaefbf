//! `bake image build`: the image as an OCI image layout.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::console::Console;
use super::super::{Done, Failure, watch};
use super::{Ready, Row};
use crate::cli;
use crate::image::{self, Outcome, SBOM};

#[derive(Serialize)]
struct Document {
    version: u32,
    out: PathBuf,
    sbom: PathBuf,
    /// Of the index.
    digest: String,
    changed: bool,
    images: Vec<Row>,
}

pub(super) fn run(dir: &Path, options: &cli::ImageBuild, console: &mut Console) -> Result<Done, Failure> {
    let ready = Ready::load(dir, console)?;
    let image = ready.assemble(None, &options.from, console)?;
    let stop = watch::on_interrupt()?;
    let outcome = image::write_layout(&image, &dir.join(&options.out), &stop)?;
    let document = Document {
        version: 1,
        out: options.out.clone(),
        sbom: options.out.join(SBOM),
        digest: image.contents.index.digest().to_string(),
        changed: outcome == Outcome::Written,
        images: image.images.iter().map(Row::of).collect(),
    };
    if options.json {
        console.json(&document)?;
        return Ok(Done::Clean);
    }
    let state = if document.changed { "written" } else { "unchanged" };
    let rows: String = document.images.iter().map(Row::line).collect();
    console.result(&format!("{}  {}  {state}\n{rows}", document.out.display(), document.digest))?;
    Ok(Done::Clean)
}
