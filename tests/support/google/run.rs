//! Scripts of `bake gcloud`, piped into a shell with the real gcloud, which asks the server.
//!
//! The shell only finds the programs listed here, each behind a wrapper that records its arguments. This makes
//! every argument of a script visible, and new dependencies as well.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use super::state::State;
use super::{Google, PROJECT, forks, locked, replay};
use crate::support::{Folder, install, testbed};

/// The programs that a script may use: gcloud, openssl for random numbers, ssh in some tests, and POSIX tools.
const PROGRAMS: [&str; 29] = [
    "awk", "basename", "cat", "cp", "cut", "date", "dirname", "env", "expr", "gcloud", "grep", "head",
    "mkdir", "mkfifo", "mktemp", "mv", "od", "openssl", "rm", "sed", "sh", "sleep", "sort", "stty", "tail",
    "tr", "uniq", "wc", "xargs",
];

/// Folders of the machine: programs for scripts, forks of gcloud, programs that gcloud finds first, and
/// temporary files.
const FOLDERS: [&str; 4] = [BIN, FORKS, BENEATH, TEMPORARY];
const BIN: &str = "bin";
const FORKS: &str = "forks";
const BENEATH: &str = "beneath";
const TEMPORARY: &str = "tmp";

/// The file in which the wrappers record arguments and environments.
const CALLS: &str = "calls";
const ENVIRONMENT: &str = "environment";

/// Creates two files at the path after `-f`, as `ssh-keygen` does with a pair of keys.
pub const KEYGEN: &str = "for word; do [ \"$last\" != -f ] || file=$word; last=$word; done\n\
    echo private >\"$file\"; echo 'ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB me@laptop' >\"$file.pub\"";

/// A POSIX shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shell {
    Dash,
    Bash,
    /// bash by the rules of POSIX, as the `sh` of macOS, which is bash 3.2.
    Posix,
}

impl Shell {
    pub const ALL: [Self; 3] = [Self::Dash, Self::Bash, Self::Posix];

    fn name(self) -> &'static str {
        match self {
            Self::Dash => "dash",
            Self::Bash | Self::Posix => "bash",
        }
    }

    /// The command that runs a script from standard input.
    fn command(self) -> Vec<String> {
        let program = found(self.name()).display().to_string();
        let options = if self == Self::Posix { &["--posix"][..] } else { &[] };
        std::iter::once(program).chain(options.iter().map(ToString::to_string)).collect()
    }
}

/// A project with its bundle, and a machine with gcloud on which its scripts run.
pub struct Cloud {
    pub google: Google,
    pub folder: Folder,
    /// gcloud's project; empty for none.
    pub project: &'static str,
    /// Variables that the user's shell exports.
    pub exported: Vec<(&'static str, &'static str)>,
    /// Whether each gcloud is loaded separately, as for a user, instead of forked. This is necessary if the
    /// test looks at the list of processes or uses a terminal: a forked gcloud only has the terminal as its
    /// files, and is not ended by it.
    pub loads_anew: bool,
    tools: tempfile::TempDir,
}

/// The result of a script.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub out: String,
    pub err: String,
    /// Every program that was run, with its arguments.
    pub calls: Vec<Vec<String>>,
    /// The environments of all of them.
    pub environment: String,
}

impl Run {
    /// Holds the run to have ended with `code`.
    #[track_caller]
    pub fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}\n{:#?}", self.out, self.err, self.calls);
        self
    }

    #[track_caller]
    pub fn done(self) -> Self {
        self.ended(0)
    }
}

impl Cloud {
    /// The default project, rendered, with `edits` to its spec; none where the machine lacks something.
    pub fn new(google: Google, edits: &[(&str, &str)]) -> Self {
        let folder = Folder::project();
        for (from, to) in edits {
            folder.edit("bake.yaml", from, to);
        }
        folder.bake(["render"]).done();
        Self::of(google, folder)
    }

