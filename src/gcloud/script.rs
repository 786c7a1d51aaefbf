//! The model of an action: steps of commands, commands of words.
//!
//! The same model becomes a shell script ([`super::shell`]) or argument vectors ([`super::json`]),
//! so that neither can hold a command that the other has not.

use std::fmt::Display;

use super::target::Target;
use crate::project::names::ProjectId;

/// A value that only the script learns at run time; in the shell a variable of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    /// The project: the one that gcloud is set to, where the spec names none.
    Project,
    /// The project, as in the addresses of its service accounts.
    Domain,
    /// The time of the run, in UTC, in a form for names.
    Stamp,
    /// The data disk in use.
    Data,
    /// One line of the output of [`When::Each`].
    Each,
    /// The byte of the serial console's log to begin with.
    Start,
    /// ssh's option that asks for a terminal, or for none.
    Terminal,
    /// The output of the command that a step has asked.
    Found,
    /// The firewall rule of `setup`, unless others use it; likewise the next ones.
    UnusedRule,
    UnusedRouter,
    UnusedAccount,
    UnusedSecrets,
    /// The secrets that the unused account may read.
    BoundSecrets,
    /// The repository of images that the unused account may read.
    BoundRepository,
    /// The VM on which the release failed before, as one word, or none.
    FailedVm,
    /// The effect of an update or a rollback on a VM.
    Effect,
    /// The VM that goes back to its release before, as one word, or none.
    RollbackVm,
    /// The release that a VM runs.
    CurrentRelease,
    /// The data disk of the VM that moves.
    OldData,
    /// The snapshot of a move.
    Snapshot,
    /// The same, where it is still to be taken.
    NewSnapshot,
    /// The data disk of a move, where it is still to be made.
    NewData,
    /// Metadata that was changed by hand, as it should be.
    Drift,
    /// The flag of the OS image that new VMs get.
    BootImage,
    /// The project of that image.
    ImageProject,
    /// That image, for the plan.
    Image,
    /// The template of a group.
    Template,
    /// The stock image that a builder boots.
    Base,
    /// A builder that an earlier run left, as one word, or none.
    OldBuilder,
    /// The builder, where it is still to be made.
    NewBuilder,
    /// The image, where it is still to be baked.
    NewImage,
    /// Images older than those that are kept.
    OldImages,
}

impl Name {
    /// Its variable, and its name in JSON.
    pub(super) const fn variable(self) -> &'static str {
        match self {
            Self::Project => "project",
            Self::Domain => "domain",
            Self::Stamp => "stamp",
            Self::Data => "data",
            Self::Each => "each",
            Self::Start => "start",
            Self::Terminal => "terminal",
            Self::Found => "found",
            Self::UnusedRule => "unused_rule",
            Self::UnusedRouter => "unused_router",
            Self::UnusedAccount => "unused_account",
            Self::UnusedSecrets => "unused_secrets",
            Self::BoundSecrets => "bound_secrets",
            Self::BoundRepository => "bound_repository",
            Self::FailedVm => "failed_vm",
            Self::Effect => "effect",
            Self::RollbackVm => "rollback_vm",
            Self::CurrentRelease => "current",
            Self::OldData => "old_data",
            Self::Snapshot => "snapshot",
            Self::NewSnapshot => "new_snapshot",
            Self::NewData => "new_data",
            Self::Drift => "drift",
            Self::BootImage => "boot_image",
            Self::ImageProject => "image_project",
            Self::Image => "image",
            Self::Template => "template",
            Self::Base => "base",
            Self::OldBuilder => "old_builder",
            Self::NewBuilder => "new_builder",
            Self::NewImage => "new_image",
            Self::OldImages => "old_images",
        }
    }

    /// A description for a person who reads the plan before the script has run.
    pub(super) const fn described(self) -> &'static str {
        match self {
            Self::Project | Self::Domain | Self::ImageProject => "PROJECT",
            Self::Stamp => "TIME",
            Self::Data => "in use",
            Self::Each => "NAME",
            Self::Start => "START",
            Self::Terminal => "TERMINAL",
            Self::Found => "FOUND",
            Self::UnusedRule
            | Self::UnusedRouter
            | Self::UnusedAccount
            | Self::UnusedSecrets
            | Self::BoundSecrets
            | Self::BoundRepository => "UNUSED",
            Self::FailedVm | Self::RollbackVm | Self::OldBuilder | Self::NewBuilder => "VM",
            Self::Effect => "changes its release in place",
            Self::CurrentRelease => "RELEASE",
            Self::OldData | Self::NewData => "DISK",
            Self::Snapshot | Self::NewSnapshot => "SNAPSHOT",
            Self::Drift => "KEY=VALUE",
            Self::BootImage | Self::Image | Self::Base | Self::NewImage | Self::OldImages => "IMAGE",
            Self::Template => "TEMPLATE",
        }
    }
}

