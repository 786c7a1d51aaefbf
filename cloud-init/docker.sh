#!/bin/sh
# Installs and starts Docker with Compose and buildx. Recovers from an installation that was cut short.
set -eu
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

key=/etc/apt/keyrings/docker.asc
fingerprint=9DC858229FC7DD38854AE2D88D81803C0EBFCD88

# By commands, not by packages: Docker may come from another source.
is_installed() {
    for command in dockerd curl iptables apparmor_parser unattended-upgrade; do
        command -v "$command" >/dev/null || return 1
    done
    [ "$OPENCLAW_STRATEGY" != source ] || command -v git >/dev/null || return 1
    [ "$OPENCLAW_EGRESS" != listed ] || { command -v dnsmasq && command -v ipset; } >/dev/null || return 1
    docker compose version >/dev/null 2>&1 && docker buildx version >/dev/null 2>&1
}

# A loss of power leaves packages that are unpacked and not configured, ours or not.
is_half_configured() {
    [ -n "$(dpkg --audit)" ]
}

# Waits a minute for apt's lock, then reports which process holds it.
aptget() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=60 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# The last line that apt marks as an error.
quote_error() {
    grep -E '^(E|Err|W): ?' "$1" | tail -n 1 | cut -c 1-200
}

# The fingerprints of all primary keys in a file (RFC 4880, 4.2 and 12.2), or `unreadable`. Without gpg:
# small images lack it, and it would have to be installed from the source that the key is for.
primary_keys() {
    python3 - "$1" <<'END' 2>/dev/null || echo unreadable
import base64, hashlib, re, sys

kind = "PGP PUBLIC KEY BLOCK-----\n"
text = open(sys.argv[1]).read()
rest = base64.b64decode(re.fullmatch(f"-----BEGIN {kind}(?:.+\n)*\n([^=-]+=*)\n=.{{4}}\n-----END {kind}", text)[1])
while rest:
    # One, two or four bytes of length; gpg writes no other form.
    size = 1 << (rest[0] & 3)
    end = 1 + size + int.from_bytes(rest[1 : 1 + size], "big")
    packet = rest[1 + size : end]
    assert rest[0] >> 6 == 2 and size < 8 and end <= len(rest)
    if rest[0] >> 2 & 15 == 6:
        print(hashlib.sha1(b"\x99" + len(packet).to_bytes(2, "big") + packet).hexdigest().upper())
    rest = rest[end:]
END
}

# dpkg refuses to configure a package whose unpacking was interrupted, and apt does not always unpack it again.
unpack_again() {
    # shellcheck disable=SC2016 # fields of dpkg-query
    torn=$(dpkg-query -W -f '${db:Status-Eflag} ${Package}:${Architecture}\n' | sed -n 's/^reinstreq //p')
    [ -n "$torn" ] || return 0
    debs=$(mktemp -d) || return
    unpacked=yes
    # shellcheck disable=SC2086 # one word per package
    (cd "$debs" && aptget -o APT::Sandbox::User=root download $torn && dpkg --unpack ./*.deb) || unpacked=
    rm -rf "$debs"
    [ -n "$unpacked" ]
}

# Fails with the reason in `trouble`, and 78 in `code` if a retry is not enough.
install_packages() {
    code=1 kind=packages-unavailable
    log=/run/openclaw/apt.log
    # Exactly this key: apt would trust a second one in the file as well.
    if [ -e /etc/apt/sources.list.d/docker.list ] && [ "$(primary_keys "$key")" != "$fingerprint" ]; then
        code=78 kind=package-key-mismatch
        trouble="$key is not Docker's key $fingerprint"
        return 1
    fi
    # Fails while another process holds the lock, for which apt-get waits below.
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confdef --force-confold || true
    # One vanished suite fails the update, although the others may have all packages.
    trouble=
    aptget update >"$log" 2>&1 || trouble=$(quote_error "$log")
    # shellcheck disable=SC2086 # one word a package
    if unpack_again >>"$log" 2>&1 && aptget --fix-broken install >>"$log" 2>&1 && aptget --no-install-recommends install $OPENCLAW_PACKAGES >>"$log" 2>&1; then
        trouble=
        return
    fi
    cat "$log"
    # A loss of power can leave empty lists, which apt takes for complete. Keep them while another
    # process holds the lock and needs them.
    grep -q 'Could not get lock' "$log" || find /var/lib/apt/lists -maxdepth 1 -type f ! -name lock -delete
    : "${trouble:=$(quote_error "$log")}"
    return 1
}

start() {
    timeout 30 docker info >/dev/null 2>&1 && return
    # systemd refuses a unit that was started too often.
    systemctl reset-failed docker.service docker.socket containerd.service 2>/dev/null || true
    timeout 300 systemctl start docker.service >/dev/null 2>&1 || true
    timeout 30 docker info >/dev/null 2>&1
}

trouble=
if ! is_installed; then
    install_packages || {
        echo "$kind" >/run/openclaw/error_kind
        echo "Docker could not be installed: $trouble" >&2
        exit "$code"
    }
elif is_half_configured; then
    install_packages || true
fi
if start; then
    # Not a reason to keep the gateway down.
    [ -z "$trouble" ] || echo "half-configured packages could not be repaired: $trouble" >&2
    exit 0
fi
echo "Docker does not start: ${trouble:-see journalctl -u docker}" >&2
exit 1
