//! One file per command: load, call, print, exit code. Only these modules print, and only they use both halves
//! of the program.

mod add;
mod audit;
mod base_image;
mod bundle_changes;
mod cache;
mod catalog;
mod chart;
mod check;
mod completions;
mod console;
mod doctor;
mod fetch;
mod gcloud;
mod graph;
mod help;
mod image;
mod init;
mod interrupt;
mod load;
mod lock;
mod locking;
mod man;
mod outdated;
mod progress;
mod prompt;
mod publishers;
mod rehearse;
mod remove;
mod render;
mod schema;
mod watch;

use std::ffi::OsString;
use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::FromArgMatches;
use serde::Serialize;

use crate::cli::{self, Cli, Command};
use crate::diagnostics::{Code, Diagnostic, Problems, json, terminal};
use crate::fs;
use crate::text::sanitize;
use console::Console;

/// The exit code of a program that panics.
const PANICKED: u8 = 101;

/// A successful end of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// No differences.
    Clean,
    /// A finding: a difference, a stale lock.
    Finding,
}

/// Why a command failed.
enum Failure {
    /// The project's files are wrong: exit code 2.
    Input(Problems),
    /// A publisher, a registry or the cache failed: exit code 1.
    Upstream(Problems),
    /// An argument or an environment variable is wrong: exit code 2.
    Argument(String),
    /// Another program changed a file that this run has read: exit code 1.
    Overtaken(String),
    /// Any other failure: exit code 1.
    Other(Code, String),
}

impl Failure {
    /// The problems to report, and the exit code.
    fn report(self) -> (Problems, u8) {
        let (code, message, exit) = match self {
            Self::Input(problems) => return (problems, 2),
            Self::Upstream(problems) => return (problems, 1),
            Self::Argument(message) => (Code::BadArgument, message, 2),
            Self::Overtaken(message) => (Code::EditedMeanwhile, message, 1),
            Self::Other(code, message) => (code, message, 1),
        };
        (Diagnostic::error(code, message).into(), exit)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Input(problems)
    }
}

impl From<fs::FsError> for Failure {
    fn from(error: fs::FsError) -> Self {
        if error.is_overtaken() {
            Self::Overtaken(error.to_string())
        } else {
            Self::Other(Code::IoFailed, error.to_string())
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(Code::IoFailed, format!("cannot print: {error}"))
    }
}

/// The document that `--json` prints for a failure.
#[derive(Serialize)]
struct Refusal<'a> {
    version: u32,
    ok: bool,
    /// In the place of a script: the code with which to exit.
    #[serde(skip_serializing_if = "Option::is_none")]
    exit_code: Option<u8>,
    problems: Vec<json::DiagnosticRecord<'a>>,
    #[serde(skip_serializing_if = "is_zero")]
    left_out: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// Runs the program with these arguments, the first being its name. Returns its exit code.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.into_iter().collect();
    let parsed =
        cli::command().try_get_matches_from(&arguments).and_then(|found| Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return reject(&error, &arguments),
    };
    let mut console = Console::new(&cli);
    match caught(&cli, &mut console) {
        Ok(done) => {
            if let Some(next) = cli.command.next_step().filter(|_| !cli.wants_json()) {
                console
                    .next_step(next, matches!(cli.command, Command::Outdated(_)) == (done == Done::Finding));
            }
            ExitCode::from(u8::from(done == Done::Finding))
        }
        Err(failure) => {
            // A reader of the document sees the problems of files there; a log keeps all others.
            let in_files = matches!(failure, Failure::Input(_) | Failure::Upstream(_));
            let (problems, code) = failure.report();
            let is_script = matches!(cli.command, Command::Gcloud(_));
            if cli.wants_json() {
                let _ = console.json(&Refusal { exit_code: is_script.then_some(code), ..refusal(&problems) });
            } else if is_script {
                console::script(&gcloud::failing_script(&terminal::render(&problems, false), code));
            }
            if !(cli.wants_json() && in_files) {
                console.problems(&problems);
            }
            ExitCode::from(code)
        }
    }
}

