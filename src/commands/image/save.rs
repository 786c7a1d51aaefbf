//! `bake image save`: the image for one architecture as a tarball.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::super::console::Console;
use super::super::{Done, Failure};
use super::{INTERRUPTED, ImageRow, Ready};
use crate::cli;
use crate::diagnostics::Code;
use crate::image;

#[derive(Serialize)]
struct ImageSaveJson {
    version: u32,
    file: PathBuf,
    sbom: PathBuf,
    /// The name under which `docker load` stores the image.
    name: String,
    #[serde(flatten)]
    image: ImageRow,
}

pub(super) fn run(
    dir: &Path,
    options: &cli::ImageSaveArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let ready = Ready::load(dir, INTERRUPTED, console)?;
    let arch = options.arch.map_or(ready.project.spec.host.arch.value, Into::into);
    let image = ready.assemble(dir, Some(arch), &options.from, console)?;
    let Some(built) = image.images.first() else {
        return Err(Failure::Other(Code::NoBuildForArch, format!("linux/{arch}: there is no image")));
    };
    let mtime = u64::try_from(ready.created.as_second()).unwrap_or_default();
    image::write_tarball(&image, built, &dir.join(&options.file), mtime, &ready.cancel)?;
    let document = ImageSaveJson {
        version: 1,
        file: options.file.clone(),
        sbom: image::sbom_of(&options.file),
        name: format!("{}:{}", image.name, image.tag),
        image: ImageRow::of(built),
    };
    if json {
        console.json(&document)?;
        return Ok(Done::Clean);
    }
    let (file, name, row) = (document.file.display(), &document.name, document.image.line());
    console.result(&format!("{file}  {name}\n{row}"))?;
    Ok(Done::Clean)
}
