//! `bake completions`: a script for the shell.

use clap_complete::{Shell, generate};

use super::console::Console;
use super::{Done, Failure};
use crate::cli;
use crate::project::catalog::Catalog;

pub(super) fn run(shell: Shell, json: bool, console: &mut Console) -> Result<Done, Failure> {
    let tools: Vec<_> = Catalog::builtin().tools().iter().map(|tool| tool.name.as_str()).collect();
    let mut script = Vec::new();
    generate(shell, &mut cli::visible(&cli::command(), &tools), "bake", &mut script);
    console.text(&String::from_utf8_lossy(&script), json)?;
    Ok(Done::Clean)
}
