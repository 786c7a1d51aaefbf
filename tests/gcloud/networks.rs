//! Networks, labels and policies of an organization: a VM in another network, in a Shared VPC, with more
//! labels; and advice for each policy that forbids one of bake's requests.

use crate::support::Folder;
use crate::support::google::{Cloud, Fault, Google, Shell};
use crate::support::test;
use serde_json::{Value, json};

const ACCOUNT: &str = "openclaw-gateway";
const VM: &str = "compute/projects/demo/zones/us-central1-a/instances/openclaw-gateway";
const DATA: &str = "compute/projects/demo/zones/us-central1-a/disks/openclaw-gateway-data";
const SCHEDULE: &str = "compute/projects/demo/regions/us-central1/resourcePolicies/openclaw-gateway-daily";

/// The last parts of the paths of network and subnet.
fn interface(resource: &Value) -> (String, String) {
    let interface = &resource["networkInterfaces"][0];
    let path = |key: &str| {
        let link = interface[key].as_str().unwrap_or_default();
        link.find("projects/").map_or("", |at| &link[at..]).to_owned()
    };
    (path("network"), path("subnetwork"))
}

/// VM, template, NAT and firewall rules are all of the network of the spec.
#[test]
fn a_network_of_the_spec_is_used_by_every_resource() {
    let edits = [
        ("network: default", "network: staff"),
        ("subnet: null", "subnet: staff-central"),
        ("public_ip: true", "public_ip: false"),
    ];
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &edits);
    cloud.run(Shell::Dash, &["setup"]).done();
    let resources = cloud.google.resources();
    let network = |path: &str| resources[path]["network"].as_str().unwrap_or_default().to_owned();
    let router = "compute/projects/demo/regions/us-central1/routers/openclaw-gateway-nat";
    assert!(network(router).ends_with("projects/demo/global/networks/staff"), "{}", network(router));
    let rule = "compute/projects/demo/global/firewalls/openclaw-gateway-iap";
    assert!(network(rule).ends_with("projects/demo/global/networks/staff"), "{}", network(rule));
    cloud.google.requests();
    cloud.run(Shell::Bash, &["setup"]).done();
    assert!(cloud.google.changes().is_empty(), "the NAT of this network is found");

    cloud.run(Shell::Dash, &["create"]).done();
    let wanted = (
        "projects/demo/global/networks/staff".to_owned(),
        "projects/demo/regions/us-central1/subnetworks/staff-central".to_owned(),
    );
    assert_eq!(interface(&cloud.google.get(VM)), wanted);
    cloud.run(Shell::Bash, &["destroy"]).done();
    cloud.run(Shell::Bash, &["create", "--fleet", "alice,bob"]).done();
    let resources = cloud.google.resources();
    let template =
        resources.iter().find(|(path, _)| path.contains("/instanceTemplates/")).expect("a template");
    assert_eq!(interface(&template.1["properties"]), wanted);
    let rule = &resources["compute/projects/demo/global/firewalls/openclaw-gateway-alive"];
    assert!(rule["network"].as_str().is_some_and(|network| network.ends_with("/staff")), "{rule}");
}

/// A rule of a Shared VPC belongs to the host project: no request goes there, and the commands are printed.
#[test]
fn a_shared_vpc_is_used_and_its_host_project_left_alone() {
    let subnet = "projects/net-host-7/regions/us-central1/subnetworks/vms";
    let network = "projects/net-host-7/global/networks/prod";
    let (network_key, subnet_key) = (format!("network: {network}"), format!("subnet: {subnet}"));
    let edits = [
        ("network: default", network_key.as_str()),
        ("subnet: null", subnet_key.as_str()),
        ("public_ip: true", "public_ip: false"),
        ("project: null", "project: demo-1"),
    ];
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &edits);
    let setup = cloud.script(&["setup"]);
    assert!(!setup.contains("firewall-rules list") && !setup.contains("routers list"), "{setup}");
    cloud.folder.edit("bake.yaml", "project: demo-1", "project: null");
    let told = cloud.run(Shell::Dash, &["setup"]).done().out;
    for command in [
        "  gcloud compute routers create openclaw-gateway-nat --project=net-host-7 --region=us-central1 --network=prod ",
        "  gcloud compute routers nats create openclaw-gateway-nat --project=net-host-7 --region=us-central1 --router=openclaw-gateway-nat",
        "  gcloud compute firewall-rules create openclaw-gateway-iap --project=net-host-7 --network=prod",
        "subnets add-iam-policy-binding vms --project=net-host-7 --region=us-central1 --role=roles/compute.networkUser",
    ] {
        assert!(told.contains(command), "{command}: {told}");
    }
    cloud.folder.bake(["render"]).done();
    cloud.run(Shell::Bash, &["create"]).done();
    assert_eq!(interface(&cloud.google.get(VM)), (network.to_owned(), subnet.to_owned()));
    cloud.run(Shell::Bash, &["destroy"]).done();
    let told = cloud.run(Shell::Dash, &["create", "--fleet", "carol"]).done().out;
    assert!(told.contains("firewall-rules create openclaw-gateway-alive"), "{told}");
    let resources = cloud.google.resources();
    let template =
        resources.iter().find(|(path, _)| path.contains("/instanceTemplates/")).expect("a template");
    assert_eq!(interface(&template.1["properties"]), (network.to_owned(), subnet.to_owned()));
    assert!(!resources.keys().any(|path| path.contains("/firewalls/")), "{:#?}", resources.keys());
}

