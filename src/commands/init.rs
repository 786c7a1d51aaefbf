//! `bake init`: writes a project from the answers to a few questions.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use serde::Serialize;

use super::console::Console;
use super::load::{LOCK, MANIFEST, SPEC};
use super::prompt::{self, ask};
use super::{Done, Failure, schema};
use crate::cli::{InitArgs, SchemaOf};
use crate::diagnostics::{Code, Diagnostic, Problems, Source, did_you_mean, quoted};
use crate::fs::{self as output, NewFile};
use crate::project::machine::{self, prices_of};
use crate::project::names::{Channel, LabelId, MachineType, Provider, VmName, Zone};
use crate::project::openclaw::{Needs, OpenClaw};
use crate::project::starter::{self, Answers};
use crate::project::values::Size;
use crate::project::{defaults, spec};

const GITIGNORE: &str = ".gitignore";
/// The output of `render`, `image` and `rehearse`, and the usual places of secrets.
const IGNORED: &str = "/out/\n/oci/\n/rehearsal/\n/secrets/\n*.secret\n.env\n";
/// JSON Schemas for editors. They are part of the project, so they need no network and match this `bake`.
const SPEC_SCHEMA: &str = ".bake/spec.schema.json";
const MANIFEST_SCHEMA: &str = ".bake/manifest.schema.json";
/// The answer for an empty value.
const NONE: &str = "none";
const DATA_DISK: &str = "A data disk keeps the gateway's state when the VM is replaced; 10GB costs about $1 a month, 0 means none.\n";
/// Machine types offered with their price; any other one can be typed.
const OFFERED: [&str; 4] = ["e2-micro", "e2-small", "e2-medium", "e2-standard-2"];

#[derive(Serialize)]
struct InitJson {
    version: u32,
    /// Paths of the new files.
    written: Vec<String>,
}

pub(super) fn run(
    dir: &Path,
    options: &InitArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
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
    fit(&answers).map_err(|why| Failure::Argument(format!("{why}; nothing was written")))?;
    let text = answers.spec();
    let schema_text = |file| serde_json::to_string_pretty(&schema::of(file)).map(|text| text + "\n");
    let [spec_schema, manifest_schema] = [schema_text(SchemaOf::Spec), schema_text(SchemaOf::Manifest)]
        .map(|schema| schema.map_err(|error| Failure::Other(Code::IoFailed, error.to_string())));
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
    output::create(dir, &files)?;
    let written = files.iter().map(|file| {
        let path = dir.join(file.name);
        path.strip_prefix(".").unwrap_or(&path).display().to_string()
    });
    let written: Vec<_> = written.collect();
    if json {
        console.json(&InitJson { version: 1, written })?;
    } else {
        console.result(&format!("{}\n", written.join("\n")))?;
    }
    if gitignore_is_there {
        console.note(&format!(
            "{GITIGNORE} is yours, and stays as it is. These should be in it: {}",
            IGNORED.trim_end().replace('\n', ", ")
        ));
    }
    let elsewhere = options.dir.as_ref().and_then(|target| target.to_str()).filter(|target| *target != ".");
    let enter = elsewhere.and_then(|target| shlex::try_quote(target).ok());
    let enter = enter.map_or_else(String::new, |target| format!("`cd {target}`, "));
    console.note(&format!(
        "Next: {enter}edit bake.yaml and images/binaries.yaml, then run `bake lock` and `bake render`."
    ));
    let secrets = answers.secrets();
    if !secrets.is_empty() {
        let names: Vec<_> = secrets.iter().map(ToString::to_string).collect();
        console.note(&format!("`bake gcloud setup | sh` will ask for the value of {}.", names.join(", ")));
    }
    Ok(Done::Clean)
}

/// Checks the answers with the rules of the spec, because two valid values may contradict each other.
fn fit(answers: &Answers) -> Result<(), String> {
    let mut problems = Problems::default();
    spec::read(Source::new(SPEC, answers.spec()), &mut problems);
    let errors = problems.errors();
    let sentence = |error: &Diagnostic| match &error.help {
        Some(help) => format!("{}: {help}", error.message),
        None => error.message.clone(),
    };
    let sentences: Vec<_> = errors.iter().map(sentence).collect();
    if sentences.is_empty() { Ok(()) } else { Err(sentences.join("\n  ")) }
}

