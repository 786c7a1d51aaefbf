//! What several scenarios hold of a VM.

use crate::rehearsal::{Machine, Rehearsal};

/// Where the gateway's token is kept.
pub const TOKEN: &str = "/var/lib/openclaw/secrets/OPENCLAW_GATEWAY_TOKEN";

/// OpenClaw's configuration, once made by onboarding its user's.
pub const CONFIGURATION: &str = "/var/lib/openclaw/config/openclaw.json";

/// Changes OpenClaw's configuration as its user might.
#[track_caller]
pub fn change_configuration(vm: &Rehearsal<'_>) {
    let change = "import json, sys; file = open(sys.argv[1], 'r+'); config = json.load(file); \
                  config.setdefault('agents', {}).setdefault('defaults', {})['userTimezone'] = 'Europe/Vienna'; \
                  file.seek(0); file.truncate(); json.dump(config, file, indent=2)";
    vm.run(&format!("python3 -c \"{change}\" {CONFIGURATION}")).done();
}

/// No container is there, running or not: the gateway was never started.
#[track_caller]
pub fn never_started(vm: &Rehearsal<'_>) {
    assert_eq!(vm.run("docker ps --all --quiet").done().out, "");
}

/// The content of a file in the VM.
#[track_caller]
pub fn read(vm: &Rehearsal<'_>, path: &str) -> String {
    vm.run(&format!("cat {path}")).done().out
}

/// The gateway's token, which was made on the VM.
#[track_caller]
pub fn token(vm: &Rehearsal<'_>) -> String {
    let token = read(vm, TOKEN).trim_end().to_owned();
    assert_eq!(token.len(), 64, "not 256 bits");
    assert!(token.chars().all(|digit| digit.is_ascii_hexdigit()));
    let owner = vm.run(&format!("stat -c '%U %a' {TOKEN} /run/openclaw/secrets.env")).done().out;
    assert_eq!(owner, "root 600\nroot 600\n");
    token
}

/// The guest attribute of that name, as whoever asks Compute Engine for it gets it.
#[track_caller]
pub fn attribute(vm: &Rehearsal<'_>, name: &str) -> String {
    guest_attributes(vm, &format!("openclaw/{name}"))
}

/// All guest attributes, in JSON.
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

/// These secrets and all others are where they belong, and nowhere that others look.
#[track_caller]
pub fn is_kept(machine: &Machine<'_>, vm: &Rehearsal<'_>, secrets: &[&str]) {
    for secret in secrets {
        assert!(!machine.serial().contains(secret), "on the serial console");
        assert!(!vm.output().contains(secret), "in the reports");
    }
    // Patterns come from a file: as an argument they would be found.
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
        // A stand-in that nothing goes wrong with says nothing.
        ("the containers' log", "docker logs $(docker ps --quiet) 2>&1 && echo 'that is all'"),
        ("a command line", "cat /proc/[0-9]*/cmdline"),
        ("what the bundle placed", "cat /opt/openclaw/*"),
        ("other logs", "find /var/log /var/lib/cloud -type f ! -path '*/journal/*' -exec cat {} +"),
    ] {
        let metadata = "metadata() { curl -fsS -H 'Metadata-Flavor: Google' \
                        \"http://metadata.google.internal/computeMetadata/v1/$1\"; }";
        let find = "test -s seen && ! grep --text --quiet --fixed-strings --file secrets seen";
        let found = vm.run(&format!("{metadata}; {folder}; {script} >seen; {find}"));
        assert_eq!(found.code, 0, "a secret is in {place}, or there is nothing of it: {}", found.err);
    }
    vm.run("rm -r /run/openclaw-test").done();
}

/// No layer of an image has one of the secrets. Takes its time where images are large.
#[track_caller]
pub fn is_in_no_layer(vm: &Rehearsal<'_>) {
    let known = "A stand-in: see";
    let patterns = "sed -n 's/^[A-Z0-9_]*=\"\\(.*\\)\"$/\\1/p' /run/openclaw/secrets.env";
    let script = format!(
        "umask 77 && {{ {patterns}; echo '{known}'; }} >/run/to-find && \
         docker image save $(docker image ls --quiet) | tar -xO | \
         grep --text --only-matching --fixed-strings --file /run/to-find | sort -u; rm /run/to-find"
    );
    assert_eq!(vm.run(&script).done().out, format!("{known}\n"), "a secret, or the layers were not read");
}

