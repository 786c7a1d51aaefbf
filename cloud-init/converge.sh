#!/bin/bash
# Runs the stages until the gateway is ready, and again whenever it is not. A stage can be run again
# at any time. Its last line on standard error is its error, or a remark if it passes; it writes the
# kind of its error to error_kind. Exit code 78: it needs help. All stages are retried, in growing pauses.
set -u
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

lib=/usr/local/lib/openclaw
errors=/run/openclaw/stage.err
error_kind=/run/openclaw/error_kind
# SCRIPT:STATUS:KIND, the kind of an error where the script names none.
stages=(
    disk.sh:starting:disk-failed
    swap.sh:starting:swap-failed
    docker.sh:starting:docker-unavailable
    release.py:starting:release-failed
    secrets.py:secrets:secrets-unreachable
    image.sh:image:image-failed
    verify.sh:verify:docker-unavailable
    home.py:start:home-failed
    start.sh:start:container-failed
)

own=$(readlink -f "$lib")
trial=/run/openclaw/trial  # while a new release must prove itself
failing=-1         # the stage that failed last: until it passes, the report stays with it
failing_since=0
told=              # its error at that time
pause=5

# $SECONDS jumps with the clock when the time is first set.
now() {
    cut -d . -f 1 /proc/uptime
}

# By label: Compose needs the secrets even to list its containers.
containers() {
    timeout 20 docker ps -aq --filter label=com.docker.compose.project=openclaw \
        --filter label=com.docker.compose.service=openclaw-gateway --filter label=com.docker.compose.oneoff=False
}

# With the time that OpenClaw documents: it finishes its reply first.
stop_gateway() {
    local id
    id=$(containers)
    # shellcheck disable=SC2086 # one word a container
    [ -z "$id" ] || timeout $((OPENCLAW_STOP_SECONDS + 30)) docker stop -t "$OPENCLAW_STOP_SECONDS" $id >/dev/null ||
        timeout 30 docker kill $id >/dev/null
}

# A full disk has many symptoms.
full_disk() {
    df -Pk /var/lib/openclaw / 2>/dev/null | awk 'NR > 1 && $4 < 1024 { print $6; exit }'
}

run_stages() {
    local i status kind full
    notes=
    for i in "${!stages[@]}"; do
        IFS=: read -r name status kind <<<"${stages[i]}"
        if [ "$i" -gt "$failing" ]; then
            failing=-1
            "$lib/report.sh" "$status" "$trouble" "$trouble_kind"
        fi
        rm -f "$error_kind"
        "$lib/$name" 2>"$errors"
        code=$?
        cat "$errors" >&2
        line=$(grep . "$errors" | tail -n 1)
        if [ "$code" -ne 0 ]; then
            if [ "$failing" -ne "$i" ]; then
                failing=$i
                failing_since=$(now)
                pause=5
            fi
            # Another error: an administrator is at work, so do not make them wait.
            [ "$code" -ne 78 ] || [ "$line" = "$told" ] || pause=5
            told=$line
            # After 15 minutes it is unlikely to pass without help.
            if [ "$code" -eq 78 ] || [ $(($(now) - failing_since)) -ge 900 ]; then
                status=failed
            fi
            trouble='' trouble_kind=''
            [ ! -s "$error_kind" ] || kind=$(cat "$error_kind")
            full=''
            [ "$code" -eq 78 ] || full=$(full_disk)
            [ -z "$full" ] || kind=disk-full line="the disk of $full is full: $line"
            "$lib/report.sh" "$status" "${name%.*}: ${line:-exit code $code}" "$kind"
            return 1
        fi
        [ -z "$line" ] || notes="${notes:+$notes; }$line"
        # Another release is current: its own scripts continue.
        [ "$(readlink -f "$lib")" = "$own" ] || exec "$lib/converge.sh"
    done
    failing=-1
    trouble='' trouble_kind=''
}

