//! Checks the audit's SARIF with the format's schema, its authors' validator, and the requirements in
//! GitHub's documentation of code scanning.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use crate::support::test;
use crate::support::{Folder, said, testbed};
use bake::audit::bundle;
use bake::audit::report::{Against, AuditReport, Check};
use bake::audit::sarif::{self, Paths};
use bake::diagnostics::{Code, Location, Source};
use serde_json::Value;

/// Every code that the audit reports.
const CODES: [Code; 8] = [
    Code::BundleDiffers,
    Code::ChecksumMismatch,
    Code::NewerVersion,
    Code::NotInImage,
    Code::NotInLock,
    Code::Republished,
    Code::TagMoved,
    Code::UpstreamGone,
];

const PATHS: Paths<'static> = Paths { folder: "", lock: "bake.lock" };

/// Every kind of location: none, part of a line, empty, several lines, non-ASCII.
fn places() -> Vec<Option<Location>> {
    let source = Arc::new(Source::new("images/a b#ü.yaml", "binaries:\n- ö𝄞 gog\n- wacli"));
    let place = |span| Some(Location { source: Arc::clone(&source), span });
    vec![None, place(0..8), place(9..9), place(10..27), place(19..22), place(27..27)]
}

fn full() -> AuditReport {
    let mut checks = vec![Check::clean(Against::Cache, "gog 0.37.0 arm64")];
    for code in CODES {
        for (index, place) in places().into_iter().enumerate() {
            let against = Against::ALL[index % Against::ALL.len()];
            let subject = format!("tool{index} 1.0 amd64");
            let message = "[a](https://evil.example) has {braces}, \"quotes\" and a \u{1b} in it";
            let check = match code {
                Code::NewerVersion => Check::note(against, subject, code, message),
                _ => Check::finding(against, subject, code, message),
            };
            checks.push(
                check.at(place).url(&"https://x.example/a.tar.gz").difference(&"a", &"b").help("do it"),
            );
        }
    }
    for place in places() {
        checks.push(Check::unchecked(Against::Image, "ghcr.io/x/y", "no network").at(place));
    }
    let (wanted, found) = ([("Dockerfile", &b"FROM x\n"[..])], [("Dockerfile", &b"FROM y\n"[..])]);
    checks.extend(bundle::check("out", &wanted.into(), &found.into()));
    AuditReport { checks, ..AuditReport::default() }
}

fn reports() -> [AuditReport; 2] {
    [full(), AuditReport { checks: vec![Check::clean(Against::Lock, "bake.lock")], ..AuditReport::default() }]
}

#[test]
fn schema_and_validator_accept_the_sarif() {
    let folder = Folder::empty();
    let schema = testbed::folder().join("sarif/sarif-2.1.0.json");
    testbed::tool("sarif-validate");
    let schema: Value = serde_json::from_slice(&fs::read(schema).expect("the schema")).expect("JSON");
    let schema = jsonschema::validator_for(&schema).expect("a schema");
    for (index, report) in reports().iter().enumerate() {
        let document = sarif::document(report, PATHS);
        let errors: Vec<_> = schema.iter_errors(&document).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:#?}");

        let name = format!("{index}.sarif");
        folder.write(&name, serde_json::to_vec_pretty(&document).expect("JSON"));
        let mut validator = testbed::tool("sarif-validate");
        let said = said(validator.arg(folder.join(&name)));
        assert!(said.code < 2, "{said:?}");
        let complaints =
            said.out.lines().filter(|line| line.contains(": error ") || line.contains(": warning "));
        let complaints: Vec<_> = complaints.collect();
        assert!(complaints.is_empty(), "{complaints:#?}");
    }
}

/// The tables of "SARIF support for code scanning".
#[test]
fn meets_the_requirements_of_github() {
    for report in reports() {
        let document = sarif::document(&report, PATHS);
        assert_eq!(document["version"], "2.1.0");
        assert!(document["$schema"].as_str().is_some_and(|schema| schema.contains("sarif-2.1.0")));
        let run = &document["runs"][0];
        assert_eq!(run["columnKind"], "unicodeCodePoints");
        let driver = &run["tool"]["driver"];
        assert_eq!(driver["semanticVersion"], env!("CARGO_PKG_VERSION"));
        let rules = driver["rules"].as_array().expect("rules");
        for rule in rules {
            for required in
                ["/id", "/shortDescription/text", "/fullDescription/text", "/help/text", "/help/markdown"]
            {
                let text = rule.pointer(required).and_then(Value::as_str).expect(required);
                assert!(!text.is_empty(), "{rule}");
                assert!(required.starts_with("/help") || text.chars().count() <= 1024, "{rule}");
            }
            let level = rule["defaultConfiguration"]["level"].as_str().expect("a level");
            assert!(["note", "warning", "error"].contains(&level), "{rule}");
            let tags = rule["properties"]["tags"].as_array().expect("tags");
            assert!((1..=10).contains(&tags.len()));
            let severity = rule["properties"].get("security-severity");
            assert_eq!(tags.contains(&"security".into()), severity.is_some(), "{rule}");
            if let Some(severity) = severity {
                let severity: f64 = severity.as_str().expect("a text").parse().expect("a number");
                assert!(severity > 0.0 && severity <= 10.0, "{rule}");
            }
            // The text is from docs/errors.md, not the fallback sentence.
            assert_ne!(rule["help"]["text"], rule["shortDescription"]["text"]);
        }
        let expected = report.checks.iter().filter(|check| check.code.is_some()).count();
        let results = run["results"].as_array().expect("results");
        assert_eq!(results.len(), expected);
        let mut fingerprints = BTreeSet::new();
        for result in results {
            let index =
                usize::try_from(result["ruleIndex"].as_u64().expect("an index")).expect("a small one");
            assert_eq!(rules[index]["id"], result["ruleId"]);
            assert!(result["message"]["text"].as_str().is_some_and(|text| !text.is_empty()));
            assert_eq!(result["locations"].as_array().map(Vec::len), Some(1));
            let physical = &result["locations"][0]["physicalLocation"];
            let uri = physical["artifactLocation"]["uri"].as_str().expect("a path");
            assert!(!uri.starts_with('/') && !uri.contains([' ', '#']) && !uri.contains("://"), "{uri}");
            let corner = |name: &str| physical["region"][name].as_u64().expect(name);
            let (start, end) =
                ((corner("startLine"), corner("startColumn")), (corner("endLine"), corner("endColumn")));
            assert!(start.0 >= 1 && start.1 >= 1 && start < end, "{physical}");
            let print = result["partialFingerprints"]["primaryLocationLineHash"].as_str().expect("a print");
            assert!(fingerprints.insert(print.to_owned()), "{print} twice");
        }
    }
}

