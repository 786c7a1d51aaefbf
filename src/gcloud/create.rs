//! `gcloud.sh`: data disk, snapshot schedule and VM; what is there is kept, nothing is deleted.

use super::script::{Command, Step, Word};
use crate::plan::Plan;
use crate::project::machine::Machine;

/// The script's file name in the bundle.
pub const NAME: &str = "gcloud.sh";

/// Digits of the lock's digest in a label, which holds 63 characters at most.
const LABEL_DIGITS: usize = 16;

/// How the user-data and what runs it go into the VM's metadata.
pub struct Metadata {
    /// The file with the user-data.
    pub user_data: &'static str,
    /// How the user-data is encoded, if it is.
    pub encoding: Option<&'static str>,
    /// The file with the startup script, where the OS image needs one to run user-data.
    pub startup_script: Option<&'static str>,
}

/// What a key of the VM's metadata holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// This.
    Value(&'static str),
    /// The content of this file of the bundle.
    File(&'static str),
}

impl Metadata {
    /// Every key of the VM's metadata with what it holds ("About VM metadata", Compute Engine).
    pub fn attributes(&self) -> Vec<(&'static str, Attribute)> {
        let mut attributes = vec![
            ("enable-oslogin", Attribute::Value("TRUE")),
            ("block-project-ssh-keys", Attribute::Value("TRUE")),
            ("enable-guest-attributes", Attribute::Value("TRUE")),
            ("serial-port-logging-enable", Attribute::Value("TRUE")),
        ];
        attributes.extend(self.encoding.map(|encoding| ("user-data-encoding", Attribute::Value(encoding))));
        attributes.push(("user-data", Attribute::File(self.user_data)));
        attributes.extend(self.startup_script.map(|script| ("startup-script", Attribute::File(script))));
        attributes
    }

    fn files(&self) -> Vec<&'static str> {
        std::iter::once(self.user_data).chain(self.startup_script).collect()
    }

    /// As gcloud's flags take it: `KEY=VALUE,…` for `--metadata` and `--metadata-from-file`.
    fn flags(&self) -> (String, String) {
        let (mut values, mut files) = (Vec::new(), Vec::new());
        for (key, attribute) in self.attributes() {
            match attribute {
                Attribute::Value(value) => values.push(format!("{key}={value}")),
                Attribute::File(file) => files.push(format!("{key}={file}")),
            }
        }
        (values.join(","), files.join(","))
    }
}

/// The whole script.
pub fn script(plan: &Plan<'_>, metadata: &Metadata) -> String {
    let name = &plan.spec.name.value;
    let mut text = format!(
        "#!/bin/sh\n\
         # Creates the VM `{name}` of an OpenClaw Gateway, with its data disk. Rendered by bake from\n\
         # lock {}. Safe to run twice: what is there is kept, and nothing is deleted.\n\
         set -eu\n\
         # The metadata files lie beside this script.\n\
         CDPATH='' cd -- \"$(dirname -- \"$0\")\"\n\
         missing() {{ echo \"$PWD/$1 is missing: start this script in its own folder\" >&2; exit 1; }}\n\
         {files}\
         command -v gcloud >/dev/null || {{ echo 'gcloud is not installed: https://cloud.google.com/sdk/docs/install' >&2; exit 1; }}\n\n",
        plan.lock_digest,
        files = metadata
            .files()
            .iter()
            .map(|file| format!("[ -f {file} ] || missing {file}\n"))
            .collect::<String>(),
    );
    text.push_str(&names(plan));
    for step in steps(plan, metadata) {
        text.push('\n');
        text.push_str(&step.to_shell());
    }
    text
}

/// Sets `$project`, the one given or the one gcloud is set to, and `$account`, the service account.
fn names(plan: &Plan<'_>) -> String {
    let project = match &plan.spec.gcp.project {
        Some(project) => format!("project={}\n", project.value),
        None => "project=$(gcloud config get-value project)\n\
                 if [ -z \"$project\" ]; then\n\
                 \x20 echo 'gcloud is set to no project; set one: gcloud config set project PROJECT' >&2\n\
                 \x20 exit 1\n\
                 fi\n"
            .to_owned(),
    };
    format!(
        "{project}\
         # In the accounts of a project such as example.com:name, the two parts change places.\n\
         case $project in\n\
         \x20 *:*) domain=${{project#*:}}.${{project%%:*}} ;;\n\
         \x20 *) domain=$project ;;\n\
         esac\n\
         account={}@$domain.iam.gserviceaccount.com\n",
        plan.spec.gcp.service_account.value
    )
}

fn steps(plan: &Plan<'_>, metadata: &Metadata) -> Vec<Step> {
    let mut steps = Vec::new();
    if !plan.spec.gcp.data_disk.is_zero() {
        steps.extend(snapshot_schedule(plan));
        steps.push(data_disk(plan));
        steps.extend(disk_schedule(plan));
    }
    steps.push(instance(plan, metadata));
    steps
}

fn in_project() -> Word {
    Word::Shell("--project=\"$project\"")
}