# Its image was verified before it started. A container that differs is not used again.
verify_running() {
    local code=0
    # Tomorrow, or in an hour if Docker is away.
    verify_at=$(($(now) + 86400))
    timeout 600 "$lib/verify.sh" running 2>"$errors" || code=$?
    cat "$errors" >&2
    [ "$code" -ne 0 ] || return 0
    [ "$code" -eq 78 ] || { verify_at=$(($(now) + 3600)); return 0; }
    trouble="verify: $(grep . "$errors" | tail -n 1)" trouble_kind=binary-mismatch
    stop_gateway
    # shellcheck disable=SC2046 # one word a container
    timeout 60 docker rm -f $(containers) >/dev/null
    return 1
}

# Returns once the gateway needs the stages again, with the reason in `trouble` and `trouble_kind`.
watch() {
    local bad_since='' started said word kind verify_at internet='' look_at=0
    started=$(now)
    verify_at=$((started + 86400))
    while :; do
        sleep 15
        [ "$(now)" -lt "$verify_at" ] || verify_running || return
        if "$lib/metadata-guard.sh"; then
            said=$("$lib/probe.py")
        else
            said='silent/guard-failed the container cannot be kept from private networks: see iptables-save'
        fi
        said=${said:-silent/gateway-unresponsive the gateway could not be probed}
        # WORD/KIND TEXT
        word=${said%% *}
        kind=${word#"${word%%/*}"}
        kind=${kind#/}
        if [ -e "$trial" ] && ! trouble=$("$lib/release.py" probed "${word%%/*}"); then
            : "${trouble:=the release could not be settled}"
            trouble_kind=
            return
        fi
        case $said in
        ready*)
            bad_since=
            said=${said#ready}
            said=${said# }
            # A VM without internet is ready all the same: it answers, and may have a model and channels of its own.
            if [ "$(now)" -ge "$look_at" ]; then
                internet=$("$lib/probe.py" internet)
                look_at=$(($(now) + ($([ -z "$internet" ] && echo 300 || echo 60))))
            fi
            said=$said${internet:+${said:+; }$internet}
            "$lib/report.sh" ready "$notes${notes:+${said:+; }}$said"
            # Not a crash loop.
            [ $(($(now) - started)) -lt 600 ] || pause=5
            continue
            ;;
        starting*)
            # It was restarted. Docker's health check ends this state.
            bad_since=
            "$lib/report.sh" start "${said#* }"
            continue
            ;;
        silent* | refusing*)
            # It may be busy or restarting: allow three minutes.
            : "${bad_since:=$(now)}"
            if [ $(($(now) - bad_since)) -lt 180 ]; then
                [ $(($(now) - bad_since)) -lt 45 ] || "$lib/report.sh" start "${said#* }" "$kind"
                continue
            fi
            # A gateway that refuses its agents would do so again, and its repair runs inside it.
            case $said in refusing*) ;; *) stop_gateway ;; esac
            ;;
        esac
        trouble=${said#* } trouble_kind=$kind
        return
    done
}

trap 'stop_gateway; exit 0' TERM
install -d -m 0700 /run/openclaw
# For shutdown only: the unit must stop before Docker does, to stop the gateway. At boot it does not
# wait for Docker.
order=/run/systemd/system/openclaw-gateway.service.d/stop-before-docker.conf
if [ ! -e "$order" ]; then
    mkdir -p "${order%/*}"
    printf '[Unit]\nAfter=docker.service\n' >"$order"
    systemctl daemon-reload || true
fi

trouble='' trouble_kind='' name='' line='' code=0
while :; do
    if run_stages; then
        "$lib/report.sh" ready "$notes"
        "$lib/cleanup.sh" || true
        watch
        echo "$trouble" >&2
        "$lib/report.sh" start "$trouble" "$trouble_kind"
        name=watch line=$trouble code=1
    fi
    # After a failed update the release before comes back at once.
    if [ -e "$trial" ] && "$lib/release.py" failed "$name" "$code" "$line"; then
        failing=-1
        continue
    fi
    sleep "$pause"
    pause=$((pause * 2 < 300 ? pause * 2 : 300))
done
