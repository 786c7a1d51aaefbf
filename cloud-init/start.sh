#!/bin/bash
# Configures OpenClaw, starts the gateway's container and waits until the gateway has started.
set -euo pipefail
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

lib=/usr/local/lib/openclaw
service=openclaw-gateway
log=/run/openclaw/start.log
cd /opt/openclaw

# The gateway's own: containers of `docker compose run` belong to the same service.
container() {
    docker ps -aq --filter label=com.docker.compose.project=openclaw \
        --filter "label=com.docker.compose.service=$service" --filter label=com.docker.compose.oneoff=False
}

do_or_say() { # WHAT COMMAND...
    "${@:2}" >"$log" 2>&1 || { echo "$1: $("$lib/quote.py" "$log")" >&2; exit 1; }
}

# All but the memory that the host needs, so that a gateway that takes too much is killed and not the VM. The machine
# may have another size than the spec says.
memory() {
    awk '/^MemTotal:/ { total = int($2 / 1024) } /^SwapTotal:/ { swap = int($2 / 1024) }
        END { limit = total - 400 > total * 3 / 4 ? total - 400 : int(total * 3 / 4)
            printf "--memory %dm --memory-swap %dm", limit, limit + swap * 3 / 4 }' /proc/meminfo
}

# After a loss of power Docker would start the container itself, with secrets of the last boot and an
# image that is not verified yet. So its restart policy is off before it starts for the first time.
start_container() {
    local as_it_is=(--no-build --pull never --remove-orphans "$service")
    # A container that is replaced may finish its reply.
    local limit=$((OPENCLAW_STOP_SECONDS + 300))
    do_or_say "compose create" timeout "$limit" docker compose create "${as_it_is[@]}"
    # shellcheck disable=SC2046 # options
    do_or_say "docker update" docker update --restart no $(memory) "$(container)"
    do_or_say "compose up" timeout "$limit" docker compose up -d "${as_it_is[@]}"
}

# A gateway that refuses its agents keeps running: its repair runs in its container.
wait_for_gateway() {
    local waited=0 hopeless=0 code said word
    while :; do
        code=0
        said=$("$lib/probe.py") || code=$?
        case $said in
        ready*)
            said=${said#ready}
            [ -z "${said# }" ] || echo "${said# }" >&2
            return
            ;;
        # Right after its start it may still be inspecting them.
        refusing*) hopeless=$((hopeless + 3)) ;;
        stopped* | gone*) hopeless=60 ;;
        esac
        if [ "$hopeless" -ge 60 ]; then
            # WORD/KIND TEXT
            word=${said%% *}
            echo "${word#*/}" >/run/openclaw/error_kind
            echo "${said#* }" >&2
            exit "$code"
        fi
        waited=$((waited + 3))
        if [ "$waited" -ge 1200 ]; then
            timeout $((OPENCLAW_STOP_SECONDS + 30)) docker compose stop -t "$OPENCLAW_STOP_SECONDS" "$service" >/dev/null 2>&1 || true
            echo start-timeout >/run/openclaw/error_kind
            echo "the gateway did not finish its start within 20 minutes (${said#* }): see bake gcloud logs --gateway" >&2
            exit 1
        fi
        sleep 3
    done
}

# No container runs without the guard.
echo guard-failed >/run/openclaw/error_kind
"$lib/metadata-guard.sh"
rm /run/openclaw/error_kind
"$lib/release.py" claim
echo configuration-failed >/run/openclaw/error_kind
"$lib/configure.py"
rm /run/openclaw/error_kind
start_container
wait_for_gateway
