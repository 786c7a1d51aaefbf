//! The server's state: resources by path, operations, and reports of VMs.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::groups::Work;
use super::http::Request;
use super::instances;
use super::updates::{Fate, Updater};
use super::{Fault, Refusal, not_enabled};

/// When everything here was made that has no order.
pub(super) const NOW: &str = "2026-11-22T10:00:00.000-08:00";

const FIRST_ID: u64 = 1_000_000_000_000_000_000;

/// The whole state.
#[derive(Clone)]
pub(super) struct State {
    /// The URL of Compute Engine, for links to itself.
    pub(super) base: String,
    resources: BTreeMap<String, Value>,
    operations: BTreeMap<String, Value>,
    /// Services that are enabled, as `PROJECT/SERVICE`.
    enabled: BTreeSet<String>,
    /// The fault of the operation that the current request starts.
    pub(super) troubles: Option<Fault>,
    /// The reports of a VM after its start, one per read.
    pub(super) statuses: Vec<String>,
    reports: BTreeMap<String, Report>,
    /// Whether VMs change their releases in place.
    updates: bool,
    /// The pending work of groups, by path.
    pub(super) work: BTreeMap<String, Work>,
    /// The number of reads before a group has created a VM.
    pub(super) looks: u32,
    /// Why no group makes any VM: a code and a message.
    pub(super) lacks: Option<(&'static str, String)>,
    ids: u64,
}

/// The reports of a VM since its creation.
#[derive(Clone, Default)]
struct Report {
    attributes: BTreeMap<String, String>,
    serial: String,
    looked: usize,
    updater: Option<Updater>,
}

/// Faster in a test program, where the standard library's generic hashers are not optimized.
struct Sha(Sha256);

impl Hasher for Sha {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        u64::from_le_bytes(digest[..8].try_into().expect("eight bytes"))
    }
}

impl State {
    pub(super) fn new(project: &str) -> Self {
        let mut state = Self {
            base: String::new(),
            resources: BTreeMap::new(),
            operations: BTreeMap::new(),
            enabled: BTreeSet::new(),
            troubles: None,
            statuses: Vec::new(),
            reports: BTreeMap::new(),
            updates: false,
            work: BTreeMap::new(),
            looks: 0,
            lacks: None,
            ids: FIRST_ID,
        };
        state.add_project(project);
        state
    }

    /// The same on a server where gcloud finds Compute Engine elsewhere.
    pub(super) fn moved(&self, base: &str) -> Self {
        let resources = serde_json::to_string(&self.resources).expect("JSON").replace(&self.base, base);
        let resources = serde_json::from_str(&resources).expect("JSON");
        Self { base: base.to_owned(), resources, ..self.clone() }
    }

