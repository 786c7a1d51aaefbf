//! `docs/costs.md`: its tables are made from `images/machines.json` and `docs/gcloud.md`, and no document names another
//! price. `BAKE_BLESS=1` writes the tables.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use bake::project::machine::{self, Machine};
use bake::project::names::MachineType;
use bake::project::values::Size;
use regex_lite::Regex;

use crate::support::test;

fn page(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect(name)
}

/// The words of `price_lines`.
fn prices() -> Vec<Vec<String>> {
    let words = |line: &str| line.split(' ').map(str::to_owned).collect();
    machine::price_lines().lines().map(words).collect()
}

fn dollars(price: f64) -> String {
    let digits = if (price * 100.0).fract().abs() < 1e-6 || price >= 1.0 { 2 } else { 3 };
    format!("${price:.digits$}")
}

/// The estimate for the default disks, 30 GB in all, and a public address.
fn month(machine_type: &MachineType) -> String {
    let zone = "us-central1-a".parse().expect("a zone");
    let estimate = machine::estimate(machine_type, &zone, Size::gigabytes(30), true);
    match estimate.dollars {
        Some(0) => "nothing, within the free tier".to_owned(),
        Some(dollars) => format!("${dollars}"),
        None => "unknown".to_owned(),
    }
}

fn price_table() -> String {
    let mut text = format!(
        "List prices of us-central1, {}, in US dollars a month.\n\n| machine type | memory | the VM alone | with the default disks and a public address |\n|---|---|---|---|\n",
        machine::prices_of()
    );
    let types = ["e2-micro", "e2-small", "e2-medium", "e2-standard-2", "e2-standard-4"];
    for name in types {
        let machine_type: MachineType = name.parse().expect("a machine type");
        let machine = Machine::new(&machine_type);
        let gib = f64::from(machine.memory_mib().expect("its memory")) / 1024.0;
        let price = dollars(machine.price().expect("its price"));
        let _ = writeln!(text, "| `{name}` | {gib} GiB | {price} | {} |", month(&machine_type));
    }
    text += "\n| part | price |\n|---|---|\n";
    for line in prices() {
        let [kind, name, price] = &line[..] else { continue };
        let price = dollars(price.parse().expect("a price"));
        let part = match kind.as_str() {
            "disk" => format!("1 GB of disk, `{name}`"),
            "address" => "a public address".to_owned(),
            "nat" => format!(
                "Cloud NAT for one VM, and {} for each GB of traffic",
                dollars(machine::nat_traffic_price())
            ),
            "snapshot" => "1 GB of a snapshot".to_owned(),
            "secret" => "a version of a secret; six are free".to_owned(),
            _ => continue,
        };
        let _ = writeln!(text, "| {part} | {price} |");
    }
    text
}

/// The `Costs` lines of `docs/gcloud.md`.
fn action_table() -> String {
    let mut text = "| action | costs |\n|---|---|\n".to_owned();
    for section in page("docs/gcloud.md").split("\n### ").skip(1) {
        let heading = section.lines().next().unwrap_or_default();
        let costs = section.lines().find_map(|line| line.strip_prefix("- Costs: ")).expect("its costs");
        if costs != "nothing." {
            let _ = writeln!(text, "| {heading} | {} |", costs.trim_end_matches('.'));
        }
    }
    text
}

fn with(text: &str, name: &str, table: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let (before, rest) = text.split_once(&begin).expect("a mark");
    let (_, after) = rest.split_once(&end).expect("a mark");
    format!("{before}{begin}\n{table}\n{end}{after}")
}

#[test]
fn the_tables_are_made_from_the_price_list() {
    let old = page("docs/costs.md");
    let new = with(&with(&old, "prices", &price_table()), "actions", &action_table());
    if std::env::var_os("BAKE_BLESS").is_some() {
        fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/costs.md"), &new).expect("written");
    }
    assert_eq!(page("docs/costs.md"), new, "BAKE_BLESS=1 writes docs/costs.md");
}

#[test]
fn no_document_names_a_price_that_is_not_in_the_list() {
    let default: MachineType = "e2-small".parse().expect("a machine type");
    let mut known: BTreeSet<String> = BTreeSet::from([month(&default), "$5".to_owned()]);
    assert_eq!(machine::nat_price(), 5);
    known.insert(dollars(machine::nat_traffic_price()));
    for line in prices() {
        if let [_, _, price] = &line[..] {
            known.insert(dollars(price.parse().expect("a price")));
        }
    }
    let price = Regex::new(r"\$[0-9]+(\.[0-9]+)?").expect("a pattern");
    let mut seen = 0;
    for name in ["README.md", "docs/getting-started.md", "docs/gcloud.md", "docs/bake-yaml.md"] {
        for found in price.find_iter(&page(name)) {
            assert!(
                known.contains(found.as_str()),
                "{name}: {} is not in images/machines.json",
                found.as_str()
            );
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen} prices");
}
