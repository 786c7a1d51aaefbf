//! Commands, and the shell script they make.

use std::fmt::Write;

/// One argument. A value the user wrote is always [`Word::Text`], and always quoted.
pub(super) enum Word {
    /// These characters and no others.
    Text(String),
    /// Shell of our own, already in quotes where it needs them.
    Shell(&'static str),
}

impl<T: Into<String>> From<T> for Word {
    fn from(text: T) -> Self {
        Self::Text(text.into())
    }
}

/// A gcloud command.
pub(super) struct Command(Vec<Word>);

impl Command {
    /// `gcloud` and these words.
    pub(super) fn gcloud(words: &str) -> Self {
        Self(std::iter::once("gcloud").chain(words.split(' ')).map(Word::from).collect())
    }

    /// Adds an argument.
    pub(super) fn arg(mut self, word: impl Into<Word>) -> Self {
        self.0.push(word.into());
        self
    }

    /// Adds `--name=value`.
    pub(super) fn flag(self, name: &str, value: impl std::fmt::Display) -> Self {
        self.arg(format!("--{name}={value}"))
    }

    /// Adds `arguments`.
    pub(super) fn args(mut self, arguments: impl IntoIterator<Item = Word>) -> Self {
        self.0.extend(arguments);
        self
    }

    fn words(&self) -> Vec<String> {
        self.0.iter().map(Word::quoted).collect()
    }
}

impl Word {
    fn quoted(&self) -> String {
        match self {
            Self::Text(text) => quote(text),
            Self::Shell(shell) => (*shell).to_owned(),
        }
    }
}

/// `text` as one word of the shell.
fn quote(text: &str) -> String {
    // The library quotes `=` too, which is special before a command only.
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=.,:/@+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    // Names are checked before: none can hold the NUL that no argument can hold.
    shlex::try_quote(text).map(std::borrow::Cow::into_owned).unwrap_or_default()
}

/// One step: what it is for, how to see that it is done, what to run if not.
pub(super) struct Step {
    /// Why, as a comment.
    pub(super) why: &'static str,
    /// Prints something where the thing is there already.
    pub(super) unless: Command,
    /// What makes it.
    pub(super) run: Command,
    /// What to tell once it is made.
    pub(super) done: Vec<String>,
    /// What to tell where it is there.
    pub(super) already: Vec<String>,
}

impl Step {
    pub(super) fn to_shell(&self) -> String {
        let mut text = String::new();
        for line in self.why.lines() {
            let _ = writeln!(text, "# {line}");
        }
        let words = self.run.words();
        let flags = words.iter().position(|word| word.starts_with("--")).unwrap_or(words.len());
        let _ = writeln!(text, "found=$({})", self.unless.words().join(" "));
        let _ = writeln!(text, "if [ -z \"$found\" ]; then");
        let _ = write!(text, "  {}", words[..flags].join(" "));
        for flag in &words[flags..] {
            let _ = write!(text, " \\\n    {flag}");
        }
        text.push('\n');
        text.push_str(&told(&self.done));
        if !self.already.is_empty() {
            text.push_str("else\n");
            text.push_str(&told(&self.already));
        }
        text.push_str("fi\n");
        text
    }
}

fn told(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  echo {}\n", quote(line))).collect()
}
