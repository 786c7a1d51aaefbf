//! Handles requests.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, mpsc};

use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Body;
use hyper::http::uri::Authority;
use hyper::{HeaderMap, Method, Request, StatusCode, header};
use tokio::sync::watch;

use super::guest::{AttributeChange, GuestAttributes, LONGEST_VALUE, is_name};
use super::instance::{Instance, LiveValues};
use super::query::{Query, names};
use super::response::MetadataResponse;
use super::secrets::{self, Secrets};
use super::tree::{MetadataNode, ValueFormat};
use crate::digest::Sha256;

/// Path of the guest attributes.
const GUEST_ATTRIBUTES: [&str; 4] = ["computeMetadata", "v1", "instance", "guest-attributes"];

/// Accepted `Host` names. Otherwise a web page could reach the server through DNS rebinding.
const HOSTS: [&str; 4] =
    ["metadata.google.internal", "metadata", "secretmanager.googleapis.com", "localhost"];

pub(super) struct Service {
    instance: Instance,
    secrets: Arc<dyn Secrets>,
    /// As sensitive as the secrets.
    token: String,
    /// Wakes requests that wait for a change.
    live: watch::Sender<LiveValues>,
    changes: mpsc::Sender<AttributeChange>,
}

impl Service {
    /// Sends changes of guest attributes to `changes`.
    pub(super) fn new(
        instance: Instance,
        secrets: Arc<dyn Secrets>,
        changes: mpsc::Sender<AttributeChange>,
    ) -> Self {
        let random: String = std::iter::repeat_with(fastrand::alphanumeric).take(40).collect();
        let token = format!("ya29.rehearsal-{random}");
        let live = LiveValues { attributes: instance.attributes.clone(), guest: GuestAttributes::new() };
        Self { instance, secrets, token, live: watch::Sender::new(live), changes }
    }

    pub(super) fn guest_attributes(&self) -> GuestAttributes {
        self.live.borrow().guest.clone()
    }

    /// Replaces the instance's attributes, like `gcloud compute instances add-metadata`.
    pub(super) fn set_attributes(&self, attributes: BTreeMap<String, String>) {
        self.live.send_modify(|live| live.attributes = attributes);
    }

