//! `bake chart`: the output of `bake gcloud wait` as a timeline.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use super::console::Console;
use super::{Done, Failure};
use crate::picture::{read_log, timeline};

/// Bytes of a log; a wait of a day has less than one mebibyte.
const LARGEST: u64 = 8 << 20;

pub(super) fn run(file: Option<&Path>, json: bool, console: &mut Console) -> Result<Done, Failure> {
    let name = file.map_or_else(|| "standard input".to_owned(), |path| path.display().to_string());
    let wrong = |why: String| Failure::Argument(format!("{name}: {why}"));
    let text = read(file).map_err(|error| wrong(error.to_string()))?;
    let lanes = read_log(&text).map_err(|error| wrong(error.to_string()))?;
    console.text(&timeline("The stages of a boot", &lanes), json)?;
    Ok(Done::Clean)
}

fn read(file: Option<&Path>) -> io::Result<String> {
    let mut text = String::new();
    match file {
        Some(path) => File::open(path)?.take(LARGEST).read_to_string(&mut text)?,
        None => io::stdin().take(LARGEST).read_to_string(&mut text)?,
    };
    Ok(text)
}