/// Labels are on each new resource, and reach an existing one by the next update, which replaces no VM for them.
#[test]
fn labels_of_the_spec_are_set_and_follow_it() {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[("labels: {}", "labels: {cost-center: \"4711\"}")]);
    cloud.run(Shell::Dash, &["create"]).done();
    let label = |path: &str, key: &str| cloud.google.get(path)["labels"][key].clone();
    let of_snapshots =
        || cloud.google.get(SCHEDULE)["snapshotSchedulePolicy"]["snapshotProperties"]["labels"].clone();
    for path in [VM, DATA] {
        assert_eq!(label(path, "cost-center"), "4711", "{path}");
    }
    assert_eq!(of_snapshots()["cost-center"], "4711");
    cloud.run(Shell::Bash, &["plan"]).done();

    let mut vm = cloud.google.get(VM);
    vm["labels"]["by-hand"] = json!("yes");
    let id = vm["id"].clone();
    cloud.google.put(VM, vm);
    cloud.folder.edit("bake.yaml", "{cost-center: \"4711\"}", "{cost-center: \"4712\", team: edge}");
    cloud.folder.bake(["render"]).done();
    let plan = cloud.run(Shell::Dash, &["plan"]).ended(1);
    let line = "~ VM openclaw-gateway: labels cost-center=4712,team=edge";
    assert!(plan.out.contains(line) && !plan.out.contains("- VM"), "{}", plan.out);
    cloud.run(Shell::Bash, &["update"]).done();
    for path in [VM, DATA] {
        assert_eq!(
            (label(path, "cost-center"), label(path, "team")),
            (json!("4712"), json!("edge")),
            "{path}"
        );
        assert_eq!(label(path, "openclaw"), "openclaw-gateway", "{path}");
    }
    assert_eq!(of_snapshots()["team"], "edge");
    assert_eq!((label(VM, "by-hand"), cloud.google.get(VM)["id"].clone()), (json!("yes"), id));
    cloud.google.requests();
    cloud.run(Shell::Dash, &["update"]).done();
    assert!(cloud.google.changes().is_empty(), "the second run");
}

#[test]
fn labels_and_networks_that_cannot_be_are_refused_in_the_spec() {
    for (keys, why) in [
        ("labels: {openclaw-id: mine}", "the label `openclaw-id` is reserved"),
        ("labels: {goog-x: mine}", "the label `goog-x` is reserved"),
        ("labels: {Team: edge}", "is not a label's key"),
        ("labels: {team: Edge}", "is not a label's value"),
        ("network: projects/x/networks/prod", "is not a network"),
        ("subnet: projects/net-host-7/regions/europe-west1/subnetworks/vms", "the subnet is in europe-west1"),
        ("subnet: projects/net-host-7/regions/us-central1/subnetworks/vms", "of different projects"),
    ] {
        let folder = Folder::project();
        let (key, _) = keys.split_once(':').expect("a key");
        let default = ["labels: {}", "network: default", "subnet: null"];
        let default = default.into_iter().find(|default| default.starts_with(key)).expect("a default");
        folder.edit("bake.yaml", default, keys);
        let refused = folder.bake(["check"]).ended(2);
        assert!(refused.err.contains(why), "{keys}: {}", refused.err);
    }
}

