#!/bin/bash
# The gateway's container, started and waited for. Its configuration is made by OpenClaw's own
# onboarding, once; afterwards it belongs to the user.
set -euo pipefail
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

lib=/usr/local/lib/openclaw
state=/var/lib/openclaw
service=openclaw-gateway
setup=openclaw-setup
log=/run/openclaw/start.log
cd /opt/openclaw

said() {
    "$lib/quote.py" "$log"
}

# In a container of the gateway's service, without its ports: openclaw-cli joins the network of a
# gateway that runs, and there is none yet. It has a name, for it can outlive the one who waits for it.
cli() {
    docker rm -f "$setup" >/dev/null 2>&1 || true
    timeout 600 docker compose run --rm -T --no-deps --name "$setup" "$service" node dist/index.js "$@" </dev/null >"$log" 2>&1
}

# What is written there from now on is the work of somebody who helps, and stays.
undo_onboarding() {
    if docker rm -f "$setup" >/dev/null 2>&1; then
        rm -f "$state/config/openclaw.json"
        sync "$state/config"
        rm "$state/onboarding"
        sync "$state"
    fi
    echo "$1" >&2
    exit 1
}

# Onboarding saves more than once. While this mark is there it has not come to its end, the gateway
# has never run, and what lies there is nobody's work.
onboard() {
    if [ -e "$state/config/openclaw.json" ] && [ ! -e "$state/onboarding" ]; then
        return
    fi
    : >"$state/onboarding"
    sync "$state/onboarding" "$state"
    rm -f "$state/config/openclaw.json"
    cli onboard --non-interactive --accept-risk --skip-health --mode local --auth-choice "$OPENCLAW_AUTH_CHOICE" \
        --secret-input-mode ref --gateway-auth token --gateway-token-ref-env OPENCLAW_GATEWAY_TOKEN \
        --gateway-bind lan --skip-channels --no-install-daemon ||
        undo_onboarding "onboarding failed with exit code $?: $(said)"
    [ -s "$state/config/openclaw.json" ] || undo_onboarding "onboarding left no openclaw.json: $(said)"
    sync -f "$state"
    rm "$state/onboarding"
    sync "$state"
}

# Once each: a channel that its user removed later stays removed. One that cannot be added is
# reported and tried again at the next start: it does not keep the gateway down.
add_channels() {
    local channel
    for channel in $OPENCLAW_CHANNELS; do
        [ -e "$state/channels-added/$channel" ] && continue
        if cli channels add --channel "$channel" --use-env; then
            mkdir -p "$state/channels-added"
            : >"$state/channels-added/$channel"
        else
            echo "channel $channel could not be added: $(said)" >&2
        fi
    done
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
onboard
add_channels
start_container
wait_for_gateway
