//! A first boot in a bad hour: what is away is waited for, what is wrong is told, and once all is
//! right the gateway is there without anybody's help.

use std::fs;

use bake::project::values::Arch;

use crate::checks;
use crate::project::{Project, STAND_IN};
use crate::rehearsal::Machine;
use crate::support::test;
use crate::support::world::archive;
use crate::world::{World, asset};

/// Two minutes, by the VM's clock.
const WHILE: f64 = 120.0;

#[test]
fn what_is_away_is_waited_for_and_what_is_wrong_is_told_by_name() {
    let world = World::start();
    let project = Project::locked(&world, STAND_IN, |folder| {
        let keys = "  OPENAI_API_KEY: {secret_manager: openai-api-key}\n  \
                    TELEGRAM_BOT_TOKEN: {secret_manager: telegram-bot-token}\n";
        folder.write("bake.yaml", folder.read("bake.yaml") + keys);
        folder.edit("bake.yaml", "channels: []", "channels: [telegram]");
        folder.edit("bake.yaml", "apt: [socat]", "apt: []");
    });
    let secrets = tempfile::tempdir().expect("a temporary folder");
    fs::write(secrets.path().join("telegram-bot-token"), "7:not-a-real-bot").expect("a secret");
    let machine = Machine::new(&world, &project, "google-13-docker.qcow2");
    let machine = machine.with(&["--secrets", secrets.path().to_str().expect("UTF-8")]);

    world.namespace.cut();
    world.namespace.slow_down();
    let vm = machine.start();
    vm.until_told("starting", &["the user-data is not applied yet", "deb.debian.org"]);
    vm.until_uptime(WHILE);
    assert!(!vm.was_ready());
    world.break_registry();
    let (gog, tampered) = (asset("gogcli", Arch::Amd64), archive("gog", "6.6.6", Arch::Amd64));
    let right = world.github().release("openclaw/gogcli", "v99.0.0").bytes(&gog).to_vec();
    world.github().replace("openclaw/gogcli", "v99.0.0", &gog, tampered);
    world.namespace.mend();

    vm.until_told("failed", &["secret openai-api-key is missing"]);
    checks::never_started(&vm);
    let value = "sk-not-a-real-key-3141592653589793";
    fs::write(secrets.path().join("openai-api-key"), value).expect("a secret");
    world.namespace.speed_up();

    vm.until_told("image", &["ghcr.io", "500"]);
    let now: f64 = vm.run("cut -d ' ' -f 1 /proc/uptime").done().out.trim().parse().expect("seconds");
    vm.until_uptime(now + WHILE);
    checks::never_started(&vm);
    world.heal_registry();

    vm.until_told("failed", &["image: ", "gog", "is locked"]);
    checks::never_started(&vm);
    world.github().replace("openclaw/gogcli", "v99.0.0", &gog, right);

    vm.until_ready();
    vm.tell_times("first boot in a bad hour");
    assert_eq!(vm.get("/startupz").0, "200");
    assert_eq!(vm.run_inside("printenv OPENAI_API_KEY").done().out.trim_end(), value);
    let config = checks::read(&vm, "/var/lib/openclaw/config/openclaw.json");
    assert!(config.contains(r#""telegram": {"enabled": true}"#), "{config}");
    checks::is_kept(&machine, &vm, &[value, &checks::token(&vm)]);
    checks::is_in_no_layer(&vm);
}
