//! What the VM said of itself, and when.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::metadata::AttributeChange;
use super::serial::plain;

/// The namespace of the gateway's guest attributes.
const NAMESPACE: &str = "openclaw";

/// A report of the VM, as it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusReport {
    /// Seconds since power-on, by this machine's clock.
    pub seconds: u64,
    /// Where the VM stands.
    pub status: String,
    /// What it waits for or what went wrong, or nothing.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
}

/// All reports of one run.
#[derive(Debug, Default)]
pub struct Timeline {
    /// The guest attributes of `openclaw` as they stand.
    attributes: BTreeMap<String, String>,
    reports: Vec<StatusReport>,
}

impl Timeline {
    /// Takes in a guest attribute that was set `after` power-on; returns the report where that
    /// completes one that says something new. The status is what a report sets last.
    pub fn take(&mut self, change: AttributeChange, after: Duration) -> Option<&StatusReport> {
        if change.namespace != NAMESPACE {
            return None;
        }
        let completes = change.key == "status" && change.value.is_some();
        match change.value {
            // Whatever a program of the VM's has set goes to a terminal.
            Some(value) => self.attributes.insert(change.key, plain(&value)),
            None => self.attributes.remove(&change.key),
        };
        let report = StatusReport {
            seconds: after.as_secs(),
            status: self.value("status").to_owned(),
            error: self.value("error").to_owned(),
        };
        let is_new = |last: &StatusReport| (&last.status, &last.error) != (&report.status, &report.error);
        if !completes || !self.reports.last().is_none_or(is_new) {
            return None;
        }
        self.reports.push(report);
        self.reports.last()
    }

    /// The digest of the lock that the VM says it was made from; empty before its first report.
    pub fn lock(&self) -> &str {
        self.value("lock")
    }

    fn value(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// Every report, the first one first.
    pub fn reports(&self) -> &[StatusReport] {
        &self.reports
    }

    /// The last status; nothing before the first report.
    pub fn status(&self) -> Option<&str> {
        self.reports.last().map(|report| report.status.as_str())
    }

    /// Each stage in the order in which it was first reached, with how long it lasted, in seconds: up
    /// to the next, or up to `end` after power-on. The time before the first report goes by the name
    /// `boot`; `ready` is none.
    pub fn stages(&self, end: Duration) -> Vec<(&str, u64)> {
        let mut stages: Vec<(&str, u64)> = Vec::new();
        let mut since = ("boot", 0);
        let reached = self.reports.iter().map(|report| (report.status.as_str(), report.seconds));
        for (status, seconds) in reached.chain([("", end.as_secs())]) {
            let lasted = seconds - since.1;
            match stages.iter_mut().find(|(name, _)| *name == since.0) {
                Some((_, seconds)) => *seconds += lasted,
                None => stages.push((since.0, lasted)),
            }
            since = (status, seconds);
        }
        stages.retain(|(name, _)| *name != "ready");
        stages
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{AttributeChange, Timeline};

    fn set(timeline: &mut Timeline, seconds: u64, key: &str, value: &str) -> bool {
        let value = Some(value.to_owned());
        let change = AttributeChange { namespace: "openclaw".to_owned(), key: key.to_owned(), value };
        timeline.take(change, Duration::from_secs(seconds)).is_some()
    }

    #[test]
    fn what_is_new_is_told_once_it_is_whole() {
        let mut timeline = Timeline::default();
        let mut report = |seconds, status, error| {
            assert!(!set(&mut timeline, seconds, "error", error));
            set(&mut timeline, seconds, "status", status)
        };
        assert!(report(30, "starting", ""));
        assert!(!report(31, "starting", ""));
        assert!(report(35, "starting", "docker: no network"));
        assert!(report(40, "image", ""));
        assert!(report(70, "starting", ""));
        assert!(report(75, "ready", ""));
        assert_eq!(timeline.status(), Some("ready"));
        let end = Duration::from_secs(90);
        assert_eq!(timeline.stages(end), [("boot", 30), ("starting", 15), ("image", 30)]);
        assert_eq!(Timeline::default().stages(end), [("boot", 90)]);
        set(&mut timeline, 80, "error", "\u{1b}[2Jimage: gog");
        assert!(set(&mut timeline, 80, "status", "failed"));
        assert_eq!(timeline.reports().last().map(|report| report.error.as_str()), Some("image: gog"));
        assert_eq!(timeline.stages(end).last(), Some(&("failed", 10)));
        let other = AttributeChange {
            namespace: "other".to_owned(),
            key: "status".to_owned(),
            value: Some("x".to_owned()),
        };
        assert!(timeline.take(other, Duration::ZERO).is_none());
    }
}
