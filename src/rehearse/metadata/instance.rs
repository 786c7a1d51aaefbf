//! The instance described by the metadata server.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde_json::json;

use super::guest::GuestAttributes;
use super::tree::MetadataNode;

/// Served without validation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    /// Permanent ID of an instance; cloud-init treats a different ID as a new machine. At most `i64::MAX`,
    /// which every JSON parser can represent.
    pub id: u64,
    pub name: String,
    pub project_id: String,
    /// Part of most resource paths.
    pub project_number: u64,
    pub zone: String,
    pub machine_type: String,
    /// Image of the boot disk, such as `projects/debian-cloud/global/images/debian-13-…`.
    pub image: String,
    /// Email of the service account, which has the scope `cloud-platform`. Without one there are no tokens,
    /// and Secret Manager denies every request.
    pub service_account: Option<String>,
    /// The first attributes, for example `user-data`, `startup-script`, `enable-guest-attributes`.
    pub attributes: BTreeMap<String, String>,
    pub project_attributes: BTreeMap<String, String>,
    pub tags: Vec<String>,
    /// Device names of the disks, boot disk first.
    pub disks: Vec<String>,
    pub network: Network,
}

/// The values that can change while the VM runs.
#[derive(Debug)]
pub(super) struct LiveValues {
    pub(super) attributes: BTreeMap<String, String>,
    pub(super) guest: GuestAttributes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    pub ip: Ipv4Addr,
    pub subnetmask: Ipv4Addr,
    pub gateway: Ipv4Addr,
    pub dns: Ipv4Addr,
    /// Lower case with colons. Google's guest agent identifies the interface by it.
    pub mac: String,
    pub external_ip: Option<Ipv4Addr>,
}

impl Instance {
    /// The accepted values of `true` are listed on
    /// <https://cloud.google.com/compute/docs/metadata/predefined-metadata-keys>; the instance takes
    /// precedence over the project.
    pub(super) fn takes_guest_attributes(&self, attributes: &BTreeMap<String, String>) -> bool {
        const KEY: &str = "enable-guest-attributes";
        let value = attributes.get(KEY).or_else(|| self.project_attributes.get(KEY));
        value.is_some_and(|value| matches!(value.to_ascii_lowercase().as_str(), "true" | "y" | "yes" | "1"))
    }

    /// The tree below `/`.
    pub(super) fn tree(&self, live: &LiveValues, token: &str) -> MetadataNode {
        let v1 = fixed([("instance", self.instance(live, token)), ("project", self.project())]);
        fixed([("computeMetadata", fixed([("v1", v1)]))])
    }

    fn project(&self) -> MetadataNode {
        fixed([
            ("attributes", texts(&self.project_attributes)),
            ("numeric-project-id", number(self.project_number)),
            ("project-id", MetadataNode::text(&self.project_id)),
        ])
    }

    fn instance(&self, live: &LiveValues, token: &str) -> MetadataNode {
        let Self { id, name, project_id, project_number, zone, machine_type, .. } = self;
        let guest_attributes =
            live.guest.iter().map(|(namespace, values)| (namespace.clone(), texts(values))).collect();
        fixed([
            ("attributes", texts(&live.attributes)),
            ("cpu-platform", MetadataNode::text("Unknown CPU Platform")),
            ("description", MetadataNode::text("")),
            ("disks", MetadataNode::Numbered(self.disks())),
            ("guest-attributes", MetadataNode::Named(guest_attributes)),
            ("hostname", MetadataNode::text(format!("{name}.{zone}.c.{project_id}.internal"))),
            ("id", number(*id)),
            ("image", MetadataNode::text(&self.image)),
            ("licenses", MetadataNode::Numbered(Vec::new())),
            (
                "machine-type",
                MetadataNode::text(format!("projects/{project_number}/machineTypes/{machine_type}")),
            ),
            ("maintenance-event", MetadataNode::text("NONE")),
            ("name", MetadataNode::text(name)),
            ("network-interfaces", MetadataNode::Numbered(vec![self.interface()])),
            ("preempted", MetadataNode::text("FALSE")),
            ("remaining-cpu-time", MetadataNode::Number(-1)),
            (
                "scheduling",
                fixed([
                    ("automatic-restart", MetadataNode::text("TRUE")),
                    ("on-host-maintenance", MetadataNode::text("MIGRATE")),
                    ("preemptible", MetadataNode::text("FALSE")),
                ]),
            ),
            ("service-accounts", self.service_accounts(token)),
            ("tags", MetadataNode::Array(self.tags.clone())),
            ("virtual-clock", fixed([("drift-token", MetadataNode::text("0"))])),
            ("zone", MetadataNode::text(format!("projects/{project_number}/zones/{zone}"))),
        ])
    }

    fn disks(&self) -> Vec<MetadataNode> {
        let disk = |(index, name): (u64, &String)| {
            fixed([
                ("device-name", MetadataNode::text(name)),
                ("index", number(index)),
                ("interface", MetadataNode::text("SCSI")),
                ("mode", MetadataNode::text("READ_WRITE")),
                ("type", MetadataNode::text("PERSISTENT")),
            ])
        };
        (0..).zip(&self.disks).map(disk).collect()
    }

    fn interface(&self) -> MetadataNode {
        let Network { ip, subnetmask, gateway, dns, mac, external_ip } = &self.network;
        let access = fixed([
            ("external-ip", MetadataNode::text(external_ip.map(|ip| ip.to_string()).unwrap_or_default())),
            ("type", MetadataNode::text("ONE_TO_ONE_NAT")),
        ]);
        fixed([
            ("access-configs", MetadataNode::Numbered(vec![access])),
            ("dns-servers", MetadataNode::Lines(vec![dns.to_string()])),
            ("forwarded-ips", MetadataNode::Numbered(Vec::new())),
            ("gateway", MetadataNode::text(gateway.to_string())),
            ("ip", MetadataNode::text(ip.to_string())),
            ("ip-aliases", MetadataNode::Numbered(Vec::new())),
            ("mac", MetadataNode::text(mac)),
            ("mtu", MetadataNode::Number(1460)),
            ("network", MetadataNode::text(format!("projects/{}/networks/default", self.project_number))),
            ("subnetmask", MetadataNode::text(subnetmask.to_string())),
            ("target-instance-ips", MetadataNode::Numbered(Vec::new())),
        ])
    }

    fn service_accounts(&self, token: &str) -> MetadataNode {
        let Some(email) = &self.service_account else { return MetadataNode::Named(BTreeMap::new()) };
        let scope = "https://www.googleapis.com/auth/cloud-platform";
        let account = fixed([
            ("aliases", MetadataNode::Lines(vec!["default".to_owned()])),
            ("email", MetadataNode::text(email)),
            ("scopes", MetadataNode::Lines(vec![scope.to_owned()])),
            (
                "token",
                MetadataNode::OnRequest(
                    json!({"access_token": token, "expires_in": 3599, "token_type": "Bearer"}),
                ),
            ),
        ]);
        MetadataNode::Named(BTreeMap::from([
            (email.clone(), account.clone()),
            ("default".to_owned(), account),
        ]))
    }
}

fn fixed<const N: usize>(entries: [(&'static str, MetadataNode); N]) -> MetadataNode {
    MetadataNode::Fixed(BTreeMap::from(entries))
}

fn texts(values: &BTreeMap<String, String>) -> MetadataNode {
    MetadataNode::Named(values.iter().map(|(key, value)| (key.clone(), MetadataNode::text(value))).collect())
}

fn number(number: u64) -> MetadataNode {
    MetadataNode::Number(i64::try_from(number).unwrap_or(i64::MAX))
}
