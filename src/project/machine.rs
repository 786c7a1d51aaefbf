//! Compute Engine's machine types: memory, architecture, disk type, list price.
//!
//! It is data, in `images/machines.json`. Prices are those of us-central1.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::defaults;
use super::names::{MachineType, Zone};
use super::values::{Arch, Size};

const HOURS_IN_A_MONTH: f64 = 730.0;
/// The disk type for the free tier, which covers no other.
const STANDARD_DISK: &str = "pd-standard";
/// The disk type for an unknown family.
const USUAL_DISK: &str = "pd-balanced";

/// `images/machines.json`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Machines {
    #[serde(rename = "sources")]
    _sources: Vec<String>,
    prices_of: String,
    disks: BTreeMap<String, f64>,
    public_ip: f64,
    snapshot: f64,
    image: f64,
    cloud_nat: f64,
    cloud_nat_gb: f64,
    secret: f64,
    free_tier: FreeTier,
    families: Vec<Family>,
    shared_core: Vec<SharedCore>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FreeTier {
    machine: String,
    regions: Vec<String>,
    disk_gb: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    name: String,
    arch: Arch,
    memory: [u32; 3],
    disk: String,
    price: Option<(f64, f64)>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct SharedCore {
    name: String,
    cpus: u32,
    memory: u32,
    price: Option<f64>,
    larger: String,
}

fn machines() -> &'static Machines {
    static MACHINES: LazyLock<Machines> =
        LazyLock::new(|| serde_json::from_str(defaults::MACHINES).expect("a test reads the built-in file"));
    &MACHINES
}

/// The year of the price list.
pub fn prices_of() -> &'static str {
    &machines().prices_of
}

/// US dollars a month for a GB of a snapshot.
pub fn snapshot_price() -> f64 {
    machines().snapshot
}

/// US dollars a month for a GB of an OS image.
pub fn image_price() -> f64 {
    machines().image
}

/// US dollars a month for Cloud NAT with one VM, rounded up, without traffic.
pub fn nat_price() -> u32 {
    whole(machines().cloud_nat * HOURS_IN_A_MONTH)
}

/// US dollars for a GB of traffic through Cloud NAT.
pub fn nat_traffic_price() -> f64 {
    machines().cloud_nat_gb
}

/// US dollars a month for a secret.
pub fn secret_price() -> f64 {
    machines().secret
}

/// All prices of a month as lines of words, for a program that learns the machine types only when it runs:
///
/// - `vm TYPE`, `disk TYPE`, `address each`, `nat each`, `snapshot each`, `image each`, `secret each`, and the price (of
///   disks, snapshots and images, for a GB);
/// - `family NAME`, the prices of a vCPU and of a GiB, and the MiB for each vCPU of standard, highmem and highcpu;
/// - `free TYPE`, the GB of standard disk, and the regions of the free tier.
pub fn price_lines() -> String {
    let known = machines();
    let mut lines = Vec::new();
    let mut each = |kind: &str, name: &str, price: f64| lines.push(format!("{kind} {name} {price:.5}"));
    for shared in &known.shared_core {
        if let Some(price) = shared.price {
            each("vm", &shared.name, price * HOURS_IN_A_MONTH);
        }
    }
    for (disk, price) in &known.disks {
        each("disk", disk, *price);
    }
    each("address", "each", known.public_ip * HOURS_IN_A_MONTH);
    each("nat", "each", known.cloud_nat * HOURS_IN_A_MONTH);
    each("snapshot", "each", known.snapshot);
    each("image", "each", known.image);
    each("secret", "each", known.secret);
    for family in &known.families {
        if let Some((cpu, gib)) = family.price {
            let [standard, highmem, highcpu] = family.memory;
            lines.push(format!(
                "family {} {:.5} {:.5} {standard} {highmem} {highcpu}",
                family.name,
                cpu * HOURS_IN_A_MONTH,
                gib * HOURS_IN_A_MONTH
            ));
        }
    }
    let FreeTier { machine, regions, disk_gb } = &known.free_tier;
    lines.push(format!("free {machine} {disk_gb} {}", regions.join(" ")));
    lines.join("\n")
}

