//! The actions of `bake gcloud`, and their options.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand, ValueEnum};

use crate::project::fleet::Fleet;
use crate::project::names::{MachineType, ProjectId, ReleaseId, SecretId, SnapshotName, VmName, Zone};

/// Options of `gcloud`.
#[derive(Args, Debug)]
pub struct GcloudArgs {
    /// The folder of the bundle, relative to the project folder
    #[arg(long, global = true, value_name = "DIR", default_value = "out")]
    pub out: PathBuf,
    /// The form of the output: `json` is the older name of --json
    #[arg(long, global = true, hide = true, value_enum)]
    pub format: Option<OutputFormat>,
    /// Take over the VM and the data disk of the gateway's names, which bake did not make for this project:
    /// shows them, and asks for their names
    #[arg(long, global = true)]
    pub adopt: bool,
    /// The action
    #[command(subcommand)]
    pub action: Action,
}

/// Options of `bake` itself that take a value.
const WITH_VALUE: [&str; 2] = ["-C", "--color"];

/// Whether these arguments, which may be wrong, are for `gcloud`.
pub fn names_gcloud(arguments: &[OsString]) -> bool {
    let mut words = arguments.iter().skip(1).filter_map(|word| word.to_str());
    while let Some(word) = words.next() {
        if WITH_VALUE.contains(&word) {
            words.next();
        } else if !word.starts_with('-') {
            return word == "gcloud";
        }
    }
    false
}

/// How an action is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    /// A shell script
    Sh,
    /// One JSON document with every command as an argument vector
    Json,
}

/// The actions.
#[derive(Debug, Subcommand)]
pub enum Action {
    /// Prepare the project, once: APIs, service account, secrets, network
    Setup(SetupArgs),
    /// Check account, project, billing, APIs, roles and secrets, and print the command that adds what is missing
    Doctor,
    /// Print what `create` or `update` would change, and change nothing; exit code 1 if that is something
    Plan(PlanArgs),
    /// Create data disk, snapshot schedule and VM; existing ones are kept
    Create(Members),
    /// Bake an OS image by a temporary VM, from which new VMs start without apt, build or pull
    Image(ImageArgs),
    /// Wait for the gateway, showing each stage
    Wait(WaitArgs),
    /// One look: VM, gateway, lock, disk, snapshots; its exit code is 1 where not all is well
    Status {
        /// Which VMs
        #[command(flatten)]
        members: Members,
        /// Have the script print one JSON document, for programs
        #[arg(long)]
        as_json: bool,
    },
    /// The serial log, from where one left off
    Logs {
        /// Which VM
        #[command(flatten)]
        member: MemberArg,
        /// From the beginning
        #[arg(long, conflicts_with = "gateway")]
        all: bool,
        /// The log of the gateway's container instead, over SSH, until Ctrl-C
        #[arg(long)]
        gateway: bool,
    },
    /// Print the gateway's token: from Secret Manager, or by SSH where the VM has made it
    Token(MemberArg),
    /// The Control UI on a port of this machine, until Ctrl-C
    Tunnel {
        /// Which VM
        #[command(flatten)]
        member: MemberArg,
        /// Another port of this machine than the gateway's own
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
        /// Open a browser there, as `dashboard` does
        #[arg(long)]
        open: bool,
    },
    /// Open the Control UI in a browser by the gateway's one-time link, until Ctrl-C
    Dashboard {
        /// Which VM
        #[command(flatten)]
        member: MemberArg,
        /// Another port of this machine than the gateway's own
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
        port: Option<u16>,
    },
    /// A shell on the VM
    Ssh(MemberArg),
    /// Run an OpenClaw command in the gateway's container, over SSH: `cli -- channels status`
    Cli {
        /// Which VM
        #[command(flatten)]
        member: MemberArg,
        /// The command and its arguments, as `openclaw` takes them
        #[arg(last = true, required = true, value_name = "ARGS")]
        arguments: Vec<String>,
    },
    /// Send one message to the gateway's agent, over SSH, and print the reply
    Ask {
        /// Which VM
        #[command(flatten)]
        member: MemberArg,
        /// The message
        text: Message,
    },
    /// Give the VM another machine type, and wait for the gateway
    Resize {
        /// The machine type, such as e2-medium
        machine_type: MachineType,
        /// Stop waiting after this many seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
        timeout: u32,
    },
    /// Move the gateway to the zone, name or project of bake.yaml, by a snapshot; the old VM stays until the new
    /// gateway is ready
    Move {
        /// The zone of the VM, where bake.yaml has another
        #[arg(long, value_name = "ZONE")]
        from_zone: Option<Zone>,
        /// The name of the VM, where bake.yaml has another
        #[arg(long, value_name = "NAME")]
        from_name: Option<VmName>,
        /// The project of the VM, where bake.yaml has another
        #[arg(long, value_name = "PROJECT")]
        from_project: Option<ProjectId>,
        /// Stop waiting after this many seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
        timeout: u32,
    },
    /// Have the gateway make an archive of its state, over SSH, then take a snapshot of the data disk
    Backup {
        /// Which VM
        #[command(flatten)]
        member: MemberArg,
        /// Do not ask the gateway: the snapshot alone, as the disk would be after a loss of power
        #[arg(long)]
        snapshot_only: bool,
    },
    /// Put a snapshot on a new data disk, and have the VM use that
    Restore {
        /// Which VM
        #[command(flatten)]
        member: MemberArg,
        /// The snapshot's name
        snapshot: SnapshotName,
    },
    /// Change the VM to this bundle in place: it returns to the old release by itself if the new gateway does not
    /// become ready
    Update(UpdateArgs),
    /// Go back to the release before, with the state of that time
    Rollback {
        /// Which VM
        #[command(flatten)]
        member: MemberArg,
        /// Keep today's state, which the older OpenClaw must be able to read
        #[arg(long)]
        keep_state: bool,
        /// The release to go back to, as `releases` prints it: after a rollback, the newer one
        #[arg(long, value_name = "RELEASE")]
        to: Option<ReleaseId>,
        /// Try again what failed before
        #[arg(long)]
        retry: bool,
        /// Stop waiting after this many seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
        timeout: u32,
    },
    /// The releases on the VM: OpenClaw's version, lock, since when, healthy or not
    Releases {
        /// Which VMs
        #[command(flatten)]
        members: Members,
        /// Have the script print one JSON document
        #[arg(long)]
        as_json: bool,
    },
    /// Delete the VM and its boot disk; the data disk stays
    #[command(mut_arg("fleet", |fleet| fleet.help("The fleet, by all its members: the group goes as a whole")))]
    Destroy {
        /// Which VMs
        #[command(flatten)]
        members: Members,
        /// Delete data disk, snapshots and schedule too, once the VM's name was typed
        #[arg(long)]
        data: bool,
        /// Delete its OS images, and what `setup` made for this gateway and nothing else uses: firewall rule, Cloud
        /// NAT, service account with its rights, and, after a question, each secret
        #[arg(long)]
        all: bool,
    },
}

