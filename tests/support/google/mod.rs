//! A local server with the Google APIs that gcloud uses: Compute Engine, Secret Manager, IAM, Service Usage,
//! Resource Manager, Cloud Billing, OS Login, Artifact Registry.
//!
//! It keeps resources as JSON at the paths of their REST APIs, and refuses invalid requests as Google does if a script
//! could depend on it: names, missing resources, resources in use, disabled services. It records every request and fails
//! on demand. Answers and errors follow Google's API references and the code of gcloud 528.

mod compute;
mod filter;
mod forks;
mod groups;
mod http;
mod instances;
mod oslogin;
mod policies;
mod projects;
pub mod replay;
mod run;
mod secrets;
mod state;
mod updates;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub use http::Request;
pub use run::{Cloud, KEYGEN, Run, Shell, files};
use state::State;
pub use updates::Fate;

/// The project that is there from the beginning.
pub const PROJECT: &str = "demo";

/// The account that is logged in.
pub const ACCOUNT: &str = "me@example.com";

/// Services with the path under which the server has them, which is also gcloud's name for them.
const SERVICES: [&str; 8] = [
    "compute",
    "secretmanager",
    "iam",
    "serviceusage",
    "cloudresourcemanager",
    "cloudbilling",
    "oslogin",
    "artifactregistry",
];

/// The status of an answer that does not arrive.
const LOST: u16 = 0;

/// A fault of a request.
#[derive(Clone, Debug)]
pub enum Fault {
    /// It is refused at once.
    Refused(Refusal),
    /// It is taken, and fails later: code and message in the operation that it began.
    Later(&'static str, String),
    /// The operation that it began is not done for that many questions.
    Slow(u32),
    /// It is done, and the connection is lost before the answer.
    Lost,
}

/// An error as Google's APIs give it.
#[derive(Clone, Debug)]
pub struct Refusal {
    status: u16,
    /// In the list of errors, as Compute Engine has it.
    reason: &'static str,
    message: String,
    details: Value,
}

impl Refusal {
    fn new(status: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { status, reason, message: message.into(), details: Value::Null }
    }

    fn not_found(path: &str) -> Self {
        Self::new(404, "notFound", format!("The resource '{path}' was not found"))
    }

    fn exists(path: &str) -> Self {
        Self::new(409, "alreadyExists", format!("The resource '{path}' already exists"))
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self::new(400, "invalid", message)
    }

    fn in_use(path: &str, by: &str) -> Self {
        let message = format!("The resource '{path}' is already being used by '{by}'");
        Self::new(400, "resourceInUseByAnotherResource", message)
    }

    fn body(&self) -> Value {
        let mut error = json!({
            "code": self.status,
            "message": self.message,
            "status": match self.status {
                400 => "INVALID_ARGUMENT",
                403 => "PERMISSION_DENIED",
                404 => "NOT_FOUND",
                409 => "ALREADY_EXISTS",
                412 => "FAILED_PRECONDITION",
                429 => "RESOURCE_EXHAUSTED",
                501 => "UNIMPLEMENTED",
                _ => "UNKNOWN",
            },
            "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
        });
        if !self.details.is_null() {
            error["details"] = self.details.clone();
        }
        json!({ "error": error })
    }
}

impl Fault {
    /// A quota of the region is used up ("Allocation quotas", Compute Engine).
    pub fn quota() -> Self {
        let message = "Quota 'CPUS' exceeded.  Limit: 2.0 in region us-central1.";
        Self::Refused(Refusal::new(403, "quotaExceeded", message))
    }

    /// The zone has no such machine left ("Troubleshooting resource availability errors").
    pub fn no_machine_left() -> Self {
        Self::Later(
            "ZONE_RESOURCE_POOL_EXHAUSTED",
            "The zone 'projects/demo/zones/us-central1-a' does not have enough resources available to fulfill \
             the request. Try a different zone, or try again later."
                .to_owned(),
        )
    }

