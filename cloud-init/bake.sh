#!/bin/bash
# Turns this VM into an OS image if it has the metadata attribute `openclaw-bake`: installs Docker, makes and verifies
# the gateway's image, removes what belongs to this VM alone, and powers off. It has no data disk, and neither reads
# nor makes a secret. On any other VM it ends at once.
set -u

lib=/usr/local/lib/openclaw
boot=/var/lib/openclaw-boot
run=/run/openclaw
metadata=${OPENCLAW_METADATA_URL:-http://metadata.google.internal}/computeMetadata/v1
# As in converge.sh.
stages=(docker.sh:starting:docker-unavailable image.sh:image:image-failed verify.sh:verify:docker-unavailable)

# The user-data came from this server a moment ago, so it will answer.
is_builder() {
    local code=
    command -v curl >/dev/null || return 1
    while :; do
        code=$(curl -s -o /dev/null -w '%{http_code}' --noproxy '*' -m 10 -H 'Metadata-Flavor: Google' \
            "$metadata/instance/attributes/openclaw-bake")
        case $code in
        200) return 0 ;;
        404) return 1 ;;
        esac
        sleep 2
    done
}

run_stages() {
    local stage name status kind line code
    for stage in "${stages[@]}"; do
        IFS=: read -r name status kind <<<"$stage"
        # An error stays in the report until all stages pass.
        [ -n "$trouble" ] || "$lib/report.sh" "$status"
        rm -f "$run/error_kind"
        code=0
        "$lib/$name" 2>"$run/stage.err" || code=$?
        cat "$run/stage.err" >&2
        line=$(grep . "$run/stage.err" | tail -n 1)
        [ "$code" -ne 0 ] || continue
        trouble="${name%.*}: ${line:-exit code $code}"
        [ ! -s "$run/error_kind" ] || kind=$(cat "$run/error_kind")
        # It needs help.
        [ "$code" -ne 78 ] || status=failed
        "$lib/report.sh" "$status" "$trouble" "$kind"
        return 1
    done
    trouble=
}

# Accounts that Google's agent made for SSH keys in the metadata.
remove_accounts() {
    local account
    for account in $(getent group google-sudoers | cut -d : -f 4 | tr , ' '); do
        userdel -r "$account"
    done
}

# Removes everything that would give two VMs of this image the same identity, and the bundle of this one.
seal() {
    systemctl stop unattended-upgrades.service apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service
    docker builder prune -af >/dev/null
    docker image prune -f >/dev/null
    systemctl stop docker.socket docker.service containerd.service
    remove_accounts

    # The bundle. Docker's settings stay, because it starts before the user-data is applied.
    rm -rf /opt/openclaw /var/lib/openclaw /etc/systemd/system/openclaw-* /etc/systemd/system/*.wants/openclaw-*
    find "$boot" -mindepth 1 ! -name bridge-started -delete
    # cloud-init's state. If startup-script.sh installed it, that script runs it again.
    cloud-init clean --logs
    rm -rf /var/lib/cloud/*

    # Identity: systemd, sshd's unit, Google's agent and Docker make new ones. The random seed would be saved
    # again when its unit stops.
    systemctl stop systemd-random-seed.service
    : >/etc/machine-id
    [ -L /var/lib/dbus/machine-id ] || rm -f /var/lib/dbus/machine-id
    rm -f /var/lib/systemd/random-seed /var/lib/systemd/credential.secret /etc/ssh/ssh_host_*
    rm -f /etc/google_instance_id /etc/instance_id /etc/docker/key.json /var/lib/docker/engine-id
    rm -rf /var/lib/dhcp/* /var/lib/google /var/lib/google-guest-agent /root/.ssh /root/.docker /root/.cache /root/.bash_history
    sed -i '/# Added by Google/d' /etc/hosts

    apt-get clean
    find /var/lib/apt/lists -mindepth 1 ! -name lock ! -name partial -delete
    journalctl --relinquish-var
    rm -rf /var/log/journal/*
    find /var/log -type f \( -name '*.gz' -o -name '*.[0-9]' \) -delete
    find /var/log -type f -exec truncate -s 0 {} +
    find /tmp /var/tmp -mindepth 1 -xdev -delete
}

# Whether nothing is left that an image must not have: an account or a bundle, an identity, a host key.
sealed() {
    [ ! -s /etc/machine-id ] && [ ! -e /opt/openclaw ] && [ -z "$(getent group google-sudoers | cut -d : -f 4)" ] &&
        [ -z "$(find /etc/ssh -name 'ssh_host_*' -print -quit)" ] && [ -z "$(find /var/lib/cloud -mindepth 1 -print -quit)" ]
}

# The server may drop some of several quick reports, and no later one follows.
report_until_sent() { # STATUS...
    local tries=0
    until "$lib/report.sh" "$@" && [ -e "$run/report/sent" ] || [ "$tries" -ge 20 ]; do
        tries=$((tries + 1))
        sleep 3
    done
}

bake() {
    local pause=5
    install -d -m 0700 "$run"
    until run_stages; do
        sleep "$pause"
        pause=$((pause * 2 < 300 ? pause * 2 : 300))
    done
    seal
    if ! sealed; then
        report_until_sent failed 'bake: parts of this VM are left that an image must not have'
        sleep infinity
    fi
    report_until_sent baked
    rm -rf "$lib"
    sync
    # No remains of deleted files in the image.
    fstrim /
    systemctl poweroff
    # Nothing after this belongs on the image.
    sleep infinity
}

trouble=
# In one line: this file is deleted.
if is_builder; then bake; fi
