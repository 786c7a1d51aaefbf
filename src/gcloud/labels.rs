//! The labels of the spec on resources that exist: added and changed where they differ. Labels that the spec does
//! not name stay, because other programs may have set them.

use super::script::{Name, ScriptCommand, Step, Word};
use super::vm::{Vm, named};
use crate::digest::Sha256;

const WHY: &str = "The labels of bake.yaml; others stay.";

impl Vm<'_> {
    /// `KEY=VALUE,…` of the spec.
    fn own_labels(self) -> Option<String> {
        let labels: Vec<_> = self
            .target
            .spec
            .gcp
            .labels
            .iter()
            .map(|(key, value)| format!("{}={}", key.value, value.value))
            .collect();
        (!labels.is_empty()).then(|| labels.join(","))
    }

    /// Holds where a label below `field` is not as the spec has it.
    fn differs(self, field: &str) -> String {
        let labels = self.target.spec.gcp.labels.iter();
        let terms: Vec<_> =
            labels.map(|(key, value)| format!("NOT {field}.{} ~ \"^{}$\"", key.value, value.value)).collect();
        format!("({})", terms.join(" OR "))
    }

    /// Labels the VM, where `filter` holds of it.
    pub(super) fn relabelled(self, filter: &str) -> Option<Step> {
        let labels = self.own_labels()?;
        let filter = if filter.is_empty() { String::new() } else { format!(" AND {filter}") };
        Some(
            Step::run(WHY, self.on("compute instances add-labels").flag("labels", &labels))
                .only_where(self.listed(&format!("{}{filter}", self.differs("labels"))))
                .change(format!("~ VM {}: labels {labels}", self.name)),
        )
    }

    /// Labels the data disk in use.
    pub(super) fn relabelled_disk(self) -> Option<Step> {
        let labels = self.own_labels()?;
        let add = ScriptCommand::gcloud("compute disks add-labels")
            .arg(Word(Vec::new()).name(Name::Data))
            .in_project()
            .flag("zone", self.zone())
            .flag("labels", &labels);
        let data =
            Word::from("name ~ \"^").name(Name::Data).text(format!("$\" AND {}", self.differs("labels")));
        Some(
            Step::run(WHY, add)
                .only_where(self.list("compute disks list", data))
                .change(Word::from("~ data disk ").name(Name::Data).text(format!(": labels {labels}"))),
        )
    }

    /// Has the snapshot schedule that bake made for this project label the snapshots to come.
    pub(super) fn relabelled_schedule(self) -> Option<Step> {
        let labels = self.own_labels()?;
        let schedule = self.target.spec.name.snapshot_schedule();
        let differs = self.differs("snapshotSchedulePolicy.snapshotProperties.labels");
        let there = ScriptCommand::gcloud("compute resource-policies list")
            .in_project()
            .flag(
                "filter",
                format!(
                    "{} AND region:{} AND {} AND {differs}",
                    named(&schedule),
                    self.region(),
                    self.is_described()
                ),
            )
            .flag("format", "value(name)");
        let label = ScriptCommand::gcloud("compute resource-policies update snapshot-schedule")
            .arg(schedule.clone())
            .in_project()
            .flag("region", self.region())
            .flag("snapshot-labels", self.labels());
        Some(
            Step::run(WHY, label)
                .only_where(there)
                .change(format!("~ snapshot schedule {schedule}: new snapshots get the labels {labels}")),
        )
    }

    /// Part of the name of a fleet's template, which gives its VMs their labels.
    pub(super) fn template_digest(self, bundle: String) -> String {
        match self.own_labels() {
            None => bundle,
            Some(labels) => Sha256::of(format!("{bundle}\n{labels}\n")).to_string(),
        }
    }
}
