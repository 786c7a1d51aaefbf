//! Compute Engine: collections of resources, what is special of some, and the checks of all.

use serde_json::{Value, json};

use super::http::Request;
use super::state::{State, last, named, place, scope};
use super::{Refusal, filter, groups, instances, unknown};

/// The existing zones, which imply their regions.
const ZONES: [&str; 3] = ["us-central1-a", "us-central1-b", "europe-west1-b"];

/// Machine types, each with the zones that have it.
const MACHINE_TYPES: [(&str, &[&str]); 6] = [
    ("e2-micro", &ZONES),
    ("e2-small", &ZONES),
    ("e2-medium", &ZONES),
    ("e2-standard-4", &ZONES),
    ("n4-standard-2", &["europe-west1-b"]),
    ("c4a-standard-1", &ZONES),
];

/// Families of images: project, family.
const FAMILIES: [(&str, &str); 6] = [
    ("debian-cloud", "debian-12"),
    ("debian-cloud", "debian-12-arm64"),
    ("debian-cloud", "debian-13"),
    ("debian-cloud", "debian-13-arm64"),
    ("ubuntu-os-cloud", "ubuntu-2404-lts-amd64"),
    ("ubuntu-os-cloud", "ubuntu-2404-lts-arm64"),
];

/// The end of the names of their images.
const STOCK_VERSION: &str = "v20261110";

/// Collections that hold what it takes to be a resource of Compute Engine's, and what kind they are.
const KINDS: [(&str, &str); 14] = [
    ("autoscalers", "compute#autoscaler"),
    ("disks", "compute#disk"),
    ("firewalls", "compute#firewall"),
    ("healthChecks", "compute#healthCheck"),
    ("instanceGroupManagers", "compute#instanceGroupManager"),
    ("images", "compute#image"),
    ("instanceTemplates", "compute#instanceTemplate"),
    ("instances", "compute#instance"),
    ("networks", "compute#network"),
    ("resourcePolicies", "compute#resourcePolicy"),
    ("routers", "compute#router"),
    ("snapshots", "compute#snapshot"),
    ("subnetworks", "compute#subnetwork"),
    ("instanceGroups", "compute#instanceGroup"),
];

fn kind_of(collection: &str) -> Option<&'static str> {
    KINDS.iter().find(|(name, _)| *name == collection).map(|(_, kind)| *kind)
}

