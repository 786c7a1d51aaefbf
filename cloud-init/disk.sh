#!/bin/sh
# Prepares the state's folder, on the data disk if one is configured. Formats only a blank disk, and
# never falls back to the boot disk.
set -eu
# shellcheck source=/dev/null
. /opt/openclaw/settings.env

root=/var/lib/openclaw
label=openclaw
# On the boot disk, while a blank disk is being formatted: the UUID that it gets.
formatting=/var/lib/openclaw-boot/formatting

# 78 (EX_CONFIG): a retry is not enough.
help_needed() { # KIND MESSAGE
    echo "$1" >/run/openclaw/error_kind
    echo "$2" >&2
    exit 78
}

found() {
    blkid -p -o value -s "$1" "$device" 2>/dev/null || true
}

# The sector that holds the UUID until mkfs has written its superblock, which it does last. It is near
# the end of the disk, where mkfs neither writes nor wipes.
witness() {
    echo $(($(blockdev --getsz "$device") - 2048))
}

has_no_signature() {
    signatures=$(wipefs -n "$device") && [ -z "$signatures" ] && [ -z "$(found TYPE)$(found PTTYPE)" ]
}

# A loss of power during mkfs leaves half a file system. The disk itself proves that it may be formatted
# again: by the witness, or by a superblock with our UUID that was never mounted (s_mtime is 0).
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
    # nodiscard, or the witness would be discarded.
    mkfs.ext4 -q -F -m 0 -E nodiscard -L "$label" -U "$1" "$device"
    sync "$device"
    rm "$formatting"
    sync "${formatting%/*}"
}

# The first name comes from Google's udev rules, which not every OS image has; the second from systemd's.
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
            help_needed disk-not-attached "data disk $OPENCLAW_DATA_DISK is not attached (no /dev/disk/by-id/google-$OPENCLAW_DATA_DISK)"
        waited=$((waited + 1))
        sleep 1
    done

    if mountpoint -q "$root"; then
        [ "$(findmnt -n -o MAJ:MIN --mountpoint "$root" | tr -d ' ')" = "$(lsblk -dn -o MAJ:MIN "$device" | tr -d ' ')" ] ||
            help_needed disk-in-use "something other than data disk $OPENCLAW_DATA_DISK is mounted at $root"
    else
        mkdir -p "$root"
        [ -z "$(ls -A "$root")" ] ||
            help_needed disk-in-use "$root on the boot disk is not empty, and data disk $OPENCLAW_DATA_DISK would hide it: move its content away"
        # Docker creates missing folders: keep it from putting state on the boot disk.
        chattr +i "$root" 2>/dev/null || true

        if is_our_unfinished; then
            # With the same UUID: a new one could be lost in the next loss of power.
            format "$uuid"
        elif is_blank; then
            format "$(cat /proc/sys/kernel/random/uuid)"
        fi
        if [ "$(found TYPE)" != ext4 ]; then
            signatures=$(wipefs -n -i -O TYPE "$device" | sort -u | tr '\n' ' ')
            help_needed disk-in-use "data disk $OPENCLAW_DATA_DISK is neither blank nor ext4 (it has: ${signatures:-unknown data}): not touched"
        fi
        [ "$(found LABEL)" = "$label" ] ||
            help_needed disk-in-use "data disk $OPENCLAW_DATA_DISK is an ext4 with the label '$(found LABEL)' instead of '$label': not touched"
        code=0
        e2fsck -p "$device" || code=$?
        [ "$code" -lt 4 ] ||
            help_needed disk-needs-repair "the file system of data disk $OPENCLAW_DATA_DISK needs a repair by hand: e2fsck $device"
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
# Only root may enter: a user of the host with uid 1000 is not the gateway.
install -d -m 0700 "$root" "$root/secrets"
install -d -m 0700 -o 1000 -g 1000 "$root/config" "$root/workspace" "$root/auth-profile-secrets" "$root/backups"
# The writable folders of the home's overlay (home.py).
install -d -m 0700 "$root/home" "$root/home/work"
install -d -m 0750 -o 1000 -g 1000 "$root/home/upper"
