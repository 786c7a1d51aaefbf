//! Diagnostics for programs.

use serde::Serialize;

use super::{Diagnostic, Place, Problems, Severity};

/// One diagnostic as `--json` prints it. Lines and columns count from 1, columns in characters.
#[derive(Serialize)]
pub struct Record<'a> {
    code: &'static str,
    severity: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<Location<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<Related<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

/// A place as `--json` prints it.
#[derive(Serialize)]
pub struct Location<'a> {
    file: &'a str,
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct Related<'a> {
    place: Location<'a>,
    why: &'a str,
}

/// All of `problems`, in their order.
pub fn records(problems: &Problems) -> Vec<Record<'_>> {
    problems.iter().map(record).collect()
}

fn record(diagnostic: &Diagnostic) -> Record<'_> {
    Record {
        code: diagnostic.code.as_str(),
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: &diagnostic.message,
        place: diagnostic.place.as_ref().map(location),
        related: diagnostic.related.as_deref().map(|(place, why)| Related { place: location(place), why }),
        help: diagnostic.help.as_deref(),
    }
}

/// The place of something that is no diagnostic.
pub fn location(place: &Place) -> Location<'_> {
    let (line, column) = place.line_column();
    Location { file: place.source.name(), line, column }
}