pub(super) fn answer(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    let path = request.path.as_str();
    match (request.method.as_str(), &request.parts()[..]) {
        ("GET", ["projects", project]) => Ok(project_of(project)),
        ("GET", ["projects", _, "zones"]) => Ok(json!({"items": ZONES.map(|zone| zone_of(state, zone))})),
        ("GET", ["projects", project, "zones", zone]) => ZONES
            .contains(zone)
            .then(|| zone_of(state, zone))
            .ok_or_else(|| Refusal::not_found(&format!("projects/{project}/zones/{zone}"))),
        ("GET", ["projects", _, "regions", region]) => {
            let quotas = state.find(&format!("quotas/{region}")).cloned().unwrap_or_else(|| json!([]));
            Ok(json!({"name": region, "status": "UP", "quotas": quotas}))
        }
        ("GET", ["projects", _, "zones", zone, "machineTypes"]) => {
            let types = MACHINE_TYPES.iter().filter(|(_, zones)| zones.contains(zone));
            let types =
                types.map(|(name, _)| json!({"name": name, "zone": zone, "guestCpus": 2, "memoryMb": 2048}));
            let types: Vec<_> = types
                .filter(|kind| request.query.get("filter").is_none_or(|filter| filter::passes(kind, filter)))
                .collect();
            Ok(json!({"kind": "compute#machineTypeList", "items": types}))
        }
        ("GET", ["projects", _, "zones", _, "machineTypes", name]) => Ok(json!({"name": name})),
        (
            "GET",
            ["projects", project, "zones", _, "imageFamilyViews", family]
            | ["projects", project, "global", "images", "family", family],
        ) => image_of_family(state, project, family),
        ("POST", [.., "operations", _, "wait"]) => state.look_at(path.trim_end_matches("/wait")),
        ("GET", [.., "operations", _]) => state.look_at(path),
        ("GET", ["projects", project, "aggregated", collection]) => {
            Ok(aggregated(state, request, project, collection))
        }
        ("GET", [.., collection]) if kind_of(collection).is_some() => {
            if *collection == "instanceGroupManagers" {
                for group in state.below(path).into_iter().map(|(path, _)| path.clone()).collect::<Vec<_>>() {
                    groups::look(state, &group)?;
                }
            }
            Ok(list(state, request))
        }
        ("GET", ["projects", project, "global", "images", name]) if project.ends_with("-cloud") => {
            stock_image(state, project, name)
        }
        ("GET", [.., collection, _]) if kind_of(collection).is_some() => state.known(path).cloned(),
        ("POST", ["projects", _, "global", "images"]) => image(state, request),
        ("POST", ["projects", _, "global", "snapshots"]) => {
            let disk = request.body["sourceDisk"].as_str().and_then(named).unwrap_or_default();
            snapshot(state, request, &disk)
        }
        ("POST", [.., collection]) if kind_of(collection).is_some() => insert(state, request, collection),
        ("DELETE", [.., collection, _]) if kind_of(collection).is_some() => delete(state, path, collection),
        ("PATCH" | "PUT", [.., collection, _]) if kind_of(collection).is_some() => change(state, request),
        (_, [.., "instances", _, verb]) => instances::answer(state, request, verb),
        (_, [.., "instanceGroupManagers", _, verb]) => groups::answer(state, request, verb),
        ("POST", [.., "disks", _, "createSnapshot"]) => {
            snapshot(state, request, request.path.trim_end_matches("/createSnapshot"))
        }
        ("POST", [.., "disks", _, verb]) => change_disk(state, request, verb),
        ("POST", [.., "snapshots", _, "setLabels"]) => labels(state, request),
        ("GET", [.., "routers", _, "getRouterStatus"]) => Ok(json!({"result": {}})),
        _ => Err(unknown(request)),
    }
}

fn project_of(project: &str) -> Value {
    json!({
        "kind": "compute#project",
        "name": project,
        "defaultServiceAccount": "123456789012-compute@developer.gserviceaccount.com",
        "commonInstanceMetadata": {"kind": "compute#metadata", "fingerprint": "AAAA"},
        "xpnProjectStatus": "UNSPECIFIED_XPN_PROJECT_STATUS",
    })
}

fn zone_of(state: &State, zone: &str) -> Value {
    let (region, _) = zone.rsplit_once('-').unwrap_or_default();
    json!({
        "kind": "compute#zone",
        "name": zone,
        "status": "UP",
        "region": state.url(&format!("compute/projects/demo/regions/{region}")),
    })
}

/// The newest image of a family that is ready.
fn image_of_family(state: &State, project: &str, family: &str) -> Result<Value, Refusal> {
    let image = if FAMILIES.contains(&(project, family)) {
        stock_image(state, project, &format!("{family}-{STOCK_VERSION}"))?
    } else {
        let path = format!("compute/projects/{project}/global/images");
        let images = state.below(&path).into_iter().map(|(_, image)| image);
        let newest = images
            .filter(|image| image["family"] == family && image["status"] == "READY")
            .max_by_key(|image| image["creationTimestamp"].as_str().map(str::to_owned));
        newest
            .cloned()
            .ok_or_else(|| Refusal::not_found(&format!("projects/{project}/global/images/family/{family}")))?
    };
    Ok(json!({
        "image": image.clone(),
        "name": image["name"].clone(),
        "selfLink": image["selfLink"].clone(),
        "diskSizeGb": image["diskSizeGb"].clone(),
    }))
}

/// The image of an operating system, by its name.
fn stock_image(state: &State, project: &str, name: &str) -> Result<Value, Refusal> {
    let path = format!("projects/{project}/global/images/{name}");
    let family = name.strip_suffix(STOCK_VERSION).and_then(|family| family.strip_suffix('-'));
    let family = family.filter(|family| FAMILIES.contains(&(project, *family)));
    let family = family.ok_or_else(|| Refusal::not_found(&path))?;
    Ok(json!({
        "kind": "compute#image",
        "name": name,
        "family": family,
        "status": "READY",
        "diskSizeGb": "10",
        "selfLink": state.url(&format!("compute/{path}")),
    }))
}

