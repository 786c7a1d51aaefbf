//! `bake man`: manual pages.

use std::path::Path;

use clap::Command;

use super::console::Console;
use super::{Done, Failure};
use crate::cli;
use crate::diagnostics::Code;

pub(super) fn run(
    words: &[String],
    out: Option<&Path>,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let mut command = cli::visible(&cli::command(), &[]);
    command.build();
    if let Some(folder) = out {
        write_all(&command, "", folder)
            .map_err(|error| Failure::Other(Code::IoFailed, format!("{}: {error}", folder.display())))?;
        return Ok(Done::Clean);
    }
    let found = find(&mut command, words).map_err(|(word, _)| {
        Failure::Argument(format!("there is no command `{word}`: `bake help` lists them"))
    })?;
    console.text(&String::from_utf8_lossy(&page(found)?), json)?;
    Ok(Done::Clean)
}

/// The command that these words name, or the first word that names none, with the command before it.
pub(super) fn find<'a, 'b>(
    command: &'a mut Command,
    words: &'b [String],
) -> Result<&'a mut Command, (&'b str, &'a Command)> {
    let Some((word, rest)) = words.split_first() else { return Ok(command) };
    let is_known =
        command.get_subcommands().any(|below| !below.is_hide_set() && below.get_name() == word.as_str());
    if !is_known {
        return Err((word, command));
    }
    match command.find_subcommand_mut(word) {
        Some(below) => find(below, rest),
        None => unreachable!("it was found"),
    }
}

/// `build` has given each command its whole name, such as `bake-gcloud-create`.
fn page(command: &Command) -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

/// Writes `bake.1`, `bake-check.1` and so on.
fn write_all(command: &Command, parent: &str, folder: &Path) -> std::io::Result<()> {
    let name = format!("{parent}{}", command.get_name());
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join(format!("{name}.1")), page(command)?)?;
    let below = format!("{name}-");
    command.get_subcommands().try_for_each(|command| write_all(command, &below, folder))
}
