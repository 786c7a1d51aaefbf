//! OpenClaw itself is updated in a VM and goes back: in use by a browser, with its migrations, and the seconds without
//! an answer by the VM's clock. Versions that fail are taken back by the VM.

use crate::rehearsal::{Machine, PORT, Rehearsal};
use crate::support::browser::{self, Visitor};
use crate::support::model::{Model, Question};
use crate::support::openclaw::{DAMAGE, FAIL_MIGRATION, INCOMPLETE, NEW, OLD, SCHEMA, SQL, UNREADABLE};
use crate::support::{Folder, test, testbed};
use crate::update::{Bundle, Images, Metadata, until_settled};
use crate::world::World;
use crate::{checks, strategies};

/// The environment variable with the model's key.
const KEY: &str = "ABACUS_KEY";

/// Writes the longest time without a started gateway to a file, in seconds since the watch began.
const WATCH: &str = "import time, urllib.request
def started():
    try:
        with urllib.request.urlopen('http://127.0.0.1:18789/startupz', timeout=2) as answer:
            return b'started' in answer.read()
    except OSError:
        return False
last, longest = time.monotonic(), 0
while True:
    asked = time.monotonic()
    if started():
        longest, last = max(longest, time.monotonic() - last), asked
        with open('/run/outage', 'w') as file:
            file.write(str(longest))
    time.sleep(0.2)
";

#[test]
fn openclaw_is_updated_in_a_vm_and_goes_back() {
    let world = World::start();
    for version in ["previous.digest", "real.digest"] {
        testbed::boot(version);
    }
    browser::require();
    let model = Model::on(world.namespace.listen(0));
    let configure = |folder: &Folder| {
        model.configure(folder, KEY, "generate: hex32");
        folder.write("images/binaries.yaml", "version: 1\nbinaries: []\n");
        folder.edit("bake.yaml", "ask_after_update: false", "ask_after_update: true");
    };
    let image = |version: &str| format!("ghcr.io/openclaw/openclaw:{version}");
    let (old_project, _old) = strategies::pushed(&world, &image(OLD), configure);
    let (new_project, pushed) = strategies::pushed(&world, &image(NEW), configure);
    let old = Bundle::of(&world, &old_project, OLD);
    let new = Bundle::of(&world, &new_project, NEW);
    let mut images = Images::default();
    let mut changed = |name: &str, identity: &str, change: &str| {
        let dockerfile = format!("FROM {}\nUSER root\nRUN {change}\nUSER node\n", pushed.0);
        new.with_image(NEW, identity, &images.add(name, &dockerfile, &[]))
    };
    let damaged = changed("damaged", "da3a6edda3a6edda", DAMAGE);
    let failing = changed("failing", "fa1116fa1116fa11", FAIL_MIGRATION);
    let metadata = Metadata::of(&old);
    let machine =
        Machine::new(&world, &old_project, "google-13-docker.qcow2").with(&["--metadata", &metadata.path()]);

    let vm = machine.start();
    vm.until("start", |report| report.status == "start");
    model.expect(&checks::read(&vm, &format!("/var/lib/openclaw/secrets/{KEY}")));
    vm.until_ready();
    vm.print_times("first boot with OpenClaw, finished image");
    let profile = tempfile::tempdir().expect("a temporary folder");
    let visitor = Visitor {
        namespace: &world.namespace,
        screenshots: testbed::artifacts("browser-upgrade"),
        profile: profile.path().to_owned(),
        page: format!("localhost:{PORT}"),
    };
    let questions = [0, 1, 2].map(|count| Question(5003 + count, u64::from(std::process::id())));
    visitor.log_in(&checks::token(&vm), questions[0]);
    let before = schema(&vm);

    let update = outage(&vm, || {
        let begin = vm.serial_end();
        metadata.set(&new, "update=1");
        vm.until_serial_after(begin, "update=done");
        until_settled(&vm, &new);
    });
    assert_eq!(version(&vm), NEW);
    assert_ne!(schema(&vm), before, "nothing was migrated");
    visitor.continue_after(questions[0], questions[1], None);
    let restart = outage(&vm, || {
        vm.run("systemctl restart openclaw-gateway.service").done();
        until_settled(&vm, &new);
    });
    println!(
        "without an answer: {update:.1} s in an update, {restart:.1} s in a restart of the new gateway, {:.2} times",
        update / restart
    );

    let begin = vm.serial_end();
    metadata.set(&new, "rollback=2");
    vm.until_serial_after(begin, "update=done");
    until_settled(&vm, &old);
    assert_eq!((version(&vm), schema(&vm)), (OLD.to_owned(), before.clone()));
    visitor.continue_after(questions[0], questions[2], Some(questions[1]));

    for (bundle, request, reason) in [(&damaged, "update=3", UNREADABLE), (&failing, "update=4", INCOMPLETE)]
    {
        let begin = vm.serial_end();
        metadata.set(bundle, request);
        let why = vm.until_serial_after(begin, "update=rolled-back");
        assert!(why.contains(reason), "{why}");
        until_settled(&vm, &old);
        assert_eq!((version(&vm), schema(&vm)), (OLD.to_owned(), before.clone()));
    }
}

/// The version of the state in the database of the gateway's agent.
#[track_caller]
fn schema(vm: &Rehearsal<'_>) -> String {
    let database = "/var/lib/openclaw/config/agents/main/agent/openclaw-agent.sqlite";
    vm.run(&format!("python3 -c '{SQL}' {database} '{SCHEMA}'")).done().out
}

/// The version of the gateway that runs.
#[track_caller]
fn version(vm: &Rehearsal<'_>) -> String {
    vm.run_inside("node -p 'require(\"/app/package.json\").version'").done().out.trim_end().to_owned()
}

/// The longest time without an answer of a started gateway while `change` runs, in seconds of the VM's clock.
#[track_caller]
fn outage(vm: &Rehearsal<'_>, change: impl FnOnce()) -> f64 {
    let watch = shlex::try_quote(WATCH).expect("no NUL");
    vm.run(&format!("systemd-run --quiet --unit=watch python3 -c {watch}")).done();
    vm.run("until [ -s /run/outage ]; do sleep 0.2; done").done();
    change();
    // A restart takes a moment to stop the gateway, and the last answer follows the outage.
    vm.run("until awk '$1 < 1 { exit 1 }' /run/outage; do sleep 1; done").done();
    let seconds = vm.run("sleep 5; cat /run/outage; systemctl stop watch; rm /run/outage").done().out;
    seconds.parse().expect("seconds")
}
