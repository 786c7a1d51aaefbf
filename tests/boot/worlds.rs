//! Tests of the world itself.

use crate::project::{Project, STAND_IN};
use crate::support::said;
use crate::support::test;
use crate::world::World;

#[test]
fn a_world_reaches_only_its_own_internet() {
    let world = World::start();
    let project = Project::locked(&world, STAND_IN, |_| ());
    assert!(world.was_asked("ghcr.io GET /v2/openclaw/standin/manifests/1"));
    assert!(!world.was_asked(""), "a request is reported only once");

    let authority = World::authority();
    let curl_within = |seconds: &str, arguments: &[&str]| {
        let mut command = world.namespace.command("curl");
        command
            .args(["--silent", "--show-error", "--fail", "--max-time", seconds])
            .arg("--cacert")
            .arg(&authority);
        said(command.args(arguments))
    };
    let curl = |arguments: &[&str]| curl_within("60", arguments);
    assert_eq!(curl(&["https://ghcr.io/v2/"]).done().out, "{}");
    curl(&["http://deb.debian.org/debian/dists/trixie/Release"]).done();
    // curl: could not resolve host; failed to connect.
    curl(&["https://openclaw.ai/"]).ended(6);
    curl(&["http://192.0.2.11/"]).ended(7);

    world.break_registry();
    assert!(curl(&["https://ghcr.io/v2/"]).ended(22).err.contains("500"));
    said(project.bake(&world).args(["lock", "--check"])).done();
    world.heal_registry();
    curl(&["https://ghcr.io/v2/"]).done();

    world.namespace.cut();
    // curl: timeout.
    curl_within("5", &["http://192.0.2.10/"]).ended(28);
    world.namespace.mend();
    curl(&["https://ghcr.io/v2/"]).done();
}