impl Action {
    /// Whether it makes VMs of the bundle, and so needs a lock that fits.
    pub const fn sends_bundle(&self) -> bool {
        matches!(self, Self::Create(_) | Self::Image(_) | Self::Update(_) | Self::Plan(_) | Self::Move { .. })
    }
}

/// A message to an agent.
#[derive(Clone, Debug)]
pub struct Message(String);

/// Bytes of a message on a command line, which is passed on to other programs as one argument.
const LONGEST_MESSAGE: usize = 16 * 1024;

impl FromStr for Message {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("the message is empty".to_owned());
        }
        if text.len() > LONGEST_MESSAGE {
            return Err(format!("the message is longer than {LONGEST_MESSAGE} bytes"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Message {
    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Options of `setup`.
#[derive(Args, Debug)]
pub struct SetupArgs {
    /// Also create a service account that may create and replace the VM: it can delete every VM, disk and
    /// snapshot of the project, and read the secrets through a VM that it creates
    #[arg(long)]
    pub deployer: bool,
    /// Create the Google Cloud project of `gcp.project`
    #[arg(long)]
    pub new_project: bool,
    /// Take a secret's value from a file, instead of asking for it on the terminal
    #[arg(long, value_name = "ID=FILE", value_parser = secret_file)]
    pub secret_file: Vec<(SecretId, PathBuf)>,
}

fn secret_file(text: &str) -> Result<(SecretId, PathBuf), String> {
    let (id, path) = text.split_once('=').ok_or("write ID=FILE, the id being the one in Secret Manager")?;
    if path.is_empty() {
        return Err("no file is named".to_owned());
    }
    Ok((id.parse()?, path.into()))
}

/// Which VMs an action is about.
#[derive(Args, Debug)]
pub struct Members {
    /// A fleet in place of one VM: how many, or their names; by default the `fleet` of bake.yaml
    #[arg(long, value_name = "N|NAME,NAME…")]
    pub fleet: Option<Fleet>,
}

/// Options of `image`.
#[derive(Args, Debug)]
pub struct ImageArgs {
    /// Bake one although there is one of this lock and bundle: with today's packages and stock image
    #[arg(long)]
    pub force: bool,
    /// Stop waiting after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub timeout: u32,
}

/// Options of `update`.
#[derive(Args, Debug)]
pub struct UpdateArgs {
    /// Which VMs
    #[command(flatten)]
    pub members: Members,
    /// Replace the VM by a new one; the data disk stays. Some 5 minutes without a gateway
    #[arg(long, conflicts_with_all = ["retry", "timeout"])]
    pub replace: bool,
    /// Try a release again that failed on the VM before
    #[arg(long)]
    pub retry: bool,
    /// Stop waiting after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub timeout: u32,
}

/// Options of `plan`.
#[derive(Args, Debug)]
pub struct PlanArgs {
    /// Which VMs
    #[command(flatten)]
    pub members: Members,
    /// Print the plan of `update --replace`
    #[arg(long)]
    pub replace: bool,
}

/// Which VM an action is about.
#[derive(Args, Debug)]
pub struct MemberArg {
    /// This member of a fleet, in place of the spec's VM
    #[arg(long, value_name = "NAME")]
    pub member: Option<VmName>,
}

/// Options of `wait`.
#[derive(Args, Debug)]
pub struct WaitArgs {
    /// Which VMs
    #[command(flatten)]
    pub members: Members,
    /// Have the script draw the stages as a timeline: an SVG file. It needs `bake` on the PATH
    #[arg(long, value_name = "FILE")]
    pub chart: Option<PathBuf>,
    /// Stop waiting after this many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    pub timeout: u32,
}
