//! What bake sets up, in use: the real gateway and its Control UI in a real browser, with a model on loopback.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::browser::{self, Visit, assert_answered, assert_refused};
use crate::support::gateway::Gateway;
use crate::support::model::{Model, Question};
use crate::support::test;
use crate::support::{Folder, testbed};

/// The port of the default project, and the one that the README recommends for a second tunnel.
const PORT: u16 = 18789;
const OTHER: u16 = 8080;

/// The environment variable with the model's key.
const KEY: &str = "ABACUS_KEY";

#[test]
fn the_control_ui_answers_on_every_port_and_name_and_to_nobody_else() {
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

    let token = gateway.secret("OPENCLAW_GATEWAY_TOKEN");
    let own = format!("127.0.0.1:{PORT}");
    let mut visits = vec![
        Visit::refused("wrong-token", &own, &own, "not-the-token"),
        Visit::refused("foreign-port", &format!("127.0.0.1:{foreign}"), &own, &token),
        // Resolves to the loopback interface, as a name of an attacker's may.
        Visit::refused("foreign-host", &format!("attacker.localhost:{PORT}"), &own, &token),
    ];
    let mut questions = Vec::new();
    for (number, port) in (1..).zip([PORT, OTHER, free]) {
        for (host, factor) in [("localhost", 7919), ("127.0.0.1", 104_729)] {
            let question = Question(u64::from(port), factor);
            let name = if port == free { "free".to_owned() } else { port.to_string() };
            let name = format!("{number}-{host}-{name}");
            visits.push(Visit::asking(&name, &format!("{host}:{port}"), &token, question));
            questions.push(question);
        }
    }
    let seen = browser::visit(&gateway.namespace, &testbed::artifacts("browser"), &visits);
    let (refused, answered) = seen.split_at(visits.len() - questions.len());
    assert_refused(&refused[0], "AUTH_TOKEN_MISMATCH", "rejected the supplied Gateway secret");
    for foreign in &refused[1..] {
        assert_refused(foreign, "CONTROL_UI_ORIGIN_NOT_ALLOWED", "origin not allowed");
    }
    for (seen, question) in answered.iter().zip(&questions) {
        assert_answered(seen, *question);
    }
    assert!(model.requests() >= questions.len(), "every answer came from the model");

    let audit = gateway.cli(&["security", "audit", "--json"]).done().out;
    let audit: Value = serde_json::from_str(&audit).expect("JSON");
    let critical = audit["findings"].as_array().expect("findings").iter();
    let critical: Vec<_> = critical.filter(|finding| finding["severity"] == "critical").collect();
    assert!(critical.is_empty(), "{critical:#?}");
}
