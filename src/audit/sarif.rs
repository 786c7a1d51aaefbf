//! The report as SARIF 2.1.0, as GitHub's code scanning takes it.
//!
//! GitHub asks for more than the format does: at least one location for each result, with all four
//! corners of its region; a path from the root of the repository; help for each rule; texts of at
//! most 1,024 characters; and it knows a result again from run to run by `primaryLocationLineHash`
//! alone. It does not look at `invocations`, where SARIF has what could not be checked. So that is a
//! result too: were it left out, GitHub would take the last finding for mended.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::report::{AuditReport, Check, Verdict};
use crate::diagnostics::{Code, Location};
use crate::digest::Sha256;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";

/// GitHub refuses a run with more results.
const MOST_RESULTS: usize = 25_000;
/// GitHub refuses longer descriptions, in characters.
const LONGEST_DESCRIPTION: usize = 1024;

/// A kind of finding, which GitHub calls a rule. Each document lists all of them.
struct Rule {
    code: Code,
    level: &'static str,
    /// From 0.1 to 10 as in CVSS, where it is about security.
    severity: Option<&'static str>,
    tags: &'static [&'static str],
}

/// Replaced bytes are critical; findings with a possible innocent reason are less so.
const RULES: [Rule; 13] = [
    rule(Code::BadArchive, "error", Some("8.0"), &["security", "supply-chain"]),
    rule(Code::BundleDiffers, "error", Some("7.0"), &["security", "supply-chain"]),
    rule(Code::ChecksumMismatch, "error", Some("9.5"), &["security", "supply-chain"]),
    rule(Code::CouldNotCheck, "warning", None, &["supply-chain"]),
    rule(Code::NewerVersion, "note", None, &["maintenance"]),
    rule(Code::NoBuildForArch, "error", None, &["supply-chain"]),
    rule(Code::NotInImage, "error", None, &["supply-chain"]),
    rule(Code::NotInLock, "error", Some("8.0"), &["security", "supply-chain"]),
    rule(Code::Republished, "error", Some("9.5"), &["security", "supply-chain"]),
    rule(Code::StaleLock, "error", None, &["supply-chain"]),
    rule(Code::TagMoved, "warning", Some("4.0"), &["security", "supply-chain"]),
    rule(Code::UpstreamGone, "error", None, &["supply-chain"]),
    rule(Code::VmDiffers, "error", Some("6.0"), &["security", "supply-chain"]),
];

const fn rule(
    code: Code,
    level: &'static str,
    severity: Option<&'static str>,
    tags: &'static [&'static str],
) -> Rule {
    Rule { code, level, severity, tags }
}

/// The base of the document's paths.
#[derive(Clone, Copy, Debug)]
pub struct Paths<'a> {
    /// From the root of the repository to the folder from which the names of files count; empty
    /// where the two are the same.
    pub folder: &'a str,
    /// The lock, as the user would type it: the place of findings without another one.
    pub lock: &'a str,
}

/// The report as one SARIF document.
pub fn document(report: &AuditReport, paths: Paths<'_>) -> Value {
    let told: Vec<_> =
        report.checks.iter().filter_map(|check| check.code.map(|code| (check, code))).collect();
    let mut notifications: Vec<_> = told
        .iter()
        .filter(|(check, _)| check.verdict == Verdict::Unchecked)
        .map(|(check, code)| {
            json!({
                "descriptor": { "id": code.as_str(), "index": 0 },
                "level": "error",
                "message": { "text": message(check) },
                "locations": [location(check, paths)],
            })
        })
        .collect();
    if let Some(more @ 1..) = told.len().checked_sub(MOST_RESULTS) {
        notifications.push(json!({
            "level": "warning",
            "message": { "text": format!("{more} more results are left out: GitHub takes {MOST_RESULTS}.") },
        }));
    }
    let unchecked = report.counts().unchecked > 0;
    let mut seen = BTreeMap::new();
    let results: Vec<_> =
        told.iter().take(MOST_RESULTS).map(|(check, code)| result(check, *code, paths, &mut seen)).collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": driver() },
            "automationDetails": { "id": "bake-audit/" },
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": !unchecked,
                "toolExecutionNotifications": notifications,
            }],
            "results": results,
        }],
    })
}

