//! Projects, the services that are enabled in them, and their billing.

use serde_json::{Value, json};

use super::compute::texts;
use super::http::Request;
use super::state::State;
use super::{Refusal, policies, unknown};

pub(super) fn answer(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    let parts = request.parts();
    match (request.service(), request.method.as_str(), &parts[..]) {
        ("serviceusage", "POST", ["projects", project, "services", "batchEnable"]) => {
            for service in texts(&request.body["serviceIds"]) {
                state.enable(project, &service);
            }
            Ok(json!({"name": "operations/acf.2", "done": true, "response": {}}))
        }
        ("serviceusage", _, ["projects", project, "services", rest @ ..]) => {
            services(state, request, project, rest)
        }
        ("cloudresourcemanager", "POST", ["projects"]) => {
            let project = request.body["projectId"].as_str().unwrap_or_default();
            if state.find(&format!("{}/{project}", request.path)).is_some() {
                return Err(Refusal::exists("Requested entity"));
            }
            state.add_project(project);
            let unpaid = json!({"name": format!("projects/{project}/billingInfo"), "projectId": project});
            state.put(&format!("cloudbilling/projects/{project}/billingInfo"), unpaid);
            Ok(json!({"name": "operations/cp.1", "done": true, "response": {"projectId": project}}))
        }
        ("cloudresourcemanager", "GET", ["projects"]) => {
            let projects: Vec<_> =
                state.below(&request.path).into_iter().map(|(_, project)| project).collect();
            Ok(json!({ "projects": projects }))
        }
        ("cloudresourcemanager", "GET", ["operations", name]) => {
            Ok(json!({"name": format!("operations/{name}"), "done": true, "response": {}}))
        }
        // A project without permission looks like a missing one.
        ("cloudresourcemanager", "GET", ["projects", _]) => state
            .known(&request.path)
            .cloned()
            .map_err(|_| Refusal::new(403, "forbidden", "The caller does not have permission")),
        ("cloudresourcemanager", "POST", ["projects", _, _]) => policies::policy(state, request),
        ("cloudbilling", "GET", ["projects", _, "billingInfo"]) => state.known(&request.path).cloned(),
        ("cloudbilling", "PUT", ["projects", _, "billingInfo"]) => {
            let info = state.known_mut(&request.path)?;
            info["billingAccountName"] = request.body["billingAccountName"].clone();
            info["billingEnabled"] = json!(true);
            Ok(info.clone())
        }
        _ => Err(unknown(request)),
    }
}

fn services(state: &mut State, request: &Request, project: &str, rest: &[&str]) -> Result<Value, Refusal> {
    let described = |state: &State, service: &str| {
        let enabled = if state.is_enabled(project, service) { "ENABLED" } else { "DISABLED" };
        json!({
            "name": format!("projects/{project}/services/{service}"),
            "config": {"name": service, "title": service},
            "state": enabled,
            "parent": format!("projects/{project}"),
        })
    };
    match (request.method.as_str(), rest) {
        ("GET", []) => {
            let enabled: Vec<_> =
                state.enabled(project).iter().map(|service| described(state, service)).collect();
            Ok(json!({ "services": enabled }))
        }
        ("GET", [service]) => Ok(described(state, service)),
        ("POST", [service, "enable"]) => {
            state.enable(project, service);
            Ok(json!({"name": "operations/acf.1", "done": true, "response": {}}))
        }
        _ => Err(unknown(request)),
    }
}