/// A part of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// These characters and no others.
    Text(String),
    /// The value of this name at run time.
    Name(Name),
}

/// One argument, with any content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word(pub(super) Vec<Part>);

impl<T: Into<String>> From<T> for Word {
    fn from(text: T) -> Self {
        Self(vec![Part::Text(text.into())])
    }
}

impl Word {
    /// Adds `text`.
    pub(super) fn text(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part::Text(text.into()));
        self
    }

    /// Adds what stands for `name`.
    pub(super) fn name(mut self, name: Name) -> Self {
        self.0.push(Part::Name(name));
        self
    }

    /// Adds `word`.
    pub(super) fn word(mut self, word: Self) -> Self {
        self.0.extend(word.0);
        self
    }

    /// The same in `project`, which is not the spec's.
    fn in_other_project(self, project: &ProjectId) -> Self {
        let parts = self.0.into_iter().map(|part| match part {
            Part::Name(Name::Project) => Part::Text(project.to_string()),
            part => part,
        });
        Self(parts.collect())
    }

    fn is_flag(&self) -> bool {
        matches!(self.0.first(), Some(Part::Text(text)) if text.starts_with("--"))
    }
}

/// A command: its program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ScriptCommand(pub(super) Vec<Word>);

impl ScriptCommand {
    /// `gcloud` and these words, in the project.
    pub(super) fn gcloud(words: &str) -> Self {
        Self(std::iter::once("gcloud").chain(words.split(' ')).map(Word::from).collect())
    }

    /// Adds an argument.
    pub(super) fn arg(mut self, word: impl Into<Word>) -> Self {
        self.0.push(word.into());
        self
    }

    /// Adds `arguments`.
    pub(super) fn args(mut self, arguments: impl IntoIterator<Item = impl Into<Word>>) -> Self {
        self.0.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Adds `--name=value`.
    pub(super) fn flag(self, name: &str, value: impl Display) -> Self {
        self.arg(format!("--{name}={value}"))
    }

    /// Adds `--name=value`, of a value that the script learns.
    pub(super) fn flag_word(self, name: &str, value: Word) -> Self {
        self.arg(Word::from(format!("--{name}=")).word(value))
    }

    /// Adds `--project=…`.
    pub(super) fn in_project(self) -> Self {
        self.arg(Word::from("--project=").name(Name::Project))
    }

    /// The same in `project`, which is not the spec's.
    pub(super) fn in_other_project(self, project: &ProjectId) -> Self {
        Self(self.0.into_iter().map(|word| word.in_other_project(project)).collect())
    }

    /// How many words come before the first flag.
    pub(super) fn words_before_flags(&self) -> usize {
        self.0.iter().position(Word::is_flag).unwrap_or(self.0.len())
    }
}

/// When a step has something to do.
#[derive(Clone, Debug)]
pub(super) enum When {
    /// Always.
    Always,
    /// If this command prints nothing: its output would mean that the resource exists.
    Unless(ScriptCommand),
    /// If this command prints something.
    Where(ScriptCommand),
    /// For each line that this command prints, as [`Name::Each`].
    Each(ScriptCommand),
    /// For each word of this name, as [`Name::Each`].
    EachOf(Name),
}

impl When {
    /// The command that is asked.
    pub(super) const fn asked(&self) -> Option<&ScriptCommand> {
        match self {
            Self::Always | Self::EachOf(_) => None,
            Self::Unless(command) | Self::Where(command) | Self::Each(command) => Some(command),
        }
    }
}

/// Shell of our own around commands: a loop, a question to the person.
#[derive(Clone, Debug)]
pub(super) struct Shell {
    /// The script's behaviour around the commands, for readers of the JSON.
    pub(super) how: &'static str,
    /// The standard input of a command, in words.
    pub(super) stdin: Option<String>,
    /// Files of functions. Each appears once in the script, for any number of steps.
    pub(super) functions: &'static [&'static str],
    /// The function to call, with its arguments.
    pub(super) call: Vec<Word>,
    /// Variables that it reads.
    pub(super) values: Vec<(&'static str, String)>,
    /// Its commands; each is a function of that name.
    pub(super) commands: Vec<(&'static str, ScriptCommand)>,
}

impl Shell {
    /// Shell that calls a function of `functions`.
    pub(super) fn calling(
        how: &'static str,
        functions: &'static [&'static str],
        call: impl IntoIterator<Item = &'static str>,
    ) -> Self {
        Self {
            how,
            stdin: None,
            functions,
            call: call.into_iter().map(Word::from).collect(),
            values: Vec::new(),
            commands: Vec::new(),
        }
    }

    /// Sets the variable `name`.
    pub(super) fn value(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.values.push((name, value.into()));
        self
    }

    /// Gives it `command` as a function called `name`.
    pub(super) fn command(mut self, name: &'static str, command: ScriptCommand) -> Self {
        self.commands.push((name, command));
        self
    }

    /// Says in words what a command is given on its standard input.
    pub(super) fn given(self, stdin: impl Into<String>) -> Self {
        Self { stdin: Some(stdin.into()), ..self }
    }

    /// Calls its function with this argument too.
    pub(super) fn argument(mut self, word: Word) -> Self {
        self.call.push(word);
        self
    }
}

/// The work of a step.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// Runs these, one after another; each without standard input.
    Run(Vec<ScriptCommand>),
    /// Runs its commands with shell of our own around them.
    Shell(Shell),
    /// Ends the script with these lines and an exit code of 1.
    Refuse(Vec<Word>),
}