/// Each answer comes from its option, the person, or the default.
fn answers(dir: &Path, options: &InitArgs) -> Result<Answers, Failure> {
    let wrong = |option: &str| {
        let option = option.to_owned();
        move |why: String| Failure::Argument(format!("--{option}: {why}"))
    };
    let model = options.model.as_deref().map(provider).transpose().map_err(wrong("model"))?;
    let channels = match &options.channel[..] {
        [] => None,
        given => Some(channels_in(&given.join(",")).map_err(wrong("channel"))?),
    };
    let asks = !options.yes && prompt::is_possible();
    let or_ask = Questions { asks };

    let folder = folder_path(dir);
    let own = folder.as_deref().and_then(starter::vm_name);
    let name = match (&options.name, &own) {
        (Some(name), _) => name.clone(),
        (None, Some(own)) if !asks => own.clone(),
        (None, None) if !asks => {
            return Err(Failure::Argument(format!(
                "no VM name can be made from the folder {}: add --name",
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
    let machine_type = "e2-small".parse().map_err(Failure::Argument)?;
    let data_disk = Size::gigabytes(10);
    let id = options.id.clone().map_or_else(random_id, Ok)?;
    let mut answers = Answers { name, id, zone, machine_type, model: None, channels: Vec::new(), data_disk };
    answers.machine_type = or_ask.answer(
        options.machine_type.clone(),
        || format!("{}Machine type", prices(&answers.zone)),
        answers.machine_type.as_str(),
        |text| {
            let machine_type: MachineType = text.parse()?;
            fit(&Answers { machine_type: machine_type.clone(), ..answers.clone() })?;
            Ok(machine_type)
        },
    )?;
    answers.model = or_ask.answer(model, || format!("{}Model provider", providers()), NONE, provider)?;
    answers.channels =
        or_ask.answer(channels, || format!("{}Channels", known_channels()), NONE, channels_in)?;
    answers.data_disk = or_ask.answer(
        options.data_disk,
        || format!("{DATA_DISK}Data disk"),
        &data_disk.to_string(),
        |text| {
            let data_disk: Size = text.parse()?;
            fit(&Answers { data_disk, ..answers.clone() })?;
            Ok(data_disk)
        },
    )?;
    Ok(answers)
}

/// An id that no other project has.
fn random_id() -> Result<LabelId, Failure> {
    // Seeded by the operating system; it is not a secret.
    format!("{:016x}", RandomState::new().hash_one(SystemTime::now()))
        .parse()
        .map_err(|why| Failure::Other(Code::BadValue, why))
}

struct Questions {
    asks: bool,
}

impl Questions {
    /// The option's value, the person's answer, or the default.
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

/// The absolute path of the folder, which may not exist yet.
fn folder_path(dir: &Path) -> Option<String> {
    let whole = std::path::absolute(dir).ok()?;
    // Resolves `..` and links, if the folder exists.
    let whole = fs::canonicalize(&whole).unwrap_or(whole);
    // Resolves `x/../y` in a folder that does not exist.
    let whole = whole.components().fold(PathBuf::new(), |mut path, part| {
        if part == Component::ParentDir {
            path.pop();
        } else {
            path.push(part);
        }
        path
    });
    whole.to_str().map(str::to_owned)
}

/// The offered machine types with their monthly prices.
fn prices(zone: &Zone) -> String {
    let row = |name: &str| {
        let machine_type: MachineType = name.parse().ok()?;
        let memory = machine::Machine::new(&machine_type).memory_mib()? / 1024;
        let estimate = machine::estimate(&machine_type, zone, Size::gigabytes(0), false);
        Some(format!("  {name:<14} {memory:>2} GB of memory, ${} a month\n", estimate.dollars?))
    };
    let rows: String = OFFERED.into_iter().filter_map(row).collect();
    format!("{rows}  (list prices of us-central1, {}, without disks and address)\n", prices_of())
}

/// A model provider that needs no person to set up, or none.
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

/// Every provider that only needs a key.
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

/// A list of channels, or none.
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
        "Channels to talk to it through, in addition to its page: {}, with commas between, or {NONE}.\n",
        names.join(", ")
    )
}
