//! Destinations of the container's network.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use crate::diagnostics::quoted;

/// The port of a name without one: HTTPS.
const USUAL_PORT: u16 = 443;

/// A name, an IP address or a network in CIDR notation (RFC 4632, RFC 4291), with or without a port:
/// `api.example.com`, `10.0.0.5:5432`, `10.2.0.0/16`, `[fd00::5]:443`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    text: String,
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    Network(IpAddr, Option<u8>),
}

impl Destination {
    /// A server.
    pub fn server(address: IpAddr, port: u16) -> Self {
        let text = core::net::SocketAddr::new(address, port).to_string();
        Self { text, host: Host::Network(address, None), port: Some(port) }
    }

    /// As the spec writes it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address, or that of the network.
    pub const fn address(&self) -> Option<IpAddr> {
        match self.host {
            Host::Network(address, _) => Some(address),
            Host::Name(_) => None,
        }
    }

    /// The address or network, without the port.
    pub fn network(&self) -> Option<String> {
        match self.host {
            Host::Network(address, Some(prefix)) => Some(format!("{address}/{prefix}")),
            Host::Network(address, None) => Some(address.to_string()),
            Host::Name(_) => None,
        }
    }

    /// The name and the port.
    pub fn name(&self) -> Option<(&str, u16)> {
        match &self.host {
            Host::Name(name) => Some((name, self.port.unwrap_or(USUAL_PORT))),
            Host::Network(..) => None,
        }
    }

    /// The port; `None` for all, or for the usual one of a name.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

/// Whether this is a DNS name (RFC 1123, 2.1), in lower case. The last label of an address is a number.
fn is_name(text: &str) -> bool {
    let is_label = |label: &str| {
        let inside = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..64).contains(&label.len())
            && label.bytes().all(inside)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    text.len() < 254
        && text.split('.').all(is_label)
        && text.rsplit_once('.').is_some_and(|(_, last)| !is_number(last))
}

/// The first address of the network that an address belongs to.
fn masked(address: IpAddr, prefix: Option<u8>) -> IpAddr {
    let Some(prefix) = prefix.map(u32::from) else { return address };
    match address {
        IpAddr::V4(v4) => {
            IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - prefix).unwrap_or_default()).into())
        }
        IpAddr::V6(v6) => {
            IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(128 - prefix).unwrap_or_default()).into())
        }
    }
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{} is not a name or an address such as `api.example.com`, `10.0.0.5:5432`, `10.2.0.0/16` or \
                 `[fd00::5]:443`",
                quoted(text)
            )
        };
        let (network, port) = match text.strip_prefix('[') {
            Some(rest) => match rest.split_once(']').ok_or_else(wrong)? {
                (network, "") => (network, None),
                (network, port) => (network, Some(port.strip_prefix(':').ok_or_else(wrong)?)),
            },
            None if text.matches(':').count() == 1 => {
                text.split_once(':').map(|(network, port)| (network, Some(port))).ok_or_else(wrong)?
            }
            None => (text, None),
        };
        let number = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
        let port = match port {
            Some(port) if number(port) => {
                Some(port.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)?)
            }
            Some(_) => return Err(wrong()),
            None => None,
        };
        if is_name(network) {
            return Ok(Self { text: text.to_owned(), host: Host::Name(network.to_owned()), port });
        }
        let (address, prefix) = match network.split_once('/') {
            Some((address, prefix)) if number(prefix) => {
                (address, Some(prefix.parse().map_err(|_| wrong())?))
            }
            Some(_) => return Err(wrong()),
            None => (network, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        if prefix.is_some_and(|prefix| prefix > longest) {
            return Err(wrong());
        }
        let first = masked(address, prefix);
        if first != address {
            let prefix = prefix.unwrap_or(longest);
            return Err(format!(
                "{} is not the first address of a network: did you mean `{first}/{prefix}`?",
                quoted(text)
            ));
        }
        Ok(Self { text: text.to_owned(), host: Host::Network(address, prefix), port })
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::Destination;

    #[test]
    fn a_destination_is_a_name_an_address_or_a_network() {
        for (text, network, port) in [
            ("10.0.0.5:5432", "10.0.0.5", Some(5432)),
            ("192.168.7.9", "192.168.7.9", None),
            ("10.2.0.0/16", "10.2.0.0/16", None),
            ("10.2.0.0/16:443", "10.2.0.0/16", Some(443)),
            ("fd00::5", "fd00::5", None),
            ("fd00:1::/32", "fd00:1::/32", None),
            ("[fd00::5]:8443", "fd00::5", Some(8443)),
            ("[fd00:1::/32]:8443", "fd00:1::/32", Some(8443)),
            ("0.0.0.0/0", "0.0.0.0/0", None),
        ] {
            let read: Destination = text.parse().expect(text);
            assert_eq!((read.network().as_deref(), read.port()), (Some(network), port), "{text}");
            assert_eq!(read.name(), None, "{text}");
        }
        for (text, name, port) in [
            ("db.internal:5432", "db.internal", 5432),
            ("api.example.com", "api.example.com", 443),
            ("1.2.3.4.example", "1.2.3.4.example", 443),
        ] {
            let read: Destination = text.parse().expect(text);
            assert_eq!((read.name(), read.network()), (Some((name, port)), None), "{text}");
        }
        for text in [
            "",
            "localhost",
            "*.example.com",
            "-a.example.com",
            "a..example.com",
            "https://example.com",
            "Example.com",
            "example.com/16",
            "example.com:https",
            "a b.example.com",
            "10.0.0.5:",
            "10.0.0.5:0",
            "10.0.0.5:65536",
            "10.0.0.5:+1",
            "10.0.0.5/33",
            "10.0.0.5/",
            "10.0.0",
            "[fd00::5",
            "[fd00::5]443",
            "fd00::5/129",
            "10.0.0.5:1:2",
            "010.0.0.1",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_network_is_written_by_its_first_address() {
        let error = "10.2.7.0/16".parse::<Destination>().expect_err("an address inside");
        assert!(error.contains("did you mean `10.2.0.0/16`?"), "{error}");
        assert!("fd00::1/64".parse::<Destination>().is_err());
    }
}
