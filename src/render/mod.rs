//! Plan to bundle: named files, bytes, the same ones every time.

mod compose;
mod dockerfile;
mod escape;
mod sums;
mod user_data;

use std::collections::BTreeMap;

use minijinja::value::Serde;

use crate::diagnostics::Problems;
use crate::digest::Sha256;
use crate::gcloud::{Attribute, BundleFolder, Target, VmMetadata, create, fleet};
use crate::plan::{Delivery, Plan, VmImage};

pub use user_data::LARGEST_VALUE;

/// The rendered files, by name.
pub type Bundle = BTreeMap<&'static str, RenderedFile>;

/// One rendered file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenderedFile {
    /// Its content.
    pub text: String,
    /// Whether it is a program.
    pub executable: bool,
}

impl RenderedFile {
    fn plain(text: String) -> Self {
        Self { text, executable: false }
    }

    fn script(text: String) -> Self {
        Self { text, executable: true }
    }

    /// The SHA-256 of its content.
    pub fn digest(&self) -> Sha256 {
        Sha256::of(&self.text)
    }
}

/// The file that alone has everything that the VM needs.
pub const USER_DATA: &str = user_data::NAME;

/// The names of all files that a bundle can have, so that those of an older bundle are known.
pub const FILE_NAMES: [&str; 7] = [
    dockerfile::NAME,
    sums::NAME,
    compose::NAME,
    create::NAME,
    user_data::STARTUP_SCRIPT,
    user_data::NAME,
    user_data::ENCODED,
];

/// Renders all files; warnings are returned with the bundle.
///
/// # Errors
/// Where the user-data does not fit into Compute Engine's metadata, or the image that the VM is to
/// pull was not pushed.
pub fn render(plan: &Plan<'_>) -> Result<(Bundle, Problems), Problems> {
    let mut bundle = Bundle::new();
    let dockerfile = dockerfile::render(plan);
    let image = image(plan, &dockerfile)?;
    let compose = compose::render(plan, &image);
    let sums = sums::render(plan, &[(dockerfile::NAME, &dockerfile), (compose::NAME, &compose)]);
    let on_vm = user_data::OnVm { dockerfile: &dockerfile, compose: &compose, sums: &sums, image: &image };
    let (user_data, problems) = user_data::render(plan, &on_vm)?;

    if plan.delivery == Delivery::StartupScript {
        bundle.insert(user_data::STARTUP_SCRIPT, RenderedFile::script(user_data::startup_script(plan)));
    }
    if let Some(encoded) = user_data.encoded {
        bundle.insert(user_data::ENCODED, RenderedFile::plain(encoded));
    }
    bundle.insert(user_data::NAME, RenderedFile::plain(user_data.text));
    bundle.insert(dockerfile::NAME, RenderedFile::plain(dockerfile));
    bundle.insert(compose::NAME, RenderedFile::plain(compose));
    bundle.insert(sums::NAME, RenderedFile::plain(sums));
    let (target, files) = (Target::from(plan), metadata(plan, &bundle));
    let members: Vec<_> = plan.spec.fleet.iter().map(|name| name.value.clone()).collect();
    // `check` refuses a fleet that cannot be created.
    let create = fleet::create(target, &members, &files, BundleFolder::Beside)
        .ok()
        .filter(|_| !members.is_empty())
        .unwrap_or_else(|| create::script(target, &files, BundleFolder::Beside));
    bundle.insert(create::NAME, RenderedFile::script(create.to_shell()));
    Ok((bundle, problems))
}

/// Which files of `bundle`, which is the plan's, go into the VM's metadata.
pub fn metadata(plan: &Plan<'_>, bundle: &Bundle) -> VmMetadata {
    let encoded = bundle.get(user_data::ENCODED);
    let startup_script = (plan.delivery == Delivery::StartupScript).then_some(user_data::STARTUP_SCRIPT);
    let user_data = if encoded.is_some() { user_data::ENCODED } else { user_data::NAME };
    let contents: Vec<_> = std::iter::once(user_data)
        .chain(startup_script)
        .filter_map(|name| Some(format!("{}  {name}\n", bundle.get(name)?.digest())))
        .collect();
    VmMetadata {
        user_data,
        encoding: encoded.map(|_| "base64"),
        startup_script,
        serial_logging: plan.spec.gcp.serial_logging.value,
        contents: Sha256::of(contents.concat()),
        release: bundle
            .get(user_data::NAME)
            .and_then(|file| user_data::identity(&file.text))
            .unwrap_or_default(),
    }
}

/// The VM's metadata by key, as `gcloud.sh` sets it from the files of `bundle`, which is the plan's.
pub fn attributes(plan: &Plan<'_>, bundle: &Bundle) -> BTreeMap<String, String> {
    let content = |attribute| match attribute {
        Attribute::Value(value) => value.to_owned(),
        Attribute::File(name) => bundle.get(name).map(|file| file.text.clone()).unwrap_or_default(),
    };
    let attributes = metadata(plan, bundle).attributes().into_iter();
    attributes.map(|(key, attribute)| (key.to_owned(), content(attribute))).collect()
}

/// The reference that the VM runs. A tag that changes with the Dockerfile tells the VM whether it
/// has that image already.
fn image(plan: &Plan<'_>, dockerfile: &str) -> Result<String, Problems> {
    match &plan.image {
        VmImage::Built => Ok(format!("{}:{}", plan.spec.name.value, Sha256::of(dockerfile).short(12))),
        VmImage::Finished(reference) => Ok(reference.clone()),
        VmImage::NotPushed(problem) => Err(Problems::from((**problem).clone())),
    }
}

/// Fills a template in.
///
/// # Panics
/// When a template and its context do not fit each other, which no input can cause: values are of
/// types that the filters take, and every template is rendered in tests.
fn fill<C: serde::Serialize>(name: &'static str, template: &'static str, context: &C) -> String {
    let mut environment = escape::environment();
    let rendered = environment
        .add_template(name, template)
        .and_then(|()| environment.get_template(name))
        .and_then(|template| template.render(Serde(context)));
    rendered.unwrap_or_else(|error| panic!("{name}: {error:#}"))
}
