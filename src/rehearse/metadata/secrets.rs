//! Secret Manager, as far as a VM asks it: `projects.secrets.versions.access`
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

/// Where the values of secrets come from.
pub trait Secrets: Send + Sync + 'static {
    /// The value of a secret as it is now; asked at every request, in a thread of its own.
    ///
    /// `name` is 1 to 255 characters of `[A-Za-z0-9_-]`, so it is a safe name of a file.
    ///
    /// # Errors
    /// What the VM is told instead.
    fn read(&self, name: &str) -> Result<SecretValue, SecretError>;
}

/// The value of a secret. Nothing prints it.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretValue(Vec<u8>);

/// Why a secret has no value for the VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// There is no such secret, or it has no version: 404.
    #[error("there is no such secret")]
    Missing,
    /// The service account may not read it: 403.
    #[error("the service account may not read it")]
    Denied,
    /// Secret Manager cannot say just now: 503.
    #[error("it could not be read")]
    Failed,
}

impl SecretValue {
    /// Those bytes, all of them: an end of line is part of the value.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretValue(…)")
    }
}

/// Answers a request for the path with those names below `/v1/`.
///
/// `authorized` is whether it came with the token; nothing else is looked at where it did not.
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

/// The rule for the ids of secrets
/// (<https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets/create>).
fn is_name(name: &str) -> bool {
    (1..=255).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
}

/// A number, or the alias of the newest.
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
