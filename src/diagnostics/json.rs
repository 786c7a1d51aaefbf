//! Diagnostics for programs.

use serde::Serialize;

use super::{Diagnostic, Location, Problems, Severity};

/// One diagnostic as `--json` prints it. Lines and columns count from 1, columns in characters.
#[derive(Serialize)]
pub struct DiagnosticRecord<'a> {
    code: &'static str,
    severity: &'static str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<LocationRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<RelatedRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
}

/// A place as `--json` prints it.
#[derive(Serialize)]
pub struct LocationRecord<'a> {
    file: &'a str,
    line: usize,
    column: usize,
}

#[derive(Serialize)]
struct RelatedRecord<'a> {
    place: LocationRecord<'a>,
    why: &'a str,
}

/// All of `problems`, in their order.
pub fn records(problems: &Problems) -> Vec<DiagnosticRecord<'_>> {
    problems.iter().map(record).collect()
}

fn record(diagnostic: &Diagnostic) -> DiagnosticRecord<'_> {
    DiagnosticRecord {
        code: diagnostic.code.as_str(),
        severity: match diagnostic.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        message: &diagnostic.message,
        place: diagnostic.place.as_ref().map(location),
        related: diagnostic
            .related
            .as_deref()
            .map(|(place, why)| RelatedRecord { place: location(place), why }),
        help: diagnostic.help.as_deref(),
    }
}

/// A place outside of a diagnostic.
pub fn location(place: &Location) -> LocationRecord<'_> {
    let (line, column) = place.line_column();
    LocationRecord { file: place.source.name(), line, column }
}
