//! A [`Script`] as shell: POSIX, the commands first, one paragraph a step, every value quoted.

use std::fmt::Write;

use super::script::{BundleFolder, Name, Part, Phase, Script, ScriptCommand, Shell, Step, When, Word, Work};
use crate::project::machine;

/// How every script runs gcloud's commands.
const PRELUDE: &str = include_str!("sh/prelude.sh");
/// The plan, and what a run that fails has changed.
const REPORT: &str = include_str!("sh/report-changes.sh");
/// The plan's lines about gateways and costs.
const EFFECTS: &str = include_str!("sh/effects.sh");
/// For shellcheck, on top of files that are not scripts by themselves.
const DIRECTIVE: &str = "# shellcheck ";
/// Columns of a line in the header.
const HEADER_WIDTH: usize = 104;
/// One level of indentation.
const INDENT: &str = "  ";

impl Script {
    /// The script, ready to be read and then run by any POSIX shell; also from its standard input.
    ///
    /// All commands are in functions that the last line calls: a script that was cut off runs nothing.
    pub fn to_shell(&self) -> String {
        let mut text = String::from("#!/bin/sh\n");
        comment(&mut text, "", &self.header());
        // The next step defines functions of the same names; shell of ours calls them.
        text.push_str("# shellcheck disable=SC2016,SC2034,SC2317,SC2329\nset -eu\n");
        let has_plan = self.has_plan();
        if has_plan {
            let looks = self.steps.iter().filter(|step| step.phase == Phase::Look);
            text.push_str("\n# Conditions for any change.\nrequire_first() {\n");
            for step in looks {
                text.push_str(&paragraph(step, INDENT));
                text.push('\n');
            }
            text.push_str("  :\n}\n\n# Runs twice: the first time it prints its plan, the second time it carries it out.\nmain() {\n");
            text.push_str(&planned(self.steps.iter().filter(|step| step.phase != Phase::Look)));
        } else {
            text.push_str("\nmain() {\n");
            for step in &self.steps {
                text.push_str(&paragraph(step, INDENT));
                text.push('\n');
            }
        }
        text.truncate(text.trim_end().len());
        text.push_str(
            "\n}\n\n# ---- Functions that the commands above call; they run nothing by themselves. ----\n",
        );
        for functions in self.functions() {
            let _ = write!(text, "\n{}", without_directives(functions));
        }
        text.push_str("\n# ---- The run ----\n\n");
        if let Some((folder, files)) = &self.files {
            text.push_str(&enter(folder, files));
        }
        text.push_str(
            "command -v gcloud >/dev/null || { echo 'gcloud is not installed: https://cloud.google.com/sdk/docs/install' >&2; exit 1; }\n",
        );
        text.push_str(&self.names());
        text.push_str(match (has_plan, self.plan_only) {
            (false, _) => "main\n",
            (true, false) => "carry_out\n",
            (true, true) => "show_plan\n",
        });
        text
    }

    /// The part that a person reads first.
    fn header(&self) -> String {
        let mut text = format!("{}\n{}", self.about, self.place);
        let changes: Vec<_> =
            self.steps.iter().filter_map(|step| step.change.as_ref()).map(described).collect();
        if !changes.is_empty() {
            text.push_str("\n\nIt looks first and prints its plan");
            text.push_str(if self.plan_only { "." } else { ", then carries it out." });
            text.push_str(" Possible changes (+ new, ~ changed, - deleted):");
            for change in changes {
                let _ = write!(text, "\n  {change}");
            }
        }
        if !self.effects.is_empty() {
            text.push('\n');
        }
        for (heading, what) in &self.effects {
            let _ = write!(text, "\n{heading}: {what}");
        }
        text.lines().map(folded).collect::<Vec<_>>().join("\n")
    }

    /// Every file of functions that it needs, once.
    fn functions(&self) -> Vec<&'static str> {
        let mut files = vec![PRELUDE];
        if self.has_plan() {
            files.extend([REPORT, EFFECTS]);
        }
        for step in &self.steps {
            if let Work::Shell(shell) = &step.work {
                let new: Vec<_> = shell.functions.iter().filter(|file| !files.contains(file)).collect();
                files.extend(new);
            }
        }
        files
    }

    /// Sets the variables that have a value from the beginning.
    fn names(&self) -> String {
        let mut text = match &self.project {
            Some(project) => format!("project={project}\n"),
            None => "project=$(ask gcloud config get-value project)\n\
                     if [ -z \"$project\" ]; then\n\
                     \x20 echo 'gcloud is set to no project; set one: gcloud config set project PROJECT' >&2\n\
                     \x20 exit 1\n\
                     fi\n"
                .to_owned(),
        };
        if self.uses(Name::Domain) {
            text.push_str(
                "# In the accounts of a project such as example.com:name, the two parts change places.\n\
                 case $project in\n\
                 \x20 *:*) domain=${project#*:}.${project%%:*} ;;\n\
                 \x20 *) domain=$project ;;\n\
                 esac\n",
            );
        }
        if self.has_plan() {
            let _ = writeln!(text, "prices={}", quote(&machine::price_lines()));
            let _ = writeln!(text, "prices_of={} home={}", quote(machine::prices_of()), quote(&self.zone));
        }
        if self.uses(Name::Stamp) {
            text.push_str("stamp=$(date -u +%Y%m%d-%H%M%S)\n");
        }
        text
    }
}

