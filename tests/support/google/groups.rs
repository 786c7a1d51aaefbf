//! Managed instance groups: a template, members by name, and what each of them keeps.
//!
//! A group accepts a request at once and acts on it later, one VM after another: immediately by default, after
//! a number of reads, or never while the zone lacks capacity.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::compute::{check_name, completed};
use super::http::Request;
use super::state::{State, last, named, scope};
use super::{Refusal, instances, unknown};

/// A pending request of a group: to create this member, or to replace it if it exists.
#[derive(Clone)]
pub(super) struct Task {
    member: String,
    /// The number of reads before it is done.
    looks: u32,
}

/// The pending work, and the reason for a failure.
#[derive(Clone, Default)]
pub(super) struct Work {
    tasks: VecDeque<Task>,
    errors: Vec<Value>,
}

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
    state.put(path, group);
    state.put(&members_of(path), json!({}));
    for index in 0..members {
        add(state, path, &format!("{base}-{index:04}"), json!({}))?;
    }
    tell(state, path)
}

fn template(group: &Value) -> Option<String> {
    group["versions"][0]["instanceTemplate"].as_str().or(group["instanceTemplate"].as_str()).and_then(named)
}

/// Adds a member; its VM is created later.
fn add(state: &mut State, path: &str, name: &str, config: Value) -> Result<(), Refusal> {
    check_name(name)?;
    if members(state, path).contains_key(name) {
        return Err(Refusal::exists(name));
    }
    state.known_mut(&members_of(path))?[name] = config;
    count(state, path)?;
    begin(state, path, name)
}

/// Creates a member's VM. Preserved disks replace those of the template.
fn make(state: &mut State, path: &str, name: &str, mut config: Value) -> Result<(), Refusal> {
    let template = template(state.known(path)?).unwrap_or_default();
    let mut instance = state.known(&template)?["properties"].clone();
    instance["name"] = json!(name);
    // A template has the type's name, and an instance its URL.
    let machine = last(instance["machineType"].as_str().unwrap_or_default()).to_owned();
    instance["machineType"] = json!(state.url(&format!("{}/machineTypes/{machine}", scope(path))));
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
    config["made of"] = json!(state.url(&template));
    state.known_mut(&members_of(path))?[name] = config;
    Ok(())
}

/// Makes the group create a member, or replace it.
fn begin(state: &mut State, path: &str, name: &str) -> Result<(), Refusal> {
    let looks = state.looks;
    let work = state.work.entry(path.to_owned()).or_default();
    if work.tasks.iter().any(|task| task.member == name) {
        return Ok(());
    }
    work.tasks.push_back(Task { member: name.to_owned(), looks });
    go_on(state, path)
}

/// Does the due work. A VM is deleted before its successor is created.
fn go_on(state: &mut State, path: &str) -> Result<(), Refusal> {
    while let Some(task) = state.work.get(path).and_then(|work| work.tasks.front()) {
        let (name, looks) = (task.member.clone(), task.looks);
        let config = take_down(state, path, &name)?;
        if let Some((code, message)) = state.lacks.clone() {
            let error = json!({
                "error": {"code": code, "message": message},
                "timestamp": "2036-11-22T21:00:00.000+01:00",
                "instanceActionDetails": {
                    "action": "CREATING",
                    "instance": state.url(&format!("{}/instances/{name}", scope(path))),
                },
            });
            state.work.entry(path.to_owned()).or_default().errors.push(error);
            break;
        }
        if looks > 0 {
            break;
        }
        make(state, path, &name, config)?;
        state.work.entry(path.to_owned()).or_default().tasks.pop_front();
    }
    tell(state, path)
}

/// Each read of a group lets time pass.
pub(super) fn look(state: &mut State, path: &str) -> Result<(), Refusal> {
    if let Some(task) = state.work.get_mut(path).and_then(|work| work.tasks.front_mut()) {
        task.looks = task.looks.saturating_sub(1);
        go_on(state, path)?;
    }
    Ok(())
}

/// Says of the group what it is at.
fn tell(state: &mut State, path: &str) -> Result<(), Refusal> {
    let target = template(state.known(path)?).map(|template| json!(state.url(&template)));
    let reached = members(state, path).values().all(|member| Some(&member["made of"]) == target.as_ref());
    let stable = state.work.get(path).is_none_or(|work| work.tasks.is_empty());
    state.known_mut(path)?["status"] = json!({
        "isStable": stable,
        "versionTarget": {"isReached": reached},
        "stateful": {"hasStatefulConfig": true, "perInstanceConfigs": {"allEffective": true}},
    });
    Ok(())
}

/// After a change of the group, members with another template are replaced.
pub(super) fn changed(state: &mut State, path: &str) -> Result<(), Refusal> {
    let target = template(state.known(path)?).map(|template| json!(state.url(&template)));
    let proactive = state.known(path)?["updatePolicy"]["type"] == "PROACTIVE";
    for (name, member) in members(state, path) {
        if proactive && Some(&member["made of"]) != target.as_ref() {
            begin(state, path, &name)?;
        }
    }
    tell(state, path)
}

