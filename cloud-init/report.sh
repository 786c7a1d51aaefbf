#!/bin/sh
# report.sh STATUS [ERROR]: tells the world outside where this machine stands, as a line on the
# serial console and as guest attributes. Never fails its caller: who cannot be told now is told
# by a later call, since only what has arrived is remembered.
set -u

namespace=${OPENCLAW_METADATA_URL:-http://metadata.google.internal}/computeMetadata/v1/instance/guest-attributes/openclaw
serial=/dev/ttyS0
# Printable ASCII only: the serial console is a terminal, and a cut must not split a character.
error=$(printf %s "${2-}" | tr '\n\t' '  ' | tr -cd '\40-\176' | cut -c 1-400)
lock=$(cut -d ' ' -f 1 /opt/openclaw/lock.sha256 2>/dev/null)
state=/run/openclaw/report
install -d -m 0700 /run/openclaw "$state" || exit 0

if [ "$(cat "$state/status" "$state/error" 2>/dev/null)" != "$(printf '%s\n%s' "$1" "$error")" ]; then
    # The time goes with the status: an error that changes says nothing about how long it lasts.
    [ "$(cat "$state/status" 2>/dev/null)" = "$1" ] || date -u +%Y-%m-%dT%H:%M:%SZ >"$state/since"
    printf '%s\n' "$1" >"$state/status"
    printf '%s\n' "$error" >"$state/error"
    rm -f "$state/sent"
    # A serial port that nobody drains may block its writer.
    line="openclaw: status=$1 since=$(cat "$state/since") lock=$lock${error:+ error=$error}"
    # shellcheck disable=SC2016 # for the inner shell
    [ -w "$serial" ] && timeout 5 sh -c 'printf "%s\r\n" "$1" >"$2"' sh "$line" "$serial" 2>/dev/null
fi
[ -e "$state/sent" ] && exit 0

send() {
    curl -fsS -o /dev/null --noproxy '*' --connect-timeout 3 -m 10 -H 'Metadata-Flavor: Google' "$@" 2>/dev/null
}

put() {
    printf %s "$2" | send -X PUT --data-binary @- "$namespace/$1"
}

# The status goes last: who sees it finds the rest already there. An error of no length is deleted
# where the server takes no empty value.
put lock "$lock" && put since "$(cat "$state/since")" || exit 0
if ! put error "$error"; then
    [ -z "$error" ] || exit 0
    send -X DELETE "$namespace/error"
fi
put status "$1" && : >"$state/sent"
exit 0
