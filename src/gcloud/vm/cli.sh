# shellcheck shell=bash
# An OpenClaw command in the gateway's container, with a terminal where this session has one. Where the
# gateway is stopped, a container of its own runs it on the same state: `doctor` repairs a gateway that does not start.
# shellcheck disable=SC2119
id=$(container)
if [ -z "$id" ]; then
    echo "The gateway is stopped, so this runs in a container of its own." >&2
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