/// Makes an image of a disk, which no running instance may use ("images.insert", Compute Engine).
fn image(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    let path = check(state, &request.path, &request.body)?;
    let disk = request.body["sourceDisk"].as_str().and_then(named).unwrap_or_default();
    let from = state.known(&disk)?.clone();
    for user in texts(&from["users"]) {
        let status = named(&user).and_then(|user| state.find(&user)).map(|user| user["status"].clone());
        if status.is_some_and(|status| status != "TERMINATED") {
            return Err(Refusal::in_use(&disk, &user));
        }
    }
    if !state.fails_later() {
        let mut image = completed(state, &path, request.body.clone());
        image["status"] = json!("READY");
        image["diskSizeGb"] = from["sizeGb"].clone();
        image["archiveSizeBytes"] = json!("1048576");
        state.put(&path, image);
    }
    Ok(state.operation(scope(&path), "insert", &path))
}

/// The image that a name or a family means, as the disk of it says.
pub(super) fn source_image(state: &State, link: &str) -> Result<String, Refusal> {
    let path = named(link).ok_or_else(|| Refusal::not_found(link))?;
    let parts: Vec<_> = path.split('/').collect();
    let found = match parts[..] {
        ["compute", "projects", project, "global", "images", "family", family]
        | ["compute", "projects", project, "zones", _, "imageFamilyViews", family] => {
            image_of_family(state, project, family)?
        }
        ["compute", "projects", project, "global", "images", name] if project.ends_with("-cloud") => {
            stock_image(state, project, name)?
        }
        _ => state.known(&path)?.clone(),
    };
    Ok(found["selfLink"].as_str().unwrap_or_default().to_owned())
}

fn list(state: &State, request: &Request) -> Value {
    let items: Vec<_> = state
        .below(&request.path)
        .into_iter()
        .map(|(_, resource)| resource)
        .filter(|resource| request.query.get("filter").is_none_or(|filter| filter::passes(resource, filter)))
        .collect();
    // Google leaves empty lists out.
    if items.is_empty() {
        json!({"kind": "compute#list"})
    } else {
        json!({"kind": "compute#list", "items": items})
    }
}

fn aggregated(state: &State, request: &Request, project: &str, collection: &str) -> Value {
    let mut items = serde_json::Map::new();
    for (path, resource) in state.of_kind(project, collection) {
        if request.query.get("filter").is_none_or(|filter| filter::passes(resource, filter)) {
            let scope = scope(path).splitn(4, '/').nth(3).unwrap_or_default().to_owned();
            let scoped = items.entry(scope).or_insert_with(|| json!({ collection: [] }));
            if let Some(list) = scoped[collection].as_array_mut() {
                list.push(resource.clone());
            }
        }
    }
    json!({ "items": items })
}

/// RFC 1035, as "Naming resources" of Compute Engine has it.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let fits = (1..=63).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.chars().all(inner)
        && !name.ends_with('-');
    if fits {
        return Ok(());
    }
    let pattern = "(?:[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?)";
    Err(Refusal::invalid(format!(
        "Invalid value for field 'resource.name': '{name}'. Must be a match of regex '{pattern}'"
    )))
}

/// "Requirements for labels", Compute Engine.
fn check_labels(labels: &Value) -> Result<(), Refusal> {
    let fits = |text: &str| {
        text.chars().count() <= 63
            && text
                .chars()
                .all(|c| c.is_numeric() || c == '_' || c == '-' || (c.is_alphabetic() && !c.is_uppercase()))
    };
    for (key, value) in labels.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        if !fits(value) || !fits(key) || !key.starts_with(char::is_alphabetic) {
            return Err(Refusal::invalid(format!(
                "Invalid value for field 'resource.labels': '{key}={value}'"
            )));
        }
    }
    Ok(())
}

