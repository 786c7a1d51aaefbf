# shellcheck shell=bash
# An OpenClaw command in the gateway's container, with a terminal if this session has one. If the gateway is
# stopped, a separate container runs it on the same state: `doctor` repairs a gateway that does not start.
# shellcheck disable=SC2119
id=$(container)
if [ -z "$id" ]; then
    echo "The gateway is stopped, so this runs in a separate container." >&2
    tty=-T
    [ ! -t 0 ] || tty=
    # shellcheck disable=SC2086 # nothing, or one option
    exec docker compose -f /opt/openclaw/docker-compose.yml run --rm --no-deps $tty \
        openclaw-gateway node dist/index.js "$@"
fi
tty=
[ ! -t 0 ] || tty=-t
# shellcheck disable=SC2086
exec docker exec -i $tty "$id" node dist/index.js "$@"
