//! `bake rehearse`: the bundle in a VM on this machine, until the gateway is ready.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use serde::Serialize;

use super::console::Console;
use super::interrupt::on_interrupt;
use super::load::{self, LoadedLock};
use super::watch::{DescribedMetadata, VmWatch};
use super::{Done, Failure};
use crate::cli;
use crate::diagnostics::Code;
use crate::picture::{Lane, StageSpan, timeline};
use crate::plan::Plan;
use crate::project::host_os::HostOs;
use crate::project::machine::Machine;
use crate::project::spec::{SecretSource, Spec};
use crate::project::values::Arch;
use crate::rehearse::metadata::{Instance, Server};
use crate::rehearse::{
    self, Acceleration, Clock, Disk, DiskError, RehearsalFolder, StatusReport, Timeline, UEFI, Values,
    VmConfig, decisive, described, emulates_well, packages, qemu,
};
use crate::render;
use crate::vm::{BAKE, READY, error_kind};

/// For machine types of unknown size.
const MEMORY_MIB: u32 = 4096;
const CPUS: u32 = 2;
/// Seconds to wait for the gateway. Slow emulation alone must not fail.
const PATIENCE: u64 = 3600;
const PATIENCE_EMULATED: u64 = 4 * PATIENCE;
/// The project's name if the spec has none.
const PROJECT: &str = "rehearsal";
const PROJECT_NUMBER: u64 = 100_000_000_000;

impl From<DiskError> for Failure {
    fn from(error: DiskError) -> Self {
        match error {
            DiskError::Image(..)
            | DiskError::NoDisk(..)
            | DiskError::OtherImage { .. }
            | DiskError::OtherFile { .. }
            | DiskError::Format { .. }
            | DiskError::TooLarge { .. } => Self::Argument(error.to_string()),
            _ => Self::Other(Code::RehearsalFailed, error.to_string()),
        }
    }
}

#[derive(Serialize)]
struct RehearseJson<'a> {
    version: u32,
    ready: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    lock: String,
    emulated: bool,
    port: u16,
    reports: &'a [StatusReport],
    stages: Vec<StageTime<'a>>,
    /// The agent's reply to `--ask`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
}

#[derive(Serialize)]
struct StageTime<'a> {
    name: &'a str,
    seconds: u64,
}

