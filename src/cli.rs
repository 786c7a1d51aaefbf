//! The command line: every command, option and help text.

mod examples;
mod gcloud;
mod topics;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use examples::command;
pub use gcloud::{
    Action, GcloudArgs, ImageArgs, MemberArg, Members, Message, OutputFormat, PlanArgs, SetupArgs,
    UpdateArgs, WaitArgs, names_gcloud,
};
pub use topics::{HelpTopic, TOPICS, visible};

use crate::project::names::{
    ArchSpelling, AssetPattern, LabelId, MachineType, MinisignKey, SkillName, ToolName, Version, VmName, Zone,
};
use crate::project::values::{Arch, ImageRef, InnerPath, Size, WebUrl};

/// Bakes an OpenClaw Gateway for Google Compute Engine: locked binaries, reproducible user-data,
/// no SSH set-up.
#[derive(Debug, Parser)]
#[command(
    name = "bake",
    version,
    disable_help_subcommand = true,
    after_help = "`bake help COMMAND` and `--help` show examples and exit codes; `bake help` lists the topics."
)]
pub struct Cli {
    /// The project folder, or one below it
    #[arg(short = 'C', global = true, help_heading = GLOBAL, value_name = "DIR", default_value = ".")]
    pub directory: PathBuf,
    /// Print the result, or the errors, as one JSON document
    #[arg(long, global = true, help_heading = GLOBAL)]
    pub json: bool,
    /// Print results and errors only
    #[arg(short, long, global = true, help_heading = GLOBAL, conflicts_with = "verbose")]
    pub quiet: bool,
    /// Print more details
    #[arg(short, long, global = true, help_heading = GLOBAL)]
    pub verbose: bool,
    /// When to use colours
    #[arg(long, global = true, help_heading = GLOBAL, value_enum, default_value_t = Color::Auto)]
    pub color: Color,
    /// The command
    #[command(subcommand)]
    pub command: Command,
}

/// The heading of the options that every command has.
const GLOBAL: &str = "Global options";

impl Cli {
    /// Whether the result is one JSON document.
    pub fn wants_json(&self) -> bool {
        self.json
            || matches!(&self.command, Command::Gcloud(options) if options.format == Some(OutputFormat::Json))
    }

