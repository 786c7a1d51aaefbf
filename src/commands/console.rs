//! Standard output and standard error, with or without colours.

use std::io::{self, IsTerminal, Write};
use std::process;

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use crate::cli::{Cli, Color};
use crate::diagnostics::{Code, Diagnostic, Problems, terminal};

pub(super) struct Console {
    results: AutoStream<io::Stdout>,
    messages: AutoStream<io::Stderr>,
    quiet: bool,
    verbose: bool,
}

impl Console {
    pub(super) fn new(cli: &Cli) -> Self {
        let choice = match cli.color {
            Color::Auto => ColorChoice::Auto,
            Color::Always => ColorChoice::Always,
            Color::Never => ColorChoice::Never,
        };
        let (results, messages) = (io::stdout(), io::stderr());
        // `Auto` asks each stream whether it is a terminal, and the environment for NO_COLOR.
        Self {
            results: AutoStream::new(results, choice),
            messages: AutoStream::new(messages, choice),
            quiet: cli.quiet,
            verbose: cli.verbose,
        }
    }

    /// Prints a result unchanged. A closed pipe, as with `head`, is not a failure.
    pub(super) fn result(&mut self, text: &str) -> io::Result<()> {
        let written = self.results.write_all(text.as_bytes()).and_then(|()| self.results.flush());
        written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
    }

    /// A result as one JSON document.
    pub(super) fn json<T: Serialize>(&mut self, document: &T) -> io::Result<()> {
        self.result(&pretty(document)?)
    }

    /// A result that is text itself, such as a script; with `json`, as one string in a document.
    pub(super) fn text(&mut self, text: &str, json: bool) -> io::Result<()> {
        if json { self.json(&TextJson { version: 1, text }) } else { self.result(text) }
    }

    /// A note, unless the user has asked for quiet.
    pub(super) fn note(&mut self, text: &str) {
        if !self.quiet {
            self.message(text);
        }
    }

    /// The command to run next, for a person: both streams are terminals. `applies` is whether the command ended
    /// in a way that has a next step.
    pub(super) fn next_step(&mut self, text: &str, applies: bool) {
        if applies && io::stdout().is_terminal() && io::stderr().is_terminal() {
            self.note(&format!("Next: {text}"));
        }
    }

    /// Whether only results and errors are printed.
    pub(super) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether details are printed.
    pub(super) const fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// A note that needs `--verbose`.
    pub(super) fn detail(&mut self, text: &str) {
        if self.verbose {
            self.message(text);
        }
    }

    /// Errors and warnings with their places; errors only with `--quiet`.
    pub(super) fn problems(&mut self, problems: &Problems) {
        let errors = self.quiet.then(|| problems.errors());
        let problems = errors.as_ref().unwrap_or(problems);
        if !problems.is_empty() {
            self.message(terminal::render(problems, true).trim_end());
        }
    }

    /// An error after which the command still prints a result.
    pub(super) fn error(&mut self, code: Code, message: &str) {
        self.problems(&Diagnostic::error(code, message).into());
    }

    /// If standard error is closed, the text is lost.
    fn message(&mut self, text: &str) {
        let _ = writeln!(self.messages, "{text}");
    }
}

#[derive(Serialize)]
struct TextJson<'a> {
    version: u32,
    text: &'a str,
}

fn pretty<T: Serialize>(document: &T) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(document)? + "\n")
}

/// Prints one JSON document before there is a [`Console`]: the arguments could not be parsed.
pub(super) fn json<T: Serialize>(document: &T) -> io::Result<()> {
    io::stdout().write_all(pretty(document)?.as_bytes())
}

/// Prints a mistake in the arguments with its code and the usage.
pub(super) fn usage(error: &clap::Error, code: Code) {
    let text = error.render().ansi().to_string();
    let text = text.replacen("error:", &format!("error[{code}]:"), 1);
    let _ = write!(AutoStream::auto(io::stderr()), "{text}");
}

/// Ends the program with exit code 1.
#[expect(clippy::exit, reason = "other threads may be waiting for a silent network")]
pub(super) fn interrupted(message: &str) -> ! {
    let _ = writeln!(io::stderr(), "error[{}]: {message}", Code::Interrupted);
    process::exit(1)
}

/// Prints a script that stops the shell it is piped to. On a terminal, the error is enough.
pub(super) fn script(text: &str) {
    let mut results = io::stdout();
    if !results.is_terminal() {
        let _ = results.write_all(text.as_bytes());
    }
}