#[test]
fn columns_count_characters_and_paths_are_relative_to_the_root() {
    let place = places().remove(4);
    let check = Check::finding(Against::Lock, "gog", Code::TagMoved, "it moved").at(place);
    let report = AuditReport { checks: vec![check], ..AuditReport::default() };
    let physical = |paths| {
        sarif::document(&report, paths)["runs"][0]["results"][0]["locations"][0]["physicalLocation"].clone()
    };
    let here = physical(PATHS);
    assert_eq!(here["artifactLocation"]["uri"], "images/a%20b%23%C3%BC.yaml");
    assert_eq!(
        here["region"],
        serde_json::json!({"startLine": 2, "startColumn": 6, "endLine": 2, "endColumn": 9})
    );
    let below = physical(Paths { folder: "./deploy/x/../gateway", lock: "bake.lock" });
    assert_eq!(below["artifactLocation"]["uri"], "deploy/gateway/images/a%20b%23%C3%BC.yaml");
}

/// Otherwise GitHub would open the same alert again.
#[test]
fn fingerprints_survive_moved_lines_and_new_findings() {
    let prints = |report: &AuditReport| -> Vec<String> {
        let document = sarif::document(report, PATHS);
        let results = document["runs"][0]["results"].as_array().expect("results").clone();
        results.iter().map(|result| result["partialFingerprints"].to_string()).collect()
    };
    let check = |subject: &str, start| {
        let source = Arc::new(Source::new("bake.lock", "a\n".repeat(20)));
        Check::finding(Against::Cache, subject, Code::ChecksumMismatch, "other bytes")
            .at(Location { source, span: start..start + 1 })
    };
    let before = prints(&AuditReport { checks: vec![check("gog 1 amd64", 2)], ..AuditReport::default() });
    let others = vec![check("gog 1 arm64", 4), check("gog 1 amd64", 8), check("gog 2 amd64", 8)];
    let after = prints(&AuditReport { checks: others, ..AuditReport::default() });
    assert_eq!(before[0], after[1]);
    assert_eq!(after.iter().collect::<BTreeSet<_>>().len(), 3);
}

#[test]
fn unchecked_items_are_warnings_and_fail_the_run() {
    let run = &sarif::document(&full(), PATHS)["runs"][0];
    let invocation = &run["invocations"][0];
    assert_eq!(invocation["executionSuccessful"], false);
    assert_eq!(invocation["toolExecutionNotifications"].as_array().map(Vec::len), Some(places().len()));
    let results = run["results"].as_array().expect("results");
    assert!(
        results.iter().any(|result| result["ruleId"] == "could-not-check" && result["level"] == "warning")
    );
    assert!(
        results.iter().all(|result| (result["ruleId"] == "newer-version") == (result["level"] == "note"))
    );

    let clean = &sarif::document(&reports()[1], PATHS)["runs"][0];
    assert_eq!(clean["invocations"][0]["executionSuccessful"], true);
    assert_eq!(clean["results"], serde_json::json!([]));
}

/// Names from an image may contain any characters.
#[test]
fn messages_contain_neither_links_nor_placeholders() {
    let document = sarif::document(&full(), PATHS);
    let text = document["runs"][0]["results"][0]["message"]["text"].as_str().expect("a text");
    assert!(text.contains("[a] (https://evil.example) has {{braces}}"), "{text}");
    assert!(!text.contains(char::is_control), "{text:?}");
    assert!(text.ends_with("It is published at https://x.example/a.tar.gz. Do it."), "{text}");
}

/// GitHub refuses a run with more results.
#[test]
fn truncates_results_to_the_limit_of_github_and_reports_the_rest() {
    let check =
        |index| Check::finding(Against::Image, format!("x{index}"), Code::NotInLock, "no tool has this name");
    let report = AuditReport { checks: (0..25_003).map(check).collect(), ..AuditReport::default() };
    let run = &sarif::document(&report, PATHS)["runs"][0];
    assert_eq!(run["results"].as_array().map(Vec::len), Some(25_000));
    let notification = run["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"].as_str();
    assert!(
        notification.is_some_and(|text| text.starts_with("3 more results are left out")),
        "{notification:?}"
    );
}
