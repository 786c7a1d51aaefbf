//! Boots the bundle in a local VM as Compute Engine would.
//!
//! QEMU provides Compute Engine's firmware tables, disks and metadata server. User-data, startup script and
//! attributes arrive the same way; `docs/rehearse.md` lists the differences.

mod acceleration;
mod credential;
pub mod described;
mod export;
mod folder;
pub mod metadata;
mod network;
mod option;
mod platform;
mod question;
mod relay;
mod secrets;
mod serial;
mod timeline;
mod vm;

pub use acceleration::{Acceleration, emulates_well, works};
pub use export::{export, is_imported};
pub use folder::{DiskError, RehearsalFolder};
pub use network::network;
pub use platform::{UEFI, firmware, packages, qemu};
pub use question::Reply;
pub use relay::relay;
pub use secrets::Values;
pub use serial::decisive;
pub use timeline::{StatusReport, Timeline};
pub use vm::{Clock, Disk, Running, VmConfig};
