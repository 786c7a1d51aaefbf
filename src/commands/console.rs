//! Standard output and standard error, with or without colours.

use std::io::{self, Write};
use std::process;

use anstream::{AutoStream, ColorChoice};
use serde::Serialize;

use crate::cli::{Cli, Color};
use crate::diagnostics::{Problems, terminal};

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

    /// For a command line that could not be read.
    pub(super) fn plain() -> Self {
        let never = ColorChoice::Never;
        Self {
            results: AutoStream::new(io::stdout(), never),
            messages: AutoStream::new(io::stderr(), never),
            quiet: false,
            verbose: false,
        }
    }

    /// A result, as it is. A reader that goes away, as `head` does, has what it wanted: that is no
    /// failure, and no reason to forget what was found.
    pub(super) fn result(&mut self, text: &str) -> io::Result<()> {
        let written = self.results.write_all(text.as_bytes()).and_then(|()| self.results.flush());
        written.or_else(|error| if error.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(error) })
    }

    /// A result as one JSON document.
    pub(super) fn json<T: Serialize>(&mut self, document: &T) -> io::Result<()> {
        let mut text = serde_json::to_string_pretty(document)?;
        text.push('\n');
        self.result(&text)
    }

    /// A sentence beside the result, unless the user wants none.
    pub(super) fn note(&mut self, text: &str) {
        if !self.quiet {
            self.message(text);
        }
    }

    /// Whether the user wants nothing but results and errors.
    pub(super) const fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// Whether the user wants to know more.
    pub(super) const fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// A sentence for those who want to know more.
    pub(super) fn detail(&mut self, text: &str) {
        if self.verbose {
            self.message(text);
        }
    }

    /// Errors and warnings with their places; errors alone where the user wants no more.
    pub(super) fn problems(&mut self, problems: &Problems) {
        let errors = self.quiet.then(|| problems.errors());
        let problems = errors.as_ref().unwrap_or(problems);
        if !problems.is_empty() {
            self.message(terminal::render(problems, true).trim_end());
        }
    }

    /// Why the command could not do its work.
    pub(super) fn error(&mut self, message: &str) {
        self.message(&format!("error: {message}"));
    }

    /// Where standard error is gone, nobody is left to be told.
    fn message(&mut self, text: &str) {
        let _ = writeln!(self.messages, "{text}");
    }
}

/// Says why, and ends the program with exit code 1, whatever its other threads wait for.
#[expect(clippy::exit, reason = "some wait for a network that is silent")]
pub(super) fn end(message: &str) -> ! {
    let _ = writeln!(io::stderr(), "error: {message}");
    process::exit(1)
}