/// Names, labels and what is there already, for whatever is about to be made.
pub(super) fn check(state: &State, collection: &str, resource: &Value) -> Result<String, Refusal> {
    let name = resource["name"].as_str().unwrap_or_default();
    check_name(name)?;
    check_labels(&resource["labels"])?;
    let path = format!("{collection}/{name}");
    if state.find(&path).is_some() {
        return Err(Refusal::exists(&path));
    }
    Ok(path)
}

/// The resource with what Google adds to every one.
pub(super) fn completed(state: &mut State, path: &str, mut resource: Value) -> Value {
    let collection = path.rsplit('/').nth(1).unwrap_or_default();
    resource["id"] = json!(state.id());
    resource["kind"] = json!(kind_of(collection));
    resource["creationTimestamp"] = json!(state.now());
    resource["selfLink"] = json!(state.url(path));
    resource["fingerprint"] = json!("AAAA");
    resource["labelFingerprint"] = json!("AAAA");
    if let Some((key, place)) = place(path) {
        resource[key] = json!(state.url(place));
    }
    resource
}

fn insert(state: &mut State, request: &Request, collection: &str) -> Result<Value, Refusal> {
    let path = check(state, &request.path, &request.body)?;
    match collection {
        "instances" => instances::insert(state, &path, request.body.clone())?,
        "instanceGroupManagers" => groups::insert(state, &path, request.body.clone())?,
        _ => {
            let mut resource = completed(state, &path, request.body.clone());
            match collection {
                "disks" => complete_disk(state, &path, &mut resource)?,
                "resourcePolicies" => resource["status"] = json!("READY"),
                _ => {}
            }
            if !state.fails_later() {
                state.put(&path, resource);
            }
        }
    }
    Ok(state.operation(scope(&path), "insert", &path))
}

/// Adds the defaults of a new disk, and checks that its references exist.
pub(super) fn complete_disk(state: &State, path: &str, disk: &mut Value) -> Result<(), Refusal> {
    for key in ["sourceSnapshot", "sourceDisk"] {
        let Some(source) = disk[key].as_str().and_then(named) else { continue };
        let size = state.known(&source)?["sizeGb"].clone();
        let size = if size.is_null() { state.known(&source)?["diskSizeGb"].clone() } else { size };
        if disk["sizeGb"].is_null() {
            disk["sizeGb"] = size;
        } else if gigabytes(&disk["sizeGb"]) < gigabytes(&size) {
            return Err(Refusal::invalid(format!(
                "Requested disk size cannot be smaller than the snapshot size ({} GB)",
                gigabytes(&size)
            )));
        }
    }
    for policy in texts(&disk["resourcePolicies"]) {
        state.known(&named(&policy).ok_or_else(|| Refusal::not_found(&policy))?)?;
    }
    if disk["sizeGb"].is_null() {
        disk["sizeGb"] = json!("500");
    }
    if disk["type"].is_null() {
        disk["type"] = json!(state.url(&format!("{}/diskTypes/pd-standard", scope(path))));
    }
    disk["status"] = json!("READY");
    Ok(())
}

fn gigabytes(size: &Value) -> u64 {
    size.as_u64().or_else(|| size.as_str().and_then(|size| size.parse().ok())).unwrap_or_default()
}

