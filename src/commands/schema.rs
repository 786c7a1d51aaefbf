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
    match file {
        SchemaOf::Spec => schema_for!(RawSpec),
        SchemaOf::Manifest => schema_for!(RawManifest),
        SchemaOf::Lock => schema_for!(RawLock),
    }
}
