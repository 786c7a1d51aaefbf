//! One file a command: load, call, print, exit code. The only place that prints, and the only one
//! where the pure half of the program meets files.

mod add;
mod audit;
mod cache;
mod catalog;
mod check;
mod completions;
mod console;
mod fetch;
mod gcloud;
mod image;
mod init;
mod interrupt;
mod load;
mod lock;
mod locking;
mod man;
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

use clap::Parser;
use serde::Serialize;

use crate::cli::{self, Cli, Command, OutputFormat};
use crate::diagnostics::{Problems, json};
use crate::fs;
use crate::text::sanitize;
use console::Console;

/// The exit code of a program that panics.
const PANICKED: u8 = 101;

/// How a command ended well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Done {
    /// All is right.
    Clean,
    /// It found something: a difference, a stale lock.
    Finding,
}

/// Why a command could not do its work.
enum Failure {
    /// The input is wrong.
    Input(Problems),
    /// Somebody else's files or answers are.
    Upstream(Problems),
    /// An argument is wrong.
    Argument(String),
    /// Somebody else changed what was to be changed.
    Overtaken(String),
    /// Something else stands in the way.
    Other(String),
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::Input(problems)
    }
}

impl From<fs::FsError> for Failure {
    fn from(error: fs::FsError) -> Self {
        if error.is_overtaken() { Self::Overtaken(error.to_string()) } else { Self::Other(error.to_string()) }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(format!("cannot print: {error}"))
    }
}

/// What `--json` prints where a command could not do its work.
#[derive(Serialize)]
struct Refusal<'a> {
    version: u32,
    ok: bool,
    /// What stands in the way, where that is not the files.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
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
    let arguments: Vec<_> = arguments.into_iter().collect();
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            if !error.use_stderr() {
                return ExitCode::SUCCESS;
            }
            if let Some(format) = cli::gcloud_format(&arguments) {
                let why = format!("{}\n", error.render()).trim_end().to_owned();
                gcloud::print_failure(format, &why, 2, &mut Console::plain());
            }
            return ExitCode::from(2);
        }
    };
    let mut console = Console::new(&cli);
    match caught(&cli, &mut console) {
        Ok(Done::Clean) => ExitCode::SUCCESS,
        Ok(Done::Finding) => ExitCode::from(1),
        Err(Failure::Input(problems)) => refuse(&cli, &problems, 2, &mut console),
        Err(Failure::Upstream(problems)) => refuse(&cli, &problems, 1, &mut console),
        Err(Failure::Argument(message)) => give_up(&cli, &message, 2, &mut console),
        Err(Failure::Overtaken(message) | Failure::Other(message)) => {
            give_up(&cli, &message, 1, &mut console)
        }
    }
}

/// Runs the command. Where `gcloud` panics, the shell that its script is piped to must fail, too.
fn caught(cli: &Cli, console: &mut Console) -> Result<Done, Failure> {
    let Command::Gcloud(options) = &cli.command else { return dispatch(cli, console) };
    panic::catch_unwind(AssertUnwindSafe(|| dispatch(cli, console))).unwrap_or_else(|panicked| {
        gcloud::print_failure(options.format, "bake has a fault: see above", PANICKED, console);
        panic::resume_unwind(panicked)
    })
}

fn give_up(cli: &Cli, message: &str, code: u8, console: &mut Console) -> ExitCode {
    if let Command::Gcloud(options) = &cli.command {
        gcloud::print_failure(options.format, message, code, console);
    } else if cli.command.wants_json() {
        let refusal =
            Refusal { version: 1, ok: false, error: Some(message), problems: Vec::new(), left_out: 0 };
        let _ = console.json(&refusal);
    }
    console.error(message);
    ExitCode::from(code)
}

fn refuse(cli: &Cli, problems: &Problems, code: u8, console: &mut Console) -> ExitCode {
    if let Command::Gcloud(options) = &cli.command
        && options.format == OutputFormat::Sh
    {
        gcloud::print_failure(options.format, &gcloud::told(problems), code, console);
        console.problems(problems);
    } else if cli.command.wants_json() {
        let (records, left_out) = (json::records(problems), problems.left_out());
        let _ = console.json(&Refusal { version: 1, ok: false, error: None, problems: records, left_out });
    } else {
        console.problems(problems);
    }
    ExitCode::from(code)
}

/// The folder that the command is about: for all that need a project, the one that the folder is in.
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

fn dispatch(cli: &Cli, console: &mut Console) -> Result<Done, Failure> {
    let dir = &folder(cli, console);
    match &cli.command {
        Command::Init(options) => init::run(dir, options, console),
        Command::Check { json } => check::run(dir, *json, console),
        Command::Catalog { json } => catalog::run(*json, console),
        Command::Add(options) => locking::over_others(|| add::run(dir, options, console)),
        Command::Remove { names } => locking::over_others(|| remove::run(dir, names, console)),
        Command::Lock(options) => lock::run(dir, options, console),
        Command::Fetch => fetch::run(dir, console),
        Command::Audit(options) => audit::run(dir, options, console),
        Command::Image(action) => image::run(dir, action, console),
        Command::Rehearse(options) => rehearse::run(dir, options, console),
        // Its standard error is the VM's connection: nothing is to be said there.
        Command::Relay { server } => {
            Ok(if crate::rehearse::relay(*server).is_ok() { Done::Clean } else { Done::Finding })
        }
        Command::Gcloud(options) => gcloud::run(dir, options, console),
        Command::Render(options) => render::run(dir, options, console),
        Command::Schema { file } => schema::run(*file, console),
        Command::Completions { shell } => completions::run(*shell, console),
        Command::Man => man::run(console),
    }
}
