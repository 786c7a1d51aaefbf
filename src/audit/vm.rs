//! Compares the report of a running VM with the lock.
//!
//! The report is text that was fetched elsewhere: guest attributes as `gcloud compute instances
//! get-guest-attributes` prints them, as JSON or as lines `KEY VALUE`, or a JSON document with the same keys for
//! one VM or several. Unknown keys are ignored.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::report::{Against, Check};
use crate::diagnostics::{Code, Location};
use crate::digest::Sha256;
use crate::lock::Lock;
use crate::project::values::Arch;
use crate::text::excerpt;
use crate::vm::{ATTRIBUTES, ERROR, ERROR_KIND, FAILED, LOCK, READY, STATUS, VERIFIED};

/// Nesting depth up to which reports are searched for.
const DEEPEST: usize = 8;

/// Characters of the VM's texts that are shown.
const LONGEST: usize = 400;

/// The error kind of a running binary that differs from the lock.
const MISMATCH: &str = "binary-mismatch";

/// The guest attributes of one VM.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct VmReport {
    name: String,
    attributes: BTreeMap<String, String>,
}

/// Reads the reports of one VM or several.
///
/// # Errors
/// With the reason, if the text has no report.
pub fn read(text: &str) -> Result<Vec<VmReport>, String> {
    let mut reports = Vec::new();
    match serde_json::from_str::<Value>(text) {
        Ok(document) => collect(&document, "", DEEPEST, &mut reports),
        Err(error) if text.trim_start().starts_with(['{', '[']) => {
            return Err(format!("it is not JSON: {error}"));
        }
        Err(_) => reports.extend(VmReport::new("", pairs(text))),
    }
    if reports.is_empty() {
        let keys: Vec<_> = ATTRIBUTES.iter().map(|attribute| attribute.key).collect();
        return Err(format!("it has no report of a VM, with the keys {}", keys.join(", ")));
    }
    Ok(reports)
}

impl VmReport {
    /// `None` without the keys of a report.
    fn new(name: &str, attributes: BTreeMap<String, String>) -> Option<Self> {
        let is_report = attributes.contains_key(LOCK) || attributes.contains_key(STATUS);
        is_report.then(|| Self { name: name.to_owned(), attributes })
    }

    fn get(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }
}

/// Finds reports in a document: objects with the keys, and lists of `{"key": …, "value": …}`.
fn collect(document: &Value, name: &str, depth: usize, reports: &mut Vec<VmReport>) {
    if depth == 0 {
        return;
    }
    match document {
        Value::Object(object) => {
            let own = ["name", "vm"].iter().find_map(|key| object.get(*key)?.as_str()).unwrap_or(name);
            match VmReport::new(own, texts(object)) {
                Some(report) => reports.push(report),
                None => object.iter().for_each(|(key, value)| {
                    let name = if own.is_empty() { key.as_str() } else { own };
                    collect(value, name, depth - 1, reports);
                }),
            }
        }
        Value::Array(items) => {
            let pair = |item: &Value| {
                Some((item.get("key")?.as_str()?.to_owned(), item.get("value")?.as_str()?.to_owned()))
            };
            match VmReport::new(name, items.iter().filter_map(pair).collect()) {
                Some(report) => reports.push(report),
                None => items.iter().for_each(|item| collect(item, name, depth - 1, reports)),
            }
        }
        _ => {}
    }
}

fn texts(object: &Map<String, Value>) -> BTreeMap<String, String> {
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    object.iter().filter_map(text).collect()
}

fn pairs(text: &str) -> BTreeMap<String, String> {
    let pair = |line: &str| {
        let (key, value) = line.split_once(' ').unwrap_or((line, ""));
        (key.to_owned(), value.trim().to_owned())
    };
    text.lines().map(pair).collect()
}

/// Compares `reports` with the lock whose digest is `digest`. `arch` is the VM's architecture, and `place` the
/// lock's place.
pub fn check(lock: &Lock, digest: &Sha256, arch: Arch, reports: &[VmReport], place: &Location) -> Vec<Check> {
    reports.iter().flat_map(|report| of_one(lock, digest, arch, report, place)).collect()
}

