#!/bin/sh
# report.sh STATUS [ERROR [KIND]]: reports the VM's state as a line on the serial console and as guest
# attributes. Always succeeds. A later call repeats a report that did not arrive.
set -u

namespace=${OPENCLAW_METADATA_URL:-http://metadata.google.internal}/computeMetadata/v1/instance/guest-attributes/openclaw
serial=/dev/ttyS0
# On arm64. A ttyS0 may exist there too, without a port behind it.
[ ! -e /dev/ttyAMA0 ] || serial=/dev/ttyAMA0
# Printable ASCII only: the serial console is a terminal, and a cut must not split a character.
error=$(printf %s "${2-}" | tr '\n\t' '  ' | tr -cd '\40-\176' | cut -c 1-400)
kind=${error:+${3-}}
lock=$(cut -d ' ' -f 1 /opt/openclaw/lock.sha256 2>/dev/null)
state=/run/openclaw/report
install -d -m 0700 /run/openclaw "$state" || exit 0

# Facts of the machine, which belong to no status. Small changes of the free space are not reported.
disk=$(df -Pk /var/lib/openclaw 2>/dev/null | awk -v told="$(cat "$state/disk" 2>/dev/null)" 'NR == 2 {
    split(told, old, " ")
    free = int($4 / 1024)
    total = int($2 / 1024)
    change = free > old[1] ? free - old[1] : old[1] - free
    if (old[2] == total && change * 100 < total) print told
    else print free, total
}')
reboot=''
[ ! -e /run/reboot-required ] || reboot=required
verified=$(cat /run/openclaw/verified 2>/dev/null)
if [ "$(cat "$state/disk" "$state/reboot" "$state/verified" 2>/dev/null)" != "$(printf '%s\n%s\n%s' "$disk" "$reboot" "$verified")" ]; then
    printf '%s\n' "$disk" >"$state/disk"
    printf '%s\n' "$reboot" >"$state/reboot"
    printf '%s\n' "$verified" >"$state/verified"
    rm -f "$state/sent"
fi
if [ "$(cat "$state/status" "$state/error_kind" "$state/error" 2>/dev/null)" != "$(printf '%s\n%s\n%s' "$1" "$kind" "$error")" ]; then
    # The time belongs to the status, not to its error.
    [ "$(cat "$state/status" 2>/dev/null)" = "$1" ] || date -u +%Y-%m-%dT%H:%M:%SZ >"$state/since"
    printf '%s\n' "$1" >"$state/status"
    printf '%s\n' "$kind" >"$state/error_kind"
    printf '%s\n' "$error" >"$state/error"
    rm -f "$state/sent"
    # Writing blocks while nothing drains the serial port.
    line="openclaw: status=$1 since=$(cat "$state/since") lock=$lock${kind:+ error_kind=$kind}${error:+ error=$error}"
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

# An attribute without a value is deleted where the server accepts no empty one.
put_or_delete() {
    put "$1" "$2" && return
    [ -z "$2" ] && { send -X DELETE "$namespace/$1" || true; }
}

# The status goes last: a reader that sees it finds the rest in place.
put_or_delete lock "$lock" && put since "$(cat "$state/since")" && put_or_delete disk "$disk" &&
    put_or_delete reboot "$reboot" && put_or_delete verified "$verified" && put_or_delete error "$error" &&
    put_or_delete error_kind "$kind" && put status "$1" && : >"$state/sent"
exit 0
