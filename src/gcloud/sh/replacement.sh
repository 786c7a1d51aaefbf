# shellcheck shell=sh
# shellcheck disable=SC2154
# Ends the script before a VM is deleted or stopped whose replacement could not be made. `machines_now` and
# `region_quotas` are gcloud's commands.

# Sets `$now`, the VMs to replace, and ends the script where a quota of the region `$2` has no room for as many VMs
# of the type `$1`; `$3` says whether the old ones make room. A shared-core type is not checked: its share of the
# quota varies. New VMs need `$boot_gb` and `$addresses` too; a move, `$second_gb` for a disk that does not exist yet. `$vm_here` is a VM that a move has made already.
require_quota() {
    now=''
    [ -n "${vm_here:-}" ] || now=$(ask machines_now)
    [ -n "$now" ] || return 0
    needs=$(printf '%s\n' "$now" | LC_ALL=C awk -v wanted="$1" -v makes_room="$3" -v disk_quota="$disk_quota" \
        -v boot="$boot_gb" -v second="$second_gb" -v is_made="${disk_here:-}" -v addresses="$addresses" '
        function cpus(type, part) {
            split(type, part, "-")
            type = part[part[1] == "custom" ? 2 : 3]
            return type ~ /^[0-9]+$/ ? type : 0
        }
        function metric(type, part) {
            split(type, part, "-")
            return part[1] ~ /^(e2|n1|f1|g1|custom)$/ ? "CPUS" : toupper(part[1]) "_CPUS"
        }
        # A stopped VM uses no processors and no address; a shared-core type up to two processors.
        {
            frees = makes_room && $2 != "TERMINATED"
            cpu += cpus(wanted) - (!frees || metric($1) != metric(wanted) ? 0 : cpus($1) ? cpus($1) : 2)
            if (boot) disk += boot - (second ? 0 : $3) + (is_made ? 0 : second)
            address += addresses - (frees && $4 ? 1 : 0)
        }
        END {
            if (cpus(wanted) && cpu > 0) print metric(wanted), cpu, "processors"
            if (disk > 0) print disk_quota, disk, "GB"
            if (addresses && address > 0) print "IN_USE_ADDRESSES", address, "addresses"
        }')
    [ -n "$needs" ] || return 0
    quotas=$(ask region_quotas)
    short=$(printf '%s\n' "$needs" | while read -r metric need unit; do
        room=$(printf '%s\n' "$quotas" | LC_ALL=C awk -v metric="$metric" '$1 == metric { printf "%d", $2 - $3 }')
        [ -z "$room" ] || [ "$room" -ge "$need" ] ||
            echo "The quota $metric of $2 has room for $room more $unit, and $1 needs $need more."
    done)
    [ -z "$short" ] || refuse "$short" \
        "Ask for more, or set smaller gcp.machine_type or disks in bake.yaml: https://console.cloud.google.com/iam-admin/quotas?project=$project"
}