/// The path of a group's members, each with its configuration.
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

/// Applies the template to a member that runs: metadata and labels, if nothing else differs.
fn refresh(state: &mut State, path: &str, name: &str) -> Result<(), Refusal> {
    let template = template(state.known(path)?).unwrap_or_default();
    let wanted = state.known(&template)?["properties"].clone();
    let member = format!("{}/instances/{name}", scope(path));
    let there = state.known(&member)?;
    let disk = |instance: &Value| instance["disks"][0]["initializeParams"]["sourceImage"].clone();
    for key in ["machineType", "serviceAccounts", "tags", "image"] {
        let (is, should) = (&there[key], &wanted[key]);
        let same = match key {
            "machineType" => {
                last(is.as_str().unwrap_or_default()) == last(should.as_str().unwrap_or_default())
            }
            "tags" => is["items"] == should["items"],
            "image" => disk(there) == disk(&wanted),
            _ => is == should,
        };
        if !same {
            return Err(Refusal::invalid(format!(
                "Cannot apply updates: {key} of {name} requires the action RESTART or REPLACE, and REFRESH is allowed"
            )));
        }
    }
    let mut metadata = wanted["metadata"].clone();
    if let Some(items) = metadata["items"].as_array_mut() {
        items.push(json!({"key": "created-by", "value": state.url(path)}));
    }
    let link = state.url(&template);
    let instance = state.known_mut(&member)?;
    instance["metadata"] = metadata;
    instance["metadata"]["fingerprint"] = json!("BBBB");
    instance["labels"] = wanted["labels"].clone();
    state.known_mut(&members_of(path))?[name]["made of"] = json!(link);
    state.notice(&member);
    Ok(())
}

/// Removes a member; its preserved disks stay.
fn remove(state: &mut State, path: &str, name: &str) -> Result<(), Refusal> {
    instances::delete(state, &format!("{}/instances/{name}", scope(path)));
    if let Some(members) = state.known_mut(&members_of(path))?.as_object_mut() {
        members.remove(name);
    }
    count(state, path)?;
    if let Some(work) = state.work.get_mut(path) {
        work.tasks.retain(|task| task.member != name);
    }
    tell(state, path)
}

/// Deletes a member's VM, if it exists, and returns the settings for the next one: the disks that the group or
/// the member preserves.
fn take_down(state: &mut State, path: &str, name: &str) -> Result<Value, Refusal> {
    let member = format!("{}/instances/{name}", scope(path));
    let mut config = members(state, path).get(name).cloned().unwrap_or_default();
    let kept = state.known(path)?["statefulPolicy"]["preservedState"]["disks"].clone();
    let Some(instance) = state.find(&member) else { return Ok(config) };
    for disk in instance["disks"].as_array().into_iter().flatten() {
        let device = disk["deviceName"].as_str().unwrap_or_default();
        if !kept[device].is_null() && config["preservedState"]["disks"][device].is_null() {
            config["preservedState"]["disks"][device] =
                json!({"source": disk["source"], "mode": disk["mode"]});
        }
    }
    instances::delete(state, &member);
    Ok(config)
}

/// Replaces a member that does not answer.
pub(super) fn heal(state: &mut State, path: &str, name: &str) -> Result<(), Refusal> {
    begin(state, path, name)
}

/// Deletes a group with its members; preserved disks stay.
pub(super) fn delete(state: &mut State, path: &str) {
    for name in members(state, path).keys() {
        instances::delete(state, &format!("{}/instances/{name}", scope(path)));
    }
    state.work.remove(path);
    state.remove(&members_of(path));
    state.remove(path);
}

/// The requests of a group.
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
                        "version": {"instanceTemplate": config["made of"]},
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
        "listErrors" => {
            return Ok(
                json!({"items": state.work.get(path).map(|work| work.errors.clone()).unwrap_or_default()}),
            );
        }
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
        "applyUpdatesToInstances" if request.body["mostDisruptiveAllowedAction"] == "REFRESH" => {
            for name in named_members(request) {
                refresh(state, path, &name)?;
            }
            tell(state, path)?;
        }
        "recreateInstances" | "applyUpdatesToInstances" => {
            let all = request.body["allInstances"] == true;
            let names = if all { members.keys().cloned().collect() } else { named_members(request) };
            for name in names {
                begin(state, path, &name)?;
            }
        }
        "setInstanceTemplate" => {
            let link = request.body["instanceTemplate"].clone();
            let group = state.known_mut(path)?;
            group["instanceTemplate"] = link.clone();
            group["versions"] = json!([{ "instanceTemplate": link }]);
            tell(state, path)?;
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
