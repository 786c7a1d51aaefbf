//! `backup`: an archive by the gateway itself, and a snapshot of the data disk with it.

use super::cli;
use super::remote::ARCHIVE;
use super::script::{Name, Script, ScriptCommand, Shell, Step, Word};
use super::ssh::{SSH_KEY, session_with};
use super::target::Target;
use super::vm::{Vm, shortened};
use crate::project::machine;
use crate::project::names::VmName;

/// So many of the gateway's archives are kept on the data disk; older ones are in older snapshots.
const ARCHIVES: &str = "5";

/// Takes a snapshot of the running VM, which may be a `member` of a fleet. The gateway first writes an archive
/// of its state, unless it is `snapshot_only`.
///
/// # Errors
/// Where there is no data disk.
pub fn script(target: Target<'_>, member: Option<&VmName>, snapshot_only: bool) -> Result<Script, String> {
    let vm = Vm::one(target, member);
    if !vm.has_data_disk() {
        return Err(
            "there is no data disk to take a snapshot of: the state is on the boot disk, and docs/gcloud.md says how it comes to a data disk"
                .to_owned(),
        );
    }
    let disk = vm.name.data_disk();
    let name = Word::from(format!("{}-", shortened(&disk, "-20260102-030405"))).name(Name::Stamp);
    let snapshot = ScriptCommand::gcloud("compute disks snapshot")
        .arg(Word(Vec::new()).name(Name::Data))
        .in_project()
        .flag("zone", vm.zone())
        .flag_word("snapshot-names", name.clone())
        .flag("labels", vm.labels())
        .flag("storage-location", vm.region());
    let mut taken = Step::run(
        "The content of the disk at one moment, as after a loss of power: the file system and the gateway's\n\
             SQLite databases recover from that, but data that the gateway had not written\n\
             yet is missing.",
        snapshot,
    )
    .change(Word::from("+ snapshot ").word(name.clone()))
    .will(Word::from("make snapshot - ").word(name.clone()).text(" ?"));
    let is_taken = name.clone().text(" is taken. To go back to it: ");
    let of_member = member.map(|member| format!(" --member {member}")).unwrap_or_default();
    taken = taken.tell(is_taken.text("bake gcloud restore ").word(name).text(format!("{of_member} | sh")));
    let mut steps = vec![vm.data_must_be_there(), taken];
    if !snapshot_only {
        let archive = vm.running(ARCHIVE, [ARCHIVES]);
        let archive = session_with(vm, member, archive, cli::FUNCTIONS, "archive_state");
        steps.insert(1, Step::shell(
            "The gateway's own archive of its state, checked by itself, into a folder on the data disk: the\n\
             snapshot takes it along. A VM that does not run is not asked.",
            archive,
        ));
        let how = "exits with 1 where the gateway made no archive";
        let end = Shell::calling(how, cli::FUNCTIONS, ["conclude_backup"]);
        steps.push(Step::shell("A snapshot alone is less than was asked for.", end));
    }
    let archive = format!(
        "\nFirst the gateway writes an archive of its state to that disk; the newest {ARCHIVES} are kept.\n{SSH_KEY}"
    );
    let about = format!(
        "bake gcloud backup: takes a snapshot of the data disk of the VM `{}`; each run takes one.{}",
        vm.name,
        if snapshot_only { "" } else { &archive }
    );
    Ok(Script::new("backup", about, target, steps)
        .stays("everything.")
        .gateway("keeps running.")
        .costs(format!("about {:.2} USD a month for each GB of the snapshot.", machine::snapshot_price())))
}
