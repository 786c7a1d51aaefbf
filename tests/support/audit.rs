//! Runs `bake audit` and compares its JSON with its text for people.

use std::path::Path;

use serde_json::Value;

use super::github::Style;
use super::world::{World, release};

/// A locked, fetched and rendered project with two tools: `one` has all evidence that a publisher can
/// provide, `two` has none.
pub fn whole() -> World {
    let world = World::new("  - {name: one, repo: owner/one}\n  - {name: two, repo: owner/two}\n");
    world.github.publish("owner/one", release("one", "v1.0.0").checksums("checksums.txt", Style::Gnu));
    world.github.publish("owner/two", release("two", "v1.0.0").without_digests());
    world.bake(["lock"]).done();
    world.bake(["render"]).done();
    world.github.requests();
    world
}

/// The outcome of an audit that ran with and without `--json`.
pub struct Audit {
    /// The document of `--json`.
    pub document: Value,
    /// Evidence, verdict, code and subject of each check that is not clean.
    pub told: Vec<String>,
}

/// Audits with and without `--json`. Both must exit with `code` and report the same checks.
#[track_caller]
pub fn audited(world: &World, arguments: &[&str], code: i32) -> Audit {
    let run = |form: &[&'static str]| world.bake([form, arguments].concat()).ended(code);
    let (json, people) = (run(&["audit", "--json"]), run(&["audit"]));
    let document: Value = serde_json::from_str(&json.out).expect("JSON");
    let mut audit = Audit { document, told: Vec::new() };
    let mut told = Vec::new();
    for check in audit.checks() {
        let text = |key: &str| check[key].as_str().unwrap_or_default();
        if text("verdict") == "clean" {
            assert!(check.get("code").is_none() && check.get("message").is_none(), "{check}");
            continue;
        }
        assert!(!text("message").is_empty(), "{check}");
        let verdict = match text("verdict") {
            "finding" => "FINDING: ",
            "note" => "note: ",
            _ => "NOT CHECKED: ",
        };
        let row = |line: &&str| {
            line.starts_with(text("against"))
                && line.contains(text("subject"))
                && line.contains(&format!("{verdict}{}", text("message")))
        };
        assert!(people.out.lines().any(|line| row(&line)), "{check} is not in:\n{}", people.out);
        if text("verdict") == "finding" {
            let head = format!("error[{}]: {}: ", text("code"), text("subject"));
            assert!(people.err.contains(&head), "{head} is not in:\n{}", people.err);
        }
        told.push(["against", "verdict", "code", "subject"].map(text).join(" "));
    }
    audit.told = told;
    assert_eq!(audit.document["clean"], code == 0);
    audit
}

impl Audit {
    pub fn checks(&self) -> impl Iterator<Item = &Value> {
        self.document["checks"].as_array().expect("checks").iter()
    }

    /// The check of a subject that is not clean.
    #[track_caller]
    pub fn told_of(&self, subject: &str, against: &str) -> &Value {
        let mut found = self.checks().filter(|check| {
            check["subject"] == subject && check["against"] == against && check["verdict"] != "clean"
        });
        found.next().unwrap_or_else(|| panic!("no finding for {subject} in {:?}", self.told))
    }

    /// The finding's message and remedy.
    #[track_caller]
    pub fn message(&self, subject: &str, against: &str) -> String {
        let check = self.told_of(subject, against);
        let text = |key: &str| check[key].as_str().unwrap_or_default().to_owned();
        text("message") + "; " + &text("help")
    }
}

/// Flips the lowest bit of the byte at `at`.
pub fn flip(bytes: &mut [u8], at: usize) {
    bytes[at] ^= 1;
}

/// The path as UTF-8.
pub fn plain(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}
