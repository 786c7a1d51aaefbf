//! `bake help`: the help of a command, or a topic.

use super::console::Console;
use super::{Done, Failure};
use crate::cli::{self, TOPICS};
use crate::diagnostics::did_you_mean;

pub(super) fn run(words: &[String], json: bool, console: &mut Console) -> Result<Done, Failure> {
    let mut command = cli::command();
    command.build();
    let topics: Vec<_> = TOPICS.iter().map(|topic| topic.name).collect();
    let Some(first) = words.first() else {
        let help = command.render_long_help().ansi().to_string();
        console.text(&format!("{help}\nTopics of `bake help`: {}\n", topics.join(", ")), json)?;
        return Ok(Done::Clean);
    };
    if let (Some(topic), 1) = (TOPICS.iter().find(|topic| topic.name == first), words.len()) {
        console.text(&topic.text(), json)?;
        return Ok(Done::Clean);
    }
    let found = super::man::find(&mut command, words).map_err(|(word, parent)| {
        let known = parent.get_subcommands().filter(|below| !below.is_hide_set());
        let known: Vec<_> = known.map(|below| below.get_name().to_owned()).collect();
        let all = known.iter().map(String::as_str).chain(topics.iter().copied());
        let hint = match did_you_mean(word, all) {
            Some(closest) => format!("did you mean `{closest}`?"),
            None => format!("commands: {}; topics: {}", known.join(", "), topics.join(", ")),
        };
        Failure::Argument(format!("there is no command or topic `{word}`: {hint}"))
    })?;
    console.text(&format!("{}\n", found.render_long_help().ansi()), json)?;
    Ok(Done::Clean)
}
