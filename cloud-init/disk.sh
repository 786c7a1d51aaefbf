#!/bin/sh
# The state's folder, on the data disk where one is configured. A disk is formatted only if there
# is truly nothing on it, and without its disk nothing is ever started on the boot disk instead.
set -eu
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

root=/var/lib/openclaw
label=openclaw
# On the boot disk: that a disk, found blank, is being formatted, and with which UUID.
formatting=/var/lib/openclaw-boot/formatting

# 78 (EX_CONFIG): trying again is not enough, somebody has to help.
help_needed() {
    echo "$*" >&2
    exit 78
}

found() {
    blkid -p -o value -s "$1" "$device" 2>/dev/null || true
}

# The sector that has the UUID from before mkfs writes until after its superblock, which it writes
# last: near the end, where no file system has anything yet, and before what mkfs wipes there.
witness() {
    echo $(($(blockdev --getsz "$device") - 2048))
}

has_no_signature() {
    signatures=$(wipefs -n "$device") && [ -z "$signatures" ] && [ -z "$(found TYPE)$(found PTTYPE)" ]
}

# A loss of power while we format leaves half a file system on a disk that was blank. It is ours to
# format again while the disk itself says so: by the witness, or by a superblock with our UUID and no
# time of a mount (s_mtime).
is_our_unfinished() {
    [ -s "$formatting" ] || return 1
    uuid=$(cat "$formatting")
    if has_no_signature; then
        [ "$(dd if="$device" bs=512 skip="$(witness)" count=1 2>/dev/null | tr -d '\0')" = "$uuid" ]
    else
        [ "$(found UUID)" = "$uuid" ] && [ "$(od -An -tu4 -j 1068 -N 4 "$device" | tr -d ' ')" = 0 ]
    fi
}

is_blank() {
    size=$(blockdev --getsize64 "$device")
    [ "$size" -ge 16777216 ] && has_no_signature && cmp -s -n 1048576 "$device" /dev/zero
}

format() { # UUID
    mkdir -p "${formatting%/*}"
    echo "$1" >"$formatting.new"
    sync "$formatting.new"
    mv "$formatting.new" "$formatting"
    sync "${formatting%/*}"
    printf %s "$1" | dd of="$device" bs=512 seek="$(witness)" conv=notrunc,fsync status=none
    # To discard what is on the disk would discard the witness.
    mkfs.ext4 -q -F -m 0 -E nodiscard -L "$label" -U "$1" "$device"
    sync "$device"
    rm "$formatting"
    sync "${formatting%/*}"
}

# The first name comes from rules of Google's, which not every OS image has; the second from systemd's own.
find_device() {
    for device in google- scsi-0Google_PersistentDisk_; do
        device=/dev/disk/by-id/$device$OPENCLAW_DATA_DISK
        [ ! -b "$device" ] || return 0
    done
    return 1
}

mount_disk() {
    waited=0
    until find_device; do
        [ "$waited" -lt 30 ] ||
            help_needed "data disk $OPENCLAW_DATA_DISK is not attached (no /dev/disk/by-id/google-$OPENCLAW_DATA_DISK)"
        waited=$((waited + 1))
        sleep 1
    done

    if mountpoint -q "$root"; then
        [ "$(findmnt -n -o MAJ:MIN --mountpoint "$root" | tr -d ' ')" = "$(lsblk -dn -o MAJ:MIN "$device" | tr -d ' ')" ] ||
            help_needed "something other than data disk $OPENCLAW_DATA_DISK is mounted at $root"
    else
        mkdir -p "$root"
        [ -z "$(ls -A "$root")" ] ||
            help_needed "$root on the boot disk is not empty, and data disk $OPENCLAW_DATA_DISK would hide it: move its content away"
        # Not even Docker, which makes missing folders by itself, can put state on the boot disk now.
        chattr +i "$root" 2>/dev/null || true

        if is_our_unfinished; then
            # By the UUID that it has: with a new one, a cut before that is on the disk would lose it.
            format "$uuid"
        elif is_blank; then
            format "$(cat /proc/sys/kernel/random/uuid)"
        fi
        if [ "$(found TYPE)" != ext4 ]; then
            signatures=$(wipefs -n -i -O TYPE "$device" | sort -u | tr '\n' ' ')
            help_needed "data disk $OPENCLAW_DATA_DISK is neither blank nor ext4 (it has: ${signatures:-unknown data}): not touched"
        fi
        [ "$(found LABEL)" = "$label" ] ||
            help_needed "data disk $OPENCLAW_DATA_DISK is an ext4 with the label '$(found LABEL)' instead of '$label': not touched"
        code=0
        e2fsck -p "$device" || code=$?
        [ "$code" -lt 4 ] ||
            help_needed "the file system of data disk $OPENCLAW_DATA_DISK needs a repair by hand: e2fsck $device"
        mount -t ext4 -o noatime,nosuid,nodev "$device" "$root"
    fi
    resize2fs "$device" >/dev/null 2>&1 ||
        echo "the file system of data disk $OPENCLAW_DATA_DISK could not be grown" >&2
}

if [ -n "$OPENCLAW_DATA_DISK" ]; then
    mount_disk
else
    mkdir -p "$root"
    chattr -i "$root" 2>/dev/null || true
fi
# Closed at the top: a user of the host with uid 1000 is not the gateway's.
install -d -m 0700 "$root" "$root/secrets"
install -d -m 0700 -o 1000 -g 1000 "$root/config" "$root/workspace" "$root/auth-profile-secrets" "$root/backups"
# The two folders of the home's overlay: see home.py.
install -d -m 0700 "$root/home" "$root/home/work"
install -d -m 0750 -o 1000 -g 1000 "$root/home/upper"
