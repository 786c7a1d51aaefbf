//! `bake init`: a project to edit, with the answers to a few questions.

use std::fs;
use std::path::Path;

use super::console::Console;
use super::load::{LOCK, MANIFEST, SPEC};
use super::prompt::{self, ask};
use super::{Done, Failure, schema};
use crate::cli::{Init, SchemaOf};
use crate::diagnostics::{Problems, Source, did_you_mean, quoted, terminal};
use crate::project::machine::{self, PRICES_OF};
use crate::project::names::{Channel, MachineType, Provider, VmName, Zone};
use crate::project::openclaw::{Needs, OpenClaw};
use crate::project::starter::{self, Answers};
use crate::project::values::Size;
use crate::project::{defaults, spec};
use crate::write::{self, NewFile};

const GITIGNORE: &str = ".gitignore";
/// What `render`, `image` and `rehearse` write, and where secrets may lie.
const IGNORED: &str = "/out/\n/oci/\n/rehearsal/\n/secrets/\n*.secret\n.env\n";
/// JSON Schemas, for editors: in the project, so that they need no network and are those of this `bake`.
const SPEC_SCHEMA: &str = ".bake/spec.schema.json";
const MANIFEST_SCHEMA: &str = ".bake/manifest.schema.json";
/// Answers nothing, where an answer may be nothing.
const NONE: &str = "none";
/// Machine types that are offered with their price; any other one can be typed.
const OFFERED: [&str; 4] = ["e2-micro", "e2-small", "e2-medium", "e2-standard-2"];

pub(super) fn run(dir: &Path, options: &Init, console: &mut Console) -> Result<Done, Failure> {
    let dir = &options.dir.as_ref().map_or_else(|| dir.to_owned(), |target| dir.join(target));
    let gitignore_is_there = fs::symlink_metadata(dir.join(GITIGNORE)).is_ok();
    for name in [SPEC, MANIFEST, LOCK, SPEC_SCHEMA, MANIFEST_SCHEMA] {
        let path = dir.join(name);
        if fs::symlink_metadata(&path).is_ok() {
            return Err(Failure::Argument(format!(
                "{} is there already, and `init` overwrites nothing: choose another folder with `bake init DIR`",
                path.display()
            )));
        }
    }
    let answers = answers(dir, options)?;
    let text = answers.spec();
    holds(&text)?;
    let json = |file| serde_json::to_string_pretty(&schema::of(file)).map(|text| text + "\n");
    let [spec_schema, manifest_schema] = [json(SchemaOf::Spec), json(SchemaOf::Manifest)]
        .map(|schema| schema.map_err(|error| Failure::Other(error.to_string())));
    let files = [
        (SPEC, format!("# yaml-language-server: $schema={SPEC_SCHEMA}\n{text}")),
        (MANIFEST, format!("# yaml-language-server: $schema=../{MANIFEST_SCHEMA}\n{}", defaults::MANIFEST)),
        (LOCK, defaults::LOCK.to_owned()),
        (SPEC_SCHEMA, spec_schema?),
        (MANIFEST_SCHEMA, manifest_schema?),
        (GITIGNORE, IGNORED.to_owned()),
    ];
    let files: Vec<_> = files
        .iter()
        .filter(|(name, _)| !(gitignore_is_there && *name == GITIGNORE))
        .map(|(name, text)| NewFile { name, content: text.as_bytes(), executable: false })
        .collect();
    write::create(dir, &files)?;
    for file in &files {
        let path = dir.join(file.name);
        console.result(&format!("{}\n", path.strip_prefix(".").unwrap_or(&path).display()))?;
    }
    if gitignore_is_there {
        console.note(&format!(
            "{GITIGNORE} is yours, and stays as it is. These should be in it: {}",
            IGNORED.trim_end().replace('\n', ", ")
        ));
    }
    console.note("Edit bake.yaml and images/binaries.yaml, then run `bake lock` and `bake render`.");
    let secrets = answers.secrets();
    if !secrets.is_empty() {
        let names: Vec<_> = secrets.iter().map(ToString::to_string).collect();
        console.note(&format!("`bake gcloud setup | sh` will ask for the value of {}.", names.join(", ")));
    }
    Ok(Done::Clean)
}

/// What a person types is checked a line at a time; this is about answers that do not go together.
fn holds(text: &str) -> Result<(), Failure> {
    let mut problems = Problems::default();
    spec::read(Source::new(SPEC, text), &mut problems);
    if problems.errors().is_empty() {
        return Ok(());
    }
    Err(Failure::Argument(format!(
        "these answers do not go together, and nothing was written:\n{}",
        terminal::render(&problems.errors(), false).trim_end()
    )))
}