/// A machine type by its name. Nothing is known of an unknown one, which is not an error.
pub struct Machine<'a> {
    name: &'a str,
    family: Option<&'static Family>,
    shared_core: Option<&'static SharedCore>,
}

impl<'a> Machine<'a> {
    pub fn new(machine_type: &'a MachineType) -> Self {
        let name = machine_type.as_str();
        let first = name.split('-').next();
        let family = machines().families.iter().find(|family| Some(family.name.as_str()) == first);
        let shared_core = machines().shared_core.iter().find(|shared| shared.name == name);
        Self { name, family, shared_core }
    }

    pub fn arch(&self) -> Option<Arch> {
        self.family.map(|family| family.arch).or(self.shared_core.map(|_| Arch::Amd64))
    }

    pub fn memory_mib(&self) -> Option<u32> {
        if let Some(shared) = self.shared_core {
            return Some(shared.memory);
        }
        let parts: Vec<_> = self.name.split('-').collect();
        // A custom type without a family is one of N1.
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

    /// The number of virtual processors.
    pub fn cpus(&self) -> Option<u32> {
        if let Some(shared) = self.shared_core {
            return Some(shared.cpus);
        }
        match self.name.split('-').collect::<Vec<_>>()[..] {
            ["custom", cpus, _] | [_, "custom", cpus, _] | [_, _, cpus] => cpus.parse().ok(),
            _ => None,
        }
    }

    /// The disk type that fits it.
    pub fn disk_type(&self) -> &'static str {
        match self.family {
            _ if self.is_free_type() => STANDARD_DISK,
            Some(family) => &family.disk,
            None => USUAL_DISK,
        }
    }

    /// The quota of Compute Engine that its disks use, in GB ("Allocation quotas").
    pub fn disk_quota(&self) -> &'static str {
        match self.disk_type() {
            STANDARD_DISK => "DISKS_TOTAL_GB",
            hyperdisk if hyperdisk.starts_with("hyperdisk") => "HDB_TOTAL_GB",
            _ => "SSD_TOTAL_GB",
        }
    }

    /// US dollars a month for a GB of its disks.
    pub fn disk_price(&self) -> Option<f64> {
        machines().disks.get(self.disk_type()).copied()
    }

    /// A machine type to advise where memory runs out; a placeholder where none is known.
    pub fn larger(&self) -> &'static str {
        self.shared_core.map_or("MACHINE_TYPE", |shared| &shared.larger)
    }

    /// Whether the free tier covers this type, in some regions.
    pub fn is_free_type(&self) -> bool {
        self.name == machines().free_tier.machine
    }

    /// A type with at least this much memory (MiB), and its price: `e2-medium (4096 MB, about $25 a month)`.
    pub fn with_memory(&self, wanted: u32) -> Option<String> {
        let mut next = self.next()?;
        loop {
            let machine_type = next.parse().ok()?;
            let machine = Machine::new(&machine_type);
            let memory = machine.memory_mib()?;
            if memory >= wanted {
                let price = machine.price().map(|price| format!(", about ${} a month", whole(price)));
                return Some(format!("{next} ({memory} MB{})", price.unwrap_or_default()));
            }
            next = machine.next()?;
        }
    }

    /// The next larger type: of a family, the same shape with twice the processors, which every family has up to 8.
    fn next(&self) -> Option<String> {
        if let Some(shared) = self.shared_core {
            return Some(shared.larger.clone());
        }
        let [family, shape, cpus] = self.name.split('-').collect::<Vec<_>>()[..] else { return None };
        let doubled = self.family.and(cpus.parse::<u32>().ok())?.checked_mul(2)?;
        (doubled <= 8).then(|| format!("{family}-{shape}-{doubled}"))
    }

    /// The price of a disk: `about $2 a month, pd-balanced`.
    pub fn disk_costs(&self, size: Size) -> String {
        let kind = self.disk_type();
        match self.disk_price() {
            Some(each) => format!("about ${} a month, {kind}", whole(each * f64::from(size.gb()))),
            None => kind.to_owned(),
        }
    }

    /// US dollars a month.
    pub fn price(&self) -> Option<f64> {
        if let Some(shared) = self.shared_core {
            return shared.price.map(|hourly| hourly * HOURS_IN_A_MONTH);
        }
        let cpus: u32 = self.name.rsplit('-').next()?.parse().ok()?;
        let (cpu, gib) = self.family.filter(|_| !self.name.contains("-custom-"))?.price?;
        let memory = f64::from(self.memory_mib()?) / 1024.0;
        Some((f64::from(cpus) * cpu + memory * gib) * HOURS_IN_A_MONTH)
    }
}