    /// The option that cannot be combined with `--json`. clap does not see such a conflict if `--json` precedes
    /// the command.
    pub const fn conflict_with_json(&self) -> Option<&'static str> {
        match &self.command {
            _ if !self.json => None,
            Command::Audit(options) if options.sarif => Some("--sarif"),
            Command::Render(options) if options.diff => Some("--diff"),
            Command::Gcloud(options) if options.format.is_some() => Some("--format"),
            _ => None,
        }
    }

    /// Whether arguments that could not be parsed ask for JSON.
    pub fn asks_for_json<'a>(arguments: impl IntoIterator<Item = &'a OsString>) -> bool {
        let mut before = "";
        arguments.into_iter().filter_map(|argument| argument.to_str()).any(|argument| {
            let found =
                matches!(argument, "--json" | "--format=json") || (before, argument) == ("--format", "json");
            before = argument;
            found
        })
    }
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

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a project to edit; on a terminal, ask for everything that no option sets
    Init(InitArgs),
    /// Read spec, manifest and lock, and report every problem at once
    Check,
    /// List the tools known by name
    Catalog,
    /// Add binaries to the manifest, and lock them
    Add(AddArgs),
    /// Remove binaries from manifest and lock
    Remove {
        /// Their names
        #[arg(required = true, value_name = "NAME")]
        names: Vec<ToolName>,
    },
    /// Lock what spec and manifest ask for: every version, URL and checksum
    Lock(LockArgs),
    /// List newer versions of the base image and the tools; exit with 1 if there are any
    Outdated(OutdatedArgs),
    /// Fill the cache with every locked archive, verified
    Fetch,
    /// Hold upstream, lock, cache, bundle, image and VM against each other
    Audit(AuditArgs),
    /// Write the bundle: user-data, Dockerfile, compose file, checksums and gcloud commands
    Render(RenderArgs),
    /// Make the gateway's image without Docker
    #[command(subcommand)]
    Image(ImageCommand),
    /// Print the gcloud commands of one action, to be read and then piped to `sh`
    Gcloud(GcloudArgs),
    /// Boot the bundle in a VM on this machine, and wait for the gateway
    #[command(after_help = AT_HOME)]
    Rehearse(RehearseArgs),
    /// Draw the way from upstream to the VM, with digests and trust
    Graph {
        /// The form of the drawing
        #[arg(long, value_enum, default_value_t = GraphFormat::Mermaid)]
        format: GraphFormat,
    },
    /// Draw the output of `bake gcloud wait` as a timeline: an SVG
    Chart {
        /// The file with that output [default: standard input]
        file: Option<PathBuf>,
    },
    /// Check what this machine lacks, and print the command that mends it; exit with 1 if something is missing
    #[command(after_help = CHECKS_PROJECT)]
    Doctor,
    /// Carry one connection of a rehearsal's VM
    #[command(hide = true)]
    Relay {
        /// The server
        server: SocketAddr,
    },
    /// Print the JSON Schema of a file, for editors
    Schema {
        /// The file
        file: SchemaOf,
    },
    /// Print the help of a command, or a topic
    Help {
        /// A command such as `gcloud create`, or a topic
        #[arg(value_name = "COMMAND|TOPIC")]
        words: Vec<String>,
    },
    /// Print a completion script
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page of bake or a command
    Man {
        /// A command such as `gcloud create`
        #[arg(value_name = "COMMAND", conflicts_with = "out")]
        words: Vec<String>,
        /// Write the pages of all commands to this folder instead
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

impl Command {
    /// What to do after it has succeeded.
    pub const fn next_step(&self) -> Option<&'static str> {
        Some(match self {
            Self::Check | Self::Add(_) | Self::Remove { .. } => "bake render",
            Self::Lock(options) if !options.check => "bake render",
            Self::Outdated(_) => "bake lock --update",
            Self::Render(options) if !options.check && !options.diff => {
                "bake gcloud create | sh, or for an existing VM: bake gcloud update | sh"
            }
            Self::Image(ImageCommand::Build(_)) => "bake image push",
            Self::Rehearse(options) if options.bake.is_none() => {
                "bake gcloud setup | sh, and bake gcloud create | sh"
            }
            Self::Catalog => "bake add NAME",
            Self::Gcloud(_) => "read the script, then add `| sh` to run it",
            _ => return None,
        })
    }

    /// Whether it is about a project.
    pub const fn needs_project(&self) -> bool {
        match self {
            Self::Init(_)
            | Self::Catalog
            | Self::Chart { .. }
            | Self::Relay { .. }
            | Self::Schema { .. }
            | Self::Completions { .. }
            | Self::Help { .. }
            | Self::Man { .. } => false,
            Self::Check
            | Self::Add(_)
            | Self::Remove { .. }
            | Self::Lock(_)
            | Self::Outdated(_)
            | Self::Fetch
            | Self::Audit(_)
            | Self::Render(_)
            | Self::Image(_)
            | Self::Gcloud(_)
            | Self::Rehearse(_)
            | Self::Graph { .. }
            | Self::Doctor => true,
        }
    }
}

