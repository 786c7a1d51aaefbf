//! Topics of `bake help`, and the commands for completions and manual pages.

use clap::builder::PossibleValuesParser;
use clap::{Arg, Command};

/// A part of the documentation.
pub struct HelpTopic {
    pub name: &'static str,
    /// The whole page.
    page: &'static str,
    /// The heading of its section; empty for the whole page.
    section: &'static str,
}

const COMMANDS: &str = include_str!("../../docs/commands.md");
const PINS: &str = include_str!("../../docs/pins.md");

/// `lock` is a command.
pub const TOPICS: [HelpTopic; 6] = [
    HelpTopic { name: "spec", page: include_str!("../../docs/bake-yaml.md"), section: "" },
    HelpTopic { name: "manifest", page: PINS, section: "The manifest" },
    HelpTopic { name: "lock-file", page: PINS, section: "The lock" },
    HelpTopic { name: "trust", page: PINS, section: "Trust" },
    HelpTopic { name: "exit-codes", page: COMMANDS, section: "Exit codes" },
    HelpTopic { name: "environment", page: COMMANDS, section: "Environment" },
];

impl HelpTopic {
    /// Its text, as the documentation has it.
    pub fn text(&self) -> String {
        let lines = self.page.lines().skip_while(|line| line.starts_with("<!--") || line.is_empty());
        if self.section.is_empty() {
            return lines.map(|line| format!("{line}\n")).collect();
        }
        let heading = format!("## {}", self.section);
        let mut section = lines.skip_while(|line| *line != heading);
        let first = section.next().unwrap_or_default();
        let rest = section.take_while(|line| !line.starts_with("## "));
        let text: String = std::iter::once(first).chain(rest).map(|line| format!("{line}\n")).collect();
        format!("{}\n", text.trim_end())
    }
}

/// Arguments that take the name of a tool: command, and id of the argument.
const TOOLS: [(&str, &str); 6] = [
    ("add", "tools"),
    ("remove", "names"),
    ("lock", "update"),
    ("lock", "allow_downgrade"),
    ("lock", "allow_republished"),
    ("lock", "allow_less_trust"),
];

/// The command line without hidden parts. Arguments for tools suggest `tools`.
pub fn visible(command: &Command, tools: &[&'static str]) -> Command {
    let name = command.get_name();
    let argument = |argument: &Arg| {
        let takes_tool = TOOLS.contains(&(name, argument.get_id().as_str()));
        let argument = argument.clone();
        if takes_tool && !tools.is_empty() {
            argument.value_parser(PossibleValuesParser::new(tools.to_vec()))
        } else {
            argument
        }
    };
    // clap keeps names for the whole run.
    let name: &'static str = name.to_owned().leak();
    let mut copy = Command::new(name)
        .args(command.get_arguments().filter(|argument| !argument.is_hide_set()).map(argument))
        .subcommands(
            command.get_subcommands().filter(|below| !below.is_hide_set()).map(|below| visible(below, tools)),
        )
        .subcommand_required(command.is_subcommand_required_set())
        .disable_help_subcommand(true);
    if let Some(about) = command.get_about() {
        copy = copy.about(about.clone());
    }
    if let Some(about) = command.get_long_about() {
        copy = copy.long_about(about.clone());
    }
    if command.get_version().is_some() {
        copy = copy.version(env!("CARGO_PKG_VERSION"));
    }
    if let Some(end) = command.get_after_long_help() {
        copy = copy.after_long_help(end.clone());
    }
    copy
}

#[cfg(test)]
mod tests {
    use super::{TOPICS, visible};
    use crate::cli::{command, examples};

    #[test]
    fn each_topic_is_a_section_of_the_documentation() {
        for topic in &TOPICS {
            let text = topic.text();
            assert!(text.starts_with('#') && text.len() > 100, "{}: {text}", topic.name);
            assert!(!text.contains("<!--"), "{}", topic.name);
            assert!(topic.section.is_empty() || text.matches("\n## ").count() == 0, "{text}");
            assert!(command().find_subcommand(topic.name).is_none(), "{} is a command", topic.name);
        }
        let exit_codes = TOPICS.iter().find(|topic| topic.name == "exit-codes").expect("a topic");
        assert!(exit_codes.text().contains(examples::EXIT_CODES));
    }

    #[test]
    fn hidden_parts_are_left_out() {
        let visible = visible(&command(), &[]);
        assert!(command().find_subcommand("relay").is_some() && visible.find_subcommand("relay").is_none());
        let gcloud = visible.find_subcommand("gcloud").expect("a command");
        assert!(gcloud.get_arguments().all(|argument| argument.get_id() != "format"));
    }
}
