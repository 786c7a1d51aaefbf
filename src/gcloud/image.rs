//! `image`: bakes an OS image of the bundle. A temporary VM, the builder, installs everything, powers off, and its
//! boot disk becomes the image.

use std::sync::LazyLock;

use super::advice;
use super::metadata::VmMetadata;
use super::script::{BundleFolder, Name, Script, ScriptCommand, Shell, Step, Word};
use super::setup;
use super::target::Target;
use super::vm::{LABEL_DIGITS, Vm, account, named, shortened};
use crate::digest::Sha256;
use crate::project::machine::{self, Machine};
use crate::project::names::VmName;
use crate::vm::{BAKE, BAKE_STATUSES};

static FUNCTIONS: LazyLock<[&str; 4]> = LazyLock::new(|| {
    [
        include_str!("sh/vm-state.sh"),
        advice::functions(),
        include_str!("sh/wait.sh"),
        include_str!("sh/bake-image.sh"),
    ]
});

/// The label of a builder: its project's id, or the gateway's name. Labels by which other actions find VMs would have
/// them take it for a gateway.
const OWNER_LABEL: &str = "openclaw-builder";
/// The label with the name of the stock image that the builder booted.
pub(super) const BASE_LABEL: &str = "openclaw-base";
/// The scope that a VM needs to pull from Artifact Registry; it opens no secret.
const PULL_SCOPE: &str = "storage-ro";
/// State, owner, bundle and stock image of the builder.
const BUILDER: &str =
    "value[separator='|'](status,labels.openclaw-builder,labels.openclaw-bundle,labels.openclaw-base)";
const IMAGES: &str = "value[separator=' '](name,labels.openclaw-bundle,labels.openclaw-base)";
/// Seconds that a builder may run after the script has given up.
const GRACE: u32 = 1800;

/// How an image is baked.
#[derive(Clone, Copy)]
pub struct ImageOptions {
    /// Whether to bake one although there is one of this bundle.
    pub force: bool,
    /// How long to wait for the builder, in seconds.
    pub timeout: u32,
}

/// Bakes an image, unless there is one of this lock and bundle.
///
/// # Errors
/// If the gateway's name leaves no room for that of the builder.
pub fn script(
    target: Target<'_>,
    metadata: &VmMetadata,
    folder: BundleFolder,
    options: ImageOptions,
) -> Result<Script, String> {
    let vm = Vm::of(target);
    let name: VmName = format!("{}-builder", shortened(vm.name.as_str(), "-builder")).parse()?;
    let bake = Bake { vm, builder: Vm { target, name: &name }, metadata, options };
    let mut steps = vec![vm.type_must_be_there(&target.spec.gcp.machine_type), bake.find()];
    steps.extend([
        bake.delete_left(),
        bake.make_builder(),
        bake.bake(),
        bake.delete_builder(),
        Bake::delete_old_images(),
        Bake::kept(),
    ]);
    steps.push(
        Step::note("The image has a purpose.").tell(
            "New VMs of this lock boot from it, unless host.image in bake.yaml is stock: create, update --replace, move, and fleets.",
        ),
    );
    let about = format!(
        "bake gcloud image: bakes an OS image of the gateway `{}`.\n\
         A temporary VM installs and verifies everything, reads no secret, starts no gateway, and powers off;\n\
         its boot disk becomes the image. Safe to run twice.\n\
         Lock: {}",
        vm.name,
        target.lock()
    );
    let limit = bake.longest_minutes();
    Ok(Script::new("image", about, target, steps)
        .reading(folder, metadata.files())
        .stays("the gateway's VM and disks, the newest image before this one, and images that bake did not make.")
        .gateway("keeps running; no VM of it is changed.")
        .costs(format!(
            "the temporary VM for some minutes (Compute Engine deletes one that still runs after {limit} minutes), and the disk of one that is off until the next bake gcloud image; the image {:.2} USD a month for each GB.",
            machine::image_price()
        )))
}

#[derive(Clone, Copy)]
struct Bake<'a> {
    vm: Vm<'a>,
    builder: Vm<'a>,
    metadata: &'a VmMetadata,
    options: ImageOptions,
}

