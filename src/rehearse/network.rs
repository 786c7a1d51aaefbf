//! Addresses of the VM's network, assigned by QEMU.
//!
//! The metadata server has the same address as on Compute Engine, which determines the network. QEMU cannot
//! use its own addresses for a `guestfwd` program, so unlike on Compute Engine the resolver has a different
//! address.

use std::net::Ipv4Addr;

use super::metadata::Network;

/// In CIDR notation.
pub(super) const NET: &str = "169.254.169.0/24";
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 10);
/// Routes to the host and its networks.
pub(super) const ROUTER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 1);
/// Forwards to the host's resolvers.
pub(super) const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
pub(super) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Compute Engine's prefix and the IP address.
pub(super) const MAC: &str = "42:01:a9:fe:a9:0a";

/// As served by the metadata server.
pub fn network() -> Network {
    Network {
        ip: ADDRESS,
        subnetmask: Ipv4Addr::new(255, 255, 255, 0),
        gateway: ROUTER,
        dns: RESOLVER,
        mac: MAC.to_owned(),
        external_ip: None,
    }
}
