//! The last lines of a plan: resources that stay, minutes without a gateway, costs of a month.

use crate::support::google::{Cloud, Fault, Google, Shell};
use crate::support::{Folder, test};
use serde_json::Value;

/// The plan of a script whose gcloud found `rows`, and whose changes have these `effects`.
fn plan(folder: &Folder, looked: &str, rows: &[&str], effects: &[&str]) -> String {
    let script = folder.bake(["gcloud", "create"]).done().out;
    let (functions, run) = script.split_once("# ---- The run ----").expect("a run");
    let prices = run.split_once("prices=").expect("prices").1.split_once("stamp=").map_or_else(
        || run.split_once("prices=").expect("prices").1.trim_end_matches("carry_out\n"),
        |(prices, _)| prices,
    );
    let rows: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let effects: String = effects.iter().map(|effect| format!("will '{effect}'\n")).collect();
    folder.write(
        "plan.sh",
        format!("{functions}\nprices={prices}\nlooked='{looked}'\nrows='{rows}'\nplanning=yes\n{effects}show_effects\nplanning=''\n"),
    );
    let output = std::process::Command::new("dash").arg(folder.join("plan.sh")).output().expect("dash");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn project() -> Folder {
    let folder = Folder::project();
    folder.edit("bake.yaml", "project: null", "project: demo-1234");
    folder.bake(["render"]).done();
    folder
}

/// `bake check` and the scripts reckon separately, with the same prices.
#[test]
fn costs_of_a_plan_are_those_of_check() {
    for (machine, disk, zone, boot) in [
        ("e2-small", "pd-balanced", "us-central1-a", 20),
        ("e2-medium", "pd-balanced", "europe-west4-b", 35),
        ("e2-highmem-4", "pd-balanced", "asia-east1-c", 20),
        ("e2-highcpu-8", "pd-balanced", "us-east1-b", 50),
        ("e2-micro", "pd-standard", "us-west1-b", 60),
        ("e2-micro", "pd-standard", "europe-west1-b", 20),
    ] {
        let folder = Folder::project();
        folder.edit("bake.yaml", "project: null", "project: demo-1234");
        folder.edit("bake.yaml", "machine_type: e2-small", &format!("machine_type: {machine}"));
        folder.edit("bake.yaml", "zone: us-central1-a", &format!("zone: {zone}"));
        folder.edit("bake.yaml", "boot_disk: 20GB", &format!("boot_disk: {boot}GB"));
        folder.bake(["render"]).done();
        let check: Value = serde_json::from_str(&folder.bake(["check", "--json"]).done().out).expect("JSON");
        let dollars = check["estimate"]["dollars_a_month"].as_f64().expect("an estimate");
        let vm = format!("make vm {zone} gw {machine} RUNNING address");
        let disks =
            [format!("make disk {zone} gw {disk} {boot}"), format!("make disk {zone} gw-data {disk} 10")];
        let plan = plan(&folder, " vm disk", &[], &[&vm, &disks[0], &disks[1]]);
        let sum = plan.split_once("now, about ").and_then(|(_, rest)| rest.split_once(' ')).expect(&plan).0;
        let sum: f64 = sum.parse().expect("a number");
        assert!((sum.ceil() - dollars).abs() < 0.1, "{machine} in {zone}: {dollars}\n{plan}");
    }
}

#[test]
fn only_a_running_gateway_is_away_and_a_stopped_vm_costs_its_disks() {
    let folder = project();
    let rows = [
        "vm us-central1-a alice e2-small RUNNING 203.0.113.7",
        "vm us-central1-a bob e2-small TERMINATED",
        "vm us-central1-a carol e2-small RUNNING",
        "disk us-central1-a alice pd-balanced 20",
        "disk us-central1-a alice-data pd-balanced 10",
        "disk us-central1-a bob-data pd-balanced 40",
        "snapshot - alice-data-1 2000000000",
        "snapshot - alice-data-2 4000000000",
    ];
    let away = ["away alice 5", "away bob 5", "away carol 5"];
    let text = plan(&folder, " vm disk snapshot", &rows, &away);
    assert!(
        text.contains("Gateway: each is away for about 5 minutes, one after another: alice, carol.\n"),
        "{text}"
    );
    for line in [
        "  = VM bob, e2-small, stopped\n",
        "  = data disk alice-data, 10 GB: about 1.00 USD a month\n",
        "  = 2 snapshots: about 0.30 USD a month\n",
        // Two VMs of 12.23, an address of 3.65, 70 GB of disks, the snapshots.
        "Costs: about 35.41 USD a month, as before; list prices of us-central1, 2025; traffic comes on top.\n",
    ] {
        assert!(text.contains(line), "{line}{text}");
    }
    // Its boot disk is a part of the VM.
    assert!(!text.contains("data disk alice,"), "{text}");
    let starts = plan(&folder, " vm disk", &rows[1..2], &["run us-central1-a bob n2-standard-2"]);
    assert!(starts.contains("Gateway: none is running.\n"), "{starts}");
    assert!(starts.contains("and the price of n2-standard-2, which is not known here"), "{starts}");
}

/// A plan without costs is still carried out.
#[test]
fn an_account_that_cannot_list_disks_gets_a_plan_without_costs() {
    let cloud = Cloud::new(Google::set_up("openclaw-gateway"), &[]);
    cloud.replays();
    let script = cloud.script(&["create"]);
    let back = cloud.google.keep();
    cloud.piped(Shell::Dash, &script).done();
    // The rows are requested last before the plan.
    let is_plan = |path: &str| path.contains("/resourcePolicies");
    let asked = cloud.google.requests();
    let plan = asked.iter().position(|request| is_plan(&request.path)).expect("a plan");
    let disks = asked[..plan].iter().rposition(|request| request.path.contains("/disks")).expect("a list");
    back(&cloud.google);
    cloud.google.fail_nth(disks, Fault::denied("compute.disks.list"));
    let run = cloud.piped(Shell::Bash, &script).done();
    assert!(run.err.contains("note: the plan names no costs"), "{}", run.err);
    assert!(run.out.contains("+ VM openclaw-gateway") && !run.out.contains("Gateway: "), "{}", run.out);
}
