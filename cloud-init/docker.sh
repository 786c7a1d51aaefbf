#!/bin/sh
# Docker engine, Compose and buildx, installed and running; also what a late network, a held lock or
# a loss of power left undone.
set -eu
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

key=/etc/apt/keyrings/docker.asc
fingerprint=9DC858229FC7DD38854AE2D88D81803C0EBFCD88

# By what works, not by package: whoever brought Docker in another way needs nothing installed.
is_installed() {
    for command in dockerd curl iptables apparmor_parser unattended-upgrade; do
        command -v "$command" >/dev/null || return 1
    done
    [ "$OPENCLAW_STRATEGY" != source ] || command -v git >/dev/null || return 1
    docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1
}

# What was unpacked and never configured, for the power went; it may be nothing of ours.
is_half_configured() {
    [ -n "$(dpkg --audit)" ]
}

# Waits for another's lock for a minute only: then it is told who holds it, and waited on.
aptget() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=60 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# The last line that apt marks as an error: what it says before is progress.
quote_error() {
    grep -E '^(E|Err|W): ?' "$1" | tail -n 1 | cut -c 1-200
}

# The fingerprints of all primary keys in a file (RFC 4880, 4.2 and 12.2), or a word of why not. Not
# by gpg, which small images lack: it would have to be installed from what is not checked yet.
primary_keys() {
    python3 - "$1" <<'END' 2>/dev/null || echo unreadable
import base64, hashlib, re, sys

kind = "PGP PUBLIC KEY BLOCK-----\n"
text = open(sys.argv[1]).read()
rest = base64.b64decode(re.fullmatch(f"-----BEGIN {kind}(?:.+\n)*\n([^=-]+=*)\n=.{{4}}\n-----END {kind}", text)[1])
while rest:
    # One, two or four bytes of length; gpg writes no other form where there is a choice.
    size = 1 << (rest[0] & 3)
    end = 1 + size + int.from_bytes(rest[1 : 1 + size], "big")
    packet = rest[1 + size : end]
    assert rest[0] >> 6 == 2 and size < 8 and end <= len(rest)
    if rest[0] >> 2 & 15 == 6:
        print(hashlib.sha1(b"\x99" + len(packet).to_bytes(2, "big") + packet).hexdigest().upper())
    rest = rest[end:]
END
}

# Fails with the reason in `trouble`, and in `code` whether trying again helps.
install_packages() {
    code=1
    log=/run/openclaw/apt.log
    # Exactly this one primary key: a second in the file would be trusted as much.
    if [ "$OPENCLAW_OS" = debian-12 ] && [ "$(primary_keys "$key")" != "$fingerprint" ]; then
        code=78
        trouble="$key is not Docker's key $fingerprint"
        return 1
    fi
    # Fails harmlessly while another holds the lock: apt-get waits for that below.
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confdef --force-confold || true
    # shellcheck disable=SC2086 # one word a package
    if aptget update >"$log" 2>&1 && aptget --fix-broken install >>"$log" 2>&1 && aptget --no-install-recommends install $OPENCLAW_PACKAGES >>"$log" 2>&1; then
        return
    fi
    cat "$log"
    # A loss of power can leave lists of no length, which apt takes for whole ones and never fetches
    # again. But another who holds the lock needs them, and the lock itself and partial/ are not ours.
    grep -q 'Could not get lock' "$log" || find /var/lib/apt/lists -maxdepth 1 -type f ! -name lock -delete
    trouble=$(quote_error "$log")
    return 1
}

start() {
    timeout 30 docker info >/dev/null 2>&1 && return
    # systemd refuses what was started too often, and this is tried for as long as it takes.
    systemctl reset-failed docker.service docker.socket containerd.service 2>/dev/null || true
    timeout 300 systemctl start docker.service >/dev/null 2>&1 || true
    timeout 30 docker info >/dev/null 2>&1
}

trouble=
if ! is_installed; then
    install_packages || { echo "Docker could not be installed: $trouble" >&2; exit "$code"; }
elif is_half_configured; then
    install_packages || true
fi
if start; then
    # Whatever it is, it keeps no gateway down.
    [ -z "$trouble" ] || echo "half-configured packages could not be repaired: $trouble" >&2
    exit 0
fi
echo "Docker does not start: ${trouble:-see journalctl -u docker}" >&2
exit 1
