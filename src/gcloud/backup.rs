//! `backup`: a snapshot of the data disk, now.

use super::script::{Command, Name, Script, Step, Word};
use super::vm::{Vm, shortened};
use crate::plan::Plan;

/// Takes the snapshot while the VM runs.
///
/// # Errors
/// Where there is no data disk.
pub fn script(plan: &Plan<'_>) -> Result<Script, String> {
    let vm = Vm::of(plan);
    if !vm.has_data_disk() {
        return Err(
            "there is no data disk to take a snapshot of: set `gcp.data_disk` in bake.yaml for the next VM"
                .to_owned(),
        );
    }
    let disk = vm.name.data_disk();
    let name = Word::from(format!("{}-", shortened(&disk, "-20260102-030405"))).name(Name::Stamp);
    let snapshot = Command::gcloud("compute disks snapshot")
        .arg(Word(Vec::new()).name(Name::Data))
        .in_project()
        .flag("zone", vm.zone())
        .flag_word("snapshot-names", name.clone())
        .flag("labels", format!("openclaw={}", vm.name))
        .flag("storage-location", vm.region());
    let steps = vec![
        vm.data_must_be_there(),
        Step::run(
            "What the disk holds at one moment, as after a loss of power: the file system and the gateway's\n\
             SQLite databases are made to come back from that whole, but what the gateway had not written\n\
             yet is missing. For a quiet moment stop the VM first: gcloud compute instances stop.",
            snapshot,
        )
        .stands("every snapshot that was taken before")
        .tell(
            name.clone().text(" is taken. To go back to it: bake gcloud restore ").word(name).text(" | sh"),
        ),
    ];
    let about = format!("Takes a snapshot of the data disk of `{}`. Each run takes one more.", vm.name);
    Ok(Script::new("backup", about, plan, steps))
}

impl Vm<'_> {
    /// Ends the script where there is no data disk; [`Name::Data`] is its name from here on.
    pub(super) fn data_must_be_there(self) -> Step {
        Step::need(
            "The data disk in use: of several, the newest, which was restored.",
            self.data_in_use(),
            [format!("{} has no data disk in {}.", self.name, self.zone()).into()],
        )
        .learns(Name::Data, "")
    }
}