/// When a step runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before the plan is printed: it only looks, and may end the script.
    Look,
    /// While the plan is printed, and again while it is carried out.
    Plan,
    /// While the plan is carried out.
    Run,
}

/// One step: its purpose, its condition, its work.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Why, as a comment.
    pub(super) why: String,
    /// When it runs.
    pub(super) phase: Phase,
    /// When there is something to do.
    pub(super) when: When,
    /// The work.
    pub(super) work: Work,
    /// A name for the output of [`When`]; where that is empty, for this text.
    pub(super) learns: Option<(Name, String)>,
    /// The change, as a line of the plan.
    pub(super) change: Option<Word>,
    /// The effects of the change, for `sh/effects.sh`.
    pub(super) effects: Vec<Word>,
    /// Whether the plan takes for missing what it cannot look at yet, such as a secret while its API is off.
    pub(super) is_ahead: bool,
    /// The resource that a later failure leaves behind, with the command that removes it.
    pub(super) leaves: Option<Word>,
    /// Whether it puts right what an earlier step left.
    pub(super) settles: bool,
    /// The messages after the step.
    pub(super) done: Vec<Word>,
    /// The resources that stay if there is nothing to do, as a line of the plan.
    pub(super) already: Vec<Word>,
}

impl Step {
    /// A step that runs `command` whenever the script runs.
    pub(super) fn run(why: impl Into<String>, command: ScriptCommand) -> Self {
        Self::new(why, Work::Run(vec![command]))
    }

    /// A step that runs our own shell code.
    pub(super) fn shell(why: impl Into<String>, shell: Shell) -> Self {
        Self::new(why, Work::Shell(shell))
    }

    /// A step that ends the script before any change where `missing` prints nothing.
    pub(super) fn need(
        why: impl Into<String>,
        missing: ScriptCommand,
        lines: impl IntoIterator<Item = Word>,
    ) -> Self {
        Self::new(why, Work::Refuse(lines.into_iter().collect())).unless(missing).look()
    }

    /// A step that ends the script before any change where `found` prints something.
    pub(super) fn refuse(
        why: impl Into<String>,
        found: ScriptCommand,
        lines: impl IntoIterator<Item = Word>,
    ) -> Self {
        Self::new(why, Work::Refuse(lines.into_iter().collect())).only_where(found).look()
    }

    /// A step that only tells something.
    pub(super) fn note(why: impl Into<String>) -> Self {
        Self::new(why, Work::Run(Vec::new()))
    }

