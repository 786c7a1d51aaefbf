//! Compute Engine's metadata server and Secret Manager for one instance, on loopback.
//!
//! One [`tree`] of all values is built from the [`Instance`] and the current guest attributes; listings,
//! single values and recursive JSON are views of it. [`query`] parses requests, [`service`] handles them,
//! [`response`] builds responses, and [`server`] accepts connections. [`secrets`] is Secret Manager, which
//! shares port and token.
//!
//! It implements <https://cloud.google.com/compute/docs/metadata/querying-metadata> and undocumented
//! behaviour on which Google's guest agent, cloud-init and our scripts rely. Missing:
//! `instance/service-accounts/…/identity`, OS Login and rate limits.

mod guest;
mod instance;
mod query;
mod response;
mod secrets;
mod server;
mod service;
mod tree;

pub use guest::{AttributeChange, GuestAttributes};
pub use instance::{Instance, Network};
pub use secrets::{SecretError, SecretValue, Secrets};
pub use server::Server;