    /// For an existing project, rendered or not.
    pub fn of(google: Google, folder: Folder) -> Self {
        for shell in Shell::ALL {
            testbed::program(shell.name());
        }
        let tools = tempfile::tempdir().expect("a temporary folder");
        for folder in FOLDERS {
            fs::create_dir(tools.path().join(folder)).expect("a folder");
        }
        for program in PROGRAMS {
            testbed::program(program);
            wrap(tools.path(), BIN, program, &format!("exec {}", found(program).display()));
        }
        testbed::program("python3");
        wrap(tools.path(), FORKS, "gcloud", &format!("exec {}", forks::call()));
        Self { google, folder, project: PROJECT, exported: Vec::new(), loads_anew: false, tools }
    }

    /// The default project with its VM, as `create` makes it. gcloud takes ten seconds for that, and so does it
    /// once in a program; every other cloud begins with what it made.
    pub fn created() -> Self {
        static CREATED: Mutex<Option<State>> = Mutex::new(None);
        let cloud = Self::new(Google::set_up("openclaw-gateway"), &[]);
        let mut created = locked(&CREATED);
        if let Some(state) = &*created {
            cloud.google.take_over(state);
        } else {
            cloud.run(Shell::Dash, &["create"]).done();
            *created = Some(cloud.google.state());
        }
        drop(created);
        cloud
    }

    /// Answers each call of gcloud by what it did the first time in the same state.
    pub fn replays(&self) {
        let call = replay::serve(&self.google.shared, self.tools.path());
        wrap(self.tools.path(), FORKS, "gcloud", &call);
    }

    /// Has a script find this text of shell in place of a program.
    pub fn in_place_of(&self, program: &str, text: &str) {
        assert_ne!(program, "gcloud", "it would be found in two folders");
        executable(&self.tools.path().join(BIN).join(program), text);
    }

    /// Has gcloud itself find this text of shell in place of a program, whose arguments and
    /// environment are written down like those of the script's own.
    pub fn beneath_gcloud(&self, program: &str, text: &str) {
        let folder = self.tools.path();
        executable(&folder.join(BENEATH).join(program), &format!("{}{text}", recording(folder, program)));
    }

    /// The output of `bake gcloud` for an action.
    #[track_caller]
    pub fn script(&self, action: &[&str]) -> String {
        self.folder.bake(std::iter::once("gcloud").chain(action.iter().copied())).done().out
    }

    /// Pipes an action's script into a shell without a terminal.
    #[track_caller]
    pub fn run(&self, shell: Shell, action: &[&str]) -> Run {
        self.piped(shell, &self.script(action))
    }

    /// Pipes a script into a shell, in a session without a terminal.
    pub fn piped(&self, shell: Shell, script: &str) -> Run {
        let command = shell.command();
        let words: Vec<_> = std::iter::once("--wait").chain(command.iter().map(String::as_str)).collect();
        let mut process = self.process("setsid", &words);
        let mut child = process.spawn().expect("a process");
        let mut stdin = child.stdin.take().expect("a pipe");
        let script = script.to_owned();
        // A script that ends early reads no further.
        let feeding = thread::spawn(move || stdin.write_all(script.as_bytes()).unwrap_or_default());
        let output = child.wait_with_output().expect("an end");
        feeding.join().expect("fed");
        self.ended(&output)
    }

    /// The same on a terminal, with the whole screen in `out`. Each entry of `typed` is a text to wait for and
    /// the answer to type.
    #[track_caller]
    pub fn typed(&self, shell: Shell, action: &[&str], typed: &[(&str, &str)]) -> Run {
        let (run, unasked) = self.on_a_terminal(shell, &self.script(action), typed);
        assert_eq!(unasked, 0, "was never asked:\n{}", run.out);
        run
    }