impl Bake<'_> {
    /// The digest of everything that the image is made of: the files, the operating system and the architecture.
    fn bundle(self) -> String {
        let (os, family) = (self.vm.os_label(), self.vm.image_family());
        let lock = self.vm.target.lock();
        Sha256::of(format!("{os} {family} {lock}\n{}\n", self.metadata.contents)).short(LABEL_DIGITS)
    }

    /// The longest time that the builder may run, in seconds.
    fn longest(self) -> u32 {
        self.options.timeout.saturating_add(GRACE)
    }

    fn longest_minutes(self) -> u32 {
        self.longest().div_ceil(60)
    }

    fn there(self) -> ScriptCommand {
        ScriptCommand::gcloud("compute instances list")
            .in_project()
            .flag("zones", self.vm.zone())
            .flag("filter", named(self.builder.name.as_str()))
            .flag("format", BUILDER)
    }

    fn shell(self, how: &'static str, call: &'static str) -> Shell {
        Shell::calling(how, &*FUNCTIONS, [call])
            .value("vm", self.builder.name.as_str())
            .value("fleet", "")
            .value("device", "")
            .value("request", "")
            .value("zone", self.vm.zone())
            .value("larger", Machine::new(&self.vm.target.spec.gcp.machine_type).larger())
            .command("builder", self.there())
            .command("vm_report", self.builder.report())
    }

    /// Finds images and builder, and decides what to do.
    fn find(self) -> Step {
        let host = &self.vm.target.spec.host;
        let (family, project) = host.os.image_family(host.arch.value);
        let base = ScriptCommand::gcloud("compute images describe-from-family")
            .arg(family)
            .flag("project", project)
            .flag("format", "value(name)");
        let images = self.vm.baked_images(" AND status=READY").flag("format", IMAGES);
        let how = "sets `base` to the output of the first; `new_image` unless the next has one of this bundle; \
                   `new_builder` unless the last two print a builder of this bundle that is on its way or baked; \
                   `old_builder` to any other; `old_images` to all but the two newest. Ends with an error where a VM \
                   of the builder's name is not a builder of this project";
        let shell = Shell::calling(how, &*FUNCTIONS, ["find_builder"]);
        let with = self.shell(how, "find_builder");
        let shell = Shell { values: with.values, ..shell }
            .value("family", self.vm.image_family())
            .value("bundle", self.bundle())
            .value("owner_here", self.vm.owner())
            .value("force", if self.options.force { "yes" } else { "" })
            .command("base_image", base)
            .command("baked_images", images);
        let shell =
            with.commands.into_iter().fold(shell, |shell, (name, command)| shell.command(name, command));
        Step::shell("The images and the builder that an earlier run has made.", shell).look()
    }

    fn delete(self, why: &str) -> Step {
        Step::run(why, self.builder.on("compute instances delete").arg("--quiet"))
    }

    fn delete_left(self) -> Step {
        let name = self.builder.name;
        self.delete("A builder of another bundle, or one that did not get there. Its disk goes with it.")
            .for_each_of(Name::OldBuilder)
            .change(format!("- VM {name} and its boot disk, which an earlier run has left"))
    }

    fn make_builder(self) -> Step {
        let spec = self.vm.target.spec;
        let gcp = &spec.gcp;
        let (_, image_project) = spec.host.os.image_family(spec.host.arch.value);
        let (values, files) = self.metadata.flags();
        let make = self
            .builder
            .on("compute instances create")
            .flag("machine-type", &gcp.machine_type.value)
            .flag_word("image", Word(Vec::new()).name(Name::Base))
            .flag("image-project", image_project)
            .flag("boot-disk-size", format!("{}GB", gcp.boot_disk.gb()))
            .flag("boot-disk-type", Machine::new(&gcp.machine_type).disk_type())
            .flag("metadata", format!("{values},{BAKE}=TRUE"))
            .flag("metadata-from-file", files)
            .args(["--shielded-secure-boot", "--shielded-vtpm", "--shielded-integrity-monitoring"])
            .flag("max-run-duration", format!("{}s", self.longest()))
            .flag("instance-termination-action", "DELETE")
            .args(self.vm.network_flags());
        let make = if setup::private_registry(self.vm.target).is_some() {
            make.flag_word("service-account", account(gcp.service_account.as_str()))
                .flag("scopes", PULL_SCOPE)
        } else {
            make.args(["--no-service-account", "--no-scopes"])
        };
        let make = if gcp.public_ip.value { make } else { make.arg("--no-address") };
        let make = make.flag_word(
            "labels",
            Word::from(format!(
                "{OWNER_LABEL}={},openclaw-bundle={}{},{BASE_LABEL}=",
                self.vm.owner(),
                self.bundle(),
                self.vm.more_labels()
            ))
            .name(Name::Base),
        );
        Step::run(
            "The builder boots the bundle, with no data disk and no account that could read a secret. Compute Engine\n\
             deletes one that does not power off. (It forgets the limit of a VM that is off.)",
            make,
        )
        .for_each_of(Name::NewBuilder)
        .change(
            Word::from(format!(
                "+ VM {}, {} in {}, for some minutes, from ",
                self.builder.name,
                gcp.machine_type.value,
                self.vm.zone()
            ))
            .name(Name::Base),
        )
        .leaves(self.left())
    }

    /// The VM that a failed run leaves.
    fn left(self) -> Word {
        Word::from(format!(
            "The VM {} and its boot disk may be left, and cost money: while it runs, for {} minutes at the most, and its disk until it is deleted. The next bake gcloud image | sh continues with it or deletes it. To delete it now: gcloud compute instances delete {} --zone={} --project=",
            self.builder.name,
            self.longest_minutes(),
            self.builder.name,
            self.vm.zone()
        ))
        .name(Name::Project)
    }

    fn bake(self) -> Step {
        let family = self.vm.image_family();
        let labels = format!(
            "{},openclaw-lock={},openclaw-bundle={},{},openclaw-os={},openclaw-arch={}",
            self.vm.labels(),
            self.vm.target.lock.map(|lock| lock.short(LABEL_DIGITS)).unwrap_or_default(),
            self.bundle(),
            self.vm.version_labels(),
            self.vm.os_label(),
            self.vm.target.spec.host.arch.as_str()
        );
        let labels = Word::from(format!("{labels},{BASE_LABEL}="))
            .name(Name::Base)
            .text(",openclaw-date=")
            .name(Name::Stamp);
        let make = ScriptCommand::gcloud("compute images create")
            .arg(Word(Vec::new()).name(Name::Each))
            .in_project()
            .flag("source-disk", self.builder.name)
            .flag("source-disk-zone", self.vm.zone())
            .flag("family", &family)
            .flag("storage-location", self.vm.region())
            .flag("description", self.vm.description())
            .flag_word("labels", labels);
        let how = "runs the first two every 10 s until the VM is TERMINATED and its `status` is `baked`; the third \
                   where it failed, or the time is over; then the last";
        let shell = self
            .shell(how, "bake_image")
            .value("timeout", self.options.timeout.to_string())
            .value("longest", self.longest_minutes().to_string())
            .value("stages", BAKE_STATUSES.join(" "))
            .command("vm_serial", self.builder.serial())
            .command("make_image", make);
        Step::shell("The stages of the builder, until it is off; its boot disk becomes the image.", shell)
            .for_each_of(Name::NewImage)
            .change(
                Word::from("+ image ")
                    .name(Name::Each)
                    .text(format!(", once {} has become it", self.builder.name)),
            )
            .will(Word::from("make image - ").name(Name::Each).text(" ?"))
            .leaves(self.left())
    }

    fn delete_builder(self) -> Step {
        self.delete("The image exists.")
            .for_each_of(Name::NewImage)
            .change(format!("- VM {} and its boot disk, once the image exists", self.builder.name))
            .settles()
    }

    fn delete_old_images() -> Step {
        let delete = ScriptCommand::gcloud("compute images delete")
            .arg(Word(Vec::new()).name(Name::Each))
            .in_project()
            .arg("--quiet");
        Step::run("The last two stay; VMs do not need the image that they were made from.", delete)
            .for_each_of(Name::OldImages)
            .change(Word::from("- image ").name(Name::Each).text(", older than the last two"))
    }

    fn kept() -> Step {
        let how = "tells of the image of this bundle";
        Step::shell("An image of this bundle stays.", Shell::calling(how, &*FUNCTIONS, ["show_kept"]))
            .in_plan()
    }
}
