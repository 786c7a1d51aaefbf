#!/bin/bash
# The gateway's container, configured, started and waited for.
set -euo pipefail
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

lib=/usr/local/lib/openclaw
service=openclaw-gateway
log=/run/openclaw/start.log
cd /opt/openclaw

said() {
    "$lib/quote.py" "$log"
}

# The gateway's own: what somebody left of a `docker compose run` is of the same service.
container() {
    docker ps -aq --filter label=com.docker.compose.project=openclaw \
        --filter "label=com.docker.compose.service=$service" --filter label=com.docker.compose.oneoff=False
}

do_or_say() { # WHAT COMMAND...
    "${@:2}" >"$log" 2>&1 || { echo "$1: $(said)" >&2; exit 1; }
}

# Docker would start the container by itself after a loss of power, with the secrets of the boot
# before and an image that nobody has verified. Here the unit starts it, and sees when it is gone:
# so Docker is told to leave it alone before it has started for the first time.
start_container() {
    local as_it_is=(--no-build --pull never --remove-orphans "$service")
    do_or_say "compose create" timeout 300 docker compose create "${as_it_is[@]}"
    do_or_say "docker update" docker update --restart no "$(container)"
    do_or_say "compose up" timeout 300 docker compose up -d "${as_it_is[@]}"
}

wait_for_startup() {
    local container waited=0 seen
    container=$(container)
    until curl -fsS --noproxy '*' -o /dev/null -m 5 "http://127.0.0.1:$OPENCLAW_PORT/startupz" 2>/dev/null; do
        seen=$(docker inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.OOMKilled}}' "$container")
        case $seen in
        running* | created*) ;;
        *" 78 "*) echo "the gateway cannot use this state safely (exit code 78): see docker compose logs" >&2; exit 78 ;;
        *true) echo "the gateway ran out of memory" >&2; exit 1 ;;
        *) echo "the gateway stopped while starting ($seen): see docker compose logs" >&2; exit 1 ;;
        esac
        waited=$((waited + 3))
        if [ "$waited" -ge 1200 ]; then
            docker compose stop -t 60 "$service" >/dev/null 2>&1 || true
            echo "the gateway did not finish its start within 20 minutes: see docker compose logs" >&2
            exit 1
        fi
        sleep 3
    done
}

# Here too, not only before Docker: no container runs without the guard.
"$lib/metadata-guard.sh"
"$lib/configure.py"
start_container
wait_for_startup
