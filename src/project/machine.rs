//! What is known of Compute Engine's machine types: memory, architecture, disk type, list price.
//!
//! From Google's machine family documentation and price list; prices are those of us-central1, as
//! listed on [`PRICES_OF`].

use super::names::{MachineType, Zone};
use super::values::{Arch, Size};

/// When the prices here were read.
pub const PRICES_OF: &str = "2025";
/// The free tier's machine type, its regions and its gigabytes of standard disk
/// (cloud.google.com/free, "Compute Engine").
const FREE: (&str, [&str; 3], u32) = ("e2-micro", ["us-west1", "us-central1", "us-east1"], 30);
const HOURS_IN_A_MONTH: f64 = 730.0;
/// US dollars a month for each gigabyte.
const STANDARD_DISK: f64 = 0.04;

struct Family {
    name: &'static str,
    arch: Arch,
    /// MiB for each vCPU: standard, highmem, highcpu; 0 where there is no such shape.
    memory: [u32; 3],
    disk: &'static str,
    /// US dollars an hour for each vCPU and each GiB of memory, where known.
    price: Option<(f64, f64)>,
}

const fn family(name: &'static str, arch: Arch, memory: [u32; 3], disk: &'static str) -> Family {
    Family { name, arch, memory, disk, price: None }
}

const BALANCED: &str = "pd-balanced";
const HYPERDISK: &str = "hyperdisk-balanced";

const FAMILIES: [Family; 16] = [
    Family {
        price: Some((0.021_811_59, 0.002_923_53)),
        ..family("e2", Arch::Amd64, [4096, 8192, 1024], BALANCED)
    },
    family("n1", Arch::Amd64, [3840, 6656, 921], BALANCED),
    family("n2", Arch::Amd64, [4096, 8192, 1024], BALANCED),
    family("n2d", Arch::Amd64, [4096, 8192, 1024], BALANCED),
    family("n4", Arch::Amd64, [4096, 8192, 2048], HYPERDISK),
    family("n4a", Arch::Arm64, [4096, 8192, 2048], HYPERDISK),
    family("n4d", Arch::Amd64, [4096, 8192, 2048], HYPERDISK),
    family("c2", Arch::Amd64, [4096, 0, 0], BALANCED),
    family("c2d", Arch::Amd64, [4096, 8192, 2048], BALANCED),
    family("c3", Arch::Amd64, [4096, 8192, 2048], BALANCED),
    family("c3d", Arch::Amd64, [4096, 8192, 2048], BALANCED),
    family("c4", Arch::Amd64, [3840, 7936, 2048], HYPERDISK),
    family("c4a", Arch::Arm64, [4096, 8192, 2048], HYPERDISK),
    family("c4d", Arch::Amd64, [3968, 8064, 1920], HYPERDISK),
    family("t2a", Arch::Arm64, [4096, 0, 0], BALANCED),
    family("t2d", Arch::Amd64, [4096, 0, 0], BALANCED),
];

/// Types that share a core: name, MiB of memory, US dollars an hour where known.
const SHARED_CORE: [(&str, u32, Option<f64>); 5] = [
    ("e2-micro", 1024, Some(0.008_376)),
    ("e2-small", 2048, Some(0.016_751)),
    ("e2-medium", 4096, Some(0.033_503)),
    ("f1-micro", 614, None),
    ("g1-small", 1740, None),
];

/// A machine type, taken apart.
pub struct Machine<'a> {
    name: &'a str,
    family: Option<&'static Family>,
}

impl<'a> Machine<'a> {
    /// Looks the type up; an unknown one is not an error, only unknown.
    pub fn new(machine_type: &'a MachineType) -> Self {
        let name = machine_type.as_str();
        let family =
            name.split('-').next().and_then(|first| FAMILIES.iter().find(|family| family.name == first));
        Self { name, family }
    }

    /// Its architecture, where known.
    pub fn arch(&self) -> Option<Arch> {
        self.family.map(|family| family.arch).or(self.shared().map(|_| Arch::Amd64))
    }

    /// Its memory in MiB, where known.
    pub fn memory_mib(&self) -> Option<u32> {
        if let Some((_, memory, _)) = self.shared() {
            return Some(*memory);
        }
        let parts: Vec<_> = self.name.split('-').collect();
        // Without a family it is one of N1's.
        if let ["custom", _, memory] | [_, "custom", _, memory] = parts[..] {
            return memory.parse().ok();
        }
        let [_, shape, cpus] = parts[..] else { return None };
        let [standard, highmem, highcpu] = self.family?.memory;
        let each = match shape {
            "standard" => standard,
            "highmem" => highmem,
            "highcpu" => highcpu,
            _ => 0,
        };
        let memory = cpus.parse::<u32>().ok()?.checked_mul(each)?;
        (memory > 0).then_some(memory)
    }

    /// How many virtual processors it has, where known.
    pub fn cpus(&self) -> Option<u32> {
        if self.shared().is_some() {
            return Some(if self.name.starts_with("e2-") { 2 } else { 1 });
        }
        match self.name.split('-').collect::<Vec<_>>()[..] {
            ["custom", cpus, _] | [_, "custom", cpus, _] | [_, _, cpus] => cpus.parse().ok(),
            _ => None,
        }
    }

