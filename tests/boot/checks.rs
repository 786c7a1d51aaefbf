//! Checks of a VM for several scenarios.

use crate::rehearsal::{Machine, Rehearsal};

/// The file with the gateway's token.
pub const TOKEN: &str = "/var/lib/openclaw/secrets/OPENCLAW_GATEWAY_TOKEN";

/// OpenClaw's configuration, which belongs to the user after onboarding.
pub const CONFIGURATION: &str = "/var/lib/openclaw/config/openclaw.json";

/// Changes OpenClaw's configuration as a user would.
#[track_caller]
pub fn change_configuration(vm: &Rehearsal<'_>) {
    let change = "import json, sys; file = open(sys.argv[1], 'r+'); config = json.load(file); \
                  config.setdefault('agents', {}).setdefault('defaults', {})['userTimezone'] = 'Europe/Vienna'; \
                  file.seek(0); file.truncate(); json.dump(config, file, indent=2)";
    vm.run(&format!("python3 -c \"{change}\" {CONFIGURATION}")).done();
}

/// No container exists, running or not.
#[track_caller]
pub fn assert_never_started(vm: &Rehearsal<'_>) {
    assert_eq!(vm.run("docker ps --all --quiet").done().out, "");
}

/// The content of a file in the VM.
#[track_caller]
pub fn read(vm: &Rehearsal<'_>, path: &str) -> String {
    vm.run(&format!("cat {path}")).done().out
}

/// The gateway's token, generated on the VM.
#[track_caller]
pub fn token(vm: &Rehearsal<'_>) -> String {
    let token = read(vm, TOKEN).trim_end().to_owned();
    assert_eq!(token.len(), 64, "not 256 bits");
    assert!(token.chars().all(|digit| digit.is_ascii_hexdigit()));
    let owner = vm.run(&format!("stat -c '%U %a' {TOKEN} /run/openclaw/secrets.env")).done().out;
    assert_eq!(owner, "root 600\nroot 600\n");
    token
}

/// The guest attribute as Compute Engine's API returns it.
#[track_caller]
pub fn attribute(vm: &Rehearsal<'_>, name: &str) -> String {
    guest_attributes(vm, &format!("openclaw/{name}"))
}

/// All guest attributes as JSON.
#[track_caller]
pub fn attributes(vm: &Rehearsal<'_>) -> String {
    guest_attributes(vm, "?recursive=true")
}

#[track_caller]
fn guest_attributes(vm: &Rehearsal<'_>, path: &str) -> String {
    vm.run(&format!(
        "curl -fsS -H 'Metadata-Flavor: Google' \
         'http://metadata.google.internal/computeMetadata/v1/instance/guest-attributes/{path}'"
    ))
    .done()
    .out
}

/// These secrets and all others are in their files and nowhere else.
#[track_caller]
pub fn assert_secrets_kept(machine: &Machine<'_>, vm: &Rehearsal<'_>, secrets: &[&str]) {
    for secret in secrets {
        assert!(!machine.serial().contains(secret), "on the serial console");
        assert!(!vm.output().contains(secret), "in the reports");
    }
    // The patterns come from a file: as an argument, the command line would contain them.
    let patterns =
        "sed -n 's/^[A-Z0-9_]*=\"\\(.*\\)\"$/\\1/p' /run/openclaw/secrets.env >secrets && test -s secrets";
    let folder = "umask 77 && mkdir -p /run/openclaw-test && cd /run/openclaw-test";
    vm.run(&format!("{folder} && {patterns}")).done();
    for (place, script) in [
        ("user-data", "metadata instance/attributes/user-data"),
        ("guest attributes", "metadata 'instance/guest-attributes/?recursive=true'"),
        ("the journal", "journalctl --no-pager --all"),
        ("an image", "docker image inspect $(docker image ls --quiet)"),
        (
            "an image's history",
            "for id in $(docker image ls --quiet); do docker image history --no-trunc $id; done",
        ),
        // The stand-in gateway logs nothing unless something fails.
        ("the containers' log", "docker logs $(docker ps --quiet) 2>&1 && echo 'that is all'"),
        ("a command line", "cat /proc/[0-9]*/cmdline"),
        ("the bundle's files", "cat /opt/openclaw/*"),
        ("other logs", "find /var/log /var/lib/cloud -type f ! -path '*/journal/*' -exec cat {} +"),
    ] {
        let metadata = "metadata() { curl -fsS -H 'Metadata-Flavor: Google' \
                        \"http://metadata.google.internal/computeMetadata/v1/$1\"; }";
        let find = "test -s seen && ! grep --text --quiet --fixed-strings --file secrets seen";
        let found = vm.run(&format!("{metadata}; {folder}; {script} >seen; {find}"));
        assert_eq!(found.code, 0, "a secret is in {place}, or {place} could not be read: {}", found.err);
    }
    vm.run("rm -r /run/openclaw-test").done();
}

/// No image layer contains one of the secrets. Slow for large images.
#[track_caller]
pub fn assert_no_secret_in_layers(vm: &Rehearsal<'_>) {
    let known = "A stand-in: see";
    let patterns = "sed -n 's/^[A-Z0-9_]*=\"\\(.*\\)\"$/\\1/p' /run/openclaw/secrets.env";
    let script = format!(
        "umask 77 && {{ {patterns}; echo '{known}'; }} >/run/to-find && \
         docker image save $(docker image ls --quiet) | tar -xO | \
         grep --text --only-matching --fixed-strings --file /run/to-find | sort -u; rm /run/to-find"
    );
    assert_eq!(
        vm.run(&script).done().out,
        format!("{known}\n"),
        "a layer contains a secret, or the layers could not be read"
    );
}

