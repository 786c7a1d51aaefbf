//! Status reports of the VM with timestamps.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::metadata::AttributeChange;
use super::serial::plain;
use crate::vm::{ERROR, ERROR_KIND, LOCK, NAMESPACE, READY, STATUS};

/// A status report as received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StatusReport {
    /// Seconds since power-on, by this machine's clock.
    pub seconds: u64,
    pub status: String,
    /// The reason for waiting or failing, if any.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub error_kind: String,
}

/// All reports of one run.
#[derive(Debug, Default)]
pub struct Timeline {
    /// Current guest attributes of `openclaw`.
    attributes: BTreeMap<String, String>,
    reports: Vec<StatusReport>,
}

impl Timeline {
    /// Processes a guest attribute that was set `after` power-on. Returns a report when it is complete and
    /// differs from the last; `status` is always set last.
    pub fn take(&mut self, change: AttributeChange, after: Duration) -> Option<&StatusReport> {
        if change.namespace != NAMESPACE {
            return None;
        }
        let completes = change.key == STATUS && change.value.is_some();
        match change.value {
            // Sanitize output of VM programs for the terminal.
            Some(value) => self.attributes.insert(change.key, plain(&value)),
            None => self.attributes.remove(&change.key),
        };
        let report = StatusReport {
            seconds: after.as_secs(),
            status: self.value(STATUS).to_owned(),
            error: self.value(ERROR).to_owned(),
            error_kind: self.value(ERROR_KIND).to_owned(),
        };
        let is_new = |last: &StatusReport| StatusReport { seconds: report.seconds, ..last.clone() } != report;
        if !completes || !self.reports.last().is_none_or(is_new) {
            return None;
        }
        self.reports.push(report);
        self.reports.last()
    }

    /// Lock digest reported by the VM; empty before the first report.
    pub fn lock(&self) -> &str {
        self.value(LOCK)
    }

    fn value(&self, key: &str) -> &str {
        self.attributes.get(key).map_or("", String::as_str)
    }

    /// In order of arrival.
    pub fn reports(&self) -> &[StatusReport] {
        &self.reports
    }

    /// `None` before the first report.
    pub fn status(&self) -> Option<&str> {
        self.reports.last().map(|report| report.status.as_str())
    }

    /// Stages in order of first appearance with their duration in seconds, up to the next stage or to `end`
    /// after power-on. `boot` is the time before the first report; `ready` is excluded.
    pub fn stages(&self, end: Duration) -> Vec<(&str, u64)> {
        let mut stages: Vec<(&str, u64)> = Vec::new();
        for (stage, from, to) in self.spans(end) {
            match stages.iter_mut().find(|(name, _)| *name == stage) {
                Some((_, seconds)) => *seconds += to - from,
                None => stages.push((stage, to - from)),
            }
        }
        stages
    }

    /// The same in order of time, each with its first and its last second.
    pub fn spans(&self, end: Duration) -> Vec<(&str, u64, u64)> {
        let mut spans: Vec<(&str, u64, u64)> = Vec::new();
        let mut since = ("boot", 0);
        let reached = self.reports.iter().map(|report| (report.status.as_str(), report.seconds));
        for (status, seconds) in reached.chain([("", end.as_secs())]) {
            match spans.last_mut().filter(|(name, ..)| *name == since.0) {
                Some((.., to)) => *to = seconds,
                None => spans.push((since.0, since.1, seconds)),
            }
            since = (status, seconds);
        }
        spans.retain(|(name, ..)| *name != READY);
        spans
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
    fn a_changed_report_is_returned_when_complete() {
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