    fn new(why: impl Into<String>, work: Work) -> Self {
        Self {
            why: why.into(),
            phase: Phase::Run,
            when: When::Always,
            work,
            learns: None,
            change: None,
            effects: Vec::new(),
            is_ahead: false,
            leaves: None,
            settles: false,
            done: Vec::new(),
            already: Vec::new(),
        }
    }

    /// Runs before the plan is printed.
    pub(super) fn look(self) -> Self {
        Self { phase: Phase::Look, ..self }
    }

    /// Runs while the plan is printed, and again while it is carried out.
    pub(super) fn in_plan(self) -> Self {
        Self { phase: Phase::Plan, ..self }
    }

    /// Names what it changes: `+` something new, `~` a change, `-` a deletion.
    pub(super) fn change(self, line: impl Into<Word>) -> Self {
        Self { change: Some(line.into()), phase: Phase::Plan, ..self }
    }

    /// Notes an effect of the change.
    pub(super) fn will(mut self, effect: impl Into<Word>) -> Self {
        self.effects.push(effect.into());
        self
    }

    /// Takes for missing, in the plan, what cannot be looked at yet.
    pub(super) fn ahead(self) -> Self {
        Self { is_ahead: true, ..self }
    }

    /// The same on a resource of `project`, which is not the spec's.
    pub(super) fn in_other_project(self, project: &ProjectId) -> Self {
        let moved = |command: ScriptCommand| command.in_other_project(project);
        let when = match self.when {
            When::Unless(command) => When::Unless(moved(command)),
            When::Where(command) => When::Where(moved(command)),
            When::Each(command) => When::Each(moved(command)),
            when @ (When::Always | When::EachOf(_)) => when,
        };
        let work = match self.work {
            Work::Run(commands) => Work::Run(commands.into_iter().map(moved).collect()),
            Work::Refuse(lines) => {
                Work::Refuse(lines.into_iter().map(|line| line.in_other_project(project)).collect())
            }
            work @ Work::Shell(_) => work,
        };
        Self { when, work, ..self }
    }

    /// Runs `command` too.
    pub(super) fn then(mut self, command: ScriptCommand) -> Self {
        if let Work::Run(commands) = &mut self.work {
            commands.push(command);
        }
        self
    }

    /// Does nothing where `command` prints something.
    pub(super) fn unless(self, command: ScriptCommand) -> Self {
        Self { when: When::Unless(command), ..self }
    }

    /// Does nothing where `command` prints nothing.
    pub(super) fn only_where(self, command: ScriptCommand) -> Self {
        Self { when: When::Where(command), ..self }
    }

    /// Runs for each line that `command` prints.
    pub(super) fn for_each(self, command: ScriptCommand) -> Self {
        Self { when: When::Each(command), ..self }
    }

    /// Runs for each word of `name`, which an earlier step has set.
    pub(super) fn for_each_of(self, name: Name) -> Self {
        Self { when: When::EachOf(name), ..self }
    }

    /// Gives the output a `name`, or `otherwise` where there is none.
    pub(super) fn learns(self, name: Name, otherwise: impl Into<String>) -> Self {
        Self { learns: Some((name, otherwise.into())), ..self }
    }

    /// Says what a later failure leaves, and how to put it right.
    pub(super) fn leaves(self, line: impl Into<Word>) -> Self {
        Self { leaves: Some(line.into()), ..self }
    }

    /// Puts right what an earlier step left.
    pub(super) fn settles(self) -> Self {
        Self { settles: true, ..self }
    }

    /// Tells this once it is done.
    pub(super) fn tell(mut self, line: impl Into<Word>) -> Self {
        self.done.push(line.into());
        self
    }

    /// Names what stays where there is nothing to do.
    pub(super) fn tell_already(mut self, line: impl Into<Word>) -> Self {
        self.already.push(line.into());
        self
    }

    /// The commands, without the code around them.
    pub(super) fn commands(&self) -> Vec<&ScriptCommand> {
        match &self.work {
            Work::Run(commands) => commands.iter().collect(),
            Work::Shell(shell) => shell.commands.iter().map(|(_, command)| command).collect(),
            Work::Refuse(_) => Vec::new(),
        }
    }
}

/// The folder of the bundle's files in the commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleFolder {
    /// The folder of the script.
    Beside,
    /// In this folder, an absolute path.
    At(String),
}

