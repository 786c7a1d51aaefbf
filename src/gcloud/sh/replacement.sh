# shellcheck shell=sh
# shellcheck disable=SC2154
# Ends the script before a VM is deleted or stopped whose replacement could not be made. `machines_now`,
# `region_quotas` and `look_up` are gcloud's commands.

# Sets `$now`, machine type and status of the VMs to replace, and ends the script where a quota of the region
# `$2` has no room for as many VMs of the type `$1`; `$3` says whether the old ones make room. A shared-core type
# is not checked: its share of the quota varies. `$vm_here` is a VM that a move has made already.
require_quota() {
    now=''
    [ -n "${vm_here:-}" ] || now=$(ask machines_now)
    [ -n "$now" ] || return 0
    need=$(printf '%s\n' "$now" | LC_ALL=C awk -v wanted="$1" -v makes_room="$3" '
        function cpus(type, part) {
            split(type, part, "-")
            type = part[part[1] == "custom" ? 2 : 3]
            return type ~ /^[0-9]+$/ ? type : 0
        }
        function metric(type, part) {
            split(type, part, "-")
            return part[1] ~ /^(e2|n1|f1|g1|custom)$/ ? "CPUS" : toupper(part[1]) "_CPUS"
        }
        # A stopped VM uses no processors; a shared-core type up to two.
        {
            freed = !makes_room || $2 == "TERMINATED" || metric($1) != metric(wanted) ? 0 : cpus($1) ? cpus($1) : 2
            need += cpus(wanted) - freed
        }
        END { if (cpus(wanted) && need > 0) print metric(wanted), need }')
    [ -n "$need" ] || return 0
    room=$(ask region_quotas | LC_ALL=C awk -v metric="${need% *}" '$1 == metric { print $2 - $3 }')
    [ -z "$room" ] || [ "${room%.*}" -ge "${need#* }" ] ||
        refuse "The quota ${need% *} of $2 has room for ${room%.*} more processors, and $1 needs ${need#* } more." \
            "Ask for more, or set a smaller gcp.machine_type in bake.yaml: https://console.cloud.google.com/iam-admin/quotas?project=$project"
}

# Ends the script where `look_up` finds nothing. `$1` names the resource, `$2` says what to do. An account that
# deploys need not be able to see everything.
require_found() {
    [ -n "$now" ] || return 0
    # gcloud's messages, then one line if it finds something.
    said=$({ if found=$(look_up </dev/null 2>&3) && [ -n "$found" ]; then echo 'it exists'; fi; } 3>&1)
    case $said in
    *'it exists') return 0 ;;
    *NOT_FOUND* | *'not found'*) ;;
    *PERMISSION_DENIED* | *forbidden* | *[Pp]'ermission '*)
        echo "note: this account may not look up the $1" >&2
        return 0
        ;;
    *ERROR:*)
        printf '%s\n' "$said" >&2
        answer "$said" >&2
        exit 1
        ;;
    esac
    refuse "There is no $1, which the VM needs. A VM that was deleted now would not come back." "$2"
}
