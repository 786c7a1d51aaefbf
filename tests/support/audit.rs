//! The output of an audit, for programs and for people.

use std::path::Path;

use serde_json::Value;

use super::github::Style;
use super::world::{World, release};

/// `one` with everything that a publisher may state, `two` with nothing of it; locked, fetched and
/// rendered.
pub fn whole() -> World {
    let world = World::new("  - {name: one, repo: owner/one}\n  - {name: two, repo: owner/two}\n");
    world.github.publish("owner/one", release("one", "v1.0.0").checksums("checksums.txt", Style::Gnu));
    world.github.publish("owner/two", release("two", "v1.0.0").without_digests());
    world.bake(["lock"]).done();
    world.bake(["render"]).done();
    world.github.requests();
    world
}

/// An audit, printed in both forms.
pub struct Audit {
    /// The document of `--json`.
    pub document: Value,
    /// Each check that is not clean: subject, verdict, code, name.
    pub told: Vec<String>,
}

/// Audits for programs and for people, and holds both to end with `code` and to tell the same.
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
        found.next().unwrap_or_else(|| panic!("nothing of {subject} in {:?}", self.told))
    }

    /// Message and help.
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

/// A path, to be typed.
pub fn plain(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}
