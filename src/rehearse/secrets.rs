//! Values of the emulated Secret Manager.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::metadata::{SecretError, SecretValue, Secrets};

pub enum Values {
    /// One file per secret, read on each request.
    Folder(PathBuf),
    /// Generated for the secrets of the spec.
    MadeUp(BTreeMap<String, SecretValue>),
}

impl Values {
    /// Generates a value for each name.
    pub fn made_up(names: impl IntoIterator<Item = String>) -> Self {
        let value =
            || SecretValue::new(format!("rehearsal-{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..)));
        Self::MadeUp(names.into_iter().map(|name| (name, value())).collect())
    }
}

impl Secrets for Values {
    fn read(&self, name: &str) -> Result<SecretValue, SecretError> {
        match self {
            Self::Folder(folder) => {
                fs::read(folder.join(name)).map(SecretValue::new).map_err(|error| match error.kind() {
                    ErrorKind::NotFound => SecretError::Missing,
                    ErrorKind::PermissionDenied => SecretError::Denied,
                    _ => SecretError::Failed,
                })
            }
            Self::MadeUp(values) => values.get(name).cloned().ok_or(SecretError::Missing),
        }
    }
}
