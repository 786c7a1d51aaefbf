//! Responses with the headers and pages of the real servers.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::tree::ValueFormat;

/// May contain a secret, therefore without `Debug`.
pub(super) struct MetadataResponse {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    etag: Option<String>,
    location: Option<String>,
    /// Common headers of the server.
    common: &'static [(&'static str, &'static str)],
}

/// Clients recognize the metadata server by `Metadata-Flavor`.
const METADATA: &[(&str, &str)] = &[
    ("metadata-flavor", "Google"),
    ("server", "Metadata Server for VM"),
    ("x-xss-protection", "0"),
    ("x-frame-options", "SAMEORIGIN"),
];

const SECRET_MANAGER: &[(&str, &str)] =
    &[("server", "ESF"), ("cache-control", "private"), ("x-content-type-options", "nosniff")];

impl MetadataResponse {
    /// A value with its `ETag`.
    pub(super) fn metadata(format: ValueFormat, body: String, etag: String) -> Self {
        let content_type = match format {
            ValueFormat::Text => "application/text",
            ValueFormat::Json => "application/json",
        };
        Self { content_type, etag: Some(etag), ..Self::new(StatusCode::OK, body, METADATA) }
    }

    /// A guest attribute was set or deleted.
    pub(super) fn done() -> Self {
        Self::new(StatusCode::OK, String::new(), METADATA)
    }

    /// A one-line error.
    pub(super) fn line(status: StatusCode, text: &str) -> Self {
        Self { content_type: "application/text", ..Self::new(status, format!("{text}\n"), METADATA) }
    }

    /// An HTML error page; must not contain any part of the request.
    pub(super) fn page(status: StatusCode, text: &str) -> Self {
        let reason = status.canonical_reason().unwrap_or_default();
        let code = status.as_u16();
        let body = format!(
            "<!DOCTYPE html>\n<html lang=en>\n  <meta charset=utf-8>\n  \
             <title>Error {code} ({reason})!!1</title>\n  <p><b>{code}.</b> {text}\n"
        );
        Self::new(status, body, METADATA)
    }

    pub(super) fn not_found() -> Self {
        Self::page(StatusCode::NOT_FOUND, "The requested URL was not found on this server.")
    }

    /// Redirects to a directory's path with slash. `target` is relative, so that it works behind every
    /// relay.
    pub(super) fn moved(target: String) -> Self {
        let page = Self::page(StatusCode::MOVED_PERMANENTLY, "The document has moved.");
        Self { location: Some(target), ..page }
    }

    /// A result of Secret Manager.
    pub(super) fn found(body: &Value) -> Self {
        Self::api(StatusCode::OK, body)
    }

    /// A Google API error (<https://cloud.google.com/apis/design/errors>).
    pub(super) fn error(code: StatusCode, status: &str, message: &str) -> Self {
        Self::api(code, &json!({"error": {"code": code.as_u16(), "message": message, "status": status}}))
    }

    fn api(status: StatusCode, body: &Value) -> Self {
        let content_type = "application/json; charset=UTF-8";
        Self { content_type, ..Self::new(status, format!("{body:#}\n"), SECRET_MANAGER) }
    }

    fn new(status: StatusCode, body: String, common: &'static [(&'static str, &'static str)]) -> Self {
        let content_type = "text/html; charset=UTF-8";
        Self { status, content_type, body: body.into(), etag: None, location: None, common }
    }

    pub(super) fn etag(&self) -> Option<&str> {
        self.etag.as_deref()
    }

    pub(super) fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        for &(name, value) in self.common {
            headers.insert(name, HeaderValue::from_static(value));
        }
        for (name, value) in [(header::ETAG, self.etag), (header::LOCATION, self.location)] {
            // Both are valid: one is hexadecimal, the other is from a URI.
            if let Some(value) = value.and_then(|value| value.try_into().ok()) {
                headers.insert(name, value);
            }
        }
        response
    }
}
