//! The values that the rehearsal's Secret Manager has.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use super::metadata::{SecretError, SecretValue, Secrets};

/// Where they come from.
pub enum Values {
    /// A file for each secret, read whenever it is asked for.
    Folder(PathBuf),
    /// Made up for these secrets, which are the ones that the spec names.
    MadeUp(BTreeMap<String, SecretValue>),
}

impl Values {
    /// A value for each of these names.
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
