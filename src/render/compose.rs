//! `docker-compose.yml`: the gateway, and its command line as a second service.

use serde::Serialize;

use super::fill;
use crate::plan::Plan;
use crate::project::machine::Machine;
use crate::project::spec::{CONTAINER_PORT, STOP_GRACE_SECONDS};
use crate::project::values::{Egress, Strategy};

pub(super) const NAME: &str = "docker-compose.yml";

/// The address of the resolver that `metadata-guard.sh` starts for `egress: listed`.
const RESOLVER: &str = "169.254.53.53";

#[derive(Serialize)]
struct ComposeContext<'a> {
    lock: String,
    image: &'a str,
    built_here: bool,
    container_port: String,
    published: String,
    timezone: &'a str,
    probe: String,
    stop_grace: String,
    memory: Option<String>,
    resolver: Option<&'static str>,
    env: Vec<EnvSetting<'a>>,
}

#[derive(Serialize)]
struct EnvSetting<'a> {
    name: &'a str,
    value: &'a str,
}

pub(super) fn render(plan: &Plan<'_>, image: &str) -> String {
    let gateway = &plan.spec.gateway;
    let env =
        gateway.env.iter().map(|(name, value)| EnvSetting { name: name.as_str(), value: value.as_str() });
    let memory = Machine::new(&plan.spec.gcp.machine_type).memory_mib().map(for_gateway);
    fill(
        NAME,
        include_str!("../../images/docker-compose.yml.j2"),
        &ComposeContext {
            lock: plan.lock_digest.to_string(),
            image,
            built_here: plan.spec.image.origin.strategy() != Strategy::Registry,
            container_port: CONTAINER_PORT.to_string(),
            published: format!("127.0.0.1:{}:{CONTAINER_PORT}", gateway.port.value),
            timezone: gateway.timezone.as_str(),
            // Node is in every base image, and curl in some only.
            probe: format!(
                "fetch('http://127.0.0.1:{CONTAINER_PORT}/startupz').then(r => r.json()).then(b => process.exit(b.status === 'started' ? 0 : 1), () => process.exit(1))"
            ),
            stop_grace: format!("{STOP_GRACE_SECONDS}s"),
            memory: memory.map(|mib| format!("{mib}m")),
            resolver: (gateway.network.egress.value == Egress::Listed).then_some(RESOLVER),
            env: env.collect(),
        },
    )
}

/// The gateway's share of `total` MiB: the host needs some 400 MiB, but a small machine has swap.
fn for_gateway(total: u32) -> u32 {
    total.saturating_sub(400).max(total / 4 * 3)
}
