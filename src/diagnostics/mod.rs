//! What is wrong, where, and what to do about it.
//!
//! Every complaint is a [`Diagnostic`]: a code that `docs/errors.md` explains, a sentence, the
//! place in the input it is about, and a remedy. Stages collect them in [`Problems`], so that one
//! run tells everything at once; [`terminal`] and [`json`] are the only two ways out.

mod code;
pub mod json;
mod source;
pub mod terminal;

use std::ops::Deref;

use crate::text::sanitize;

pub use code::Code;
pub use source::{Location, Source, Span};

/// How bad it is. Errors stop the command; the others do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The command cannot go on.
    Error,
    /// The command goes on; the user should know.
    Warning,
}

/// One complaint.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    /// What kind of problem it is.
    pub code: Code,
    /// How bad it is.
    pub severity: Severity,
    /// One sentence, without the place.
    pub message: String,
    /// Where in the input, if it is about one place.
    pub place: Option<Location>,
    /// A second place that explains the first, with a few words on why.
    pub related: Option<Box<(Location, String)>>,
    /// What to do.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error.
    pub fn error(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            severity: Severity::Error,
            message: message.into(),
            place: None,
            related: None,
            help: None,
        }
    }

    /// A warning.
    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    /// Says where it is.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<Location>>) -> Self {
        self.place = place.into();
        self
    }

    /// Says where it is, unless that was said already.
    #[must_use]
    pub fn or_at(mut self, place: impl Into<Option<Location>>) -> Self {
        if self.place.is_none() {
            self.place = place.into();
        }
        self
    }

    /// Points at a second place, and says why.
    #[must_use]
    pub fn related(mut self, place: Option<Location>, why: impl Into<String>) -> Self {
        self.related = place.map(|place| Box::new((place, why.into())));
        self
    }

    /// Says first what it is about.
    #[must_use]
    pub fn about(self, title: &str) -> Self {
        Self { message: format!("{title}: {}", self.message), ..self }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The complaints of a run, in the order in which they were found.
///
/// Beyond the first thousand they are counted only: nobody reads them, and a file made of nothing
/// but errors must not cost more than a good one.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    kept: Vec<Diagnostic>,
    left_out: usize,
}

impl Problems {
    /// How many are kept.
    pub const MOST: usize = 1000;

    /// Adds one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.kept.len() < Self::MOST {
            self.kept.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// Each of them, changed.
    #[must_use]
    pub fn each(mut self, change: impl Fn(Diagnostic) -> Diagnostic) -> Self {
        self.kept = self.kept.into_iter().map(change).collect();
        self
    }

    /// Adds all of `other`.
    pub fn extend(&mut self, other: Self) {
        self.left_out += other.left_out;
        other.kept.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// How many there were beyond those that are kept.
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether any of them is an error; one that was left out could be.
    pub fn has_errors(&self) -> bool {
        self.left_out > 0 || self.kept.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// The errors among them.
    #[must_use]
    pub fn errors(&self) -> Self {
        let errors = self.kept.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        Self { kept: errors.cloned().collect(), left_out: self.left_out }
    }

    /// `Ok(value)` where nothing stands against it, else everything found so far.
    pub fn unless_errors<T>(self, value: T) -> Result<(T, Self), Self> {
        if self.has_errors() { Err(self) } else { Ok((value, self)) }
    }
}

impl From<Diagnostic> for Problems {
    fn from(diagnostic: Diagnostic) -> Self {
        Self { kept: vec![diagnostic], left_out: 0 }
    }
}

impl Deref for Problems {
    type Target = [Diagnostic];

    fn deref(&self) -> &[Diagnostic] {
        &self.kept
    }
}

/// A value and the place it was read from; defaults have none.
///
/// It travels through every stage, so that a complaint about a rendered value can point at the
/// line of the spec that asked for it.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    /// The value.
    pub value: T,
    /// Where it was read.
    pub place: Option<Location>,
}

impl<T> Spanned<T> {
    /// A value that nobody wrote.
    pub const fn default_value(value: T) -> Self {
        Self { value, place: None }
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// Whether a URL in `text` carries a password.
pub fn holds_password(text: &str) -> bool {
    let mut authorities =
        text.split("://").skip(1).map(|rest| rest.split(['/', '?', '#']).next().unwrap_or_default());
    authorities.any(|authority| authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':')))
}

/// `text` with `*` for each byte of the user name and password of every URL in it.
fn without_credentials(text: &str) -> String {
    let mut shown = text.to_owned();
    for (at, slashes) in text.match_indices("://") {
        let start = at + slashes.len();
        let authority = text[start..].split(['/', '?', '#', '"', '\'']).next().unwrap_or_default();
        if let Some(end) = authority.rfind('@') {
            shown.replace_range(start..start + end, &"*".repeat(end));
        }
    }
    shown
}

/// `value` in quotes for a message: control characters escaped, long ones cut, passwords of URLs
/// left out.
pub fn quoted(value: &str) -> String {
    const LONGEST: usize = 80;
    // Far more than is shown, and not all of a value of megabytes.
    let end = (0..=value.len().min(LONGEST * 16)).rev().find(|at| value.is_char_boundary(*at));
    let whole = end == Some(value.len());
    let value = without_credentials(&value[..end.unwrap_or(0)]);
    let shown: String = value.chars().take(LONGEST).collect();
    let more = if shown.len() < value.len() || !whole { "…" } else { "" };
    format!("`{}{more}`", sanitize(&shown))
}

/// `, did you mean …?` where one of `candidates` is close to what was typed; else nothing.
pub fn did_you_mean<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    const CLOSE: f64 = 0.75;
    // Jaro-Winkler is quadratic in the length, and no key is that long.
    const LONGEST: usize = 64;
    if typed.len() > LONGEST {
        return None;
    }
    let typed = typed.to_lowercase().replace('_', "-");
    candidates
        .into_iter()
        .map(|candidate| {
            let plain = candidate.to_lowercase().replace('_', "-");
            (strsim::jaro_winkler(&typed, &plain), candidate)
        })
        .filter(|(likeness, _)| *likeness >= CLOSE)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}