    /// Responds immediately unless the request waits for a change.
    pub(super) async fn answer<B>(&self, request: Request<B>) -> MetadataResponse
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !is_known_host(request.headers()) {
            return MetadataResponse::page(
                StatusCode::FORBIDDEN,
                "The Host header must name the metadata server.",
            );
        }
        let Some((names, directory)) = names(request.uri().path()) else {
            return MetadataResponse::not_found();
        };
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let ["v1", names @ ..] = &names[..] {
            let authorized = self.is_authorized(request.headers());
            return secrets::answer(names, authorized, &self.instance, &self.secrets).await;
        }
        if request.headers().contains_key("x-forwarded-for") {
            return MetadataResponse::page(StatusCode::FORBIDDEN, "X-Forwarded-For is not allowed.");
        }
        // Clients request `/` to detect a metadata server.
        let probe = request.uri().path_and_query().is_some_and(|target| target == "/");
        let flavor = request.headers().get("metadata-flavor");
        if !probe && flavor.is_none_or(|flavor| flavor != "Google") {
            return MetadataResponse::page(StatusCode::FORBIDDEN, "Missing Metadata-Flavor:Google header.");
        }
        let below = names.strip_prefix(&GUEST_ATTRIBUTES);
        if below.is_some() && !self.instance.takes_guest_attributes(&self.live.borrow().attributes) {
            return MetadataResponse::line(
                StatusCode::FORBIDDEN,
                "Guest attributes endpoint access is disabled.",
            );
        }
        match (request.method(), below) {
            (&Method::GET | &Method::HEAD, _) => self.read(&names, directory, &request).await,
            (&Method::PUT | &Method::DELETE, Some([namespace, key])) if !directory => {
                self.write(namespace, key, request).await
            }
            (&Method::PUT | &Method::DELETE, Some(_)) => {
                MetadataResponse::line(StatusCode::BAD_REQUEST, "A guest attribute is NAMESPACE/KEY.")
            }
            _ => MetadataResponse::page(
                StatusCode::METHOD_NOT_ALLOWED,
                "The request method is not allowed here.",
            ),
        }
    }

    async fn read<B>(&self, names: &[&str], directory: bool, request: &Request<B>) -> MetadataResponse {
        let query = match Query::read(request.uri().query().unwrap_or_default()) {
            Ok(query) => query,
            Err(error) => return MetadataResponse::line(StatusCode::BAD_REQUEST, &error.to_string()),
        };
        let look = || {
            let tree = self.instance.tree(&self.live.borrow(), &self.token);
            let Some(node) = names.iter().try_fold(&tree, |node, name| node.child(name)) else {
                return MetadataResponse::not_found();
            };
            match (node.is_directory(), directory) {
                (true, false) => {
                    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
                    MetadataResponse::moved(format!("{}/{query}", request.uri().path()))
                }
                (false, true) => MetadataResponse::not_found(),
                _ => shown(node, &query),
            }
        };
        // Subscribe first, so that no change before the wait is missed.
        let mut live = self.live.subscribe();
        let first = look();
        let (Some(wait), Some(etag)) = (&query.wait, first.etag()) else { return first };
        let known = wait.last_etag.clone().unwrap_or_else(|| etag.to_owned());
        let changed = async {
            loop {
                let answer = look();
                if answer.etag() != Some(&known) || live.changed().await.is_err() {
                    return answer;
                }
            }
        };
        match wait.timeout {
            Some(timeout) => tokio::time::timeout(timeout, changed).await.unwrap_or_else(|_| look()),
            None => changed.await,
        }
    }

    async fn write<B>(&self, namespace: &str, key: &str, request: Request<B>) -> MetadataResponse
    where
        B: Body,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if !is_name(namespace) || !is_name(key) {
            let text = "Namespace and key are fewer than 128 characters of [a-zA-Z0-9-_].";
            return MetadataResponse::line(StatusCode::BAD_REQUEST, text);
        }
        if request.method() == Method::DELETE {
            return if self.set(namespace, key, None) {
                MetadataResponse::done()
            } else {
                MetadataResponse::not_found()
            };
        }
        let too_long =
            || MetadataResponse::line(StatusCode::PAYLOAD_TOO_LARGE, "The value is longer than 256 KiB.");
        // Read slightly oversized bodies completely: an early response could be lost with the connection.
        let body = match Limited::new(request.into_body(), 4 * LONGEST_VALUE).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => return too_long(),
            Err(_) => {
                return MetadataResponse::line(StatusCode::BAD_REQUEST, "The value is incomplete.");
            }
        };
        if body.len() > LONGEST_VALUE {
            return too_long();
        }
        let Ok(value) = String::from_utf8(body.into()) else {
            return MetadataResponse::line(StatusCode::BAD_REQUEST, "The value is not UTF-8.");
        };
        self.set(namespace, key, Some(value));
        MetadataResponse::done()
    }

    /// Sets or deletes a guest attribute; returns false if there was none to delete. Notifications are sent
    /// in order.
    fn set(&self, namespace: &str, key: &str, value: Option<String>) -> bool {
        self.live.send_if_modified(|LiveValues { guest, .. }| {
            if let Some(value) = &value {
                guest.entry(namespace.to_owned()).or_default().insert(key.to_owned(), value.clone());
            } else {
                let Some(values) = guest.get_mut(namespace) else { return false };
                if values.remove(key).is_none() {
                    return false;
                }
                if values.is_empty() {
                    guest.remove(namespace);
                }
            }
            let change = AttributeChange { namespace: namespace.to_owned(), key: key.to_owned(), value };
            // The receiver may be gone.
            let _ = self.changes.send(change);
            true
        })
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        let token = given.and_then(|given| given.strip_prefix("Bearer "));
        self.instance.service_account.is_some() && token == Some(&self.token)
    }
}

/// A value, a listing or a subtree. Listings are always text.
fn shown(node: &MetadataNode, query: &Query) -> MetadataResponse {
    let listing = node.is_directory() && !query.recursive;
    let own = if query.recursive && node.is_directory() { ValueFormat::Json } else { node.own_format() };
    let format = if listing { ValueFormat::Text } else { query.alt.unwrap_or(own) };
    let body = match format {
        ValueFormat::Json => node.to_json().to_string(),
        ValueFormat::Text if query.recursive && node.is_directory() => node.to_recursive_text(),
        ValueFormat::Text => node.to_text(),
    };
    let etag = Sha256::of(&body).short(16);
    MetadataResponse::metadata(format, body, etag)
}

/// Whether `Host` is an accepted address or name, or missing, as with old clients.
fn is_known_host(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(authority) = Authority::try_from(host.as_bytes()) else { return false };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    host.parse::<IpAddr>().is_ok() || HOSTS.iter().any(|known| host.eq_ignore_ascii_case(known))
}
