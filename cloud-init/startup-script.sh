#!/bin/sh
# Installs cloud-init and applies the user-data once: Google's Debian images have no cloud-init and
# ignore user-data, but run this script at every boot. Rendered by bake; change bake.yaml instead.
set -u

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

aptget() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=60 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# Starts no unit of cloud-init.
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

# A baked image has it.
is_installed() {
    command -v cloud-init >/dev/null && [ -z "$(dpkg --audit)" ]
}

install_cloud_init() {
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confdef --force-confold
    # One vanished suite fails the update, although the others may have all packages.
    aptget update || true
    unpack_again && aptget --fix-broken install && aptget_quietly --no-install-recommends install cloud-init && return
    # A loss of power can leave empty lists, which apt takes for complete. Keep them while another
    # process holds the lock and needs them.
    grep -q 'Could not get lock' "$log" || find /var/lib/apt/lists -maxdepth 1 -type f ! -name lock -delete
    return 1
}

# cloud-init marks a module as done before it runs it and never resumes one, so each attempt starts
# from nothing. Its warnings do not count, only that the unit is enabled.
apply_user_data() {
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
until { { is_installed || install_cloud_init; } && apply_user_data; } >"$log" 2>&1; do
    cat "$log"
    tell "the user-data is not applied yet: $(why)"
    sleep "$pause"
    pause=$((pause * 2 < 300 ? pause * 2 : 300))
done
sync
: >"$state/bridge-done"
sync
