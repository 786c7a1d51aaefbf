#!/bin/sh
# Creates the swap file on the boot disk, whole or not at all. A disk without room for it is a remark
# and not an error: the gateway runs without.
set -eu
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

file=/swapfile
wanted=$((OPENCLAW_SWAP_MIB * 1048576))

is_on() {
    swapon --noheadings --raw --show=NAME | grep -Fqx "$file"
}

drop() {
    if is_on; then
        swapoff "$file"
    fi
    rm -f "$file" "$file.new"
}

make() {
    free=$(($(stat -f -c '%a * %S' "${file%/*}/") / 1048576))
    # Leave room for the image and for updates.
    [ "$free" -ge $((OPENCLAW_SWAP_MIB + 1024)) ] || return 1
    fallocate -l "$wanted" "$file.new" && chmod 0600 "$file.new" && mkswap "$file.new" >/dev/null &&
        sync "$file.new" && mv "$file.new" "$file"
}

if [ "$wanted" -eq 0 ]; then
    drop
    exit 0
fi
if [ "$(stat -c %s "$file" 2>/dev/null || echo 0)" -ne "$wanted" ]; then
    drop
    make || { rm -f "$file.new"; echo "no swap: the boot disk has no room for $OPENCLAW_SWAP_MIB MiB" >&2; exit 0; }
fi
if ! is_on && ! swapon "$file" 2>/dev/null; then
    # A loss of power destroyed its header.
    drop
    { make && swapon "$file"; } || echo "no swap: $file cannot be used" >&2
fi