    /// The part of the state that gcloud's answers depend on.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = Sha(Sha256::new());
        self.ids.hash(&mut hasher);
        self.enabled.hash(&mut hasher);
        self.resources.hash(&mut hasher);
        for (instance, report) in &self.reports {
            (instance, &report.attributes, &report.serial, report.looked, &report.updater).hash(&mut hasher);
        }
        hasher.finish()
    }

    pub(super) fn add_project(&mut self, project: &str) {
        let number = self.id();
        self.put(
            &format!("cloudresourcemanager/projects/{project}"),
            json!({
                "projectId": project,
                "projectNumber": &number[number.len() - 12..],
                "name": project,
                "lifecycleState": "ACTIVE",
                "createTime": NOW,
            }),
        );
        let network = json!({"name": "default", "autoCreateSubnetworks": true});
        self.put(&format!("compute/projects/{project}/global/networks/default"), network);
        let billing = json!({
            "name": format!("projects/{project}/billingInfo"),
            "projectId": project,
            "billingAccountName": "billingAccounts/000000-000000-000000",
            "billingEnabled": true,
        });
        self.put(&format!("cloudbilling/projects/{project}/billingInfo"), billing);
    }

    pub(super) fn enable(&mut self, project: &str, service: &str) {
        self.enabled.insert(format!("{project}/{service}"));
    }

    pub(super) fn is_enabled(&self, project: &str, service: &str) -> bool {
        self.enabled.contains(&format!("{project}/{service}"))
    }

    pub(super) fn enabled(&self, project: &str) -> Vec<String> {
        let of = format!("{project}/");
        self.enabled.iter().filter_map(|service| service.strip_prefix(&of).map(str::to_owned)).collect()
    }

    /// The refusal of a request to a project that is not there, or to a service that is not enabled.
    pub(super) fn closed(&self, request: &Request) -> Option<Refusal> {
        let service = request.service();
        if !["compute", "secretmanager", "iam", "artifactregistry"].contains(&service) {
            return None;
        }
        let ["projects", project, ..] = request.parts()[..] else { return None };
        // Images are everybody's.
        if project.ends_with("-cloud") || project == "-" {
            return None;
        }
        if !self.resources.contains_key(&format!("cloudresourcemanager/projects/{project}")) {
            return Some(Refusal::not_found(&format!("projects/{project}")));
        }
        let service = format!("{service}.googleapis.com");
        (!self.is_enabled(project, &service)).then(|| not_enabled(&service, project))
    }

    /// An id that nothing else has.
    pub(super) fn id(&mut self) -> String {
        self.ids += 1;
        self.ids.to_string()
    }

    /// A time after that of every id given before.
    pub(super) fn now(&self) -> String {
        let seconds = self.ids - FIRST_ID;
        format!(
            "2026-11-22T{:02}:{:02}:{:02}.000-08:00",
            10 + seconds / 3600,
            seconds / 60 % 60,
            seconds % 60
        )
    }

    pub(super) fn find(&self, path: &str) -> Option<&Value> {
        self.resources.get(path)
    }

    /// A resource that must be there.
    pub(super) fn known(&self, path: &str) -> Result<&Value, Refusal> {
        self.resources.get(path).ok_or_else(|| Refusal::not_found(inside(path)))
    }

    pub(super) fn known_mut(&mut self, path: &str) -> Result<&mut Value, Refusal> {
        self.resources.get_mut(path).ok_or_else(|| Refusal::not_found(inside(path)))
    }

    pub(super) fn put(&mut self, path: &str, resource: Value) {
        self.resources.insert(path.to_owned(), resource);
    }

    pub(super) fn remove(&mut self, path: &str) -> Option<Value> {
        self.reports.remove(path);
        self.resources.remove(path)
    }

    pub(super) fn paths(&self) -> Vec<&String> {
        self.resources.keys().collect()
    }

    pub(super) fn resources(&self) -> BTreeMap<String, Value> {
        let mut all = self.resources.clone();
        let enabled =
            self.enabled.iter().map(|service| (format!("serviceusage/{service}"), Value::Bool(true)));
        all.extend(enabled);
        all
    }

    /// Resources right below a path.
    pub(super) fn below(&self, path: &str) -> Vec<(&String, &Value)> {
        let start = format!("{path}/");
        let inside = |key: &str| key.strip_prefix(&start).is_some_and(|name| !name.contains('/'));
        self.resources.iter().filter(|(key, _)| inside(key)).collect()
    }

    /// Every resource whose path has this part before its name, in any zone, region or globally.
    pub(super) fn of_kind(&self, project: &str, kind: &str) -> Vec<(&String, &Value)> {
        let start = format!("compute/projects/{project}/");
        let fits = |key: &str| key.starts_with(&start) && key.rsplit('/').nth(1) == Some(kind);
        self.resources.iter().filter(|(key, _)| fits(key)).collect()
    }

    /// The URL of a resource of Compute Engine's.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{}", self.base, inside(path))
    }

    /// Begins an operation on `target`, in `scope` of Compute Engine's, and gives it as it is then.
    pub(super) fn operation(&mut self, scope: &str, kind: &str, target: &str) -> Value {
        let id = self.id();
        let path = format!("{scope}/operations/operation-{id}");
        let mut operation = json!({
            "kind": "compute#operation",
            "id": id,
            "name": format!("operation-{id}"),
            "operationType": kind,
            "targetLink": self.url(target),
            "targetId": "1",
            "status": "RUNNING",
            "user": "somebody@example.com",
            "progress": 0,
            "insertTime": NOW,
            "selfLink": self.url(&path),
        });
        if let Some((key, place)) = place(scope) {
            operation[key] = Value::String(self.url(place));
        }
        let told = operation.clone();
        match self.troubles.take() {
            Some(Fault::Slow(rounds)) => operation["rounds"] = json!(rounds),
            Some(Fault::Later(code, message)) => {
                operation["error"] = json!({"errors": [{"code": code, "message": message}]});
                operation["httpErrorStatusCode"] = json!(503);
                operation["httpErrorMessage"] = json!("SERVICE UNAVAILABLE");
            }
            _ => {}
        }
        self.operations.insert(path, operation);
        told
    }

    /// Whether the operation that the present request begins will fail.
    pub(super) fn fails_later(&self) -> bool {
        matches!(self.troubles, Some(Fault::Later(..)))
    }

    /// Reads an operation.
    pub(super) fn look_at(&mut self, operation: &str) -> Result<Value, Refusal> {
        let found = self.operations.get_mut(operation).ok_or_else(|| Refusal::not_found(operation))?;
        let rounds = found["rounds"].as_u64().unwrap_or_default();
        if rounds > 0 {
            found["rounds"] = json!(rounds - 1);
        } else {
            found["status"] = json!("DONE");
            found["progress"] = json!(100);
            found["endTime"] = json!(NOW);
        }
        let mut told = found.clone();
        told.as_object_mut().and_then(|told| told.remove("rounds"));
        Ok(told)
    }

    pub(super) fn report(&mut self, instance: &str, key: &str, value: &str) {
        let report = self.reports.entry(instance.to_owned()).or_default();
        report.attributes.insert(key.to_owned(), value.to_owned());
    }

    /// Reads an instance's guest attributes.
    pub(super) fn reported(&mut self, instance: &str) -> BTreeMap<String, String> {
        let report = self.reports.entry(instance.to_owned()).or_default();
        if let Some(status) = self.statuses.get(report.looked) {
            report.attributes.insert("openclaw/status".to_owned(), status.clone());
        }
        report.looked += 1;
        if let Some(updater) = &mut report.updater {
            report.attributes.extend(updater.next_report());
        }
        report.attributes.clone()
    }

    /// From now on, VMs change their releases in place.
    pub(super) fn update_in_place(&mut self) {
        self.updates = true;
        let is_instance = |path: &&String| path.rsplit('/').nth(1) == Some("instances");
        for path in self.resources.keys().filter(is_instance).cloned().collect::<Vec<_>>() {
            self.watch_metadata(&path);
        }
    }

    /// A new VM begins to watch its metadata.
    pub(super) fn watch_metadata(&mut self, instance: &str) {
        let Some(resource) = self.resources.get(instance).filter(|_| self.updates) else { return };
        let updater = Updater::of(&instances::metadata(resource));
        let report = self.reports.entry(instance.to_owned()).or_default();
        report.attributes.extend(updater.iter().flat_map(Updater::first_report));
        report.updater = updater;
    }

    /// A VM sees that its metadata have changed.
    pub(super) fn notice(&mut self, instance: &str) {
        let Some(resource) = self.resources.get(instance) else { return };
        let metadata = instances::metadata(resource);
        if let Some(updater) = self.reports.get_mut(instance).and_then(|report| report.updater.as_mut()) {
            updater.notice(&metadata);
        }
    }

    /// How the next change of a VM's release ends.
    pub(super) fn change_ends(&mut self, instance: &str, fate: Fate) {
        let updater = self.reports.get_mut(instance).and_then(|report| report.updater.as_mut());
        updater.expect("a VM that changes its release in place").ends(fate);
    }

    /// Resets the reports of an instance that starts.
    pub(super) fn started(&mut self, instance: &str) {
        let now = json!(self.now());
        if let Ok(instance) = self.known_mut(instance) {
            instance["lastStartTimestamp"] = now;
        }
        self.reports.entry(instance.to_owned()).or_default().looked = 0;
    }

    pub(super) fn write_serial(&mut self, instance: &str, text: &str) {
        self.reports.entry(instance.to_owned()).or_default().serial.push_str(text);
    }

    pub(super) fn serial(&self, instance: &str) -> &str {
        self.reports.get(instance).map_or("", |report| &report.serial)
    }
}

/// A path without the service before it.
pub(super) fn inside(path: &str) -> &str {
    path.split_once('/').map_or(path, |(_, inside)| inside)
}

/// The zone or region of a path of Compute Engine's, with its key.
pub(super) fn place(path: &str) -> Option<(&'static str, &str)> {
    let parts: Vec<_> = path.split('/').collect();
    let key = match *parts.get(3)? {
        "zones" => "zone",
        "regions" => "region",
        _ => return None,
    };
    Some((key, parts.get(4).map(|_| scope(path))?))
}

/// Project, and zone or region or `global`: the first parts of a path of Compute Engine's.
pub(super) fn scope(path: &str) -> &str {
    let parts = if path.split('/').nth(3) == Some("global") { 4 } else { 5 };
    path.match_indices('/').nth(parts - 1).map_or(path, |(at, _)| &path[..at])
}

/// The path of a resource from its name in a request: a URL of any host, or a part of one.
pub(super) fn named(link: &str) -> Option<String> {
    link.find("projects/").map(|at| format!("compute/{}", &link[at..]))
}

/// The last part of a path or URL.
pub(super) fn last(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}
