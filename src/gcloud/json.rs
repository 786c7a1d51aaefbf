//! A [`Script`] as argument vectors, for programs that run the commands themselves.

use serde::Serialize;

use super::script::{BundleFolder, Name, Part, Script, ScriptCommand, Step, When, Word, Work};

/// The document; `docs/gcloud.md` describes it.
#[derive(Serialize)]
pub struct ActionJson {
    version: u32,
    action: &'static str,
    folder: Option<String>,
    names: Vec<Learned>,
    steps: Vec<StepRow>,
}

#[derive(Serialize)]
struct Learned {
    name: &'static str,
    /// A description, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The command that prints it.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<Vec<String>>,
    /// How it comes from another name.
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
}

#[derive(Serialize)]
struct StepRow {
    why: String,
    /// The change, as in the plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    change: Option<String>,
    /// Prints something where there is nothing to do.
    unless: Option<Vec<String>>,
    /// Prints nothing where there is nothing to do.
    r#where: Option<Vec<String>>,
    /// Prints a line for each run of the commands.
    each: Option<Vec<String>>,
    /// A name that an earlier step sets, with a word for each run of the commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    each_of: Option<&'static str>,
    /// The name of the variable that holds the output.
    #[serde(skip_serializing_if = "Option::is_none")]
    learns: Option<Learns>,
    run: Vec<Vec<String>>,
    stdin: Option<String>,
    /// The script's behaviour around the commands.
    #[serde(skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
    /// Why to end here with an error, where there is something to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    refuse: Option<String>,
}

#[derive(Serialize)]
struct Learns {
    name: &'static str,
    r#else: String,
}

impl Script {
    /// The script's commands as argument vectors.
    pub fn to_document(&self) -> ActionJson {
        let folder = match &self.files {
            Some((BundleFolder::At(path), _)) => Some(path.clone()),
            Some((BundleFolder::Beside, _)) | None => None,
        };
        ActionJson {
            version: 1,
            action: self.action,
            folder,
            names: self.learned(),
            steps: self.steps.iter().map(row).collect(),
        }
    }

    fn learned(&self) -> Vec<Learned> {
        let (value, run) = match &self.project {
            Some(project) => (Some(project.to_string()), None),
            None => (None, Some(vector(&ScriptCommand::gcloud("config get-value project")))),
        };
        let mut names = vec![Learned { name: Name::Project.variable(), value, run, how: None }];
        let empty = |name: Name| Learned { name: name.variable(), value: None, run: None, how: None };
        if self.uses(Name::Domain) {
            names.push(Learned {
                how: Some("the project; of example.com:name, name.example.com"),
                ..empty(Name::Domain)
            });
        }
        if self.uses(Name::Stamp) {
            let run = ["date", "-u", "+%Y%m%d-%H%M%S"].map(str::to_owned).to_vec();
            names.push(Learned { run: Some(run), ..empty(Name::Stamp) });
        }
        if self.uses(Name::Start) {
            names.push(Learned {
                how: Some("0; after a run, the second line of its output"),
                ..empty(Name::Start)
            });
        }
        if self.uses(Name::CurrentRelease) {
            names.push(Learned {
                how: Some("the release that is `current` in the VM's guest attribute openclaw/releases"),
                ..empty(Name::CurrentRelease)
            });
        }
        if self.uses(Name::Terminal) {
            names.push(Learned {
                how: Some("-t where standard input and output are a terminal, else -T"),
                ..empty(Name::Terminal)
            });
        }
        for name in [Name::BootImage, Name::ImageProject, Name::Image, Name::Template] {
            if self.uses(name) {
                names.push(Learned { how: Some("set by the step that picks the OS image"), ..empty(name) });
            }
        }
        if self.uses(Name::Base) {
            names.push(Learned {
                how: Some("set by the step that finds images and builder"),
                ..empty(Name::Base)
            });
        }
        for name in [Name::OldData, Name::Snapshot] {
            if self.uses(name) {
                names.push(Learned { how: Some("set by the step that finds the old VM"), ..empty(name) });
            }
        }
        names
    }
}

fn row(step: &Step) -> StepRow {
    let asked = step.when.asked().map(vector);
    let (unless, r#where, each) = match step.when {
        When::Always | When::EachOf(_) => (None, None, None),
        When::Unless(_) => (asked, None, None),
        When::Where(_) => (None, asked, None),
        When::Each(_) => (None, None, asked),
    };
    let (stdin, how) = match &step.work {
        Work::Shell(shell) => (shell.stdin.clone(), Some(shell.how)),
        Work::Run(_) | Work::Refuse(_) => (None, None),
    };
    StepRow {
        why: step.why.clone(),
        change: step.change.as_ref().map(plain),
        unless,
        r#where,
        each,
        each_of: match step.when {
            When::EachOf(name) => Some(name.variable()),
            When::Always | When::Unless(_) | When::Where(_) | When::Each(_) => None,
        },
        learns: step
            .learns
            .as_ref()
            .map(|(name, otherwise)| Learns { name: name.variable(), r#else: otherwise.clone() }),
        run: step.commands().into_iter().map(vector).collect(),
        stdin,
        how,
        refuse: match &step.work {
            Work::Refuse(lines) => Some(lines.iter().map(plain).collect::<Vec<_>>().join("\n")),
            Work::Run(_) | Work::Shell(_) => None,
        },
    }
}

fn vector(command: &ScriptCommand) -> Vec<String> {
    command.0.iter().map(plain).collect()
}

fn plain(word: &Word) -> String {
    word.0
        .iter()
        .map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Name(name) => format!("${{{}}}", name.variable()),
        })
        .collect()
}