/// Nothing of the build is left, and the OS mends itself.
#[track_caller]
pub fn is_tidy(vm: &Rehearsal<'_>) {
    // It comes after the report. The brackets keep this very command from being found.
    vm.run("while pgrep -f lib/openclaw/[c]leanup.sh; do sleep 1; done").done();
    let usage = vm.run("docker system df --format '{{.Type}}: {{.Size}}'").done().out;
    assert!(usage.lines().any(|line| line == "Build Cache: 0B"), "{usage}");
    assert_eq!(vm.run("docker image ls --quiet --filter dangling=true").done().out, "");
    let upgrades =
        "apt-config dump APT::Periodic::Unattended-Upgrade; systemctl is-enabled apt-daily-upgrade.timer";
    assert_eq!(vm.run(upgrades).done().out, "APT::Periodic::Unattended-Upgrade \"1\";\nenabled\n");
}

/// How the gateway's container is shut in, seen from inside.
#[track_caller]
pub fn is_shut_in(vm: &Rehearsal<'_>) {
    assert_eq!(vm.run_inside("id -u; getent hosts ghcr.io").done().out, "1000\n192.0.2.10      ghcr.io\n");
    let status = vm.run_inside("grep -E '^(Cap|NoNewPrivs)' /proc/1/status").done().out;
    for line in status.lines() {
        let (field, value) = line.split_once(":\t").expect("a field");
        assert!(value == if field == "NoNewPrivs" { "1" } else { "0000000000000000" }, "{status}");
    }
    assert_eq!(status.lines().count(), 6, "{status}");

    // On a file system of its own `find` names the folder that it is mounted at, and goes no further.
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
    is_kept_from_metadata(vm);
}

const ASK: &str =
    "curl -sS -m 20 -H 'Metadata-Flavor: Google' http://169.254.169.254/computeMetadata/v1/instance/name";

/// The container gets no answer of the metadata server, which has one for the host.
#[track_caller]
pub fn is_kept_from_metadata(vm: &Rehearsal<'_>) {
    vm.run(ASK).done();
    let refused = vm.run_inside(ASK);
    assert_eq!(refused.out, "", "the metadata server answers in the container");
    // Curl: no connection.
    assert_eq!(refused.code, 7, "{}", refused.err);
}

/// Without the guard the container would get an answer: it is the guard that keeps it away.
#[track_caller]
pub fn guard_is_what_keeps_it(vm: &Rehearsal<'_>) {
    // The unit would put the rules back.
    vm.run("systemctl kill --kill-whom=main --signal=STOP openclaw-gateway.service").done();
    vm.run("while pgrep -f lib/openclaw/[m]etadata-guard.sh; do sleep 1; done").done();
    for chain in ["DOCKER-USER", "FORWARD"] {
        vm.run(&format!("iptables -D {chain} -j OPENCLAW-METADATA")).done();
    }
    let name = vm.run_inside(ASK).done().out;
    assert!(!name.is_empty());
    vm.run("systemctl kill --kill-whom=main --signal=CONT openclaw-gateway.service").done();
    vm.run("/usr/local/lib/openclaw/metadata-guard.sh").done();
    is_kept_from_metadata(vm);
}

/// From outside the VM there is no way to the gateway but the forwarded one.
#[track_caller]
pub fn listens_on_loopback_only(vm: &Rehearsal<'_>) {
    let listeners = "ss --listening --tcp --udp --numeric --no-header | awk '{ print $5 }'";
    let listeners = vm.run(listeners).done().out;
    let gateway: Vec<_> = listeners.lines().filter(|address| address.ends_with(":18789")).collect();
    assert_eq!(gateway, ["127.0.0.1:18789"], "{listeners}");
    let open = |address: &&str| !address.starts_with("127.") && !address.starts_with("[::1]");
    // The OS image's own SSH, DHCP and LLMNR (RFC 4795), and what the rehearsal itself forwards through.
    let known = |address: &&str| {
        [":22", ":68", ":5355"].iter().any(|port| address.ends_with(port)) || *address == "169.254.169.10:80"
    };
    let others: Vec<_> = listeners.lines().filter(open).filter(|address| !known(address)).collect();
    assert!(others.is_empty(), "{others:?}");
    let outside = vm.run("curl -sS -m 20 http://169.254.169.10:18789/healthz");
    assert_eq!((outside.code, outside.out.as_str()), (7, ""), "{}", outside.err);
}