fn snapshot_schedule(plan: &Plan<'_>) -> Option<Step> {
    let days = plan.spec.gcp.snapshot_days.as_ref()?;
    let schedule = plan.spec.name.snapshot_schedule();
    let region = plan.spec.gcp.zone.region();
    Some(Step {
        why: "A snapshot of the data disk every day; they outlive the disk.",
        unless: Command::gcloud("compute resource-policies list")
            .arg(in_project())
            .flag("filter", format!("name={schedule} AND region:{region}"))
            .flag("format", "value(name)"),
        run: Command::gcloud("compute resource-policies create snapshot-schedule")
            .arg(schedule.clone())
            .arg(in_project())
            .flag("region", region)
            .arg("--daily-schedule")
            .flag("start-time", "04:00")
            .flag("max-retention-days", days.value)
            .flag("on-source-disk-delete", "keep-auto-snapshots"),
        done: Vec::new(),
        already: vec![format!("{schedule}: the snapshot schedule is there, and is kept as it is")],
    })
}

fn data_disk(plan: &Plan<'_>) -> Step {
    let (name, gcp) = (&plan.spec.name, &plan.spec.gcp);
    let disk = name.data_disk();
    let run = Command::gcloud("compute disks create")
        .arg(disk.clone())
        .arg(in_project())
        .flag("zone", &gcp.zone.value)
        .flag("size", format!("{}GB", gcp.data_disk.gb()))
        .flag("type", Machine::new(&gcp.machine_type).disk_type());
    Step {
        why: "The data disk holds all that must survive; the VM may come and go.",
        unless: Command::gcloud("compute disks list")
            .arg(in_project())
            .flag("zones", &gcp.zone.value)
            .flag("filter", format!("name={disk}"))
            .flag("format", "value(name)"),
        run: run.arg(labels(plan)),
        done: Vec::new(),
        already: vec![format!("{disk}: the data disk is there, and is kept as it is")],
    }
}

/// For a disk that was made before it had a schedule.
fn disk_schedule(plan: &Plan<'_>) -> Option<Step> {
    plan.spec.gcp.snapshot_days.as_ref()?;
    let (disk, schedule) = (plan.spec.name.data_disk(), plan.spec.name.snapshot_schedule());
    let zone = &plan.spec.gcp.zone.value;
    Some(Step {
        why: "The schedule counts once it is attached to the disk.",
        unless: Command::gcloud("compute disks list")
            .arg(in_project())
            .flag("zones", zone)
            .flag("filter", format!("name={disk} AND resourcePolicies:{schedule}"))
            .flag("format", "value(name)"),
        run: Command::gcloud("compute disks add-resource-policies")
            .arg(disk.clone())
            .arg(in_project())
            .flag("zone", zone)
            .flag("resource-policies", &schedule),
        done: Vec::new(),
        already: Vec::new(),
    })
}

fn instance(plan: &Plan<'_>, metadata: &Metadata) -> Step {
    let (name, gcp) = (&plan.spec.name.value, &plan.spec.gcp);
    let zone = &gcp.zone.value;
    let (family, image_project) = plan.spec.host.os.image_family(plan.spec.host.arch.value);
    let mut run = Command::gcloud("compute instances create")
        .arg(name.as_str())
        .arg(in_project())
        .flag("zone", &gcp.zone.value)
        .flag("machine-type", &gcp.machine_type.value)
        .flag("image-family", family)
        .flag("image-project", image_project)
        .flag("boot-disk-size", format!("{}GB", gcp.boot_disk.gb()))
        .flag("boot-disk-type", Machine::new(&gcp.machine_type).disk_type());
    if !gcp.data_disk.is_zero() {
        let disk = plan.spec.name.data_disk();
        // Without auto-delete=no the data would go with the VM.
        run = run.flag("disk", format!("name={disk},device-name={disk},mode=rw,boot=no,auto-delete=no"));
    }
    let (values, files) = metadata.flags();
    run = run
        .flag("metadata", values)
        .flag("metadata-from-file", files)
        .arg(Word::Shell("--service-account=\"$account\""))
        .flag("scopes", "cloud-platform")
        .args(
            ["--shielded-secure-boot", "--shielded-vtpm", "--shielded-integrity-monitoring"].map(Word::from),
        )
        .arg(labels(plan))
        .flag("tags", name);
    if !gcp.public_ip.value {
        run = run.arg("--no-address");
    }
    Step {
        why: "The VM: its metadata carries all that it needs. Shielded VM, OS Login, no SSH keys of the\n\
              project, and a service account that may do nothing but what it was granted.",
        unless: Command::gcloud("compute instances list")
            .arg(in_project())
            .flag("zones", &gcp.zone.value)
            .flag("filter", format!("name={name}"))
            .flag("format", "value(name)"),
        run,
        done: vec![
            format!(
                "{name} is on its way to a running gateway, which takes some minutes. Its stages, without SSH:"
            ),
            format!(
                "  gcloud compute instances get-guest-attributes {name} --zone={zone} --query-path=openclaw/"
            ),
        ],
        already: vec![
            format!(
                "{name}: the VM is there, and is kept as it is: what changed since then did not reach it."
            ),
            "To replace it, which keeps the data disk:".to_owned(),
            format!("  gcloud compute instances delete {name} --zone={zone}   # and run this script again"),
        ],
    }
}

fn labels(plan: &Plan<'_>) -> Word {
    format!(
        "--labels=openclaw={},openclaw-lock={}",
        plan.spec.name.value,
        plan.lock_digest.short(LABEL_DIGITS)
    )
    .into()
}