/// Options of `init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// The folder to write to, instead of the project folder
    pub dir: Option<PathBuf>,
    /// The VM's name [default: that of the folder]
    #[arg(long)]
    pub name: Option<VmName>,
    /// The project's id, a label on every resource that bake creates [default: a random one]
    #[arg(long)]
    pub id: Option<LabelId>,
    /// The Compute Engine zone
    #[arg(long)]
    pub zone: Option<Zone>,
    /// The machine type, such as e2-small
    #[arg(long, value_name = "TYPE")]
    pub machine_type: Option<MachineType>,
    /// The model provider, such as anthropic, or `none`
    #[arg(long, value_name = "PROVIDER")]
    pub model: Option<String>,
    /// A channel, such as telegram, or `none`; more than one with commas or by repeating it
    #[arg(long, value_name = "CHANNEL", value_delimiter = ',')]
    pub channel: Vec<String>,
    /// The size of the data disk, such as 10GB; 0 for none
    #[arg(long, value_name = "SIZE")]
    pub data_disk: Option<Size>,
    /// Ask no questions: use the defaults for everything that no option sets
    #[arg(short, long)]
    pub yes: bool,
}

/// Options of `add`.
#[derive(Args, Debug)]
pub struct AddArgs {
    /// A tool of the catalog, or a GitHub repository: NAME, NAME@VERSION, OWNER/REPO, OWNER/REPO@VERSION
    #[arg(value_name = "NAME|OWNER/REPO", required_unless_present = "url")]
    pub tools: Vec<String>,
    /// Add a binary by the URL of its archive, which may hold {version} and {arch}
    #[arg(long, conflicts_with = "tools")]
    pub url: Option<WebUrl>,
    /// The command to install it as
    #[arg(long)]
    pub name: Option<ToolName>,
    /// The version that stands for {version}, with --url
    #[arg(long, value_name = "VERSION", requires = "url")]
    pub tool_version: Option<Version>,
    /// The release's file, with {version} and {arch}, where its name does not say enough
    #[arg(long, value_name = "PATTERN")]
    pub asset: Option<AssetPattern>,
    /// How the publisher spells an architecture, as in `amd64=x86_64`; one that is left out has no build
    #[arg(long, value_name = "ARCH=WORD", value_parser = spelling)]
    pub arch: Vec<(Arch, ArchSpelling)>,
    /// The executable's path in the archive, where it is not the only one
    #[arg(long, value_name = "PATH")]
    pub binary: Option<InnerPath>,
    /// The publisher's minisign key; a signature by it must then cover the archive
    #[arg(long, value_name = "KEY")]
    pub minisign: Option<MinisignKey>,
    /// An OpenClaw skill that it serves
    #[arg(long = "skill", value_name = "SKILL")]
    pub skills: Vec<SkillName>,
    /// Only accept releases that are at least this many days old
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub min_age: u16,
}

fn spelling(text: &str) -> Result<(Arch, ArchSpelling), String> {
    let (arch, word) = text.split_once('=').ok_or("write ARCH=WORD, as in amd64=x86_64")?;
    let known = Arch::ALL.into_iter().find(|known| known.as_str() == arch);
    Ok((known.ok_or("the architectures are amd64 and arm64")?, word.parse()?))
}

/// Options of `lock`.
#[derive(Args, Debug)]
pub struct LockArgs {
    /// Look for newer versions, of these tools or of all; `image` is the base image
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with = "check")]
    pub update: Option<Vec<String>>,
    /// Change nothing and use no network; exit with 1 if the lock is stale
    #[arg(long)]
    pub check: bool,
    /// Use no network: lock the versions and checksums of the catalog
    #[arg(long, conflicts_with_all = ["update", "check"])]
    pub offline: bool,
    /// Only accept releases that are at least this many days old
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub min_age: u16,
    /// Let this tool go back to an older version
    #[arg(long, value_name = "NAME")]
    pub allow_downgrade: Vec<String>,
    /// Take another archive of this tool under the locked version; `image` is the base image
    #[arg(long, value_name = "NAME")]
    pub allow_republished: Vec<String>,
    /// Take less evidence for this tool's checksum than is locked, another workflow, or a new repository of the same name
    #[arg(long, value_name = "NAME")]
    pub allow_less_trust: Vec<String>,
}

