//! Compute Engine's instances: their disks, their metadata, their life, what they tell.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::compute::{check_name, complete_disk, completed, source_image};
use super::http::Request;
use super::state::{State, last, named, scope};
use super::{Refusal, policies, unknown};

/// Bytes of one value and of all metadata ("Limitations" in "About VM metadata").
const LARGEST_VALUE: usize = 262_144;
const LARGEST_METADATA: usize = 524_288;

/// The metadata of an instance's JSON.
pub(super) fn metadata(instance: &Value) -> BTreeMap<String, String> {
    let items = instance["metadata"]["items"].as_array().into_iter().flatten();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    items.map(|item| (text(&item["key"]), text(&item["value"]))).collect()
}

fn check_metadata(resource: &Value) -> Result<(), Refusal> {
    let mut total = 0;
    for (key, value) in metadata(resource) {
        if value.len() > LARGEST_VALUE {
            return Err(Refusal::invalid(format!(
                "Value for field 'metadata.items[{key}].value' is too large: maximum size {LARGEST_VALUE} character(s)"
            )));
        }
        total += key.len() + value.len();
    }
    if total > LARGEST_METADATA {
        return Err(Refusal::invalid("Metadata is too large"));
    }
    Ok(())
}

/// Makes an instance, with the disks that it describes.
pub(super) fn insert(state: &mut State, path: &str, instance: Value) -> Result<(), Refusal> {
    check_metadata(&instance)?;
    let project = path.split('/').nth(2).unwrap_or_default().to_owned();
    for account in instance["serviceAccounts"].as_array().into_iter().flatten() {
        let account = account["email"].as_str().unwrap_or_default();
        if !policies::has_account(state, &project, account) {
            let message = format!(
                "The resource 'projects/{project}/serviceAccounts/{account}' of type 'serviceAccount' was not found."
            );
            return Err(Refusal::new(404, "notFound", message));
        }
    }
    let mut instance = completed(state, path, instance);
    let name = last(path).to_owned();
    let mut made = Vec::new();
    let disks = instance["disks"].as_array().cloned().unwrap_or_default();
    let mut attached = Vec::new();
    for (index, mut disk) in disks.into_iter().enumerate() {
        let disk_path = if let Some(source) = disk["source"].as_str().and_then(named) {
            let users = &state.known(&source)?["users"];
            if users.as_array().is_some_and(|users| !users.is_empty()) {
                return Err(Refusal::in_use(&source, &users.to_string()));
            }
            source
        } else {
            let default = if index == 0 { name.clone() } else { format!("{name}-{index}") };
            let (disk_path, new) = described(state, scope(path), &disk["initializeParams"], &default)?;
            disk["diskSizeGb"] = new["sizeGb"].clone();
            made.push((disk_path.clone(), new));
            disk_path
        };
        disk["source"] = json!(state.url(&disk_path));
        disk["index"] = json!(index);
        if disk["deviceName"].is_null() {
            disk["deviceName"] = json!(format!("persistent-disk-{index}"));
        }
        attached.push((disk_path, disk));
    }
    if state.fails_later() {
        return Ok(());
    }
    for (disk_path, disk) in made {
        state.put(&disk_path, disk);
    }
    let user = state.url(path);
    let now = state.now();
    for (disk_path, _) in &attached {
        let disk = state.known_mut(disk_path)?;
        disk["users"] = json!([user]);
        disk["lastAttachTimestamp"] = json!(now);
    }
    instance["disks"] = attached.into_iter().map(|(_, disk)| disk).collect();
    instance["status"] = json!("RUNNING");
    instance["metadata"]["fingerprint"] = json!("AAAA");
    instance["tags"]["fingerprint"] = json!("AAAA");
    connect(&mut instance);
    state.put(path, instance);
    state.started(path);
    state.watch_metadata(path);
    Ok(())
}

/// A disk as an instance describes it, with its path.
fn described(
    state: &mut State,
    scope: &str,
    wanted: &Value,
    default: &str,
) -> Result<(String, Value), Refusal> {
    let name = wanted["diskName"].as_str().unwrap_or(default);
    check_name(name)?;
    let path = format!("{scope}/disks/{name}");
    if state.find(&path).is_some() {
        return Err(Refusal::exists(&path));
    }
    let mut disk = json!({
        "name": name,
        "sizeGb": wanted["diskSizeGb"],
        "type": wanted["diskType"],
        "sourceImage": wanted["sourceImage"],
        "sourceSnapshot": wanted["sourceSnapshot"],
        "labels": wanted["labels"],
        "resourcePolicies": wanted["resourcePolicies"],
    });
    disk.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    if let Some(image) = wanted["sourceImage"].as_str() {
        disk["sourceImage"] = json!(source_image(state, image)?);
    }
    let mut disk = completed(state, &path, disk);
    complete_disk(state, &path, &mut disk)?;
    Ok((path, disk))
}

/// Addresses: an inner one always, an outer one where it is asked for.
fn connect(instance: &mut Value) {
    let Some(networks) = instance["networkInterfaces"].as_array_mut() else { return };
    for network in networks {
        network["networkIP"] = json!("10.128.0.2");
        network["name"] = json!("nic0");
        for access in network["accessConfigs"].as_array_mut().into_iter().flatten() {
            access["natIP"] = json!("203.0.113.10");
        }
    }
}