fn driver() -> Value {
    let mut driver = json!({
        "name": "bake",
        "version": env!("CARGO_PKG_VERSION"),
        "semanticVersion": env!("CARGO_PKG_VERSION"),
        "rules": RULES.iter().map(described).collect::<Vec<_>>(),
        "notifications": RULES.iter().filter(|rule| rule.code == Code::CouldNotCheck).map(described).collect::<Vec<_>>(),
    });
    // Cargo gives an empty text where Cargo.toml names no repository.
    if let Some(repository) = option_env!("CARGO_PKG_REPOSITORY").filter(|url| !url.is_empty()) {
        driver["informationUri"] = repository.into();
    }
    driver
}

fn described(rule: &Rule) -> Value {
    let explanation = rule.code.explanation();
    let mut properties = json!({ "tags": rule.tags, "precision": "very-high" });
    match (rule.severity, rule.level) {
        (Some(severity), _) => properties["security-severity"] = severity.into(),
        (None, "note") => properties["problem.severity"] = "recommendation".into(),
        (None, level) => properties["problem.severity"] = level.into(),
    }
    json!({
        "id": rule.code.as_str(),
        "shortDescription": { "text": rule.code.meaning() },
        "fullDescription": { "text": shortened(explanation) },
        "help": { "text": explanation, "markdown": explanation },
        "defaultConfiguration": { "level": rule.level },
        "properties": properties,
    })
}

/// `text` in as many characters as GitHub takes.
fn shortened(text: &str) -> String {
    text.chars().take(LONGEST_DESCRIPTION).collect()
}

fn result(check: &Check, code: Code, paths: Paths<'_>, seen: &mut BTreeMap<String, usize>) -> Value {
    let index = RULES.iter().position(|rule| rule.code == code);
    // A finding without a rule counts as an error.
    let level = match check.verdict {
        Verdict::Note => "note",
        Verdict::Finding if code == Code::NewerVersion => "warning",
        _ => index.map_or("error", |index| RULES[index].level),
    };
    let identity = format!("{code}\n{}\n{}", check.against.as_str(), check.subject);
    let fingerprint = Sha256::of(&identity).short(16);
    let count = seen.entry(identity).and_modify(|count| *count += 1).or_insert(1);
    let mut result = json!({
        "ruleId": code.as_str(),
        "level": level,
        "message": { "text": message(check) },
        "locations": [location(check, paths)],
        "partialFingerprints": { "primaryLocationLineHash": format!("{fingerprint}:{count}") },
        "properties": { "against": check.against.as_str(), "subject": check.subject },
    });
    if let Some(index) = index {
        result["ruleIndex"] = index.into();
    }
    result
}

/// The sentence, then what to do. Braces are doubled and no link can begin, since SARIF gives both
/// a meaning (3.11.5, 3.11.6), and names out of an image could be anything.
fn message(check: &Check) -> String {
    let mut text = check.sentence();
    for sentence in check.url.iter().map(|url| format!("It is published at {url}")).chain(check.help.clone())
    {
        let mut letters = sentence.chars();
        let first = letters.next().into_iter().flat_map(char::to_uppercase);
        text.push_str(". ");
        text.extend(first.chain(letters));
    }
    text.push('.');
    text.replace('{', "{{").replace('}', "}}").replace("](", "] (")
}

fn location(check: &Check, paths: Paths<'_>) -> Value {
    let (name, start, end) = match &check.place {
        Some(Location { source, span }) => {
            let end = span.end.max(span.start);
            (source.name(), source.line_column(span.start), source.line_column(end))
        }
        None => (paths.lock, (1, 1), (1, 1)),
    };
    // At least one character, or nothing would be marked.
    let end = if end == start { (end.0, end.1 + 1) } else { end };
    json!({
        "physicalLocation": {
            "artifactLocation": { "uri": uri(paths.folder, name) },
            "region": {
                "startLine": start.0, "startColumn": start.1, "endLine": end.0, "endColumn": end.1,
            },
        },
    })
}

/// A path as a relative reference (RFC 3986, 4.2), without `.` and, as far as it goes, `..`.
fn uri(folder: &str, name: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let folder = if name.starts_with('/') { "" } else { folder };
    for part in folder.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let path = parts.iter().map(|part| escaped(part)).collect::<Vec<_>>().join("/");
    if name.starts_with('/') { format!("file:///{path}") } else { path }
}

/// One part of a path, with everything but unreserved characters (RFC 3986, 2.3) escaped.
fn escaped(part: &str) -> String {
    part.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