/// The texts of a list.
pub(super) fn texts(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn delete(state: &mut State, path: &str, collection: &str) -> Result<Value, Refusal> {
    let resource = state.known(path)?.clone();
    if !state.fails_later() {
        match collection {
            "instances" => instances::delete(state, path),
            "instanceGroupManagers" => groups::delete(state, path),
            _ => {
                if let Some(user) = user(state, path, &resource) {
                    return Err(Refusal::in_use(path, &user));
                }
                state.remove(path);
            }
        }
    }
    Ok(state.operation(scope(path), "delete", path))
}

/// The user of a resource, which prevents its deletion.
fn user(state: &State, path: &str, resource: &Value) -> Option<String> {
    if let Some(user) = texts(&resource["users"]).into_iter().next() {
        return Some(user);
    }
    let project = path.split('/').nth(2).unwrap_or_default();
    let uses = |kind: &str, key: &str| {
        state
            .of_kind(project, kind)
            .into_iter()
            .find(|(_, other)| other[key].to_string().contains(&format!("{}\"", super::state::inside(path))))
            .map(|(user, _)| user.clone())
    };
    match path.rsplit('/').nth(1)? {
        "resourcePolicies" => uses("disks", "resourcePolicies"),
        "instanceTemplates" => uses("instanceGroupManagers", "versions")
            .or_else(|| uses("instanceGroupManagers", "instanceTemplate")),
        "healthChecks" => uses("instanceGroupManagers", "autoHealingPolicies"),
        _ => None,
    }
}

fn change(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    let resource = state.known_mut(&request.path)?;
    if request.method == "PATCH" {
        merge(resource, &request.body);
    } else {
        for (key, value) in request.body.as_object().into_iter().flatten() {
            resource[key] = value.clone();
        }
    }
    if request.path.contains("/instanceGroupManagers/") {
        groups::changed(state, &request.path)?;
    }
    Ok(state.operation(scope(&request.path), &request.method.to_lowercase(), &request.path))
}

/// A merge of JSON (RFC 7396), without its deletions.
fn merge(resource: &mut Value, patch: &Value) {
    match patch {
        Value::Object(patch) => {
            for (key, value) in patch {
                merge(&mut resource[key], value);
            }
        }
        other => *resource = other.clone(),
    }
}

fn snapshot(state: &mut State, request: &Request, disk: &str) -> Result<Value, Refusal> {
    let from = state.known(disk)?.clone();
    let project: Vec<_> = disk.split('/').take(3).collect();
    let path = check(state, &format!("{}/global/snapshots", project.join("/")), &request.body)?;
    if !state.fails_later() {
        let mut snapshot = completed(state, &path, request.body.clone());
        snapshot["status"] = json!("READY");
        snapshot["diskSizeGb"] = from["sizeGb"].clone();
        snapshot["sourceDisk"] = from["selfLink"].clone();
        snapshot["sourceDiskId"] = from["id"].clone();
        snapshot["storageBytes"] = json!("1048576");
        state.put(&path, snapshot);
    }
    Ok(state.operation(scope(&request.path), "createSnapshot", disk))
}

fn labels(state: &mut State, request: &Request) -> Result<Value, Refusal> {
    check_labels(&request.body["labels"])?;
    let (path, _) = request.path.rsplit_once('/').unwrap_or_default();
    state.known_mut(path)?["labels"] = request.body["labels"].clone();
    Ok(state.operation(scope(path), "setLabels", path))
}

fn change_disk(state: &mut State, request: &Request, verb: &str) -> Result<Value, Refusal> {
    let (path, _) = request.path.rsplit_once('/').unwrap_or_default();
    let body = &request.body;
    state.known(path)?;
    match verb {
        "setLabels" => return labels(state, request),
        "resize" => {
            let disk = state.known_mut(path)?;
            if gigabytes(&body["sizeGb"]) < gigabytes(&disk["sizeGb"]) {
                return Err(Refusal::invalid("Disk size cannot be decreased."));
            }
            disk["sizeGb"] = json!(gigabytes(&body["sizeGb"]).to_string());
        }
        "addResourcePolicies" => {
            for policy in texts(&body["resourcePolicies"]) {
                let policy = named(&policy).ok_or_else(|| Refusal::not_found(&policy))?;
                state.known(&policy)?;
                let link = state.url(&policy);
                let disk = state.known_mut(path)?;
                if disk["resourcePolicies"].as_array().is_some_and(|policies| !policies.is_empty()) {
                    return Err(Refusal::invalid(
                        "Only one snapshot schedule resource policy can be attached to a disk.",
                    ));
                }
                disk["resourcePolicies"] = json!([link]);
            }
        }
        "removeResourcePolicies" => {
            let gone: Vec<_> =
                texts(&body["resourcePolicies"]).iter().map(|link| last(link).to_owned()).collect();
            let disk = state.known_mut(path)?;
            let left: Vec<_> = texts(&disk["resourcePolicies"])
                .into_iter()
                .filter(|link| !gone.iter().any(|gone| gone == last(link)))
                .collect();
            disk["resourcePolicies"] = json!(left);
        }
        _ => return Err(unknown(request)),
    }
    Ok(state.operation(scope(path), verb, path))
}
