//! `bake man`: the manual page.

use super::console::Console;
use super::{Done, Failure};
use crate::cli;

pub(super) fn run(json: bool, console: &mut Console) -> Result<Done, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(cli::command()).render(&mut page)?;
    console.text(&String::from_utf8_lossy(&page), json)?;
    Ok(Done::Clean)
}