/// Deletes an instance; its disks go with it where they are to.
pub(super) fn delete(state: &mut State, path: &str) {
    let Some(instance) = state.remove(path) else { return };
    for disk in instance["disks"].as_array().into_iter().flatten() {
        let Some(source) = disk["source"].as_str().and_then(named) else { continue };
        if disk["autoDelete"] == true {
            state.remove(&source);
        } else if let Ok(disk) = state.known_mut(&source) {
            disk["users"] = json!([]);
        }
    }
}

/// The requests of one instance.
pub(super) fn answer(state: &mut State, request: &Request, verb: &str) -> Result<Value, Refusal> {
    let (path, _) = request.path.rsplit_once('/').unwrap_or_default();
    let body = &request.body;
    let running = state.known(path)?["status"] == "RUNNING";
    match verb {
        "getGuestAttributes" => return guest_attributes(state, request, path),
        "serialPort" => return Ok(serial(state, request, path)),
        "getShieldedInstanceIdentity" => return Ok(json!({})),
        "stop" => state.known_mut(path)?["status"] = json!("TERMINATED"),
        "start" | "reset" => {
            state.known_mut(path)?["status"] = json!("RUNNING");
            state.started(path);
        }
        "setMachineType" => {
            if running {
                let message = format!("Invalid resource state for '{path}': the instance must be stopped");
                return Err(Refusal::new(400, "resourceNotReady", message));
            }
            let (zone, machine) = (scope(path), body["machineType"].as_str().unwrap_or_default());
            let url = state.url(&format!("{zone}/machineTypes/{}", last(machine)));
            state.known_mut(path)?["machineType"] = json!(url);
        }
        "setMetadata" => {
            check_metadata(&json!({ "metadata": body }))?;
            state.known_mut(path)?["metadata"] = body.clone();
            state.known_mut(path)?["metadata"]["fingerprint"] = json!("BBBB");
            state.notice(path);
        }
        "setLabels" => state.known_mut(path)?["labels"] = body["labels"].clone(),
        "setTags" => state.known_mut(path)?["tags"] = body.clone(),
        "attachDisk" => {
            let source = body["source"].as_str().and_then(named).unwrap_or_default();
            if state.known(&source)?["users"].as_array().is_some_and(|users| !users.is_empty()) {
                return Err(Refusal::in_use(&source, "another instance"));
            }
            let (user, now) = (state.url(path), state.now());
            let disk = state.known_mut(&source)?;
            disk["users"] = json!([user]);
            disk["lastAttachTimestamp"] = json!(now);
            if let Some(disks) = state.known_mut(path)?["disks"].as_array_mut() {
                disks.push(body.clone());
            }
        }
        "detachDisk" => detach(state, path, request.query.get("deviceName").map_or("", String::as_str))?,
        "setDiskAutoDelete" => {
            let device = request.query.get("deviceName").cloned().unwrap_or_default();
            let auto = request.query.get("autoDelete").is_some_and(|auto| auto == "true");
            for disk in state.known_mut(path)?["disks"].as_array_mut().into_iter().flatten() {
                if disk["deviceName"] == device.as_str() {
                    disk["autoDelete"] = json!(auto);
                }
            }
        }
        _ => return Err(unknown(request)),
    }
    Ok(state.operation(scope(path), verb, path))
}

fn detach(state: &mut State, path: &str, device: &str) -> Result<(), Refusal> {
    let Some(disks) = state.known_mut(path)?["disks"].as_array_mut() else { return Ok(()) };
    let at = disks.iter().position(|disk| disk["deviceName"] == device);
    let gone = disks.remove(at.ok_or_else(|| Refusal::invalid(format!("No attached disk found: {device}")))?);
    if let Some(source) = gone["source"].as_str().and_then(named) {
        state.known_mut(&source)?["users"] = json!([]);
    }
    Ok(())
}

/// "Setting and querying guest attributes", Compute Engine.
fn guest_attributes(state: &mut State, request: &Request, path: &str) -> Result<Value, Refusal> {
    let enabled = metadata(state.known(path)?)
        .get("enable-guest-attributes")
        .is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if !enabled {
        return Err(Refusal::new(412, "conditionNotMet", "Guest attributes endpoint access is disabled."));
    }
    let wanted = request.query.get("queryPath").map_or("", String::as_str);
    let reported = state.reported(path);
    // `bake.sh` powers off after this report.
    if reported.get("openclaw/status").is_some_and(|status| status == "baked") {
        state.known_mut(path)?["status"] = json!("TERMINATED");
    }
    let items: Vec<_> = reported
        .into_iter()
        .filter(|(key, _)| {
            key == wanted || (wanted.ends_with('/') && key.starts_with(wanted)) || wanted.is_empty()
        })
        .filter_map(|(key, value)| {
            let (namespace, key) = key.split_once('/')?;
            Some(json!({"namespace": namespace, "key": key, "value": value}))
        })
        .collect();
    if items.is_empty() {
        let message = format!("The resource '{wanted}' of type 'Guest Attribute' was not found.");
        return Err(Refusal::new(404, "notFound", message));
    }
    Ok(json!({"kind": "compute#guestAttributes", "queryPath": wanted, "queryValue": {"items": items}}))
}

/// "instances.getSerialPortOutput": the output from byte `start` on.
fn serial(state: &State, request: &Request, path: &str) -> Value {
    let text = state.serial(path);
    let start: usize = request.query.get("start").and_then(|start| start.parse().ok()).unwrap_or_default();
    let start = start.min(text.len());
    json!({
        "kind": "compute#serialPortOutput",
        "contents": String::from_utf8_lossy(&text.as_bytes()[start..]),
        "start": start.to_string(),
        "next": text.len().to_string(),
    })
}