/// Each answer: of its option, else of the person, else the default.
fn answers(dir: &Path, options: &Init) -> Result<Answers, Failure> {
    let wrong = |option: &str| {
        let option = option.to_owned();
        move |why: String| Failure::Argument(format!("--{option}: {why}"))
    };
    let model = options.model.as_deref().map(provider).transpose().map_err(wrong("model"))?;
    let channels = match &options.channel[..] {
        [] => None,
        given => Some(channels_in(&given.join(",")).map_err(wrong("channel"))?),
    };
    if let Some(size) = options.data_disk {
        whole(size).map_err(wrong("data-disk"))?;
    }
    let asks = !options.yes && prompt::is_possible();
    let or_ask = Asking { asks };

    let folder = folder_name(dir);
    let own = folder.as_deref().and_then(starter::vm_name);
    let name = match (&options.name, &own) {
        (Some(name), _) => name.clone(),
        (None, Some(own)) if !asks => own.clone(),
        (None, None) if !asks => {
            return Err(Failure::Argument(format!(
                "the folder's name, {}, gives none to a VM: add --name",
                quoted(&folder.unwrap_or_default())
            )));
        }
        (None, own) => {
            let own = own.as_ref().map(VmName::as_str);
            ask("Name of the VM", own, str::parse)?
        }
    };
    let zone: Zone =
        or_ask.answer(options.zone.clone(), || "Zone".to_owned(), "us-central1-a", str::parse)?;
    let machine_type = or_ask.answer(
        options.machine_type.clone(),
        || format!("{}Machine type", prices(&zone)),
        "e2-small",
        str::parse::<MachineType>,
    )?;
    let model = or_ask.answer(model, || format!("{}Model provider", providers()), NONE, provider)?;
    let channels = or_ask.answer(channels, || format!("{}Channels", known_channels()), NONE, channels_in)?;
    let data_disk = or_ask.answer(
        options.data_disk,
        || "A data disk keeps the gateway's state when the VM is replaced. 10GB costs about $1 a month, 0 means none.\nData disk".to_owned(),
        "10GB",
        |text| text.parse().and_then(whole),
    )?;
    Ok(Answers { name, zone, machine_type, model, channels, data_disk })
}

struct Asking {
    asks: bool,
}

impl Asking {
    /// What was given, or what a person answers, or the default.
    fn answer<T>(
        &self,
        given: Option<T>,
        question: impl FnOnce() -> String,
        default: &str,
        read: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Failure> {
        match given {
            Some(given) => Ok(given),
            None if self.asks => ask(&question(), Some(default), read),
            None => read(default).map_err(Failure::Argument),
        }
    }
}

/// The name of the folder, which need not be there yet.
fn folder_name(dir: &Path) -> Option<String> {
    let whole = std::path::absolute(dir).ok()?;
    // `..` and links: the folder that is there, else the path's last part.
    let whole = fs::canonicalize(&whole).unwrap_or(whole);
    whole.file_name()?.to_str().map(str::to_owned)
}

fn whole(size: Size) -> Result<Size, String> {
    if size.is_whole_gb() {
        return Ok(size);
    }
    Err(format!("a disk has whole gigabytes, such as `10GB`, and not `{size}`"))
}

/// The machine types that are offered, with what a month of each costs.
fn prices(zone: &Zone) -> String {
    let row = |name: &str| {
        let machine_type: MachineType = name.parse().ok()?;
        let memory = machine::Machine::new(&machine_type).memory_mib()? / 1024;
        let estimate = machine::estimate(&machine_type, zone, Size::gigabytes(0), false);
        Some(format!("  {name:<14} {memory:>2} GB of memory, ${} a month\n", estimate.dollars?))
    };
    let rows: String = OFFERED.into_iter().filter_map(row).collect();
    format!("{rows}  (list prices of us-central1, {PRICES_OF}, without disks and address)\n")
}

/// A model provider that can be set up without a person, or none.
fn provider(text: &str) -> Result<Option<Provider>, String> {
    if text == NONE {
        return Ok(None);
    }
    let known = OpenClaw::builtin();
    match known.provider(text).map(|choice| &choice.needs) {
        Some(Needs::Key(_)) => text.parse().map(Some),
        Some(Needs::Person | Needs::Address) => Err(format!(
            "{} takes more than a key: answer `{NONE}`, and set `gateway.model` in bake.yaml",
            quoted(text)
        )),
        None => {
            let close = did_you_mean(text, with_key());
            let hint = close.map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
            Err(format!("no model provider {} is known here{hint}", quoted(text)))
        }
    }
}

/// Every provider for which a key is enough.
fn with_key() -> impl Iterator<Item = &'static str> {
    let choices = OpenClaw::builtin().choices.iter();
    choices
        .filter(|choice| choice.chats && matches!(choice.needs, Needs::Key(_)))
        .map(|choice| choice.provider.as_str())
}

fn providers() -> String {
    let usual = ["anthropic", "openai", "google", "openrouter"];
    let others = with_key().filter(|name| !usual.contains(name)).count();
    format!("Models come from a provider: {}, one of {others} others, or {NONE} for now.\n", usual.join(", "))
}

/// Channels between commas, or none.
fn channels_in(text: &str) -> Result<Vec<Channel>, String> {
    let known = OpenClaw::builtin();
    let mut found: Vec<Channel> = Vec::new();
    for name in text.split([',', ' ']).filter(|name| !name.is_empty() && *name != NONE) {
        let settable = known.channels.iter().filter(|channel| !channel.by_hand);
        let Some(channel) = settable.clone().find(|channel| channel.name.as_str() == name) else {
            let names: Vec<_> = settable.map(|channel| channel.name.as_str()).collect();
            return Err(format!(
                "no channel {} can be set up by bake; {} can",
                quoted(name),
                names.join(", ")
            ));
        };
        if !found.contains(&channel.name) {
            found.push(channel.name.clone());
        }
    }
    Ok(found)
}

fn known_channels() -> String {
    let settable = OpenClaw::builtin().channels.iter().filter(|channel| !channel.by_hand);
    let names: Vec<_> = settable.map(|channel| channel.name.as_str()).collect();
    format!(
        "Channels to talk to it through, beside its own page: {}, with commas between, or {NONE}.\n",
        names.join(", ")
    )
}
