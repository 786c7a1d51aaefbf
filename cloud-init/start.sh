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
    # A container that is replaced finishes its reply first.
    local limit=$((OPENCLAW_STOP_SECONDS + 300))
    do_or_say "compose create" timeout "$limit" docker compose create "${as_it_is[@]}"
    do_or_say "docker update" docker update --restart no "$(container)"
    do_or_say "compose up" timeout "$limit" docker compose up -d "${as_it_is[@]}"
}

# A gateway that has started and refuses its agents is left running: the command that repairs it runs
# in its container. What works only in part is a note.
wait_for_gateway() {
    local waited=0 hopeless=0 code said
    while :; do
        code=0
        said=$("$lib/probe.py") || code=$?
        case $said in
        ready*)
            said=${said#ready}
            [ -z "${said# }" ] || echo "${said# }" >&2
            return
            ;;
        # Right after its start it may still be looking at them.
        refusing*) hopeless=$((hopeless + 3)) ;;
        stopped* | gone*) hopeless=60 ;;
        esac
        if [ "$hopeless" -ge 60 ]; then
            echo "${said#* }" >&2
            exit "$code"
        fi
        waited=$((waited + 3))
        if [ "$waited" -ge 1200 ]; then
            timeout $((OPENCLAW_STOP_SECONDS + 30)) docker compose stop -t "$OPENCLAW_STOP_SECONDS" "$service" >/dev/null 2>&1 || true
            echo "the gateway did not finish its start within 20 minutes (${said#* }): see bake gcloud logs --gateway" >&2
            exit 1
        fi
        sleep 3
    done
}

# Here too, not only before Docker: no container runs without the guard.
"$lib/metadata-guard.sh"
"$lib/configure.py"
start_container
wait_for_gateway
