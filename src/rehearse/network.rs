//! The addresses of the VM's network, which are QEMU's to give.
//!
//! The metadata server has the address that it has on Compute Engine, so the network is the one around
//! that. Its other end is a program of ours (`guestfwd`), and QEMU takes no address of its own for that:
//! the resolver, which is the metadata server on Compute Engine, has another one.

use std::net::Ipv4Addr;

use super::metadata::Network;

/// The network in CIDR notation.
pub(super) const NET: &str = "169.254.169.0/24";
/// The VM.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 10);
/// The router, which leads to whatever this machine reaches, and to this machine itself.
pub(super) const ROUTER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 1);
/// The resolver, which asks those of this machine.
pub(super) const RESOLVER: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 253);
/// The metadata server.
pub(super) const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// The VM's interface: Compute Engine's prefix, and the address.
pub(super) const MAC: &str = "42:01:a9:fe:a9:0a";

/// As the metadata server tells of it.
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