/// The build has left nothing behind, and the OS installs its updates.
#[track_caller]
pub fn assert_cleaned_up(vm: &Rehearsal<'_>) {
    // Cleanup runs after the report. The brackets keep `pgrep` from matching this command.
    vm.run("while pgrep -f lib/openclaw/[c]leanup.sh; do sleep 1; done").done();
    let usage = vm.run("docker system df --format '{{.Type}}: {{.Size}}'").done().out;
    assert!(usage.lines().any(|line| line == "Build Cache: 0B"), "{usage}");
    assert_eq!(vm.run("docker image ls --quiet --filter dangling=true").done().out, "");
    let upgrades =
        "apt-config dump APT::Periodic::Unattended-Upgrade; systemctl is-enabled apt-daily-upgrade.timer";
    assert_eq!(vm.run(upgrades).done().out, "APT::Periodic::Unattended-Upgrade \"1\";\nenabled\n");
}

/// The gateway's container is confined, seen from inside.
#[track_caller]
pub fn assert_confined(vm: &Rehearsal<'_>) {
    assert_eq!(vm.run_inside("id -u; getent hosts ghcr.io").done().out, "1000\n192.0.2.10      ghcr.io\n");
    let status = vm.run_inside("grep -E '^(Cap|NoNewPrivs)' /proc/1/status").done().out;
    for line in status.lines() {
        let (field, value) = line.split_once(":\t").expect("a field");
        assert!(value == if field == "NoNewPrivs" { "1" } else { "0000000000000000" }, "{status}");
    }
    assert_eq!(status.lines().count(), 6, "{status}");

    // `find` prints the mount point of another file system but does not descend into it.
    let image = "find / -xdev -writable ! -type l";
    let mounts = "cut -d ' ' -f 2 /proc/self/mounts | while read -r at; do \
                  test -w \"$at\" && ! test -c \"$at\" && echo \"$at\"; done";
    let writable = vm.run_inside(&format!("{{ {image}; {mounts}; }} | sort -u")).done().out;
    let home = "/home/node";
    let folders =
        [".config/openclaw", ".openclaw", ".openclaw/workspace"].map(|name| format!("{home}/{name}"));
    let state = [home, "/backups"].map(str::to_owned).into_iter().chain(folders).collect::<Vec<_>>();
    for path in writable.lines() {
        let memory = ["/tmp", "/dev/shm", "/dev/mqueue"].contains(&path);
        assert!(memory || state.iter().any(|known| known == path), "{path} of:\n{writable}");
    }
    for path in state {
        assert!(writable.lines().any(|line| line == path), "{path} is not in:\n{writable}");
    }
    assert_metadata_blocked(vm);
}

const ASK: &str =
    "curl -sS -m 20 -H 'Metadata-Flavor: Google' http://169.254.169.254/computeMetadata/v1/instance/name";

/// The metadata server answers the host but not the container.
#[track_caller]
pub fn assert_metadata_blocked(vm: &Rehearsal<'_>) {
    vm.run(ASK).done();
    let refused = vm.run_inside(ASK);
    assert_eq!(refused.out, "", "the metadata server answers in the container");
    // curl: failed to connect.
    assert_eq!(refused.code, 7, "{}", refused.err);
}

/// Without the guard, the metadata server would answer the container.
#[track_caller]
pub fn assert_guard_blocks_metadata(vm: &Rehearsal<'_>) {
    // Stop the unit, which would restore the rules.
    vm.run("systemctl kill --kill-whom=main --signal=STOP openclaw-gateway.service").done();
    vm.run("while pgrep -f lib/openclaw/[m]etadata-guard.sh; do sleep 1; done").done();
    for chain in ["DOCKER-USER", "FORWARD"] {
        vm.run(&format!("iptables -D {chain} -j OPENCLAW-FORWARD")).done();
    }
    let name = vm.run_inside(ASK).done().out;
    assert!(!name.is_empty());
    vm.run("systemctl kill --kill-whom=main --signal=CONT openclaw-gateway.service").done();
    vm.run("/usr/local/lib/openclaw/metadata-guard.sh").done();
    assert_metadata_blocked(vm);
}

/// The gateway is reachable from outside the VM only through the forwarded port.
#[track_caller]
pub fn assert_listens_on_loopback_only(vm: &Rehearsal<'_>) {
    let listeners = "ss --listening --tcp --udp --numeric --no-header | awk '{ print $5 }'";
    let listeners = vm.run(listeners).done().out;
    let gateway: Vec<_> = listeners.lines().filter(|address| address.ends_with(":18789")).collect();
    assert_eq!(gateway, ["127.0.0.1:18789"], "{listeners}");
    let open = |address: &&str| !address.starts_with("127.") && !address.starts_with("[::1]");
    // The OS image's SSH, DHCP and LLMNR (RFC 4795), and the rehearsal's forwarding.
    let known = |address: &&str| {
        [":22", ":68", ":5355"].iter().any(|port| address.ends_with(port)) || *address == "169.254.169.10:80"
    };
    let others: Vec<_> = listeners.lines().filter(open).filter(|address| !known(address)).collect();
    assert!(others.is_empty(), "{others:?}");
    let outside = vm.run("curl -sS -m 20 http://169.254.169.10:18789/healthz");
    assert_eq!((outside.code, outside.out.as_str()), (7, ""), "{}", outside.err);
}
