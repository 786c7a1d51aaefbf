#!/bin/sh
# The bridge: Google's Debian images have no cloud-init and ignore user-data, but they run this on
# every boot. It installs cloud-init, applies the user-data once, and is silent from then on.
set -u

state=/var/lib/openclaw-boot
unit=/etc/systemd/system/openclaw-gateway.service

[ ! -e "$state/bridge-done" ] || exit 0
if command -v cloud-init >/dev/null && [ ! -e "$state/bridge-started" ]; then
    # An image with cloud-init of its own needs no bridge.
    exit 0
fi
mkdir -p "$state" /etc/cloud/cloud.cfg.d
: >"$state/bridge-started"

# Only this script runs cloud-init here. On a boot that follows an interrupted one, its own units
# would run it at the same time.
: >/etc/cloud/cloud-init.disabled
cat >/etc/cloud/cloud.cfg.d/99-openclaw.cfg <<'END'
datasource_list: [GCE]
network: {config: disabled}
ssh_deletekeys: false
preserve_hostname: true
users: []
locale: false
END
sync

aptget() {
    DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

install_cloud_init() {
    DEBIAN_FRONTEND=noninteractive dpkg --configure -a --force-confdef --force-confold
    aptget update && aptget --fix-broken install && aptget --no-install-recommends install cloud-init
}

# Cloud-init marks a module as done before it runs it, and so never finishes an interrupted one:
# each try begins from nothing. Warnings, and packages that did not come, are no failure: the unit
# that it places repairs what is missing.
apply_user_data() {
    cloud-init clean
    cloud-init init
    cloud-init modules --mode=config
    cloud-init modules --mode=final
    [ -e "$unit" ] && systemctl is-enabled -q "${unit##*/}"
}

pause=5
until install_cloud_init && apply_user_data; do
    echo "openclaw: the user-data is not applied yet; next try in $pause s"
    sleep "$pause"
    pause=$((pause * 2 < 300 ? pause * 2 : 300))
done
sync
: >"$state/bridge-done"
sync