/// Runs the command. If `gcloud` panics, the shell that its script is piped to must fail, too.
fn caught(cli: &Cli, console: &mut Console) -> Result<Done, Failure> {
    if !matches!(cli.command, Command::Gcloud(_)) {
        return dispatch(cli, console);
    }
    panic::catch_unwind(AssertUnwindSafe(|| dispatch(cli, console))).unwrap_or_else(|panicked| {
        console::script(&gcloud::failing_script("bake has a fault, which it has printed", PANICKED));
        panic::resume_unwind(panicked)
    })
}

/// The folder that the command works on. If it needs a project: the nearest folder upwards that has one.
fn folder(cli: &Cli, console: &mut Console) -> PathBuf {
    if !cli.command.needs_project() {
        return cli.directory.clone();
    }
    let found = load::project_folder(&cli.directory);
    if found != cli.directory {
        console.note(&format!("Project: {}", sanitize(&found.display().to_string())));
    }
    found
}

/// Each line without characters that steer a terminal.
fn sanitize_lines(text: &str) -> String {
    text.lines().map(|line| sanitize(line) + "\n").collect()
}

/// Prints why the arguments cannot be parsed, or the help or version that they ask for.
fn reject(error: &clap::Error, arguments: &[OsString]) -> ExitCode {
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let before_dashes = arguments.iter().take_while(|argument| *argument != "--");
    if Cli::asks_for_json(before_dashes) {
        let text = error.to_string();
        let message = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
        let problems = Diagnostic::error(Code::BadArgument, sanitize(message)).help(USAGE).into();
        let exit_code = cli::names_gcloud(arguments).then_some(2);
        let _ = console::json(&Refusal { exit_code, ..refusal(&problems) });
    } else if cli::names_gcloud(arguments) {
        console::script(&gcloud::failing_script(&sanitize_lines(&error.to_string()), 2));
    }
    console::usage(error, Code::BadArgument);
    ExitCode::from(2)
}

const USAGE: &str = "`bake help` and `bake help COMMAND` list the options";

fn refusal(problems: &Problems) -> Refusal<'_> {
    let (problems, left_out) = (json::records(problems), problems.left_out());
    Refusal { version: 1, ok: false, exit_code: None, problems, left_out }
}

fn dispatch(cli: &Cli, console: &mut Console) -> Result<Done, Failure> {
    if let Some(option) = cli.conflict_with_json() {
        return Err(Failure::Argument(format!("{option} cannot be used with --json")));
    }
    let dir = &folder(cli, console);
    match &cli.command {
        Command::Init(options) => init::run(dir, options, cli.json, console),
        Command::Check => check::run(dir, cli.json, console),
        Command::Catalog => catalog::run(cli.json, console),
        Command::Add(options) => locking::over_others(|| add::run(dir, options, cli.json, console)),
        Command::Remove { names } => locking::over_others(|| remove::run(dir, names, cli.json, console)),
        Command::Lock(options) => lock::run(dir, options, cli.json, console),
        Command::Outdated(options) => outdated::run(dir, options, cli.json, console),
        Command::Fetch => fetch::run(dir, cli.json, console),
        Command::Audit(options) => audit::run(dir, options, cli.json, console),
        Command::Image(action) => image::run(dir, action, cli.json, console),
        Command::Graph { format } => graph::run(dir, *format, cli.json, console),
        Command::Chart { file } => chart::run(file.as_deref(), cli.json, console),
        Command::Doctor => doctor::run(dir, cli.json, console),
        Command::Rehearse(options) => rehearse::run(dir, options, cli.json, console),
        // QEMU uses its standard error as the VM's connection, so it must not print.
        Command::Relay { server } => {
            Ok(if crate::rehearse::relay(*server).is_ok() { Done::Clean } else { Done::Finding })
        }
        Command::Gcloud(options) => gcloud::run(dir, options, cli.wants_json(), console),
        Command::Render(options) => render::run(dir, options, cli.json, console),
        Command::Schema { file } => schema::run(*file, console),
        Command::Completions { shell } => completions::run(*shell, cli.json, console),
        Command::Help { words } => help::run(words, cli.json, console),
        Command::Man { words, out } => man::run(words, out.as_deref(), cli.json, console),
    }
}
