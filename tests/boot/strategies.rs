//! The other ways to an image, and the other disks to boot from.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::checks;
use crate::project::{Project, STAND_IN};
use crate::rehearsal::{Machine, Rehearsal};
use crate::support::testbed::{self, Pushed};
use crate::support::{Folder, said, test};
use crate::world::World;

#[test]
fn debian_12_with_cloud_init_boots_by_user_data_alone() {
    let world = World::start();
    let project = Project::locked(&world, STAND_IN, |folder| {
        folder.edit("bake.yaml", "os: debian-13", "os: debian-12");
        folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    });
    let machine = Machine::new(&world, &project, "cloud-12.qcow2");
    let image = testbed::folder().join("boot/cloud-12.qcow2");
    let touched = |image: &Path| {
        let metadata = fs::metadata(image).expect("an image");
        (metadata.len(), metadata.modified().expect("a time"))
    };
    let before = touched(&image);
    let vm = machine.start();
    vm.until_ready();
    vm.tell_times("first boot, Debian 12 with cloud-init");
    assert!(vm.run("cat /etc/debian_version").done().out.starts_with("12"));
    without_the_bridge(&vm);
    vm.power_off();
    assert_eq!(touched(&image), before, "the image was written to");
}

/// Cloud-init alone has set up the VM, and the startup script of the bundle leaves it alone.
#[track_caller]
pub fn without_the_bridge(vm: &Rehearsal<'_>) {
    // No agent of Google's is on this disk to run it; were there one, it would do nothing.
    vm.run(
        "curl -fsS -H 'Metadata-Flavor: Google' -o /run/bridge \
         http://metadata.google.internal/computeMetadata/v1/instance/attributes/startup-script && sh /run/bridge",
    )
    .done();
    assert_eq!(vm.run("ls /var/lib/openclaw-boot | grep bridge").out, "");
    assert_eq!(vm.run("test -e /etc/cloud/cloud-init.disabled").code, 1);
    assert_eq!(vm.get("/startupz").0, "200");
    checks::token(vm);
    checks::is_shut_in(vm);
    checks::listens_on_loopback_only(vm);
}

/// The project on the stand-in whose VM builds OpenClaw from source: of a repository on loopback, until
/// that is dropped.
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

/// A bare repository of the shape of OpenClaw's, and its one commit.
fn repository() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let work = folder.path().join("work");
    fs::create_dir(&work).expect("a folder");
    let dockerfile = format!("FROM {STAND_IN}\nUSER root\nCOPY from-source /app/from-source\nUSER node\n");
    fs::write(work.join("Dockerfile"), dockerfile).expect("a file");
    fs::write(work.join("from-source"), "yes\n").expect("a file");
    let git = |arguments: &[&str]| {
        let mut git = Command::new("git");
        git.current_dir(&work).env("GIT_CONFIG_GLOBAL", "/dev/null").args(["-c", "user.name=Nobody"]);
        said(git.args(["-c", "user.email=nobody@example.com"]).args(arguments)).done().out
    };
    git(&["init", "--quiet", "--initial-branch", "main"]);
    git(&["add", "."]);
    git(&["commit", "--quiet", "--message", "A gateway"]);
    git(&["clone", "--quiet", "--bare", ".", "../openclaw/openclaw.git"]);
    git(&["--git-dir", "../openclaw/openclaw.git", "update-server-info"]);
    let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
    (folder, commit)
}

/// The project on the stand-in whose image `bake image push` has put into the registry, until that is
/// dropped: no builder had a hand in it.
pub fn pushed(world: &World) -> (Project, Pushed) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("openclaw/finished-{}-{count}", std::process::id());
    let project = Project::locked(world, STAND_IN, |folder| {
        folder.edit("bake.yaml", "strategy: build-on-vm", "strategy: registry");
        folder.edit("bake.yaml", "registry: null", &format!("registry: ghcr.io/{name}"));
        folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    });
    // The repository's name is all that counts.
    let pushed = Pushed(format!("registry/{name}:any"));
    said(project.bake(world).args(["image", "push"])).done();
    (project, pushed)
}

/// Units, put into the VM by its firmware tables (systemd.system-credentials(7)), that hold the lock
/// of dpkg from before the startup script until apt has given up on it once.
pub fn held_lock() -> [String; 4] {
    let script = "use Fcntl; open(my $lock, '>>', '/var/lib/dpkg/lock-frontend') or die; \
                  my $all = pack('s s l! l! i', F_WRLCK, 0, 0, 0, 0); fcntl($lock, F_SETLKW, $all) or die; \
                  open(my $mark, '>', '/run/lock-is-held') or die; \
                  until (grep { /Unable to acquire/ } @told) { \
                  sleep 1; open(my $log, '<', '/run/openclaw-bridge.log'); @told = <$log> }";
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
