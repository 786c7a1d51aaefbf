//! Updates in place of a VM that runs a stand-in gateway with versions: a tampered image, a gateway that never becomes
//! healthy, an update and a rollback that lose power at random moments. Each ends with one whole release and the state
//! that belongs to it.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::project::Project;
use crate::rehearsal::{Machine, Rehearsal};
use crate::support::openclaw::{NEW, OLD};
use crate::support::testbed::{self, Pushed};
use crate::support::{Folder, said};
use crate::world::World;
use crate::{life, strategies};

/// Power cuts of an update and a rollback, each followed by a boot. `BAKE_TEST_POWER_CUTS` sets another number.
const POWER_CUTS: u32 = 2;

/// Texts on the serial console before a power cut, and the maximum delay after them in seconds.
const MOMENTS: [(&str, f64); 4] =
    [("update=image", 20.0), ("update=stopping", 20.0), ("update=saving", 10.0), ("update=trial", 60.0)];

/// Migrates the state, then exits.
const SICK: &str = "2026.9.7";

/// A gateway's state, with a history that the stand-in gateway of each version extends.
const HISTORIES: [&str; 3] = ["config/history", "workspace/history", "home/upper/history"];

/// Prints the ID of the gateway's container.
const GATEWAY: &str = "docker ps -q --filter label=com.docker.compose.service=openclaw-gateway";

/// Adds a version to the stand-in gateway, and a state that it migrates and whose newer versions it refuses.
const NODE: &str = r#"#!/bin/sh
version=$(sed -n 's/.*"version": "\(.*\)".*/\1/p' /app/package.json)
if [ "${2-}" = gateway ]; then
    for file in "$HOME/.openclaw/history" "$HOME/.openclaw/workspace/history" "$HOME/history"; do
        before=$(tail -n 1 "$file" 2>/dev/null)
        newest=$(printf '%s\n%s\n' "$before" "$version" | sort -V | tail -n 1)
        [ "$newest" = "$version" ] || { echo "Gateway failed to start: the state is of $before" >&2; exit 1; }
        [ "$before" = "$version" ] || echo "$version" >>"$file"
        sync "$file"
    done
    [ "$version" != 2026.9.7 ] || { echo "Gateway failed to start: no such column: lane" >&2; exit 1; }
fi
exec /usr/local/bin/standin "$@"
"#;

/// A bundle as the VM's metadata has it.
pub struct Bundle {
    version: &'static str,
    identity: String,
    user_data: String,
    startup_script: String,
}

impl Bundle {
    pub fn of(world: &World, project: &Project, version: &'static str) -> Self {
        said(project.bake(world).arg("render")).done();
        let user_data = project.read("out/user-data.yaml");
        let (_, rest) = user_data.split_once(r#""id":""#).expect("an identity");
        let identity = rest.split_once('"').expect("an identity").0.to_owned();
        Self { version, identity, user_data, startup_script: project.read("out/startup-script.sh") }
    }

    /// The same bundle with another image.
    pub fn with_image(&self, version: &'static str, identity: &str, image: &str) -> Self {
        let settings = self.user_data.split_once("OPENCLAW_IMAGE=").expect("an image").1;
        let own = settings.lines().next().expect("a value").trim_matches('\'');
        let user_data = self.user_data.replace(own, image).replace(&self.identity, identity);
        Self {
            version,
            identity: identity.to_owned(),
            user_data,
            startup_script: self.startup_script.clone(),
        }
    }
}

/// The images of the scenario, which are deleted at the end.
#[derive(Default)]
pub struct Images(Vec<Pushed>);

impl Images {
    /// Builds an image in a repository `name` and pushes it. Returns its reference on the VM.
    pub fn add(&mut self, name: &str, dockerfile: &str, files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (file, content) in files {
            fs::write(folder.path().join(file), content).expect("a file");
        }
        fs::write(folder.path().join("Dockerfile"), dockerfile).expect("a file");
        let tag = format!("openclaw/{name}-{}:1", std::process::id());
        let pushed = format!("{}/{tag}", testbed::registry());
        let docker = |arguments: &[&str]| {
            said(testbed::tool("docker-26").current_dir(folder.path()).args(arguments)).done();
        };
        docker(&["build", "--quiet", "--tag", &pushed, "."]);
        docker(&["push", "--quiet", &pushed]);
        docker(&["image", "rm", &pushed]);
        self.0.push(Pushed(pushed));
        format!("ghcr.io/{tag}")
    }

