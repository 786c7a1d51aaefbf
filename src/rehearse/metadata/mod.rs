//! Compute Engine's metadata server and Secret Manager, for one instance, on loopback.
//!
//! Everything that a path can name is one [`tree`], made of the [`Instance`] and of the guest
//! attributes that the VM has set so far; listings, single values and recursive JSON are three ways
//! of writing down a part of it. [`query`] reads what a request wants of it, [`service`] decides,
//! [`answer`] is what goes back, and [`server`] moves the bytes. [`secrets`] is Secret Manager, which
//! shares the port and the token.
//!
//! The behaviour is that of <https://cloud.google.com/compute/docs/metadata/querying-metadata>, and
//! where that is silent, that which Google's guest agent, cloud-init and our own scripts rely on.
//! Left out are `instance/service-accounts/…/identity`, OS Login's folder and limits of rate.

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
