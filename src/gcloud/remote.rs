//! Scripts of `vm/*.sh` as the command of an SSH session: the VM's login shell hands them and their
//! arguments to root's bash.

use super::script::ScriptCommand;
use super::shell::without_directives;
use super::vm::Vm;

/// Functions that every script begins with.
const CONTAINER: &str = include_str!("vm/container.sh");
/// The exit code where `sudo` is refused (`EX_NOPERM`, sysexits.h).
const REFUSED: &str = "sudo -n true 2>/dev/null || { echo \"Your account may not use sudo on this VM: it needs roles/compute.osAdminLogin.\" >&2; exit 77; }";

/// A script that runs on the VM.
#[derive(Clone, Copy)]
pub(super) struct Remote(&'static str);

/// Runs an OpenClaw command.
pub(super) const CLI: Remote = Remote(include_str!("vm/cli.sh"));
/// Runs an OpenClaw command where the gateway runs.
pub(super) const ASK: Remote = Remote(include_str!("vm/ask.sh"));
/// Follows the container's log.
pub(super) const FOLLOW: Remote = Remote(include_str!("vm/follow.sh"));
/// Has the gateway make an archive of its state.
pub(super) const ARCHIVE: Remote = Remote(include_str!("vm/archive.sh"));
/// Lets a browser in, and holds the connection.
pub(super) const DOOR: Remote = Remote(include_str!("vm/door.sh"));

impl Remote {
    /// The command line for the VM's login shell.
    fn line<'a>(self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let script = format!("{}{}", without_comments(CONTAINER), without_comments(self.0));
        let mut line = format!("{REFUSED}; exec sudo -n bash -c {} bake", quote(&script));
        for argument in arguments {
            line.push(' ');
            line.push_str(&quote(argument));
        }
        line
    }
}

impl Vm<'_> {
    /// `gcloud compute ssh` that runs `remote` with these arguments.
    pub(super) fn running<'a>(
        self,
        remote: Remote,
        arguments: impl IntoIterator<Item = &'a str>,
    ) -> ScriptCommand {
        self.ssh().flag("command", remote.line(arguments))
    }
}

/// The commands of a file, without its comments, to keep the script short.
fn without_comments(file: &str) -> String {
    let says = |line: &&str| !line.trim_start().starts_with('#') && !line.trim().is_empty();
    let lines = without_directives(file).lines().filter(says);
    lines.map(|line| format!("{line}\n")).collect()
}

/// `text` as one word of a shell of Bourne's kind. In JSON `${` begins a name, so that it must not
/// stay together.
fn quote(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''").replace("${", "$''{"))
}

#[cfg(test)]
mod tests {
    use super::{CONTAINER, Remote, quote, without_comments};

    #[test]
    fn an_argument_stays_one_word() {
        assert_eq!(quote("--json"), "--json");
        assert_eq!(quote("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(quote(""), "''");
        assert_eq!(quote("a${HOME}b"), "'a$''{HOME}b'");
        let line = Remote("x \"$@\"\n").line(["-a", "b c"]);
        assert!(line.ends_with("x \"$@\"\n' bake -a 'b c'"), "{line}");
    }

    /// Quotes of the scripts' own would be written as four characters each, three times over.
    #[test]
    fn the_scripts_read_well_in_quotes() {
        for Remote(text) in
            [super::CLI, super::ASK, super::FOLLOW, super::ARCHIVE, super::DOOR, Remote(CONTAINER)]
        {
            let text = without_comments(text);
            assert!(!text.contains('\'') && !text.contains("${"), "{text}");
        }
    }
}
