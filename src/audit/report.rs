//! The report of an audit: one [`Check`] for each subject, and its output formats.
//!
//! "Could not be checked" is a separate result: not a finding, because nothing wrong was found, and not clean,
//! because nothing was verified.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

use crate::diagnostics::json::{LocationRecord, location};
use crate::diagnostics::{Code, Diagnostic, Location, Problems, Severity};
use crate::project::names::ToolName;
use crate::text::sanitize;

/// The subject of a comparison with the lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Against {
    /// The lock itself, against spec, manifest and catalog.
    Lock,
    /// The current state of publishers and registries.
    Upstream,
    /// The archives that were fetched before.
    Cache,
    /// The rendered files on disk.
    Bundle,
    /// A built image.
    Image,
    /// The report of a running VM.
    Vm,
}

impl Against {
    /// All of them, in the order of the report.
    pub const ALL: [Self; 6] = [Self::Lock, Self::Upstream, Self::Cache, Self::Bundle, Self::Image, Self::Vm];

    /// Its name in tables and documents.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lock => "lock",
            Self::Upstream => "upstream",
            Self::Cache => "cache",
            Self::Bundle => "bundle",
            Self::Image => "image",
            Self::Vm => "vm",
        }
    }
}

/// The result of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It is as the lock says.
    Clean,
    /// It is as the lock says, and there is something to know.
    Note,
    /// It is not as the lock says.
    Finding,
    /// It could not be looked at.
    Unchecked,
}

/// One thing that was looked at.
#[derive(Clone, Debug)]
pub struct Check {
    /// The kind of subject.
    pub against: Against,
    /// The subject, such as `gog 0.37.0 amd64`, `base image` or `Dockerfile`. The text is the same in each run,
    /// because tools use it to track findings.
    pub subject: String,
    /// The result.
    pub verdict: Verdict,
    /// The kind of finding; none if it is clean.
    pub code: Option<Code>,
    /// One sentence without the subject; empty if it is clean.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
    /// The place in a file of the project.
    pub place: Option<Location>,
    /// The URL of the publisher.
    pub url: Option<String>,
    /// The locked value, and the actual one.
    pub difference: Option<(String, String)>,
}

impl Check {
    /// All is as the lock says.
    pub fn clean(against: Against, subject: impl Into<String>) -> Self {
        Self {
            against,
            subject: subject.into(),
            verdict: Verdict::Clean,
            code: None,
            message: String::new(),
            help: None,
            place: None,
            url: None,
            difference: None,
        }
    }

    /// Something is not as the lock says.
    pub fn finding(
        against: Against,
        subject: impl Into<String>,
        code: Code,
        message: impl Into<String>,
    ) -> Self {
        let clean = Self::clean(against, subject);
        Self { verdict: Verdict::Finding, code: Some(code), message: message.into(), ..clean }
    }

    /// All is as the lock says, and there is something to know.
    pub fn note(
        against: Against,
        subject: impl Into<String>,
        code: Code,
        message: impl Into<String>,
    ) -> Self {
        Self { verdict: Verdict::Note, ..Self::finding(against, subject, code, message) }
    }

    /// It could not be looked at; `why` says what was in the way.
    pub fn unchecked(against: Against, subject: impl Into<String>, why: impl Into<String>) -> Self {
        Self { verdict: Verdict::Unchecked, ..Self::finding(against, subject, Code::CouldNotCheck, why) }
    }

    /// Says what to do.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Says where it is.
    #[must_use]
    pub fn at(mut self, place: impl Into<Option<Location>>) -> Self {
        self.place = place.into();
        self
    }

    /// Says where it is published.
    #[must_use]
    pub fn url(mut self, url: &impl ToString) -> Self {
        self.url = Some(url.to_string());
        self
    }

    /// Says what was expected, and what was found.
    #[must_use]
    pub fn difference(mut self, expected: &impl ToString, found: &impl ToString) -> Self {
        self.difference = Some((expected.to_string(), found.to_string()));
        self
    }

    /// The sentence with its subject and what differs, without control characters.
    pub(super) fn sentence(&self) -> String {
        let mut text = format!("{}: {}", self.subject, self.message);
        if let Some((expected, found)) = &self.difference {
            let _ = write!(text, " (expected {expected}, found {found})");
        }
        sanitize(&text)
    }
}

/// All checks of an audit.
#[derive(Clone, Debug, Default)]
pub struct AuditReport {
    /// One for each thing, in the order in which they were looked at.
    pub checks: Vec<Check>,
    /// In words, for each tool, how far its checksums are borne out.
    pub trust: BTreeMap<ToolName, String>,
}

