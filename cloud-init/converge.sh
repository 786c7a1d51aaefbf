#!/bin/bash
# Brings the machine to the wanted state, stage by stage, and keeps it there. Every stage can be
# run again at any time. It says on standard error why it failed (or what is not quite right), and
# exits with 78 where somebody has to help; either way it is tried again, in growing pauses.
set -u
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

lib=/usr/local/lib/openclaw
errors=/run/openclaw/stage.err
# Each stage with the status under which it is reported.
stages=(disk.sh:starting swap.sh:starting docker.sh:starting secrets.py:secrets image.sh:image verify.sh:verify home.py:start start.sh:start)

failing=-1         # the stage that failed last: until it passes, the report stays with it
failing_since=0
told=              # why, at that time
pause=5

# Not $SECONDS, which jumps with the clock when the time is first set.
now() {
    cut -d . -f 1 /proc/uptime
}

# It may be giving a reply: it gets the time that OpenClaw documents for that.
stop_gateway() {
    local id
    # By label: compose itself needs the secrets to name its containers.
    id=$(timeout 20 docker ps -aq --filter label=com.docker.compose.project=openclaw \
        --filter label=com.docker.compose.service=openclaw-gateway --filter label=com.docker.compose.oneoff=False)
    # shellcheck disable=SC2086 # one word a container
    [ -z "$id" ] || timeout $((OPENCLAW_STOP_SECONDS + 30)) docker stop -t "$OPENCLAW_STOP_SECONDS" $id >/dev/null ||
        timeout 30 docker kill $id >/dev/null
}

run_stages() {
    local i name status line code
    notes=
    for i in "${!stages[@]}"; do
        IFS=: read -r name status <<<"${stages[i]}"
        if [ "$i" -gt "$failing" ]; then
            failing=-1
            "$lib/report.sh" "$status" "$trouble"
        fi
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
            # Somebody is helping: what they did is looked at soon.
            [ "$code" -ne 78 ] || [ "$line" = "$told" ] || pause=5
            told=$line
            # What has not passed by itself for so long will hardly do so.
            if [ "$code" -eq 78 ] || [ $(($(now) - failing_since)) -ge 900 ]; then
                status=failed
            fi
            trouble=
            "$lib/report.sh" "$status" "${name%.*}: ${line:-exit code $code}"
            return 1
        fi
        [ -z "$line" ] || notes="${notes:+$notes; }$line"
    done
    failing=-1
    trouble=
}

# Returns once the gateway needs the stages again, with the reason in `trouble`.
watch() {
    local bad_since='' started said
    started=$(now)
    while :; do
        sleep 15
        "$lib/metadata-guard.sh" || true
        said=$("$lib/probe.py")
        said=${said:-silent the gateway could not be probed}
        case $said in
        ready*)
            bad_since=
            said=${said#ready}
            said=${said# }
            "$lib/report.sh" ready "$notes${notes:+${said:+; }}$said"
            # What has run this long is no crash loop.
            [ $(($(now) - started)) -lt 600 ] || pause=5
            continue
            ;;
        starting*)
            # Restarted by somebody. Docker ends this: its health is good or bad before long.
            bad_since=
            "$lib/report.sh" start "${said#* }"
            continue
            ;;
        silent* | refusing*)
            # It may be busy, or at its own restart: some minutes are granted.
            : "${bad_since:=$(now)}"
            if [ $(($(now) - bad_since)) -lt 180 ]; then
                [ $(($(now) - bad_since)) -lt 45 ] || "$lib/report.sh" start "${said#* }"
                continue
            fi
            # One that refuses its agents would do so again, and its repair needs it running.
            case $said in refusing*) ;; *) stop_gateway ;; esac
            ;;
        esac
        trouble=${said#* }
        return
    done
}

trap 'stop_gateway; exit 0' TERM
install -d -m 0700 /run/openclaw
# For going down only: at boot this unit does not wait for Docker, but without Docker it cannot stop
# the gateway, which would then run on until the last processes are killed.
order=/run/systemd/system/openclaw-gateway.service.d/stop-before-docker.conf
if [ ! -e "$order" ]; then
    mkdir -p "${order%/*}"
    printf '[Unit]\nAfter=docker.service\n' >"$order"
    systemctl daemon-reload || true
fi

trouble=
while :; do
    if run_stages; then
        "$lib/report.sh" ready "$notes"
        "$lib/cleanup.sh" || true
        watch
        echo "$trouble" >&2
        "$lib/report.sh" start "$trouble"
    fi
    sleep "$pause"
    pause=$((pause * 2 < 300 ? pause * 2 : 300))
done
