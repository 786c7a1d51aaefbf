//! A gateway in use: the real one and its Control UI in a real browser, with a model on loopback.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::browser;
use crate::support::gateway::Gateway;
use crate::support::google::{Cloud, KEYGEN, Shell};
use crate::support::model::{Model, Question};
use crate::support::test;
use crate::support::{Folder, testbed};

/// The default project's port, and the README's port for a second tunnel.
const PORT: u16 = 18789;
const OTHER: u16 = 8080;

/// The environment variable with the model's key.
const KEY: &str = "ABACUS_KEY";

#[test]
fn control_ui_accepts_configured_origins_and_refuses_others() {
    browser::require();
    let model = Model::on(TcpListener::bind((testbed::engine_address("docker-26"), 0)).expect("a port"));
    let folder = Folder::project();
    model.configure(&folder, KEY, "generate: hex32");
    let gateway = Gateway::start(folder, PORT);
    model.expect(&gateway.secret(KEY));
    let published = gateway.published;
    gateway.namespace.forward(OTHER, published);
    let free = gateway.namespace.forward(0, published);
    let foreign = gateway.namespace.forward(0, published);

    // As `bake gcloud tunnel --port` does.
    for port in [OTHER, free] {
        gateway.run(["/usr/local/lib/openclaw/allow-origin", &port.to_string()]).done();
    }

    let ports = [PORT, OTHER, free];
    let own: Vec<_> =
        ports.iter().flat_map(|port| [format!("localhost:{port}"), format!("127.0.0.1:{port}")]).collect();
    // A page on another port, and one whose host resolves to the loopback interface.
    let foreign = [format!("127.0.0.1:{foreign}"), format!("attacker.localhost:{PORT}")];
    let token = gateway.secret("OPENCLAW_GATEWAY_TOKEN");
    let screenshots = testbed::artifacts("browser");
    let answers = browser::prove(&gateway.namespace, &screenshots, &token, &own, &foreign);
    assert!(model.requests() >= answers, "every answer came from the model");

    // `bake rehearse --ask` runs this in a VM.
    let question = Question(5003, 17);
    let reply = gateway.cli(&["agent", "--agent", "main", "--message", &question.text()]).done().out;
    assert!(reply.contains(&question.answer()), "{reply}");

    browser::prove_link(&gateway.namespace, &testbed::artifacts("browser-link"), &dashboard_link(&gateway));

    let audit = gateway.cli(&["security", "audit", "--json"]).done().out;
    let audit: Value = serde_json::from_str(&audit).expect("JSON");
    let critical = audit["findings"].as_array().expect("findings").iter();
    let critical: Vec<_> = critical.filter(|finding| finding["severity"] == "critical").collect();
    assert!(critical.is_empty(), "{critical:#?}");
}

/// The link that `bake gcloud dashboard` opens on port [`OTHER`]. The real gcloud makes it, over an SSH session to the
/// gateway's machine.
#[track_caller]
fn dashboard_link(gateway: &Gateway) -> String {
    let mut cloud = Cloud::created();
    cloud.beneath_gcloud("ssh-keygen", KEYGEN);
    // When the session ends, the script deletes the page, which a slow browser has not read yet.
    let session = format!(
        "( {} )\ncode=$? tries=0\nuntil [ -s \"$HOME/page\" ] || [ \"$tries\" = 60 ]; do\n\
         sleep 1; tries=$((tries + 1))\ndone\nexit \"$code\"\n",
        gateway.ssh().trim_end()
    );
    cloud.beneath_gcloud("ssh", &session);
    cloud.in_place_of("surf", "cat \"$1\" >\"$HOME/page\"");
    cloud.exported = vec![("BROWSER", "surf")];
    let run = cloud.run(Shell::Dash, &["dashboard", "--port", &OTHER.to_string()]).done();
    let left = cloud.left();
    let page = left.iter().find(|(path, _)| path.ends_with("page"));
    let page =
        String::from_utf8_lossy(&page.unwrap_or_else(|| panic!("no page: {}", run.err)).1).into_owned();
    let (_, link) = page.split_once("content=\"0; url=").expect("a redirect");
    let (link, _) = link.split_once('"').expect("its end");
    assert!(link.starts_with(&format!("http://127.0.0.1:{OTHER}/#")), "a link on another port");
    link.replace("&amp;", "&")
}