/// How many checks came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// All of them.
    pub checks: usize,
    /// Checks with differences from the lock.
    pub findings: usize,
    /// Checks that could not be made.
    pub unchecked: usize,
    /// Notes.
    pub notes: usize,
}

/// The report for programs.
#[derive(Serialize)]
pub struct AuditJson<'a> {
    version: u8,
    clean: bool,
    counts: Counts,
    checks: Vec<CheckRecord<'a>>,
    trust: &'a BTreeMap<ToolName, String>,
}

#[derive(Serialize)]
struct CheckRecord<'a> {
    against: Against,
    subject: &'a str,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<LocationRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    found: Option<&'a str>,
}

impl AuditReport {
    /// Whether everything was looked at and is as the lock says; notes do not count.
    pub fn is_clean(&self) -> bool {
        self.checks.iter().all(|check| matches!(check.verdict, Verdict::Clean | Verdict::Note))
    }

    /// How many checks came out how.
    pub fn counts(&self) -> Counts {
        let of = |verdict| self.checks.iter().filter(|check| check.verdict == verdict).count();
        Counts {
            checks: self.checks.len(),
            findings: of(Verdict::Finding),
            unchecked: of(Verdict::Unchecked),
            notes: of(Verdict::Note),
        }
    }

    /// The report for people. Clean checks are counted for each group, and listed if `verbose`.
    pub fn table(&self, verbose: bool) -> String {
        let mut rows = vec![["AGAINST", "WHAT", "RESULT"].map(str::to_owned)];
        for against in Against::ALL {
            let group = || self.checks.iter().filter(|check| check.against == against);
            let row = |what: String, result: String| {
                [against.as_str().to_owned(), sanitize(&what), sanitize(&result)]
            };
            let clean = group().filter(|check| check.verdict == Verdict::Clean).count();
            for check in group().filter(|check| verbose || check.verdict != Verdict::Clean) {
                rows.push(row(check.subject.clone(), result(check)));
            }
            if clean > 0 && !verbose {
                rows.push(row(counted(clean, "check"), "clean".to_owned()));
            }
        }
        let mut text = aligned(&rows);
        if !self.trust.is_empty() {
            let trust = self.trust.iter().map(|(tool, level)| [tool.to_string(), sanitize(level)]);
            let rows: Vec<_> = std::iter::once(["TOOL", "TRUST"].map(str::to_owned)).chain(trust).collect();
            text.push('\n');
            text.push_str(&aligned(&rows));
        }
        let counts = self.counts();
        let _ = write!(
            text,
            "\n{}: {}, {} could not be checked",
            counted(counts.checks, "check"),
            counted(counts.findings, "finding"),
            counts.unchecked
        );
        if counts.notes > 0 {
            let _ = write!(text, ", {}", counted(counts.notes, "note"));
        }
        text.push('\n');
        text
    }

    /// The report for programs.
    pub fn json(&self) -> AuditJson<'_> {
        AuditJson {
            version: 1,
            clean: self.is_clean(),
            counts: self.counts(),
            checks: self.checks.iter().map(record).collect(),
            trust: &self.trust,
        }
    }

    /// The checks that are not clean, with their places.
    pub fn problems(&self) -> Problems {
        let mut problems = Problems::default();
        for check in &self.checks {
            let Some(code) = check.code.filter(|_| check.verdict != Verdict::Note) else { continue };
            let severity = match check.verdict {
                Verdict::Finding => Severity::Error,
                _ => Severity::Warning,
            };
            let mut help: Vec<_> = check.help.iter().map(String::as_str).collect();
            let url = check.url.as_ref().map(|url| format!("it is published at {url}"));
            help.extend(url.as_deref());
            let mut problem =
                Diagnostic { severity, ..Diagnostic::error(code, check.sentence()) }.at(check.place.clone());
            if !help.is_empty() {
                problem = problem.help(sanitize(&help.join("; ")));
            }
            problems.push(problem);
        }
        problems
    }
}

fn record(check: &Check) -> CheckRecord<'_> {
    let (expected, found) =
        check.difference.as_ref().map(|(expected, found)| (&**expected, &**found)).unzip();
    CheckRecord {
        against: check.against,
        subject: &check.subject,
        verdict: check.verdict,
        code: check.code.map(Code::as_str),
        message: &check.message,
        help: check.help.as_deref(),
        place: check.place.as_ref().map(location),
        url: check.url.as_deref(),
        expected,
        found,
    }
}

fn result(check: &Check) -> String {
    match check.verdict {
        Verdict::Clean => "clean".to_owned(),
        Verdict::Note => format!("note: {}", check.message),
        Verdict::Finding => format!("FINDING: {}", check.message),
        Verdict::Unchecked => format!("NOT CHECKED: {}", check.message),
    }
}