/// Whether the free tier covers a VM of its machine type in this zone.
pub fn is_free_zone(zone: &Zone) -> bool {
    machines().free_tier.regions.iter().any(|region| region == zone.region())
}

/// The billed parts of a VM with the free tier's machine type, if any.
pub fn beyond_free_tier(zone: &Zone, disks: Size) -> Option<String> {
    let FreeTier { machine, regions, disk_gb } = &machines().free_tier;
    if !is_free_zone(zone) {
        return Some(format!(
            "the free tier covers an {machine} in {} only, so this VM in {} is billed",
            regions.join(", "),
            zone.region()
        ));
    }
    (disks.gb() > *disk_gb).then(|| {
        format!(
            "the free tier covers {disk_gb} GB of standard disk, so {} of the {} GB here are billed",
            disks.gb() - disk_gb,
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

/// The costs of a month.
pub struct Estimate {
    /// US dollars, rounded up; none if the machine type's price is unknown.
    pub dollars: Option<u32>,
    /// The included and the excluded items of the sum.
    pub note: String,
}

/// Estimates the list price of a month, without traffic, snapshots and discounts.
pub fn estimate(machine_type: &MachineType, zone: &Zone, disks: Size, public_ip: bool) -> Estimate {
    let machine = Machine::new(machine_type);
    let disk_type = machine.disk_type();
    let of = format!(
        "{machine_type}, {} GB {disk_type}{}; list prices of us-central1, {}; traffic and snapshots come on top",
        disks.gb(),
        if public_ip { ", one public address" } else { "" },
        prices_of(),
    );
    let each_gb = machines().disks.get(disk_type).copied();
    if machine.is_free_type() && is_free_zone(zone) {
        let billed = f64::from(disks.gb().saturating_sub(machines().free_tier.disk_gb));
        let note = format!("{of}; one such VM an account is within the free tier");
        return Estimate { dollars: each_gb.map(|each| whole(billed * each)), note };
    }
    let address = if public_ip { machines().public_ip * HOURS_IN_A_MONTH } else { 0.0 };
    let disks = each_gb.map(|each| f64::from(disks.gb()) * each);
    let dollars = machine.price().zip(disks).map(|(price, disks)| whole(price + disks + address));
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
    fn the_built_in_file_is_consistent() {
        let known = machines();
        for disk in known.families.iter().map(|family| &*family.disk).chain([STANDARD_DISK, USUAL_DISK]) {
            assert!(known.disks.contains_key(disk), "{disk} has no price");
        }
        for shared in &known.shared_core {
            let larger = shared.larger.parse().expect("a machine type");
            assert!(Machine::new(&larger).memory_mib() > Some(shared.memory), "{}", shared.name);
        }
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
    fn the_next_larger_type_of_a_family() {
        let larger = |name: &str, wanted| {
            Machine::new(&name.parse().expect("a machine type")).with_memory(wanted).unwrap_or_default()
        };
        assert_eq!(larger("e2-micro", 2100), "e2-medium (4096 MB, about $25 a month)");
        assert_eq!(larger("e2-highcpu-2", 6144), "e2-highcpu-8 (8192 MB, about $145 a month)");
        assert_eq!(larger("t2a-standard-1", 6144), "t2a-standard-2 (8192 MB)");
        assert_eq!(larger("z9-standard-1", 6144), "");
        assert_eq!(larger("e2-standard-2", u32::MAX), "");
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
