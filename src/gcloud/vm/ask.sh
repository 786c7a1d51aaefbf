# shellcheck shell=bash
# An OpenClaw command for the gateway that runs, without a terminal.
running
exec docker exec -i "$id" node dist/index.js "$@"