/// Breaks a long line of the header at its spaces.
fn folded(line: &str) -> String {
    let (mut text, mut column) = (String::new(), 0);
    for word in line.split_inclusive(' ') {
        if column > 0 && column + word.trim_end().len() > HEADER_WIDTH {
            text.truncate(text.trim_end().len());
            text.push_str("\n    ");
            column = 4;
        }
        text.push_str(word);
        column += word.len();
    }
    text
}

/// Steps of the plan, and between them those that run only while it is carried out.
fn planned<'a>(steps: impl Iterator<Item = &'a Step>) -> String {
    let mut text = String::new();
    let mut inside = false;
    for step in steps {
        let runs_once = step.phase == Phase::Run;
        if runs_once && !inside {
            text.push_str("  if carrying_out; then\n");
        } else if !runs_once && inside {
            text.push_str("  fi\n\n");
        }
        inside = runs_once;
        if inside {
            text.push_str(&paragraph(step, "    "));
        } else {
            text.push_str(&paragraph(step, INDENT));
            text.push('\n');
        }
    }
    if inside {
        text.push_str("  fi\n");
    }
    text
}

/// A line of the plan, as far as it is known before the script runs.
pub(super) fn described(line: &Word) -> String {
    line.0
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.as_str(),
            Part::Name(name) => name.described(),
        })
        .collect()
}

/// Goes to the folder of the files, and ends where one is missing.
fn enter(folder: &BundleFolder, files: &[&str]) -> String {
    let (why, goal, remedy) = match folder {
        BundleFolder::Beside => (
            "The metadata files are next to this script.",
            "\"$(dirname -- \"$0\")\"".to_owned(),
            "start this script in its own folder",
        ),
        BundleFolder::At(path) => {
            ("The metadata files lie in this folder.", quote(path), "bake render writes it")
        }
    };
    let mut text = format!(
        "# {why}\n\
         CDPATH='' cd -- {goal}\n\
         missing() {{ echo \"$PWD/$1 is missing: {remedy}\" >&2; exit 1; }}\n"
    );
    for file in files {
        let _ = writeln!(text, "[ -f {file} ] || missing {file}");
    }
    text
}

fn paragraph(step: &Step, indent: &str) -> String {
    let mut text = String::new();
    comment(&mut text, indent, &step.why);
    let found = step.learns.as_ref().map_or("found", |(name, _)| name.variable());
    if let Some(asked) = step.when.asked() {
        let ask = if step.is_ahead && step.phase == Phase::Plan { "ask_ahead" } else { "ask" };
        let _ = writeln!(text, "{indent}{found}=$({ask} {})", line(asked));
    }
    let inner =
        if matches!(step.when, When::Always) { indent.to_owned() } else { format!("{indent}{INDENT}") };
    match &step.when {
        When::Always => {}
        When::Unless(_) => {
            let _ = writeln!(text, "{indent}if [ -z \"${found}\" ]; then");
        }
        When::Where(_) => {
            let _ = writeln!(text, "{indent}if [ -n \"${found}\" ]; then");
        }
        When::Each(_) => {
            let _ = writeln!(text, "{indent}for {} in ${found}; do", Name::Each.variable());
        }
        When::EachOf(name) => {
            let _ = writeln!(text, "{indent}for {} in ${}; do", Name::Each.variable(), name.variable());
        }
    }
    text.push_str(&changed(step, &inner));
    // After a refusal nothing is learned.
    if let Some((name, otherwise)) = step.learns.as_ref().filter(|(_, otherwise)| !otherwise.is_empty()) {
        let _ = writeln!(text, "{inner}{}={}", name.variable(), quote(otherwise));
    }
    match &step.when {
        When::Always => {}
        When::Unless(_) | When::Where(_) => {
            if !step.already.is_empty() {
                let _ = writeln!(text, "{indent}else");
                for line in &step.already {
                    let _ = writeln!(text, "{inner}keeps {}", quoted(line));
                }
            }
            let _ = writeln!(text, "{indent}fi");
        }
        When::Each(_) | When::EachOf(_) => {
            let _ = writeln!(text, "{indent}done");
        }
    }
    text
}

/// A step, as a change of the plan if it is one.
fn changed(step: &Step, indent: &str) -> String {
    let Some(change) = &step.change else {
        let mut text = work(&step.work, indent);
        tell(&mut text, indent, &step.done);
        if text.is_empty() {
            text = format!("{indent}:\n");
        }
        return text;
    };
    let inner = format!("{indent}{INDENT}");
    let mut text = String::new();
    for effect in &step.effects {
        let _ = writeln!(text, "{indent}will {}", quoted(effect));
    }
    let _ = writeln!(text, "{indent}if change {}; then", quoted(change));
    if let Some(line) = &step.leaves {
        let _ = writeln!(text, "{inner}leaves {}", quoted(line));
    }
    text.push_str(&work(&step.work, &inner));
    let _ = writeln!(text, "{inner}changed");
    if step.settles {
        let _ = writeln!(text, "{inner}leaves ''");
    }
    tell(&mut text, &inner, &step.done);
    let _ = writeln!(text, "{indent}fi");
    text
}