/// `3 checks`, `1 check`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Rows with aligned columns, except for the last one.
fn aligned<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<_> = (0..N).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::diagnostics::{Source, terminal};

    fn report() -> AuditReport {
        let lock = Arc::new(Source::new("bake.lock", "version: 1\nbinaries:\n  gog:\n"));
        let place = Location { source: lock, span: 23..26 };
        let clean = |what: &str| Check::clean(Against::Upstream, what);
        let republished = Check::finding(
            Against::Upstream,
            "gog 0.37.0 amd64",
            Code::Republished,
            "the archive was replaced under its version",
        );
        AuditReport {
            checks: vec![
                clean("base image"),
                republished
                    .at(place)
                    .url(&"https://x.example/gog.tar.gz")
                    .difference(&"aa", &"bb")
                    .help("compare the two archives"),
                clean("goplaces 0.4.4 amd64"),
                Check::note(
                    Against::Upstream,
                    "goplaces",
                    Code::NewerVersion,
                    "0.5.0 is out, and 0.4.4 is locked",
                ),
                Check::unchecked(Against::Image, "ghcr.io/x/y:1", "the registry asks for a login"),
                Check::finding(
                    Against::Image,
                    "/usr/local/bin/\u{1b}[31mx\n",
                    Code::NotInLock,
                    "no tool of the lock has this name",
                ),
                Check::clean(Against::Bundle, "Dockerfile"),
            ],
            trust: [("gog".parse().expect("a name"), "publisher checksum".to_owned())].into(),
        }
    }

    #[test]
    fn the_table_counts_what_is_clean_and_tells_the_rest() {
        assert_eq!(
            report().table(false),
            "\
AGAINST   WHAT                          RESULT
upstream  gog 0.37.0 amd64              FINDING: the archive was replaced under its version
upstream  goplaces                      note: 0.5.0 is out, and 0.4.4 is locked
upstream  2 checks                      clean
bundle    1 check                       clean
image     ghcr.io/x/y:1                 NOT CHECKED: the registry asks for a login
image     /usr/local/bin/\\u{1b}[31mx\\n  FINDING: no tool of the lock has this name

TOOL  TRUST
gog   publisher checksum

7 checks: 2 findings, 1 could not be checked, 1 note
"
        );
        let verbose = report().table(true);
        assert!(verbose.contains("\nbundle    Dockerfile                    clean\n"), "{verbose}");
        assert_eq!(
            AuditReport::default().table(false),
            "AGAINST  WHAT  RESULT\n\n0 checks: 0 findings, 0 could not be checked\n"
        );
    }

    #[test]
    fn a_note_is_clean_and_what_was_not_checked_is_not() {
        let only = |verdict| {
            let mut report = report();
            report.checks.retain(|check| check.verdict == verdict);
            assert!(!report.checks.is_empty());
            report.is_clean()
        };
        assert!(only(Verdict::Clean) && only(Verdict::Note));
        assert!(!only(Verdict::Finding) && !only(Verdict::Unchecked));
    }

    #[test]
    fn the_document_says_everything() {
        let document = serde_json::to_value(report().json()).expect("JSON");
        assert_eq!(document["version"], 1);
        assert_eq!(document["clean"], false);
        assert_eq!(
            document["counts"],
            serde_json::json!({"checks": 7, "findings": 2, "unchecked": 1, "notes": 1})
        );
        assert_eq!(
            document["checks"][0],
            serde_json::json!({
                "against": "upstream", "subject": "base image", "verdict": "clean",
            })
        );
        assert_eq!(
            document["checks"][1],
            serde_json::json!({
                "against": "upstream", "subject": "gog 0.37.0 amd64", "verdict": "finding",
                "code": "republished", "message": "the archive was replaced under its version",
                "help": "compare the two archives", "url": "https://x.example/gog.tar.gz",
                "place": {"file": "bake.lock", "line": 3, "column": 3}, "expected": "aa", "found": "bb",
            })
        );
        assert_eq!(document["trust"]["gog"], "publisher checksum");
    }

    #[test]
    fn problems_are_shown_where_they_are() {
        let problems = report().problems();
        let shown = terminal::render(&problems, false);
        assert_eq!(problems.len(), 3, "{shown}");
        let first = "\
error[republished]: gog 0.37.0 amd64: the archive was replaced under its version (expected aa, found bb)
 --> bake.lock:3:3
  |
3 |   gog:
  |   ^^^
  |
  = help: compare the two archives; it is published at https://x.example/gog.tar.gz
";
        assert!(shown.starts_with(first), "{shown}");
        assert!(shown.contains("warning[could-not-check]: ghcr.io/x/y:1: the registry asks"), "{shown}");
    }
}