/// Options of `outdated`.
#[derive(Args, Debug)]
pub struct OutdatedArgs {
    /// Leave out releases that are younger than this many days
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    pub min_age: u16,
}

/// Options of `audit`.
#[derive(Args, Debug)]
pub struct AuditArgs {
    /// Compare these with the lock [default: lock and upstream, and the cache and the bundle if they exist]
    #[arg(long, value_enum, value_delimiter = ',', value_name = "WHAT")]
    pub against: Vec<AgainstArg>,
    /// The image: a reference in a registry, an OCI image layout, or a tarball of `docker save`
    #[arg(long, value_name = "REF|PATH")]
    pub image: Option<String>,
    /// Accept the image's Debian packages if their files fit dpkg's checksums in the image; the lock has none
    #[arg(long)]
    pub accept_packages: bool,
    /// Accept these files, which no package has and an installation script may have written
    #[arg(long, value_delimiter = ',', value_name = "PATH")]
    pub accept_file: Vec<String>,
    /// The report of a running VM: a file, or - for standard input
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// The folder of the bundle, relative to the project folder
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Print one SARIF 2.1.0 document, for code scanning
    #[arg(long)]
    pub sarif: bool,
}

/// A subject of an audit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AgainstArg {
    /// Spec, manifest and catalog
    Lock,
    /// Publishers and registries, as they answer today
    Upstream,
    /// The archives that were fetched before
    Cache,
    /// The rendered files on disk
    Bundle,
    /// An image
    Image,
    /// The report of a running VM
    Vm,
}

/// Options of `render`.
#[derive(Args, Debug)]
pub struct RenderArgs {
    /// The folder to write, relative to the project folder
    #[arg(long, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// Change nothing; exit with 1 if the files in the folder differ
    #[arg(long)]
    pub check: bool,
    /// Change nothing; show the differences from the files in the folder, by meaning and line by line
    #[arg(long)]
    pub diff: bool,
}

/// The subcommands of `image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Write it as an OCI image layout, for every architecture that has all binaries
    Build(ImageBuildArgs),
    /// Write it for one architecture as a tarball for `docker load`, `podman load` and `skopeo`
    Save(ImageSaveArgs),
    /// Copy it into a registry, and its digest into the lock where the spec names that registry
    #[command(after_help = LOGGED_IN)]
    Push(ImagePushArgs),
}

/// The source of the base image.
#[derive(Args, Debug)]
pub struct BaseFrom {
    /// Read the locked base image from there instead: a mirror in a registry, an OCI image layout, or a
    /// tarball of one; it must have the locked digest
    #[arg(long, value_name = "REF|PATH")]
    pub base: Option<String>,
}

/// The default folder of the image layout, relative to the project folder.
pub const LAYOUT: &str = "oci";

/// Options of `image build`.
#[derive(Args, Debug)]
pub struct ImageBuildArgs {
    /// The folder of the layout, relative to the project folder
    #[arg(long, value_name = "DIR", default_value = LAYOUT)]
    pub out: PathBuf,
    /// The source of the base image.
    #[command(flatten)]
    pub from: BaseFrom,
}

/// Options of `image save`.
#[derive(Args, Debug)]
pub struct ImageSaveArgs {
    /// The tarball, relative to the project folder
    pub file: PathBuf,
    /// The architecture [default: `host.arch`]
    #[arg(long, value_enum)]
    pub arch: Option<ArchChoice>,
    /// The source of the base image.
    #[command(flatten)]
    pub from: BaseFrom,
}

/// The help on credentials for `image push`.
const LOGGED_IN: &str = "\
The login for the registry is read from Docker's configuration: use `docker login HOST`, or for
Google's registries `gcloud auth configure-docker HOST`. Passwords cannot be given on the command line.";

