//! The command line: every command, option and help text.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Bakes an OpenClaw Gateway for Google Compute Engine: locked binaries, reproducible user-data,
/// no SSH set-up.
#[derive(Debug, Parser)]
#[command(
    name = "bake",
    version,
    after_help = "Exit codes: 0 done; 1 a finding or a failure that is not the input's; 2 the input or the arguments are wrong."
)]
pub struct Cli {
    /// The project folder
    #[arg(short = 'C', global = true, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// Say nothing but results and errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Say more
    #[arg(short, long, global = true)]
    pub verbose: bool,
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Write the defaults out as a project to edit
    Init {
        /// The folder to write to, instead of the project folder
        dir: Option<PathBuf>,
    },
    /// Read spec, manifest and lock, and report every problem at once
    Check {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// List the tools known by name
    Catalog {
        /// Print one JSON document
        #[arg(long)]
        json: bool,
    },
    /// Lock what spec and manifest ask for, as far as the catalog states its checksums
    Lock(Lock),
    /// Write the bundle: user-data, Dockerfile, compose file, checksums and gcloud commands
    Render(Render),
    /// Print the JSON Schema of a file, for editors
    Schema {
        /// The file
        file: SchemaOf,
    },
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
}

impl Command {
    /// Whether its result is to be one JSON document.
    pub const fn wants_json(&self) -> bool {
        match self {
            Self::Check { json } | Self::Catalog { json } => *json,
            Self::Lock(options) => options.json,
            Self::Render(options) => options.json,
            Self::Init { .. } | Self::Schema { .. } | Self::Completions { .. } | Self::Man => false,
        }
    }
}

/// Options of `lock`.
#[derive(Args, Debug)]
pub struct Lock {
    /// Change nothing; exit with 1 where the lock is stale
    #[arg(long)]
    pub check: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Options of `render`.
#[derive(Args, Debug)]
pub struct Render {
    /// The folder to write, relative to the project folder
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Change nothing; exit with 1 where what stands there differs
    #[arg(long)]
    pub check: bool,
    /// Change nothing; show how what stands there differs
    #[arg(long)]
    pub diff: bool,
    /// Print one JSON document
    #[arg(long, conflicts_with = "diff")]
    pub json: bool,
}

/// The files that have a schema.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum SchemaOf {
    /// bake.yaml
    Spec,
    /// images/binaries.yaml
    Manifest,
    /// bake.lock
    Lock,
}