    /// A stand-in gateway with a version.
    pub fn gateway(&mut self, version: &str) -> String {
        let standin = fs::read_to_string(testbed::boot("standin.digest")).expect("a digest");
        let from = format!("{}/openclaw/standin@{}", testbed::registry(), standin.trim());
        let dockerfile = format!(
            "FROM {from}\nUSER root\nRUN mv /usr/local/bin/node /usr/local/bin/standin\n\
             COPY --chmod=755 node /usr/local/bin/node\nCOPY package.json /app/package.json\nUSER node\n"
        );
        let package = package(version);
        self.add(&format!("gateway-{version}"), &dockerfile, &[("node", NODE), ("package.json", &package)])
    }
}

fn package(version: &str) -> String {
    format!("{{\"version\": \"{version}\"}}\n")
}

/// The VM's metadata, which `bake rehearse` serves.
pub struct Metadata(tempfile::TempDir);

impl Metadata {
    /// The metadata of a VM made with a bundle.
    pub fn of(bundle: &Bundle) -> Self {
        let metadata = Self(tempfile::tempdir().expect("a temporary folder"));
        metadata.set(bundle, "");
        metadata
    }

    pub fn path(&self) -> String {
        self.0.path().join("vm.json").display().to_string()
    }

    pub fn set(&self, bundle: &Bundle, request: &str) {
        let items = [
            ("enable-guest-attributes", "TRUE"),
            ("user-data", bundle.user_data.as_str()),
            ("startup-script", bundle.startup_script.as_str()),
            ("openclaw-request", request),
        ];
        let items = items.map(|(key, value)| json!({"key": key, "value": value}));
        let new = self.0.path().join("new");
        fs::write(&new, json!({"metadata": {"items": items}}).to_string()).expect("a file");
        fs::rename(new, self.path()).expect("a file");
    }
}

/// The bundles that a VM is updated to.
pub struct Updates {
    metadata: Metadata,
    old: Bundle,
    new: Bundle,
    /// The new one's, with another program in the place of a locked one.
    tampered: Bundle,
    sick: Bundle,
}

impl Updates {
    /// Away from `old`, a project with a finished image of the gateway [`OLD`]. `change` is what else the project
    /// differs in from the default.
    pub fn from(world: &World, images: &mut Images, old: &Project, change: impl FnOnce(&Folder)) -> Self {
        let old = Bundle::of(world, old, OLD);
        let base = images.gateway(NEW);
        let (project, pushed) = strategies::pushed(world, &base, change);
        let new = Bundle::of(world, &project, NEW);
        let finished = pushed.0.clone();
        images.0.push(pushed);
        let tampered =
            format!("FROM {finished}\nUSER root\nCOPY --chmod=755 gog /usr/local/bin/gog\nUSER node\n");
        let tampered = images.add("tampered", &tampered, &[("gog", "#!/bin/sh\necho stolen\n")]);
        let tampered = new.with_image(NEW, "7a7a7a7a7a7a7a7a", &tampered);
        let sick = format!("FROM {finished}\nCOPY package.json /app/package.json\n");
        let sick = images.add("sick", &sick, &[("package.json", &package(SICK))]);
        let sick = new.with_image(SICK, "51c651c651c651c6", &sick);
        let metadata = Metadata::of(&old);
        Self { metadata, old, new, tampered, sick }
    }

    /// The description of the VM, for `bake rehearse --metadata`.
    pub fn metadata(&self) -> String {
        self.metadata.path()
    }