pub(super) fn run(
    dir: &Path,
    options: &cli::RehearseArgs,
    json: bool,
    console: &mut Console,
) -> Result<Done, Failure> {
    let (project, LoadedLock { lock, digest, .. }) = load::fitting(dir, console)?;
    let plan = Plan::new(&project, &lock, digest);
    let arch = plan.spec.host.arch.value;
    let image = options.disk.as_deref().ok_or_else(|| no_disk(plan.spec.host.os.value, arch))?;
    if let Some(file) = &options.bake {
        must_be_writable(file)?;
    }
    let (mut attributes, description) = attributes(&plan, options.metadata.as_deref(), console)?;
    if options.bake.is_some() {
        attributes.insert(BAKE.to_owned(), "true".to_owned());
    }

    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    on_interrupt(move || flag.store(true, Ordering::Relaxed))?;
    let (folder, _temporary) = folder(options)?;
    if options.bake.is_some() && folder.boot_disk().exists() {
        let why =
            format!("{} has booted: an OS image is made of a new boot disk", folder.boot_disk().display());
        return Err(Failure::Argument(why));
    }
    let acceleration = Acceleration::best(arch, folder.path()).map_err(|error| no_qemu(arch, &error))?;
    let disks = disks(plan.spec, options, image, &folder)?;
    let instance = instance(plan.spec, folder.instance_id()?, &disks, attributes);
    let (sender, changes) = mpsc::channel();
    let server = Server::start(instance, secrets(plan.spec, options, console)?, sender).map_err(|error| {
        Failure::Other(Code::RehearsalFailed, format!("the metadata server cannot start: {error}"))
    })?;
    let vm = vm(plan.spec, options, &folder, acceleration, disks, &server)?;

    let serial_begin = std::fs::metadata(folder.serial_log()).map_or(0, |log| log.len());
    let goal = match &options.bake {
        Some(file) => format!("it becomes the OS image {}", file.display()),
        None => format!("the gateway will be at http://127.0.0.1:{}/", vm.host_port),
    };
    console.note(&format!(
        "{}: {} MiB of memory, {}; {goal}",
        vm.name,
        vm.memory_mib,
        match acceleration {
            Acceleration::Hardware(name) => format!("{} processors by {name}", vm.cpus),
            Acceleration::Emulation =>
                "one emulated processor, some twenty times slower than a real one".to_owned(),
        }
    ));
    if acceleration == Acceleration::Emulation
        && !emulates_well(arch).map_err(|error| no_qemu(arch, &error))?
    {
        console.note("This QEMU is older than version 10: emulated VMs were seen to crash with 7.2 that do not with 10.0.");
    }
    let running = vm.start().map_err(|error| no_qemu(arch, &error))?;
    let limit = options.timeout.unwrap_or(match acceleration {
        Acceleration::Hardware(_) => PATIENCE,
        Acceleration::Emulation => PATIENCE_EMULATED,
    });
    let described = options.metadata.as_deref().zip(description);
    let described = described.map(|(path, text)| DescribedMetadata::new(path, text, &server));
    let mut watch = VmWatch::begin(running, changes, described, interrupted, Duration::from_secs(limit));
    let lock = plan.lock_digest.to_string();
    let mut outcome = match &options.bake {
        Some(_) => watch.until_baked(console),
        None => watch.until_settled(console).and_then(|()| watch.confirm(&lock, vm.host_port)),
    };
    if let (Ok(()), Some(file)) = (&outcome, &options.bake) {
        rehearse::export(&folder.boot_disk(), file)?;
        console.note(&baked(file));
    }
    if outcome.is_ok() && options.ask.is_some() {
        outcome = watch.until_answered(console);
        if let Some(reply) = watch.reply().filter(|_| !json) {
            console.result(&format!("{reply}\n"))?;
        }
    }
    if options.keep && watch.runs() && !watch.is_interrupted() {
        if let Err(why) = &outcome {
            console.error(Code::RehearsalFailed, why);
        }
        console.note(&kept(&folder, vm.host_port));
        outcome = watch.until_interrupted(console).and_then(|()| watch.confirm(&lock, vm.host_port));
    }
    if let Some(path) = &options.chart {
        draw(path, &vm.name, &watch, outcome.is_ok())?;
    }
    report(json, console, &plan, &watch, &vm, outcome.as_ref().err().map(String::as_str))?;
    if let Err(why) = outcome {
        let log = decisive(&folder.serial_from(serial_begin));
        if !log.is_empty() {
            console.note(&format!("The serial console's decisive lines:\n  {}", log.join("\n  ")));
        }
        console.error(Code::RehearsalFailed, &why);
        if let Some(advice) = advice(&plan, watch.timeline()) {
            console.note(&format!("For a VM on Compute Engine:\n{advice}"));
        }
        return Ok(Done::Finding);
    }
    Ok(Done::Clean)
}

/// The advice for the VM's last error.
fn advice(plan: &Plan<'_>, timeline: &Timeline) -> Option<String> {
    let gcp = &plan.spec.gcp;
    let kind = timeline.reports().last().and_then(|report| error_kind(&report.error_kind))?;
    let project = gcp.project.as_ref().map_or("PROJECT", |project| project.value.as_str());
    let device = plan.spec.name.data_disk();
    Some(kind.advice_with(|placeholder| match placeholder {
        "vm" => Some(plan.spec.name.as_str()),
        "project" => Some(project),
        "zone" => Some(gcp.zone.as_str()),
        "device" => Some(&device),
        "larger" => Some(Machine::new(&gcp.machine_type).larger()),
        _ => None,
    }))
}