    /// An error with this status and reason.
    pub fn status(status: u16, reason: &'static str) -> Self {
        Self::Refused(Refusal::new(status, reason, format!("The request failed: {reason}")))
    }

    /// The account lacks a permission.
    pub fn denied(permission: &str) -> Self {
        let message = format!("Required '{permission}' permission for 'projects/demo'");
        Self::Refused(Refusal::new(403, "forbidden", message))
    }

    /// A policy of the organization forbids it, in Google's words.
    pub fn policy(message: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(412, "conditionNotMet", message))
    }

    /// A reference does not exist, in Google's words.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::Refused(Refusal::new(404, "notFound", message))
    }

    /// A field has a wrong value, in Google's words.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::Refused(Refusal::invalid(message))
    }

    /// The account may not hand the VM's service account to a VM ("Service account user role", IAM).
    pub fn may_not_act_as(account: &str) -> Self {
        Self::Later(
            "SERVICE_ACCOUNT_ACCESS_DENIED",
            format!(
                "The user does not have access to service account '{account}'.  User: 'somebody@example.com'.  \
                 Ask a project owner to grant you the iam.serviceAccountUser role on the service account"
            ),
        )
    }

    /// A service account that was made a moment ago is not known everywhere yet ("Eventual
    /// consistency", IAM).
    pub fn account_not_known_yet(account: &str) -> Self {
        Self::Refused(Refusal::new(400, "badRequest", format!("Service account {account} does not exist.")))
    }
}

/// The error of an API that is not enabled ("Error handling", Service Usage).
fn not_enabled(service: &str, project: &str) -> Refusal {
    let url = format!("https://console.developers.google.com/apis/api/{service}/overview?project={project}");
    let message = format!(
        "{service} has not been used in project {project} before or it is disabled. Enable it by visiting \
         {url} then retry. If you enabled this API recently, wait a few minutes for the action to propagate \
         to our systems and retry."
    );
    let metadata = json!({"service": service, "consumer": format!("projects/{project}")});
    let details = json!([
        {
            "@type": "type.googleapis.com/google.rpc.Help",
            "links": [{"description": "Google developers console API activation", "url": url}],
        },
        {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "SERVICE_DISABLED",
            "domain": "googleapis.com",
            "metadata": metadata,
        },
    ]);
    Refusal { details, ..Refusal::new(403, "accessNotConfigured", message) }
}

/// A fault, and for which requests.
struct Rule {
    method: &'static str,
    /// How the path ends.
    end: String,
    fault: Fault,
    /// How many times more; none for ever.
    times: Option<u32>,
}

/// The data that the server's thread and the test share.
struct Shared {
    state: Mutex<State>,
    requests: Mutex<Vec<Request>>,
    rules: Mutex<Vec<Rule>>,
    /// The fault of one request, and how many requests precede it.
    nth: Mutex<Option<(usize, Fault)>>,
}

impl Shared {
    fn answer(&self, request: &Request) -> Result<Value, Refusal> {
        let mut state = locked(&self.state);
        let mut later = None;
        match self.fault(request) {
            Some(Fault::Refused(refusal)) => return Err(refusal),
            Some(fault) => later = Some(fault),
            None => {}
        }
        let is_lost = matches!(later, Some(Fault::Lost));
        if let Some(refusal) = state.closed(request) {
            return Err(refusal);
        }
        state.troubles = later;
        let answer = match request.service() {
            "compute" => compute::answer(&mut state, request),
            "secretmanager" => secrets::answer(&mut state, request),
            // For a repository, only its policy is read.
            "iam" | "artifactregistry" => policies::answer(&mut state, request),
            "oslogin" => oslogin::answer(&mut state, request),
            "serviceusage" | "cloudresourcemanager" | "cloudbilling" => projects::answer(&mut state, request),
            _ => Err(unknown(request)),
        };
        state.troubles = None;
        if is_lost {
            return Err(Refusal::new(LOST, "lost", "the connection is lost"));
        }
        answer
    }

