//! Managed instance groups: a template, members by name, and what each of them keeps.

use serde_json::{Map, Value, json};

use super::compute::{check_name, completed};
use super::http::Request;
use super::state::{State, last, named, scope};
use super::{Refusal, instances, unknown};

/// Makes a group, and as many members as it is to have.
pub(super) fn insert(state: &mut State, path: &str, group: Value) -> Result<(), Refusal> {
    let template = template(&group).ok_or_else(|| Refusal::invalid("no instance template"))?;
    state.known(&template)?;
    for policy in group["autoHealingPolicies"].as_array().into_iter().flatten() {
        let check = policy["healthCheck"].as_str().and_then(named).unwrap_or_default();
        state.known(&check)?;
    }
    let members = group["targetSize"].as_u64().unwrap_or_default();
    let base = group["baseInstanceName"].as_str().unwrap_or_else(|| last(path)).to_owned();
    let mut group = completed(state, path, group);
    group["instanceGroup"] = json!(state.url(&path.replace("/instanceGroupManagers/", "/instanceGroups/")));
    group["status"] = json!({"isStable": true, "versionTarget": {"isReached": true}, "stateful": {"hasStatefulConfig": true, "perInstanceConfigs": {"allEffective": true}}});
    state.put(path, group);
    state.put(&members_of(path), json!({}));
    for index in 0..members {
        add(state, path, &format!("{base}-{index:04}"), json!({}))?;
    }
    Ok(())
}

fn template(group: &Value) -> Option<String> {
    group["versions"][0]["instanceTemplate"].as_str().or(group["instanceTemplate"].as_str()).and_then(named)
}

/// Adds a member, whose preserved disks stand in the place of the template's.
fn add(state: &mut State, path: &str, name: &str, config: Value) -> Result<(), Refusal> {
    check_name(name)?;
    let template = template(state.known(path)?).unwrap_or_default();
    let mut instance = state.known(&template)?["properties"].clone();
    instance["name"] = json!(name);
    let kept = config["preservedState"]["disks"].as_object().cloned().unwrap_or_default();
    let mut disks = instance["disks"].as_array().cloned().unwrap_or_default();
    disks.retain(|disk| !kept.contains_key(disk["deviceName"].as_str().unwrap_or_default()));
    for (device, disk) in &kept {
        disks.push(json!({
            "deviceName": device,
            "source": disk["source"],
            "mode": disk["mode"],
            "autoDelete": false,
            "type": "PERSISTENT",
        }));
    }
    instance["disks"] = json!(disks);
    let member = format!("{}/instances/{name}", scope(path));
    if state.find(&member).is_some() {
        return Err(Refusal::exists(&member));
    }
    instances::insert(state, &member, instance)?;
    let link = state.url(path);
    let metadata = &mut state.known_mut(&member)?["metadata"]["items"];
    let created = json!({"key": "created-by", "value": link});
    match metadata.as_array_mut() {
        Some(items) => items.push(created),
        None => *metadata = json!([created]),
    }
    state.known_mut(&members_of(path))?[name] = config;
    count(state, path)
}

/// Where the members of a group are kept, each with its own configuration.
fn members_of(path: &str) -> String {
    format!("members/{path}")
}

fn members(state: &State, path: &str) -> Map<String, Value> {
    state.find(&members_of(path)).and_then(Value::as_object).cloned().unwrap_or_default()
}

fn count(state: &mut State, path: &str) -> Result<(), Refusal> {
    let size = members(state, path).len();
    state.known_mut(path)?["targetSize"] = json!(size);
    Ok(())
}

/// Takes a member away; what it keeps stays.
fn remove(state: &mut State, path: &str, name: &str) -> Result<(), Refusal> {
    instances::delete(state, &format!("{}/instances/{name}", scope(path)));
    if let Some(members) = state.known_mut(&members_of(path))?.as_object_mut() {
        members.remove(name);
    }
    count(state, path)
}