/// The VM's metadata, from the bundle or from the description of a VM in a file, with that description.
fn attributes(
    plan: &Plan<'_>,
    description: Option<&Path>,
    console: &mut Console,
) -> Result<(BTreeMap<String, String>, Option<String>), Failure> {
    let Some(path) = description else {
        let (bundle, warnings) = render::render(plan)?;
        console.problems(&warnings);
        return Ok((render::attributes(plan, &bundle), None));
    };
    let wrong = |why: String| Failure::Argument(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
    let attributes = described::attributes(&text).map_err(|error| {
        wrong(format!(
            "{error}; it should be what `gcloud compute instances describe VM --format=json` prints"
        ))
    })?;
    if !attributes.contains_key("user-data") {
        return Err(wrong("this VM has no `user-data` in its metadata".to_owned()));
    }
    Ok((attributes, Some(text)))
}

fn no_disk(os: HostOs, arch: Arch) -> Failure {
    let published = os.disk_image(arch);
    Failure::Argument(format!("there is no OS image to boot: download {published}, and name it by --disk"))
}

fn no_qemu(arch: Arch, error: &io::Error) -> Failure {
    let hint = if error.kind() == io::ErrorKind::NotFound { install_qemu(arch) } else { String::new() };
    Failure::Other(Code::RehearsalFailed, format!("{}: {error}{hint}", qemu(arch)))
}

fn install_qemu(arch: Arch) -> String {
    format!("; apt install {} (Debian, Ubuntu), brew install qemu (Homebrew)", packages(arch))
}

/// The firmware that QEMU does not bring itself, unless the arguments for QEMU name one.
fn firmware(arch: Arch, qemu_arguments: &[OsString], files: &[&str]) -> Result<Option<PathBuf>, Failure> {
    if arch == Arch::Amd64 || qemu_arguments.iter().any(|argument| argument == "-bios") {
        return Ok(None);
    }
    let found = rehearse::firmware(files);
    let missing = || {
        let why = "there is no UEFI firmware for an arm64 VM";
        let install = install_qemu(arch);
        Failure::Other(
            Code::RehearsalFailed,
            format!("{why}{install}, or name it as the last arguments: -- -bios FILE"),
        )
    };
    found.map(Some).ok_or_else(missing)
}

/// The rehearsal's folder; a temporary one is removed at the end.
fn folder(options: &cli::RehearseArgs) -> Result<(RehearsalFolder, Option<tempfile::TempDir>), Failure> {
    if let Some(path) = &options.dir {
        return Ok((RehearsalFolder::open(path)?, None));
    }
    // /tmp may be in memory, and a boot disk grows by gigabytes.
    let large = Path::new("/var/tmp");
    let mut builder = tempfile::Builder::new();
    builder.prefix("bake-rehearse-");
    let temporary = if std::env::var_os("TMPDIR").is_none() && large.is_dir() {
        builder.tempdir_in(large)
    } else {
        builder.tempdir()
    };
    let temporary =
        temporary.map_err(|error| Failure::Other(Code::IoFailed, format!("no temporary folder: {error}")))?;
    Ok((RehearsalFolder::open(temporary.path())?, Some(temporary)))
}

fn disks(
    spec: &Spec,
    options: &cli::RehearseArgs,
    image: &Path,
    folder: &RehearsalFolder,
) -> Result<Vec<Disk>, Failure> {
    folder.prepare_boot_disk(image, spec.gcp.boot_disk.value)?;
    let mut disks = vec![Disk { file: folder.boot_disk(), device_name: "persistent-disk-0".to_owned() }];
    if !spec.gcp.data_disk.is_zero() && !options.no_data_disk && options.bake.is_none() {
        folder.prepare_data_disk(spec.gcp.data_disk.value)?;
        disks.push(Disk { file: folder.data_disk(), device_name: spec.name.data_disk() });
    }
    Ok(disks)
}

fn secrets(spec: &Spec, options: &cli::RehearseArgs, console: &mut Console) -> Result<Values, Failure> {
    if let Some(folder) = &options.secrets {
        if !folder.is_dir() {
            return Err(Failure::Argument(format!("{}: there is no such folder", folder.display())));
        }
        return Ok(Values::Folder(folder.clone()));
    }
    let named = spec.secrets.iter().filter_map(|(_, source)| match source {
        SecretSource::SecretManager { id, .. } => Some(id.to_string()),
        SecretSource::Generated => None,
    });
    let named: Vec<_> = named.collect();
    if !named.is_empty() {
        console.note(&format!(
            "Secret Manager is played, with a made-up value for {}; --secrets DIR gives it others.",
            named.join(", ")
        ));
    }
    Ok(Values::made_up(named))
}

fn vm(
    spec: &Spec,
    options: &cli::RehearseArgs,
    folder: &RehearsalFolder,
    acceleration: Acceleration,
    disks: Vec<Disk>,
    server: &Server,
) -> Result<VmConfig, Failure> {
    let machine = Machine::new(&spec.gcp.machine_type);
    let relay = std::env::current_exe()
        .map_err(|error| Failure::Other(Code::IoFailed, format!("bake does not find itself: {error}")))?;
    Ok(VmConfig {
        name: spec.name.to_string(),
        id: folder.instance_id()?,
        arch: spec.host.arch.value,
        firmware: firmware(spec.host.arch.value, &options.qemu, &UEFI)?,
        memory_mib: machine.memory_mib().unwrap_or(MEMORY_MIB),
        cpus: machine.cpus().unwrap_or(CPUS),
        acceleration,
        clock: match options.clock {
            cli::ClockArg::Instructions => Clock::Instructions,
            cli::ClockArg::Host => Clock::Host,
        },
        disks,
        serial_log: folder.serial_log(),
        qemu_log: folder.qemu_log(),
        metadata: server.address(),
        relay,
        gateway_port: spec.gateway.port.value,
        host_port: host_port(options.port, spec.gateway.port.value)?,
        question: options.ask.as_ref().map(|text| text.as_str().to_owned()),
        more: options.qemu.clone(),
    })
}

/// The requested port, or the gateway's own if it is free, or any.
fn host_port(asked: Option<u16>, own: u16) -> Result<u16, Failure> {
    let bound = |port| TcpListener::bind(("127.0.0.1", port)).and_then(|listener| listener.local_addr());
    let address = match asked {
        Some(port) => bound(port).map_err(|error| format!("port {port} of 127.0.0.1: {error}")),
        None => bound(own).or_else(|_| bound(0)).map_err(|error| format!("127.0.0.1: {error}")),
    };
    address.map(|address| address.port()).map_err(|why| Failure::Other(Code::RehearsalFailed, why))
}

/// Minutes pass before the image is written.
fn must_be_writable(file: &Path) -> Result<(), Failure> {
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let wrong = |path: &Path, why: &str| Err(Failure::Argument(format!("{}: {why}", path.display())));
    if file.is_dir() {
        return wrong(file, "is a folder; name the file of the OS image");
    }
    tempfile::tempfile_in(folder).map(|_| ()).or_else(|error| wrong(folder, &error.to_string()))
}

fn baked(file: &Path) -> String {
    let is_imported = rehearse::is_imported(file);
    let file = file.display();
    if is_imported {
        return format!(
            "{file} is an OS image for Compute Engine. To import it from a bucket:\n  \
             gcloud storage cp {file} gs://BUCKET/\n  \
             gcloud compute images create NAME --source-uri=gs://BUCKET/IMAGE.tar.gz"
        );
    }
    format!("{file} is an OS image. To boot it:\n  bake rehearse --disk {file}")
}

fn kept(folder: &RehearsalFolder, port: u16) -> String {
    format!(
        "It runs on until Ctrl-C. The Control UI: http://127.0.0.1:{port}/ (it asks for OPENCLAW_GATEWAY_TOKEN:\n\
         one made on the VM stays there, one with `secret_manager` is what --secrets gives). The serial console:\n\
         {}",
        folder.serial_log().display()
    )
}

fn report(
    json: bool,
    console: &mut Console,
    plan: &Plan<'_>,
    watch: &VmWatch<'_>,
    vm: &VmConfig,
    error: Option<&str>,
) -> Result<(), Failure> {
    let stages = watch
        .timeline()
        .stages(watch.elapsed())
        .into_iter()
        .map(|(name, seconds)| StageTime { name, seconds });
    let stages: Vec<_> = stages.collect();
    if json {
        console.json(&RehearseJson {
            version: 1,
            ready: error.is_none() && watch.timeline().status() == Some(READY),
            error,
            lock: plan.lock_digest.to_string(),
            emulated: vm.acceleration == Acceleration::Emulation,
            port: vm.host_port,
            reports: watch.timeline().reports(),
            stages,
            reply: watch.reply(),
        })?;
    } else {
        let total: u64 = stages.iter().map(|stage| stage.seconds).sum();
        let row = |StageTime { name, seconds }: &StageTime<'_>| {
            format!("{name:<10} {seconds:>5} s {:>3} %\n", seconds * 100 / total.max(1))
        };
        let rows: String = stages.iter().map(row).collect();
        let emulated = if vm.acceleration == Acceleration::Emulation { ", emulated" } else { "" };
        console.result(&format!("{rows}{:<10} {total:>5} s{emulated}\n", "all"))?;
    }
    Ok(())
}

