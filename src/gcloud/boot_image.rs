//! The OS image of new VMs: one that `image` baked of this lock, or the stock one. docs/os-image.md describes it.

use super::image::BASE_LABEL;
use super::metadata::VmMetadata;
use super::script::{Name, ScriptCommand, Shell, Step, Word};
use super::vm::{LABEL_DIGITS, Vm, label_value, named, shortened};
use crate::digest::Sha256;
use crate::project::values::{Arch, BootImage};

const FUNCTIONS: &[&str] = &[include_str!("sh/pick-image.sh")];
const OF_GROUPS: &[&str] = &[include_str!("sh/pick-image.sh"), include_str!("sh/pick-template.sh")];

/// The template of a group that was changed, and of one that was not.
const GROUP_TEMPLATE: &str =
    "value[separator=' '](versions[0].instanceTemplate.basename(),instanceTemplate.basename())";
/// Digits of the bundle's digest in a template's name.
const DIGITS: usize = 12;
/// Digits of a digest in the name of a family.
const FAMILY_DIGITS: usize = 8;

/// The OS image of a group that has VMs.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupImage {
    /// The same as before: only metadata and labels of a VM change.
    Kept,
    /// It takes the one that new VMs get, because its VMs are made again.
    Picked,
}

impl Vm<'_> {
    fn mode(self) -> BootImage {
        self.target.spec.host.image.value
    }

    /// The flags of the operating system's own image.
    pub(super) fn stock_image(self) -> [Word; 2] {
        let host = &self.target.spec.host;
        let (family, project) = host.os.image_family(host.arch.value);
        [format!("--image-family={family}").into(), format!("--image-project={project}").into()]
    }

    /// The flags of the image that was picked.
    pub(super) fn boot_image(self) -> [Word; 2] {
        match self.mode() {
            BootImage::Stock => self.stock_image(),
            BootImage::Auto | BootImage::Baked => Self::template_image(),
        }
    }

    /// The flags of the image that was picked for a template.
    pub(super) fn template_image() -> [Word; 2] {
        [Word(Vec::new()).name(Name::BootImage), Word::from("--image-project=").name(Name::ImageProject)]
    }

    /// The image of a VM, for the plan.
    pub(super) fn boot_image_said(self) -> Word {
        let host = &self.target.spec.host;
        match self.mode() {
            BootImage::Stock => host.os.image_family(host.arch.value).0.into(),
            BootImage::Auto | BootImage::Baked => Word(Vec::new()).name(Name::Image),
        }
    }

    /// How the names of all images start that `image` bakes of this gateway.
    pub(super) fn image_names(self) -> String {
        let arch = self.target.spec.host.arch.as_str();
        let end = format!("-{arch}-12345678-20260102-030405");
        format!("{}-{arch}", shortened(self.target.spec.name.as_str(), &end))
    }

    /// The family of the images that `image` bakes of this spec. A group takes the newest of a family unseen, so that
    /// every image of a family must be this project's, and fit.
    pub(super) fn image_family(self) -> String {
        let spec = self.target.spec;
        let fits = format!("{} {} {}", self.owner(), self.os_label(), spec.gcp.boot_disk.gb());
        format!("{}-{}", self.image_names(), Sha256::of(fits).short(FAMILY_DIGITS))
    }

    /// The project's ID, or else the gateway's name.
    pub(super) fn owner(self) -> String {
        let spec = self.target.spec;
        spec.id.as_ref().map_or_else(|| spec.name.to_string(), |id| id.value.to_string())
    }

    /// Lists every image that `image` baked of this gateway, of any family.
    pub(super) fn all_baked_images(self) -> ScriptCommand {
        let names = self.image_names();
        let name = names.trim_end_matches(self.target.spec.host.arch.as_str());
        let arches = Arch::ALL.map(Arch::as_str).join("|");
        self.images_of(&format!("{name}({arches})-[0-9a-f]{{{FAMILY_DIGITS}}}"), "")
            .flag("format", "value(name)")
    }

    /// Lists the images of that family that `image` baked for this project, the newest first.
    pub(super) fn baked_images(self, and: &str) -> ScriptCommand {
        self.images_of(&self.image_family(), and).flag("sort-by", "~creationTimestamp")
    }

    /// Lists this project's images of the families that match a pattern.
    fn images_of(self, families: &str, and: &str) -> ScriptCommand {
        let ours = Vm::of(self.target).is_labelled();
        ScriptCommand::gcloud("compute images list")
            .arg("--no-standard-images")
            .in_project()
            .flag("filter", format!("family ~ \"^{families}$\" AND {ours}{and}"))
    }

    /// Prints the image that the VM's boot disk was made from.
    pub(super) fn source_image(self) -> ScriptCommand {
        ScriptCommand::gcloud("compute disks list")
            .in_project()
            .flag("zones", self.zone())
            .flag("filter", named(self.name.as_str()))
            .flag("format", "value(sourceImage.basename())")
    }

    /// The value of the label with the operating system of an image.
    pub(super) fn os_label(self) -> String {
        label_value(self.target.spec.host.os.as_str())
    }

    /// Prints the newest image of this lock that new VMs can boot.
    fn baked_image(self) -> ScriptCommand {
        let lock = self.target.lock.map(|lock| lock.short(LABEL_DIGITS)).unwrap_or_default();
        self.baked_images(&format!(" AND labels.openclaw-lock={lock} AND status=READY"))
            .flag("limit", 1)
            .flag("format", "value(name)")
    }

    fn pick(self, how: &'static str, call: &'static str) -> Shell {
        let host = &self.target.spec.host;
        let (family, project) = host.os.image_family(host.arch.value);
        Shell::calling(how, FUNCTIONS, [call])
            .value("image_mode", self.mode().as_str())
            .value("stock_family", family)
            .value("stock_project", project)
            .command("baked_image", self.baked_image())
    }

    /// Picks the image of a VM to make; `stays` prints a VM that is kept instead.
    pub(super) fn picked_image(self, stays: ScriptCommand) -> Option<Step> {
        let how = "sets `boot_image`, `image_project` and `image` to what the first prints, and otherwise to the \
                   stock image; with `baked` in bake.yaml it ends with an error instead, unless the second prints a VM";
        let pick = || self.pick(how, "pick_image");
        let shell = match self.mode() {
            BootImage::Stock => return None,
            BootImage::Auto => pick(),
            BootImage::Baked => pick().command("vm_stays", stays),
        };
        Some(Step::shell("The OS image: it was baked of this lock, or is the stock one.", shell).look())
    }

    /// Picks the image of a template, and so the template.
    pub(super) fn picked_template(self, metadata: &VmMetadata, image: GroupImage) -> Step {
        let (how, call) = match image {
            GroupImage::Kept => (
                "sets `template`, `boot_image`, `image_project` and `image`: to those of the same kind where the \
                 last prints a template, to the family of baked images where the first prints an image, and \
                 otherwise to the stock image",
                "keep_image",
            ),
            GroupImage::Picked => (
                "sets `template`, `boot_image`, `image_project` and `image`: to the family of baked images where it \
                 prints an image, and otherwise to the stock image",
                "pick_template",
            ),
        };
        let shell = Shell { functions: OF_GROUPS, ..self.pick(how, call) }
            .value("baked_family", self.image_family())
            .value("stock_template", self.stock_template(metadata))
            .value("family_template", self.family_template(metadata))
            .value("family_templates", self.family_templates());
        let shell = match image {
            GroupImage::Picked => shell,
            GroupImage::Kept => {
                let mut there = self.group_listed("");
                there.0.pop();
                let there = there.flag("format", GROUP_TEMPLATE);
                shell.command("group_template", there)
            }
        };
        Step::shell("The OS image: its family was baked of this lock, or is the stock one.", shell).look()
    }

    fn digest(self, metadata: &VmMetadata) -> String {
        let mut digest = self.template_digest(self.bundle(metadata));
        digest.truncate(DIGITS);
        digest
    }

    /// The template with the stock image.
    fn stock_template(self, metadata: &VmMetadata) -> String {
        format!("{}-{}", shortened(self.name.as_str(), "-123456789012"), self.digest(metadata))
    }

    /// The template with the family of baked images. A group refuses to change the image of a VM that it has, so that
    /// the name tells which a group has.
    fn family_template(self, metadata: &VmMetadata) -> String {
        format!("{}-{}", self.family_templates(), self.digest(metadata))
    }

    fn family_templates(self) -> String {
        format!("{}-baked", shortened(self.name.as_str(), "-baked-123456789012"))
    }
}

/// The template that was picked.
pub(super) fn template() -> Word {
    Word(Vec::new()).name(Name::Template)
}

/// Prints the stock image from which the baked [`Name::Image`] was made.
pub(super) fn base_of_image() -> ScriptCommand {
    ScriptCommand::gcloud("compute images list")
        .arg("--no-standard-images")
        .in_project()
        .flag_word("filter", Word::from("name ~ \"^").name(Name::Image).text("$\""))
        .flag("format", format!("value(labels.{BASE_LABEL})"))
}
