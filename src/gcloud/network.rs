//! The VM's network: the flags of its interface, and what `setup` makes for a VM without a public address. The
//! rules and routers of a Shared VPC belong to its host project: for these, scripts print the commands.

use super::script::{Name, ScriptCommand, Step, Word};
use super::ssh::IAP;
use super::vm::{Vm, named};
use crate::project::machine;
use crate::project::names::NetworkName;

/// The network of a VM that names none.
const DEFAULT: &str = "default";

/// The monthly price of Cloud NAT for one VM, without traffic.
pub(super) fn nat_price() -> String {
    format!("about {} USD a month", machine::nat_price())
}

/// A rule of the firewall that lets SSH in to VMs of a gateway's tag.
#[derive(Clone, Copy)]
pub(super) struct SshRule {
    /// The rule's name after the gateway's.
    pub(super) end: &'static str,
    /// The source addresses.
    pub(super) ranges: &'static str,
    /// Why, as a comment.
    pub(super) why: &'static str,
}

/// For VMs without a public address.
pub(super) const FROM_IAP: SshRule = SshRule {
    end: "iap",
    ranges: IAP,
    why: "The way in: SSH from Identity-Aware Proxy, and from nowhere else by this rule.",
};

impl<'a> Vm<'a> {
    pub(super) fn network(self) -> &'a NetworkName {
        &self.target.spec.gcp.network.value
    }

    /// The host project, where the network is of a Shared VPC.
    pub(super) fn host_project(self) -> Option<&'a str> {
        let own = self.target.spec.gcp.project.as_ref().map(|project| project.as_str());
        self.network().host().filter(|host| Some(*host) != own)
    }

    /// The flags of the VM's network interface; none for the network `default`.
    pub(super) fn network_flags(self) -> Vec<Word> {
        let (network, subnet) = (self.network(), &self.target.spec.gcp.subnet);
        if network.as_str() == DEFAULT && subnet.is_none() {
            return Vec::new();
        }
        let subnet = subnet.iter().map(|subnet| format!("--subnet={}", subnet.value));
        std::iter::once(format!("--network={network}")).chain(subnet).map(Word::from).collect()
    }

    /// The region of the subnet of a template, which is in no region itself.
    pub(super) fn subnet_region(self) -> Option<Word> {
        let subnet = self.target.spec.gcp.subnet.as_ref()?;
        subnet.host().is_none().then(|| format!("--region={}", self.region()).into())
    }

    /// The name of the router and the NAT that `setup` makes.
    pub(super) fn nat(self) -> String {
        format!("{}-nat", self.name)
    }

    /// Lets SSH in.
    pub(super) fn allow_ssh(self, rule: SshRule) -> Step {
        let name = format!("{}-{}", self.name, rule.end);
        let make = ScriptCommand::gcloud("compute firewall-rules create").arg(name.clone());
        let flags = |command: ScriptCommand| {
            command
                .flag("network", self.network().name())
                .flag("direction", "INGRESS")
                .flag("allow", "tcp:22")
                .flag("source-ranges", rule.ranges)
                .flag("target-tags", self.name)
                .flag("description", self.description())
        };
        if let Some(host) = self.host_project() {
            return for_the_host(rule.why, host, [flags(make.flag("project", host))]);
        }
        let there = ScriptCommand::gcloud("compute firewall-rules list")
            .in_project()
            .flag("filter", named(&name))
            .flag("format", "value(name)");
        Step::run(rule.why, flags(make.in_project())).unless(there).change(format!("+ firewall rule {name}"))
    }

    /// The way out without a public address, and the way in.
    pub(super) fn private_network(self) -> Vec<Step> {
        let nat = self.nat();
        let place = |command: ScriptCommand| match self.host_project() {
            Some(host) => command.flag("project", host).flag("region", self.region()),
            None => command.in_project().flag("region", self.region()),
        };
        let router = place(ScriptCommand::gcloud("compute routers create").arg(nat.clone()))
            .flag("network", self.network().name())
            .flag("description", self.description());
        let gateway = place(ScriptCommand::gcloud("compute routers nats create").arg(nat.clone()))
            .flag("router", &nat)
            .args(["--auto-allocate-nat-external-ips", "--nat-all-subnet-ip-ranges"]);
        let why = "Cloud NAT is the way out for VMs without a public address; a router carries it.";
        if let Some(host) = self.host_project() {
            return vec![for_the_host(why, host, [router, gateway]), self.allow_ssh(FROM_IAP)];
        }
        let routers = |filter: String| {
            ScriptCommand::gcloud("compute routers list")
                .in_project()
                .flag("regions", self.region())
                .flag("filter", filter)
                .flag("format", "value(name)")
        };
        // One NAT serves the whole network of a region, and there cannot be a second.
        let has_nat = format!("network ~ \"/{}$\" AND nats[].name:*", self.network().name());
        vec![
            Step::run(why, router)
                .unless(routers(format!("({}) OR ({has_nat})", named(&nat))))
                .change(format!("+ router {nat}")),
            Step::run("NAT for all subnets of the region, where there is none.", gateway)
                .unless(routers(has_nat))
                .change(format!("+ Cloud NAT {nat} in {}, {}", self.region(), nat_price()))
                .will(format!("make nat {} {nat}", self.region())),
            self.allow_ssh(FROM_IAP),
        ]
    }

    /// Prints how accounts of this project get to use the subnet of a Shared VPC.
    pub(super) fn use_of_subnet(self) -> Option<Step> {
        let host = self.host_project()?;
        let subnet = self.target.spec.gcp.subnet.as_ref().map_or("SUBNET", |subnet| subnet.name());
        let allow = |member: &str| {
            format!(
                "  gcloud compute networks subnets add-iam-policy-binding {subnet} --project={host} --region={} --role=roles/compute.networkUser --member={member}",
                self.region()
            )
        };
        Some(
            Step::note("A Shared VPC lends its subnets.")
                .tell(Word::from(format!("The subnet is of the project {host}. Where ")).name(Name::Project).text(" may not use it yet, an administrator of that project runs:"))
                .tell(allow("user:NAME@EXAMPLE.COM"))
                .tell("and for a fleet, because Google's own account makes its VMs (its number: gcloud projects describe):")
                .tell(allow("serviceAccount:PROJECT_NUMBER@cloudservices.gserviceaccount.com")),
        )
    }
}

/// Prints commands for an administrator of the host project, which the VM's project cannot look into.
fn for_the_host(why: &str, host: &str, commands: impl IntoIterator<Item = ScriptCommand>) -> Step {
    let mut step = Step::note(why)
        .tell(format!("{why} In a Shared VPC, an administrator of its host project {host} makes it:"));
    for command in commands {
        step = step.tell(format!("  {}", super::shell::line(&command)));
    }
    step
}
