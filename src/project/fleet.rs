//! A fleet: several gateways of one spec, each with its own name and data disk.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use super::names::VmName;
use crate::diagnostics::quoted;

/// A generous limit: each member adds some commands to a script.
pub const LARGEST: u16 = 100;

/// Which VMs a fleet has, as a user says it: `3`, or `alice,bob`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fleet {
    /// So many, numbered from 1.
    Count(u16),
    /// These.
    Names(Vec<VmName>),
}

impl FromStr for Fleet {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            let count = text.parse().ok().filter(|count| (1..=LARGEST).contains(count));
            return count.map(Self::Count).ok_or_else(|| format!("a fleet has 1 to {LARGEST} members"));
        }
        let names = text.split(',').map(str::parse).collect::<Result<Vec<VmName>, _>>()?;
        if names.len() > usize::from(LARGEST) {
            return Err(format!("a fleet has 1 to {LARGEST} members"));
        }
        let mut seen = BTreeSet::new();
        match names.iter().find(|name| !seen.insert(name.as_str())) {
            Some(twice) => Err(format!("{} stands there twice", quoted(twice.as_str()))),
            None => Ok(Self::Names(names)),
        }
    }
}

/// As a user says it.
impl fmt::Display for Fleet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => count.fmt(formatter),
            Self::Names(names) => {
                let names: Vec<_> = names.iter().map(VmName::as_str).collect();
                formatter.write_str(&names.join(","))
            }
        }
    }
}

impl Fleet {
    /// The names of its VMs, of the spec of this `name`.
    ///
    /// # Errors
    /// Where a number at the end of `name` makes it too long.
    pub fn members(&self, name: &VmName) -> Result<Vec<VmName>, String> {
        match self {
            Self::Names(names) => Ok(names.clone()),
            Self::Count(count) => (1..=*count).map(|number| format!("{name}-{number}").parse()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Fleet;

    #[test]
    fn said_again_as_it_was_said() {
        for text in ["3", "alice,bob"] {
            assert_eq!(text.parse::<Fleet>().map(|fleet| fleet.to_string()).as_deref(), Ok(text));
        }
    }

    #[test]
    fn counted_or_named() {
        let members = |text: &str| {
            let fleet: Fleet = text.parse()?;
            let names = fleet.members(&"gateway".parse()?)?;
            Ok::<_, String>(names.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "))
        };
        assert_eq!(members("2").as_deref(), Ok("gateway-1 gateway-2"));
        assert_eq!(members("alice,bob").as_deref(), Ok("alice bob"));
        for wrong in ["", "0", "101", "99999999", "alice,,bob", "alice,alice", "-x", "A", "a b", "$x"] {
            assert!(members(wrong).is_err(), "{wrong}");
        }
    }
}