    /// The disk type that fits it: standard disks for the free tier, which covers no others.
    pub fn disk_type(&self) -> &'static str {
        match self.family {
            _ if self.is_free_type() => "pd-standard",
            Some(family) => family.disk,
            None => BALANCED,
        }
    }

    /// Whether it is the type that the free tier covers.
    pub fn is_free_type(&self) -> bool {
        self.name == FREE.0
    }

    /// US dollars a month, where known.
    fn price(&self) -> Option<f64> {
        if let Some((_, _, price)) = self.shared() {
            return price.map(|hourly| hourly * HOURS_IN_A_MONTH);
        }
        let cpus: u32 = self.name.rsplit('-').next()?.parse().ok()?;
        let (cpu, gib) = self.family.filter(|_| !self.name.contains("-custom-"))?.price?;
        let memory = f64::from(self.memory_mib()?) / 1024.0;
        Some((f64::from(cpus) * cpu + memory * gib) * HOURS_IN_A_MONTH)
    }

    fn shared(&self) -> Option<&'static (&'static str, u32, Option<f64>)> {
        SHARED_CORE.iter().find(|(name, ..)| *name == self.name)
    }
}

/// Whether the free tier covers a VM of its machine type in this zone.
pub fn is_free_zone(zone: &Zone) -> bool {
    FREE.1.contains(&zone.region())
}

/// What of a VM of the free tier's machine type is billed all the same, or nothing.
pub fn beyond_free_tier(zone: &Zone, disks: Size) -> Option<String> {
    let (machine, regions, gigabytes) = FREE;
    if !is_free_zone(zone) {
        return Some(format!(
            "the free tier covers an {machine} in {} only, so this VM in {} is billed",
            regions.join(", "),
            zone.region()
        ));
    }
    (disks.gb() > gigabytes).then(|| {
        format!(
            "the free tier covers {gigabytes} GB of standard disk, so {} of the {} GB here are billed",
            disks.gb() - gigabytes,
            disks.gb()
        )
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a price, rounded up to whole dollars"
)]
fn whole(dollars: f64) -> u32 {
    dollars.ceil() as u32
}

/// What a month costs.
pub struct Estimate {
    /// US dollars, rounded up; none where the machine type's price is not known here.
    pub dollars: Option<u32>,
    /// What it is made of, and what it leaves out.
    pub note: String,
}

/// Estimates the list price of a month, without traffic, snapshots and discounts.
pub fn estimate(machine_type: &MachineType, zone: &Zone, disks: Size, public_ip: bool) -> Estimate {
    let machine = Machine::new(machine_type);
    let disk_type = machine.disk_type();
    let of = format!(
        "{machine_type}, {} GB {disk_type}{}; list prices of us-central1, {PRICES_OF}; traffic and snapshots come on top",
        disks.gb(),
        if public_ip { ", one public address" } else { "" },
    );
    if machine.is_free_type() && is_free_zone(zone) {
        let billed = f64::from(disks.gb().saturating_sub(FREE.2)) * STANDARD_DISK;
        let note = format!("{of}; one such VM an account is within the free tier");
        return Estimate { dollars: Some(whole(billed)), note };
    }
    let each_gb = match disk_type {
        "pd-standard" => STANDARD_DISK,
        HYPERDISK => 0.08,
        _ => 0.10,
    };
    let rest = f64::from(disks.gb()) * each_gb + if public_ip { 0.005 * HOURS_IN_A_MONTH } else { 0.0 };
    let dollars = machine.price().map(|price| whole(price + rest));
    let note = if dollars.is_some() { of } else { format!("no price is known here for {of}") };
    Estimate { dollars, note }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(name: &str) -> Option<u32> {
        Machine::new(&name.parse().expect("a machine type")).memory_mib()
    }

    #[test]
    fn memory_of_each_shape() {
        assert_eq!(memory("e2-small"), Some(2048));
        assert_eq!(memory("e2-standard-4"), Some(16384));
        assert_eq!(memory("n2-highmem-2"), Some(16384));
        assert_eq!(memory("e2-custom-2-6144"), Some(6144));
        assert_eq!(memory("custom-2-6144"), Some(6144));
        assert_eq!(memory("z9-standard-4"), None);
    }

    #[test]
    fn processors_of_each_shape() {
        let cpus = |name: &str| Machine::new(&name.parse().expect("a machine type")).cpus();
        assert_eq!(["e2-small", "f1-micro", "e2-custom-4-6144"].map(cpus), [Some(2), Some(1), Some(4)]);
        assert_eq!(["n2-highmem-8", "custom-4-6144", "z9-lite"].map(cpus), [Some(8), Some(4), None]);
    }

    #[test]
    fn prices_of_the_guide() {
        let price = |name: &str| {
            let zone = "us-central1-a".parse().expect("a zone");
            estimate(&name.parse().expect("a machine type"), &zone, Size::gigabytes(0), false).dollars
        };
        assert_eq!(price("e2-micro"), Some(0));
        assert_eq!(price("e2-small"), Some(13));
        assert_eq!(price("e2-medium"), Some(25));
        assert_eq!(price("e2-standard-2"), Some(49));
        assert_eq!(price("n2-standard-2"), None);
    }
}
