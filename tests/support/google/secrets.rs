//! Secret Manager: secrets, versions, policies.

use serde_json::{Value, json};

use super::http::Request;
use super::state::{NOW, State};
use super::{Refusal, policies, unknown};

pub(super) fn answer(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    let parts = request.parts();
    match (request.method.as_str(), &parts[..]) {
        ("GET", ["projects", _, "secrets"]) => {
            let secrets: Vec<_> = state.below(&request.path).into_iter().map(|(_, secret)| secret).collect();
            Ok(json!({"secrets": secrets, "totalSize": secrets.len()}))
        }
        ("POST", ["projects", project, "secrets"]) => create(state, request, project),
        (_, ["projects", _, "secrets", _, "getIamPolicy" | "setIamPolicy" | "testIamPermissions"]) => {
            policies::policy(state, request)
        }
        ("POST", ["projects", _, "secrets", _, "addVersion"]) => add_version(state, request),
        ("GET", ["projects", _, "secrets", _]) => state.known(&request.path).cloned(),
        ("DELETE", ["projects", _, "secrets", _]) => {
            state.known(&request.path)?;
            for version in paths_of_versions(state, &request.path) {
                state.remove(&version);
            }
            state.remove(&request.path);
            Ok(json!({}))
        }
        ("GET", ["projects", _, "secrets", _, "versions"]) => {
            let (secret, _) = request.path.rsplit_once('/').unwrap_or_default();
            state.known(secret)?;
            // The newest comes first.
            let versions: Vec<_> = paths_of_versions(state, secret)
                .iter()
                .rev()
                .filter_map(|path| state.find(path).map(without_payload))
                .filter(|version| is_wanted(version, request))
                .collect();
            Ok(json!({"versions": versions, "totalSize": versions.len()}))
        }
        (_, ["projects", project, "secrets", secret, "versions", number, rest @ ..]) => version(
            state,
            request,
            &format!("secretmanager/projects/{project}/secrets/{secret}"),
            number,
            rest,
        ),
        _ => Err(unknown(request)),
    }
}

/// "Naming": letters, digits, `-` and `_`, 255 at most.
fn create(state: &mut State, request: &Request, project: &str) -> Result<Value, Refusal> {
    let id = request.query.get("secretId").map_or("", String::as_str);
    let fits = (1..=255).contains(&id.len())
        && id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if !fits {
        return Err(Refusal::invalid(
            "The provided Secret ID does not match the expected format [[a-zA-Z_0-9]+].",
        ));
    }
    let path = format!("{}/{id}", request.path);
    if state.find(&path).is_some() {
        return Err(Refusal::exists(&format!("Secret [projects/{project}/secrets/{id}]")));
    }
    let mut secret = request.body.clone();
    secret["name"] = json!(format!("projects/{project}/secrets/{id}"));
    secret["createTime"] = json!(NOW);
    secret["etag"] = json!("\"1\"");
    state.put(&path, secret.clone());
    Ok(secret)
}

/// In the order in which they were made.
fn paths_of_versions(state: &State, secret: &str) -> Vec<String> {
    let below = state.below(&format!("{secret}/versions"));
    let mut paths: Vec<_> = below.into_iter().map(|(path, _)| path.clone()).collect();
    paths.sort_by_key(|path| path.rsplit('/').next().and_then(|number| number.parse::<u32>().ok()));
    paths
}

/// gcloud leaves `state=ENABLED` to the server and filters everything else itself.
fn is_wanted(version: &Value, request: &Request) -> bool {
    let Some(filter) = request.query.get("filter") else { return true };
    let (key, wanted) = filter.split_once(['=', ':']).unwrap_or_else(|| panic!("a filter: {filter}"));
    version[key].as_str().is_some_and(|value| value.eq_ignore_ascii_case(wanted))
}

fn without_payload(version: &Value) -> Value {
    let mut version = version.clone();
    version.as_object_mut().and_then(|version| version.remove("data"));
    version
}

fn add_version(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    let secret = request.path.trim_end_matches(":addVersion");
    let name = state.known(secret)?["name"].as_str().unwrap_or_default().to_owned();
    let number = paths_of_versions(state, secret).len() + 1;
    let version = json!({
        "name": format!("{name}/versions/{number}"),
        "createTime": NOW,
        "state": "ENABLED",
        "etag": "\"1\"",
        // gcloud warns where the server did not see the checksum that it sent along.
        "clientSpecifiedPayloadChecksum": !request.body["payload"]["dataCrc32c"].is_null(),
        "data": request.body["payload"]["data"],
    });
    state.put(&format!("{secret}/versions/{number}"), version.clone());
    Ok(without_payload(&version))
}

fn version(
    state: &mut State,
    request: &Request,
    secret: &str,
    number: &str,
    rest: &[&str],
) -> Result<Value, Refusal> {
    let path = match number {
        "latest" => paths_of_versions(state, secret).pop(),
        number => Some(format!("{secret}/versions/{number}")),
    };
    let path = path.ok_or_else(|| Refusal::not_found(&format!("{secret}/versions/{number}")))?;
    let version = state.known(&path)?.clone();
    match (request.method.as_str(), rest) {
        ("GET", []) => Ok(without_payload(&version)),
        ("GET", ["access"]) if version["state"] == "ENABLED" => {
            Ok(json!({"name": version["name"], "payload": {"data": version["data"]}}))
        }
        ("GET", ["access"]) => Err(Refusal::new(
            400,
            "failedPrecondition",
            format!("Secret Version [{path}] is in {} state.", version["state"]),
        )),
        ("POST", [verb @ ("disable" | "enable" | "destroy")]) => {
            let after = match *verb {
                "enable" => "ENABLED",
                "disable" => "DISABLED",
                _ => "DESTROYED",
            };
            state.known_mut(&path)?["state"] = json!(after);
            Ok(without_payload(state.known(&path)?))
        }
        _ => Err(unknown(request)),
    }
}
