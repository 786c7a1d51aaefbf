# shellcheck shell=bash
# An OpenClaw command in the gateway's container, with a terminal where this session has one.
running
tty=
[ ! -t 0 ] || tty=-t
# shellcheck disable=SC2086 # nothing, or one option
exec docker exec -i $tty "$id" node dist/index.js "$@"