    /// Updates a VM that runs the old bundle, cuts the power, and returns the VM with one of the bundles whole.
    #[track_caller]
    pub fn assert_each_ends_whole<'a>(&self, machine: &Machine<'a>, vm: Rehearsal<'a>) -> Rehearsal<'a> {
        let Self { metadata, old, new, tampered, sick } = self;
        let (mut vm, mut random) = (vm, life::seeded());
        until_attribute(&vm, "contract", "^1$");
        until_attribute(&vm, "releases", &format!("^{} {OLD} .* current$", old.identity));
        assert_whole(&vm, &[old]);

        let container = gateway(&vm);
        let begin = vm.serial_end();
        metadata.set(tampered, "update=tampered");
        let why = vm.until_serial_after(begin, "update=refused");
        assert!(why.contains("not what bake.lock says: gog"), "{why}");
        until_attribute(&vm, "update_request", "^update=tampered$");
        assert_eq!(gateway(&vm), container, "the gateway was stopped");
        assert!(!machine.serial()[begin..].contains("update=stopping"));
        assert_whole(&vm, &[old]);

        let begin = vm.serial_end();
        metadata.set(sick, "update=sick");
        let why = vm.until_serial_after(begin, "update=rolled-back");
        assert!(why.contains("no such column: lane"), "{why}");
        until_settled(&vm, old);
        assert_whole(&vm, &[old]);
        until_attribute(
            &vm,
            "releases",
            &format!("^{} - - - failed: start: .*no such column", sick.identity),
        );

        for count in 1..=power_cuts() {
            let (begin, is_update) = (vm.serial_end(), count % 2 == 1);
            let (target, request) = if is_update { (new, "update") } else { (old, "rollback") };
            metadata.set(new, &format!("{request}={count}"));
            let (said, seconds) = MOMENTS[random.usize(..MOMENTS.len())];
            vm.until_serial_after(begin, said);
            let moment = Duration::from_secs_f64(seconds * random.f64());
            thread::sleep(moment);
            vm.pull_the_plug();
            println!("{request} {count}: plug pulled {:.1} s after {said:?}", moment.as_secs_f64());
            let power_on = Instant::now();
            vm = machine.start();
            vm.until_ready();
            let found = assert_whole(&vm, &[old, new]);
            println!("ready after {} s with {found}", power_on.elapsed().as_secs());
            until_settled(&vm, target);
            assert_whole(&vm, &[target]);
            println!("{request} complete after {} s", power_on.elapsed().as_secs());
        }
        // Older copies of the state are removed after the report.
        vm.run("while [ $(ls /var/lib/openclaw/releases/copies | wc -l) -gt 1 ]; do sleep 1; done").done();
        vm
    }
}

fn power_cuts() -> u32 {
    let set = std::env::var("BAKE_TEST_POWER_CUTS").ok();
    set.map_or(POWER_CUTS, |count| count.parse().expect("a number"))
}

/// Waits until a line of a guest attribute matches `pattern`.
#[track_caller]
fn until_attribute(vm: &Rehearsal<'_>, key: &str, pattern: &str) {
    vm.run(&format!(
        "until curl -fsS -H 'Metadata-Flavor: Google' \
         http://metadata.google.internal/computeMetadata/v1/instance/guest-attributes/openclaw/{key} | \
         grep '{pattern}'; do sleep 1; done"
    ))
    .done();
}

/// Waits until no change is in progress and the gateway of this bundle is ready.
#[track_caller]
pub fn until_settled(vm: &Rehearsal<'_>, bundle: &Bundle) {
    vm.run(&format!(
        "until grep -q '\"change\": null' /var/lib/openclaw/releases/journal.json && \
         [ $(readlink /var/lib/openclaw-boot/current) = releases/{} ] && \
         /usr/local/lib/openclaw/probe.py | grep -q ^ready; do sleep 2; done",
        bundle.identity
    ))
    .done();
}

/// The gateway's container, and when it was started.
#[track_caller]
fn gateway(vm: &Rehearsal<'_>) -> String {
    let container = "docker ps -q --filter label=com.docker.compose.service=openclaw-gateway";
    vm.run(&format!("docker inspect --format '{{{{.Id}}}} {{{{.State.StartedAt}}}}' $({container})"))
        .done()
        .out
}

/// One of these releases is there as a whole, with the state that belongs to it. Returns its version.
#[track_caller]
fn assert_whole(vm: &Rehearsal<'_>, bundles: &[&Bundle]) -> &'static str {
    let state: String = HISTORIES.iter().map(|file| format!(" /var/lib/openclaw/{file}")).collect();
    let script = format!(
        "basename $(readlink /var/lib/openclaw-boot/current) && . /opt/openclaw/settings.env && \
         [ \"$(docker inspect --format '{{{{.Config.Image}}}}' $({GATEWAY}))\" = \"$OPENCLAW_IMAGE\" ] && \
         /usr/local/lib/openclaw/verify.sh && \
         for file in{state}; do tr '\\n' ' ' <$file && echo; done && cat /var/lib/openclaw/workspace/note.md"
    );
    let found = vm.run(&script).done().out;
    let mut lines = found.lines();
    let identity = lines.next().expect("a release");
    let bundle = bundles.iter().find(|bundle| bundle.identity == identity);
    let bundle = bundle.unwrap_or_else(|| panic!("{identity} is current"));
    let history =
        if bundle.version == OLD { format!("{OLD} ") } else { format!("{OLD} {} ", bundle.version) };
    let expected: Vec<_> = HISTORIES.iter().map(|_| history.as_str()).chain(["remembered"]).collect();
    assert_eq!(lines.collect::<Vec<_>>(), expected, "the state of {}", bundle.version);
    bundle.version
}