fn work(work: &Work, indent: &str) -> String {
    let mut text = String::new();
    match work {
        Work::Run(commands) => {
            for command in commands {
                let _ = writeln!(text, "{indent}run {}", wrapped(command, indent));
            }
        }
        Work::Shell(Shell { call, values, commands, .. }) => {
            for (name, value) in values {
                let _ = writeln!(text, "{indent}{name}={}", quote(value));
            }
            for (name, command) in commands {
                if expands_elsewhere(command) {
                    let _ = writeln!(
                        text,
                        "{indent}# shellcheck disable=SC1003,SC2016 # quoted for the shell of the VM"
                    );
                }
                let deeper = format!("{indent}  ");
                let command = wrapped(command, &deeper);
                let _ = writeln!(text, "{indent}{name}() {{\n{deeper}{command}\n{indent}}}");
            }
            let _ = writeln!(text, "{indent}{}", words(call).join(" "));
        }
        Work::Refuse(lines) => {
            let _ = writeln!(text, "{indent}refuse {}", words(lines).join(&format!(" \\\n{indent}  ")));
        }
    }
    text
}

/// Whether it holds shell that is for a shell of the VM's.
fn expands_elsewhere(command: &ScriptCommand) -> bool {
    let foreign = |part: &Part| matches!(part, Part::Text(text) if text.starts_with("--command=") && text.contains('$'));
    command.0.iter().any(|word| word.0.iter().any(foreign))
}

/// The content of a file of functions, without directives that only matter in the file.
pub(super) fn without_directives(mut file: &str) -> &str {
    while let Some((_, rest)) = file.split_once('\n').filter(|(line, _)| line.starts_with(DIRECTIVE)) {
        file = rest;
    }
    file
}

fn comment(text: &mut String, indent: &str, lines: &str) {
    for line in lines.lines() {
        text.push_str(format!("{indent}# {line}").trim_end());
        text.push('\n');
    }
}

fn tell(text: &mut String, indent: &str, lines: &[Word]) {
    for line in lines {
        let _ = writeln!(text, "{indent}echo {}", quoted(line));
    }
}

/// On one line.
pub(super) fn line(command: &ScriptCommand) -> String {
    words(&command.0).join(" ")
}

/// Each flag on a separate line, if there are several.
fn wrapped(command: &ScriptCommand, indent: &str) -> String {
    let words = words(&command.0);
    let (named, flags) = words.split_at(command.words_before_flags());
    if flags.len() < 2 {
        return words.join(" ");
    }
    // Arguments after `--` belong to another program and stay together.
    let own = flags.iter().position(|word| word == "--").unwrap_or(flags.len());
    let (flags, others) = flags.split_at(own);
    let mut text = named.join(" ");
    for flag in flags {
        let _ = write!(text, " \\\n{indent}  {flag}");
    }
    if !others.is_empty() {
        let _ = write!(text, " \\\n{indent}  {}", others.join(" "));
    }
    text
}

fn words(words: &[Word]) -> Vec<String> {
    words.iter().map(quoted).collect()
}

/// A word of the shell: in single quotes where it is text, in double ones where it holds a name.
fn quoted(word: &Word) -> String {
    let text: String = word
        .0
        .iter()
        .filter_map(|part| match part {
            Part::Text(text) => Some(text.as_str()),
            Part::Name(_) => None,
        })
        .collect();
    if !word.0.iter().any(|part| matches!(part, Part::Name(_))) {
        return quote(&text);
    }
    let mut inside = String::from("\"");
    for part in &word.0 {
        match part {
            Part::Name(name) => {
                let _ = write!(inside, "${{{}}}", name.variable());
            }
            Part::Text(text) => {
                for c in text.chars() {
                    if "$`\"\\".contains(c) {
                        inside.push('\\');
                    }
                    inside.push(c);
                }
            }
        }
    }
    inside.push('"');
    inside
}

/// `text` as one word of the shell.
pub(super) fn quote(text: &str) -> String {
    // These are not special in a word that is not an assignment; everything is literal in single quotes.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::{quote, quoted};
    use crate::gcloud::script::{Name, Word};

    #[test]
    fn words_stay_one_word() {
        assert_eq!(quote("--zone=us-central1-a"), "--zone=us-central1-a");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote("$HOME"), "'$HOME'");
        assert_eq!(quote(""), "''");
        let word = Word::from("a \"$x\\`").name(Name::Project).text("b");
        assert_eq!(quoted(&word), r#""a \"\$x\\\`${project}b""#);
    }
}
