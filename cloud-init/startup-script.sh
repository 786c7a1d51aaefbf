#!/bin/sh
# The bridge: Google's Debian images have no cloud-init and ignore user-data, but they run this on
# every boot. It installs cloud-init, applies the user-data once, and is silent from then on.
set -u

state=/var/lib/openclaw-boot
unit=/etc/systemd/system/openclaw-gateway.service
metadata=${OPENCLAW_METADATA_URL:-http://metadata.google.internal}/computeMetadata/v1
log=/run/openclaw-bridge.log

[ ! -e "$state/bridge-done" ] || exit 0
if command -v cloud-init >/dev/null && [ ! -e "$state/bridge-started" ]; then
    # An image with cloud-init of its own needs no bridge.
    exit 0
fi
mkdir -p "$state" /etc/cloud/cloud.cfg.d
: >"$state/bridge-started"

# Only this script runs cloud-init here, once, with those of its modules that the user-data is for: the
# rest is the image's own affair. On a boot that follows an interrupted one, its own units would run it
# at the same time.
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

# Nothing of cloud-init is to be started, and systemd need not hear of each of its units.
aptget_quietly() (
    export SYSTEMD_OFFLINE=1
    aptget "$@"
)

# As report.sh does it, which is not there yet; the runner of startup scripts writes this output on
# the serial console.
tell() {
    echo "openclaw: status=starting error=$1"
    for attribute in error="$1" status=starting; do
        printf %s "${attribute#*=}" | curl -fsS -o /dev/null --noproxy '*' -m 10 -H 'Metadata-Flavor: Google' -X PUT --data-binary @- \
            "$metadata/instance/guest-attributes/openclaw/${attribute%%=*}" 2>/dev/null
    done
}

install_cloud_init() {
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confdef --force-confold
    aptget update && aptget --fix-broken install && aptget_quietly --no-install-recommends install cloud-init && return
    # A loss of power can leave lists of no length, which apt takes for whole ones and never fetches
    # again. But another who holds the lock needs them, and the lock itself and partial/ are not ours.
    grep -q 'Could not get lock' "$log" || find /var/lib/apt/lists -maxdepth 1 -type f ! -name lock -delete
    return 1
}

# Cloud-init marks a module as done before it runs it, and so never finishes an interrupted one:
# each try begins from nothing. Its warnings are no failure: what counts is that the unit is there.
apply_user_data() {
    [ -z "$(ls -A /var/lib/cloud/instances 2>/dev/null)" ] || cloud-init clean
    cloud-init init
    [ -e "$unit" ] && systemctl is-enabled -q "${unit##*/}"
}

# Whatever the error is, its last line says most; of apt's, the one that it marks as an error. But a
# package that it does not know is one whose list did not come, and why it did not is a mere warning.
why() {
    { { grep -q '^E: Unable to locate' "$log" && grep '^W: Failed to fetch' "$log"; } ||
        grep '^E: ' "$log" || grep . "$log"; } | tail -n 1 | tr -cd '\40-\176' | cut -c 1-200
}

pause=5
until { install_cloud_init && apply_user_data; } >"$log" 2>&1; do
    cat "$log"
    tell "the user-data is not applied yet: $(why)"
    sleep "$pause"
    pause=$((pause * 2 < 300 ? pause * 2 : 300))
done
sync
: >"$state/bridge-done"
sync
