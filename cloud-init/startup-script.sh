#!/bin/sh
# Installs cloud-init and what the VM's scripts need, and applies the user-data once: Google's Debian images have no
# cloud-init and ignore user-data, but run this script at every boot. bake renders its settings below the first line.
set -u

# The packages, and the source of those that Debian lacks: a line of sources.list, and the key that signs it.
: "${OPENCLAW_PACKAGES=}" "${apt_source=}" "${apt_key=}"

state=/var/lib/openclaw-boot
unit=/etc/systemd/system/openclaw-gateway.service
metadata=${OPENCLAW_METADATA_URL:-http://metadata.google.internal}/computeMetadata/v1
log=/run/openclaw-bridge.log

[ ! -e "$state/bridge-done" ] || exit 0
if command -v cloud-init >/dev/null && [ ! -e "$state/bridge-started" ]; then
    # The image has cloud-init.
    exit 0
fi
mkdir -p "$state" /etc/cloud/cloud.cfg.d
: >"$state/bridge-started"

# Only this script runs cloud-init, once, with the modules that the user-data needs. After an
# interrupted boot, cloud-init's own units would run it at the same time.
: >/etc/cloud/cloud-init.disabled
cat >/etc/cloud/cloud.cfg.d/99-openclaw.cfg <<'END'
datasource_list: [GCE]
network: {config: disabled}
preserve_hostname: true
users: []
cloud_init_modules: [bootcmd, write_files, users_groups, runcmd, scripts_user]
cloud_config_modules: []
cloud_final_modules: []
END
sync

# Without translations and lists of source packages, which nothing here reads.
aptget() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=60 -o Acquire::Retries=3 \
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb-src::Sources::DefaultEnabled=false \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Starts no unit: neither cloud-init's nor Docker, which waits for its settings and the metadata guard.
aptget_quietly() (
    export SYSTEMD_OFFLINE=1
    aptget "$@"
)

# Reports like report.sh, which is not there yet. Google's agent writes this output to the serial console.
tell() {
    echo "openclaw: status=starting error_kind=user-data-not-applied error=$1"
    for attribute in error="$1" error_kind=user-data-not-applied status=starting; do
        printf %s "${attribute#*=}" | curl -fsS -o /dev/null --noproxy '*' -m 10 -H 'Metadata-Flavor: Google' -X PUT --data-binary @- \
            "$metadata/instance/guest-attributes/openclaw/${attribute%%=*}" 2>/dev/null
    done
}

# dpkg refuses to configure a package whose unpacking was interrupted, and apt does not always unpack it again.
unpack_again() {
    # shellcheck disable=SC2016 # fields of dpkg-query
    torn=$(dpkg-query -W -f '${db:Status-Eflag} ${Package}:${Architecture}\n' | sed -n 's/^reinstreq //p')
    [ -n "$torn" ] || return 0
    debs=$(mktemp -d) || return
    # shellcheck disable=SC2086 # one word per package
    (cd "$debs" && aptget -o APT::Sandbox::User=root download $torn && dpkg --unpack ./*.deb)
    code=$?
    rm -rf "$debs"
    return "$code"
}

# A baked image has it. docker.sh installs packages that are missing then.
is_installed() {
    command -v cloud-init >/dev/null && [ -z "$(dpkg --audit)" ]
}

add_source() {
    [ -n "$apt_source" ] || return 0
    mkdir -p /etc/apt/keyrings
    printf '%s\n' "$apt_key" >/etc/apt/keyrings/docker.asc
    printf '%s\n' "$apt_source" >/etc/apt/sources.list.d/docker.list
}

# After a loss of power.
repair() {
    [ -n "$(dpkg --audit)" ] || return 0
    # Fails while another process holds the lock, for which apt-get waits below.
    DEBIAN_FRONTEND=noninteractive SYSTEMD_OFFLINE=1 dpkg --configure -a --force-confdef --force-confold
    unpack_again && aptget_quietly --fix-broken install
}

# All in one transaction: each one more would read lists, run triggers and reload systemd again.
install_packages() {
    add_source
    # One vanished suite fails the update, although the others may have all packages.
    aptget update || true
    # shellcheck disable=SC2086 # one word a package
    repair && aptget_quietly --no-install-recommends install cloud-init $OPENCLAW_PACKAGES && return
    # A loss of power can leave empty lists, which apt takes for complete. Keep them while another
    # process holds the lock and needs them.
    grep -q 'Could not get lock' "$log" || find /var/lib/apt/lists -maxdepth 1 -type f ! -name lock -delete
    return 1
}

# cloud-init marks a module as done before it runs it and never resumes one, so each attempt starts
# from nothing. Its warnings do not count, only that the unit is enabled.
apply_user_data() {
    # After an interrupted boot it may run without its settings, which the user-data brings.
    [ -s /etc/docker/daemon.json ] || systemctl stop docker.socket docker.service
    [ -z "$(ls -A /var/lib/cloud/instances 2>/dev/null)" ] || cloud-init clean
    cloud-init init
    [ -e "$unit" ] && systemctl is-enabled -q "${unit##*/}"
}

# The first line that apt marks as an error, or the last line. A package is unknown if its list could not be
# downloaded, and apt gives the reason for that as a warning.
why() {
    { { grep -q '^E: Unable to locate' "$log" && grep '^W: Failed to fetch' "$log"; } ||
        grep '^E: ' "$log" || grep . "$log" | tail -n 1; } | head -n 1 | tr -cd '\40-\176' | cut -c 1-200
}

pause=5
until { { is_installed || install_packages; } && apply_user_data; } >"$log" 2>&1; do
    cat "$log"
    tell "the user-data is not applied yet: $(why)"
    sleep "$pause"
    pause=$((pause * 2 < 300 ? pause * 2 : 300))
done
sync
: >"$state/bridge-done"
sync
# The units of the packages that were not started above. The user-data has had systemd read them.
systemctl --no-block start multi-user.target
