//! Errors and warnings, each with its place and how to fix it.
//!
//! A [`Diagnostic`] has a code that `docs/errors.md` explains, a sentence, a place in the input, and a remedy.
//! Stages collect them in [`Problems`], so that one run reports all of them; [`terminal`] and [`json`] print them.

mod code;
pub mod json;
mod source;
pub mod terminal;

use std::ops::Deref;

use crate::text::sanitize;

pub use code::Code;
pub use source::{Location, Source, Span};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The command fails.
    Error,
    /// The command continues.
    Warning,
}

/// An error or a warning.
#[derive(Clone, Debug)]
pub struct Diagnostic {
    pub code: Code,
    pub severity: Severity,
    /// One sentence, without the place.
    pub message: String,
    /// The place in the input, if there is a single one.
    pub place: Option<Location>,
    /// A second place that explains the first, with a few words on why.
    pub related: Option<Box<(Location, String)>>,
    /// How to fix it.
    pub help: Option<String>,
}

impl Diagnostic {
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

    pub fn warning(code: Code, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, message) }
    }

    #[must_use]
    pub fn at(mut self, place: impl Into<Option<Location>>) -> Self {
        self.place = place.into();
        self
    }

    /// Sets the place, unless there is one already.
    #[must_use]
    pub fn or_at(mut self, place: impl Into<Option<Location>>) -> Self {
        if self.place.is_none() {
            self.place = place.into();
        }
        self
    }

    /// Adds a second place, with a reason.
    #[must_use]
    pub fn related(mut self, place: Option<Location>, why: impl Into<String>) -> Self {
        self.related = place.map(|place| Box::new((place, why.into())));
        self
    }

    /// Prefixes the message with a title.
    #[must_use]
    pub fn about(self, title: &str) -> Self {
        Self { message: format!("{title}: {}", self.message), ..self }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// The diagnostics of a run, in the order in which they were found.
///
/// Problems after the first thousand are counted but not stored, so that a file full of errors costs no more
/// than a correct one.
#[derive(Clone, Debug, Default)]
pub struct Problems {
    kept: Vec<Diagnostic>,
    left_out: usize,
}

impl Problems {
    pub const MOST: usize = 1000;

    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.kept.len() < Self::MOST {
            self.kept.push(diagnostic);
        } else {
            self.left_out += 1;
        }
    }

    /// Applies `change` to each of them.
    #[must_use]
    pub fn each(mut self, change: impl Fn(Diagnostic) -> Diagnostic) -> Self {
        self.kept = self.kept.into_iter().map(change).collect();
        self
    }

    pub fn extend(&mut self, other: Self) {
        self.left_out += other.left_out;
        other.kept.into_iter().for_each(|diagnostic| self.push(diagnostic));
    }

    /// The number of diagnostics that were counted but not stored.
    pub const fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether there is an error. Diagnostics that were not stored count as errors.
    pub fn has_errors(&self) -> bool {
        self.left_out > 0 || self.kept.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    #[must_use]
    pub fn errors(&self) -> Self {
        let errors = self.kept.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        Self { kept: errors.cloned().collect(), left_out: self.left_out }
    }

    /// `Ok(value)` if there are no errors, otherwise all problems so far.
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
/// It is kept through every stage, so that an error about a rendered value can point at the line of the spec that
/// caused it.
#[derive(Clone, Debug)]
pub struct Spanned<T> {
    pub value: T,
    /// The place it was read from.
    pub place: Option<Location>,
}

impl<T> Spanned<T> {
    /// A default, which has no place.
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
    // Enough for the message, without copying megabytes.
    let end = (0..=value.len().min(LONGEST * 16)).rev().find(|at| value.is_char_boundary(*at));
    let whole = end == Some(value.len());
    let value = without_credentials(&value[..end.unwrap_or(0)]);
    let shown: String = value.chars().take(LONGEST).collect();
    let more = if shown.len() < value.len() || !whole { "…" } else { "" };
    format!("`{}{more}`", sanitize(&shown))
}

/// The candidate most similar to the typed word, if one is similar enough.
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
