//! IAM: service accounts, custom roles, and policies.

use serde_json::{Value, json};

use super::http::Request;
use super::state::State;
use super::{Refusal, unknown};

pub(super) fn answer(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    let request = &of_its_project(request);
    match (request.method.as_str(), &request.parts()[..]) {
        ("GET", ["projects", _, "serviceAccounts"]) => {
            let accounts: Vec<_> =
                state.below(&request.path).into_iter().map(|(_, account)| account).collect();
            Ok(json!({ "accounts": accounts }))
        }
        ("POST", ["projects", project, "serviceAccounts"]) => {
            let name = request.body["accountId"].as_str().unwrap_or_default();
            let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
            if !(6..=30).contains(&name.len()) || !name.chars().all(inner) || name.ends_with('-') {
                return Err(Refusal::invalid(format!(
                    "The account ID \"{name}\" does not have a length between 6 and 30."
                )));
            }
            let email = email(project, name);
            if has_account(state, project, &email) {
                return Err(Refusal::exists(&format!("Service account {name}")));
            }
            add_account(state, project, name);
            let path = account_path(project, &email);
            let mut account = state.known(&path)?.clone();
            for key in ["displayName", "description"] {
                account[key] = request.body["serviceAccount"][key].clone();
            }
            state.put(&path, account.clone());
            Ok(account)
        }
        (_, ["projects", .., "getIamPolicy" | "setIamPolicy" | "testIamPermissions"]) => {
            policy(state, request)
        }
        ("GET", ["projects", _, "serviceAccounts" | "roles", _]) => state.known(&request.path).cloned(),
        ("POST", ["projects", _, "serviceAccounts", _, "disable"]) => {
            let path = request.path.trim_end_matches(":disable");
            let mut account = state.known(path)?.clone();
            account["disabled"] = json!(true);
            state.put(path, account);
            Ok(json!({}))
        }
        ("DELETE", ["projects", _, "serviceAccounts", _]) => {
            state.known(&request.path)?;
            state.remove(&request.path);
            Ok(json!({}))
        }
        ("GET", ["roles", name]) => Ok(json!({"name": format!("roles/{name}"), "title": name})),
        ("POST", ["projects", _, "roles"]) => {
            let name = request.body["roleId"].as_str().unwrap_or_default();
            let path = format!("{}/{name}", request.path);
            if state.find(&path).is_some() {
                return Err(Refusal::exists(&path));
            }
            let mut role = request.body["role"].clone();
            role["name"] = json!(super::state::inside(&path));
            state.put(&path, role.clone());
            Ok(role)
        }
        ("PATCH", ["projects", _, "roles", _]) => {
            let role = state.known_mut(&request.path)?;
            for (key, value) in request.body.as_object().into_iter().flatten() {
                role[key] = value.clone();
            }
            Ok(role.clone())
        }
        _ => Err(unknown(request)),
    }
}

/// `projects/-/serviceAccounts/EMAIL` names no project, for the address does.
fn of_its_project(request: &Request) -> Request {
    let mut request = request.clone();
    let email = request.path.strip_prefix("iam/projects/-/serviceAccounts/");
    let email = email.map(|rest| rest.split(':').next().unwrap_or_default());
    if let Some(project) = email.and_then(project_of) {
        request.path = request.path.replacen("projects/-", &format!("projects/{project}"), 1);
    }
    request
}

/// The project that an account's address names.
fn project_of(email: &str) -> Option<String> {
    let (_, domain) = email.split_once('@')?;
    let domain = domain.strip_suffix(".iam.gserviceaccount.com")?;
    Some(match domain.split_once('.') {
        Some((name, domain)) => format!("{domain}:{name}"),
        None => domain.to_owned(),
    })
}

fn email(project: &str, name: &str) -> String {
    // In a project such as example.com:name, the two parts change places.
    let domain = match project.split_once(':') {
        Some((domain, name)) => format!("{name}.{domain}"),
        None => project.to_owned(),
    };
    format!("{name}@{domain}.iam.gserviceaccount.com")
}

fn account_path(project: &str, email: &str) -> String {
    format!("iam/projects/{project}/serviceAccounts/{email}")
}

/// Makes a service account.
pub(super) fn add_account(state: &mut State, project: &str, name: &str) {
    let email = email(project, name);
    let id = state.id();
    let account = json!({
        "name": format!("projects/{project}/serviceAccounts/{email}"),
        "projectId": project,
        "uniqueId": id,
        "email": email,
        "etag": "MDEwMjE5MjA=",
        "oauth2ClientId": id,
    });
    state.put(&account_path(project, &email), account);
}

/// Whether an instance of the project can be given this account.
pub(super) fn has_account(state: &State, project: &str, email: &str) -> bool {
    state.find(&account_path(project, email)).is_some()
}

/// The path of a resource's policy: `policy/` and the resource's path.
fn policy_path(path: &str) -> String {
    format!("policy/{path}")
}

/// Reads or replaces the policy of the resource before `:getIamPolicy` or `:setIamPolicy`.
pub(super) fn policy(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    let (path, verb) = request.path.rsplit_once(':').unwrap_or_default();
    state.known(path)?;
    let kept = policy_path(path);
    match verb {
        "getIamPolicy" => {
            Ok(state.find(&kept).cloned().unwrap_or_else(|| json!({"version": 1, "etag": "ACAB"})))
        }
        "setIamPolicy" => {
            let policy = request.body["policy"].clone();
            for member in members(&policy) {
                let Some(account) = member.strip_prefix("serviceAccount:") else { continue };
                let project = project_of(account);
                if project.is_some_and(|project| !has_account(state, &project, account)) {
                    return Err(Refusal::new(
                        400,
                        "badRequest",
                        format!("Service account {account} does not exist."),
                    ));
                }
            }
            state.put(&kept, policy.clone());
            Ok(policy)
        }
        "testIamPermissions" => Ok(json!({"permissions": request.body["permissions"]})),
        _ => Err(unknown(request)),
    }
}

fn members(policy: &Value) -> Vec<String> {
    let bindings = policy["bindings"].as_array().into_iter().flatten();
    bindings.flat_map(|binding| super::compute::texts(&binding["members"])).collect()
}
