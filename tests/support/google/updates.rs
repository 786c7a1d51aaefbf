//! The VM's half of updates in place, as `docs/update.md` describes it: its releases, the requests in its metadata, and
//! a report for each stage.

use std::collections::{BTreeMap, VecDeque};

use regex_lite::Regex;

/// The end of the next change of a VM's release.
#[derive(Clone, Debug, Hash)]
pub enum Fate {
    /// The new gateway is not ready, for this reason, and the VM goes back.
    Back(&'static str),
    /// The VM does not stop its gateway, for this reason.
    Refused(&'static str),
    /// The VM waits for something that never comes.
    Waits(&'static str),
}

#[derive(Clone, Debug, Hash)]
struct Release {
    id: String,
    version: String,
    lock: String,
    since: String,
}

/// A report: attributes and their values.
type Report = Vec<(String, String)>;

/// The memory of a VM.
#[derive(Clone, Debug, Hash)]
pub(super) struct Updater {
    /// The first one runs.
    history: Vec<Release>,
    failed: BTreeMap<String, String>,
    /// The last request that was carried out or refused.
    answered: String,
    /// The reports to come, one per read.
    ahead: VecDeque<Report>,
    fate: Option<Fate>,
    changes: u32,
}

impl Updater {
    /// A VM that was created with this metadata.
    pub(super) fn of(metadata: &BTreeMap<String, String>) -> Option<Self> {
        let updater = Self {
            history: vec![release(metadata, 0)?],
            failed: BTreeMap::new(),
            answered: String::new(),
            ahead: VecDeque::new(),
            fate: None,
            changes: 0,
        };
        Some(updater)
    }

    /// The reports of a VM that has just begun to watch its metadata.
    pub(super) fn first_report(&self) -> Report {
        report(&[("contract", "1"), ("releases", &self.listing())])
    }

    pub(super) fn ends(&mut self, fate: Fate) {
        self.fate = Some(fate);
    }

    pub(super) fn next_report(&mut self) -> Report {
        self.ahead.pop_front().unwrap_or_default()
    }

    /// Carries out what the metadata asks for.
    pub(super) fn notice(&mut self, metadata: &BTreeMap<String, String>) {
        let request = metadata.get("openclaw-request").cloned().unwrap_or_default();
        let is_new = request != self.answered;
        self.changes += 1;
        let stages = |stages: &[&str], id: &str| -> VecDeque<Report> {
            let one = |stage: &&str| {
                report(&[
                    ("update", *stage),
                    ("update_release", id),
                    ("update_error", ""),
                    ("update_request", &request),
                ])
            };
            stages.iter().map(one).collect()
        };
        let going_back = is_new && request.starts_with("rollback=");
        let Some(wanted) =
            (if going_back { self.history.get(1).cloned() } else { release(metadata, self.changes) })
        else {
            return;
        };
        let current = self.history[0].id.clone();
        if wanted.id == current {
            if is_new {
                self.answered.clone_from(&request);
                self.ahead = stages(&["done"], &current);
            }
            return;
        }
        if self.failed.contains_key(&wanted.id) && !is_new {
            return;
        }
        self.answered.clone_from(&request);
        let (ending, error, names) = match self.fate.take() {
            None => ("done", "", &["staging", "image", "trial"][..]),
            Some(Fate::Back(error)) => ("rolled-back", error, &["staging", "image", "trial", "back"][..]),
            Some(Fate::Refused(error)) => ("refused", error, &["staging"][..]),
            Some(Fate::Waits(error)) => ("waiting", error, &["staging"][..]),
        };
        self.ahead = stages(names, &wanted.id);
        if names.contains(&"trial") {
            // The gateway is stopped, and started again.
            self.ahead[2].push(("openclaw/status".to_owned(), "start".to_owned()));
        }
        if ending == "done" {
            self.failed.remove(&wanted.id);
            if going_back {
                self.failed.insert(current.clone(), "rolled back by hand".to_owned());
            }
            let left = self.history.remove(0);
            self.history = vec![Release { since: since(self.changes), ..wanted.clone() }, left];
        } else if ending != "waiting" {
            self.failed.insert(wanted.id.clone(), error.to_owned());
        }
        let runs = if ending == "done" { &wanted.id } else { &current };
        let mut end = report(&[
            ("releases", &self.listing()),
            ("update_release", runs),
            ("update_error", error),
            ("update_request", &request),
            ("update", ending),
            ("error", ""),
            ("status", "ready"),
        ]);
        end.push(("openclaw/lock".to_owned(), self.history[0].lock.clone()));
        self.ahead.push_back(end);
    }

    /// As `release.py` lists them.
    fn listing(&self) -> String {
        let row = |(place, one): (usize, &Release)| {
            let kind = if place == 0 { "current" } else { "kept" };
            format!("{} {} {} {} {kind}", one.id, one.version, &one.lock[..16], one.since)
        };
        let mut rows: Vec<_> = self.history.iter().enumerate().map(row).collect();
        rows.extend(self.failed.iter().map(|(id, why)| format!("{id} - - - failed: {why}")));
        rows.join("\n")
    }
}

fn report(values: &[(&str, &str)]) -> Report {
    values.iter().map(|(key, value)| (format!("openclaw/{key}"), (*value).to_owned())).collect()
}

fn since(changes: u32) -> String {
    format!("2026-11-22T{:02}:00:00Z", 18 + changes % 6)
}

/// The release in the user-data.
fn release(metadata: &BTreeMap<String, String>, changes: u32) -> Option<Release> {
    let text = metadata.get("user-data")?;
    let find = |pattern: &str| {
        let found = Regex::new(pattern).expect("a pattern").captures(text)?;
        Some(found[1].to_owned())
    };
    Some(Release {
        id: find(r#""id":"([0-9a-f]{16})""#)?,
        version: find(r"ghcr\.io/openclaw/openclaw:([0-9.]+)").unwrap_or_else(|| "-".to_owned()),
        lock: find(r#"/opt/openclaw/lock\.sha256"(?s:.*?)\n +([0-9a-f]{64})\n"#)?,
        since: since(changes),
    })
}