/// Makes a member anew, with the disks that the group or the member itself says to keep.
fn recreate(state: &mut State, path: &str, name: &str) -> Result<(), Refusal> {
    let member = format!("{}/instances/{name}", scope(path));
    let mut config = members(state, path).get(name).cloned().unwrap_or_default();
    let kept = state.known(path)?["statefulPolicy"]["preservedState"]["disks"].clone();
    for disk in state.known(&member)?["disks"].as_array().into_iter().flatten() {
        let device = disk["deviceName"].as_str().unwrap_or_default();
        if !kept[device].is_null() && config["preservedState"]["disks"][device].is_null() {
            config["preservedState"]["disks"][device] =
                json!({"source": disk["source"], "mode": disk["mode"]});
        }
    }
    instances::delete(state, &member);
    add(state, path, name, config)
}

/// Deletes a group with its members; what they keep stays.
pub(super) fn delete(state: &mut State, path: &str) {
    for name in members(state, path).keys() {
        instances::delete(state, &format!("{}/instances/{name}", scope(path)));
    }
    state.remove(&members_of(path));
    state.remove(path);
}

/// What can be asked of a group.
pub(super) fn answer(state: &mut State, request: &Request, verb: &str) -> Result<Value, Refusal> {
    let (path, _) = request.path.rsplit_once('/').unwrap_or_default();
    let group = state.known(path)?.clone();
    let members = members(state, path);
    let configs = |key: &str| request.body[key].as_array().cloned().unwrap_or_default();
    match verb {
        "listManagedInstances" => {
            let managed: Vec<_> = members
                .iter()
                .map(|(name, config)| {
                    json!({
                        "name": name,
                        "instance": state.url(&format!("{}/instances/{name}", scope(path))),
                        "instanceStatus": "RUNNING",
                        "currentAction": "NONE",
                        "instanceHealth": [{"detailedHealthState": "HEALTHY"}],
                        "preservedStateFromConfig": config["preservedState"],
                        "version": {"instanceTemplate": template(&group)},
                    })
                })
                .collect();
            return Ok(json!({ "managedInstances": managed }));
        }
        "listPerInstanceConfigs" => {
            let items: Vec<_> = members
                .iter()
                .filter(|(_, config)| !config["preservedState"].is_null())
                .map(|(name, config)| json!({"name": name, "preservedState": config["preservedState"], "status": "EFFECTIVE"}))
                .collect();
            return Ok(json!({ "items": items }));
        }
        "listErrors" => return Ok(json!({})),
        "createInstances" => {
            for config in configs("instances") {
                let name = config["name"].as_str().unwrap_or_default().to_owned();
                add(state, path, &name, config)?;
            }
        }
        "updatePerInstanceConfigs" | "patchPerInstanceConfigs" => {
            for config in configs("perInstanceConfigs") {
                let name = config["name"].as_str().unwrap_or_default();
                state.known_mut(&members_of(path))?[name] = config.clone();
            }
        }
        "deleteInstances" => {
            for name in named_members(request) {
                remove(state, path, &name)?;
            }
        }
        "recreateInstances" | "applyUpdatesToInstances" => {
            let all = request.body["allInstances"] == true;
            let names = if all { members.keys().cloned().collect() } else { named_members(request) };
            for name in names {
                recreate(state, path, &name)?;
            }
        }
        "setInstanceTemplate" => {
            let link = request.body["instanceTemplate"].clone();
            let group = state.known_mut(path)?;
            group["instanceTemplate"] = link.clone();
            group["versions"] = json!([{ "instanceTemplate": link }]);
        }
        "resize" => {
            let size: usize =
                request.query.get("size").and_then(|size| size.parse().ok()).unwrap_or_default();
            let base = group["baseInstanceName"].as_str().unwrap_or_default();
            for index in members.len()..size {
                add(state, path, &format!("{base}-{index:04}"), json!({}))?;
            }
            for name in members.keys().skip(size) {
                remove(state, path, name)?;
            }
        }
        _ => return Err(unknown(request)),
    }
    Ok(state.operation(scope(path), verb, path))
}

fn named_members(request: &Request) -> Vec<String> {
    super::compute::texts(&request.body["instances"]).iter().map(|link| last(link).to_owned()).collect()
}