/// Writes the timeline of this boot.
fn draw(path: &Path, name: &str, watch: &VmWatch<'_>, is_ready: bool) -> Result<(), Failure> {
    let spans = watch.timeline().spans(watch.elapsed());
    let span = |(stage, from, to): (&str, u64, u64)| StageSpan { stage: stage.to_owned(), from, to };
    let lane =
        Lane::new(name, spans.into_iter().map(span).collect(), if is_ready { "ready" } else { "not ready" });
    std::fs::write(path, timeline("A rehearsal from power-on", &[lane]))
        .map_err(|error| Failure::Other(Code::IoFailed, format!("{}: {error}", path.display())))
}

/// The data of the metadata server.
fn instance(spec: &Spec, id: u64, disks: &[Disk], attributes: BTreeMap<String, String>) -> Instance {
    let project_id =
        spec.gcp.project.as_ref().map_or(PROJECT.to_owned(), |project| project.value.to_string());
    let (family, image_project) = spec.host.os.image_family(spec.host.arch.value);
    Instance {
        id,
        name: spec.name.to_string(),
        service_account: Some(format!(
            "{}@{project_id}.iam.gserviceaccount.com",
            spec.gcp.service_account.value
        )),
        project_id,
        project_number: PROJECT_NUMBER,
        zone: spec.gcp.zone.to_string(),
        machine_type: spec.gcp.machine_type.to_string(),
        image: format!("projects/{image_project}/global/images/family/{family}"),
        attributes,
        project_attributes: BTreeMap::new(),
        tags: vec![spec.name.to_string()],
        disks: disks.iter().map(|disk| disk.device_name.clone()).collect(),
        network: rehearse::network(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Arch, firmware};

    #[test]
    fn firmware_is_looked_for_where_qemu_brings_none() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let file = folder.path().join("firmware");
        std::fs::write(&file, "").expect("a file");
        let files = ["/nowhere/firmware", file.to_str().expect("UTF-8")];
        let found = firmware(Arch::Arm64, &[], &files).map_err(drop).expect("firmware");
        assert_eq!(found, Some(file.clone()));
        for (arch, arguments) in [(Arch::Amd64, vec![]), (Arch::Arm64, vec!["-bios".into(), "own".into()])] {
            assert!(firmware(arch, &arguments, &files).is_ok_and(|found| found.is_none()));
        }
        let (problems, _) = firmware(Arch::Arm64, &[], &files[..1]).expect_err("no firmware").report();
        let said = format!("{problems:?}");
        assert!(
            said.contains("apt install qemu-system-arm qemu-efi-aarch64") && said.contains("-- -bios FILE"),
            "{said}"
        );
    }
}