/// Google's words for each policy that forbids a request of `create`, and what helps.
#[test]
fn each_policy_of_an_organization_gets_an_answer() {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[]);
    let violated = |constraint: &str, rest: &str| {
        format!("Constraint constraints/{constraint} violated for project 530427193651. {rest}")
    };
    let managed = |constraint: &str| {
        format!(
            "Operation denied by org policy on resource 'projects/demo': [\"constraints/{constraint}\": \"by the administrator\"]."
        )
    };
    for (message, help) in [
        (
            violated("compute.vmExternalIpAccess", "Add instance projects/demo/zones/us-central1-a/instances/openclaw-gateway to the constraint to use external IP with it."),
            "gcp.public_ip: false",
        ),
        (managed("compute.managed.vmExternalIpAccess"), "gcp.public_ip: false"),
        (
            violated("compute.trustedImageProjects", "Use of images from project debian-cloud is prohibited."),
            "org-policies allow compute.trustedImageProjects projects/debian-cloud projects/ubuntu-os-cloud --project=demo",
        ),
        (
            "Location ZONE:us-central1-a violates constraint constraints/gcp.resourceLocations on the resource projects/demo/zones/us-central1-a/instances/openclaw-gateway.".to_owned(),
            "Set gcp.zone in bake.yaml to one that is allowed",
        ),
        (
            violated("compute.requireOsLogin", "The 'enable-oslogin' metadata value must be TRUE."),
            "project-info add-metadata --metadata=enable-oslogin=TRUE --project=demo",
        ),
        (managed("compute.managed.requireOsLogin"), "--metadata=enable-oslogin=TRUE"),
        (
            violated("compute.disableSerialPortLogging", "The 'serial-port-logging-enable' metadata value must not be TRUE."),
            "gcp.serial_logging: false",
        ),
        (violated("compute.disableSerialPortAccess", ""), "bake gcloud logs --gateway | sh"),
        (
            violated("compute.disableGuestAttributesAccess", ""),
            "org-policies disable-enforce compute.disableGuestAttributesAccess --project=demo",
        ),
        (violated("compute.restrictSharedVpcSubnetworks", ""), "Set gcp.network and gcp.subnet"),
        (violated("compute.someOther", ""), "its name begins with constraints/"),
    ] {
        cloud.google.mend();
        cloud.google.fail("POST", "/instances", Fault::policy(&message), None);
        let failed = cloud.run(Shell::Dash, &["create"]).ended(1);
        assert!(failed.err.contains(help), "{message}: {}", failed.err);
        assert!(!cloud.google.has(VM), "{message}");
    }
    let edits = [("{generate: hex32}", "{generate: hex32, secret_manager: gateway-token}")];
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &edits);
    let global = "Constraint constraints/gcp.resourceLocations violated for [orgpolicy:projects/530427193651] attempting to create a secret in [global].";
    cloud.google.fail("POST", "/secrets", Fault::policy(global), None);
    let failed = cloud.run(Shell::Bash, &["setup"]).ended(1);
    assert!(failed.err.contains("--replication-policy=user-managed --locations=REGION"), "{}", failed.err);
}

/// The key that the advice for serial logging names leaves the metadata out.
#[test]
fn a_vm_without_serial_logging_does_not_ask_for_it() {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[("serial_logging: true", "serial_logging: false")]);
    cloud.run(Shell::Dash, &["create"]).done();
    let metadata = cloud.google.metadata(VM);
    assert!(!metadata.contains_key("serial-port-logging-enable") && metadata["enable-oslogin"] == "TRUE");
}

/// Google's words for networks that are missing, or not for this account.
#[test]
fn a_network_that_cannot_be_used_gets_an_answer() {
    let cloud = Cloud::new(Google::set_up(ACCOUNT), &[]);
    for (fault, help) in [
        (
            Fault::missing("The resource 'projects/demo/global/networks/default' was not found"),
            "Set gcp.network in bake.yaml to another",
        ),
        (
            Fault::missing("The resource 'projects/demo/regions/us-central1/subnetworks/vms' was not found"),
            "set gcp.subnet in bake.yaml",
        ),
        (
            Fault::invalid(
                "Invalid value for field 'resource.networkInterfaces[0]': '{}'. Subnetwork should be specified for custom subnetmode network",
            ),
            "set gcp.subnet in bake.yaml",
        ),
        (Fault::denied("compute.subnetworks.use"), "roles/compute.networkUser"),
    ] {
        cloud.google.mend();
        cloud.google.fail("POST", "/instances", fault, None);
        let failed = cloud.run(Shell::Bash, &["create"]).ended(1);
        assert!(failed.err.contains(help), "{help}: {}", failed.err);
    }
}

/// In the path of an image, a project of a domain is two parts; in its repository's name, one.
#[test]
fn a_repository_of_a_domain_scoped_project_is_found() {
    let image =
        format!("us-central1-docker.pkg.dev/example.com/tools-3/agents/openclaw@sha256:{}", "5".repeat(64));
    let registry = format!("registry: {image} ");
    let folder = Folder::project();
    folder.edit("bake.yaml", "strategy: build-on-vm", "strategy: registry");
    folder.edit("bake.yaml", "registry: null", &registry);
    let setup = folder.bake(["gcloud", "setup"]).done().out;
    assert!(
        setup.contains("repositories add-iam-policy-binding agents \\\n")
            && setup.contains("--project=example.com:tools-3 "),
        "{setup}"
    );
}
