//! Other image strategies, and boots without the bridge.

use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::checks;
use crate::project::{Project, STAND_IN};
use crate::rehearsal::Rehearsal;
use crate::support::testbed::{self, Pushed};
use crate::support::{Folder, said};
use crate::world::World;

/// cloud-init alone has set up the VM, and the bundle's startup script changes nothing.
#[track_caller]
pub fn without_the_bridge(vm: &Rehearsal<'_>) {
    // This disk has no Google agent that would run the script, so run it here.
    vm.run(
        "curl -fsS -H 'Metadata-Flavor: Google' -o /run/bridge \
         http://metadata.google.internal/computeMetadata/v1/instance/attributes/startup-script && sh /run/bridge",
    )
    .done();
    assert_eq!(vm.run("ls /var/lib/openclaw-boot | grep bridge").out, "");
    assert_eq!(vm.run("test -e /etc/cloud/cloud-init.disabled").code, 1);
    assert_eq!(vm.get("/startupz").0, "200");
    checks::token(vm);
    checks::assert_confined(vm);
    checks::assert_listens_on_loopback_only(vm);
}

/// A project on the stand-in gateway whose VM builds OpenClaw from source. The source repository on
/// loopback exists until the folder is dropped.
pub fn from_source(world: &World, change: impl FnOnce(&Folder)) -> (Project, tempfile::TempDir) {
    let (repositories, commit) = repository();
    world.github().host_repositories(repositories.path());
    let project = Project::locked(world, STAND_IN, |folder| {
        let source =
            format!("source: {{repo: 'https://github.com/openclaw/openclaw.git', commit: {commit}}}");
        folder.edit("bake.yaml", "strategy: build-on-vm", "strategy: source");
        folder.edit("bake.yaml", "source: null", &source);
        folder.edit("bake.yaml", "machine_type: e2-small", "machine_type: e2-standard-2");
        folder.edit("bake.yaml", "apt: [socat]", "apt: []");
        change(folder);
    });
    (project, repositories)
}

/// A bare repository laid out like OpenClaw's, and the ID of its only commit.
fn repository() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work = folder.path().join("work");
    fs::create_dir(&work).expect("a folder");
    let dockerfile = format!("FROM {STAND_IN}\nUSER root\nCOPY from-source /app/from-source\nUSER node\n");
    fs::write(work.join("Dockerfile"), dockerfile).expect("a file");
    fs::write(work.join("from-source"), "yes\n").expect("a file");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&work).env("GIT_CONFIG_GLOBAL", "/dev/null").args(["-c", "user.name=Test"]);
        said(git.args(["-c", "user.email=test@example.com"]).args(arguments)).done().out
    };
    git(&["init", "--quiet", "--initial-branch", "main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "A gateway"]);
    git(&["clone", "--quiet", "--bare", ".", "../openclaw/openclaw.git"]);
    git(&["--git-dir", "../openclaw/openclaw.git", "update-server-info"]);
    let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
    (folder, commit)
}

/// A project on the base image `image` whose finished image `bake image push` has put into the registry. It is
/// deleted when `Pushed` is dropped.
pub fn pushed(world: &World, image: &str, change: impl FnOnce(&Folder)) -> (Project, Pushed) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("openclaw/finished-{}-{count}:1", std::process::id());
    let project = Project::locked(world, image, |folder| {
        folder.edit("bake.yaml", "strategy: build-on-vm", "strategy: registry");
        folder.edit("bake.yaml", "registry: null", &format!("registry: ghcr.io/{name}"));
        folder.edit("bake.yaml", "apt: [socat]", "apt: []");
        change(folder);
    });
    // The VM knows this registry as ghcr.io.
    let pushed = Pushed(format!("{}/{name}", testbed::registry()));
    said(project.bake(world).args(["image", "push"])).done();
    (project, pushed)
}

/// Units, passed by the VM's firmware tables (systemd.system-credentials(7)), that hold dpkg's lock from
/// before the startup script until apt has given up on it once.
pub fn held_lock() -> [String; 4] {
    let script = "use Fcntl; open(my $lock, '>>', '/var/lib/dpkg/lock-frontend') or die; \
                  my $all = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0); fcntl($lock, F_SETLKW, $all) or die; \
                  open(my $mark, '>', '/run/lock-is-held') or die; \
                  until (grep { /Unable to acquire/ } @lines) { \
                  sleep 1; open(my $log, '<', '/run/openclaw-bridge.log'); @lines = <$log> }";
    let unit = format!(
        "[Unit]\nDescription=Holds the lock of dpkg\n[Service]\nExecStart=/usr/bin/perl -e \"{}\"\n",
        script.replace('$', "$$")
    );
    let waits = "[Unit]\nWants=held-lock.service\n[Service]\n\
                 ExecStartPre=/bin/sh -c 'until test -e /run/lock-is-held; do sleep 1; done'\n";
    let credential = |name: &str, text: &str| {
        format!("type=11,value=io.systemd.credential.binary:{name}={}", STANDARD.encode(text))
    };
    [
        "-smbios".to_owned(),
        credential("systemd.extra-unit.held-lock.service", &unit),
        "-smbios".to_owned(),
        credential("systemd.unit-dropin.google-startup-scripts.service", waits),
    ]
}