    /// The same for a script. Returns also how many of the texts did not appear.
    pub fn on_a_terminal(&self, shell: Shell, script: &str, typed: &[(&str, &str)]) -> (Run, usize) {
        let file = self.tools.path().join("script");
        fs::write(&file, script).expect("a file");
        let piped = format!("{} < {}", shell.command().join(" "), file.display());
        let mut process = self.process("script", &["--quiet", "--return", "--command", &piped, "/dev/null"]);
        let mut child = process.spawn().expect("a process");
        let (mut keyboard, mut screen) =
            (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
        let (mut shown, mut part, mut typed) = (Vec::new(), [0; 4096], typed.iter().peekable());
        let mut looked = 0;
        while let Ok(read @ 1..) = screen.read(&mut part) {
            shown.extend_from_slice(&part[..read]);
            let text = String::from_utf8_lossy(&shown[looked..]).into_owned();
            if let Some((_, answer)) = typed.next_if(|(question, _)| text.contains(question)) {
                looked = shown.len();
                keyboard.write_all(answer.as_bytes()).expect("a terminal");
            }
        }
        let output = child.wait_with_output().expect("an end");
        (self.ended(&std::process::Output { stdout: shown, ..output }), typed.count())
    }

    /// Everything that was left on the machine: at home, in gcloud's folder with its logs, in the one for
    /// temporary files, and what the wrappers wrote down.
    pub fn left(&self) -> Vec<(PathBuf, Vec<u8>)> {
        files(self.tools.path())
    }

    /// A program on this cloud's machine; earlier records are removed.
    fn process(&self, program: &str, arguments: &[&str]) -> Command {
        for log in [CALLS, ENVIRONMENT] {
            fs::write(self.tools.path().join(log), "").expect("a file");
        }
        let [forks, bin] = [FORKS, BIN].map(|folder| self.tools.path().join(folder));
        let path = if self.loads_anew { vec![bin] } else { vec![forks, bin] };
        let mut process = Command::new(found(program));
        process
            .args(arguments)
            .current_dir(self.tools.path())
            .env_clear()
            .env("PATH", std::env::join_paths(path).expect("a path"))
            .env("HOME", self.tools.path())
            .env("TMPDIR", self.tools.path().join(TEMPORARY))
            .env("SHELL", found("dash"))
            .env("LANG", "C.UTF-8")
            .env("CLOUDSDK_CONFIG", self.tools.path().join("config"))
            .envs(self.google.environment())
            .envs(self.exported.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if !self.project.is_empty() {
            process.env("CLOUDSDK_CORE_PROJECT", self.project);
        }
        process
    }

    fn ended(&self, output: &std::process::Output) -> Run {
        let log = |name| fs::read(self.tools.path().join(name)).expect("a file");
        Run {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
            calls: read_calls(&log(CALLS)),
            environment: String::from_utf8_lossy(&log(ENVIRONMENT)).into_owned(),
        }
    }
}

/// The program's path on this machine.
pub(super) fn found(program: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.exists());
    found.unwrap_or_else(|| panic!("no {program} on this machine"))
}

/// A program that records its arguments before the shell runs `command`, with the machine's own path.
fn wrap(folder: &Path, bin: &str, program: &str, command: &str) {
    let text = format!(
        "{recording}PATH='{beneath}:{path}' {command} \"$@\"",
        recording = recording(folder, program),
        beneath = folder.join(BENEATH).display(),
        path = std::env::var("PATH").expect("a path"),
    );
    executable(&folder.join(bin).join(program), &text);
}

/// Shell code that records the arguments and the environment of the program that it starts.
fn recording(folder: &Path, program: &str) -> String {
    format!(
        "printf '%s\\0' \"$#\" {program} \"$@\" >> '{calls}'\nexport -p >> '{environment}'\n",
        calls = folder.join(CALLS).display(),
        environment = folder.join(ENVIRONMENT).display(),
    )
}

/// A program of this text of shell.
fn executable(path: &Path, text: &str) {
    install("/dev/stdin", &format!("#!{}\n{text}\n", found("dash").display()), path);
}

/// Number of arguments, program, arguments; each ends with a NUL.
fn read_calls(log: &[u8]) -> Vec<Vec<String>> {
    let mut words = log.split(|byte| *byte == 0).map(|word| String::from_utf8_lossy(word).into_owned());
    let mut calls = Vec::new();
    while let Some(number) = words.next().filter(|number| !number.is_empty()) {
        let number: usize = number.parse().expect("a number");
        calls.push(words.by_ref().take(number + 1).collect());
    }
    calls
}

/// Every file below a folder, with its content.
pub fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap_or_default()));
        }
    }
    found
}