/// Options of `image push`.
#[derive(Args, Debug)]
pub struct ImagePushArgs {
    /// The repository, with a tag or without [default: `image.registry`]
    #[arg(value_name = "REF")]
    pub to: Option<ImageRef>,
    /// The source of the base image.
    #[command(flatten)]
    pub from: BaseFrom,
    /// Push no SBOM, for a registry that takes none
    #[arg(long)]
    pub no_sbom: bool,
}

/// An architecture, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArchChoice {
    /// x86-64
    Amd64,
    /// AArch64
    Arm64,
}

impl From<ArchChoice> for Arch {
    fn from(chosen: ArchChoice) -> Self {
        match chosen {
            ArchChoice::Amd64 => Self::Amd64,
            ArchChoice::Arm64 => Self::Arm64,
        }
    }
}

/// The other half of `doctor`.
pub const CHECKS_PROJECT: &str = "`bake gcloud doctor | sh` checks the Google Cloud project.";

/// The requirements of `rehearse`.
const AT_HOME: &str = "\
It needs no root, but QEMU (Debian, Ubuntu: apt install qemu-system-x86 qemu-utils; for an arm64 VM:
qemu-system-arm qemu-efi-aarch64 qemu-utils; Homebrew: brew install qemu), and a cloud image with
systemd 252 or newer, such as
https://cloud.debian.org/images/cloud/trixie/latest/debian-13-genericcloud-amd64.qcow2
For a VM of this machine's architecture, with KVM, it takes minutes; emulated, some twenty times as
long, and QEMU 10 or newer.";

/// Options of `rehearse`.
#[derive(Args, Debug)]
pub struct RehearseArgs {
    /// The OS image, a cloud image in qcow2 or raw; it is only read
    #[arg(long, value_name = "IMAGE")]
    pub disk: Option<PathBuf>,
    /// Keep the VM's disks and its serial log in this folder; a later run boots the disks again
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// The secrets of Secret Manager: a folder with one file per secret, named after it; other users of this
    /// machine can request them while the VM runs
    #[arg(long, value_name = "DIR")]
    pub secrets: Option<PathBuf>,
    /// Boot with the metadata of this VM instead of the bundle's: a file, as `gcloud compute instances
    /// describe VM --format=json` prints it; a change of the file reaches the running VM
    #[arg(long, value_name = "FILE")]
    pub metadata: Option<PathBuf>,
    /// Boot without the data disk
    #[arg(long)]
    pub no_data_disk: bool,
    /// Instead of a gateway, make an OS image: the VM installs Docker, makes and verifies the gateway's image, and
    /// powers off; FILE is in qcow2, for `--disk`, or by its name `.tar.gz` as Compute Engine imports it
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ask", "keep", "metadata", "secrets", "port"])]
    pub bake: Option<PathBuf>,
    /// The port of 127.0.0.1 that leads to the gateway [default: `gateway.port`, or any where that is taken]
    #[arg(long)]
    pub port: Option<u16>,
    /// Once the gateway is ready, send this message to its agent, and print the reply
    #[arg(long, value_name = "TEXT")]
    pub ask: Option<Message>,
    /// Draw the boot as a timeline with the share of each stage: an SVG file
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
    /// Let the VM run on until Ctrl-C
    #[arg(long)]
    pub keep: bool,
    /// Fail after this many seconds [default: 3600, emulated 14400]
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<u64>,
    /// The unit of an emulated VM's clock
    #[arg(long, value_enum, default_value_t = ClockArg::Instructions)]
    pub clock: ClockArg,
    /// Additional arguments for QEMU
    #[arg(last = true, value_name = "QEMU_ARGS")]
    pub qemu: Vec<OsString>,
}

/// The unit of an emulated VM's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ClockArg {
    /// Its instructions, so that time limits in it mean what they mean on real hardware
    Instructions,
    /// The time of this machine, which is quicker for programs that have no such limits
    Host,
}

/// The forms of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GraphFormat {
    /// Text, which GitHub and other viewers of Markdown draw
    Mermaid,
    /// A picture
    Svg,
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
