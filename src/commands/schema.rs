//! `bake schema`: the JSON Schema of a file, for editors.

use schemars::{Schema, schema_for};

use super::console::Console;
use super::{Done, Failure};
use crate::cli::SchemaOf;
use crate::lock::RawLock;
use crate::project::manifest::RawManifest;
use crate::project::spec::keys::RawSpec;

pub(super) fn run(file: SchemaOf, console: &mut Console) -> Result<Done, Failure> {
    console.json(&of(file))?;
    Ok(Done::Clean)
}

pub(super) fn of(file: SchemaOf) -> Schema {
    let (name, mut schema) = match file {
        SchemaOf::Spec => ("spec", schema_for!(RawSpec)),
        SchemaOf::Manifest => ("manifest", schema_for!(RawManifest)),
        SchemaOf::Lock => ("lock", schema_for!(RawLock)),
    };
    // Published with the release: `packaging/assemble`.
    let release = concat!(env!("CARGO_PKG_REPOSITORY"), "/releases/download/v", env!("CARGO_PKG_VERSION"));
    schema.insert("$id".to_owned(), format!("{release}/{name}.schema.json").into());
    schema
}
