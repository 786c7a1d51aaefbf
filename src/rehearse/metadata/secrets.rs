//! Secret Manager's `projects.secrets.versions.access`
//! (<https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets.versions/access>).

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::StatusCode;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::instance::Instance;
use super::response::MetadataResponse;

pub trait Secrets: Send + Sync + 'static {
    /// The current value; called for each request, on its own thread.
    ///
    /// `name` consists of 1 to 255 characters of `[A-Za-z0-9_-]`, so it is a safe file name.
    fn read(&self, name: &str) -> Result<SecretValue, SecretError>;
}

/// Deliberately not printable.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Vec<u8>);

/// The error reported to the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No such secret, or no version: 404.
    #[error("there is no such secret")]
    Missing,
    /// Denied for the service account: 403.
    #[error("the service account may not read it")]
    Denied,
    /// Temporarily unavailable: 503.
    #[error("it could not be read")]
    Failed,
}

impl SecretValue {
    /// All bytes count, including a trailing line break.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretValue(…)")
    }
}

/// Handles the path below `/v1/`. Without `authorized`, the response is an error.
pub(super) async fn answer(
    names: &[&str],
    authorized: bool,
    instance: &Instance,
    secrets: &Arc<dyn Secrets>,
) -> MetadataResponse {
    let &["projects", project, "secrets", secret, "versions", version] = names else {
        return MetadataResponse::not_found();
    };
    let Some(version) = version.strip_suffix(":access") else { return MetadataResponse::not_found() };
    if !authorized {
        let message = "Request is missing required authentication credential.";
        return MetadataResponse::error(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", message);
    }
    let number = instance.project_number;
    if !is_name(secret) || !is_version(version) {
        let message = "The resource name is not in a valid format.";
        return MetadataResponse::error(StatusCode::BAD_REQUEST, "INVALID_ARGUMENT", message);
    }
    let resource = format!("projects/{project}/secrets/{secret}/versions/{version}");
    let denied = format!(
        "Permission 'secretmanager.versions.access' denied for resource '{resource}' (or it may not exist)."
    );
    if project != instance.project_id && project != number.to_string() {
        return MetadataResponse::error(StatusCode::FORBIDDEN, "PERMISSION_DENIED", &denied);
    }
    let (reader, name) = (Arc::clone(secrets), secret.to_owned());
    let value = spawn_blocking(move || reader.read(&name)).await.unwrap_or(Err(SecretError::Failed));
    match value {
        Ok(SecretValue(bytes)) if version == "latest" || version == "1" => MetadataResponse::found(&json!({
            "name": format!("projects/{number}/secrets/{secret}/versions/1"),
            "payload": {"data": BASE64_STANDARD.encode(bytes)},
        })),
        Ok(_) => {
            let message =
                format!("Secret Version [projects/{number}/secrets/{secret}/versions/{version}] not found.");
            MetadataResponse::error(StatusCode::NOT_FOUND, "NOT_FOUND", &message)
        }
        Err(SecretError::Missing) => {
            let message =
                format!("Secret [projects/{number}/secrets/{secret}] not found or has no versions.");
            MetadataResponse::error(StatusCode::NOT_FOUND, "NOT_FOUND", &message)
        }
        Err(SecretError::Denied) => {
            MetadataResponse::error(StatusCode::FORBIDDEN, "PERMISSION_DENIED", &denied)
        }
        Err(SecretError::Failed) => {
            let message = "The service is currently unavailable.";
            MetadataResponse::error(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", message)
        }
    }
}

/// Valid secret IDs
/// (<https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets/create>).
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// A number, or the alias of the latest version.
fn is_version(version: &str) -> bool {
    version == "latest" || !version.is_empty() && version.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_not_printed() {
        assert_eq!(format!("{:?}", SecretValue::new("sk-123")), "SecretValue(…)");
    }
}