/// One action, whole.
pub struct Script {
    /// The action's name.
    pub(super) action: &'static str,
    /// The comment at the top of the script.
    pub(super) about: String,
    /// The project and the zone, as a line of the header.
    pub(super) place: String,
    /// The zone.
    pub(super) zone: String,
    /// Facts that a reader must know before a run, each with its heading: `Stays`, `Gateway`, `Costs`.
    pub(super) effects: Vec<(&'static str, String)>,
    /// The folder and files that its commands need, where they need some.
    pub(super) files: Option<(BundleFolder, Vec<&'static str>)>,
    /// The project, where the spec names it.
    pub(super) project: Option<ProjectId>,
    /// Whether it prints its plan and ends there.
    pub(super) plan_only: bool,
    /// The steps.
    pub(super) steps: Vec<Step>,
}

impl Script {
    /// An action on the project of `target`'s spec.
    pub(super) fn new(
        action: &'static str,
        about: impl Into<String>,
        target: Target<'_>,
        steps: Vec<Step>,
    ) -> Self {
        let project = target.spec.gcp.project.as_ref().map(|project| project.value.clone());
        let place = format!(
            "Project: {}. Zone: {}.",
            project.as_ref().map_or("the one that gcloud is set to", ProjectId::as_str),
            target.spec.gcp.zone.as_str()
        );
        Self {
            action,
            about: about.into(),
            place,
            zone: target.spec.gcp.zone.as_str().to_owned(),
            effects: Vec::new(),
            files: None,
            project,
            plan_only: false,
            steps,
        }
    }

    /// Names the resources that it keeps although a reader may expect otherwise.
    pub(super) fn stays(self, what: impl Into<String>) -> Self {
        self.effect("Stays", what)
    }

    /// Names what the action loses.
    pub(super) fn lost(self, what: impl Into<String>) -> Self {
        self.effect("Lost", what)
    }

    /// Says what happens to the running gateway, and how long it is away.
    pub(super) fn gateway(self, what: impl Into<String>) -> Self {
        self.effect("Gateway", what)
    }

    /// Gives the monthly costs, as far as files tell.
    pub(super) fn costs(self, what: impl Into<String>) -> Self {
        self.effect("Costs", what)
    }

    fn effect(mut self, heading: &'static str, what: impl Into<String>) -> Self {
        self.effects.push((heading, what.into()));
        self
    }

    /// With a plan that takes for missing what it cannot look at yet.
    pub(super) fn ahead(mut self) -> Self {
        self.steps = self.steps.into_iter().map(Step::ahead).collect();
        self
    }

    /// The same, which prints its plan and changes nothing. It needs none of the bundle's files.
    #[must_use]
    pub fn plan_only(self) -> Self {
        let about = format!(
            "bake gcloud plan: prints the plan of `bake gcloud {}`, and changes nothing.\n\
             Exit code 0: nothing to do; 1: differences; 2: the current state could not be read.",
            self.action
        );
        Self { action: "plan", about, plan_only: true, files: None, ..self }
    }

    /// Whether it may change something.
    pub(super) fn has_plan(&self) -> bool {
        self.steps.iter().any(|step| step.change.is_some())
    }

    /// With commands that read the files of the bundle.
    pub(super) fn reading(self, folder: BundleFolder, files: Vec<&'static str>) -> Self {
        Self { files: Some((folder, files)), ..self }
    }

    /// Whether a command or a call holds `name`.
    pub(super) fn uses(&self, name: Name) -> bool {
        let has = |words: &[Word]| words.iter().any(|word| word.0.contains(&Part::Name(name)));
        let calls = |step: &Step| matches!(&step.work, Work::Shell(shell) if has(&shell.call));
        let tells = |step: &Step| {
            let refusal = match &step.work {
                Work::Refuse(lines) => &lines[..],
                Work::Run(_) | Work::Shell(_) => &[],
            };
            let said = step
                .change
                .iter()
                .chain(&step.effects)
                .chain(&step.leaves)
                .chain(&step.done)
                .chain(&step.already)
                .chain(refusal);
            said.cloned().any(|word| has(&[word]))
        };
        let runs =
            |step: &Step| step.when.asked().into_iter().chain(step.commands()).any(|command| has(&command.0));
        let loops = |step: &Step| matches!(step.when, When::EachOf(each_of) if each_of == name);
        self.steps.iter().any(|step| runs(step) || calls(step) || tells(step) || loops(step))
    }
}