fn of_one(lock: &Lock, digest: &Sha256, arch: Arch, report: &VmReport, place: &Location) -> Vec<Check> {
    let subject = match report.name.as_str() {
        "" => "VM".to_owned(),
        name => format!("VM {}", excerpt(name, LONGEST)),
    };
    let error = excerpt(report.get(ERROR), LONGEST);
    let because = if error.is_empty() { String::new() } else { format!(": {error}") };
    let mut checks = Vec::new();
    let of_lock = format!("lock of {subject}");
    checks.push(match report.get(LOCK) {
        "" => Check::unchecked(Against::Vm, of_lock, "the report does not say which lock the VM has"),
        found if found == digest.to_string() => Check::clean(Against::Vm, of_lock),
        found => Check::finding(Against::Vm, of_lock, Code::VmDiffers, "it was made for another lock")
            .difference(digest, &excerpt(found, LONGEST))
            .help("`bake render` and `bake gcloud update | sh` bring it to this one"),
    });
    let binaries = format!("binaries of {subject}");
    checks.push(match (report.get(STATUS), report.get(ERROR_KIND)) {
        (_, MISMATCH) => {
            let message = format!("a binary in the gateway's image is not what its lock says{because}");
            Check::finding(Against::Vm, binaries, Code::ChecksumMismatch, message)
                .help("do not use this gateway; find out who changed its image")
        }
        (READY, _) => verified(lock, arch, binaries, report.get(VERIFIED)),
        ("", _) => Check::unchecked(Against::Vm, binaries, "the VM has not reported a status"),
        (FAILED, _) => Check::unchecked(Against::Vm, binaries, format!("the VM has failed{because}")),
        (status, _) => {
            let why = format!("the VM is not ready, but at `{}`{because}", excerpt(status, LONGEST));
            Check::unchecked(Against::Vm, binaries, why)
        }
    });
    checks.into_iter().map(|check| check.at(place.clone())).collect()
}

/// A VM reports `ready` only after it has compared each binary whose checksum is locked, and compares them again
/// every day. VMs of older releases of bake do not report when.
fn verified(lock: &Lock, arch: Arch, subject: String, said: &str) -> Check {
    let mut words = said.split_whitespace();
    let time = words.next().map(|time| excerpt(time, LONGEST));
    let mut count = || words.next()?.parse::<usize>().ok();
    let builds = lock.binaries.values().filter_map(|locked| locked.builds.get(&arch));
    let unverified = match (count(), count()) {
        (Some(good), Some(all)) => all.saturating_sub(good),
        _ => builds.filter(|build| build.binary_sha256.is_none()).count(),
    };
    let subject = match time {
        Some(time) => format!("{subject}, verified {time}"),
        None => subject,
    };
    match unverified {
        0 => Check::clean(Against::Vm, subject),
        unknown => {
            let why = format!("the VM has no checksum of {unknown} executables, and cannot compare them");
            Check::unchecked(Against::Vm, subject, why).help(
                "`bake lock` learns them; `bake render` and `bake gcloud update | sh` bring them to the VM",
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<(String, String)> {
        let reports = read(text).expect("a report");
        reports.iter().map(|report| (report.name.clone(), report.get(STATUS).to_owned())).collect()
    }

    #[test]
    fn reports_are_read_in_every_form() {
        let expected = |name: &str| vec![(name.to_owned(), "ready".to_owned())];
        assert_eq!(names("lock 12\nstatus ready\nunknown x\nerror\n"), expected(""));
        let list = r#"[{"key": "lock", "namespace": "openclaw", "value": "12"}, {"key": "status", "value": "ready"}]"#;
        assert_eq!(names(list), expected(""));
        assert_eq!(names(r#"{"name": "a", "status": "ready", "lock": "12", "disks": [1]}"#), expected("a"));
        assert_eq!(
            names(
                r#"{"version": 1, "vms": [{"vm": "b", "report": {"status": "ready"}}, {"vm": "c", "status": "start"}]}"#
            ),
            [("b".to_owned(), "ready".to_owned()), ("c".to_owned(), "start".to_owned())]
        );
    }

    #[test]
    fn text_without_a_report_is_refused() {
        let deep = format!("{}{}", "[".repeat(100), "]".repeat(100));
        for text in ["", "hello", "{}", "[1, \"status\"]", "{\"status\": 1}", "{\"status\":", &deep] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