    fn fault(&self, request: &Request) -> Option<Fault> {
        let mut nth = locked(&self.nth);
        match &mut *nth {
            Some((0, _)) => return nth.take().map(|(_, fault)| fault),
            Some((left, _)) => *left -= 1,
            None => {}
        }
        drop(nth);
        let mut rules = locked(&self.rules);
        let rule = rules.iter_mut().find(|rule| {
            rule.method == request.method && request.path.ends_with(&rule.end) && rule.times != Some(0)
        })?;
        rule.times = rule.times.map(|left| left - 1);
        Some(rule.fault.clone())
    }
}

/// An unsupported request: gcloud reports it, and the test fails.
fn unknown(request: &Request) -> Refusal {
    let message = format!("the tests' server of Google's APIs has no {} {}", request.method, request.path);
    Refusal::new(501, "notImplemented", message)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The server, until it is dropped.
pub struct Google {
    shared: Arc<Shared>,
    server: http::Server,
}

impl Google {
    /// A project with billing, in which no service was enabled yet.
    pub fn empty() -> Self {
        let shared = Shared {
            state: Mutex::new(State::new(PROJECT)),
            requests: Mutex::default(),
            rules: Mutex::default(),
            nth: Mutex::default(),
        };
        let shared = Arc::new(shared);
        let server = http::Server::start(Arc::clone(&shared));
        Self { shared, server }
    }

    /// A project as it is after setting up: services enabled, and the VM's account there.
    pub fn set_up(account: &str) -> Self {
        let google = Self::empty();
        google.set_up_project(PROJECT, account);
        google
    }

    /// Another project that is set up.
    pub fn add_project(&self, project: &str, account: &str) {
        locked(&self.shared.state).add_project(project);
        self.set_up_project(project, account);
    }

    fn set_up_project(&self, project: &str, account: &str) {
        let mut state = locked(&self.shared.state);
        for service in ["compute.googleapis.com", "secretmanager.googleapis.com", "iam.googleapis.com"] {
            state.enable(project, service);
        }
        policies::add_account(&mut state, project, account);
    }

    /// A copy of the current state.
    fn state(&self) -> State {
        locked(&self.shared.state).clone()
    }

    /// Replaces the state by that of another server.
    fn take_over(&self, other: &State) {
        let mut state = locked(&self.shared.state);
        *state = other.moved(&state.base);
    }

    /// The environment in which gcloud uses this server only.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment: Vec<_> = SERVICES
            .iter()
            .map(|service| {
                // Compute Engine's override holds the version, the others' do not.
                let version = if *service == "compute" { "v1/" } else { "" };
                let name = format!("CLOUDSDK_API_ENDPOINT_OVERRIDES_{}", service.to_uppercase());
                (name, format!("http://{}/{service}/{version}", self.server.address()))
            })
            .collect();
        for (name, value) in [
            ("CLOUDSDK_AUTH_DISABLE_CREDENTIALS", "true"),
            ("CLOUDSDK_CORE_ACCOUNT", ACCOUNT),
            ("CLOUDSDK_CORE_CHECK_GCE_METADATA", "false"),
            ("CLOUDSDK_CORE_DISABLE_USAGE_REPORTING", "1"),
            ("CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK", "1"),
        ] {
            environment.push((name.to_owned(), value.to_owned()));
        }
        environment
    }

    /// Lets the next `times` requests fail, or all; those with this method whose path ends so.
    pub fn fail(&self, method: &'static str, end: &str, fault: Fault, times: impl Into<Option<u32>>) {
        let rule = Rule { method, end: end.to_owned(), fault, times: times.into() };
        locked(&self.shared.rules).push(rule);
    }

    /// Fails one request, after `after` others.
    pub fn fail_nth(&self, after: usize, fault: Fault) {
        *locked(&self.shared.nth) = Some((after, fault));
    }

    /// Copies the state, and returns a function that restores it.
    pub fn keep(&self) -> impl Fn(&Self) + use<> {
        let kept = self.state();
        move |google| {
            *locked(&google.shared.state) = kept.clone();
            *locked(&google.shared.nth) = None;
            google.requests();
        }
    }

    /// Ends all faults.
    pub fn mend(&self) {
        locked(&self.shared.rules).clear();
        locked(&self.shared.state).lacks = None;
    }

    /// Lets every group take so many looks at it for each VM that it makes.
    pub fn groups_take(&self, looks: u32) {
        locked(&self.shared.state).looks = looks;
    }

    /// Lets no group make a VM, for this reason, until it is mended.
    pub fn groups_lack(&self, code: &'static str, message: &str) {
        locked(&self.shared.state).lacks = Some((code, message.to_owned()));
    }

    /// Makes a member of a group fail, so that the group replaces it.
    pub fn dies(&self, group: &str, member: &str) {
        groups::heal(&mut locked(&self.shared.state), group, member).expect("a member that is made anew");
    }

    /// The requests since the last call, in order.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut *locked(&self.shared.requests))
    }

    /// Those of the same that would change something.
    pub fn changes(&self) -> Vec<Request> {
        self.requests().into_iter().filter(Request::changes).collect()
    }

    /// Every resource by its path, such as `compute/projects/demo/zones/us-central1-a/disks/x`, except
    /// operations.
    pub fn resources(&self) -> BTreeMap<String, Value> {
        locked(&self.shared.state).resources()
    }

    /// A resource, by its path.
    #[track_caller]
    pub fn get(&self, path: &str) -> Value {
        let state = locked(&self.shared.state);
        state.find(path).cloned().unwrap_or_else(|| panic!("no {path} in {:#?}", state.paths()))
    }

    /// Whether the resource exists.
    pub fn has(&self, path: &str) -> bool {
        locked(&self.shared.state).find(path).is_some()
    }

    /// Adds a resource as another client would, with the fields that Google adds.
    pub fn put(&self, path: &str, resource: Value) {
        let mut state = locked(&self.shared.state);
        let mut resource = resource;
        if path.starts_with("compute/") {
            let given = resource.clone();
            resource = compute::completed(&mut state, path, resource);
            for (key, value) in given.as_object().into_iter().flatten() {
                resource[key] = value.clone();
            }
        }
        state.put(path, resource);
    }

    /// Takes a resource away behind the scripts' back.
    pub fn remove(&self, path: &str) {
        locked(&self.shared.state).remove(path).expect("a resource that is there");
    }

    /// The metadata of an instance, as its metadata server would return it.
    #[track_caller]
    pub fn metadata(&self, instance: &str) -> BTreeMap<String, String> {
        instances::metadata(&self.get(instance))
    }

    /// Sets a guest attribute, `NAMESPACE/KEY`, as the VM would.
    pub fn guest_attribute(&self, instance: &str, key: &str, value: &str) {
        locked(&self.shared.state).report(instance, key, value);
    }

    /// Adds to what the VM wrote to its first serial port.
    pub fn serial(&self, instance: &str, text: &str) {
        locked(&self.shared.state).write_serial(instance, text);
    }

    /// Has VMs change their releases in place, those that exist included.
    pub fn update_in_place(&self) {
        locked(&self.shared.state).update_in_place();
    }

    /// How the next change of a VM's release ends; without this, it is kept.
    pub fn change_ends(&self, instance: &str, fate: Fate) {
        locked(&self.shared.state).change_ends(instance, fate);
    }

    /// The status reports of every VM that starts from now on: each read returns the next one.
    pub fn boots(&self, statuses: &[&str]) {
        let statuses = statuses.iter().map(|status| (*status).to_owned()).collect();
        locked(&self.shared.state).statuses = statuses;
    }
}
